"""Pictures of anomalies in a snapshot: scores of its series, and the threshold.

What belongs here: drawing. What does not: judging.
"""

import numpy as np
import polars as pl

from forecast_assets.plots.canvas import BLUE, FAINT, VERMILION, new_axes, png_bytes

_CLASSES = 60


def scores_png(rows: pl.DataFrame, *, title: str = "") -> bytes:
    """Draw how many series have which score, on a scale of tens; those above the threshold apart.

    Args:
        rows: Contract `feature_anomalies`.
        title: What the picture is of.
    """
    figure, axes = new_axes("series")
    scores, threshold = rows["score"].drop_nulls().to_numpy(), rows["threshold"][0]
    edges = np.linspace(*_span(scores, threshold), _CLASSES + 1)
    for is_told, colour, label in ((False, BLUE, "as usual"), (True, VERMILION, "anomalous")):
        axes.hist(scores[(scores > threshold) == is_told], bins=edges, color=colour, label=label)
    axes.axvline(threshold, color=FAINT, linewidth=1.2, linestyle="--", label="threshold")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlabel("score, higher is more anomalous")
    axes.legend(loc="best", frameon=False, fontsize=8)
    return png_bytes(figure, title=title)


def _span(scores: "np.ndarray[tuple[int], np.dtype[np.float64]]", threshold: float) -> tuple[float, float]:
    """First and last edge of the classes; of one score only, around it."""
    both = [*scores.tolist(), threshold]
    low, high = min(both), max(both)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
