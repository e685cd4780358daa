"""Leaving out what sources only repeat changes no answer, at any moment and in whatever order deliveries come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.contracts import PRICES
from forecast_assets.history.as_known import History
from forecast_assets.history.fusion import resolve
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.ingest import ingest_batches
from resources.stores.home import Stores, open_stores

START = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = [date(2025, 3, 1), date(2025, 3, 2)]
KEYS = [(sku, store, day) for sku in "AB" for store in "ST" for day in DAYS]
MOMENTS = [START + timedelta(hours=36 * at) for at in range(6)]
TRUST = {"erp": 0.9, "web": 0.5}
COMPARED = ["sku_id", "store_id", "event_date", "unit_price", "source", "resolution", "candidates", "enriched"]


@dataclass(frozen=True)
class Delivery:
    """What a source says of some keys at one moment."""

    source: str
    moment: datetime
    said: tuple[tuple[int, float | None], ...]

    def batch(self) -> Batch:
        rows = [(*KEYS[key][:2], KEYS[key][2], self.moment, price, 1.0, False) for key, price in self.said]
        frame = pl.DataFrame(rows, schema=PRICES.schema, orient="row").sort("event_date", "sku_id", "store_id")
        return Batch("prices", self.source, TRUST[self.source], timedelta(0), frame)


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[Delivery]]:
    """Ingests of a few deliveries each; a source says one thing of a key at a moment, mostly the same."""
    made = []
    for source in TRUST:
        for moment in draw(st.lists(st.sampled_from(MOMENTS), unique=True, max_size=5)):
            prices = st.sampled_from([1.0, 1.0, 1.0, 2.0, None])
            keys = draw(st.lists(st.sampled_from(range(len(KEYS))), unique=True, min_size=1))
            made.append(Delivery(source, moment, tuple((key, draw(prices)) for key in keys)))
    ordered = draw(st.permutations(made))
    cuts = draw(st.lists(st.booleans(), min_size=len(ordered), max_size=len(ordered)))
    ingests: list[list[Delivery]] = []
    for delivery, is_new in zip(ordered, cuts, strict=True):
        if is_new or not ingests:
            ingests.append([])
        ingests[-1].append(delivery)
    return ingests


def taken(stores: Stores, ingests: Sequence[Sequence[Delivery]]) -> None:
    for each in ingests:
        batches = [delivery.batch() for delivery in each]
        ingest_batches(batches, stores.observations, expect=lambda _: [], progress=lambda *_: None)


@settings(max_examples=80, deadline=None)
@given(ingests=deliveries())
def test_what_counts_is_what_would_count_if_every_row_were_stored(ingests: list[list[Delivery]]) -> None:
    every = [delivery for each in ingests for delivery in each]
    if not every:
        return
    said = pl.concat(
        delivery.batch().frame.with_columns(source=pl.lit(delivery.source), trust=pl.lit(TRUST[delivery.source]))
        for delivery in every
    )
    with TemporaryDirectory() as folder:
        stores = open_stores(Path(folder))
        taken(stores, ingests)
        for moment in MOMENTS:
            expected = resolve("prices", said.lazy(), known_until=moment).collect().select(COMPARED).sort(COMPARED[:3])
            batches = tuple(stores.observations.as_known(DAYS[-1], moment))
            found = History(stores.observations, batches, DAYS[-1], moment).feed("prices")
            rows = expected.clear() if found is None else found.collect().select(COMPARED).sort(COMPARED[:3])
            assert rows.equals(expected), (moment, rows, expected)
        sequence = stores.observations.sequence()
        taken(stores, ingests)
        held = stores.observations.scan(stores.observations.batches(), "prices")
        assert held is not None
        assert held.select(pl.len()).collect().item() <= said.height
        assert stores.observations.sequence() <= sequence + len(ingests)
