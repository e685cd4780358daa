"""Pictures that runs leave behind: one per chosen series, of what the run knew and no more."""

from datetime import date, timedelta

import polars as pl
import pytest

from forecast_assets.contracts import SALES, STOCK_STATUS
from forecast_assets.history.as_known import History
from forecast_assets.history.series import past_observations
from forecast_assets.scoring import pictures as run_pictures
from forecast_assets.scoring.pictures import driver_pictures, fan_pictures
from resources.stores.home import open_stores
from tests.support import products

CUTOFF = date(2025, 1, 1)
DAYS = 7


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """A week of sales of two SKUs; A was out of stock on the last day, and its status of the day before came late."""
    stores = open_stores(tmp_path_factory.mktemp("pictures") / "store")
    rows = [
        {"store_id": "S", "sku_id": sku, "event_date": CUTOFF - timedelta(days=back), "sales_units": 2.0 + back}
        for sku in products.SKUS
        for back in range(DAYS)
    ]
    sales = pl.DataFrame(rows).with_columns(known_at=pl.lit(products.KNOWN_UNTIL))
    is_late = pl.col("event_date") < CUTOFF
    status = sales.filter(pl.col("sku_id") == "A", pl.col("event_date") > CUTOFF - timedelta(days=2)).with_columns(
        known_at=pl.col("known_at") + pl.when(is_late).then(timedelta(days=1)).otherwise(timedelta()),
        out_of_stock_hours=3.0,
        trading_hours=16.0,
        out_of_stock_demand_share=pl.lit(None, pl.Float64),
    )
    for contract, frame in ((SALES, sales), (STOCK_STATUS, status)):
        told = frame.select(contract.names).cast(contract.schema)
        batch = stores.observations.write(
            told, feed=contract.name, source="till", trust=1.0, declared_lag=timedelta(hours=6)
        )
        stores.observations.record([batch])
    return History(stores.observations, tuple(stores.observations.batches()), CUTOFF, products.KNOWN_UNTIL)


def _series(*skus: str) -> pl.DataFrame:
    return pl.DataFrame({"store_id": ["S"] * len(skus), "sku_id": [*skus]})


def test_the_past_is_that_of_the_series_asked_for_as_it_was_known(history: History) -> None:
    past = past_observations(history, _series("B", "A"), CUTOFF - timedelta(days=2))
    assert past["sku_id"].to_list() == ["A"] * 3 + ["B"] * 3
    assert past["sales_units"].to_list() == [4.0, 3.0, 2.0] * 2
    assert past["is_stockout"].to_list() == [None, None, True, None, None, None]
    assert past["out_of_stock_share"].drop_nulls().to_list() == [3 / 16]
    assert past_observations(history, _series("Z"), CUTOFF - timedelta(days=2)).is_empty()


@pytest.mark.parametrize("product", ["forecasts", "base_forecasts"])
def test_one_fan_per_chosen_series(history: History, product: str) -> None:
    frame = products.make(product)
    drawn = fan_pictures(
        history, frame, {"largest_series": ("S", "A"), "most_at_risk": ("S", "B"), "again": ("S", "A")}
    )
    assert [*drawn] == ["largest_series", "most_at_risk", "again"]
    assert drawn["largest_series"] == drawn["again"] != drawn["most_at_risk"]
    assert drawn["largest_series"].startswith("![A in S](data:image/png;base64,")
    assert fan_pictures(history, frame, {}) == {}


def test_one_picture_of_drivers_per_chosen_series() -> None:
    frame = products.make("forecast_explanations")
    drawn = driver_pictures(frame, {"largest_series": ("S", "A")})
    assert drawn == driver_pictures(frame.filter(sku_id="A"), {"largest_series": ("S", "A")})
    assert drawn["largest_series"].startswith("![A in S](data:image/png;base64,")


def test_a_series_that_was_chosen_twice_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[pl.DataFrame] = []

    def draw(rows: pl.DataFrame, *, title: str) -> bytes:
        drawn.append(rows)
        return title.encode()

    monkeypatch.setattr(run_pictures, "drivers_png", draw)
    explanations = products.make("forecast_explanations")
    chosen = {"largest_series": ("S", "A"), "most_at_risk": ("S", "B"), "largest_intermittent": ("S", "A")}
    pictures = driver_pictures(explanations, chosen)
    assert list(pictures) == list(chosen)
    assert pictures["largest_series"] == pictures["largest_intermittent"] != pictures["most_at_risk"]
    assert len(drawn) == 2
