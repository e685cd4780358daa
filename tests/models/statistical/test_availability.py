"""The exponent is that with which sales were made, 1 where nobody knows better, and one cutoff is one observation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.core.arrays import Floats
from forecast_assets.features.panel import Panel
from forecast_assets.models.statistical.availability import POWERS, learn_power
from tests.support.forecast_cases import one_group, panel_of

COUNT, DAYS, HORIZON = 60, 98, 14
STARTS = (14, 28, 42)


def shop(power: float, *, units: float = 8.0, seed: int = 1, partly: float = 0.4) -> Panel:
    """Shelves that are empty for part of some days, whatever is asked for; such days sell a power of the rest."""
    random = np.random.default_rng(seed)
    share = np.where(random.random((COUNT, DAYS)) < partly, random.uniform(0.2, 0.9, (COUNT, DAYS)), 0.0)
    levels = units * random.uniform(0.5, 2.0, (COUNT, 1))
    sales = random.poisson(levels * (1.0 - share) ** power).astype(np.float64)
    return with_hours(sales, share)


def with_hours(sales: Floats, share: Floats) -> Panel:
    return panel_of(sales, horizon=HORIZON, out_of_stock_share=share, missed_share=share, is_censored=share > 0)


def learned(panel: Panel, starts: tuple[int, ...] = STARTS) -> float:
    return learn_power(panel, one_group(COUNT), starts).power


@pytest.mark.parametrize("power", POWERS)
def test_power_that_made_the_sales_is_found_at_every_cutoff(power: float) -> None:
    assert learned(shop(power)) == pytest.approx((1.0 + len(STARTS) * power) / (1.0 + len(STARTS)))


def test_slow_movers_tell_it_too() -> None:
    assert learned(shop(1.0, units=0.7)) > 0.85
    assert learned(shop(0.5, units=0.7)) < 0.75


def test_fewer_cutoffs_say_less() -> None:
    panel = shop(0.5)
    assert [learned(panel, STARTS[:count]) for count in (1, 2, 3)] == pytest.approx([0.75, 2 / 3, 0.625])


def test_without_hours_nothing_is_compared() -> None:
    panel = shop(0.5)
    unknown = np.full((COUNT, DAYS), np.nan)
    never, always = np.zeros((COUNT, DAYS)), (panel.missed_share > 0).astype(np.float64)
    for share in (unknown, never, always):
        found = learn_power(replace(panel, missed_share=share), one_group(COUNT), STARTS)
        assert (found.power, found.losses, found.comparisons) == (1.0, {}, {})


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000))
def test_a_handful_of_days_is_no_evidence(seed: int) -> None:
    assert learned(shop(1.0, partly=0.002, seed=seed)) >= 0.8


def test_days_that_nobody_saw_do_not_count() -> None:
    panel = shop(0.5)
    hidden = panel.missed_share > 0.6
    told = learn_power(replace(panel, sales=np.where(hidden, np.nan, panel.sales)), one_group(COUNT), STARTS)
    garbled = np.where(hidden, 0.99, panel.missed_share)
    unseen = replace(panel, sales=np.where(hidden, np.nan, panel.sales), missed_share=garbled)
    assert learn_power(unseen, one_group(COUNT), STARTS) == told


def test_the_unit_of_measure_does_not_matter() -> None:
    panel = shop(0.5, units=0.7)
    plain, scaled = (
        learn_power(replace(panel, sales=panel.sales * unit), one_group(COUNT), STARTS) for unit in (1.0, 1024.0)
    )
    assert scaled.power == plain.power
    assert scaled.losses == pytest.approx({name: 1024.0 * loss for name, loss in plain.losses.items()}, rel=1e-3)
