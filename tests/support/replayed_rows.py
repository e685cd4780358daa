"""Rows of published runs, picked at random and rebuilt to the very values that were published."""

import random
from collections import defaultdict
from collections.abc import Iterable

from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.launch import Runner
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.replaying import Replay, replay

SEED = 20250701


def picked(runner: Runner, count: int) -> dict[RunKey, list[PredictionId]]:
    """Rows of all runs together, each as likely as any other."""
    rows: list[PredictionId] = []
    for key, publication in runner.stores.ledger.state().publications.items():
        frame = read_product(runner.stores, publication, "forecasts").select("sku_id", "store_id", "step")
        rows += [PredictionId(key, *row) for row in frame.rows()]
    by_run = defaultdict(list)
    for row in random.Random(SEED).sample(rows, count):
        by_run[row.run].append(row)
    return by_run


def require_replayed(runner: Runner, key: RunKey, rows: Iterable[PredictionId]) -> Replay:
    """The replay of a run, byte for byte equal; the rows are shown beside their rebuilt selves, value by value."""
    found = replay(runner.stores, runner.settings, key, lambda *_: None, rows=list(rows))
    found.require_equal()
    assert {each.recorded.product for each in found.products} >= set(PUBLISHED)
    assert set(found.rows) == set(rows)
    for row, values in found.rows.items():
        assert values.height > len(PUBLISHED), row
        assert values["published"].equals(values["rebuilt"], check_names=False), row
    return found
