"""Backtest reports in words and tables.

What belongs here: which figures people look at first, and how they are read. What does not: measuring, or the page with
pictures (report_page).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import polars as pl

from forecast_assets.contracts import BACKTESTED_METHOD
from forecast_assets.core.wording import counted, moment_text
from forecast_assets.metrics.descriptions import METHODS, METRICS, title_text, value_text
from forecast_assets.presentation.text import table
from resources.ledger.entries.evaluate import BacktestRecord, ComparedMethod
from resources.stores.home import Stores

if TYPE_CHECKING:
    from forecast_assets.backtesting.backtest import BacktestOutcome

# Metrics that people look at first.
HEADLINES: Final = (
    "wape", "bias", "largest_level_bias", "rmsse", "wrmsse", "demand_wape", "demand_bias", "scaled_pinball_loss",
    "wspl", "coverage_50", "coverage_80", "coverage_95", "coverage_99", "brier", "roc_auc", "calibration_error",
    "stability",
)  # fmt: skip
# Before and after reconciliation, in the order in which forecasts pass through it.
_LEVEL_BIASES: Final = (
    ("bias_before_reconciliation", "base, summed"),
    ("bias_of_node_forecasts", "base, node's own"),
    ("bias", "reconciled"),
)
_LAST: Final = ("climatology",)


def overall(report: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of all cutoffs together, kind by kind, whichever cutoff had a segment first."""
    rows = report.filter(pl.col("cutoff").is_null())
    kinds = pl.Enum(rows["segment_kind"].unique(maintain_order=True))
    return rows.sort(pl.col("segment_kind").cast(kinds), maintain_order=True)


def methods_of(report: pl.DataFrame) -> list[str]:
    """Return the methods of a report: the version first, baselines of single metrics last."""
    found = [name for name in report["method"].unique(maintain_order=True) if name != BACKTESTED_METHOD]
    return [
        BACKTESTED_METHOD,
        *(name for name in found if name not in _LAST),
        *(name for name in found if name in _LAST),
    ]


def method_label(method: str) -> str:
    """Return what people call a method.

    Example:
        >>> method_label("version"), method_label("seasonal_naive")
        ('this version', 'seasonal naive')
    """
    return "this version" if method == BACKTESTED_METHOD else method.replace("_", " ")


def headline_rows(report: pl.DataFrame) -> list[tuple[str | None, ...]]:
    """Return one row per headline metric: its name and unit, its value by each method, and the perfect one."""
    rows = overall(report).filter(pl.col("segment_kind") == "all")
    values = {(method, metric): value for method, metric, value in rows.select("method", "metric", "value").iter_rows()}
    methods = methods_of(overall(report))
    return [
        (
            title_text(metric),
            *(value_text(metric, values.get((method, metric))) for method in methods),
            METRICS[metric].best,
        )
        for metric in HEADLINES
        if any((method, metric) in values for method in methods)
    ]


def headline_columns(report: pl.DataFrame) -> list[str]:
    """Return the heads of the columns of `headline_rows`."""
    return ["metric", *map(method_label, methods_of(overall(report))), "perfect"]


def level_bias_rows(report: pl.DataFrame) -> list[tuple[str | None, ...]]:
    """Return one row per pair of levels: bias, then bias node by node, each before and after reconciliation.

    Before it a level has two forecasts: its series' base forecasts added up, and what its nodes were forecast by
    themselves; None where reconciliation listens to no forecast of the level.
    """
    rows = overall(report).filter(pl.col("segment_kind") == "level", pl.col("method") == BACKTESTED_METHOD)
    values = {(level, metric): value for level, metric, value in rows.select("segment", "metric", "value").iter_rows()}
    metrics = [f"{prefix}{metric}" for prefix in ("", "node_") for metric, _ in _LEVEL_BIASES]
    return [
        (level, *(value_text(metric, values.get((level, metric))) for metric in metrics))
        for level in rows["segment"].unique(maintain_order=True)
    ]


def level_bias_columns() -> list[str]:
    """Return the heads of the columns of `level_bias_rows`."""
    return ["level", *(f"{kind}: {name}" for kind in ("bias", "node bias") for _, name in _LEVEL_BIASES)]


def glossary_rows(report: pl.DataFrame) -> list[tuple[str, str, str, str]]:
    """Return name with unit, perfect value, meaning and formula of every metric that a report has."""
    return [
        (metric.title, metric.best, metric.words, metric.formula)
        for metric in METRICS.values()
        if metric.name in report["metric"]
    ]


def method_label_rows(report: pl.DataFrame) -> list[tuple[str, str]]:
    """Return what each method of a report is, where its name is not that of a version."""
    return [(method_label(name), METHODS[name]) for name in methods_of(report) if name in METHODS]


def method_rows(methods: Sequence[ComparedMethod]) -> list[tuple[str, str, str, str]]:
    """Return what each method was at each cutoff: cutoff, method, words, artifact."""
    return [(each.cutoff, method_label(each.method), method_description(each), each.artifact[:12]) for each in methods]


def method_description(method: ComparedMethod) -> str:
    """Say what a method was at a cutoff.

    Example:
        >>> method_description(ComparedMethod("2025-06-02", "version", "stat-1", "statistical", True, "a", "f"))
        'recipe of stat-1 (statistical), trained as of 2025-06-02'
    """
    if not method.model_version:
        return f"{method.family} family, trained as of {method.cutoff}"
    if not method.is_recipe:
        return f"{method.model_version} ({method.family})"
    return f"recipe of {method.model_version} ({method.family}), trained as of {method.cutoff}"


def summary(record: BacktestRecord) -> str:
    """Say what was backtested, in one line."""
    first, last = record.cutoffs[0], record.cutoffs[-1]
    return (
        f"{record.model_version}, {record.cadence} forecasts {record.forecast_horizon} days ahead from "
        f"{counted(len(record.cutoffs), 'cutoff')}, {first if first == last else f'{first} to {last}'}; "
        f"what came as known at {moment_text(record.known_until)}"
    )


def backtest_text(outcome: "BacktestOutcome", page: str) -> str:
    """Show the headline figures of a backtest, what each method was, and where the rest is."""
    record = outcome.record
    done = f"Recorded as ledger entry {record.sequence}."
    if not outcome.is_new:
        done = f"Ledger entry {record.sequence} has this very report; nothing changed."
    return "\n\n".join(
        (
            table(headline_columns(outcome.report), headline_rows(outcome.report), title=summary(record)),
            table(("cutoff", "method", "what it was", "artifact"), method_rows(record.methods)),
            "\n".join((*outcome.notes, done, f"Pictures, segments, levels, and what each metric is: {page}")),
        )
    )


def newest_report_text(stores: Stores, version: str) -> str:
    """Show the headline figures of the newest backtest report of a version; nothing where there is none."""
    record = stores.ledger.state().newest_backtest(version)
    if record is None:
        return ""
    report = stores.predictions.read(stores.predictions.version(record.product_version))
    return table(
        headline_columns(report), headline_rows(report), title=f"Newest backtest report (entry {record.sequence}): "
        f"{summary(record)}",
    )  # fmt: skip
