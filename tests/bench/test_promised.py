"""Promises are judged by means over cutoffs, beside what is recorded of the same cutoffs."""

import pytest

from bench.promised import BESIDE, PROMISED, skill_goals
from bench.recorded import Recorded

BEFORE = Recorded(
    "abc",
    {
        "statistical": {
            "simulator one": {"WAPE of expected demand": 0.2},
            "simulator two": {"WAPE of expected demand": 0.4},
        }
    },
)


def found(one: float, two: float, bias: float = 0.0) -> dict[str, dict[str, float]]:
    return {
        "simulator one": {"WAPE of expected demand": one, "bias, total": 0.03 + bias},
        "simulator two": {"WAPE of expected demand": two, "bias, total": -0.03 + bias},
    }


@pytest.mark.parametrize(
    ("figures", "verdicts"),
    [
        (found(0.16, 0.36), ["reached", "aim reached"]),
        (found(0.2, 0.4, -0.015), ["MISSED", "reached"]),
        (found(0.1, 0.1, 0.03), ["aim reached", "MISSED"]),
    ],
)
def test_a_promise_is_reached_by_the_mean_over_cutoffs(
    figures: dict[str, dict[str, float]], verdicts: list[str]
) -> None:
    goals = skill_goals("simulator", figures, BEFORE)
    assert [goal.verdict for goal in goals] == verdicts


def test_without_a_record_of_the_same_cutoffs_a_ratio_is_missed() -> None:
    error, bias = skill_goals("simulator", found(0.1, 0.1) | {"simulator three": {"bias, total": 0.0}}, BEFORE)
    assert (error.verdict, bias.verdict) == ("MISSED", "aim reached")
    assert "not measured" in error.row


def test_every_kind_that_is_judged_has_promises() -> None:
    assert PROMISED.keys() == BESIDE.keys()
    assert all(promise.aim < promise.at_least for promises in PROMISED.values() for promise in promises)
