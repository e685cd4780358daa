"""The statistical family: demand = level path x weekday x price and promotion x event, each with its own estimate.

What belongs here: the family's public names, as stages and serving import them. What does not: anything else; each part
has its own module.
"""

from forecast_assets.models.artifact import StatisticalArtifact
from forecast_assets.models.nodes import NodeForecasts, forecast_nodes
from forecast_assets.models.series import SeriesForecasts, forecast_series
from forecast_assets.models.training import train_statistical

__all__ = [
    "NodeForecasts",
    "SeriesForecasts",
    "StatisticalArtifact",
    "forecast_nodes",
    "forecast_series",
    "train_statistical",
]
