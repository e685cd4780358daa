"""Base forecasts of a version made elsewhere, until all callers ask its family.

What belongs here: a name that callers still use. What does not: anything else.
"""

import polars as pl

from forecast_assets.base_forecasts.forecasting import forecast_frames
from forecast_assets.core.keys import RunKey
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.external.artifact import ExternalArtifact
from forecast_assets.models.external.family import EXTERNAL_FAMILY
from forecast_assets.models.forecasts import ForecastInputs


def external_frames(
    key: RunKey, panel: Panel, made: pl.DataFrame, hierarchy: Hierarchy, artifact: ExternalArtifact
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lay forecasts made elsewhere out as the products `base_forecasts` and `base_node_forecasts`."""
    inputs = ForecastInputs(
        panel, hierarchy.product_groups(artifact.group_level), hierarchy=hierarchy, given=made, key=key
    )
    return forecast_frames(key, panel, hierarchy, EXTERNAL_FAMILY, EXTERNAL_FAMILY.forecast(artifact, inputs))
