"""The asset of prediction events, and its schedule."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg

from forecast_assets.automation.event_schedules import build_events_schedule
from forecast_assets.serving.assets import build_prediction_events_asset
from forecast_assets.settings import Settings
from resources.events.sqlite import SqliteEvents
from tests.support.event_cases import NOW, event

DAY = NOW.date()


def test_the_asset_moves_all_days_that_are_over_and_says_what_it_did(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    store = SqliteEvents(settings.events_path)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    store.add([event(1), event(2), event(3, at=yesterday)])
    asset = build_prediction_events_asset(date(2025, 1, 1), settings)
    done = dg.materialize([asset], partition_key=str(yesterday.date()))
    assert done.success
    (told,) = done.asset_materializations_for_node("prediction_events")
    assert told.metadata["dagster/partition_row_count"].value == 1
    assert told.metadata["days_moved"].value == [str(DAY), str(yesterday.date())]
    assert told.metadata["days_dropped_from_the_store"].value == [str(DAY)]
    assert store.days() == {yesterday.date(): 1}
    assert (tmp_path / "serving/operational.duckdb").exists()


def test_the_schedule_asks_for_the_day_before_where_there_is_anything_to_move(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, schedule_hour_utc=6)
    schedule = build_events_schedule(settings, "prediction_events")
    assert schedule.cron_schedule == "15 6 * * *"
    today = dg.build_schedule_context(scheduled_execution_time=NOW)
    tomorrow = dg.build_schedule_context(scheduled_execution_time=NOW + timedelta(days=1))
    SqliteEvents(settings.events_path).add([event(1)])
    waiting = schedule(today)
    assert isinstance(waiting, dg.SkipReason)
    assert "no event of 2025-06-30 or before" in str(waiting.skip_message)
    request = schedule(tomorrow)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2025-07-01"


def test_a_store_that_does_not_answer_is_a_reason_to_wait(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, event_store="postgresql://ana:secret@127.0.0.1:1/x")
    waiting = build_events_schedule(settings, "job")(dg.build_schedule_context(scheduled_execution_time=NOW))
    assert isinstance(waiting, dg.SkipReason)
    assert "cannot be used" in str(waiting.skip_message)
    assert "secret" not in str(waiting.skip_message)
