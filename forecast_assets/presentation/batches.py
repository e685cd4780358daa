"""Batches and quarantined rows in words.

What belongs here: how they are listed. What does not: which there are.
"""

from collections.abc import Sequence

import polars as pl

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NotReadyError
from forecast_assets.operations.batches import ListedBatch
from forecast_assets.presentation.text import table
from resources.ledger.entries.ingest import BatchRecord


def batches_text(batches: Sequence[ListedBatch]) -> str:
    """List batches, oldest first.

    Raises:
        NotReadyError: If there are none.
    """
    if not batches:
        raise NotReadyError("There are no such batches.", remedy=Sentence("See what there is: ", Action("feeds"), "."))
    rows = [
        (each.number, each.record.batch_id[:12], each.record.feed, each.record.source, each.record.rows,
         str(each.record.first_event_date), str(each.record.last_event_date), each.record.sequence, _state(each))
        for each in batches
    ]  # fmt: skip
    return table(("batch", "id", "feed", "source", "rows", "first day", "last day", "entry", "taken back"), rows)


def _state(batch: ListedBatch) -> str:
    word = batch.taken_back
    return "" if word is None else f"by {word.by}: {word.reason}"


def retracted_text(batch: BatchRecord, *, counts_again: bool) -> str:
    """Say what a retraction does."""
    what = "counts again" if counts_again else "is taken back"
    return (
        f"Batch {batch.batch_id[:12]} ({batch.feed} from {batch.source}, {batch.first_event_date} to "
        f"{batch.last_event_date}, {batch.rows:,} rows) {what}.\n"
        "Published runs stay as they are; `restatements` lists those that would read otherwise now."
    )


def quarantine_text(rows: pl.DataFrame, *, every: bool) -> str:
    """List quarantined rows; only the open ones unless all are asked for."""
    shown = rows if every else rows.filter("is_open")
    if shown.is_empty():
        return "No row is in quarantine."
    listed = [
        (row["batch_id"][:12], row["of_feed"], row["source"], row["delivery"], row["row_number"],
         str(row["event_date"]) if row["has_day"] else f"up to {row['event_date']}", row["store_id"] or "?",
         row["sku_id"] or "?", row["reasons"], "open" if row["is_open"] else "settled")
        for row in shown.sort("of_feed", "source", "event_date", "row_number").iter_rows(named=True)
    ]  # fmt: skip
    columns = ("batch", "feed", "source", "file", "row", "day", "store", "SKU", "what is wrong", "")
    return f"{table(columns, listed)}\n{rows['is_open'].sum():,} of {rows.height:,} rows are open."
