"""What overrides were worth over some weeks, and what a planner's own record advises.

What belongs here: reading the newest measurements, and drawing what follows for one planner. What does not: measuring
(`accuracy`), or how it looks. Nothing here changes an override: advice is words beside a form.

Two findings are asked of a planner's own record, both of Fildes, Goodwin, Lawrence and Nikolopoulos (2009), Effective
forecasting and judgmental adjustments, International Journal of Forecasting 25, doi:10.1016/j.ijforecast.2008.11.010:
upward adjustments are too optimistic, so that they gain by being shrunk, and small ones often damage a forecast.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Final

import polars as pl

from forecast_assets.accuracy.value_added import LEAST_OVERRIDES, LEAST_ROW_DAYS, value_by
from forecast_assets.contracts import FORECAST_VALUE_ADDED, VALUE_STAGES
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, NotReadyError
from forecast_assets.core.keys import CADENCES, DAILY
from forecast_assets.core.wording import counted
from resources.ledger.entries.measure import Measurement, Measurements
from resources.stores.home import Stores

# Days back from the newest measured one with overrides, unless somebody asks for others.
SHOWN_DAYS: Final = 91
ADVICE_DAYS: Final = 364
SPLITS: Final = ("planner", "reason", "direction", "size")
# What advice puts its share into words with.
_EXAMPLE_PERCENT: Final = 20
_TENTH_PERCENT: Final = "under 10%"


@dataclass(frozen=True)
class ValueLine:
    """What some overrides were worth.

    Attributes:
        name: Which, such as a planner; of rules with `is_rule`.
        is_rule: Whether they are rules of the policy.
        overrides: How many.
        row_days: SKU, store and day that they were judged on, however many runs looked at it.
        rows: Forecasts judged, of all runs.
        rows_without_actual: Forecasts whose sales are not known.
        rows_left_out: Forecasts whose shelf was known to be empty.
        sales_units: Units sold of the forecasts judged.
        wape: Of each stage, share of sales; None where nothing was sold.
        value_added_points: By how many percent of sales the published forecast was better than the one that was found;
            below zero where it was worse, None where nothing was sold.
        moves_that_came_true: Share of what was moved that turned out right, by least squares; None where nothing was.
        is_small_sample: Whether there are fewer than 30 row-days or 5 overrides, too few to tell skill from luck.
    """

    name: str
    is_rule: bool
    overrides: int
    row_days: int
    rows: int
    rows_without_actual: int
    rows_left_out: int
    sales_units: float
    wape: Mapping[str, float | None]
    value_added_points: float | None
    moves_that_came_true: float | None
    is_small_sample: bool


@dataclass(frozen=True)
class ValueAdded:
    """What overrides were worth over some days.

    Attributes:
        cadence: Rhythm of the runs.
        first: First day with an overridden forecast that was measured.
        last: Last such day.
        by: What lines are by: one of `SPLITS`.
        planner: Whose overrides; empty for those of all.
        lines: One per planner, reason, direction or size; of rules of the policy where lines are by planner or reason.
        overall: All planners together; None where rules alone moved forecasts.
        frame: The same lines, as `accuracy.value_added.value_by` returns them, with `name`.
    """

    cadence: str
    first: date
    last: date
    by: str
    planner: str
    lines: tuple[ValueLine, ...]
    overall: ValueLine | None
    frame: pl.DataFrame


@dataclass(frozen=True)
class PlannerAdvice:
    """What a planner's own record says of the next override; never applied.

    Attributes:
        planner: Whose.
        upward: Of what raised forecasts.
        small: Of what moved them by less than 10%.
        shrink_upward_to: Share from 0 to 1 of an upward change that would have been best, by least squares of sales on
            the override, both less the forecast that was found; None where there is too little to tell.
        small_paid_points: Value added of small changes, percent of their sales; None where there is too little to tell.
        words: The same in sentences; one that says so where there is too little.
    """

    planner: str
    upward: ValueLine | None
    small: ValueLine | None
    shrink_upward_to: float | None
    small_paid_points: float | None
    words: tuple[str, ...]


def value_rows(stores: Stores, cadence: str, days: int) -> pl.DataFrame:
    """Return what overrides were worth, by the newest measurement of every day that has some.

    Args:
        stores: Where everything is.
        cadence: Rhythm of the runs.
        days: How many days back from the newest measured day with an overridden forecast.

    Returns:
        Contract `forecast_value_added`, oldest target date first; without rows where nothing was overridden.
    """
    valued = _valued(stores, cadence)
    within = [each for each in valued if (valued[-1].target_date - each.target_date).days < days]
    frames = [stores.predictions.read(stores.predictions.version(each.value_version)) for each in within]
    return pl.concat([pl.DataFrame(schema=FORECAST_VALUE_ADDED.schema), *frames])


def _valued(stores: Stores, cadence: str) -> list[Measurement]:
    """Return the newest measurement of every day that had an overridden forecast, oldest first."""
    measurements = stores.ledger.state().part(Measurements)
    measured = sorted(day for of, day in measurements.by_day if of == cadence)
    return [each for each in measurements.newest_of(cadence, measured) if each.value_version]


def valued_cadences(stores: Stores) -> list[str]:
    """Return the cadences of which an overridden forecast has been measured."""
    return [cadence for cadence in CADENCES if _valued(stores, cadence)]


def value_by_week(
    stores: Stores, *, planner: str = "", days: int = SHOWN_DAYS, cadence: str = DAILY.name
) -> pl.DataFrame:
    """Return what planners' overrides were worth, week by week.

    Args:
        stores: Where everything is.
        planner: Only this planner's; of all if left out.
        days: How many days back from the newest measured day with an overridden forecast.
        cadence: Rhythm of the runs.

    Returns:
        As `accuracy.value_added.value_by`, a row per week with overridden forecasts of planners, oldest first; `name`
        is its Monday. No rows where planners overrode nothing.
    """
    own = value_rows(stores, cadence, days).filter(~pl.col("is_rule"))
    own = own.filter(pl.col("planner") == planner) if planner else own
    monday = pl.col("target_date").dt.truncate("1w").dt.to_string("iso")
    return value_by(own.with_columns(name=monday), ("name",))


def value_added(
    stores: Stores, *, by: str = "planner", planner: str = "", days: int = SHOWN_DAYS, cadence: str = DAILY.name
) -> ValueAdded:
    """Return what overrides were worth.

    Args:
        stores: Where everything is.
        by: One of `SPLITS`.
        planner: Only this planner's; of all if left out.
        days: How many days back from the newest measured day with an overridden forecast.
        cadence: Rhythm of the runs.

    Raises:
        InputError: If there is no such split, or no day is asked for.
        NotReadyError: If no overridden forecast of these days has been measured.
    """
    if by not in SPLITS:
        raise InputError(f"`{by}` divides no overrides.", remedy=f"Take one of {', '.join(SPLITS)}.", by=by)
    if days < 1:
        raise InputError(f"{days} days are none.", remedy="Ask for at least one.", days=days)
    rows = value_rows(stores, cadence, days)
    own = rows.filter(~pl.col("is_rule"))
    own = own.filter(pl.col("planner") == planner) if planner else own
    # Rules have no direction or size that anybody chose, and no planner.
    told = own if planner or by in ("direction", "size") else rows
    if told.is_empty():
        raise _nothing(cadence, planner, days)
    frame = value_by(told, ("is_rule", by)).with_columns(name=by)
    first, last = told.select(first=pl.col("target_date").min(), last=pl.col("target_date").max()).row(0)
    overall = _line(own, planner or "all planners")
    return ValueAdded(cadence, first, last, by, planner, _lines(frame), overall, frame)


def _nothing(cadence: str, planner: str, days: int) -> NotReadyError:
    whose = f" by {planner}" if planner else ""
    return NotReadyError(
        f"No {cadence} forecast that was overridden{whose} has been measured in the newest {days} days.",
        remedy=Sentence(
            "See the overrides: ",
            Action("overrides list"),
            "; once sales of their days have come, measure them: ",
            Action("accuracy"),
            ".",
        ),
        cadence=cadence,
        planner=planner,
    )


def _lines(frame: pl.DataFrame) -> tuple[ValueLine, ...]:
    wapes = [f"{stage}_wape" for stage in VALUE_STAGES]
    return tuple(
        ValueLine(
            wape={stage: row[name] for stage, name in zip(VALUE_STAGES, wapes, strict=True)},
            **{each.name: row[each.name] for each in fields(ValueLine) if each.name != "wape"},
        )
        for row in frame.iter_rows(named=True)
    )


def advice(stores: Stores, planner: str, *, days: int = ADVICE_DAYS, cadence: str = DAILY.name) -> PlannerAdvice:
    """Return what a planner's own record advises; words to stand beside a form, never applied.

    Args:
        stores: Where everything is.
        planner: Whose record.
        days: How many days back from the newest measured day with an overridden forecast.
        cadence: Rhythm of the runs.

    Returns:
        Advice; for a planner without any record, words that say so.
    """
    own = value_rows(stores, cadence, days).filter(~pl.col("is_rule"), pl.col("planner") == planner)
    upward, small = _line(own.filter(direction="up"), "up"), _line(own.filter(size="small"), "small")
    shrink, shrink_words = _shrinking(upward)
    paid, small_words = _small(small)
    words = [each for each in (shrink_words, small_words) if each]
    known = _line(own, planner)
    return PlannerAdvice(planner, upward, small, shrink, paid, tuple(words) or (_too_little(planner, known),))


def _line(rows: pl.DataFrame, name: str) -> ValueLine | None:
    """Return one line of planners' overrides; None where there are none."""
    return None if rows.is_empty() else _lines(value_by(rows).with_columns(is_rule=False, name=pl.lit(name)))[0]


def _shrinking(line: ValueLine | None) -> tuple[float | None, str]:
    """Return which share of upward changes would have been best, and the words for it."""
    if line is None or line.is_small_sample or line.moves_that_came_true is None:
        return None, ""
    share = min(max(line.moves_that_came_true, 0.0), 1.0)
    best = "to leave the forecast alone" if not round(_EXAMPLE_PERCENT * share) else f"+{_EXAMPLE_PERCENT * share:.0f}%"
    return share, (
        f"Your upward changes came true by {share:.0%} of their size over {_extent(line)}: +{_EXAMPLE_PERCENT}% would "
        f"best have been {best}."
    )


def _small(line: ValueLine | None) -> tuple[float | None, str]:
    """Return what small changes gained, and the words for it."""
    if line is None or line.is_small_sample or line.value_added_points is None:
        return None, ""
    points = line.value_added_points
    verdict = f"better by {points:.1f}" if points > 0 else f"worse by {-points + 0.0:.1f}"
    so = "they paid" if points > 0 else "they did not pay"
    return points, (
        f"Your changes of {_TENTH_PERCENT} made forecasts {verdict} points of sales over {_extent(line)}: {so}."
    )


def _extent(line: ValueLine) -> str:
    return f"{counted(line.row_days, 'row-day')} of {counted(line.overrides, 'override')}"


def _too_little(planner: str, line: ValueLine | None) -> str:
    known = "nothing" if line is None else _extent(line)
    return (
        f"Too little is known of how {planner}'s changes came out for advice: {known}, and it takes {LEAST_ROW_DAYS} "
        f"row-days of {LEAST_OVERRIDES} overrides in one direction or size."
    )
