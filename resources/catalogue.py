"""The BI catalogue: DuckDB files that hold nothing but views over what the ledger has published.

What belongs here: one schema per model version, the audit views, and swapping catalogues safely.
What does not: data. A catalogue can be thrown away and built again from the ledger at any time.

Each build makes a new file, read-only on disk, and moves a symbolic link. Replacing the file itself would not be safe:
a client that is connected read-write leaves a write-ahead log which DuckDB would replay onto the new file.
"""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from forecast_assets.contracts import FORECAST_ACCURACY, PRODUCTS, PUBLISHED, SERIES_STEP_KEY, SQUARED_UNITS, Contract
from forecast_assets.keys import DAILY
from forecast_assets.quantities import UNITS
from resources.blobs import sha256, translated
from resources.ledger import LedgerState, Measurement
from resources.prediction_store import PredictionStore

# Every DuckDB driver since 1.0 opens files of this storage version.
STORAGE_VERSION: Final = "v1.0.0"
HIVE_TYPES: Final = "{'prediction_date': DATE, 'model_version': VARCHAR, 'forecast_horizon': INTEGER}"
LINK: Final = "catalogue.duckdb"


def build_catalogue(store: PredictionStore, folder: Path, connection: duckdb.DuckDBPyConnection) -> Path:
    """Build the catalogue of the ledger's head and point `catalogue.duckdb` at it.

    Args:
        store: Where the ledger and the files are.
        folder: Where catalogues live.
        connection: An in-memory DuckDB connection to build with.

    Returns:
        The new file. The link beside it already points there.

    Raises:
        StorageError: If the folder cannot be written.
    """
    while True:
        sequence = store.ledger.state().sequence
        target = _built(store, folder, connection)
        # Another publication came in between: its catalogue must not be hidden behind this one.
        if store.ledger.state().sequence == sequence:
            with translated(target):
                _point(folder / LINK, target)
            if store.ledger.state().sequence == sequence:
                return target


def _built(store: PredictionStore, folder: Path, connection: duckdb.DuckDBPyConnection) -> Path:
    """Return the catalogue file of the ledger's head, built unless it is there.

    Its name holds a hash of all it says, head and paths of files among it: a store that was made anew, cut or moved has
    another catalogue, even if it has as many entries.
    """
    state = store.ledger.state()
    statements = list(_statements(store, state))
    content = sha256("\n".join(statements).encode())
    target = folder / f"catalogue-{state.sequence:012d}-{content[:12]}.duckdb"
    with translated(target):
        folder.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _build_file(statements, target, connection)
    return target


def _build_file(statements: Iterable[str], target: Path, connection: duckdb.DuckDBPyConnection) -> None:
    scratch = target.with_name(f".{target.stem}-{os.getpid()}.duckdb")
    scratch.unlink(missing_ok=True)
    try:
        connection.execute(f"ATTACH {_text(scratch)} AS built (STORAGE_VERSION '{STORAGE_VERSION}')")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute("CHECKPOINT built")
        finally:
            connection.execute("DETACH built")
        scratch.chmod(0o444)
        # A hard link fails where the name exists: of two builders of the same content one wins, both are right.
        _link_once(scratch, target)
    finally:
        scratch.unlink(missing_ok=True)


def _link_once(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        # Some file systems have no hard links.
        shutil.copy2(source, target)


def _point(link: Path, target: Path) -> None:
    scratch = link.with_name(f".{link.name}-{os.getpid()}")
    scratch.unlink(missing_ok=True)
    if not link.is_symlink() or link.readlink() != Path(target.name):
        scratch.symlink_to(target.name)
        scratch.replace(link)


def _statements(store: PredictionStore, state: LedgerState) -> Iterable[str]:
    yield from _audit_views(store, state)
    files: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for publication in state.publications.values():
        for product in PUBLISHED:
            product_version = store.version(publication.products[product])
            files[publication.key.model_version, publication.key.cadence, product] += store.paths(product_version)
    for model_version in sorted({version for version, *_ in files}):
        yield f"CREATE SCHEMA built.{_name(model_version)}"
    for (model_version, cadence, product), paths in sorted(files.items()):
        yield from _product_view(model_version, cadence, product, paths)


def _accuracy_view(store: PredictionStore, state: LedgerState) -> Iterable[str]:
    """The view over every measurement of every day: which is the newest, and when it was made, are columns."""
    view = f"built.audit.{_name(FORECAST_ACCURACY.name)}"
    names = ", ".join(f"product.{_name(name)}" for name in FORECAST_ACCURACY.names)
    rows = [row for days in state.measurements.values() for row in _measurement_rows(store, days)]
    if rows:
        paths = ", ".join(_text(path) for path in sorted({str(row["filename"]) for row in rows}))
        yield (
            f"CREATE VIEW {view} AS SELECT {names}, measured_sequence::BIGINT AS measured_sequence, is_newest, "  # noqa: S608
            f"known_until FROM read_parquet([{paths}], hive_partitioning=false, filename=true) AS product "
            f"JOIN {_values(rows)} AS measured({', '.join(rows[0])}) USING (filename)"
        )
    else:
        typed = ", ".join(f"CAST(NULL AS {_SQL_TYPES[c.dtype]}) AS {_name(c.name)}" for c in FORECAST_ACCURACY.columns)
        extra = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, (kind, _) in _MEASURED_COLUMNS.items())
        yield f"CREATE VIEW {view} AS SELECT {typed}, {extra} WHERE false"
    yield f"COMMENT ON VIEW {view} IS {_text(f'{FORECAST_ACCURACY.description} Grain: {FORECAST_ACCURACY.grain}.')}"
    comments = {column.name: column.description for column in FORECAST_ACCURACY.columns}
    for name, comment in (comments | {name: words for name, (_, words) in _MEASURED_COLUMNS.items()}).items():
        yield f"COMMENT ON COLUMN {view}.{_name(name)} IS {_text(comment)}"


_SQL_TYPES: Final[Mapping[Any, str]] = {
    pl.String: "VARCHAR",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.Date: "DATE",
    UNITS: "DECIMAL(18, 6)",
    SQUARED_UNITS: "DECIMAL(38, 6)",
}
_MEASURED_COLUMNS: Final = {
    "measured_sequence": ("BIGINT", "ledger entry that recorded the measurement"),
    "is_newest": ("BOOLEAN", "whether no later measurement of the day and cadence exists; sum these alone"),
    "known_until": ("TIMESTAMPTZ", "moment of knowledge of the sales: when the newest row of the day became known"),
}


def _measurement_rows(store: PredictionStore, days: Sequence[Measurement]) -> Iterable[dict[str, object]]:
    for measurement in days:
        for path in store.paths(store.version(measurement.product_version)):
            yield {
                "filename": path,
                "measured_sequence": measurement.sequence,
                "is_newest": measurement is days[-1],
                "known_until": datetime.fromisoformat(measurement.known_until),
            }


def view_name(cadence: str, product: str) -> str:
    """Return the name of a product's view: daily runs have the plain name, so that a query never mixes cadences.

    Example:
        >>> view_name("daily", "forecasts"), view_name("weekly", "forecasts")
        ('forecasts', 'weekly_forecasts')
    """
    return product if cadence == DAILY.name else f"{cadence}_{product}"


def _product_view(version: str, cadence: str, product: str, paths: Sequence[str]) -> Iterable[str]:
    view = f"built.{_name(version)}.{_name(view_name(cadence, product))}"
    identity = _PREDICTION_ID if PRODUCTS[product].key == SERIES_STEP_KEY else ""
    source = (
        f"read_parquet([{', '.join(_text(path) for path in paths)}], hive_partitioning=true, hive_types={HIVE_TYPES})"
    )
    columns = ", ".join(PRODUCTS[product].names)
    yield f"CREATE VIEW {view} AS SELECT {columns}{identity} FROM {source}"  # noqa: S608
    contract = PRODUCTS[product]
    yield f"COMMENT ON VIEW {view} IS {_text(_comment(cadence, contract))}"
    for column in contract.columns:
        yield f"COMMENT ON COLUMN {view}.{_name(column.name)} IS {_text(column.description)}"


def _comment(cadence: str, contract: Contract) -> str:
    return f"{contract.description} Grain: {contract.grain}. Runs of the {cadence} cadence only."


# As forecast_assets.keys.PredictionId writes it.
_PREDICTION_ID: Final = (
    ", concat_ws('/', cadence, prediction_date, model_version, forecast_horizon, 'r' || revision, "
    "replace(replace(sku_id, '%', '%25'), '/', '%2F'), replace(replace(store_id, '%', '%25'), '/', '%2F'), step)"
    " AS prediction_id"
)


def _audit_views(store: PredictionStore, state: LedgerState) -> Iterable[str]:
    yield "CREATE SCHEMA built.audit"
    yield _values_view("ledger_head", [{"sequence": state.sequence, "hash": state.head}])
    yield _values_view("publications", [_publication_row(p) for p in state.publications.values()])
    yield _values_view("model_versions", [_version_row(v) for v in state.versions.values()])
    yield _values_view("channel_history", [vars(a) for a in state.appointments])
    yield from _accuracy_view(store, state)


def _publication_row(publication: Any) -> dict[str, object]:
    key = publication.key
    return {
        "publication_key": str(key),
        **vars(key),
        **{f"{product}_version": publication.products[product] for product in PUBLISHED},
        "ledger_sequence": publication.sequence,
        "recorded_at": publication.recorded_at,
        "corrects": publication.correction.corrects,
        "by": publication.correction.by,
        "reason": publication.correction.reason,
    }


def _version_row(version: Any) -> dict[str, object]:
    return {name: value for name, value in vars(version).items() if name != "gates"}


def _values_view(name: str, rows: Sequence[Mapping[str, object]]) -> str:
    if not rows:
        return f"CREATE VIEW built.audit.{_name(name)} AS SELECT NULL AS nothing_yet WHERE false"
    columns = ", ".join(_name(column) for column in rows[0])
    return f"CREATE VIEW built.audit.{_name(name)} AS SELECT * FROM {_values(rows)} AS rows({columns})"  # noqa: S608


def _values(rows: Sequence[Mapping[str, object]]) -> str:
    tuples = ", ".join(f"({', '.join(_literal(value) for value in row.values())})" for row in rows)
    return f"(VALUES {tuples})"


def _literal(value: object) -> str:
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.isoformat()}'"
    if isinstance(value, date):
        return f"DATE '{value}'"
    return str(value) if isinstance(value, int) else _text(value)


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
