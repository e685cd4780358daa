"""Two published runs, prepared to be asked about few of their series: what all series say together is worked out once.

What belongs here: what is kept of a pair, and a pair of few series made from it. What does not: sharing differences out
(`attributing`), which is the same for few series as for all.

Of all series a pair would hold every share of every driver, for each of up to 64 coalitions: gigabytes for 50,000
series. Kept is what every coalition is put together from, forecasts and what stock status says with each mix of inputs,
as narrow whole numbers. Few series are read off it; what follows from corrections and stock is computed when it is
asked for, by the code of every run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from forecast_assets.contracts import FORECAST_EXPLANATIONS, STOCKOUT_RISKS
from forecast_assets.core.arrays import Rows
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import RunKey, StoreSku
from forecast_assets.core.quantities import from_units
from forecast_assets.features.panel import Panel
from forecast_assets.history import History
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.family import ModelFamily
from forecast_assets.operations.attributing import (
    RunPair,
    causes_between,
    code_causes_of,
    inputs_asked,
    sampled_futures,
    sold_columns,
)
from forecast_assets.operations.common_rows import CommonRows
from forecast_assets.operations.compared_run import DRIVERS, ComparedRun
from forecast_assets.operations.mixed_base import MixedBase
from forecast_assets.operations.mixed_forecasts import Inputs, MixedForecasts, Side
from forecast_assets.operations.mixed_risks import MixedRisks
from forecast_assets.operations.reading import ReadRows
from forecast_assets.stockout_risk.assessing import StatusDays
from forecast_assets.stockout_risk.inventory import Supply
from resources.ledger.entries.publish import Publication
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores


@dataclass(frozen=True)
class PairSide:
    """What is kept of one of the two runs, of n series.

    Attributes:
        publication: Its entry of the ledger.
        snapshot: The snapshot that it was made from.
        features: The snapshot's rows.
        family: Of its version.
        artifact: Of its version.
        artifact_hash: Of the artifact's manifest.
        given: What it was given from outside; None where its family forecasts by itself.
        panel: As its own version read it.
        supply: Stock, terms and open orders.
    """

    publication: Publication
    snapshot: ProductVersion
    features: pl.DataFrame
    family: ModelFamily[Any]
    artifact: Artifact
    artifact_hash: str
    given: ProductVersion | None
    panel: Panel
    supply: Supply

    @classmethod
    def of(cls, run: ComparedRun, panel: Panel, supply: Supply) -> "PairSide":
        """Keep what questions about few series need of a run."""
        return cls(
            run.publication, run.snapshot, run.features, run.family, run.artifact, run.artifact_hash, run.given, panel,
            supply,
        )  # fmt: skip

    def few(self, stores: Stores, rows: Rows, told: pl.DataFrame) -> ComparedRun:
        """Return the run of some of its series.

        Args:
            stores: Where the observations behind it are.
            rows: [k] which.
            told: Their published explanations.
        """
        horizon = self.publication.key.forecast_horizon
        drivers = [from_units(told[name]).reshape(-1, horizon) for name in DRIVERS]
        return ComparedRun(
            publication=self.publication,
            snapshot=self.snapshot,
            history=History.of(self.snapshot, stores.observations),
            features=self.features[rows],
            family=self.family,
            artifact=self.artifact,
            artifact_hash=self.artifact_hash,
            given=self.given,
            given_rows=None,
            published=np.stack(drivers, axis=-1),
        )


@dataclass(frozen=True)
class MixOfInputs:
    """What is made of n series from inputs whose observations, plans and version are of either run.

    Attributes:
        base: Their base forecasts.
        status: What they are rated by of which no stock is known; None where no status is known either.
    """

    base: MixedBase
    status: StatusDays | None


@dataclass(frozen=True)
class PreparedPair:
    """Two published runs, to be asked about few of their series.

    Attributes:
        sides: What is kept of either run.
        common: Their N series and C days.
        causes: Names of what differs between them.
        mixes: What is made of all series, by whose observations, plans and model version.
        futures: Sampled futures of a series with a position, of either run.
        code_causes: What is not the same as when the runs were made.
    """

    sides: tuple[PairSide, PairSide]
    common: CommonRows
    causes: tuple[str, ...]
    mixes: Mapping[Inputs, MixOfInputs]
    futures: tuple[int, int]
    code_causes: tuple[str, ...]

    @classmethod
    def of(cls, stores: Stores, before: RunKey, after: RunKey, *, workers: int | None = None) -> "PreparedPair":
        """Forecast two runs with inputs of either, and keep what few series are shared out by.

        Args:
            stores: Where everything is.
            before: The first run.
            after: The second.
            workers: Threads and processes; all cores if left out.

        Raises:
            InputError: If they have no row in common.
            NotPublishedError: If one of them is not published.
            ChangedFileError: If stored bytes changed.
        """
        runs = ComparedRun.of(stores, before), ComparedRun.of(stores, after)
        common = CommonRows.of((before, after), (runs[0].series, runs[1].series))
        mixed = MixedForecasts(runs, common, workers)
        causes, risks = causes_between(mixed), MixedRisks(mixed, sampled_futures(stores, runs))
        asked = dict.fromkeys(mixed.effective(inputs) for inputs in inputs_asked(causes))
        sides = [PairSide.of(run, mixed.panel(side), mixed.supplies[side]) for side, run in enumerate(runs)]
        return cls(
            (sides[0], sides[1]),
            common,
            causes,
            {inputs: _mix(risks, inputs) for inputs in asked},
            risks.paths,
            code_causes_of(stores, runs),
        )

    @cached_property
    def places(self) -> Mapping[StoreSku, int]:
        """Place of each common series, by store and SKU."""
        return {series: place for place, series in enumerate(self.common.series.iter_rows())}

    def features(self, store_id: str, sku_id: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the row of a series in the snapshots of either run.

        Raises:
            InputError: If the runs do not both have the series.
        """
        place = self._place(store_id, sku_id)
        first, second = (side.features[rows[[place]]] for side, rows in zip(self.sides, self.common.rows, strict=True))
        return first, second

    def of_series(self, stores: Stores, read: ReadRows, store_id: str, sku_id: str) -> RunPair:
        """Forecast a series again with inputs of either run, and share its differences out.

        Args:
            stores: Where everything is.
            read: Returns what is published of few series.
            store_id: Store.
            sku_id: SKU.

        Raises:
            InputError: If the runs do not both have the series.
        """
        place = self._place(store_id, sku_id)
        rows = [each[[place]] for each in self.common.rows]
        runs, sold = [], []
        for side, own in zip(self.sides, rows, strict=True):
            told, risks = (
                read(side.publication, product.name, [(store_id, sku_id)]).collect()
                for product in (FORECAST_EXPLANATIONS, STOCKOUT_RISKS)
            )
            runs.append(side.few(stores, own, told))
            sold.append(sold_columns(told, risks))
        first = np.zeros(1, dtype=np.intp)
        common = replace(self.common, series=self.common.series[[place]], rows=(first, first))
        few = (rows[0], rows[1])
        mixed = _FewForecasts((runs[0], runs[1]), common, 1, pair=self, places=few)
        return RunPair.of_few(
            _FewRisks(mixed, self.futures, pair=self, places=few), self.causes, (sold[0], sold[1]), self.code_causes
        )

    def _place(self, store_id: str, sku_id: str) -> int:
        place = self.places.get((store_id, sku_id))
        if place is None:
            keys = [side.publication.key for side in self.sides]
            raise InputError(
                f"{keys[0]} and {keys[1]} have no common row of {store_id}, {sku_id}.",
                remedy="Name a series of both runs: store and SKU as in their forecasts.",
            )
        return place


def _mix(risks: MixedRisks, inputs: Inputs) -> MixOfInputs:
    """Forecast all series from a mix of inputs, and keep what is asked of few."""
    base, status = risks.mixed.base(inputs), risks.status(inputs)
    return MixOfInputs(replace(base, lost_share=None), None if status is None else status.narrowed())


@dataclass
class _FewForecasts(MixedForecasts):
    """Forecasts of few series, read off those of all.

    Attributes:
        pair: What is kept of all series.
        places: [k] places of the series in either run.
    """

    pair: PreparedPair = field(kw_only=True)
    places: tuple[Rows, Rows] = field(kw_only=True)

    def panel(self, side: Side) -> Panel:
        """Return the panel of a run, as its own version read it."""
        return self.pair.sides[side].panel.take(self.places[side])

    @cached_property
    def supplies(self) -> tuple[Supply, Supply]:
        """Stock, terms and open orders of the series in either run."""
        first, second = (side.supply.take(own) for side, own in zip(self.pair.sides, self.places, strict=True))
        return first, second

    def _forecast(self, inputs: Inputs) -> MixedBase:
        return self.pair.mixes[inputs].base.take(self.places[inputs[0]])


@dataclass
class _FewRisks(MixedRisks):
    """Risks of few series, of which what stock status says is read off that of all.

    Attributes:
        pair: What is kept of all series.
        places: [k] places of the series in either run.
    """

    pair: PreparedPair = field(kw_only=True)
    places: tuple[Rows, Rows] = field(kw_only=True)

    def _status(self, inputs: Inputs) -> StatusDays | None:
        found = self.pair.mixes[inputs].status
        return None if found is None else found.take(self.places[inputs[0]])
