"""Series forecasts: level path times factors, taken apart into components that add up.

What belongs here: forecasting SKU-store series with a trained artifact. What does not: training, upper nodes, frames.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from forecast_assets.contracts import COMPONENTS
from forecast_assets.features.panel import Bools, Floats, Panel
from forecast_assets.models.artifact import StatisticalArtifact
from forecast_assets.models.demand import classify, observe, trailing_level
from forecast_assets.models.effects import Effects, Factors, Groups, lay_out_factors
from forecast_assets.models.levels import LevelPaths, Progress, forecast_levels

# All components but the last, which is what rounding leaves over.
FACTORED: Final = COMPONENTS[:-1]


@dataclass(frozen=True)
class Cleaned:
    """Series without what is explained: the ground that level models stand on.

    Attributes:
        factors: What multiplies the level, [n, T + H] each.
        level: [n, T] demand over factors, units; NaN before a series begins, its trailing level on unknown days.
        demand: [n, T] demand estimate, units; NaN where sales are unknown.
        demand_class: [n].
    """

    factors: Factors
    level: Floats
    demand: Floats
    demand_class: npt.NDArray[np.str_]


@dataclass(frozen=True)
class SeriesForecasts:
    """Forecasts of n series for H days; steps run along the second axis.

    Attributes:
        mean: [n, H] expected demand, units.
        components: [n, H] units each, in the order of `FACTORED`; they add up to the mean.
        quantiles: [n, H, 13] units.
        demand_class: [n].
        model_used: [n] model that made the level path.
        is_fallback: [n] whether it stands in for the chosen one, which failed.
        history: What the forecasts rest on.
    """

    mean: Floats
    components: dict[str, Floats]
    quantiles: Floats
    demand_class: npt.NDArray[np.str_]
    model_used: npt.NDArray[np.object_]
    is_fallback: Bools
    history: Cleaned


def clean(panel: Panel, effects: Effects, product_groups: Groups) -> Cleaned:
    """Estimate demand and divide what is explained out of it.

    Args:
        panel: n series, T days of history, H ahead.
        effects: Pooled effects.
        product_groups: [n] group of each series.
    """
    factors = lay_out_factors(panel, effects, product_groups)
    past = factors.product[:, : panel.history_days]
    observed = observe(panel, past)
    typical = trailing_level(observed.units, observed.exposure * past)
    # Unknown days have no exposure, so they take the typical level whole; so do days with an empty shelf.
    level = observed.units / past + (1.0 - observed.exposure) * typical
    has_begun = np.maximum.accumulate(observed.is_known, axis=1)
    return Cleaned(
        factors,
        np.where(has_begun, level, np.nan),
        np.where(observed.is_known, level * past, np.nan),
        classify(panel),
    )


def forecast_series(
    panel: Panel,
    artifact: StatisticalArtifact,
    product_groups: Groups,
    *,
    progress: Progress | None = None,
    workers: int | None = None,
) -> SeriesForecasts:
    """Forecast every series of a panel.

    Args:
        panel: n series, T days of history, H ahead.
        artifact: What training decided.
        product_groups: [n] group of each series, as in training.
        progress: Called with series done and series in all.
        workers: Processes for slow models; all cores if left out.
    """
    history = clean(panel, artifact.effects, product_groups)
    names = np.array([artifact.models[str(name)] for name in history.demand_class])
    levels = forecast_levels(history.level, names, panel.horizon_days, progress=progress, workers=workers)
    ahead = ahead_of(history.factors, panel)
    components = decompose(levels, ahead)
    mean = np.prod([levels.path, *ahead], axis=0)
    return SeriesForecasts(
        mean=mean,
        components=components,
        quantiles=artifact.calibration.quantiles(mean, history.demand_class),
        demand_class=history.demand_class,
        model_used=levels.model_used,
        is_fallback=levels.is_fallback,
        history=history,
    )


def ahead_of(factors: Factors, panel: Panel) -> list[Floats]:
    """Return the factors of the horizon, [n, H] each, in the order of the components they make."""
    all_days = (factors.weekday, factors.season, factors.price, factors.promotion, factors.event)
    return [factor[:, panel.history_days :] for factor in all_days]


def decompose(levels: LevelPaths, factors: list[Floats]) -> dict[str, Floats]:
    """Take level path times factors apart, each factor applied on top of those before it.

    level = the path's first day; trend = path - level; weekday = path (weekday - 1); season = path weekday
    (season - 1); and so on: a telescope, so that the components add up to the product.

    Returns:
        Components [n, H] by name, in the order of `FACTORED`.
    """
    first = np.repeat(levels.path[:, :1], levels.path.shape[1], axis=1)
    heights = [first, levels.path]
    for factor in factors:
        heights.append(heights[-1] * factor)
    steps = [first, *(upper - lower for lower, upper in pairwise(heights))]
    return dict(zip(FACTORED, steps, strict=True))
