"""A version with trees goes through the whole pipeline: published, explained, rebuilt to the same bytes."""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import polars as pl
import pytest

from forecast_assets.contracts import COMPONENTS
from forecast_assets.core.errors import ChangedFileError, InputError
from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.core.run import RunRequest
from forecast_assets.launch import Runner
from forecast_assets.models.boosted.model import GLOBAL
from forecast_assets.operations.lineage import lineage_of
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.replaying import replay
from forecast_assets.operations.replaying_training import replay_training
from forecast_assets.scoring.context import RunContext
from tests.support.retailers import RETAILER, copied

pytestmark = pytest.mark.usefixtures("brief_runs")

KEY = RunKey("daily", RETAILER.end, "global-1", 14)


@pytest.fixture(scope="module")
def runner(trained: Runner, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A home with one run of a version of the family."""
    made = copied(trained, tmp_path_factory.mktemp("global") / "home")
    made.train(family=GLOBAL, version=KEY.model_version, cutoff=RETAILER.end, horizon=KEY.forecast_horizon)
    made.score(KEY)
    return made


@pytest.fixture(scope="module")
def forecasts(runner: Runner) -> pl.DataFrame:
    return read_product(runner.stores, runner.stores.predictions.publication(KEY), "forecasts")


@pytest.fixture(scope="module")
def explanations(runner: Runner) -> pl.DataFrame:
    return read_product(runner.stores, runner.stores.predictions.publication(KEY), "forecast_explanations")


def test_it_is_published_with_its_trees(runner: Runner, forecasts: pl.DataFrame) -> None:
    assert runner.stores.predictions.publication(KEY).key == KEY
    used = forecasts.filter(~pl.col("demand_class").is_in(["new", "dead", "ended"]))["model_used"]
    assert used.unique().to_list() == ["LightGBM"]
    others = forecasts.filter(pl.col("demand_class").is_in(["new", "dead", "ended"]))["model_used"]
    assert "LightGBM" not in others.unique()
    assert forecasts["out_of_distribution_score"].null_count() == 0


def test_drivers_add_up_to_the_published_number(forecasts: pl.DataFrame, explanations: pl.DataFrame) -> None:
    drivers = [*COMPONENTS, "reconciliation_units", "override_units"]
    assert (explanations.select(pl.sum_horizontal(drivers)).to_series() == explanations["forecast_units"]).all()
    assert (explanations["forecast_units"] == forecasts["forecast_units"]).all()
    told = explanations.select(pl.col("relatives_units", "trend_units", "price_units").abs().sum()).row(0)
    assert all(units > 0 for units in told)
    # What rounding leaves over is a few millionths.
    assert explanations["rounding_units"].abs().max() < pl.Series([0.00001]).cast(pl.Decimal(18, 6)).item()


def test_it_is_rebuilt_to_the_same_bytes(runner: Runner, forecasts: pl.DataFrame) -> None:
    row = forecasts.filter(step=3).row(5, named=True)
    asked = PredictionId(KEY, row["sku_id"], row["store_id"], 3)
    found = replay(runner.stores, runner.settings, KEY, lambda *_: None, rows=[asked])
    found.require_equal()
    assert found.is_equal
    (table,) = found.rows.values()
    assert (table["published"] == table["rebuilt"]).all()


def test_training_it_again_gives_the_same_bytes(runner: Runner) -> None:
    found = replay_training(runner.stores, runner.settings, KEY.model_version, lambda *_: None)
    found.require_equal()
    assert {each.recorded.product for each in found.products} >= {"model_artifacts", "evaluation_reports"}


def test_workers_and_threads_of_another_process_do_not_change_a_byte(runner: Runner) -> None:
    # What was published was made by one worker, which also fits the trees, and by as many threads as there are cores.
    names = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = {
        **os.environ,
        **dict.fromkeys(names, "1"),
        "FORECAST_ASSETS_HOME": str(runner.settings.home),
        "FORECAST_ASSETS_WORKERS": "2",
    }
    command = [str(Path(sys.executable).with_name("forecast-assets")), "replay", str(KEY), "--training"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": byte for byte.") == 2


def artifact_file(runner: Runner) -> Path:
    artifact = runner.stores.predictions.version(runner.stores.registry.model_version(KEY.model_version).artifact)
    return runner.settings.store_folder / artifact.files[0].path


def require_nothing_made(runner: Runner, key: RunKey, entries: int) -> None:
    assert not runner.stores.predictions.is_staged("base_forecasts", key)
    assert runner.stores.ledger.state().sequence == entries


def test_no_run_is_made_of_an_artifact_in_which_a_digit_or_a_name_was_edited(runner: Runner, tmp_path: Path) -> None:
    broken = copied(runner, tmp_path / "home")
    file, key = artifact_file(broken), replace(KEY, forecast_horizon=7)
    content, entries = file.read_bytes(), broken.stores.ledger.state().sequence
    file.chmod(0o644)
    for pattern, by in (
        (rb"leaf_value=(-?0\.\d*?)[1-8]", rb"leaf_value=\g<1>9"),
        (rb'("categories": \[\s*")\w', rb"\1_"),
        (rb'("smooth\|0\|0": \[\s*\d\.)\d', rb"\g<1>77"),
    ):
        changed = re.sub(pattern, by, content, count=1)
        assert changed != content
        file.write_bytes(changed)
        with pytest.raises(ChangedFileError, match=rf"{file.name}.* changed after it was written.*from a backup"):
            broken.score(key)
        require_nothing_made(broken, key, entries)


def forged(runner: Runner, name: str, content: bytes) -> RunKey:
    """Register a version like the trained one, but with other bytes, rightly hashed; return the key of a run of it."""
    like = runner.stores.registry.model_version(KEY.model_version)
    artifact = runner.stores.predictions.version(like.artifact)
    made = runner.stores.predictions.write_artifact(
        artifact.product, content, key=name, folder="models", inputs=artifact.inputs, facts=artifact.facts
    )
    record = {field: value for field, value in asdict(like).items() if field not in ("sequence", "recorded_at", "cpu")}
    record |= {"model_version": name, "artifact": made.version, "cutoff": like.cutoff.isoformat()}
    runner.stores.registry.register(record)
    return replace(KEY, model_version=name, forecast_horizon=7)


def test_no_run_is_made_of_an_artifact_that_training_did_not_make(runner: Runner, tmp_path: Path) -> None:
    broken = copied(runner, tmp_path / "home")
    content = artifact_file(runner).read_bytes()
    statistical = broken.stores.registry.model_version("stat-1").artifact
    predictions = broken.stores.predictions
    cut = json.loads(content)
    cut["demand"]["text"] = cut["demand"]["text"][: len(cut["demand"]["text"]) // 2]
    for at, (bytes_, message) in enumerate(
        (
            (predictions.read_bytes(predictions.version(statistical)), "not of the family `global` in format"),
            (
                content.replace(b'"kind": "idle"', b'"kind": "busy"'),
                "does not know the kind or driver of idle_28d_share",
            ),
            (json.dumps(cut).encode(), "text of the trees is not whole"),
        )
    ):
        key = forged(broken, f"forged-{at}", bytes_)
        entries = broken.stores.ledger.state().sequence
        with pytest.raises(InputError, match=rf"{message}.*Train the version again"):
            broken.score(key)
        require_nothing_made(broken, key, entries)


def test_its_artifact_is_loaded_only_if_its_hash_matches(runner: Runner, tmp_path: Path) -> None:
    broken = copied(runner, tmp_path / "home")
    version = broken.stores.predictions.version(broken.stores.registry.model_version(KEY.model_version).artifact)
    path = broken.settings.store_folder / version.files[0].path
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content.replace(b"learning_rate", b"learning_rats", 1))
    with pytest.raises(ChangedFileError, match=path.name):
        _ = RunContext(broken.stores, RunRequest(KEY)).artifact


def test_lineage_leads_from_a_row_to_the_trees(runner: Runner) -> None:
    told = str(lineage_of(runner.stores, str(KEY)).document())
    assert runner.stores.registry.model_version(KEY.model_version).artifact in told
    assert "'family': 'global'" in told
