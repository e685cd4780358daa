"""How well a detector tells labelled anomalies from usual rows, and how early.

What belongs here: figures from scores and labels. What does not: training, or printing them.

Rows that the detector learned from are left out. A label of 1 means that a fault is there, from when it sets in to the
failure; alarms before that are false ones, however the unit ends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.anomalies.features import IMPUTE
from forecast_assets.anomalies.model_file import AnomalyModel
from forecast_assets.anomalies.scoring import ScoringCounts, scored_parts
from forecast_assets.anomalies.tables import FeatureTable
from forecast_assets.anomalies.training import DetectorRequest, TrainedDetector, labelled_rows
from forecast_assets.core.arrays import Bools, Floats

_SECONDS_IN_HOUR: Final = 3600.0


@dataclass(frozen=True)
class UnitLeadTime:
    """How early the fault of a unit was found.

    Attributes:
        unit: Its name; empty where no column names units.
        fault_rows: Rows of its fault.
        alarms: Of these, rows above the threshold.
        delay: From the first row of the fault to the first alarm in it; None without one.
        lead_time: From that alarm to the last row of the fault.
    """

    unit: str
    fault_rows: int
    alarms: int
    delay: float | None
    lead_time: float | None


@dataclass(frozen=True)
class DetectorReport:
    """What labels say of a detector.

    Attributes:
        usual_rows: Judged rows without a fault.
        fault_rows: Judged rows with a fault.
        auc: Probability that a row with a fault has a higher score than one without; None if there is but one kind.
        average_precision: Mean precision over all thresholds, weighted by recall.
        precision: Share of alarms that are right, at the threshold; None without an alarm.
        recall: Share of rows with a fault that are found, at the threshold.
        false_alarm_rate: Share of rows without a fault that are called anomalies.
        units: How early each unit's fault was found.
        time_unit: Of delays and lead times: hours, `rows`, or those of the time column.
    """

    usual_rows: int
    fault_rows: int
    auc: float | None
    average_precision: float | None
    precision: float | None
    recall: float | None
    false_alarm_rate: float | None
    units: tuple[UnitLeadTime, ...]
    time_unit: str


def judged_detector(table: FeatureTable, trained: TrainedDetector, request: DetectorRequest) -> DetectorReport:
    """Judge a detector by the labels of the file that it was trained on, without the rows that it learned from.

    Args:
        table: The file.
        trained: The detector.
        request: Names label, unit and time.
    """
    rows = _judged_rows(table, trained.model, request).with_row_index("row")
    is_learned = np.zeros(rows.height, dtype=bool)
    is_learned[trained.learned] = True
    judged = rows.filter(pl.Series(~is_learned), pl.col("is_fault").is_not_null())
    threshold = trained.model.threshold
    scores, is_fault = judged["score"].to_numpy(), judged["is_fault"].to_numpy()
    is_alarm = np.zeros(len(scores), dtype=bool) if threshold is None else scores > threshold
    faults = int(np.count_nonzero(is_fault))
    usual, alarms = len(scores) - faults, int(np.count_nonzero(is_alarm))
    auc, average_precision = _ranked(scores, is_fault) if 0 < faults < len(scores) else (None, None)
    right = int(np.count_nonzero(is_alarm & is_fault))
    return DetectorReport(
        usual,
        faults,
        auc,
        average_precision,
        precision=right / alarms if alarms else None,
        recall=right / faults if faults else None,
        false_alarm_rate=(alarms - right) / usual if usual else None,
        units=tuple(_lead_times(judged.with_columns(pl.Series("is_alarm", is_alarm)))),
        time_unit=_time_unit(table, request),
    )


def _judged_rows(table: FeatureTable, model: AnomalyModel, request: DetectorRequest) -> pl.DataFrame:
    """`score, is_fault, unit, time` of all rows, as in the file."""
    parts, at = [], 0
    for scored in scored_parts(model, table, ScoringCounts(), rows=None, on_invalid=IMPUTE):
        typed = scored.part.typed
        parts.append(
            pl.DataFrame(
                {
                    "score": scored.scores,
                    "is_fault": labelled_rows(typed, request.label),
                    "unit": _units(scored.part.as_read, request.unit),
                    "time": _times(typed[request.time]) if request.time else _row_numbers(at, typed.height),
                }
            )
        )
        at += typed.height
    return pl.concat(parts)


def _units(as_read: pl.DataFrame, column: str | None) -> pl.Series:
    """[n] names of units, as they are written: `7`, `007` and `7.0` are three."""
    if column is None:
        return pl.Series([""], dtype=pl.String).new_from_index(0, as_read.height)
    return as_read[column].cast(pl.String).fill_null("")


def _row_numbers(first: int, count: int) -> pl.Series:
    return pl.Series(np.arange(first, first + count), dtype=pl.Float64)


def _times(values: pl.Series) -> pl.Series:
    """[n] hours of moments, days, times of a day and spans; numbers as they are."""
    if values.dtype in (pl.Time, pl.Duration):
        return values.cast(pl.Duration("us")).dt.total_microseconds().cast(pl.Float64) / (1e6 * _SECONDS_IN_HOUR)
    if values.dtype.is_temporal():
        return values.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / (1e6 * _SECONDS_IN_HOUR)
    return values.cast(pl.Float64, strict=False)


def _time_unit(table: FeatureTable, request: DetectorRequest) -> str:
    if request.time is None:
        return "rows"
    return "hours" if table.schema()[request.time].is_temporal() else f"of `{request.time}`"


def _ranked(scores: Floats, is_fault: Bools) -> tuple[float, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    return float(roc_auc_score(is_fault, scores)), float(average_precision_score(is_fault, scores))


def _lead_times(judged: pl.DataFrame) -> Iterator[UnitLeadTime]:
    faults = judged.filter("is_fault").sort("time", "row", nulls_last=True)
    for (unit,), rows in faults.group_by("unit", maintain_order=True):
        times: Sequence[float | None] = rows["time"].to_list()
        alarms: Sequence[float | None] = rows.filter("is_alarm")["time"].to_list()
        known = [time for time in times if time is not None]
        first = next((time for time in alarms if time is not None), None)
        is_found = first is not None and bool(known)
        yield UnitLeadTime(
            str(unit),
            rows.height,
            len(alarms),
            first - known[0] if is_found and first is not None else None,
            known[-1] - first if is_found and first is not None else None,
        )
