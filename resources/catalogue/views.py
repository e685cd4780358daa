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
    PRODUCTS,
    PUBLISHED,
    SERIES_STEP_KEY,
    Contract,
    absent_columns,
)
from forecast_assets.core.errors import first_ten
from forecast_assets.core.keys import DAILY
from forecast_assets.core.quantities import UNITS
from resources.catalogue.audit import AuditRows
from resources.ledger.entries import KINDS
from resources.ledger.entries.audit import AuditView, NestedView, ProductView, TableView
from resources.store.sql import file_list, identifier, text
from resources.stores.products import PredictionStore

# Files of a product by the columns that they lack, with the value to show in their place.
_Shapes = dict[tuple[tuple[str, int | None], ...], list[str]]

_SQL_TYPES: Final[Mapping[Any, str]] = {
    pl.Float64: "DOUBLE", pl.String: "VARCHAR", UNITS: "DECIMAL(18, 6)", pl.Date: "DATE", pl.Int32: "INTEGER",
    pl.Boolean: "BOOLEAN",
}  # fmt: skip
HIVE_TYPES: Final = "{'prediction_date': DATE, 'model_version': VARCHAR, 'forecast_horizon': INTEGER}"
_HIVE_KEYS: Final = ("prediction_date", "model_version", "forecast_horizon")
# As forecast_assets.core.keys.PredictionId writes it.
_PREDICTION_ID: Final = (
    "concat_ws('/', cadence, prediction_date, model_version, forecast_horizon, 'r' || revision, "
    "replace(replace(sku_id, '%', '%25'), '/', '%2F'), replace(replace(store_id, '%', '%25'), '/', '%2F'), step)"
)


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
    yield from _ledger_head(rows)
    for kind in KINDS.values():
        for view in kind.views():
            yield from _audit_view(view, store, rows)
    files: dict[tuple[str, str, str], _Shapes] = defaultdict(lambda: defaultdict(list))
    for publication in rows.state.publications.values():
        for product in PUBLISHED:
            shapes = files[publication.key.model_version, publication.key.cadence, product]
            if product in publication.products:
                absent = tuple(absent_columns(product, publication.schemas.get(product)).items())
                shapes[absent] += store.paths(store.files(publication, product), by_size=True)
    for model_version in sorted({version for version, *_ in files}):
        yield f"CREATE SCHEMA built.{identifier(model_version)}"
    # Nobody has to have seen a version's name to find a view's columns.
    for cadence, product in sorted({of[1:] for of in files}):
        yield from _view_without_version(cadence, product, sorted({name for name, own, _ in files if own == cadence}))
    for model_version, cadence, product in sorted(files):
        shapes = files[model_version, cadence, product] or {(): [rows.no_rows(PRODUCTS[product])]}
        yield from _product_view(model_version, cadence, product, shapes)


def _view_without_version(cadence: str, product: str, versions: Sequence[str]) -> Iterator[str]:
    """The view that a query finds which names no version: it has the columns, and says what to name instead of rows."""
    contract, name = PRODUCTS[product], view_name(cadence, product)
    schemas = first_ten(identifier(version) for version in versions)
    said = text(
        f"`{name}` is of a model version, and none is the latest: name one as the schema, such as "
        f"FROM {identifier(versions[-1])}.{name}. There are {schemas}."
    )
    types = {**contract.schema, **({"prediction_id": pl.String} if contract.key == SERIES_STEP_KEY else {})}
    columns = ", ".join(
        f"CAST(error({said}) AS {_SQL_TYPES[kind]}) AS {identifier(own)}" for own, kind in types.items()
    )
    # The condition is for queries that read no column, such as counts.
    select = f"SELECT {columns} FROM (SELECT 1) WHERE error({said}) IS NULL"  # noqa: S608
    words = f"{_described(contract)} Name a model version to read it."
    yield from _view(f"main.{identifier(name)}", select, words, _comments(contract))


def _comments(contract: Contract) -> dict[str, str]:
    """What each column of a product's view means."""
    comments = {column.name: column.description for column in contract.columns}
    if contract.key == SERIES_STEP_KEY:
        comments["prediction_id"] = "the row's name: its run (`audit.lineage` says what of), SKU, store and step"
    return comments


def _product_view(version: str, cadence: str, product: str, shapes: _Shapes) -> Iterator[str]:
    """The view over a product's files, those of each shape read by themselves.

    DuckDB takes the columns of a list of files from the first; to line up those of all it would open every one of them
    for each query (`union_by_name`: 0.3 s instead of 0.02 s for 730 runs).
    """
    contract = PRODUCTS[product]
    # Those that lack most come first.
    ordered = sorted(shapes.items(), key=lambda shape: len(shape[0]), reverse=True)
    yield from _view(
        f"{identifier(version)}.{identifier(view_name(cadence, product))}",
        " UNION ALL ".join(_select(contract, dict(absent), paths) for absent, paths in ordered),
        f"{_described(contract)} Runs of the {cadence} cadence only.",
        _comments(contract),
    )


def _select(contract: Contract, absent: Mapping[str, int | None], paths: Sequence[str]) -> str:
    """Return the query over files of one shape, with what they lack in its place."""
    columns = _columns(contract, absent)
    if contract.key == SERIES_STEP_KEY:
        columns = f"{columns}, {_PREDICTION_ID} AS prediction_id"
    source = f"read_parquet({file_list(paths)}, {_partitioning(paths[0])})"
    return f"SELECT {columns} FROM {source}"  # noqa: S608


def _columns(contract: Contract, absent: Mapping[str, int | None]) -> str:
    """Return a contract's columns, with what files lack in its place."""
    return ", ".join(
        f"CAST({'NULL' if absent[name] is None else absent[name]} AS {_SQL_TYPES[dtype]}) AS {identifier(name)}"
        if name in absent
        else identifier(name)
        for name, dtype in contract.schema.items()
    )


def _partitioning(path: str) -> str:
    """Return what DuckDB may take from the folders of a file, so that a filter on them opens no other files.

    Only from ours: a home below a folder `store_id=7` would otherwise give every row that store. The files have all
    columns themselves.
    """
    keys = [part.partition("=")[0] for part in path.split("/")[:-1] if "=" in part]
    if not keys or len(set(keys)) < len(keys) or not set(keys) <= set(_HIVE_KEYS):
        return "hive_partitioning=false"
    return f"hive_partitioning=true, hive_types={HIVE_TYPES}"


# --- audit ---


def _ledger_head(rows: AuditRows) -> Iterator[str]:
    head = f"SELECT {rows.state.sequence}::BIGINT AS sequence, {text(rows.state.head)} AS hash"
    comments = {"sequence": "number of the newest ledger entry", "hash": "SHA-256 of its bytes"}
    what = "The ledger entry that this catalogue was built at; verifying the store against it takes `sequence:hash`."
    yield from _view("audit.ledger_head", head, f"{what} Grain: one row.", comments)


def _audit_view(view: AuditView, store: PredictionStore, rows: AuditRows) -> Iterator[str]:
    if isinstance(view, ProductView):
        return _product_files(view, store, rows)
    select = _nested(view, rows) if isinstance(view, NestedView) else _table(view, rows)
    comments = {column.name: column.description for column in view.columns}
    return _view(f"audit.{identifier(view.name)}", select, _described(view), comments)


def _table(view: TableView, rows: AuditRows) -> str:
    shows_all = view.columns == view.table.columns
    shown = "*" if shows_all else ", ".join(identifier(column.name) for column in view.columns)
    return f"SELECT {shown} FROM {_parquet(rows.files(view.table))}"  # noqa: S608


def _nested(view: NestedView, rows: AuditRows) -> str:
    """Return the query over nested rows, then over the rows that they name by number."""
    beside = ", ".join(column.name for column in view.parent_columns)
    shown = [column.name for column in view.nested_columns]
    name, old, new = view.renamed
    nested = f"SELECT {beside}, unnest({view.nested}) AS l FROM {_parquet(rows.files(view.table))}"  # noqa: S608
    taken = ", ".join(f"l.{column} AS {column}" for column in shown)
    numbered = {name: f"replace({name}, {text(old)}, {text(new)})", **view.numbered_columns}
    said = ", ".join(f"{numbered.get(column, 'NULL')} AS {column}" for column in shown)
    numbers = f"SELECT {beside}, l.{name} AS {name}, unnest(l.{view.numbers}) AS number FROM ({nested})"  # noqa: S608
    return (
        f"SELECT {beside}, {taken} FROM ({nested}) UNION ALL "  # noqa: S608
        f"SELECT {beside}, {said} FROM ({numbers}) JOIN {_parquet(rows.files(view.numbered))} USING (number)"
    )


def _product_files(view: ProductView, store: PredictionStore, rows: AuditRows) -> Iterator[str]:
    recorded = rows.files(view.table)
    named = rows.named_files(recorded)
    root, shapes = "", {}
    for schema, files in named.items():
        shapes[schema] = store.paths(files, by_size=True)
        # Where the files are, so that their names can be told from the names that the rows have.
        root = store.paths(files[:1])[0].removesuffix(files[0].path)
    product = _of_all_shapes(view.product, shapes or {view.product.fingerprint: [rows.no_rows(view.product)]})
    names = ", ".join(f"product.{identifier(name)}" for name in view.product.names)
    own = ", ".join([view.sequence, *(name for name in view.extra_columns if name not in (view.sequence, "is_newest"))])
    # Two records may share a file, and a file says nothing of its records.
    subject_columns = ", ".join(view.subject_columns)
    newest = f"{view.sequence} = max({view.sequence}) OVER (PARTITION BY {subject_columns}) AS is_newest"
    select = (
        f"SELECT {names}, {', '.join(view.extra_columns)} FROM ({product}) AS product "  # noqa: S608
        f"JOIN (SELECT path, {own}, {newest} FROM {_parquet(recorded)}) AS recorded "
        f"ON product.recorded_file = {text(root)} || recorded.path"
    )
    described = {column.name: column.description for column in view.product.columns}
    comments = {**described, **view.extra_columns}
    yield from _view(f"audit.{identifier(view.product.name)}", select, _described(view.product), comments)


def _of_all_shapes(contract: Contract, shapes: Mapping[str, Sequence[str]]) -> str:
    """Return the query over files of a product, those of each shape by themselves, with what they lack in its place."""
    return " UNION ALL ".join(
        f"SELECT {_columns(contract, absent_columns(contract.name, schema))}, recorded_file "  # noqa: S608
        f"FROM read_parquet({file_list(paths)}, hive_partitioning=false, filename='recorded_file')"
        for schema, paths in shapes.items()
    )


# --- text ---


def _view(name: str, select: str, comment: str, columns: Mapping[str, str]) -> Iterator[str]:
    yield f"CREATE VIEW built.{name} AS {select}"
    yield f"COMMENT ON VIEW built.{name} IS {text(comment)}"
    for column, words in columns.items():
        yield f"COMMENT ON COLUMN built.{name}.{identifier(column)} IS {text(words)}"


def _described(shown: Contract | TableView | NestedView) -> str:
    return f"{shown.description} Grain: {shown.grain}."


def _parquet(paths: Sequence[str]) -> str:
    return f"read_parquet({file_list(paths)}, hive_partitioning=false)"
