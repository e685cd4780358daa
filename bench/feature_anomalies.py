"""Which of the four detectors finds planted faults in snapshots, at the same stated rate of false alarms.

Retailers of several seeds are simulated, and their snapshots computed day by day. Each detector is trained on the four
weeks that end before the first judged day, as in the pipeline; then faults of four kinds are planted in the feeds of
each judged day: units times ten and prices a hundred times too high or too low in a twentieth of the series, two stores
by each other's names, and a store whose feed repeats itself for a week. Counted are series whose snapshot the fault has
changed.

    python -m bench.feature_anomalies [--seeds 1 2 3] [--skus 60] [--stores 6] [--days 3]
"""

from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from bench.drift import Retailer, make_retailer
from bench.goals import Goal, any_missed, goals_table
from forecast_assets.anomalies.detectors import DETECTORS
from forecast_assets.contracts import ANOMALOUS
from forecast_assets.feature_anomalies.changes import EARLIER_DAYS, SeriesChanges, WatchedFeatures, series_changes
from forecast_assets.feature_anomalies.detector_training import (
    DEFAULT_METHOD,
    FALSE_ALARM_RATE,
    TRAINING_DAYS,
    train_on_days,
)
from forecast_assets.feature_anomalies.judging import anomaly_rows
from forecast_assets.feature_anomalies.signals import signals_of_rows
from forecast_assets.features.compiler import SERIES, compute_features
from forecast_assets.features.specs import DEFAULT_SPECS

FEEDS = ("sales", "inventory_positions", "prices")
HIT = 0.05
FROZEN_DAYS = 7
# Days between judged ones, so that they are not the same day twice.
APART = 4
FOUND = 0.6
WATCHED = WatchedFeatures.of(DEFAULT_SPECS)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Fault:
    """A fault of a feed.

    Attributes:
        name: What it is.
        days: How many days up to the judged one it has lasted.
        plant: From a feed's rows, the judged day and a source of chance to the rows with the fault.
        feed: The feed.
    """

    name: str
    feed: str
    days: int
    plant: Callable[[pl.DataFrame, date, np.random.Generator], pl.DataFrame]


def _times(column: str, factor: float) -> Callable[[pl.DataFrame, date, np.random.Generator], pl.DataFrame]:
    def plant(rows: pl.DataFrame, day: date, random: np.random.Generator) -> pl.DataFrame:
        series = rows.filter(event_date=day).select(SERIES).unique().sort(SERIES)
        hit = series.filter(pl.Series(random.random(series.height) < HIT)).with_columns(event_date=day, is_hit=True)
        value = pl.when(pl.col("is_hit")).then(pl.col(column) * factor).otherwise(column)
        return rows.join(hit, on=[*SERIES, "event_date"], how="left").with_columns(value.alias(column)).drop("is_hit")

    return plant


def _swapped(rows: pl.DataFrame, day: date, random: np.random.Generator) -> pl.DataFrame:
    one, other = random.choice(rows["store_id"].unique().sort().to_numpy(), 2, replace=False).tolist()
    names = pl.col("store_id").replace({one: other, other: one})
    return rows.with_columns(store_id=pl.when(pl.col("event_date") == day).then(names).otherwise("store_id"))


def _frozen(column: str) -> Callable[[pl.DataFrame, date, np.random.Generator], pl.DataFrame]:
    def plant(rows: pl.DataFrame, day: date, random: np.random.Generator) -> pl.DataFrame:
        store, last = random.choice(rows["store_id"].unique().sort().to_numpy()), day - FROZEN_DAYS * DAY
        kept = rows.filter(event_date=last, store_id=store).select(*SERIES, pl.col(column).alias("kept"))
        is_on = (pl.col("event_date") > last) & (pl.col("event_date") <= day) & pl.col("kept").is_not_null()
        value = pl.when(is_on).then("kept").otherwise(column)
        return rows.join(kept, on=SERIES, how="left").with_columns(value.alias(column)).drop("kept")

    return plant


FAULTS: Sequence[Fault] = (
    Fault("sales x 10", "sales", 1, _times("sales_units", 10)),
    Fault("stock x 10", "inventory_positions", 1, _times("on_hand_units", 10)),
    Fault("prices x 100", "prices", 1, _times("price_ratio", 100)),
    Fault("prices / 100", "prices", 1, _times("price_ratio", 0.01)),
    Fault("swapped, sales", "sales", 1, _swapped),
    Fault("swapped, stock", "inventory_positions", 1, _swapped),
    Fault("frozen, sales", "sales", FROZEN_DAYS, _frozen("sales_units")),
    Fault("frozen, stock", "inventory_positions", FROZEN_DAYS, _frozen("on_hand_units")),
)
# What snapshots show of a fault: units sold are in them as means of a week and more.
SHOWN = ("sales x 10", "stock x 10", "prices x 100", "prices / 100", "swapped, stock", "frozen, stock")


@dataclass(frozen=True)
class Case:
    """A judged day with a fault.

    Attributes:
        fault: The fault.
        day: The day.
        changes: What changed of its series.
        hit: `store_id, sku_id` of those whose snapshot the fault has changed.
    """

    fault: Fault
    day: date
    changes: SeriesChanges
    hit: pl.DataFrame


@dataclass(frozen=True)
class Played:
    """A retailer's days.

    Attributes:
        training: [n, columns] by day.
        clean: What changed on judged days without a fault.
        cases: The same days with faults.
    """

    training: Mapping[date, np.ndarray]
    clean: Mapping[date, SeriesChanges]
    cases: Sequence[Case]


def snapshot(feeds: Mapping[str, pl.DataFrame], day: date) -> pl.DataFrame:
    return compute_features(DEFAULT_SPECS, {name: feeds[name].lazy() for name in FEEDS}, cutoff=day)


def play(retailer: Retailer, days: int) -> Played:
    judged = [retailer.settings.end - APART * back * DAY for back in reversed(range(days))]
    first = judged[0] - (TRAINING_DAYS + EARLIER_DAYS) * DAY
    every = [first + ahead * DAY for ahead in range((judged[-1] - first).days + 1)]
    clean = {day: snapshot(retailer.feeds, day) for day in every}

    def changes(day: date, instead: Mapping[date, pl.DataFrame]) -> SeriesChanges:
        snapshots = {**clean, **instead}
        earlier = [snapshots[day - back * DAY] for back in range(EARLIER_DAYS, 0, -1) if day - back * DAY in snapshots]
        return series_changes(snapshots[day], earlier, WATCHED)

    training = {}
    for day in every[EARLIER_DAYS : EARLIER_DAYS + TRAINING_DAYS]:
        found = changes(day, {})
        training[day] = found.matrix()[found.is_judged]
    cases = []
    for day in judged:
        for number, fault in enumerate(FAULTS):
            random = np.random.default_rng([retailer.settings.seed, day.toordinal(), number])
            feeds = {**retailer.feeds, fault.feed: fault.plant(retailer.feeds[fault.feed], day, random)}
            made = {each: snapshot(feeds, each) for each in (day - back * DAY for back in range(fault.days))}
            hit = made[day].join(clean[day], on=made[day].columns, how="anti", nulls_equal=True).select(SERIES)
            cases.append(Case(fault, day, changes(day, made), hit))
    return Played(training, {day: changes(day, {}) for day in judged}, cases)


def main(given: list[str] | None = None) -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--skus", type=int, default=60)
    parser.add_argument("--stores", type=int, default=6)
    parser.add_argument("--days", type=int, default=3)
    asked = parser.parse_args(given)
    # By detector and fault: series that were found and that were hit, days with a signal of the feed, and days.
    counts: dict[tuple[str, str], np.ndarray] = defaultdict(lambda: np.zeros(4))
    for seed in asked.seeds:
        played = play(make_retailer(seed, asked.skus, asked.stores, has_calendar=bool(seed % 2)), asked.days)
        print(f"seed {seed}: {len(played.cases)} faults planted", flush=True)
        for method in DETECTORS:
            model = train_on_days(played.training, WATCHED, name=method, method=method).model
            for day, changes in played.clean.items():
                rows = anomaly_rows(changes, model, day)
                found = rows.filter(verdict=ANOMALOUS).height
                counts[method, ""] += (found, rows.height, bool(signals_of_rows(rows, day)), 1)
            for case in played.cases:
                rows = anomaly_rows(case.changes, model, case.day)
                found = rows.filter(verdict=ANOMALOUS).join(case.hit, on=SERIES, how="semi").height
                told = any(each.called.name == case.fault.feed for each in signals_of_rows(rows, case.day))
                counts[method, case.fault.name] += (found, case.hit.height, told, 1)
    print(
        f"\nShare of series, at a stated false alarm rate of {FALSE_ALARM_RATE:.0%}; days on which the feed is told.\n"
    )
    names = [*DETECTORS]
    print(f"{'':16}" + "".join(f"{name:>24}" for name in names))
    for fault in ("", *(each.name for each in FAULTS)):
        cells = (counts[name, fault] for name in names)
        shown = (f"{found / max(hit, 1):.1%} {told:.0f} of {days:.0f}" for found, hit, told, days in cells)
        print(f"{fault or 'false alarms':16}" + "".join(f"{cell:>24}" for cell in shown))
    share = {name: counts[DEFAULT_METHOD, name][0] / max(counts[DEFAULT_METHOD, name][1], 1) for name in ("", *SHOWN)}
    goals = [Goal("false alarms", share[""], 2 * FALSE_ALARM_RATE, unit="share")]
    goals += [Goal(f"{name}: not found", 1 - share[name], 1 - FOUND, unit="share") for name in SHOWN]
    print(f"\n{goals_table(goals, f'Anomalies in snapshots, {DEFAULT_METHOD}')}")
    return any_missed(goals)


if __name__ == "__main__":
    raise SystemExit(main())
