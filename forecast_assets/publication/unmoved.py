"""What a revision for overrides alone takes over from the one before: quantiles of sums that no override has moved.

What belongs here: what has moved, and taking columns over of what has not. What does not: whether the revision before
says to the byte what this one would (`RunContext.taken_over`), drawing, or any sum.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import FORECASTS, QUANTILE_COLUMNS
from forecast_assets.core.arrays import Bools
from forecast_assets.core.rows import are_same_rows
from forecast_assets.scoring.context import RunContext

# Without the revision, which is another.
_ROW: Final = ("store_id", "sku_id", "step")
# All that differs between revisions of what sample paths are drawn from.
_DRAWN_FROM: Final = ("forecast_units", *QUANTILE_COLUMNS)


def moved_days(run: RunContext, forecasts: pl.DataFrame) -> Bools:
    """[n, H] Whether paths of a series and day are not those of the revision before; all where nothing is taken over.

    Args:
        run: The run.
        forecasts: `forecasts`, sorted by store, SKU and step, with every step of every series.
    """
    moved = np.ones(forecasts.height, dtype=np.bool_)
    if run.taken_over is not None:
        product = run.version(run.taken_over.products[FORECASTS.name])
        before = run.read(product, (*_ROW, *_DRAWN_FROM))
        if are_same_rows(forecasts, before, _ROW):
            moved = np.logical_or.reduce([forecasts[name].ne_missing(before[name]).to_numpy() for name in _DRAWN_FROM])
    return moved.reshape(-1, run.key.forecast_horizon)


def with_unmoved(
    run: RunContext, frame: pl.DataFrame, product: str, columns: Sequence[str], has_moved: Bools
) -> pl.DataFrame:
    """Return rows with columns of the revision before where they have not moved.

    Args:
        run: The run.
        frame: Rows of a product, in its order.
        product: Its name.
        columns: Which are taken over.
        has_moved: Of each row, in any shape.
    """
    if run.taken_over is None or has_moved.all():
        return frame
    before = run.read(run.version(run.taken_over.products[product]), columns)
    is_new = pl.Series(has_moved.ravel())
    for name in columns:
        # One by one, so that what has been taken over is let go of.
        frame = frame.with_columns(frame[name].zip_with(is_new, before.drop_in_place(name)))
    return frame
