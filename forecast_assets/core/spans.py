"""What goes on, for whom, and from when to when: the seam that telemetry listens at.

What belongs here: telling that a named piece of work begins and ends, and whose it is. What does not: recording,
sampling or exporting it (`forecast_assets.telemetry`), which nothing below it imports.

Nobody listens unless a process says so at its start, as with logging: then each call here costs less than a
microsecond. What is told never changes what is computed: nothing is read back.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

Fact = str | int | float | bool
P = ParamSpec("P")
R = TypeVar("R")


class Span(Protocol):
    """A piece of work that is under way."""

    def note(self, **facts: Fact) -> None:
        """Add what is known of it by now, such as how many rows it made."""

    def follow(self, subject: str) -> None:
        """Say whose trace it rests on, such as the published run that an answer is of."""


Work = AbstractContextManager[Span]


class SpanListener(Protocol):
    """Who is told of work; called by any thread."""

    def span(self, name: str, facts: dict[str, Fact]) -> Work:
        """Take in that work begins, as a part of what is under way."""

    def outermost(self, name: str, trace: str, facts: dict[str, Fact]) -> Work:
        """Take in that work begins, unless it is only a part of what is under way."""

    def later(self, name: str, subject: str, facts: dict[str, Fact]) -> Work:
        """Take in that work begins which follows from what a subject's trace has."""

    def concerns(self, subjects: Sequence[str]) -> None:
        """Take in whose the work under way is."""

    def request(self, traceparent: str, *, is_given: bool) -> AbstractContextManager[None]:
        """Take in which trace a request is of, while it is answered."""

    def traceparent(self) -> str | None:
        """Return what of the work under way is passed on to other processes."""

    def about(self) -> Mapping[str, str]:
        """Return what lines of the log say of the work under way."""


class _Unheard:
    """Work that nobody listens to."""

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def note(self, **facts: Fact) -> None:
        """Forget it."""

    def follow(self, subject: str) -> None:
        """Forget it."""


UNHEARD = _Unheard()
_listener: SpanListener | None = None


def listen(listener: SpanListener | None) -> SpanListener | None:
    """Let somebody listen, or nobody, in all of this process from now on; return who did before."""
    global _listener
    before, _listener = _listener, listener
    return before


def span(name: str, /, **facts: Fact) -> Work:
    """Return work that begins with the block and ends with it.

    Args:
        name: What is done; one of few words, never with a value in it.
        **facts: What is known of it beforehand.

    Example:
        >>> with span("count", store="S-01") as now:
        ...     now.note(rows=3)
    """
    return UNHEARD if _listener is None else _listener.span(name, facts)


def outermost(name: str, /, *, trace: str = "", **facts: Fact) -> Work:
    """Return work that many parts follow from; where it is only a part of other work, nothing is told of it.

    Args:
        name: What is done.
        trace: What the trace is named by, such as the id of Dagster's run: 32 hexadecimal digits; empty for a new one.
        **facts: What is known of it beforehand.
    """
    return UNHEARD if _listener is None else _listener.outermost(name, trace, facts)


def later(name: str, subject: str, /, **facts: Fact) -> Work:
    """Return work that follows from a run or a training that has ended, in this process or another one.

    Args:
        name: What is done.
        subject: Whose trace it belongs to, see `concerns`; where that is not known, it belongs to what is under way.
        **facts: What is known of it beforehand.
    """
    return UNHEARD if _listener is None else _listener.later(name, subject, facts)


def whole(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return what makes a function `outermost` work."""

    def told(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with outermost(name):
                return function(*args, **kwargs)

        return call

    return told


def concerns(*subjects: str) -> None:
    """Say whose the work under way is: a run by its key, a training by `train/VERSION`, an ingest by `ingest/BATCH`."""
    if _listener is not None:
        _listener.concerns(subjects)


def request(traceparent: str, *, is_given: bool) -> AbstractContextManager[object]:
    """Return a block in which a request is answered.

    Args:
        traceparent: Its trace, as W3C Trace Context has it.
        is_given: Whether the caller named it, and decided whether it is recorded.
    """
    return UNHEARD if _listener is None else _listener.request(traceparent, is_given=is_given)


def traceparent() -> str | None:
    """Return the trace and the work under way, as W3C Trace Context has it; None where nothing is recorded."""
    return None if _listener is None else _listener.traceparent()


def about() -> Mapping[str, str]:
    """Return whose the work under way is, and of which trace, for lines of the log; empty where nobody listens."""
    return {} if _listener is None else _listener.about()
