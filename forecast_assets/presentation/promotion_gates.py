"""The judgement of a version in words, as tables and as a page.

What belongs here: how verdicts are told to people. What does not: judging, or how the picture looks.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import polars as pl

from forecast_assets.core.errors import first_ten
from forecast_assets.plots.gates import gates_png
from forecast_assets.presentation.pages import html_image, html_page, html_section, html_table
from forecast_assets.presentation.text import table
from resources.ledger.entries.judge import Judgement

_HEADS: Final = ("gate", "of", "figure", "by chance", "bound", "verdict", "measured on")
_VERDICTS: Final[Mapping[str, str]] = {"met": "met", "failed": "FAILED", "not_measured": "not measured"}
_TITLES: Final[Mapping[str, str]] = {
    "soundness": "Soundness: whether what is recorded holds; never overridden",
    "merit": "Merit: how good it is",
}
# Counts of what is wrong; all other figures are shares.
_COUNTS: Final = frozenset(
    {
        "lineage_is_complete", "bytes_are_as_recorded", "no_look_ahead", "forecasts_are_coherent",
        "forecasts_are_not_negative",
    }
)  # fmt: skip


def judgement_text(record: Judgement, rows: pl.DataFrame) -> str:
    """Return the tables of a judgement, for a terminal.

    Args:
        record: What the ledger says of it.
        rows: Contract `promotion_gates`.
    """
    parts = [table(_HEADS, lines, title=title) for title, lines in _tables(rows) if lines]
    return "\n\n".join((*parts, conclusion(record, rows)))


def judgement_page(record: Judgement, rows: pl.DataFrame) -> str:
    """Return the page of a judgement: HTML that needs nothing else.

    Args:
        record: What the ledger says of it.
        rows: Contract `promotion_gates`.
    """
    title = f"Gates of {record.model_version}"
    sections = [html_section(heading, "", html_table(_HEADS, lines)) for heading, lines in _tables(rows) if lines]
    body = "\n".join(
        (
            f"<h1>{escape(title)}</h1>",
            f'<p class="note">{escape(conclusion(record, rows))}</p>',
            html_image(gates_png(rows), "distance of each gate of merit from its bounds"),
            *sections,
            f'<p class="note">Ledger entry {record.sequence}; product version {record.product_version}.</p>',
        )
    )
    return html_page(title, body)


def conclusion(record: Judgement, rows: pl.DataFrame) -> str:
    """Say whether a channel may point at the version, and what could be overridden.

    Args:
        record: What the ledger says of it.
        rows: Contract `promotion_gates`.
    """
    beside = f", beside {record.against}" if record.against else ""
    by, name = f"By policy {record.policy}{beside} (ledger entry {record.sequence})", f"`{record.model_version}`"
    if not record.failed:
        return f"{by}: a {record.cadence} channel may point at {name}."
    may = set(rows.filter("is_overridable")["gate"])
    open_ = [gate for gate in record.failed if gate in may]
    hint = f" The policy allows to override {first_ten(open_)}." if open_ else ""
    return f"{by}: no {record.cadence} channel may point at {name}, it fails {first_ten(record.failed)}.{hint}"


def _tables(rows: pl.DataFrame) -> list[tuple[str, Sequence[Sequence[object]]]]:
    return [
        (title, [_line(row) for row in rows.filter(pl.col("kind") == kind).iter_rows(named=True)])
        for kind, title in _TITLES.items()
    ]


def _line(row: Mapping[str, Any]) -> tuple[object, ...]:
    of = "all" if row["segment_kind"] == "all" else f"{row['segment_kind'].replace('_', ' ')} {row['segment']}"
    figure, margin = (_number(row["gate"], row[name]) for name in ("figure", "margin"))
    by_chance = f"± {margin}" if row["margin"] else ""
    return row["gate"], of, figure, by_chance, _bound(row), _VERDICTS[row["verdict"]], row["measured_on"]


def _bound(row: Mapping[str, Any]) -> str:
    """Return what is allowed.

    Example:
        >>> _bound({"gate": "bias_is_small", "lowest": -0.1, "highest": 0.1})
        '-10.0% to 10.0%'
    """
    low, high = (_number(row["gate"], row[name]) for name in ("lowest", "highest"))
    if row["gate"] in _COUNTS:
        return "none"
    if row["gate"] == "beats_seasonal_naive":
        return f"below {high}"
    return f"{low} to {high}" if low and high else f"at most {high}" if high else ""


def _number(gate: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if gate in _COUNTS else f"{round(100 * value, 1) + 0.0:.1f}%"
