import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.core.arrays import Floats
from forecast_assets.models.statistical.slopes import ELASTICITY, UPLIFT, Slopes, fit_slopes

COUNT, DAYS = 40, 105


def law(seed: int = 0, level: float = 20.0) -> tuple[Floats, Floats]:
    """[n, T] units of an elasticity of -2 and an uplift of 0.3, and [2, n, T] covariates."""
    random = np.random.default_rng(seed)
    log_price = np.where(random.random((COUNT, DAYS)) < 0.2, np.log(0.8), 0.0)
    promotion = (random.random((COUNT, DAYS)) < 0.1).astype(np.float64)
    units = random.poisson(level * np.exp(-2.0 * log_price + 0.3 * promotion)).astype(np.float64)
    return units, np.stack([log_price, promotion])


def fitted(units: Floats, covariates: Floats, exposure: Floats | None = None, groups: int = 2) -> Slopes:
    sees = np.ones_like(units) if exposure is None else exposure
    return fit_slopes(units, sees, covariates, np.arange(len(units)) % groups, Slopes.none(groups))


def test_price_and_promotion_are_told_apart() -> None:
    found = fitted(*law())
    assert found.pooled == pytest.approx([-2.0, 0.3], abs=0.05)
    assert found.groups == pytest.approx(np.array([[-2.0, 0.3]] * 2), abs=0.1)


def test_weeks_without_a_change_say_nothing() -> None:
    """Half of the series at one price and never on promotion: as if they were not there."""
    units, covariates = law()
    covariates[:, 1::2] = 0.0
    alone = fit_slopes(units[::2], np.ones_like(units[::2]), covariates[:, ::2], np.zeros(20, np.intp), Slopes.none(1))
    both = fit_slopes(units, np.ones_like(units), covariates, np.zeros(COUNT, np.intp), Slopes.none(1))
    assert both.groups.tobytes() == alone.groups.tobytes()


def test_prices_of_days_that_nobody_knows_say_nothing() -> None:
    units, covariates = law()
    unknown = np.zeros_like(units, dtype=np.bool_)
    unknown[:, 50:60] = True
    other = np.where(unknown, 1.0, covariates)
    sees = np.where(unknown, 0.0, 1.0)
    known = np.where(unknown, 0.0, units)
    assert fitted(known, covariates, sees).groups.tobytes() == fitted(known, other, sees).groups.tobytes()


def test_levels_of_weeks_and_series_are_no_effect() -> None:
    """Prices fall in weeks in which more is sold for other reasons: only changes within three weeks count."""
    units, covariates = law()
    busy = np.where(np.arange(DAYS) // 21 % 2 == 0, 1.0, 3.0) * (1 + np.arange(COUNT))[:, None] / 10
    units = np.random.default_rng(1).poisson(20 * busy * np.exp(-2.0 * covariates[0] + 0.3 * covariates[1])) + 0.0
    assert fitted(units, covariates).pooled == pytest.approx([-2.0, 0.3], abs=0.05)


def test_without_a_change_there_is_no_slope() -> None:
    units, covariates = law()
    found = fitted(units, np.zeros_like(covariates))
    assert not found.groups.any()
    assert not found.pooled.any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), level=st.sampled_from([0.0, 0.05, 5.0, 1e4]), days=st.integers(1, 50))
def test_slopes_are_within_what_is_believed(seed: int, level: float, days: int) -> None:
    units, covariates = law(seed, level)
    found = fitted(units[:, :days], covariates[:, :, :days], groups=5)
    for slopes in (found.groups, found.pooled[None]):
        assert np.isfinite(slopes).all()
        assert ((ELASTICITY[0] <= slopes[:, 0]) & (slopes[:, 0] <= ELASTICITY[1])).all()
        assert ((UPLIFT[0] <= slopes[:, 1]) & (slopes[:, 1] <= UPLIFT[1])).all()
