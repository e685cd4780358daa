"""Training the statistical family: effects, a level model per demand class, calibration.

What belongs here: what is learned once per model version. What does not: evaluating the result, or storing it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, GroupCodes, Groups
from forecast_assets.core.progress import Progress, silent
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
from forecast_assets.models.sample_paths.marginals import Marginals, moment_with_score
from forecast_assets.models.screening import screened
from forecast_assets.models.selection import (
    DEFAULT_HISTORY_DAYS,
    backtest_origins,
    backtested_days,
    spread_rows,
    training_rows,
)
from forecast_assets.models.short_history import ShortHistory
from forecast_assets.models.statistical.artifact import SalesEffects, StatisticalArtifact
from forecast_assets.models.statistical.availability import LearnedPower, learn_power
from forecast_assets.models.statistical.borrowing import BORROWED
from forecast_assets.models.statistical.effect_choice import Losses, all_effects, choose_effects
from forecast_assets.models.statistical.effects import Effects
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
from forecast_assets.models.statistical.selection_backtest import (
    Origin,
    SelectionBacktest,
    actual_demand,
    backtest_at,
    mean_known,
    variant,
    with_launches,
)

# What people are told is being done.
TRAINING_STAGE: Final = "training"
# Enough series to choose between models and to learn quantiles by; more would only cost time.
_COMPARED_SERIES: Final = 1500
_COMPARED_SERIES_SLOW: Final = 100
_CALIBRATED_SERIES: Final = 20000
# A slow model is chosen only where it is better by at least this share.
_SLOW_MARGIN: Final = 0.02
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
# What a class takes that no backtest had a series of.
_REFERENCE: Final = SMOOTHING[2]
_DEFAULTS: Final = {**dict.fromkeys(_CANDIDATES, _REFERENCE), "new": BORROWED[0]}
# Outcomes of a day by which it is told what a day's errors hang together by.
_MOMENT_PATHS: Final = 60


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
    forecasts_sales: bool = False,
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
        forecasts_sales: Whether it is learned what hours without stock cost sales, and sales are forecast beside
            demand; not where other models forecast them.

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
    learned = partial(all_effects, history_days=history_days, calendar=calendars[0], has_two_years=has_two_years)
    effects = learned(known, groups)
    report(1, steps)
    tested = panel.ahead(reach)
    actual = actual_demand(known.ahead(reach), replace(effects, season=None), groups, starts, history_days)
    origins = []
    for number, (start, demand) in enumerate(zip(starts, actual, strict=True)):
        past = screened(tested.as_of(start))
        origins.append(Origin(past, learned(past, groups), groups, demand))
        report(number + 2, steps)
    chosen, comparisons = choose_effects(origins, history_days, calendars)
    availability = learn_power(tested, groups, starts) if forecasts_sales else LearnedPower()
    report(steps - 2, steps)
    backtests = [backtest_at(origin, chosen, history_days, _CALIBRATED_SERIES) for origin in origins]
    launched = backtest_at(with_launches(origins[0]), chosen, history_days, _CALIBRATED_SERIES)
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
        comparisons={**comparisons, **losses, **availability.comparisons},
        reference=learn_reference(panel),
        short_history=None if reach == horizon else ShortHistory(panel.history_days, reach),
        node_levels=decided,
        sales=_sales_effects(known, availability.power, lambda read: variant(learned(read, groups), chosen)),
    )


def _sales_effects(known: Panel, power: float, learned: Callable[[Panel], Effects]) -> SalesEffects | None:
    """Read sales with a power, and estimate effects from them; None where every hour without stock is lost."""
    return None if power == 1.0 else SalesEffects(power, learned(replace(known, availability_power=power)))


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
    return mean_known(parts)


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
