"""Moments of knowledge: by when something had to be known to count for a prediction date, feed by feed.

What belongs here: the rule that gives a date its moments. What does not: reading rows by them (history), or whether
anything has come (snapshots.readiness).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from forecast_assets.contracts.confirmations import spoken_feed
from resources.ledger.entries.ingest import BatchRecord

# Feeds with a row per series and day: a run starts when they are there, as far as a source ever had them.
DAILY_FEEDS: Final = ("sales", "stock_status", "inventory_positions")
# A silent store that has reported a day so much later was closed, or its file is lost; sooner it may only be late.
SILENT_DAYS: Final = 3
# Feeds whose rows after the cutoff are plans, known ahead.
PLANNED: Final = frozenset({"prices", "events", "covariates", "store_closures"})


@dataclass(frozen=True)
class Moments:
    """By when something had to be known.

    Attributes:
        known_until: The moment of the run: when the last of the feeds that it waits for has its first word.
        by_feed: The moments of feeds that are read as of an earlier one.
    """

    known_until: datetime
    by_feed: Mapping[str, datetime] = field(default_factory=dict)

    def of(self, feed: str) -> datetime:
        """Return by when a row of a feed had to be known."""
        return self.by_feed.get(feed, self.known_until)


def moments_of(prediction_date: date, batches: Iterable[BatchRecord]) -> Moments:
    """Return the moments of a date: its end, plus the time until a feed has its first word.

    A feed's lag is that of its quickest source; slower sources correct it later. The run waits for the slowest of
    ``DAILY_FEEDS``. Every other feed counts as far as it is known by its own lag, and never beyond the moment of the
    run, so that a run that is made later knows no more. Plans are known ahead, and how late they are final says nothing
    of the days that are over: of them everything counts that was decided by the moment of the run.

    Args:
        prediction_date: The date.
        batches: All that is recorded.

    Example:
        >>> moments_of(date(2025, 6, 30), []).known_until.isoformat()
        '2025-07-01T00:00:00+00:00'
    """
    lags: dict[str, float] = {}
    for batch in batches:
        feed = spoken_feed(batch.feed)
        lags[feed] = min(batch.declared_lag_hours, lags.get(feed, batch.declared_lag_hours))
    run = max((lags[feed] for feed in DAILY_FEEDS if feed in lags), default=0.0)
    end = datetime.combine(prediction_date + timedelta(days=1), time(), UTC)
    earlier = {feed: lag for feed, lag in sorted(lags.items()) if lag < run and feed not in PLANNED}
    return Moments(end + timedelta(hours=run), {feed: end + timedelta(hours=lag) for feed, lag in earlier.items()})
