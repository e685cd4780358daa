"""Answers as documents in JSON: the same bytes over HTTP and on topics.

What belongs here: from an answer to its document. What does not: which answer, or how a protocol carries it.

JSON has numbers as the shortest decimal that names them: six decimals of units are read back exactly up to nine
billion.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Any, Final

import polars as pl

from forecast_assets.serving.dataplane.answered import ToldOfDay
from forecast_assets.serving.dataplane.comparing import PredictionsCompared
from forecast_assets.serving.dataplane.plane import RecordedPrediction
from forecast_assets.serving.dataplane.published import Explained, Vintages
from forecast_assets.serving.dataplane.stored import StoredAnswer
from forecast_assets.serving.dataplane.versions import KnownVersion

JSON: Final = "application/json"


def stored_told(found: StoredAnswer) -> dict[str, Any]:
    """Return what is said of a page of published rows besides the rows."""
    return {"runs": [asdict(run) for run in found.runs], "next_page": found.next_page}


def stored_document(found: StoredAnswer) -> str:
    """Return a page of published rows."""
    return tables_document(stored_told(found), {"rows": found.rows})


def explained_document(found: Explained) -> str:
    """Return all that is published of one row."""
    return compact(asdict(found))


def history_document(found: Vintages, told: ToldOfDay) -> str:
    """Return every published forecast of a day, and what callers were told of it in real time."""
    said = {
        "sales_units": found.sales_units,
        "out_of_stock_share": found.out_of_stock_share,
        "warnings": list(told.warnings),
    }
    return tables_document(said, {"rows": found.rows, "events": told.rows})


def predicted_document(recorded: RecordedPrediction) -> str:
    """Return series of a run forecast again, and what becomes of the event."""
    found = recorded.predicted
    # The disk takes the event while the tables are written.
    tables = {
        name: json_rows(rows)
        for name, rows in (
            ("forecasts", found.forecasts), ("risks", found.risks), ("explanations", found.explanations)
        )
    }  # fmt: skip
    told = {
        "use": found.use,
        "run": asdict(found.run),
        "degraded": found.is_degraded,
        "held": list(found.held),
        "warnings": list(found.warnings),
        "event": {"id": recorded.event.event_id, "status": recorded.event.status},
    }
    return _written(told, tables)


def compared_document(found: PredictionsCompared) -> str:
    """Return two predictions side by side."""
    told = {
        "words": found.words,
        "store_id": found.store_id,
        "sku_id": found.sku_id,
        "target_date": found.target_date.isoformat(),
        "runs": [asdict(run) for run in found.runs],
        "degraded": found.is_degraded,
        "held": list(found.held),
        "warnings": list(found.warnings),
        "figures": {
            name: {
                "before": float(figure.before),
                "after": float(figure.after),
                "causes": {cause: float(units) for cause, units in figure.causes.iter_rows()},
            }
            for name, figure in found.figures.items()
        },
        "versions": [dict(zip(("name", "before", "after"), each, strict=True)) for each in found.versions],
    }
    tables = {"parts": found.parts, "inputs": found.inputs, "features": found.features, "outputs": found.outputs}
    return tables_document(told, tables)


def versions_document(versions: Sequence[KnownVersion], channels: Mapping[str, str | None]) -> str:
    """Return the model versions, and where each channel points."""
    return compact({"versions": [asdict(each) for each in versions], "channels": dict(channels)})


def compact(told: Mapping[str, Any]) -> str:
    """Return what is told as JSON without spaces."""
    return json.dumps(told, default=_plain_value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def tables_document(told: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> str:
    """Return several tables by name, with what is told of all of them before."""
    return _written(told, {name: json_rows(rows) for name, rows in tables.items()})


def json_rows(rows: pl.DataFrame) -> str:
    """Return rows as a JSON array of objects.

    Example:
        >>> json_rows(pl.DataFrame({"units": ["1.250000"]}, schema={"units": pl.String}).cast(pl.Decimal(18, 6)))
        '[{"units":1.25}]'
    """
    return pl.DataFrame([_plain(column) for column in rows.get_columns()]).write_json()


def _written(told: Mapping[str, Any], tables: Mapping[str, str]) -> str:
    """Return tables that `json_rows` has written, with what is told of all of them before."""
    parts = [json.dumps(told, default=_plain_value)[:-1], *(f'"{name}": {rows}' for name, rows in tables.items())]
    return f"{', '.join(parts)}}}"


def _plain(column: pl.Series) -> pl.Series:
    """Return a column as JSON has it; one by one, since a query plan for so few rows takes longer than its work."""
    if column.dtype.is_decimal():
        return column.cast(pl.Float64)
    return column.cast(pl.String) if column.dtype.is_temporal() else column


def _plain_value(value: object) -> object:
    """Return a single value as JSON has it; a whole decimal is a whole number, as `1.000000` is not."""
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        return int(value) if isinstance(exponent, int) and exponent >= 0 else float(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")
