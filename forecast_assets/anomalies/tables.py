"""Tables of features in files, read a part after the other: CSV in any usual dialect, and Parquet.

What belongs here: opening a file and yielding its rows, as they are and with their types. What does not: which columns
a model wants, or writing.

Parts are cut at multiples of `CHUNK` rows, counted from the start of the file. Scores are computed chunk by chunk, so
that they do not depend on how much is read at a time: the last bits of a product of matrices depend on its shape.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import polars as pl

from forecast_assets.anomalies.column_types import ColumnTypes
from forecast_assets.core.errors import InputError, SourceError, first_line, first_ten
from forecast_assets.sources.text_files import TextForm, TextScan, scan_text_table
from forecast_assets.sources.text_numbers import found_decimal_mark

CHUNK: Final = 4096
# Values in a part, if nobody says how many rows it has: some 100 MB with all that is made of them.
_CELLS: Final = 1_600_000
_LARGEST_PART: Final = 1 << 40
# Rows from which the decimal mark follows, where nobody says it.
_JUDGED: Final = CHUNK // 2
_PARQUET: Final = (".parquet", ".pq")
_PARQUET_MARK: Final = b"PAR1"


@dataclass(frozen=True)
class Part:
    """Some rows of a table.

    Attributes:
        first_row: Number of the first, as people count: of its line in a CSV, from 1 in Parquet.
        as_read: The rows as they are: texts of a CSV, values of a Parquet file.
        typed: The same with types, which are those of all rows of the file.
        arrow: The same as Arrow has them in a Parquet file, whose types Polars does not all keep; None of a CSV.
    """

    first_row: int
    as_read: pl.DataFrame
    typed: pl.DataFrame
    arrow: Any = None


class FeatureTable(Protocol):
    """A file that is open."""

    path: Path

    @property
    def columns(self) -> Sequence[str]:
        """Names, in the file's order."""

    @property
    def unnamed(self) -> Sequence[str]:
        """Columns without a name, such as an index, as parts name them; nothing is learned from them."""

    @property
    def first_row(self) -> int:
        """Number of the first row, as people count."""

    def parts(self, rows: int | None, numbers: Sequence[str]) -> Iterator[Part]:
        """Yield the rows, a part after the other.

        Args:
            rows: So many at a time, rounded up to whole chunks; as many as fit well if None.
            numbers: Columns that have to be numbers.

        Raises:
            SourceError: If the file cannot be read.
            InputError: If one of `numbers` has something else, with the rows.
        """

    def schema(self) -> Mapping[str, Any]:
        """Return the type of each column, in the file's order.

        Raises:
            SourceError: If the file cannot be read.
        """

    def expected_rows(self) -> int:
        """Return about how many rows there are."""


@dataclass(frozen=True)
class TextDialect:
    """What somebody says of a CSV; what is None is found out.

    Attributes:
        form: Encoding and separator.
        decimal_comma: Whether decimals follow a comma.
    """

    form: TextForm = field(default_factory=TextForm)
    decimal_comma: bool | None = None


def open_table(path: Path, dialect: TextDialect | None = None) -> FeatureTable:
    """Open a file by its name or its first bytes: `.parquet`, `.pq` or those of Parquet, else CSV.

    Raises:
        SourceError: If there is none, or it cannot be read.
    """
    if not path.is_file():
        there = sorted(each.name for each in path.parent.iterdir() if each.is_file()) if path.parent.is_dir() else []
        raise SourceError(
            f"There is no file `{path}`. Its folder has: {first_ten(there) or 'nothing'}.",
            remedy="Name a CSV or Parquet file that is there.",
            path=path,
        )
    if path.suffix.lower() in _PARQUET or _begins_as_parquet(path):
        return _ParquetTable(path)
    asked = dialect or TextDialect()
    return _TextTable(path, scan_text_table(path, asked.form, keeps_unnamed=True), asked)


def _begins_as_parquet(path: Path) -> bool:
    # Who may not read it is told by what reads it.
    with suppress(OSError), path.open("rb") as file:
        return file.read(len(_PARQUET_MARK)) == _PARQUET_MARK
    return False


def part_rows(rows: int | None, columns: int) -> int:
    """Return how many rows are read at a time: whole chunks.

    Args:
        rows: As asked; None for as many as fit well.
        columns: Of the table.

    Example:
        >>> part_rows(None, 20), part_rows(None, 1000), part_rows(5000, 20)
        (81920, 4096, 8192)
    """
    wanted = _CELLS // max(1, columns) if rows is None else min(rows, _LARGEST_PART)
    return max(1, math.ceil(wanted / CHUNK)) * CHUNK


class _TextTable:
    """A CSV."""

    def __init__(self, path: Path, scan: TextScan, dialect: TextDialect) -> None:
        self.path, self._scan, self._dialect = path, scan, dialect
        self._types: dict[tuple[str, ...], ColumnTypes] = {}
        self._sampled: pl.DataFrame | None = None

    @property
    def columns(self) -> Sequence[str]:
        return self._scan.columns

    @property
    def unnamed(self) -> Sequence[str]:
        return self._scan.unnamed

    @property
    def first_row(self) -> int:
        return self._scan.first_row

    def parts(self, rows: int | None, numbers: Sequence[str]) -> Iterator[Part]:
        size = part_rows(rows, len(self.columns))
        types, at = self._learned(tuple(numbers), size), self.first_row
        # After a separator at the end of a line there is no column, unless something stands there.
        empty = [name for name in self.unnamed if name not in types.types]
        for each in _regrouped(self._scan.parts(size), size):
            texts = each.drop(empty)
            yield Part(at, texts, types.cast(texts, at))
            at += texts.height

    def schema(self) -> Mapping[str, Any]:
        types = self._learned((), part_rows(None, len(self.columns)))
        return {name: types.type_of(name) for name in self.columns}

    def _learned(self, numbers: tuple[str, ...], size: int) -> ColumnTypes:
        """Return the types of all rows; of what the first rows do not settle, the others are read for it."""
        if numbers not in self._types:
            types, sample = ColumnTypes(str(self.path), numbers), self._sample()
            types.is_comma = self._is_comma(sample.select(numbers))
            types.learn(sample)
            unsettled = types.unsettled(sample.columns) if sample.height == CHUNK else []
            for texts in self._scan.parts(size, unsettled) if unsettled else ():
                types.learn(texts)
            self._types[numbers] = types
        return self._types[numbers]

    def expected_rows(self) -> int:
        sample = self._sample()
        written = sum(int(column.str.len_bytes().sum()) + column.len() for column in sample.iter_columns())
        return max(sample.height, round(self.path.stat().st_size * sample.height / max(1, written)))

    def _sample(self) -> pl.DataFrame:
        """Return the first chunk."""
        if self._sampled is None:
            nothing = pl.DataFrame(schema=dict.fromkeys([*self.columns, *self.unnamed], pl.String))
            self._sampled = next(_regrouped(self._scan.parts(CHUNK), CHUNK), nothing)
        return self._sampled

    def _is_comma(self, texts: pl.DataFrame) -> bool:
        if self._dialect.decimal_comma is not None:
            return self._dialect.decimal_comma
        mark = found_decimal_mark(texts.head(_JUDGED).get_columns())
        # A point parts decimals wherever the comma parts fields.
        if mark.comma_doubt or (mark.point_doubt and self._scan.separator != ","):
            raise InputError(
                f"{self.path} has numbers such as 1,234 or 1.234 that may be thousands or decimals, and none that "
                "tells which.",
                remedy="Say --decimal-comma if 1.234,5 is how numbers are written, --decimal-point if 1,234.5 is.",
            )
        return mark.is_comma


class _ParquetTable:
    """A Parquet file."""

    first_row = 1

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self.path = path
        with _parquet_errors(path):
            self._file = pq.ParquetFile(path)
        _require_types(path, self._file.schema_arrow)
        names = self._file.schema_arrow.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceError(
                f"{path} has columns of the same name: {first_ten(twice)}.", remedy="Keep one of each, or rename one."
            )

    @property
    def columns(self) -> Sequence[str]:
        return [name for name in self._file.schema_arrow.names if name]

    @property
    def unnamed(self) -> Sequence[str]:
        return [name for name in self._file.schema_arrow.names if not name]

    def parts(self, rows: int | None, numbers: Sequence[str]) -> Iterator[Part]:
        import pyarrow as pa

        size, at = part_rows(rows, len(self.columns)), self.first_row
        with _parquet_errors(self.path):
            pieces = (pa.Table.from_batches([batch]) for batch in self._file.iter_batches(batch_size=size))
            for arrow in _regrouped(pieces, size):
                frame = pl.DataFrame(pl.from_arrow(arrow))
                # Polars gives a column without a name one.
                frame.columns = arrow.column_names
                self._require_numbers(frame, numbers)
                yield Part(at, frame, frame, arrow)
                at += frame.height

    def schema(self) -> Mapping[str, Any]:
        schema = pl.DataFrame(pl.from_arrow(self._file.schema_arrow.empty_table())).schema
        types = zip(self._file.schema_arrow.names, schema.values(), strict=True)
        return {name: dtype for name, dtype in types if name}

    def expected_rows(self) -> int:
        return int(self._file.metadata.num_rows)

    def _require_numbers(self, frame: pl.DataFrame, numbers: Sequence[str]) -> None:
        wrong = [
            f"`{name}` is {frame.schema[name]}{_first_value(frame[name], self.first_row)}"
            for name in numbers
            if not is_numeric(frame.schema[name])
        ]
        if wrong:
            raise InputError(
                f"{self.path} has columns that are no numbers where numbers are needed: {first_ten(wrong)}.",
                remedy="Write these columns as numbers, or leave them out of the features.",
                columns=wrong,
            )


def is_numeric(dtype: Any) -> bool:
    """Whether values of a type are numbers to a detector: yes and no count as 1 and 0."""
    return bool(dtype.is_numeric()) or dtype in (pl.Boolean, pl.Null)


def _first_value(values: pl.Series, first_row: int) -> str:
    at = values.is_not_null().arg_true()
    if not len(at):
        return ""
    first = values.slice(at[0], 1)
    # Polars can write days that Python does not know.
    value = first.cast(pl.String)[0] if first.dtype.is_temporal() and first.dtype != pl.Duration else first.to_list()[0]
    return f", row {first_row + at[0]:,} {str(value)!r}"


def _require_types(path: Path, schema: Any) -> None:
    """Refuse a Parquet file with columns that Polars has no type for."""
    wrong = [f"{each.name} ({each.type})" for each in schema if not _has_type(each)]
    if wrong:
        raise SourceError(
            f"{path} has columns of types that cannot be read: {first_ten(wrong)}.",
            remedy="Write them in other types, or leave them out of the file.",
        )


def _has_type(column: Any) -> bool:
    """Whether Polars has a type for a column of Arrow."""
    import pyarrow as pa

    # Asked for one of these, Polars panics.
    if "decimal256" in str(column.type):
        return False
    try:
        pl.from_arrow(pa.schema([column]).empty_table())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False
    return True


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise SourceError(
            f"{path} cannot be read as Parquet: {first_line(error)}.",
            remedy="Copy or write it again; it may be cut short.",
        ) from error


def _regrouped(pieces: Iterator[Any], size: int) -> Iterator[Any]:
    """Yield the same rows in parts of exactly so many, the last with what is left; of Polars or Arrow tables."""
    held: list[Any] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        while count >= size:
            joined = _joined(held)
            yield joined[:size] if len(joined) > size else joined
            count -= size
            held = [joined[size:]] if count else []
    if count:
        yield _joined(held)


def _joined(pieces: Sequence[Any]) -> Any:
    if len(pieces) == 1:
        return pieces[0]
    if isinstance(pieces[0], pl.DataFrame):
        return pl.concat(pieces)
    import pyarrow as pa

    return pa.concat_tables(pieces)
