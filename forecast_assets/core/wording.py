"""Numbers of things and moments, as sentences for people have them.

What belongs here: the form of a number or a moment. What does not: what is said of it.
"""

from datetime import UTC, datetime


def moment_text(recorded_at: str) -> str:
    """Return a moment, ISO 8601, in UTC and to the second.

    Example:
        >>> moment_text("2025-07-01T08:12:05+00:00")
        '2025-07-01T08:12:05Z'
    """
    return f"{datetime.fromisoformat(recorded_at).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number of things.

    Example:
        >>> counted(1, "run"), counted(2000, "run"), counted(2, "batch", "batches")
        ('1 run', '2,000 runs', '2 batches')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
