"""The goals of scoring: each is asked for, and the script that ours is held against gives the same."""

from pathlib import Path

import pytest

from bench import score
from bench.goals import Goal
from bench.meter import metering
from bench.score import measured, train, write_table


@pytest.mark.parametrize(
    ("reached", "said"),
    [(59_999.0, "reached"), (60_000.0, "aim reached"), (9_999.0, "MISSED"), (float("nan"), "MISSED")],
)
def test_of_a_rate_more_is_better(reached: float, said: str) -> None:
    goal = Goal("isolation-forest", reached, *score.RATE["isolation-forest"], "rows/s")
    assert (goal.verdict, goal.is_missed) == (said, said == "MISSED")


def test_the_script_does_the_same_work_and_every_goal_is_measured(tmp_path: Path) -> None:
    for name in (*score.ROWS, "long"):
        write_table(tmp_path, name, 300)
    train(tmp_path, "lof")
    with metering() as meter:
        goals = list(measured(tmp_path, "lof", ["csv"], 300, meter))
    assert [goal.unit for goal in goals if goal.at_least is not None] == ["tenths", "GB", "times", "rows/s"]
    assert all(goal.reached > 0 for goal in goals if goal.unit != "GB")
    assert (tmp_path / "theirs.csv").exists()
