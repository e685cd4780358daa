"""How unlike the days that a version was trained on the inputs of a forecast are.

What belongs here: the inputs that are looked at, what training keeps of them, and the score. What does not: what a
score is called out for (base_forecasts.quality), or any forecast.

Each input is asked how far out in its own training distribution it lies: how small the share of training rows is that
lie as far out on the same side. These empirical tail probabilities need no parameter and assume no distribution; they
are those of ECOD (Li et al. 2022, doi:10.1109/TKDE.2022.3159580), which adds up their logarithms. Here the smallest one
counts (Tippett 1931): a forecast is in doubt as soon as one input is like nothing that was trained on, which a sum over
a dozen ordinary inputs would outvote; and the one that decides can be named. The score is how many training rows are
less unusual by the same measure, so that inputs that move together are not counted twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, Ints, Rows
from forecast_assets.features.demand_class import DEAD_DAYS
from forecast_assets.features.panel import Panel

# Inputs of a series at its cutoff, then those of the single day ahead.
SERIES_INPUTS: Final = (
    "level", "week_on_month", "month_on_quarter", "days_without_sales", "days_out_of_stock", "age", "days_since_sale",
)  # fmt: skip
STEP_INPUTS: Final = ("price", "price_change", "promotions", "events")
INPUTS: Final = (*SERIES_INPUTS, *STEP_INPUTS)
# A long record is no reason for doubt, nor is a recent sale or a shelf that was always full.
_LOW_ONLY: Final = ("age",)
_HIGH_ONLY: Final = ("days_out_of_stock", "days_since_sale")

_WEEK: Final = 7
_MONTH: Final = 28
_QUARTER: Final = 91
# Past cutoffs that training rows are taken at, and how far apart they are at most, days.
_ORIGINS: Final = 13
_ROWS: Final = 40_000
# Tail probabilities that are told apart: each 0.83 of the one before, from a half to one in twenty thousand.
_TAILS: Final = 0.5 * 0.83 ** np.arange(50)
# Units added to both sides of a ratio of sums, so that a few units more or less of slow movers are nothing unusual.
_PRIOR_UNITS: Final = 1.0
_SMALLEST_LEVEL: Final = 0.01
# Sums of the same numbers differ in their last digits by the order in which they are added.
_DECIMALS: Final = 6


@dataclass(frozen=True)
class Unusualness:
    """How unusual rows are, and why.

    Attributes:
        score: [n, H] share of training rows that were less unusual, 0..1.
        most_unusual: [n, H] index into `INPUTS` of the input that decides.
    """

    score: Floats
    most_unusual: Ints


@dataclass(frozen=True)
class Reference:
    """What training keeps of its inputs: about 10 KB, whatever the number of series.

    Attributes:
        low: By input, the value that at least a share t of the training rows lie at or below, for each of k falling
            tail probabilities t; nothing where the input was never known.
        high: Likewise at or above.
        below: [k + 2] share of training rows that are less deep in a tail than 0, 1, .. k + 1.
    """

    low: Mapping[str, tuple[float, ...]]
    high: Mapping[str, tuple[float, ...]]
    below: tuple[float, ...]

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Reference":
        """Read back what `dataclasses.asdict` made of it."""
        low, high = ({name: tuple(values) for name, values in data[side].items()} for side in ("low", "high"))
        return cls(low, high, tuple(data["below"]))

    def score(self, panel: Panel) -> Floats:
        """[n, H] share of training rows that were less unusual, 0..1; see `judge`."""
        return self.judge(panel).score

    def judge(self, panel: Panel) -> Unusualness:
        """Compare the inputs of forecasts with those of training.

        Args:
            panel: n series, T days of history, H ahead. What is not known of a row is not unusual.
        """
        depth, most_unusual = self._depths(*_inputs(panel))
        return Unusualness(np.asarray(self.below)[depth], most_unusual)

    def _depths(self, of_series: Floats, of_steps: Floats) -> tuple[Ints, Ints]:
        """[n, H] depth of the deepest input, and which it is; of equals the first."""
        series = np.stack([self._depth(name, of_series[at]) for at, name in enumerate(SERIES_INPUTS)])
        steps = np.stack([self._depth(name, of_steps[at]) for at, name in enumerate(STEP_INPUTS)])
        deepest, step_deepest = series.max(axis=0)[:, None], steps.max(axis=0)
        which = np.where(
            step_deepest > deepest, len(SERIES_INPUTS) + steps.argmax(axis=0), series.argmax(axis=0)[:, None]
        )
        return np.maximum(step_deepest, deepest), which

    def _depth(self, name: str, values: Floats) -> Ints:
        """In how many of the tails values lie; one more if they lie twice as far out as all of training did."""
        low, high = np.asarray(self.low[name]), np.asarray(self.high[name])
        if not len(low):
            return np.zeros(values.shape, dtype=np.int64)
        median, tails = low[0], len(low)
        under = tails - np.searchsorted(low[::-1], values, side="right")
        over = np.searchsorted(high, values, side="left")
        under = np.where(median - values > 2 * (median - low[-1]), tails + 1, under)
        over = np.where(values - median > 2 * (high[-1] - median), tails + 1, over)
        sides = under if name in _LOW_ONLY else over if name in _HIGH_ONLY else np.maximum(under, over)
        return np.asarray(np.where(np.isnan(values), 0, sides), dtype=np.int64)


def learn_reference(panel: Panel, *, rows: int = _ROWS) -> Reference:
    """Learn what inputs of a version's training are like.

    Rows are those of the cutoff and of up to twelve past cutoffs, four weeks apart or closer on a short record, each
    with what was known then. Assumes that the days to come are like one of them.

    Args:
        panel: n series, T days of history, H ahead.
        rows: Series at a cutoff to learn from at most, evenly spread.
    """
    origins = _origins(panel)
    count = panel.series.height
    few = np.linspace(0, max(count - 1, 0), min(count, max(rows // len(origins), 1))).astype(np.intp)
    parts = [_inputs(panel.as_of(days) if days else panel, few) for days in origins]
    series = np.concatenate([part[0] for part in parts], axis=1)
    steps = np.concatenate([part[1] for part in parts], axis=1)
    # Of fewer rows than a tail probability asks for nothing can be said of it.
    tails = _TAILS[1.0 / (series.shape[1] + 1) <= _TAILS]
    values = dict(zip(INPUTS, [*series, *(matrix.ravel() for matrix in steps)], strict=True))
    low = {name: _quantiles(of, tails) for name, of in values.items()}
    high = {name: _quantiles(of, 1.0 - tails) for name, of in values.items()}
    without_scale = Reference(low, high, ())
    depth, _ = without_scale._depths(series, steps)  # noqa: SLF001
    counts = np.bincount(depth.ravel(), minlength=len(tails) + 2)
    below = np.concatenate([[0], np.cumsum(counts)[:-1]]) / depth.size
    return Reference(low, high, tuple(below.tolist()))


def _origins(panel: Panel) -> list[int]:
    """Days before the cutoff at which training rows are taken, each with four weeks of history at least."""
    most = max(panel.history_days - _MONTH, 0)
    apart = min(max(most // (_ORIGINS - 1), _WEEK), _MONTH)
    return [days for days in range(0, _ORIGINS * apart, apart) if days <= most]


def _quantiles(values: Floats, shares: Floats) -> tuple[float, ...]:
    """Values below which these shares lie, each a value that was there; none where nothing is known."""
    known = values[~np.isnan(values)]
    if not known.size:
        return ()
    return tuple(np.quantile(known, shares, method="inverted_cdf").tolist())


# --- inputs ---


def _inputs(panel: Panel, rows: Rows | None = None) -> tuple[Floats, Floats]:
    """Return [7, n] inputs of series and [4, n, H] inputs of days, NaN where unknown; of some series, if asked."""
    of = slice(None) if rows is None else rows
    sales = panel.sales[of, -_QUARTER:]
    is_empty = panel.is_censored[of, -_MONTH:]
    return _stacked(_series_inputs(sales, is_empty)), _stacked(_step_inputs(panel, of))


def _stacked(inputs: Sequence[Floats]) -> Floats:
    return np.asarray(np.round(np.stack(inputs), _DECIMALS), dtype=np.float64)


def _series_inputs(sales: Floats, is_empty: Bools) -> Sequence[Floats]:
    """[n] each, from up to 91 days of sales and 28 of the shelf."""
    is_known = ~np.isnan(sales)
    units = np.where(is_known, sales, 0.0)
    week, month, quarter = (_mean(units[:, -days:], is_known[:, -days:]) for days in (_WEEK, _MONTH, _QUARTER))
    recent = is_known[:, -_MONTH:]
    sold = units > 0
    silence = np.where(sold.any(axis=1), np.argmax(sold[:, ::-1], axis=1), sold.shape[1])
    return (
        np.log(np.maximum(month, _SMALLEST_LEVEL)),
        _log_ratio(week, month, _WEEK),
        _log_ratio(month, quarter, _MONTH),
        _mean(~sold[:, -_MONTH:] & recent, recent),
        _mean(is_empty & recent, recent),
        is_known.sum(axis=1).astype(np.float64),
        np.minimum(silence, DEAD_DAYS).astype(np.float64),
    )


def _mean(values: Floats | Bools, is_known: Bools) -> Floats:
    """[n] mean of the known days; NaN where none is known."""
    days = is_known.sum(axis=1)
    return np.asarray(np.divide(values.sum(axis=1), days, out=np.full(len(days), np.nan), where=days > 0))


def _log_ratio(mean: Floats, other: Floats, days: int) -> Floats:
    return np.asarray(np.log((days * mean + _PRIOR_UNITS) / (days * other + _PRIOR_UNITS)))


def _step_inputs(panel: Panel, of: slice | Rows) -> Sequence[Floats]:
    """[n, H] each: price over list price and over its usual level; promoted days and days with events in a week."""
    now = panel.history_days
    planned = np.maximum(panel.price_ratio[of, now:], _SMALLEST_LEVEL)
    usual = np.maximum(panel.price_ratio[of, max(now - _MONTH, 0) : now].mean(axis=1), _SMALLEST_LEVEL)
    price = np.where(panel.has_plan[of], np.log(planned), np.nan)
    since = max(now - _WEEK + 1, 0)
    return (
        price,
        price - np.log(usual)[:, None],
        _week_share(panel.is_promotion[of, since:], panel.horizon_days),
        _week_share(_has_event(panel, of, since), panel.horizon_days),
    )


def _has_event(panel: Panel, of: slice | Rows, since: int) -> Bools:
    """[n, days] whether any event falls on the day there."""
    # An event matters to a series whatever others fall on the day, so counts of events by series and day are enough.
    counts = panel.event_series[:, of].T.astype(np.float32) @ panel.event_days[:, since:].astype(np.float32)
    return np.asarray(counts > 0)


def _week_share(is_on: Bools, horizon: int) -> Floats:
    """[n, H] share of the seven days up to and including each of the last H."""
    total = np.cumsum(np.pad(is_on, ((0, 0), (_WEEK, 0))), axis=1)
    return np.asarray((total[:, -horizon:] - total[:, -horizon - _WEEK : -_WEEK]) / _WEEK)
