"""How far what-if answers are from whole runs with the same changes.

What belongs here: a whole run with changed inputs, without storing anything, and the distance to it. What does not:
answers, or what to think of a distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forecast_assets.base_forecasts.forecasting import forecast_frames
from forecast_assets.core.arrays import Floats
from forecast_assets.core.quantities import Millionths, from_units
from forecast_assets.features.changes import SeriesChange, changed
from forecast_assets.history import History
from forecast_assets.models.forecasts import ForecastInputs
from forecast_assets.reconciliation.reconciling import reconciled_frame
from forecast_assets.scoring.context import build_hierarchy
from forecast_assets.serving.dataplane.prepared import PreparedRun
from forecast_assets.serving.dataplane.what_if import what_if
from resources.stores.home import Stores


@dataclass(frozen=True)
class DistanceToWholeRun:
    """What answers for some series differ by from whole runs.

    Attributes:
        series: Series that were compared.
        base_differing: How many of their base forecasts differ at all, of series and days.
        base_compared: Of how many.
        median: Of the sum over days of how far forecasts are apart, over the sum of the whole run's.
        p95: What 95 of 100 series are within.
    """

    series: int
    base_differing: int
    base_compared: int
    median: float
    p95: float


def distance_to_whole_run(
    stores: Stores, prepared: PreparedRun, questions: Sequence[Sequence[SeriesChange]], workers: int | None = None
) -> DistanceToWholeRun:
    """Answer questions, and make a whole run for each.

    Args:
        stores: Where everything is.
        prepared: The published run that is asked.
        questions: Changes that hold together, for each question.
        workers: Threads and processes of the whole runs; all cores if left out.
    """
    apart: list[Floats] = []
    differing = compared = 0
    for changes in questions:
        ordered = sorted(changes, key=lambda change: prepared.places[change.series])
        answer = what_if(prepared, ordered)
        base, forecast = _whole_run(stores, prepared, ordered, workers)
        differing += int((from_units(answer.base["base_units"]) != base.ravel()).sum())
        compared += base.size
        found = from_units(answer.forecasts["forecast_units"]).reshape(base.shape)
        total = np.maximum(forecast.sum(axis=1), 1)
        apart.append(np.abs(found - forecast).sum(axis=1) / total)
    of_series = np.concatenate(apart)
    median, p95 = np.quantile(of_series, (0.5, 0.95))
    return DistanceToWholeRun(len(of_series), differing, compared, float(median), float(p95))


def _whole_run(
    stores: Stores, prepared: PreparedRun, changes: Sequence[SeriesChange], workers: int | None
) -> tuple[Millionths, Millionths]:
    """[k, H] base and reconciled forecasts of changed series by a run of all series and nodes."""
    history = History.of(stores.predictions.version(prepared.key.snapshot), stores.observations)
    hierarchy, rows = build_hierarchy(prepared.features, history), prepared.rows_of([each.series for each in changes])
    panel, run = changed(prepared.panel, rows, changes), prepared.key.run
    made = prepared.family.forecast(
        prepared.artifact,
        ForecastInputs(panel, prepared.product_groups, hierarchy, prepared.given_rows, run, workers),
    )
    base, nodes = forecast_frames(run, panel, hierarchy, prepared.family, made, prepared.is_quarantined)
    reconciled = reconciled_frame(base, nodes, hierarchy)
    units = (base["base_units"], reconciled["reconciled_units"])
    found = [from_units(column).reshape(-1, run.forecast_horizon)[rows] for column in units]
    return found[0], found[1]
