"""Slips: single values that are far outside a series' own record, and that no estimate should rest on.

What belongs here: telling a mistyped quantity or price from what a series does. What does not: findings at the ingest,
or demand.

A value is held against the record without its largest hundredth: that a hundredfold quantity was typed once, or twice,
does not move what it is held against. What comes twice within a few days, or belongs to a hundredth of all days, is no
slip but what the series does now. A slip counts as not known: an estimate that only capped it would still be moved by
it, by as much as the cap. Of a series that sells on few days it is known that it sold: the usual quantity.
"""

from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.features.panel import Panel

# Share of the days, at least one, that may be slips.
_SLIPPED_SHARE: Final = 0.01
# How far beyond the rest of the record a value has to be: times its highest and its usual sale, or, of a series that
# varies little, times the distance between the two and the root of the usual sale, by which counts vary.
_TIMES_HIGHEST: Final = 3.0
_TIMES_USUAL: Final = 8.0
_TIMES_DISTANCE: Final = 2.0
_TIMES_ROOT: Final = 6.0
# A promotion or an event may lift sales by so much more than anything before it.
_TIMES_SPECIAL: Final = 2.0
_TIMES_PRICE: Final = 3.0
# Days with sales that a record holds at least, and above its mean what no limit is below.
_LEAST_SALES: Final = 8
_LEAST_TIMES: Final = 1.5
_NEARBY_DAYS: Final = 3
# Below this price over list, a day counts as reduced.
_REDUCED: Final = 0.95


def slipped_sales(panel: Panel) -> Bools:
    """[n, T] Single days whose sales are far beyond all else that the series sold.

    Args:
        panel: n series, T days of history.
    """
    sales = np.nan_to_num(panel.sales)
    out = np.zeros(sales.shape, dtype=np.bool_)
    sold = (sales > 0).sum(axis=1)
    largest = sales.max(axis=1, initial=0.0)
    others = (sales.sum(axis=1) - largest) / np.maximum(sold - 1, 1)
    # Most series have no day that far above their mean, which is less than any limit, and are not sorted.
    rows = np.flatnonzero((sold >= _LEAST_SALES) & (largest > _LEAST_TIMES * others))
    if len(rows):
        few = sales[rows]
        special = np.where(_is_special(panel)[rows], _TIMES_SPECIAL, 1.0)
        is_beyond = few > _limit(few, sold[rows])[:, None] * special
        out[rows] = is_beyond & ~_has_company(is_beyond)
    return out


def plausible_sales(panel: Panel) -> Floats:
    """[n, T] Sales without slips: not known, or of a series that sells on fewer than half of its days its median sale.

    Args:
        panel: n series, T days of history.
    """
    slips = slipped_sales(panel)
    rows = np.flatnonzero(slips.any(axis=1))
    if not len(rows):
        return panel.sales
    out, few = panel.sales.copy(), panel.sales[rows]
    sells_often = (few > 0).sum(axis=1) * 2 > (~np.isnan(few)).sum(axis=1)
    instead = np.where(sells_often, np.nan, np.nanmedian(np.where(few > 0, few, np.nan), axis=1))
    out[rows] = np.where(slips[rows], instead[:, None], few)
    return out


def plausible_prices(panel: Panel) -> Floats:
    """[n, T + H] Price ratios, with the series' usual one where a price is far outside of all that it ever was.

    Args:
        panel: n series, T days of history, H ahead.
    """
    ratios, past = panel.price_ratio, panel.price_ratio[:, : panel.history_days]
    spread = ratios.max(axis=1) > _TIMES_PRICE * ratios.min(axis=1)
    rows = np.flatnonzero(spread)
    if not len(rows):
        return ratios
    ordered = np.sort(past[rows], axis=1)
    left_out = _left_out(np.array(panel.history_days))
    lowest, highest = ordered[:, left_out], ordered[:, panel.history_days - 1 - left_out]
    few = ratios[rows]
    is_slip = (few < lowest[:, None] / _TIMES_PRICE) | (few > highest[:, None] * _TIMES_PRICE)
    out = ratios.copy()
    out[rows] = np.where(is_slip, np.median(past[rows], axis=1)[:, None], few)
    return out


def _left_out(count: np.typing.NDArray[np.int64]) -> np.typing.NDArray[np.int64]:
    """Values at an end of so many that may be slips."""
    return np.asarray(np.ceil(_SLIPPED_SHARE * count).astype(np.int64))


def _limit(sales: Floats, sold: np.typing.NDArray[np.int64]) -> Floats:
    """[k] Units that a single day is not believed beyond, from [k, T] sales with so many days above 0."""
    ordered, days = np.sort(sales, axis=1), sales.shape[1]
    row = np.arange(len(sales))
    highest = ordered[row, days - 1 - _left_out(sold)]
    usual = ordered[row, days - 1 - sold // 2]
    varied = np.maximum(_TIMES_HIGHEST * highest, _TIMES_USUAL * usual)
    even = highest + _TIMES_DISTANCE * (highest - usual) + _TIMES_ROOT * np.sqrt(usual * _unit(sales))
    return np.asarray(np.minimum(varied, even))


def _unit(sales: Floats) -> Floats:
    """[k] What sales are counted in: pieces, or the smallest amount that was sold."""
    is_piece = (sales == np.rint(sales)).all(axis=1)
    smallest = np.where(sales > 0, sales, np.inf).min(axis=1, initial=np.inf)
    return np.where(is_piece, 1.0, smallest)


def _is_special(panel: Panel) -> Bools:
    """[n, T] Days on which a promotion, a reduction or an event may lift sales."""
    days = panel.history_days
    special = panel.is_promotion[:, :days] | (panel.price_ratio[:, :days] < _REDUCED)
    for kind, on_days in enumerate(panel.event_days[:, :days]):
        special = special | (panel.event_series[kind][:, None] & on_days[None])
    return special


def _has_company(is_beyond: Bools) -> Bools:
    """[k, T] Whether another such day is within three days."""
    sums = np.cumsum(np.pad(is_beyond, ((0, 0), (_NEARBY_DAYS + 1, _NEARBY_DAYS))), axis=1)
    width = 2 * _NEARBY_DAYS + 1
    return np.asarray(sums[:, width:] - sums[:, :-width] > 1)
