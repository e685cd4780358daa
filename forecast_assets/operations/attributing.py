"""Why numbers of two published runs differ: the whole difference of every common row, shared out among causes.

What belongs here: which causes there are, what the figures would be with each set of them, and shares that add up to
the last decimal. What does not: the arithmetic of shares (`attribution`), forecasting, or words.

A cause is a group of inputs that may be the first run's or the second's. A coalition of causes is valued by forecasting
with the second run's inputs where it holds them, by the code of every run. What replays of both runs differ by from
what was published is what a change of code did, and is told apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.attribution.shapley import shapley
from forecast_assets.core.keys import RunKey
from forecast_assets.core.progress import Progress, silent
from forecast_assets.core.quantities import Millionths
from forecast_assets.operations.attribution import (
    CODE,
    MODEL,
    OBSERVATIONS,
    OBSERVATIONS_AND_MODEL,
    OVERRIDE,
    PLANS,
    RECONCILIATION,
    Attribution,
)
from forecast_assets.operations.common_rows import CommonRows
from forecast_assets.operations.compared_run import DRIVERS, OF_BASE, ComparedRun
from forecast_assets.operations.differences import causes_of
from forecast_assets.operations.input_differences import input_differences
from forecast_assets.operations.mixed_forecasts import MixedForecasts
from forecast_assets.operations.replaying import recorded_products
from forecast_assets.reconciliation.reconciling import carried_over
from resources.stores.home import Stores

# Series whose coalitions are valued at a time: some tens of megabytes each.
_BLOCK: Final = 500
_FORECASTS: Final = "forecast with inputs of both runs"


def attribute_runs(
    stores: Stores,
    before: RunKey,
    after: RunKey,
    *,
    workers: int | None = None,
    progress: Progress = silent,
) -> Attribution:
    """Say why two published runs differ, row by row.

    They may be of different dates, versions, horizons, cadences and revisions; rows are of the same series and target
    day.

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
    mixed = MixedForecasts(runs, common, workers)
    ends = _Ends.of(runs, common)
    causes = _causes(mixed, ends)
    _forecast_all(mixed, causes, progress)
    units = np.concatenate(
        [_shared_out(mixed, ends, causes, slice(at, at + _BLOCK)) for at in range(0, common.series.height, _BLOCK)],
        axis=1,
    )
    return Attribution(
        runs[0].publication,
        runs[1].publication,
        common,
        (*causes, CODE),
        ends.published,
        units,
        input_differences((mixed.panel(0), mixed.panel(1)), runs, common),
        _code_causes(stores, runs),
    )


def _code_causes(stores: Stores, runs: Sequence[ComparedRun]) -> tuple[str, ...]:
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


def _causes(mixed: MixedForecasts, ends: _Ends) -> tuple[str, ...]:
    """Names of what differs, in the order in which a forecast comes about."""
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


def _inputs(causes: Sequence[str], coalition: int) -> tuple[int, int, int]:
    """Whose observations, plans and model version a coalition has."""
    return (
        _held(causes, coalition, OBSERVATIONS, OBSERVATIONS_AND_MODEL),
        _held(causes, coalition, PLANS),
        _held(causes, coalition, MODEL, OBSERVATIONS_AND_MODEL),
    )


def _forecast_all(mixed: MixedForecasts, causes: Sequence[str], progress: Progress) -> None:
    asked = sorted({_inputs(causes, coalition) for coalition in range(2 ** len(causes))})
    for at, inputs in enumerate(asked):
        progress(_FORECASTS, at, len(asked))
        mixed.forecast(*inputs)
    progress(_FORECASTS, len(asked), len(asked))


# --- values and shares ---


def _shared_out(mixed: MixedForecasts, ends: _Ends, causes: Sequence[str], block: slice) -> Millionths:
    """[causes and code, N, C, drivers] shares of some series."""
    values = np.stack([_value(mixed, ends, causes, coalition, block) for coalition in range(2 ** len(causes))])
    published = ends.published[1][block] - ends.published[0][block]
    code = published - (values[-1] - values[0])
    return np.concatenate([shapley(causes, values), code[None]])


def _value(mixed: MixedForecasts, ends: _Ends, causes: Sequence[str], coalition: int, block: slice) -> Millionths:
    """[N, C, drivers] what the forecast would be made of with the second run's inputs where a coalition holds them."""
    parts = mixed.forecast(*_inputs(causes, coalition))[block]
    base = parts.sum(axis=-1)
    side = _held(causes, coalition, RECONCILIATION)
    reconciled = carried_over(base, ends.base[side][block], ends.reconciled[side][block])
    override = ends.published[_held(causes, coalition, OVERRIDE)][block][..., -1]
    value = np.concatenate([parts, (reconciled - base)[..., None], override[..., None]], axis=-1)
    assert value.shape[-1] == len(DRIVERS)
    return value
