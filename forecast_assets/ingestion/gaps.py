"""Days that are missing: within a delivery, and between what arrives and what is held.

What belongs here: runs of days per series, the holes between them, and their words.
What does not: any other rule on a batch.

Only first and last days of runs are carried from batch to batch, so that an ingest of any length fits in memory; and
held rows are read only at the edges of what arrives, except for the few series that do not connect there.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from forecast_assets.core.errors import FIRST, first_ten
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.findings import FeedFinding
from forecast_assets.ingestion.stored_rows import StoredRows

FEED: Final = "sales"
SERIES: Final = ["sku_id", "store_id"]

_DAY: Final = timedelta(days=1)
# How far back a series is looked for first, before all that is held is read.
_NEAR: Final = timedelta(days=35)
_RUNS: Final = {
    "source": pl.String, "delivery": pl.String, "sku_id": pl.String, "store_id": pl.String, "first": pl.Date,
    "last": pl.Date,
}  # fmt: skip


def runs_of(batch: Batch) -> pl.DataFrame:
    """Return the runs of consecutive days of each series of a batch.

    Returns:
        `source, delivery, sku_id, store_id, first, last`, one row per run; usually one per series.
    """
    days = batch.frame.select(*SERIES, "event_date").drop_nulls()
    if batch.days_aside is not None:
        # Something was said of these days, and a run waits for it; that is another matter than a hole.
        days = pl.concat([days, batch.days_aside.select(days.columns)]).unique()
    # Of a piece of a stream every run is a delivery of its own: what is between two may still come.
    delivery = pl.format("{} {}", pl.lit(batch.delivery), "first") if batch.comes_in_pieces else pl.lit(batch.delivery)
    return _runs(days).with_columns(source=pl.lit(batch.source), delivery=delivery).select(list(_RUNS))


def joined(runs: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return runs of several batches with those that touch made one, per source and delivery."""
    every = pl.concat(runs) if runs else pl.DataFrame(schema=_RUNS)
    return _merged(every, ["source", "delivery", *SERIES])


def gap_findings(runs: pl.DataFrame, stored: StoredRows) -> list[FeedFinding]:
    """Judge the runs of a whole ingest.

    Args:
        runs: As `joined` returns them.
        stored: What the store holds already.

    Returns:
        An error for days missing within a delivery; a warning for days missing between deliveries, or between what
        arrives and what is held: they may still come.
    """
    if runs.is_empty():
        return []
    union = _merged(runs, ["source", *SERIES])
    holes = _uncovered(_holes(union), stored)
    is_inside = _inside_a_delivery(holes, runs)
    between = pl.concat([holes.filter(~is_inside).select(_HOLE), _edges(runs, stored)])
    return [
        *_finding(holes.filter(is_inside), is_error=True),
        *_finding(_merged(between, SERIES), is_error=False),
    ]


_HOLE: Final = [*SERIES, "first", "last"]


def _runs(days: pl.DataFrame) -> pl.DataFrame:
    spans = days.group_by(SERIES).agg(first=pl.col("event_date").min(), last=pl.col("event_date").max(), rows=pl.len())
    is_whole = (_length() == pl.col("rows")).all()
    # Without a repeated day, as many rows as days mean that there is no hole; most batches end here.
    if days.hash_rows().n_unique() == days.height and spans.select(is_whole).item():
        return spans.drop("rows")
    each = days.unique().sort(*SERIES, "event_date")
    starts = pl.col("event_date").diff().over(SERIES).ne_missing(_DAY)
    numbered = each.group_by(*SERIES, starts.cum_sum().alias("run"))
    return numbered.agg(first=pl.col("event_date").min(), last=pl.col("event_date").max()).drop("run")


def _merged(runs: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    ordered = runs.sort(*by, "first", "last")
    reached = pl.col("last").cum_max().shift().over(by)
    starts = reached.is_null() | (pl.col("first") > reached + _DAY)
    numbered = ordered.with_columns(run=starts.cum_sum())
    merged = numbered.group_by(*by, "run").agg(first=pl.col("first").min(), last=pl.col("last").max())
    return merged.sort(*by, "first").drop("run")


def _length() -> pl.Expr:
    return (pl.col("last") - pl.col("first")).dt.total_days() + 1


def _holes(runs: pl.DataFrame) -> pl.DataFrame:
    """Return the days between consecutive runs: first and last missing day."""
    before = pl.col("last").shift().over("source", *SERIES)
    return (
        runs.with_columns(first=before + _DAY, last=pl.col("first") - _DAY).drop_nulls("first").select("source", *_HOLE)
    )


def _uncovered(holes: pl.DataFrame, stored: StoredRows) -> pl.DataFrame:
    """Return the parts of holes of which no day is held."""
    if holes.is_empty():
        return holes
    days = _stored_days(stored, holes)
    if days.is_empty():
        return holes
    at = holes.with_row_index("hole").sort("first")
    said = days.join(holes.select("source", *SERIES).unique(), on=SERIES).sort("event_date")
    placed = said.join_asof(
        at.select("hole", "source", *_HOLE), left_on="event_date", right_on="first", by=["source", *SERIES],
        check_sortedness=False,
    )  # fmt: skip
    inside = placed.filter(pl.col("event_date") <= pl.col("last"))
    is_touched = pl.col("hole").is_in(inside["hole"].unique().implode())
    parts = _parts(at.filter(is_touched), inside)
    return pl.concat([at.filter(~is_touched).select("source", *_HOLE), parts]).sort("source", *SERIES, "first")


def _parts(holes: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """Return what is left of holes without some days of them."""
    every = holes.select("source", *SERIES, event_date=pl.date_ranges("first", "last")).explode("event_date")
    left = every.join(days, on=[*SERIES, "event_date"], how="anti")
    each = left.select("source", *SERIES, first="event_date", last="event_date")
    return _merged(each, ["source", *SERIES])


def _stored_days(stored: StoredRows, holes: pl.DataFrame) -> pl.DataFrame:
    """Return the held days of the series that have holes, between the first and the last hole, each once."""
    rows = stored.rows(FEED, since=limits(holes["first"])[0], until=limits(holes["last"])[1])
    if rows is None:
        return pl.DataFrame(schema={"sku_id": pl.String, "store_id": pl.String, "event_date": pl.Date})
    wanted = holes.lazy().select(SERIES).unique()
    days = rows.select(*SERIES, "event_date").join(wanted, on=SERIES, how="semi").unique()
    return days.collect(engine="streaming")


def limits(days: pl.Series) -> tuple[date, date]:
    """Return the first and the last of some days, of which there is at least one.

    Example:
        >>> limits(pl.Series([date(2025, 1, 2), date(2025, 1, 1)]))
        (datetime.date(2025, 1, 1), datetime.date(2025, 1, 2))
    """
    first, last = pl.DataFrame({"day": days}).select(first=pl.col("day").min(), last=pl.col("day").max()).row(0)
    return first, last


def _inside_a_delivery(holes: pl.DataFrame, runs: pl.DataFrame) -> pl.Series:
    """[holes] whether one delivery has days of the series on both sides of the hole."""
    spans = runs.group_by("source", "delivery", *SERIES).agg(begin=pl.col("first").min(), end=pl.col("last").max())
    numbered = holes.with_row_index("hole")
    around = numbered.join(spans, on=["source", *SERIES]).filter(
        pl.col("begin") < pl.col("first"), pl.col("end") > pl.col("last")
    )
    return numbered["hole"].is_in(around["hole"].unique().implode())


def _edges(runs: pl.DataFrame, stored: StoredRows) -> pl.DataFrame:
    """Return the days missing between each series' first or last new day and its nearest held one."""
    spans = runs.group_by(SERIES).agg(pl.col("first").min(), pl.col("last").max())
    before = _loose(spans, stored, "first", -_DAY)
    after = _loose(spans, stored, "last", _DAY)
    return pl.concat([_gap_before(before, stored), _gap_after(after, stored)])


def _loose(spans: pl.DataFrame, stored: StoredRows, edge: str, step: timedelta) -> pl.DataFrame:
    """Return the series of which neither the edge's own day nor the day beyond it is held."""
    days = pl.concat([spans.select(*SERIES, day=pl.col(edge)), spans.select(*SERIES, day=pl.col(edge) + step)])
    first, last = limits(days["day"])
    rows = stored.rows(FEED, since=first, until=last)
    if rows is None:
        return spans
    touching = rows.select(*SERIES, day="event_date").join(days.lazy(), on=[*SERIES, "day"], how="semi")
    connected = touching.select(SERIES).unique().collect(engine="streaming")
    return spans.join(connected, on=SERIES, how="anti")


def _gap_before(loose: pl.DataFrame, stored: StoredRows) -> pl.DataFrame:
    """Return the days between each series' first new day and the last held one before it."""
    if loose.is_empty():
        return _no_gaps()
    first, last = limits(loose["first"])
    is_before, newest = pl.col("event_date") < pl.col("first"), pl.col("event_date").max()
    near = _nearest(loose, stored.rows(FEED, since=first - _NEAR, until=last), is_before, newest)
    far = loose.join(near, on=SERIES, how="anti")
    found = pl.concat([near, _nearest(far, stored.rows(FEED, until=last), is_before, newest)])
    return found.select(*SERIES, first=pl.col("day") + _DAY, last=pl.col("first") - _DAY)


def _gap_after(loose: pl.DataFrame, stored: StoredRows) -> pl.DataFrame:
    """Return the days between each series' last new day and the first held one after it."""
    if loose.is_empty():
        return _no_gaps()
    rows = stored.rows(FEED, since=limits(loose["last"])[0])
    found = _nearest(loose, rows, pl.col("event_date") > pl.col("last"), pl.col("event_date").min())
    return found.select(*SERIES, first=pl.col("last") + _DAY, last=pl.col("day") - _DAY)


def _nearest(loose: pl.DataFrame, rows: pl.LazyFrame | None, is_beyond: pl.Expr, nearest: pl.Expr) -> pl.DataFrame:
    """Return the series that have held rows beyond their edge, with the nearest such `day`."""
    if rows is None or loose.is_empty():
        return loose.clear().with_columns(day=pl.lit(None, pl.Date))
    beyond = rows.select(*SERIES, "event_date").join(loose.lazy(), on=SERIES).filter(is_beyond)
    days = beyond.group_by(SERIES).agg(day=nearest).collect(engine="streaming")
    return loose.join(days, on=SERIES)


def _no_gaps() -> pl.DataFrame:
    return pl.DataFrame(schema={"sku_id": pl.String, "store_id": pl.String, "first": pl.Date, "last": pl.Date})


def _finding(holes: pl.DataFrame, *, is_error: bool) -> list[FeedFinding]:
    if holes.is_empty():
        return []
    series = holes.select(SERIES).unique().sort(SERIES)
    left = f" and {series.height - FIRST:,} more series" if series.height > FIRST else ""
    listed = _listed(holes.join(series.head(FIRST), on=SERIES, how="semi"))
    days = int(holes.select(_length().sum()).item())
    if is_error:
        message = f"{series.height:,} series miss days between their first and their last: {listed}{left}"
        remedy = "Add the missing days and ingest again: a day without a sale is a row with sales_units 0."
        return [FeedFinding(FEED, "missing days", is_error=True, rows=days, message=message, remedy=remedy)]
    message = f"{series.height:,} series miss days between what is held and what arrives: {listed}{left}"
    remedy = "Late days may still come: ingest them when they do; until then they count as not known."
    return [FeedFinding(FEED, "late days", is_error=False, rows=days, message=message, remedy=remedy)]


def _listed(holes: pl.DataFrame) -> str:
    """Name the missing days of a few series."""
    days = holes.select(*SERIES, event_date=pl.date_ranges("first", "last")).explode("event_date")
    groups = days.unique().sort(*SERIES, "event_date").group_by(SERIES, maintain_order=True).agg("event_date")
    return "; ".join(f"SKU {sku} at store {store}: {first_ten(days)}" for sku, store, days in groups.iter_rows())
