"""Training the trees for sales, on the days that followed the latest cutoffs.

What belongs here: which days they learn from, what each model of the average is fitted to, and the average. What does
not: what the trees see, how they forecast, or demand.

Sales follow habits that change: how shelves are filled, how the season goes. So the latest cutoffs count most, those of
the last days with the steps that are known by now.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from forecast_assets.core.arrays import Bools, Floats, InputMatrix, Ints, Rows
from forecast_assets.core.numbering import number_pairs
from forecast_assets.models.boosted.inputs import CutoffInputs, InputSpec, TreePanel
from forecast_assets.models.boosted.sales import LIKE_DAYS, LOG, RATIO, SalesModel, SalesTrees, level_of
from forecast_assets.models.boosted.sales_inputs import SALES_INPUTS, SalesCutoff
from forecast_assets.models.boosted.trees import GrownTrees, TreeRows, Trees

# Rows that all models are fitted to.
_MOST_ROWS: Final = 200_000
# Cutoffs count half as much every so many horizons back, and none counts that is so many of these half-lives old.
_HALF_LIFE_HORIZONS: Final = 0.7
_OLDEST_HALF_LIVES: Final = 6
_LEAST_DAYS: Final = 14
_MOST_STEPS: Final = 14
_ROUNDS: Final = 80
# Series' worth of sales as all did that what a store sold on a day is drawn towards.
_GROWTH_PRIOR_SERIES: Final = 50.0
_TWEEDIE: Final[Mapping[str, Any]] = {"objective": "tweedie", "tweedie_variance_power": 1.5}
_L1: Final[Mapping[str, Any]] = {"objective": "l1"}
_PARAMETERS: Final[Mapping[str, Any]] = {"learning_rate": 0.1, "min_data_in_leaf": 200, "feature_fraction": 0.4}


class _Member(NamedTuple):
    """What distinguishes a model of the average: see `SalesTrees`."""

    link: str
    follows_store_days: bool


# What is averaged, with equal weights.
_MEMBERS: Final = (
    _Member(LOG, follows_store_days=True),
    _Member(RATIO, follows_store_days=True),
    _Member(LOG, follows_store_days=False),
    _Member(RATIO, follows_store_days=False),
)


@dataclass(frozen=True)
class _SalesExamples:
    """Days ahead of past cutoffs, k of them.

    Attributes:
        inputs: [k, f].
        level: [k] units that each day starts from.
        sales: [k] units.
        day: [k] number of each pair of cutoff and day.
        store: [k] number of the store.
        is_steady: [k] whether the series sold on nearly all days before.
    """

    inputs: InputMatrix
    level: Floats
    sales: Floats
    day: Ints
    store: Ints
    is_steady: Bools


def growth_of_stores(sales: Floats, level: Floats, day: Ints, store: Ints) -> Floats:
    """[k] What the series of a store sold on a day over their levels of a cutoff, over what all did; drawn towards 1.

    Args:
        sales: [k] units.
        level: [k] units.
        day: [k] number of each pair of cutoff and day.
        store: [k] number of the store.

    Example:
        >>> sales, level, day, store = np.full(400, 3.0), np.full(400, 1.0), np.repeat(0, 400), np.repeat([0, 1], 200)
        >>> sales[store == 1] = 1.0
        >>> growth_of_stores(sales, level, day, store)[[0, -1]].round(2).tolist()
        [1.4, 0.6]
    """
    sold_by_all, expected_of_all = (np.bincount(day, units)[day] for units in (sales, level))
    as_all = np.divide(sales * expected_of_all, sold_by_all, out=level.copy(), where=sold_by_all > 0)
    few = _GROWTH_PRIOR_SERIES * float(level.mean())
    place = number_pairs(day, store)
    sold, expected = (np.bincount(place, units) + few for units in (as_all, level))
    return np.asarray((sold / expected)[place])


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
    for number, (link, follows_store_days) in enumerate(_members(examples)):
        sales = examples.sales if follows_store_days else _without_store_days(examples)
        fit = _FITS[link](rows, examples, sales, partial(_grown_from, grown, number))
        scale = _scale_to_mean(examples, sales, fit.grown.fitted) if link == RATIO else 1.0
        trees = Trees(fit.grown.text, fit.start, drivers)
        members.append(SalesTrees(link, LIKE_DAYS, True, 1.0, scale, trees, follows_store_days))
    return SalesModel(SALES_INPUTS, tuple(replace(member, weight=1.0 / len(members)) for member in members))


def _without_store_days(examples: _SalesExamples) -> Floats:
    """[k] Sales without what the series of a store did together on a day beyond all series."""
    return np.asarray(examples.sales / growth_of_stores(examples.sales, examples.level, examples.day, examples.store))


def _members(examples: _SalesExamples) -> list[_Member]:
    """Models that there is something to learn for.

    Medians only where some series sell on most days; days of a store beside those of all only where there are several.
    """
    steady_sales, has_stores = float(examples.sales[examples.is_steady].sum()), bool(np.ptp(examples.store) > 0)
    return [
        member
        for member in _MEMBERS
        if (member.link != RATIO or steady_sales > 0.0) and (member.follows_store_days or has_stores)
    ]


def _scale_to_mean(examples: _SalesExamples, sales: Floats, ratios: Floats) -> float:
    """Return what brings medians [k], as ratios to the level, to the mean: all that they were learned from adds up."""
    few = examples.is_steady
    median = float((examples.level[few] * np.maximum(ratios[few], 0.0)).sum())
    return float(sales[few].sum()) / median if median > 0.0 else 1.0


def _grown_from(grown: Callable[[int], None], number: int, done: int) -> None:
    grown(number * _ROUNDS + done)


def sales_rounds() -> int:
    """Return the trees that `fit_sales` grows."""
    return _ROUNDS * len(_MEMBERS)


@dataclass(frozen=True)
class _Fit:
    grown: GrownTrees
    start: float


def _fit_log(rows: TreeRows, examples: _SalesExamples, sales: Floats, grown: Callable[[int], None]) -> _Fit:
    """Tweedie deviance of sales with the logarithm of the level as offset, in units of the mean sale."""
    level, scale = examples.level, float(sales.mean())
    start = float(np.log(sales.sum() / level.sum()))
    offset = np.log(level / scale) + start
    return _Fit(rows.grow(sales / scale, offset, {**_PARAMETERS, **_TWEEDIE}, rounds=_ROUNDS, progress=grown), start)


def _fit_ratio(rows: TreeRows, examples: _SalesExamples, sales: Floats, grown: Callable[[int], None]) -> _Fit:
    """Absolute error in units, of the ratio to the level, of series that sell on most days."""
    level = examples.level
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
            for name in ("level", "sales", "day", "store", "is_steady")
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
        level_of(view, LIKE_DAYS)[is_told],
        np.nan_to_num(record.panel.sales[cells]).ravel()[is_told],
        days.ravel()[is_told].astype(np.int64),
        np.repeat(record.relatives["store"][rows], len(targets))[is_told].astype(np.int64),
        np.repeat(view.is_steady, len(targets))[is_told],
    )
