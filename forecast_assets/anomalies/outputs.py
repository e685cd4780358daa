"""Scored rows as CSV and Parquet, written a part after the other.

What belongs here: the columns that scoring adds, and the two formats. What does not: names of files and when they
appear under them (``operations``).

Texts of a CSV go into the new CSV as they are. In the Parquet file columns have types: those of the input, or those
that its texts have (``column_types``).
"""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import polars as pl

from forecast_assets.anomalies.scoring import ScoredPart

ADDED: Final = ("anomaly_score", "is_anomaly", "threshold_used", "scored_at", "model_name")
_ADDED_TYPES: Final = (pl.Float64, pl.Int8, pl.Float64, pl.String, pl.String)


class ScoreWriter:
    """Writes scored parts into two files, in a `with` block.

    Args:
        csv: Where the CSV is written.
        parquet: Where the Parquet file is written.
        threshold: A score above it is an anomaly.
        scored_at: The one moment of all rows, ISO 8601, UTC.
        model_name: Of the model.
    """

    def __init__(self, csv: Path, parquet: Path, *, threshold: float, scored_at: str, model_name: str) -> None:
        self._parquet_path = parquet
        # Here and not by the thread that writes: Polars asks the other threads' modules for it while it is imported.
        import pyarrow.parquet

        del pyarrow
        self._threshold, self._scored_at, self._model_name = threshold, scored_at, model_name
        self._writer: Any = None
        self._csv = csv.open("wb")
        self._has_rows = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._csv.close()
        if self._writer is not None:
            self._writer.close()

    def write(self, scored: ScoredPart) -> None:
        """Write the rows of a part that are kept."""
        part, added = scored.part, self._added(scored.scores)
        as_read, typed, arrow = part.as_read, part.typed, part.arrow
        if scored.is_kept is not None:
            is_kept = pl.Series(scored.is_kept)
            as_read, typed, added = (each.filter(is_kept) for each in (as_read, typed, added))
            arrow = None if arrow is None else arrow.filter(scored.is_kept)
        (as_read if arrow is None else plain_columns(as_read)).hstack(added).write_csv(
            self._csv, include_header=not self._has_rows
        )
        self._has_rows = True
        self._write_parquet(typed, added, arrow)

    def _added(self, scores: Any) -> pl.DataFrame:
        values = (
            scores, (scores > self._threshold).astype(np.int8), self._threshold, self._scored_at, self._model_name,
        )  # fmt: skip
        return pl.DataFrame({"anomaly_score": scores}).select(
            pl.lit(pl.Series(name, value) if isinstance(value, np.ndarray) else value, dtype=dtype).alias(name)
            for name, value, dtype in zip(ADDED, values, _ADDED_TYPES, strict=True)
        )

    def _write_parquet(self, typed: pl.DataFrame, added: pl.DataFrame, arrow: Any = None) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        moment = pl.col("scored_at").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC")
        new = added.with_columns(moment).to_arrow()
        table = typed.to_arrow() if arrow is None else arrow
        for name in new.column_names:
            table = table.append_column(new.schema.field(name), new.column(name))
        if self._writer is None:
            texts = [each.name for each in table.schema if not pa.types.is_floating(each.type)]
            self._writer = pq.ParquetWriter(self._parquet_path, table.schema, compression="zstd", use_dictionary=texts)
        self._writer.write_table(table.cast(self._writer.schema))


def plain_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame as CSV can hold it: lists, structs and bytes as JSON, spans of time as ISO 8601 has them.

    Example:
        >>> plain_columns(pl.DataFrame({"a": [[1, 2]], "b": [b"x"]})).rows()
        [('[1, 2]', '"x"')]
    """
    spans = [values.dt.to_string("iso") for values in frame.iter_columns() if values.dtype == pl.Duration]
    # Lists of one length reach `map_elements` as nothing that Python knows.
    lists = [values.arr.to_list() for values in frame.iter_columns() if values.dtype == pl.Array]
    frame = frame.with_columns(*spans, *lists)
    return frame.with_columns(
        *(
            values.map_elements(_json_text, return_dtype=pl.String)
            for values in frame.iter_columns()
            if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object)
        ),
    )


def _json_text(value: Any) -> str:
    return json.dumps(value.to_list() if isinstance(value, pl.Series) else value, default=_as_text)


def _as_text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
