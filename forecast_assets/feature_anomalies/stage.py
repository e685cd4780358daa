"""The stage that judges the series of a day's snapshot, and the record of it.

What belongs here: which detector judges a day, training one where it is due, from a day to its stored report, and
recording both. What does not: what changed of a series, detectors, or Dagster.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from forecast_assets.anomalies.model_file import SKOPS, library_versions, loaded_model
from forecast_assets.contracts import ANOMALOUS, FEATURE_ANOMALIES, TOO_LITTLE_HISTORY
from forecast_assets.core.errors import NotReadyError
from forecast_assets.feature_anomalies.changes import EARLIER_DAYS, LEAST_EARLIER, WatchedFeatures
from forecast_assets.feature_anomalies.detector_training import (
    DEFAULT_METHOD,
    REMEDY,
    SEED,
    TRAINING_DAYS,
    SnapshotDetector,
    drawn_series,
    require_days,
    train_on_days,
)
from forecast_assets.feature_anomalies.judging import anomaly_rows
from forecast_assets.feature_anomalies.signals import anomaly_shares, opened_and_closed_signals, signals_of_rows
from forecast_assets.feature_anomalies.snapshots import (
    SNAPSHOTS,
    SnapshotReader,
    earlier_snapshots,
    named_inputs,
    snapshots_named,
    watched_by,
    without_told_days,
)
from forecast_assets.plots import as_markdown_image
from forecast_assets.plots.feature_anomalies import scores_png
from forecast_assets.scoring.stage import StageResult, Summary
from resources.ledger.entries.anomalies import AnomalyRecord, AnomalyRecords
from resources.ledger.entries.backlog import Backlog
from resources.ledger.entries.detector import DetectorRecord, Detectors
from resources.ledger.entries.judged_days import Signal
from resources.store.blobs import sha256
from resources.store.manifests import ProductVersion
from resources.stores.anomaly_records import record_anomalies, record_detector
from resources.stores.home import Stores

PRODUCT = FEATURE_ANOMALIES.name
DETECTORS_PRODUCT: Final = "anomaly_detectors"
MOST_ANOMALOUS: Final = 10
_NAME_DIGITS: Final = 6


@dataclass(frozen=True)
class AnomalyContext:
    """The day whose snapshot is to be judged.

    Attributes:
        stores: Where everything is.
        prediction_date: The day.
        retraining_weeks: After how many weeks without a new detector one is trained; 0 for never.
    """

    stores: Stores
    prediction_date: date
    retraining_weeks: int = 4

    def write(self, result: StageResult) -> ProductVersion:
        """Store the report."""
        day = self.prediction_date
        return self.stores.predictions.write(
            FEATURE_ANOMALIES,
            result.rows,
            key=day,
            folder=f"{PRODUCT}/prediction_date={day}",
            inputs=result.inputs,
            facts=result.facts,
        )

    def newest_entry(self) -> int:
        """Return the ledger entry of the newest judgement of any day; 0 if there is none."""
        newest = self.stores.ledger.state().part(AnomalyRecords).newest
        return 0 if newest is None else newest.sequence


def due_detector(context: AnomalyContext) -> DetectorRecord:
    """Return the detector that judges a day: the newest that has not seen it, or another one trained now.

    Raises:
        NotReadyError: If there is none yet, and too few snapshots before the day to train one.
        LostRaceError: If another process trained one meanwhile.
    """
    day, stores = context.prediction_date, context.stores
    snapshot = stores.predictions.staged(SNAPSHOTS, day)
    detectors = stores.ledger.state().part(Detectors)
    known = detectors.newest_before(day, snapshot.facts["feature_version"])
    weeks = context.retraining_weeks
    if known is not None and (not weeks or day - known.cutoff <= timedelta(weeks=weeks)):
        return known
    try:
        return _trained(stores, day, snapshot, since=0 if detectors.newest is None else detectors.newest.sequence)
    except NotReadyError:
        # What it learned is old, and better than nothing: days were left out since.
        if known is None:
            raise
        return known


def require_judgeable(stores: Stores, day: date) -> None:
    """Refuse a day with too few snapshots before it, so that nobody starts what cannot be done yet.

    Raises:
        NotReadyError: If so.
    """
    version = stores.predictions.staged(SNAPSHOTS, day).facts["feature_version"]
    found = earlier_snapshots(stores, day, TRAINING_DAYS + EARLIER_DAYS, version)
    days = [each for each in found if each >= day - timedelta(days=TRAINING_DAYS)]
    reader = SnapshotReader(stores, found, WatchedFeatures((), ()))
    if len(reader.before(day)) < LEAST_EARLIER:
        raise _too_few(len(reader.before(day)))
    if stores.ledger.state().part(Detectors).newest_before(day, version) is None:
        require_days(sum(len(reader.before(each)) >= LEAST_EARLIER for each in days))


def _trained(stores: Stores, day: date, snapshot: ProductVersion, *, since: int) -> DetectorRecord:
    found = without_told_days(
        stores, earlier_snapshots(stores, day, TRAINING_DAYS + EARLIER_DAYS, snapshot.facts["feature_version"])
    )
    first = day - timedelta(days=TRAINING_DAYS)
    name = _detector_name(day - timedelta(days=1), named_inputs(found))
    made = train_on_snapshots(stores, found, first, name=name)
    model = made.model
    facts = {
        "method": model.detector, "seed": SEED, "first_day": first.isoformat(), "cutoff": made.cutoff.isoformat(),
        "threshold": model.threshold, "false_alarm_rate": model.false_alarm_rate,
        "held_back_days": made.held_back_days, "held_back_rate": made.held_back_rate, "features": [*model.features],
        "data_sha256": model.data_sha256, "feature_version": snapshot.facts["feature_version"],
    }  # fmt: skip
    content = model.to_bytes(SKOPS)
    version = stores.predictions.write_bytes(
        DETECTORS_PRODUCT,
        content,
        key=model.name,
        path=f"{DETECTORS_PRODUCT}/detector={model.name}/{sha256(content)}{SKOPS}",
        rows=0,
        schema="",
        inputs=named_inputs(found),
        facts=facts,
    )
    record = DetectorRecord(
        model.name, model.detector, made.first_date, made.cutoff, version.version, version.files[0].sha256,
        model.features, model.training_rows or 0, model.held_back_rows or 0, made.held_back_days,
        model.threshold or 0.0, model.false_alarm_rate or 0.0, made.held_back_rate, model.data_sha256 or "",
        snapshot.facts["feature_version"], model.libraries,
    )  # fmt: skip
    return record_detector(stores.predictions, record, since=since)[0]


def _detector_name(cutoff: date, inputs: Mapping[str, str]) -> str:
    """Return the name of a detector: one that is trained from other snapshots, or by other libraries, has another."""
    made_from = {"inputs": inputs, "libraries": library_versions(), "seed": SEED}
    return f"{DEFAULT_METHOD}-{cutoff}-{sha256(json.dumps(made_from, sort_keys=True).encode())[:_NAME_DIGITS]}"


def train_on_snapshots(
    stores: Stores,
    snapshots: Mapping[date, ProductVersion],
    first: date,
    *,
    name: str,
    method: str = DEFAULT_METHOD,
) -> SnapshotDetector:
    """Train a detector on snapshots; the same ones give the same detector.

    Args:
        stores: Where they are.
        snapshots: By day, oldest first; all have the same features.
        first: First day that is learned from; those before are what its days are held against.
        name: Of the detector.
        method: Which of the four.

    Raises:
        NotReadyError: If there are too few.
    """
    days = [day for day in snapshots if day >= first]
    require_days(len(days))
    newest = snapshots[days[-1]]
    watched = watched_by(newest)
    drawn = drawn_series(stores.predictions.read(newest, ["store_id", "sku_id"]))
    reader = SnapshotReader(stores, snapshots, watched, drawn)
    found = {}
    for day in days:
        changes = reader.changes(day) if len(reader.before(day)) >= LEAST_EARLIER else None
        if changes is not None and changes.is_judged.any():
            found[day] = changes.matrix()[changes.is_judged]
    return train_on_days(found, watched, name=name, method=method)


def judge_snapshot(context: AnomalyContext, detector: DetectorRecord) -> StageResult:
    """Judge the series of a day's snapshot by a detector.

    Raises:
        NotStagedError: If the day has no snapshot.
        NotReadyError: If there are too few snapshots before it.
    """
    stores, day = context.stores, context.prediction_date
    snapshot = stores.predictions.staged(SNAPSHOTS, day)
    earlier = without_told_days(stores, earlier_snapshots(stores, day, EARLIER_DAYS, snapshot.facts["feature_version"]))
    if len(earlier) < LEAST_EARLIER:
        raise _too_few(len(earlier))
    inputs = {
        DETECTORS_PRODUCT: detector.product_version, **named_inputs({**earlier, day: snapshot})
    }  # fmt: skip
    rows = judged_rows(stores, inputs)
    facts = {"known_until": snapshot.facts["known_until"], "detector": detector.detector}
    return StageResult({PRODUCT: rows}, inputs, facts, lambda: _summary(rows, detector, day))


def judged_rows(stores: Stores, inputs: Mapping[str, Any]) -> pl.DataFrame:
    """Return the report on the newest of the snapshots that a manifest names, by the detector that it names.

    Made again from the manifest of a report, it is the same.

    Args:
        stores: Where everything is.
        inputs: As in the manifest.
    """
    version = stores.predictions.version(inputs[DETECTORS_PRODUCT])
    model = loaded_model(Path(version.files[0].path), stores.predictions.read_bytes(version))
    snapshots = snapshots_named(stores, inputs)
    day = max(snapshots)
    changes = SnapshotReader(stores, snapshots, watched_by(snapshots[day])).changes(day)
    assert changes is not None
    return anomaly_rows(changes, model, day)


def _too_few(there: int) -> NotReadyError:
    return NotReadyError(
        f"Series are held against {LEAST_EARLIER} snapshots at least of the {EARLIER_DAYS} days before; there are "
        f"{there}.",
        remedy=REMEDY,
        snapshots=there,
    )


def record_judged_snapshot(
    context: AnomalyContext, version: ProductVersion, result: StageResult, *, since: int
) -> tuple[AnomalyRecord, bool]:
    """Record a day's report with what opened and what is told no more, unless the day's newest one says the same.

    A day before the newest that was judged opens nothing: what was true then is not true now. What it told itself, and
    no later day does, is told no more once it was put right.

    Args:
        context: The day.
        version: The stored report.
        result: What it was stored from.
        since: The newest entry when the inputs were read.

    Returns:
        The day's newest judgement, and whether this call recorded it.

    Raises:
        LostRaceError: If another process recorded a judgement in between.
    """
    state, day = context.stores.ledger.state(), context.prediction_date
    opened: tuple[Signal, ...] = ()
    closed: tuple[str, ...] = ()
    told, records = signals_of_rows(result.rows, day), state.part(AnomalyRecords)
    is_newest = all(each <= day for each in records.by_day)
    present = [name for name in state.part(Backlog).present if is_newest or name in records.told_last_on(day)]
    if present or is_newest:
        snapshots = snapshots_named(context.stores, version.inputs)
        watched = watched_by(snapshots[day])
        read = SnapshotReader(context.stores, snapshots, watched).rows(day)
        new, closed = opened_and_closed_signals(told, present, watched.known_feeds(read))
        opened = new if is_newest else ()
    counts = verdict_counts(result.rows)
    record = AnomalyRecord(
        day, version.version, version.files[0].sha256, version.facts["known_until"], version.facts["detector"],
        result.rows.height - counts.get(TOO_LITTLE_HISTORY, 0), counts.get(ANOMALOUS, 0), opened, closed,
        tuple(each.signal for each in told),
    )  # fmt: skip
    return record_anomalies(context.stores.predictions, record, since=since)


def verdict_counts(rows: pl.DataFrame) -> dict[str, int]:
    """Return how many series have each verdict."""
    return dict(rows.group_by("verdict").len().iter_rows())


def most_anomalous(rows: pl.DataFrame, most: int | None = MOST_ANOMALOUS) -> pl.DataFrame:
    """Return series that are anomalous, the highest score first; all if `most` is None."""
    told = rows.filter(pl.col("verdict") == ANOMALOUS).sort(
        "score", "store_id", "sku_id", descending=[True, False, False]
    )
    return told if most is None else told.head(most)


def _summary(rows: pl.DataFrame, detector: DetectorRecord, day: date) -> Summary:
    counts, told = verdict_counts(rows), signals_of_rows(rows, day)
    return {
        "anomalous": counts.get(ANOMALOUS, 0),
        "too_little_history": counts.get(TOO_LITTLE_HISTORY, 0),
        "signals": len(told),
        "detector": detector.detector,
        "threshold": detector.threshold,
        "false_alarms_held_back": detector.held_back_rate,
        "shares": anomaly_shares(rows).drop("inputs"),
        "most_anomalous": most_anomalous(rows).select("store_id", "sku_id", "score", "inputs", "value", "usual_value"),
        "scores": as_markdown_image(scores_png(rows, title=str(day)), "scores of series"),
    }
