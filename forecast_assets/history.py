"""The past as it was known: resolved observations of a snapshot's batches, and the panel that follows from them.

What belongs here: reading what a snapshot's manifest names, no more and no less. What does not: deciding which of two
sources is right (sources.fusion), or any model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from forecast_assets.contracts import FEEDS
from forecast_assets.features.panel import Panel, assemble_panel
from forecast_assets.sources.fusion import resolve
from resources.ledger import BatchRecord
from resources.observation_store import PLANNED, ObservationStore
from resources.prediction_store import ProductVersion


@dataclass(frozen=True)
class History:
    """A window on what was known at one moment.

    Attributes:
        store: Where the batches are.
        batches: The batches that may be read.
        cutoff: The last observed day.
        known_until: Rows that became known later do not exist here.
    """

    store: ObservationStore
    batches: tuple[BatchRecord, ...]
    cutoff: date
    known_until: datetime

    @classmethod
    def of(cls, snapshot: ProductVersion, store: ObservationStore) -> "History":
        """Return the history that a snapshot was made from, as its manifest records it."""
        return cls(
            store,
            tuple(store.named(snapshot.inputs["batches"])),
            date.fromisoformat(snapshot.facts["prediction_date"]),
            datetime.fromisoformat(snapshot.facts["known_until"]),
        )

    def feed(self, name: str, *, since: date | None = None, ahead_days: int = 0) -> pl.LazyFrame | None:
        """Return one feed's resolved rows up to the cutoff, or None where no batch has the feed.

        Args:
            name: Feed.
            since: First event date to read.
            ahead_days: Days of plan after the cutoff to read, for feeds that know the future.
        """
        until = self.cutoff + timedelta(days=ahead_days if name in PLANNED else 0)
        rows = self.store.scan(self.batches, name, since=since, until=until)
        return None if rows is None else resolve(name, rows, known_until=self.known_until)

    def feeds(self, *, since: date | None = None, ahead_days: int = 0) -> Mapping[str, pl.LazyFrame]:
        """Return every feed that there is."""
        read = {name: self.feed(name, since=since, ahead_days=ahead_days) for name in FEEDS}
        return {name: rows for name, rows in read.items() if rows is not None}

    def recent_feeds(self) -> Mapping[str, pl.LazyFrame]:
        """Return every feed's rows of the last four weeks and a day."""
        return self.feeds(since=self.cutoff - timedelta(days=28))

    def panel(self, series: pl.DataFrame, *, history_days: int, horizon_days: int) -> Panel:
        """Return the panel of the given series over the last ``history_days`` and the horizon."""
        since = self.cutoff - timedelta(days=history_days - 1)
        rows = self.feeds(since=since, ahead_days=horizon_days)
        return assemble_panel(series, rows, cutoff=self.cutoff, history_days=history_days, horizon_days=horizon_days)

    def membership(self, feed: str) -> pl.DataFrame | None:
        """Return the hierarchy memberships that hold at the cutoff: the newest by the day from which they hold."""
        rows = self.feed(feed)
        if rows is None:
            return None
        member = "sku_id" if feed == "product_hierarchy" else "store_id"
        key = [member, "depth"]
        return (
            rows.select(*key, "level_name", "node_id", "event_date")
            .sort(*key, "event_date")
            .unique(key, keep="last", maintain_order=True)
            .drop("event_date")
            .collect()
        )
