"""`drift` and `backlog` as an operator types them: a day that broke, its page, and what is decided about its item."""

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forecast_assets.cli import cli
from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.presentation.actions import error_text
from resources.ledger.entries.drift import DriftRecords
from resources.stores.home import Stores, open_stores
from tests.support.drift_cases import LAST, sell

WHO = ("--by", "ana", "--reason", "asked the tills")


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    return open_stores(tmp_path / "home/store")


def called(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def said(*arguments: str) -> str:
    result = called(*arguments)
    assert result.exception is None, result.exception
    return result.output


def refused(*arguments: str) -> tuple[int, str]:
    error = called(*arguments).exception
    assert isinstance(error, ForecastAssetsError), error
    return exit_code(type(error)), error_text(error)


def test_a_day_that_broke_is_told_drawn_and_its_item_is_decided_about(stores: Stores, tmp_path: Path) -> None:
    sell(stores, days=120, last_day=8.0)
    told = said("drift", "--out", "drift.html")
    assert told.startswith(f"{LAST}: 1 signal in ")
    (row,) = (line for line in told.splitlines() if "feed/sales/sales_units/broken/all" in line)
    assert row.split()[0] == "1"
    assert f"broken over all stores since {LAST}" in row
    assert told.endswith("Written to drift.html.\n")
    page = (tmp_path / "drift.html").read_text()
    assert page.startswith("<!doctype html>")
    assert 'alt="sales sales units"' in page
    assert "data:image/png;base64," in page
    assert f"broken over all stores since {LAST}" in page
    every = said("drift", "--date", str(LAST), "--all")
    assert len(every.splitlines()) > len(told.splitlines())
    records = open_stores(tmp_path / "home/store").ledger.state().part(DriftRecords).by_day
    assert {day: len(judged) for day, judged in records.items()} == {LAST: 1}, "the same numbers are recorded once"
    (item,) = (line for line in said("backlog", "list").splitlines() if line.startswith("1 "))
    assert item.split()[1:3] == ["open", "yes"]
    assert said("backlog", "acknowledge", "1", *WHO).startswith("Item 1 is acknowledged (ledger entry ")
    assert "asked the tills" in said("backlog", "list")
    assert said("backlog", "close", "1", *WHO).startswith("Item 1 is closed (ledger entry ")
    assert said("backlog", "list") == "The backlog is empty.\n"
    assert "closed" in said("backlog", "list", "--all")
    code, why = refused("backlog", "close", "1", *WHO)
    assert (code, "1" in why) == (2, True)


def test_what_cannot_be_judged_is_refused_before_anything_is_recorded(stores: Stores, tmp_path: Path) -> None:
    sell(stores, days=3)
    before = stores.ledger.state().sequence
    (tmp_path / "there.html").write_text("kept")
    assert refused("drift", "--out", "drift.txt")[0] == 2
    assert refused("drift", "--out", "there.html")[0] == 2
    assert (tmp_path / "there.html").read_text() == "kept"
    assert refused("drift", "--date", "2999-01-01")[0] != 0
    code, why = refused("drift", "--date", str(LAST - timedelta(days=9)))
    assert (code, "lies before the store's first day" in why) == (2, True)
    result = called("drift", "--date", "June")
    assert (result.exit_code, "`June` is not a date" in result.output) == (2, True)
    assert open_stores(tmp_path / "home/store").ledger.state().sequence == before


@pytest.mark.usefixtures("stores")
def test_a_store_without_sales_and_items_that_are_none_are_told_with_what_to_do() -> None:
    assert refused("drift")[0] == 3
    assert said("backlog", "list") == "The backlog is empty.\n"
    assert refused("backlog", "acknowledge", "1", *WHO)[0] == 2
    for arguments, why in (
        (("acknowledge", "0", *WHO), "Invalid value for 'ITEM'"),
        (("acknowledge", "one", *WHO), "Invalid value for 'ITEM'"),
        (("close", "1", "--by", "ana"), "Missing option '--reason'"),
        (("close",), "Missing argument 'ITEM'"),
    ):
        result = called("backlog", *arguments)
        assert (result.exit_code, why in result.output) == (2, True), result.output
