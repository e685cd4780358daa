"""Training a detector from a table: which rows it learns from, which are held back, and its threshold.

What belongs here: choosing columns and rows, fitting, calibrating. What does not: judging by labels (``evaluation``),
or where the model is kept.

Rows are drawn by a random number each, in the order of the file, so that the same file and seed give the same model
however much is read at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.anomalies.column_types import MISSING
from forecast_assets.anomalies.detectors import DETECTORS, Detector
from forecast_assets.anomalies.features import FeatureMatrix, feature_matrix, require_features
from forecast_assets.anomalies.model_file import AnomalyModel, library_versions
from forecast_assets.anomalies.outputs import ADDED
from forecast_assets.anomalies.scoring import chunked_scores
from forecast_assets.anomalies.tables import FeatureTable, is_numeric
from forecast_assets.anomalies.threshold import calibrated_threshold, least_rows
from forecast_assets.core.arrays import Bools, Floats, Ints
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.core.progress import Progress, silent

HELD_BACK_SHARE: Final = 0.2
MOST_HELD_BACK: Final = 20_000
LEAST_ROWS: Final = 20
_LEAST_RATE: Final = 1e-9
_TRUE: Final = ("1", "1.0", "true", "yes")
_FALSE: Final = ("0", "0.0", "false", "no")


@dataclass(frozen=True)
class DetectorRequest:
    """What to train.

    Attributes:
        detector: Name of the method.
        name: Of the model.
        features: Columns to read; None for all that are numeric.
        excluded: Columns that are no features, where all numeric ones are taken.
        false_alarm_rate: Share of usual rows that may be called anomalies.
        seed: Of samples and of the method.
        label: Column that says of a row that it is an anomaly; such rows are never learned from.
        unit: Column that names the machine of a row.
        time: Column that says when a row was.
    """

    detector: str
    name: str
    features: Sequence[str] | None = None
    excluded: Sequence[str] = ()
    false_alarm_rate: float = 0.01
    seed: int = 0
    label: str | None = None
    unit: str | None = None
    time: str | None = None

    @property
    def special(self) -> tuple[str, ...]:
        """Columns that are named for what they say, and never features."""
        return tuple(name for name in (self.label, self.unit, self.time) if name is not None)


@dataclass(frozen=True)
class TrainedDetector:
    """A model, and how it came about.

    Attributes:
        model: The model.
        rows: That the file has.
        usual_rows: Of them those that are not labelled anomalies.
        learned: Numbers of the rows that it was fitted on, counted from 0.
        notes: What people should know, as sentences.
    """

    model: AnomalyModel
    rows: int
    usual_rows: int
    learned: Ints
    notes: tuple[str, ...]


def train_detector(
    table: FeatureTable,
    request: DetectorRequest,
    *,
    data_sha256: str,
    trained_at: str,
    progress: Progress = silent,
) -> TrainedDetector:
    """Train a detector on the usual rows of a table.

    Args:
        table: What it learns from.
        request: What to train.
        data_sha256: Of the file.
        trained_at: ISO 8601, UTC.
        progress: Told how many rows are read.

    Raises:
        InputError: If columns are missing or no numbers, or there are too few rows.
    """
    method = DETECTORS[request.detector]
    _require_rate(request.false_alarm_rate)
    features = chosen_features(table, request)
    _require_no_scores(table, features)
    if len(features) < method.least_features:
        raise InputError(
            f"{table.path} gives the {method.title} {len(features)} of the {method.least_features} features that it "
            f"needs: {first_ten(features) or 'none'}.",
            remedy="Name more features, or choose another detector.",
        )
    drawn = _DrawnRows(method.most_rows + MOST_HELD_BACK, request.seed)
    expected = table.expected_rows()
    for part in table.parts(None, features):
        drawn.add(feature_matrix(part.typed, features), usual_rows(part.typed, request.label))
        progress("rows read", drawn.rows, max(expected, drawn.rows))
    _require_rows(table, drawn, features)
    held, learned = drawn.parted(held_back_rows(drawn.usual, request.false_alarm_rate), method.most_rows)
    pipeline = method.fit(drawn.values[learned], request.seed)
    model = AnomalyModel(
        name=request.name,
        detector=method.name,
        features=tuple(features),
        pipeline=pipeline,
        false_alarm_rate=request.false_alarm_rate,
        trained_at=trained_at,
        trained_on=table.path.name,
        data_sha256=data_sha256,
        training_rows=len(learned),
        held_back_rows=len(held),
        other_columns=tuple(name for name in table.columns if name not in features),
        seed=request.seed,
        libraries=library_versions(),
    )
    threshold = calibrated_threshold(chunked_scores(model, drawn.values[held]), request.false_alarm_rate)
    notes = (
        *_notes(drawn, features, method, len(held), len(learned)),
        *_threshold_notes(threshold, len(held), request),
    )
    return TrainedDetector(
        AnomalyModel(**{**vars(model), "threshold": threshold}),
        drawn.rows,
        drawn.usual,
        np.sort(drawn.numbers[learned]),
        notes,
    )


def chosen_features(table: FeatureTable, request: DetectorRequest) -> list[str]:
    """Return the columns that a detector reads: those that are named, or all numeric ones.

    Raises:
        InputError: If one that is named is not there, or comes twice, or there is none.
    """
    require_features(table.path, request.special, table.columns)
    _require_time(table, request.time)
    if request.features is not None:
        require_features(table.path, request.features, table.columns)
        odd = [name for name in dict.fromkeys(request.features)
               if request.features.count(name) > 1 or name in request.special]  # fmt: skip
        if odd:
            raise InputError(
                f"{first_ten(odd)} cannot be a feature here: it is named twice, or as label, unit or time.",
                remedy="Name each feature once.",
            )
        return list(request.features)
    require_features(table.path, request.excluded, table.columns)
    schema = table.schema()
    left_out = {*request.excluded, *request.special}
    found = [name for name, dtype in schema.items() if is_numeric(dtype) and name not in left_out]
    if not found:
        kinds = [f"{name} ({dtype})" for name, dtype in schema.items()]
        raise InputError(
            f"{table.path} has no numeric columns to learn from. Found: {first_ten(kinds) or 'nothing'}.",
            remedy="Give a file with rows and numeric columns.",
        )
    return found


def _require_rate(rate: float) -> None:
    """Refuse what is no share; the comparison is false of NaN."""
    if not _LEAST_RATE <= rate < 1:
        raise InputError(
            f"A false alarm rate of {rate:g} cannot be kept.", remedy=f"Give one from {_LEAST_RATE:g} to below 1."
        )


def _require_time(table: FeatureTable, time: str | None) -> None:
    """Refuse a column of times in which nothing can be later than something else."""
    dtype = None if time is None else table.schema()[time]
    if dtype is not None and not (is_numeric(dtype) or dtype.is_temporal()):
        raise InputError(
            f"The column `{time}` of {table.path} is {dtype}, and no time.",
            remedy="Name a column of days, moments such as 2025-06-30 06:00:00, or numbers.",
        )


def _require_no_scores(table: FeatureTable, features: Sequence[str]) -> None:
    """Refuse features that scoring adds itself: no table could be scored by such a model."""
    added = [name for name in features if name in ADDED]
    if added:
        raise InputError(
            f"{table.path} has features that scoring adds: {first_ten(added)}.",
            remedy="Train on the file that was scored, or leave these columns out of the features.",
            columns=added,
        )


def usual_rows(typed: pl.DataFrame, label: str | None) -> Bools:
    """[n] Say which rows may be learned from: all without a label column, else those that it calls no anomaly.

    Raises:
        InputError: If the column says something else than yes and no.
    """
    if label is None:
        return np.ones(typed.height, dtype=bool)
    return (~labelled_rows(typed, label)).fill_null(value=False).to_numpy()


def labelled_rows(typed: pl.DataFrame, label: str | None) -> pl.Series:
    """[n] Say which rows are labelled anomalies; null where the label says nothing, or there is none.

    Raises:
        InputError: If the column says something else than yes and no.
    """
    if label is None:
        return pl.Series([None], dtype=pl.Boolean).new_from_index(0, typed.height)
    values = typed[label]
    said = (values.cast(pl.Float64) if values.dtype.is_numeric() else values).cast(pl.String).str.strip_chars()
    said = said.set(said.is_in(MISSING), None).str.to_lowercase()
    meaning = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}
    made = said.replace_strict(meaning, default=None, return_dtype=pl.Boolean)
    odd = said.filter(made.is_null() & said.is_not_null()).unique(maintain_order=True).to_list()
    if odd:
        raise InputError(
            f"The label `{label}` says {first_ten(repr(each) for each in odd)}.",
            remedy="Write 1, true or yes where a row is an anomaly, 0, false or no where it is none.",
        )
    return made


@dataclass
class _DrawnRows:
    """A seeded sample of the usual rows of a table, without an order that says which came first."""

    most: int
    seed: int
    rows: int = 0
    usual: int = 0
    values: Floats = field(default_factory=lambda: np.empty((0, 0)))
    numbers: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._keys = np.empty(0)

    def add(self, matrix: FeatureMatrix, is_usual: Bools) -> None:
        """Take in rows; of more than fit those with the lowest random numbers stay."""
        count = len(is_usual)
        keys, numbers = self._random.random(count)[is_usual], np.arange(self.rows, self.rows + count)[is_usual]
        before = self.values if self.rows else matrix.values[:0]
        keys, numbers = np.concatenate([self._keys, keys]), np.concatenate([self.numbers, numbers])
        kept = np.argsort(keys, kind="stable")[: self.most]
        self._keys, self.numbers = keys[kept], numbers[kept]
        self.values = np.concatenate([before, matrix.values[is_usual]])[kept]
        self.rows += count
        self.usual += int(np.count_nonzero(is_usual))

    def parted(self, held: int, most_rows: int) -> tuple[Ints, Ints]:
        """Return the places of rows that are held back and of those that are learned from, each as in the file."""
        both = np.arange(held), np.arange(held, min(len(self.numbers), held + most_rows))
        first, second = (each[np.argsort(self.numbers[each])] for each in both)
        return first, second


def held_back_rows(usual: int, false_alarm_rate: float) -> int:
    """Return how many rows are held back: a fifth, or as many as the rate needs if that leaves half to learn from.

    Example:
        >>> held_back_rows(1000, 0.01), held_back_rows(300, 0.01), held_back_rows(100, 0.01)
        (200, 99, 20)
    """
    share, needed = round(usual * HELD_BACK_SHARE), least_rows(false_alarm_rate)
    return min(max(share, needed) if 2 * needed <= usual else share, MOST_HELD_BACK)


def _require_rows(table: FeatureTable, drawn: _DrawnRows, features: Sequence[str]) -> None:
    if drawn.usual < LEAST_ROWS:
        raise InputError(
            f"{table.path} has {drawn.usual} rows to learn from, of {drawn.rows} in all; a detector needs "
            f"{LEAST_ROWS}.",
            remedy="Give a file with more rows that are no anomalies.",
        )
    is_empty = np.isnan(drawn.values).all(axis=0)
    if is_empty.any():
        raise InputError(
            f"{table.path} has features without a single number: {first_ten(np.array(features)[is_empty])}.",
            remedy="Leave them out of the features.",
        )


def _notes(drawn: _DrawnRows, features: Sequence[str], method: Detector, held: int, learned: int) -> list[str]:
    notes = []
    if learned < drawn.usual - held:
        notes.append(
            f"The {method.title} is fitted on a sample of {learned:,} of {drawn.usual:,} rows, which is as many as it "
            "takes here."
        )
    invalid = int(np.isnan(drawn.values).any(axis=1).sum())
    if invalid:
        notes.append(f"{invalid:,} rows of the sample lack a number somewhere; the mean of the others stands there.")
    with np.errstate(all="ignore"):
        is_constant = np.nanmin(drawn.values, axis=0) == np.nanmax(drawn.values, axis=0)
    if is_constant.any():
        notes.append(f"Features with one value only: {first_ten(np.array(features)[is_constant])}.")
    return notes


def _threshold_notes(threshold: float | None, held: int, request: DetectorRequest) -> list[str]:
    if threshold is not None:
        return []
    return [
        (
            f"No threshold could be calibrated: {held:,} rows were held back, and a false alarm rate of "
            f"{request.false_alarm_rate:g} needs {least_rows(request.false_alarm_rate):,}. Scoring says what it "
            "takes instead."
        )
    ]


def model_facts(model: AnomalyModel) -> dict[str, Any]:
    """Return what a model was trained on, for programs."""
    return {
        "file": model.trained_on, "sha256": model.data_sha256, "trained_at": model.trained_at,
        "rows": model.training_rows, "held_back_rows": model.held_back_rows,
    }  # fmt: skip
