"""The disk fails anywhere: a process ends with an error of storage or is done, and nothing is ever half there."""

from pathlib import Path

import pytest

from tests.torture.injection import TROUBLES, faults, spread
from tests.torture.publisher import DONE, SCENARIOS, Case, Scenario, running
from tests.torture.sizes import size

PARTS = size(1, 4)
SAMPLE = 53
WHOLE = 1000


@pytest.mark.parametrize("part", range(PARTS))
def test_a_disk_that_fails_at_any_call_ends_in_a_typed_error_or_nothing_is_lost(part: int, tmp_path: Path) -> None:
    with running(tmp_path) as publisher:
        calls = {name: publisher.calls(name) for name in SCENARIOS}
        chosen = spread({name: faults(made) for name, made in calls.items()}, size(SAMPLE, WHOLE))[part::PARTS]
        wrong, endings = [], set()
        for name, harm in chosen:
            case = publisher.case(name, harm)
            endings.add(ending(case))
            if case.wrong or not case.deeds or not is_honest(case, SCENARIOS[name]):
                wrong.append((name, harm, calls[name][harm.at - 1], case))
    assert not wrong
    assert {harm.error for _, harm in chosen} == {trouble.error for trouble in TROUBLES}
    assert {"StorageError", DONE, f"{DONE}, without a catalogue"} <= endings


def ending(case: Case) -> str:
    """Return the error, or how far it came."""
    return case.said.strip('"').split(":")[0]


def is_honest(case: Case, scenario: Scenario) -> bool:
    """Return whether a process that the disk failed ended as it should, and says of its entries what readers see."""
    is_done = case.visible == len(scenario.appends)
    if ending(case) in (DONE, f"{DONE}, without a catalogue"):
        return case.code == 0 and is_done
    # What records two entries may be stopped between them.
    is_true = bool(case.visible) if "is appended" in case.said else not is_done or scenario.ends_in_errors_too
    return case.code == 0 and ending(case) == "StorageError" and is_true
