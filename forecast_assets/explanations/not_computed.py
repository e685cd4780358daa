"""What could not be computed for want of a feed, in words, as a Polars expression.

What belongs here: which want leaves which hole, row by row. What does not: what was computed.
"""

from functools import lru_cache
from typing import Final

import polars as pl

from forecast_assets.contracts import RISK_METHODS
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
# Sets of feeds, lengths of history and methods that come by turns.
_KEPT: Final = 32
_ALL: Final = pl.lit(value=True)
_POLICY: Final = "stock-out risk after lead time and review: no ordering policy is declared"


@lru_cache(maxsize=_KEPT)
def not_computed(
    feeds: frozenset[str], longest_history_days: float | None, methods: frozenset[str] = frozenset(RISK_METHODS)
) -> pl.Expr:
    """Return what a row lacks and why, joined with semicolons; empty if nothing.

    Reads `has_plan`, `has_product_place`, `has_store_place` (flags; null counts as true), `risk_method`,
    `stockout_probability` and `season_units`.

    Args:
        feeds: Feeds that the run's snapshot has.
        longest_history_days: Days since the first row of the series known longest; None if not known.
        methods: Methods of risks that there are: for a few rows Polars takes longer to plan lines that no row has than
            to write the others.
    """
    # By line, whether any row may have it, and which.
    lines = {
        _PRICES: ("prices" not in feeds, _ALL),
        _PLAN: ("prices" in feeds, ~pl.col("has_plan")),
        _season(longest_history_days): (_shows_no_season(longest_history_days), (pl.col("season_units") == 0).all()),
        _EVENTS: ("events" not in feeds, _ALL),
        _PRODUCTS: ("product_hierarchy" not in feeds, _ALL),
        _SKU_PLACE: (True, ~pl.col("has_product_place")),
        _STORES: ("store_hierarchy" not in feeds, _ALL),
        _STORE_PLACE: (True, ~pl.col("has_store_place")),
        _RISK: ("none" in methods, pl.col("risk_method") == "none"),
        _COVER: ("stock_status" in methods, pl.col("risk_method") == "stock_status"),
        _POLICY: (
            "inventory_position" in methods,
            (pl.col("risk_method") == "inventory_position") & pl.col("stockout_probability").is_null(),
        ),
    }
    return sentence([pl.when(rows).then(pl.lit(text)) for text, (may_be, rows) in lines.items() if may_be])


def _shows_no_season(longest: float | None) -> bool:
    return longest is not None and longest < SEASON_DAYS


def _season(longest: float | None) -> str:
    return f"time of year: it shows after two years, {longest or 0:,.0f} days are known"
