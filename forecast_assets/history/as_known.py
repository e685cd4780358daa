"""The past as it was known: resolved observations of a snapshot's batches, and the panel that follows from them.

What belongs here: reading what a snapshot's manifest names, no more and no less. What does not: deciding which of two
sources is right (history.fusion), or any model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import polars as pl

from forecast_assets.contracts import COVARIATES, FEEDS, SALES, STORE_CLOSURES
from forecast_assets.contracts.confirmations import confirmations_feed
from forecast_assets.core.errors import InputError
from forecast_assets.features.covariates import WORD_COLUMNS, Covariates, lay_out_covariates
from forecast_assets.features.panel import DAYS_BEYOND, PANEL_FEEDS, Panel, assemble_panel
from forecast_assets.features.specs import FeatureSpec, days_needed
from forecast_assets.history.fusion import resolve, resolve_uncontested
from forecast_assets.history.quarantined import quarantined_rows, without_uncertain
from forecast_assets.history.silence import RESOLVED_SALES, Silence, assumed_sales, silences
from forecast_assets.history.vintages import first_cutoff, words_in_turn
from resources.ledger.entries.ingest import BatchRecord
from resources.store.manifests import ProductVersion
from resources.stores.moments import PLANNED, SILENT_DAYS
from resources.stores.observations import ObservationStore, contested_days

DateSpan = tuple[date, date]

_DECIDED_DAYS: Final = 91
_SALES_KEY: Final = ["sku_id", "store_id", "event_date"]


@dataclass(frozen=True)
class History:
    """A window on what was known at one moment.

    Attributes:
        store: Where the batches are.
        batches: The batches that may be read.
        cutoff: The last observed day.
        known_until: Rows that became known later do not exist here.
        plans_known_until: The same for plans of days after the cutoff, where that is earlier: a correction knows more
            of the past than the run it corrects, and no more of the future.
        known_by_feed: The same for feeds that are read as of an earlier moment than the others.
        is_enriched: Whether values that the source which counts does not have are those of the next one.
    """

    store: ObservationStore
    batches: tuple[BatchRecord, ...]
    cutoff: date
    known_until: datetime
    plans_known_until: datetime | None = None
    known_by_feed: Mapping[str, datetime] = field(default_factory=dict)
    is_enriched: bool = True

    @classmethod
    def of(cls, snapshot: ProductVersion, store: ObservationStore) -> "History":
        """Return the history that a snapshot was made from, as its manifest records it."""
        return cls(
            store,
            tuple(store.named(snapshot.inputs["batches"])),
            date.fromisoformat(snapshot.facts["prediction_date"]),
            datetime.fromisoformat(snapshot.facts["known_until"]),
            _moment(snapshot.facts.get("plans_known_until")),
            known_by_feed(snapshot),
            is_enriched=snapshot.facts.get("is_enriched", False),
        )

    @classmethod
    def later(cls, snapshot: ProductVersion, store: ObservationStore, known_until: datetime) -> "History":
        """Return what is known of a snapshot's past at a later moment; of its future, no more than it knew.

        Raises:
            InputError: If the moment is earlier than the snapshot's own.
        """
        made = cls.of(snapshot, store)
        if known_until < made.known_until:
            raise InputError(
                f"{known_until:%Y-%m-%d %H:%M:%S} UTC is earlier than what the snapshot of {made.cutoff} knew already "
                f"({made.known_until:%Y-%m-%d %H:%M:%S} UTC).",
                remedy="Name a later moment with --known-until, or leave it out for all that is known now.",
            )
        batches = tuple(store.as_known(made.cutoff, known_until))
        plans = made.plans_known_until or made.known_until
        return cls(store, batches, made.cutoff, known_until, plans, is_enriched=made.is_enriched)

    def moment(self, feed: str) -> datetime:
        """Return by when a row of a feed had to be known."""
        return self.known_by_feed.get(feed, self.known_until)

    def unresolved_feed(self, name: str, *, since: date | None = None, ahead_days: int = 0) -> pl.LazyFrame | None:
        """Return what every source has said of a feed by then, unresolved; arguments as for ``feed``."""
        since, until = self._window(name, since, ahead_days)
        numbers = self.store.numbers() if self._has_confirmations(name) else None
        rows = self.store.scan(self.batches, name, since=since, until=until, numbers=numbers)
        return None if rows is None else rows.filter(self._is_known(name))

    def _is_known(self, name: str) -> pl.Expr:
        is_known = pl.col("known_at") <= self.moment(name)
        if self.plans_known_until is not None:
            is_known &= (pl.col("event_date") <= self.cutoff) | (pl.col("known_at") <= self.plans_known_until)
        return is_known

    def confirmations(self, name: str, *, since: date | None = None, until: date | None = None) -> pl.LazyFrame | None:
        """Return which words of a feed were said again by then; None if none was.

        Args:
            name: Feed.
            since: First event date to read.
            until: Last event date to read.
        """
        if not self._has_confirmations(name):
            return None
        numbers, batches = self.store.numbers(), self.batches
        said = self.store.scan(batches, confirmations_feed(name), since=since, until=until, numbers=numbers)
        return None if said is None else said.filter(self._is_known(name))

    def _has_confirmations(self, name: str) -> bool:
        return any(batch.feed == confirmations_feed(name) for batch in self.batches)

    def _window(self, name: str, since: date | None, ahead_days: int) -> tuple[date | None, date]:
        return since, self.cutoff + timedelta(days=ahead_days if name in PLANNED else 0)

    def feed(
        self, name: str, *, since: date | None = None, ahead_days: int = 0, days: Sequence[date] | None = None
    ) -> pl.LazyFrame | None:
        """Return one feed's resolved rows up to the cutoff, or None where no batch has the feed.

        Args:
            name: Feed.
            since: First event date to read.
            ahead_days: Days of plan after the cutoff to read, for feeds that know the future.
            days: Read these days only, at least one; instead of `since`.
        """
        since = min(days) if days else since
        said = self._said(name, since, ahead_days, days)
        if name != SALES.name or not any(batch.feed == name for batch in self.batches):
            return said
        resolved = pl.LazyFrame(schema=RESOLVED_SALES) if said is None else said
        assumed = self.assumed_sales(resolved, since)
        if assumed is None:
            return said
        read = pl.concat([resolved, assumed])
        return read.filter(pl.col("event_date").is_in(days)) if days else read

    def _said(self, name: str, since: date | None, ahead_days: int, days: Sequence[date] | None) -> pl.LazyFrame | None:
        """Return the resolved rows that sources said."""
        rows = self.unresolved_feed(name, since=since, ahead_days=ahead_days)
        if rows is None:
            return None
        if days:
            rows = rows.filter(pl.col("event_date").is_in(days))
        if "event_date" not in FEEDS[name].key:
            return self.resolved(name, rows)
        window = self._window(name, since, ahead_days)
        spans = contested_days(batch for batch in self.batches if batch.feed == name and batch.overlaps(*window))
        decided = [
            self.resolved(name, rows.filter(_is_within(some)), since=some[0][0], until=some[-1][1])
            for some in _portions(spans, *window)
        ]
        return pl.concat([resolve_uncontested(name, rows.filter(~_is_within(spans))), *decided])

    def resolved(
        self, name: str, rows: pl.LazyFrame, *, since: date | None = None, until: date | None = None
    ) -> pl.LazyFrame:
        """Return of some rows of ``unresolved_feed`` those that count, one of each key, as ``resolve`` does.

        Args:
            name: Feed.
            rows: The rows.
            since: The first event date that they may have.
            until: The last one.
        """
        return resolve(
            name,
            rows,
            known_until=self.moment(name),
            enriches=self.is_enriched,
            confirmations=self.confirmations(name, since=since, until=until),
        )

    def assumed_sales(
        self, said: pl.LazyFrame, since: date | None = None, *, stores: Sequence[str] | None = None
    ) -> pl.LazyFrame | None:
        """Return the zeros that follow from what sources of sales did not say; None where silence means nothing.

        Args:
            said: Resolved rows of sales; their keys have a word and get no zero.
            since: First event date.
            stores: Of these stores only.
        """
        found = silences(self.batches)
        if not found:
            return None
        first = since or min(batch.first_event_date for batch in self.batches if batch.feed == SALES.name)
        closures = self.closures(since=first - max(silence.reach for silence in found))
        zeros = [
            assumed_sales(words, closures, silence, since=first, until=self.cutoff)
            for silence in found
            if (words := self._words(silence, first, stores)) is not None
        ]
        if not zeros:
            return None
        # What two silent sources agree on comes once.
        every = zeros[0] if len(zeros) == 1 else pl.concat(zeros).unique(_SALES_KEY, keep="first", maintain_order=True)
        silent = every.join(said.select(_SALES_KEY), on=_SALES_KEY, how="anti")
        return without_uncertain(silent, quarantined_rows(self, since=first))

    def closures(self, *, since: date | None = None, ahead_days: int = 0) -> pl.DataFrame:
        """Return the store-days that were said to be closed or not, one row each: `store_id, event_date, is_closed`."""
        rows = self.feed(STORE_CLOSURES.name, since=since, ahead_days=ahead_days)
        columns = ["store_id", "event_date", "is_closed"]
        if rows is None:
            return pl.DataFrame(schema={name: STORE_CLOSURES.schema[name] for name in columns})
        return rows.select(columns).collect()

    def _words(self, silence: Silence, since: date, stores: Sequence[str] | None) -> pl.LazyFrame | None:
        """Return what a source said of sales, from as far back as its silence rests on to a few days after the cutoff.

        What was known by then of days after the cutoff tells whether a store that was silent before was closed.
        """
        own = replace(
            self,
            batches=tuple(batch for batch in self.batches if batch.source == silence.source),
            cutoff=self.cutoff + timedelta(days=SILENT_DAYS),
        )
        rows = own.unresolved_feed(SALES.name, since=since - silence.reach)
        return rows if rows is None or stores is None else rows.filter(pl.col("store_id").is_in(stores))

    def feeds(
        self, names: Iterable[str] = FEEDS, *, since: date | None = None, ahead_days: int = 0
    ) -> Mapping[str, pl.LazyFrame]:
        """Return every feed that there is, or those of the named ones."""
        read = {name: self.feed(name, since=since, ahead_days=ahead_days) for name in names}
        return {name: rows for name, rows in read.items() if rows is not None}

    def feeds_for(self, specs: Sequence[FeatureSpec]) -> Mapping[str, pl.LazyFrame]:
        """Return the feeds that feature specs read, as far back as their windows reach."""
        read = {
            name: self.feed(name, since=None if days is None else self.cutoff - timedelta(days=days - 1))
            for name, days in days_needed(specs).items()
        }
        return {name: rows for name, rows in read.items() if rows is not None}

    def recent_feeds(self) -> Mapping[str, pl.LazyFrame]:
        """Return every feed's rows of the last four weeks and a day."""
        return self.feeds(since=self.cutoff - timedelta(days=28))

    def panel(self, series: pl.DataFrame, *, history_days: int, horizon_days: int) -> Panel:
        """Return the panel of the given series over the last ``history_days`` and the horizon."""
        since = self.cutoff - timedelta(days=history_days - 1)
        rows = dict(self.feeds(PANEL_FEEDS, since=since, ahead_days=horizon_days + DAYS_BEYOND))
        if COVARIATES.name in rows:
            rows[COVARIATES.name] = self._covariate_words(rows[COVARIATES.name], since, horizon_days)
        return assemble_panel(
            series,
            rows,
            cutoff=self.cutoff,
            history_days=history_days,
            horizon_days=horizon_days,
            store_nodes=self.membership("store_hierarchy"),
        )

    def covariates(self, series: pl.DataFrame, *, history_days: int, horizon_days: int) -> Covariates:
        """Return the covariates of the given series over the last ``history_days`` and the horizon, without a panel."""
        since = self.cutoff - timedelta(days=history_days - 1)
        rows = self.feed(COVARIATES.name, since=since, ahead_days=horizon_days)
        words = None if rows is None else self._covariate_words(rows, since, horizon_days)
        nodes = self.membership("store_hierarchy")
        return lay_out_covariates(words, series, since, history_days + horizon_days, nodes)

    def _covariate_words(self, resolved: pl.LazyFrame, since: date, ahead_days: int) -> pl.LazyFrame:
        """Return what counted of covariates at every cutoff, as `WORD_COLUMNS`; at the own one what is resolved now.

        Args:
            resolved: Rows of the feed that count.
            since: First event date.
            ahead_days: Days of plan after the cutoff.
        """
        said = self.unresolved_feed(COVARIATES.name, since=since, ahead_days=ahead_days)
        assert said is not None
        turns = words_in_turn(COVARIATES, said.select(*COVARIATES.names, "source", "trust").collect()).lazy()
        # A correction is made later, but stands at the same cutoff.
        made_at = self.plans_known_until or self.known_until
        lag = made_at - datetime.combine(self.cutoff + timedelta(days=1), time(), UTC)
        of_then = turns.with_columns(since=first_cutoff(pl.col("known_at"), lag)).filter(pl.col("since") < self.cutoff)
        of_now = resolved.with_columns(since=pl.lit(self.cutoff))
        return pl.concat([rows.select(WORD_COLUMNS) for rows in (of_then, of_now)])

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


def _portions(spans: Iterable[DateSpan], since: date | None, until: date) -> list[list[DateSpan]]:
    """Return the days of some spans, as far as they lie in a window, about a quarter of a year at a time.

    Deciding needs all sources' rows at once in memory, and several times over; but no day needs another one's.
    """
    portions: list[list[DateSpan]] = []
    room = 0
    for first, last in spans:
        day, end = max(first, since or first), min(last, until)
        while day <= end:
            if not room:
                portions.append([])
                room = _DECIDED_DAYS
            stop = min(end, day + timedelta(days=room - 1))
            portions[-1].append((day, stop))
            room -= (stop - day).days + 1
            day = stop + timedelta(days=1)
    return portions


def _is_within(spans: Iterable[DateSpan]) -> pl.Expr:
    inside = [pl.col("event_date").is_between(*span) for span in spans]
    return pl.any_horizontal(inside) if inside else pl.lit(value=False)


def known_by_feed(snapshot: ProductVersion) -> Mapping[str, datetime]:
    """Return the moments of the feeds that a snapshot reads as of an earlier moment than the others."""
    moments = snapshot.facts.get("known_until_by_feed", {})
    return {feed: datetime.fromisoformat(moment) for feed, moment in moments.items()}


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
