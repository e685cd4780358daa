"""Roles, and what each may do.

What belongs here: the table of rights. What does not: who has which role (keys).
"""

from enum import StrEnum
from typing import Final


class Right(StrEnum):
    """Something that a caller may do."""

    READ = "read what is published"
    PREDICT = "ask for predictions in real time"
    SUPPORT = "compare predictions, and read what callers were told"
    OPERATE = "see how the service does, and what failed"
    FEEDBACK = "give feedback on predictions"
    OVERRIDE = "override forecasts, and decide about overrides"


# A role has its own rights and those of the ones before it; but support looks into numbers, and moves none, and what
# reads figures of the service does nothing else.
ROLES: Final[dict[str, frozenset[Right]]] = {
    "reader": frozenset({Right.READ}),
    "planner": frozenset({Right.READ, Right.PREDICT, Right.FEEDBACK, Right.OVERRIDE}),
    "support": frozenset({Right.READ, Right.PREDICT, Right.FEEDBACK, Right.SUPPORT}),
    "operator": frozenset(Right),
    "monitor": frozenset({Right.OPERATE}),
}


def may(role: str, right: Right) -> bool:
    """Whether a role has a right; roles of other releases have none.

    Example:
        >>> may("reader", Right.READ), may("reader", Right.PREDICT), may("former", Right.READ)
        (True, False, False)
    """
    return right in ROLES.get(role, frozenset())


def roles_with(right: Right) -> list[str]:
    """Return the roles that have a right."""
    return [role for role, rights in ROLES.items() if right in rights]
