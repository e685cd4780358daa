"""Restatements, corrections and comparisons in words.

What belongs here: what is said of them. What does not: finding them.
"""

from collections.abc import Sequence

import polars as pl

from forecast_assets.core.errors import FIRST
from forecast_assets.corrections.restatements import Restatement, to_correct
from forecast_assets.operations.comparison import Comparison
from forecast_assets.presentation.actions import command_line
from forecast_assets.presentation.text import plain, table
from resources.ledger.entries.publish import Publication

_MOMENT = "%Y-%m-%d %H:%M UTC"


def restatements_text(found: Sequence[Restatement], compared: int) -> str:
    """List published runs whose inputs have changed, with what would correct them."""
    if not found:
        return f"Nothing has been restated: {compared} published runs would read the same again today."
    head = f"{len(found)} of {compared} published runs would read something else today; published numbers stay."
    return "\n\n".join([head, *(restatement_text(each) for each in found)])


def restatement_text(found: Restatement) -> str:
    """Show what one published run would read otherwise, and how to correct it."""
    until = f"made from what was known by {found.known_until:{_MOMENT}}, now {found.now_known_until:{_MOMENT}}"
    return "\n".join(
        (
            f"{found.publication.key}: {until}",
            _totals_text(found.by_feed),
            rows_text(found.rows),
            f"To correct it: {command_line(to_correct(found.publication.key))}",
        )
    )


def _totals_text(by_feed: pl.DataFrame) -> str:
    columns = ("feed", "rows", "of them late", "total of", "before", "now")
    return table(columns, plain(by_feed).rows(), title="Rows that differ")


def rows_text(rows: pl.DataFrame) -> str:
    """Show the first ten input rows that differ: before, now, who says so since when, and why that source wins."""
    columns = ("feed", "day", "row", "before", "now", "source", "known at", "why")
    shown = rows.head(FIRST).select(
        "feed",
        "event_date",
        "row",
        pl.col("before").fill_null("-"),
        "after",
        "source",
        pl.col("known_at").dt.strftime("%Y-%m-%d %H:%M"),
        pl.concat_str("resolution", "enriched", separator="; ", ignore_nulls=True),
    )
    left = rows.height - FIRST
    body = table(columns, [[str(value) for value in row] for row in shown.rows()])
    return f"{body}\nand {left:,} more" if left > 0 else body


def correction_text(publication: Publication) -> str:
    """Say who corrected what and why, and how to see the difference."""
    correction, key = publication.correction, publication.key
    revisions = ", ".join(f"r{number}" for number in range(key.revision))
    return (
        f"It corrects {correction.corrects} (by {correction.by}: {correction.reason}); {revisions} "
        f"{'stays' if key.revision == 1 else 'stay'} readable.\n"
        f"What moved: forecast-assets compare {correction.corrects} {key}"
    )


def comparison_text(found: Comparison) -> str:
    """Show what moved between two runs, by driver and by series, and what they were made from."""
    head = (
        f"{found.before.key} -> {found.after.key}: {found.moved_rows:,} of {found.rows:,} rows moved"
        f"{_only(found.only_before, 'only the first has')}{_only(found.only_after, 'only the second has')}"
    )
    parts = [head, _drivers_text(found.totals), _series_text(found.series), _inputs_text(found.inputs)]
    if found.made_from:
        rows = [[name, *(value[:40] for value in values)] for name, *values in found.made_from]
        parts.append(table(("made from", "first", "second"), rows))
    return "\n\n".join(part for part in parts if part)


def _only(rows: int, words: str) -> str:
    return f"; {rows:,} {words}" if rows else ""


def _drivers_text(totals: pl.DataFrame) -> str:
    is_sum = pl.col("driver").is_in(["forecast_units", "expected_sales_units"])
    words = pl.when(is_sum).then(pl.lit("= ")).otherwise(pl.lit("  ")) + _words("driver")
    shown = plain(totals.with_columns(words.alias("driver")))
    return table(("driver", "first, units", "second, units", "change"), shown.rows(), title="Totals")


def _series_text(series: pl.DataFrame) -> str:
    if series.is_empty():
        return "No series moved."
    shown = plain(series.with_columns(_words("driver")))
    columns = ("store", "SKU", "moved, units", "net change", "most by", "of it")
    return table(columns, shown.rows(), title="Series that moved most")


def _inputs_text(inputs: pl.DataFrame) -> str:
    return f"Input rows that differ: {inputs.height:,}\n{rows_text(inputs)}" if inputs.height else "Both read the same."


def _words(column: str) -> pl.Expr:
    return pl.col(column).str.strip_suffix("_units").str.replace_all("_", " ")
