"""The mirror in Dagster: a training is followed by it, a check compares it, and neither stops anything."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from forecast_assets.automation.mirror import MIRROR_CHECK, MirrorResource
from forecast_assets.definitions import MIRROR, TRAINING, build_defs
from forecast_assets.launch import Runner
from forecast_assets.operations.mirroring import mirror_place, sync
from forecast_assets.presentation.mirror import version_pages
from forecast_assets.settings import Settings
from tests.support.mirrors import home_with
from tests.support.retailers import RETAILER

Metadata = dict[str, Any]


class Log:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def home(trained: Runner, tmp_path: Path) -> Runner:
    return home_with(trained, tmp_path / "home", "stat-2")


def on(runner: Runner, **values: object) -> Settings:
    return runner.settings.model_copy(update={"mlflow": True, **values})


def checked(settings: Settings) -> dg.AssetCheckEvaluation:
    job = build_defs(settings=settings).resolve_job_def(MIRROR)
    with dg.DagsterInstance.ephemeral() as instance:
        (evaluation,) = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    return evaluation


def test_the_check_is_false_until_the_mirror_has_caught_up(home: Runner) -> None:
    before = checked(on(home))
    assert (before.check_name, before.passed, before.severity) == (MIRROR_CHECK, False, dg.AssetCheckSeverity.WARN)
    assert before.metadata["differences"].value == ["there is no mirror yet"]
    # With the pages that users get: the check misses those that are not there.
    sync(home.stores, mirror_place(home.settings), version_pages)
    after = checked(on(home))
    assert (after.passed, after.metadata["differences"].value) == (True, [])


def test_a_mirror_that_is_down_fails_the_check_and_not_the_run(home: Runner) -> None:
    found = checked(on(home, mlflow_uri="http://127.0.0.1:9"))
    assert not found.passed
    assert "does not answer" in str(found.description)


def test_a_training_launched_in_the_ui_is_followed(home: Runner) -> None:
    settings = on(home)
    job = build_defs(settings=settings).resolve_job_def(TRAINING)
    config = {"ops": {"model_artifacts": {"config": {"family": "statistical", "cutoff": RETAILER.end.isoformat()}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("model_versions", ["stat-9"])
        result = job.execute_in_process(instance=instance, partition_key="stat-9", run_config=config)
    (made,) = [
        each.step_materialization_data.materialization
        for each in result.get_asset_materialization_events()
        if each.asset_key == dg.AssetKey("evaluation_reports")
    ]
    assert "new: stat-1, stat-2, stat-9" in str(made.metadata["mlflow"].value)
    assert checked(settings).passed
    record = Runner(settings).stores.registry.model_version("stat-9")
    assert record.training_seconds > 0


def test_a_resource_tells_what_went_wrong_as_a_warning(home: Runner) -> None:
    log = Log()
    shown = MirrorResource(on(home, mlflow_uri="http://127.0.0.1:9")).follow(home.stores, log)
    assert log.warnings == [shown["mlflow"]]
    assert "forecast-assets mlflow sync" in shown["mlflow"]
    assert MirrorResource(None).follow(home.stores, log) == {}
    assert MirrorResource(on(home, mlflow=False)).follow(home.stores, log) == {}
    assert len(log.warnings) == 1
