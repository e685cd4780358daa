"""What is measured has the shape that it says it has."""

from pathlib import Path

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
    assert counts[:, :7].sum() < counts[:, -7:].sum(), "launches come over time"


def test_the_full_shape_is_that_of_m5() -> None:
    assert Shape().items * len(STORES) == 30_490
    assert sum(count for _, count in DEPARTMENTS) == Shape().items
    assert (Shape().days, len(Shape().calendar_days)) == (1941, 1969)
