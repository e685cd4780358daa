"""Picture of what overrides were worth: the error of every stage, side by side.

What belongs here: drawing. What does not: computing any figure.
"""

from typing import Final

import polars as pl

from forecast_assets.contracts import VALUE_STAGES
from forecast_assets.plots.canvas import BLUE, FAINT, GREEN, INK, ORANGE, SKY, SMALL, literal, new_axes, png_bytes

_COLOURS: Final = dict(zip(VALUE_STAGES, (FAINT, SKY, BLUE, ORANGE, GREEN), strict=True))
_BAR: Final = 0.16
_GROUP_HEIGHT: Final = 0.9
# More groups than this do not fit a picture.
_MOST_GROUPS: Final = 12


def value_added_png(lines: pl.DataFrame, *, title: str = "") -> bytes:
    """Draw the WAPE of every stage of each group, with how much is known of it; small samples are pale.

    Args:
        lines: One row per group: `name, overrides, row_days, is_small_sample` and `STAGE_wape` of each stage (null
            where nothing was sold). Of more groups than fit the ones with the most row-days are drawn.
        title: What the picture is of.
    """
    largest = pl.col("row_days").rank("ordinal", descending=True) <= _MOST_GROUPS
    shown = lines.filter(largest)
    figure, axes = new_axes("", height=1.3 + _GROUP_HEIGHT * max(shown.height, 1))
    alphas = [0.45 if is_small else 1.0 for is_small in shown["is_small_sample"]]
    for place, stage in enumerate(VALUE_STAGES):
        at = [group + (place - 2) * _BAR for group in range(shown.height)]
        values = (100 * shown[f"{stage}_wape"].fill_null(0)).to_list()
        name = stage.replace("_", " ")
        bars = axes.barh(at, values, height=_BAR, color=_COLOURS[stage], label=name)
        for bar, alpha in zip(bars, alphas, strict=True):
            bar.set_alpha(alpha)
    names = [
        literal(f"{row['name']}\n{row['row_days']:,} row-days, {row['overrides']:,} overrides")
        + ("\n(small sample)" if row["is_small_sample"] else "")
        for row in shown.iter_rows(named=True)
    ]
    axes.set_yticks(range(shown.height), names, fontsize=SMALL)
    axes.set_ylim(max(shown.height, 1) - 0.5, -0.5)
    axes.set_xlabel("WAPE (% of sales)", color=INK, fontsize=9)
    axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.7)
    axes.grid(visible=False, axis="y")
    return png_bytes(figure, axes, title=title)
