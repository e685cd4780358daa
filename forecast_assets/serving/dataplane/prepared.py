"""A published run prepared for questions: its inputs, loaded once and shared, and what its series say together.

What belongs here: what a question about a few series needs of all others, made and checked once per run. What does not:
answering (`what_if`), or where prepared runs are kept.

Nothing of it changes after it is made, so that threads share it. Its key carries the hashes of all that it was made
from: what was prepared from anything else is never found under it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.base_forecasts.forecasting import base_frame
from forecast_assets.contracts import (
    BASE_FORECASTS,
    BASE_NODE_FORECASTS,
    EVENTS,
    FORECAST_OVERRIDES,
)
from forecast_assets.core.arrays import Bools, Groups, Rows
from forecast_assets.core.errors import InputError, ReplayDifferenceError, first_ten
from forecast_assets.core.keys import RunKey, StoreSku
from forecast_assets.core.progress import Progress, silent
from forecast_assets.core.quantities import Millionths, from_units
from forecast_assets.core.rows import places_by_step
from forecast_assets.explanations.explaining import OF_BASE, OF_RECONCILED
from forecast_assets.explanations.levels_above import largest_gaps
from forecast_assets.explanations.overrides_told import override_words
from forecast_assets.explanations.stage import explanation_context
from forecast_assets.features.panel import Panel
from forecast_assets.features.pooled import Held, Kept, Statistic
from forecast_assets.features.specs import FeatureSpec
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history import History
from forecast_assets.history.events import events_ahead
from forecast_assets.history.quarantined import is_touched, quarantined_rows
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.family import ModelFamily
from forecast_assets.models.forecasts import ForecastInputs, Forecasts
from forecast_assets.overrides.effects import overridden
from forecast_assets.scoring.context import build_hierarchy, given_inputs_of, read_rows
from forecast_assets.serving.dataplane.prepared_key import PreparedKey
from forecast_assets.serving.dataplane.run_basis import RunBasis
from forecast_assets.serving.dataplane.told import ToldFacts
from forecast_assets.stockout_risk.assessing import rated_by
from forecast_assets.stockout_risk.inventory import Supply
from forecast_assets.stockout_risk.stage import supply_of
from forecast_assets.stockout_risk.stock_status import assess_status
from resources.stores.home import Stores
from resources.stores.products import PredictionStore

_KEY: Final = ("store_id", "sku_id")
_ROW: Final = (*_KEY, "step")


@dataclass(frozen=True)
class PreparedRun:
    """What questions about few of a run's n series need.

    Attributes:
        key: What it was made from.
        family: Of the model version.
        artifact: Of the model version.
        panel: Of all series, without pooled statistics.
        product_groups: [n] group of each series.
        statistics: Pooled statistics by name, as all series gave them.
        given_rows: What the run was given from outside; None for a family that forecasts by itself.
        is_quarantined: [n] whether a row of the last observed day was set aside; None where none was.
        base: [n, H] published base forecasts.
        reconciled: [n, H] published reconciled forecasts.
        overridden: [n, H] published forecasts; None where nobody has overridden any.
        supply: Stock, terms and open orders of all series.
        risk_paths: Sampled futures of a series with a position.
        risk_thresholds: Lowest stock-out probability of each band above the first, by the run's policy.
        features: The snapshot's rows.
        specs: What the snapshot was computed by.
        told: What explanations tell besides numbers.
        causes: What is not the same as when the run was made, such as the code.
    """

    key: PreparedKey
    family: ModelFamily[Any]
    artifact: Artifact
    panel: Panel
    product_groups: Groups
    statistics: Mapping[str, Statistic]
    given_rows: pl.DataFrame | None
    is_quarantined: Bools | None
    base: Millionths
    reconciled: Millionths
    supply: Supply
    risk_paths: int
    risk_thresholds: Mapping[str, float]
    features: pl.DataFrame
    specs: tuple[FeatureSpec, ...]
    told: ToldFacts
    causes: tuple[str, ...] = ()
    overridden: Millionths | None = None

    @cached_property
    def places(self) -> Mapping[StoreSku, int]:
        """Row of each series, by store and SKU."""
        stores, skus = (self.panel.series[name].to_list() for name in _KEY)
        return {series: row for row, series in enumerate(zip(stores, skus, strict=True))}

    def rows_of(self, series: Sequence[StoreSku]) -> Rows:
        """[k] rows of some series, by store and SKU.

        Raises:
            InputError: If the run has none of that name.
        """
        unknown = [one for one in series if one not in self.places]
        if unknown:
            raise InputError(
                f"{self.key.run} has no series {first_ten(f'{store}/{sku}' for store, sku in unknown)}.",
                remedy="Ask for series of the run: store and SKU as in its forecasts.",
                series=[list(one) for one in unknown],
            )
        return np.array([self.places[one] for one in series], dtype=np.intp)

    def few(self, rows: Rows) -> Panel:
        """Return the panel of some series, each twice, with what all series say together held."""
        return replace(self.panel.take(rows), pooled=Held(self.statistics, rows))

    def forecast(self, panel: Panel, rows: Rows) -> Forecasts:
        """Forecast some series from a panel of theirs."""
        return self.family.forecast(
            self.artifact,
            ForecastInputs(panel, self.product_groups[rows], given_rows=self._given(rows), key=self.key.run, workers=1),
        )

    def narrowed(self, rows: Rows) -> "PreparedRun":
        """Return what questions about some series need: asked about them, it answers as this one does.

        Args:
            rows: [k] which series, in the order of the run, each once.
        """
        horizon = self.key.run.forecast_horizon
        return replace(
            self,
            panel=self.panel.take(rows),
            product_groups=self.product_groups[rows],
            statistics={name: found.take(rows) for name, found in self.statistics.items()},
            given_rows=self._given(rows),
            is_quarantined=None if self.is_quarantined is None else self.is_quarantined[rows],
            base=self.base[rows],
            reconciled=self.reconciled[rows],
            overridden=None if self.overridden is None else self.overridden[rows],
            supply=self.supply.take(rows),
            features=self.features[rows],
            told=self.told.narrowed(rows, horizon),
        )

    def base_frame(self, panel: Panel, rows: Rows, made: Forecasts) -> pl.DataFrame:
        """Return forecasts of some series as contract `base_forecasts`."""
        touched = None if self.is_quarantined is None else self.is_quarantined[rows]
        return base_frame(self.key.run, panel, self.family, made, touched)

    def _given(self, rows: Rows) -> pl.DataFrame | None:
        if self.given_rows is None:
            return None
        horizon = self.key.run.forecast_horizon
        return self.given_rows[places_by_step(rows, horizon)]


def prepare_run(
    stores: Stores,
    run: RunKey,
    *,
    workers: int | None = None,
    progress: Progress = silent,
) -> PreparedRun:
    """Prepare a published run: forecast it once more, keep what series say together, and hold it to what was published.

    Args:
        stores: Where everything is.
        run: Which.
        workers: Threads and processes; all cores if left out.
        progress: Called with the stage, series done and series in all.

    Raises:
        NotPublishedError: If the run is not published.
        ReplayDifferenceError: If this release and machine do not make the published numbers: then no answer would be
            about them.
    """
    store, basis = stores.predictions, RunBasis.of(stores, run)
    history, features = History.of(basis.snapshot, stores.observations), store.read(basis.snapshot)
    artifact = basis.artifact
    panel = history.panel(features, history_days=artifact.history_days, horizon_days=run.forecast_horizon)
    hierarchy, kept = build_hierarchy(features, history), Kept()
    given = given_inputs_of(store, basis.publication.products.values())
    aside = quarantined_rows(history, since=history.cutoff)
    made = _Made.of(store, basis)
    prepared = PreparedRun(
        key=basis.key,
        family=basis.family,
        artifact=artifact,
        panel=panel,
        product_groups=hierarchy.product_groups(artifact.group_level),
        statistics=kept.found,
        given_rows=store.read(given[0]) if given else None,
        is_quarantined=is_touched(panel.series, aside).to_numpy() if aside["is_open"].any() else None,
        base=_matrix(made.base["base_units"], run),
        reconciled=_matrix(made.reconciled["reconciled_units"], run),
        supply=supply_of(history, panel.series),
        risk_paths=basis.risk_paths,
        risk_thresholds=basis.risk_thresholds,
        features=features,
        specs=basis.specs,
        told=_told(history, features, hierarchy, artifact, run.forecast_horizon, made),
        causes=basis.causes,
        overridden=made.overridden(run),
    )
    _keep_statistics(prepared, replace(panel, pooled=kept), hierarchy, workers, progress)
    return prepared


def _keep_statistics(
    prepared: PreparedRun, panel: Panel, hierarchy: Hierarchy, workers: int | None, progress: Progress
) -> None:
    """Forecast all series of a panel that keeps what they say together, and work out what their risks are rated by.

    Raises:
        ReplayDifferenceError: If the forecasts are not the published ones.
    """
    groups, everyone = prepared.product_groups, np.arange(panel.series.height)
    inputs = ForecastInputs(
        panel, groups, given_rows=prepared.given_rows, key=prepared.key.run, workers=workers, progress=progress
    )
    made = prepared.family.forecast(prepared.artifact, inputs)
    base = prepared.base_frame(panel, everyone, made)
    require_as_published(prepared, everyone, _matrix(base["base_units"], prepared.key.run))
    rated = rated_by(panel, groups, hierarchy, prepared.artifact, workers)
    # What a classifier says of series, rates of the record need not say too.
    if rated.lost_share is not None and rated.status is None:
        assess_status(panel)


def require_as_published(prepared: PreparedRun, rows: Rows, found: Millionths) -> None:
    """Refuse to go on where forecasts of unchanged series are not the published ones.

    Args:
        prepared: The published run.
        rows: [k] which series.
        found: [k, H] what they are forecast as.

    Raises:
        ReplayDifferenceError: With how many rows differ.
    """
    published = prepared.base[rows]
    differing = int((found != published).sum())
    if differing:
        why = "; ".join(prepared.causes) or "the same code, libraries and CPU type made other numbers: a defect"
        raise ReplayDifferenceError(
            BASE_FORECASTS.name,
            f"{differing:,} of {found.size:,} base forecasts of {prepared.key.run} are not what was published, by "
            f"{int(np.abs(found - published).max())} millionths at most, so nothing can be said of changes to them. "
            f"Why: {why}.",
            prepared.causes,
        )


@dataclass(frozen=True)
class _Made:
    """Rows of the products behind a publication.

    Attributes:
        base: `OF_BASE` of `base_forecasts`.
        nodes: `base_node_forecasts`.
        reconciled: `OF_RECONCILED` of `reconciled_forecasts`.
        overrides: `forecast_overrides`; without rows where nobody has overridden any.
    """

    base: pl.DataFrame
    nodes: pl.DataFrame
    reconciled: pl.DataFrame
    overrides: pl.DataFrame

    @classmethod
    def of(cls, store: PredictionStore, basis: RunBasis) -> "_Made":
        nodes = store.version(basis.reconciled.inputs[BASE_NODE_FORECASTS.name])
        return cls(
            read_rows(store, basis.base, OF_BASE),
            read_rows(store, nodes),
            read_rows(store, basis.reconciled, OF_RECONCILED),
            pl.DataFrame(schema=FORECAST_OVERRIDES.schema)
            if basis.overrides is None
            else read_rows(store, basis.overrides),
        )

    def overridden(self, run: RunKey) -> Millionths | None:
        """[n, H] Return published forecasts; None where nobody has overridden any."""
        if self.overrides.is_empty():
            return None
        return _matrix(overridden(self.reconciled, self.overrides)["forecast_units"], run)


def _told(
    history: History, features: pl.DataFrame, hierarchy: Hierarchy, artifact: Artifact, horizon: int, made: _Made
) -> ToldFacts:
    gaps = largest_gaps(made.base, made.reconciled, made.nodes, hierarchy)
    if made.overrides.height:
        gaps = gaps.join(override_words(made.overrides), on=list(_ROW), how="left", maintain_order="left")
    events = events_ahead(history, horizon)
    of_run = explanation_context(
        history, features, hierarchy, artifact, horizon, made.base, gaps, plan=None, events=events
    )
    return ToldFacts(
        replace(of_run, longest_days=of_run.longest_history_days),
        tuple(artifact.recurring_events),
        pl.DataFrame(schema=EVENTS.schema) if events is None else events,
        history.membership("store_hierarchy"),
    )


def _matrix(units: pl.Series, run: RunKey) -> Millionths:
    return from_units(units).reshape(-1, run.forecast_horizon)
