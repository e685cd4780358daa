"""A version with trees goes through the whole pipeline: published, explained, rebuilt to the same bytes."""

from pathlib import Path

import polars as pl
import pytest

from forecast_assets.contracts import COMPONENTS
from forecast_assets.errors import ChangedFileError
from forecast_assets.keys import PredictionId, RunKey
from forecast_assets.models.global_model import GLOBAL
from forecast_assets.operations.lineage import lineage_of
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.replaying import replay
from forecast_assets.operations.replaying_training import replay_training
from forecast_assets.operations.runner import Runner
from forecast_assets.run_inputs import RunInputs
from tests.assets.conftest import RETAILER, copied

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


def test_its_artifact_is_loaded_only_if_its_hash_matches(runner: Runner, tmp_path: Path) -> None:
    broken = copied(runner, tmp_path / "home")
    version = broken.stores.predictions.version(broken.stores.registry.model_version(KEY.model_version).artifact)
    path = broken.settings.store_folder / version.files[0].path
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content.replace(b"learning_rate", b"learning_rats", 1))
    with pytest.raises(ChangedFileError, match=path.name):
        _ = RunInputs.newest(broken.stores, KEY).artifact


def test_lineage_leads_from_a_row_to_the_trees(runner: Runner) -> None:
    told = str(lineage_of(runner.stores, str(KEY)).document())
    assert runner.stores.registry.model_version(KEY.model_version).artifact in told
    assert "'family': 'global'" in told
