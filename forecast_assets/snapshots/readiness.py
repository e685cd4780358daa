"""Are the inputs of a prediction date complete? If not, what is missing?

What belongs here: the rule and its words. What does not: launching or refusing a run.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

from forecast_assets.core.errors import first_ten
from forecast_assets.history.silence import ASSUMED_CLOSED, ASSUMED_ZERO
from resources.stores.moments import DAILY_FEEDS

USUAL_DAYS: Final = 28
# A store without rows is waited for on this many days after its last one; after that it counts as closed.
STORE_DAYS: Final = 3


@dataclass(frozen=True)
class Readiness:
    """The state of the inputs of one prediction date.

    Attributes:
        prediction_date: The date.
        missing: One sentence per feed that is not complete; empty when the run may start.
        rows: Rows of the date by feed.
    """

    prediction_date: date
    missing: tuple[str, ...]
    rows: Mapping[str, int]

    @property
    def is_complete(self) -> bool:
        """Whether the run may start."""
        return not self.missing


def assess_readiness(
    feeds: Mapping[str, pl.LazyFrame],
    required: Iterable[str],
    prediction_date: date,
    *,
    feed_tolerance: float,
    aside: pl.DataFrame | None = None,
) -> Readiness:
    """Judge whether every daily feed has reached the date, with every expected store and about the usual rows.

    Expected are the stores that had rows in the three days before; one that closes is missed on the three days after
    its last rows, and on none later.

    Args:
        feeds: Resolved rows by feed, of the date and the four weeks before it.
        required: Feeds that have ever been ingested; those with a row per series and day are waited for.
        prediction_date: The date to judge.
        feed_tolerance: Share by which the rows of the date may fall short of the median of the weeks before.
        aside: Quarantined rows of the date, as `history.quarantined` returns them.
    """
    missing: list[str] = []
    rows: dict[str, int] = {}
    wanted = set(required)
    if "sales" not in wanted:
        return Readiness(prediction_date, ("no feed `sales` has been ingested",), rows)
    for feed in DAILY_FEEDS:
        if feed in feeds:
            rows[feed], complaints = _assess_feed(feed, feeds[feed], prediction_date, feed_tolerance)
            missing += complaints
            missing += [] if aside is None else _too_many_aside(feed, aside, rows[feed], prediction_date)
        elif feed in wanted:
            missing.append(_silent(feed, prediction_date))
    return Readiness(prediction_date, tuple(missing), rows)


def _assess_feed(feed: str, rows: pl.LazyFrame, day: date, tolerance: float) -> tuple[int, list[str]]:
    window = rows.filter(pl.col("event_date").is_between(day - timedelta(days=USUAL_DAYS), day))
    counts = window.group_by("event_date", "store_id").agg(rows=pl.len()).collect()
    if counts.is_empty():
        return 0, [_silent(feed, day)]
    today = counts.filter(pl.col("event_date") == day)
    found = int(today["rows"].sum())
    if not found:
        return 0, [f"`{feed}` has not reached {day}: its newest day is {counts['event_date'].max()!s}"]
    return found, [
        *_missing_stores(feed, counts, today),
        *_short_rows(feed, counts, found, day, tolerance),
        *_cut_stores(feed, window, day, tolerance),
    ]


def _silent(feed: str, day: date) -> str:
    return f"`{feed}` has no rows in the {USUAL_DAYS} days up to {day}"


def _missing_stores(feed: str, counts: pl.DataFrame, today: pl.DataFrame) -> Sequence[str]:
    """Name the stores that had rows on one of the last days before, counted from the newest day with any rows."""
    before = counts.filter(pl.col("event_date") < today["event_date"][0])
    since = pl.col("event_date").max() - timedelta(days=STORE_DAYS - 1)
    expected = set(before.filter(pl.col("event_date") >= since)["store_id"])
    absent = sorted(expected - set(today["store_id"]))
    return [f"`{feed}` lacks {len(absent)} stores: {first_ten(absent)}"] if absent else []


def _cut_stores(feed: str, window: pl.LazyFrame, day: date, tolerance: float) -> Sequence[str]:
    """Name the stores that said much less of the day than on that weekday before, where silence would mean zero.

    How many articles sell on a day varies by chance, about as a Poisson count does: three deviations are allowed for.
    """
    if "resolution" not in window.collect_schema().names():
        return []
    is_weekday = pl.col("event_date").dt.weekday() == day.isoweekday()
    is_said = ~pl.col("resolution").is_in([ASSUMED_ZERO, ASSUMED_CLOSED])
    said = (
        window.filter(is_weekday)
        .group_by("store_id", "event_date")
        .agg(said=is_said.sum(), zeros=(pl.col("resolution") == ASSUMED_ZERO).sum())
        .collect()
    )
    today = said.filter(pl.col("event_date") == day, pl.col("zeros") > 0)
    before = (
        said.filter(pl.col("event_date") < day, pl.col("said") > 0).group_by("store_id").agg(least=pl.col("said").min())
    )
    least = pl.col("least")
    short = today.join(before, on="store_id").filter(pl.col("said") < least * (1 - tolerance) - 3 * least.sqrt())
    named = [
        f"{store} {said:,} instead of {least:,} or more"
        for store, said, least in short.sort("store_id").select("store_id", "said", "least").iter_rows()
    ]
    return [f"`{feed}` has few rows on {day}, perhaps since a file was cut short: {first_ten(named)}"] if named else []


def _too_many_aside(feed: str, aside: pl.DataFrame, rows: int, day: date) -> Sequence[str]:
    """Name the open quarantined rows of a feed and day, if they are more than their mapping tolerates."""
    own = aside.filter(pl.col("is_open"), pl.col("of_feed") == feed, pl.col("event_date") == day)
    if own.is_empty():
        return []
    tolerated = max(float(own["tolerated_rows"].max()), float(own["tolerated_percent"].max()) / 100 * rows)  # type: ignore[arg-type]
    if own.height <= tolerated:
        return []
    shown = first_ten(
        f"{file} row {number} ({reasons})"
        for file, number, reasons in own.select("delivery", "row_number", "reasons").iter_rows()
    )
    return [f"{own.height:,} rows of `{feed}` of {day} are in quarantine: {shown}"]


def _short_rows(feed: str, counts: pl.DataFrame, found: int, day: date, tolerance: float) -> Sequence[str]:
    before = counts.filter(pl.col("event_date") < day).group_by("event_date").agg(pl.col("rows").sum())
    if before.is_empty():
        return []
    usual = float(before["rows"].median() or 0)  # type: ignore[arg-type]
    if found >= usual * (1 - tolerance):
        return []
    return [f"`{feed}` has {found:,} rows on {day}, usually {usual:,.0f}"]
