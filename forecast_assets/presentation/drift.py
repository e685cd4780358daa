"""Drift reports, the quality backlog and retraining in words, tables and pictures.

What belongs here: how they look. What does not: finding or judging anything.
"""

from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import DRIFT_VERDICTS, TOO_LITTLE_HISTORY
from forecast_assets.core.wording import counted
from forecast_assets.lifecycle.retraining import DueTraining
from forecast_assets.operations.drift_reports import BacklogItem, DriftReport
from forecast_assets.operations.use_cases import RetrainingOutcome
from forecast_assets.plots.drift import figure_png
from forecast_assets.presentation.pages import html_image, html_page, html_section, html_table
from forecast_assets.presentation.text import table
from resources.ledger.entries.challenge import Challenge

_HEADS: Final = ("name", "figure", "scope", "verdict", "value", "expected", "apart", "statistic", "threshold", "since")
_SUBJECTS: Final = {
    "feed": "Feeds",
    "feature": "Features against the champion's training",
    "forecast": "Forecasts of the next day",
}
_WORDS: Final = (
    "Value and expected are of the day, weekday, trend, events and last year allowed for; a change is told where the "
    "statistic reaches the threshold, and what cannot be right on the very day."
)


def drift_text(report: DriftReport, *, shows_all: bool = False) -> str:
    """Say what is told of a day.

    Args:
        report: The day's report.
        shows_all: Whether to list all figures.
    """
    lines = [_sentence(report)]
    if report.signals:
        rows = [(_item(report, each.signal), each.signal, each.since, each.evidence) for each in report.signals]
        lines += ["", table(("item", "signal", "since", "what"), rows)]
    if report.record.closed:
        lines.append(f"Told no more: {', '.join(report.record.closed)}")
    if shows_all:
        lines += ["", table(_HEADS, _rows(report.rows))]
    return "\n".join(lines)


def drift_page(report: DriftReport, days: pl.DataFrame) -> str:
    """Return a page on a day.

    Args:
        report: The day's report.
        days: `feed, figure, scale, event_date, value, expected` of the figures to draw.
    """
    signals = [(_item(report, each.signal), each.since, each.evidence) for each in report.signals]
    pictures = [
        html_image(figure_png(some), f"{feed} {figure}")
        for (feed, figure), some in days.group_by("feed", "figure", maintain_order=True)
    ]
    told = html_table(("item", "since", "what"), signals) if signals else "<p>Nothing is told.</p>"
    sections = [html_section("Signals", _sentence(report), told, *pictures)]
    for subject, title in _SUBJECTS.items():
        rows = _rows(report.rows.filter(pl.col("subject") == subject))
        if rows:
            sections.append(html_section(title, _WORDS, html_table(_HEADS, rows)))
    day = report.record.prediction_date
    return html_page(f"Drift on {day}", f"<h1>Drift on {escape(str(day))}</h1>\n" + "\n".join(sections))


def _sentence(report: DriftReport) -> str:
    counts = {verdict: report.rows.filter(pl.col("verdict") == verdict).height for verdict in DRIFT_VERDICTS}
    known = report.rows.height - counts[TOO_LITTLE_HISTORY]
    unknown = f"; of {counts[TOO_LITTLE_HISTORY]:,} too little is known" if counts[TOO_LITTLE_HISTORY] else ""
    return (
        f"{report.record.prediction_date}: {counted(len(report.signals), 'signal')} in {counted(known, 'figure')}"
        f"{unknown} (ledger entry {report.record.sequence})."
    )


def _item(report: DriftReport, signal: str) -> str:
    return str(report.items.get(signal, ""))


def _rows(rows: pl.DataFrame) -> list[tuple[str, ...]]:
    return [_row(row) for row in rows.iter_rows(named=True)]


def _row(row: dict[str, object]) -> tuple[str, ...]:
    numbers = [_number(row[name]) for name in ("statistic", "threshold")]
    return (
        *(str(row[name]) for name in ("name", "figure", "scope", "verdict")),
        _value(row["value"], row),
        _value(row["expected"], row),
        _number(row["deviation"]),
        *numbers,
        "" if row["since"] is None else str(row["since"]),
    )


def _value(value: object, row: dict[str, object]) -> str:
    """A figure in its own unit: what is compared by logarithms is shown without them."""
    if not isinstance(value, float):
        return ""
    return f"{np.exp(value):,.4g}" if row["scale"] == "log" else f"{value:.3f}"


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else ""


def backlog_text(items: Sequence[BacklogItem]) -> str:
    """List items of the quality backlog."""
    if not items:
        return "The backlog is empty."
    rows = [
        (
            str(each.newest.item),
            each.newest.status,
            "yes" if each.newest.is_present else "no",
            each.opened.reason,
            each.newest.by,
            "" if each.newest is each.opened else each.newest.reason,
        )
        for each in items
    ]
    return table(("item", "status", "still told", "what", "by", "last word"), rows)


def retraining_text(outcome: RetrainingOutcome) -> str:
    """Say what was trained and what became challenger, or why nothing did."""
    due, moved = outcome.trained, outcome.challenger
    trained = f"Trained `{due.request.model_version}` ({due.reason})." if isinstance(due, DueTraining) else due
    if isinstance(moved, Challenge):
        return f"{trained}\n`{moved.model_version}` is {moved.channel} (ledger entry {moved.sequence}): {moved.reason}."
    return f"{trained}\nThe challenger stays: {moved}"
