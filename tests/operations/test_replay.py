"""A published run is rebuilt from what was recorded of it: byte for byte, or the first difference is named."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from forecast_assets.cli import cli
from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.contracts import PRODUCTS, earlier_fingerprints
from forecast_assets.core.errors import ChangedFileError, InputError, NotPublishedError, ReplayDifferenceError
from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.core.run import RunOptions, RunRequest
from forecast_assets.corrections.restatements import source_snapshot
from forecast_assets.launch import Runner
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.family import StatisticalFamily
from forecast_assets.operations import differences, replaying
from forecast_assets.operations.external_forecasts import (
    ExternalForecastsRequest,
    plan_external_forecasts,
    publish_external_forecasts,
)
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.rebuilding import overlay, rebuild_snapshots
from forecast_assets.operations.replaying import Replay, replay
from forecast_assets.operations.replaying_training import replay_training
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.presentation.replaying import replay_text
from forecast_assets.scoring.context import RunContext
from forecast_assets.scoring.run import score
from forecast_assets.simulation.simulator import Simulation
from resources.ledger.entries.publish import Publication
from resources.store.blobs import sha256
from resources.store.manifests import ProductVersion
from resources.store.provenance import cpu_type, library_versions
from resources.stores.home import Stores
from tests.corrections.test_corrected_runs import restated_sales
from tests.support.earlier_stores import LATER
from tests.support.replayed_rows import picked, require_replayed
from tests.support.retailers import KEY, RETAILER, copied

pytestmark = pytest.mark.usefixtures("brief_runs")

Published = tuple[Runner, RunOutcome]
FIRST = replace(KEY, revision=1)
PLANNERS = replace(KEY, model_version="planners-1")
CHANGED = "reconciled_forecasts"
LIBRARIES = library_versions()
ROWS = 20


def replayed(runner: Runner, key: object = KEY, **options: object) -> Replay:
    return replay(runner.stores, runner.settings, key, lambda *_: None, **options)  # type: ignore[arg-type]


def listed(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Everything in a folder, with when it was last written and its place on the disk."""
    found = ((path, path.lstat()) for path in sorted(folder.rglob("*")))
    return {str(path): (stat.st_mtime_ns, stat.st_size, stat.st_ino) for path, stat in found}


def any_row(runner: Runner) -> PredictionId:
    frame = read_product(runner.stores, runner.stores.predictions.publication(KEY), "forecasts")
    row = frame.filter(pl.col("forecast_units") > 0, step=3, store_id="S-01").row(0, named=True)
    return PredictionId(KEY, row["sku_id"], row["store_id"], row["step"])


@pytest.fixture(scope="module")
def later(published: Published, simulation: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """The home days later: a further day was ingested, a day restated, the run corrected, and taken over by others."""
    folder = tmp_path_factory.mktemp("replay")
    runner = copied(published[0], folder / "home")
    sales = next(each for each in simulation.batches if each.feed == "sales" and each.source == "pos")
    last = sales.frame.filter(pl.col("event_date") == RETAILER.end)
    runner.ingest([replace(sales, frame=last.with_columns(pl.col("event_date", "known_at") + timedelta(days=1)))])
    runner.ingest([restated_sales(simulation)])
    runner.correct(KEY, by="ana", reason="the till sent it again")
    file = folder / "planners.csv"
    read_product(runner.stores, published[1].publication, "forecasts").write_csv(file)
    list(
        publish_external_forecasts(
            runner, plan_external_forecasts(runner, ExternalForecastsRequest(file, "planners-1"))
        )
    )
    return runner


def test_a_published_run_is_rebuilt_byte_for_byte_and_nothing_else_is_written(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, _ = published
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = listed(runner.settings.home)
    found = replayed(runner)
    found.require_equal()
    assert [each.recorded.product for each in found.products] == ["feature_snapshots", *PRODUCTS]
    assert [each.recorded for each in found.products] == [each.rebuilt for each in found.products]
    assert listed(runner.settings.home) == before
    assert listed(tmp_path) == {}


def as_trained_before(_family: StatisticalFamily, content: bytes) -> StatisticalArtifact:
    """Return a version that knows nothing of what forecasts are taken apart into since."""
    artifact = StatisticalArtifact.from_bytes(content)
    effects = replace(artifact.effects, calendar=None, node_weekday_prior_units=None, reads_shifts=False)
    return replace(artifact, effects=effects, node_levels=())


def test_a_run_of_an_earlier_release_is_rebuilt_in_the_shape_of_then(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, key = published[0], str(KEY)
    monkeypatch.setattr(StatisticalFamily, "read", as_trained_before)
    grown = ("base_forecasts", "forecast_explanations")
    then = {name: earlier_fingerprints(name)[-1] for name in grown}
    publication = runner.stores.predictions.publication(KEY)
    with overlay(runner.stores.as_of(publication.sequence - 1), tmp_path) as older:
        rebuild_snapshots(older, [source_snapshot(runner.stores, publication.products)], lambda *_: None)
        options = RunOptions(risk_paths=runner.settings.risk_paths, workers=1)
        score(RunContext(older, RunRequest(KEY, options), schemas=then))
    # The release of then made no sums over days, and knew no overrides.
    recorded = {name: older.predictions.staged(name, key) for name in PRODUCTS if name not in LATER}
    assert {name: recorded[name].schema for name in grown} == then
    assert not {"payday_units", "covariates_units"} & {*older.predictions.read(recorded["base_forecasts"]).columns}
    monkeypatch.setattr(replaying, "recorded_products", lambda *_: recorded)
    replay(Stores.on(older.blobs, runner.stores.ledger), runner.settings, KEY, lambda *_: None).require_equal()


def test_what_is_rebuilt_is_computed_and_not_read_from_what_was_published(published: Published, tmp_path: Path) -> None:
    runner = copied(published[0], tmp_path / "home")
    publication = runner.stores.predictions.publication(KEY)
    behind = runner.stores.predictions.lineage(publication.products.values())
    for made in behind:
        if made.product in {"feature_snapshots", *PRODUCTS}:
            (runner.settings.store_folder / made.files[0].path).unlink()
    found = replayed(runner)
    assert found.is_equal
    assert len(found.damaged) == len(found.products)
    with pytest.raises(ChangedFileError, match="those in the store are not"):
        found.require_equal()


def test_a_run_is_rebuilt_after_later_days_a_restatement_a_correction_and_other_specs(
    later: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    import forecast_assets.features.specs as today
    from forecast_assets.snapshots import stage

    for module in (today, stage):
        monkeypatch.setattr(module, "DEFAULT_SPECS", today.DEFAULT_SPECS[:3])
    found = replayed(later)
    found.require_equal()
    assert later.stores.ledger.state().sequence > found.sequence


@pytest.fixture(scope="module")
def chosen(later: Runner) -> dict[RunKey, list[PredictionId]]:
    """Rows picked at random from a run, its correction and the one taken over from others."""
    found = picked(later, ROWS)
    assert set(found) == {KEY, FIRST, PLANNERS}
    return found


Chosen = dict[RunKey, list[PredictionId]]


def test_random_rows_of_a_run_are_rebuilt_to_the_published_values(later: Runner, chosen: Chosen) -> None:
    require_replayed(later, KEY, chosen[KEY])


def test_random_rows_of_a_correction_are_rebuilt_to_the_published_values(later: Runner, chosen: Chosen) -> None:
    found = require_replayed(later, FIRST, chosen[FIRST])
    first = later.stores.predictions.publication(KEY).files["forecasts"]
    assert found.products[-1].recorded.files != first


def test_random_rows_of_an_external_version_are_rebuilt_to_the_published_values(later: Runner, chosen: Chosen) -> None:
    require_replayed(later, PLANNERS, chosen[PLANNERS])


def test_a_run_is_rebuilt_at_a_past_position_and_not_before_it_was_published(later: Runner) -> None:
    position = later.stores.predictions.publication(KEY).sequence
    then = later.stores.as_of(position)
    assert then.ledger.state().sequence < later.stores.ledger.state().sequence
    replay(then, later.settings, KEY, lambda *_: None).require_equal()
    with pytest.raises(NotPublishedError):
        replay(later.stores.as_of(position - 1), later.settings, KEY, lambda *_: None)


@pytest.mark.parametrize(("name", "judged"), [("stat-1", ["calibration"]), ("planners-1", [])])
def test_artifact_and_reports_are_rebuilt_byte_for_byte(later: Runner, name: str, judged: list[str]) -> None:
    found = replay_training(later.stores, later.settings, name, lambda *_: None)
    found.require_equal()
    assert found.cpu == cpu_type()
    assert "not recorded" not in replay_text(found)
    rebuilt = [each.recorded.product for each in found.products]
    assert rebuilt[rebuilt.index("model_artifacts") :] == ["model_artifacts", "evaluation_reports", *judged]


def spoil(runner: Runner, path: str) -> None:
    file = runner.settings.store_folder / path
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"?")


def test_an_input_that_is_not_as_recorded_is_named(published: Published, tmp_path: Path) -> None:
    runner = copied(published[0], tmp_path / "home")
    batch = next(each for each in runner.stores.observations.batches() if each.feed == "purchase_orders")
    spoil(runner, batch.path)
    with pytest.raises(ChangedFileError, match=batch.sha256):
        replayed(runner)


def test_an_artifact_that_is_not_as_recorded_is_named(published: Published, tmp_path: Path) -> None:
    runner = copied(published[0], tmp_path / "home")
    artifact = runner.stores.predictions.version(runner.stores.registry.model_version("stat-1").artifact)
    spoil(runner, artifact.files[0].path)
    with pytest.raises(ChangedFileError, match=artifact.files[0].sha256):
        replayed(runner)


@pytest.fixture
def other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconciliation that adds half a unit to step 3 of one store."""
    from forecast_assets.reconciliation import stage

    real = stage.reconciled_frame

    def changed(*arguments: object) -> pl.DataFrame:
        frame = real(*arguments)  # type: ignore[arg-type]
        added = pl.when(step=3, store_id="S-01").then(pl.lit("0.5")).otherwise(pl.lit("0")).cast(pl.Decimal(18, 6))
        return frame.with_columns((pl.col("reconciled_units") + added).cast(pl.Decimal(18, 6)))

    monkeypatch.setattr(stage, "reconciled_frame", changed)


@pytest.mark.usefixtures("other_code")
def test_the_first_product_that_differs_is_named_with_the_largest_difference(published: Published) -> None:
    row = any_row(published[0])
    found = replayed(published[0], rows=[row])
    assert [each.is_equal for each in found.products] == [True] * 3 + [False, True] + [False] * 5, (
        "where nobody has overridden anything the product is the same whatever the forecast"
    )
    assert found.difference is not None
    (column,) = found.difference.columns
    assert (found.difference.product, found.difference.rows) == (CHANGED, RETAILER.skus)
    assert (column.column, column.largest, column.rows) == ("reconciled_units", 0.5, RETAILER.skus)
    assert Decimal(column.rebuilt) - Decimal(column.published) == Decimal("0.5")
    assert (found.difference.only_published, found.difference.only_rebuilt) == (0, 0)
    with pytest.raises(ReplayDifferenceError, match=rf"`{CHANGED}` of .*libraries and CPU type .*: a defect"):
        found.require_equal()
    said = replay_text(found)
    assert f"First to differ: {CHANGED}. {RETAILER.skus} rows differ." in said
    assert f"{row}: published and rebuilt differ" in said
    changed = found.rows[row].filter(product="forecasts", column="reconciled_units")
    (before,), (after,) = changed["published"], changed["rebuilt"]
    assert Decimal(after) - Decimal(before) == Decimal("0.5")


@pytest.mark.usefixtures("other_code")
def test_what_is_not_the_same_as_then_is_named_as_the_cause(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differences, "code_version", lambda: "9.9.9+0")
    monkeypatch.setattr(differences, "library_versions", lambda: {**LIBRARIES, "polars": "9.9"})
    monkeypatch.setattr(differences, "cpu_type", lambda: "another one")
    with pytest.raises(ReplayDifferenceError) as caught:
        replayed(published[0]).require_equal()
    code, libraries, cpu = caught.value.causes
    assert code.startswith("code is 9.9.9+0, was ")
    assert libraries == f"libraries: polars is 9.9, was {LIBRARIES['polars']}"
    assert cpu.startswith("CPU type is another one, was ")
    assert "a defect" not in str(caught.value)


def test_equal_bytes_are_equal_whatever_code_made_them_and_it_is_said(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differences, "code_version", lambda: "9.9.9+0")
    found = replayed(published[0])
    found.require_equal()
    assert "code is 9.9.9+0" in replay_text(found)
    assert "The bytes are equal all the same." in replay_text(found)


def test_a_setting_that_nobody_recorded_is_taken_from_today_and_named(published: Published) -> None:
    runner, outcome = published
    recorded = replaying.recorded_products(runner.stores, outcome.publication)
    risks = recorded["stockout_risks"]
    bare: dict[str, ProductVersion] = {
        **recorded,
        "stockout_risks": replace(risks, facts={k: v for k, v in risks.facts.items() if k != "risk_paths"}),
    }
    today = runner.settings.model_copy(update={"risk_paths": 77})
    asked, assumed = replaying.recorded_request(KEY, recorded["base_forecasts"], bare, today)
    assert (asked.options.risk_paths, assumed) == (77, ("risk_paths 77",))
    assert differences.causes_of([risks], "", assumed) == ("taken for lack of a record: risk_paths 77",)
    asked, assumed = replaying.recorded_request(KEY, recorded["base_forecasts"], recorded, today)
    assert (asked.options.risk_paths, assumed) == (runner.settings.risk_paths, ())


def test_settings_of_today_do_not_shape_what_is_rebuilt(published: Published) -> None:
    runner, _ = published
    today = runner.settings.model_copy(update={"risk_paths": 50, "history_days": 30, "feed_tolerance": 0.0})
    replay(runner.stores, today, KEY, lambda *_: None).require_equal()


def test_what_was_rebuilt_is_kept_on_request_and_mends_a_damaged_store(published: Published, tmp_path: Path) -> None:
    runner, kept = copied(published[0], tmp_path / "home"), tmp_path / "kept"
    (file,) = runner.stores.predictions.publication(KEY).files["stockout_risks"]
    spoil(runner, file.path)
    found = replayed(runner, keep=kept)
    assert found.damaged == (file.path,)
    assert sha256((kept / file.path).read_bytes()) == file.sha256
    for taken in (kept, runner.settings.store_folder / "kept"):
        with pytest.raises(InputError, match=r"is not an empty folder|lies in the store"):
            replayed(runner, keep=taken)
    (runner.settings.store_folder / file.path).write_bytes((kept / file.path).read_bytes())
    replayed(runner).require_equal()


def test_a_row_is_shown_beside_its_rebuilt_self(published: Published) -> None:
    row = any_row(published[0])
    values = replayed(published[0], rows=[row]).rows[row]
    assert values["published"].equals(values["rebuilt"], check_names=False)
    assert values["product"].unique().sort().to_list() == ["forecast_explanations", "forecasts", "stockout_risks"]
    (units,) = values.filter(product="forecasts", column="forecast_units")["published"]
    assert float(units) > 0
    with pytest.raises(InputError, match="not a row of this run"):
        replayed(published[0], rows=[replace(row, step=99)])


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_row_of_a_damaged_file_is_rebuilt_and_the_file_offered(
    published: Published, tmp_path: Path, damage: str
) -> None:
    runner, kept, row = copied(published[0], tmp_path / "home"), tmp_path / "kept", any_row(published[0])
    (file,) = runner.stores.predictions.publication(KEY).files["forecasts"]
    stored = runner.settings.store_folder / file.path
    whole = stored.read_bytes()
    stored.unlink()
    if damage == "truncated":
        stored.write_bytes(whole[: len(whole) // 2])
    found = replayed(runner, rows=[row], keep=kept)
    assert (found.is_equal, found.damaged) == (True, (file.path,))
    assert (kept / file.path).read_bytes() == whole
    values = found.rows[row]
    units = values.filter(product="forecasts", column="forecast_units")
    assert units["published"].to_list() == ["-"]
    assert float(units["rebuilt"][0]) > 0
    assert values.filter(product="stockout_risks")["published"].eq("-").sum() == 0
    assert f"{row}: published and rebuilt are the same, as far as what is published can be read" in replay_text(found)
    with pytest.raises(InputError, match="not a row of this run"):
        replayed(runner, rows=[replace(row, sku_id="NONE")])


def test_another_fact_in_the_manifest_of_the_same_bytes_is_a_difference(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    import forecast_assets.snapshots.rebuilding as stage

    monkeypatch.setattr(stage, "feature_version", lambda _: "other-specs")
    found = replayed(published[0])
    snapshot = found.products[0]
    assert (snapshot.has_same_bytes, snapshot.is_equal) == (True, False)
    assert found.difference is not None
    assert [(each.column, each.rebuilt) for each in found.difference.manifest] == [
        ("facts.feature_version", "other-specs")
    ]
    assert "its manifest says other" in replay_text(found)
    with pytest.raises(ReplayDifferenceError, match=r"facts\.feature_version is other-specs, was .*: a defect"):
        found.require_equal()


def test_a_run_that_did_not_record_its_stock_paths_is_rebuilt_with_those_of_today_and_it_is_said(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = copied(published[0], tmp_path / "home")
    publication = without_risk_paths(runner, monkeypatch)
    monkeypatch.setattr(type(runner.stores.predictions), "publication", lambda *_: publication)
    found = replayed(runner)
    found.require_equal()
    assert found.assumed == (f"risk_paths {runner.settings.risk_paths}",)
    today = runner.settings.model_copy(update={"risk_paths": 50})
    with pytest.raises(ReplayDifferenceError, match=r"`stockout_risks` .* lack of a record: risk_paths 50") as caught:
        replay(runner.stores, today, KEY, lambda *_: None).require_equal()
    assert caught.value.product == "stockout_risks"


def without_risk_paths(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Publication:
    """The run as code that did not record how many stock paths it simulated would have published it."""
    predictions = runner.stores.predictions
    publication = predictions.publication(KEY)
    renamed: dict[str, str] = {}
    with monkeypatch.context() as then:
        then.setattr("resources.stores.products.code_version", lambda: "0.1.0+older")
        for made in replaying.recorded_products(runner.stores, publication).values():
            older = predictions.write_bytes(
                made.product,
                predictions.read_bytes(made),
                key=made.key,
                path=made.files[0].path,
                rows=made.rows,
                schema=made.schema,
                inputs={name: renamed.get(version, version) for name, version in made.inputs.items()},
                facts={name: fact for name, fact in made.facts.items() if name != "risk_paths"},
            )
            renamed[made.version] = older.version
    return replace(publication, products={name: renamed[made] for name, made in publication.products.items()})


def test_what_is_not_published_cannot_be_replayed(published: Published) -> None:
    with pytest.raises(NotPublishedError):
        replayed(published[0], replace(KEY, forecast_horizon=14))


@pytest.mark.usefixtures("other_code")
def test_the_command_says_it_all_and_ends_with_its_exit_code(published: Published) -> None:
    environment = {"FORECAST_ASSETS_HOME": str(published[0].settings.home), "FORECAST_ASSETS_WORKERS": "1"}
    done = CliRunner().invoke(cli, ["replay", str(any_row(published[0]))], env=environment)
    assert isinstance(done.exception, ReplayDifferenceError)
    assert exit_code(type(done.exception)) == 5
    assert "4 of 10 products byte for byte" in done.output
    assert "published and rebuilt differ" in done.output
    assert "series forecast" in done.output


def test_workers_and_threads_do_not_change_a_byte(published: Published) -> None:
    # What was published was made by one worker, and by as many threads as there are cores.
    names = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = {
        **os.environ,
        **dict.fromkeys(names, "1"),
        "FORECAST_ASSETS_HOME": str(published[0].settings.home),
        "FORECAST_ASSETS_WORKERS": "2",
    }
    command = [str(Path(sys.executable).with_name("forecast-assets")), "replay", str(KEY), "--training"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": byte for byte.") == 2
