"""Processes that answer predictions, as tests of online features have them: with runs of their own, and a cache."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from polars.testing import assert_frame_equal

from forecast_assets.core.errors import StorageError
from forecast_assets.core.keys import RunKey, StoreSku
from forecast_assets.features.changes import SeriesChange
from forecast_assets.serving.dataplane.online_features import OnlineFeatures
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.predicting import Predictor, PredictQuestion
from forecast_assets.serving.dataplane.prepared import PreparedRun
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
from forecast_assets.serving.dataplane.questions import VersionAsked
from forecast_assets.serving.dataplane.what_if import what_if
from resources.feature_cache.cache import FeatureCache
from resources.stores.home import Stores
from tests.support.retailers import KEY

NOW: Final = datetime(2025, 7, 1, 9, tzinfo=UTC)
DAY: Final = KEY.prediction_date + timedelta(days=3)
KEEPS: Final = 3_600.0


class Process:
    """As a process has them: runs of its own, and a cache."""

    def __init__(
        self, plane: DataPlane, make: Callable[[], PreparedRun], cache: FeatureCache, now: list[float]
    ) -> None:
        self.prepared_times = 0

        def prepare(_stores: Stores, _run: RunKey) -> PreparedRun:
            self.prepared_times += 1
            return make()

        runs = PreparedRuns(plane.stores, prepare=prepare, keeps_seconds=KEEPS, clock=lambda: now[0])
        self.features = OnlineFeatures(plane.stores, runs, cache, KEEPS, clock=lambda: now[0])
        # Whatever else the machine does meanwhile.
        self.predictor = Predictor(plane.stores, features=self.features, deadline_seconds=60.0)

    def answer(self, *changes: SeriesChange) -> Any:
        return self.predictor.predict(PredictQuestion("what_if", VersionAsked(model_version="stat-1"), changes), NOW)


def never() -> PreparedRun:
    raise StorageError("this process cannot prepare a run")


def series(prepared: PreparedRun, *rows: int) -> list[StoreSku]:
    return [prepared.panel.series.row(row) for row in rows]


def asked(prepared: PreparedRun, *rows: int) -> list[SeriesChange]:
    return [SeriesChange(*one, price_ratios={DAY: 0.7}) for one in series(prepared, *rows)]


def require_equal(found: Any, prepared: PreparedRun, changes: list[SeriesChange]) -> None:
    """An answer of the model that is that of the prepared run."""
    assert (found.run.served_from, found.is_degraded) == ("model", False)
    expected = what_if(prepared, changes)
    for name in ("forecasts", "risks", "explanations"):
        rows = getattr(expected, name)
        assert_frame_equal(getattr(found, name).select(rows.columns), rows, check_exact=True)
