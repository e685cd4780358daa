"""Training a version from a panel alone.

What belongs here: what a test need not say. What does not: anything that training itself decides.
"""

from forecast_assets.core.arrays import Groups
from forecast_assets.core.progress import Progress, silent
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.artifact import NO_GROUPS
from forecast_assets.models.family import family_to_train
from forecast_assets.models.selection import DEFAULT_HISTORY_DAYS
from forecast_assets.models.training import TrainingInputs
from forecast_assets.training.fitting import TrainingResult, fit_version


def fit(
    panel: Panel,
    product_groups: Groups,
    *,
    horizon: int,
    family: str = "statistical",
    hierarchy: Hierarchy | None = None,
    progress: Progress = silent,
    workers: int | None = None,
    history_days: int = DEFAULT_HISTORY_DAYS,
    group_level: str = NO_GROUPS,
    evaluates: bool = True,
) -> TrainingResult:
    """Train a version of a family from a panel."""
    inputs = TrainingInputs(
        panel=panel,
        product_groups=product_groups,
        hierarchy=hierarchy or Hierarchy.build(panel.series, None, None),
        horizon=horizon,
        history_days=history_days,
        group_level=group_level,
        evaluates=evaluates,
        workers=workers,
        progress=progress,
    )
    return fit_version(family_to_train(family), inputs)
