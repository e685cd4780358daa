"""Scores of a table's rows by a model, part by part.

What belongs here: from parts of a table to scored parts, and what is counted on the way. What does not: writing them
(``outputs``), or loading a model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from forecast_assets.anomalies.detectors import fills_gaps, one_openmp_thread, one_thread
from forecast_assets.anomalies.features import ERROR, IMPUTE, SKIP, FeatureMatrix, feature_matrix, require_valid
from forecast_assets.anomalies.model_file import AnomalyModel
from forecast_assets.anomalies.tables import CHUNK, FeatureTable, Part
from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.core.errors import InputError
from forecast_assets.core.threads import in_threads

_MOST_ANOMALOUS: Final = 10


@dataclass(frozen=True)
class ScoredPart:
    """Rows and their scores.

    Attributes:
        part: The rows as they were read.
        scores: [n] of all of them; higher is more anomalous.
        is_kept: [n] whether a row is written; None for all of them.
    """

    part: Part
    scores: Floats
    is_kept: Bools | None = None

    @property
    def kept_scores(self) -> Floats:
        """Scores of the rows that are written."""
        return self.scores if self.is_kept is None else self.scores[self.is_kept]


@dataclass
class ScoringCounts:
    """What was counted while rows were scored.

    Attributes:
        rows: Read.
        rows_imputed: With at least one value that was imputed.
        rows_skipped: That are left out of the output.
        invalid_values: Missing or infinite, by feature.
        anomalies: Scores above the threshold.
        scored: Rows that are written.
        most_anomalous: Row as people count and its score, the highest ten.
    """

    rows: int = 0
    rows_imputed: int = 0
    rows_skipped: int = 0
    invalid_values: dict[str, int] = field(default_factory=dict)
    anomalies: int = 0
    scored: int = 0
    most_anomalous: list[tuple[int, float]] = field(default_factory=list)

    def add(self, scored: ScoredPart, threshold: float) -> None:
        """Count the scores of a part."""
        kept = scored.kept_scores
        self.scored += len(kept)
        self.anomalies += int(np.count_nonzero(kept > threshold))
        rows = np.arange(len(scored.scores)) + scored.part.first_row
        rows = rows if scored.is_kept is None else rows[scored.is_kept]
        highest = np.argsort(-kept, kind="stable")[:_MOST_ANOMALOUS]
        both = [*self.most_anomalous, *((int(rows[at]), float(kept[at])) for at in highest)]
        self.most_anomalous = sorted(both, key=lambda each: (-each[1], each[0]))[:_MOST_ANOMALOUS]


def scored_parts(
    model: AnomalyModel,
    table: FeatureTable,
    counts: ScoringCounts,
    *,
    rows: int | None,
    on_invalid: str,
    known: Sequence[Floats] = (),
) -> Iterator[ScoredPart]:
    """Yield the rows of a table with their scores.

    Args:
        model: What scores.
        table: What is scored; it has all features.
        counts: Is added to.
        rows: Read at a time; None for as many as fit well. No score depends on it.
        on_invalid: `impute`, `skip` or `error` where a value is missing or infinite.
        known: Scores of each part, if they were computed before.

    Raises:
        InputError: If a feature is no number; or with `error`, is missing or infinite; likewise with `impute` if the
            model puts nothing there.
    """
    for at, part in enumerate(table.parts(rows, model.features)):
        matrix = feature_matrix(part.typed, model.features)
        is_invalid = matrix.is_row_invalid
        invalid = int(np.count_nonzero(is_invalid))
        counts.rows += len(is_invalid)
        if invalid:
            if on_invalid == ERROR:
                require_valid(table.path, matrix, model.features, part.first_row)
            for name, count in zip(model.features, matrix.is_invalid.sum(axis=0), strict=True):
                if count:
                    counts.invalid_values[name] = counts.invalid_values.get(name, 0) + int(count)
        scores = known[at] if known else chunked_scores(model, _filled(model, matrix, table, on_invalid))
        if on_invalid == SKIP and invalid:
            counts.rows_skipped += invalid
            yield ScoredPart(part, scores, ~is_invalid)
        else:
            counts.rows_imputed += invalid
            yield ScoredPart(part, scores)


def _filled(model: AnomalyModel, matrix: FeatureMatrix, table: FeatureTable, on_invalid: str) -> Floats:
    """[n, features] that the model can score: of one that puts nothing in place of NaN, rows without it."""
    if not matrix.is_invalid.any() or fills_gaps(model.pipeline):
        return matrix.values
    if on_invalid == IMPUTE:
        raise InputError(
            f"{table.path} has values that are missing or infinite, and the model `{model.name}` has nothing to put "
            "there.",
            remedy="Leave their rows out: --on-invalid skip; or use a model whose pipeline begins with an imputer.",
        )
    # Their scores are not kept.
    return np.where(matrix.is_invalid, 0.0, matrix.values)


def chunked_scores(model: AnomalyModel, values: Floats, workers: int | None = None) -> Floats:
    """Return [n] scores of [n, features] values, chunk by chunk, several at a time.

    Args:
        model: What scores.
        values: Rows from a multiple of `CHUNK` rows on; NaN is imputed.
        workers: Threads; as many as processors if left out. No score depends on it.
    """

    def score(start: int) -> Any:
        with one_openmp_thread():
            return model.method.scores(model.pipeline, values[start : start + CHUNK])

    with one_thread():
        made = [scores for _, scores in in_threads(score, range(0, len(values), CHUNK), workers)]
    return np.concatenate(made) if made else np.empty(0)
