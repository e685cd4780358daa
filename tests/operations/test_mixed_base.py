"""Base forecasts of a mix of inputs as whole numbers: exact, however large, and the same as their frame says."""

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import COMPONENTS, QUANTILE_COLUMNS, RECONCILED_FORECASTS
from forecast_assets.core.arrays import Ints
from forecast_assets.core.quantities import SCALE, from_units, to_units
from forecast_assets.operations.mixed_base import MixedBase
from forecast_assets.reconciliation.reconciling import with_means
from tests.support.forecast_cases import panel_of

COUNT, HORIZON = 3, 4
RHO = {"smooth": 0.25, "lumpy": 0.5}
# Some of a part that 32 bits do not hold.
LARGE = 5_000 * SCALE


def components() -> dict[str, Ints]:
    random = np.random.default_rng(3)
    made = {name: np.zeros((COUNT, HORIZON), dtype=np.int64) for name in COMPONENTS}
    made["level_units"] = LARGE + random.integers(0, SCALE, (COUNT, HORIZON))
    made["weekday_units"] = random.integers(-SCALE, SCALE, (COUNT, HORIZON))
    made["level_units"][2, 1] = made["weekday_units"][2, 1] = 0
    return made


def frame(parts: dict[str, Ints]) -> pl.DataFrame:
    total = np.asarray(sum(parts.values()))
    rows = {name: to_units(values, name) for name, values in {"base_units": total, **parts}.items()}
    quantiles = {name: to_units(total // 2 + at * total // 20, name) for at, name in enumerate(QUANTILE_COLUMNS)}
    lost = pl.Series("lost_share", [0.1, None] * (COUNT * HORIZON // 2), pl.Float64)
    classes = np.repeat(["smooth", "lumpy", "new"], HORIZON).tolist()
    return pl.DataFrame(
        {"step": [*range(1, HORIZON + 1)] * COUNT, "demand_class": classes, **rows, **quantiles, "lost_share": lost}
    )


@pytest.fixture
def base() -> MixedBase:
    sales = np.array([[1.0, 2.0, 0.0], [1.5, 2.0, 3.0], [np.nan, 1.0, 1.0]])
    return MixedBase.of(frame(components()), panel_of(sales, HORIZON), RHO, with_quantiles=True)


def test_components_add_up_and_those_that_are_zero_take_no_room(base: MixedBase) -> None:
    made = components()
    assert set(base.components) == {"level_units", "weekday_units"}
    assert base.components["weekday_units"].dtype == np.int32
    assert base.components["level_units"].dtype == np.int64, "32 bits do not hold them"
    assert (base.units == sum(made.values())).all()
    rows, columns = np.array([2, 0]), np.array([1, 3])
    parts = base.parts(rows, columns)
    for at, name in enumerate(COMPONENTS):
        assert (parts[..., at] == made[name][np.ix_(rows, columns)]).all()


def test_numbers_of_32_bits_are_added_up_in_64() -> None:
    made = components()
    most = np.iinfo(np.int32).max
    made["level_units"][:] = made["weekday_units"][:] = most
    few = MixedBase.of(frame(made), panel_of(np.ones((COUNT, 3)), HORIZON), RHO, with_quantiles=False)
    assert {values.dtype for values in few.components.values()} == {np.dtype(np.int32)}
    assert (few.units == 2 * most).all()
    assert (few.parts(np.arange(COUNT), np.arange(HORIZON)).sum(axis=-1) == 2 * most).all()


def test_demand_at_other_means_is_that_of_the_product(base: MixedBase) -> None:
    means = base.units // 3 + 7
    # Only the numbers are compared.
    made = frame(components())
    others = [pl.lit("").alias(name) for name in RECONCILED_FORECASTS.names if name not in made.columns]
    moved = with_means(made.with_columns(others), means.ravel())
    demand = base.demand(means)
    for at, name in enumerate(QUANTILE_COLUMNS):
        assert (demand.quantiles[..., at] == from_units(moved[name]).reshape(COUNT, HORIZON) / SCALE).all()
    assert (demand.mean == means / SCALE).all()
    assert demand.rho.tolist() == [0.25, 0.5, 0.0]
    assert demand.is_whole_units.tolist() == [True, False, True]


def test_series_are_taken_as_often_as_they_are_named(base: MixedBase) -> None:
    rows = np.array([2, 2, 0])
    few = base.take(rows)
    assert (few.units == base.units[rows]).all()
    assert (few.demand(few.units).quantiles == base.demand(base.units).quantiles[rows]).all()
    assert np.array_equal(few.lost_share, base.lost_share[rows], equal_nan=True)
    assert np.isnan(few.lost_share[:, 1]).all()


def test_without_stock_no_quantiles_are_held() -> None:
    few = MixedBase.of(frame(components()), panel_of(np.ones((COUNT, 3)), HORIZON), RHO, with_quantiles=False)
    assert few.quantiles is None
    with pytest.raises(AssertionError, match="nothing is simulated"):
        few.demand(few.units)
