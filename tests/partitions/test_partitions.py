"""Prediction dates of both cadences, and which snapshot each reads."""

from datetime import UTC, date, datetime

import dagster as dg
import pytest

from forecast_assets.core.keys import DAILY, WEEKLY, Cadence
from partitions import cadence_dates, model_versions, prediction_dates, scoring_partitions, snapshot_mapping

WEDNESDAY = date(2025, 1, 1)
MONDAY_MORNING = datetime(2025, 1, 27, 3, tzinfo=UTC)
SUNDAY_EVENING = datetime(2025, 1, 26, 23, 59, tzinfo=UTC)


def test_weekly_dates_are_sundays_and_appear_when_they_are_over() -> None:
    dates = cadence_dates(WEEKLY, WEDNESDAY)
    assert dates.get_partition_keys(MONDAY_MORNING) == ["2025-01-05", "2025-01-12", "2025-01-19", "2025-01-26"]
    assert dates.get_partition_keys(SUNDAY_EVENING)[-1] == "2025-01-19"
    assert not dates.has_partition_key("2025-01-20")
    assert cadence_dates(DAILY, WEDNESDAY) == prediction_dates(WEDNESDAY)


@pytest.mark.parametrize("cadence", [DAILY, WEEKLY])
def test_a_run_reads_the_snapshot_of_its_own_day_and_no_later_one(cadence: Cadence) -> None:
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(str(model_versions.name), ["stat-1"])
    scoring = scoring_partitions(cadence, WEDNESDAY)
    mapped = snapshot_mapping().get_upstream_mapped_partitions_result_for_partitions(
        scoring.subset_with_partition_keys(["stat-1|2025-01-26"]),
        scoring,
        prediction_dates(WEDNESDAY),
        current_time=MONDAY_MORNING,
        dynamic_partitions_store=instance,
    )
    assert list(mapped.partitions_subset.get_partition_keys()) == ["2025-01-26"]


def test_daily_and_weekly_dates_have_the_same_names_and_windows() -> None:
    sunday = "2025-01-26"
    weekly, daily = cadence_dates(WEEKLY, WEDNESDAY), prediction_dates(WEDNESDAY)
    assert weekly.time_window_for_partition_key(sunday) == daily.time_window_for_partition_key(sunday)
