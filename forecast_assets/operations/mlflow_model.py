"""A model version as MLflow loads it: `mlflow.pyfunc.load_model("models:/forecast-assets/3")`.

What belongs here: from a frame of series and dates to rows as they are published. What does not: any number; the stages
are those of every run, on this home's snapshots.

A model is not a file that forecasts by itself: a series is refitted to its snapshot, and rows are reconciled with all
others. So what MLflow keeps names the version, and this installation computes the whole run on the home that
`FORECAST_ASSETS_HOME` names, in a temporary folder. Nothing is published.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from forecast_assets.contracts import FORECAST_EXPLANATIONS, FORECASTS, STOCKOUT_RISKS
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import ChangedFileError, HorizonError, InputError, first_ten
from forecast_assets.core.keys import CADENCES, RunKey
from forecast_assets.core.progress import silent
from forecast_assets.core.run import RunOptions, RunRequest
from forecast_assets.corrections.restatements import source_snapshot
from forecast_assets.models.family import family
from forecast_assets.operations.rebuilding import overlay
from forecast_assets.operations.replaying import recorded_products, recorded_request
from forecast_assets.scoring.context import RunContext, given_inputs_of
from forecast_assets.scoring.run import score
from forecast_assets.settings import Settings, current_settings
from resources.ledger.entries.publish import Publication
from resources.mlflow.model_folder import INPUTS, read_model_folder
from resources.store.blobs import sha256
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores, open_stores

if TYPE_CHECKING:
    import pandas as pd

_SNAPSHOTS: Final = "feature_snapshots"
# A published row by its parts, in the order of their columns.
_PARTS: Final = (FORECASTS, STOCKOUT_RISKS, FORECAST_EXPLANATIONS)


@dataclass
class ServedVersion:
    """A model version on a home.

    Attributes:
        model_version: Its name.
        settings: The home's.
        stores: The home's.
    """

    model_version: str
    settings: Settings
    stores: Stores
    _scored: dict[tuple[date, int], pl.DataFrame] = field(default_factory=dict)

    def predict(self, model_input: "pd.DataFrame", params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """Return rows as they are published; MLflow calls this.

        Args:
            model_input: [n] of `store_id`, `sku_id`, `prediction_date` (a date or ISO text) and `horizon` (days ahead).
            params: Not used.

        Returns:
            For each row of the input, in its order, a row per step from 1 to its horizon: the columns of forecasts,
            then of stock-out risks and of explanations that these lack.

        Raises:
            InputError: If a column is missing, or a series is none of the snapshot's.
            HorizonError: If no cadence looks as many days ahead, or the version was not trained to.
            NotStagedError: If the date has no snapshot.
            NotAcceptedError: If the version may not serve the date.
        """
        del params
        asked = _asked(model_input)
        if not asked:
            return pl.DataFrame(schema=list(dict.fromkeys(name for part in _PARTS for name in part.names))).to_pandas()
        runs = {run: self._rows(*run) for run in dict.fromkeys((day, horizon) for _, _, day, horizon in asked)}
        wanted = pl.DataFrame(
            [(at, store, sku, day, horizon) for at, (store, sku, day, horizon) in enumerate(asked)],
            schema={"asked": pl.Int64, **dict.fromkeys(_SERIES, pl.String), **_RUN}, orient="row",
        )  # fmt: skip
        rows = pl.concat(list(runs.values()), how="vertical")
        wanted = wanted.cast({name: rows.schema[name] for name in (*_SERIES, *_RUN)})
        found = wanted.join(rows, on=[*_SERIES, *_RUN], how="left", maintain_order="left_right")
        absent = found.filter(pl.col("step").is_null())
        if absent.height:
            series = (
                f"{store}/{sku} on {day}" for store, sku, day in absent.select(*_SERIES, "prediction_date").rows()
            )
            raise InputError(
                f"The snapshot has no series {first_ten(series)}.",
                remedy="Ask for series that were sold before the prediction date.",
            )
        return found.select(rows.columns).to_pandas()

    def _rows(self, day: date, horizon: int) -> pl.DataFrame:
        if (day, horizon) not in self._scored:
            self._scored[day, horizon] = self._run(day, horizon)
        return self._scored[day, horizon]

    def _run(self, day: date, horizon: int) -> pl.DataFrame:
        """Compute a whole run: as it was published where it was, else on the newest snapshot of its date."""
        published = self._published(day, horizon)
        if published is not None:
            snapshot = source_snapshot(self.stores, published.products)
            recorded = recorded_products(self.stores, published)
            request, _ = recorded_request(published.key, snapshot, recorded, self.settings)
            given = given_inputs_of(self.stores.predictions, published.products.values())
            stores = self.stores.as_of(published.sequence - 1)
            return _scored(stores, request, snapshot, given, {name: made.schema for name, made in recorded.items()})
        key = RunKey(_cadences(horizon)[0], day, self.model_version, horizon)
        options = RunOptions(self.settings.history_days, self.settings.risk_paths, self.settings.workers)
        store = self.stores.predictions
        product = family(self.stores.registry.model_version(self.model_version).family).given_product
        given = [] if product is None else [store.staged(product, key)]
        return _scored(self.stores, RunRequest(key, options), store.staged(_SNAPSHOTS, day), given, {})

    def _published(self, day: date, horizon: int) -> Publication | None:
        """Return the newest revision of the run that is asked for; None if it is not published."""
        publications = self.stores.ledger.state().publications
        for cadence in _cadences(horizon):
            key = RunKey(cadence, day, self.model_version, horizon)
            if key in publications:
                return self.stores.predictions.revisions(key)[-1]
        return None


_SERIES: Final = ("store_id", "sku_id")
_RUN: Final = {"prediction_date": pl.Date, "forecast_horizon": pl.Int64}


def _load_pyfunc(data_path: str) -> ServedVersion:
    """Return the version that a model folder names; MLflow calls this.

    Raises:
        UnknownVersionError: If this home has no such version.
        ChangedFileError: If the artifact is not the one that the ledger names.
    """
    name, artifact = read_model_folder(Path(data_path))
    settings = current_settings()
    stores = open_stores(settings.store, settings.mirror_folder)
    recorded = stores.predictions.version(stores.registry.model_version(name).artifact).files[0].sha256
    if sha256(artifact) != recorded:
        raise ChangedFileError(
            f"The artifact of `{name}` that MLflow gave has the hash {sha256(artifact)[:12]}; the ledger of this home "
            f"names {recorded[:12]}.",
            remedy=Sentence(
                "Set FORECAST_ASSETS_HOME to the home that the model is of; if it is, make the mirror anew: ",
                Action("mlflow sync", {"rebuild": True}),
                ".",
            ),
            model_version=name,
        )
    return ServedVersion(name, settings, stores)


def _asked(given: "pd.DataFrame") -> list[tuple[str, str, date, int]]:
    missing = [name for name in INPUTS if name not in given.columns]
    if missing:
        raise InputError(
            f"The input lacks the columns {first_ten(missing)}.", remedy=f"Give {', '.join(INPUTS)}.", missing=missing
        )
    rows = given[list(INPUTS)].itertuples(index=False)
    try:
        return [(str(store), str(sku), _day(day), int(horizon)) for store, sku, day, horizon in rows]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The input cannot be read: {error}.", remedy="Give dates as 2025-06-30, and whole days ahead."
        ) from error


def _day(value: Any) -> date:
    # pandas' moments are datetimes too.
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else date.fromisoformat(str(value)[:10])


def _cadences(horizon: int) -> list[str]:
    found = [each.name for each in CADENCES.values() if each.shortest_horizon <= horizon <= each.longest_horizon]
    if not found:
        shortest = min(each.shortest_horizon for each in CADENCES.values())
        longest = max(each.longest_horizon for each in CADENCES.values())
        raise HorizonError(
            f"No run looks {horizon} days ahead.", remedy=f"Ask for {shortest} to {longest}.", horizon=horizon
        )
    return found


def _scored(
    stores: Stores,
    request: RunRequest,
    snapshot: ProductVersion,
    given: Sequence[ProductVersion],
    schemas: dict[str, str],
) -> pl.DataFrame:
    """Run the stages in a folder that is removed afterwards; return the rows of series."""
    with overlay(stores, None) as scratch:
        scratch.predictions.stage(snapshot, snapshot.key)
        for made in given:
            scratch.predictions.stage(made, request.key)
        context = RunContext(scratch, request, silent, schemas)
        score(context)
        rows = context.read(context.upstream(FORECASTS.name))
        for part in _PARTS[1:]:
            others = context.read(context.upstream(part.name))
            known = [name for name in others.columns if name in rows.columns and name not in part.key]
            rows = rows.join(others.drop(known), on=list(part.key), how="left", maintain_order="left")
        return rows
