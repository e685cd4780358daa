"""Whatever is published and corrected, and in whatever order: what could be read before reads the same after."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.contracts import PUBLISHED
from forecast_assets.errors import AlreadyPublishedError, NotPublishedError
from forecast_assets.keys import RunKey
from resources.ledger import Correction, Publication
from resources.prediction_store import PredictionStore
from resources.stores import open_stores
from tests.unit.test_prediction_store import register

FIRST_DAY = date(2025, 1, 1)
# Day, revision and the number that the products hold.
STEPS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=6)


def publish(store: PredictionStore, key: RunKey, number: int) -> Publication:
    data = str(number).encode()
    products = {
        name: store.write_artifact(name, data, key=key, folder=f"predictions/{name}", inputs={}, facts={}).version
        for name in PUBLISHED
    }
    correction = Correction("ana", f"it is {number}") if key.revision else None
    return store.publish(key, products, lambda _: (), correction)


def read(folder: Path) -> Mapping[RunKey, tuple[Publication, list[bytes]]]:
    """Every published run, as a reader with nothing in memory finds it."""
    store = open_stores(folder).predictions
    return {
        key: (published, [store.read_bytes(store.version(version)) for version in published.products.values()])
        for key, published in store.ledger.state().publications.items()
    }


@settings(max_examples=12, deadline=None)
@given(STEPS)
def test_any_sequence_of_publishing_and_correcting_keeps_every_past_read(steps: list[tuple[int, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as home:
        store = open_stores(Path(home)).predictions
        register(store)
        numbers: dict[RunKey, int] = {}
        before = read(Path(home))
        for day, revision, number in steps:
            key = RunKey("daily", FIRST_DAY + timedelta(days=day), "stat-1", 7, revision)
            try:
                publish(store, key, number)
                assert key not in numbers
                assert not revision or replace(key, revision=revision - 1) in numbers
                numbers[key] = number
            except AlreadyPublishedError:
                assert key in numbers
            except NotPublishedError:
                assert replace(key, revision=revision - 1) not in numbers
            after = read(Path(home))
            assert {key: after[key] for key in before} == before
            before = after
        assert set(before) == set(numbers)
        assert all(int(found[0]) == numbers[key] for key, (_, found) in before.items())
