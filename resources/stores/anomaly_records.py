"""Recording detectors of anomalies and what they find of a day's snapshot.

What belongs here: the two entries, each appended once. What does not: training, scoring, or writing the files.
"""

from datetime import date
from functools import partial

from resources.ledger.entries.anomalies import ANOMALIES, AnomalyRecord, AnomalyRecords
from resources.ledger.entries.detector import DETECTOR, DetectorRecord, Detectors
from resources.ledger.log import Entry
from resources.ledger.state import LedgerState
from resources.store.manifests import paths_of
from resources.stores.products import PredictionStore


def record_detector(
    predictions: PredictionStore, trained: DetectorRecord, *, since: int
) -> tuple[DetectorRecord, bool]:
    """Commit a detector, unless one of the very same file is there.

    Args:
        predictions: Where it is.
        trained: What the ledger says of it.
        since: Ledger entry of the newest detector when it was trained; 0 if there was none.

    Returns:
        The detector, and whether this call recorded it.

    Raises:
        ChangedFileError: If its file is missing or changed.
        LostRaceError: If another process recorded another one in between.
    """
    predictions.verify_files(predictions.version(trained.product_version))

    def as_this(state: LedgerState) -> DetectorRecord | None:
        return next((each for each in state.part(Detectors).made if each.model == trained.model), None)

    def append() -> Entry:
        names = paths_of(predictions.lineage([trained.product_version]))
        admit = partial(DETECTOR.admit, trained, since=since)
        return predictions.ledger.append(DETECTOR.name, DETECTOR.body(trained), admit, names=names)

    return predictions.append_once(DETECTOR, as_this, append)


def record_anomalies(predictions: PredictionStore, judged: AnomalyRecord, *, since: int) -> tuple[AnomalyRecord, bool]:
    """Commit the judgement of a day's snapshot, unless its newest one is of the same bytes and has the same numbers.

    Args:
        predictions: Where the report is.
        judged: The judgement.
        since: Ledger entry of the newest judgement of any day when this one was made; 0 if there was none.

    Returns:
        The newest judgement of the day, and whether this call recorded it.

    Raises:
        ChangedFileError: If a file of the report is missing or changed.
        LostRaceError: If another process recorded a judgement in between.
    """
    predictions.verify_files(predictions.version(judged.product_version))
    of_these = judged_bytes(predictions, judged)

    def as_this(state: LedgerState) -> AnomalyRecord | None:
        newest = state.part(AnomalyRecords).newest_of(judged.prediction_date)
        if newest is None or newest.numbers != judged.numbers or judged.opened or judged.closed:
            return None
        return newest if judged_bytes(predictions, newest) == of_these else None

    def append() -> Entry:
        names = paths_of(predictions.lineage([judged.product_version]))
        admit = partial(ANOMALIES.admit, judged, since=since)
        return predictions.ledger.append(ANOMALIES.name, ANOMALIES.body(judged), admit, names=names)

    return predictions.append_once(ANOMALIES, as_this, append)


def snapshot_input(day: date) -> str:
    """Return how a manifest names the snapshot of a day among its inputs."""
    return f"feature_snapshots {day}"


def judged_bytes(predictions: PredictionStore, judged: AnomalyRecord) -> tuple[str, ...]:
    """Return the hashes of the files of the snapshot that was judged; none where its report does not name one."""
    named = predictions.version(judged.product_version).inputs.get(snapshot_input(judged.prediction_date))
    return () if named is None else tuple(file.sha256 for file in predictions.version(named).files)
