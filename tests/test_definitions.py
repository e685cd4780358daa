"""The code location: which assets, checks, jobs, schedules and sensors there are, and how they hang together."""

from pathlib import Path

import dagster as dg
import pytest

from forecast_assets.contracts import FEEDS
from forecast_assets.core.keys import CADENCES
from forecast_assets.definitions import build_defs, stores_resource
from forecast_assets.settings import Settings
from resources.ledger.log import Ledger

STAGES = (
    "base_forecasts", "reconciled_forecasts", "forecast_overrides", "stockout_risks", "forecast_explanations",
    "forecasts", "published_predictions",
)  # fmt: skip


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_defs(settings=Settings(home=tmp_path_factory.mktemp("home")))


def graph(defs: dg.Definitions) -> dict[str, set[str]]:
    nodes = defs.resolve_asset_graph().asset_nodes
    return {node.key.to_user_string(): {key.to_user_string() for key in node.parent_keys} for node in nodes}


def test_everything_that_is_named_can_be_loaded(defs: dg.Definitions) -> None:
    # Dagster builds jobs when they are asked for: two definitions of one name are found only by asking for all.
    dg.Definitions.validate_loadable(defs)


def test_the_graph_runs_from_observations_to_publications(defs: dg.Definitions) -> None:
    found = graph(defs)
    assert {name for name in found if name.startswith("observations/")} == {f"observations/{feed}" for feed in FEEDS}
    assert found["feature_snapshots"] == {f"observations/{feed}" for feed in FEEDS}
    assert found["model_artifacts"] == {"feature_snapshots"}
    assert found["evaluation_reports"] == {"model_artifacts"}
    assert {"feature_snapshots", "evaluation_reports"} <= found["daily/base_forecasts"]
    assert found["daily/published_predictions"] == {
        "daily/forecasts", "daily/forecast_overrides", "daily/stockout_risks", "daily/forecast_explanations",
    }  # fmt: skip


def test_the_weekly_branch_is_the_daily_one_under_another_name(defs: dg.Definitions) -> None:
    found = graph(defs)
    assert {f"{cadence}/{stage}" for cadence in CADENCES for stage in STAGES} <= set(found)
    for stage in STAGES:
        renamed = {parent.replace("daily/", "weekly/") for parent in found[f"daily/{stage}"]}
        assert found[f"weekly/{stage}"] == renamed
    checks = {key.to_user_string() for key in defs.resolve_asset_graph().asset_check_keys}
    daily = {name for name in checks if name.startswith("daily/")}
    assert len(daily) > 20
    assert {name.replace("daily/", "weekly/") for name in daily} <= checks


def test_jobs_schedules_and_sensors_serve_both_cadences(defs: dg.Definitions) -> None:
    repository = defs.get_repository_def()
    jobs = {"feature_pipeline", "training", *(f"{name}_{job}" for name in CADENCES for job in ("scoring", "overrides"))}
    assert jobs <= set(repository.job_names)
    crons = {schedule.name: schedule.cron_schedule for schedule in repository.schedule_defs}
    assert crons == {
        "daily_at_the_scheduled_hour": "0 7 * * *",
        "weekly_at_the_scheduled_hour": "0 7 * * 1",
        "retraining_after_some_weeks": "30 7 * * *",
        "daily_review_of_the_week": "45 7 * * 2",
        "weekly_review_of_the_week": "45 7 * * 2",
        "prediction_events_of_the_day_before": "15 7 * * *",
    }
    sensors = {sensor.name for sensor in repository.sensor_defs}
    assert {
        "snapshot_when_inputs_are_complete",
        "daily_scoring_when_snapshot_and_champion_are_there",
        "weekly_scoring_when_snapshot_and_champion_are_there",
    } <= sensors


def test_weekly_partitions_are_sundays(defs: dg.Definitions) -> None:
    node = defs.resolve_asset_graph().get(dg.AssetKey(["weekly", "published_predictions"]))
    assert isinstance(node.partitions_def, dg.MultiPartitionsDefinition)
    dates = node.partitions_def.get_partitions_def_for_dimension("prediction_date")
    assert dates.get_first_partition_key() == "2024-01-07"


def test_a_store_of_old_days_is_not_called_late(defs: dg.Definitions) -> None:
    assert not any(spec.freshness_policy for spec in defs.resolve_all_asset_specs())


def test_freshness_is_expected_where_it_is_asked_for(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, freshness=True, schedule_hour_utc=6, freshness_grace_hours=3)
    specs = build_defs(settings=settings).resolve_all_asset_specs()
    deadlines = {
        spec.key.to_user_string(): spec.freshness_policy.deadline_cron  # type: ignore[attr-defined]
        for spec in specs
        if spec.freshness_policy
    }
    assert deadlines == {
        "observations/sales": "0 6 * * *",
        "observations/stock_status": "0 6 * * *",
        "observations/inventory_positions": "0 6 * * *",
        "feature_snapshots": "0 9 * * *",
        "daily/published_predictions": "0 9 * * *",
        "weekly/published_predictions": "0 9 * * 1",
    }


def test_a_deadline_stays_within_its_day(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, freshness=True, schedule_hour_utc=22, freshness_grace_hours=12)
    specs = {spec.key.to_user_string(): spec for spec in build_defs(settings=settings).resolve_all_asset_specs()}
    policy = specs["feature_snapshots"].freshness_policy
    assert policy is not None
    assert policy.deadline_cron == "0 23 * * *"  # type: ignore[attr-defined]


def test_loading_the_code_location_opens_the_ledger_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = list[Ledger]()
    real = Ledger._open
    monkeypatch.setattr(Ledger, "_open", lambda ledger: opened.append(ledger) or real(ledger))
    defs = build_defs(settings=Settings(home=tmp_path))
    defs.resolve_asset_graph()
    assert len(opened) == 1
    # Whoever has the stores open already hands them over, and nothing is opened again.
    settings = Settings(home=tmp_path)
    build_defs({"stores": stores_resource(settings, defs.resources["stores"].open())}, settings)
    assert len(opened) == 1


def test_an_asset_is_told_from_every_other_of_its_group_and_has_an_owner_and_a_description(
    defs: dg.Definitions,
) -> None:
    # The graph of a group shows the last part of a key, and kinds.
    shown = [(each.group_name, each.key.path[-1], *sorted(each.kinds)) for each in defs.resolve_all_asset_specs()]
    assert len(set(shown)) == len(shown) > 40
    for each in defs.resolve_all_asset_specs():
        assert each.group_name not in (None, "default"), each.key
        assert each.owners, each.key
        assert len(each.description or "") > 40, each.key
