"""Base forecasts made partly from one run's inputs and partly from another's.

What belongs here: which inputs two runs differ in, and forecasting all series with either's observations, plans and
model version, by the code of every run. What does not: sharing differences out among them, or reconciling.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from forecast_assets.base_forecasts.forecasting import base_frame
from forecast_assets.core.arrays import Groups
from forecast_assets.core.quantities import Millionths
from forecast_assets.features.panel import Panel
from forecast_assets.features.plans import same_history, same_plans, with_plans_of
from forecast_assets.models.forecasts import ForecastInputs
from forecast_assets.operations.common_rows import CommonRows
from forecast_assets.operations.compared_run import ComparedRun
from forecast_assets.operations.mixed_base import MixedBase
from forecast_assets.stockout_risk.inventory import Supply
from forecast_assets.stockout_risk.stage import supply_of

# Which of two runs is meant: the first or the second.
Side = int
# Whose observations, plans and model version.
Inputs = tuple[Side, Side, Side]
_SIDES = (0, 1)


@dataclass
class MixedForecasts:
    """Forecasts of two runs' common rows from inputs of either.

    Attributes:
        runs: The two runs.
        common: Their N series and C days.
        workers: Threads and processes; all cores if None.
    """

    runs: tuple[ComparedRun, ComparedRun]
    common: CommonRows
    workers: int | None = None
    _panels: dict[tuple[Side, int], Panel] = field(default_factory=dict, repr=False)
    _mixed: dict[Inputs, Panel] = field(default_factory=dict, repr=False)
    _made: dict[Inputs, MixedBase] = field(default_factory=dict, repr=False)

    # --- what differs ---

    @property
    def has_other_model(self) -> bool:
        """Whether the artifacts are two, or what was given from outside is."""
        first, second = ((run.artifact_hash, run.given and run.given.version) for run in self.runs)
        return first != second

    @property
    def has_other_observations(self) -> bool:
        """Whether any input of the past differs, or the last observed day."""
        first, second = self.runs
        if first.snapshot.version == second.snapshot.version or all(run.is_given for run in self.runs):
            return False
        levels = {run.artifact.group_level for run in self.runs}
        return (
            first.key.prediction_date != second.key.prediction_date
            or not first.series.equals(second.series)
            or any(
                not np.array_equal(first.hierarchy.product_groups(level), second.hierarchy.product_groups(level))
                for level in levels
            )
            or any(not same_history(*(self._panel(side, days) for side in _SIDES)) for days in self._history_days)
        )

    @property
    def has_other_plans(self) -> bool:
        """Whether prices, promotions, events, closures or covariates of days ahead differ."""
        first, second = self.runs
        if first.snapshot.version == second.snapshot.version or all(run.is_given for run in self.runs):
            return False
        own = [self.panel(side) for side in _SIDES]
        return not all(same_plans(own[side], with_plans_of(own[side], own[1 - side])) for side in _SIDES)

    @property
    def model_reaches_other_observations(self) -> bool:
        """Whether either version was trained to look as far ahead as the common days are after the other's last day."""
        for side in _SIDES:
            needed = (self.common.days[-1] - self.runs[1 - side].key.prediction_date).days
            if not self.runs[side].is_given and self.runs[side].artifact.horizon_days < needed:
                return False
        return True

    @property
    def _history_days(self) -> set[int]:
        return {run.artifact.history_days for run in self.runs}

    # --- forecasts ---

    def forecast(self, inputs: Inputs) -> Millionths:
        """[N, C, components] Forecast from inputs of either run; they add up to the base forecast."""
        side, _, _ = self.effective(inputs)
        return self.base(inputs).parts(self.common.rows[side], self.common.columns[side])

    def effective(self, inputs: Inputs) -> Inputs:
        """Return the inputs that count: what is given from outside follows from nothing else."""
        model = inputs[2]
        return (model, model, model) if self.runs[model].is_given else inputs

    def horizon(self, inputs: Inputs) -> int:
        """Return how many days ahead a forecast looks: with the other run's version no further than it has to."""
        side, _, model = self.effective(inputs)
        whole = self.runs[side].key.forecast_horizon
        return whole if side == model else int(self.common.columns[side][-1]) + 1

    def base(self, inputs: Inputs) -> MixedBase:
        """Return base forecasts of all series of the run whose observations they are from."""
        inputs = self.effective(inputs)
        if inputs not in self._made:
            self._made[inputs] = self._forecast(inputs)
        return self._made[inputs]

    def _forecast(self, inputs: Inputs) -> MixedBase:
        run, other, panel = self.runs[inputs[0]], self.runs[inputs[2]], self.mixed_panel(inputs)
        made = other.family.forecast(
            other.artifact,
            ForecastInputs(panel, self.groups(inputs), given_rows=other.given_rows, key=run.key, workers=self.workers),
        )
        frame = base_frame(replace(run.key, forecast_horizon=panel.horizon_days), panel, other.family, made)
        return MixedBase.of(frame, panel, other.artifact.rho, with_quantiles=self.has_stock)

    @cached_property
    def supplies(self) -> tuple[Supply, Supply]:
        """Stock, terms and open orders of all series of either run."""
        first, second = (supply_of(run.history, run.series) for run in self.runs)
        return first, second

    @property
    def has_stock(self) -> bool:
        """Whether stock of any series of either run is known."""
        return any(bool(supply.has_position.any()) for supply in self.supplies)

    def groups(self, inputs: Inputs) -> Groups:
        """[n] group of each series, at the level of the version."""
        side, _, model = self.effective(inputs)
        return self.runs[side].hierarchy.product_groups(self.runs[model].artifact.group_level)

    def mixed_panel(self, inputs: Inputs) -> Panel:
        """Return what a forecast reads."""
        inputs = self.effective(inputs)
        side, plans, model = inputs
        if inputs not in self._mixed:
            panel = self._panel(side, self.runs[model].artifact.history_days)
            if plans != side:
                panel = with_plans_of(panel, self.panel(plans))
            self._mixed[inputs] = panel if side == model else panel.ahead(self.horizon(inputs))
        return self._mixed[inputs]

    def _panel(self, side: Side, history_days: int) -> Panel:
        if (side, history_days) not in self._panels:
            run = self.runs[side]
            self._panels[side, history_days] = run.history.panel(
                run.features, history_days=history_days, horizon_days=run.key.forecast_horizon
            )
        return self._panels[side, history_days]

    def panel(self, side: Side) -> Panel:
        """Return the panel of a run, as its own version read it."""
        return self._panel(side, self.runs[side].artifact.history_days)
