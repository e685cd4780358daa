"""What is a shift of a group in a store, and what only moves its sum."""

import numpy as np
import pytest

from forecast_assets.core.arrays import Floats
from forecast_assets.models.statistical.shifts import shift_factors
from tests.support.forecast_cases import one_group, panel_of, series_of

DAYS, SERIES = 200, 12


def sales(level: float = 6.0, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).poisson(level, (SERIES, DAYS)).astype(float)


def factors(units: Floats) -> Floats:
    panel = panel_of(units, series=series_of(SERIES, stores=1))
    return shift_factors(panel, one_group(SERIES), units, np.ones_like(units))


@pytest.mark.parametrize("size", [0.6, 1.5])
@pytest.mark.parametrize("since", [7, 14, 30])
def test_a_shift_of_all_is_found_with_its_day_and_about_its_size(size: float, since: int) -> None:
    units = sales()
    units[:, -since:] = np.random.default_rng(2).poisson(6.0 * size, (SERIES, since))
    found = factors(units)
    changed = np.flatnonzero(np.diff(found[0]))
    assert len(changed) == 1
    assert abs(DAYS - 1 - changed[0] - since) <= 2
    assert found[0, 0] == pytest.approx(1.0 / size, rel=0.12)
    assert (found == found[0]).all()


def test_levels_that_stay_do_not_shift() -> None:
    found = [factors(sales(seed=seed)) for seed in range(40)]
    assert sum((each != 1.0).any() for each in found) <= 1


@pytest.mark.parametrize("since", [7, 14, 30])
def test_an_article_that_ends_or_is_launched_is_no_shift_of_the_others(since: int) -> None:
    """It sells a third of the group."""
    ended, launched = sales(), sales()
    ended[0], launched[0] = 6.0 * ended[0], 6.0 * launched[0]
    ended[0, -since:], launched[0, :-since] = 0.0, 0.0
    assert (factors(ended) == 1.0).all()
    assert (factors(launched) == 1.0).all()


def test_a_level_that_wanders_by_half_a_percent_a_day_hardly_ever_shifts() -> None:
    random, shifts = np.random.default_rng(3), 0
    for _ in range(40):
        wander = np.exp(np.cumsum(random.normal(0.0, 0.005, DAYS)))
        shifts += bool((factors(random.poisson(6.0 * wander, (SERIES, DAYS)).astype(float)) != 1.0).any())
    assert shifts <= 2


def test_nothing_sold_and_short_records_show_none() -> None:
    assert (factors(np.zeros((SERIES, DAYS))) == 1.0).all()
    assert (factors(sales()[:, :30]) == 1.0).all()
