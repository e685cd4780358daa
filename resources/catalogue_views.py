"""The SQL of the BI catalogue: one schema per model version, and the audit views.

What belongs here: statements that create views and describe them. What does not: running them, or the rows of the audit
views.

Every statement names its files one by one, so that a catalogue shows one position of the ledger for good. Nothing but
these names grows with the number of runs: about 150 bytes for each product of a run.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from forecast_assets.contracts import FORECAST_ACCURACY, PRODUCTS, PUBLISHED, SERIES_STEP_KEY, Contract
from forecast_assets.keys import DAILY
from resources.audit_rows import (
    BATCHES,
    CHANNEL_HISTORY,
    LINEAGE,
    MODEL_VERSIONS,
    PUBLICATIONS,
    VACUUMS,
    AuditRows,
)
from resources.prediction_store import PredictionStore

HIVE_TYPES: Final = "{'prediction_date': DATE, 'model_version': VARCHAR, 'forecast_horizon': INTEGER}"
# As forecast_assets.keys.PredictionId writes it.
_PREDICTION_ID: Final = (
    "concat_ws('/', cadence, prediction_date, model_version, forecast_horizon, 'r' || revision, "
    "replace(replace(sku_id, '%', '%25'), '/', '%2F'), replace(replace(store_id, '%', '%25'), '/', '%2F'), step)"
)
_RUN: Final = "publication_key, cadence, prediction_date, model_version, forecast_horizon, revision"
_MEASURED: Final = {
    "measured_sequence": "ledger entry that recorded the measurement",
    "is_newest": "whether no later measurement of the day and cadence exists; sum these alone",
    "known_until": "moment of knowledge of the sales: when the newest row of the day became known",
}


def view_name(cadence: str, product: str) -> str:
    """Return the name of a product's view: daily runs have the plain name, so that a query never mixes cadences.

    Example:
        >>> view_name("daily", "forecasts"), view_name("weekly", "forecasts")
        ('forecasts', 'weekly_forecasts')
    """
    return product if cadence == DAILY.name else f"{cadence}_{product}"


def statements(store: PredictionStore, rows: AuditRows) -> Iterator[str]:
    """Yield what creates all views, in a database attached as `built`.

    Args:
        store: Where the files of products are.
        rows: The rows of the audit views.
    """
    yield "CREATE SCHEMA built.audit"
    yield from _audit_views(rows)
    yield from _accuracy_view(store, rows)
    files: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for publication in rows.state.publications.values():
        for product in PUBLISHED:
            paths = store.paths(store.files(publication, product), by_size=True)
            files[publication.key.model_version, publication.key.cadence, product] += paths
    for model_version in sorted({version for version, *_ in files}):
        yield f"CREATE SCHEMA built.{_name(model_version)}"
    for (model_version, cadence, product), paths in sorted(files.items()):
        yield from _product_view(model_version, cadence, product, paths)


def _product_view(version: str, cadence: str, product: str, paths: Sequence[str]) -> Iterator[str]:
    contract = PRODUCTS[product]
    columns, comments = ", ".join(contract.names), {column.name: column.description for column in contract.columns}
    if contract.key == SERIES_STEP_KEY:
        columns += f", {_PREDICTION_ID} AS prediction_id"
        comments["prediction_id"] = "the row's name: its run (`audit.lineage` says what of), SKU, store and step"
    source = f"read_parquet({_list(paths)}, hive_partitioning=true, hive_types={HIVE_TYPES})"
    yield from _view(
        f"{_name(version)}.{_name(view_name(cadence, product))}",
        f"SELECT {columns} FROM {source}",  # noqa: S608
        f"{_described(contract)} Runs of the {cadence} cadence only.",
        comments,
    )


# --- audit ---


def _audit_views(rows: AuditRows) -> Iterator[str]:
    head = f"SELECT {rows.state.sequence}::BIGINT AS sequence, {text(rows.state.head)} AS hash"
    comments = {"sequence": "number of the newest ledger entry", "hash": "SHA-256 of its bytes"}
    what = "The ledger entry that this catalogue was built at; forecast-assets verify --expect-head takes it."
    yield from _view("audit.ledger_head", head, f"{what} Grain: one row.", comments)
    # The links are a column of their own there.
    names = ", ".join(_name(name) for name in PUBLICATIONS.names)
    published = f"SELECT {names} FROM {_parquet(rows.publications())}"  # noqa: S608
    yield from _audit_view(PUBLICATIONS, published)
    yield from _audit_view(BATCHES, f"SELECT * FROM {_parquet(rows.batches())}")  # noqa: S608
    yield from _audit_view(MODEL_VERSIONS, f"SELECT * FROM {_parquet(rows.model_versions())}")  # noqa: S608
    yield from _audit_view(CHANNEL_HISTORY, f"SELECT * FROM {_parquet(rows.channel_history())}")  # noqa: S608
    yield from _audit_view(VACUUMS, f"SELECT * FROM {_parquet(rows.vacuums())}")  # noqa: S608
    yield from _audit_view(LINEAGE, _lineage(rows))


def _audit_view(contract: Contract, select: str) -> Iterator[str]:
    comments = {column.name: column.description for column in contract.columns}
    yield from _view(f"audit.{_name(contract.name)}", select, _described(contract), comments)


def _lineage(rows: AuditRows) -> str:
    """Return the query over all links: of products as manifests say them, then of the batches behind snapshots."""
    links = f"SELECT {_RUN}, unnest(links) AS l FROM {_parquet(rows.publications())}"  # noqa: S608
    of_link = [name for name in LINEAGE.names if name not in _RUN.split(", ")]
    taken = ", ".join(f"l.{name} AS {name}" for name in of_link)
    of_batch = {
        "link": "replace(link, '_snapshot', '_batch')",
        "product": "feed",
        "version": "batch_id",
        **{name: name for name in ("path", "sha256", "rows")},
    }
    said = ", ".join(f"{of_batch.get(name, 'NULL')} AS {name}" for name in of_link)
    batches = f"SELECT {_RUN}, l.link AS link, unnest(l.batches) AS number FROM ({links})"  # noqa: S608
    return (
        f"SELECT {_RUN}, {taken} FROM ({links}) UNION ALL "  # noqa: S608
        f"SELECT {_RUN}, {said} FROM ({batches}) JOIN {_parquet(rows.batches())} USING (number)"
    )


def _accuracy_view(store: PredictionStore, rows: AuditRows) -> Iterator[str]:
    """The view over every measurement of every day: which is the newest, and when it was made, are columns."""
    measured = rows.measured()
    files = rows.measured_files(measured)
    paths = store.paths(files, by_size=True)
    # Where the files are, so that their names can be told from the names that the rows have.
    root = paths[0].removesuffix(files[0].path) if files else ""
    names = ", ".join(f"product.{_name(name)}" for name in FORECAST_ACCURACY.names)
    # Two measurements may share a file, and a file says nothing of its measurements.
    newest = "measured_sequence = max(measured_sequence) OVER (PARTITION BY cadence, target_date) AS is_newest"
    select = (
        f"SELECT {names}, {', '.join(_MEASURED)} FROM read_parquet({_list(paths or [rows.no_accuracy()])}, "  # noqa: S608
        "hive_partitioning=false, filename='measured_file') AS product "
        f"JOIN (SELECT path, measured_sequence, known_until, {newest} FROM {_parquet(measured)}) AS measured "
        f"ON product.measured_file = {text(root)} || measured.path"
    )
    comments = {column.name: column.description for column in FORECAST_ACCURACY.columns}
    view = f"audit.{_name(FORECAST_ACCURACY.name)}"
    yield from _view(view, select, _described(FORECAST_ACCURACY), comments | _MEASURED)


# --- text ---


def _view(name: str, select: str, comment: str, columns: Mapping[str, str]) -> Iterator[str]:
    yield f"CREATE VIEW built.{name} AS {select}"
    yield f"COMMENT ON VIEW built.{name} IS {text(comment)}"
    for column, words in columns.items():
        yield f"COMMENT ON COLUMN built.{name}.{_name(column)} IS {text(words)}"


def _described(contract: Contract) -> str:
    return f"{contract.description} Grain: {contract.grain}."


def _parquet(paths: Sequence[str]) -> str:
    return f"read_parquet({_list(paths)}, hive_partitioning=false)"


def _list(paths: Sequence[str]) -> str:
    return f"[{', '.join(map(text, paths))}]"


def text(value: object) -> str:
    """Return a value as a literal of SQL.

    Example:
        >>> text("it's")
        "'it''s'"
    """
    return "'" + str(value).replace("'", "''") + "'"


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
