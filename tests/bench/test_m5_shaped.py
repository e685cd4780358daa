"""What is measured has the shape that it says it has."""

from pathlib import Path

import numpy as np
import polars as pl

from bench.m5_shaped import DEPARTMENTS, STORES, Shape, write_m5_shaped


def test_made_up_m5_files_are_the_same_for_the_same_shape_and_look_like_a_shop(tmp_path: Path) -> None:
    shape = Shape(items=28, days=420)
    for name in ("one", "two"):
        write_m5_shaped(tmp_path / name, shape)
    for file in ("sales_train_evaluation.csv", "calendar.csv", "sell_prices.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    sales = pl.read_csv(tmp_path / "one" / "sales_train_evaluation.csv")
    assert sales.height == sales["item_id"].n_unique() * len(STORES)
    assert sales["dept_id"].unique().sort().to_list() == [name for name, _ in DEPARTMENTS]
    counts = sales.select(pl.selectors.starts_with("d_")).drop("dept_id", strict=False).to_numpy()
    assert counts.shape[1] == 420
    assert 0.4 < (counts == 0).mean() < 0.9
    assert counts[:, 330].sum() == 0, "closed on Christmas Day"
    prices = pl.read_csv(tmp_path / "one" / "sell_prices.csv")
    began = prices.group_by("store_id", "item_id").agg(pl.col("wm_yr_wk").min())["wm_yr_wk"]
    assert 0.05 < (began > began.min()).mean() < 0.25, "some series are launched later"


def test_another_seed_makes_other_files(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_m5_shaped(tmp_path / str(seed), Shape(items=7, days=60, seed=seed))
    for file in ("sales_train_evaluation.csv", "sell_prices.csv"):
        assert (tmp_path / "1" / file).read_bytes() != (tmp_path / "2" / file).read_bytes()


def test_counts_follow_the_law_of_their_department_and_store(tmp_path: Path) -> None:
    shape = Shape(items=600, days=400)
    write_m5_shaped(tmp_path, shape)
    sales = pl.read_csv(tmp_path / "sales_train_evaluation.csv")
    foods = sales.filter(dept_id="FOODS_3", store_id="TX_2").select(pl.col("^d_[0-9]+$")).sum().to_numpy().ravel()
    factors = shape.law.factors[2, STORES.index("TX_2"), :400]
    is_open = factors > 0
    assert np.corrcoef(np.log(foods[is_open]), np.log(factors[is_open]))[0, 1] > 0.8


def test_the_full_shape_is_that_of_m5() -> None:
    assert Shape().items * len(STORES) == 30_490
    assert sum(count for _, count in DEPARTMENTS) == Shape().items
    assert (Shape().days, len(Shape().calendar_days)) == (1941, 1969)
