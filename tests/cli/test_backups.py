"""`backup` and `restore`: what they say, and how they end."""

from pathlib import Path

import pytest

from forecast_assets.settings import Settings
from tests.support.backup_cases import small_home, stores_of
from tests.support.command import Call, caller
from tests.support.store_cases import publish, run_key


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    return small_home(tmp_path / "home")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


def test_a_home_is_backed_up_looked_at_and_restored(home: Settings, tmp_path: Path, call: Call) -> None:
    to, head = tmp_path / "backup", stores_of(home).ledger.state()
    assert call("backup", "--status") == (
        0, "No backup of this home has come to its end. Make one: forecast-assets backup TO\n"
    )  # fmt: skip
    code, said = call("backup", to)
    assert code == 0
    assert f"with {head.sequence} ledger entries; 0 files were there." in said
    assert "2 files of the home besides, 2 files, 0.0 MB, of them new; 1 snapshot of them." in said
    assert f"{to} has all up to ledger entry {head.sequence}:{head.head}" in said
    assert "Recovery point: 20" in said

    publish(stores_of(home), run_key(2), 9)
    assert "with 1 ledger entry; " in call("backup", to, "--keep", "1")[1]

    code, said = call("backup", to, "--verify")
    assert code == 0
    assert " s: everything is as it was written.\n" in said
    for status in (call("backup", "--status"), call("backup", to, "--status")):
        assert status[0] == 0
        assert str(to) in status[1]
        assert f" {head.sequence + 1} " in status[1]

    code, said = call("restore", to, "--home", tmp_path / "restored")
    assert code == 0
    assert f"up to ledger entry {head.sequence + 1}:" in said
    assert f"Verified: {head.sequence + 1} entries" in said
    assert "2 files of the home besides, as of 20" in said
    assert "Recovery point: 20" in said
    code, said = call("restore", to, "--home", tmp_path / "audit", "--until", head.sequence)
    assert code == 0
    assert f"Recovery point: ledger entry {head.sequence}, of 20" in said
    assert "keys, feedback and trusted models are to be made anew" in said


def test_each_refusal_has_its_exit_code_and_says_what_to_do(home: Settings, tmp_path: Path, call: Call) -> None:
    to = tmp_path / "backup"
    assert call("backup")[0] == 2
    assert call("backup", to, "--verify", "--status")[0] == 2
    assert call("backup", to, "--keep", "0")[0] == 2
    code, said = call("backup", to, "--verify")
    assert (code, "made to with forecast-assets backup TO" in said) == (2, True)
    code, said = call("restore", to, "--home", tmp_path / "new")
    assert (code, "There is no backup at" in said) == (2, True)
    assert call("backup", home.home / "inside")[0] == 2
    call("backup", to)
    code, said = call("restore", to, "--home", home.home)
    assert (code, "is not empty" in said) == (2, True)

    other = small_home(tmp_path / "other")
    ledger = other.store_folder / "ledger"
    code, said = call("backup", tmp_path / "backup-of-other")
    assert code == 0
    for path in sorted((home.store_folder / "ledger").iterdir())[-1:]:
        path.unlink()
    code, said = call("backup", to)
    assert code == 4
    assert "was rolled back" in said
    assert "forecast-assets restore FROM --home HOME" in said
    assert ledger.is_dir()


def test_a_changed_backup_is_told_file_by_file(home: Settings, tmp_path: Path, call: Call) -> None:
    to = tmp_path / "backup"
    call("backup", to)
    stored = next(path for path in (to / "store" / "observations").rglob("*.parquet"))
    stored.write_bytes(b"changed")
    (database,) = (to / "files").glob("*.sqlite")
    database.write_bytes(b"changed")
    code, said = call("backup", to, "--verify")
    assert code == 5
    assert f"changed    store/{stored.relative_to(to / 'store')}" in said
    assert f"changed    files/{database.name}" in said
    assert "copied anew from the store" in said
    # What was moved out is copied again.
    stored.unlink()
    database.unlink()
    assert call("backup", to)[0] == 0
    assert call("backup", to, "--verify")[0] == 0
    assert home.home.is_dir()
