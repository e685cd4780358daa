"""Pictures from frames: small PNGs for Dagster metadata, notebooks and reports, and a plot for the terminal.

What belongs here: drawing what a frame already says. What does not: reading frames, or computing anything published.
Sums and means here are for the eye, in floats.
"""

from forecast_assets.plots.canvas import Markdown, as_markdown_image
from forecast_assets.plots.drivers import driver_steps, drivers_png, waterfall_png
from forecast_assets.plots.notable import notable_series
from forecast_assets.plots.quality import (
    accuracy_by_step_png,
    accuracy_over_days_png,
    coverage_and_reliability_png,
    error_by_segment_png,
    error_by_step_png,
    evaluation_png,
)
from forecast_assets.plots.runs import demand_class_png, risk_calendar_png
from forecast_assets.plots.series import history_and_fan_png, node_png, totals_png
from forecast_assets.plots.terminal import terminal_forecast_plot
from forecast_assets.plots.trials import confidence_sequence_png
from forecast_assets.plots.value_added import value_added_png

__all__ = [
    "Markdown",
    "accuracy_by_step_png",
    "accuracy_over_days_png",
    "as_markdown_image",
    "confidence_sequence_png",
    "coverage_and_reliability_png",
    "demand_class_png",
    "driver_steps",
    "drivers_png",
    "error_by_segment_png",
    "error_by_step_png",
    "evaluation_png",
    "history_and_fan_png",
    "node_png",
    "notable_series",
    "risk_calendar_png",
    "terminal_forecast_plot",
    "totals_png",
    "value_added_png",
    "waterfall_png",
]
