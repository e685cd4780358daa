"""Feedback as use cases: taking it in, mending what could not be used, handing findings to the quality backlog.

What belongs here: what is done with records and dead letters. What does not: which records are good
(`feedback_checks`), how either is kept, or any protocol.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import polars as pl

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import InputError, LostRaceError
from forecast_assets.core.spreadsheets import without_formulas
from forecast_assets.operations.feedback_checks import MOST_RECORDS, QUALITY, FindEvents, judged_records
from forecast_assets.operations.new_files import new_file
from resources.ledger.entries.backlog import BACKLOG, OPEN, Backlog, BacklogDecision
from resources.ledger.log import Ledger
from resources.operational.dead_letters import (
    DROPPED,
    MENDED,
    REFUSED,
    REPLAYED,
    WAITING,
    DeadLetter,
    DeadLetters,
    LetterStep,
    Sender,
)
from resources.operational.feedback import ACCEPTED, FeedbackStore, KeptFeedback, NewRecord, Outcome
from resources.stores.home import Stores

FORMATS: Final = (".parquet", ".csv")
_ATTEMPTS: Final = 10
# What callers, or whoever names them, wrote.
_OF_CALLERS: Final = ("caller", "request_id", "prediction_id", "finding", "comment", "taken_over_by")
_COLUMNS: Final[Mapping[str, pl.DataType | type[pl.DataType]]] = {
    "feedback_id": pl.String, "received_at": pl.Datetime("us", "UTC"), "key_id": pl.String, "caller": pl.String,
    "request_id": pl.String, "position": pl.Int64, "kind": pl.String, "prediction_id": pl.String,
    "event_id": pl.String, "units": pl.Float64, "label": pl.String, "finding": pl.String, "comment": pl.String,
    "letter_id": pl.Int64, "backlog_item": pl.Int64, "taken_over_by": pl.String, "taken_over_at": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Receipt:
    """What became of a request.

    Attributes:
        outcomes: Of its records, in their order.
        is_repeated: Whether the same request had come before, and nothing was kept again.
    """

    outcomes: Sequence[Outcome]
    is_repeated: bool

    @property
    def accepted(self) -> int:
        """How many records were good."""
        return sum(each.status == ACCEPTED for each in self.outcomes)

    @property
    def dead_lettered(self) -> int:
        """How many were not."""
        return len(self.outcomes) - self.accepted


@dataclass(frozen=True)
class Replayed:
    """What became of a dead letter that was replayed.

    Attributes:
        letter: As it is now.
        feedback_id: What it is as feedback; None where it cannot be used still.
    """

    letter: DeadLetter
    feedback_id: str | None


@dataclass(frozen=True)
class TakenOver:
    """A finding that is an item of the quality backlog.

    Attributes:
        feedback: The finding.
        item: Number of the item.
    """

    feedback: KeptFeedback
    item: int


def receive(
    stores: Stores, store: FeedbackStore, sender: Sender, texts: Sequence[str], find_events: FindEvents | None = None
) -> Receipt:
    """Take in the records of a request: what is good as feedback, the rest as dead letters, all of it or nothing.

    Args:
        stores: Where predictions are looked up; nothing is written to them.
        store: Where feedback is kept.
        sender: Who sent it; the same request of the same caller again is kept once.
        texts: Its records as they were sent, in JSON.
        find_events: Tells which of some ids are prediction events; None where no events are kept.

    Raises:
        InputError: If there is no record, or too many, or the caller sent others under the id of the request.
        StorageError: If feedback cannot be written, or what was published cannot be read.
    """
    if not 1 <= len(texts) <= MOST_RECORDS:
        raise InputError(
            f"A request has 1 to {MOST_RECORDS:,} records, not {len(texts):,}.",
            remedy="Send them in several requests.",
            records=len(texts),
        )
    sha256 = hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()
    earlier = store.outcomes(sender, sha256)
    if earlier is not None:
        return Receipt(earlier, is_repeated=True)
    judged = judged_records(stores, texts, find_events)
    records = [NewRecord(text, str(uuid4()), each) for text, each in zip(texts, judged, strict=True)]
    return Receipt(*store.keep(sender, sha256, records))


def mend(
    letters: DeadLetters,
    letter_id: int,
    changes: Mapping[str, Any],
    *,
    removed: Sequence[str] = (),
    whole: str | None = None,
    by: str,
) -> DeadLetter:
    """Change fields of a dead letter; what was sent stays beside it.

    Args:
        letters: The dead letters.
        letter_id: Which.
        changes: New values by field.
        removed: Fields to leave out.
        whole: The record anew, in JSON; None to begin with how it is.
        by: Who mends.

    Raises:
        InputError: If there is no such letter, nothing is to be changed, or it is no JSON object to change fields of.
        RefusedError: If it waits no more.
    """
    letter = letters.find(letter_id)
    record = _record(letter, letter.text if whole is None else whole)
    missing = [name for name in removed if name not in record]
    if missing:
        raise InputError(
            f"Dead letter {letter_id} has no field `{missing[0]}`.", remedy=_show(letter_id), letter_id=letter_id
        )
    mended = {name: value for name, value in {**record, **changes}.items() if name not in removed}
    text = json.dumps(mended, ensure_ascii=False)
    if whole is None and mended == record:
        raise InputError(
            f"Dead letter {letter_id} would stay as it is.",
            remedy="Say which field to set: --set units=3.",
            letter_id=letter_id,
        )
    return letters.step(letter, _step(MENDED, by, "mended", text))


def replay(
    stores: Stores,
    store: FeedbackStore,
    letters: DeadLetters,
    letter_id: int,
    *,
    by: str,
    find_events: FindEvents | None = None,
) -> Replayed:
    """Send a dead letter through the same door again, as feedback of whoever sent it.

    Args:
        stores: Where predictions are looked up.
        store: Where feedback is kept.
        letters: The dead letters.
        letter_id: Which.
        by: Who replays it.
        find_events: Tells which of some ids are prediction events; None where no events are kept.

    Raises:
        InputError: If there is no such letter.
        RefusedError: If it waits no more, or somebody mended it meanwhile.
    """
    letter = letters.find(letter_id)
    (judged,) = judged_records(stores, [letter.text], find_events)
    if isinstance(judged, str):
        return Replayed(letters.step(letter, _step(REFUSED, by, judged, letter.text)), None)
    feedback_id = str(uuid4())
    store.keep_replayed(letter, feedback_id, judged, _step(REPLAYED, by, f"feedback {feedback_id}", letter.text))
    return Replayed(letters.find(letter_id), feedback_id)


def drop(letters: DeadLetters, letter_id: int, *, by: str, reason: str) -> DeadLetter:
    """Say of a dead letter that nothing comes of it; it stays.

    Raises:
        InputError: If there is no such letter, or who or why is missing.
        RefusedError: If it waits no more.
    """
    require_decision("Dropping a dead letter", by, reason)
    letter = letters.find(letter_id)
    return letters.step(letter, _step(DROPPED, by, reason, letter.text))


def waiting_letters(letters: DeadLetters) -> Sequence[int]:
    """Return the numbers of the letters that wait, oldest first."""
    return [each.letter_id for each in letters.all(WAITING)]


def open_findings(store: FeedbackStore) -> Sequence[KeptFeedback]:
    """Return findings that no item of the quality backlog is about yet, oldest first."""
    return [each for each in store.all(QUALITY) if each.backlog_item is None]


def take_over(ledger: Ledger, store: FeedbackStore, *, by: str) -> Sequence[TakenOver]:
    """Make each open finding an item of the quality backlog, in an entry of the ledger each.

    What stops in between goes on when it is called again: a finding that the ledger has is opened no second time.

    Args:
        ledger: Of the home; to be written.
        store: Where feedback is kept.
        by: Who takes it over.

    Raises:
        InputError: If who is missing.
        LostRaceError: If others open items all the time.
    """
    require_decision("Taking over", by, "findings of callers")
    taken = []
    for each in open_findings(store):
        item = _item_for(ledger, each, by)
        store.taken_over(each.feedback_id, item, by=by, at=_now())
        taken.append(TakenOver(each, item))
    return taken


def _item_for(ledger: Ledger, finding: KeptFeedback, by: str) -> int:
    signal = f"feedback/{finding.feedback_id}"
    reason = f"{finding.sender.name} on {finding.said.subject}: {finding.said.finding}"
    for _ in range(_ATTEMPTS):
        backlog = ledger.state().part(Backlog)
        known = backlog.item_of(signal)
        if known is not None:
            return known
        decision = BacklogDecision(backlog.next_item, OPEN, by, reason, signal)
        try:
            ledger.append(BACKLOG.name, BACKLOG.body(decision))
        except LostRaceError:
            continue
        except InputError:
            # Another process took it over between the look and the entry.
            continue
        return decision.item
    raise LostRaceError(
        f"Others open items of the backlog all the time: {finding.feedback_id} is not taken over.",
        remedy="Run the same command again.",
        feedback_id=finding.feedback_id,
    )


def feedback_frame(kept: Sequence[KeptFeedback]) -> pl.DataFrame:
    """Return feedback as a table, a row each."""
    rows = [
        {
            **asdict(each.said),
            "feedback_id": each.feedback_id, "received_at": datetime.fromisoformat(each.sender.at),
            "key_id": each.sender.key_id, "caller": each.sender.name, "request_id": each.sender.request_id,
            "position": each.position, "letter_id": each.letter_id, "backlog_item": each.backlog_item,
            "taken_over_by": each.taken_over_by, "taken_over_at": each.taken_over_at,
        }
        for each in kept
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=_COLUMNS)


def export_feedback(kept: Sequence[KeptFeedback], out: Path) -> None:
    """Write feedback to a file that must be new; in CSV no text of a caller is a formula to spreadsheets.

    Args:
        kept: What to write.
        out: `.parquet` or `.csv`.

    Raises:
        InputError: If the name has another ending or is taken, or its folder does not exist.
        StorageError: If the disk refuses.
    """
    with new_file(out, FORMATS) as scratch:
        frame = feedback_frame(kept)
        if out.suffix == ".csv":
            without_formulas(frame, _OF_CALLERS).write_csv(scratch)
        else:
            frame.write_parquet(scratch)


def _record(letter: DeadLetter, text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise InputError(
            f"Dead letter {letter.letter_id} would be no JSON object: it has no fields to change.",
            remedy=Sentence("Write it anew with --json TEXT; ", _show(letter.letter_id)),
            letter_id=letter.letter_id,
        )
    return record


def _show(letter_id: int) -> Sentence:
    return Sentence("See how it is: ", Action("dead-letters show", on=(str(letter_id),)), ".")


def _step(what: str, by: str, reason: str, text: str) -> LetterStep:
    require_decision(f"A dead letter that is {what}", by, reason)
    return LetterStep(_now(), what, by, reason, text)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
