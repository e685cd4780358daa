"""What gates let pass, by hand; by many made-up shops: tests/torture/test_gates.py."""

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import EVALUATION_REPORTS
from forecast_assets.metrics.backtests import report
from forecast_assets.models.gates import PROMOTION_GATES, SERVING_GATES, Gate, backtest_gates, judged
from resources.ledger.entries.register import CHANNEL_GATES
from tests.metrics.test_backtests import BY_HAND
from tests.support.gate_cases import backtests_of, overall, shaken_sales, slow_sales

NOT_WORSE, TOTAL = (gate.name for gate in SERVING_GATES)
BEATS, BIAS, COVERAGE = (gate.name for gate in PROMOTION_GATES)


def made_up(wape: float, naive: float, bias: float, coverage: float, margin: float | None) -> pl.DataFrame:
    values = {"wape": (wape, naive), "bias": (bias, 0.0), "coverage_80": (coverage, None)}
    rows = [("all", "all", name, *both, 100, margin) for name, both in values.items()]
    return pl.DataFrame(rows, schema=EVALUATION_REPORTS.schema, orient="row")


@pytest.mark.parametrize(
    ("figures", "margin", "failed"),
    [
        ((0.5, 0.6, 0.05, 0.8), None, set()),
        ((0.6, 0.6, 0.10, 0.9), None, {BEATS}),
        ((0.7, 0.6, 0.11, 0.91), None, {NOT_WORSE, BEATS, BIAS, COVERAGE}),
        ((0.7, 0.6, 0.11, 0.91), 0.02, {NOT_WORSE, BEATS}),
        ((0.61, 0.6, -0.13, 0.69), 0.02, {BEATS, BIAS}),
        ((0.5, 0.6, -0.13, 0.67), 0.02, {BIAS, COVERAGE}),
        ((0.5, 0.6, -0.51, 0.8), 0.005, {TOTAL, BIAS}),
        ((0.5, 0.6, -0.51, 0.8), 0.02, {BIAS}),
        ((0.5, 0.6, 1.03, 0.8), 0.02, {TOTAL, BIAS}),
    ],
)
def test_a_gate_fails_where_a_figure_is_beyond_its_limit_by_more_than_its_margin(
    figures: tuple[float, float, float, float], margin: float | None, failed: set[str]
) -> None:
    gates = backtest_gates(made_up(*figures, margin))
    assert {name for name, passed in gates.items() if not passed} == failed


def test_the_ledger_knows_what_only_a_channel_asks_for() -> None:
    assert {gate.name for gate in PROMOTION_GATES} <= CHANNEL_GATES
    assert not {gate.name for gate in SERVING_GATES} & CHANNEL_GATES


def test_a_report_that_measured_no_margin_allows_for_none() -> None:
    """Reports that were staged by a release before margins lack the column."""
    old = made_up(0.5, 0.6, 0.11, 0.8, 0.02).drop("gate_margin")
    assert not backtest_gates(old)[BIAS]
    assert all(result.margin == 0.0 for result in judged(old))


def test_gates_need_nothing_but_the_figures_of_all_rows() -> None:
    whole = report([BY_HAND])
    few = whole.filter(pl.col("metric").is_in(["wape", "bias", "coverage_80"]), pl.col("segment_kind") == "all")
    assert backtest_gates(few) == backtest_gates(whole)


def test_backtests_that_saw_no_sales_pass_nothing() -> None:
    unsold = backtests_of(np.zeros((2, 84)), 1.0)
    assert backtest_gates(report(unsold)) == {"backtests_saw_sales": False}
    unknown = backtests_of(np.full((2, 84), np.nan), 1.0, quantiles=np.zeros(13))
    assert backtest_gates(report(unknown)) == {"backtests_saw_sales": False}


def test_a_figure_that_was_not_measured_passes_no_gate() -> None:
    gate = Gate("any", "anything", lambda overall: overall.value_of("roc_auc"), "roc_auc", lowest=0.0)
    (result,) = judged(made_up(0.5, 0.6, 0.0, 0.8, 9.0), [gate])
    assert not result.is_met


def test_nothing_at_all_beats_seasonal_naive_of_slow_movers_and_is_no_sound_total() -> None:
    gates = backtest_gates(report(backtests_of(slow_sales(np.random.default_rng(1), 400), 0.0)))
    assert gates[BEATS]
    assert not gates[TOTAL]


def test_one_store_that_closes_does_not_fail_all() -> None:
    """A twelfth of the forecast meets no sale; that is one store, and might not have been."""
    sales = shaken_sales(np.random.default_rng(3), 120, 5.0, week=0.02)
    stores = np.sort(np.arange(120) % 12)
    sales[stores == 0, 28:] = 0.0
    made = report(backtests_of(sales, 5.0 * 1.03, stores=12))
    assert overall(made, "bias")["value"] > 0.1
    assert backtest_gates(made)[BIAS]
