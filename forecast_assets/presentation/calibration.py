"""The calibration report of a version in words, tables and a page.

What belongs here: which figures people look at, and how they are read. What does not: counting, or how pictures look.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

import polars as pl

from forecast_assets.core.wording import counted
from forecast_assets.plots.calibration import calibration_pictures
from forecast_assets.presentation.pages import html_image, html_page, html_section, html_table
from forecast_assets.presentation.text import table

if TYPE_CHECKING:
    from forecast_assets.operations.calibration_reports import CalibrationReport

_SHARES: Final = {
    "coverage_50": "50%", "coverage_80": "80%", "coverage_90": "90%", "coverage_95": "95%", "coverage_99": "99%",
    "at_most_q975": "<= q975", "at_most_q995": "<= q995",
}  # fmt: skip
_SIZES: Final = ("rows", "effective_rows", "dates")
_RISKS: Final = ("brier", "brier_reliability", "brier_resolution", "brier_uncertainty", "roc_auc", "calibration_error")
_SERIES_SEGMENTS: Final = ("demand_class", "size", "step")
_RISK_SEGMENTS: Final = ("all", "risk_band", "step")


def calibration_text(report: "CalibrationReport") -> str:
    """Return the tables of a report, for a terminal."""
    parts = [table(heads, rows, title=title) for title, heads, rows in _tables(report.rows) if rows]
    return "\n\n".join((_summary(report), *parts, _READING))


def calibration_page(report: "CalibrationReport") -> str:
    """Return the page of a report: HTML that needs nothing else."""
    title = f"Calibration of {report.version.model_version}"
    pictures = calibration_pictures(report.rows)
    sections = [
        html_section(heading, _WORDS[heading], *_pictures_of(heading, pictures), html_table(heads, rows))
        for heading, heads, rows in _tables(report.rows)
        if rows
    ]
    record = report.version
    body = "\n".join(
        (
            f"<h1>{escape(title)}</h1>",
            f'<p class="note">{escape(_summary(report))}</p>',
            f"<p>{escape(_READING)}</p>",
            *sections,
            f'<p class="note">Ledger entry {record.sequence}; product version {record.calibration}.</p>',
        )
    )
    return html_page(title, body)


def _summary(report: "CalibrationReport") -> str:
    version = report.version
    # Of wide levels days are few; their number is that of the series' days.
    dates = report.rows.filter(pl.col("days") == 1, pl.col("segment_kind") == "all")["dates"].max()
    return (
        f"{version.model_version}, {version.family}, trained up to {version.cutoff}: what came on "
        f"{counted(int(str(dates or 0)), 'day')} after past cutoffs, by versions that knew nothing of them."
    )


_LEVELS: Final = "Single days, by level"
_SUMS: Final = "Sums of the first days, by level"
_SEGMENTS: Final = "Series, single days, by segment"
_RISK: Final = "Stock-out risk"
_READING: Final = (
    "Shares are of what came inside each central interval, and at or below the upper quantiles; a count that ties "
    "with a bound counts by the share of its probability. Right is what stands at the head. Errors of one day hang "
    "together, so that of few dates little follows, however many rows there are. crps is in units."
)
_WORDS: Final = {
    _LEVELS: "Quantiles as they would have been published: reconciled, and of sums those of joint sample paths.",
    _SUMS: "Quantiles of demand of the first 7, 14 and 28 days together, from the same sample paths.",
    _SEGMENTS: "Quantiles are learned by demand class, units a day and days ahead, so that they are judged by them.",
    _RISK: "How often stock-outs came, by what was said: brier is reliability less resolution plus uncertainty.",
}
_OF_SECTION: Final = {
    _LEVELS: ("coverage_by_level",),
    _SUMS: ("coverage_of_sums_of_days",),
    _SEGMENTS: ("quantiles_of_series",),
    _RISK: ("reliability_of_risk",),
}

_TitledTable = tuple[str, Sequence[str], Sequence[Sequence[object]]]


def _tables(report: pl.DataFrame) -> Iterator[_TitledTable]:
    """Title, heads and rows of each table; without rows where nothing was judged."""
    whole, single = pl.col("segment_kind") == "all", pl.col("days") == 1
    shares, scores = tuple(_SHARES), ("wspl", "crps")
    heads = tuple(_SHARES.values())
    yield (
        _LEVELS, ("level", *heads, *scores, *_words(_SIZES)),
        _rows(report.filter(whole, single), ("level",), (*shares, *scores)),
    )  # fmt: skip
    yield (
        _SUMS, ("level", "days", *heads, "crps", *_words(_SIZES)),
        _rows(report.filter(whole, ~single), ("level", "days"), (*shares, "crps")),
    )  # fmt: skip
    series = pl.col("level") == "sku x store"
    yield (
        _SEGMENTS, ("divided by", "segment", *heads, "crps", *_words(_SIZES)),
        _rows(report.filter(single, series, pl.col("segment_kind").is_in(_SERIES_SEGMENTS)),
              ("segment_kind", "segment"), (*shares, "crps")),
    )  # fmt: skip
    yield (
        _RISK, ("divided by", "segment", *_words(_RISKS), *_words(_SIZES)),
        _rows(report.filter(single, pl.col("segment_kind").is_in(_RISK_SEGMENTS)), ("segment_kind", "segment"), _RISKS),
    )  # fmt: skip


def _rows(rows: pl.DataFrame, named: Sequence[str], metrics: Sequence[str]) -> list[tuple[object, ...]]:
    """One line per segment that has the first of the metrics; metrics that it lacks are empty."""
    found: dict[tuple[object, ...], dict[str, object]] = {}
    sizes: dict[tuple[object, ...], tuple[object, ...]] = {}
    told = rows.filter(pl.col("metric").is_in(metrics)).select(*named, *_SIZES, "metric", "value")
    for *line, metric, value in told.iter_rows():
        name = tuple(line[: len(named)])
        found.setdefault(name, {})[metric] = value
        sizes[name] = tuple(line[len(named) :])
    return [
        (*(str(part).replace("_", " ") for part in name), *(_cell(each, values) for each in metrics), *sizes[name])
        for name, values in found.items()
        if metrics[0] in values
    ]


def _cell(metric: str, values: Mapping[str, object]) -> str | None:
    value = values.get(metric)
    if not isinstance(value, float):
        return None
    return f"{100 * value:.1f}%" if metric in _SHARES else f"{value:.4f}"


def _words(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name in names)


def _pictures_of(heading: str, pictures: Mapping[str, bytes]) -> list[str]:
    return [html_image(pictures[name], name) for name in _OF_SECTION[heading] if name in pictures]
