"""The job that one would build from libraries does what it says, on a few series; how long it takes is not judged."""

import os
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
import pytest

from bench import built
from bench.built import COVERAGES, DAY, EXPLAINED_EVERY, EXPLAINING, ID, MODEL, NODES, Built
from forecast_assets.core.arrays import Floats
from forecast_assets.sources.freshretailnet import DAILY_FILE, PLAN_FILE

if not os.environ.get("CI"):
    pytest.importorskip("mlforecast")

STORES, PRODUCTS, DAYS, HORIZON = 6, 10, 70, 14
FIRST = date(2024, 4, 1)
CUTOFF = FIRST + timedelta(DAYS - 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cities of three stores, ten products in two groups; all levels number their nodes from 0."""
    path = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(1)
    days = pl.date_range(FIRST, CUTOFF + timedelta(HORIZON), eager=True)
    rows = (
        pl.DataFrame({"store_id": range(STORES)})
        .join(pl.DataFrame({"product_id": range(PRODUCTS)}), how="cross")
        .join(pl.DataFrame({"dt": days}), how="cross")
        .with_columns(
            city_id=pl.col("store_id") // 3,
            **{f"{level}_id": pl.col("product_id") // 5 for level in ("management_group", "first_category")},
            second_category_id=pl.col("product_id") // 5,
            third_category_id=pl.col("product_id") // 2,
            discount=pl.lit(1.0),
            activity_flag=pl.lit(0),
            holiday_flag=(pl.col("dt").dt.weekday() == 7).cast(pl.Int8),
            sale_amount=(2.0 + pl.col("product_id")) * (1 + (pl.col("dt").dt.weekday() > 5).cast(pl.Float64)),
        )
    )
    rows = rows.with_columns(pl.col("sale_amount") * pl.Series(random.uniform(0.7, 1.3, rows.height)))
    rows.filter(pl.col("dt") <= CUTOFF).write_parquet(path / DAILY_FILE)
    planned = ["store_id", "product_id", "dt", "discount", "activity_flag", "holiday_flag"]
    rows.filter(pl.col("dt") > CUTOFF).select(planned).write_parquet(path / PLAN_FILE)
    return path


@pytest.fixture(scope="module")
def home(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("home")
    built.train(folder, CUTOFF, HORIZON, path)
    return path


@pytest.fixture(scope="module")
def explained() -> list[tuple[Floats, Floats]]:
    """Inputs and values of the rows whose SHAP values the job computes."""
    return []


@pytest.fixture(scope="module")
def done(folder: Path, home: Path, explained: list[tuple[Floats, Floats]]) -> Built:
    def kept(booster: lightgbm.Booster, inputs: Floats, scratch: Path) -> Floats:
        values = explain(booster, inputs, scratch)
        explained.append((booster.predict(inputs), values))
        return values

    with pytest.MonkeyPatch.context() as patch:
        explain = built.explain
        patch.setattr(built, "explain", kept)
        return built.job(folder, CUTOFF, HORIZON, home)


def test_every_series_is_forecast_for_every_day_with_intervals(done: Built, home: Path) -> None:
    made = pl.read_parquet(home / "forecasts.parquet")
    assert made.height == done.rows == STORES * PRODUCTS * HORIZON
    assert made[DAY].min() == CUTOFF + timedelta(1)
    low, high = COVERAGES
    order = [made[f"{MODEL}-{side}"] for side in (f"lo-{high}", f"lo-{low}", f"hi-{low}", f"hi-{high}")]
    assert all((a <= b).all() for a, b in pairwise(order))
    # Sales are 2 to 11 units, twice as many at weekends.
    weekend = made[DAY].dt.weekday() > 5
    assert made.filter(weekend)[MODEL].mean() > 1.6 * made.filter(~weekend)[MODEL].mean()  # type: ignore[operator]


def test_nodes_add_up_and_none_is_taken_for_another(done: Built, home: Path) -> None:
    made = pl.read_parquet(home / "reconciled.parquet")
    assert made.select(ID, DAY).is_duplicated().sum() == 0
    # 1 in all, 2 groups, 5 categories, 10 products; 2 and 6 places; of their pairs those with at most 15 nodes.
    value = made.columns[-1]
    bottom = made.filter(pl.col(ID).str.count_matches("/") == len(NODES) - 1)
    assert bottom[ID].n_unique() == STORES * PRODUCTS < done.nodes == made[ID].n_unique()
    for node, member in (("all", "all"), ("all/city_id 1", "city_id 1"), ("product_id 3/all", "product_id 3")):
        sums = bottom.filter(pl.col(ID).str.split("/").list.contains(member)).group_by(DAY).agg(pl.col(value).sum())
        itself = made.filter(pl.col(ID) == node)
        np.testing.assert_allclose(itself.sort(DAY)[value], sums.sort(DAY)[value], rtol=1e-6)
    assert made[value].min() >= 0  # type: ignore[operator]


def test_shap_values_of_a_sample_add_up_and_count_for_all(
    done: Built, home: Path, explained: list[tuple[Floats, Floats]]
) -> None:
    ((predicted, values),) = explained
    np.testing.assert_allclose(values.sum(axis=1), predicted, rtol=1e-6)
    assert len(values) == -(-done.rows // EXPLAINED_EVERY) == pl.read_parquet(home / "shap.parquet").height
    assert done.seconds == pytest.approx(done.unexplained_seconds + done.steps[EXPLAINING])
    assert all(seconds > 0 for seconds in done.steps.values())


def test_the_table_is_in_multiples_of_the_fixed_job() -> None:
    text = Built({"read": 3.0, EXPLAINING: 7.0}, rows=5, nodes=2).table(fixed=2.0)
    assert [line.split()[-2:] for line in text.splitlines()[-4:]] == [
        ["3.0", "1.50"], ["7.0", "3.50"], ["10.0", "5.00"], ["3.0", "1.50"],
    ]  # fmt: skip
