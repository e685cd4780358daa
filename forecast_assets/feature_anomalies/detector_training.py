"""Training a detector on earlier snapshots: which series of which days it learns from, and its threshold.

What belongs here: from what changed on each day to a detector and what is known of it. What does not: reading
snapshots, or recording.

Whole days are held back, the newest ones: what happens on a day happens to many series at once, so that rows of one day
are no measure of each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.anomalies.detectors import DETECTORS, ONE_CLASS_SVM
from forecast_assets.anomalies.model_file import AnomalyModel, library_versions
from forecast_assets.anomalies.scoring import chunked_scores
from forecast_assets.anomalies.threshold import calibrated_threshold
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import NotReadyError
from forecast_assets.core.wording import counted
from forecast_assets.feature_anomalies.changes import WatchedFeatures
from forecast_assets.features.compiler import SERIES
from resources.store.blobs import sha256

# Decided by `python -m bench.feature_anomalies`.
DEFAULT_METHOD: Final = ONE_CLASS_SVM
FALSE_ALARM_RATE: Final = 0.01
# Days that a detector learns from and is calibrated on.
TRAINING_DAYS: Final = 28
LEAST_TRAINING_DAYS: Final = 8
_HELD_BACK_SHARE: Final = 0.25
LEAST_ROWS: Final = 100
# Of more series a seeded sample does.
MOST_SERIES: Final = 2_000
SEED: Final = 0
REMEDY: Final = Sentence(
    "Wait for more days, or make the snapshots of earlier ones: ", Action("anomalies snapshot", {"earlier": 49}), "."
)


@dataclass(frozen=True)
class SnapshotDetector:
    """A detector of anomalies in snapshots.

    Attributes:
        model: The detector, as files of models hold it.
        first_date: Oldest day that it learned from.
        cutoff: Newest day that it has seen.
        held_back_days: Days that its threshold was calibrated on.
        held_back_rate: Share of rows above it on those days, each judged by the other ones.
    """

    model: AnomalyModel
    first_date: date
    cutoff: date
    held_back_days: int
    held_back_rate: float


def drawn_series(series: pl.DataFrame, most: int = MOST_SERIES, seed: int = SEED) -> pl.DataFrame:
    """Return a seeded sample of series: the same ones from whatever order they come in.

    Args:
        series: `store_id, sku_id`.
        most: How many at most.
        seed: Of the sample.
    """
    ordered = series.select(SERIES).unique().sort(SERIES)
    if ordered.height <= most:
        return ordered
    kept = np.sort(np.random.default_rng(seed).permutation(ordered.height)[:most])
    return ordered[kept]


def train_on_days(
    days: Mapping[date, Floats], watched: WatchedFeatures, *, name: str, method: str = DEFAULT_METHOD, seed: int = SEED
) -> SnapshotDetector:
    """Train a detector on the changes of some days.

    Args:
        days: [n, columns] what a detector reads of each day's series.
        watched: Says which columns these are.
        name: Of the detector.
        method: Which of the four.
        seed: Of samples and of the method.

    Raises:
        NotReadyError: If there are too few days or rows.
    """
    ordered = sorted(days)
    require_days(len(ordered))
    rows = sum(len(days[day]) for day in ordered)
    if rows < LEAST_ROWS:
        raise NotReadyError(
            f"A detector of anomalies needs {LEAST_ROWS} rows of series with a past of their own; "
            f"{counted(len(ordered), 'day')} have {rows}.",
            remedy=REMEDY,
            rows=rows,
        )
    held = max(2, round(len(ordered) * _HELD_BACK_SHARE))
    learned, kept_back = ordered[:-held], ordered[-held:]
    values = np.concatenate([days[day] for day in learned])
    is_read = ~np.isnan(values).all(axis=0)
    chosen = DETECTORS[method]
    places = np.random.default_rng(seed).permutation(len(values))[: chosen.most_rows]
    fitted = np.ascontiguousarray(values[np.sort(places)][:, is_read])
    model = AnomalyModel(
        name=name,
        detector=method,
        features=tuple(np.array(watched.columns)[is_read].tolist()),
        pipeline=chosen.fit(fitted, seed),
        trained_on=f"feature_snapshots from {ordered[0]} to {ordered[-1]}",
        data_sha256=sha256(fitted.tobytes()),
        training_rows=len(fitted),
        seed=seed,
        libraries=library_versions(),
    )
    scores = [chunked_scores(model, days[day][:, is_read]) for day in kept_back]
    every = np.concatenate(scores)
    rate = _attainable(len(every))
    calibrated = replace(
        model, threshold=calibrated_threshold(every, rate), false_alarm_rate=rate, held_back_rows=len(every)
    )
    return SnapshotDetector(calibrated, learned[0], ordered[-1], held, _rate_of_others(scores))


def require_days(days: int) -> None:
    """Refuse to train on too few days.

    Args:
        days: Days with earlier ones of their own.

    Raises:
        NotReadyError: If they are too few.
    """
    if days < LEAST_TRAINING_DAYS:
        raise NotReadyError(
            f"A detector of anomalies needs {LEAST_TRAINING_DAYS} snapshots with others before them to learn from; "
            f"there {'is' if days == 1 else 'are'} {days}.",
            remedy=REMEDY,
            days=days,
        )


def _attainable(rows: int) -> float:
    """Return the false alarm rate, or the smallest one that so many rows can be calibrated to."""
    return max(FALSE_ALARM_RATE, 1 / (rows + 1))


def _rate_of_others(scores: Sequence[Floats]) -> float:
    """Return the share of rows above the threshold of the other days."""
    above = 0
    for at, own in enumerate(scores):
        others = np.concatenate([each for day, each in enumerate(scores) if day != at])
        threshold = calibrated_threshold(others, _attainable(len(others)))
        above += int(np.count_nonzero(own > (np.inf if threshold is None else threshold)))
    return above / sum(map(len, scores))
