"""Lines of receipts and bookings, added up to sales of a day.

What belongs here: sums of quantities per SKU, store and day, with returns netted, and how that is told. What does not:
reading lines, or what a factor makes of a unit (``tables``).

Every line is rounded to millionths and added up as whole numbers, so that a sum depends neither on the order of the
lines nor on the files that they came in. A line that came twice counts twice: nothing tells it from two sales alike.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import polars as pl

from forecast_assets.core.errors import FIRST, first_ten
from forecast_assets.core.quantities import SCALE
from forecast_assets.ingestion.findings import FeedFinding

_KEY: Final = ["sku_id", "store_id", "event_date"]
_UNITS: Final = "sales_units"
# Nets are rounded so far, to the noise of a factor that is no power of two.
_DIGITS: Final = 9
# So few quantities below zero do not show which sign a source writes.
_FEW: Final = 10


@dataclass(frozen=True)
class LineSums:
    """Sums of lines, which can be added up further.

    Attributes:
        frame: Per SKU, store and day: `known_at` of the newest line, `millionths`, `lines`, `negative` lines, and
            `unreadable` ones.
    """

    frame: pl.DataFrame

    @classmethod
    def of(cls, lines: pl.DataFrame) -> "LineSums":
        """Add up the lines of one file.

        Args:
            lines: `sku_id, store_id, event_date, known_at, sales_units` in the source's own unit and sign.
        """
        units = pl.col(_UNITS)
        whole = (units * SCALE).round().cast(pl.Int128, strict=False)
        return cls(
            lines.group_by(_KEY).agg(
                pl.col("known_at").max(),
                millionths=whole.sum(),
                lines=pl.len().cast(pl.Int64),
                negative=(units < 0).sum().cast(pl.Int64),
                unreadable=whole.null_count().cast(pl.Int64),
            )
        )

    @classmethod
    def together(cls, parts: Iterable["LineSums"]) -> "LineSums":
        """Add up the sums of several files."""
        frame = pl.concat([part.frame for part in parts])
        counts = [pl.col(name).sum() for name in ("millionths", "lines", "negative", "unreadable")]
        return cls(frame.group_by(_KEY).agg(pl.col("known_at").max(), *counts))

    def rows(self, factor: float) -> pl.DataFrame:
        """Return what was sold on each day.

        Args:
            factor: What a quantity of the source is in units.

        Returns:
            `sku_id, store_id, event_date, known_at, sales_units`; below zero where more was returned than sold, null
            where a line has no quantity.

        Example:
            >>> from datetime import UTC, date, datetime
            >>> key = {"sku_id": "A", "store_id": "S", "event_date": date(2025, 6, 29)}
            >>> said = {**key, "known_at": datetime(2025, 6, 30, tzinfo=UTC)}
            >>> lines = pl.DataFrame([{**said, "sales_units": units} for units in (5.0, 2.0, -1.0)])
            >>> LineSums.of(lines).rows(1.0)["sales_units"].to_list()
            [6.0]
        """
        net = (pl.col("millionths").cast(pl.Float64) / SCALE * factor).round(_DIGITS)
        units = pl.when(pl.col("unreadable") == 0).then(net).alias(_UNITS)
        return self.frame.select(*_KEY, "known_at", units).sort(_KEY)

    def finding(self, factor: float) -> FeedFinding:
        """Return the counts: lines, rows, returns."""
        lines = int(self.frame["lines"].sum())
        negative = int(self.frame["negative"].sum())
        returns = negative if factor > 0 else lines - negative
        message = f"{lines:,} lines summed to {self.frame.height:,} rows of SKU, store and day"
        told = f"{message}; {returns:,} lines were returns"
        return FeedFinding("sales", "line sums", is_error=False, rows=lines, message=told, remedy="")


def without_negative(
    rows: pl.DataFrame, column: str, *, feed: str, what: str
) -> tuple[pl.DataFrame, list[FeedFinding]]:
    """Return rows of a feed with zero where a quantity is below it, and a finding that counts them.

    Args:
        rows: With `sku_id, store_id, event_date` and the column.
        column: The quantity.
        feed: For the finding.
        what: What the quantities below zero are, and what becomes of them.

    Returns:
        The rows, and a warning; an error if more quantities are below zero than above it, where these are more than a
        few: then it is the sign that is wrong.
    """
    negative = rows.filter(pl.col(column) < 0).sort(_KEY)
    if negative.is_empty():
        return rows, []
    positive = int(rows.select((pl.col(column) > 0).sum()).item())
    is_error = negative.height > max(positive, _FEW)
    shown = first_ten(
        f"{sku} in {store} on {day} ({units:g})"
        for sku, store, day, units in negative.head(FIRST).select(*_KEY, column).iter_rows()
    )
    more = f" and {negative.height - FIRST:,} more" if negative.height > FIRST else ""
    message = f"`{column}` is below zero in {negative.height:,} rows, {what}: {shown}{more}"
    remedy = (
        "Most of them are: say unit_factor = -1 if the source writes them with the other sign."
        if is_error
        else "Nothing to do if the source is right."
    )
    found = FeedFinding(feed, "below zero", is_error, negative.height, message, remedy)
    return rows.with_columns(pl.col(column).clip(lower_bound=0)), [found]
