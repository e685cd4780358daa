"""Pictures of a business review: error and coverage of five weeks.

What belongs here: drawing. What does not: computing any figure.
"""

from typing import Any, Final

import polars as pl

from forecast_assets.contracts import CHALLENGER, CHAMPION, WEEKS_BEFORE
from forecast_assets.plots.canvas import BLUE, FAINT, MARKER, VERMILION, png_bytes, two_axes

_COLOURS: Final = {CHAMPION: BLUE, CHALLENGER: VERMILION}
_WEEKS: Final = [f"{back} before" for back in range(WEEKS_BEFORE, 0, -1)]


def review_png(rows: pl.DataFrame, *, title: str = "") -> bytes:
    """Draw error and coverage of all rows, week by week, of champion and challenger.

    Args:
        rows: Contract `business_reviews` of one week.
        title: What the picture is of.
    """
    figure, (left, right) = two_axes("WAPE", "inside the 80% interval")
    overall = rows.filter(pl.col("segment_kind") == "all")
    for axes, kpi in ((left, "wape"), (right, "coverage_80")):
        _draw(axes, overall.filter(pl.col("kpi") == kpi))
    return png_bytes(figure, title=title)


def _draw(axes: Any, rows: pl.DataFrame) -> None:
    at = [*range(-WEEKS_BEFORE, 1)]
    for row in rows.iter_rows(named=True):
        if row["role"] not in _COLOURS:
            continue
        before = [row[f"figure_{back}_before"] for back in range(WEEKS_BEFORE, 0, -1)]
        values = [float("nan") if value is None else value for value in (*before, row["figure"])]
        axes.plot(at, values, color=_COLOURS[row["role"]], label=row["role"], **MARKER)
        for bound in (row["lowest"], row["highest"]):
            if bound is not None:
                axes.axhline(bound, color=FAINT, linewidth=1, linestyle="--")
    axes.set_xticks(at, [*_WEEKS, "week"])
    axes.legend(loc="best", frameon=False, fontsize=8)
