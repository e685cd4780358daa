"""How past forecasts did, in words and tables, with the query that gives the same numbers.

What belongs here: the query, its result, how it is read. What does not: measuring.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from textwrap import wrap
from typing import Final

import duckdb

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, NotReadyError, first_ten
from forecast_assets.presentation.text import table
from resources.stores.home import Stores

# Column by which rows are split, and which rows are split.
_FINEST: Final = "product_level = 'sku' AND store_level = 'store'"
_SPLITS: Final = {
    None: ((), f"{_FINEST} AND segment_kind = 'all'"),
    "step": (("step",), f"{_FINEST} AND segment_kind = 'all'"),
    "day": (("target_date",), f"{_FINEST} AND segment_kind = 'all'"),
    "segment": (("segment_kind", "segment"), _FINEST),
    "level": (("product_level", "store_level"), "segment_kind = 'all'"),
}
_KIND: Final = ("model_version", "forecast_horizon", "revision")
_HEADS: Final = {
    "model_version": "version",
    "forecast_horizon": "horizon",
    "revision": "r",
    "step": "days ahead",
    "target_date": "day",
    "segment_kind": "segments",
    "segment": "segment",
    "product_level": "product level",
    "store_level": "store level",
}
_MEASURES: Final = {
    "rows": "sum(rows)",
    "late": "sum(rows_without_actual)",
    "wape": "sum(absolute_error_units) / nullif(sum(sales_units), 0)",
    "bias": "sum(error_units) / nullif(sum(sales_units), 0)",
    "naive_wape": "sum(naive_absolute_error_units) / nullif(sum(sales_units), 0)",
    "inside_50": "sum(inside_50_rows) / nullif(sum(quantile_rows), 0)",
    "inside_80": "sum(inside_80_rows) / nullif(sum(quantile_rows), 0)",
    "inside_95": "sum(inside_95_rows) / nullif(sum(quantile_rows), 0)",
    "stockouts": "sum(stockout_rows) / nullif(sum(risk_rows), 0)",
    "expected": "sum(expected_stockout_rows) / nullif(sum(risk_rows), 0)",
    "brier": "sum(brier_loss) / nullif(sum(risk_rows), 0)",
}
_LINE: Final = 120
_LEGEND: Final = (
    "rows: forecasts judged; late: forecasts without known sales, left out. wape, bias: expected sales against sales; "
    "naive_wape: the same of seasonal naive. inside_N: share inside the central N% on days without a known stock-out. "
    "stockouts, expected: share of days with a stock-out, and its mean probability; brier: mean squared difference."
)


@dataclass(frozen=True)
class AccuracyQuery:
    """What to show.

    Attributes:
        cadence: Rhythm of the runs.
        model_version: Only this version; None for all, each by itself.
        first: First target date; None for the first that there is.
        last: Last target date; None for the last that there is.
        by: `step`, `segment`, `level` or `day`; None for one row per version, horizon and revision.
    """

    cadence: str
    model_version: str | None = None
    first: date | None = None
    last: date | None = None
    by: str | None = None


def accuracy_sql(query: AccuracyQuery) -> str:
    """Return the query over `audit.forecast_accuracy` that answers a question."""
    split, chosen = _SPLITS[query.by]
    wanted = {
        "model_version = ": query.model_version,
        "target_date >= DATE ": query.first,
        "target_date <= DATE ": query.last,
    }
    conditions = [
        f"is_newest AND cadence = '{query.cadence}' AND {chosen}",
        *(f"{condition}'{value}'" for condition, value in wanted.items() if value),
    ]
    columns = [*_KIND, *split, *(f"{expression} AS {name}" for name, expression in _MEASURES.items())]
    return "\n".join(
        (
            "SELECT " + ",\n    ".join(columns),
            "FROM audit.forecast_accuracy",
            "WHERE " + "\n    AND ".join(conditions),
            "GROUP BY ALL ORDER BY ALL",
        )
    )


def require_answerable(stores: Stores, query: AccuracyQuery) -> None:
    """Refuse a question that has no answer, before anything is measured.

    Raises:
        InputError: If the first day lies after the last.
        UnknownVersionError: If there is no such version.
    """
    if query.first and query.last and query.first > query.last:
        raise InputError(f"--from {query.first} lies after --to {query.last}.", remedy="Swap them.")
    if query.model_version is not None:
        stores.registry.model_version(query.model_version)


def accuracy_text(catalogue: Path, query: AccuracyQuery, measured: Sequence[date]) -> str:
    """Say what was measured and how forecasts did, and show the query that gives the same numbers.

    Args:
        catalogue: The BI catalogue of the ledger's head.
        query: What to show.
        measured: Days that were measured just now.

    Raises:
        NotReadyError: If nothing has been measured that answers the question, with why.
    """
    sql = accuracy_sql(query)
    with duckdb.connect(str(catalogue), read_only=True) as connection:
        answer = connection.execute(sql)
        names = [column[0] for column in answer.description]
        rows = answer.fetchall()
    if not rows:
        raise NotReadyError(
            f"No {query.cadence} forecast of these days has been measured.",
            remedy=Sentence(
                "It takes a published run (",
                Action("runs"),
                ") and sales of days after its prediction date (",
                Action("feeds"),
                ").",
            ),
        )
    body = table([_HEADS.get(name, name) for name in names], [_plain(row) for row in rows])
    legend = "\n".join(wrap(_LEGEND, _LINE))
    head = _measured_text(query.cadence, measured)
    return f"{head}\n\n{body}\n\n{legend}\n\nThe same in SQL: duckdb -readonly {catalogue}\n\n{sql};"


def _plain(row: Sequence[object]) -> list[object]:
    return [str(value) if isinstance(value, date) else value for value in row]


def _measured_text(cadence: str, measured: Sequence[date]) -> str:
    if not measured:
        return f"Every {cadence} forecast of these days was measured before with the same sales; nothing changed."
    return f"Measured {cadence} forecasts of {len(measured)} days: {first_ten(measured)}."
