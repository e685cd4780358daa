"""Training the statistical family: effects, a level model per demand class, calibration.

What belongs here: what is learned once per model version. What does not: evaluating the result, or storing it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, GroupCodes, Groups, Names, Rows
from forecast_assets.core.progress import Progress, silent
from forecast_assets.features.demand_class import DEAD_DAYS, NEW_DAYS
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy.membership import CrossedLevel
from forecast_assets.models.calendar.calendar import CALENDARS
from forecast_assets.models.calibration import Calibration, calibrate
from forecast_assets.models.demand import ratio
from forecast_assets.models.distribution import learn_reference
from forecast_assets.models.node_levels import (
    MOST_NODES,
    NodeLevel,
    NodesAtCutoff,
    learned_share,
    losses_by_model,
    some_nodes,
    summing_matrix,
)
from forecast_assets.models.sample_paths.dependence import CutoffErrors, NodeErrors, learn_dependence, level_name
from forecast_assets.models.sample_paths.marginals import Marginals, moment_with_score, sells_by_the_piece
from forecast_assets.models.screening import screened
from forecast_assets.models.selection import (
    DEFAULT_HISTORY_DAYS,
    LEAST_HISTORY_DAYS,
    backtest_origins,
    backtested_days,
    spread_rows,
    training_rows,
)
from forecast_assets.models.short_history import ShortHistory
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.borrowing import BORROWED
from forecast_assets.models.statistical.calendar_backtest import squares_of_sums
from forecast_assets.models.statistical.effects import EVENTS, LAST_YEARS, SEASONS, Effects, fit_effects, with_season
from forecast_assets.models.statistical.last_year import SeasonBacktest, season_share, with_last_year
from forecast_assets.models.statistical.levels import (
    AVERAGE,
    CROSTON,
    SMOOTHING,
    THETA,
    ZERO,
    forecast_levels,
)
from forecast_assets.models.statistical.nodes import NODES, node_index
from forecast_assets.models.statistical.season import LEAST_HISTORY_DAYS as SEASON_DAYS
from forecast_assets.models.statistical.series import CleanedSeries, clean, horizon_factors, level_paths

Losses = dict[str, float]

# What people are told is being done.
TRAINING_STAGE: Final = "training"
# Enough series to choose between models and to learn quantiles by; more would only cost time.
_COMPARED_SERIES: Final = 1500
_COMPARED_SERIES_SLOW: Final = 100
_CALIBRATED_SERIES: Final = 20000
# A slow model is chosen only where it is better by at least this share, an effect more only where it is better by this
# many standard errors of the difference, series by series.
_SLOW_MARGIN: Final = 0.02
_STANDARD_ERRORS: Final = 2.0
_QUICK: Final = (*SMOOTHING, AVERAGE)
_CANDIDATES: Final[Mapping[str, tuple[str, ...]]] = {
    "smooth": _QUICK,
    "erratic": _QUICK,
    "intermittent": (*CROSTON, *_QUICK),
    "lumpy": (*CROSTON, *_QUICK),
    "seasonal": _QUICK,
    "new": (*BORROWED, AVERAGE),
}
_WITH_THETA: Final = ("smooth", "seasonal")
_FIXED: Final = {"dead": ZERO, "ended": ZERO}
# What a class takes that no backtest had a series of, and what effects are compared with.
_REFERENCE: Final = SMOOTHING[2]
_DEFAULTS: Final = {**dict.fromkeys(_CANDIDATES, _REFERENCE), "new": BORROWED[0]}
_SMALLEST_LEVEL: Final = 0.05
# Outcomes of a day by which it is told what a day's errors hang together by.
_MOMENT_PATHS: Final = 60
# Days of history that effects are read from.
_EFFECT_DAYS: Final = 728
# One product in so many is launched for comparing models of new series; a prime, so that it hits all stores alike.
_LAUNCHED: Final = 7


@dataclass(frozen=True)
class Origin:
    """A past cutoff: what was known at it, all effects that could be learned from it, and what came.

    Attributes:
        past: n series, as long a history as there is; screened as of then.
        effects: With a season, the first calendar to choose from, and event factors by group, whether they help or not.
            The season is by product where two years agree on it; where there is one, all of last year's waves by group.
        product_groups: [n].
        demand: [n, H] demand that came, units; NaN where unknown, and for series that had not begun.
    """

    past: Panel
    effects: Effects
    product_groups: Groups
    demand: Floats


@dataclass(frozen=True)
class SelectionBacktest:
    """Some series at an origin, cleaned with a choice of effects.

    Attributes:
        history: k series as known at the cutoff, cleaned with effects that saw nothing later.
        factors: [k, T] product of the factors of the history.
        ahead: [k, H] and of the horizon; 0 on closed days.
        product_groups: [k].
        demand: [k, H] demand that came, units; NaN where unknown.
        on_event: [k, H] whether an event falls on the day.
        is_whole: [k] whether a series sells by the piece.
    """

    history: CleanedSeries
    factors: Floats
    ahead: Floats
    product_groups: Groups
    demand: Floats
    on_event: Bools
    is_whole: Bools

    def forecast(self, names: Names, rows: Rows, workers: int | None) -> Floats:
        """[r, H] units forecast by the named model of each of the r chosen series."""
        levels = level_paths(self.history, names, self.ahead.shape[1], rows=rows, workers=workers)
        return levels.path * self.ahead[rows]

    def squares(self, name: str, rows: Rows, workers: int | None = None) -> Floats:
        """[r, H] squared errors of a model over each series' level.

        Squares are least at the mean; over the level, no large series outweighs all others.
        """
        history = self.history
        level = np.nan_to_num(history.level[rows]).mean(axis=1)
        level = np.where(history.demand_class[rows] == "new", history.borrowed.parent[rows], level)
        missed = self.demand[rows] - self.forecast(np.full(len(rows), name), rows, workers)
        return np.asarray(missed**2 / np.maximum(level, _SMALLEST_LEVEL)[:, None])


def train_statistical(
    panel: Panel,
    product_groups: Groups,
    *,
    horizon: int,
    progress: Progress = silent,
    workers: int | None = None,
    history_days: int = DEFAULT_HISTORY_DAYS,
    group_level: str = "total",
    only_quick: bool = False,
    node_levels: Sequence[CrossedLevel] = (),
    calendars: Sequence[str] = CALENDARS,
) -> StatisticalArtifact:
    """Train a version on everything up to the panel's cutoff.

    What is chosen is chosen on the last days of the history, by forecasts from up to three earlier cutoffs with effects
    fitted up to each of them: whose calendar there is; whether there is a yearly season, and whose; without a calendar,
    whether product groups have event factors of their own; a level model per demand class. Quantiles are learned there
    too. Assumes that those days are like the ones to come.

    Args:
        panel: n series, T days of history, at least ``horizon`` ahead. The season is learned from all of its history,
            other effects from two years, everything else from the ``history_days`` that scoring will read. Of more
            series than 8 million cells hold, that many are used, evenly spread.
        product_groups: [n] group of each series, within which effects are pooled.
        horizon: Days ahead that the version is for; backtests look as far, or on a short history as far as they can.
        progress: Called with the stage, steps done and steps in all.
        workers: Processes for slow models; all cores if left out.
        history_days: Days of history that scoring will read.
        group_level: Product level whose nodes are the groups.
        only_quick: Leave out level models that cost a minute where others cost a second.
        node_levels: Pairs of levels of the same series of whose nodes it is decided by which model they are forecast
            and how far reconciliation trusts them; none for all alike.
        calendars: Of `CALENDARS`, those to choose from: the first unless another is clearly better.

    Raises:
        InputError: If the history is too short for a single backtest.
    """
    reach, starts = backtested_days(panel.history_days, horizon), backtest_origins(panel, horizon)
    rows = training_rows(panel.series.height, panel.history_days + panel.horizon_days)
    panel, groups = panel.take(rows).ahead(horizon), product_groups[rows]
    known = screened(panel)
    report = partial(progress, TRAINING_STAGE)
    steps = len(starts) + 4
    has_two_years = panel.history_days - starts[0] >= SEASON_DAYS
    learned = partial(_all_effects, history_days=history_days, calendar=calendars[0], has_two_years=has_two_years)
    effects = learned(known, groups)
    report(1, steps)
    tested = panel.ahead(reach)
    actual = _actual_demand(known.ahead(reach), replace(effects, season=None), groups, starts, history_days)
    origins = []
    for number, (start, demand) in enumerate(zip(starts, actual, strict=True)):
        past = screened(tested.as_of(start))
        origins.append(Origin(past, learned(past, groups), groups, demand))
        report(number + 2, steps)
    chosen, comparisons = _choose_effects(origins, history_days, calendars)
    report(steps - 2, steps)
    backtests = [_backtest(origin, chosen, history_days, _CALIBRATED_SERIES) for origin in origins]
    launched = _backtest(_with_launches(origins[0]), chosen, history_days, _CALIBRATED_SERIES)
    models, losses = _choose_models(backtests, launched, workers, () if only_quick else _WITH_THETA)
    means = [_forecast_all(backtest, models, workers) for backtest in backtests]
    few = rows[spread_rows(len(rows), _CALIBRATED_SERIES)]
    levels_of_few = [level.take(few) for level in node_levels]
    nodes = _nodes_at_cutoffs(backtests, means, levels_of_few)
    models[NODES], losses[NODES], decided = _decide_nodes(nodes, levels_of_few)
    report(steps - 1, steps)
    calibration = calibrate(
        np.concatenate(means),
        np.concatenate([backtest.demand for backtest in backtests]),
        np.concatenate([backtest.history.demand_class for backtest in backtests]),
    )
    shares = [level.share for level in decided]
    errors = [
        _errors(
            *pair,
            calibration,
            levels_of_few,
            [of_level[at].missed(models[NODES], share) for of_level, share in zip(nodes, shares, strict=False)],
        )
        for at, pair in enumerate(zip(backtests, means, strict=True))
    ]
    report(steps, steps)
    return StatisticalArtifact(
        models=models,
        effects=variant(effects, chosen),
        calibration=replace(calibration, dependence=learn_dependence(errors)),
        history_days=history_days,
        horizon_days=horizon,
        group_level=group_level,
        comparisons={**comparisons, **losses},
        reference=learn_reference(panel),
        short_history=None if reach == horizon else ShortHistory(panel.history_days, reach),
        node_levels=decided,
    )


@dataclass(frozen=True)
class EffectKinds:
    """Which effects a version takes.

    Attributes:
        season: One of `SEASONS`, or `LAST_YEARS`.
        events: One of `EVENTS`.
        calendar: One of `CALENDARS`.
        last_years_share: How much of last year's change comes back.
    """

    season: str = SEASONS[0]
    events: str = EVENTS[0]
    calendar: str = CALENDARS[0]
    last_years_share: float = 1.0


def variant(effects: Effects, kinds: EffectKinds) -> Effects:
    """Return effects of the given kinds out of those that hold all."""
    kept = {"none": None, "by group": effects.season and replace(effects.season, products={})}
    last_year = effects.last_year.drawn(kinds.last_years_share) if effects.last_year else None
    chosen = replace(
        effects,
        season=kept.get(kinds.season, effects.season),
        last_year=last_year if kinds.season == LAST_YEARS else None,
    ).with_calendar_kind(kinds.calendar)
    return chosen.without_event_groups() if kinds.events == EVENTS[0] else chosen


def _all_effects(
    panel: Panel, product_groups: Groups, *, history_days: int, calendar: str, has_two_years: bool
) -> Effects:
    """Effects of the last two years, or what scoring reads if that is more, with a season of all of the history.

    More than a year, since an event a week ahead may have been 371 days ago, and a day of the month comes twelve times.
    """
    effects = fit_effects(panel.recent(max(history_days, _EFFECT_DAYS)), product_groups).with_calendar_kind(calendar)
    return (with_season if has_two_years else with_last_year)(panel, effects, product_groups)


def _actual_demand(
    panel: Panel, effects: Effects, product_groups: Groups, starts: list[int], history_days: int
) -> list[Floats]:
    """[n, H] demand of the days after each origin, with the best effects there are; NaN for what had not begun."""
    recent = panel.recent(max(history_days, starts[-1] + LEAST_HISTORY_DAYS))
    demand = clean(recent, effects, product_groups).demand
    actual = []
    for start in starts:
        known = ~np.isnan(panel.sales[:, : panel.history_days - start])
        days = slice(recent.history_days - start, recent.history_days - start + panel.horizon_days)
        actual.append(np.where(known.any(axis=1, keepdims=True), demand[:, days], np.nan))
    return actual


def _backtest(origin: Origin, kinds: EffectKinds, history_days: int, most: int) -> SelectionBacktest:
    rows = spread_rows(origin.past.series.height, most)
    few, groups = origin.past.recent(history_days).take(rows), origin.product_groups[rows]
    history = clean(few, variant(origin.effects, kinds), groups)
    ahead = np.prod(list(horizon_factors(history.factors, few).values()), axis=0)
    factors = history.factors.product[:, : few.history_days] * history.shift
    return SelectionBacktest(
        history, factors, ahead, groups, origin.demand[rows], _on_event(few), sells_by_the_piece(few.sales)
    )


def _on_event(panel: Panel) -> Bools:
    """[n, H] whether any event falls on a series' day ahead."""
    out = np.zeros((panel.series.height, panel.horizon_days), dtype=np.bool_)
    for name in sorted(set(panel.event_names)):
        columns, applies = panel.occurrences(name)
        is_ahead = columns >= panel.history_days
        out[:, columns[is_ahead] - panel.history_days] |= applies[:, is_ahead]
    return out


def _choose_effects(
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
    return {kind: _mean_known([values]) for kind, values in losses.items()}


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
    best = min(losses, key=lambda kind: _mean_known([losses[kind]]))
    lead = ratio(losses[first] - losses[best], losses[first])
    lead = lead[~np.isnan(losses[first])]
    is_clear = len(lead) > 1 and float(lead.mean()) > _STANDARD_ERRORS * float(lead.std()) / len(lead) ** 0.5
    return best if is_clear else first


def _reference_squares(origin: Origin, kinds: EffectKinds, history_days: int) -> tuple[Floats, Bools]:
    """[k, H] loss of one plain model on the days of each compared series, and which of them are of events.

    The same series for every kind, whatever class its effects put them in; NaN for those without a recent sale.
    """
    backtest = _backtest(origin, kinds, history_days, _COMPARED_SERIES)
    squares = backtest.squares(_REFERENCE, np.arange(len(backtest.demand)))
    return np.where(_sold_lately(origin, len(squares))[:, None], squares, np.nan), backtest.on_event


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


def _sold_lately(origin: Origin, count: int) -> Bools:
    """Whether each compared series sold anything in the last eight weeks."""
    rows = spread_rows(origin.past.series.height, count)
    return np.asarray((np.nan_to_num(origin.past.sales[rows, -DEAD_DAYS:]) > 0).any(axis=1))


def _mean_known(parts: Iterable[Floats]) -> float:
    """Mean over all matrices of what is not NaN; 0 where nothing is."""
    total, count = 0.0, 0
    for part in parts:
        total, count = total + float(np.nansum(part)), count + int((~np.isnan(part)).sum())
    return total / max(count, 1)


def _with_launches(origin: Origin) -> Origin:
    """Return an origin at which one product in seven, and one series in seven of the others, is new.

    Launches are rare, so that backtests would choose between models of new series by a handful of them; hiding the past
    of others makes more. Real launches may start slower: those that there are count besides.
    """
    past = origin.past
    sku = np.unique(past.series["sku_id"].to_numpy().astype(str), return_inverse=True)[1]
    row = np.arange(len(sku))
    is_launched = ((sku % _LAUNCHED == 0) | (row % _LAUNCHED == 0)) & _sold_lately(origin, len(row))
    # One to 27 days ago, the same for all stores of a launched product.
    age = 1 + (np.where(sku % _LAUNCHED == 0, sku // _LAUNCHED, row // _LAUNCHED) * 5) % (NEW_DAYS - 1)
    is_hidden = is_launched[:, None] & (np.arange(past.history_days)[None] < past.history_days - age[:, None])
    return replace(origin, past=replace(past, sales=np.where(is_hidden, np.nan, past.sales)))


def _choose_models(
    backtests: list[SelectionBacktest], launched: SelectionBacktest, workers: int | None, with_theta: Sequence[str]
) -> tuple[dict[str, str], dict[str, Losses]]:
    """Return the model of each demand class, and the losses of all candidates of classes that the backtests saw."""
    models, losses = {**_FIXED, **_DEFAULTS}, {}
    for name in _CANDIDATES:
        seen = [*backtests, launched] if name == "new" else backtests
        found = _candidate_losses(name, seen, workers, with_theta)
        if found:
            models[name], losses[name] = min(found, key=lambda model: found[model]), found
    return models, losses


def _candidate_losses(
    demand_class: str, backtests: list[SelectionBacktest], workers: int | None, with_theta: Sequence[str]
) -> Losses:
    """Loss of each candidate; the slow one is listed only where it is better by so much that it is worth its time."""
    if not any((backtest.history.demand_class == demand_class).any() for backtest in backtests):
        return {}
    quick = {name: _loss(backtests, demand_class, _COMPARED_SERIES, name) for name in _CANDIDATES[demand_class]}
    if demand_class not in with_theta:
        return quick
    best = min(quick, key=lambda name: quick[name])
    loss = partial(_loss, backtests, demand_class, _COMPARED_SERIES_SLOW, workers=workers)
    # On fewer series; told on the scale of the others, with what it has to be better by.
    slow = loss(THETA) / max(loss(best), 1e-12) / (1.0 - _SLOW_MARGIN)
    return {**quick, THETA: slow * quick[best]}


def _loss(
    backtests: list[SelectionBacktest], demand_class: str, most: int, name: str, workers: int | None = None
) -> float:
    """Mean loss of a model over the series of a class."""
    parts = []
    for backtest in backtests:
        members = np.flatnonzero(backtest.history.demand_class == demand_class)
        parts.append(backtest.squares(name, members[spread_rows(len(members), most)], workers))
    return _mean_known(parts)


def _nodes_at_cutoffs(
    backtests: list[SelectionBacktest], means: list[Floats], informed: Sequence[CrossedLevel]
) -> list[list[NodesAtCutoff]]:
    """Forecast nodes of each pair of levels as of each cutoff; without levels product groups stand for all."""
    codes = [level.code for level in informed] or [np.unique(backtests[0].product_groups, return_inverse=True)[1]]
    return [[_nodes_at(*pair, code) for pair in zip(backtests, means, strict=True)] for code in codes]


def _errors(
    backtest: SelectionBacktest,
    mean: Floats,
    calibration: Calibration,
    levels: Sequence[CrossedLevel],
    missed: Sequence[Floats],
) -> CutoffErrors:
    """Lay out how far off forecasts of series were, and those of some nodes of each level."""
    quantiles = calibration.quantiles(mean, backtest.history.demand_class)
    marginals = Marginals(mean, quantiles, backtest.is_whole)
    return CutoffErrors(
        backtest.demand - mean,
        moment_with_score(marginals, range(mean.shape[1]), _MOMENT_PATHS),
        {level_name(*level.name): level.code for level in levels},
        {
            level_name(*level.name): NodeErrors(some_nodes(level.code, MOST_NODES), of_nodes)
            for level, of_nodes in zip(levels, missed, strict=False)
        },
    )


def _decide_nodes(
    nodes: list[list[NodesAtCutoff]], informed: Sequence[CrossedLevel]
) -> tuple[str, Losses, tuple[NodeLevel, ...]]:
    """Return the level model of nodes, the losses of all, and how far each pair of levels is to be trusted."""
    losses = losses_by_model(nodes)
    model = min(losses, key=lambda name: losses[name])
    levels = [NodeLevel(*at.name, learned_share(cutoffs, model)) for at, cutoffs in zip(informed, nodes, strict=False)]
    return model, losses, tuple(levels)


def _nodes_at(backtest: SelectionBacktest, mean: Floats, code: GroupCodes) -> NodesAtCutoff:
    """Forecast some nodes as of a backtest's cutoff, by every model.

    Args:
        backtest: k series.
        mean: [k, H] their forecasts, units.
        code: [k] node of each.
    """
    summing = summing_matrix(code, MOST_NODES)
    # The first open day's forecast over its factors is the present level.
    first = np.arange(len(mean)), (backtest.ahead > 0).argmax(axis=1)
    expected = ratio(mean[first], backtest.ahead[first])[:, None] * backtest.factors
    index = node_index(summing, expected, backtest.history.demand)
    is_known = ~np.isnan(backtest.demand)
    sums, actual = (summing @ np.where(is_known, values, 0.0) for values in (mean, backtest.demand))
    paths = {name: forecast_levels(index, np.full(len(index), name), mean.shape[1], workers=1).path for name in _QUICK}
    return NodesAtCutoff({name: path * sums for name, path in paths.items()}, sums, actual)


def _forecast_all(backtest: SelectionBacktest, models: Mapping[str, str], workers: int | None) -> Floats:
    names = np.array([models[str(name)] for name in backtest.history.demand_class])
    return backtest.forecast(names, np.arange(len(names)), workers)
