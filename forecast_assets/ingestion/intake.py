"""What batches must be before they are stored: everything that is wrong with them, at once.

What belongs here: rules on the batches of one ingest, each by itself, with each other and with what is held.
What does not: reading sources, storing, or deciding which of two sources is right (``fusion``).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

import polars as pl

from forecast_assets.contracts import ALL_STORES
from forecast_assets.contracts.confirmations import confirmations_feed
from forecast_assets.core.errors import FIRST, HierarchyError, first_ten
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history.moments import midnight
from forecast_assets.ingestion.batch import LONGEST_LAG, Batch
from forecast_assets.ingestion.days import is_far_from_all_others, is_in_the_future, is_known_too_early, latest_day
from forecast_assets.ingestion.far_values import FarValues
from forecast_assets.ingestion.findings import UNFIT, FeedFinding, contract_findings
from forecast_assets.ingestion.gaps import gap_findings, joined, limits, runs_of
from forecast_assets.ingestion.identifiers import Identifiers
from forecast_assets.ingestion.repeats import Repeats, without_repeats
from forecast_assets.ingestion.silent_days import SilentDays
from forecast_assets.ingestion.stored_rows import NO_STORED_ROWS, StoredRows
from resources.stores.moments import DAILY_FEEDS
from resources.stores.observations import LATER_COLUMNS

_MEMBERS: Final = {"product_hierarchy": "sku_id", "store_hierarchy": "store_id"}
# Feeds that speak of SKUs in stores, apart from sales themselves.
_ABOUT_SALES: Final = ("stock_status", "inventory_positions", "purchase_orders", "prices")
# What the name of a store, or of a node of stores, may stand in.
_PLACES: Final = (("sales", "store_id"), ("store_hierarchy", "store_id"), ("store_hierarchy", "node_id"))
# Feeds that are limited to such places.
_PLACED: Final = ("events", "covariates")
_MERGE_EVERY: Final = 8


@dataclass(frozen=True)
class BatchVerdict:
    """What was found of one batch.

    Attributes:
        findings: Everything that is wrong with it by itself.
        repeats: What its source has not said before, and what it only said again; all is new where there is an error.
    """

    findings: list[FeedFinding]
    repeats: Repeats

    @property
    def new(self) -> pl.DataFrame:
        """The rows that its source has not said before."""
        return self.repeats.new

    @property
    def has_error(self) -> bool:
        """Whether the batch may not be stored."""
        return any(finding.is_error for finding in self.findings)


class Intake:
    """Judges the batches of one ingest as they come, and keeps of each only names and runs of days.

    Args:
        stored: What the store holds already.
        earlier: Rows to compare each batch with: what is stored, and batches of this ingest already written.
    """

    def __init__(self, stored: StoredRows = NO_STORED_ROWS, earlier: StoredRows | None = None) -> None:
        self._stored = stored
        self._earlier = earlier or stored
        self._runs: list[pl.DataFrame] = []
        self._names: dict[tuple[str, str], set[str]] = {}
        self._silent = SilentDays(stored)
        self.last_day = latest_day()
        self._identifiers = Identifiers()
        self._far_values = FarValues(stored)

    def take(self, batch: Batch) -> BatchVerdict:
        """Judge a batch by itself and against what its source said before."""
        told = {finding.column: finding.rows for finding in batch.findings if finding.column}
        found = [*batch.findings, *contract_findings(batch.contract, batch.frame, told)]
        if batch.listed_days is not None and [finding.kind for finding in found] == ["empty"]:
            return BatchVerdict([*batch.findings, _nothing_sold(batch)], Repeats(batch.frame))
        if any(finding.kind in UNFIT for finding in found):
            return BatchVerdict([_of_delivery(finding, batch) for finding in found], Repeats(batch.frame))
        self._note(batch)
        found += _impossible_days(batch, self.last_day)
        if batch.feed in DAILY_FEEDS:
            found += [*_known_too_early(batch), *_known_late(batch)]
        if batch.feed in _MEMBERS:
            found += _broken_tree(batch)
        if any(finding.is_error for finding in found):
            return BatchVerdict(found, Repeats(batch.frame))
        repeats, contradictions = self._compared(batch)
        far = self._far_values.judge(batch, repeats.new)
        return BatchVerdict([*found, *contradictions, *far], repeats)

    def reasons(self, batch: Batch) -> Iterable[tuple[pl.Series, str]]:
        """Return why rows of a batch are set aside beside the rules of its contract: [rows] which, and the words."""
        if batch.far_values == "quarantine":
            yield self._far_values.far_rows(batch), "its value is far outside its series' own record"

    def take_known(self, batch: Batch) -> None:
        """Take note of a batch that is held already, byte for byte."""
        self._note_names(batch)

    def finish(self) -> list[FeedFinding]:
        """Judge the batches together: missing days, and names that one feed has and another lacks."""
        gaps = gap_findings(joined(self._runs), self._stored)
        alike = self._identifiers.findings(self._stored)
        names = [*self._unknown_members(), *self._unplaced(), *self._nowhere(), *self._everywhere(), *alike]
        return [*gaps, *self._silent.findings(), *names]

    def _note(self, batch: Batch) -> None:
        self._note_names(batch)
        if batch.feed == "sales" and batch.listed_days is None:
            self._runs.append(runs_of(batch))
            if len(self._runs) >= _MERGE_EVERY:
                self._runs = [joined(self._runs)]
        self._silent.take(batch)

    def _note_names(self, batch: Batch) -> None:
        self._identifiers.take(batch)
        for column in ("sku_id", "store_id", "store_node", "node_id"):
            if column in batch.frame.columns:
                names = batch.frame[column].drop_nulls().unique()
                self._names.setdefault((batch.feed, column), set()).update(names.to_list())

    def _compared(self, batch: Batch) -> tuple[Repeats, list[FeedFinding]]:
        """Return what is new and what is said again, and a finding on rows that say otherwise at the same moment."""
        first, last = limits(batch.frame["event_date"])
        stored = self._earlier.rows(batch.feed, source=batch.source, since=first, until=last)
        if stored is None:
            return without_repeats(batch, batch.frame, _nothing_of(batch), None), []
        columns = batch.said_columns
        same_trust = stored.filter(pl.col("trust") == batch.trust).select(columns)
        new = batch.frame.lazy().join(same_trust, on=columns, how="anti", nulls_equal=True, maintain_order="left")
        confirmed = self._earlier.rows(confirmations_feed(batch.feed), source=batch.source, since=first, until=last)
        repeats = without_repeats(batch, new.collect(engine="streaming"), stored, confirmed)
        fresh, additions = _without_additions(batch, repeats.new, stored)
        if repeats.said_at_once.height:
            stored = pl.concat([stored.select(columns), repeats.said_at_once.lazy().select(columns)])
        return replace(repeats, new=fresh), [*additions, *_contradictions(batch, fresh, stored)]

    def _unknown_members(self) -> list[FeedFinding]:
        """Return SKUs and stores that other feeds speak of and sales do not know."""
        if not self._is_there("sales"):
            return []
        found = []
        for feed in _ABOUT_SALES:
            for column, what in (("sku_id", "SKUs"), ("store_id", "stores")):
                names = self._names.get((feed, column), set()) - self._names.get(("sales", column), set())
                unknown = sorted(names - self._stored_among("sales", column, names))
                message = f"{len(unknown):,} {what} that sales do not know: {first_ten(unknown)}"
                remedy = "Their rows are kept and not used; look whether both feeds write the names alike."
                found += _warning(feed, f"unknown {what}", len(unknown), message, remedy)
        return found

    def _unplaced(self) -> list[FeedFinding]:
        """Return members of sales that a hierarchy lacks."""
        found = []
        for feed, column in _MEMBERS.items():
            sold = self._names.get(("sales", column), set())
            if sold and self._is_there(feed):
                without = sold - self._names.get((feed, column), set())
                lacking = sorted(without - self._stored_among(feed, column, without))
                message = f"it lacks {len(lacking):,} {column} of sales: {first_ten(lacking)}"
                remedy = "A run needs a place for each: add them before the next one."
                found += _warning(feed, "missing members", len(lacking), message, remedy)
        return found

    def _nowhere(self) -> list[FeedFinding]:
        """Return events and covariates that are limited to a store or node which nobody knows."""
        found = []
        for feed in _PLACED:
            asked = self._unplaceable(self._names.get((feed, "store_node"), set()) - {ALL_STORES})
            message = (
                f"{feed} are limited to {len(asked):,} stores or nodes that are not known: {first_ten(sorted(asked))}"
            )
            remedy = f"Use `{ALL_STORES}`, a store_id or a node of the store hierarchy; until then they count nowhere."
            found += _warning(feed, "unknown nodes", len(asked), message, remedy)
        return found

    def _everywhere(self) -> list[FeedFinding]:
        """Return warnings where what is said of all stores could be meant for the one store or node called so."""
        found = []
        for feed in _PLACED:
            asked = self._names.get((feed, "store_node"), set()) & {ALL_STORES}
            if asked and not self._unplaceable(asked):
                message = f"{feed} of `{ALL_STORES}` hold in every store, although a store or node is called so too"
                remedy = (
                    "To limit them to that one, put it into a node of its own in the store hierarchy and name that."
                )
                found += _warning(feed, f"{feed} of all stores", 1, message, remedy)
        return found

    def _unplaceable(self, nodes: set[str]) -> set[str]:
        """Return those nodes of stores that no feed knows."""
        for feed, column in _PLACES:
            nodes = nodes - self._names.get((feed, column), set())
            nodes = nodes - self._stored_among(feed, column, nodes)
        return nodes

    def _is_there(self, feed: str) -> bool:
        return any(name == feed for name, _ in self._names) or self._stored.rows(feed) is not None

    def _stored_among(self, feed: str, column: str, names: set[str]) -> set[str]:
        """Return which of some names the held rows of a feed have; only read where there is something to ask."""
        rows = self._stored.rows(feed) if names else None
        if rows is None:
            return set()
        wanted = pl.LazyFrame({column: sorted(names)})
        found = rows.select(column).join(wanted, on=column, how="semi").unique().collect(engine="streaming")
        return set(found[column].to_list())


def _warning(feed: str, kind: str, rows: int, message: str, remedy: str) -> list[FeedFinding]:
    return [FeedFinding(feed, kind, is_error=False, rows=rows, message=message, remedy=remedy)] if rows else []


def _nothing_sold(batch: Batch) -> FeedFinding:
    message = f"{batch.delivery or batch.source} has no rows: nothing was sold"
    remedy = "It says nothing of which day; a day between two others of a store counts as closed."
    return FeedFinding(batch.feed, "empty", is_error=False, rows=0, message=message, remedy=remedy)


def _of_delivery(finding: FeedFinding, batch: Batch) -> FeedFinding:
    """Return a finding on a whole delivery with its name."""
    if finding.kind != "empty" or not batch.delivery:
        return finding
    return replace(finding, message=f"{batch.delivery} has no rows")


def _impossible_days(batch: Batch, last_day: date) -> list[FeedFinding]:
    """Return what is wrong with days that cannot be, row by row."""
    found = []
    for rows, kind, what in (
        (
            is_in_the_future(batch, last_day),
            "day in the future",
            f"speak of days after {last_day}, not yet here",
        ),
        (is_far_from_all_others(batch), "far day", "speak of days that are years away from all others of the file"),
    ):
        if rows.any():
            numbers = batch.row_numbers if batch.row_numbers is not None else pl.int_range(1, len(rows) + 1, eager=True)
            bad = batch.frame.filter(rows).with_columns(row=numbers.filter(rows))
            shown = "; ".join(f"row {row['row']}: {row['event_date']}" for row in bad.head(FIRST).rows(named=True))
            message = f"{batch.delivery or batch.source}: {bad.height:,} rows {what}: {shown}"
            remedy = "Correct them at the source; days that are right and far away belong into a file of their own."
            found.append(FeedFinding(batch.feed, kind, True, bad.height, message, remedy, "event_date"))
    return found


def _known_too_early(batch: Batch) -> list[FeedFinding]:
    early = batch.frame.filter(is_known_too_early(batch))
    if early.is_empty():
        return []
    rows = "; ".join(str(row) for row in early.head(FIRST).rows(named=True))
    message = f"{early.height:,} rows were known before their day began: {rows}"
    remedy = f"Correct known_at (in UTC) or event_date in source `{batch.source}`."
    return [
        FeedFinding(batch.feed, "known too early", is_error=True, rows=early.height, message=message, remedy=remedy)
    ]


def _known_late(batch: Batch) -> list[FeedFinding]:
    """Return a warning if most rows look as if they had been known when they were ingested, not when they were said."""
    day_end = midnight(pl.col("event_date") + timedelta(days=1))
    late = int(batch.frame.select((pl.col("known_at") > day_end + LONGEST_LAG).sum()).item())
    if late * 2 <= batch.frame.height:
        return []
    message = f"{late:,} rows became known more than {LONGEST_LAG.days} days after their day"
    remedy = "Runs for those days never see them. If known_at is the time of an export, leave it out: a lag is assumed."
    return _warning(batch.feed, "known late", late, message, remedy)


def _broken_tree(batch: Batch) -> list[FeedFinding]:
    """Return where the memberships of a batch, newest first, are not a tree; more may be held, so it only warns."""
    member = _MEMBERS[batch.feed]
    key = [member, "depth"]
    newest = batch.frame.drop_nulls().sort(*key, "event_date", "known_at").unique(key, keep="last", maintain_order=True)
    memberships = newest.select(*key, "level_name", "node_id")
    members = newest.select(member).unique().with_columns(pl.lit("-").alias(_OTHER[member]))
    frames = [memberships, None] if member == "sku_id" else [None, memberships]
    try:
        Hierarchy.build(members.sort("store_id", "sku_id"), *frames)
    except HierarchyError as error:
        return _warning(batch.feed, "not a tree", newest.height, str(error.message), str(error.remedy))
    return []


_OTHER: Final = {"sku_id": "store_id", "store_id": "sku_id"}


def _nothing_of(batch: Batch) -> pl.LazyFrame:
    return pl.LazyFrame(schema={**batch.contract.schema, "trust": pl.Float64, "batch_number": pl.Int32})


def _without_additions(
    batch: Batch, fresh: pl.DataFrame, stored: pl.LazyFrame
) -> tuple[pl.DataFrame, list[FeedFinding]]:
    """Leave out rows that only fill a column which the feed got after they had been stored, and say so.

    What was known at a moment does not change afterwards: the rows stay as they were, and days to come have the column.
    """
    later = LATER_COLUMNS.get(batch.feed, ())
    if not later or fresh[list(later)].null_count().sum_horizontal().item() == fresh.height * len(later):
        return fresh, []
    before = [name for name in batch.contract.names if name not in later]
    silent = stored.filter(pl.all_horizontal(pl.col(later).is_null())).select(before)
    kept = fresh.lazy().join(silent, on=before, how="anti", nulls_equal=True, maintain_order="left").collect()
    message = f"{fresh.height - kept.height:,} rows say {', '.join(later)} of days that were stored without it"
    remedy = "Those days stay as they were; to have it on all days, take the source into a new home folder."
    return kept, _warning(batch.feed, "later column", fresh.height - kept.height, message, remedy)


def _contradictions(batch: Batch, fresh: pl.DataFrame, stored: pl.LazyFrame) -> list[FeedFinding]:
    key, columns = list(batch.contract.key), batch.said_columns
    other = fresh.lazy().join(stored.select(columns), on=columns, how="anti", nulls_equal=True, maintain_order="left")
    # A source that lists only what was sold never says zero: releases before this one made such rows up for it, and
    # they give way to its own word.
    word = pl.lit(value=True) if batch.listed_days is None else pl.col("sales_units") != 0
    before = stored.filter(word).select(key)
    again = other.join(before, on=key, how="semi", maintain_order="left").collect(engine="streaming")
    if again.is_empty():
        return []
    named = "; ".join(str(row) for row in again.head(3).select(pl.all().cast(pl.String)).rows(named=True))
    message = f"{again.height:,} rows say something else than before, as known at the same moment: {named}"
    remedy = "A correction needs a later known_at: map a column of the source, or set it among the constants."
    return [FeedFinding(batch.feed, "contradiction", is_error=True, rows=again.height, message=message, remedy=remedy)]


BatchExpectations = Callable[[Batch], list[str]]


class Expectations:
    """What is beyond the contract, asked of many small batches of a feed and source at once: asking takes its time.

    Args:
        expect: From a batch to what is not as expected of it, in sentences.
    """

    def __init__(self, expect: BatchExpectations) -> None:
        self._expect = expect
        self._waiting: dict[tuple[str, str], list[pl.DataFrame]] = {}
        self._like: dict[tuple[str, str], Batch] = {}

    def take(self, batch: Batch) -> list[FeedFinding]:
        """Ask of a batch, or let it wait for others that are as small."""
        place = batch.feed, batch.source
        waiting = self._waiting.setdefault(place, [])
        waiting.append(batch.frame)
        self._like[place] = replace(batch, frame=batch.frame.clear(), row_numbers=None, unreadable=None, findings=())
        return self._asked(place) if sum(frame.height for frame in waiting) >= _ASKED_ROWS else []

    def finish(self) -> list[FeedFinding]:
        """Ask of those that wait."""
        return [finding for place in list(self._waiting) for finding in self._asked(place)]

    def _asked(self, place: tuple[str, str]) -> list[FeedFinding]:
        batch = replace(self._like[place], frame=pl.concat(self._waiting.pop(place)))
        return [
            FeedFinding(batch.feed, "expectation", is_error=True, rows=batch.frame.height, message=sentence, remedy="")
            for sentence in self._expect(batch)
        ]


# As many as a suite looks at in any case.
_ASKED_ROWS: Final = 100_000


def errors_among(findings: Iterable[FeedFinding]) -> bool:
    """Whether any of the findings is an error."""
    return any(finding.is_error for finding in findings)
