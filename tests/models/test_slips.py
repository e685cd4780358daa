import numpy as np
import pytest

from forecast_assets.features.panel import Panel
from forecast_assets.models.slips import plausible_prices, plausible_sales, slipped_sales
from tests.support.forecast_cases import lawful_panel, panel_of

DAYS = 120


def records(seed: int = 1) -> np.typing.NDArray[np.float64]:
    """[5, T] Even, erratic, rare, lumpy and weighed sales."""
    random = np.random.default_rng(seed)
    kinds = [
        random.poisson(20.0, DAYS),
        random.negative_binomial(1.5, 0.15, DAYS),
        random.poisson(0.15, DAYS),
        (random.random(DAYS) < 0.15) * random.geometric(0.3, DAYS),
        random.gamma(3.0, 0.4, DAYS).round(2),
    ]
    return np.array(kinds, dtype=np.float64)


def test_sales_as_they_vary_are_no_slips() -> None:
    assert not slipped_sales(lawful_panel()).any()
    found = sum(int(slipped_sales(panel_of(records(seed))).sum()) for seed in range(40))
    assert found <= 2


@pytest.mark.parametrize("row", range(5))
@pytest.mark.parametrize("place", [0, 7, -1])
def test_a_hundredfold_quantity_is_found_wherever_it_is_and_nothing_else(row: int, place: int) -> None:
    sales = records()
    day = np.flatnonzero(sales[row] >= np.median(sales[row][sales[row] > 0]))[place]
    sales[row, day] *= 100.0
    found = slipped_sales(panel_of(sales))
    assert np.argwhere(found).tolist() == [[row, day]]


def test_the_unit_of_measure_changes_nothing() -> None:
    sales = records()[[1, 4]]
    sales[1, 50] *= 100.0
    for scale in (1e-3, 1.0, 1e6):
        assert np.argwhere(slipped_sales(panel_of(sales * scale))).tolist() == [[1, 50]]


def test_a_new_level_is_believed_from_its_second_day() -> None:
    sales = np.full((1, DAYS), 2.0)
    sales[0, -1] = 60.0
    assert slipped_sales(panel_of(sales)).sum() == 1
    sales[0, -2:] = 60.0
    assert not slipped_sales(panel_of(sales)).any()


def test_a_promotion_may_lift_sales_by_more() -> None:
    sales = records()[:1]
    sales[0, 80] = 150.0
    promoted = np.zeros((1, DAYS + 7), dtype=np.bool_)
    promoted[0, 80] = True
    assert slipped_sales(panel_of(sales)).any()
    assert not slipped_sales(panel_of(sales, is_promotion=promoted)).any()
    sales[0, 80] = 2000.0
    assert slipped_sales(panel_of(sales, is_promotion=promoted)).any()


def test_a_record_of_a_few_sales_tells_no_slip() -> None:
    sales = np.zeros((1, DAYS))
    sales[0, [3, 30, 60]] = 1.0, 1.0, 100.0
    assert not slipped_sales(panel_of(sales)).any()


def test_a_slip_is_not_known_or_where_little_sells_the_usual_sale() -> None:
    sales = records()
    even, rare = 50, int(np.flatnonzero(sales[2] > 0)[3])
    sales[0, even], sales[2, rare] = 3000.0, 100.0
    expected = sales.copy()
    expected[0, even], expected[2, rare] = np.nan, 1.0
    np.testing.assert_array_equal(plausible_sales(panel_of(sales)), expected)
    clean = panel_of(records())
    assert plausible_sales(clean) is clean.sales


def priced(ratio: np.typing.NDArray[np.float64]) -> Panel:
    return panel_of(np.ones((len(ratio), DAYS)), price_ratio=ratio)


@pytest.mark.parametrize("factor", [0.01, 100.0])
@pytest.mark.parametrize("day", [10, DAYS + 3])
def test_a_price_far_outside_its_own_record_counts_as_the_usual_one(factor: float, day: int) -> None:
    ratio = np.ones((2, DAYS + 7))
    ratio[:, ::9] = 0.75
    slipped = ratio.copy()
    slipped[1, day] *= factor
    expected = ratio.copy()
    expected[1, day] = 1.0
    np.testing.assert_array_equal(plausible_prices(priced(slipped)), expected)


def test_deep_reductions_that_are_planned_or_come_often_stand() -> None:
    ratio = np.ones((2, DAYS + 7))
    ratio[0, 50:60], ratio[1, DAYS:] = 0.2, 0.4
    panel = priced(ratio)
    assert plausible_prices(panel) is panel.price_ratio or (plausible_prices(panel) == ratio).all()
