"""What is said of a version."""

from forecast_assets.models.sample_paths.dependence import OWN, Dependence
from forecast_assets.presentation.state import availability_texts, borrowing_texts


def test_what_hours_without_stock_cost_sales_is_said_where_it_was_learned() -> None:
    (said,) = availability_texts({"availability_power": 0.5})
    assert "expected to sell 71% of demand, not 50%" in said
    assert "a power of 0.50" in said
    assert availability_texts({"horizon": 14}) == []


def test_levels_that_borrow_how_errors_hang_together_are_named_with_what_stands_for_them() -> None:
    (said,) = borrowing_texts(Dependence({}, {}, {"sku x total": "department x total", "sku x store": OWN}))
    assert "sku x store (taken from single series); sku x total (taken from department x total)" in said
    assert borrowing_texts(Dependence.none()) == []
    assert borrowing_texts(None) == []
