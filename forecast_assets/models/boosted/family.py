"""The families with boosted trees, as everything outside their package sees them.

What belongs here: the protocol's methods by what the package does. What does not: any of it itself.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Rows
from forecast_assets.models.boosted.cutoffs import tree_origins
from forecast_assets.models.boosted.model import COMBINED, GLOBAL, GlobalArtifact, forecast_global
from forecast_assets.models.boosted.training import train_global
from forecast_assets.models.family import ModelFamily
from forecast_assets.models.forecasts import ForecastInputs, Forecasts
from forecast_assets.models.selection import training_rows
from forecast_assets.models.statistical.artifact import FAMILY as STATISTICAL
from forecast_assets.models.statistical.nodes import forecast_nodes
from forecast_assets.models.stock_status.training import fit_status
from forecast_assets.models.training import MOST_ORIGINS, Fitted, TrainingInputs, past_cutoffs_at

# One matrix of so many cells takes 300 MB.
_MOST_CELLS: Final = 36_000_000


class BoostedFamily(ModelFamily[GlobalArtifact]):
    """Trees that all series share, on top of the statistical family's level and factors.

    Args:
        name: `global` for the trees alone, `combined` for their mean with the statistical family.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def train(self, inputs: TrainingInputs) -> Fitted:
        """Train trees once for each origin, on all series; calibrating the newest needs the one before it anyway."""
        origins = tree_origins(inputs.panel, inputs.horizon)[:MOST_ORIGINS]
        earlier = origins if inputs.evaluates else ()
        versions = train_global(
            self.name,
            inputs.panel,
            inputs.product_groups,
            horizon=inputs.horizon,
            earlier=earlier,
            progress=inputs.progress,
            workers=inputs.workers,
            history_days=inputs.history_days,
            group_level=inputs.group_level,
            hierarchy=inputs.hierarchy,
            calendars=inputs.calendars,
            reads_recurring=inputs.reads_recurring,
        )
        status = fit_status(
            inputs.panel,
            inputs.product_groups,
            inputs.hierarchy,
            horizon=inputs.horizon,
            earlier=earlier,
            workers=inputs.workers,
            progress=inputs.progress,
        )
        for back, model in status.items():
            statistical = replace(versions[back].statistical, stock_status=model)
            versions[back] = replace(versions[back], statistical=statistical)
        everyone = np.arange(inputs.panel.series.height)
        return Fitted(
            versions[0], past_cutoffs_at(inputs, everyone, origins, lambda origin, _past, _rows: versions[origin])
        )

    def training_rows(self, count: int, days: int) -> Rows:
        """Return all series as long as a matrix of them stays small: trees learn from what a product does elsewhere."""
        return training_rows(count, days, _MOST_CELLS)

    def read(self, content: bytes) -> GlobalArtifact:
        """Read the artifact's JSON, and check the trees in it."""
        return GlobalArtifact.from_bytes(self.name, content)

    def forecast(self, artifact: GlobalArtifact, inputs: ForecastInputs) -> Forecasts:
        """Forecast series, and nodes half by the statistical part and half as the sums of these forecasts."""
        made = forecast_global(
            inputs.panel, artifact, inputs.product_groups, progress=inputs.progress, workers=inputs.workers
        )
        series = replace(made.series, alternatives={STATISTICAL: made.statistical.mean})
        if inputs.hierarchy is None:
            return series
        nodes = forecast_nodes(
            inputs.panel,
            made.for_nodes,
            inputs.hierarchy,
            artifact.statistical,
            agreed_with=series.mean,
            progress=inputs.progress,
            workers=inputs.workers,
        )
        return replace(series, nodes=nodes)


GLOBAL_FAMILY: Final = BoostedFamily(GLOBAL)
COMBINED_FAMILY: Final = BoostedFamily(COMBINED)
