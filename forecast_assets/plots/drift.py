"""Pictures of drift: a figure of a feed over the last days, and what was to be expected of it.

What belongs here: drawing. What does not: judging.
"""

import numpy as np
import polars as pl

from forecast_assets.plots.canvas import BLUE, FAINT, MARKER, literal, name_dates, new_axes, png_bytes


def figure_png(days: pl.DataFrame) -> bytes:
    """Draw a figure over days.

    Args:
        days: `feed, figure, scale, event_date, value, expected` of one figure, oldest first.
    """
    name, feed, scale = days["figure"][0], days["feed"][0], days["scale"][0]
    figure, axes = new_axes(f"{name.replace('_', ' ')}, mean store" if scale == "log" else name.replace("_", " "))
    at = days["event_date"].to_list()
    value, expected = (
        np.exp(days[column].to_numpy()) if scale == "log" else days[column].to_numpy()
        for column in ("value", "expected")
    )
    axes.plot(at, expected, color=FAINT, linewidth=1.2, linestyle="--", label="expected")
    axes.plot(at, value, color=BLUE, linewidth=1.2, label=literal(f"{feed}: {name.replace('_', ' ')}"), **MARKER)
    name_dates(axes)
    return png_bytes(figure, axes)
