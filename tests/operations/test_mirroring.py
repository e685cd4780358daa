"""The mirror follows the ledger, is held against it, and is made anew from it."""

import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from forecast_assets.contracts import EVALUATION_REPORTS
from forecast_assets.core.errors import MirrorConflictError, MirrorUnavailableError
from forecast_assets.launch import Runner
from forecast_assets.operations.mirroring import (
    MirrorDelay,
    MirrorOutcome,
    compare_mirror,
    follow,
    mirror_place,
    sync,
)
from forecast_assets.presentation.mirror import delay_text
from resources.mlflow.place import MirrorPlace
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores, open_stores
from tests.support.mirrors import PAGE, brief_pages, client, home_with, mirrored, register_again

MODEL = "forecast-assets"


@pytest.fixture(scope="module")
def kept(trained: Runner, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A home with two versions, mirrored; tests copy it or only read it."""
    runner = home_with(trained, tmp_path_factory.mktemp("mirrored") / "home", "stat-2")
    mirrored(runner)
    return runner


@pytest.fixture
def home(trained: Runner, tmp_path: Path) -> Runner:
    """A home with two versions and no mirror."""
    return home_with(trained, tmp_path / "home", "stat-2")


def differences(runner: Runner) -> tuple[str, ...]:
    return compare_mirror(runner.stores, mirror_place(runner.settings), pages=lambda _: PAGE).differences


def numbers(runner: Runner) -> dict[str, int]:
    found = client(mirror_place(runner.settings)).search_model_versions(f"name = '{MODEL}'")
    return {each.tags["model_version"]: int(each.version) for each in found}


# --- what it says ---


def test_a_version_is_a_run_with_everything_of_its_training(kept: Runner) -> None:
    place, record = mirror_place(kept.settings), kept.stores.registry.model_version("stat-1")
    mlflow = client(place)
    version = mlflow.get_model_version_by_alias(MODEL, "champion")
    run = mlflow.get_run(version.run_id)
    assert (int(version.version), version.tags["model_version"], run.info.run_name) == (1, "stat-1", "stat-1")
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == round(record.training_seconds * 1000)
    assert record.training_seconds > 0
    assert {"family": "statistical", "cutoff": "2025-06-30", "horizon": "28"}.items() <= run.data.params.items()
    asked = {
        "data_snapshot": record.training_snapshot, "feature_version": record.feature_version,
        "ledger_sequence": str(record.sequence), "training_run_id": record.training_run_id, "gates": "passed",
        "code_version": kept.stores.predictions.version(record.artifact).code_version,
    }  # fmt: skip
    assert asked.items() <= run.data.tags.items()
    assert asked.items() <= version.tags.items()
    assert version.tags["stage"] == "Production"


def test_every_metric_of_the_report_is_in_the_run(kept: Runner) -> None:
    """The other way round: from what MLflow has back to the rows of the report."""
    record, mlflow = kept.stores.registry.model_version("stat-1"), client(mirror_place(kept.settings))
    report = kept.stores.predictions.read(kept.stores.predictions.version(record.evaluation_report))
    EVALUATION_REPORTS.validate(report)
    run_id = mlflow.get_model_version(MODEL, "1").run_id
    metrics, counted = mlflow.get_run(run_id).data.metrics, 0
    for row in report.iter_rows(named=True):
        kind, segment, metric = row["segment_kind"], row["segment"], row["metric"]
        for suffix, value in (("", row["value"]), ("/seasonal_naive", row["baseline_value"])):
            if value is None:
                continue
            if kind == "day_ahead":
                if metric == "wape":
                    points = mlflow.get_metric_history(run_id, f"day_ahead/wape{suffix}")
                    assert [each.value for each in points if each.step == int(segment)] == [value]
                    counted += 1
                continue
            name = f"overall/{metric}" if kind == "all" else f"{kind}/{segment}/{metric}"
            assert metrics[name + suffix] == value
            counted += 1
    assert counted > 200
    assert {name.split("/")[0] for name in metrics} >= {"overall", "level", "demand_class", "store_node", "day_ahead"}


def test_a_run_keeps_the_artifact_and_its_reports_bit_for_bit(kept: Runner) -> None:
    store, record = kept.stores.predictions, kept.stores.registry.model_version("stat-1")
    mlflow = client(mirror_place(kept.settings))
    run_id = mlflow.get_model_version(MODEL, "1").run_id
    for path, version in {
        "model/data/artifact.json": record.artifact,
        "reports/evaluation_report.parquet": record.evaluation_report,
        "reports/calibration_report.parquet": record.calibration,
    }.items():
        assert Path(mlflow.download_artifacts(run_id, path)).read_bytes() == store.read_bytes(store.version(version))
    for path, content in PAGE.items():
        assert Path(mlflow.download_artifacts(run_id, path)).read_bytes() == content


# --- following ---


def test_a_mirror_catches_up_and_then_has_nothing_to_do(home: Runner) -> None:
    first = mirrored(home)
    assert (first.written, dict(first.aliases)) == (("stat-1", "stat-2"), {"champion": "stat-1"})
    again = mirrored(home)
    assert (again.written, again.changed, dict(again.aliases)) == ((), (), {})
    register_again(home.stores, "stat-3")
    home.stores.registry.promote("stat-3", by="ana", reason="better")
    home.stores.registry.promote("stat-2", by="ana", reason="to be judged", channel="challenger")
    assert differences(home) == (
        "`stat-1`: tag `stage` is Production instead of Archived",
        "`stat-2`: tag `stage` is None instead of Staging",
        "`stat-3` is missing (version 3)",
        "alias `champion` is `stat-1` instead of `stat-3`",
        "alias `challenger` is unset instead of `stat-2`",
    )
    moved = mirrored(home)
    assert (moved.written, moved.changed) == (("stat-3",), ("stat-1", "stat-2"))
    assert dict(moved.aliases) == {"champion": "stat-3", "challenger": "stat-2"}
    assert differences(home) == ()
    assert numbers(home) == {"stat-1": 1, "stat-2": 2, "stat-3": 3}


def test_following_reads_no_report_but_of_versions_that_are_new(home: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = home.settings.model_copy(update={"mlflow": True})
    mirrored(home)
    register_again(home.stores, "stat-3")
    home.stores.registry.promote("stat-2", by="ana", reason="better")
    client(mirror_place(settings)).update_model_version(MODEL, "2", "the best of all")
    opened = open_stores(settings.store)
    read: list[str] = []
    real = opened.predictions.read

    def counted(version: ProductVersion, *arguments: Any) -> pl.DataFrame:
        read.append(version.product)
        return real(version, *arguments)

    monkeypatch.setattr(opened.predictions, "read", counted)
    followed = follow(settings, opened, brief_pages)
    assert isinstance(followed, MirrorOutcome)
    assert (followed.written, followed.changed) == (("stat-3",), ("stat-1", "stat-2"))
    assert read == ["evaluation_reports"]
    # What somebody wrote over a description is found by whoever asks for it, and put right by a whole pass.
    assert differences(home) == ("`stat-2`: the description differs",)
    assert mirrored(home).changed == ("stat-2",)
    assert differences(home) == ()


def test_retirement_and_its_undoing_follow(home: Runner) -> None:
    registry = home.stores.registry
    registry.promote("stat-2", by="ana", reason="first")
    registry.retire("stat-1", by="ana", reason="old")
    mirrored(home)
    mlflow = client(mirror_place(home.settings))
    assert mlflow.get_model_version(MODEL, "1").tags["stage"] == "Archived"
    assert mlflow.get_model_version(MODEL, "1").tags["retired_by_ledger_entry"] == str(
        home.stores.ledger.state().sequence
    )
    registry.retire("stat-1", by="ana", reason="needed again", serves_again=True)
    assert differences(home) == ("`stat-1`: tag `retired_by_ledger_entry` is no longer true",)
    mirrored(home)
    assert "retired_by_ledger_entry" not in mlflow.get_model_version(MODEL, "1").tags


def test_tags_and_aliases_of_others_stay(home: Runner) -> None:
    mirrored(home)
    mlflow = client(mirror_place(home.settings))
    mlflow.set_model_version_tag(MODEL, "1", "reviewed_by", "ana")
    mlflow.set_registered_model_alias(MODEL, "audited", "2")
    home.stores.registry.promote("stat-2", by="ana", reason="better")
    mirrored(home)
    assert mlflow.get_model_version(MODEL, "1").tags["reviewed_by"] == "ana"
    assert mlflow.get_registered_model(MODEL).aliases == {"audited": 2, "champion": 2}
    assert differences(home) == ()


def test_without_versions_there_is_nothing_to_mirror(stores: Stores, tmp_path: Path) -> None:
    place = MirrorPlace(tmp_path / "mlflow", MODEL)
    assert sync(stores, place, brief_pages) == MirrorOutcome(place, 0, 0)
    assert compare_mirror(stores, place).differences == ()
    assert not place.folder.exists()


# --- made anew ---


def test_a_mirror_made_anew_has_the_same_numbers(home: Runner) -> None:
    register_again(home.stores, "stat-3")
    mirrored(home)
    before = numbers(home)
    client(mirror_place(home.settings)).delete_model_version(MODEL, "2")
    assert differences(home) == ("`stat-2` is missing (version 2)",)
    with pytest.raises(MirrorConflictError, match="number `stat-2` 4 instead of 2"):
        mirrored(home)
    assert numbers(home) == {"stat-1": 1, "stat-3": 3}
    mirrored(home, rebuild=True)
    assert numbers(home) == before == {"stat-1": 1, "stat-2": 2, "stat-3": 3}
    assert differences(home) == ()


def test_a_mirror_that_was_removed_is_made_anew(home: Runner) -> None:
    mirrored(home)
    shutil.rmtree(home.settings.mlflow_folder)
    assert differences(home) == ("there is no mirror yet",)
    assert mirrored(home).written == ("stat-1", "stat-2")
    assert differences(home) == ()


def test_what_an_interrupted_attempt_left_is_removed(home: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror_until(home, monkeypatch, "set_terminated")
    mlflow = client(mirror_place(home.settings))
    (experiment,) = [each for each in mlflow.search_experiments() if each.name == MODEL]
    assert [run.info.status for run in mlflow.search_runs([experiment.experiment_id])] == ["RUNNING"]
    mirrored(home)
    runs = mlflow.search_runs([experiment.experiment_id])
    assert sorted((run.info.run_name, run.info.status) for run in runs) == [
        ("stat-1", "FINISHED"),
        ("stat-2", "FINISHED"),
    ]
    assert differences(home) == ()


def mirror_until(home: Runner, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Mirror until a call of MLflow's client, as if the process were killed there."""
    from mlflow.tracking import MlflowClient

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, call, stop)
        with pytest.raises(KeyboardInterrupt):
            mirrored(home)


def test_two_at_once_write_every_version_once(home: Runner) -> None:
    outcomes: list[MirrorOutcome] = []
    others = [threading.Thread(target=lambda: outcomes.append(mirrored(home))) for _ in range(2)]
    for each in others:
        each.start()
    for each in others:
        each.join()
    assert sorted(outcome.written for outcome in outcomes) == [(), ("stat-1", "stat-2")]
    assert differences(home) == ()


# --- what somebody did to it ---


def _tag(mlflow: Any, run_id: str) -> None:
    mlflow.set_tag(run_id, "data_snapshot", "another")


def _metric(mlflow: Any, run_id: str) -> None:
    mlflow.log_metric(run_id, "overall/wape", 0.01, step=0)


def _version_tag(mlflow: Any, run_id: str) -> None:
    del run_id
    mlflow.set_model_version_tag(MODEL, "1", "gates", "failed")


def _alias(mlflow: Any, run_id: str) -> None:
    del run_id
    mlflow.set_registered_model_alias(MODEL, "champion", "2")


def _description(mlflow: Any, run_id: str) -> None:
    del run_id
    mlflow.update_model_version(MODEL, "1", "the best of all")


def _deleted(mlflow: Any, run_id: str) -> None:
    mlflow.delete_run(run_id)


def _artifact(mlflow: Any, run_id: str) -> None:
    Path(mlflow.get_run(run_id).info.artifact_uri, "model/data/artifact.json").write_bytes(b"{}")


def _without(path: str) -> Callable[[Any, str], None]:
    def remove(mlflow: Any, run_id: str) -> None:
        Path(mlflow.get_run(run_id).info.artifact_uri, path).unlink()

    return remove


def _added(mlflow: Any, run_id: str) -> None:
    mlflow.create_model_version(MODEL, "nowhere", run_id)


@pytest.mark.parametrize(
    ("spoil", "said", "is_mended"),
    [
        (_tag, "tag `data_snapshot` is another", False),
        (_metric, "metric `overall/wape` is 0.01", False),
        (_version_tag, "tag `gates` is failed instead of passed", True),
        (_alias, "alias `champion` is `stat-2` instead of `stat-1`", True),
        (_description, "the description differs", True),
        (_deleted, "its run is gone", False),
        (_artifact, "the file `model/data/artifact.json` is 2 bytes long", False),
        (_without("model/MLmodel"), "the file `model/MLmodel` is gone", False),
        (_without("model/data/version.json"), "the file `model/data/version.json` is gone", False),
        (_without("reports/evaluation_report.parquet"), "`reports/evaluation_report.parquet` is gone", False),
        (_without("reports/evaluation.html"), "the file `reports/evaluation.html` is gone", False),
        (_added, "version 3 is none of the ledger's", False),
    ],
)
def test_what_somebody_changed_is_found(
    home: Runner, kept: Runner, spoil: Callable[[Any, str], None], said: str, is_mended: bool
) -> None:
    assert differences(kept) == ()
    mirrored(home)
    mlflow = client(mirror_place(home.settings))
    spoil(mlflow, mlflow.get_model_version(MODEL, "1").run_id)
    (found,) = differences(home)
    assert said in found
    mirrored(home)
    assert (differences(home) == ()) is is_mended
    mirrored(home, rebuild=True)
    assert differences(home) == ()


def test_a_model_of_another_ledger_is_not_touched(home: Runner, kept: Runner) -> None:
    mirrored(home)
    database = home.settings.mlflow_folder / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE registered_model_tags SET value = 'other' WHERE key = 'ledger'")
    before = sqlite3.connect(database).execute("SELECT count(*) FROM model_versions").fetchall()
    for rebuild in (False, True):
        with pytest.raises(MirrorConflictError, match="not a mirror of this ledger"):
            mirrored(home, rebuild=rebuild)
    assert "`forecast-assets` mirrors another ledger" in differences(home)
    assert sqlite3.connect(database).execute("SELECT count(*) FROM model_versions").fetchall() == before
    # Under a name of its own it has room beside the other.
    apart = replace(mirror_place(home.settings), model="retailer-b")
    assert mirrored(home, apart).written == ("stat-1", "stat-2")
    assert differences(kept) == ()


# --- nobody waits in vain ---


def test_following_tells_what_went_wrong_and_stops_nobody(home: Runner) -> None:
    wanted = home.settings.model_copy(update={"mlflow": True})
    down = wanted.model_copy(update={"mlflow_uri": "http://127.0.0.1:9"})
    outcome = follow(down, home.stores, brief_pages)
    assert isinstance(outcome, MirrorDelay)
    assert isinstance(outcome.error, MirrorUnavailableError)

    def broken(stores: Stores, record: Any) -> dict[str, bytes]:
        raise ZeroDivisionError(f"{record.model_version} of {stores.ledger.state().sequence}")

    outcome = follow(wanted, home.stores, broken)
    assert isinstance(outcome, MirrorDelay)
    assert delay_text(outcome) == (
        "warning: MLflow is late, and what was recorded stays so. ZeroDivisionError: stat-1 of 4. "
        "Catch up when that is mended: forecast-assets mlflow sync."
    )
    followed = follow(wanted, home.stores, brief_pages)
    assert isinstance(followed, MirrorOutcome)
    assert followed.written == ("stat-1", "stat-2")
    assert follow(wanted.model_copy(update={"mlflow": False}), home.stores, brief_pages) is None


def test_a_home_that_moved_is_told_to_be_mirrored_anew(home: Runner) -> None:
    mirrored(home)
    moved = home.settings.home.rename(home.settings.home.with_name("moved"))
    other = home.settings.model_copy(update={"home": moved})
    place = mirror_place(other)
    runner = Runner(other)
    found = compare_mirror(runner.stores, place).differences
    assert mirrored(runner, place, rebuild=True).written == ("stat-1", "stat-2")
    assert compare_mirror(runner.stores, place).differences == ()
    assert found[0] == f"artifacts are at {home.settings.mlflow_folder}/artifacts instead of {moved}/mlflow/artifacts"
