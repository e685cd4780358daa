"""Quantiles that a version would have published as of a past cutoff, of series and of sums, and where what came fell.

What belongs here: reconciling, drawing and adding up as a run does, for judging. What does not: making forecasts, how
outcomes are counted (`metrics.calibration`), or what is published.

What is not known of a day is left out of both sides: its series counts as one that sells nothing on that day.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Final

import numpy as np

from forecast_assets.contracts import FIRST_DAYS, QUANTILES
from forecast_assets.core.arrays import Floats, Rows
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.hierarchy.membership import PRODUCT, STORE
from forecast_assets.metrics.backtests import RECENT_DAYS
from forecast_assets.metrics.calibration import (
    CalibrationCounts,
    JudgedQuantiles,
    added_up,
    counted,
    is_new_stretch,
    new_steps,
)
from forecast_assets.metrics.levels import Nodes, Scales
from forecast_assets.models.forecasts import Forecasts
from forecast_assets.models.node_levels import MOST_NODES, summing_matrix
from forecast_assets.models.reconciled_means import reconcile
from forecast_assets.models.sample_paths.dependence import Dependence, level_name
from forecast_assets.models.sample_paths.drawing import JointPaths, factors_of, series_keys
from forecast_assets.models.sample_paths.marginals import Marginals, sells_by_the_piece
from forecast_assets.models.sample_paths.periods import Periods, PeriodSums
from forecast_assets.models.sample_paths.sums import SumQuantiles, quantiles_of_sums
from forecast_assets.models.selection import spread_rows

# Paths: fewer than a run draws, since what is judged is averaged over nodes and days; fewer still where outcomes would
# be more than so many, so that judging takes seconds, and never so few that there are no tails.
_MOST_PATHS: Final = 250
_MOST_OUTCOMES: Final = 30_000_000
_LEAST_PATHS: Final = 100
# Series whose sums over days are judged.
_SUMMED_SERIES: Final = 2000


@dataclass(frozen=True)
class PastRun:
    """Forecasts of n series as of a past cutoff, and what came.

    Attributes:
        made: Forecasts of the series, and of the nodes above them where their family makes any.
        past: The n series as of the cutoff.
        hierarchy: Of the same series.
        demand: [n, H] units that came; NaN where unknown.
        dependence: How errors hang together; None where sums have no quantiles.
        earlier: Cutoffs before that are judged too.
        workers: Threads; all cores if None.
    """

    made: Forecasts
    past: Panel
    hierarchy: Hierarchy
    demand: Floats
    dependence: Dependence | None
    earlier: Sequence[date] = ()
    workers: int | None = None


def judged_calibration(run: PastRun) -> CalibrationCounts:
    """Count where what came fell among the quantiles of series, nodes and sums of days."""
    mean, quantiles = _reconciled(run)
    judged = _Judged(run, _nodes_of(run.hierarchy, with_upper=run.dependence is not None))
    return added_up(counted(each) for each in judged.quantiles(mean, quantiles))


def _reconciled(run: PastRun) -> tuple[Floats, Floats]:
    """[n, H] means and [n, H, 13] quantiles after reconciliation; quantiles follow the mean."""
    made = run.made
    if made.nodes is None:
        return made.mean, made.quantiles
    mean = reconcile(made.mean, made.nodes.mean, run.hierarchy, made.nodes.variance_ratio)
    factor = np.divide(mean, made.mean, out=np.ones_like(mean), where=made.mean > 0)
    return mean, made.quantiles * factor[:, :, None]


def _nodes_of(hierarchy: Hierarchy, *, with_upper: bool) -> Nodes:
    """Lay out some nodes of each pair of levels, and the series."""
    from scipy import sparse

    count = hierarchy.series.height
    upper = hierarchy.crossed_levels if with_upper else ()
    parts = [
        *((level_name(*level.name), summing_matrix(level.code.astype(np.intp), MOST_NODES)) for level in upper),
        (level_name(PRODUCT, STORE), sparse.identity(count, format="csr")),
    ]
    sizes = [matrix.shape[0] for _, matrix in parts]
    levels = np.repeat(np.arange(len(parts)), sizes)
    return Nodes(tuple(name for name, _ in parts), levels, sparse.vstack([matrix for _, matrix in parts], format="csr"))


@dataclass(frozen=True)
class _Judged:
    """A past run, and the nodes that are judged of it."""

    run: PastRun
    nodes: Nodes

    def quantiles(self, mean: Floats, quantiles: Floats) -> Iterator[JudgedQuantiles]:
        """Yield what is judged: series, then nodes level by level, then sums of the first days."""
        run, nodes = self.run, self.nodes
        known = ~np.isnan(run.demand)
        weight = nodes.sums(np.nan_to_num(run.past.sales[:, -RECENT_DAYS:]).sum(axis=1)[:, None])[:, 0]
        scale = Scales.of(run.past.sales, nodes).absolute
        horizon, cutoff = mean.shape[1], run.past.cutoff
        judge = partial(
            JudgedQuantiles,
            days=1,
            is_new=new_steps(cutoff, run.earlier, horizon),
            is_new_in_band=new_steps(cutoff, run.earlier, horizon, as_far_ahead=True),
        )
        yield judge(
            nodes.levels[-1],
            demand=run.demand,
            mean=mean,
            quantiles=quantiles,
            weight=weight[nodes.series],
            scale=scale[nodes.series],
            demand_class=run.made.demand_class,
        )
        if run.dependence is None:
            return
        expected, came = np.where(known, mean, 0.0), np.where(known, run.demand, 0.0)
        of_nodes, of_series, few = self._sums(expected, np.where(known[:, :, None], quantiles, 0.0))
        upper = slice(0, nodes.series.start)
        for level, name in enumerate(nodes.levels[:-1]):
            rows = np.flatnonzero(nodes.level[upper] == level)
            matrix = nodes.matrix[rows]
            yield judge(
                name,
                demand=matrix @ came,
                mean=matrix @ expected,
                quantiles=of_nodes.nodes[rows],
                weight=weight[rows],
                scale=scale[rows],
            )
        for days, of_upper in of_nodes.first_days.items():
            found = np.concatenate([of_upper, of_series[days]])
            yield from self._of_first_days(days, found, few, expected, came)

    def _of_first_days(
        self, days: int, found: Floats, few: Rows, expected: Floats, came: Floats
    ) -> Iterator[JudgedQuantiles]:
        """Yield what is judged of the sum of the first days: nodes level by level, then some series."""
        run, nodes = self.run, self.nodes
        is_new = np.array([is_new_stretch(run.past.cutoff, run.earlier, days)])
        whole, said = (values[:, :days].sum(axis=1, keepdims=True) for values in (came, expected))
        above = nodes.series.start
        for level, name in enumerate(nodes.levels):
            is_series = level == len(nodes.levels) - 1
            rows = np.flatnonzero(nodes.level == level) if not is_series else above + few
            matrix = nodes.matrix[rows]
            yield JudgedQuantiles(
                name,
                days,
                demand=matrix @ whole,
                mean=matrix @ said,
                quantiles=(found[above:] if is_series else found[rows])[:, None],
                is_new=is_new,
                is_new_in_band=is_new,
                weight=np.zeros(len(rows)),
                scale=np.full(len(rows), np.nan),
                demand_class=run.made.demand_class[few] if is_series else None,
            )

    def _sums(self, mean: Floats, quantiles: Floats) -> tuple[SumQuantiles, Mapping[int, Floats], Rows]:
        """Quantiles of sums by joint paths.

        Returns:
            Of the nodes above series; by number of first days [k, 13] of k series; [k] which.
        """
        (count, horizon), workers = mean.shape, self.run.workers
        paths, few = self._paths(mean, quantiles), spread_rows(count, _SUMMED_SERIES)
        days = [each for each in FIRST_DAYS if each <= horizon]
        of_series = PeriodSums(Periods(horizon, paths.paths, {str(each): each for each in days}, {}), workers)
        of_nodes = quantiles_of_sums(
            paths,
            self.nodes.matrix[: self.nodes.series.start],
            days,
            on_day=lambda units: of_series.add(units[few]),
        )
        return of_nodes, {each: of_series.found[str(each)][:, : len(QUANTILES)] for each in days}, few

    def _paths(self, mean: Floats, quantiles: Floats) -> JointPaths:
        run, shares = self.run, self.run.dependence or Dependence.none()
        factors = factors_of(run.hierarchy, shares)
        return JointPaths(
            marginals=Marginals(mean, quantiles, sells_by_the_piece(run.past.sales)),
            dependence=shares.only(factors),
            keys=series_keys(run.hierarchy),
            factors=factors,
            paths=int(np.clip(_MOST_OUTCOMES // max(mean.size, 1), _LEAST_PATHS, _MOST_PATHS)),
            workers=run.workers,
        )
