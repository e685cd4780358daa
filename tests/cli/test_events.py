"""Commands of prediction events, on events by hand."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner

from forecast_assets.cli import cli
from forecast_assets.core.errors import InputError, StorageError
from forecast_assets.settings import Settings
from resources.events.sqlite import SqliteEvents
from tests.support.event_cases import NOW, caller, event, event_id, left_by_a_dead_process


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path))
    return Settings()


def run(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["events", *arguments], catch_exceptions=False, standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.output


def test_events_are_listed_and_shown(settings: Settings) -> None:
    assert run("list") == "The store has no such prediction event.\n"
    SqliteEvents(settings.events_path).add([event(1), event(2, caller=caller("k2", "bob"))])
    assert [line.split()[0] for line in run("list").splitlines()[1:]] == [event_id(2), event_id(1)]
    assert event_id(1) not in run("list", "--caller", "bob")
    assert event_id(1) in run(
        "list", "--store", "S-01", "--sku", "Käse €/1", "--since", "2025-07-01", "--until", "2025-07-01"
    )
    assert "no such" in run("list", "--until", "2025-06-30")
    assert json.loads(run("show", event_id(2))) == event(2, caller=caller("k2", "bob")).document


@pytest.mark.usefixtures("settings")
def test_what_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match="There is no prediction event"):
        run("show", str(uuid4()))
    with pytest.raises(InputError, match="A series is a store and a SKU"):
        run("list", "--store", "S-01")


def test_days_that_are_over_are_moved_and_still_shown(settings: Settings) -> None:
    store = SqliteEvents(settings.events_path)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    store.add([event(1), event(2, at=yesterday)])
    told = run("move")
    assert f"{NOW.date()}: 1 of 1 events written." in told
    assert f"{NOW.date()}: dropped from the store." in told
    assert store.days() == {yesterday.date(): 1}
    assert json.loads(run("show", event_id(1))) == event(1).document


def test_what_dead_services_left_is_handed_over(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by_a_dead_process(settings.spool_folder, [event(1)])
    monkeypatch.setenv("FORECAST_ASSETS_EVENT_STORE", "postgresql://127.0.0.1:1/x")
    with pytest.raises(StorageError, match="the sink `store` takes none"):
        run("drain")
    monkeypatch.delenv("FORECAST_ASSETS_EVENT_STORE")
    assert "1 events were handed over" in run("drain")
    assert SqliteEvents(settings.events_path).days() == {NOW.date(): 1}


def test_sinks_and_bounds_are_settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (settings.event_sinks, settings.event_retention_days) == (("store",), 120)
    monkeypatch.setenv("FORECAST_ASSETS_EVENT_SINKS", '["store", "json_lines"]')
    assert Settings().event_sinks == ("store", "json_lines")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("SINKS", "[]"),
        ("SINKS", '["kafka"]'),
        ("RETENTION_DAYS", "89"),
        ("RETENTION_DAYS", "181"),
        ("STORE", "mysql://x"),
    ],
)
def test_settings_that_cannot_be_are_refused(name: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"FORECAST_ASSETS_EVENT_{name}", wrong)
    with pytest.raises(ValueError, match="event_"):
        Settings()
