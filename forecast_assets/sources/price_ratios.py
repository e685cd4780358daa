"""Prices over the price that their series usually has without a reduction, for sources without a list price.

What belongs here: which words on earlier days a price is compared with. What does not: reading prices.

The reference is the highest price that held: that the series had on three days of a week of the trailing year. So a
price that was mistyped on a day, or on two, is no reference for the year after it, and a price that is raised becomes
one on its third day. Of a week of which four to six days are known, two days do; until four days of one are known, the
highest price of all.

A price is compared with what was known when it was said: of each day the newest word of that moment. So a mistaken
price counts only for what was said before it was corrected, and a correction changes no ratio of an earlier moment.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

import polars as pl

from forecast_assets.ingestion.stored_rows import StoredRows

TRAILING_DAYS: Final = 365
WEEK_DAYS: Final = 7
# Days of a week that have to be known, so that one of them alone is no evidence.
LEAST_DAYS: Final = 4

_SERIES: Final = ["sku_id", "store_id"]
_KEY: Final = [*_SERIES, "event_date"]
_PRICE_ROW: Final = [*_KEY, "known_at", "unit_price"]
# Of seven prices the third highest, of four to six the second, of fewer the highest; away from where rounding decides.
_QUANTILE: Final = 0.62
# Rows whose year is looked through at once, where words were changed.
_ROWS_AT_ONCE: Final = 5_000


def held_prices(prices: pl.DataFrame, stored: StoredRows, source: str) -> pl.Series:
    """Return the highest price that each row's series held in the year up to its day, as known when the row was.

    Args:
        prices: One delivery, with the key of the contract and `unit_price`.
        stored: What is held already.
        source: Whose held prices count.

    Returns:
        [rows] prices; null where day or price are missing.

    Example:
        >>> from datetime import UTC, datetime
        >>> days = [date(2025, 1, day) for day in range(1, 8)]
        >>> said = [2.0, 2.0, 2.0, 200.0, 1.5, 1.5, 2.0]
        >>> words = {"event_date": days, "known_at": datetime(2025, 1, 1, tzinfo=UTC), "unit_price": said}
        >>> prices = pl.DataFrame({"sku_id": "A", "store_id": "S", **words})
        >>> held_prices(prices, StoredRows.of({}), "erp").to_list()
        [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    """
    rows = prices.select(_PRICE_ROW).with_row_index("row")
    asked = rows.drop_nulls(["event_date", "unit_price"])
    words = _price_intervals(asked, _earlier(asked, stored, source))
    # Where each day has one word only, that counts; elsewhere it depends on the moment which one does.
    changed = words.filter(~pl.col("is_only")).select(_SERIES).unique()
    steady, unsteady = (asked.join(changed, on=_SERIES, how=how) for how in ("anti", "semi"))
    found = pl.concat([_of_steady(steady, words), *_of_unsteady(unsteady, words)])
    return rows.join(found, on="row", how="left", maintain_order="left")["held"]


def _earlier(asked: pl.DataFrame, stored: StoredRows, source: str) -> pl.LazyFrame | None:
    first, last = asked["event_date"].min(), asked["event_date"].max()
    if not isinstance(first, date) or not isinstance(last, date):
        return None
    return stored.rows("prices", source=source, since=first - timedelta(days=TRAILING_DAYS + WEEK_DAYS), until=last)


def _price_intervals(asked: pl.DataFrame, earlier: pl.LazyFrame | None) -> pl.DataFrame:
    """Return each price of a day, when it was known, `until` when it stood and whether it `is_only`; no repetitions."""
    series = asked.select(_SERIES).unique()
    said = asked.select(_PRICE_ROW)
    if earlier is not None:
        stored = earlier.select(_PRICE_ROW).join(series.lazy(), on=_SERIES, how="semi")
        said = pl.concat([stored.collect(engine="streaming"), said])
    said = said.sort(_PRICE_ROW)
    changes = said.filter(~_is_like([*_KEY, "unit_price"], 1))
    has_next = _is_like(_KEY, -1)
    return changes.with_columns(
        until=pl.when(has_next).then(pl.col("known_at").shift(-1)), is_only=~(has_next | _is_like(_KEY, 1))
    )


def _is_like(names: list[str], rows: int) -> pl.Expr:
    """Whether a row is like the one so many rows before it; sorted rows are compared with their neighbours only."""
    return pl.all_horizontal((pl.col(name) == pl.col(name).shift(rows)).fill_null(value=False) for name in names)


def _of_steady(asked: pl.DataFrame, words: pl.DataFrame) -> pl.DataFrame:
    """Return `row, held` of series of which no day has two words."""
    days = words.join(asked.select(_SERIES).unique(), on=_SERIES, how="semi").sort(_KEY)
    held = _with_weeks(days, _SERIES).with_columns(
        pl.col(name).rolling_max_by("event_date", f"{TRAILING_DAYS}d", min_samples=1).over(_SERIES)
        for name in ("of_full_week", "of_week")
    )
    found = asked.join(held, on=_KEY, how="left", maintain_order="left")
    return found.select("row", held=pl.coalesce("of_full_week", "of_week"))


def _of_unsteady(asked: pl.DataFrame, words: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Return `row, held` of the other series, of each row by the words that stood when it was said; some at a time."""
    day, since, until = (pl.col(name) for name in ("event_date", "known_at", "until"))
    stood = pl.col("is_only") | ((since <= pl.col("said_at")) & (until.is_null() | (until > pl.col("said_at"))))
    wanted = asked.sort(_KEY).select("row", *_SERIES, said_of="event_date", said_at="known_at")
    for part in wanted.iter_slices(_ROWS_AT_ONCE):
        # A week before the year, for the first day's own week.
        since_when = pl.col("said_of") - timedelta(days=TRAILING_DAYS + WEEK_DAYS)
        seen = part.join(words, on=_SERIES).filter(stood, day > since_when, day <= pl.col("said_of"))
        weeks = _with_weeks(seen.sort("row", "event_date"), ["row"])
        year = weeks.filter(day > pl.col("said_of") - timedelta(days=TRAILING_DAYS))
        highest = year.group_by("row").agg(pl.col("of_full_week", "of_week").max())
        yield highest.select("row", held=pl.coalesce("of_full_week", "of_week"))


def _with_weeks(days: pl.DataFrame, series: list[str]) -> pl.DataFrame:
    """Add the price that held in the week up to each day: `of_week`, and `of_full_week` where enough of it is known.

    Args:
        days: One row per series and day, sorted, with `event_date` and `unit_price`.
        series: What tells one series from another.
    """
    week, price = f"{WEEK_DAYS}d", pl.col("unit_price")
    held = price.rolling_quantile_by(
        "event_date", week, quantile=_QUANTILE, interpolation="higher", min_samples=1
    ).over(series)
    known = price.is_not_null().cast(pl.Int32).rolling_sum_by("event_date", week).over(series)
    is_full = known >= LEAST_DAYS
    return days.with_columns(of_week=held, of_full_week=pl.when(is_full).then(held))
