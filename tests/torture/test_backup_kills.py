"""A backup or a restore is killed anywhere: what it leaves is a store, and doing it again completes it."""

import signal
import sys
from pathlib import Path

import pytest

from tests.torture.injection import faults, kills, spread
from tests.torture.keeper import KEEPINGS, keeping
from tests.torture.sizes import size

# Files are copied by several threads, so that calls come in another order each time, and a few more or fewer.
KILLS, FAULTS = 16, 8
MISSED = 0.1


@pytest.mark.parametrize("name", KEEPINGS)
def test_killed_at_any_call_it_leaves_a_store_and_doing_it_again_completes_it(name: str, tmp_path: Path) -> None:
    with keeping(tmp_path) as keeper:
        calls = keeper.calls(name)
        chosen = spread({name: kills(calls)}, size(KILLS, sys.maxsize))
        cases = [(harm, keeper.case(name, harm)) for _, harm in chosen]
    assert len(calls) > 100
    assert not [(harm, case.wrong) for harm, case in cases if case.wrong]
    struck = [case for _, case in cases if case.code == -signal.SIGKILL]
    assert len(struck) >= (1 - MISSED) * len(cases)
    assert all(case.code == 0 for _, case in cases if case not in struck)
    # Some died before the last entry was there, and some after.
    assert len({case.visible for case in struck}) > 1


@pytest.mark.parametrize("name", KEEPINGS)
def test_a_disk_that_fails_at_any_call_leaves_a_store_and_doing_it_again_completes_it(
    name: str, tmp_path: Path
) -> None:
    with keeping(tmp_path) as keeper:
        chosen = spread({name: faults(keeper.calls(name))}, size(FAULTS, sys.maxsize))
        cases = [(harm, keeper.case(name, harm)) for _, harm in chosen]
    assert not [(harm, case.wrong) for harm, case in cases if case.wrong]
    # Some trouble strikes one kind of call only, which another thread's call may have come before.
    assert sum(bool(case.deeds) for _, case in cases) >= len(cases) / 2
