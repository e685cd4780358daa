"""How often drift is told though nothing drifts, and how soon a change or a broken feed is, on a simulated retailer.

Retailers of several seeds are judged day by day for a quarter: as they are, and with a wave of the year, of 1.5 to 0.5,
on all that is sold. Then level, price or share of promotions change three weeks before the end, and feeds break on one
day. Signals are counted as the backlog does: one per feed, figure and reach, until it is told no more.

    python -m bench.drift [--seeds 1 2 3] [--skus 100] [--stores 6] [--days 91]
"""

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

import numpy as np
import polars as pl

from bench.goals import Goal, any_missed, goals_table
from forecast_assets.contracts import BROKEN, CHANGED
from forecast_assets.drift.daily_figures import WATCHED_FEEDS, read_figures
from forecast_assets.drift.inputs import make_calendar
from forecast_assets.drift.judging import judge_figures
from forecast_assets.drift.profiles import PROFILES, match_stores
from forecast_assets.drift.signals import signals_of
from forecast_assets.drift.stage import judge_names
from forecast_assets.simulation.simulator import CalendarSettings, SimulatorSettings, simulate_retailer

Feeds = Mapping[str, pl.DataFrame]

CHANGE = 0.2
FOUND_WITHIN = 7
AT_MOST_A_QUARTER = 1
_KEYS = {"purchase_orders": ["order_id"]}
_SERIES = ["sku_id", "store_id", "event_date"]
_BEFORE_END = 20


@dataclass(frozen=True)
class Retailer:
    """What a simulated retailer's systems say, the last word of each row.

    Attributes:
        settings: Of the simulation.
        feeds: Rows by feed.
    """

    settings: SimulatorSettings
    feeds: Feeds

    def with_feed(self, feed: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> "Retailer":
        return Retailer(self.settings, {**self.feeds, feed: change(self.feeds[feed])})


def make_retailer(seed: int, skus: int, stores: int, *, has_calendar: bool = False) -> Retailer:
    calendar = CalendarSettings() if has_calendar else None
    settings = SimulatorSettings(skus=skus, stores=stores, days=560, seed=seed, horizon=1, calendar=calendar)
    feeds = {}
    for batch in simulate_retailer(settings).batches:
        if batch.source != "backoffice":
            key = [name for name in _KEYS.get(batch.feed, _SERIES) if name in batch.frame.columns]
            is_series = batch.feed in WATCHED_FEEDS
            feeds[batch.feed] = batch.frame.sort("known_at").unique(key, keep="last") if is_series else batch.frame
    return Retailer(settings, feeds)


def seasonal(retailer: Retailer) -> Retailer:
    """Multiply all that is sold by a wave of the year, 1.5 at its height and 0.5 at its lowest."""
    height = 1 + 0.5 * (pl.col("event_date").dt.ordinal_day() * (2 * np.pi / 365.25)).cos()
    return retailer.with_feed("sales", lambda rows: rows.with_columns((pl.col("sales_units") * height).round(0)))


def judged(retailer: Retailer, days: list[date]) -> Iterator[tuple[date, dict[str, date]]]:
    """Yield the signals of each day, with the first day of each."""
    since, until = retailer.settings.start, retailer.settings.end
    figures = read_figures({name: rows.lazy() for name, rows in retailer.feeds.items()}, since=since, until=until)
    events, nodes = retailer.feeds["events"], retailer.feeds["store_hierarchy"]
    calendars = {
        stores: make_calendar(stores, events, nodes, since=since, until=until)
        for stores in {figure.store_ids for figure in figures}
    }
    for day in days:
        count = (day - since).days + 1
        found = judge_figures(
            [figure.until(day) for figure in figures], {name: each.until(count) for name, each in calendars.items()}
        )
        for feed in PROFILES:
            match = match_stores(feed, retailer.feeds[feed].lazy(), day)
            found += [] if match is None else judge_names(feed, match, day)
        yield day, {each.signal: date.fromisoformat(each.since) for each in signals_of(found, day)}


def opened(retailer: Retailer, days: list[date]) -> list[tuple[date, str]]:
    """Return which signals open on which day."""
    made, before = [], set[str]()
    for day, told in judged(retailer, days):
        made += [(day, signal) for signal in told if signal not in before]
        before = set(told)
    return made


def false_signals(retailer: Retailer, days: int) -> Counter[str]:
    """Return how many signals open by feed in the last days, though nothing drifts."""
    end = retailer.settings.end
    every = opened(retailer, [end - timedelta(days=back) for back in reversed(range(days))])
    return Counter(signal.split("/")[1] for _, signal in every)


def _scaled(feed: str, column: str, factor: float, *, one_day: bool = False) -> Callable[[Retailer], Retailer]:
    def change(retailer: Retailer) -> Retailer:
        first = first_day(retailer)
        is_on = pl.col("event_date") == first if one_day else pl.col("event_date") >= first
        value = pl.col(column) * factor
        whole = value if feed == "prices" else value.round(0)
        return retailer.with_feed(
            feed, lambda rows: rows.with_columns(pl.when(is_on).then(whole).otherwise(column).alias(column))
        )

    return change


def _more_promotions(points: float) -> Callable[[Retailer], Retailer]:
    """Promote so many products more, drawn by a seed, that the share rises by some points."""

    def change(retailer: Retailer) -> Retailer:
        first = first_day(retailer)

        def rows_of(rows: pl.DataFrame) -> pl.DataFrame:
            products = rows["sku_id"].unique().sort().to_numpy()
            share = rows.filter(pl.col("event_date") < first)["is_promotion"].mean()
            count = round(len(products) * points / (1 - float(str(share))))
            drawn = np.random.default_rng(retailer.settings.seed).choice(products, count, replace=False).tolist()
            is_on = pl.col("is_promotion") | ((pl.col("event_date") >= first) & pl.col("sku_id").is_in(drawn))
            return rows.with_columns(is_promotion=is_on)

        return retailer.with_feed("prices", rows_of)

    return change


def _swapped(feed: str) -> Callable[[Retailer], Retailer]:
    def change(retailer: Retailer) -> Retailer:
        first = first_day(retailer)
        one, other = (
            np.random.default_rng(retailer.settings.seed)
            .choice(retailer.feeds[feed]["store_id"].unique().sort().to_numpy(), 2, replace=False)
            .tolist()
        )
        names = pl.col("store_id").replace({one: other, other: one})
        is_on = pl.col("event_date") == first
        return retailer.with_feed(
            feed, lambda rows: rows.with_columns(store_id=pl.when(is_on).then(names).otherwise("store_id"))
        )

    return change


def first_day(retailer: Retailer) -> date:
    """Return the day on which something happens: another one for each seed."""
    return retailer.settings.end - timedelta(days=_BEFORE_END + 7 * (retailer.settings.seed % 3))


# What changes or breaks, the figure that has to tell it, and how.
CHANGES: Mapping[str, tuple[Callable[[Retailer], Retailer], str]] = {
    "level +20%": (_scaled("sales", "sales_units", 1 + CHANGE), f"feed/sales/sales_units/{CHANGED}"),
    "level -20%": (_scaled("sales", "sales_units", 1 - CHANGE), f"feed/sales/sales_units/{CHANGED}"),
    "price +20%": (_scaled("prices", "unit_price", 1 + CHANGE), f"feed/prices/price_level/{CHANGED}"),
    "price -20%": (_scaled("prices", "unit_price", 1 - CHANGE), f"feed/prices/price_level/{CHANGED}"),
    "promotions +20 points": (_more_promotions(CHANGE), f"feed/prices/promotion_share/{CHANGED}"),
}
BREAKS: Mapping[str, tuple[Callable[[Retailer], Retailer], str]] = {
    "sales x 10": (_scaled("sales", "sales_units", 10, one_day=True), f"feed/sales/sales_units/{BROKEN}"),
    "stock x 10": (
        _scaled("inventory_positions", "on_hand_units", 10, one_day=True),
        f"feed/inventory_positions/on_hand_units/{BROKEN}",
    ),
    "orders x 10": (
        _scaled("purchase_orders", "ordered_units", 10, one_day=True),
        f"feed/purchase_orders/ordered_units/{BROKEN}",
    ),
    "prices x 10": (_scaled("prices", "unit_price", 10, one_day=True), f"feed/prices/price_level/{BROKEN}"),
    "sales all 0": (_scaled("sales", "sales_units", 0, one_day=True), f"feed/sales/sales_units/{BROKEN}"),
    "prices all 0": (_scaled("prices", "unit_price", 0, one_day=True), f"feed/prices/unit_price_zero_share/{BROKEN}"),
    "lead times all 0": (
        _scaled("inventory_positions", "lead_time_days", 0, one_day=True),
        f"feed/inventory_positions/lead_time_days_zero_share/{BROKEN}",
    ),
    "stores swapped in sales": (_swapped("sales"), f"feed/sales/store_names/{BROKEN}"),
    "stores swapped in stock": (_swapped("inventory_positions"), f"feed/inventory_positions/store_names/{BROKEN}"),
}


def days_until_told(retailer: Retailer, name: str) -> int | None:
    """Return on which day of a change, from 1, it is told; None if not within the days that it has."""
    change, signal = {**CHANGES, **BREAKS}[name]
    first = first_day(retailer)
    waits = FOUND_WITHIN if name in CHANGES else 1
    changed = change(retailer)
    days = [first + timedelta(days=ahead) for ahead in range(-1, waits)]
    told = opened(changed, days)
    found = [(day - first).days + 1 for day, each in told if each.startswith(signal) and day >= first]
    return min(found, default=None)


def main(given: list[str] | None = None) -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--skus", type=int, default=100)
    parser.add_argument("--stores", type=int, default=6)
    parser.add_argument("--days", type=int, default=91)
    asked = parser.parse_args(given)
    goals: list[Goal] = []
    waited: dict[str, list[int | None]] = {name: [] for name in (*CHANGES, *BREAKS)}
    for seed in asked.seeds:
        plain = make_retailer(seed, asked.skus, asked.stores)
        cases = {"": plain, ", strong season": seasonal(plain)}
        if seed % 2:
            cases[", calendar and weather"] = make_retailer(seed, asked.skus, asked.stores, has_calendar=True)
        for words, retailer in cases.items():
            counts = false_signals(retailer, asked.days)
            most = max(counts.values(), default=0)
            told = ", ".join(f"{count} {feed}" for feed, count in sorted(counts.items()))
            title = f"seed {seed}{words}: false signals of the worst feed{f' ({told})' if told else ''}"
            goals.append(Goal(title, most, AT_MOST_A_QUARTER, unit="count"))
            print(goals[-1].row, flush=True)
        for name, days in waited.items():
            days.append(days_until_told(plain, name))
            print(seed, name, days[-1], flush=True)
    for name, days in waited.items():
        most_days = FOUND_WITHIN if name in CHANGES else 1
        found = [each for each in days if each is not None]
        missed = len(days) - len(found)
        median_day = f", median day {median(found):g}" if found else ""
        goals.append(Goal(f"{name}: not told by day {most_days}, of {len(days)}{median_day}", missed, 0, unit="count"))
    print(goals_table(goals, "Drift on simulated retailers"))
    return any_missed(goals)


if __name__ == "__main__":
    raise SystemExit(main())
