"""What trees see of a series at a cutoff and of a day ahead: inputs as data, and how each kind is computed.

What belongs here: the inputs of the global family, the same for training, batch and any other use. What does not:
trees, targets, or which rows are asked for.

Everything is relative: levels, prices and rates are ratios to the series' own last four weeks, so that what is learned
from one series holds for another of a different size, and for one retailer's units as for another's. No input tells the
date of the cutoff: with few cutoffs, trees would learn which one had a good week.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, GroupCodes, Groups, InputMatrix, Rows
from forecast_assets.features.deviations import from_usual, lately
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Sparse, summing_of
from forecast_assets.models.boosted.covariate_inputs import AHEAD, LATELY, covariate_inputs
from forecast_assets.models.calendar.columns import place_in_run
from forecast_assets.models.demand import observe
from forecast_assets.models.statistical.effects import Factors

# A level is the demand of four weeks; with little to go by it is drawn towards that of a quarter.
BASE_DAYS: Final = 28
LONGEST_DAYS: Final = 91
_PRIOR_DAYS: Final = 1.0
_LEAST_EXPOSURE: Final = 0.2
# Nothing further back enters a same-weekday mean; each week counts this much of the one after it.
_WEEKDAY_DAYS: Final = 35
_WEEK: Final = 7
_WEEK_DECAY: Final = 0.8
_WEEKDAY_PRIOR: Final = 0.5
_SMALLEST_PRICE: Final = 0.05
# Kind of the input that says whether an event that recurs falls on the day.
RECURRING: Final = "recurring"
_LONGEST_ROW: Final = 14
_LONGEST_SINCE: Final = 31
_RELATIVES: Final = ("sku", "store", "group")


@dataclass(frozen=True)
class InputSpec:
    """One input of the trees.

    Attributes:
        name: Column of the model's matrix.
        driver: Component of the forecast that its contributions count towards.
        kind: How it is computed: see `KINDS`.
        days: Days up to and including the cutoff that it reads; or how many days beside the day ahead.
        of: Relatives that it is about: `sku` (the product in all stores), `store`, `group` (its product group there);
            the event, or the covariate.
    """

    name: str
    driver: str
    kind: str
    days: int = 0
    of: str = ""

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "InputSpec":
        """Read the JSON form back."""
        return cls(**data)


def _default_specs() -> tuple[InputSpec, ...]:
    level, trend, weekday = "level_units", "trend_units", "weekday_units"
    price, promotion = "price_units", "promotion_units"
    relatives, availability = "relatives_units", "availability_units"
    return (
        InputSpec("level_log", level, "level"),
        InputSpec("product_group", level, "group"),
        *(InputSpec(f"level_{days}d_over_28d", trend, "level_ratio", days) for days in (1, 3, 7, 14, 56)),
        InputSpec("variation_28d", level, "variation", BASE_DAYS),
        InputSpec("highest_28d", level, "highest", BASE_DAYS),
        InputSpec("lowest_28d", level, "lowest", BASE_DAYS),
        InputSpec("median_28d", level, "median", BASE_DAYS),
        InputSpec("idle_28d_share", level, "idle", BASE_DAYS),
        InputSpec("step", trend, "step"),
        InputSpec("weekday", weekday, "weekday"),
        InputSpec("same_weekday", weekday, "same_weekday"),
        InputSpec("price", price, "price"),
        InputSpec("price_before", price, "price", -1),
        InputSpec("price_after", price, "price", 1),
        InputSpec("price_over_28d", price, "price_ratio", BASE_DAYS),
        InputSpec("price_over_7d", price, "price_ratio", 7),
        InputSpec("price_mean_28d", price, "price_mean", BASE_DAYS),
        InputSpec("price_lowest_28d", price, "price_lowest", BASE_DAYS),
        InputSpec("price_last", price, "price_mean", 1),
        InputSpec("price_of_product", price, "price_of", of="sku"),
        InputSpec("promotion", promotion, "promotion"),
        InputSpec("promotion_before", promotion, "promotion", -1),
        InputSpec("promotion_7d_share", promotion, "promotion_share", 7),
        InputSpec("promotion_28d_share", promotion, "promotion_share", BASE_DAYS),
        InputSpec("promotion_of_product", promotion, "promotion_of", of="sku"),
        *(
            InputSpec(f"{of}_{days}d_over_28d", relatives, "level_ratio_of", days, of)
            for of in _RELATIVES
            for days in (1, 3, 7, 14)
        ),
        *(InputSpec(f"{of}_same_weekday", relatives, "same_weekday_of", of=of) for of in _RELATIVES),
        *(InputSpec(f"unserved_{days}d_share", availability, "unserved", days) for days in (1, 3, 7, 14, 28)),
        InputSpec("unserved_same_weekday_share", availability, "unserved_weekday"),
        *(InputSpec(f"out_of_stock_days_{days}d_share", availability, "out_of_stock_days", days) for days in (7, 28)),
        *(
            InputSpec(f"{of}_unserved_{days}d_share", availability, "unserved_of", days, of)
            for of in ("sku", "store")
            for days in (1, 7)
        ),
    )


DEFAULT_INPUTS: Final = _default_specs()


def inputs_of(panel: Panel, *, reads_recurring: bool = True) -> tuple[InputSpec, ...]:
    """Return the inputs of versions that are trained on a panel: the default ones, and those of its own.

    Of events that recur, trees can learn what each does to whom; of rare ones, of which they would see a day or two,
    they know what the factors that they start from say. Events and covariates are called by number: their names may
    hold what LightGBM's text cannot, such as spaces and commas.

    Args:
        panel: With events and covariates, of which some inputs are.
        reads_recurring: Whether any input is of an event.
    """
    found = list(DEFAULT_INPUTS)
    for number, name in enumerate(panel.recurring_events if reads_recurring else (), start=1):
        found += [
            InputSpec(f"recurring_{number}{what}", "payday_units", kind, days, name)
            for what, kind, days in (
                ("_before", RECURRING, -1),
                ("", RECURRING, 0),
                ("_after", RECURRING, 1),
                ("_place_in_a_row", "recurring_place", 0),
                ("_days_since", "recurring_since", 0),
            )
        ]
    return (*found, *(InputSpec.from_data(spec) for spec in covariate_inputs(panel.covariates.names)))


def inputs_version(specs: Sequence[InputSpec]) -> str:
    """Return the version that follows from a set of inputs: 12 digits of a hash over their definitions."""
    return hashlib.sha256(json.dumps([asdict(spec) for spec in specs], sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class TreePanel:
    """What inputs are computed from: a panel with its factors, its relatives and what its sales speak for.

    Attributes:
        panel: n series, T days of history, H ahead.
        factors: [n, T + H] what multiplies the level on each day.
        price_factor: [n, T + H] the part of it that follows from the price.
        promotion_factor: [n, T + H] the part that follows from promotions.
        units: [n, T] units; 0 where unknown.
        exposure: [n, T] share of the day that ``units`` cover; 0 where unknown.
        is_known: [n, T] whether the day has a row of sales.
        price: [n, T + H] price over list price.
        promotion: [n, T + H] whether a promotion is on, 0 or 1.
        events: [n, T + H] whether an event falls on the day.
        relatives: [n] node of each series by kind of relatives.
        group: [n] product group, as its place among the categories that training saw; NaN for others.
        smallest: Level that counts as nothing, units.
    """

    panel: Panel
    factors: Floats
    price_factor: Floats
    promotion_factor: Floats
    units: Floats
    exposure: Floats
    is_known: Bools
    price: Floats
    promotion: Floats
    events: Bools
    relatives: Mapping[str, GroupCodes]
    group: Floats
    smallest: float

    @classmethod
    def of(
        cls, panel: Panel, factors: Factors, product_groups: Groups, categories: Sequence[str], smallest: float
    ) -> "TreePanel":
        """Read a panel.

        Args:
            panel: n series, T days of history, H ahead.
            factors: What multiplies the level on each day, [n, T + H] each.
            product_groups: [n].
            categories: Product groups that training saw, sorted.
            smallest: Level that counts as nothing, units.
        """
        product = factors.product
        observed = observe(panel, product[:, : panel.history_days])
        place = np.searchsorted(categories, product_groups).clip(max=max(len(categories) - 1, 0))
        is_seen = np.array(categories)[place] == product_groups if len(categories) else np.zeros(len(place), np.bool_)
        return cls(
            panel=panel,
            factors=product,
            price_factor=factors.price,
            promotion_factor=factors.promotion,
            units=observed.units,
            exposure=observed.exposure,
            is_known=observed.is_known,
            price=np.nan_to_num(panel.price_ratio, nan=1.0),
            promotion=panel.is_promotion.astype(np.float64),
            events=_events(panel),
            relatives={
                "sku": panel.pooled.nodes(_codes(panel.series["sku_id"].to_numpy().astype(str))),
                "store": panel.pooled.nodes(_codes(panel.series["store_id"].to_numpy().astype(str))),
                "group": panel.pooled.nodes(panel.groups_in_stores(product_groups)),
            },
            group=np.where(is_seen, place.astype(np.float64), np.nan),
            smallest=smallest,
        )

    def recurring(self, name: str) -> "RecurringDays | None":
        """Return the days of an event, read once; None if none of that name is known."""
        if name not in self._recurring and name in self.panel.event_names:
            self._recurring[name] = RecurringDays.of(self.panel, name)
        return self._recurring.get(name)

    @cached_property
    def _recurring(self) -> dict[str, "RecurringDays"]:
        return {}

    @cached_property
    def seen(self) -> Floats:
        """[n, T] factors times exposure: units over it are the level that a day speaks for."""
        return self.factors[:, : self.units.shape[1]] * self.exposure


@dataclass(frozen=True)
class RecurringDays:
    """On which days an event falls, for each of the p sets of places in which it does.

    Attributes:
        place: [n] set of each series.
        today: [p, T + H] whether it falls on the day.
    """

    place: GroupCodes
    today: Bools

    @classmethod
    def of(cls, panel: Panel, name: str) -> "RecurringDays":
        """Read an event's days."""
        kinds = [kind for kind, each in enumerate(panel.event_names) if each == name]
        sets, place = np.unique(panel.event_series[kinds], axis=1, return_inverse=True)
        days = panel.event_days[kinds]
        today = np.array([days[here].any(axis=0) for here in sets.T], dtype=np.bool_)
        return cls(place.ravel().astype(np.intp), today)

    @cached_property
    def in_a_row(self) -> Floats:
        """[p, T + H] how many such days in a row end with the day; 0 where it falls on none."""
        return np.minimum(place_in_run(self.today), _LONGEST_ROW).astype(np.float64)

    @cached_property
    def since(self) -> Floats:
        """[p, T + H] days since the last such day; 0 on one, and at most a month."""
        days = np.arange(self.today.shape[1])
        last = np.maximum.accumulate(np.where(self.today, days, -_LONGEST_SINCE), axis=1)
        return np.minimum(days - last, _LONGEST_SINCE).astype(np.float64)


def base_level(record: TreePanel, rows: Rows, origin: int) -> Floats:
    """[k] Level of some series at a cutoff, units on a plain day: the last four weeks, drawn towards the last 91 days.

    Args:
        record: n series.
        rows: [k] which series.
        origin: Column of the cutoff.
    """
    return np.maximum(_level(record, rows, origin, BASE_DAYS), record.smallest)


class CutoffInputs:
    """A cutoff of a record, from which inputs of days ahead are read; what all series together say is computed once.

    Args:
        record: n series.
        origin: Column of the cutoff: nothing of sales or stock after it is read.
        targets: [h] columns of the days ahead.
    """

    def __init__(self, record: TreePanel, origin: int, targets: Rows) -> None:
        self.record, self.origin, self.targets = record, origin, targets
        self.base = base_level(record, np.arange(len(record.units)), origin)
        self._of: dict[tuple[str, str], Any] = {}

    @cached_property
    def is_seen(self) -> Bools:
        """[n] whether any day of the last 91 speaks for a level."""
        return np.asarray(self.record.exposure[:, self.span(LONGEST_DAYS)].sum(axis=1) > _LEAST_EXPOSURE)

    @cached_property
    def is_planned(self) -> bool:
        """Whether the panel's own cutoff knows a plan of every series and day ahead."""
        panel = self.record.panel
        return bool(panel.pooled.of_all("all days ahead are planned", lambda: np.array(panel.has_plan.all())))

    def inputs(self, specs: Sequence[InputSpec], rows: Rows) -> InputMatrix:
        """Return the inputs of some series on all days ahead.

        Args:
            specs: f inputs.
            rows: [k] which series.

        Returns:
            [k * h, f] in the order of series, then days.
        """
        view = SeriesView(self, rows)
        out = np.empty((len(rows), len(self.targets), len(specs)), dtype=np.float32)
        for place, spec in enumerate(specs):
            out[:, :, place] = KINDS[spec.kind](view, spec)
        return out.reshape(-1, len(specs))

    def log_offset(self, rows: Rows) -> Floats:
        """[k, h] Logarithm of base level times factors: what trees start from."""
        cells = rows[:, None], self.targets
        factors = self.record.factors[cells]
        if not self.is_planned:
            for name in ("price_factor", "promotion_factor"):
                factors = factors / getattr(self.record, name)[cells] * self.offered(name, rows, self.targets)
        return np.asarray(np.log(self.base[rows, None] * factors))

    def offered(self, name: str, rows: Rows, columns: Rows) -> Floats:
        """[k, h] Price, promotion or the factor of either on some days, as the cutoff knows them.

        On days ahead whose plan the panel's own cutoff does not know, for the same series and step, it is the mean of
        the last four weeks: what is not known ahead today was not known ahead then.
        """
        matrix, steps = getattr(self.record, name), columns - self.origin - 1
        found = np.asarray(matrix[rows[:, None], columns], dtype=np.float64)
        if self.is_planned:
            return found
        is_known = (steps < 0) | self.record.panel.has_plan[rows[:, None], np.maximum(steps, 0)]
        usual = matrix[rows, self.span(BASE_DAYS)].mean(axis=1, keepdims=True)
        return np.where(is_known, found, usual)

    def covariate(self, name: str) -> Floats:
        """[S, T + H] A covariate of every store as the cutoff knew it; NaN where it did not."""
        panel = self.record.panel
        days = panel.history_days + panel.horizon_days
        return np.asarray(
            self._once("covariate", name, lambda name: panel.covariates.as_known(name, self.origin, days))
        )

    def span(self, days: int) -> slice:
        """Columns of the last days up to and including the cutoff."""
        return slice(max(self.origin + 1 - days, 0), self.origin + 1)

    def same_weekday(self, matrix: Floats, first: int, usual: float) -> Floats:
        """[k, h] Mean of each day ahead's weekday over the last five weeks, later weeks counting more.

        Args:
            matrix: [k, d] values of the days from column ``first`` to the cutoff; NaN where unknown.
            first: Column of its first day.
            usual: What is taken where nothing is known, and what little is known is drawn towards.
        """
        shape = len(matrix), len(self.targets)
        total, weight = np.full(shape, _WEEKDAY_PRIOR * usual), np.full(shape, _WEEKDAY_PRIOR)
        age = self.origin - np.arange(first, self.origin + 1)
        counts = _WEEK_DECAY ** (age // _WEEK)
        for place, target in enumerate(self.targets):
            days = np.flatnonzero((target - first - np.arange(matrix.shape[1])) % _WEEK == 0)
            known = ~np.isnan(matrix[:, days])
            total[:, place] += (np.where(known, matrix[:, days], 0.0) * counts[days]).sum(axis=1)
            weight[:, place] += (known * counts[days]).sum(axis=1)
        return np.asarray(total / weight)

    # --- what relatives say together ---

    def sums(self, of: str) -> tuple[Floats, Floats]:
        """[m, d] units, and units expected by present levels, of each node over the last five weeks."""
        found: tuple[Floats, Floats] = self._once("sums", of, self._sums)
        return found

    def _sums(self, of: str) -> tuple[Floats, Floats]:
        days = self.span(_WEEKDAY_DAYS)
        expected = self.base[:, None] * self.record.seen[:, days]
        return self.added_up("units", of, self.record.units[:, days]), self.added_up("expected units", of, expected)

    def mean_of(self, of: str, what: str) -> Floats:
        """[m, h] Mean planned price or promotion of each node on the days ahead."""
        everyone = np.arange(len(self.record.units))
        return np.asarray(
            self._once(what, of, lambda of: self._mean(what, of, self.offered(what, everyone, self.targets)))
        )

    def unserved_of(self, of: str, days: int) -> Floats:
        """[m, 1] Share of the last days' demand that met no stock, over a node's series."""
        what = f"unserved {days}"
        return np.asarray(self._once(what, of, lambda of: self._mean(what, of, self._unserved(days))))

    def _unserved(self, days: int) -> Floats:
        gone = self.record.is_known[:, self.span(days)] - self.record.exposure[:, self.span(days)]
        return np.asarray(gone.mean(axis=1, keepdims=True))

    def level_ratio_of(self, of: str, days: int) -> Floats:
        """[m, 1] Logarithm of each node's units of the last days over what was expected."""
        return np.asarray(self._once(f"level ratio {days}", of, lambda of: self._log_ratio(of, days)[:, None]))

    def _log_ratio(self, of: str, days: int) -> Floats:
        units, expected = (part[:, -days:].sum(axis=1) for part in self.sums(of))
        return _log_ratio(units, expected, self.record.smallest)

    def same_weekday_of(self, of: str) -> Floats:
        """[m, h] Logarithm of each node's units over what was expected, on the weekday of each day ahead."""
        return np.asarray(self._once("same weekday", of, self._same_weekday))

    def _same_weekday(self, of: str) -> Floats:
        return self.same_weekday(_log_ratio(*self.sums(of), self.record.smallest), self.span(_WEEKDAY_DAYS).start, 0.0)

    def _mean(self, what: str, of: str, values: Floats) -> Floats:
        members = self._once("members", of, lambda of: self.added_up("series", of, np.ones((len(values), 1))))
        return np.asarray(self.added_up(what, of, values) / members)

    def added_up(self, what: str, of: str, values: Floats) -> Floats:
        """[m, d] Sums of [n, d] over the series of each node; ``what`` names what is summed."""
        pooled = self.record.panel.pooled
        return pooled.sums(f"{what} by {of}", self.record.relatives[of], self.summing(of), values)

    def summing(self, of: str) -> Sparse:
        """[m, n] sparse ones."""
        return self._once("summing", of, lambda of: summing_of(self.record.relatives[of]))

    def _once(self, what: str, of: str, compute: Callable[[str], Any]) -> Any:
        if (what, of) not in self._of:
            self._of[what, of] = compute(of)
        return self._of[what, of]


class SeriesView:
    """Some series at a cutoff, as kinds of inputs read them."""

    def __init__(self, cutoff: CutoffInputs, rows: Rows) -> None:
        self.cutoff, self.rows, self.record = cutoff, rows, cutoff.record
        self.base = cutoff.base[rows, None]

    def recent(self, name: str, days: int) -> Floats:
        """[k, d] One of the record's matrices over the last days."""
        return np.asarray(getattr(self.record, name)[self.rows, self.cutoff.span(days)])

    def ahead(self, name: str, shift: int = 0) -> Floats:
        """[k, h] What is known of the days ahead, or of days so far beside them."""
        columns = self._columns(shift)
        if name == "events":
            return np.asarray(self.record.events[self.rows[:, None], columns], dtype=np.float64)
        return self.cutoff.offered(name, self.rows, columns)

    def recurring(self, spec: InputSpec, what: str) -> Floats:
        """[k, h] What is known of an event on the days ahead, or on days so far beside them; NaN if it is not known."""
        days = self.record.recurring(spec.of)
        if days is None:
            return np.full((len(self.rows), len(self.cutoff.targets)), np.nan)
        found = getattr(days, what)[:, self._columns(spec.days)]
        return np.asarray(found[days.place[self.rows]], dtype=np.float64)

    def _columns(self, shift: int) -> Rows:
        """[h] Columns of the days ahead, or of days so far beside them, as far as anything is known ahead."""
        last = self.cutoff.origin + self.record.panel.horizon_days
        return np.clip(self.cutoff.targets + shift, 0, min(last, self.record.factors.shape[1] - 1))

    @cached_property
    def rates(self) -> Floats:
        """[k, d] What the last five weeks' days say of the level, over the base; NaN on days that say little."""
        seen, units = self.recent("seen", _WEEKDAY_DAYS), self.recent("units", _WEEKDAY_DAYS)
        is_told = self.recent("exposure", _WEEKDAY_DAYS) > _LEAST_EXPOSURE
        return np.asarray(np.divide(units, seen * self.base, out=np.full(units.shape, np.nan), where=is_told))

    @property
    def first(self) -> int:
        """Column of the first day of ``rates``."""
        return int(self.cutoff.span(_WEEKDAY_DAYS).start)

    def of_store(self, values: Floats) -> Floats:
        """[k, h] What covariates [S, h] say of the store of each series; NaN where there are none."""
        covariates = self.record.panel.covariates
        if not covariates.names:
            return np.full((len(self.rows), values.shape[1]), np.nan)
        return np.asarray(values[covariates.store[self.rows]])

    def node(self, values: Floats, of: str) -> Floats:
        """Values of the node of each series."""
        return np.asarray(values[self.record.relatives[of][self.rows]])


def _covariate(view: SeriesView, spec: InputSpec) -> Floats:
    said = view.cutoff.covariate(spec.of)
    return view.of_store(from_usual(said, view.cutoff.origin, view.cutoff.targets))


def _covariate_lately(view: SeriesView, spec: InputSpec) -> Floats:
    return view.of_store(lately(view.cutoff.covariate(spec.of), view.cutoff.origin, spec.days))


def _level(record: TreePanel, rows: Rows, origin: int, days: int) -> Floats:
    """[k] Units over exposure of the last days, drawn towards that of 91 days as if by one day more."""

    def sums(length: int) -> tuple[Floats, Floats]:
        span = slice(max(origin + 1 - length, 0), origin + 1)
        return record.units[rows, span].sum(axis=1), record.seen[rows, span].sum(axis=1)

    (units, seen), (long_units, long_seen) = sums(days), sums(LONGEST_DAYS)
    usual = long_units / np.maximum(long_seen, _LEAST_EXPOSURE)
    return np.asarray((units + _PRIOR_DAYS * usual) / (seen + _PRIOR_DAYS))


def _level_log(view: SeriesView, _spec: InputSpec) -> Floats:
    return np.asarray(np.log(view.base / view.record.smallest))


def _level_ratio(view: SeriesView, spec: InputSpec) -> Floats:
    level = np.maximum(_level(view.record, view.rows, view.cutoff.origin, spec.days), view.record.smallest)
    return np.asarray(np.log(level[:, None] / view.base))


def _rates_by(statistic: Callable[..., Any]) -> "InputFunction":
    def compute(view: SeriesView, spec: InputSpec) -> Floats:
        rates = view.rates[:, -spec.days :]
        nothing = np.isnan(rates).all(axis=1, keepdims=True)
        found = statistic(np.where(nothing, 1.0, rates), axis=1, keepdims=True)
        return np.where(nothing, np.nan, found)

    return compute


def _idle(view: SeriesView, spec: InputSpec) -> Floats:
    known = view.recent("is_known", spec.days) > 0
    idle = known & (view.recent("units", spec.days) <= 0)
    return np.asarray(idle.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1))


def _same_weekday(view: SeriesView, _spec: InputSpec) -> Floats:
    return view.cutoff.same_weekday(view.rates, view.first, 1.0)


def _weekday(view: SeriesView, _spec: InputSpec) -> Floats:
    return view.record.panel.weekday[view.cutoff.targets][None].astype(np.float64)


def _step(view: SeriesView, _spec: InputSpec) -> Floats:
    return (view.cutoff.targets - view.cutoff.origin)[None].astype(np.float64)


def _price_ratio(view: SeriesView, spec: InputSpec) -> Floats:
    return view.ahead("price") / np.maximum(_price_mean(view, spec), _SMALLEST_PRICE)


def _price_mean(view: SeriesView, spec: InputSpec) -> Floats:
    return np.asarray(view.recent("price", spec.days).mean(axis=1, keepdims=True))


def _price_lowest(view: SeriesView, spec: InputSpec) -> Floats:
    return np.asarray(view.recent("price", spec.days).min(axis=1, keepdims=True))


def _promotion_share(view: SeriesView, spec: InputSpec) -> Floats:
    return np.asarray(view.recent("promotion", spec.days).mean(axis=1, keepdims=True))


def _unserved(view: SeriesView, spec: InputSpec) -> Floats:
    known = view.recent("is_known", spec.days)
    gone = known - view.recent("exposure", spec.days)
    return np.asarray(gone.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1))


def _out_of_stock_days(view: SeriesView, spec: InputSpec) -> Floats:
    gone = view.recent("is_known", spec.days) - view.recent("exposure", spec.days)
    return np.asarray((gone > 0).mean(axis=1, keepdims=True))


def _unserved_weekday(view: SeriesView, _spec: InputSpec) -> Floats:
    known = view.recent("is_known", _WEEKDAY_DAYS)
    gone = np.where(known, 1.0 - view.recent("exposure", _WEEKDAY_DAYS), np.nan)
    return view.cutoff.same_weekday(gone, view.first, 0.0)


def _log_ratio(units: Floats, expected: Floats, smallest: float) -> Floats:
    """Logarithm of units over what was expected, near 0 where little was."""
    little = 50.0 * smallest
    return np.asarray(np.log((units + little) / (expected + little)))


InputFunction = Callable[[SeriesView, InputSpec], Floats]

KINDS: Final[Mapping[str, InputFunction]] = {
    "level": _level_log,
    "group": lambda view, _spec: view.record.group[view.rows, None],
    "level_ratio": _level_ratio,
    "variation": _rates_by(np.nanstd),
    "highest": _rates_by(np.nanmax),
    "lowest": _rates_by(np.nanmin),
    "median": _rates_by(np.nanmedian),
    "idle": _idle,
    "step": _step,
    "weekday": _weekday,
    "same_weekday": _same_weekday,
    # Of versions from before events that recur were told apart.
    "event": lambda view, spec: view.ahead("events", spec.days),
    RECURRING: lambda view, spec: view.recurring(spec, "today"),
    "recurring_place": lambda view, spec: view.recurring(spec, "in_a_row"),
    "recurring_since": lambda view, spec: view.recurring(spec, "since"),
    "price": lambda view, spec: view.ahead("price", spec.days),
    "price_ratio": _price_ratio,
    "price_mean": _price_mean,
    "price_lowest": _price_lowest,
    "price_of": lambda view, spec: view.node(view.cutoff.mean_of(spec.of, "price"), spec.of),
    "promotion": lambda view, spec: view.ahead("promotion", spec.days),
    "promotion_share": _promotion_share,
    "promotion_of": lambda view, spec: view.node(view.cutoff.mean_of(spec.of, "promotion"), spec.of),
    "level_ratio_of": lambda view, spec: view.node(view.cutoff.level_ratio_of(spec.of, spec.days), spec.of),
    "same_weekday_of": lambda view, spec: view.node(view.cutoff.same_weekday_of(spec.of), spec.of),
    "unserved": _unserved,
    "unserved_weekday": _unserved_weekday,
    "out_of_stock_days": _out_of_stock_days,
    AHEAD: _covariate,
    LATELY: _covariate_lately,
    "unserved_of": lambda view, spec: view.node(view.cutoff.unserved_of(spec.of, spec.days), spec.of),
}


def _codes(names: Groups) -> GroupCodes:
    return np.unique(names, return_inverse=True)[1].astype(np.intp)


def _events(panel: Panel) -> Bools:
    out = np.zeros((panel.series.height, panel.history_days + panel.horizon_days), dtype=np.bool_)
    for name in sorted(set(panel.event_names)):
        columns, applies = panel.occurrences(name)
        out[:, columns] |= applies
    return out
