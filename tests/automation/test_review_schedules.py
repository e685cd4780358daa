"""When weeks are reviewed."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from forecast_assets.automation.review_schedules import build_review_schedule
from forecast_assets.core.keys import DAILY
from forecast_assets.definitions import stores_resource
from forecast_assets.settings import Settings
from resources.stores.home import open_stores
from tests.support.review_cases import SUNDAY
from tests.support.trial_cases import CHAMPION, Said, measured, with_champion


def test_on_tuesdays_the_week_that_has_ended_is_reviewed_once_any_of_it_was_measured(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, schedule_hour_utc=6)
    stores = with_champion(open_stores(settings.store_folder))
    schedule = build_review_schedule(settings, stores_resource(settings), DAILY, "daily_review")
    assert schedule.cron_schedule == "45 6 * * 2"
    tuesday = datetime(2025, 2, 11, 6, 45, tzinfo=UTC)
    waiting = schedule(dg.build_schedule_context(scheduled_execution_time=tuesday))
    assert isinstance(waiting, dg.SkipReason)
    assert "have been measured in week 2025-W06" in str(waiting.skip_message)
    measured(stores, SUNDAY, {(CHAMPION, 1): Said()})
    request = schedule(dg.build_schedule_context(scheduled_execution_time=tuesday))
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2025-02-09"
