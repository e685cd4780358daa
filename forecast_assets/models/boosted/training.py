"""Training the global family: trees on the days that followed many past cutoffs, and what they are calibrated by.

What belongs here: what is learned once per model version, and versions as of earlier cutoffs. What does not: the form
of the model, inputs, evaluating the result, or storing it.

Days without stock are days seen in part: their units are compared with the share of the day that had stock, so nothing
has to be imputed to learn from them. Sales are learned by models of their own (`sales_training`).

A version's quantiles are learned from the errors of the version before it: each is trained as of one horizon after the
next older one, which has not seen the days between. So versions as of several cutoffs, which backtests need too, cost
one fit each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.core.arrays import Bools, Floats, Groups, InputMatrix, Rows
from forecast_assets.core.errors import InputError
from forecast_assets.core.progress import Progress, Together, silent
from forecast_assets.core.threads import in_threads, thread_count
from forecast_assets.features.demand_class import DEAD_DAYS, ENDED_DAYS
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.boosted.cutoffs import LEAST_LEARNED_DAYS, chain_of
from forecast_assets.models.boosted.inputs import LONGEST_DAYS, CutoffInputs, InputSpec, TreePanel, inputs_of
from forecast_assets.models.boosted.model import (
    COMBINED,
    GLOBAL,
    GlobalArtifact,
    GlobalForecasts,
    forecast_by_trees,
    forecast_global,
)
from forecast_assets.models.boosted.sales_training import fit_sales, sales_rounds
from forecast_assets.models.boosted.trees import Trees, fit_trees
from forecast_assets.models.calendar.calendar import CALENDARS
from forecast_assets.models.calibration import calibrate
from forecast_assets.models.demand import ratio
from forecast_assets.models.node_levels import NodeLevel, NodesAtCutoff, learned_share
from forecast_assets.models.screening import screened
from forecast_assets.models.selection import DEFAULT_HISTORY_DAYS, LEAST_HISTORY_DAYS, training_rows
from forecast_assets.models.short_history import ShortHistory
from forecast_assets.models.statistical.nodes import NODES, forecast_nodes
from forecast_assets.models.statistical.series import clean
from forecast_assets.models.statistical.training import TRAINING_STAGE, train_statistical

# Rows that trees are fitted to; more cost time and, of so few inputs, add little.
_MOST_ROWS: Final = 1_000_000
# Past cutoffs: at most so many, over at most a year, and none with less history than this behind it.
_MOST_CUTOFFS: Final = 40
_CUTOFF_DAYS: Final = 364
_MOST_STEPS: Final = 14
_DEMAND_ROUNDS: Final = 150
# A day of which less was seen says more about the hour than about the day.
_LEAST_EXPOSURE: Final = 0.05
# A level below this share of the median one counts as nothing.
_SMALLEST_SHARE: Final = 0.01
# Series of a class by which its share of the trees is drawn towards a half.
_HALF_SERIES: Final = 100.0
_TINY: Final = 1e-12
# Versions that are worked on at the same time, and cells of a matrix up to which there is memory for as many.
_MOST_AT_ONCE: Final = 2
_MOST_CELLS_AT_ONCE: Final = 20_000_000
# As how many cutoffs the statistical part's backtests of nodes count: three, and the one that they start from.
_STATISTICAL_CUTOFFS: Final = 4.0
_GROUP_INPUT: Final = "product_group"


@dataclass(frozen=True)
class _Fitted:
    """A version as of some cutoff, before anything says how far off it usually is.

    Attributes:
        back: Days that its cutoff is before the newest one.
        past: The panel as of its cutoff, with no more history than calibrating reads.
        groups: [n] product group of each series.
        hierarchy: Crossed hierarchy of them; None where nobody asks for nodes.
        artifact: With the calibration of its statistical part.
    """

    back: int
    past: Panel
    groups: Groups
    hierarchy: Hierarchy | None
    artifact: GlobalArtifact


def train_global(
    family: str,
    panel: Panel,
    product_groups: Groups,
    *,
    horizon: int,
    earlier: Sequence[int] = (),
    progress: Progress = silent,
    workers: int | None = None,
    history_days: int = DEFAULT_HISTORY_DAYS,
    group_level: str = "total",
    hierarchy: Hierarchy | None = None,
    calendars: Sequence[str] = CALENDARS,
    reads_recurring: bool = True,
) -> dict[int, GlobalArtifact]:
    """Train a version on everything up to a panel's cutoff, and versions as of earlier cutoffs.

    Args:
        family: `global` or `combined`.
        panel: n series, T days of history, at least ``horizon`` ahead.
        product_groups: [n] group of each series.
        horizon: Days ahead that versions are trained for.
        earlier: How many days before the panel's cutoff others are trained as of: some of its backtest origins.
        progress: Called with the stage, steps done and steps in all.
        workers: Threads, and processes for slow models; all cores if left out.
        history_days: Days of history that scoring will read.
        group_level: Product level whose nodes are the groups.
        hierarchy: Crossed hierarchy of the series, of whose levels of nodes it is decided how they are forecast; None
            for all alike.
        calendars: Of `CALENDARS`, those that the statistical part chooses from.
        reads_recurring: Whether events that recur are inputs of the trees.

    Returns:
        A version by how many days before the panel's cutoff it knew; 0 is the one that knows all.

    Raises:
        InputError: If the history is too short for trees that look as far ahead.
    """
    panel = panel.ahead(horizon)
    wanted = [0, *earlier]
    chain = chain_of(panel, horizon, max(wanted))
    report = partial(progress, TRAINING_STAGE)
    # The oldest one only says how far off forecasts of demand were.
    rounds = {back: _DEMAND_ROUNDS + (sales_rounds() if back in wanted else 0) for back in chain}
    growing = Together(report, 1 + sum(rounds.values()))
    at_once = _versions_at_once(panel, len(chain), workers)
    fit = partial(
        _fit,
        family,
        panel,
        product_groups,
        hierarchy,
        horizon=horizon,
        workers=_threads_each(workers, at_once),
        history_days=history_days,
        group_level=group_level,
        calendars=calendars,
        reads_recurring=reads_recurring,
    )
    fitted = [
        made
        for _, made in in_threads(
            lambda back: fit(back, forecasts_sales=back in wanted, grown=growing.part()), chain, at_once
        )
    ]
    pairs = [(own, older) for own, older in pairwise(fitted) if own.back in wanted]
    calibrated = in_threads(
        lambda pair: _calibrated(*pair, _threads_each(workers, at_once), history_days), pairs, at_once
    )
    found = {
        own.back: _stating(artifact, panel.history_days - own.back, older.back - own.back)
        for (own, older), artifact in calibrated
    }
    report(1, 1)
    return found


def _versions_at_once(panel: Panel, versions: int, workers: int | None) -> int:
    """How many versions are worked on at the same time: much of it keeps one core busy, and each takes memory."""
    fits = panel.sales.size <= _MOST_CELLS_AT_ONCE
    return min(_MOST_AT_ONCE if fits else 1, versions, thread_count(workers))


def _threads_each(workers: int | None, at_once: int) -> int:
    return max(thread_count(workers) // at_once, 1)


def _stating(artifact: GlobalArtifact, known_days: int, calibrated: int) -> GlobalArtifact:
    """Say how far calibration reached, where that is less far than the version looks ahead."""
    short = None if calibrated >= artifact.horizon_days else ShortHistory(known_days, calibrated)
    return replace(artifact, statistical=replace(artifact.statistical, short_history=short))


def _fit(
    family: str,
    panel: Panel,
    product_groups: Groups,
    hierarchy: Hierarchy | None,
    back: int,
    *,
    horizon: int,
    forecasts_sales: bool,
    grown: Callable[[int], None],
    workers: int | None,
    history_days: int,
    group_level: str,
    calendars: Sequence[str],
    reads_recurring: bool,
) -> _Fitted:
    past = panel.as_of(back) if back else panel
    begun = np.flatnonzero((~np.isnan(past.sales)).any(axis=1))
    inner = max(1, min(horizon, past.history_days - LEAST_HISTORY_DAYS - 1))
    # The series that it would choose itself; copies of all, with all of their history, would not fit into memory.
    few = begun[training_rows(len(begun), past.history_days + past.horizon_days)]
    statistical = train_statistical(
        past.take(few),
        product_groups[few],
        horizon=inner,
        workers=workers,
        history_days=history_days,
        group_level=group_level,
        only_quick=True,
        node_levels=[] if hierarchy is None else [level.take(few) for level in hierarchy.information_levels()],
        calendars=calendars,
    )
    statistical = replace(statistical, horizon_days=horizon)
    kept_days = max(_CUTOFF_DAYS + LONGEST_DAYS, history_days + horizon)
    past, product_groups = past.recent(kept_days).take(begun), product_groups[begun]
    recent = screened(past).recent(_CUTOFF_DAYS + LONGEST_DAYS)
    history = clean(recent, statistical.effects, product_groups)
    categories = tuple(str(name) for name in np.unique(product_groups))
    is_known = ~np.isnan(history.demand)
    levels = ratio(np.where(is_known, history.level, 0.0).sum(axis=1), is_known.sum(axis=1).astype(np.float64))
    smallest = _SMALLEST_SHARE * float(np.median(levels[levels > 0])) if (levels > 0).any() else 1.0
    record = TreePanel.of(recent, history.factors, product_groups, categories, smallest)
    specs = inputs_of(recent, reads_recurring=reads_recurring)
    demand = _fit_demand(record, specs, horizon, grown, workers)
    sales = None
    if forecasts_sales:
        sales = fit_sales(
            record,
            specs,
            is_live,
            horizon,
            categorical=(_GROUP_INPUT,),
            grown=lambda done: grown(_DEMAND_ROUNDS + done),
            workers=workers,
        )
    artifact = GlobalArtifact(
        family, statistical, demand, None, specs, categories, smallest, {}, statistical.calibration, {}, sales
    )
    return _Fitted(back, past, product_groups, None if hierarchy is None else hierarchy.take(begun), artifact)


@dataclass(frozen=True)
class _Examples:
    """Days ahead of past cutoffs, k of them.

    Attributes:
        inputs: [k, f].
        log_offset: [k].
        units: [k] as observed, or their mean where they only bound demand.
        exposure: [k] share of the day that units speak for.
    """

    inputs: InputMatrix
    log_offset: Floats
    units: Floats
    exposure: Floats

    def only(self, chosen: Bools) -> "_Examples":
        return _Examples(**{name: values[chosen] for name, values in vars(self).items()})


def _fit_demand(
    record: TreePanel,
    specs: Sequence[InputSpec],
    horizon: int,
    grown: Callable[[int], None],
    workers: int | None,
) -> Trees:
    """Trees for demand, from days that had stock for some of the time.

    Raises:
        InputError: If nothing was sold on any day to learn from.
    """
    seen = _examples(record, specs, horizon)
    if not seen.units.any():
        raise InputError(
            "Nothing was sold on the days that trees would learn from.",
            remedy="Train with --family statistical, or as of a later cutoff.",
        )
    scale = max(float(seen.units.mean()), record.smallest)
    return fit_trees(
        seen.inputs,
        seen.units / scale,
        seen.log_offset + np.log(seen.exposure) - np.log(scale),
        names=[spec.name for spec in specs],
        drivers=[spec.driver for spec in specs],
        categorical=[_GROUP_INPUT],
        rounds=_DEMAND_ROUNDS,
        progress=grown,
        workers=workers,
    )


def _examples(record: TreePanel, specs: Sequence[InputSpec], horizon: int) -> _Examples:
    """Choose cutoffs, series and days evenly, so many that the rows fit the budget."""
    rows = np.arange(len(record.units))
    days = record.panel.history_days
    origins = _cutoffs(days)
    every_step = -(-horizon // _MOST_STEPS)
    most = max(_MOST_ROWS // (len(origins) * -(-horizon // every_step)), 1)
    every_row = -(-len(rows) // most)
    parts = [
        # Other series at every cutoff, and other steps whenever all series have had their turn.
        _examples_of(
            record, specs, rows[number % every_row :: every_row], origin, horizon, every_step, number // every_row
        )
        for number, origin in enumerate(origins.tolist())
    ]
    return _Examples(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def _cutoffs(days: int) -> npt.NDArray[np.intp]:
    """Columns of past cutoffs, evenly spread: all have a day after them, and some history behind them."""
    longest = LONGEST_DAYS if days > _CUTOFF_DAYS else min(LEAST_HISTORY_DAYS, days // 2)
    first = max(days - 1 - _CUTOFF_DAYS, longest, LEAST_LEARNED_DAYS)
    count = min(_MOST_CUTOFFS, max((days - 1 - first) // 2, 1))
    return np.unique(np.linspace(first, days - 2, count).astype(np.intp))


def _examples_of(
    record: TreePanel, specs: Sequence[InputSpec], rows: Rows, origin: int, horizon: int, every_step: int, turn: int
) -> _Examples:
    last = record.panel.history_days - 1
    targets = np.arange(origin + 1 + turn % every_step, min(origin + horizon, last) + 1, every_step)
    if not len(targets):
        targets = np.array([origin + 1])
    cutoff = CutoffInputs(record, origin, targets)
    rows = rows[is_live(cutoff)[rows]]
    cells = rows[:, None], targets
    found = _Examples(
        inputs=cutoff.inputs(specs, rows),
        log_offset=cutoff.log_offset(rows).ravel(),
        units=record.units[cells].ravel(),
        exposure=record.exposure[cells].ravel(),
    )
    return found.only(found.exposure > _LEAST_EXPOSURE)


def is_live(cutoff: CutoffInputs) -> Bools:
    """[n] Whether a series would have been forecast by trees then, by what was known then.

    Those that died since are among them: trees that only see survivors learn that nothing ever ends.
    """
    record = cutoff.record
    has_rows = record.is_known[:, cutoff.span(ENDED_DAYS)].any(axis=1)
    return np.asarray(cutoff.is_seen & has_rows & (record.units[:, cutoff.span(DEAD_DAYS)] > 0).any(axis=1))


def _calibrated(own: _Fitted, older: _Fitted, workers: int | None, history_days: int) -> GlobalArtifact:
    """Learn from the days that the older version had not seen and the own one has."""
    days = older.back - own.back
    past = older.past.recent(history_days)
    # Demand is calibrated, and its sums: neither asks what is sold of it.
    made = forecast_global(past, replace(older.artifact, sales=None), older.groups, workers=workers)
    later = screened(own.past.take(_same_series(own.past, older.past))).recent(history_days + days)
    demand = clean(later, own.artifact.statistical.effects, older.groups).demand
    actual = demand[:, past.history_days : past.history_days + past.horizon_days]
    actual = np.pad(actual, ((0, 0), (0, past.horizon_days - actual.shape[1])), constant_values=np.nan)
    series, level = made.series, made.statistical.history.level
    usual = np.maximum(np.nan_to_num(level).mean(axis=1, keepdims=True), 10.0 * own.artifact.smallest)
    shares = _shares(actual, made, usual)
    share = replace(older.artifact, family=COMBINED, shares=shares).share_of(series.demand_class)
    mixed = made.statistical.mean + share * (made.trees - made.statistical.mean)
    is_mixed = own.artifact.family == COMBINED
    served = mixed if is_mixed else made.trees
    statistical = own.artifact.statistical
    levels = _node_levels(statistical.node_levels, past, made, served, actual, older)
    return replace(
        own.artifact,
        statistical=replace(statistical, node_levels=levels),
        shares=shares if is_mixed else {},
        calibration=calibrate(served, actual, series.demand_class).completed(own.artifact.statistical.calibration),
        comparisons=_losses(actual, made, usual),
    )


def _node_levels(
    levels: tuple[NodeLevel, ...], past: Panel, made: GlobalForecasts, served: Floats, actual: Floats, older: _Fitted
) -> tuple[NodeLevel, ...]:
    """Learn from one more cutoff how far nodes are to be trusted beside the sums of forecasts with trees.

    Args:
        levels: What the backtests of the statistical part decided.
        past: The older version's panel.
        made: Its forecasts.
        served: [n, H] what it would have served, units.
        actual: [n, H] demand that came, units; NaN where unknown.
        older: The older version.
    """
    if older.hierarchy is None:
        return levels
    heard = made.for_nodes
    nodes = forecast_nodes(past, heard, older.hierarchy, older.artifact.statistical, workers=1)
    summing, is_known = older.hierarchy.information.matrix, ~np.isnan(actual)
    known, whole, sums, came = (
        summing @ np.where(is_counted, units, 0.0)
        for is_counted, units in (
            (is_known, heard.mean), (True, heard.mean), (is_known, served), (is_known, actual),
        )
    )  # fmt: skip
    own = nodes.mean * ratio(known, whole)
    model = older.artifact.statistical.models[NODES]
    found = []
    for level in levels:
        is_of = (pl.col("product_level") == level.product_level) & (pl.col("store_level") == level.store_level)
        few = nodes.nodes.select(is_of.arg_true()).to_series().to_numpy()
        cutoffs = [NodesAtCutoff({model: own[few]}, sums[few], came[few])] if len(few) else []
        found.append(replace(level, share=learned_share(cutoffs, model, level.share, _STATISTICAL_CUTOFFS)))
    return tuple(found)


def _shares(actual: Floats, made: GlobalForecasts, usual: Floats) -> dict[str, float]:
    """Share of the trees by demand class that would have been best, drawn towards a half by so many series.

    Least squares over the level, as level models are compared, of what came less the statistical forecast on the
    difference of the two.
    """
    apart = np.where(np.isnan(actual), 0.0, made.trees - made.statistical.mean)
    missed = np.nan_to_num(actual - made.statistical.mean)
    wanted, room = (apart * missed / usual).sum(axis=1), (apart**2 / usual).sum(axis=1)
    found = {}
    for name in np.unique(made.series.demand_class[forecast_by_trees(made.series.demand_class)]):
        rows = np.flatnonzero(made.series.demand_class == name)
        best = np.clip(wanted[rows].sum() / max(room[rows].sum(), _TINY), 0.0, 1.0)
        found[str(name)] = float((len(rows) * best + _HALF_SERIES * 0.5) / (len(rows) + _HALF_SERIES))
    return found


def _losses(actual: Floats, made: GlobalForecasts, usual: Floats) -> dict[str, dict[str, float]]:
    """Mean squared error over the level of each family by demand class, as level models are compared.

    The families combined are so by halves: shares that were learned from these days would flatter them.
    """
    demand_class = made.series.demand_class
    candidates = {
        "statistical": made.statistical.mean,
        GLOBAL: made.trees,
        COMBINED: 0.5 * (made.trees + made.statistical.mean),
    }
    found: dict[str, dict[str, float]] = {}
    for name in np.unique(demand_class[forecast_by_trees(demand_class)]):
        rows = np.flatnonzero(demand_class == name)
        errors = {each: (actual[rows] - mean[rows]) ** 2 / usual[rows] for each, mean in candidates.items()}
        if bool(np.isfinite(actual[rows]).any()):
            found[str(name)] = {each: float(np.nanmean(squares)) for each, squares in errors.items()}
    return found


def _same_series(panel: Panel, older: Panel) -> Rows:
    """Rows of a panel that an older one has too, in its order."""
    rows = older.series.join(panel.series.with_row_index("row"), on=["store_id", "sku_id"], maintain_order="left")
    return rows["row"].to_numpy().astype(np.intp)
