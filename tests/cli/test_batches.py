"""Commands on what was taken in: closed stores, batches taken back, quarantined rows."""

from pathlib import Path

import pytest

from tests.support.command import Call, caller

MAPPING = """
source = "till"
declared_lag_hours = 6
[[feed]]
feed = "sales"
file = "sales_*.csv"
missing_days = "zero"
on_invalid = "quarantine"
"""
NAMES = "event_date,sku_id,store_id,sales_units\n"
WHO = ("--by", "ana", "--reason", "as agreed")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "m.toml").write_text(MAPPING)
    (tmp_path / "sales_1.csv").write_text(f"{NAMES}2025-06-01,A,S,1\n2025-06-01,B,S,2\n2025-06-02,A,S,3\n")
    (tmp_path / "sales_2.csv").write_text(f"{NAMES}2025-06-03,A,S,-4\n2025-06-03,B,S,2\n2025-06-03,C,S,\n")
    return caller(monkeypatch, capsys)


def ingest(call: Call, folder: Path) -> None:
    code, said = call("ingest", "table", "--mapping", folder / "m.toml")
    assert code == 0, said


def observed(call: Call, sku: str, day: str) -> str:
    code, said = call("observations", "--sku", sku, "--store", "S", "--date", day, "--known-until", "2100-01-01")
    return said.strip().splitlines()[-1] if code == 0 else f"exit code {code}"


def test_quarantined_rows_are_listed_and_released_one_by_one(call: Call, tmp_path: Path) -> None:
    ingest(call, tmp_path)
    code, said = call("ingest", "quarantine", "list")
    assert code == 0
    assert "`sales_units` is below 0" in said
    assert "2 of 2 rows are open." in said
    assert observed(call, "A", "2025-06-03") == "exit code 2"
    batch = next(line.split()[0] for line in said.splitlines() if "below 0" in line)
    code, said = call("ingest", "quarantine", "release", batch, "--row", 3, *WHO)
    assert (code, "has no open quarantined row 3" in said) == (2, True)
    code, said = call("ingest", "quarantine", "release", batch, "--row", 4, *WHO)
    assert (code, "`sales_units` is missing" in said) == (2, True)


def test_a_row_that_breaks_a_contract_is_not_released_against_it(call: Call, tmp_path: Path) -> None:
    ingest(call, tmp_path)
    batch = next(line.split()[0] for line in call("ingest", "quarantine", "list")[1].splitlines() if "below 0" in line)
    code, said = call("ingest", "quarantine", "release", batch, "--row", 2, *WHO)
    assert (code, "is below 0" in said) == (2, True)


def test_a_row_that_is_sent_right_is_settled(call: Call, tmp_path: Path) -> None:
    ingest(call, tmp_path)
    (tmp_path / "sales_3.csv").write_text(f"{NAMES}2025-06-03,A,S,4\n")
    ingest(call, tmp_path)
    assert "1 of 2 rows are open." in call("ingest", "quarantine", "list")[1]
    assert "settled" in call("ingest", "quarantine", "list", "--all")[1]
    assert " 4.000 " in observed(call, "A", "2025-06-03")


def test_a_closed_store_and_one_that_opens_after_all(call: Call, tmp_path: Path) -> None:
    ingest(call, tmp_path)
    closed = ("ingest", "closed", "--store", "S", "--from", "2025-06-04", "--to", "2025-06-05", *WHO)
    assert call(*closed)[0] == 0
    assert "assumed_closed" in observed(call, "A", "2025-06-04")
    assert call(*closed, "--open")[0] == 0
    assert observed(call, "A", "2025-06-04") == "exit code 2"
    code, said = call("ingest", "closed", "--store", "T", "--from", "2025-06-04", "--to", "2025-06-04", *WHO)
    assert (code, "Sales know no store T" in said) == (2, True)


def test_a_batch_is_taken_back_and_counts_again(call: Call, tmp_path: Path) -> None:
    ingest(call, tmp_path)
    assert call("ingest", "retract", "1", *WHO)[0] == 0
    assert "by ana: as agreed" in call("ingest", "batches")[1]
    assert observed(call, "A", "2025-06-01") == "exit code 2"
    code, said = call("ingest", "table", "--mapping", tmp_path / "m.toml")
    assert (code, "was taken back by ana" in " ".join(said.split())) == (0, True)
    assert call("ingest", "retract", "1", *WHO, "--undo")[0] == 0
    assert " 1.000 " in observed(call, "A", "2025-06-01")
    code, said = call("ingest", "retract", "99", *WHO)
    assert (code, "There is no batch 99" in said) == (2, True)


def test_the_log_says_who_and_why(call: Call, tmp_path: Path) -> None:
    ingest(call, tmp_path)
    call("ingest", "retract", "1", *WHO)
    code, said = call("log")
    assert code == 0
    assert "taken back" in said
    assert "as agreed" in said
