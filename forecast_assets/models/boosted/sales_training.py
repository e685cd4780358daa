"""Training the trees for sales, on the days that followed the latest cutoffs.

What belongs here: which days they learn from, what each model of the average is fitted to, and the average. What does
not: what the trees see, how they forecast, or demand.

Sales follow habits that change: how shelves are filled, how the season goes. So the latest cutoffs count most, those of
the last days with the steps that are known by now.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from forecast_assets.core.arrays import Bools, Floats, InputMatrix, Ints, Rows
from forecast_assets.models.boosted.inputs import CutoffInputs, InputSpec, TreePanel
from forecast_assets.models.boosted.sales import LIKE_DAYS, LOG, RATIO, STRUCTURE, SalesModel, SalesTrees, level_of
from forecast_assets.models.boosted.sales_inputs import SALES_INPUTS, SalesCutoff
from forecast_assets.models.boosted.trees import TreeRows, Trees

# Rows that all models are fitted to.
_MOST_ROWS: Final = 400_000
# Cutoffs count half as much every so many horizons back, and none counts that is so many of these half-lives old.
_HALF_LIFE_HORIZONS: Final = 0.7
_OLDEST_HALF_LIVES: Final = 6
_LEAST_DAYS: Final = 14
_MOST_STEPS: Final = 14
_STARTS: Final = (LIKE_DAYS, STRUCTURE)
_ROUNDS: Final = 80
# Series' worth of sales at their level that what all sold on a day is drawn towards.
_GROWTH_PRIOR_SERIES: Final = 50.0
_TWEEDIE: Final[Mapping[str, Any]] = {"objective": "tweedie", "tweedie_variance_power": 1.5}
_L1: Final[Mapping[str, Any]] = {"objective": "l1"}
_PARAMETERS: Final[Mapping[str, Any]] = {"learning_rate": 0.1, "min_data_in_leaf": 200, "feature_fraction": 0.4}
# What is averaged, with equal weights: link, what it starts from, and whether the growth of all is learned.
_MEMBERS: Final[tuple[tuple[str, str, bool], ...]] = (
    (LOG, LIKE_DAYS, True),
    (LOG, STRUCTURE, True),
    (RATIO, LIKE_DAYS, True),
    (RATIO, LIKE_DAYS, False),
)


@dataclass(frozen=True)
class _SalesExamples:
    """Days ahead of past cutoffs, k of them.

    Attributes:
        inputs: [k, f].
        levels: [2, k] units that each day starts from, in the order of `_STARTS`.
        sales: [k] units.
        day: [k] number of each pair of cutoff and day.
        is_steady: [k] whether the series sold on nearly all days before.
    """

    inputs: InputMatrix
    levels: Floats
    sales: Floats
    day: Ints
    is_steady: Bools


def growth(sales: Floats, level: Floats, day: Ints) -> Floats:
    """[k] What all series sold on a day over their levels of a cutoff, drawn towards 1.

    Args:
        sales: [k] units.
        level: [k] units.
        day: [k] number of each pair of cutoff and day.

    Example:
        >>> growth(np.array([30.0, 30.0, 5.0]), np.array([10.0, 10.0, 10.0]), np.array([0, 0, 1])).round(3).tolist()
        [1.077, 1.077, 0.99]
    """
    few = _GROWTH_PRIOR_SERIES * float(level.mean())
    sold, expected = (np.bincount(day, units) + few for units in (sales, level))
    return np.asarray((sold / expected)[day])


def fit_sales(
    record: TreePanel,
    demand_inputs: tuple[InputSpec, ...],
    is_live: Callable[[CutoffInputs], Bools],
    horizon: int,
    *,
    categorical: tuple[str, ...] = (),
    grown: Callable[[int], None] = lambda _done: None,
    workers: int | None = None,
) -> SalesModel | None:
    """Fit every model of sales.

    Args:
        record: n series.
        demand_inputs: What they look at first.
        is_live: Returns [n] which series would have been forecast at a cutoff.
        horizon: Days ahead.
        categorical: Names of inputs whose values are categories.
        grown: Called with trees done, of ``rounds()``.
        workers: Threads; all cores if left out.

    Returns:
        None where no day with known stock status sold anything, or none was without stock for a while.
    """
    examples = _examples(record, demand_inputs, is_live, horizon)
    if examples is None:
        return None
    rows = TreeRows.of(
        examples.inputs,
        names=[spec.name for spec in (*demand_inputs, *SALES_INPUTS)],
        categorical=categorical,
        workers=workers,
    )
    drivers = tuple(spec.driver for spec in (*demand_inputs, *SALES_INPUTS))
    members = []
    for number, (link, start, follows_growth) in enumerate(_members(examples)):
        level = examples.levels[_STARTS.index(start)]
        common = 1.0 if follows_growth else growth(examples.sales, level, examples.day)
        fit = _FITS[link](rows, examples, level, examples.sales / common, partial(_grown_from, grown, number))
        trees = Trees(fit.text, fit.start, drivers)
        members.append(SalesTrees(link, start, follows_growth, 1.0, 1.0, trees))
        if link == RATIO:
            members[-1] = _brought_to_mean(members[-1], examples, level, examples.sales / common)
    return SalesModel(SALES_INPUTS, tuple(replace(member, weight=1.0 / len(members)) for member in members))


def _members(examples: _SalesExamples) -> list[tuple[str, str, bool]]:
    """Models that there is something to learn for: medians only where some series sell on most days."""
    steady_sales = float(examples.sales[examples.is_steady].sum())
    return [member for member in _MEMBERS if member[0] != RATIO or steady_sales > 0.0]


def _brought_to_mean(member: SalesTrees, examples: _SalesExamples, level: Floats, sales: Floats) -> SalesTrees:
    """Scale a model of medians so that all that it learned from adds up."""
    few = examples.is_steady
    median = float(member.units(level[few], examples.inputs[few]).sum())
    return replace(member, scale=float(sales[few].sum()) / median) if median > 0.0 else member


def _grown_from(grown: Callable[[int], None], number: int, done: int) -> None:
    grown(number * _ROUNDS + done)


def sales_rounds() -> int:
    """Return the trees that `fit_sales` grows."""
    return _ROUNDS * len(_MEMBERS)


@dataclass(frozen=True)
class _Fit:
    text: str
    start: float


def _fit_log(
    rows: TreeRows, _examples: _SalesExamples, level: Floats, sales: Floats, grown: Callable[[int], None]
) -> _Fit:
    """Tweedie deviance of sales with the logarithm of the level as offset, in units of the mean sale."""
    scale = float(sales.mean())
    start = float(np.log(sales.sum() / level.sum()))
    offset = np.log(level / scale) + start
    return _Fit(rows.grow(sales / scale, offset, {**_PARAMETERS, **_TWEEDIE}, rounds=_ROUNDS, progress=grown), start)


def _fit_ratio(
    rows: TreeRows, examples: _SalesExamples, level: Floats, sales: Floats, grown: Callable[[int], None]
) -> _Fit:
    """Absolute error in units, of the ratio to the level, of series that sell on most days."""
    ratios, first = sales / level, np.ones(len(level))
    weights = examples.is_steady * level / level.mean()
    return _Fit(rows.grow(ratios, first, {**_PARAMETERS, **_L1}, rounds=_ROUNDS, weights=weights, progress=grown), 1.0)


_FITS: Final[Mapping[str, Callable[..., _Fit]]] = {LOG: _fit_log, RATIO: _fit_ratio}


def _examples(
    record: TreePanel, demand_inputs: tuple[InputSpec, ...], is_live: Callable[[CutoffInputs], Bools], horizon: int
) -> _SalesExamples | None:
    status = record.panel.out_of_stock_share
    if not (status > 0).any():
        return None
    parts = []
    for number, (origin, targets, every_row) in enumerate(_cutoffs(record, horizon)):
        rows = np.arange(number % every_row, len(record.units), every_row)
        parts.append(_examples_of(record, demand_inputs, is_live, rows, origin, targets))
    # The last axis of each array is that of examples, but for inputs, which have one more.
    found = _SalesExamples(
        np.concatenate([part.inputs for part in parts]),
        *(
            np.concatenate([getattr(part, name) for part in parts], axis=-1)
            for name in ("levels", "sales", "day", "is_steady")
        ),
    )
    return found if found.sales.any() else None


def _cutoffs(record: TreePanel, horizon: int) -> list[tuple[int, Rows, int]]:
    """Past cutoffs with the days ahead that are known by now, and of how many series one is taken: fewer of older."""
    days = record.panel.history_days
    half_life = _HALF_LIFE_HORIZONS * horizon
    first = max(days - 2 - int(_OLDEST_HALF_LIVES * half_life), min(2 * _LEAST_DAYS, days // 2), _LEAST_DAYS)
    origins = np.arange(min(first, days - 2), days - 1, dtype=np.intp)
    every_step = -(-horizon // _MOST_STEPS)
    targets = [
        np.arange(origin + 1 + number % every_step, min(origin + horizon, days - 1) + 1, every_step)
        for number, origin in enumerate(origins.tolist())
    ]
    # Where steps are left out, the last days of the record may have none.
    share = 0.5 ** ((days - 2 - origins) / half_life)
    wanted = float((share * [len(each) for each in targets]).sum()) * len(record.units)
    every_row = np.ceil(max(wanted / _MOST_ROWS, 1.0) / share).astype(int)
    return [
        (int(origin), each, int(every))
        for origin, each, every in zip(origins, targets, every_row, strict=True)
        if len(each)
    ]


def _examples_of(
    record: TreePanel,
    demand_inputs: tuple[InputSpec, ...],
    is_live: Callable[[CutoffInputs], Bools],
    rows: Rows,
    origin: int,
    targets: npt.NDArray[np.intp],
) -> _SalesExamples:
    cutoff = CutoffInputs(record, origin, targets)
    rows = rows[is_live(cutoff)[rows]]
    view = SalesCutoff(cutoff).view(rows)
    cells = rows[:, None], targets
    is_told = (record.is_known[cells] & ~np.isnan(record.panel.out_of_stock_share[cells])).ravel()
    inputs = np.concatenate([cutoff.inputs(demand_inputs, rows), view.inputs(SALES_INPUTS)], axis=1)
    days = origin * record.panel.history_days + np.broadcast_to(targets, view.level.shape)
    return _SalesExamples(
        inputs[is_told],
        np.stack([level_of(view, start)[is_told] for start in _STARTS]),
        np.nan_to_num(record.panel.sales[cells]).ravel()[is_told],
        days.ravel()[is_told].astype(np.int64),
        np.repeat(view.is_steady, len(targets))[is_told],
    )
