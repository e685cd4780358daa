"""The goals of scoring: all four are asked for, and the script that ours is held against gives the same."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.meter import Lap, metering
from bench.score import Measured, measure, train, verdict, write_table

GOOD = Measured("lof", "csv", Lap(3.4), Lap(5, 0.6), Lap(50), Lap(50), 1_000_000)


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (GOOD, "aim"),
        (replace(GOOD, start=Lap(4.9)), "at least"),
        (replace(GOOD, start=Lap(5.1)), "missed"),
        (replace(GOOD, memory=Lap(5, 2.1)), "missed"),
        (replace(GOOD, script=Lap(33)), "missed"),
        (replace(GOOD, detector="autoencoder"), "at least"),
        (replace(GOOD, ours=Lap(101), script=Lap(101)), "missed"),
    ],
)
def test_the_worst_of_four_goals_decides(measured: Measured, said: str) -> None:
    assert verdict(measured) == said


def test_the_script_does_the_same_work(tmp_path: Path) -> None:
    for name in ("train", "start", "memory", "long"):
        write_table(tmp_path, name, 300)
    train(tmp_path, "lof")
    with metering() as meter:
        found = measure(tmp_path, "lof", "csv", 300, meter)
    assert found.ratio > 0
    assert (tmp_path / "ours.parquet").exists()
    assert (tmp_path / "theirs.csv").exists()
