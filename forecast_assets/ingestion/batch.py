"""A batch: what one source said about one feed.

What belongs here: the shape that readers hand over and the store takes in.
What does not: reading files, checking a batch (``intake``) or choosing between sources (``fusion``).
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import polars as pl

from forecast_assets.contracts import FEEDS, Contract
from forecast_assets.core.errors import SourceError
from forecast_assets.ingestion.findings import FeedFinding
from resources.stores.observations import LATER_COLUMNS

LONGEST_LAG: Final = timedelta(days=30)
_SOURCE_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Tolerance:
    """How many quarantined rows of a day a run of that day goes on with: the larger of the two.

    Attributes:
        rows: So many.
        percent: So many of a hundred rows of the day, 0 to 100.
    """

    rows: int = 0
    percent: float = 0.0


@dataclass(frozen=True)
class Batch:
    """Rows of one feed from one source.

    Attributes:
        feed: Name of the feed, a key of ``contracts.FEEDS``.
        source: Who says so, for example `pos`; lower case letters, digits and underscores.
        trust: How far to believe it against other sources of the feed, 0..1.
        declared_lag: How long after the end of an event day this source is complete for that day.
        frame: The contract's columns, sorted by `event_date` first, so that date windows prune row groups. Those
            that the feed got later (`LATER_COLUMNS`) may be left out, and are null then.
        delivery: What came in one piece. Within it a missing day is an error, also where it arrives as several batches;
            between two deliveries of a source it may still come.
        comes_in_pieces: Whether it was cut from a stream wherever that had come to: a day that it lacks may come with
            the next one.
        listed_days: Of sales that list only what was sold, so that silence means zero: how long after its last sale an
            article is still listed (history.silence). None where a missing row is a gap.
        row_numbers: [rows] number of each row in its file, as people count; None where the reader does not say.
        unreadable: [rows] which values of a row could not be read, in words; null where all could.
        days_aside: `sku_id, store_id, event_date` of rows that were set aside, which are no holes; None where none was.
        quarantine: Rows that break a rule are set aside, and so many of a day are tolerated; None to refuse the batch.
        findings: What the reader found wrong already, for example values that it could not read (null in the frame).
        derived: Columns that the reader derived and the source did not say. A row that says the same otherwise is no
            other word: what is held keeps what was derived for it.
        far_values: Whether values far outside their series' own record are taken with a warning, set aside, or refused.

    Raises:
        SourceError: If the feed is unknown, the source's name is not allowed, or trust or lag are out of range.
    """

    feed: str
    source: str
    trust: float
    declared_lag: timedelta
    frame: pl.DataFrame
    delivery: str = ""
    findings: tuple[FeedFinding, ...] = ()
    listed_days: int | None = None
    row_numbers: pl.Series | None = None
    unreadable: pl.Series | None = None
    quarantine: Tolerance | None = None
    days_aside: pl.DataFrame | None = None
    derived: tuple[str, ...] = ()
    far_values: Literal["accept", "quarantine", "refuse"] = "accept"
    comes_in_pieces: bool = False

    def __post_init__(self) -> None:
        if self.feed not in FEEDS:
            raise SourceError(f"There is no feed `{self.feed}`.", remedy=f"Use one of {sorted(FEEDS)}.", feed=self.feed)
        if not _SOURCE_NAME.fullmatch(self.source):
            raise SourceError(
                f"`{self.source}` cannot name a source of `{self.feed}`.",
                remedy="Use a lower-case letter, then lower-case letters, digits and underscores, for example `pos`.",
            )
        if not 0 <= self.trust <= 1:
            raise SourceError(
                f"Source `{self.source}` of `{self.feed}` has a trust of {self.trust}.",
                remedy="Give it a trust from 0 (never believed) to 1.",
            )
        if not timedelta(0) <= self.declared_lag <= LONGEST_LAG:
            raise SourceError(
                f"Source `{self.source}` of `{self.feed}` declares a lag of {self.declared_lag}.",
                remedy="A day is complete at its end at the earliest, and every run waits that long: declare a lag of "
                f"zero to {LONGEST_LAG.days} days.",
            )
        # Readers that were written before a column was there, and their files, go on working.
        absent = [name for name in LATER_COLUMNS.get(self.feed, ()) if name not in self.frame.columns]
        if absent:
            nothing = [pl.lit(None, self.contract.schema[name]).alias(name) for name in absent]
            object.__setattr__(self, "frame", self.frame.with_columns(nothing))

    @property
    def said_columns(self) -> list[str]:
        """Columns of the contract that the source said, by which a row is compared with what it said before."""
        return [name for name in self.contract.names if name not in self.derived]

    @property
    def contract(self) -> Contract:
        """The contract of the feed."""
        return FEEDS[self.feed]
