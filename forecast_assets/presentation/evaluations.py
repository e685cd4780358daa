"""Backtest reports in words and tables.

What belongs here: which figures people look at first, and how they are read. What does not: measuring, or the page with
pictures (report_page).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import polars as pl

from forecast_assets.contracts import OWN_METHOD
from forecast_assets.presentation.text import counted, moment_text, table
from resources.records import Compared, Evaluation
from resources.stores import Stores

if TYPE_CHECKING:
    from forecast_assets.operations.evaluating import Evaluated

# Metrics that people look at first, and how each is read.
HEADLINES: Final[Mapping[str, str]] = {
    "wape": "expected sales: sum of absolute errors over sales; 0 is perfect",
    "bias": "expected sales: sum of errors over sales; above 0 is too much",
    "largest_level_bias": "largest absolute bias of any pair of product and store levels",
    "rmsse": "root mean squared error over that of one-day steps, mean over series; 0 is perfect",
    "wrmsse": "the same weighted by revenue (or units), mean over all levels, as in M5",
    "demand_wape": "as wape, of demand against the estimate of what would have sold with stock",
    "demand_bias": "as bias, of demand",
    "scaled_pinball_loss": "quantiles of demand: twice the mean pinball loss over demand; 0 is perfect",
    "wspl": "the same scaled by one-day steps and weighted, as in M5",
    "coverage_50": "share of days inside the central 50%; 0.5 is right",
    "coverage_80": "share of days inside the central 80%; 0.8 is right",
    "coverage_95": "share of days inside the central 95%; 0.95 is right",
    "brier": "stock-outs: mean squared difference of probability and outcome; 0 is perfect",
    "roc_auc": "stock-outs: how well probabilities tell days apart; 1 is perfect, 0.5 is chance",
    "calibration_error": "stock-outs: mean distance of probability and share that came; 0 is perfect",
    "stability": "change of forecasts of the same day from one cutoff to the next, over the later; 0 is calm",
}
_LAST: Final = ("climatology",)


def overall(report: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of all cutoffs together, kind by kind, whichever cutoff had a segment first."""
    rows = report.filter(pl.col("cutoff").is_null())
    kinds = pl.Enum(rows["segment_kind"].unique(maintain_order=True))
    return rows.sort(pl.col("segment_kind").cast(kinds), maintain_order=True)


def methods_of(report: pl.DataFrame) -> list[str]:
    """Return the methods of a report: the version first, baselines of single metrics last."""
    found = [name for name in report["method"].unique(maintain_order=True) if name != OWN_METHOD]
    return [OWN_METHOD, *(name for name in found if name not in _LAST), *(name for name in found if name in _LAST)]


def method_words(method: str) -> str:
    """Return what people call a method.

    Example:
        >>> method_words("version"), method_words("seasonal_naive")
        ('this version', 'seasonal naive')
    """
    return "this version" if method == OWN_METHOD else method.replace("_", " ")


def headline_rows(report: pl.DataFrame) -> list[tuple[str, ...] | tuple[object, ...]]:
    """Return one row per headline metric: its name, its value by each method, and how it is read."""
    rows = overall(report).filter(pl.col("segment_kind") == "all")
    values = {(method, metric): value for method, metric, value in rows.select("method", "metric", "value").iter_rows()}
    methods = methods_of(overall(report))
    return [
        (metric, *(values.get((method, metric)) for method in methods), words)
        for metric, words in HEADLINES.items()
        if any((method, metric) in values for method in methods)
    ]


def headline_columns(report: pl.DataFrame) -> list[str]:
    """Return the heads of the columns of `headline_rows`."""
    return ["metric", *map(method_words, methods_of(overall(report))), "how it is read"]


def method_rows(methods: Sequence[Compared]) -> list[tuple[str, str, str, str]]:
    """Return what each method was at each cutoff: cutoff, method, words, artifact."""
    return [(each.cutoff, method_words(each.method), what_it_was(each), each.artifact[:12]) for each in methods]


def what_it_was(method: Compared) -> str:
    """Say what a method was at a cutoff.

    Example:
        >>> what_it_was(Compared("2025-06-02", "version", "stat-1", "statistical", True, "a", "f"))
        'recipe of stat-1 (statistical), trained as of 2025-06-02'
    """
    if not method.model_version:
        return f"{method.family} family, trained as of {method.cutoff}"
    if not method.is_recipe:
        return f"{method.model_version} ({method.family})"
    return f"recipe of {method.model_version} ({method.family}), trained as of {method.cutoff}"


def summary(record: Evaluation) -> str:
    """Say what was evaluated, in one line."""
    first, last = record.cutoffs[0], record.cutoffs[-1]
    return (
        f"{record.model_version}, {record.cadence} forecasts {record.forecast_horizon} days ahead from "
        f"{counted(len(record.cutoffs), 'cutoff')}, {first if first == last else f'{first} to {last}'}; "
        f"what came as known at {moment_text(record.known_until)}"
    )


def evaluated_text(evaluated: "Evaluated", page: str) -> str:
    """Show the headline figures of an evaluation, what each method was, and where the rest is."""
    record = evaluated.record
    done = f"Recorded as ledger entry {record.sequence}."
    if not evaluated.is_new:
        done = f"Ledger entry {record.sequence} has this very report; nothing changed."
    return "\n\n".join(
        (
            table(headline_columns(evaluated.report), headline_rows(evaluated.report), title=summary(record)),
            table(("cutoff", "method", "what it was", "artifact"), method_rows(record.methods)),
            "\n".join((*evaluated.notes, done, f"Pictures, segments and levels: {page}")),
        )
    )


def newest_report_text(stores: Stores, version: str) -> str:
    """Show the headline figures of the newest backtest report of a version; nothing where there is none."""
    record = stores.ledger.state().evaluated(version)
    if record is None:
        return ""
    report = stores.predictions.read(stores.predictions.version(record.product_version))
    return table(
        headline_columns(report), headline_rows(report), title=f"Newest backtest report (entry {record.sequence}): "
        f"{summary(record)}",
    )  # fmt: skip
