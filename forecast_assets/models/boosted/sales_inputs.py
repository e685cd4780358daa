"""What trees for sales start from and see beside the inputs of demand: what sold, on days like the day ahead.

What belongs here: the level of sales and the inputs that only trees for sales have. What does not: inputs of demand,
trees, or targets.

The level is what a planner would look up: what sold lately, and what sold on days with a like discount, promotion,
event and weekday. It is of sales and not of demand, so that a shelf that is empty every Saturday is part of it; and it
knows no factors, so that it errs otherwise than what demand starts from. As with demand, inputs are ratios, and none is
the same for all series: trees would learn which cutoff it is.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, InputMatrix, Rows, Singles
from forecast_assets.models.boosted.inputs import CutoffInputs, InputSpec, SeriesView

# Days that a level of sales looks back on.
LEVEL_DAYS: Final = 56
# Chosen on FreshRetailNet's earlier cutoffs: docs/models.md.
_RECENT_HALF_LIFE: Final = 7.0
_RECENT_SHARE: Final = 0.3
_LIKE_HALF_LIFE: Final = 10.0
# Differences after which a day counts 1/e as much: of price over list price, events, promotions, and another weekday.
_LIKENESS: Final[Mapping[str, float]] = {"price": 0.04, "events": 0.43, "promotion": 1.44}
_OTHER_WEEKDAY: Final = 0.4
# A series that sells on fewer of its days is not steady.
_STEADY_SHARE: Final = 0.8
# Days' worth of the recent level that the mean over like days is drawn towards, and of the base level for the recent.
_LIKE_PRIOR_DAYS: Final = 0.3
_RECENT_PRIOR_DAYS: Final = 0.05
_RATIO_PRIOR_SHARE: Final = 0.1
_WEEK: Final = 7
_WEEKDAY_DAYS: Final = 35
_RELATIVES: Final = ("sku", "store")
# Sales need no drivers: what tells them from demand is what is on the shelf.
_DRIVER: Final = "availability_units"


def _default_specs() -> tuple[InputSpec, ...]:
    def spec(name: str, kind: str, days: int = 0, of: str = "") -> InputSpec:
        return InputSpec(name, _DRIVER, kind, days, of)

    return (
        spec("demand_over_sales_level", "demand_over_level"),
        spec("recent_over_sales_level", "recent"),
        spec("like_days", "like_days"),
        *(spec(f"sales_{days}d_over_level", "sales_ratio", days) for days in (1, 3, 7, 14, 28)),
        spec("sales_same_weekday", "sales_same_weekday"),
        *(spec(f"sales_{days}d_ago_over_level", "sales_ago", days) for days in (7, 14)),
        *(spec(f"{of}_sales_{days}d_over_recent", "sales_ratio_of", days, of) for of in _RELATIVES for days in (1, 7)),
        *(spec(f"{of}_sales_same_weekday", "sales_same_weekday_of", of=of) for of in _RELATIVES),
        *(spec(f"{of}_gone_14d_share", "gone_of", 14, of) for of in _RELATIVES),
        *(spec(f"group_gone_{days}d_share", "gone_of", days, "group") for days in (1, 7)),
        *(spec(f"{of}_gone_same_weekday_share", "gone_same_weekday_of", of=of) for of in _RELATIVES),
    )


SALES_INPUTS: Final = _default_specs()


class SalesCutoff:
    """A cutoff as trees for sales see it.

    Args:
        cutoff: The cutoff of n series with h days ahead, as trees for demand see it.
    """

    def __init__(self, cutoff: CutoffInputs) -> None:
        self.cutoff = cutoff
        self._of: dict[tuple[str, str], Floats] = {}

    @cached_property
    def known(self) -> Bools:
        """[n, d] whether each of the last days has a row of sales."""
        return self.cutoff.record.is_known[:, self.cutoff.span(LEVEL_DAYS)]

    @cached_property
    def sales(self) -> Floats:
        """[n, d] units sold on the last days; 0 where unknown."""
        return np.where(self.known, self.cutoff.record.panel.sales[:, self.cutoff.span(LEVEL_DAYS)], 0.0)

    @cached_property
    def gone(self) -> Floats:
        """[n, d] share of a usual day's sales that met an empty shelf on the last days; 0 where unknown."""
        return np.asarray(self.known - self.cutoff.record.exposure[:, self.cutoff.span(LEVEL_DAYS)])

    @cached_property
    def recent(self) -> Floats:
        """[n] Mean of the last days, later days counting more; units."""
        weights = 0.5 ** (np.arange(self.sales.shape[1])[::-1] / _RECENT_HALF_LIFE)
        units = (self.sales * weights).sum(axis=1) + _RECENT_PRIOR_DAYS * self.cutoff.base
        known = (self.known * weights).sum(axis=1) + _RECENT_PRIOR_DAYS
        return np.asarray(np.maximum(units / known, self.cutoff.record.smallest))

    @property
    def first(self) -> int:
        """Column of the first of the last days."""
        return int(self.cutoff.span(LEVEL_DAYS).start)

    def view(self, rows: Rows) -> "SalesView":
        """Return some series, [k] of the n."""
        return SalesView(self, rows)

    # --- what relatives say together ---

    def of_node(self, what: str, of: str, days: Floats) -> Floats:
        """[m, d] sums of [n, d] over the series of each node; ``what`` says what is summed, once for each."""
        if (what, of) not in self._of:
            self._of[what, of] = self.cutoff.added_up(f"{what} of sales", of, days)
        return self._of[what, of]

    def sales_over_recent(self, of: str) -> Floats:
        """[m, d] units of each node's last five weeks over its recent level on days that are known; NaN on others."""
        last = np.s_[:, -_WEEKDAY_DAYS:]
        expected = self.of_node("recent", of, self.recent[:, None] * self.known[last])
        units = self.of_node("sales", of, self.sales[last])
        return np.divide(units, expected, out=np.full_like(units, np.nan), where=expected > 0)

    def gone_share(self, of: str) -> Floats:
        """[m, d] share that met an empty shelf on the last five weeks' days that are known; NaN on others."""
        last = np.s_[:, -_WEEKDAY_DAYS:]
        known = self.of_node("known", of, self.known[last].astype(np.float64))
        return np.divide(
            self.of_node("gone", of, self.gone[last]), known, out=np.full_like(known, np.nan), where=known > 0
        )


class SalesView:
    """Some series at a cutoff, as kinds of inputs read them.

    Args:
        of: The cutoff of n series.
        rows: [k] which of them.
    """

    def __init__(self, of: SalesCutoff, rows: Rows) -> None:
        self.of, self.rows, self.cutoff = of, rows, of.cutoff
        # The same series as kinds of inputs of demand read them.
        self.demand = SeriesView(of.cutoff, rows)
        self.sales, self.known = of.sales[rows], of.known[rows]
        self.recent = of.recent[rows, None]

    @cached_property
    def likeness(self) -> Singles:
        """[k, h, d] how much each of the last days counts for each day ahead; 0 where it is unknown."""
        cutoff, days = self.cutoff, self.sales.shape[1]
        columns = np.arange(self.of.first, self.of.first + days)
        weekday = cutoff.record.panel.weekday
        is_other = weekday[cutoff.targets][:, None] != weekday[columns]
        distance = np.log(2.0) / _LIKE_HALF_LIFE * np.arange(days)[::-1] - np.log(_OTHER_WEEKDAY) * is_other
        total = np.repeat(distance[None].astype(np.float32), len(self.rows), axis=0)
        for name, scale in _LIKENESS.items():
            past = getattr(cutoff.record, name)[self.rows, columns[0] : columns[-1] + 1].astype(np.float32)
            ahead = self.demand.ahead(name).astype(np.float32)
            total += np.abs(ahead[:, :, None] - past[:, None]) / np.float32(scale)
        return np.asarray(np.exp(-total) * self.known[:, None], dtype=np.float32)

    @cached_property
    def like_days(self) -> Floats:
        """[k, h] How many days like each day ahead are known."""
        return np.asarray(self.likeness.sum(axis=2), dtype=np.float64)

    @cached_property
    def level(self) -> Floats:
        """[k, h] Units that each day ahead starts from: what sold lately, and what sold on days like it."""
        units = (self.likeness * self.sales[:, None].astype(np.float32)).sum(axis=2).astype(np.float64)
        like = (units + _LIKE_PRIOR_DAYS * self.recent) / (self.like_days + _LIKE_PRIOR_DAYS)
        mean = _RECENT_SHARE * self.recent + (1.0 - _RECENT_SHARE) * like
        return np.asarray(np.maximum(mean, self.cutoff.record.smallest))

    @cached_property
    def is_steady(self) -> Bools:
        """[k] Whether a series sold on nearly all days that are known, so that a median says something of its mean."""
        known = self.known.sum(axis=1)
        return np.asarray((known > 0) & ((self.sales > 0).sum(axis=1) >= _STEADY_SHARE * known))

    @property
    def structure(self) -> Floats:
        """[k, h] Units that trees for demand start from: its level times the statistical family's factors."""
        return np.asarray(np.exp(self.cutoff.log_offset(self.rows)))

    def inputs(self, specs: Sequence[InputSpec]) -> InputMatrix:
        """[k * h, f] Inputs in the order of series, then days."""
        out = np.empty((*self.level.shape, len(specs)), dtype=np.float32)
        for place, spec in enumerate(specs):
            out[:, :, place] = SALES_KINDS[spec.kind](self, spec)
        return out.reshape(-1, len(specs))

    def node(self, values: Floats, of: str) -> Floats:
        """Values of the node of each series."""
        return self.demand.node(values, of)


def _sales_ratio(view: SalesView, spec: InputSpec) -> Floats:
    known = view.known[:, -spec.days :].sum(axis=1, keepdims=True)
    mean = view.sales[:, -spec.days :].sum(axis=1, keepdims=True) / np.maximum(known, 1)
    return np.asarray(np.log((mean + _RATIO_PRIOR_SHARE * view.recent) / view.level))


def _sales_same_weekday(view: SalesView, _spec: InputSpec) -> Floats:
    rates = np.where(view.known, view.sales / view.recent, np.nan)[:, -_WEEKDAY_DAYS:]
    first = view.cutoff.origin + 1 - rates.shape[1]
    return view.cutoff.same_weekday(rates, first, 1.0) * view.recent / view.level


def _sales_ago(view: SalesView, spec: InputSpec) -> Floats:
    """Sales of each day's weekday, so many days before the first week that is not over at the cutoff."""
    targets, origin = view.cutoff.targets, view.cutoff.origin
    columns = targets - _WEEK * ((targets - origin - 1) // _WEEK) - spec.days - view.of.first
    is_there = (columns >= 0) & view.known[:, np.maximum(columns, 0)]
    return np.where(is_there, view.sales[:, np.maximum(columns, 0)] / view.level, np.nan)


def _log_mean(values: Floats, days: int) -> Floats:
    """[m, 1] Logarithm of the mean of the last days; NaN where none is known."""
    is_known = ~np.isnan(values[:, -days:]).all(axis=1, keepdims=True)
    return np.where(is_known, np.log(_mean(values, days) + _RATIO_PRIOR_SHARE), np.nan)


def _mean(values: Floats, days: int) -> Floats:
    """[m, 1] Mean of the last days; 0 where none is known."""
    last = values[:, -days:]
    known = ~np.isnan(last)
    total = np.where(known, last, 0.0).sum(axis=1, keepdims=True)
    return np.asarray(total / np.maximum(known.sum(axis=1, keepdims=True), 1))


def _same_weekday_of(view: SalesView, values: Floats, of: str, usual: float) -> Floats:
    first = view.cutoff.origin + 1 - values.shape[1]
    return view.node(view.cutoff.same_weekday(values, first, usual), of)


SALES_KINDS: Final[Mapping[str, Callable[[SalesView, InputSpec], Any]]] = {
    "demand_over_level": lambda view, _spec: view.cutoff.log_offset(view.rows) - np.log(view.level),
    "recent": lambda view, _spec: np.log(view.recent / view.level),
    "like_days": lambda view, _spec: view.like_days,
    "sales_ratio": _sales_ratio,
    "sales_same_weekday": _sales_same_weekday,
    "sales_ago": _sales_ago,
    "sales_ratio_of": lambda view, spec: view.node(_log_mean(view.of.sales_over_recent(spec.of), spec.days), spec.of),
    "sales_same_weekday_of": lambda view, spec: _same_weekday_of(
        view, view.of.sales_over_recent(spec.of), spec.of, 1.0
    ),
    "gone_of": lambda view, spec: view.node(_mean(view.of.gone_share(spec.of), spec.days), spec.of),
    "gone_same_weekday_of": lambda view, spec: _same_weekday_of(view, view.of.gone_share(spec.of), spec.of, 0.0),
}
