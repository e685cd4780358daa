"""Expected sales and stock-out risks of a few series from inputs partly of one run and partly of another.

What belongs here: corrections, supply and stock status of either run put to forecasts of mixed inputs, by the code of
every run. What does not: the forecasts (`mixed_forecasts`), or sharing differences out.

Stock of the other run stands as it was said at its last observed day, whatever the date of the observations it is put
to; orders on the way have been so for as many days as lie between their day and that date.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, Rows
from forecast_assets.core.quantities import UNITS, Millionths, from_units
from forecast_assets.core.rows import places_by_step
from forecast_assets.features.panel import Panel
from forecast_assets.features.pooled import Held, Kept, Statistic
from forecast_assets.models.artifact import RISK_THRESHOLDS
from forecast_assets.operations.mixed_forecasts import Inputs, MixedForecasts, Side
from forecast_assets.reconciliation.reconciling import carried_over, with_means
from forecast_assets.stockout_risk.assessing import assessed, rated_by
from forecast_assets.stockout_risk.inventory import Supply, joined_supplies
from forecast_assets.stockout_risk.stage import supply_of
from forecast_assets.stockout_risk.stock_status import assess_status

_OF_SERIES: Final = (
    "on_hand", "lead_time_days", "lead_time_deviation_days", "review_period_days", "reorder_point", "order_up_to",
    "order_series", "order_units", "order_elapsed_days",
)  # fmt: skip


# Whose stock and orders, and whose corrections by reconciliation.
Variant = tuple[Side, Side]


@dataclass(frozen=True)
class RowRisks:
    """Figures of k series over C days, in millionths.

    Attributes:
        sales: [k, C] expected sales.
        probability: [k, C] probability of running out, where it is known.
        is_known: [k, C] whether it is.
    """

    sales: Millionths
    probability: Millionths
    is_known: Bools


@dataclass
class MixedRisks:
    """Risks of two runs' common rows from inputs of either.

    Attributes:
        mixed: Their forecasts.
        paths: Sampled futures of a series with a position, of either run.
    """

    mixed: MixedForecasts
    paths: tuple[int, int]
    _kept: dict[Inputs, dict[str, Statistic]] = field(default_factory=dict, repr=False)

    @cached_property
    def supplies(self) -> tuple[Supply, Supply]:
        """Stock, terms and open orders of all series of either run."""
        first, second = (supply_of(run.history, run.series) for run in self.mixed.runs)
        return first, second

    @cached_property
    def has_other_stock(self) -> bool:
        """Whether stock, terms or orders of any common series differ."""
        runs, rows = self.mixed.runs, self.mixed.common.rows
        if runs[0].snapshot.version == runs[1].snapshot.version:
            return False
        first, second = (supply.take(rows[side]) for side, supply in enumerate(self.supplies))
        return not all(np.array_equal(_float(first, name), _float(second, name), equal_nan=True) for name in _OF_SERIES)

    def of(self, inputs: Inputs, variants: Sequence[Variant], chosen: Rows) -> dict[Variant, RowRisks]:
        """Assess some series with supplies and corrections of either run, all that can be at once.

        Args:
            inputs: Whose observations, plans and model version.
            variants: Whose stock and orders, and whose corrections by reconciliation.
            chosen: [k] places among the common series.

        Returns:
            What each variant makes of the series.
        """
        found: dict[Variant, RowRisks] = {}
        for paths in dict.fromkeys(self.paths):
            together = [variant for variant in variants if self.paths[variant[0]] == paths]
            if together:
                found |= dict(zip(together, self._of(inputs, together, chosen, paths), strict=True))
        return found

    def _of(self, inputs: Inputs, variants: Sequence[Variant], chosen: Rows, paths: int) -> list[RowRisks]:
        mixed, inputs, count = self.mixed, self.mixed.effective(inputs), len(variants)
        side, artifact = inputs[0], self.mixed.runs[inputs[2]].artifact
        horizon, days = mixed.horizon(inputs), mixed.common.columns[side]
        # Each series is there twice, since that is how statistics of all series are held for a few.
        rows = np.tile(np.repeat(mixed.common.rows[side][chosen], 2), count)
        base = mixed.frame(inputs)[places_by_step(rows, horizon)]
        own = from_units(base["base_units"]).reshape(count, -1, horizon)[0, ::2]
        means = np.concatenate([self._corrected(own, side, correction, chosen) for _, correction in variants])
        panel = self.held_panel(inputs, rows)
        found = assessed(
            with_means(base, np.repeat(means, 2, axis=0).ravel()), base, panel, self._supply(side, variants, chosen),
            rated_by(panel, mixed.groups(inputs)[rows], None, artifact, 1), artifact.rho, RISK_THRESHOLDS, paths,
        )  # fmt: skip
        lost = from_units(found["expected_lost_units"].fill_null(0).cast(UNITS)).reshape(-1, horizon)[::2]
        risk = found["stockout_probability"]
        known = risk.is_not_null().to_numpy().reshape(-1, horizon)[::2, days]
        probability = from_units(risk.fill_null(0).cast(UNITS)).reshape(-1, horizon)[::2, days]
        sales = (means - lost)[:, days]
        each = [slice(at * len(chosen), (at + 1) * len(chosen)) for at in range(count)]
        return [RowRisks(sales[of], probability[of], known[of]) for of in each]

    def held_panel(self, inputs: Inputs, rows: Rows) -> Panel:
        """Return inputs of some series, each of which is there twice, with what all say together of risks held.

        Args:
            inputs: Whose observations, plans and model version.
            rows: [2 k] places among the series of the run whose observations they are.
        """
        return replace(self.mixed.mixed_panel(inputs).take(rows), pooled=Held(self.statistics(inputs), rows))

    def _corrected(self, base: Millionths, side: Side, correction: Side, chosen: Rows) -> Millionths:
        """[k, H] reconciled forecasts: common days by either run's corrections, those before and after by the own."""
        common, horizon = self.mixed.common, base.shape[1]
        out = np.empty_like(base)
        others = np.setdiff1d(np.arange(horizon), common.columns[side])
        for whose, days in ((correction, common.columns[side]), (side, others)):
            run = self.mixed.runs[whose]
            theirs = common.columns[whose] if len(days) == len(common.days) and days is not others else days
            cells = np.ix_(common.rows[whose][chosen], theirs)
            if len(days):
                out[:, days] = carried_over(base[:, days], run.base[cells], run.reconciled[cells])
        return out

    def _supply(self, side: Side, variants: Sequence[Variant], chosen: Rows) -> Supply:
        dates = [run.key.prediction_date for run in self.mixed.runs]
        parts = []
        for stock, _ in variants:
            part = self.supplies[stock].take(np.repeat(self.mixed.common.rows[stock][chosen], 2))
            elapsed = part.order_elapsed_days + (dates[side] - dates[stock]).days
            parts.append(replace(part, order_elapsed_days=np.maximum(elapsed, 0)))
        return joined_supplies(parts)

    def statistics(self, inputs: Inputs) -> dict[str, Statistic]:
        """Return what all series of a panel say together of stock status."""
        if inputs not in self._kept:
            mixed, kept = self.mixed, Kept()
            panel, run = replace(mixed.mixed_panel(inputs), pooled=kept), mixed.runs[inputs[0]]
            artifact = mixed.runs[inputs[2]].artifact
            if rated_by(panel, mixed.groups(inputs), run.hierarchy, artifact, mixed.workers).lost_share is not None:
                assess_status(panel)
            self._kept[inputs] = kept.found
        return self._kept[inputs]


def _float(supply: Supply, name: str) -> Floats:
    return np.asarray(getattr(supply, name), dtype=np.float64)
