"""The picture of a judgement: how far each gate's figure is from its bounds.

What belongs here: drawing what `promotion_gates` says. What does not: judging.
"""

from typing import Final

import polars as pl

from forecast_assets.plots.canvas import BLUE, FAINT, INK, PALE, SMALL, VERMILION, literal, new_axes, png_bytes

_LINE_HEIGHT: Final = 0.28
# Further out than this is as far out as the picture goes.
_EDGE: Final = 2.5


def gates_png(rows: pl.DataFrame) -> bytes:
    """Draw the figure of each gate of merit on a scale on which its bounds lie at -1 and 1, with its margin.

    Args:
        rows: Contract `promotion_gates`; those without a figure or a bound above are left out.
    """
    drawn = _scaled(rows)
    figure, axes = new_axes("", height=1.2 + _LINE_HEIGHT * max(drawn.height, 1))
    axes.axvspan(-1.0, 1.0, color=PALE, alpha=0.5, linewidth=0)
    for place, (_, at, reach, verdict) in enumerate(drawn.iter_rows()):
        colour = BLUE if verdict == "met" else VERMILION
        axes.plot([at - reach, at + reach], [place, place], color=colour, linewidth=1.4)
        axes.plot([at], [place], "o" if verdict == "met" else "X", color=colour, markersize=7)
    axes.set_yticks(range(drawn.height), [literal(name) for name in drawn["name"]], fontsize=SMALL)
    axes.set_ylim(max(drawn.height, 1) - 0.5, -0.5)
    axes.set_xlim(-_EDGE - 0.1, _EDGE + 0.1)
    axes.set_xlabel("distance from the middle in bounds; shaded: what the policy allows", color=INK, fontsize=9)
    axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.7)
    return png_bytes(figure, axes)


def _scaled(rows: pl.DataFrame) -> pl.DataFrame:
    """`name, at, reach, verdict`: two-sided bounds at -1 and 1, those that are only above at 1.

    Below a bound that is only above nothing is too little: it is drawn at -1 at least.
    """
    is_two_sided, highest = pl.col("lowest").is_not_null(), pl.col("highest")
    middle = pl.when(is_two_sided).then((pl.col("lowest") + highest) / 2).otherwise(highest - _width(highest))
    width = pl.when(is_two_sided).then((highest - pl.col("lowest")) / 2).otherwise(_width(highest))
    name = (
        pl.when(pl.col("segment_kind") == "all")
        .then(pl.col("gate"))
        .otherwise(pl.concat_str("gate", pl.lit(", "), "segment"))
    )
    judged = rows.filter(pl.col("kind") == "merit", pl.col("figure").is_not_null(), highest.is_not_null())
    return judged.select(
        name=name.str.replace_all("_", " "),
        at=((pl.col("figure") - middle) / width).clip(pl.when(is_two_sided).then(-_EDGE).otherwise(-1.0), _EDGE),
        reach=(pl.col("margin").fill_null(0.0) / width).clip(0.0, _EDGE),
        verdict="verdict",
    )


def _width(highest: pl.Expr) -> pl.Expr:
    """What is as far from a bound above as nothing wrong is; of a bound at nothing or below ten percent."""
    return pl.when(highest > 0).then(highest).otherwise(0.1)
