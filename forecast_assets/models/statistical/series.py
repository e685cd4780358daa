"""Series forecasts: level path times factors, taken apart into components that add up.

What belongs here: forecasting SKU-store series with a trained artifact. What does not: training, upper nodes, frames.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from forecast_assets.contracts import COMPONENTS
from forecast_assets.core.arrays import Bools, Floats, Groups, Names, Rows
from forecast_assets.core.progress import Progress, silent
from forecast_assets.features.panel import Panel
from forecast_assets.models.closures import is_weekly
from forecast_assets.models.demand import classify, level_and_demand, trailing_level
from forecast_assets.models.forecasts import Forecasts
from forecast_assets.models.screening import screened
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.borrowing import BORROWED, BorrowedLevels, borrow
from forecast_assets.models.statistical.effects import Effects, Factors, lay_out_factors, season_deviation
from forecast_assets.models.statistical.levels import CROSTON, ZERO, LevelPaths, forecast_levels
from forecast_assets.models.statistical.resumption import at_present_level
from forecast_assets.models.statistical.shifts import shift_factors

# All components but the last, which is what rounding leaves over.
FACTORED: Final = COMPONENTS[:-1]
# Classes whose own record is no ground for a level.
WITHOUT_LEVEL: Final = ("new", "dead", "ended")
# What a series lends to its relatives is its level of about the last four weeks.
_LENT_HALF_LIFE: Final = 14.0
# A day of which less was seen does not say that nothing would have sold.
_MOST_OF_A_DAY: Final = 0.5


@dataclass(frozen=True)
class CleanedSeries:
    """Series without what is explained: the ground that level models stand on.

    Attributes:
        factors: What multiplies the level, [n, T + H] each.
        shift: [n, T] what the present level is multiplied by to have that of the day: that of the series' product
            group in its store shifted since.
        level: [n, T] demand over factors and shift, units; NaN before a series begins, its trailing level on unknown
            days.
        demand: [n, T] demand estimate, units; NaN where sales are unknown.
        is_unsold: [n, T] whether most of the day was seen, and nothing sold.
        is_unseen: [n, T] whether it is not known that something sold, nor that nothing did.
        demand_class: [n].
        borrowed: What the parents of each series say of it.
    """

    factors: Factors
    shift: Floats
    level: Floats
    demand: Floats
    is_unsold: Bools
    is_unseen: Bools
    demand_class: Names
    borrowed: BorrowedLevels

    def told_apart(self, rows: Rows) -> Floats:
        """[k, T] Levels of some series as models read them that tell days with a sale from days without.

        To those a day's share of the usual level, which stands in for hours without stock, would be a sale, and a tiny
        one. NaN where neither is known.
        """
        told = np.where(self.is_unsold[rows], 0.0, self.level[rows])
        return np.where(self.is_unseen[rows], np.nan, told)


@dataclass(frozen=True, kw_only=True)
class SeriesForecasts(Forecasts):
    """Forecasts of n series with what they rest on; taken apart into all of `FACTORED`, in its order.

    Attributes:
        history: What the forecasts rest on.
    """

    history: CleanedSeries

    @property
    def past_factors(self) -> Floats:
        """[n, T] What multiplies the level of a series on each day of the history."""
        return self.history.factors.product[:, : self.history.level.shape[1]]


def clean(panel: Panel, effects: Effects, product_groups: Groups) -> CleanedSeries:
    """Estimate demand and divide what is explained out of it.

    Args:
        panel: n series, T days of history, H ahead; screened.
        effects: Pooled effects.
        product_groups: [n] group of each series.
    """
    factors = lay_out_factors(panel, effects, product_groups)
    past = factors.product[:, : panel.history_days]
    found = level_and_demand(panel, past)
    observed = found.observed
    has_begun = np.maximum.accumulate(observed.is_known, axis=1)
    season = factors.season[:, : panel.history_days]
    demand_class = classify(panel, season, season_deviation(panel, effects, product_groups))
    shown = observed.exposure * past
    shift = np.broadcast_to(1.0, shown.shape)
    if effects.reads_shifts:
        shift = shift_factors(panel, product_groups, observed.units, shown)
    level = at_present_level(panel, observed.units, shown * shift, found.level / shift)
    is_seen = (observed.exposure > _MOST_OF_A_DAY) & ~(panel.is_censored & np.isnan(panel.missed_share))
    has_sold = np.nan_to_num(panel.sales) > 0
    return CleanedSeries(
        factors,
        shift,
        np.where(has_begun, level, np.nan),
        found.demand,
        is_seen & ~has_sold,
        ~is_seen & ~has_sold,
        demand_class,
        _borrow(panel, product_groups, observed.units, shown * shift, demand_class),
    )


def _borrow(
    panel: Panel, product_groups: Groups, units: Floats, exposure: Floats, demand_class: Names
) -> BorrowedLevels:
    recent = trailing_level(units, exposure, _LENT_HALF_LIFE)[:, -1]
    is_new, is_established = demand_class == "new", ~np.isin(demand_class, WITHOUT_LEVEL)
    return borrow(panel, product_groups, units.sum(axis=1), exposure.sum(axis=1), recent, is_new, is_established)


def level_paths(
    history: CleanedSeries,
    names: Names,
    horizon: int,
    *,
    rows: Rows | None = None,
    progress: Progress = silent,
    workers: int | None = None,
) -> LevelPaths:
    """Forecast levels with the model named for each series; borrowed ones stay as they are over the horizon.

    Args:
        history: n series.
        names: [k] models.
        horizon: H.
        rows: [k] which series; all if left out.
        progress: Called with the stage, series done and series in all.
        workers: Processes for slow models; all cores if left out.
    """
    chosen = np.arange(len(history.level)) if rows is None else rows
    is_borrowed = np.isin(names, BORROWED)
    own, cleaned = np.where(is_borrowed, ZERO, names), history.level[chosen]
    by_interval = np.flatnonzero(np.isin(own, CROSTON))
    cleaned[by_interval] = history.told_apart(chosen[by_interval])
    made = forecast_levels(cleaned, own, horizon, progress=progress, workers=workers)
    for name in np.unique(names[is_borrowed]):
        few = np.flatnonzero(names == name)
        made.path[few] = history.borrowed.level(str(name), chosen[few])[:, None]
        made.model_used[few] = str(name)
    return made


def forecast_series(
    panel: Panel,
    artifact: StatisticalArtifact,
    product_groups: Groups,
    *,
    progress: Progress = silent,
    workers: int | None = None,
) -> SeriesForecasts:
    """Forecast every series of a panel.

    Args:
        panel: n series, T days of history, H ahead.
        artifact: What training decided.
        product_groups: [n] group of each series, as in training.
        progress: Called with the stage, series done and series in all.
        workers: Processes for slow models; all cores if left out.
    """
    made = forecast_screened(screened(panel), artifact, product_groups, progress=progress, workers=workers)
    return scored(made, artifact, panel)


def scored(made: SeriesForecasts, artifact: StatisticalArtifact, panel: Panel) -> SeriesForecasts:
    """Return forecasts with how unlike training the inputs of a panel are, which is not screened."""
    return replace(made, out_of_distribution=None if artifact.reference is None else artifact.reference.score(panel))


def forecast_screened(
    panel: Panel,
    artifact: StatisticalArtifact,
    product_groups: Groups,
    *,
    progress: Progress = silent,
    workers: int | None = None,
) -> SeriesForecasts:
    """Forecast every series of a panel that is screened; nothing is said of how unlike training it is.

    Arguments as for `forecast_series`.
    """
    history = clean(panel, artifact.effects, product_groups)
    names = np.array([artifact.models[str(name)] for name in history.demand_class])
    levels = level_paths(history, names, panel.horizon_days, progress=progress, workers=workers)
    ahead = horizon_factors(history.factors, panel)
    components = decompose(levels, ahead)
    mean = np.prod([levels.path, *ahead.values()], axis=0)
    return SeriesForecasts(
        mean=mean,
        components=components,
        quantiles=artifact.quantiles(mean, history.demand_class),
        demand_class=history.demand_class,
        model_used=levels.model_used,
        is_fallback=levels.is_fallback,
        history=history,
        backtested_days=None if artifact.short_history is None else artifact.short_history.backtested_days,
    )


def horizon_factors(factors: Factors, panel: Panel) -> dict[str, Floats]:
    """Return the factors of the horizon, [n, H] each, by the component that each makes.

    A closed day has a factor of 0: that of its weekday where weekdays are what is closed, else that of events.

    Args:
        factors: [n, T + H] each.
        panel: n series, T days of history, H ahead; screened.
    """
    ahead = factors.by_component(np.s_[:, panel.history_days :])
    closed = panel.is_closed[:, panel.history_days :]
    if closed.any():
        by_weekday = is_weekly(panel.is_closed, panel.history_days)
        ahead["weekday_units"] = np.where(by_weekday, 0.0, ahead["weekday_units"])
        ahead["event_units"] = np.where(closed & ~by_weekday, 0.0, ahead["event_units"])
    return ahead


def decompose(levels: LevelPaths, factors: Mapping[str, Floats]) -> dict[str, Floats]:
    """Take level path times factors apart, each factor applied on top of those before it.

    level = the path's first day; trend = path - level; weekday = path (weekday - 1); payday = path weekday
    (payday - 1); and so on: a telescope, so that the components add up to the product.

    Returns:
        Components [n, H] by name, in the order of `FACTORED`.
    """
    first = np.repeat(levels.path[:, :1], levels.path.shape[1], axis=1)
    heights = [first, levels.path]
    for factor in factors.values():
        heights.append(heights[-1] * factor)
    names = ("level_units", "trend_units", *factors)
    steps = [first, *(upper - lower for lower, upper in pairwise(heights))]
    # What only learned models tell apart is none here.
    return dict.fromkeys(FACTORED, np.zeros_like(first)) | dict(zip(names, steps, strict=True))
