"""Rows as JSON, CSV or Arrow.

What belongs here: the formats. What does not: which rows, or what documents in JSON say (`messages.documents`).

CSV and Arrow carry the exact decimals.
"""

import io
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import polars as pl
from starlette.responses import Response

from forecast_assets.serving.messages.documents import JSON, tables_document


class Format(StrEnum):
    """Formats of rows."""

    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"


MEDIA_TYPES: Final[Mapping[Format, str]] = {
    Format.JSON: JSON,
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
        return document_response(tables_document(told, {"rows": rows}))
    headers = {"X-Answer": json.dumps({name: value for name, value in told.items() if name != "next_page"})}
    if told.get("next_page"):
        headers[NEXT_PAGE] = str(told["next_page"])
    content = rows.write_csv().encode() if chosen is Format.CSV else _arrow(rows)
    return Response(content, media_type=MEDIA_TYPES[chosen], headers=headers)


def document_response(document: str) -> Response:
    """Return an answer that is a document in JSON."""
    return Response(document, media_type=JSON)


def _arrow(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_ipc_stream(buffer)
    return buffer.getvalue()
