"""A small home, made by hand, behind the data plane: five runs of two versions, and two series."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forecast_assets.core.breaker import Breaker
from forecast_assets.core.errors import NotReadyError
from forecast_assets.serving.dataplane.comparing import Comparer
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.predicting import Predictor
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
from resources.events.home import EventHome
from resources.stores.home import Stores, open_stores
from tests.support.store_cases import ingest, publish, register, run_key

NOW_OF_SMALL = datetime(2025, 1, 5, 9, tzinfo=UTC)
RUNS = (run_key(0), run_key(1), run_key(1, "stat-2"), run_key(1, revision=1), run_key(2))


def small_stores(root: Path) -> Stores:
    """Publish the runs below a folder."""
    stores = open_stores(root)
    ingest(stores)
    for version in ("stat-1", "stat-2"):
        register(stores, version)
    for units, key in enumerate(RUNS, 3):
        publish(stores, key, units, is_comparable=True)
    stores.registry.promote("stat-1", by="tests", reason="first")
    # What came on a day that runs look at.
    ingest(stores, day=2)
    return stores


def without_model(stores: Stores, events: EventHome | None = None) -> DataPlane:
    """A plane whose predictions and comparisons are answered by what was published."""
    plane = DataPlane(stores, lambda: NOW_OF_SMALL, events)
    prepared = PreparedRuns(plane.stores, prepare=_no_model)
    plane.predictor = Predictor(plane.stores, prepared, breaker=lambda: Breaker(failures=1_000_000))
    plane.comparer = Comparer(plane.stores, prepared, pair=_never)
    return plane


def _never(*_: Any) -> Any:
    raise TimeoutError


def _no_model(*_: Any) -> Any:
    raise NotReadyError("Runs made by hand have no model.", remedy="Ask for what is published.")
