"""The figures that benchmarks print: by hand on small cases, and against the project's own metrics once."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from bench.goals import Goal, any_missed, goals_table
from bench.scoring import bias, level_biases, wape, wrmsse
from forecast_assets.core.arrays import Floats
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.metrics.backtests import Backtest, measure

HORIZON, DAYS = 5, 40
SERIES = pl.DataFrame({"store_id": ["N", "N", "N", "S", "S"], "sku_id": ["A", "B", "C", "A", "C"]})
CATEGORY = {"A": "food", "B": "food", "C": "toys"}


@pytest.fixture(scope="module")
def hierarchy() -> Hierarchy:
    products = pl.DataFrame(
        {"sku_id": list(CATEGORY), "depth": [1] * 3, "level_name": ["category"] * 3, "node_id": list(CATEGORY.values())}
    )
    return Hierarchy.build(SERIES, products, None)


@pytest.fixture(scope="module")
def backtest(hierarchy: Hierarchy) -> Backtest:
    random = np.random.default_rng(4)
    past = random.poisson(3.0, (5, DAYS)).astype(np.float64)
    past[1, :25] = 0.0
    sales, forecast, naive = (random.gamma(3.0, 1.0, (5, HORIZON)) for _ in range(3))
    return Backtest(
        cutoff=date(2025, 6, 1),
        hierarchy=hierarchy,
        past_sales=past,
        sales=sales,
        expected_sales=forecast,
        demand=sales,
        mean=forecast,
        quantiles=np.repeat(forecast[..., None], 13, axis=2),
        demand_class=np.array(["smooth"] * 5),
        others={"seasonal_naive": naive},
        naive_demand=naive,
        weight=np.array([5.0, 1.0, 2.0, 0.5, 3.0]),
    )


def codes(names: list[str]) -> np.ndarray:
    return np.unique(names, return_inverse=True)[1]


def level_codes() -> list[np.ndarray]:
    """[n] nodes of every pair of a product level and a store level."""
    stores, skus = SERIES["store_id"].to_list(), SERIES["sku_id"].to_list()
    products = (["total"] * 5, [CATEGORY[sku] for sku in skus], skus)
    return [
        codes([f"{p}/{s}" for p, s in zip(product, store, strict=True)])
        for product in products
        for store in (["total"] * 5, stores)
    ]


def value(frame: pl.DataFrame, kind: str, segment: str, metric: str) -> float:
    found = frame.filter(method="version", segment_kind=kind, segment=segment, metric=metric)
    return float(found.filter(pl.col("cutoff").is_null() | (pl.len() == 1))["value"].item(0))


def test_errors_by_hand() -> None:
    forecast, actual = np.array([[2.0, 4.0], [1.0, 9.0]]), np.array([[1.0, 5.0], [4.0, np.nan]])
    assert wape(forecast, actual) == pytest.approx(5 / 10)
    assert bias(forecast, actual) == pytest.approx(-3 / 10)


def test_wrmsse_by_hand() -> None:
    past = np.array([[0.0, 0.0, 1.0, 3.0, 1.0]])
    one = [np.zeros(1, dtype=np.int64)]
    # Two steps of two units since the first sale; an error of one unit on each day.
    assert wrmsse(np.full((1, 2), 2.0), np.ones((1, 2)), past, np.ones(1), one) == pytest.approx(0.5)


def test_the_projects_own_metrics_say_the_same(backtest: Backtest) -> None:
    """Two implementations that share nothing but NumPy."""
    made = measure([backtest])
    forecast, actual = backtest.expected_sales, backtest.sales
    assert value(made, "all", "all", "wape") == pytest.approx(wape(forecast, actual))
    assert value(made, "all", "all", "bias") == pytest.approx(bias(forecast, actual))
    theirs = made.filter(method="version", metric="wrmsse", segment_kind="all")["value"].unique().item()
    assert theirs == pytest.approx(wrmsse(forecast, actual, backtest.past_sales, backtest.weights, level_codes()))


def test_levels_are_compared_node_by_node(backtest: Backtest) -> None:
    published, came = sums(backtest.expected_sales, "forecast"), sums(backtest.sales, "actual")
    (food,) = level_biases(published, came)
    assert food.level == ("category", "total")
    assert food.nodes == 2
    assert food.bias == pytest.approx(bias(backtest.expected_sales, backtest.sales))
    made = measure([backtest])
    assert food.by_node == pytest.approx(value(made, "level", "category x total", "node_bias"))
    each = [bias(backtest.expected_sales[rows], backtest.sales[rows]) for rows in ([0, 1, 3], [2, 4])]
    assert food.largest == pytest.approx(max(each, key=abs))
    with pytest.raises(ValueError, match="misnamed"):
        level_biases(published.with_columns(product_node=pl.lit("elsewhere")).head(1), came)


def sums(values: Floats, name: str) -> pl.DataFrame:
    """Sums by category and day, as published aggregates are laid out."""
    rows = SERIES.with_columns(
        pl.Series(name, values.tolist()), pl.col("sku_id").replace(CATEGORY).alias("product_node")
    )
    long = rows.with_columns(target_date=pl.lit([date(2025, 6, day) for day in range(2, 2 + HORIZON)]))
    long = long.explode(name, "target_date")
    node = {"product_level": pl.lit("category"), "store_level": pl.lit("total"), "store_node": pl.lit("total")}
    return long.group_by("product_node", "target_date").agg(pl.col(name).sum()).with_columns(**node)


@pytest.mark.parametrize(
    ("reached", "verdict"), [(0.84, "aim reached"), (0.88, "reached"), (0.91, "MISSED"), (float("nan"), "MISSED")]
)
def test_a_goal_says_whether_it_is_reached(reached: float, verdict: str) -> None:
    goal = Goal("WAPE over that of theta", reached, 0.90, 0.85)
    assert goal.verdict == verdict
    assert any_missed([goal]) == (verdict == "MISSED")
    assert verdict in goals_table([goal], "Goals")


def test_a_share_is_judged_by_its_size_and_a_figure_without_bound_never() -> None:
    assert Goal("bias", -0.04, 0.03, 0.01, "share").is_missed
    assert not Goal("bias", -0.02, 0.03, 0.01, "share").is_missed
    assert not any_missed([Goal("told", 9.0)])
    assert "+3" not in goals_table([Goal("bias", -0.02, 0.03, 0.01, "share")], "")
