"""Long work in processes of its own, beside what this one does.

What belongs here: starting it, waiting for it, ending it. What does not: deciding what is worth a process, or any work.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import current_process, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Beside(Generic[T]):
    """A call that goes on in another process."""

    _process: BaseProcess
    _answer: Connection

    def result(self) -> T:
        """Wait for what the call returns.

        Raises:
            Exception: What the call raised, as it raised it.
            RuntimeError: If the process ended without an answer.
        """
        try:
            is_returned, answer = self._answer.recv()
        except EOFError as error:
            self._process.join()
            raise RuntimeError(
                f"A process that worked on a part of this ended with code {self._process.exitcode}: it was killed, or "
                "memory ran out. With FORECAST_ASSETS_WORKERS=1 the parts are worked on one after the other."
            ) from error
        if not is_returned:
            raise answer
        value: T = answer
        return value


def processes_allowed(workers: int | None) -> int:
    """Return how many processes may work at once, this one included.

    Args:
        workers: What the operator allows; all cores if None.
    """
    # A process that ends with its parent may start none itself.
    return 1 if current_process().daemon else workers or os.cpu_count() or 1


@contextmanager
def beside(calls: Sequence[Callable[[], T]]) -> Iterator[list[Beside[T]]]:
    """Run calls in a process each while the body goes on; none outlives it.

    Args:
        calls: Without arguments, and such that another process can load them: a `functools.partial` of a function of a
            module does, a lambda does not.

    Yields:
        The running calls, in their order.
    """
    # Forking a process in which Polars runs threads can deadlock.
    context = get_context("spawn")
    started: list[Beside[T]] = []
    try:
        for call in calls:
            answer, sends = context.Pipe(duplex=False)
            process = context.Process(target=_answer, args=(call, sends), daemon=True)
            process.start()
            # Only the other process holds it from here on, so that its end is noticed.
            sends.close()
            started.append(Beside(process, answer))
        yield started
    finally:
        for one in started:
            one._process.terminate()  # noqa: SLF001
            one._process.join()  # noqa: SLF001
            one._answer.close()  # noqa: SLF001


@contextmanager
def answering_beside(make: Callable[[], Callable[[T], U]]) -> Iterator[Callable[[T], U]]:
    """Run a process that answers one question after the other until the block ends, or this process does.

    Args:
        make: Is called once in that process, and returns what answers; it must be such that another process can load
            it, and so must questions and answers.

    Yields:
        What asks it: returns what is answered, raises what is raised there, or RuntimeError if the process ended.
    """
    context = get_context("spawn")
    asks, answers = context.Pipe()
    process = context.Process(target=_answer_each, args=(make, answers), daemon=True)
    process.start()
    # Each holds one end, so that either notices the end of the other.
    answers.close()

    def ask(question: T) -> U:
        try:
            asks.send(question)
            is_returned, answer = asks.recv()
        except (EOFError, OSError) as error:
            process.join()
            raise RuntimeError(
                f"A process that worked on a part of this ended with code {process.exitcode}: it was killed, or memory "
                "ran out."
            ) from error
        if not is_returned:
            raise answer
        value: U = answer
        return value

    try:
        yield ask
    finally:
        process.terminate()
        process.join()
        asks.close()


def _answer_each(make: Callable[[], Callable[[Any], Any]], answers: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    call = None
    while True:
        try:
            question = answers.recv()
        except EOFError:
            return
        try:
            call = call or make()
            answer = True, call(question)
        except Exception as error:  # noqa: BLE001 it is raised where it is asked
            answer = False, error
        answers.send(answer)


def _answer(call: Callable[[], Any], sends: Connection) -> None:
    # Ctrl-C reaches all processes of a terminal; the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        answer = True, call()
    except Exception as error:  # noqa: BLE001 it is raised where the result is asked for
        answer = False, error
    sends.send(answer)
