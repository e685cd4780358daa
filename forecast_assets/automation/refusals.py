"""Refusals that a sensor remembers: a version that failed its gates is not judged again at every tick.

What belongs here: what is kept in a sensor's cursor, and until when it holds. What does not: judging.

Judging reads the version's reports and runs, and what comes of it changes with an entry of the ledger, or with a policy
that takes effect. A file that is put back from a backup is seen after the next entry.
"""

import json
from dataclasses import asdict, dataclass
from typing import Protocol

from resources.ledger.entries.judge import Judgements
from resources.ledger.entries.policy import Policies
from resources.ledger.present import present
from resources.ledger.records import with_known_fields
from resources.ledger.state import LedgerState


class HasCursor(Protocol):
    """What a sensor is called with."""

    @property
    def cursor(self) -> str | None:
        """What was kept at the tick before."""

    def update_cursor(self, cursor: str | None, /) -> None:
        """Keep something for the next tick."""


@dataclass(frozen=True)
class Refusal:
    """A version was refused.

    Attributes:
        model_version: The version.
        sequence: Newest ledger entry when it was.
        policy: Version of the policy in force.
        why: Why, as the sensor said it.
    """

    model_version: str
    sequence: int
    policy: str
    why: str


class Refusals:
    """The refusal that the cursor of a sensor keeps.

    Args:
        context: Of the tick; None where nothing is kept.
    """

    def __init__(self, context: HasCursor | None = None) -> None:
        self._context = context

    def still(self, model_version: str, state: LedgerState) -> str | None:
        """Return why a version was refused, if nothing has been recorded since; else None.

        Args:
            model_version: The version.
            state: What is true now.
        """
        kept = _read(None if self._context is None else self._context.cursor)
        if kept is None:
            return None
        return kept.why if kept == Refusal(model_version, state.sequence, _policy(state), kept.why) else None

    def keep(self, model_version: str, cadence: str, why: str, *, seen: int, state: LedgerState) -> None:
        """Keep that a version was refused.

        Args:
            model_version: The version.
            cadence: Rhythm of the runs whose channel it was judged for.
            why: Why.
            seen: Newest ledger entry when it began to be judged.
            state: What is true since.
        """
        judged = state.part(Judgements).newest(model_version, cadence)
        # Its own judgement is no news. What others recorded meanwhile may not have been seen.
        is_own = judged is not None and judged.sequence == seen + 1
        if self._context is not None:
            refusal = Refusal(model_version, seen + is_own, _policy(state), why)
            self._context.update_cursor(json.dumps(asdict(refusal)))


def _policy(state: LedgerState) -> str:
    return state.part(Policies).in_force(present(state).date()).version


def _read(cursor: str | None) -> Refusal | None:
    """Return what a cursor keeps; None where that is nothing, or somebody has written over it."""
    try:
        return with_known_fields(Refusal, json.loads(cursor or ""))
    except (AttributeError, TypeError, ValueError):
        return None
