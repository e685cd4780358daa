"""The measurement of the demonstration: when it counts a run as published, and what it calls too slow."""

import time

import pytest

from bench.demo import Measured, first_published, report

LINES = ["== Run and publish 2025-06-30\n", "Published daily/x as ledger entry 4\n", "Published weekly/x\n"]


def test_the_first_published_run_counts() -> None:
    started = time.perf_counter()

    def slowly() -> list[str]:
        time.sleep(0.01)
        return LINES

    first = first_published(slowly(), started)
    assert first is not None
    assert 0.01 <= first < 10
    assert first_published(LINES[:1], started) is None


@pytest.mark.parametrize(
    ("first", "whole", "code", "missed"),
    [(60.0, 120.0, 0, []), (60.1, 120.0, 1, ["first published run"]), (61.0, 121.0, 1, ["first", "all of it"])],
)
def test_more_than_its_multiples_is_too_slow(
    capsys: pytest.CaptureFixture[str], first: float, whole: float, code: int, missed: list[str]
) -> None:
    assert report(20.0, Measured(first, whole, 1.5)) == code
    text = capsys.readouterr().out
    assert ("Too slow" in text) == bool(missed)
    assert all(name in text.split("Too slow: ")[-1] for name in missed)
