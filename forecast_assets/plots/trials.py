"""Pictures of a trial: how much less the challenger loses, and what that is worth as evidence.

What belongs here: drawing what was weighed. What does not: weighing.
"""

import polars as pl

from forecast_assets.plots.canvas import BLUE, FAINT, INK, VERMILION, name_dates, png_bytes, two_axes


def confidence_sequence_png(evidence: pl.DataFrame, bound: float, level: float, *, title: str = "") -> bytes:
    """Draw the confidence sequence of the mean difference, and the e-value beside the height at which it decides.

    Args:
        evidence: Contract `challenger_evidence`; the rows of the step that decides are drawn.
        bound: Share of the mean loss that a difference of 1 stands for.
        level: Chance of a wrong decision; limits hold at confidence 1 - level at all times at once.
        title: What the picture is of.
    """
    rows = evidence.filter("is_deciding").sort("target_date")
    days, percent = rows["target_date"].to_list(), 100 * bound
    figure, (left, right) = two_axes("challenger loses less by (% of loss)", "e-value")
    limits = [(rows[name] * percent).to_list() for name in ("lower", "upper")]
    left.fill_between(days, *limits, step="post", color=BLUE, alpha=0.18, linewidth=0, label=f"{1 - level:.0%} limits")
    left.step(days, rows["mean_difference"] * percent, where="post", color=BLUE, label="mean of weeks")
    weeks = rows.drop_nulls("observation")
    left.plot(weeks["target_date"], weeks["observation"] * percent, "o", color=FAINT, markersize=3, label="weeks")
    left.axhline(0, color=INK, linewidth=0.8)
    left.set_ylim(-1.05 * percent, 1.05 * percent)
    left.legend(loc="lower left", frameon=False, fontsize=8)
    right.step(days, rows["e_value"], where="post", color=BLUE)
    right.axhline(1 / level, color=VERMILION, linewidth=1.2, label=f"decides at {1 / level:g}")
    right.set_yscale("log")
    right.set_ylim(min(0.1, *rows["e_value"]), max(2 / level, 2 * rows["e_value"].max()))  # type: ignore[operator]
    right.legend(loc="lower left", frameon=False, fontsize=8)
    for axes in (left, right):
        name_dates(axes)
    return png_bytes(figure, title=title)
