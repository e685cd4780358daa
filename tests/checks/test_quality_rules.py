"""Flags restate columns, and many unusual rows are said without stopping a run."""

from pathlib import Path

import duckdb
import polars as pl
import pytest

from checks.acceptance import required_checks
from checks.asset_checks import build_checks
from checks.judging import Verdict, judge
from checks.rule import Rule
from checks.rules import RULES
from forecast_assets.core.keys import DAILY
from tests.support.products import KEY, make

FEW = next(rule for rule in RULES if rule.name == "few_rows_are_out_of_distribution")
AGREE = next(rule for rule in RULES if rule.name == "quality_flags_agree_with_their_columns")
FIRST = (pl.col("sku_id") == "A") & (pl.col("step") == 1)


def verdict(rule: Rule, folder: Path, **columns: pl.Expr) -> Verdict:
    path = folder / "product.parquet"
    make(rule.product).with_columns(**columns).write_parquet(path)
    with duckdb.connect() as connection:
        return judge(rule, {rule.product: [str(path)]}, connection)


@pytest.mark.parametrize(
    ("flags", "columns", "passes"),
    [
        ("fallback", {"is_fallback": True}, True),
        ("", {"is_fallback": True}, False),
        ("new_series;short_history", {"demand_class": "new"}, True),
        ("new_series", {}, False),
        ("out_of_distribution", {"out_of_distribution_score": 0.995}, True),
        ("", {"out_of_distribution_score": 0.995}, False),
        ("", {"out_of_distribution_score": None}, True),
        ("out_of_distribution", {"out_of_distribution_score": None}, False),
        ("short_history;mostly_out_of_stock;no_plan", {}, True),
    ],
)
def test_flags_restate_their_columns(tmp_path: Path, flags: str, columns: dict[str, object], passes: bool) -> None:
    changed = {name: pl.when(FIRST).then(pl.lit(value)).otherwise(pl.col(name)) for name, value in columns.items()}
    text = pl.when(FIRST).then(pl.lit(flags)).otherwise(pl.col("quality_flags"))
    assert verdict(AGREE, tmp_path, quality_flags=text, **changed).passed == passes


def test_one_unusual_row_in_twenty_is_no_drift(tmp_path: Path) -> None:
    score = pl.when(FIRST).then(1.0).otherwise(0.5)
    assert not verdict(FEW, tmp_path, out_of_distribution_score=score).passed, "one of fourteen"
    assert verdict(FEW, tmp_path, out_of_distribution_score=pl.lit(0.994)).passed
    found = verdict(FEW, tmp_path, out_of_distribution_score=pl.lit(1.0))
    assert found.failing_rows == KEY.forecast_horizon
    assert "train a version on the newest days" in found.message


def test_drift_is_said_and_stops_nothing() -> None:
    assert FEW.name not in required_checks("base_forecasts")
    assert AGREE.name in required_checks("base_forecasts")
    (check,) = (
        spec
        for definition in build_checks(DAILY, KEY.prediction_date)
        for spec in definition.check_specs
        if FEW.name in spec.name
    )
    assert not check.blocking
