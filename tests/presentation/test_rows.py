"""What is shown of observations: who said what, who said it again, who won, and whose the other values are."""

from datetime import datetime, timedelta

from forecast_assets.ingestion.batch import Batch
from forecast_assets.presentation.rows import observations_text
from resources.stores.home import Stores
from tests.ingestion.test_repeats import DAY, START, sent, taken


def shown(stores: Stores) -> str:
    return observations_text(stores, "prices", "A", "S", DAY, datetime(2025, 3, 1))  # noqa: DTZ001


def without_price(batch: Batch) -> Batch:
    frame = batch.frame.with_columns(unit_price=None).cast(dict(batch.contract.schema))
    return Batch(batch.feed, batch.source, batch.trust, batch.declared_lag, frame)


def test_observations_say_which_value_is_another_sources_and_why(stores: Stores) -> None:
    taken(stores, without_price(sent(1, {"A": 0.0}, source="till")), sent(1, {"A": 5.0}, source="erp", trust=0.5))
    text = " ".join(shown(stores).split())
    assert "till more_trusted 2 False unit_price: erp (only_source)" in text
    assert "said_again_at" not in text


def test_observations_say_when_a_word_was_last_said_again(stores: Stores) -> None:
    for on, price in ((0, 5.0), (1, 5.0), (2, 6.0), (3, 6.0), (7, 6.0)):
        taken(stores, sent(on, {"A": price}))
    lines = [line.split() for line in shown(stores).splitlines() if "erp" in line and "0.9" in line]
    last = f"{START + timedelta(days=7):%Y-%m-%d}"
    assert [last in line for line in lines] == [False, True]
    assert "said_again_at" in shown(stores)
