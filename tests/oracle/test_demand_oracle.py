"""Demand behind sales, by a plain loop over days that smooths everything anew in every round."""

import numpy as np
import pytest
from scipy.special import betainc, gammaincc

from forecast_assets.core.arrays import Floats
from forecast_assets.models.demand import HALF_LIFE_DAYS, observe
from tests.support.forecast_cases import panel_of

COUNT, DAYS, ROUNDS = 30, 60, 4


def smoothed(values: Floats) -> Floats:
    out, kept = np.zeros_like(values), 0.5 ** (1.0 / HALF_LIFE_DAYS)
    for day in range(values.shape[1]):
        out[:, day] = values[:, day] + (kept * out[:, day - 1] if day else 0.0)
    return out


def level(units: Floats, exposure: Floats) -> Floats:
    total = exposure.sum(axis=1)
    whole = np.where(total > 0, units.sum(axis=1) / np.where(total > 0, total, 1.0), 0.0)[:, None]
    return np.asarray((smoothed(units) + whole) / (smoothed(exposure) + 1.0))


def mean_above(bound: float, mean: float, dispersion: float, *, by_piece: bool) -> float:
    """The plain formulas; what is never reached has probability 1."""
    if by_piece:
        surplus = max(dispersion - 1.0, 1e-3)
        chance, size = surplus / (1.0 + surplus), max(mean / surplus, 1e-12)
        tail = betainc(bound, size, chance) if bound >= 1 else 1.0
        beyond = betainc(bound - 1, size + 1, chance) if bound > 1 else 1.0
    else:
        shape, scaled = mean / dispersion, bound / dispersion
        tail, beyond = gammaincc(max(shape, 1e-12), scaled), gammaincc(shape + 1, scaled)
    return float(max(mean * beyond / tail if tail > 1e-12 else bound + min(dispersion, mean), bound))


def expected_units(sales: Floats, is_bound: Floats, factors: Floats) -> Floats:
    inner = np.where(is_bound, 0.0, 1.0)
    found = level(np.where(is_bound, 0.0, sales), inner * factors)
    squares = (inner * (sales - found * factors) ** 2).sum(axis=1)
    means = (inner * found * factors).sum(axis=1)
    spread = np.maximum((squares + 5.0 * squares.sum() / means.sum()) / (means + 5.0), 0.05)
    units = sales.copy()
    for _ in range(ROUNDS):
        for row, day in zip(*np.nonzero(is_bound), strict=True):
            by_piece = bool((sales[row] == np.rint(sales[row])).all())
            typical = found[row, day] * factors[row, day]
            units[row, day] = mean_above(sales[row, day], typical, spread[row], by_piece=by_piece)
        found = level(units, factors)
    return units


@pytest.mark.parametrize("seed", range(3))
def test_bounds_are_replaced_as_a_plain_loop_replaces_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    sales = random.poisson(random.gamma(1.0, 3.0, (COUNT, 1)), (COUNT, DAYS)).astype(np.float64)
    # Some are sold by weight; some shelves are never empty.
    sales[::3] *= 1.01
    is_bound = (random.random((COUNT, DAYS)) < 0.2) & (np.arange(COUNT)[:, None] % 5 > 0)
    factors = random.uniform(0.5, 2.0, (COUNT, DAYS))
    found = observe(panel_of(sales, is_censored=is_bound), factors).units
    np.testing.assert_allclose(found, expected_units(sales, is_bound, factors), rtol=1e-9)
    assert (found[~is_bound] == sales[~is_bound]).all()
