"""What is said of a version."""

from forecast_assets.presentation.state import availability_texts


def test_what_hours_without_stock_cost_sales_is_said_where_it_was_learned() -> None:
    (said,) = availability_texts({"availability_power": 0.5})
    assert "expected to sell 71% of demand, not 50%" in said
    assert "a power of 0.50" in said
    assert availability_texts({"horizon": 14}) == []
