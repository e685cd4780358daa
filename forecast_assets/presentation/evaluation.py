"""The evaluation report of a version as a page.

What belongs here: which figures stand on it. What does not: measuring, or the terminal's tables (`state`).
"""

from collections.abc import Iterator
from html import escape
from typing import Final

import polars as pl

from forecast_assets.metrics.descriptions import title_text, value_text
from forecast_assets.plots import evaluation_png
from forecast_assets.presentation.gates import gates_text
from forecast_assets.presentation.pages import html_image, html_page, html_section, html_table
from resources.ledger.entries.register import VersionRecord

_SECTIONS: Final = {
    "all": ("All rows", "What was sold on days after each past cutoff, beside what the version of that day said."),
    "level": ("Sums at each pair of levels", "Base forecasts of series, summed, beside sales, summed."),
    "demand_class": ("By demand class", "How a series behaves decides how well it can be told."),
    "product_node": ("By product node", "The widest level below the total."),
    "store_node": ("By store node", "The widest level below the total."),
    "step": ("By weeks ahead", "Days ahead, seven at a time."),
}


def evaluation_page(record: VersionRecord, report: pl.DataFrame) -> str:
    """Return the page of a report: HTML that needs nothing else.

    Args:
        record: The version.
        report: Contract `evaluation_reports`.
    """
    title = f"Evaluation of {record.model_version}"
    gates = "".join(f"<li>{escape(line)}</li>" for line in gates_text(record, report).splitlines()[1:])
    words = (
        f"Family {record.family}, trained up to {record.cutoff}; judged on days that it had not seen, beside seasonal "
        "naive on the same days."
    )
    body = "\n".join(
        (
            f"<h1>{escape(title)}</h1>",
            f'<p class="note">{escape(words)}</p>',
            f"<h2>Gates</h2>\n<ul>{gates}</ul>",
            html_image(evaluation_png(report), "WAPE by segment"),
            *_sections(report),
            f'<p class="note">Ledger entry {record.sequence}; product version {record.evaluation_report}.</p>',
        )
    )
    return html_page(title, body)


def _sections(report: pl.DataFrame) -> Iterator[str]:
    for kind, (title, words) in _SECTIONS.items():
        rows = [
            (segment, title_text(metric), value_text(metric, value), value_text(metric, baseline), count)
            for segment, metric, value, baseline, count in report.filter(pl.col("segment_kind") == kind)
            .select("segment", "metric", "value", "baseline_value", "rows")
            .iter_rows()
        ]
        if rows:
            yield html_section(title, words, html_table(("segment", "metric", "value", "seasonal naive", "rows"), rows))
