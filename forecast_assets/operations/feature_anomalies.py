"""Reading what was found of the series of snapshots, and the detectors that found it.

What belongs here: the report on a day and the detectors, as they were recorded. What does not: judging
(`feature_anomalies`), or how it looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NotReadyError
from forecast_assets.feature_anomalies.signals import signals_of_rows
from resources.ledger.entries.anomalies import AnomalyRecord, AnomalyRecords
from resources.ledger.entries.backlog import Backlog
from resources.ledger.entries.detector import DetectorRecord, Detectors
from resources.ledger.entries.judged_days import Signal
from resources.stores.home import Stores


@dataclass(frozen=True)
class AnomalyReport:
    """What was found of the series of a day's snapshot.

    Attributes:
        record: Its newest judgement.
        detector: What judged it.
        rows: Contract `feature_anomalies`.
        signals: What is told of whole feeds.
        items: Number of the backlog's item of each signal that has one and is still told now.
    """

    record: AnomalyRecord
    detector: DetectorRecord
    rows: pl.DataFrame
    signals: tuple[Signal, ...]
    items: dict[str, int]


def anomaly_report(stores: Stores, day: date) -> AnomalyReport:
    """Return what was found of the series of a day's snapshot.

    Raises:
        NotReadyError: If it has not been judged.
    """
    state = stores.ledger.state()
    record = state.part(AnomalyRecords).newest_of(day)
    if record is None:
        raise NotReadyError(
            f"The series of {day} have not been judged.",
            remedy=Sentence("Judge them: ", Action("anomalies snapshot", {"date": day}), "."),
            prediction_date=day,
        )
    rows = stores.predictions.read(stores.predictions.version(record.product_version))
    detector = next(each for each in state.part(Detectors).made if each.detector == record.detector)
    present = state.part(Backlog).present
    items = {name: step.item for name, step in present.items()}
    return AnomalyReport(record, detector, rows, tuple(signals_of_rows(rows, day)), items)


def anomaly_detectors(stores: Stores) -> Sequence[DetectorRecord]:
    """Return the detectors that were trained on snapshots, the last first."""
    return tuple(reversed(stores.ledger.state().part(Detectors).made))
