"""What happens to a published day when a restated row arrives: it is listed, and corrected only on purpose."""

import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pytest
from click.testing import CliRunner

from forecast_assets.automation.restatement_sensor import restatement_events
from forecast_assets.automation.triggers import scoring_request
from forecast_assets.cli import cli
from forecast_assets.contracts import COMPONENTS, PUBLISHED
from forecast_assets.core.errors import (
    AlreadyPublishedError,
    ForecastAssetsError,
    InputError,
    NotAcceptedError,
    NothingToCorrectError,
    NotPublishedError,
)
from forecast_assets.core.keys import DAILY
from forecast_assets.corrections import restatements
from forecast_assets.corrections.restatements import newest_revisions, pending_restatements
from forecast_assets.definitions import build_defs
from forecast_assets.ingestion.batch import Batch
from forecast_assets.launch import Runner
from forecast_assets.operations.comparison import DRIVERS, FORECAST_DRIVERS, compare_runs
from forecast_assets.operations.reading import read_product, resolve_run
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.presentation.corrections import comparison_text
from forecast_assets.simulation.simulator import Simulation
from forecast_assets.snapshots.rebuilding import rebuild_snapshot
from partitions import scoring_partition
from resources.ledger.entries.publish import Publication
from resources.orchestration.dagster_home import Launches
from resources.stores.products import PredictionStore, snapshot_key
from tests.support.retailers import KEY, RETAILER, copied, new_runner

pytestmark = pytest.mark.usefixtures("brief_runs")

DAY = RETAILER.end - timedelta(days=3)
NOW = datetime(2025, 7, 3, 6, tzinfo=UTC)
FIRST, SECOND, THIRD = (replace(KEY, revision=number) for number in (1, 2, 3))


def restated_sales(simulation: Simulation) -> Batch:
    """Sales of one series on one day, said again three days after the run by the till."""
    batch = next(each for each in simulation.batches if each.feed == "sales" and each.source == "pos")
    row = batch.frame.filter(pl.col("event_date") == DAY).sort("store_id", "sku_id", "known_at").head(1)
    return replace(batch, frame=row.with_columns(known_at=pl.lit(NOW, row.schema["known_at"]), sales_units=40.0))


@pytest.fixture(scope="module")
def restated(
    published: tuple[Runner, RunOutcome], simulation: Simulation, tmp_path_factory: pytest.TempPathFactory
) -> Runner:
    """A copy of the published home in which a day was restated afterwards; nobody has corrected anything."""
    runner = copied(published[0], tmp_path_factory.mktemp("restated") / "home")
    runner.ingest([restated_sales(simulation)])
    return runner


@dataclass(frozen=True)
class Corrected:
    """A home in which a correction was killed at its commit, and made again."""

    runner: Runner
    killed_by: int
    after_kill: dict[Any, Publication]
    staged: dict[str, list[str]]
    outcome: RunOutcome


@pytest.fixture(scope="module")
def corrected(restated: Runner, tmp_path_factory: pytest.TempPathFactory) -> Corrected:
    runner = copied(restated, tmp_path_factory.mktemp("corrected") / "home")
    command = [sys.executable, "-m", "tests.support.killed_correction", str(runner.settings.home), str(KEY)]
    killed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    store = new_runner(runner.settings.home).stores.predictions
    after_kill = dict(store.ledger.state().publications)
    staged = {name: hashes(store, store.staged(name, FIRST).version) for name in PUBLISHED}
    outcome = runner.correct(KEY, by="ana", reason="the till sent it again")
    return Corrected(runner, killed.returncode, after_kill, staged, outcome)


def hashes(store: PredictionStore, version: str) -> list[str]:
    return [file.sha256 for file in store.version(version).files]


def command(runner: Runner, *arguments: str) -> tuple[BaseException | None, str]:
    """Call the command on a home folder; return the error it ends with and what it prints."""
    done = CliRunner().invoke(cli, arguments, env={"FORECAST_ASSETS_HOME": str(runner.settings.home)})
    return done.exception, done.output


def test_a_restated_day_is_listed_and_changes_nothing_by_itself(restated: Runner) -> None:
    (found,) = pending_restatements(restated.stores, newest_revisions(restated.stores.ledger.state()))
    (row,) = found.rows.rows(named=True)
    assert (found.publication.key, found.now_known_until) == (KEY, NOW)
    assert (row["event_date"], row["after"], row["source"], row["known_at"]) == (DAY, "sales_units 40", "pos", NOW)
    before = restated.stores.ledger.state().sequence
    error, said = command(restated, "restatements", "--date", str(KEY.prediction_date), "--cadence", "daily")
    assert error is None
    assert "1 of 1 published runs would read something else today; published numbers stay." in said
    assert f"{row['row']}" in said
    assert "forecast-assets correct --cadence daily --date 2025-06-30 --model-version stat-1 --horizon 28" in said
    assert "0 published runs would read the same" in command(restated, "restatements", "--date", "2025-01-01")[1]
    assert set(restated.stores.ledger.state().publications) == {KEY}
    assert restated.stores.ledger.state().sequence == before


def test_a_correction_killed_at_its_commit_leaves_nothing_and_made_again_has_the_same_bytes(
    corrected: Corrected,
) -> None:
    assert corrected.killed_by == -signal.SIGKILL
    assert set(corrected.after_kill) == {KEY}
    assert corrected.outcome.is_new
    products = corrected.outcome.publication.products
    store = corrected.runner.stores.predictions
    assert corrected.staged == {name: hashes(store, version) for name, version in products.items()}


def test_the_first_revision_keeps_its_bytes_and_its_place_in_every_view(
    published: tuple[Runner, RunOutcome], corrected: Corrected
) -> None:
    stores, first = corrected.runner.stores, published[1].publication
    assert stores.predictions.publication(KEY) == first
    assert corrected.outcome.publication.key == FIRST
    assert corrected.outcome.publication.correction.corrects == str(KEY)
    assert all(
        read_product(stores, first, name).equals(read_product(published[0].stores, first, name)) for name in PUBLISHED
    )
    with duckdb.connect(str(corrected.runner.settings.catalogue_path), read_only=True) as views:
        for name in PUBLISHED:
            rows = dict(views.execute(f'SELECT revision, count(*) FROM "stat-1".{name} GROUP BY ALL').fetchall())  # noqa: S608
            corrected_rows = read_product(stores, corrected.outcome.publication, name).height
            # Nobody has overridden anything, so that there is a product without rows.
            expected = {0: read_product(stores, first, name).height, 1: corrected_rows}
            assert rows == {revision: count for revision, count in expected.items() if count}
        audit = views.execute('SELECT revision, corrects, "by", reason FROM audit.publications ORDER BY 1').fetchall()
    assert audit == [(0, "", "", ""), (1, str(KEY), "ana", "the till sent it again")]
    snapshot = stores.predictions.staged("feature_snapshots", snapshot_key(KEY.prediction_date))
    assert snapshot == published[0].stores.predictions.staged("feature_snapshots", KEY.prediction_date)


def test_the_snapshot_of_a_correction_can_be_made_again(corrected: Corrected) -> None:
    stores = corrected.runner.stores
    made = stores.predictions.staged("feature_snapshots", snapshot_key(KEY.prediction_date, NOW))
    assert made.facts["known_until"] == NOW.isoformat()
    assert made.facts["plans_known_until"] == "2025-07-01T06:00:00+00:00"
    assert rebuild_snapshot(made, stores.observations).equals(stores.predictions.read(made))
    products = corrected.outcome.publication.products.values()
    assert made.version in {product.version for product in stores.predictions.lineage(products)}


def test_the_difference_of_two_revisions_adds_up_and_names_what_caused_it(corrected: Corrected) -> None:
    found = compare_runs(corrected.runner.stores, KEY, FIRST)
    change = dict(found.totals.select("driver", "change_units").rows())
    assert sum(change[name] for name in FORECAST_DRIVERS) == change["forecast_units"] != 0
    assert sum(change[name] for name in DRIVERS) == change["expected_sales_units"]
    frames = [read_product(corrected.runner.stores, run, "forecasts") for run in (found.before, found.after)]
    before, after = (frame["expected_sales_units"].sum() for frame in frames)
    assert after - before == change["expected_sales_units"]
    assert (found.only_before, found.only_after, found.rows) == (0, 0, frames[0].height)
    top = found.series.row(0, named=True)
    assert top["sku_id"] in found.inputs["row"].item()
    assert top["driver"] in COMPONENTS
    assert found.series["moved_units"].is_sorted(descending=True)
    assert found.inputs["before"].item() != found.inputs["after"].item() == "sales_units 40"
    assert [name for name, *_ in found.made_from] == ["known until"]
    text = comparison_text(found)
    assert "= expected sales" in text
    assert "Input rows that differ: 1" in text


def test_a_comparison_backwards_is_the_same_with_the_other_sign(corrected: Corrected) -> None:
    there, back = (compare_runs(corrected.runner.stores, *keys) for keys in ((KEY, FIRST), (FIRST, KEY)))
    assert (there.totals["change_units"] == -back.totals["change_units"]).all()
    assert there.inputs["before"].to_list() == back.inputs["after"].to_list()
    itself = compare_runs(corrected.runner.stores, KEY, KEY)
    assert (itself.moved_rows, itself.inputs.height, itself.series.height, itself.made_from) == (0, 0, 0, ())
    assert "No series moved." in comparison_text(itself)
    with pytest.raises(InputError, match="forecast from different days"):
        compare_runs(corrected.runner.stores, KEY, replace(KEY, prediction_date=DAY))


def test_correcting_again_says_that_nothing_has_changed(corrected: Corrected) -> None:
    for moment in (None, NOW):
        with pytest.raises(
            NothingToCorrectError, match=r"nothing to correct: no input of daily/2025-06-30/stat-1/28/r1"
        ):
            corrected.runner.correct(KEY, by="ana", reason="again", known_until=moment)
    with pytest.raises(InputError, match="is earlier than what the snapshot of 2025-06-30 knew already"):
        corrected.runner.correct(KEY, by="ana", reason="again", known_until=NOW - timedelta(days=1))
    assert set(corrected.runner.stores.ledger.state().publications) == {KEY, FIRST}


def test_who_why_and_what_are_needed(restated: Runner) -> None:
    for by, reason in ((" ", "because"), ("ana", "")):
        with pytest.raises(InputError, match="A correction needs who and why"):
            restated.correct(KEY, by=by, reason=reason)
    with pytest.raises(InputError, match=r"Nobody knows yet what will be known by 2135-01-01 00:00 UTC"):
        restated.correct(KEY, by="ana", reason="early", known_until=datetime(2135, 1, 1, tzinfo=UTC))
    with pytest.raises(NotPublishedError, match="Nothing is published under daily/2025-06-27/stat-1/28/r0"):
        restated.correct(replace(KEY, prediction_date=DAY), by="ana", reason="because")


def materialize(runner: Runner, name: str, **settings: Any) -> None:
    """Materialize one asset of the run alone, as someone might in the UI."""
    job = build_defs(settings=runner.settings).resolve_implicit_global_asset_job_def()
    job.execute_in_process(
        instance=runner.instance,
        asset_selection=[dg.AssetKey(["daily", name])],
        partition_key=scoring_partition(KEY.prediction_date, KEY.model_version),
        run_config={"resources": {"run": {"config": settings}}},
    )


def test_of_two_corrections_at_once_the_second_to_commit_is_refused(corrected: Corrected) -> None:
    correction = {"known_until": NOW.isoformat(), "by": "bob", "reason": "the same, a moment later"}
    other = {"key": str(FIRST), "correction": correction}
    with pytest.raises(AlreadyPublishedError, match="r1 is already published"):
        materialize(corrected.runner, "published_predictions", **other)
    earlier = {**other, "correction": {**correction, "known_until": "2025-07-04 00:00:00"}}
    with pytest.raises(NotAcceptedError, match="two corrections overlapped"):
        materialize(corrected.runner, "published_predictions", **earlier)
    assert corrected.runner.stores.predictions.publication(FIRST).correction.by == "ana"


def by_ana(known_until: str) -> dict[str, str]:
    return {"known_until": known_until, "by": "ana", "reason": "because"}


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"key": str(FIRST)}, "r1 lacks a moment of knowledge"),
        ({"correction": by_ana("2025-07-03")}, "r0 is no correction and has a moment of knowledge"),
        (
            {"key": str(replace(KEY, revision=3)), "correction": by_ana("2025-07-03")},
            "Nothing is published under .*/r2",
        ),
        ({"key": str(FIRST), "correction": by_ana("soon")}, "`soon` is not a moment"),
        ({"key": str(replace(KEY, prediction_date=DAY))}, "is no run of the partition 2025-06-30, stat-1"),
        ({"key": "yesterday"}, "`yesterday` is not a run key"),
    ],
)
def test_a_run_launched_by_hand_must_be_a_whole_correction_or_none(
    restated: Runner, settings: dict[str, Any], error: str
) -> None:
    with pytest.raises(ForecastAssetsError, match=error):
        materialize(restated, "base_forecasts", **settings)


def test_readers_must_name_the_revision_of_a_run_that_was_corrected(corrected: Corrected) -> None:
    stores, runner = corrected.runner.stores, corrected.runner
    named = ("--date", "2025-06-30", "--model-version", "stat-1")
    with pytest.raises(NotPublishedError, match=r"r0 \(as first published\), r1 \(by ana: the till .*--revision"):
        resolve_run(stores, "daily", KEY.prediction_date, "stat-1")
    assert resolve_run(stores, "daily", KEY.prediction_date, "stat-1", revision=0).key == KEY
    error, _ = command(runner, "show", "forecasts", *named)
    assert isinstance(error, NotPublishedError)
    assert str(FIRST) in command(runner, "show", "forecasts", *named, "--revision", "1")[1]
    assert "It corrects daily/2025-06-30/stat-1/28/r0 (by ana: the till" in command(runner, "lineage", str(FIRST))[1]
    assert "ana: the till sent it again" in command(runner, "runs")[1]
    assert "rows moved" in command(runner, "compare", str(KEY), str(FIRST))[1]
    assert isinstance(command(runner, "compare", str(KEY), str(SECOND))[0], NotPublishedError)
    refused, _ = command(
        runner, "correct", "--cadence", "daily", *named, "--by", "ana", "--reason", "x", "--known-until", "2025-07-09"
    )
    assert isinstance(refused, NothingToCorrectError)
    assert "Nothing has been restated: 1 published runs" in command(runner, "restatements")[1]


def test_the_ui_is_not_told_again_after_entries_that_change_no_input(
    restated: Runner, simulation: Simulation, tmp_path: Path
) -> None:
    runner = copied(restated, tmp_path / "home")
    told = restatement_events(runner.stores, None)
    assert len(told.asset_events) == 1
    runner.stores.registry.promote("stat-1", by="tests", reason="again")
    after = restatement_events(runner.stores, told.cursor)
    assert "Nothing was ingested or published after ledger entry" in str(after.skip_reason)
    batch = restated_sales(simulation)
    later = [batch.frame["known_at"][0] + timedelta(days=1)]
    unrelated = pl.col("event_date") + timedelta(days=4)
    frame = batch.frame.with_columns(unrelated, pl.Series("known_at", later, batch.frame.schema["known_at"]))
    runner.ingest([replace(batch, frame=frame)])
    same = restatement_events(runner.stores, told.cursor)
    assert str(KEY) in str(same.skip_reason)
    assert not same.asset_events
    runner.ingest([replace(batch, frame=frame.with_columns(pl.col("event_date") - timedelta(days=5)))])
    assert len(restatement_events(runner.stores, same.cursor).asset_events) == 1


def test_an_artifact_is_read_once_however_many_runs_are_compared(
    restated: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[str]()
    real = restatements.load_artifact
    monkeypatch.setattr(
        restatements, "load_artifact", lambda stores, model: read.append(model.family) or real(stores, model)
    )
    runs = newest_revisions(restated.stores.ledger.state()) * 3
    assert len(list(pending_restatements(restated.stores, runs))) == 3
    assert read == ["statistical"]


def test_the_ui_is_told_once_and_nothing_is_corrected_by_itself(restated: Runner, corrected: Corrected) -> None:
    told = restatement_events(restated.stores, None)
    (event,) = told.asset_events
    assert isinstance(event, dg.AssetObservation)
    assert event.partition == scoring_partition(KEY.prediction_date, KEY.model_version)
    assert "forecast-assets correct" in str(event.metadata["to_correct"].value)
    assert not told.run_requests
    assert not restatement_events(restated.stores, told.cursor).asset_events
    assert not restatement_events(corrected.runner.stores, None).asset_events
    assert restatement_events(restated.stores, "17").asset_events
    for runner in (restated, corrected.runner):
        answer = scoring_request(runner.stores, DAILY, Launches(runner.instance, "daily_scoring"))
        assert isinstance(answer, dg.SkipReason)
