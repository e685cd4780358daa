"""When runs start: in order, once, for both cadences, and never again for what is published."""

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from forecast_assets.automation import triggers
from forecast_assets.automation.triggers import (
    SensorCursor,
    accuracy_request,
    build_schedules,
    build_sensors,
    scoring_request,
    snapshot_request,
)
from forecast_assets.core.errors import NotAcceptedError
from forecast_assets.core.keys import DAILY, WEEKLY, Cadence, RunKey
from forecast_assets.definitions import stores_resource
from forecast_assets.history.as_known import History
from forecast_assets.settings import Settings
from forecast_assets.snapshots.readiness import Readiness
from forecast_assets.snapshots.stage import readiness
from partitions import prediction_dates, scoring_partition
from resources.orchestration.dagster_home import Launches, open_instance
from resources.stores.home import Stores, open_stores
from tests.resources.stores.test_observations import DAY, put, sales_rows
from tests.support.store_cases import register

SUNDAY = date(2025, 1, 5)


@dg.job
def feature_pipeline() -> None:
    """Stands for the job that makes snapshots."""


@pytest.fixture
def launches() -> Launches:
    return Launches(dg.DagsterInstance.ephemeral(), "feature_pipeline")


def stage(stores: Stores, *days: date) -> None:
    for day in days:
        stores.predictions.write_bytes(
            "feature_snapshots", b"", key=day, path=f"predictions/feature_snapshots/{day}", rows=0, schema="",
            inputs={}, facts={"known_until": f"{day}T23:59:59+00:00"},
        )  # fmt: skip


def move_to(stores: Stores, name: str, channel: str, *, horizon: int = 90, cutoff: str = "2025-01-01") -> None:
    register(stores, name, horizon=horizon, cutoff=date.fromisoformat(cutoff))
    stores.registry.promote(name, by="ana", reason="test", channel=channel)


def publish(stores: Stores, cadence: Cadence, version: str, *days: date) -> None:
    for day in days:
        key = RunKey(cadence.name, day, version, cadence.default_horizon)
        stores.ledger.append("publish", {"key": str(key), "products": {}, "accepted": {}}, lambda _: None)


def days(*numbers: int) -> list[date]:
    return [date(2025, 1, number) for number in numbers]


def asked(answer: dg.RunRequest | dg.SensorResult | dg.SkipReason) -> str | None:
    """The partition that is asked for, or None."""
    if isinstance(answer, dg.SkipReason):
        return None
    if isinstance(answer, dg.RunRequest):
        return str(answer.partition_key)
    return str(next(iter(answer.run_requests or [])).partition_key)


def reason(answer: dg.RunRequest | dg.SensorResult | dg.SkipReason) -> str:
    assert isinstance(answer, dg.SkipReason), answer
    return str(answer.skip_message)


def test_missed_days_are_caught_up_in_order(stores: Stores, launches: Launches) -> None:
    put(stores, sales_rows())
    assert asked(snapshot_request(stores, 0.2, launches)) == str(DAY)
    stage(stores, *days(6, 8))
    caught_up = []
    while (day := asked(snapshot_request(stores, 0.2, launches))) is not None:
        caught_up.append(day)
        stage(stores, date.fromisoformat(day))
    assert caught_up == ["2025-01-07", "2025-01-09", "2025-01-10"]
    assert reason(snapshot_request(stores, 0.2, launches)) == "The snapshot of 2025-01-10 is there."


def test_a_day_that_came_late_is_caught_up_when_it_is_complete(stores: Stores, launches: Launches) -> None:
    rows = sales_rows()
    late = (pl.col("event_date") == date(2025, 1, 9)) & (pl.col("store_id") == "S1")
    put(stores, rows.filter(~late))
    stage(stores, *days(8))
    assert asked(snapshot_request(stores, 0.2, launches)) == "2025-01-10"
    stage(stores, DAY)
    assert "Waiting for the inputs of 2025-01-09: `sales` lacks 1 stores: S1" in reason(
        snapshot_request(stores, 0.2, launches)
    )
    put(stores, rows.filter(late))
    assert asked(snapshot_request(stores, 0.2, launches)) == "2025-01-09"


def test_what_comes_after_a_run_under_way_waits_for_it(stores: Stores, launches: Launches) -> None:
    put(stores, sales_rows())
    stage(stores, *days(7))
    request = snapshot_request(stores, 0.2, launches)
    assert isinstance(request, dg.RunRequest)
    tags = {"dagster/partition": "2025-01-08", "dagster/run_key": str(request.run_key)}
    run = launches.instance.create_run_for_job(feature_pipeline, status=dg.DagsterRunStatus.STARTED, tags=tags)
    assert reason(snapshot_request(stores, 0.2, launches)) == (
        "The run of 2025-01-08 is under way; what comes after it follows."
    )
    launches.instance.report_run_failed(run)
    assert asked(snapshot_request(stores, 0.2, launches)) == "2025-01-09"
    stage(stores, *days(9, 10))
    assert "The run of 2025-01-08 failed; it is tried again after the next ledger entry." in reason(
        snapshot_request(stores, 0.2, launches)
    )
    put(stores, sales_rows(1, units=5.0), source="other")
    assert asked(snapshot_request(stores, 0.2, launches)) == "2025-01-08"


def test_both_cadences_follow_their_own_champion(stores: Stores) -> None:
    put(stores, sales_rows())
    launches = {c: Launches(dg.DagsterInstance.ephemeral(), f"{c.name}_scoring") for c in (DAILY, WEEKLY)}
    assert "No weekly-champion: forecast-assets promote VERSION --channel weekly-champion" in reason(
        scoring_request(stores, WEEKLY, launches[WEEKLY])
    )
    move_to(stores, "stat-1", "champion", horizon=28)
    move_to(stores, "stat-weekly-1", "weekly-champion")
    assert reason(scoring_request(stores, WEEKLY, launches[WEEKLY])) == "Waiting for the snapshot of 2025-01-05."
    assert asked(snapshot_request(stores, 0.2, launches[DAILY])) == str(SUNDAY)
    stage(stores, SUNDAY, DAY)
    assert asked(scoring_request(stores, WEEKLY, launches[WEEKLY])) == scoring_partition(SUNDAY, "stat-weekly-1")
    assert asked(scoring_request(stores, DAILY, launches[DAILY])) == scoring_partition(DAY, "stat-1")


def test_what_is_published_is_never_asked_for_again_even_if_it_is_restated(stores: Stores, launches: Launches) -> None:
    put(stores, sales_rows())
    move_to(stores, "stat-1", "champion", horizon=28)
    stage(stores, *days(9, 10))
    publish(stores, DAILY, "stat-1", *days(9, 10))
    put(stores, sales_rows(units=5.0), source="restated")
    published = "daily/2025-01-10/stat-1/28/r0 is published"
    assert published in reason(scoring_request(stores, DAILY, launches))
    assert reason(snapshot_request(stores, 0.2, launches)) == "The snapshot of 2025-01-10 is there."


def test_days_that_were_missed_are_scored_oldest_first(stores: Stores, launches: Launches) -> None:
    put(stores, sales_rows())
    move_to(stores, "stat-1", "champion", horizon=28)
    stage(stores, *days(7, 8, 9, 10))
    publish(stores, DAILY, "stat-1", *days(7))
    scored = []
    while (partition := asked(scoring_request(stores, DAILY, launches))) is not None:
        day = date.fromisoformat(partition.split("|")[1])
        scored.append(day)
        publish(stores, DAILY, "stat-1", day)
    assert scored == days(8, 9, 10)


def test_a_version_that_cannot_serve_is_not_launched(stores: Stores, launches: Launches) -> None:
    put(stores, sales_rows())
    stage(stores, SUNDAY)
    with pytest.raises(NotAcceptedError, match=r"`short` was trained for 28 days ahead, and weekly runs"):
        move_to(stores, "short", "weekly-champion", horizon=28)
    move_to(stores, "stat-1", "weekly-champion", horizon=60)
    assert "`stat-1` was trained for 60 days ahead, and weekly runs of 90 days were asked of it." in reason(
        scoring_request(stores, WEEKLY, launches)
    )
    move_to(stores, "stat-2", "weekly-champion", cutoff="2025-01-06")
    assert reason(scoring_request(stores, WEEKLY, launches, displaced(stores, 28))) == (
        "`stat-2` was trained on days up to 2025-01-06; the newest weekly date with sales is 2025-01-05."
    )


def displaced(stores: Stores, days: float) -> datetime:
    """The moment so long after the last move of a channel."""
    moved_at = datetime.fromisoformat(stores.ledger.state().channel_moves[-1].recorded_at)
    return moved_at + timedelta(days=days)


def scored(stores: Stores, launches: Launches, now: datetime, cadence: Cadence = DAILY) -> list[str]:
    """Publish whatever the sensor asks for until it asks for nothing; version and day of each."""
    done = []
    while (partition := asked(scoring_request(stores, cadence, launches, now))) is not None:
        version, day = partition.split("|")
        publish(stores, cadence, version, date.fromisoformat(day))
        done.append(f"{version} {date.fromisoformat(day).day}")
    return done


def with_former_champion(stores: Stores) -> None:
    """A champion that has published up to the 7th and was displaced on the 8th; snapshots are there up to the 10th."""
    put(stores, sales_rows())
    stage(stores, *days(5, 6, 7, 8, 9, 10))
    move_to(stores, "stat-1", "champion", horizon=28)
    publish(stores, DAILY, "stat-1", *days(5, 6, 7))
    move_to(stores, "stat-2", "champion", horizon=28)


def test_a_former_champion_goes_on_where_it_stopped_after_the_champion_was_served(
    stores: Stores, launches: Launches
) -> None:
    with_former_champion(stores)
    publish(stores, DAILY, "stat-2", *days(8))
    assert scored(stores, launches, displaced(stores, 27)) == [
        "stat-2 9", "stat-2 10", "stat-1 8", "stat-1 9", "stat-1 10",
    ]  # fmt: skip


def test_a_former_champion_is_not_scored_after_28_days(stores: Stores, launches: Launches) -> None:
    with_former_champion(stores)
    assert scored(stores, launches, displaced(stores, 28)) == ["stat-2 10"]


def test_a_version_that_was_rolled_back_from_is_scored_too(stores: Stores, launches: Launches) -> None:
    with_former_champion(stores)
    publish(stores, DAILY, "stat-2", *days(8, 9))
    stores.registry.rollback(by="ana", reason="worse")
    assert scored(stores, launches, displaced(stores, 1)) == ["stat-1 8", "stat-1 9", "stat-1 10", "stat-2 10"]


def test_a_challenger_begins_with_the_newest_date_and_not_with_the_past_of_the_champion(
    stores: Stores, launches: Launches
) -> None:
    put(stores, sales_rows(9, end=date(2025, 1, 9)))
    stage(stores, *days(7, 8, 9, 10))
    move_to(stores, "stat-1", "champion", horizon=28)
    publish(stores, DAILY, "stat-1", *days(7, 8, 9))
    move_to(stores, "new-1", "challenger", horizon=28)
    assert scored(stores, launches, displaced(stores, 0)) == ["new-1 9"]
    put(stores, sales_rows(1))
    assert scored(stores, launches, displaced(stores, 400)) == ["stat-1 10", "new-1 10"]


def test_a_former_champion_is_not_asked_for_days_that_it_was_trained_on(stores: Stores, launches: Launches) -> None:
    put(stores, sales_rows())
    stage(stores, *days(8, 9, 10))
    move_to(stores, "late-1", "champion", horizon=28, cutoff="2025-01-10")
    publish(stores, DAILY, "late-1", *days(8))
    move_to(stores, "stat-2", "champion", horizon=28)
    assert scored(stores, launches, displaced(stores, 1)) == ["stat-2 10", "late-1 10"]


def test_a_champion_that_cannot_serve_does_not_hold_up_the_version_before(stores: Stores, launches: Launches) -> None:
    put(stores, sales_rows())
    stage(stores, *days(10))
    move_to(stores, "stat-1", "champion", horizon=28)
    move_to(stores, "short-1", "challenger", horizon=7)
    register(stores, "vendor-1", family="external")
    stores.registry.promote("vendor-1", by="ana", reason="test")
    now = displaced(stores, 1)
    assert asked(scoring_request(stores, DAILY, launches, now)) == scoring_partition(DAY, "stat-1")
    publish(stores, DAILY, "stat-1", DAY)
    said = reason(scoring_request(stores, DAILY, launches, now))
    assert "no file with its forecasts for daily/2025-01-10/vendor-1/28/r0 was ingested" in said
    assert "`short-1` was trained for 7 days ahead, and daily runs of 28 days were asked of it." in said
    assert "daily/2025-01-10/stat-1/28/r0 is published" in said


def test_a_run_of_the_former_champion_under_way_does_not_make_the_champion_wait(
    stores: Stores, launches: Launches
) -> None:
    with_former_champion(stores)
    tags = {"dagster/partition": str(scoring_partition(days(8)[0], "stat-1"))}
    launches.instance.create_run_for_job(feature_pipeline, status=dg.DagsterRunStatus.STARTED, tags=tags)
    now = displaced(stores, 1)
    assert asked(scoring_request(stores, DAILY, launches, now)) == scoring_partition(DAY, "stat-2")
    publish(stores, DAILY, "stat-2", DAY)
    assert reason(scoring_request(stores, DAILY, launches, now)) == (
        "daily/2025-01-10/stat-2/28/r0 is published (ledger entry 9). "
        "The run of stat-1|2025-01-08 is under way; what comes after it follows."
    )


def test_partitions_of_all_live_versions_are_added(stores: Stores, launches: Launches) -> None:
    with_former_champion(stores)
    move_to(stores, "new-1", "challenger", horizon=28)
    answer = scoring_request(stores, DAILY, launches, displaced(stores, 1))
    assert isinstance(answer, dg.SensorResult)
    (added,) = answer.dynamic_partitions_requests or []
    assert (added.partitions_def_name, list(added.partition_keys)) == ("model_versions", ["stat-2", "new-1", "stat-1"])


def test_the_same_request_is_not_launched_again_until_the_ledger_moves(stores: Stores, launches: Launches) -> None:
    with_former_champion(stores)
    now = displaced(stores, 1)
    answer = scoring_request(stores, DAILY, launches, now)
    assert isinstance(answer, dg.SensorResult)
    (request,) = answer.run_requests or []
    tags = {"dagster/partition": str(request.partition_key), "dagster/run_key": str(request.run_key)}
    run = launches.instance.create_run_for_job(feature_pipeline, status=dg.DagsterRunStatus.STARTED, tags=tags)
    launches.instance.report_run_failed(run)
    assert asked(scoring_request(stores, DAILY, launches, now)) == scoring_partition(days(8)[0], "stat-1")
    put(stores, sales_rows(1, units=5.0), source="other")
    assert asked(scoring_request(stores, DAILY, launches, now)) == request.partition_key


def test_the_snapshot_that_only_a_former_champion_waits_for_is_made(stores: Stores, launches: Launches) -> None:
    put(stores, sales_rows())
    stage(stores, *days(10))
    move_to(stores, "stat-1", "champion", horizon=28)
    publish(stores, DAILY, "stat-1", *days(8))
    move_to(stores, "stat-2", "champion", horizon=28)
    assert asked(snapshot_request(stores, 0.2, launches, now=displaced(stores, 27))) == "2025-01-09"
    assert reason(snapshot_request(stores, 0.2, launches, now=displaced(stores, 28))) == (
        "The snapshot of 2025-01-10 is there."
    )


# DAY is the newest day of `sales_rows`; it ends at midnight in Greenwich.
END = datetime(2025, 1, 11, tzinfo=UTC)
A_MOMENT = timedelta(microseconds=1)


def has_partition(day: str, now: datetime) -> bool:
    with dg.partition_loading_context(effective_dt=now):
        return prediction_dates(date(2025, 1, 1)).has_partition_key(day)


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        (END - timedelta(hours=12), "2025-01-09"),
        (END - A_MOMENT, "2025-01-09"),
        (END, "2025-01-10"),
        (END + timedelta(hours=5), "2025-01-10"),
        # The same moments where clocks show another day.
        ((END - A_MOMENT).astimezone(timezone(timedelta(hours=12))), "2025-01-09"),
        (END.astimezone(timezone(timedelta(hours=-11))), "2025-01-10"),
    ],
)
def test_a_day_that_ends_before_greenwichs_waits_for_its_partition_and_earlier_days_go_on(
    stores: Stores, launches: Launches, now: datetime, wanted: str
) -> None:
    put(stores, sales_rows())
    stage(stores, *days(8))
    caught_up = []
    while (day := asked(snapshot_request(stores, 0.2, launches, now=now))) is not None:
        assert has_partition(day, now)
        caught_up.append(day)
        stage(stores, date.fromisoformat(day))
    assert caught_up[-1] == wanted
    said = reason(snapshot_request(stores, 0.2, launches, now=now))
    assert ("2025-01-10 is not over: its run starts after 2025-01-11 00:00 UTC." in said) == (wanted == "2025-01-09")
    assert f"The snapshot of {wanted} is there." in said


def test_scoring_goes_on_with_days_that_are_over(stores: Stores, launches: Launches) -> None:
    put(stores, sales_rows())
    move_to(stores, "stat-1", "champion", horizon=28)
    stage(stores, *days(9), DAY)
    assert asked(scoring_request(stores, DAILY, launches, END)) == scoring_partition(DAY, "stat-1")
    before = END - A_MOMENT
    assert asked(scoring_request(stores, DAILY, launches, before)) == scoring_partition(date(2025, 1, 9), "stat-1")
    publish(stores, DAILY, "stat-1", date(2025, 1, 9))
    assert "2025-01-10 is not over" in reason(scoring_request(stores, DAILY, launches, before))


def test_a_day_years_ahead_that_is_held_from_before_stops_nothing(stores: Stores, launches: Launches) -> None:
    rows = sales_rows()
    slip = rows.head(1).with_columns(event_date=date(2052, 6, 29), known_at=datetime(2052, 6, 30, tzinfo=UTC))
    put(stores, pl.concat([rows, slip]))
    move_to(stores, "stat-1", "champion", horizon=28)
    now = datetime(2025, 3, 1, tzinfo=UTC)
    assert asked(snapshot_request(stores, 0.2, launches, now=now)) == str(DAY)
    stage(stores, DAY)
    said = reason(snapshot_request(stores, 0.2, launches, now=now))
    assert "`sales` have rows up to 2052-06-29: look whether that day is a slip." in said
    assert asked(scoring_request(stores, DAILY, launches, now)) == scoring_partition(DAY, "stat-1")
    done = reason(accuracy_request(stores, DAILY, 0.2, launches, now))
    assert done.startswith("Every published daily forecast of a day up to 2025-01-10 is measured.")


def test_a_store_whose_first_day_is_not_over_is_waited_for(stores: Stores, launches: Launches) -> None:
    put(stores, sales_rows())
    move_to(stores, "stat-1", "champion", horizon=28)
    first = datetime(2025, 1, 1, 12, tzinfo=UTC)
    for answer in (
        snapshot_request(stores, 0.2, launches, now=first),
        scoring_request(stores, DAILY, launches, first),
        accuracy_request(stores, DAILY, 0.2, launches, first),
    ):
        assert "Nothing of the feed `sales` of days up to 2024-12-31 has been ingested." in reason(answer)


def test_schedules_make_the_snapshot_of_the_date_that_has_ended(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, schedule_hour_utc=6)
    put(open_stores(settings.store_folder), sales_rows())
    daily, weekly = build_schedules(settings, stores_resource(settings), "feature_pipeline")
    assert (daily.cron_schedule, weekly.cron_schedule) == ("0 6 * * *", "0 6 * * 1")
    for schedule, at, expected in ((daily, DAY + timedelta(days=1), DAY), (weekly, SUNDAY + timedelta(days=1), SUNDAY)):
        context = dg.build_schedule_context(
            instance=open_instance(settings.dagster_folder),
            scheduled_execution_time=datetime.combine(at, datetime.min.time(), UTC) + timedelta(hours=6),
        )
        request = schedule(context)
        assert isinstance(request, dg.RunRequest)
        assert request.partition_key == str(expected)


def test_sensors_look_where_the_settings_say(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    sensors = build_sensors(settings, stores_resource(settings), "feature_pipeline", {DAILY: "daily_scoring"})
    for sensor in sensors:
        context = dg.build_sensor_context(instance=dg.DagsterInstance.ephemeral())
        data = sensor.evaluate_tick(context)
        assert data.run_requests == []
        assert "Nothing of the feed `sales`" in str(data.skip_message) or "No champion" in str(data.skip_message)
    assert not list(tmp_path.iterdir())


def test_waiting_days_are_read_again_only_once_the_ledger_has_moved(
    stores: Stores, tmp_path: Path, launches: Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = sales_rows(stores=3)
    late = (pl.col("event_date") >= date(2025, 1, 8)) & (pl.col("store_id") == "S2")
    put(stores, rows.filter(~late))
    stage(stores, *days(7))
    asked_of: list[date] = []

    def noted(history: History, tolerance: float) -> Readiness:
        asked_of.append(history.cutoff)
        return readiness(history, tolerance)

    monkeypatch.setattr(triggers, "readiness", noted)
    settings = Settings(home=tmp_path, feed_tolerance=0.5)
    sensor = build_sensors(settings, stores_resource(settings), "feature_pipeline", {})[0]

    def tick(cursor: str | None) -> tuple[str | None, str | None]:
        with dg.build_sensor_context(instance=launches.instance, cursor=cursor) as context:
            data = sensor.evaluate_tick(context)
        return data.skip_message, data.cursor

    first, cursor = tick(None)
    assert first is not None
    assert "Waiting for the inputs of 2025-01-08: `sales` lacks 1 stores: S2." in first
    assert asked_of == days(8, 9, 10)
    assert tick(cursor) == (first, cursor)
    assert asked_of == days(8, 9, 10), "nothing was ingested, so nothing is read"
    put(stores, rows.filter(late & (pl.col("event_date") < date(2025, 1, 10))))
    waiting = SensorCursor.read(cursor, stores.ledger.state().sequence, 0.5)
    assert asked(snapshot_request(stores, 0.5, launches, waiting)) == "2025-01-08"
    assert asked_of == days(8, 9, 10, 8)
    assert SensorCursor.read(cursor, 2, 0.5).reasons == SensorCursor.read(cursor, 1, 0.6).reasons == {}
    assert list(SensorCursor.read(cursor, 1, 0.5).reasons) == ["2025-01-08", "2025-01-09", "2025-01-10"]
