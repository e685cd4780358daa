"""Scoring a table of features by an anomaly model: from files to files.

What belongs here: the order of the work, the three files and what the third says. What does not: scores, or printing.

The three files are written under other names and take their own when all are whole, the metadata last: whoever finds it
finds the others. Running again gives the same but for moments and times.
"""

import json
import math
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

import forecast_assets
from forecast_assets.anomalies.features import IMPUTE, require_features
from forecast_assets.anomalies.model_file import AnomalyModel, changed_libraries
from forecast_assets.anomalies.outputs import ADDED, ScoreWriter
from forecast_assets.anomalies.scoring import ScoredPart, ScoringCounts, scored_parts
from forecast_assets.anomalies.tables import FeatureTable, Part, TextDialect, is_numeric, open_table, part_rows
from forecast_assets.anomalies.threshold import DEFAULT_CONTAMINATION, contaminated_threshold
from forecast_assets.anomalies.training import model_facts
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import InputError, OutOfMemoryError, first_ten
from forecast_assets.core.memory import free_memory
from forecast_assets.core.progress import Progress, silent
from forecast_assets.operations.anomaly_models import Vouched, load_anomaly_model
from forecast_assets.operations.new_files import require_name, require_place, require_text, whole_files
from resources.store.provenance import code_version

SUFFIXES: Final = (".csv", ".parquet", "_metadata.json")
# Memory that a value takes with all that is made of it.
_CELL_BYTES: Final = 64
# Endings that somebody may give with the base of the names.
_GIVEN: Final = (".csv", ".parquet")


@dataclass(frozen=True)
class ScoringRequest:
    """What to score, by what, and into which files.

    Attributes:
        model: File of the model.
        data: File of the rows.
        output: Base of the three names.
        threshold: A score above it is an anomaly; None for the model's.
        batch_size: Rows that are read at a time; None for as many as fit well.
        on_invalid: `impute`, `skip` or `error` where a feature is missing or infinite.
        dialect: What is known of a CSV.
        vouched: On whose word a model that is code is loaded.
        overwrite: Whether files of these names are replaced.
    """

    model: Path
    data: Path
    output: Path
    threshold: float | None = None
    batch_size: int | None = None
    on_invalid: str = IMPUTE
    dialect: TextDialect | None = None
    vouched: Vouched = field(default_factory=Vouched)
    overwrite: bool = False

    @property
    def outputs(self) -> tuple[Path, Path, Path]:
        """The CSV, the Parquet file and the metadata."""
        require_name(self.output)
        base = self.output.with_suffix("") if self.output.suffix in _GIVEN else self.output
        csv, parquet, metadata = (base.with_name(f"{base.name}{suffix}") for suffix in SUFFIXES)
        return csv, parquet, metadata


@dataclass(frozen=True)
class ScoringOutcome:
    """Three files that were written.

    Attributes:
        outputs: The CSV, the Parquet file and the metadata.
        metadata: As the third file has it.
        model: That scored.
        counts: What was counted on the way.
        warnings: What people should know, as sentences.
    """

    outputs: tuple[Path, Path, Path]
    metadata: Mapping[str, Any]
    model: AnomalyModel
    counts: ScoringCounts
    warnings: tuple[str, ...]


def score_table(store: Path, request: ScoringRequest, *, progress: Progress = silent) -> ScoringOutcome:
    """Score every row of a file, and write it with its scores.

    Args:
        store: The home's operational store.
        request: What to score.
        progress: Told how many rows are scored.

    Raises:
        InputError: If the model, the file or the names of the output cannot be used; nothing is written then.
        UntrustedModelError: If the model is code that nobody vouches for.
        OutOfMemoryError: If so many rows at a time do not fit.
        StorageError: If the disk refuses.
    """
    started = time.perf_counter()
    for path in (request.model, request.data, request.output):
        require_text(path)
    require_place(request.outputs, overwrite=request.overwrite)
    if request.data.exists() and any(out.exists() and out.samefile(request.data) for out in request.outputs):
        raise InputError(f"`{request.data}` would be replaced by its own scores.", remedy="Choose another --output.")
    if request.threshold is not None and not math.isfinite(request.threshold):
        raise InputError(f"A threshold of {request.threshold} tells nothing apart.", remedy="Give a finite number.")
    table = open_table(request.data, request.dialect)
    model, sha256 = load_anomaly_model(store, request.model, request.vouched)
    _require_columns(table, model)
    _require_memory(request, table)
    try:
        return _TableScoring(request, table, model, sha256, started, progress).run()
    except MemoryError as error:
        raise _out_of_memory(request, len(table.columns)) from error


def _require_columns(table: FeatureTable, model: AnomalyModel) -> None:
    require_features(table.path, model.features, table.columns)
    taken = [name for name in ADDED if name in table.columns]
    if taken:
        raise InputError(
            f"{table.path} has columns that scoring adds: {first_ten(taken)}.",
            remedy="Score the file that it was made from, or rename these columns.",
            columns=taken,
        )


def _require_memory(request: ScoringRequest, table: FeatureTable) -> None:
    """Refuse what does not fit, if somebody says how much is read: the system ends a process that takes too much."""
    free = None if request.batch_size is None else free_memory()
    columns = len(table.columns)
    rows = min(part_rows(request.batch_size, columns), table.expected_rows())
    if free is not None and rows * columns * _CELL_BYTES > free:
        raise _out_of_memory(request, columns)


def _out_of_memory(request: ScoringRequest, columns: int) -> OutOfMemoryError:
    rows = part_rows(request.batch_size, columns)
    fewer = max(1, rows // 4)
    return OutOfMemoryError(
        f"{request.data} with {columns:,} columns does not fit into memory, {rows:,} rows at a time.",
        remedy=Sentence(
            "Nothing was written. Read fewer at a time, which changes no score: ",
            Action(
                "score",
                {"model": request.model, "input": request.data, "output": request.output, "batch_size": fewer},
            ),
        ),
        rows=rows,
    )


@dataclass
class _TableScoring:
    """One file on its way."""

    request: ScoringRequest
    table: FeatureTable
    model: AnomalyModel
    sha256: str
    started: float
    progress: Progress

    def run(self) -> ScoringOutcome:
        moment = datetime.now(UTC)
        counts, days, unread = ScoringCounts(), _DateRange(), list[str]()
        with whole_files(self.request.outputs, overwrite=self.request.overwrite) as (csv, parquet, metadata_file):
            threshold, known = self._threshold()
            writer = ScoreWriter(
                csv,
                parquet,
                threshold=threshold,
                scored_at=moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
                model_name=self.model.name,
            )
            with writer, ThreadPoolExecutor(1) as beside:
                writing: Future[None] | None = None
                expected = self.table.expected_rows()
                for scored in self._scored(counts, known):
                    counts.add(scored, threshold)
                    days.add(scored.part)
                    unread = unread or self._unread(scored.part)
                    if writing is not None:
                        writing.result()
                    writing = beside.submit(writer.write, scored)
                    self.progress("rows scored", counts.rows, max(expected, counts.rows))
                self._require_rows(counts)
                if writing is not None:
                    writing.result()
            self.progress("rows scored", counts.rows, counts.rows)
            metadata = self._metadata(counts, days, threshold, moment)
            metadata_file.write_text(json.dumps(metadata, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        warnings = (*self._warnings(threshold), *_unread_words(unread), *_invalid_words(counts))
        return ScoringOutcome(self.request.outputs, metadata, self.model, counts, warnings)

    def _scored(self, counts: ScoringCounts, known: Sequence[Floats] = ()) -> Iterator[ScoredPart]:
        return scored_parts(
            self.model,
            self.table,
            counts,
            rows=self.request.batch_size,
            on_invalid=self.request.on_invalid,
            known=known,
        )

    def _threshold(self) -> tuple[float, Sequence[Floats]]:
        """Return what is asked for, else the model's; of a model without, what a tenth of the file's rows exceed.

        The scores of each part come with it where it took them.
        """
        given = self.model.threshold if self.request.threshold is None else self.request.threshold
        if given is not None:
            return given, ()
        counts, made, kept = ScoringCounts(), [], []
        for scored in self._scored(counts):
            made.append(scored.scores)
            kept.append(scored.kept_scores)
        self._require_rows(counts)
        return contaminated_threshold(np.concatenate(kept)), made

    def _require_rows(self, counts: ScoringCounts) -> None:
        if not counts.rows:
            raise InputError(f"{self.table.path} has no rows.", remedy="Give a file with rows below its column names.")
        if counts.rows == counts.rows_skipped:
            raise InputError(
                f"All {counts.rows:,} rows of {self.table.path} lack a number somewhere, so that skipping leaves none.",
                remedy="Correct the file, or impute: --on-invalid impute.",
            )

    def _unread(self, part: Part) -> list[str]:
        """Return the numeric columns that the model knows nothing of; the others are names and moments."""
        known = {*self.model.features, *self.model.other_columns, *self.table.unnamed}
        return [name for name, dtype in part.typed.schema.items() if name not in known and is_numeric(dtype)]

    def _warnings(self, threshold: float) -> list[str]:
        found = []
        if self.model.threshold is None and self.request.threshold is None:
            found.append(
                f"The model has no threshold: {threshold:.6g} is what {DEFAULT_CONTAMINATION:.0%} of these rows "
                "exceed. Give one with --threshold."
            )
        changed = changed_libraries(self.model)
        if changed:
            found.append(
                f"The model was trained with other libraries, so that scores may differ: {first_ten(changed)}."
            )
        return found

    def _metadata(
        self, counts: ScoringCounts, days: "_DateRange", threshold: float, moment: datetime
    ) -> dict[str, Any]:
        return {
            "run_info": {
                "timestamp": moment.isoformat(),
                "script_version": code_version(),
                "git_commit": git_commit(),
            },
            "model_info": {
                "model_path": str(self.request.model),
                "model_type": self.model.detector,
                "model_name": self.model.name,
                "model_sha256": self.sha256,
                "trained_on": model_facts(self.model),
                "features_used": list(self.model.features),
            },
            "input_info": {
                "input_path": str(self.request.data),
                "total_samples": counts.rows,
                "date_range": days.told(),
            },
            "scoring_results": {
                "threshold_used": threshold,
                "anomalies_detected": counts.anomalies,
                "anomaly_rate": counts.anomalies / counts.scored,
                "processing_time_seconds": round(time.perf_counter() - self.started, 3),
                "rows_imputed": counts.rows_imputed,
                "rows_skipped": counts.rows_skipped,
            },
        }


class _DateRange:
    """The first and last day or moment of the first column that has such."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._ends: pl.DataFrame | None = None

    def add(self, part: Part) -> None:
        """Take in the rows of a part."""
        self._name = self._name or _moment_column(part.typed)
        if self._name is not None:
            values = part.typed.select(pl.col(self._name).alias("day"))
            self._ends = _ends(values if self._ends is None else pl.concat([self._ends, _ends(values)]))

    def told(self) -> dict[str, str] | None:
        """Return it as the metadata has it."""
        if self._name is None or self._ends is None or not self._ends["day"].count():
            return None
        first, last = (_iso(self._ends["day"].slice(at, 1)) for at in (0, 1))
        return {"column": self._name, "start": first, "end": last}


def _ends(values: pl.DataFrame) -> pl.DataFrame:
    """`day`: the first and the last."""
    return pl.concat([values.select(pl.all().min()), values.select(pl.all().max())])


def _iso(value: pl.Series) -> str:
    """Return one day or moment; also of years that Python does not know."""
    try:
        return str(value[0].isoformat())
    except (ValueError, OverflowError):
        return str(value.cast(pl.String)[0]).replace(" ", "T")


def _moment_column(frame: pl.DataFrame) -> str | None:
    return next((name for name in frame.columns if _has_moments(frame, name)), None)


def _has_moments(frame: pl.DataFrame, name: str) -> bool:
    dtype = frame.schema[name]
    return dtype == pl.Date or isinstance(dtype, pl.Datetime)


def _unread_words(unread: Sequence[str]) -> list[str]:
    if not unread:
        return []
    return [f"Not among the model's features, so that no score depends on them: {first_ten(unread)}."]


def _invalid_words(counts: ScoringCounts) -> list[str]:
    if not counts.invalid_values:
        return []
    each = [f"{name} {count:,}" for name, count in counts.invalid_values.items()]
    done = "left out" if counts.rows_skipped else "scored with the mean of training there"
    rows = counts.rows_skipped or counts.rows_imputed
    return [f"{rows:,} rows with missing or infinite values were {done}: {first_ten(each)}."]


def git_commit() -> str | None:
    """Return the commit of the working copy that this code is run from; None where it is installed otherwise."""
    root = Path(forecast_assets.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(  # noqa: S603 - no part of it is given from outside
            ["git", "-C", str(root), "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
