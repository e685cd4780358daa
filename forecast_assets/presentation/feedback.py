"""Feedback and dead letters in words and tables.

What belongs here: how they look on a terminal. What does not: what is good, or keeping anything.

What callers sent is shown with control characters as escapes: a terminal would act on them.
"""

import unicodedata
from collections.abc import Sequence
from typing import Final

from forecast_assets.core.actions import Action
from forecast_assets.operations.feedback import Replayed, TakenOver
from forecast_assets.presentation.actions import command_line
from forecast_assets.presentation.text import table
from resources.operational.dead_letters import DeadLetter, LetterStep
from resources.operational.feedback import KeptFeedback

_WIDEST: Final = 60
_ACTS: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def feedback_text(kept: Sequence[KeptFeedback]) -> str:
    """List feedback."""
    if not kept:
        return "No feedback."
    rows = [
        (
            each.sender.at,
            _visible(each.sender.name),
            each.said.kind,
            _visible(each.said.subject),
            _said(each),
            _state(each),
        )
        for each in kept
    ]
    return table(("when", "who", "kind", "about", "what", "state"), rows)


def findings_text(waiting: Sequence[KeptFeedback]) -> str:
    """Say which findings are no item of the quality backlog yet."""
    take = command_line(Action("feedback take-over", {"by": "NAME"}))
    return f"Found by callers, and no item yet ({take}):\n{feedback_text(waiting)}"


def taken_text(taken: Sequence[TakenOver]) -> str:
    """Say which findings have become which items."""
    if not taken:
        return "Every finding is an item of the backlog already."
    return "\n".join(f"Item {each.item}: {_said(each.feedback)}" for each in taken)


def letters_text(letters: Sequence[DeadLetter]) -> str:
    """List dead letters."""
    if not letters:
        return "No dead letters."
    rows = [
        (
            str(each.letter_id), each.state, each.sender.at, _visible(each.sender.name),
            _cut(_visible(each.reason)), _cut(_visible(each.text)),
        )
        for each in letters
    ]  # fmt: skip
    return table(("letter", "state", "when", "who", "why", "record"), rows)


def letter_text(letter: DeadLetter, steps: Sequence[LetterStep]) -> str:
    """Show a dead letter whole, with what was done with it."""
    sender = letter.sender
    where = f"record {letter.position} of request {_visible(sender.request_id)}"
    parts = [
        f"Dead letter {letter.letter_id}, {letter.state}",
        f"sent by  {_visible(sender.name)} (key {sender.key_id}) at {sender.at}, {where}",
        f"why      {_visible(letter.reason)}",
        f"as sent  {_visible(letter.sent)}",
    ]
    if letter.text != letter.sent:
        parts.append(f"now      {_visible(letter.text)}")
    return "\n".join([*parts, *(_step(each) for each in steps)])


def replayed_text(replayed: Replayed) -> str:
    """Say what became of a dead letter that was replayed."""
    number = replayed.letter.letter_id
    if replayed.feedback_id is None:
        return f"Dead letter {number} cannot be used still: {_visible(replayed.letter.reason)}"
    return f"Dead letter {number} is feedback {replayed.feedback_id}."


def _step(step: LetterStep) -> str:
    now = f": {_visible(step.text)}" if step.what == "mended" else f": {_visible(step.reason)}"
    return f"{step.at}  {step.what} by {_visible(step.by)}{now}"


def _said(kept: KeptFeedback) -> str:
    said = kept.said
    what = said.label or said.finding or ("" if said.units is None else f"{said.units:g} units")
    return _cut(_visible(f"{what} - {said.comment}" if said.comment else what))


def _state(kept: KeptFeedback) -> str:
    if kept.said.finding is None:
        return ""
    return "open" if kept.backlog_item is None else f"item {kept.backlog_item}"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[:_WIDEST]}..."


def _visible(text: str) -> str:
    return "".join(
        each.encode("unicode_escape").decode() if unicodedata.category(each) in _ACTS else each for each in text
    )
