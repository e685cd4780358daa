"""Shops as they begin, from files to published daily and weekly runs, by commands alone."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.support.command import Call, caller

LAST = date(2025, 6, 29)  # a Sunday
HEAD = "day,article,shop,qty\n"
MAPPING = """
source = "till"
declared_lag_hours = 6
[[feed]]
feed = "sales"
file = "sales_*.csv"
missing_days = "zero"
[feed.columns]
event_date = "day"
sku_id = "article"
store_id = "shop"
sales_units = "qty"
"""
Line = tuple[date, str, str, int]


def days(count: int) -> Iterator[date]:
    return (LAST - timedelta(days=back) for back in reversed(range(count)))


def slow_movers() -> list[Line]:
    """One store and 20 articles, each sold about once in twelve days."""
    rng = np.random.default_rng(7)
    return [
        (day, f"PART-{article:02d}", "S1", int(rng.choice([1, 1, 2, 3])))
        for day in days(200)
        for article in range(20)
        if rng.random() < 0.08
    ]


def closed_on_sundays() -> list[Line]:
    """Two stores and four articles that sell every day but Sundays."""
    rng = np.random.default_rng(8)
    return [
        (day, article, store, units)
        for day in days(130)
        if day.weekday() != 6
        for store in ("S1", "S2")
        for article in ("MILK", "TEA", "RICE", "BREAD")
        if (units := int(rng.poisson(9)))
    ]


def write(folder: Path, lines: list[Line], cut: Callable[[Line], str]) -> None:
    files: dict[str, list[str]] = {}
    for line in lines:
        files.setdefault(cut(line), []).append(",".join(map(str, line)))
    for name, rows in files.items():
        (folder / f"sales_{name}.csv").write_text(HEAD + "\n".join(rows) + "\n")


def sums(home: Path, version: str, day: str = "all") -> float:
    with duckdb.connect(str(home / "catalogue" / "catalogue.duckdb"), read_only=True) as connection:
        rows = connection.table(f'"{version}".forecasts').pl()
    days = rows["target_date"].dt.strftime("%A")
    return float(rows.filter((days == day) | (day == "all"))["forecast_units"].cast(float).sum())


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FORECAST_ASSETS_RISK_PATHS", "50")
    return caller(monkeypatch, capsys)


def published(call: Call, mapping: Path) -> None:
    """Take files in, train a version for each rhythm and publish a run of each."""
    steps = [
        ("ingest", "check", "table", "--mapping", mapping),
        ("ingest", "table", "--mapping", mapping),
        ("train", "--family", "statistical", "--version", "d-1", "--cutoff", LAST, "--horizon", "28"),
        ("run", "--cadence", "daily", "--date", LAST, "--model-version", "d-1"),
        ("train", "--family", "statistical", "--version", "w-1", "--cutoff", LAST, "--horizon", "30"),
        ("run", "--cadence", "weekly", "--date", LAST, "--model-version", "w-1", "--horizon", "30"),
    ]
    for step in steps:
        code, said = call(*step)
        assert code == 0, f"{step}: {said}"


def test_one_store_and_twenty_slow_movers(call: Call, tmp_path: Path) -> None:
    lines = slow_movers()
    write(tmp_path, lines, lambda line: f"{line[0]:%Y-%m}")
    (tmp_path / "mapping.toml").write_text(MAPPING)
    # The last days may have no sale at all: that the shop was open is a word of somebody.
    missing = [day for day in days(4) if day > max(line[0] for line in lines)]
    assert not missing, "the made-up shop sells on its last day"
    published(call, tmp_path / "mapping.toml")
    expected = sum(line[3] for line in lines) / 200 * 28
    assert abs(sums(tmp_path / "home", "d-1") / expected - 1) < 0.25


def test_a_chain_that_is_closed_on_sundays_with_a_file_per_store_and_day(call: Call, tmp_path: Path) -> None:
    write(tmp_path, closed_on_sundays(), lambda line: f"{line[2]}_{line[0]}")
    (tmp_path / "mapping.toml").write_text(MAPPING)
    published(call, tmp_path / "mapping.toml")
    home = tmp_path / "home"
    assert sums(home, "d-1", "Sunday") < 0.01 * sums(home, "d-1", "Monday")
    assert abs(sums(home, "d-1", "Monday") / (4 * 2 * 4 * 9) - 1) < 0.15


def test_a_shop_twelve_hours_east_of_greenwich(call: Call, tmp_path: Path) -> None:
    """Days are told by moments of their own zone, as its till writes them; each is over when it is there."""
    lines = closed_on_sundays()
    moments = MAPPING.replace('event_date = "day"', 'event_date = "at"').replace(
        'missing_days = "zero"', 'missing_days = "zero"\naggregate = "sum"\ntime_zone = "Pacific/Auckland"'
    )
    rows = [f"{day}T08:30:00+12:00,{article},{store},{units}" for day, article, store, units in lines]
    (tmp_path / "sales_1.csv").write_text("at,article,shop,qty\n" + "\n".join(rows) + "\n")
    (tmp_path / "mapping.toml").write_text(moments)
    published(call, tmp_path / "mapping.toml")
    home = tmp_path / "home"
    assert sums(home, "d-1", "Sunday") < 0.01 * sums(home, "d-1", "Monday")
