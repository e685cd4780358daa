"""What stays said when a batch is taken back: words of it that its source said again later.

What belongs here: finding these words, and storing them as later deliveries said them. What does not: taking a batch
back (``resources.ledger.entries.retract``), or telling repetitions when they come (``repeats``).

A word that is said again is not stored again. So the only row of it may be in the batch that is taken back, although
another delivery said it too: from then on it counts still.
"""

from collections.abc import Iterable
from datetime import timedelta

import polars as pl

from forecast_assets.contracts import FEEDS
from forecast_assets.contracts.confirmations import confirmations_feed, is_confirmable, word_key
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.history.silence import silences
from forecast_assets.ingestion.repeats import listed_confirmations, next_said, repeated_since
from resources.ledger.entries.ingest import BatchRecord
from resources.stores.observations import ObservationStore


def keep_what_was_said_again(store: ObservationStore, taken_back: BatchRecord, *, by: str, reason: str) -> None:
    """Store the words of a batch as they were said again, before the batch is taken back.

    Args:
        store: Where the batches are.
        taken_back: The batch; it counts still.
        by: Who takes it back.
        reason: Why.

    Raises:
        LostRaceError: If another ingest records the same days meanwhile; run again.
    """
    contract = FEEDS.get(taken_back.feed)
    if contract is None or not is_confirmable(contract):
        return
    judged_at = store.sequence()
    since, until = taken_back.first_event_date, taken_back.last_event_date
    numbers = store.numbers()
    own = [batch for batch in store.batches() if batch.source == taken_back.source]
    again = store.scan(own, confirmations_feed(contract.name), since=since, until=until, numbers=numbers)
    words = store.scan([taken_back], contract.name, numbers=numbers)
    every = store.scan(own, contract.name, since=since, until=until)
    if again is None or words is None or every is None:
        return
    rows = words.collect().with_row_index("word")
    said = every.select(*word_key(contract), "known_at").collect()
    hidden = repeated_since(contract, next_said(contract, rows, said), again, source=taken_back.source)
    frames = {contract.name: hidden.first}
    if hidden.later.height:
        frames[confirmations_feed(contract.name)] = listed_confirmations(contract, hidden.later)
    written = [
        store.write(
            frame,
            feed=feed,
            source=taken_back.source,
            trust=taken_back.trust,
            declared_lag=timedelta(hours=taken_back.declared_lag_hours),
            listed_days=_listed_days(own, taken_back.source) if feed == contract.name else None,
        )
        for feed, frame in frames.items()
        if frame.height
    ]
    store.record(written, judged_at=judged_at, by=by, reason=reason)


def require_no_other_word(store: ObservationStore, taken_back: BatchRecord) -> None:
    """Refuse to let a batch count again whose rows say something else than what came since, at the same moment.

    Raises:
        InputError: Naming the first of them.
    """
    contract = FEEDS.get(taken_back.feed)
    if contract is None:
        return
    own = [batch for batch in store.batches() if (batch.feed, batch.source) == (taken_back.feed, taken_back.source)]
    since, until = taken_back.first_event_date, taken_back.last_event_date
    rows, others = store.scan([taken_back], contract.name), store.scan(own, contract.name, since=since, until=until)
    if rows is None or others is None:
        return
    said = others.select(contract.names)
    differing = rows.select(contract.names).join(said, on=contract.names, how="anti", nulls_equal=True)
    again = differing.join(said.select(contract.key), on=list(contract.key), how="semi").collect()
    if again.height:
        named = first_ten(str(row) for row in again.head(3).select(pl.all().cast(pl.String)).rows(named=True))
        raise InputError(
            f"Batch {taken_back.batch_id[:12]} cannot count again: {again.height:,} of its rows say otherwise than "
            f"what came since, as known at the same moment: {named}.",
            remedy=Sentence("Take back first what is wrong of the two: ", Action("ingest batches"), " lists them."),
        )


def _listed_days(batches: Iterable[BatchRecord], source: str) -> int | None:
    """Return what a source's silence means by its own newest word; keeping rows of it changes nothing of that."""
    return next((each.listed_days for each in silences(batches) if each.source == source), None)
