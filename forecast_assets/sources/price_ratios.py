"""Prices over the highest price of their series in the trailing year, for sources without a list price.

What belongs here: which words on earlier days a price is compared with. What does not: reading prices.

A price is compared with what was known when it was said: of each day the newest word of that moment. So a mistaken
price counts only for what was said before it was corrected, and a correction changes no ratio of an earlier moment.
"""

from datetime import date, timedelta
from typing import Final

import polars as pl

from forecast_assets.ingestion.stored_rows import StoredRows

TRAILING_DAYS: Final = 365

_SERIES: Final = ["sku_id", "store_id"]
_KEY: Final = [*_SERIES, "event_date"]
_PRICE_ROW: Final = [*_KEY, "known_at", "unit_price"]


def highest_prices(prices: pl.DataFrame, stored: StoredRows, source: str) -> pl.Series:
    """Return the highest price of each row's series in the year up to its day, as known when the row was.

    Args:
        prices: One delivery, with the key of the contract and `unit_price`.
        stored: What is held already.
        source: Whose held prices count.

    Returns:
        [rows] prices; null where day or price are missing.

    Example:
        >>> from datetime import UTC, datetime
        >>> days = [date(2025, 1, day) for day in (1, 1, 2)]
        >>> said = [datetime(2025, 1, day, tzinfo=UTC) for day in (1, 3, 3)]
        >>> words = {"event_date": days, "known_at": said, "unit_price": [100.0, 10.0, 9.0]}
        >>> prices = pl.DataFrame({"sku_id": "A", "store_id": "S", **words})
        >>> highest_prices(prices, StoredRows.of({}), "erp").to_list()
        [100.0, 10.0, 10.0]
    """
    rows = prices.select(_PRICE_ROW).with_row_index("row")
    asked = rows.drop_nulls(["event_date", "unit_price"])
    words = _price_intervals(asked, _earlier(asked, stored, source))
    # Where a day has one word only, that counts; of the others it depends on the moment which one does.
    lasting, passing = words.filter("is_only"), words.filter(~pl.col("is_only"))
    found = pl.concat([_highest_lasting(asked, lasting), _highest_passing(asked, passing)])
    highest = found.group_by("row").agg(pl.col("highest").max())
    return rows.join(highest, on="row", how="left", maintain_order="left")["highest"]


def _earlier(asked: pl.DataFrame, stored: StoredRows, source: str) -> pl.LazyFrame | None:
    first, last = asked["event_date"].min(), asked["event_date"].max()
    if not isinstance(first, date) or not isinstance(last, date):
        return None
    return stored.rows("prices", source=source, since=first - timedelta(days=TRAILING_DAYS), until=last)


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


def _highest_lasting(asked: pl.DataFrame, words: pl.DataFrame) -> pl.DataFrame:
    no_row, no_price = pl.lit(None, pl.UInt32).alias("row"), pl.lit(None, pl.Float64).alias("unit_price")
    seen = pl.concat([words.select(no_row, *_KEY, "unit_price"), asked.select("row", *_KEY, no_price)])
    rolling = pl.col("unit_price").rolling_max_by("event_date", f"{TRAILING_DAYS}d", min_samples=1).over(_SERIES)
    return seen.sort(_KEY).with_columns(highest=rolling).drop_nulls("row").select("row", "highest")


def _highest_passing(asked: pl.DataFrame, words: pl.DataFrame) -> pl.DataFrame:
    """Return the highest of the words that stood when a row was said; few days have more than one."""
    day, moment, until = pl.col("event_date"), pl.col("known_at"), pl.col("until")
    stood = words.lazy().rename({"event_date": "of", "known_at": "since", "unit_price": "price"})
    pairs = (
        asked.lazy()
        .join(stood, on=_SERIES)
        .filter(
            pl.col("of") <= day,
            pl.col("of") > day - timedelta(days=TRAILING_DAYS),
            pl.col("since") <= moment,
            until.is_null() | (until > moment),
        )
    )
    return pairs.group_by("row").agg(highest=pl.col("price").max()).collect(engine="streaming")
