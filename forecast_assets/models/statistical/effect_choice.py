"""Which effects a version takes: whose calendar, whose season, whose event factors, by what past cutoffs bear out.

What belongs here: the losses and the choice. What does not: estimating effects, or level models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, Groups
from forecast_assets.features.panel import Panel
from forecast_assets.models.demand import ratio
from forecast_assets.models.statistical.calendar_backtest import squares_of_sums
from forecast_assets.models.statistical.effects import EVENTS, LAST_YEARS, SEASONS, Effects, fit_effects, with_season
from forecast_assets.models.statistical.last_year import SeasonBacktest, season_share, with_last_year
from forecast_assets.models.statistical.levels import SMOOTHING
from forecast_assets.models.statistical.selection_backtest import (
    EffectKinds,
    Origin,
    backtest_at,
    mean_known,
    sold_lately,
    variant,
)

Losses = dict[str, float]

# Enough series to choose between effects by; more would only cost time.
_COMPARED_SERIES: Final = 1500
# An effect more is taken only where it is better by this many standard errors of the difference, series by series.
_STANDARD_ERRORS: Final = 2.0
# What effects are compared with.
_REFERENCE: Final = SMOOTHING[2]
# Days of history that effects are read from.
_EFFECT_DAYS: Final = 728


def all_effects(
    panel: Panel, product_groups: Groups, *, history_days: int, calendar: str, has_two_years: bool
) -> Effects:
    """Effects of the last two years, or what scoring reads if that is more, with a season of all of the history.

    More than a year, since an event a week ahead may have been 371 days ago, and a day of the month comes twelve times.
    """
    effects = fit_effects(panel.recent(max(history_days, _EFFECT_DAYS)), product_groups).with_calendar_kind(calendar)
    return (with_season if has_two_years else with_last_year)(panel, effects, product_groups)


def choose_effects(
    origins: list[Origin], history_days: int, calendars: Sequence[str]
) -> tuple[EffectKinds, dict[str, Losses]]:
    """Return whose calendar, season and event factors come closest to what came, and the losses of all.

    Events have kinds only where there is no calendar, which holds its own.
    """
    losses_of_calendars = {
        kind: _effect_losses([_calendar_squares(origin, kind, history_days) for origin in origins])
        for kind in calendars
    }
    chosen = EffectKinds(calendar=_first_unless_better(losses_of_calendars, calendars[0]))
    # What is chosen as a season is compared again as what events are pooled in.
    squares = cache(lambda at, kinds: _reference_squares(origins[at], kinds, history_days))
    everywhere = range(len(origins))
    seasonal = [at for at in everywhere if origins[at].effects.season]
    of_one_year = [origin for origin in origins if origin.effects.last_year]
    if of_one_year:
        chosen, seasons = _with_last_year(of_one_year, chosen, history_days)
    else:
        by_series = {
            kind: _effect_losses([squares(at, replace(chosen, season=kind))[0] for at in seasonal])
            for kind in SEASONS
            if seasonal
        }
        chosen = replace(chosen, season=_first_unless_better(by_series, SEASONS[0]))
        seasons = _means(by_series)
    has_events = any(origin.past.event_names for origin in origins) and len(set(origins[0].product_groups)) > 1
    events = {
        kind: _effect_losses([_on_events(*squares(at, replace(chosen, events=kind))) for at in everywhere])
        for kind in EVENTS
        if has_events and chosen.calendar == "none"
    }
    told = {"calendar": _means(losses_of_calendars), "season": seasons, "events": _means(events)}
    return replace(chosen, events=_first_unless_better(events, EVENTS[0])), told


def _means(losses: Mapping[str, Floats]) -> Losses:
    return {kind: mean_known([values]) for kind, values in losses.items()}


def _with_last_year(origins: list[Origin], kinds: EffectKinds, history_days: int) -> tuple[EffectKinds, Losses]:
    """Return the kinds with as much of last year's change as past cutoffs bear out, and the losses without and with."""
    share, losses = season_share(
        [
            SeasonBacktest.at(
                origin.past.recent(history_days),
                variant(origin.effects, replace(kinds, season=LAST_YEARS)),
                origin.product_groups,
                origin.demand,
            )
            for origin in origins
        ]
    )
    return (replace(kinds, season=LAST_YEARS, last_years_share=share) if share else kinds), losses


def _calendar_squares(origin: Origin, kind: str, history_days: int) -> Floats:
    """[J, H] losses of sums with one of `CALENDARS`."""
    effects = variant(origin.effects, EffectKinds(calendar=kind))
    return squares_of_sums(origin.past.recent(history_days), effects, origin.product_groups, origin.demand)


def _first_unless_better(losses: Mapping[str, Floats], first: str) -> str:
    """Return the kind with the least mean loss, or the first where its lead may be chance.

    Leads are shares of each series' own loss: what one erratic series loses by chance would hide the lead on all
    others.
    """
    if not losses:
        return first
    best = min(losses, key=lambda kind: mean_known([losses[kind]]))
    lead = ratio(losses[first] - losses[best], losses[first])
    lead = lead[~np.isnan(losses[first])]
    is_clear = len(lead) > 1 and float(lead.mean()) > _STANDARD_ERRORS * float(lead.std()) / len(lead) ** 0.5
    return best if is_clear else first


def _reference_squares(origin: Origin, kinds: EffectKinds, history_days: int) -> tuple[Floats, Bools]:
    """[k, H] loss of one plain model on the days of each compared series, and which of them are of events.

    The same series for every kind, whatever class its effects put them in; NaN for those without a recent sale.
    """
    backtest = backtest_at(origin, kinds, history_days, _COMPARED_SERIES)
    squares = backtest.squares(_REFERENCE, np.arange(len(backtest.demand)))
    return np.where(sold_lately(origin, len(squares))[:, None], squares, np.nan), backtest.on_event


def _on_events(squares: Floats, on_event: Bools) -> Floats:
    """[k, H] the losses on days of events, NaN on others."""
    return np.where(on_event, squares, np.nan)


def _effect_losses(parts: Sequence[Floats]) -> Floats:
    """[k] Mean loss on the known days of each series of each origin; NaN for none."""
    means = []
    for squares in parts:
        is_counted = ~np.isnan(squares)
        sums, counts = np.where(is_counted, squares, 0.0).sum(axis=1), is_counted.sum(axis=1)
        means.append(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))
    return np.concatenate(means)
