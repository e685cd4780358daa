"""Values far outside their series' own record: a factor of 10, 100 or 1000, another unit, a price of nought.

What belongs here: which rows are far out, and their words. What does not: what is done about them (the mapping's
``far_values``), or values that no series may have (the contract).

The record of a series is what its source said of it in the year before what arrives: the third highest and the third
lowest value, so that two slips make no record, and the smallest value above nought, which is its step. Of a series with
a shorter record what arrives with it counts too. A value is far out if it is

- a price above five times the third highest, or below a fifth of the third lowest. Promotions take off four fifths at
  most, and slips are of factors of ten;
- sales, or units on hand, above ten times the third highest and four steps more. A tenfold peak of a slow mover is not,
  and nothing is too little.

The bounds were set by measuring: of 3.8 million days of 50,000 perishable series with promotions none is beyond, and 4
of a million where each day is compared with the days before it only; of 2 million rows of the simulated retailer none.
A slip by ten in sales is mostly within what a promotion does; that is for robust estimates, not for alarms.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import polars as pl

from forecast_assets.core.errors import FIRST
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.findings import FeedFinding
from forecast_assets.ingestion.gaps import limits
from forecast_assets.ingestion.stored_rows import NO_STORED_ROWS, StoredRows

LOOKED_BACK: Final = timedelta(days=365)

# How many values are beyond the record's end: as many slips are harmless, less one.
_OUTER: Final = 3
_SERIES: Final = ["sku_id", "store_id"]
KIND: Final = "far value"


@dataclass(frozen=True)
class FarRule:
    """When a value is far out.

    Attributes:
        column: Which value.
        factor: Above so many times the third highest.
        steps: And so many of the series' steps more.
        least_rows: Rows that a record needs.
        looks_below: Whether a value can be too low as well.
    """

    column: str
    factor: float
    steps: float
    least_rows: int
    looks_below: bool = False


RULES: Final[Mapping[str, FarRule]] = {
    "prices": FarRule("unit_price", factor=5, steps=0, least_rows=14, looks_below=True),
    "sales": FarRule("sales_units", factor=10, steps=4, least_rows=28),
    "inventory_positions": FarRule("on_hand_units", factor=10, steps=4, least_rows=28),
}


@dataclass
class FarValues:
    """The records of the series of one ingest: of each a few numbers, whatever the length of its past.

    Args:
        stored: What the store holds already; read once for each feed and source.
    """

    stored: StoredRows = NO_STORED_ROWS
    _records: dict[tuple[str, str], pl.DataFrame] = field(default_factory=dict, init=False)

    def judge(self, batch: Batch, new: pl.DataFrame | None = None) -> list[FeedFinding]:
        """Judge the rows of a batch, and let them be part of the record for the batches after it.

        Args:
            batch: As its contract wants it.
            new: Those of its rows that are not held already: only of them something is to be said; None for all.

        Returns:
            At most one finding, with the first rows in words.
        """
        rule = RULES.get(batch.feed)
        if rule is None or batch.frame.is_empty():
            return []
        told = batch.frame if new is None else new
        far = self._judged(batch, rule).filter("is_far")
        held = self._held(batch, rule)
        self._records[batch.feed, batch.source] = _joined([held, _record(told.lazy(), rule.column)])
        return _findings(batch, far.join(told, on=batch.contract.key, how="semi", maintain_order="left"), rule)

    def far_rows(self, batch: Batch) -> pl.Series:
        """[rows] Which rows of a batch are far out; they are no part of the record afterwards."""
        rule = RULES.get(batch.feed)
        if rule is None or dict(batch.frame.schema) != batch.contract.schema or batch.frame.is_empty():
            return pl.Series([False]).new_from_index(0, batch.frame.height)
        return self._judged(batch, rule)["is_far"]

    def _judged(self, batch: Batch, rule: FarRule) -> pl.DataFrame:
        held = self._held(batch, rule)
        # Alone, what is held tells a delivery in another unit from all before it.
        long = held.filter(pl.col("rows") >= rule.least_rows)
        together = _joined([held, _record(batch.frame.lazy(), rule.column)])
        usual = pl.concat([long, together.join(long, on=_SERIES, how="anti")])
        numbers = batch.row_numbers if batch.row_numbers is not None else pl.lit(None, pl.Int64)
        return _with_bounds(batch.frame.with_columns(row_number=numbers), usual, rule)

    def _held(self, batch: Batch, rule: FarRule) -> pl.DataFrame:
        key = batch.feed, batch.source
        if key not in self._records:
            days = batch.frame["event_date"].drop_nulls()
            since = None if days.is_empty() else limits(days)[0] - LOOKED_BACK
            rows = self.stored.rows(batch.feed, source=batch.source, since=since)
            self._records[key] = _record((batch.frame.clear().lazy() if rows is None else rows), rule.column)
        return self._records[key]


def _record(rows: pl.LazyFrame, column: str) -> pl.DataFrame:
    """Return `sku_id, store_id, rows, step, highest, lowest`: the outermost values of each series, as lists."""
    value = pl.col(column).cast(pl.Float64)
    return (
        rows.filter(value.is_finite())
        .group_by(_SERIES)
        .agg(
            rows=pl.len().cast(pl.Int64),
            step=value.filter(value > 0).min(),
            highest=value.top_k(_OUTER),
            lowest=value.bottom_k(_OUTER),
        )
        .collect(engine="streaming")
    )


def _joined(records: list[pl.DataFrame]) -> pl.DataFrame:
    outer = {"highest": pl.col("highest").explode(), "lowest": pl.col("lowest").explode()}
    return (
        pl.concat(records)
        .group_by(_SERIES)
        .agg(
            rows=pl.col("rows").sum(),
            step=pl.col("step").min(),
            highest=outer["highest"].top_k(_OUTER),
            lowest=outer["lowest"].bottom_k(_OUTER),
        )
    )


def _with_bounds(frame: pl.DataFrame, usual: pl.DataFrame, rule: FarRule) -> pl.DataFrame:
    """Return the rows with `most` and `least`, the bounds of their series; null where it has no record."""
    has_record = pl.col("rows") >= rule.least_rows
    most = rule.factor * (pl.col("highest").list.min() + rule.steps * pl.col("step").fill_null(0))
    least = pl.col("lowest").list.max() / rule.factor if rule.looks_below else pl.lit(None, pl.Float64)
    bounds = usual.filter(has_record).select(
        *_SERIES,
        "rows",
        usual_low=pl.col("lowest").list.max(),
        usual_high=pl.col("highest").list.min(),
        # A series that never had a value above nought has no record of what is much.
        most=pl.when(pl.col("highest").list.min() > 0).then(most),
        least=least,
    )
    value = pl.col(rule.column)
    is_beyond = (value > pl.col("most")) | (value < pl.col("least"))
    is_far = (value.is_finite() & is_beyond).fill_null(value=False)
    return frame.join(bounds, on=_SERIES, how="left", maintain_order="left").with_columns(is_far=is_far)


def _findings(batch: Batch, far: pl.DataFrame, rule: FarRule) -> list[FeedFinding]:
    if far.is_empty():
        return []
    shown = "; ".join(_shown(row, rule.column) for row in far.head(FIRST).iter_rows(named=True))
    left = f"; and {far.height - FIRST:,} more" if far.height > FIRST else ""
    where = f" of {batch.delivery}" if batch.delivery else ""
    return [
        FeedFinding(
            batch.feed,
            KIND,
            is_error=batch.far_values == "refuse",
            rows=far.height,
            message=f"`{rule.column}` of {far.height:,} rows{where} is far outside their series' own record: "
            f"{shown}{left}",
            remedy="Look for a wrong factor, unit or decimal mark, and correct it at the source; or say in the mapping "
            'what to do with such rows: far_values = "accept", "quarantine" or "refuse".',
            column=rule.column,
        )
    ]


def _shown(row: dict[str, Any], column: str) -> str:
    at = "" if row["row_number"] is None else f"row {row['row_number']}, "
    return (
        f"{at}SKU {row['sku_id']} at store {row['store_id']} on {row['event_date']}: {row[column]:g}, "
        f"usually {row['usual_low']:g} to {row['usual_high']:g}"
    )
