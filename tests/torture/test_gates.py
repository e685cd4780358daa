"""Gates on many made-up shops whose true forecast is known: it is let pass, and a biased one is not."""

from collections.abc import Callable

import numpy as np
import pytest

from forecast_assets.core.arrays import Floats
from forecast_assets.metrics.backtests import report
from forecast_assets.models.gates import backtest_gates
from tests.models.test_gates import BIAS, NOT_WORSE, TOTAL
from tests.support.gate_cases import SLOW_MEAN, backtests_of, overall, shaken_sales, slow_sales
from tests.torture.sizes import size

Sales = Callable[[np.random.Generator], Floats]


def failures(gate: str, sales: Sales, forecast: float, shops: int) -> float:
    """Share of shops whose version fails a gate."""
    made = (report(backtests_of(sales(np.random.default_rng(seed)), forecast)) for seed in range(shops))
    return float(np.mean([not backtest_gates(each)[gate] for each in made]))


def test_the_true_forecast_of_slow_movers_is_let_pass() -> None:
    """A shop in four has a bias beyond 10% by chance alone."""
    shops = size(40, 400)
    assert failures(NOT_WORSE, slow_sales, SLOW_MEAN, shops) <= 0.05
    assert failures(TOTAL, slow_sales, SLOW_MEAN, shops) == 0.0
    assert failures(BIAS, slow_sales, SLOW_MEAN, shops) <= 0.05
    biases = [
        overall(report(backtests_of(slow_sales(np.random.default_rng(seed)), SLOW_MEAN)), "bias")["value"]
        for seed in range(shops)
    ]
    assert np.mean(np.abs(biases) > 0.1) > 0.1


def test_a_bias_at_the_limit_fails_one_time_in_twenty_though_errors_depend() -> None:
    """Series keep deviations of their own, and weeks have one for all series."""
    shops = size(40, 400)
    assert failures(BIAS, lambda random: shaken_sales(random, 60, 5.0), 1.1 * 5.0, shops) <= 0.1


@pytest.mark.parametrize(("off", "gate"), [(1.3, BIAS), (0.7, BIAS), (0.3, TOTAL), (2.6, TOTAL), (2.6, NOT_WORSE)])
def test_a_bias_on_much_data_fails(off: float, gate: str) -> None:
    shops = size(6, 60)
    assert failures(gate, lambda random: shaken_sales(random, 200, 5.0, week=0.05), off * 5.0, shops) == 1.0


def test_slow_movers_in_great_number_hide_no_bias() -> None:
    shops = size(3, 30)
    assert failures(BIAS, lambda random: slow_sales(random, 3000), 1.3 * SLOW_MEAN, shops) == 1.0
    assert failures(TOTAL, lambda random: slow_sales(random, 3000), 0.3 * SLOW_MEAN, shops) == 1.0
