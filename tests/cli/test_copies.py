"""`copy sync`, `check`, `list`, and what commands say of the copy that follows them."""

from pathlib import Path

import pytest

from forecast_assets.cli import copies
from resources.stores.home import Stores, open_stores
from tests.support.command import Call, caller
from tests.support.store_cases import ingest, publish, register, run_key


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path))
    monkeypatch.setenv("FORECAST_ASSETS_OPERATIONAL_COPY", "sqlite")
    return tmp_path


@pytest.fixture
def published(home: Path) -> Stores:
    stores = open_stores(home / "store")
    ingest(stores)
    register(stores)
    for day in range(2):
        publish(stores, run_key(day))
    return stores


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


def test_a_copy_is_made_checked_and_listed(published: Stores, home: Path, call: Call) -> None:
    file = f"{home}/operational_copy/operational_copy.sqlite"
    assert call("copy", "list") == (0, f"The operational copy at {file} has no run yet.\n")
    code, said = call("copy", "check")
    assert code == 5
    assert "there is no copy yet" in said
    assert "forecast-assets copy sync; what somebody changed there is made anew: forecast-assets copy sync --again" in (
        said
    )
    code, said = call("copy", "sync")
    assert code == 0
    assert f"copied: {run_key(1)}, {run_key()}." in said
    assert "copy rows of runs" in said
    assert "nothing had changed" in call("copy", "sync")[1]
    code, said = call("copy", "check", "--deep")
    assert code == 0
    assert "has 2 runs and 236 rows, the same content as were published up to ledger entry" in said
    code, said = call("copy", "list")
    assert code == 0
    assert str(run_key(1)) in said
    assert published.ledger.state().sequence == 4


def test_a_copy_that_is_off_says_how_to_have_one(call: Call, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORECAST_ASSETS_OPERATIONAL_COPY")
    for command in ("sync", "check", "list"):
        code, said = call("copy", command)
        assert code == 2
        assert "Set FORECAST_ASSETS_OPERATIONAL_COPY to `sqlite`, or to a postgresql:// address." in said
    assert not (home / "operational_copy").exists()


def test_an_address_of_no_database_is_refused(call: Call, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_OPERATIONAL_COPY", "mysql://db/x")
    code, said = call("copy", "sync")
    assert code == 2
    assert "operational_copy" in said
    assert home.is_dir()


def test_a_server_that_is_down_is_told(published: Stores, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_OPERATIONAL_COPY", "postgresql://ana:secret@127.0.0.1:1/x")
    for command in ("sync", "check", "list"):
        code, said = call("copy", command)
        assert code == 6
        assert "postgresql://ana:***@127.0.0.1:1/x cannot be used" in said
        assert "forecast-assets copy sync" in said
    assert published.ledger.state().publications


def test_what_follows_a_publication_is_said_and_a_late_copy_too(
    published: Stores, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.follow_copy()
    assert f"copied: {run_key(1)}, {run_key()}" in capsys.readouterr().out
    monkeypatch.setenv("FORECAST_ASSETS_OPERATIONAL_COPY", "postgresql://127.0.0.1:1/x")
    copies.follow_copy()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("warning: the operational copy is late, and what was published stays so.")
    monkeypatch.setenv("FORECAST_ASSETS_OPERATIONAL_COPY", "off")
    copies.follow_copy()
    assert capsys.readouterr() == ("", "")
    assert published.ledger.state().publications
