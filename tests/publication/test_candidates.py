"""Assembling what a run would publish from its products."""

import polars as pl
import pytest

from forecast_assets.core.errors import InputError
from forecast_assets.overrides.effects import overridden
from forecast_assets.publication.candidates import DESCRIBED, EXPLAINED, forecasts_frame
from tests.support.products import make

PARTS = ("base_forecasts", "reconciled_forecasts", "forecast_explanations")


def parts() -> dict[str, pl.DataFrame]:
    return {name: overridden(make(name), None) if name == "reconciled_forecasts" else make(name) for name in PARTS}


def test_forecasts_are_put_together_from_products_lined_up() -> None:
    base, reconciled, explained = parts().values()
    made = forecasts_frame(base.select(DESCRIBED), reconciled, explained.select(EXPLAINED))
    assert made["forecast_units"].equals(explained["forecast_units"])
    assert made["demand_class"].equals(base["demand_class"])
    assert made["q500_units"].equals(reconciled["q500_units"])


def test_forecasts_are_sorted_whatever_the_order_of_their_products() -> None:
    products = [*parts().values()]
    upside_down = forecasts_frame(*(product.reverse() for product in products))
    assert upside_down.equals(forecasts_frame(*products))
    assert upside_down.select("store_id", "sku_id", "step").equals(
        products[0].select("store_id", "sku_id", "step").sort("store_id", "sku_id", "step")
    )


@pytest.mark.parametrize("name", PARTS)
def test_products_of_other_rows_or_in_another_order_are_refused(name: str) -> None:
    for damaged in (pl.DataFrame.reverse, lambda frame: frame.head(-1)):
        products = parts()
        products[name] = damaged(products[name])
        with pytest.raises(InputError, match="not the same rows in the same order"):
            forecasts_frame(*products.values())


def test_a_missing_row_is_named() -> None:
    base, reconciled, explained = parts().values()
    with pytest.raises(InputError, match=r"first only in one: .*'B', 7"):
        forecasts_frame(base, reconciled, explained.filter(~((pl.col("sku_id") == "B") & (pl.col("step") == 7))))
