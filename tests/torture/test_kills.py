"""A process is killed anywhere: readers see all of what it recorded or nothing, and doing it again completes it."""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.torture.injection import KILL_HALF, Call, Harm, Report, armed, kills, spread
from tests.torture.publisher import REPOSITORY, SCENARIOS, running
from tests.torture.sizes import size

PARTS = size(1, 4)
SAMPLE = 52
WHOLE = 1000
# Calls that every store changes its disk by; a sample that misses one of them proves little.
NAMES = {"open64", "write", "rename", "linkat", "unlink", "fsync", "mkdir"}


def sample(points: Mapping[str, Sequence[Harm]], calls: Mapping[str, Sequence[Call]]) -> list[tuple[str, Harm]]:
    """Points spread evenly over all of them, and one of each kind of call that these happen to miss."""
    chosen = spread(points, size(SAMPLE, sys.maxsize))
    every = [(name, harm) for name, harms in points.items() for harm in harms]
    for missed in sorted(NAMES.difference(calls[name][harm.at - 1].name for name, harm in chosen)):
        of_kind = [(name, harm) for name, harm in every if calls[name][harm.at - 1].name == missed]
        chosen += of_kind[len(of_kind) // 2 :][:1]
    return chosen


@pytest.mark.parametrize("part", range(PARTS))
def test_a_process_killed_at_any_call_leaves_all_or_nothing_and_doing_it_again_completes_it(
    part: int, tmp_path: Path
) -> None:
    with running(tmp_path) as publisher:
        calls = {name: publisher.calls(name) for name in SCENARIOS}
        points = {name: kills(made) for name, made in calls.items()}
        assert sum(len(harms) for harms in points.values()) >= WHOLE
        chosen = sample(points, calls)[part::PARTS]
        wrong, hit, visible = [], set(), set()
        for name, harm in chosen:
            call = calls[name][harm.at - 1]
            case = publisher.case(name, harm)
            if case.code != -signal.SIGKILL or case.wrong:
                wrong.append((name, harm, call, case))
            hit.update((name, number, deed) for number, deed in case.deeds)
            visible.add(case.visible)
    print(f"killed at {len(hit)} different points of {sum(len(harms) for harms in points.values())}")
    assert not wrong
    assert len(hit) == len(chosen) >= size(50, WHOLE // PARTS)
    assert {calls[name][number - 1].name for name, number, _ in hit} >= NAMES
    assert any(harm.action == KILL_HALF for _, harm in chosen)
    assert {0, 1} <= visible, "all died on one side of the commit"


PUBLISH = """
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tests.torture.publisher import SCENARIOS
scenario, home = SCENARIOS["a daily publication"], Path(sys.argv[1])
scenario.prepare(home)
print(scenario.act(home))
"""


def test_every_name_that_a_publication_leaves_was_given_by_a_counted_call(tmp_path: Path) -> None:
    # Were some calls not seen, no process would be killed at them.
    home, report = tmp_path / "home", tmp_path / "report"
    done = subprocess.run(
        [sys.executable, "-c", PUBLISH, home], env=armed(Harm(), home, report), cwd=REPOSITORY, stdout=subprocess.PIPE,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "done\n"
    given = {call.path for call in Report.read(report).calls if call.kind == "n"}
    left = {str(path) for path in home.rglob("*")}
    assert len(left) > 100
    # A catalogue is a folder that is given its name as a whole.
    inside = {
        path for path in left if Path(path).parent.name.startswith("catalogue-") and str(Path(path).parent) in given
    }
    assert left - inside <= given
