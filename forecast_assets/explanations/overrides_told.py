"""Overrides in words: who says what of a row, and why.

What belongs here: one phrase per row. What does not: what overrides do (forecast_assets.overrides), or the sentence.
"""

import polars as pl

from forecast_assets.core.overrides import PERCENT, ZERO, change_text

_ROW = ("store_id", "sku_id", "step")


def override_words(overrides: pl.DataFrame) -> pl.DataFrame:
    """Return what moved each row, in the order in which it acted.

    Args:
        overrides: Contract `forecast_overrides`.

    Returns:
        `store_id, sku_id, step, override_words`, such as `ana: +20%, local event, festival`; only rows that were moved.
    """
    moved = overrides.filter(pl.col("after_units") != pl.col("before_units"))
    # A few overrides are about many rows.
    asked = moved.select("form", "value").unique()
    changes = pl.Series("change", [change_text(*each) for each in asked.iter_rows()], dtype=pl.String)
    acted = moved.join(asked.with_columns(changes), on=["form", "value"], maintain_order="left")
    said = pl.col("reason").str.replace_all("_", " ")
    words = pl.concat_str(
        pl.when("is_rule").then(pl.lit("rule")).otherwise("by"), pl.lit(": "), "change", _node(), pl.lit(", "), said,
        pl.when(pl.col("note") != "").then(pl.concat_str(pl.lit(", "), "note")).otherwise(pl.lit("")),
    )  # fmt: skip
    return (
        acted.sort(*_ROW, "application")
        .group_by(_ROW, maintain_order=True)
        .agg(override_words=words.str.join(" and then "))
    )


def _node() -> pl.Expr:
    """For which node, where that is more than the row."""
    own = pl.format("sku {} in store {}", "sku_id", "store_id")
    is_own = (pl.col("scope") == own) | pl.col("is_rule") | pl.col("form").is_in([PERCENT, ZERO])
    return pl.when(is_own).then(pl.lit("")).otherwise(pl.format(" for {}", "scope"))
