"""Anomalies of a snapshot in words, tables and a picture.

What belongs here: how they look. What does not: finding or judging anything.
"""

from collections.abc import Sequence
from html import escape
from typing import Final

import polars as pl

from forecast_assets.contracts import ANOMALOUS, TOO_LITTLE_HISTORY
from forecast_assets.core.wording import counted
from forecast_assets.feature_anomalies.signals import anomaly_shares
from forecast_assets.feature_anomalies.stage import MOST_ANOMALOUS, most_anomalous, verdict_counts
from forecast_assets.operations.feature_anomalies import AnomalyReport
from forecast_assets.plots.feature_anomalies import scores_png
from forecast_assets.presentation.pages import html_image, html_page, html_section, html_table
from forecast_assets.presentation.text import table
from resources.ledger.entries.detector import DetectorRecord

_HEADS: Final = ("store", "sku", "score", "inputs that decided", "value", "usually")
_SHARES: Final = ("feed", "scope", "anomalous", "of", "share")
_DETECTORS: Final = ("detector", "learned from", "rows", "held back", "threshold", "rate", "false alarms", "entry")
_WORDS: Final = (
    "A series is held against its own snapshots of the three weeks before. Value and usual value are of the first "
    "input; how long a feed has not moved is no value of a snapshot."
)
_MOST_ON_PAGE: Final = 500


def anomaly_text(report: AnomalyReport, *, shows_all: bool = False) -> str:
    """Say what is anomalous in a day's snapshot.

    Args:
        report: The day's report.
        shows_all: Whether to list all series that are, not only the highest scores.
    """
    lines = [_sentence(report), f"{_detector(report.detector)}"]
    if report.signals:
        rows = [(_item(report, each.signal), each.signal, each.evidence) for each in report.signals]
        lines += ["", table(("item", "signal", "what"), rows)]
    if report.record.closed:
        lines.append(f"Told no more: {', '.join(report.record.closed)}")
    told = most_anomalous(report.rows, None if shows_all else MOST_ANOMALOUS)
    if told.height:
        lines += ["", table(_HEADS, _rows(told))]
    left = report.record.anomalous - told.height
    if left:
        lines.append(f"and {left:,} more; --all lists them.")
    return "\n".join(lines)


def anomaly_page(report: AnomalyReport) -> str:
    """Return a page on the series of a day's snapshot."""
    day = report.record.prediction_date
    signals = [(_item(report, each.signal), each.evidence) for each in report.signals]
    told = html_table(("item", "what"), signals) if signals else "<p>Nothing is told of whole feeds.</p>"
    picture = html_image(scores_png(report.rows, title=str(day)), "scores of series")
    sections = [html_section("Feeds", _sentence(report), told, picture)]
    shares = anomaly_shares(report.rows)
    if shares.height:
        sections.append(
            html_section("Where", "Anomalous series by what decided most.", html_table(_SHARES, _share_rows(shares)))
        )
        series = most_anomalous(report.rows, _MOST_ON_PAGE)
        sections.append(html_section("Series", _WORDS, html_table(_HEADS, _rows(series))))
    sections.append(
        html_section("Detector", _detector(report.detector), html_table(_DETECTORS, [_row(report.detector)]))
    )
    return html_page(f"Anomalies on {day}", f"<h1>Anomalies on {escape(str(day))}</h1>\n" + "\n".join(sections))


def detectors_text(detectors: Sequence[DetectorRecord]) -> str:
    """List detectors of anomalies in snapshots."""
    if not detectors:
        return "No detector has been trained on snapshots yet."
    return table(_DETECTORS, [_row(each) for each in detectors])


def _sentence(report: AnomalyReport) -> str:
    record, unknown = report.record, verdict_counts(report.rows).get(TOO_LITTLE_HISTORY, 0)
    share = record.anomalous / max(record.judged, 1)
    less = f"; of {unknown:,} too little is known" if unknown else ""
    return (
        f"{record.prediction_date}: {record.anomalous:,} of {record.judged:,} series {ANOMALOUS} ({share:.2%}){less}; "
        f"{counted(len(report.signals), 'signal')} (ledger entry {record.sequence})."
    )


def _detector(detector: DetectorRecord) -> str:
    return (
        f"By `{detector.detector}`, trained on {detector.training_rows:,} rows of snapshots up to {detector.cutoff}: "
        f"{detector.held_back_rate:.2%} false alarms on days held back, {detector.false_alarm_rate:.2%} promised."
    )


def _item(report: AnomalyReport, signal: str) -> str:
    return str(report.items.get(signal, ""))


def _rows(rows: pl.DataFrame) -> list[tuple[str, ...]]:
    return [
        (row["store_id"], row["sku_id"], f"{row['score']:.4g}", row["inputs"].replace(";", ", "),
         _number(row["value"]), _number(row["usual_value"]))
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip


def _share_rows(shares: pl.DataFrame) -> list[tuple[str, ...]]:
    return [
        (row["feed"], row["scope"], f"{row['anomalous']:,}", f"{row['judged']:,}", f"{row['share']:.1%}")
        for row in shares.iter_rows(named=True)
    ]


def _row(detector: DetectorRecord) -> tuple[str, ...]:
    return (
        detector.detector,
        f"{detector.first_date} to {detector.cutoff}",
        f"{detector.training_rows:,}",
        f"{detector.held_back_rows:,} of {counted(detector.held_back_days, 'day')}",
        f"{detector.threshold:.4g}",
        f"{detector.false_alarm_rate:.2%}",
        f"{detector.held_back_rate:.2%}",
        str(detector.sequence),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"
