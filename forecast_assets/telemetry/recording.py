"""Listening to work: which of it is recorded, as spans of a trace and as times of runs.

What belongs here: what is under way in each thread, sampling, and whose trace it is. What does not: exporting spans
(`exporting`), or telling of work (`core.spans`).
"""

import secrets
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from threading import Lock
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Final

from forecast_assets.core.keys import CADENCES
from forecast_assets.core.spans import UNHEARD, Fact, Span, Work
from resources.operational.traces import RunTimes, TraceStore

if TYPE_CHECKING:
    from opentelemetry.trace import Span as OtelSpan

    from forecast_assets.telemetry.exporting import Tracing

_HALF: Final = 1 << 64
_MOST_REMEMBERED: Final = 1_000
CHECK: Final = "check"


class Recorder:
    """Records work of this process; safe to share between threads.

    Args:
        tracing: Makes spans and exports them; None for none.
        share: Share of traces that is recorded where nobody else decided, from 0 to 1.
        store: Where traces of subjects are kept, and looked up.
        keeps_times: Whether times of runs are kept there too.
        afterwards: Is called when outermost work has ended.
    """

    def __init__(
        self,
        tracing: "Tracing | None",
        share: float,
        store: TraceStore,
        *,
        keeps_times: bool = False,
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:
        self._tracing, self._share, self._store, self._keeps_times = tracing, share, store, keeps_times
        self._afterwards = afterwards
        self._traces: OrderedDict[str, str | None] = OrderedDict()
        self._lock = Lock()

    # --- what is told (core.spans) ---

    def span(self, name: str, facts: dict[str, Fact]) -> Work:
        """Return work that is recorded as a part of what is under way; alone, if nothing is."""
        now = _UNDER_WAY.get()
        if now is None:
            return self._begun(name, "", facts)
        return UNHEARD if isinstance(now, _Skipped) else _Open(self, name, facts, now)

    def outermost(self, name: str, trace: str, facts: dict[str, Fact]) -> Work:
        """Return work that is recorded, unless something is under way."""
        return UNHEARD if _UNDER_WAY.get() is not None else self._begun(name, trace, facts)

    def later(self, name: str, subject: str, facts: dict[str, Fact]) -> Work:
        """Return work that is recorded in the trace of a subject that was."""
        found = None if self._tracing is None else self._store.traceparent_of(subject)
        if found is None:
            return self.span(name, facts)
        return _Open(self, name, {**facts, "subject": subject}, None, int(found[3:35], 16), int(found[36:52], 16))

    def concerns(self, subjects: Sequence[str]) -> None:
        """Keep the trace of what is under way by its subjects."""
        now = _UNDER_WAY.get()
        if not isinstance(now, _Open) or not subjects:
            return
        root = now.root
        root.subject = root.subject or subjects[0]
        root.note(subject=root.subject)
        if root.traceparent is not None:
            self._store.record(root.traceparent, *subjects)

    @contextmanager
    def request(self, traceparent: str, *, is_given: bool) -> Iterator[None]:
        """Let work in the block be of the request's trace."""
        token = _REQUEST.set((traceparent, is_given))
        try:
            yield
        finally:
            _REQUEST.reset(token)

    def traceparent(self) -> str | None:
        """Return what is under way, if it is recorded."""
        now = _UNDER_WAY.get()
        return now.traceparent if isinstance(now, _Open) else None

    def about(self) -> Mapping[str, str]:
        """Return whose the work under way is, and its trace."""
        now = _UNDER_WAY.get()
        if not isinstance(now, _Open):
            return {}
        found, own = now.traceparent, {} if not now.root.subject else {"subject": now.root.subject}
        return own if found is None else {**own, "trace_id": found[3:35], "span_id": found[36:52]}

    # --- what follows ---

    def trace_of(self, subject: str) -> str | None:
        """Return the trace of a subject; looked up once where it is known."""
        with self._lock:
            if subject in self._traces:
                return self._traces[subject]
        found = self._store.traceparent_of(subject)
        with self._lock:
            self._traces[subject] = found
            while len(self._traces) > _MOST_REMEMBERED:
                self._traces.popitem(last=False)
        return found

    def _begun(self, name: str, trace: str, facts: dict[str, Fact]) -> Work:
        """Return work that nothing is around, or what takes its place where it is not recorded."""
        said, is_given = _REQUEST.get()
        trace_id = int(said[3:35] or trace or secrets.token_hex(16), 16)
        is_sampled = bool(int(said[-2:], 16) & 1) if is_given else trace_id >> 64 < self._share * _HALF
        if self._tracing is None or not is_sampled:
            # Times are kept of what runs do, which are few; what is in no trace is not recorded further.
            return _Open(self, name, facts, None) if self._keeps_times else _Skipped()
        return _Open(self, name, facts, None, trace_id, int(said[36:52], 16) if is_given else 0)

    # --- what work tells as it goes on ---

    def started(self, work: "_Open", trace_id: int, parent_id: int) -> None:
        """Begin its span."""
        if self._tracing is None:
            return
        around = work.parent
        if around is not None and around.otel is not None:
            work.otel = self._tracing.child(work.name, around.otel, work.facts)
        elif around is None and trace_id:
            work.otel = self._tracing.root(work.name, trace_id, parent_id, work.facts)

    def ended(self, work: "_Open", seconds: float, error: BaseException | None) -> None:
        """End its span, and keep its times."""
        root = work.root
        if work.name == CHECK:
            root.checks["passed" if work.facts.get("passed") else "failed"] += 1
        if work.parent is root:
            root.parts[work.name] += seconds
        if work.otel is not None and self._tracing is not None:
            self._tracing.end(work.otel, work.facts, error)
        if work is not root:
            return
        if self._keeps_times and _is_run(work.subject):
            self._store.record_times(
                RunTimes(
                    work.subject,
                    datetime.now(UTC).isoformat(timespec="seconds"),
                    round(seconds, 6),
                    {name: round(taken, 6) for name, taken in root.parts.items()},
                    root.checks["passed"],
                    root.checks["failed"],
                    is_done=error is None,
                )
            )
        self._afterwards()

    def follows(self, work: "_Open", subject: str) -> None:
        """Link its span to the trace of a subject."""
        if work.otel is None or self._tracing is None:
            return
        found = self.trace_of(subject)
        if found is not None:
            self._tracing.link(work.otel, found, subject)
            work.note(run_traceparent=found)


class _Open:
    """Work that is under way and recorded.

    Attributes:
        name: What is done.
        facts: What is known of it.
        parent: What it is a part of; None of nothing.
        root: The outermost work around it; itself where nothing is.
        otel: Its span, where there is one.
        subject: Whose it is; of outermost work.
        parts: Seconds of what it directly consists of; of outermost work.
        checks: How many checks passed and failed; of outermost work.
    """

    def __init__(
        self,
        recorder: Recorder,
        name: str,
        facts: dict[str, Fact],
        parent: "_Open | None",
        trace_id: int = 0,
        parent_id: int = 0,
    ) -> None:
        self._recorder, self.name, self.facts, self.parent = recorder, name, facts, parent
        self.root: _Open = self if parent is None else parent.root
        self._ids = (trace_id, parent_id)
        self.otel: OtelSpan | None = None
        self.subject = ""
        self.parts: defaultdict[str, float] = defaultdict(float)
        self.checks: Counter[str] = Counter()

    def note(self, **facts: Fact) -> None:
        """Add facts."""
        self.facts.update(facts)

    def follow(self, subject: str) -> None:
        """Link to the trace of a subject."""
        self._recorder.follows(self, subject)

    @property
    def traceparent(self) -> str | None:
        """As W3C Trace Context has it; None where it has no span."""
        if self.otel is None:
            return None
        context = self.otel.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def __enter__(self) -> Span:
        self._recorder.started(self, *self._ids)
        self._token = _UNDER_WAY.set(self)
        self._began = perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        seconds = perf_counter() - self._began
        _restore(self._token)
        self._recorder.ended(self, seconds, error)


class _Skipped:
    """Outermost work that is not recorded, and so nothing that it consists of."""

    def note(self, **facts: Fact) -> None:
        """Forget it."""

    def follow(self, subject: str) -> None:
        """Forget it."""

    def __enter__(self) -> Span:
        self._token = _UNDER_WAY.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _restore(self._token)


_UNDER_WAY: Final[ContextVar[_Open | _Skipped | None]] = ContextVar("work under way", default=None)
# Of the request that is answered, and whether its caller named it.
_REQUEST: Final[ContextVar[tuple[str, bool]]] = ContextVar("trace of the request", default=("", False))


def _restore(token: Token[_Open | _Skipped | None]) -> None:
    try:
        _UNDER_WAY.reset(token)
    except ValueError:
        # Ended in another context than it began in, as what Dagster sets up and takes down may.
        _UNDER_WAY.set(None)


def _is_run(subject: str) -> bool:
    return subject.partition("/")[0] in CADENCES
