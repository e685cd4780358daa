"""The rule on stand-ins: zero for series that sell no more is no reason to stop a run, zero for others is."""

from pathlib import Path

import duckdb
import polars as pl
import pytest

from checks.judging import judge
from checks.rules import RULES
from tests.support.products import make

RULE = next(rule for rule in RULES if rule.name == "few_series_fall_back")


@pytest.mark.parametrize(
    ("demand_class", "passes"), [("dead", True), ("ended", True), ("smooth", False), ("new", False)]
)
def test_only_series_that_still_sell_count(tmp_path: Path, demand_class: str, passes: bool) -> None:
    path = tmp_path / "base.parquet"
    one = pl.col("sku_id") == "A"
    make("base_forecasts").with_columns(
        is_fallback=one, demand_class=pl.when(one).then(pl.lit(demand_class)).otherwise("demand_class")
    ).write_parquet(path)
    with duckdb.connect() as connection:
        verdict = judge(RULE, {RULE.product: [str(path)]}, connection)
    assert verdict.passed == passes
    assert passes or "More than 5% of the series still sell" in verdict.message
