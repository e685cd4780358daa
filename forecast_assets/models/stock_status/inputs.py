"""What the classifier of stock status sees of a series at a cutoff and of a day ahead: inputs as data, and each kind.

What belongs here: the inputs, the same for training and for runs. What does not: trees, targets, or which rows are
asked for.

Status is told as a deviation from what all series had on the day, and sales as ratios, so that no input tells which
cutoff it is. Means over the last days count later days more: they are summed up once from the first day on, and read
off at every cutoff. A part of the probability is named after each input: `usual` for what is so for the product, the
store and the day, `series` for the series' own last days, sales, prices and promotions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from forecast_assets.core.arrays import Floats, GroupCodes, Groups, InputMatrix, Ints, Rows, Singles
from forecast_assets.core.numbering import number_pairs
from forecast_assets.features.panel import Panel
from forecast_assets.features.pooled import Statistic
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.hierarchy.membership import TOTAL, summing_of
from forecast_assets.models.stock_status.rates import rates_ahead, rates_by_day

USUAL, SERIES = "usual", "series"
# Days that means look back on.
RECORD_DAYS: Final = 112
OWN: Final = "own"
_WEEK: Final = 7
_LONGEST_SINCE: Final = 15
# Half-lives in days: of a weekday's mean, of what a usual day sells, and of its usual price.
_WEEKDAY_HALF_LIFE: Final = 28
_USUAL_HALF_LIFE: Final = 14
# Days' worth of nothing unusual that means are drawn towards: of a series, and of its relatives.
_OWN_PRIOR_DAYS: Final = 2.0
_RELATIVES_PRIOR_DAYS: Final = 5.0
_SALES_PRIOR_DAYS: Final = 0.3
_SMALL_SHARE: Final = 0.02
_SMALLEST: Final = 1e-6
# As many as a question about a series or two has.
_FEW_COLUMNS: Final = 16


@dataclass(frozen=True)
class StatusInput:
    """One input of the classifier.

    Attributes:
        name: Column of the matrix.
        part: Part of the probability that its contributions count towards: `usual` or `series`.
        kind: How it is computed: see `STATUS_KINDS`.
        days: Half-life in days, or how many days back or beside the day ahead.
        of: Relatives that it is about, or what of the series: `out` or `share`.
    """

    name: str
    part: str
    kind: str
    days: int = 0
    of: str = ""

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "StatusInput":
        """Read the JSON form back."""
        return cls(**data)


def inputs_for(area_level: str) -> tuple[StatusInput, ...]:
    """Return the inputs of versions that are trained now.

    Args:
        area_level: Store level whose nodes are the areas of stores; `total` where there is none between the two.
    """
    relatives = ("sku", "store", "group", *(("area",) if area_level != TOTAL else ()))

    def own(name: str, kind: str, days: int = 0, of: str = "") -> StatusInput:
        return StatusInput(name, SERIES, kind, days, of)

    def usual(name: str, kind: str, days: int = 0, of: str = "") -> StatusInput:
        return StatusInput(name, USUAL, kind, days, of)

    return (
        *(own(f"share_{days}d_ago", "share_ago", days) for days in (1, 2, 3)),
        *(own(f"out_half_life_{days}d", "lately", days, "out") for days in (2, 5, 14, 40)),
        *(own(f"share_half_life_{days}d", "lately", days, "share") for days in (2, 5, 14)),
        own("out_same_weekday", "same_weekday", of="out"),
        own("share_same_weekday", "same_weekday", of="share"),
        own("days_since_out", "since", 1),
        own("days_since_full", "since", 0),
        own("level", "level"),
        *(own(f"sales_half_life_{days}d", "sales", days) for days in (0, 1, 3)),
        own("sales_variation", "variation"),
        own("idle_share", "idle"),
        own("price", "price"),
        own("price_before", "price_before"),
        own("price_usual", "price_usual", _USUAL_HALF_LIFE),
        *(own(f"price_over_{days}d", "price_over", days) for days in (0, 3, _USUAL_HALF_LIFE)),
        own("price_until", "price_until"),
        own("promotion", "promotion"),
        own("promotion_share", "promotion_share", 3),
        *(usual(f"{of}_out_last_day", "lately_of", 0, of) for of in relatives),
        *(usual(f"{of}_out_half_life_{days}d", "lately_of", days, of) for of in relatives for days in (1, 3, 14)),
        *(usual(f"{of}_out_same_weekday", "same_weekday_of", of=of) for of in relatives),
        usual("step", "step"),
        usual("weekday", "weekday"),
        usual("event", "event"),
    )


@dataclass(frozen=True)
class StatusRecord:
    """What inputs are computed from: the last days of a panel, days first.

    Attributes:
        panel: n series, T days of history, at most `RECORD_DAYS`, H ahead.
        relatives: [n] node of each series by kind of relatives: `sku`, `store`, `group` (the product group in the
            store), `area` (the product in the area of the store).
    """

    panel: Panel
    relatives: Mapping[str, GroupCodes]

    @classmethod
    def of(cls, panel: Panel, product_groups: Groups, hierarchy: Hierarchy | None, area_level: str) -> "StatusRecord":
        """Read a panel.

        Args:
            panel: n series, T days of history, H ahead.
            product_groups: [n] group of each series.
            hierarchy: Of the same series; None where what they say together is held.
            area_level: Store level whose nodes are areas.
        """
        panel = panel.recent(RECORD_DAYS).within("stock status")
        sku, store = (
            np.unique(panel.series[column].to_numpy().astype(str), return_inverse=True)[1]
            for column in ("sku_id", "store_id")
        )
        area = panel.pooled.of_series("areas", lambda: Statistic(_areas(hierarchy, area_level, len(sku))))
        relatives = {
            "sku": sku,
            "store": store,
            "group": panel.groups_in_stores(product_groups),
            "area": number_pairs(sku, area),
        }
        return cls(panel, {name: panel.pooled.nodes(code.astype(np.intp)) for name, code in relatives.items()})

    @cached_property
    def known(self) -> Singles:
        """[T, n] 1 where the status of a day is known, else 0."""
        return _by_day(~np.isnan(self.panel.out_of_stock_share))

    @cached_property
    def share(self) -> Singles:
        """[T, n] share of trading hours without stock; 0 where unknown."""
        return _by_day(np.nan_to_num(self.panel.out_of_stock_share))

    @cached_property
    def out(self) -> Singles:
        """[T, n] 1 where any trading hour was without stock, else 0."""
        return (self.share > 0).astype(np.float32)

    @cached_property
    def rates(self) -> Floats:
        """[T] share of all series that were out of stock on each day; NaN where no status is known."""
        pooled = self.panel.pooled
        return np.asarray(pooled.of_all("rates by day", lambda: rates_by_day(self.out.T > 0, self.known.T > 0)))

    @cached_property
    def rates_ahead(self) -> Floats:
        """[H] the same on the days ahead, as forecast."""
        panel = self.panel
        return np.asarray(
            panel.pooled.of_all("rates ahead", lambda: rates_ahead(self.rates, panel.weekday, panel.horizon_days))
        )

    def apart(self, what: str) -> Singles:
        """[T, n] `out` or `share` less the mean of all series on the day; 0 where unknown."""
        found: Singles = self._once(("apart", what), lambda: self._apart(what, getattr(self, what)))
        return found

    def _apart(self, what: str, values: Singles) -> Singles:
        mean = self.panel.pooled.of_all(f"mean {what} by day", lambda: self._mean_by_day(values))
        return np.asarray((values - mean[:, None].astype(np.float32)) * self.known, dtype=np.float32)

    def _mean_by_day(self, values: Singles) -> Floats:
        known = np.maximum(self.known.sum(axis=1, dtype=np.float64), 1.0)
        return np.asarray(values.sum(axis=1, dtype=np.float64) / known)

    @cached_property
    def sales(self) -> Singles:
        """[T, n] units sold; 0 where unknown."""
        return _by_day(np.nan_to_num(self.panel.sales))

    @cached_property
    def seen(self) -> Singles:
        """[T, n] share of a usual day's sales that the day had stock for; 0 where sales are unknown."""
        return _by_day(~np.isnan(self.panel.sales) * (1.0 - np.nan_to_num(self.panel.missed_share)))

    @cached_property
    def price(self) -> Singles:
        """[T + H, n] price over list price."""
        return _by_day(np.nan_to_num(self.panel.price_ratio, nan=1.0))

    @cached_property
    def promotion(self) -> Singles:
        """[T + H, n] 1 where a promotion is on or planned, else 0."""
        return _by_day(self.panel.is_promotion)

    @cached_property
    def event(self) -> Singles:
        """[T + H, n] 1 where any event falls on the day, else 0."""
        found = np.zeros(self.price.shape, dtype=np.float32)
        for days, series in zip(self.panel.event_days, self.panel.event_series, strict=True):
            found[np.ix_(days, series)] = 1.0
        return found

    def lately(self, what: str, of: str, half_life: int, lag: int = 1) -> Singles:
        """[T, m] mean deviation of each node as of each day, later days counting more; drawn towards 0.

        Args:
            what: `out` or `share`.
            of: Relatives, or `own` for the series themselves.
            half_life: In days; 0 for the last day alone.
            lag: 7 for days of one weekday only.
        """
        found: Singles = self._once((what, of, half_life, lag), lambda: self._lately(what, of, half_life, lag))
        return found

    def _lately(self, what: str, of: str, half_life: int, lag: int) -> Singles:
        apart = self._once(("sums", what, of), lambda: self._sums(what, self.apart(what), of))
        known = self._once(("days", of, half_life, lag), lambda: _added_up(self._known_of(of), half_life, lag))
        prior = np.float32(_OWN_PRIOR_DAYS if of == OWN else _RELATIVES_PRIOR_DAYS)
        return np.asarray(_added_up(apart, half_life, lag) / (known + prior))

    def _known_of(self, of: str) -> Singles:
        found: Singles = self._once(("known", of), lambda: self._sums("known", self.known, of))
        return found

    def _sums(self, what: str, values: Singles, of: str) -> Singles:
        """[T, m] sums over the series of each node."""
        if of == OWN:
            return values
        code = self.relatives[of]
        found = self.panel.pooled.sums(f"{what} by {of}", code, summing_of(code), values.T)
        return np.ascontiguousarray(found.T, dtype=np.float32)

    def mean(self, what: str, half_life: int) -> Singles:
        """[T, n] mean of `price` or `promotion` as of each day, later days counting more."""
        found: Singles = self._once((what, half_life), lambda: self._mean(getattr(self, what), half_life))
        return found

    def _mean(self, values: Singles, half_life: int) -> Singles:
        past = values[: self.panel.history_days]
        return np.asarray(_added_up(past, half_life) / _added_up(np.ones((len(past), 1), np.float32), half_life))

    def sold(self, half_life: int) -> tuple[Singles, Singles]:
        """[T, n] twice: units as of each day, later days counting more, and how many days they were seen on."""
        found: tuple[Singles, Singles] = self._once(
            ("sold", half_life), lambda: (_added_up(self.sales, half_life), _added_up(self.seen, half_life))
        )
        return found

    @cached_property
    def usual(self) -> Singles:
        """[T, n] units of a usual day with stock, as of each day."""
        units, days = self.sold(_USUAL_HALF_LIFE)
        return np.asarray(np.maximum(units / np.maximum(days, np.float32(0.1)), np.float32(_SMALLEST)))

    @cached_property
    def typical(self) -> Singles:
        """[T, 1] median of the usual sales of the series, as of each day."""
        return np.asarray(
            self.panel.pooled.of_all("typical sales", lambda: np.median(self.usual, axis=1, keepdims=True)),
            dtype=np.float32,
        )

    @cached_property
    def variation(self) -> Singles:
        """[T, n] standard deviation of sales over their mean, as of each day."""
        days = _added_up((self.seen > 0).astype(np.float32), _USUAL_HALF_LIFE) + np.float32(0.1)
        mean = _added_up(self.sales, _USUAL_HALF_LIFE) / days
        variance = _added_up(self.sales**2, _USUAL_HALF_LIFE) / days - mean**2
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)) / (mean + np.float32(_SMALL_SHARE) * self.typical))

    @cached_property
    def idle(self) -> Singles:
        """[T, n] share of days without a sale, as of each day."""
        is_idle = ((self.seen > 0) & (self.sales <= 0)).astype(np.float32)
        days = _added_up((self.seen > 0).astype(np.float32), _USUAL_HALF_LIFE)
        return np.asarray(_added_up(is_idle, _USUAL_HALF_LIFE) / np.maximum(days, np.float32(0.1)))

    def since(self, value: int) -> Singles:
        """[T, n] days since the last day whose status was so, 1 for out of stock: at most 15."""
        found: Singles = self._once(("since", value), lambda: self._since(value))
        return found

    def _since(self, value: int) -> Singles:
        is_so = (self.known > 0) & (self.out == value)
        day = np.arange(len(is_so), dtype=np.float32)[:, None]
        last = np.maximum.accumulate(np.where(is_so, day, np.float32(-_LONGEST_SINCE)), axis=0)
        return np.asarray(np.minimum(day - last, np.float32(_LONGEST_SINCE)))

    def _once(self, key: tuple[Any, ...], compute: Callable[[], Any]) -> Any:
        if key not in self._found:
            self._found[key] = compute()
        return self._found[key]

    @cached_property
    def _found(self) -> dict[tuple[Any, ...], Any]:
        return {}


def _areas(hierarchy: Hierarchy | None, area_level: str, count: int) -> Ints:
    """[n] area of the store of each series; without the level that training knew, all stores are one."""
    assert hierarchy is not None
    areas = {level.name: level.code for level in hierarchy.store_levels}
    return np.asarray(areas.get(area_level, np.zeros(count, dtype=np.int64)), dtype=np.int64)


def _by_day(values: npt.NDArray[Any]) -> Singles:
    """[d, n] from [n, d], so that a day of all series lies together."""
    return np.ascontiguousarray(values.T, dtype=np.float32)


def _added_up(values: Singles, half_life: int, lag: int = 1) -> Singles:
    """[T, m] what each day and those before it, ``lag`` days apart, add up to; older days count less."""
    kept = np.float32(0.5 ** (lag / half_life)) if half_life else np.float32(0.0)
    if values.shape[1] <= _FEW_COLUMNS:
        from scipy.signal import lfilter

        # The same sums in the same order: of a few columns the loop takes longer than its numbers.
        back = np.zeros(lag + 1, dtype=np.float32)
        back[0], back[lag] = 1.0, -kept
        return np.asarray(lfilter(np.ones(1, dtype=np.float32), back, values, axis=0))
    out = values.copy()
    for day in range(lag, len(out)):
        out[day] += kept * out[day - lag]
    return out


class StatusView:
    """Some series at a cutoff with days ahead, as kinds of inputs read them.

    Args:
        record: n series.
        origin: Column of the cutoff: nothing of status or sales after it is read.
        days: h, how many days after it are looked at.
        rows: [k] which series.
    """

    def __init__(self, record: StatusRecord, origin: int, days: int, rows: Rows) -> None:
        self.record, self.origin, self.rows = record, origin, rows
        self.targets = np.arange(origin + 1, origin + 1 + days)

    def inputs(self, specs: Sequence[StatusInput]) -> InputMatrix:
        """[k * h, f] Inputs in the order of series, then days."""
        out = np.empty((len(self.rows), len(self.targets), len(specs)), dtype=np.float32)
        for place, spec in enumerate(specs):
            out[:, :, place] = STATUS_KINDS[spec.kind](self, spec)
        return out.reshape(-1, len(specs))

    def at_cutoff(self, values: Singles) -> Singles:
        """[k, 1] values [T, n] of the last known day."""
        return np.asarray(values[self.origin, self.rows][:, None])

    def node(self, of: str) -> GroupCodes:
        """[k] node of each series."""
        return self.record.relatives[of][self.rows]

    @property
    def same_weekday(self) -> Rows:
        """[h] last known column of each target's weekday; before the first column where there is none."""
        weeks = -(-(self.targets - self.origin) // _WEEK)
        return np.asarray(self.targets - _WEEK * weeks)

    def on_weekday(self, means: Singles, places: Rows) -> Singles:
        """[k, h] means [T, m] of each target's weekday; 0 where no such day is known."""
        columns = self.same_weekday
        found = means[np.maximum(columns, 0)][:, places].T
        return np.asarray(np.where(columns >= 0, found, np.float32(0.0)))

    def planned(self, what: str, shift: int = 0) -> Singles:
        """[k, h] `price` or `promotion` of the days ahead, or so many days beside them, as far as they are known.

        Where the panel's own cutoff does not know a plan, for the same series and step, its usual value stands for it.
        """
        columns = self.targets + shift
        found = getattr(self.record, what)[columns][:, self.rows].T
        has_plan, steps = self.record.panel.has_plan, columns - self.origin - 1
        if has_plan.all():
            return np.asarray(found)
        is_known = (steps < 0) | has_plan[self.rows][:, np.maximum(steps, 0)]
        return np.asarray(np.where(is_known, found, self.at_cutoff(self.record.mean(what, _USUAL_HALF_LIFE))))


def _sales(view: StatusView, spec: StatusInput) -> Singles:
    """Logarithm of what sold lately over a usual day's sales."""
    units, days = (view.at_cutoff(values) for values in view.record.sold(spec.days))
    usual = view.at_cutoff(view.record.usual)
    small = np.float32(_SMALL_SHARE) * view.record.typical[view.origin]
    prior = np.float32(_SALES_PRIOR_DAYS)
    return np.asarray(np.log((units + prior * usual + small) / ((days + prior) * usual + small)))


def _level(view: StatusView, _spec: StatusInput) -> Singles:
    typical = view.record.typical[view.origin]
    return np.asarray(np.log(view.at_cutoff(view.record.usual) / typical + np.float32(_SMALL_SHARE)))


def _price_over(view: StatusView, spec: StatusInput) -> Singles:
    return np.asarray(view.planned("price") - view.at_cutoff(view.record.mean("price", spec.days)))


def _price_until(view: StatusView, _spec: StatusInput) -> Singles:
    """Mean planned price of all days up to each day ahead, over the usual one."""
    planned = view.planned("price")
    mean = np.cumsum(planned, axis=1) / np.arange(1, planned.shape[1] + 1, dtype=np.float32)
    return np.asarray(mean - view.at_cutoff(view.record.mean("price", _USUAL_HALF_LIFE)))


def _lately_of(view: StatusView, spec: StatusInput) -> Singles:
    return np.asarray(view.record.lately("out", spec.of, spec.days)[view.origin, view.node(spec.of)][:, None])


def _same_weekday(view: StatusView, what: str, of: str, places: Rows) -> Singles:
    return view.on_weekday(view.record.lately(what, of, _WEEKDAY_HALF_LIFE, _WEEK), places)


STATUS_KINDS: Final[Mapping[str, Callable[[StatusView, StatusInput], Any]]] = {
    "share_ago": lambda view, spec: view.record.apart("share")[max(view.origin + 1 - spec.days, 0), view.rows][:, None],
    "lately": lambda view, spec: view.at_cutoff(view.record.lately(spec.of, OWN, spec.days)),
    "same_weekday": lambda view, spec: _same_weekday(view, spec.of, OWN, view.rows),
    "since": lambda view, spec: view.at_cutoff(view.record.since(spec.days)),
    "level": _level,
    "sales": _sales,
    "variation": lambda view, _spec: view.at_cutoff(view.record.variation),
    "idle": lambda view, _spec: view.at_cutoff(view.record.idle),
    "price": lambda view, _spec: view.planned("price"),
    "price_before": lambda view, _spec: view.planned("price") - view.planned("price", -1),
    "price_usual": lambda view, spec: view.at_cutoff(view.record.mean("price", spec.days)),
    "price_over": _price_over,
    "price_until": _price_until,
    "promotion": lambda view, _spec: view.planned("promotion"),
    "promotion_share": lambda view, spec: view.at_cutoff(view.record.mean("promotion", spec.days)),
    "lately_of": _lately_of,
    "same_weekday_of": lambda view, spec: _same_weekday(view, "out", spec.of, view.node(spec.of)),
    "step": lambda view, _spec: (view.targets - view.origin)[None].astype(np.float32),
    "weekday": lambda view, _spec: view.record.panel.weekday[view.targets][None].astype(np.float32),
    "event": lambda view, _spec: view.record.event[view.targets][:, view.rows].T,
}
