"""Rows as JSON, CSV or Arrow.

What belongs here: the formats. What does not: which rows.

JSON has numbers as the shortest decimal that names them: six decimals of units are read back exactly up to nine
billion. CSV and Arrow carry the exact decimals.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Any, Final

import polars as pl
from starlette.responses import Response

from forecast_assets.serving.dataplane.comparing import PredictionsCompared


class Format(StrEnum):
    """Formats of rows."""

    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"


MEDIA_TYPES: Final[Mapping[Format, str]] = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv; charset=utf-8",
    Format.ARROW: "application/vnd.apache.arrow.stream",
}
NEXT_PAGE: Final = "X-Next-Page"


def rows_response(rows: pl.DataFrame, told: Mapping[str, Any], chosen: Format) -> Response:
    """Return rows with what is told of them: beside them in JSON, in headers else.

    Args:
        rows: The rows.
        told: What is said of all of them, ready for JSON.
        chosen: Format.
    """
    if chosen is Format.JSON:
        return tables_response(told, {"rows": rows})
    headers = {"X-Answer": json.dumps({name: value for name, value in told.items() if name != "next_page"})}
    if told.get("next_page"):
        headers[NEXT_PAGE] = str(told["next_page"])
    content = rows.write_csv().encode() if chosen is Format.CSV else _arrow(rows)
    return Response(content, media_type=MEDIA_TYPES[chosen], headers=headers)


def tables_response(told: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> Response:
    """Return several tables by name in JSON, with what is told of all of them beside."""
    return written_response(told, {name: json_rows(rows) for name, rows in tables.items()})


def written_response(told: Mapping[str, Any], tables: Mapping[str, str]) -> Response:
    """Return tables that `json_rows` has written, with what is told of all of them beside."""
    parts = [json.dumps(told)[:-1], *(f'"{name}": {rows}' for name, rows in tables.items())]
    return Response(f"{', '.join(parts)}}}", media_type=MEDIA_TYPES[Format.JSON])


def compared_document(found: PredictionsCompared) -> dict[str, Any]:
    """Return what is said of two predictions besides tables, ready for JSON."""
    return {
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


def json_rows(rows: pl.DataFrame) -> str:
    """Return rows as a JSON array of objects.

    Example:
        >>> json_rows(pl.DataFrame({"units": ["1.250000"]}, schema={"units": pl.String}).cast(pl.Decimal(18, 6)))
        '[{"units":1.25}]'
    """
    return pl.DataFrame([_plain(column) for column in rows.get_columns()]).write_json()


def _plain(column: pl.Series) -> pl.Series:
    """Return a column as JSON has it; one by one, since a query plan for so few rows takes longer than its work."""
    if column.dtype.is_decimal():
        return column.cast(pl.Float64)
    return column.cast(pl.String) if column.dtype.is_temporal() else column


def _arrow(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_ipc_stream(buffer)
    return buffer.getvalue()
