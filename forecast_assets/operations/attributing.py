"""Why numbers of two published runs differ: the whole difference of every common row, shared out among causes.

What belongs here: which causes there are, what the figures would be with each set of them, and shares that add up to
the last decimal. What does not: the arithmetic of shares (`attribution`), forecasting, or words.

A cause is a group of inputs that may be the first run's or the second's. A coalition of causes is valued by forecasting
with the second run's inputs where it holds them, by the code of every run. What replays of both runs differ by from
what was published is what a change of code did, and is told apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.attribution.shapley import shapley
from forecast_assets.contracts import FORECAST_EXPLANATIONS, STOCKOUT_RISKS
from forecast_assets.core.keys import RunKey
from forecast_assets.core.progress import Progress, silent
from forecast_assets.core.quantities import UNITS, Millionths, from_units
from forecast_assets.operations.attribution import (
    CODE,
    MODEL,
    OBSERVATIONS,
    OBSERVATIONS_AND_MODEL,
    OVERRIDE,
    PLANS,
    RECONCILIATION,
    STOCK,
    AttributedFigure,
    Attribution,
)
from forecast_assets.operations.common_rows import CommonRows
from forecast_assets.operations.compared_run import OF_BASE, ComparedRun
from forecast_assets.operations.differences import causes_of
from forecast_assets.operations.input_differences import input_differences
from forecast_assets.operations.mixed_forecasts import Inputs, MixedForecasts
from forecast_assets.operations.mixed_risks import MixedRisks, RowRisks
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.replaying import recorded_products
from forecast_assets.reconciliation.reconciling import carried_over
from forecast_assets.stockout_risk.inventory import DEFAULT_PATHS
from resources.stores.home import Stores

# Series whose coalitions are valued at a time: some tens of megabytes each.
_BLOCK: Final = 500
_SALES, _RISK = "expected_sales_units", "stockout_probability"
_FORECASTS: Final = "forecast with inputs of both runs"


def attribute_runs(
    stores: Stores,
    before: RunKey,
    after: RunKey,
    *,
    workers: int | None = None,
    progress: Progress = silent,
) -> Attribution:
    """Say why two published runs differ, row by row: see `RunPair`."""
    return RunPair.of(stores, before, after, workers=workers, progress=progress).attribution


@dataclass(frozen=True)
class RunPair:
    """Two published runs, forecast with inputs of either, to be asked why their numbers differ.

    Attributes:
        attribution: Differences of all common forecasts, by cause.
        risks: What answers for expected sales and risks.
        sold: Published `expected_sales_units` and `stockout_probability` of either run, rows in order.
    """

    attribution: Attribution
    risks: MixedRisks
    sold: tuple[pl.DataFrame, pl.DataFrame]

    @classmethod
    def of(
        cls,
        stores: Stores,
        before: RunKey,
        after: RunKey,
        *,
        workers: int | None = None,
        progress: Progress = silent,
    ) -> "RunPair":
        """Forecast with inputs of both.

        They may be of different dates, versions, horizons, cadences and revisions; rows are of the same series and
        target day.

        Args:
            stores: Where everything is.
            before: The first run.
            after: The second.
            workers: Threads and processes; all cores if left out.
            progress: Called with the stage, forecasts done and forecasts in all.

        Raises:
            InputError: If they have no row in common.
            NotPublishedError: If one of them is not published.
            ChangedFileError: If stored bytes changed.
        """
        runs = ComparedRun.of(stores, before), ComparedRun.of(stores, after)
        common = CommonRows.of((before, after), (runs[0].series, runs[1].series))
        mixed, ends = MixedForecasts(runs, common, workers), _Ends.of(runs, common)
        sold = [_sold(stores, run) for run in runs]
        risks = MixedRisks(mixed, sampled_futures(stores, runs))
        return cls._of(risks, ends, causes_between(mixed), (sold[0], sold[1]), code_causes_of(stores, runs), progress)

    @classmethod
    def of_few(
        cls,
        risks: MixedRisks,
        causes: Sequence[str],
        sold: tuple[pl.DataFrame, pl.DataFrame],
        code_causes: tuple[str, ...],
    ) -> "RunPair":
        """Return a pair of few series, of runs whose causes are known.

        Args:
            risks: What answers for their forecasts and risks.
            causes: Names of what differs between the runs.
            sold: As `sold`, of these series.
            code_causes: What is not the same as when the runs were made.
        """
        return cls._of(risks, _Ends.of(risks.mixed.runs, risks.mixed.common), causes, sold, code_causes, silent)

    @classmethod
    def _of(
        cls,
        risks: MixedRisks,
        ends: "_Ends",
        causes: Sequence[str],
        sold: tuple[pl.DataFrame, pl.DataFrame],
        code_causes: tuple[str, ...],
        progress: Progress,
    ) -> "RunPair":
        mixed, runs, common = risks.mixed, risks.mixed.runs, risks.mixed.common
        values = _Coalitions(_forecasts(mixed, causes, progress), ends, tuple(causes))
        blocks = [slice(at, at + _BLOCK) for at in range(0, common.series.height, _BLOCK)]
        attribution = Attribution(
            runs[0].publication,
            runs[1].publication,
            common,
            (*causes, CODE),
            ends.published,
            np.concatenate([values.shared_out(block) for block in blocks], axis=1),
            input_differences((mixed.panel(0), mixed.panel(1)), mixed),
            code_causes,
        )
        return cls(attribution, risks, sold)

    def figures(self, *, store_id: str, sku_id: str, day: date | None = None) -> Mapping[str, AttributedFigure]:
        """Share differences of expected sales of one series out, of one day or all, and of a day's risk.

        Args:
            store_id: Store.
            sku_id: SKU.
            day: Target day; None for all, of which only sales add up.

        Returns:
            By name: `expected_sales_units` and, of a day whose risk both know, `stockout_probability`.

        Raises:
            InputError: If the runs have no such row in common.
        """
        common = self.attribution.common
        place = self.attribution.place(store_id, sku_id)
        days = [at for at, each in enumerate(common.days) if day in (None, each)]
        causes = self._risk_causes
        made = self._coalitions(causes, place)
        sales = np.array([int(each.sales[0, days].sum()) for each in made])
        found = {_SALES: self._figure(causes, sales, _SALES, place, days)}
        if len(days) == 1 and all(each.is_known[0, days].all() for each in made):
            risks = np.array([int(each.probability[0, days].sum()) for each in made])
            found[_RISK] = self._figure(causes, risks, _RISK, place, days)
        return found

    @property
    def _risk_causes(self) -> tuple[str, ...]:
        causes = self.attribution.causes[:-1]
        return (*causes, STOCK) if self.risks.has_other_stock else causes

    def _coalitions(self, causes: Sequence[str], place: int) -> list[RowRisks]:
        """Assess one series for every coalition, those of the same forecast at once."""
        asked = [
            (
                _inputs(causes, each),
                (_held(causes, each, STOCK), _held(causes, each, RECONCILIATION), _held(causes, each, OVERRIDE)),
            )
            for each in range(2 ** len(causes))
        ]
        made = {
            inputs: self.risks.of(inputs, [variant for each, variant in asked if each == inputs], np.array([place]))
            for inputs in dict.fromkeys(each for each, _ in asked)
        }
        return [made[inputs][variant] for inputs, variant in asked]

    def _figure(
        self, causes: Sequence[str], values: Millionths, name: str, place: int, days: Sequence[int]
    ) -> AttributedFigure:
        common = self.attribution.common
        before, after = (
            int(from_units(self.sold[side][name].fill_null(0).cast(UNITS)).reshape(
                -1, self.risks.mixed.runs[side].key.forecast_horizon
            )[common.rows[side][place], common.columns[side][list(days)]].sum())
            for side in (0, 1)
        )  # fmt: skip
        shares = shapley(causes, values)
        code = (after - before) - int(values[-1] - values[0])
        return AttributedFigure.of(before, after, (*causes, CODE), np.array([*shares, code], dtype=np.int64))


def _sold(stores: Stores, run: ComparedRun) -> pl.DataFrame:
    told, risks = (
        read_product(stores, run.publication, product.name) for product in (FORECAST_EXPLANATIONS, STOCKOUT_RISKS)
    )
    return sold_columns(told, risks)


def sold_columns(told: pl.DataFrame, risks: pl.DataFrame) -> pl.DataFrame:
    """Return `RunPair.sold` of published rows: contract `forecast_explanations`, and `stockout_risks` of the same."""
    return pl.concat([told.select(_SALES), risks.select(_RISK)], how="horizontal")


def sampled_futures(stores: Stores, runs: Sequence[ComparedRun]) -> tuple[int, int]:
    """Return how many futures of a series with a position either run sampled."""
    first, second = (
        recorded_products(stores, run.publication)["stockout_risks"].facts.get("risk_paths") or DEFAULT_PATHS
        for run in runs
    )
    return first, second


def code_causes_of(stores: Stores, runs: Sequence[ComparedRun]) -> tuple[str, ...]:
    """Return what is not the same as when two runs were made, such as the code, in words."""
    found = [
        cause
        for run in runs
        for cause in causes_of([recorded_products(stores, run.publication)["base_forecasts"]], run.publication.cpu, ())
    ]
    return tuple(dict.fromkeys(found))


# --- causes ---


@dataclass(frozen=True)
class _Ends:
    """What both runs published of the common rows.

    Attributes:
        published: [N, C, drivers] of either.
        base: [N, C] base forecasts of either.
        reconciled: [N, C] what they were reconciled to.
    """

    published: tuple[Millionths, Millionths]
    base: tuple[Millionths, Millionths]
    reconciled: tuple[Millionths, Millionths]

    @classmethod
    def of(cls, runs: tuple[ComparedRun, ComparedRun], common: CommonRows) -> "_Ends":
        first, second = (
            run.published[np.ix_(common.rows[side], common.columns[side])] for side, run in enumerate(runs)
        )
        both = (first, second)
        base, reconciled = (
            tuple(np.asarray(each[..., :end].sum(axis=-1)) for each in both) for end in (OF_BASE, OF_BASE + 1)
        )
        return cls(both, (base[0], base[1]), (reconciled[0], reconciled[1]))

    @property
    def has_other_reconciliation(self) -> bool:
        first, second = (after - before for before, after in zip(self.base, self.reconciled, strict=True))
        if not (first.any() or second.any()):
            return False
        # A correction is carried over by how far levels are apart.
        levels = [before.mean(axis=1) for before in self.base]
        return not (np.array_equal(first, second) and np.array_equal(levels[0], levels[1]))

    @property
    def has_override(self) -> bool:
        return any(each[..., -1].any() for each in self.published)


def causes_between(mixed: MixedForecasts) -> tuple[str, ...]:
    """Return the names of what differs between two runs, in the order in which a forecast comes about."""
    return _causes(mixed, _Ends.of(mixed.runs, mixed.common))


def _causes(mixed: MixedForecasts, ends: _Ends) -> tuple[str, ...]:
    observations, model = mixed.has_other_observations, mixed.has_other_model
    joined = observations and model and not mixed.model_reaches_other_observations
    there = {
        OBSERVATIONS: observations and not joined,
        PLANS: mixed.has_other_plans,
        MODEL: model and not joined,
        OBSERVATIONS_AND_MODEL: joined,
        RECONCILIATION: ends.has_other_reconciliation,
        OVERRIDE: ends.has_override,
    }
    return tuple(name for name, differs in there.items() if differs)


def _held(causes: Sequence[str], coalition: int, *names: str) -> int:
    """Whether a coalition holds one of some causes: 1 for the second run's inputs."""
    return int(any(coalition >> at & 1 for at, name in enumerate(causes) if name in names))


def inputs_asked(causes: Sequence[str]) -> list[Inputs]:
    """Return whose observations, plans and model version all coalitions of causes have, each once."""
    return sorted({_inputs(causes, coalition) for coalition in range(2 ** len(causes))})


def _inputs(causes: Sequence[str], coalition: int) -> Inputs:
    """Whose observations, plans and model version a coalition has."""
    return (
        _held(causes, coalition, OBSERVATIONS, OBSERVATIONS_AND_MODEL),
        _held(causes, coalition, PLANS),
        _held(causes, coalition, MODEL, OBSERVATIONS_AND_MODEL),
    )


def _forecasts(mixed: MixedForecasts, causes: Sequence[str], progress: Progress) -> Mapping[Inputs, Millionths]:
    asked, made = inputs_asked(causes), {}
    for at, inputs in enumerate(asked):
        progress(_FORECASTS, at, len(asked))
        made[inputs] = mixed.forecast(inputs)
    progress(_FORECASTS, len(asked), len(asked))
    return made


# --- values and shares ---


@dataclass(frozen=True)
class _Coalitions:
    """What forecasts would be made of, for every coalition of causes.

    Attributes:
        forecasts: [N, C, components] by whose observations, plans and model version.
        ends: What was published.
        causes: Names; bit i of a coalition stands for cause i.
    """

    forecasts: Mapping[Inputs, Millionths]
    ends: _Ends
    causes: tuple[str, ...]

    def shared_out(self, block: slice) -> Millionths:
        """[causes and code, N, C, drivers] shares of some series."""
        values = np.stack([self._of(coalition, block) for coalition in range(2 ** len(self.causes))])
        published = self.ends.published[1][block] - self.ends.published[0][block]
        code = published - (values[-1] - values[0])
        return np.concatenate([shapley(self.causes, values), code[None]])

    def _of(self, coalition: int, block: slice) -> Millionths:
        """[N, C, drivers] a forecast with the second run's inputs where the coalition holds them."""
        parts = self.forecasts[_inputs(self.causes, coalition)][block]
        base, side = parts.sum(axis=-1), _held(self.causes, coalition, RECONCILIATION)
        reconciled = carried_over(base, self.ends.base[side][block], self.ends.reconciled[side][block])
        override = self.ends.published[_held(self.causes, coalition, OVERRIDE)][block][..., -1]
        return np.concatenate([parts, (reconciled - base)[..., None], override[..., None]], axis=-1)
