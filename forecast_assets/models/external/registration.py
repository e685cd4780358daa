"""What can be measured of an external version when its first file is read, and what it has to show.

What belongs here: measures of the file itself, and the gates of such a version. What does not: backtests of it, which
are those of every version, or reading files.

Two kinds of gates are told apart. A sound file may serve under its own explicit name: whoever names it knows what it
is. A channel, which schedules and people follow without looking, asks for more: past prediction dates in the file whose
sales are known by now, on which it beats seasonal naive. That those forecasts knew nothing of the days after their
dates rests on the word of whoever made them.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import EVALUATION_REPORTS
from forecast_assets.features.panel import Panel
from forecast_assets.models.demand import classify
from forecast_assets.models.external.given import given_levels, matrix
from forecast_assets.models.gates import PROMOTION_GATES, OverallMetrics, judged
from forecast_assets.models.training import GivenDate

# Share of the series that a sound file has, or that sell no more.
LEAST_COMPLETENESS: Final = 0.95
_RECENT_DAYS: Final = 28
_OVER: Final = ("dead", "ended")


def external_measures(panel: Panel, given: Sequence[GivenDate]) -> pl.DataFrame:
    """Measure the first file of an external version.

    Args:
        panel: The series as of the file's first prediction date.
        given: What the file says of each date, oldest first.

    Returns:
        Rows of contract `evaluation_reports`.
    """
    first = given[0].rows
    is_given = ~first.filter(pl.col("step") == 1)["is_missing"].to_numpy()
    is_live = ~np.isin(classify(panel), _OVER)
    checked = sum(each.facts["upper_nodes"] for each in given)
    coherent = sum(each.facts["coherent_upper_nodes"] for each in given)
    recent = np.nan_to_num(panel.sales[:, -_RECENT_DAYS:]).sum(axis=0).mean()
    daily = matrix(first["forecast_units"], panel.horizon_days).sum(axis=0).mean()
    levels = list(given_levels(first))
    in_order = first.select(pl.all_horizontal([pl.lit(value=True), *_rising(levels)]).mean()).item()
    metrics: list[tuple[str, float | None, int]] = [
        ("completeness", float((is_given | ~is_live).mean()), len(is_live)),
        ("quantile_levels_given", float(len(levels)), first.height),
        ("quantiles_in_order", float(in_order), first.height),
        ("forecast_over_recent_sales", float(daily / recent) if recent > 0 else None, first.height),
        *([("coherent_upper_nodes_share", coherent / checked, checked)] if checked else []),
    ]
    rows = [("all", "all", metric, value, None, count, None) for metric, value, count in metrics]
    return pl.DataFrame(rows, schema=EVALUATION_REPORTS.schema, orient="row")


def _rising(names: list[str]) -> list[pl.Expr]:
    return [pl.col(low) <= pl.col(high) for low, high in pairwise(names)]


def external_gates(report: pl.DataFrame) -> dict[str, bool]:
    """Return which conditions of serving, and of being promoted, an external version meets.

    Args:
        report: Contract `evaluation_reports`, with the measures of the file.
    """
    overall = OverallMetrics(report)
    is_complete = overall.value_of("completeness") >= LEAST_COMPLETENESS
    sound = {"file_is_sound": is_complete and overall.value_of("quantiles_in_order") == 1.0}
    if not overall.saw_sales:
        return {**sound, PROMOTION_GATES[0].name: False}
    return {**sound, **{result.name: result.is_met for result in judged(report, PROMOTION_GATES)}}
