"""`calibration` as an operator types it."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forecast_assets.cli import cli
from forecast_assets.core.errors import InputError, NotReadyError, UnknownVersionError
from resources.stores.home import Stores, open_stores
from tests.support.lineage_cases import register_linked, snapshot
from tests.support.store_cases import register


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def stores(home: Path) -> Stores:
    made = open_stores(home / "store")
    register(made, "stat-1")
    return made


def called(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["calibration", *arguments])


@pytest.mark.usefixtures("stores")
def test_the_tables_of_a_version_are_shown() -> None:
    result = called("stat-1")
    assert result.exit_code == 0
    for title in ("Single days, by level", "Sums of the first days, by level", "Series, single days, by segment"):
        assert title in result.output
    assert "Stock-out risk" not in result.output
    assert "trained up to 2025-01-01" in result.output


@pytest.mark.usefixtures("stores")
def test_a_page_is_written_once_and_never_over_another(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert called("stat-1", "--out", str(page)).exit_code == 0
    text = page.read_text()
    assert text.count("<img") == 3
    assert "Calibration of stat-1" in text
    again = called("stat-1", "--out", str(page))
    assert isinstance(again.exception, InputError)
    assert page.read_text() == text


@pytest.mark.usefixtures("stores")
def test_an_unknown_version_is_refused() -> None:
    assert isinstance(called("stat-2").exception, UnknownVersionError)


def test_a_version_without_a_report_says_so(home: Path) -> None:
    made = open_stores(home / "store")
    register_linked(made, snapshot(made, 1))
    error = called("stat-1").exception
    assert isinstance(error, NotReadyError)
    assert "no calibration report" in str(error)
