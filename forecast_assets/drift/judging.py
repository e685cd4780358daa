"""Judging the figures of feeds on a day: what is as usual, what has changed, what broke, what cannot be judged.

What belongs here: the verdict on each figure in each store and over all, in rows of the report. What does not: reading,
detectors, or what follows from a verdict.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import AS_USUAL, BROKEN, CHANGED, TOO_LITTLE_HISTORY
from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.drift.daily_figures import ALL_STORES, EVENTFUL, MISSING, ZERO, Figure, Scale
from forecast_assets.drift.detectors import LEAST_SPREAD, Change, broken, changes
from forecast_assets.drift.expectations import LEAST_HISTORY, Deviations, KnownDays, deviations, spreads

# Of fewer units or rows a day nothing can be told.
_LEAST_A_DAY: Final = 10.0
# Of a column that is nothing but zeros, or nulls, that never was.
_ALL: Final = 0.98
_NEVER: Final = 0.9
# Longer than that it is no fault that nobody has mended.
LONGEST_EMPTY: Final = 56
_LEAST_ROWS: Final = 20
_USUAL_DAYS: Final = 56
_NOTHING: Final = 1e-9
# How a figure went, day by day.
FIGURE_DAYS: Final = {
    "feed": pl.String, "figure": pl.String, "scale": pl.String, "event_date": pl.Date, "value": pl.Float64,
    "expected": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True)
class DriftJudgement:
    """What is found of one figure in one scope on one day.

    Attributes:
        subject: What kind of thing it is: `feed`, `feature` or `forecast`.
        name: The feed, the feature, or the cadence and version of forecasts.
        figure: Which figure of it.
        scope: The store, or `all`.
        scale: `log`, `share` or another measure of `deviation`.
        verdict: One of the four.
        value: The figure; of quantities in their own unit.
        expected: What was to be expected.
        deviation: How far it is from there, on the scale.
        spread: Its usual standard deviation.
        statistic: What the detector says, in the deviation's unit.
        threshold: From which on it tells a change.
        since: From when on, where something is told.
        size: Mean deviation from then on.
    """

    subject: str
    name: str
    figure: str
    scope: str
    scale: str
    verdict: str
    value: float | None
    expected: float | None
    deviation: float | None
    spread: float | None
    statistic: float | None
    threshold: float | None
    since: date | None
    size: float | None = None

    @property
    def watched(self) -> tuple[str, str, str]:
        """What is watched, as a signal's name says it."""
        return self.subject, self.name, self.figure

    @property
    def is_signal(self) -> bool:
        """Whether somebody has to look at it."""
        return self.verdict in (CHANGED, BROKEN)


def judge_figures(figures: Sequence[Figure], calendars: Mapping[tuple[str, ...], KnownDays]) -> list[DriftJudgement]:
    """Judge the last day of figures, over all stores and in each.

    Args:
        figures: Of one or more feeds, all of the same days.
        calendars: What is known of the days, by the stores of a figure.
    """
    watched = Counter(figure.feed for figure in figures for _ in (ALL_STORES, *figure.store_ids))
    alike: dict[tuple[tuple[str, ...], Scale], list[Figure]] = {}
    for figure in figures:
        alike.setdefault((figure.store_ids, figure.scale), []).append(figure)
    made = {
        (judged.name, judged.figure): judgements
        for (stores, _), some in alike.items()
        for judgements in _judged_together(some, calendars[stores], max(watched[each.feed] for each in some))
        for judged in judgements[:1]
    }
    return [judgement for figure in figures for judgement in made[figure.feed, figure.name]]


def _judged_together(figures: Sequence[Figure], calendar: KnownDays, watched: int) -> list[list[DriftJudgement]]:
    """Judge figures of the same stores on the same scale: as one array, which takes a tenth of the time."""
    scale, count = figures[0].scale, len(figures[0].store_ids)
    every = deviations(
        np.concatenate([_judged(figure) for figure in figures]),
        calendar.repeated(len(figures)),
        LEAST_SPREAD[scale],
        stores=count,
        has_trend=scale == "log",
    )
    parts = [_with_whole(figure, every.rows(slice(at * count, (at + 1) * count))) for at, figure in enumerate(figures)]
    joined = Deviations.joined(parts)
    change, is_broken = changes(joined, scale, watched), broken(joined, scale)[:, -1]
    made = []
    for at, (figure, apart) in enumerate(zip(figures, parts, strict=True)):
        rows = slice(at * (count + 1), (at + 1) * (count + 1))
        # A product that is sold out is no broken column; what is empty as a whole is, at once.
        is_column = figure.name.endswith((ZERO, MISSING))
        own = emptied_days(figure) if is_column else is_broken[rows][1:].astype(np.int64)
        # Of a figure that broke in most stores at once the whole is broken, however the stores weigh.
        whole = own.max(initial=0) if (own > 0).sum() > count / 2 else 0
        made.append(_judgements(figure, apart, change.rows(rows), np.concatenate([[whole], own])))
    return made


def _judged(figure: Figure) -> Floats:
    """[S, T] The values, without those of stores that are new or too small to be judged."""
    days = (~np.isnan(figure.values)).sum(axis=1)
    usual = np.median(figure.weights[:, -_USUAL_DAYS:], axis=1)
    is_judged = (days >= LEAST_HISTORY) & (usual >= _LEAST_A_DAY)
    return np.where(is_judged[:, None], figure.values, np.nan)


def emptied_days(figure: Figure) -> Ints:
    """[S] For how many days up to the last a column has been all zeros, or nulls, that never was in the weeks before.

    0 where it is not, or may be: also after `LONGEST_EMPTY` days, which make it what the column is.
    """
    values = figure.values
    # Days without rows neither end it nor count as its first.
    is_over = np.nan_to_num(values, nan=1.0)[:, ::-1] < _ALL
    back = np.where(is_over.any(axis=1), is_over.argmax(axis=1), values.shape[1])
    made = np.zeros(len(values), dtype=np.int64)
    for store in np.flatnonzero((np.nan_to_num(values[:, -1]) >= _ALL) & (figure.weights[:, -1] >= _LEAST_ROWS)):
        run = values[store, values.shape[1] - back[store] :]
        days = len(run) - int(np.argmax(~np.isnan(run)))
        end = values.shape[1] - days
        before = values[store, max(end - _USUAL_DAYS, 0) : end]
        before = before[~np.isnan(before)]
        if len(before) >= _USUAL_DAYS // 2 and before.max() <= _NEVER and days <= LONGEST_EMPTY:
            made[store] = days
    return made


def _with_whole(figure: Figure, apart: Deviations) -> Deviations:
    """Put before the stores the whole: their deviations, weighed by what they usually are of it.

    So that a store which opens, closes or is silent for a day is no change of the others.
    """
    weights = figure.weights[:, -_USUAL_DAYS:].mean(axis=1)[:, None]
    values = _average(apart.values, weights)[None, :]
    is_special = (np.where(apart.is_special, weights, 0.0).sum(axis=0) > weights.sum() / 2)[None, :]
    spread, long_spread = spreads(np.where(is_special, np.nan, values), LEAST_SPREAD[figure.scale])
    expected = _average(figure.values, weights)[None, :] - values
    whole = Deviations(values, expected, spread, long_spread, is_special)
    return Deviations.joined([whole, apart])


def _average(values: Floats, weights: Floats) -> Floats:
    """[T] mean over the stores that are known, by weight."""
    known = np.where(np.isnan(values), 0.0, weights)
    total = known.sum(axis=0)
    return np.where(total > 0, (known * np.nan_to_num(values)).sum(axis=0) / np.maximum(total, _NOTHING), np.nan)


def _judgements(figure: Figure, apart: Deviations, change: Change, broken_days: Ints) -> list[DriftJudgement]:
    """Return what is found over all and in each store; of what is broken, for how many days."""
    made = []
    scopes = (ALL_STORES, *(store for store in figure.store_ids if store != ALL_STORES))
    for at, scope in enumerate(scopes):
        since, size = None, None
        if np.isnan(apart.spread[at]):
            verdict = TOO_LITTLE_HISTORY
        elif broken_days[at]:
            first = figure.values.shape[1] - int(broken_days[at])
            verdict, since, size = BROKEN, figure.day(first), _known(apart.values[at, -1])
        elif change.is_changed[at, -1] and figure.feed not in EVENTFUL:
            first = int(change.since[at, -1])
            verdict, since, size = CHANGED, figure.day(first), mean_size(apart.values[at, first:])
        else:
            verdict = AS_USUAL
        expected, deviation = _known(apart.expected[at, -1]), _known(apart.values[at, -1])
        made.append(
            DriftJudgement(
                subject="feed",
                name=figure.feed,
                figure=figure.name,
                scope=scope,
                scale=figure.scale,
                verdict=verdict,
                value=None if expected is None or deviation is None else expected + deviation,
                expected=expected,
                deviation=deviation,
                spread=_known(apart.spread[at]),
                statistic=_known(max(change.up[at, -1], change.down[at, -1])),
                threshold=_known(change.threshold[at]),
                since=since,
                size=size,
            )
        )
    return made


def mean_size(values: Floats) -> float:
    """Return the mean deviation of the days that are known; 0 where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def figure_days(figure: Figure, calendar: KnownDays, days: int) -> pl.DataFrame:
    """Return how a figure went over all stores, and what was to be expected of it.

    Args:
        figure: The figure.
        calendar: Of its stores and days.
        days: How many of the last days.

    Returns:
        `feed, figure, scale, event_date, value, expected`.
    """
    apart = deviations(
        _judged(figure),
        calendar,
        LEAST_SPREAD[figure.scale],
        stores=len(figure.store_ids),
        has_trend=figure.scale == "log",
    )
    whole = _with_whole(figure, apart).rows(slice(0, 1))
    expected = whole.expected[0, -days:]
    return pl.DataFrame(
        {
            "feed": figure.feed,
            "figure": figure.name,
            "scale": figure.scale,
            "event_date": [figure.day(column) for column in range(figure.values.shape[1])][-days:],
            "value": expected + whole.values[0, -days:],
            "expected": expected,
        },
        schema=FIGURE_DAYS,
    ).with_columns(pl.col("value", "expected").fill_nan(None))
