"""What is held already, as far as judging a new batch needs it.

What belongs here: one way to ask for held rows, whoever holds them. What does not: judging.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from resources.ledger.entries.ingest import BatchRecord
from resources.stores.observations import ObservationStore

_Scan = Callable[[str, str | None, date | None, date | None], pl.LazyFrame | None]


@dataclass(frozen=True)
class StoredRows:
    """Rows that batches are compared with, read only in the windows that are asked for.

    Attributes:
        scan: From feed, source (None for any), first and last event date to rows with `source`, `trust` and
            `batch_number`, the place of their batch among all.
    """

    scan: _Scan

    @classmethod
    def of(cls, frames: Mapping[str, pl.DataFrame], *, source: str = "held", trust: float = 0.5) -> "StoredRows":
        """Hold frames in memory.

        Example:
            >>> StoredRows.of({}).rows("sales") is None
            True
        """

        def scan(feed: str, asked: str | None, since: date | None, until: date | None) -> pl.LazyFrame | None:
            if feed not in frames or asked not in {None, source}:
                return None
            day = pl.col("event_date")
            rows = frames[feed].lazy().with_columns(source=pl.lit(source), trust=pl.lit(trust), batch_number=pl.lit(0))
            return rows.filter(day >= (since or date.min), day <= (until or date.max))

        return cls(scan)

    @classmethod
    def by(cls, store: ObservationStore, batches: Callable[[], Iterable[BatchRecord]]) -> "StoredRows":
        """Hold what a store's batches hold, asked for anew each time."""

        def scan(feed: str, asked: str | None, since: date | None, until: date | None) -> pl.LazyFrame | None:
            every = enumerate(batches())
            wanted = {at: batch for at, batch in every if batch.feed == feed and asked in {None, batch.source}}
            # Words count as confirmed only by what was stored after them.
            numbers = {batch.batch_id: at for at, batch in wanted.items()}
            return store.scan(wanted.values(), feed, since=since, until=until, numbers=numbers)

        return cls(scan)

    def rows(
        self, feed: str, *, source: str | None = None, since: date | None = None, until: date | None = None
    ) -> pl.LazyFrame | None:
        """Return held rows of a feed, or None where there are no files of it.

        Args:
            feed: Feed.
            source: Only of this source.
            since: First event date.
            until: Last event date.
        """
        return self.scan(feed, source, since, until)


NO_STORED_ROWS = StoredRows.of({})
