"""Figures of a week from sums of measurements, and how far they are from the weeks before and from bounds.

What belongs here: what each KPI is, which rows count, what chance does. What does not: reading stores, or proposing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from math import sqrt
from statistics import fmean, stdev
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import (
    BUSINESS_REVIEWS,
    CHALLENGER,
    CHAMPION,
    CHAMPION_SAME_DAYS,
    REVIEW_KPIS,
    WEEKS_BEFORE,
)
from forecast_assets.core.policy import Policy
from forecast_assets.hierarchy.membership import PRODUCT, STORE

WEEK_DAYS: Final = 7
# What is read of a measurement.
READ: Final = (
    "model_version", "prediction_date", "forecast_horizon", "revision", "target_date", "step", "product_level",
    "store_level", "segment_kind", "segment", "rows", "sales_units", "forecast_units", "expected_sales_units",
    "error_units", "absolute_error_units", "naive_absolute_error_units", "quantile_rows", "inside_80_rows", "risk_rows",
    "stockout_rows",
)  # fmt: skip
_SUMS: Final = READ[10:]
_SEGMENT: Final = ["segment_kind", "segment"]
# Student's t that 1% exceeds in either direction, for the spread of four weeks (three degrees of freedom).
_T_OF_ONE_PERCENT: Final = 5.840909
_DECIMALS: Final = 6

Bounds = tuple[float | None, float | None]
Sums = Mapping[str, Any]


@dataclass(frozen=True)
class ReviewedWeek:
    """Whose week is reviewed.

    Attributes:
        cadence: Rhythm of the runs.
        last_day: Its Sunday.
        champion: Version in that role.
        challenger: Version in that role; None where there is none.
    """

    cadence: str
    last_day: date
    champion: str
    challenger: str | None = None

    @property
    def name(self) -> str:
        """ISO week.

        Example:
            >>> ReviewedWeek("daily", date(2025, 6, 29), "stat-1").name
            '2025-W26'
        """
        year, week, _ = self.last_day.isocalendar()
        return f"{year}-W{week:02d}"

    def days(self, back: int = 0) -> tuple[date, date]:
        """Return Monday and Sunday of the week, or of one before."""
        last = self.last_day - timedelta(days=WEEK_DAYS * back)
        return last - timedelta(days=WEEK_DAYS - 1), last


def review_rows(week: ReviewedWeek, measured: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Return the figures of a week.

    Args:
        week: Whose.
        measured: Rows of contract `forecast_accuracy` of the week and the four before, newest measurement of each day.
        policy: Whose bounds figures are held against.

    Returns:
        Rows of contract `business_reviews`.
    """
    champion = newest_runs(measured, week.champion)
    parts = [(CHAMPION, week.champion, champion)]
    if week.challenger is not None:
        challenger = newest_runs(measured, week.challenger)
        same = ["target_date", "prediction_date"]
        beside = champion.join(challenger.select(same).unique(), on=same, how="semi").filter(
            pl.col("segment_kind") == "all"
        )
        both = challenger.join(champion.select(same).unique(), on=same, how="semi")
        parts += [(CHALLENGER, week.challenger, both), (CHAMPION_SAME_DAYS, week.champion, beside)]
    rows = [row for role, version, frame in parts for row in _rows_of(week, role, version, frame, policy)]
    return BUSINESS_REVIEWS.conform(pl.DataFrame(rows, schema=BUSINESS_REVIEWS.schema)).sort(BUSINESS_REVIEWS.key)


def newest_runs(measured: pl.DataFrame, model_version: str) -> pl.DataFrame:
    """Return the rows of series of the newest run of a version that had forecast each day, as first published."""
    own = measured.filter(
        pl.col("product_level") == PRODUCT,
        pl.col("store_level") == STORE,
        pl.col("model_version") == model_version,
        pl.col("revision") == 0,
    )
    chosen = (
        own.select("target_date", "step", "forecast_horizon")
        .unique()
        .sort("target_date", "step", -pl.col("forecast_horizon"))
        .unique("target_date", keep="first", maintain_order=True)
    )
    return own.join(chosen, on=chosen.columns, how="semi")


def _rows_of(week: ReviewedWeek, role: str, version: str, frame: pl.DataFrame, policy: Policy) -> list[dict[str, Any]]:
    sums = [_sums_by_segment(frame, *week.days(back)) for back in range(WEEKS_BEFORE + 1)]
    segments = sorted({segment for one in sums for segment in one})
    return [
        {
            "cadence": week.cadence, "week": week.name, "role": role, "model_version": version,
            "segment_kind": kind, "segment": segment, "kpi": kpi,
            **_told([figure_of(kpi, one.get((kind, segment))) for one in sums], bounds_of(kpi, kind, segment, policy)),
            **_counted(sums[0].get((kind, segment))), "policy": policy.version,
        }
        for kind, segment in segments
        for kpi in REVIEW_KPIS
    ]  # fmt: skip


def _sums_by_segment(frame: pl.DataFrame, first: date, last: date) -> dict[tuple[str, str], Sums]:
    within = frame.filter(pl.col("target_date").is_between(first, last))
    judged = pl.col("target_date").filter(pl.col("rows") > 0).n_unique().alias("days")
    summed = within.group_by(_SEGMENT).agg(pl.col(*_SUMS).sum(), judged)
    return {(row["segment_kind"], row["segment"]): row for row in summed.iter_rows(named=True)}


def _counted(sums: Sums | None) -> dict[str, int]:
    return {name: 0 if sums is None else sums[name] for name in ("days", "rows")}


def figure_of(kpi: str, sums: Sums | None) -> float | None:
    """Return a KPI of exact sums; None where nothing is known of it.

    Example:
        >>> figure_of("bias", {"error_units": 10, "sales_units": 400})
        0.025
    """
    if sums is None:
        return None
    over, under = _quotient(kpi, sums)
    return round(float(over) / float(under), _DECIMALS) if under else None


def _quotient(kpi: str, sums: Sums) -> tuple[Any, Any]:
    match kpi:
        case "lost_units_a_day":
            return sums["forecast_units"] - sums["expected_sales_units"], sums["days"]
        case "stockout_rate":
            return sums["stockout_rows"], sums["risk_rows"]
        case "wape":
            return sums["absolute_error_units"], sums["sales_units"]
        case "wape_less_naive":
            return sums["absolute_error_units"] - sums["naive_absolute_error_units"], sums["sales_units"]
        case "bias":
            return sums["error_units"], sums["sales_units"]
        case _:
            return sums["inside_80_rows"], sums["quantile_rows"]


def bounds_of(kpi: str, segment_kind: str, segment: str, policy: Policy) -> Bounds:
    """Return between what a policy wants a figure: of all rows those of gates, of a risk band its own edges.

    Example:
        >>> bounds_of("stockout_rate", "risk_band", "high", Policy())
        (0.2, 0.5)
    """
    if (kpi, segment_kind) == ("stockout_rate", "risk_band"):
        return band_edges(policy).get(segment, (None, None))
    if segment_kind != "all":
        return None, None
    gates, target = policy.gates, policy.calibration.coverage_80
    miss = gates.largest_coverage_miss
    return {
        "wape_less_naive": (None, gates.largest_wape_less_naive),
        "bias": (-gates.largest_bias, gates.largest_bias),
        "coverage_80": (round(target - miss, _DECIMALS), round(target + miss, _DECIMALS)),
    }.get(kpi, (None, None))


def band_edges(policy: Policy) -> dict[str, tuple[float, float]]:
    """Return lowest and highest probability of each risk band, the lowest band first."""
    starts = {"low": 0.0, **vars(policy.risk_bands)}
    ends = [*list(starts.values())[1:], 1.0]
    return {band: (start, end) for (band, start), end in zip(starts.items(), ends, strict=True)}


def _told(figures: list[float | None], bounds: Bounds) -> dict[str, Any]:
    figure, *before = figures
    lowest, highest = bounds
    shift, chance = shift_and_chance(figure, before)
    is_outside = (lowest is not None and figure is not None and figure < lowest) or (
        highest is not None and figure is not None and figure > highest
    )
    return {
        "figure": figure,
        **{f"figure_{back}_before": value for back, value in enumerate(before, start=1)},
        "shift": shift,
        "chance": chance,
        "is_beyond_chance": None if shift is None or chance is None else abs(shift) > chance,
        "lowest": lowest,
        "highest": highest,
        "is_beyond_bound": None if figure is None or lowest is highest is None else is_outside,
    }


def shift_and_chance(figure: float | None, before: list[float | None]) -> tuple[float | None, float | None]:
    """Return how far a week is from the mean of the weeks before, and how far chance takes one in a hundred.

    The latter is half the 99% prediction interval of a next observation: t s sqrt(1 + 1/n), with the spread s of the n
    weeks before (Hahn and Meeker, Statistical Intervals, 1991).

    Example:
        >>> shift_and_chance(0.3, [0.2, 0.22, 0.18, 0.2])
        (0.1, 0.10664)
    """
    known = [value for value in before if value is not None]
    if figure is None or not known:
        return None, None
    shift = round(figure - fmean(known), _DECIMALS)
    if len(known) < WEEKS_BEFORE:
        return shift, None
    return shift, round(_T_OF_ONE_PERCENT * stdev(known) * sqrt(1 + 1 / WEEKS_BEFORE), _DECIMALS)
