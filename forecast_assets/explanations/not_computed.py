"""What could not be computed for want of a feed, in words, as a Polars expression.

What belongs here: which want leaves which hole, row by row. What does not: what was computed.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import polars as pl

from forecast_assets.explanations.phrases import sentence

# A yearly season shows itself in the second year at the earliest.
SEASON_DAYS: Final = 2 * 364

_PRICES: Final = "price and promotion: there is no price feed"
_PLAN: Final = "price and promotion of this day: no plan is known for it, recent weeks stand in"
_EVENTS: Final = "calendar events: there is no event feed"
_PRODUCTS: Final = "levels between the SKU and the total: there is no product hierarchy"
_STORES: Final = "levels between the store and the total: there is no store hierarchy"
_SKU_PLACE: Final = "the SKU's place in the product hierarchy: it has none, `unassigned` stands in"
_STORE_PLACE: Final = "the store's place in the store hierarchy: it has none, `unassigned` stands in"
_RISK: Final = "stock-out risk: neither a stock position nor stock status is known"
_COVER: Final = "days of cover: only stock status is known"
_POLICY: Final = "stock-out risk after lead time and review: no ordering policy is declared"


def not_computed(feeds: AbstractSet[str], longest_history_days: float | None) -> pl.Expr:
    """Return what a row lacks and why, joined with semicolons; empty if nothing.

    Reads `has_plan`, `has_product_place`, `has_store_place` (flags; null counts as true), `risk_method`,
    `stockout_probability` and `season_units`.

    Args:
        feeds: Feeds that the run's snapshot has.
        longest_history_days: Days since the first row of the series known longest; None if not known.
    """
    method = pl.col("risk_method")
    lines = [
        _always("prices" not in feeds, _PRICES),
        _where(~pl.col("has_plan") & pl.lit("prices" in feeds), _PLAN),
        _season(longest_history_days),
        _always("events" not in feeds, _EVENTS),
        _always("product_hierarchy" not in feeds, _PRODUCTS),
        _where(~pl.col("has_product_place"), _SKU_PLACE),
        _always("store_hierarchy" not in feeds, _STORES),
        _where(~pl.col("has_store_place"), _STORE_PLACE),
        _where(method == "none", _RISK),
        _where(method == "stock_status", _COVER),
        _where((method == "inventory_position") & pl.col("stockout_probability").is_null(), _POLICY),
    ]
    return sentence(lines)


def _season(longest: float | None) -> pl.Expr:
    if longest is None or longest >= SEASON_DAYS:
        return pl.lit(None, pl.String)
    text = f"time of year: it shows after two years, {longest:,.0f} days are known"
    return _where((pl.col("season_units") == 0).all(), text)


def _always(is_missing: bool, text: str) -> pl.Expr:
    return pl.lit(text if is_missing else None, pl.String)


def _where(is_missing: pl.Expr, text: str) -> pl.Expr:
    return pl.when(is_missing).then(pl.lit(text))
