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
from forecast_assets.core.quantities import Millionths
from forecast_assets.operations.mixed_forecasts import Inputs, MixedForecasts, Side
from forecast_assets.reconciliation.reconciling import carried_over
from forecast_assets.stockout_risk.assessing import StatusDays, rated_by, risk_values, status_days
from forecast_assets.stockout_risk.inventory import Supply, joined_supplies

_OF_SERIES: Final = (
    "on_hand", "lead_time_days", "lead_time_deviation_days", "review_period_days", "reorder_point", "order_up_to",
    "order_series", "order_units", "order_elapsed_days",
)  # fmt: skip


# Whose stock and orders, whose corrections by reconciliation, and whose overrides.
Variant = tuple[Side, Side, Side]


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
    _found: dict[Inputs, StatusDays | None] = field(default_factory=dict, repr=False)

    @cached_property
    def has_other_stock(self) -> bool:
        """Whether stock, terms or orders of any common series differ."""
        runs, rows = self.mixed.runs, self.mixed.common.rows
        if runs[0].snapshot.version == runs[1].snapshot.version:
            return False
        first, second = (supply.take(rows[side]) for side, supply in enumerate(self.mixed.supplies))
        return not all(np.array_equal(_float(first, name), _float(second, name), equal_nan=True) for name in _OF_SERIES)

    def of(self, inputs: Inputs, variants: Sequence[Variant], chosen: Rows) -> dict[Variant, RowRisks]:
        """Assess some series with supplies and corrections of either run, all that can be at once.

        Args:
            inputs: Whose observations, plans and model version.
            variants: Whose stock and orders, whose corrections by reconciliation, and whose overrides.
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
        mixed, inputs = self.mixed, self.mixed.effective(inputs)
        side, days = inputs[0], mixed.common.columns[inputs[0]]
        rows = mixed.common.rows[side][chosen]
        own = mixed.base(inputs).take(rows)
        means = np.concatenate([self._means(own.units, side, whose, chosen) for _, *whose in variants])
        every = np.tile(rows, len(variants))
        found = risk_values(
            means, self._supply(side, variants, chosen), np.tile(own.has_record, len(variants)), paths,
            demand=lambda: own.take(np.tile(np.arange(len(rows)), len(variants))).demand(means),
            rated=lambda few: self._known_status(inputs).take(every[few]),
        )  # fmt: skip
        sales = means - found.millionths["expected_lost_units"]
        probability, known = found.millionths["stockout_probability"], found.known["stockout_probability"]
        each = [slice(at * len(rows), (at + 1) * len(rows)) for at in range(len(variants))]
        return [RowRisks(sales[of][:, days], probability[of][:, days], known[of][:, days]) for of in each]

    def status(self, inputs: Inputs) -> StatusDays | None:
        """Return what all series are rated by of which no stock is known; None where no status is known either.

        Args:
            inputs: Whose observations, plans and model version.
        """
        inputs = self.mixed.effective(inputs)
        if inputs not in self._found:
            self._found[inputs] = self._status(inputs)
        return self._found[inputs]

    def _status(self, inputs: Inputs) -> StatusDays | None:
        mixed, panel = self.mixed, self.mixed.mixed_panel(inputs)
        run, artifact = mixed.runs[inputs[0]], mixed.runs[inputs[2]].artifact
        rated = rated_by(panel, mixed.groups(inputs), run.hierarchy, artifact, mixed.workers)
        if rated.lost_share is None:
            return None
        everyone = np.arange(panel.series.height)
        return status_days(panel, rated, mixed.base(inputs).lost_share, everyone, panel.horizon_days)

    def _known_status(self, inputs: Inputs) -> StatusDays:
        found = self.status(inputs)
        assert found is not None, "a series with a record of its status has one"
        return found

    def _means(self, base: Millionths, side: Side, whose: Sequence[Side], chosen: Rows) -> Millionths:
        """[k, H] forecasts: of common days by either run's corrections and overrides, of others by its own."""
        correction, override = whose
        common, runs = self.mixed.common, self.mixed.runs
        out = np.empty_like(base)
        own = common.columns[side]
        others = np.setdiff1d(np.arange(base.shape[1]), own)
        rows = [of[chosen] for of in common.rows]
        by_either = (own, (correction, common.columns[correction]), (override, common.columns[override]))
        for days, (corrects, of_correction), (overrides, of_override) in (
            by_either,
            (others, (side, others), (side, others)),
        ):
            if not len(days):
                continue
            cells = np.ix_(rows[corrects], of_correction)
            corrected = carried_over(base[:, days], runs[corrects].base[cells], runs[corrects].reconciled[cells])
            moved = runs[overrides].published[..., -1][np.ix_(rows[overrides], of_override)]
            out[:, days] = np.maximum(corrected + moved, 0)
        return out

    def _supply(self, side: Side, variants: Sequence[Variant], chosen: Rows) -> Supply:
        dates = [run.key.prediction_date for run in self.mixed.runs]
        parts = []
        for stock, *_ in variants:
            part = self.mixed.supplies[stock].take(self.mixed.common.rows[stock][chosen])
            elapsed = part.order_elapsed_days + (dates[side] - dates[stock]).days
            parts.append(replace(part, order_elapsed_days=np.maximum(elapsed, 0)))
        return joined_supplies(parts)


def _float(supply: Supply, name: str) -> Floats:
    return np.asarray(getattr(supply, name), dtype=np.float64)
