"""Problems: what is wrong with a request, what to do, and facts for programs.

What belongs here: what a problem says, the same in every protocol. What does not: a protocol's status or document.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import FIRST, ForecastAssetsError, IntegrityError, StorageError
from forecast_assets.core.library_errors import as_own_error


@dataclass(frozen=True)
class Problem:
    """What is wrong.

    Attributes:
        code: What kind of error it is, for programs; it never changes.
        detail: What is wrong, and which.
        remedy: What to do.
        facts: What a program needs of it.
        actions: What to do as use cases with arguments.
    """

    code: str
    detail: str
    remedy: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    actions: Sequence[Mapping[str, Any]] = ()


# What it was stands in the log under the request's id, and nowhere else.
_TELL: Final = "Tell an operator the id of the request."
DEFECT: Final = Problem("defect", "The service failed on this request.", _TELL)
# A library's words name paths of the server, and its remedy is an operator's.
_FAILURES: Final[Mapping[type[ForecastAssetsError], str]] = {
    StorageError: "A disk of the service refuses.",
    IntegrityError: "A stored file of the service cannot be read.",
}


def problem_of(error: ForecastAssetsError) -> Problem:
    """Return what an error says to a caller."""
    return Problem(error.code, str(error.message), str(error.remedy), error.facts, _actions(error.remedy))


def failure_of(error: Exception) -> tuple[type[ForecastAssetsError], Problem]:
    """Return what an error says that nobody raised on purpose: a disk or a stored file that fails, or a defect.

    What it was is for whoever calls this to log.

    Returns:
        The kind of error that it is to callers, and the problem.
    """
    known = as_own_error(error)
    if known is None:
        return ForecastAssetsError, DEFECT
    said = next((said for kind, said in _FAILURES.items() if isinstance(known, kind)), None)
    return type(known), problem_of(known) if said is None else Problem(known.code, said, _TELL)


def malformed(mistakes: Iterable[Mapping[str, Any]], documented_in: str) -> Problem:
    """Return what is wrong with a request of which names, types or bounds are.

    Args:
        mistakes: As pydantic tells them.
        documented_in: What says how it would be right.
    """
    wrong = [
        {"where": ".".join(map(str, each["loc"])), "what": each["msg"], "kind": each["type"]}
        for each in list(mistakes)[:FIRST]
    ]
    return Problem(
        "malformed-request",
        "; ".join(f"{each['where']}: {each['what']}" for each in wrong),
        f"Correct what is named; {documented_in}.",
        {"errors": wrong},
    )


def _actions(remedy: str | Sentence) -> list[dict[str, Any]]:
    if isinstance(remedy, str):
        return []
    return [
        {
            "name": part.name,
            "on": [str(each) for each in part.on],
            "arguments": {k: str(v) for k, v in part.arguments.items()},
        }
        for part in remedy.parts
        if isinstance(part, Action)
    ]
