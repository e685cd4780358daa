"""Metrics against hand calculations, utilsforecast, scikit-learn and plain loops."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from utilsforecast import losses

from forecast_assets.contracts import DEMAND_CLASSES, EVALUATION_REPORTS, QUANTILES
from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import InputError
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.metrics.backtests import Backtest, measure, report
from forecast_assets.metrics.descriptions import METRICS
from forecast_assets.metrics.levels import Nodes, Scales, node_rmsse
from forecast_assets.metrics.quantiles import WSPL_QUANTILES
from forecast_assets.metrics.risks import calibration_error, roc_auc
from forecast_assets.presentation.state import level_texts
from tests.support.forecast_cases import series_of, two_by_two

NAN = np.nan
CUTOFF = date(2025, 6, 30)

BY_HAND = Backtest(
    cutoff=CUTOFF,
    hierarchy=None,
    past_sales=np.array([[0.0, 2.0, 4.0, 4.0, 6.0], [NAN, NAN, 3.0, NAN, 5.0]]),
    sales=np.array([[4.0, 6.0], [NAN, 10.0]]),
    expected_sales=np.array([[5.0, 5.0], [9.0, 12.0]]),
    demand=np.array([[4.0, 8.0], [NAN, 12.0]]),
    mean=np.array([[5.0, 7.0], [9.0, 12.0]]),
    quantiles=np.array([[[5.0] * 13, [7.0] * 13], [[9.0] * 13, [12.0] * 13]]),
    demand_class=np.array(["smooth", "lumpy"]),
    others={"seasonal_naive": np.array([[8.0, 6.0], [9.0, 10.0]])},
    naive_demand=np.array([[4.0, 8.0], [9.0, 0.0]]),
)
# Roots of mean squared errors over mean squared one-day differences since the first sale.
FIRST_RMSSE, SECOND_RMSSE, TOTAL_RMSSE = np.sqrt(3 / 8), np.sqrt(4 / 17), np.sqrt(3 / 83)


def value(frame: pl.DataFrame, metric: str, segment: str = "all", method: str = "version", **chosen: Any) -> float:
    """Return the one value of a metric, over all cutoffs unless one is named."""
    cutoff = pl.col("cutoff").eq_missing(pl.lit(chosen.get("cutoff"), pl.Date))
    rows = frame.filter(cutoff, pl.col("metric") == metric, pl.col("segment") == segment, pl.col("method") == method)
    return rows["value"].item()  # type: ignore[no-any-return]


def metrics_of(frame: pl.DataFrame, segment_kind: str, method: str = "version") -> set[str]:
    return set(frame.filter(segment_kind=segment_kind, method=method)["metric"])


def drawn(seed: int, horizon: int = 7, cutoff: date = CUTOFF, unknown: float = 0.2) -> Backtest:
    """Five series of two stores, three SKUs and two categories, with late rows and one that starts late."""
    random = np.random.default_rng(seed)
    shape, hierarchy = (5, horizon), two_by_two()
    past = random.poisson(3.0, (5, 60)).astype(np.float64)
    past[1, :40] = NAN
    past[3, 50:52] = NAN
    sales = np.where(random.random(shape) < unknown, NAN, random.poisson(3.0, shape))
    sales[0, 0] = 2.0
    return Backtest(
        cutoff=cutoff,
        hierarchy=hierarchy,
        past_sales=past,
        sales=sales,
        expected_sales=random.gamma(3.0, 1.0, shape),
        demand=sales + random.poisson(0.2, shape),
        mean=random.gamma(3.0, 1.0, shape),
        quantiles=np.sort(random.gamma(3.0, 1.0, (*shape, len(QUANTILES))), axis=2),
        demand_class=random.choice(DEMAND_CLASSES[:2], 5),
        others={"seasonal_naive": random.gamma(3.0, 1.0, shape), "statistical": random.gamma(3.0, 1.0, shape)},
        naive_demand=random.gamma(3.0, 1.0, shape),
        unreconciled_sales=random.gamma(3.0, 1.0, shape),
        stockout_probability=random.random(shape),
        is_stockout=np.where(np.isnan(sales), NAN, (random.random(shape) < 0.3).astype(np.float64)),
    )


def long(values: Floats, name: str) -> pl.DataFrame:
    """Lay [n, d] out in the long form that utilsforecast reads, without what is unknown."""
    row, day = np.indices(values.shape)
    frame = pl.DataFrame({"unique_id": row.ravel(), "ds": day.ravel(), name: values.ravel()})
    return frame.filter(pl.col(name).is_not_nan())


def since_first_sale(past: Floats) -> pl.DataFrame:
    """Past sales as the scale of a series sees them: from its first sale, unknown days without sales."""
    filled = np.nan_to_num(past)
    begun = np.logical_or.accumulate(filled > 0, axis=1)
    return long(np.where(begun, filled, NAN), "y")


@pytest.fixture(scope="module")
def by_hand() -> pl.DataFrame:
    return measure([BY_HAND])


def test_errors_are_those_worked_out_by_hand(by_hand: pl.DataFrame) -> None:
    assert value(by_hand, "wape") == pytest.approx(4 / 20)
    assert value(by_hand, "wape", method="seasonal_naive") == pytest.approx(4 / 20)
    assert value(by_hand, "bias") == pytest.approx(2 / 20)
    assert value(by_hand, "demand_wape") == pytest.approx(2 / 24)
    assert value(by_hand, "demand_wape", method="seasonal_naive") == pytest.approx(12 / 24)
    assert value(by_hand, "wape", "smooth") == pytest.approx(2 / 10)
    assert value(by_hand, "bias", "smooth") == pytest.approx(0.0)
    assert value(by_hand, "bias", "2") == pytest.approx((-1 + 2) / 16)
    assert by_hand.filter(metric="wape", segment="1-7", method="version")["rows"].to_list() == [3, 3]


def test_scaled_errors_are_those_worked_out_by_hand(by_hand: pl.DataFrame) -> None:
    series = (16 * FIRST_RMSSE + 8 * SECOND_RMSSE) / 24
    assert value(by_hand, "rmsse") == pytest.approx((FIRST_RMSSE + SECOND_RMSSE) / 2)
    assert value(by_hand, "rmsse", "smooth") == pytest.approx(FIRST_RMSSE)
    assert value(by_hand, "wrmsse", "sku x store") == pytest.approx(series)
    assert value(by_hand, "rmsse", "total x total") == pytest.approx(TOTAL_RMSSE)
    assert value(by_hand, "wrmsse") == pytest.approx((series + TOTAL_RMSSE) / 2)
    priced = measure([replace(BY_HAND, weight=np.array([1.0, 0.0]))])
    assert value(priced, "wrmsse", "sku x store") == pytest.approx(FIRST_RMSSE)


def test_levels_are_judged_on_sums_of_the_known_series(by_hand: pl.DataFrame) -> None:
    assert value(by_hand, "wape", "total x total") == pytest.approx((1 + 1) / 20)
    assert value(by_hand, "bias", "total x total") == pytest.approx(2 / 20)
    assert value(by_hand, "node_bias", "sku x store") == pytest.approx((0 + 2) / 20)
    assert value(by_hand, "largest_level_bias") == pytest.approx(2 / 20)
    assert by_hand.filter(metric="wape", segment="total x total", method="version")["rows"].to_list() == [2, 2]


def test_a_point_forecast_has_its_absolute_error_as_pinball_loss(by_hand: pl.DataFrame) -> None:
    assert value(by_hand, "scaled_pinball_loss") == pytest.approx(2 / 24)
    assert value(by_hand, "scaled_pinball_loss", method="seasonal_naive") == pytest.approx(12 / 24)
    assert value(by_hand, "wspl") == pytest.approx(16 * (0.5 / (4 / 3)) / 24)
    assert value(by_hand, "wspl", method="seasonal_naive") == pytest.approx(8 * (6 / 4) / 24)


def test_coverage_counts_the_days_between_two_quantiles() -> None:
    wide = np.broadcast_to(np.linspace(-0.5, 12.5, 13), (2, 2, 13))
    found = measure([replace(BY_HAND, quantiles=wide)])
    assert value(found, "coverage_99") == 1.0
    assert value(found, "coverage_80") == pytest.approx(2 / 3)


def test_segments_without_rows_are_left_out_and_without_sales_have_no_value() -> None:
    unsold = replace(BY_HAND, sales=np.zeros((2, 2)), demand_class=np.array(["dead", "dead"]))
    found = measure([unsold])
    assert "smooth" not in found["segment"].to_list()
    assert value(found, "wape", "dead") is None
    assert value(found, "bias", "total x total") is None
    assert value(found, "rmsse", "total x total") > 0


def test_what_is_not_known_at_all_is_not_measured() -> None:
    nothing = np.full((2, 2), NAN)
    found = measure([replace(BY_HAND, sales=nothing, stockout_probability=nothing, is_stockout=nothing)])
    assert metrics_of(found, "all") == {
        "demand_wape", "demand_bias", "scaled_pinball_loss", "wspl",
        "coverage_50", "coverage_80", "coverage_95", "coverage_99",
    }  # fmt: skip
    assert metrics_of(found, "level") == set()


def test_days_that_a_method_did_not_forecast_do_not_count_for_it() -> None:
    few = BY_HAND.others["seasonal_naive"].copy()
    few[0, 0] = NAN
    found = measure([replace(BY_HAND, others={"seasonal_naive": few})])
    assert value(found, "wape", method="seasonal_naive") == pytest.approx(0 / 16)
    assert value(found, "wape") == pytest.approx(4 / 20)


@pytest.mark.parametrize("seed", range(3))
def test_errors_are_those_of_utilsforecast(seed: int) -> None:
    each = drawn(seed)
    rows = long(each.sales, "y").join(long(each.expected_sales, "version"), on=["unique_id", "ds"])
    found, total = measure([each]), rows["y"].sum()
    whole = rows.with_columns(unique_id=pl.lit(0))
    assert value(found, "wape") == pytest.approx(losses.nd(whole, ["version"])["version"].item())
    bias = losses.bias(whole, ["version"])["version"].item() * rows.height / total
    assert value(found, "bias") == pytest.approx(bias)
    scaled = losses.rmsse(rows, ["version"], seasonality=1, train_df=since_first_sale(each.past_sales))
    assert value(found, "rmsse") == pytest.approx(scaled["version"].mean())
    weights = np.nan_to_num(each.past_sales[:, -28:]).sum(axis=1)
    by_series = scaled.sort("unique_id")["version"].to_numpy()
    assert value(found, "wrmsse", "sku x store") == pytest.approx(np.average(by_series, weights=weights))


@pytest.mark.parametrize("seed", range(3))
def test_pinball_losses_are_those_of_utilsforecast(seed: int) -> None:
    each = drawn(seed)
    keys = ["unique_id", "ds"]
    rows, names = long(each.demand, "y"), [f"q{level}" for level in QUANTILES]
    for at, name in enumerate(names):
        rows = rows.join(long(each.quantiles[:, :, at], name), on=keys)
    whole, total = rows.with_columns(unique_id=pl.lit(0)), rows["y"].sum()
    mean = losses.mqloss(whole, {"version": names}, np.array(QUANTILES))["version"].item()
    found = measure([each])
    assert value(found, "scaled_pinball_loss") == pytest.approx(2 * mean * rows.height / total)
    asked = [f"q{level}" for level in WSPL_QUANTILES]
    scaled = losses.scaled_mqloss(
        rows, {"version": asked}, np.array(WSPL_QUANTILES), seasonality=1, train_df=since_first_sale(each.past_sales)
    ).sort("unique_id")["version"]
    weights = np.nan_to_num(each.past_sales[:, -28:]).sum(axis=1)
    assert value(found, "wspl") == pytest.approx(np.average(scaled.to_numpy(), weights=weights))


def test_wrmsse_is_the_mean_of_every_level_added_up_by_a_plain_loop() -> None:
    each = drawn(5, unknown=0.0)
    names = {(row["store_id"], row["sku_id"]): at for at, row in enumerate(two_by_two().series.iter_rows(named=True))}
    category = {"A": "x", "B": "x", "C": "y"}
    weights = np.nan_to_num(each.past_sales[:, -28:]).sum(axis=1)
    levels = []
    for of_sku in (lambda _: "all", lambda sku: category[sku], lambda sku: sku):
        for of_store in (lambda _: "all", lambda store: store):
            nodes: dict[tuple[str, str], list[int]] = {}
            for (store, sku), at in names.items():
                nodes.setdefault((of_sku(sku), of_store(store)), []).append(at)
            errors = []
            for members in nodes.values():
                past = np.nan_to_num(each.past_sales[members]).sum(axis=0)
                past = past[np.flatnonzero(past > 0)[0] :]
                missed = each.sales[members].sum(axis=0) - each.expected_sales[members].sum(axis=0)
                scale = np.mean(np.diff(past) ** 2)
                errors.append(weights[members].sum() * np.sqrt(np.mean(missed**2) / scale))
            levels.append(sum(errors) / weights.sum())
    assert len(levels) == 6
    assert value(measure([each]), "wrmsse") == pytest.approx(np.mean(levels))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_the_bias_of_every_level_is_that_of_the_rows_and_nodes_hide_less_of_it(seed: int) -> None:
    found = measure([drawn(seed)])
    for method in ("version", "seasonal_naive", "statistical"):
        rows = found.filter(pl.col("cutoff").is_null(), method=method, segment_kind="level")
        overall = value(found, "bias", method=method)
        assert rows.filter(metric="bias")["value"].to_list() == pytest.approx([overall] * 6)
        assert value(found, "largest_level_bias", method=method) == pytest.approx(abs(overall))
        by_node = dict(rows.filter(metric="node_bias").select("segment", "value").iter_rows())
        assert all(size >= abs(overall) - 1e-9 for size in by_node.values())
        assert by_node["total x total"] == pytest.approx(abs(overall))
        assert by_node["sku x store"] >= by_node["sku x total"] - 1e-9 >= by_node["category x total"] - 2e-9


def test_bias_before_reconciliation_is_measured_where_it_is_known() -> None:
    each = drawn(1)
    known = ~np.isnan(each.sales)
    assert each.unreconciled_sales is not None
    expected = (each.unreconciled_sales - each.sales)[known].sum() / each.sales[known].sum()
    assert value(measure([each]), "bias_before_reconciliation", "category x total") == pytest.approx(expected)
    without = measure([replace(each, unreconciled_sales=None)])
    assert not without["metric"].str.ends_with("_before_reconciliation").any()


def test_what_nodes_were_forecast_by_themselves_is_judged_before_reconciliation() -> None:
    """Twice what was reconciled in the total, and nothing said of other levels."""
    each = drawn(3)
    assert each.hierarchy is not None
    nodes = np.full((each.hierarchy.nodes.height, each.sales.shape[1]), NAN)
    nodes[0] = 2 * each.mean.sum(axis=0)
    found = measure([replace(each, node_demand=nodes)])
    # Of the series whose sales are known, so that it is twice what they were expected to sell.
    known = ~np.isnan(each.sales)
    sold, expected = each.sales[known].sum(), each.expected_sales[known].sum()
    assert value(found, "bias_of_node_forecasts", "total x total") == pytest.approx((2 * expected - sold) / sold)
    assert value(found, "node_bias_of_node_forecasts", "total x total") == pytest.approx(
        abs(2 * expected - sold) / sold
    )
    assert found.filter(metric="bias_of_node_forecasts")["segment"].unique().to_list() == ["total x total"]
    assert not measure([each])["metric"].str.contains("of_node_forecasts").any()


@pytest.mark.parametrize("wrong", [np.zeros((1, 7)), np.zeros((0, 7))])
def test_forecasts_of_other_nodes_are_refused(wrong: Floats) -> None:
    with pytest.raises(InputError, match="node_demand"):
        measure([replace(drawn(3), node_demand=wrong)])


def test_every_metric_has_words_and_the_document_has_the_same() -> None:
    node_demand = np.zeros((two_by_two().nodes.height, 7))
    cutoffs = (CUTOFF, CUTOFF + timedelta(days=1))
    found = measure([replace(drawn(seed, cutoff=day), node_demand=node_demand) for seed, day in enumerate(cutoffs)])
    assert set(found["metric"]) == set(METRICS)
    told = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    for metric in METRICS.values():
        row = f"| `{metric.name}` | {metric.unit} | {metric.best} | {metric.words} | {metric.formula} |"
        assert row.replace("  ", " ") in told.replace("  ", " "), row


def test_a_scale_begins_with_the_first_sale_across_slices_of_days() -> None:
    random = np.random.default_rng(7)
    past = random.poisson(1.0, (3, 200)).astype(np.float64)
    past[0, :130], past[1, :63], past[2] = 0.0, NAN, 0.0
    found = Scales.of(past, Nodes.of(None, 3))
    for at, first in ((1, 130), (2, 63)):
        days = past[at - 1, first + int(np.flatnonzero(past[at - 1, first:] > 0)[0]) :]
        assert found.squared[at] == pytest.approx(np.mean(np.diff(days) ** 2))
        assert found.absolute[at] == pytest.approx(np.mean(np.abs(np.diff(days))))
    assert np.isnan(found.squared[3])


def test_a_node_that_never_changed_cannot_be_scaled_and_does_not_count() -> None:
    past = np.array([[2.0, 2.0, 2.0], [1.0, 3.0, 1.0]])
    found = measure([replace(BY_HAND, past_sales=past)])
    assert value(found, "rmsse") == pytest.approx(np.sqrt(4 / 4))
    nodes = Nodes.of(None, 2)
    assert np.isnan(node_rmsse(nodes, Scales.of(past, nodes), BY_HAND.sales, BY_HAND.expected_sales)[1])


def test_probabilities_are_judged_beside_climatology() -> None:
    said = np.array([[0.2, 0.9], [NAN, 0.1]])
    came = np.array([[0.0, 1.0], [1.0, NAN]])
    found = measure([replace(BY_HAND, stockout_probability=said, is_stockout=came)])
    assert value(found, "brier") == pytest.approx((0.04 + 0.01) / 2)
    assert value(found, "brier", method="climatology") == pytest.approx(0.25)
    assert value(found, "roc_auc") == 1.0
    assert value(found, "calibration_error") == pytest.approx((0.2 + 0.1) / 2)
    beside = report([replace(BY_HAND, stockout_probability=said, is_stockout=came)])
    row = beside.filter(metric="brier", segment="all").row(0, named=True)
    assert (row["value"], row["baseline_value"], row["rows"]) == (pytest.approx(0.025), pytest.approx(0.25), 2)


def test_risk_scores_are_those_of_scikit_learn_and_of_a_plain_loop() -> None:
    reference = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(4)
    said = np.round(random.random(500), 2)
    came = (random.random(500) < said).astype(np.float64)
    assert roc_auc(said, came) == pytest.approx(reference.roc_auc_score(came, said))
    edges = np.arange(1, 10) / 10
    bins = np.digitize(said, edges)
    gaps = [abs(said[bins == at].mean() - came[bins == at].mean()) * (bins == at).mean() for at in np.unique(bins)]
    assert calibration_error(said, came) == pytest.approx(sum(gaps))
    each = drawn(2)
    assert each.stockout_probability is not None
    assert each.is_stockout is not None
    known = ~np.isnan(each.is_stockout)
    expected = reference.brier_score_loss(each.is_stockout[known], each.stockout_probability[known])
    assert value(measure([each]), "brier") == pytest.approx(expected)


def test_days_that_all_came_the_same_cannot_be_told_apart() -> None:
    assert roc_auc(np.array([0.1, 0.9]), np.ones(2)) is None
    assert calibration_error(np.zeros(0), np.zeros(0)) is None
    assert calibration_error(np.ones(2), np.ones(2)) == 0.0


def test_cutoffs_are_measured_by_themselves_and_pooled() -> None:
    first, second = drawn(1), drawn(2, cutoff=date(2025, 7, 14))
    found = measure([second, first])
    assert found["cutoff"].unique().sort().to_list() == [None, first.cutoff, second.cutoff]
    alone = measure([first])
    assert value(found, "wape", cutoff=first.cutoff) == value(alone, "wape")
    assert value(alone, "wape", cutoff=first.cutoff) == value(alone, "wape")
    sold = [np.nansum(each.sales) for each in (first, second)]
    apart = [value(found, "wape", cutoff=each.cutoff) for each in (first, second)]
    assert value(found, "wape") == pytest.approx(np.average(apart, weights=sold))
    apart = [value(found, "wrmsse", cutoff=each.cutoff) for each in (first, second)]
    assert value(found, "wrmsse") == pytest.approx(np.mean(apart))
    rows = found.filter(metric="roc_auc")
    assert (
        rows.filter(pl.col("cutoff").is_null())["rows"].item() == rows.filter(~pl.col("cutoff").is_null())["rows"].sum()
    )
    assert found.equals(measure([first, second]))


def test_forecasts_of_the_same_days_by_consecutive_cutoffs_are_compared() -> None:
    first = drawn(1, horizon=3)
    later = drawn(2, horizon=3, cutoff=date(2025, 7, 2))
    fewer = later.hierarchy.series[[0, 2, 3, 4]] if later.hierarchy else pl.DataFrame()
    kept = Hierarchy.build(fewer, None, None)
    matrices = {name: getattr(later, name)[[0, 2, 3, 4]] for name, kind in Backtest.__annotations__.items()
                if isinstance(getattr(later, name), np.ndarray)}  # fmt: skip
    others = {name: matrix[[0, 2, 3, 4]] for name, matrix in later.others.items()}
    found = measure([first, replace(later, hierarchy=kept, others=others, **matrices)])
    new = later.expected_sales[[0, 2, 3, 4], 0]
    change = np.abs(new - first.expected_sales[[0, 2, 3, 4], 2]).sum()
    assert value(found, "stability") == pytest.approx(change / new.sum())
    assert value(found, "stability", cutoff=later.cutoff) == value(found, "stability")
    assert found.filter(metric="stability", method="version")["rows"].to_list() == [4, 4]


def test_there_is_no_stability_without_overlap_or_names_of_series() -> None:
    apart = [drawn(1, horizon=3), drawn(2, horizon=3, cutoff=date(2025, 7, 3))]
    assert "stability" not in measure(apart)["metric"]
    unnamed = replace(apart[1], cutoff=date(2025, 7, 1), hierarchy=None)
    assert "stability" not in measure([apart[0], unnamed])["metric"]


def test_nodes_of_the_widest_levels_are_segments() -> None:
    each = drawn(3)
    found = measure([each])
    assert set(found.filter(segment_kind="product_node")["segment"]) == {"x", "y"}
    assert set(found.filter(segment_kind="store_node")["segment"]) == {"S1", "S2"}
    one = ~np.isnan(each.sales[:3])
    error = np.abs(each.expected_sales - each.sales)[:3][one].sum()
    assert value(found, "wape", "S1") == pytest.approx(error / each.sales[:3][one].sum())


def test_levels_with_too_many_nodes_and_single_skus_are_no_segments() -> None:
    series = series_of(202, stores=101)
    shape = (202, 2)
    ones = np.ones(shape)
    wide = Backtest(
        CUTOFF, Hierarchy.build(series, None, None), np.ones((202, 9)), ones, ones, ones, ones,
        np.ones((*shape, 13)), np.full(202, "smooth"), {"seasonal_naive": ones}, ones,
    )  # fmt: skip
    assert set(measure([wide])["segment_kind"]) == {"all", "demand_class", "step", "day_ahead", "level"}


def test_a_report_sets_the_version_beside_seasonal_naive() -> None:
    backtests = [drawn(1), drawn(2, cutoff=date(2025, 7, 3))]
    found, measured = EVALUATION_REPORTS.validate(report(backtests)), measure(backtests)
    for metric in ("wape", "wrmsse", "wspl", "scaled_pinball_loss", "stability", "largest_level_bias"):
        row = found.filter(segment_kind="all", metric=metric).row(0, named=True)
        assert row["value"] == value(measured, metric)
        assert row["baseline_value"] == value(measured, metric, method="seasonal_naive")
    ours = measured.filter(pl.col("cutoff").is_null(), method="version")
    assert found.select("segment_kind", "segment", "metric", "value", "rows").equals(
        ours.select("segment_kind", "segment", "metric", "value", "rows")
    )
    assert (
        found.filter(metric="coverage_80")["baseline_value"].null_count() == found.filter(metric="coverage_80").height
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mean": np.zeros((2, 3))}, r"mean is \(2, 3\), sales are \(2, 2\)"),
        ({"others": {}}, "others lack seasonal_naive"),
        ({"others": {"seasonal_naive": np.zeros((1, 2))}}, r"seasonal_naive is \(1, 2\)"),
        ({"quantiles": np.zeros((2, 2, 9))}, r"quantiles are \(2, 2, 9\)"),
        ({"hierarchy": two_by_two()}, "hierarchy has 5 series, not 2"),
        ({"weight": np.array([1.0, NAN])}, "weight has NaN"),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure([replace(BY_HAND, **wrong)])


def test_no_backtest_and_one_twice_are_refused() -> None:
    with pytest.raises(InputError, match="no backtest"):
        report([])
    with pytest.raises(InputError, match="come twice"):
        measure([BY_HAND, BY_HAND])


def test_a_version_shows_its_levels_and_an_old_report_has_none() -> None:
    made = report([BY_HAND])
    (text,) = level_texts(made)
    line = next(line for line in text.splitlines() if line.startswith("total x total"))
    missed = np.sqrt(16 / 2 / (83 / 3))
    assert line.split()[3:] == ["10.0%", "10.0%", "10.0%", f"{TOTAL_RMSSE:.3f}", f"{missed:.3f}"]
    unscaled = report([replace(BY_HAND, past_sales=np.zeros((2, 5)))])
    assert "-" in level_texts(unscaled)[0].split()
    assert level_texts(made.filter(segment_kind="all")) == []
