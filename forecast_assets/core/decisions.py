"""Decisions of people: each is recorded with who made it and why.

What belongs here: refusing one without them. What does not: recording it.
"""

from forecast_assets.core.errors import InputError


def require_decision(what: str, by: str, reason: str) -> None:
    """Refuse a decision without who or why.

    Args:
        what: The decision, as a sentence begins with it: `A correction`.
        by: Who decides.
        reason: Why.

    Raises:
        InputError: If one of the two is missing or blank.
    """
    if not by.strip() or not reason.strip():
        raise InputError(f"{what} needs who and why.", remedy="Give --by and --reason some text.")
