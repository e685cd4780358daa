"""Errors: codes that never change, facts for programs, and remedies that every door puts in its own words."""

import ast
import json
import pickle
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

import click
import pytest

from forecast_assets.cli import cli
from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.core import errors
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import (
    AlreadyPublishedError,
    ContractError,
    FindingsError,
    ForecastAssetsError,
    IncompleteInputsError,
    InputError,
    IntegrityError,
    MirrorDifferenceError,
    NotPublishedError,
    NotReadyError,
    RefusedError,
    ReplayDifferenceError,
    StorageError,
    UnknownVersionError,
    VacuumUnderWayError,
)
from forecast_assets.core.keys import RunKey
from forecast_assets.presentation.actions import COMMAND, command_line, error_text, option_name
from forecast_assets.sources.simulated import FORMAT

REPOSITORY: Final = Path(__file__).parents[2]
PACKAGES: Final = ("forecast_assets", "resources", "checks", "partitions")
DOORS: Final = (("forecast_assets", "cli"), ("forecast_assets", "presentation"))
KEY: Final = RunKey("daily", date(2025, 6, 30), "stat-1", 28)

# Programs rely on them: add, never change.
CODES: Final = {
    "ForecastAssetsError": ("error", 1),
    "InputError": ("input", 2),
    "SourceError": ("source", 2),
    "ContractError": ("contract", 2),
    "HierarchyError": ("hierarchy", 2),
    "NameNotAllowedError": ("name-not-allowed", 2),
    "UnknownVersionError": ("unknown-version", 2),
    "UnknownProductError": ("unknown-product", 2),
    "NotPublishedError": ("not-published", 2),
    "HorizonError": ("horizon", 2),
    "NotReadyError": ("not-ready", 3),
    "IncompleteInputsError": ("incomplete-inputs", 3),
    "NotStagedError": ("not-staged", 3),
    "RefusedError": ("refused", 4),
    "AlreadyPublishedError": ("already-published", 4),
    "NothingToCorrectError": ("nothing-to-correct", 4),
    "NothingToRollBackError": ("nothing-to-roll-back", 4),
    "AlreadyRegisteredError": ("already-registered", 4),
    "NotAcceptedError": ("not-accepted", 4),
    "LostRaceError": ("lost-race", 4),
    "MirrorConflictError": ("mirror-conflict", 4),
    "BackupConflictError": ("backup-conflict", 4),
    "VacuumUnderWayError": ("vacuum-under-way", 4),
    "UnhealthyError": ("unhealthy", 3),
    "UntrustedModelError": ("untrusted-model", 4),
    "OutOfMemoryError": ("out-of-memory", 2),
    "NotAuthenticatedError": ("not-authenticated", 4),
    "NotAllowedError": ("not-allowed", 4),
    "ReadOnlyError": ("read-only", 4),
    "TooManyRequestsError": ("too-many-requests", 4),
    "IntegrityError": ("integrity", 5),
    "BrokenChainError": ("broken-chain", 5),
    "UnknownEntryError": ("unknown-entry", 5),
    "FindingsError": ("findings", 5),
    "ReplayDifferenceError": ("replay-difference", 5),
    "MirrorDifferenceError": ("mirror-difference", 5),
    "ChangedFileError": ("changed-file", 5),
    "MissingFileError": ("missing-file", 5),
    "StorageError": ("storage", 6),
    "MirrorUnavailableError": ("mirror-unavailable", 6),
    "DeliveryError": ("delivery", 6),
}

TYPED: Final[list[tuple[ForecastAssetsError, dict[str, object]]]] = [
    (ContractError("sales", ["no rows"]), {"contract": "sales", "failures": ["no rows"]}),
    (UnknownVersionError("stat-9", ["stat-1"]), {"model_version": "stat-9", "known": ["stat-1"]}),
    (
        IncompleteInputsError(date(2025, 6, 30), ["`sales` is late"]),
        {"prediction_date": "2025-06-30", "missing": ["`sales` is late"]},
    ),
    (AlreadyPublishedError(KEY, 7), {"key": "daily/2025-06-30/stat-1/28/r0", "sequence": 7}),
    (VacuumUnderWayError(3), {"sequence": 3}),
    (FindingsError(["ledger/1 (missing)"]), {"found": ["ledger/1 (missing)"]}),
    (
        MirrorDifferenceError("MLflow", ["`stat-1` is missing"]),
        {"mirror": "MLflow", "found": ["`stat-1` is missing"]},
    ),
    (ReplayDifferenceError("forecasts", "It differs.", ["numpy"]), {"product": "forecasts", "causes": ["numpy"]}),
]


def kinds() -> list[type[ForecastAssetsError]]:
    found: list[type[ForecastAssetsError]] = [ForecastAssetsError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == errors.__name__]


def test_codes_and_exit_codes_are_what_programs_rely_on() -> None:
    assert {kind.__name__: (kind.code, exit_code(kind)) for kind in kinds()} == CODES
    assert len({code for code, _ in CODES.values()}) == len(CODES)


def test_each_family_has_an_exit_code_of_its_own() -> None:
    families = (ForecastAssetsError, InputError, NotReadyError, RefusedError, IntegrityError, StorageError)
    assert [exit_code(family) for family in families] == [1, 2, 3, 4, 5, 6]


def test_every_error_stands_in_the_tree() -> None:
    named = [line.lstrip(" │├└─").split()[0] for line in (errors.__doc__ or "").splitlines() if "Error" in line]
    assert sorted(named) == sorted(CODES)


@pytest.mark.parametrize(("error", "facts"), TYPED, ids=lambda each: type(each).__name__)
def test_errors_of_a_kind_say_their_facts(error: ForecastAssetsError, facts: dict[str, object]) -> None:
    assert json.loads(json.dumps(error.facts)) == error.facts == facts


def test_facts_are_what_json_can_hold() -> None:
    error = NotPublishedError("No.", key=KEY, path=Path("a/b"), day=date(2025, 6, 30), near={KEY: (1, None, 0.5, True)})
    assert json.loads(json.dumps(error.facts)) == {
        "key": str(KEY),
        "path": "a/b",
        "day": "2025-06-30",
        "near": {str(KEY): [1, None, 0.5, True]},
    }


def test_the_command_puts_an_action_as_a_line_and_the_rest_in_words() -> None:
    remedy = Sentence("Make it: ", Action("run", KEY.arguments), "; or see ", Action("versions", on=("stat-1",)), ".")
    error = NotPublishedError("Nothing is there.", remedy=remedy)
    assert error_text(error) == (
        "Nothing is there. Make it: forecast-assets run --cadence daily --date 2025-06-30 --model-version stat-1 "
        "--horizon 28; or see forecast-assets versions stat-1."
    )
    assert str(error) == (
        "Nothing is there. Make it: `run` with cadence daily, date 2025-06-30, model version stat-1, horizon 28; or "
        "see `versions stat-1`."
    )
    assert (str(error.message), str(error.remedy)) == ("Nothing is there.", str(remedy))


def test_words_alone_are_the_same_at_every_door() -> None:
    assert error_text(InputError("No {0} of it.", remedy="Correct it.")) == "No {0} of it. Correct it."
    assert str(InputError("Nothing.")) == error_text(InputError("Nothing.")) == "Nothing."


def test_what_is_merely_asked_for_needs_no_value() -> None:
    action = Action("vacuum", {"remove": True, "older_than_days": 30})
    assert command_line(action) == "forecast-assets vacuum --remove --older-than-days 30"
    assert str(action) == "`vacuum` with remove, older than days 30"


def test_an_error_within_a_sentence_keeps_its_actions() -> None:
    inner = UnknownVersionError("a", [])
    outer = InputError(Sentence("It cannot be trained: ", inner.sentence), remedy="Or choose another.")
    assert error_text(outer) == f"It cannot be trained: {error_text(inner)} Or choose another."
    assert str(Sentence("(1) ", Sentence("It stops..").without_full_stop(), ".")) == "(1) It stops."
    assert str(Sentence("See ", Action("runs")).without_full_stop()) == "See `runs`"


@pytest.mark.parametrize("error", [error for error, _ in TYPED], ids=lambda each: type(each).__name__)
def test_an_error_passes_between_processes_as_it_is(error: ForecastAssetsError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is type(error)
    assert (str(again), error_text(again), again.facts) == (str(error), error_text(error), error.facts)


# --- what the source says ---


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            yield path.relative_to(REPOSITORY), ast.parse(path.read_text())


def actions() -> Iterator[tuple[str, str, list[str], int]]:
    """Yield where each action is made, its name, its arguments and how many things it is given."""
    for path, tree in trees():
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Action":
                named = arguments_of(call.args[1]) if len(call.args) > 1 else []
                yield f"{path}:{call.lineno}", ast.literal_eval(call.args[0]), named, len(given_to(call))


def given_to(call: ast.Call) -> list[ast.expr]:
    """Return what an action is given; `...` leaves open what else."""
    tuples = [keyword.value for keyword in call.keywords if keyword.arg == "given"]
    assert all(isinstance(written, ast.Tuple) for written in tuples)
    parts = [part for written in tuples if isinstance(written, ast.Tuple) for part in written.elts]
    return [part for part in parts if not (isinstance(part, ast.Constant) and part.value == "...")]


def arguments_of(written: ast.expr) -> list[str]:
    """Return the names of arguments written as a literal; those of a run's key are known."""
    if isinstance(written, ast.Attribute):
        assert written.attr == "arguments"
        return [*KEY.arguments]
    assert isinstance(written, ast.Dict)
    pairs = zip(written.keys, written.values, strict=True)
    return [name for key, value in pairs for name in ([ast.literal_eval(key)] if key else arguments_of(value))]


def test_what_is_advised_is_a_command_with_such_options() -> None:
    made = list(actions())
    assert len(made) >= 40
    for where, name, arguments, given in made:
        command: click.Command = cli
        for word in name.split():
            assert isinstance(command, click.Group), where
            assert word in command.commands, where
            command = command.commands[word]
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {option_name(argument) for argument in arguments} <= options, where
        assert given <= sum(isinstance(parameter, click.Argument) for parameter in command.params), where


def test_only_the_command_and_what_it_prints_name_the_command() -> None:
    named = {
        node.value
        for path, tree in trees()
        if path.parts[:2] not in DOORS
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and f"{COMMAND} " in node.value
    }
    assert named == {FORMAT}
