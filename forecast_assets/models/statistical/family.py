"""The statistical family, as everything outside its package sees it.

What belongs here: the protocol's methods by what the package does. What does not: any of it itself.
"""

from dataclasses import replace
from typing import Final

from forecast_assets.models.family import ModelFamily
from forecast_assets.models.forecasts import ForecastInputs, Forecasts
from forecast_assets.models.screening import screened
from forecast_assets.models.statistical.artifact import FAMILY, StatisticalArtifact
from forecast_assets.models.statistical.expected_sales import share_without_stock
from forecast_assets.models.statistical.nodes import forecast_nodes
from forecast_assets.models.statistical.series import forecast_screened, scored
from forecast_assets.models.statistical.training import train_statistical
from forecast_assets.models.stock_status.training import fit_status
from forecast_assets.models.training import Fitted, TrainingInputs


class StatisticalFamily(ModelFamily[StatisticalArtifact]):
    """Demand is a level path times weekday, season, price, promotion and events."""

    name = FAMILY
    retrains_beside = True

    def train(self, inputs: TrainingInputs) -> Fitted:
        """Choose effects and level models and calibrate; judged by versions trained anew as of earlier cutoffs."""
        artifact = train_statistical(
            inputs.panel,
            inputs.product_groups,
            horizon=inputs.horizon,
            progress=inputs.progress,
            workers=inputs.workers,
            history_days=inputs.history_days,
            group_level=inputs.group_level,
            node_levels=inputs.hierarchy.information_levels(),
            calendars=inputs.calendars,
            forecasts_sales=True,
        )
        status = fit_status(
            inputs.panel,
            inputs.product_groups,
            inputs.hierarchy,
            horizon=inputs.horizon,
            workers=inputs.workers,
            progress=inputs.progress,
        )
        return Fitted(replace(artifact, stock_status=status.get(0)))

    def read(self, content: bytes) -> StatisticalArtifact:
        """Read the artifact's JSON."""
        return StatisticalArtifact.from_bytes(content)

    def forecast(self, artifact: StatisticalArtifact, inputs: ForecastInputs) -> Forecasts:
        """Forecast series, what of it finds no stock, and nodes by the shift that their sums show."""
        panel = screened(inputs.panel)
        found = forecast_screened(
            panel, artifact, inputs.product_groups, progress=inputs.progress, workers=inputs.workers
        )
        made = scored(found, artifact, inputs.panel)
        if artifact.sales is not None:
            lost = share_without_stock(panel, made.history, artifact.sales, inputs.product_groups)
            made = replace(made, lost_share=lost)
        if inputs.hierarchy is None:
            return made
        nodes = forecast_nodes(
            inputs.panel, made, inputs.hierarchy, artifact, progress=inputs.progress, workers=inputs.workers
        )
        return replace(made, nodes=nodes)


STATISTICAL_FAMILY: Final = StatisticalFamily()
