"""The time of year of a retailer with one year to show: last year's change over the same weeks, believed in part.

What belongs here: estimating it, and how much of it past cutoffs bear out. What does not: a season that two years agree
on (`season`), or laying factors out.

Within one year a level that drifts looks like a season, so that only slow waves are read, two a year, from the sums of
product groups beside a steady growth; single products have none. What is left to tell is how much of them comes back.
That is one number, the share of last year's change that was seen again in the weeks after past cutoffs (Bates & Granger
1969, doi:10.1057/jors.1969.103), drawn towards a third, which is about what helped in sums of a real retailer's stores.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, Groups
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import summing_of
from forecast_assets.models.demand import HALF_LIFE_DAYS, observe, ratio
from forecast_assets.models.node_levels import NodesAtCutoff, learned_share
from forecast_assets.models.selection import spread_rows
from forecast_assets.models.statistical.calendar_backtest import SumsAhead, sums_ahead
from forecast_assets.models.statistical.effects import LAST_YEARS, SEASONS, Effects, lay_out_factors
from forecast_assets.models.statistical.season import WAVES, Season, basis

LAST_YEAR_DAYS: Final = 364
_WEEK: Final = 7
_WAVES_READ: Final = 2
# Weeks of the year in which a group has to have been on sale.
_LEAST_WEEKS: Final = 48
# Standard deviation of a wave beforehand: of all products about none, and of a group about that of all.
_SPREAD: Final = 0.1
_LEAST_UNITS: Final = 1.0
# Share of last year's change that is expected to come back, and as how many cutoffs that counts.
_EXPECTED_SHARE: Final = 0.35
_COUNTED: Final = 3.0
# Series that sums are made of; more would only cost time.
_MOST_SERIES: Final = 4000


def with_last_year(panel: Panel, effects: Effects, product_groups: Groups) -> Effects:
    """Return the effects with all of last year's waves, by product group, in place of a season.

    Args:
        panel: n series, T days of history; fewer than 364 show none.
        effects: Other effects.
        product_groups: [n] group of each series.
    """
    plain = replace(effects, season=None, last_year=None)
    if panel.history_days < LAST_YEAR_DAYS:
        return plain
    rows = spread_rows(panel.series.height, _MOST_SERIES)
    few, groups = panel.recent(LAST_YEAR_DAYS).take(rows), product_groups[rows]
    factors = lay_out_factors(few, plain, groups).product[:, :LAST_YEAR_DAYS]
    observed = observe(few, factors)
    return replace(plain, last_year=fit_last_year(observed.units, observed.exposure * factors, few.cutoff, groups))


def fit_last_year(units: Floats, exposure: Floats, last_date: date, product_groups: Groups) -> Season:
    """Estimate the waves of one year, as if all of it came back.

    Args:
        units: [n, 364] demand of each day; 0 where unknown.
        exposure: [n, 364] what it is measured against: the share of the day that was seen times the day's other
            factors.
        last_date: Day of the last column.
        product_groups: [n] group of each series.
    """
    names, group = np.unique(product_groups, return_inverse=True)
    level = ratio(units.sum(axis=1), exposure.sum(axis=1))[:, None]
    sold, expected = (_by_week(summing_of(group) @ values) for values in (units, level * exposure))
    weeks = basis(last_date - timedelta(days=LAST_YEAR_DAYS - 1), LAST_YEAR_DAYS)[: 2 * _WAVES_READ]
    waves = _by_week(weeks) / _WEEK
    pooled = _waves(sold.sum(axis=0, keepdims=True), expected.sum(axis=0, keepdims=True), waves)[0]
    groups = pooled + _waves(sold, expected * (1.0 + (pooled[:, None] * waves).sum(axis=0)), waves)
    return Season(_padded(pooled), {str(name): _padded(found) for name, found in zip(names, groups, strict=True)}, {})


def _by_week(values: Floats) -> Floats:
    """[m, 52] sums of the weeks of [m, 364] days."""
    return np.asarray(values.reshape(len(values), -1, _WEEK).sum(axis=2))


def _waves(sold: Floats, expected: Floats, waves: Floats) -> Floats:
    """[m, 4] Waves of m sums over what was expected of them; 0 of those that were not on sale for most of the year.

    Least squares weighted by what was expected, beside a level and steady growth; waves are drawn towards 0 by what
    the weeks of all sums together differ by from it.
    """
    weeks = sold.shape[1]
    design = np.vstack([np.ones(weeks), np.linspace(-0.5, 0.5, weeks), waves])
    count = len(design)
    is_told = ((expected > 0).sum(axis=1) >= _LEAST_WEEKS) & (sold.sum(axis=1) > _LEAST_UNITS)
    if not is_told.any():
        return np.zeros((len(sold), len(waves)))
    sold, expected = sold[is_told], expected[is_told]
    gram = np.einsum("iw,mw,jw->mij", design, expected, design)
    moment = np.einsum("mw,iw->mi", sold, design)[:, :, None]
    fitted = np.linalg.solve(gram + 1e-9 * np.eye(count), moment)[:, :, 0]
    rest = sold - expected * np.einsum("mi,iw->mw", fitted, design)
    dispersion = float(ratio(rest**2, expected).sum()) / (len(sold) * (weeks - count))
    prior = np.diag(np.r_[0.0, 0.0, np.full(len(waves), dispersion / _SPREAD**2)])
    drawn = np.linalg.solve(gram + prior + 1e-9 * np.eye(count), moment)[:, :, 0]
    found = np.zeros((len(is_told), len(waves)))
    found[is_told] = np.where(drawn[:, :1] > 0, ratio(drawn[:, 2:], np.maximum(drawn[:, :1], 1e-6)), 0.0)
    return found


def _padded(waves: Floats) -> tuple[float, ...]:
    """The coefficients of a season, whose further waves are none."""
    return (*(float(value) for value in waves), *(0.0,) * (2 * (WAVES - _WAVES_READ)))


@dataclass(frozen=True)
class SeasonBacktest:
    """Sums of product groups as of a past cutoff, carried on as they were and with all of last year's change.

    Attributes:
        plain: Without the change.
        seasonal: With it.
    """

    plain: SumsAhead
    seasonal: SumsAhead

    @classmethod
    def at(cls, past: Panel, effects: Effects, product_groups: Groups, demand: Floats) -> "SeasonBacktest":
        """Carry sums on as of a cutoff.

        Args:
            past: n series as known then, H days ahead; screened.
            effects: With all of last year's waves as of then.
            product_groups: [n] group of each series.
            demand: [n, H] demand that came, units; NaN where unknown.
        """
        rows = spread_rows(past.series.height, _MOST_SERIES)
        few, groups, came = past.take(rows), product_groups[rows], demand[rows]
        node = np.unique(groups, return_inverse=True)[1]
        return cls(
            *(
                sums_ahead(few, replace(effects, last_year=waves), groups, node, came, HALF_LIFE_DAYS)
                for waves in (None, effects.last_year)
            )
        )

    @property
    def nodes(self) -> NodesAtCutoff:
        """Both as forecasts of nodes, that with the change as their own."""
        return NodesAtCutoff({LAST_YEARS: self.seasonal.mean}, self.plain.mean, self.plain.came)

    def loss(self, share: float) -> float:
        """Mean squared error over the units of a sum with so much of the change."""
        mixed = self.plain.mean + share * (self.seasonal.mean - self.plain.mean)
        return NodesAtCutoff({LAST_YEARS: mixed}, self.plain.mean, self.plain.came).loss(LAST_YEARS)


def season_share(cutoffs: Sequence[SeasonBacktest]) -> tuple[float, dict[str, float]]:
    """Return how much of last year's change comes back, and the losses without and with that much of it.

    Nothing where the cutoffs themselves were forecast better without.

    Args:
        cutoffs: One past cutoff or more.
    """
    share = learned_share([cutoff.nodes for cutoff in cutoffs], LAST_YEARS, _EXPECTED_SHARE, _COUNTED)
    losses = {
        kind: sum(cutoff.loss(part) for cutoff in cutoffs) / len(cutoffs)
        for kind, part in ((SEASONS[0], 0.0), (LAST_YEARS, share))
    }
    return (share if losses[LAST_YEARS] < losses[SEASONS[0]] else 0.0), losses
