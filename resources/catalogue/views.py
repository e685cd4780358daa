"""The SQL of the BI catalogue: one schema per model version, and the audit views.

What belongs here: statements that create views and describe them. What does not: running them, or the rows of the audit
views.

Every statement names its files one by one, so that a catalogue shows one position of the ledger for good. Nothing but
these names grows with the number of runs: about 150 bytes for each product of a run.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import (
    BACKTEST_REPORTS,
    FORECAST_ACCURACY,
    PRODUCTS,
    PUBLISHED,
    SERIES_STEP_KEY,
    Contract,
    absent_columns,
)
from forecast_assets.core.keys import DAILY
from forecast_assets.core.quantities import UNITS
from resources.catalogue.audit import (
    BATCHES,
    CHANNEL_HISTORY,
    LINEAGE,
    MODEL_VERSIONS,
    PUBLICATIONS,
    VACUUMS,
    AuditRows,
)
from resources.stores.products import PredictionStore

# Files of a product by the columns that they lack, with the value to show in their place.
_Shapes = dict[tuple[tuple[str, int | None], ...], list[str]]

# Of columns that files may lack.
_SQL_TYPES: Final[Mapping[Any, str]] = {pl.Float64: "DOUBLE", pl.String: "VARCHAR", UNITS: "DECIMAL(18, 6)"}
HIVE_TYPES: Final = "{'prediction_date': DATE, 'model_version': VARCHAR, 'forecast_horizon': INTEGER}"
# As forecast_assets.core.keys.PredictionId writes it.
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

_EVALUATED: Final = {
    "cadence": "rhythm of the runs that were made for it",
    "forecast_horizon": "days ahead of those runs",
    "evaluated_sequence": "ledger entry that recorded the report",
    "is_newest": "whether no later report of the version exists",
    "known_until": "moment of knowledge of the sales that came",
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
    yield from _backtests_view(store, rows)
    files: dict[tuple[str, str, str], _Shapes] = defaultdict(lambda: defaultdict(list))
    for publication in rows.state.publications.values():
        for product in PUBLISHED:
            paths = store.paths(store.files(publication, product), by_size=True)
            absent = tuple(absent_columns(product, publication.schemas.get(product)).items())
            files[publication.key.model_version, publication.key.cadence, product][absent] += paths
    for model_version in sorted({version for version, *_ in files}):
        yield f"CREATE SCHEMA built.{_name(model_version)}"
    for model_version, cadence, product in sorted(files):
        yield from _product_view(model_version, cadence, product, files[model_version, cadence, product])


def _product_view(version: str, cadence: str, product: str, shapes: _Shapes) -> Iterator[str]:
    """The view over a product's files, those of each shape read by themselves.

    DuckDB takes the columns of a list of files from the first; to line up those of all it would open every one of them
    for each query (`union_by_name`: 0.3 s instead of 0.02 s for 730 runs).
    """
    contract = PRODUCTS[product]
    comments = {column.name: column.description for column in contract.columns}
    if contract.key == SERIES_STEP_KEY:
        comments["prediction_id"] = "the row's name: its run (`audit.lineage` says what of), SKU, store and step"
    # Those that lack most come first.
    ordered = sorted(shapes.items(), key=lambda shape: len(shape[0]), reverse=True)
    yield from _view(
        f"{_name(version)}.{_name(view_name(cadence, product))}",
        " UNION ALL ".join(_select(contract, dict(absent), paths) for absent, paths in ordered),
        f"{_described(contract)} Runs of the {cadence} cadence only.",
        comments,
    )


def _select(contract: Contract, absent: Mapping[str, int | None], paths: Sequence[str]) -> str:
    """Return the query over files of one shape, with what they lack in its place."""
    columns = [
        f"CAST({'NULL' if absent[name] is None else absent[name]} AS {_SQL_TYPES[dtype]}) AS {name}"
        if name in absent
        else name
        for name, dtype in contract.schema.items()
    ]
    if contract.key == SERIES_STEP_KEY:
        columns.append(f"{_PREDICTION_ID} AS prediction_id")
    source = f"read_parquet({_list(paths)}, hive_partitioning=true, hive_types={HIVE_TYPES})"
    return f"SELECT {', '.join(columns)} FROM {source}"  # noqa: S608


# --- audit ---


def _audit_views(rows: AuditRows) -> Iterator[str]:
    head = f"SELECT {rows.state.sequence}::BIGINT AS sequence, {text(rows.state.head)} AS hash"
    comments = {"sequence": "number of the newest ledger entry", "hash": "SHA-256 of its bytes"}
    what = "The ledger entry that this catalogue was built at; verifying the store against it takes `sequence:hash`."
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
    own = ("measured_sequence", "known_until")
    recorded, nothing = rows.measured(), rows.no_accuracy()
    return _recorded_view(store, rows, FORECAST_ACCURACY, recorded, nothing, own, "cadence, target_date", _MEASURED)


def _backtests_view(store: PredictionStore, rows: AuditRows) -> Iterator[str]:
    """The view over every backtest report of every version."""
    own = ("evaluated_sequence", "cadence", "forecast_horizon", "known_until")
    recorded, nothing = rows.evaluated(), rows.no_backtests()
    return _recorded_view(store, rows, BACKTEST_REPORTS, recorded, nothing, own, "of_version", _EVALUATED)


def _recorded_view(
    store: PredictionStore,
    rows: AuditRows,
    contract: Contract,
    recorded: list[str],
    nothing: str,
    own: Sequence[str],
    told_of: str,
    comments: Mapping[str, str],
) -> Iterator[str]:
    """The view over every file of a product that the ledger records by itself, beside what its entry says.

    Args:
        store: Where the files are.
        rows: The rows of the audit views.
        contract: Of the product.
        recorded: Files of the rows that name them.
        nothing: File that stands in where there is none.
        own: Columns of those rows to show, the number of the entry first.
        told_of: Columns that records tell of; the newest of each is marked.
        comments: Columns beside the product's, with what they mean.
    """
    files = rows.named_files(recorded)
    paths = store.paths(files, by_size=True)
    # Where the files are, so that their names can be told from the names that the rows have.
    root = paths[0].removesuffix(files[0].path) if files else ""
    names = ", ".join(f"product.{_name(name)}" for name in contract.names)
    # Two records may share a file, and a file says nothing of its records.
    newest = f"{own[0]} = max({own[0]}) OVER (PARTITION BY {told_of}) AS is_newest"
    select = (
        f"SELECT {names}, {', '.join(comments)} FROM read_parquet({_list(paths or [nothing])}, "  # noqa: S608
        "hive_partitioning=false, filename='recorded_file') AS product "
        f"JOIN (SELECT path, {', '.join(own)}, {newest} FROM {_parquet(recorded)}) AS recorded "
        f"ON product.recorded_file = {text(root)} || recorded.path"
    )
    described = {column.name: column.description for column in contract.columns}
    yield from _view(f"audit.{_name(contract.name)}", select, _described(contract), {**described, **comments})


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
