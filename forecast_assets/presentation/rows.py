"""Rows of products and the observations behind them, in words.

What belongs here: what a row says. What does not: what there is (state), or what it was made from (lineage).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final

import polars as pl

from forecast_assets.contracts import FEEDS
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError
from forecast_assets.history import History
from forecast_assets.history.confirmed import last_said
from forecast_assets.operations.reading import scan_product
from forecast_assets.presentation.text import plain, table
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores
from resources.stores.moments import Moments

_SHOWN: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "forecasts": (
        "forecasts",
        ("store_id", "sku_id", "target_date", "forecast_units", "expected_sales_units", "q050_units", "q500_units",
         "q950_units", "model_used", "quality_flags"),
    ),
    "risks": (
        "stockout_risks",
        ("store_id", "sku_id", "target_date", "stockout_probability", "expected_lost_units", "days_of_cover",
         "risk_band"),
    ),
    "explanations": (
        "forecast_explanations",
        ("store_id", "sku_id", "target_date", "forecast_units", "expected_sales_units", "forecast_reason",
         "risk_reason"),
    ),
    "cumulative": (
        "cumulative_forecasts",
        ("store_id", "sku_id", "period", "period_days", "forecast_units", "q050_units", "q500_units", "q950_units",
         "covering_95_units", "covering_99_units"),
    ),
}  # fmt: skip


def show_text(
    stores: Stores, publication: Publication, product: str, *, sku: str | None, store: str | None, top: int
) -> str:
    """Show rows of one product; risks with the highest probability first.

    Raises:
        InputError: If no row matches.
        UnknownProductError: If the run was published before there was the product.
    """
    name, columns = _SHOWN[product]
    rows = scan_product(stores, publication, name)
    for column, wanted in (("sku_id", sku), ("store_id", store)):
        rows = rows if wanted is None else rows.filter(pl.col(column) == wanted)
    days = ["period_days", "period"] if product == "cumulative" else ["step"]
    order, descending = ["store_id", "sku_id", *days], False
    if product == "risks" and (sku is None or store is None):
        rows = with_reason(stores, publication, rows)
        columns = [*columns, "risk_reason"]
        order, descending = ["stockout_probability", "expected_lost_units", "store_id", "sku_id", "step"], True
    frame = rows.sort(order, descending=descending, nulls_last=True).head(top).select(columns).collect()
    if frame.is_empty():
        raise InputError(
            f"No row of {publication.key} has SKU {sku or 'any'} in store {store or 'any'}.",
            remedy=Sentence("Look at what there is: ", Action("show", {"top": 20}, on=("forecasts", "..."))),
        )
    return f"{table(columns, plain(frame).rows())}\n{publication.key}, ledger entry {publication.sequence}"


def with_reason(stores: Stores, publication: Publication, risks: pl.LazyFrame) -> pl.LazyFrame:
    """Add the reason in words to risk rows."""
    key = ["store_id", "sku_id", "step"]
    reasons = scan_product(stores, publication, "forecast_explanations").select(*key, "risk_reason")
    return risks.join(reasons, on=key, how="left")


def observations_text(stores: Stores, feed: str, sku: str, store: str, day: date, known_until: datetime | None) -> str:
    """Show what each source said of one SKU, store and day, which one won, and why.

    Raises:
        InputError: If the feed has no row per SKU, store and day, or nobody said anything.
    """
    if feed not in FEEDS or not {"sku_id", "store_id"} <= set(FEEDS[feed].names):
        raise InputError(f"`{feed}` has no row per SKU and store.", remedy=f"Choose one of: {', '.join(FEEDS)}.")
    moments = Moments(known_until.replace(tzinfo=UTC)) if known_until else stores.observations.moments(day)
    batches = tuple(stores.observations.batches())
    history = History(stores.observations, batches, day, moments.known_until, known_by_feed=moments.by_feed)
    said, counts = history.unresolved_feed(feed, since=day), history.feed(feed, days=[day])
    own = (pl.col("sku_id") == sku, pl.col("store_id") == store)
    resolved = pl.DataFrame() if counts is None else counts.filter(own).collect()
    if resolved.is_empty():
        raise InputError(f"No source said anything of {sku} in {store} on {day}.", remedy=Sentence(Action("feeds")))
    nobody = pl.LazyFrame(schema={**FEEDS[feed].schema, "source": pl.String, "trust": pl.Float64})
    words = (nobody if said is None else said).filter(own).collect().sort("known_at", "source")
    spoken, won = plain(_with_repetitions(words, history, feed, day)), plain(resolved.drop("known_at"))
    return "\n\n".join(
        (
            f"As known at {history.moment(feed):%Y-%m-%d %H:%M} UTC",
            table(spoken.columns, spoken.rows(), title="Said"),
            table(won.columns, won.rows(), title="Resolved"),
        )
    )


def _with_repetitions(words: pl.DataFrame, history: History, feed: str, day: date) -> pl.DataFrame:
    """Add `said_again_at` to words on one key: when a source last said its newest one again, where one did."""
    confirmations = history.confirmations(feed, since=day, until=day)
    if confirmations is None or words.is_empty():
        return words
    numbered = words.with_row_index("word")
    newest = numbered.unique("source", keep="last", maintain_order=True)
    again = last_said(newest, confirmations.collect(), FEEDS[feed]).rename({"said_at": "said_again_at"})
    told = numbered.join(again, on="word", how="left", maintain_order="left")
    return told.drop("word", "batch_number").select(pl.exclude("said_again_at"), "said_again_at")
