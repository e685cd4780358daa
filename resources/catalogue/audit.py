"""The rows of the audit views, as the kinds of ledger entries declare them, in files.

What belongs here: keeping rows in small Parquet files beside the catalogue, and the types of their columns. What does
not: which views there are, their columns and their rows (`resources/ledger/entries`), or SQL.

What follows from an entry never changes, so its rows are written once: a file for each entry, then one for every ten
and every hundred, so that a long ledger is few files. A file is named by the last entry that it tells of, whose hash
stands for all before it. All of them can be thrown away and made again.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import TIMESTAMP, Contract
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import StorageError
from resources.ledger.entries.audit import AuditColumn, AuditTable, ColumnType, ComputedRows, LedgerRecord
from resources.ledger.records import ProductFile
from resources.store.blobs import sha256
from resources.store.files import write_whole
from resources.store.manifests import ProductVersion
from resources.store.parquet import to_parquet
from resources.stores.products import PredictionStore

# How many entries' rows are put together, the largest first.
GROUPS: Final = (100, 10, 1)

_DTYPES: Final[Mapping[ColumnType, Any]] = {
    ColumnType.TEXT: pl.String, ColumnType.TEXTS: pl.List(pl.String), ColumnType.DATE: pl.Date,
    ColumnType.MOMENT: TIMESTAMP, ColumnType.INT32: pl.Int32, ColumnType.INT32S: pl.List(pl.Int32),
    ColumnType.INT64: pl.Int64, ColumnType.FLOAT64: pl.Float64, ColumnType.BOOLEAN: pl.Boolean,
}  # fmt: skip


class AuditRows:
    """The rows of the audit views as of the ledger's head, in Parquet files; what is missing or damaged is written.

    Args:
        store: Where the ledger and the manifests are.
        folder: Where the files are kept.
        anew: Whether to write them also where they are there, since one of them may be damaged.
    """

    def __init__(self, store: PredictionStore, folder: Path, *, anew: bool = False) -> None:
        self._store = store
        self._folder = folder
        self._anew = anew
        # Asked for in this order, the entries reach as far as the state: it is the ledger's own, and moves with it.
        self.state = store.ledger.state()
        self._entries = store.ledger.entries()
        self._files: dict[str, list[str]] = {}

    # --- what rows are made from ---

    def recorded_at(self, sequence: int) -> str:
        """Return when an entry was appended, ISO 8601 in UTC."""
        return self._entries[sequence - 1].recorded_at

    def readable(self, versions: Sequence[str]) -> Mapping[str, ProductVersion]:
        """Return those product versions whose manifests are there and unchanged."""
        return self._store.readable(versions)

    # --- files ---

    def files(self, table: AuditTable) -> list[str]:
        """Return the files that hold the rows of a table, oldest first; what is missing or damaged is written."""
        if table.name not in self._files:
            self._files[table.name] = [*self._written(table)] or [self._empty(table.name, schema_of(table.columns))]
        return self._files[table.name]

    def no_rows(self, contract: Contract) -> str:
        """Return a file of a product without rows, for a ledger that has none."""
        return self._empty(contract.name, contract.schema)

    def named_files(self, naming: list[str]) -> dict[str, list[ProductFile]]:
        """Return the files of products that rows name, each once, by the fingerprint of their contract.

        Raises:
            StorageError: If one of them is damaged inside.
        """
        try:
            named = pl.read_parquet(naming, columns=["schema", "path", "sha256", "rows", "bytes"], glob=False)
        except pl.exceptions.PolarsError as error:
            raise StorageError(
                f"Rows of the audit views below `{self._folder}` cannot be read: {error}.",
                remedy=Sentence("Make them again: ", Action("catalogue")),
            ) from error
        found: dict[str, list[ProductFile]] = defaultdict(list)
        for schema, *file in named.unique().sort("path").iter_rows():
            found[schema].append(ProductFile(*file))
        return found

    def _written(self, table: AuditTable) -> Iterator[str]:
        schema = schema_of(table.columns)
        by_entry = defaultdict(list)
        for record in table.records(self.state):
            by_entry[record.sequence].append(record)
        for sequences in _grouped(sorted(by_entry)):
            path = self._path(table.name, schema, sequences)
            if self._anew or not _is_readable(path, schema):
                smaller = [] if self._anew else self._smaller(table.name, schema, sequences)
                left = sequences[sum(size for size, _ in smaller) :]
                made = self._made(table, [record for sequence in left for record in by_entry[sequence]])
                data = to_parquet(pl.concat([*(part for _, part in smaller), pl.DataFrame(made.rows, schema=schema)]))
                if not made.is_complete:
                    # What could not be read now may be mended later: looked at again by the next build.
                    path = path.with_stem(f"{path.stem}-incomplete-{sha256(data)[:12]}")
                write_whole(path, data)
            yield str(path)

    def _made(self, table: AuditTable, records: Sequence[LedgerRecord]) -> ComputedRows:
        return table.rows_of(records, self)

    def _path(self, name: str, schema: Mapping[str, Any], sequences: Sequence[int]) -> Path:
        last = self._entries[sequences[-1] - 1]
        stem = f"{name}-{last.sequence:012d}-{len(sequences)}-{last.hash[:12]}-{_fingerprint(schema)}"
        return self._folder / f"{stem}.parquet"

    def _smaller(
        self, name: str, schema: Mapping[str, Any], sequences: Sequence[int]
    ) -> list[tuple[int, pl.DataFrame]]:
        """Return how many entries each smaller file tells of, and its rows, up to the first that is not there.

        So the manifests of a hundred runs are not read once more when their files become one.
        """
        found: list[tuple[int, pl.DataFrame]] = []
        at = 0
        while at < len(sequences):
            for size in (size for size in GROUPS if size < len(sequences)):
                frame = _read(self._path(name, schema, sequences[at : at + size]), schema)
                if frame is not None:
                    found.append((size, frame))
                    at += size
                    break
            else:
                break
        return found

    def _empty(self, name: str, schema: Mapping[str, Any]) -> str:
        path = self._folder / f"{name}-none-{_fingerprint(schema)}.parquet"
        if self._anew or not _is_readable(path, schema):
            write_whole(path, to_parquet(pl.DataFrame(schema=dict(schema))))
        return str(path)


def schema_of(columns: Sequence[AuditColumn]) -> dict[str, Any]:
    """Return column names to Polars types, in order."""
    return {column.name: _dtype(column) for column in columns}


def _dtype(column: AuditColumn) -> Any:
    if isinstance(column.type, ColumnType):
        return _DTYPES[column.type]
    return pl.List(pl.Struct(schema_of(column.type)))


def _grouped(sequences: Sequence[int]) -> Iterator[Sequence[int]]:
    """Cut a sequence into groups of a hundred, then of ten, then of one; a longer one begins with the same groups.

    Example:
        >>> [len(group) for group in _grouped(range(1, 213))]
        [100, 100, 10, 1, 1]
    """
    at = 0
    for size in GROUPS:
        while len(sequences) - at >= size:
            yield sequences[at : at + size]
            at += size


# Goes up whenever rows are computed in another way: files of an earlier release are then written anew.
ROWS_FORMAT: Final = 1


def _fingerprint(schema: Mapping[str, Any]) -> str:
    return sha256(repr((ROWS_FORMAT, sorted((name, str(kind)) for name, kind in schema.items()))).encode())[:8]


def _is_readable(path: Path, schema: Mapping[str, Any]) -> bool:
    """Return whether a file is there and says of itself that it has these columns."""
    try:
        return pl.read_parquet_schema(path) == dict(schema)
    except (OSError, pl.exceptions.PolarsError):
        return False


def _read(path: Path, schema: Mapping[str, Any]) -> pl.DataFrame | None:
    try:
        return pl.read_parquet(path, glob=False) if _is_readable(path, schema) else None
    except (OSError, pl.exceptions.PolarsError):
        return None
