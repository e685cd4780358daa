"""Registration of a version made elsewhere: what can be measured when its first file arrives.

What belongs here: the artifact, the evaluation report and the gates of such a version. What does not: reading files, or
publishing forecasts.

Two kinds of gates are told apart. A sound file may serve under its own explicit name: whoever names it knows what it
is. A channel, which schedules and people follow without looking, asks for more: past prediction dates in the file whose
sales are known by now, on which it beats seasonal naive. That those forecasts knew nothing of the days after their
dates rests on the word of whoever made them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.contracts import EVALUATION_REPORTS, QUANTILE_COLUMNS, QUANTILES
from forecast_assets.core.arrays import Floats
from forecast_assets.core.quantities import SCALE, from_units
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.metrics.backtests import SEASONAL_NAIVE, Backtest, report
from forecast_assets.models.demand import classify, uncensor, usual_lost_share
from forecast_assets.models.external.artifact import ExternalArtifact
from forecast_assets.training.evaluation import COVERAGE_TOLERANCE, LARGEST_BIAS, seasonal_naive

# Share of the series that a sound file has, or that sell no more.
LEAST_COMPLETENESS: Final = 0.95
# Past prediction dates that are measured, evenly spread; more would cost time and say little more.
MEASURED_DATES: Final = 8
_RECENT_DAYS: Final = 28
_OVER: Final = ("dead", "ended")


@dataclass(frozen=True)
class Arrived:
    """What a file says of one prediction date.

    Attributes:
        made: Contract `external_forecasts`, sorted by store, SKU and step.
        facts: What was found when it was read: `upper_nodes` and how many of them were `coherent_upper_nodes`.
    """

    made: pl.DataFrame
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class PastDate:
    """A prediction date that lies so far back that some of the days after it are known.

    Attributes:
        made: Contract `external_forecasts`, sorted by store, SKU and step.
        panel: The same series, as known later.
        days_since: Days that have become known since the prediction date.
    """

    made: pl.DataFrame
    panel: Panel
    days_since: int


def arrival_report(
    artifact: ExternalArtifact, panel: Panel, arrived: Sequence[Arrived], past: Sequence[PastDate]
) -> pl.DataFrame:
    """Measure a version made elsewhere by the file that it arrives with.

    Args:
        artifact: Its artifact.
        panel: The series as of the file's first prediction date.
        arrived: What the file says of each date, oldest first.
        past: Those of them whose days have become known, to backtest on.

    Returns:
        Contract `evaluation_reports`.
    """
    found = [_arrival_rows(panel, arrived)]
    if past:
        found.append(report([_backtest(artifact, date) for date in past]))
    return EVALUATION_REPORTS.conform(pl.concat(found))


def arrival_gates(report_frame: pl.DataFrame) -> dict[str, bool]:
    """Return which conditions of serving, and of being promoted, a version made elsewhere meets.

    Args:
        report_frame: Contract `evaluation_reports`, as `arrival_report` makes it.
    """
    overall = report_frame.filter(pl.col("segment_kind") == "all")
    value = dict(overall.select("metric", "value").iter_rows())
    naive = dict(overall.select("metric", "baseline_value").iter_rows())
    sound = value["completeness"] >= LEAST_COMPLETENESS and value["quantiles_in_order"] == 1.0
    if any(value.get(name) is None for name in ("wape", "bias", "coverage_80")) or naive.get("wape") is None:
        return {"file_is_sound": sound, "backtest_beats_seasonal_naive": False}
    return {
        "file_is_sound": sound,
        "backtest_beats_seasonal_naive": value["wape"] < naive["wape"],
        "backtest_bias_within_10_percent": abs(value["bias"]) <= LARGEST_BIAS,
        "backtest_coverage_of_80_percent_interval_within_10_points": abs(value["coverage_80"] - 0.8)
        <= COVERAGE_TOLERANCE,
    }


def _arrival_rows(panel: Panel, arrived: Sequence[Arrived]) -> pl.DataFrame:
    first = arrived[0].made
    is_given = ~first.filter(pl.col("step") == 1)["is_missing"].to_numpy()
    is_live = ~np.isin(classify(panel), _OVER)
    checked = sum(each.facts["upper_nodes"] for each in arrived)
    coherent = sum(each.facts["coherent_upper_nodes"] for each in arrived)
    recent = np.nan_to_num(panel.sales[:, -_RECENT_DAYS:]).sum(axis=0).mean()
    daily = _matrix(first, "forecast_units", panel.horizon_days).sum(axis=0).mean()
    given = _given(first)
    in_order = first.select(pl.all_horizontal([pl.lit(value=True), *_rising(given)]).mean()).item()
    metrics: list[tuple[str, float | None, int]] = [
        ("completeness", float((is_given | ~is_live).mean()), len(is_live)),
        ("quantile_levels_given", float(len(given)), first.height),
        ("quantiles_in_order", float(in_order), first.height),
        ("forecast_over_recent_sales", float(daily / recent) if recent > 0 else None, first.height),
        *([("coherent_upper_nodes_share", coherent / checked, checked)] if checked else []),
    ]
    rows = [("all", "all", metric, value, None, count) for metric, value, count in metrics]
    return pl.DataFrame(rows, schema=EVALUATION_REPORTS.schema, orient="row")


def _rising(given: list[str]) -> list[pl.Expr]:
    return [pl.col(low) <= pl.col(high) for low, high in pairwise(given)]


def _given(made: pl.DataFrame) -> list[str]:
    return [name for name in QUANTILE_COLUMNS if not made[name].null_count()]


def _backtest(artifact: ExternalArtifact, date: PastDate) -> Backtest:
    """Lay forecasts of a past date beside what came; days that are not known yet stay unknown."""
    horizon, past = date.panel.horizon_days, date.panel.as_of(date.days_since)
    mean = _matrix(date.made, "forecast_units", horizon)
    levels = dict(zip(QUANTILE_COLUMNS, QUANTILES, strict=True))
    given = {levels[name]: _matrix(date.made, name, horizon) for name in _given(date.made)}
    demand, known = uncensor(date.panel), uncensor(past)
    demand_class = classify(past)
    return Backtest(
        cutoff=past.cutoff,
        hierarchy=Hierarchy.build(past.series, None, None),
        past_sales=past.sales,
        sales=_ahead(date.panel.sales, past),
        expected_sales=mean * (1.0 - usual_lost_share(past, known)[:, None]),
        others={SEASONAL_NAIVE: seasonal_naive(past.sales, horizon)},
        demand=_ahead(demand, past),
        mean=mean,
        naive_demand=seasonal_naive(known, horizon),
        quantiles=artifact.quantiles(mean, demand_class, given),
        demand_class=demand_class,
    )


def _ahead(values: Floats, past: Panel) -> Floats:
    """[n, H] What came after a past cutoff; NaN on days that are not known yet."""
    came = values[:, past.history_days : past.history_days + past.horizon_days]
    return np.pad(came, ((0, 0), (0, past.horizon_days - came.shape[1])), constant_values=np.nan)


def _matrix(made: pl.DataFrame, name: str, horizon: int) -> Floats:
    return from_units(made[name]).reshape(-1, horizon) / SCALE
