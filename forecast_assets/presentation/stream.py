"""Texts of the stream: what could not be worked off, and what was ingested.

What belongs here: wording and layout. What does not: finding anything.
"""

from collections.abc import Sequence
from typing import Final

from forecast_assets.core.wording import counted
from forecast_assets.operations.stream_ingesting import StreamIngested
from forecast_assets.presentation.state import findings_text
from forecast_assets.presentation.text import table
from resources.operational.stream_letters import StreamLetter

_SHOWN: Final = 80
_LONGEST: Final = 4_000


def stream_letters_text(letters: Sequence[StreamLetter], total: int) -> str:
    """Return letters as a table, with how many there are."""
    if not letters:
        return "No message of the stream was left over."
    rows = [
        [each.letter_id, each.received_at, f"{each.topic}/{each.partition}@{each.offset}", _shortened(each.reason)]
        for each in letters
    ]
    shown = "" if total == len(letters) else f"; the newest {len(letters)} are shown"
    return f"{table(['number', 'received', 'message', 'why'], rows)}\n{counted(total, 'dead letter')}{shown}."


def stream_letter_text(letter: StreamLetter) -> str:
    """Return all of a letter; bytes that are no text are shown as such, and of long ones the beginning."""
    headers = "\n".join(f"  {name}: {said}" for name, said in letter.headers.items()) or "  none"
    value = letter.value[:_LONGEST].decode(errors="backslashreplace")
    left = f"\n... {len(letter.value):,} bytes in all" if len(letter.value) > _LONGEST else ""
    return (
        f"Dead letter {letter.letter_id}: offset {letter.offset} of partition {letter.partition} of {letter.topic}, "
        f"received {letter.received_at}\nWhy: {letter.reason}\nKey: {letter.key}\nHeaders:\n{headers}\n"
        f"Value:\n{value}{left}"
    )


def stream_ingested_text(done: StreamIngested) -> str:
    """Return what became of a batch of messages, in a line; and what somebody should look at."""
    entries = [str(each.sequence) for each in done.outcomes if each.sequence is not None]
    recorded = f"ledger entry {', '.join(entries)}" if entries else "nothing new"
    letters = (
        f"; {counted(done.letters, 'dead letter')}: forecast-assets stream dead-letters list" if done.letters else ""
    )
    findings = [finding for outcome in done.outcomes for finding in outcome.findings]
    found = f"\n{findings_text(findings)}" if findings else ""
    return f"{counted(done.messages, 'message')}, {counted(done.records, 'record')}: {recorded}{letters}.{found}"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
