"""The page of a backtest report: tables and pictures in one file of HTML that needs nothing else.

What belongs here: what stands on the page, and in which order. What does not: measuring, or how pictures look.

The same report gives the same bytes. No script, and nothing is fetched.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from html import escape
from typing import TYPE_CHECKING, Final

import polars as pl

from forecast_assets.backtesting.actuals import ForecastFrames
from forecast_assets.contracts import BACKTESTED_METHOD
from forecast_assets.history.series import past_observations
from forecast_assets.metrics.calibration_curves import quantile_shares, risk_reliability
from forecast_assets.metrics.descriptions import title_text, value_text
from forecast_assets.plots import (
    as_markdown_image,
    error_by_segment_png,
    error_by_step_png,
    history_and_fan_png,
    notable_series,
)
from forecast_assets.plots.reports import (
    bias_by_level_png,
    error_by_cutoff_png,
    quantile_calibration_png,
    risk_reliability_png,
)
from forecast_assets.presentation.backtests import (
    glossary_rows,
    headline_columns,
    headline_rows,
    level_bias_columns,
    level_bias_rows,
    method_label,
    method_label_rows,
    method_rows,
    methods_of,
    overall,
    summary,
)
from forecast_assets.presentation.pages import html_image, html_page, html_section, html_table
from resources.orchestration.markdown import markdown_table

if TYPE_CHECKING:
    from forecast_assets.backtesting.backtest import BacktestCutoff, BacktestOutcome

# Days of past sales in a picture of a series.
_SHOWN_DAYS: Final = 56
_SEGMENTS: Final = ("demand_class", "product_node", "store_node")
_SEGMENT_METRICS: Final = ("wape", "bias", "rmsse", "demand_wape", "demand_bias", "coverage_80")
_LEVEL_METRICS: Final = ("wape", "rmsse", "wrmsse")


def report_pictures(outcome: "BacktestOutcome") -> dict[str, bytes]:
    """Draw the pictures of a report.

    Returns:
        PNGs by name, in the order of the page; what there is nothing to draw of is left out.
    """
    report, together = outcome.report, overall(outcome.report)
    segments = together.filter(pl.col("segment_kind").is_in(["all", *_SEGMENTS]))
    bins = risk_reliability(outcome.backtests)
    shares = quantile_shares(outcome.backtests)
    # A line takes two cutoffs.
    pictures = {"error_by_cutoff": error_by_cutoff_png(report)} if len(outcome.cutoffs) > 1 else {}
    pictures |= {
        "error_by_segment": error_by_segment_png(segments),
        "error_by_day_ahead": error_by_step_png(together),
        "bias_by_level": bias_by_level_png(together),
    }
    if shares["share"].null_count() == 0:
        pictures["calibration_of_quantiles"] = quantile_calibration_png(shares)
    if bins.height:
        pictures["calibration_of_risk"] = risk_reliability_png(bins)
    return pictures | _fans(outcome.cutoffs[-1])


def _fans(cutoff: "BacktestCutoff") -> dict[str, bytes]:
    """Draw telling series of the last cutoff, with what came."""
    said, known = ForecastFrames.of(cutoff.runs[0]), cutoff.known
    chosen = notable_series(said.forecasts, said.risks)
    if not chosen:
        return {}
    series = pl.DataFrame([*chosen.values()], schema=["store_id", "sku_id"], orient="row").unique(maintain_order=True)
    past = past_observations(known, series, known.cutoff - timedelta(days=_SHOWN_DAYS - 1))
    actuals = past_observations(cutoff.actuals.history, series, known.cutoff + timedelta(days=1))
    return {
        name: history_and_fan_png(
            *(_own(rows, *one) for rows in (past, said.forecasts, actuals)),
            title=f"{one[1]} in {one[0]}: {name.replace('_', ' ')}, as of {known.cutoff}",
        )
        for name, one in chosen.items()
    }


def _own(rows: pl.DataFrame, store_id: str, sku_id: str) -> pl.DataFrame:
    return rows.filter(store_id=store_id, sku_id=sku_id)


def report_page(outcome: "BacktestOutcome", pictures: Mapping[str, bytes]) -> str:
    """Return the page of a report.

    Args:
        outcome: The report.
        pictures: PNGs by name, as `report_pictures` draws them.
    """
    record = outcome.record
    title = f"Backtests of {record.model_version}"
    body = "\n".join(
        (
            f"<h1>{escape(title)}</h1>",
            f'<p class="note">{escape(summary(record))}.</p>',
            *(f'<p class="warning">{escape(note)}</p>' for note in outcome.notes),
            *_sections(outcome, pictures),
            f'<p class="note">Ledger entry {record.sequence}; product version {record.product_version}.</p>',
        )
    )
    return html_page(title, body)


def report_metadata(outcome: "BacktestOutcome", pictures: Mapping[str, bytes]) -> dict[str, str]:
    """Return tables and pictures as Markdown by name, as the Dagster UI shows them."""
    report = outcome.report
    tables: dict[str, tuple[Sequence[str], Sequence[Sequence[str | None]]]] = {
        "headlines": (headline_columns(report), headline_rows(report)),
        "bias_before_and_after_reconciliation": (level_bias_columns(), level_bias_rows(report)),
        "methods": (_METHOD_HEADS, method_rows(outcome.record.methods)),
        "metrics": (_GLOSSARY_HEADS, glossary_rows(report)),
    }
    shown = {
        name: markdown_table(pl.DataFrame(rows, schema=[*heads], orient="row"))
        for name, (heads, rows) in tables.items()
    }
    images = {name: as_markdown_image(png, name.replace("_", " ")) for name, png in pictures.items()}
    return {**shown, **images}


def _sections(outcome: "BacktestOutcome", pictures: Mapping[str, bytes]) -> Iterator[str]:
    report = outcome.report
    together = overall(report)
    said = dict(pictures)

    def picture(name: str) -> str:
        png = said.pop(name, None)
        return "" if png is None else html_image(png, name)

    yield html_section("How it did", _HOW, html_table(headline_columns(report), headline_rows(report)))
    yield html_section(
        "What was compared", _COMPARED,
        html_table(("method", "what it is"), method_label_rows(report)),
        html_table(_METHOD_HEADS, method_rows(outcome.record.methods)),
    )  # fmt: skip
    yield html_section("From cutoff to cutoff", _CUTOFFS, picture("error_by_cutoff"), _cutoff_table(report))
    yield html_section(
        "By segment", _BY_SEGMENT, picture("error_by_segment"), _split(together, _SEGMENTS, _SEGMENT_METRICS)
    )
    yield html_section(
        "By days ahead", _BY_DAY, picture("error_by_day_ahead"), _split(together, ["step"], ["wape", "bias"])
    )
    yield html_section(
        "Bias by level: base to reconciled",
        _BY_LEVEL,
        picture("bias_by_level"),
        html_table(level_bias_columns(), level_bias_rows(report)),
    )
    yield html_section("Errors by level", _LEVEL_ERRORS, _split(together, ["level"], _LEVEL_METRICS))
    yield html_section("Are the quantiles right?", _QUANTILES_READ, picture("calibration_of_quantiles"))
    yield html_section("Are the stock-out probabilities right?", _RISK_READ, picture("calibration_of_risk"))
    # What is left are single series.
    yield html_section(
        "A few series, with what came", _SERIES_READ, *(html_image(png, name) for name, png in said.items())
    )
    yield html_section("What the metrics are", _GLOSSARY, html_table(_GLOSSARY_HEADS, glossary_rows(report)))


_GLOSSARY_HEADS: Final = ("metric", "perfect", "what it is", "formula")
_GLOSSARY: Final = (
    "Percentages are of what stands in brackets. In files and in SQL the same values are ratios: 0.35 is 35%. Over "
    "several cutoffs ratios are of sums over all of them; wrmsse and wspl are means over cutoffs."
)
_METHOD_HEADS: Final = ("cutoff", "method", "what it was", "artifact")
_HOW: Final = (
    "All cutoffs and series together. Ratios are of sums, so that large series count as much as they sell. Expected "
    "sales are judged on every day, stock-outs included; demand is judged against an estimate of what would have sold. "
    "What each metric is stands at the end of the page."
)
_COMPARED: Final = (
    "All methods forecast the same series and days from what was known at each cutoff. Artifact is the start of the "
    "hash of what was trained."
)
_CUTOFFS: Final = "Each cutoff by itself: a lead that only one of them shows is luck."
_BY_SEGMENT: Final = "Where the errors are. The further the marks of two methods are apart, the more one gains."
_BY_DAY: Final = "How fast the forecast wears off."
_BY_LEVEL: Final = (
    "Before reconciliation a level has two forecasts: the base forecasts of its series, summed, and what its nodes "
    "were forecast by themselves; there is no figure where nodes are too many to be forecast. After it there is one, "
    "and it adds up, so bias is the same at every level. Node bias tells what that hides: each node's error over all "
    "days ahead of a cutoff, without its sign. Narrow nodes sell little, so theirs is large by chance too."
)
_LEVEL_ERRORS: Final = "Errors of single series cancel in sums, so wide levels are easier."
_QUANTILES_READ: Final = (
    "Left: on the dotted line, demand stays at or below each quantile as often as it says. Right: bars at 1 are right; "
    "high bars at both ends say that intervals are too narrow, a hill says too wide, a slope says biased."
)
_RISK_READ: Final = (
    "Left: on the dotted line, stock-outs come as often as was said. Right: how many days had which probability."
)
_SERIES_READ: Final = "Chosen by size and risk at the last cutoff, not by how well they were forecast."


def _cutoff_table(report: pl.DataFrame) -> str:
    rows = report.filter(pl.col("cutoff").is_not_null(), pl.col("segment_kind") == "all")
    found = rows.filter(pl.col("metric").is_in(["wape", "bias", "wrmsse", "stability"]))
    wide = found.pivot("metric", index=["cutoff", "method"], values="value", aggregate_function="first")
    metrics = wide.columns[2:]
    named = [
        (str(cutoff), method_label(method), *map(value_text, metrics, values))
        for cutoff, method, *values in wide.iter_rows()
    ]
    return html_table(("cutoff", "method", *map(title_text, metrics)), named)


def _split(together: pl.DataFrame, kinds: Sequence[str], metrics: Sequence[str]) -> str:
    """A table of segments: the version's metrics, then the WAPE of the others."""
    rows = together.filter(pl.col("segment_kind").is_in(kinds), pl.col("metric").is_in(metrics))
    values = {tuple(row[:4]): row[4] for row in rows.select(_CELL).iter_rows()}
    counted = (
        rows.filter(pl.col("method") == BACKTESTED_METHOD)
        .group_by(_PLACE, maintain_order=True)
        .agg(pl.col("rows").max())
    )
    shown = [metric for metric in metrics if metric in rows["metric"]]
    others = [name for name in methods_of(together)[1:] if (rows["method"] == name).any()]
    lines = [
        (
            kind.replace("_", " "),
            segment,
            count,
            *(value_text(metric, values.get((kind, segment, BACKTESTED_METHOD, metric))) for metric in shown),
            *(value_text("wape", values.get((kind, segment, name, "wape"))) for name in others),
        )
        for kind, segment, count in counted.iter_rows()
    ]
    heads = [*map(title_text, shown), *(f"wape of {method_label(name)}" for name in others)]
    return html_table(["divided by", "segment", "rows", *heads], lines)


_PLACE: Final = ["segment_kind", "segment"]
_CELL: Final = [*_PLACE, "method", "metric", "value"]
