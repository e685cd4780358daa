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
from datetime import date
from pathlib import Path
from typing import Any, Final

import duckdb

from forecast_assets.contracts import PRODUCTS, PUBLISHED, SERIES_STEP_KEY
from resources.blobs import translated
from resources.ledger import LedgerState
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
    state = store.ledger.state()
    target = folder / f"catalogue-{state.sequence:012d}.duckdb"
    with translated(target):
        folder.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _build_file(store, state, target, connection)
        _point(folder / LINK, target)
    return target


def _build_file(
    store: PredictionStore, state: LedgerState, target: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    scratch = target.with_name(f".{target.stem}-{os.getpid()}.duckdb")
    scratch.unlink(missing_ok=True)
    try:
        connection.execute(f"ATTACH {_text(scratch)} AS built (STORAGE_VERSION '{STORAGE_VERSION}')")
        try:
            for statement in _statements(store, state):
                connection.execute(statement)
            connection.execute("CHECKPOINT built")
        finally:
            connection.execute("DETACH built")
        scratch.chmod(0o444)
        # A hard link fails where the name exists: of two builders of the same ledger head one wins, both are right.
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
    current = link.resolve().name if link.is_symlink() else ""
    # A slower builder of an older head must not turn the link back.
    if current < target.name:
        scratch.symlink_to(target.name)
        scratch.replace(link)


def _statements(store: PredictionStore, state: LedgerState) -> Iterable[str]:
    yield from _audit_views(state)
    files: dict[tuple[str, str], list[str]] = defaultdict(list)
    for publication in state.publications.values():
        for product in PUBLISHED:
            product_version = store.version(publication.products[product])
            files[publication.key.model_version, product] += store.paths(product_version)
    for model_version in sorted({name for name, _ in files}):
        yield f"CREATE SCHEMA built.{_name(model_version)}"
        for product in PUBLISHED:
            yield from _product_view(model_version, product, files[model_version, product])


def _product_view(version: str, product: str, paths: Sequence[str]) -> Iterable[str]:
    view = f"built.{_name(version)}.{_name(product)}"
    identity = _PREDICTION_ID if PRODUCTS[product].key == SERIES_STEP_KEY else ""
    source = (
        f"read_parquet([{', '.join(_text(path) for path in paths)}], hive_partitioning=true, hive_types={HIVE_TYPES})"
    )
    columns = ", ".join(PRODUCTS[product].names)
    yield f"CREATE VIEW {view} AS SELECT {columns}{identity} FROM {source}"  # noqa: S608
    contract = PRODUCTS[product]
    yield f"COMMENT ON VIEW {view} IS {_text(f'{contract.description} Grain: {contract.grain}.')}"
    for column in contract.columns:
        yield f"COMMENT ON COLUMN {view}.{_name(column.name)} IS {_text(column.description)}"


# As forecast_assets.keys.PredictionId writes it.
_PREDICTION_ID: Final = (
    ", concat_ws('/', cadence, prediction_date, model_version, forecast_horizon, 'r' || revision, "
    "replace(replace(sku_id, '%', '%25'), '/', '%2F'), replace(replace(store_id, '%', '%25'), '/', '%2F'), step)"
    " AS prediction_id"
)


def _audit_views(state: LedgerState) -> Iterable[str]:
    yield "CREATE SCHEMA built.audit"
    yield _values_view("ledger_head", [{"sequence": state.sequence, "hash": state.head}])
    yield _values_view("publications", [_publication_row(p) for p in state.publications.values()])
    yield _values_view("model_versions", [_version_row(v) for v in state.versions.values()])
    yield _values_view("channel_history", [vars(a) for a in state.appointments])


def _publication_row(publication: Any) -> dict[str, object]:
    key = publication.key
    return {
        "publication_key": str(key),
        **vars(key),
        **{f"{product}_version": publication.products[product] for product in PUBLISHED},
        "ledger_sequence": publication.sequence,
        "recorded_at": publication.recorded_at,
    }


def _version_row(version: Any) -> dict[str, object]:
    return {name: value for name, value in vars(version).items() if name != "gates"}


def _values_view(name: str, rows: Sequence[Mapping[str, object]]) -> str:
    if not rows:
        return f"CREATE VIEW built.audit.{_name(name)} AS SELECT NULL AS nothing_yet WHERE false"
    columns = ", ".join(_name(column) for column in rows[0])
    values = ", ".join(f"({', '.join(_literal(value) for value in row.values())})" for row in rows)
    return f"CREATE VIEW built.audit.{_name(name)} AS SELECT * FROM (VALUES {values}) AS rows({columns})"  # noqa: S608


def _literal(value: object) -> str:
    if isinstance(value, date):
        return f"DATE '{value}'"
    return str(value) if isinstance(value, int) else _text(value)


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
