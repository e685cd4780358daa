"""Why numbers of two runs differ, as text.

What belongs here: what is printed of it. What does not: finding it, or what a cause is called.
"""

from datetime import date

import polars as pl

from forecast_assets.core.errors import FIRST
from forecast_assets.operations.attributing import RunPair
from forecast_assets.operations.attribution import CODE, AttributedChange, Attribution
from forecast_assets.operations.change_wording import cause_words, change_words
from forecast_assets.presentation.text import plain, table

_MOST_PARTS = 20


def pair_text(pair: RunPair, *, store_id: str | None = None, sku_id: str | None = None, day: date | None = None) -> str:
    """Show the difference of two runs, or of some of their rows, by cause; of one series expected sales and risk too.

    Args:
        pair: The two runs.
        store_id: Only of this store.
        sku_id: Only of this SKU.
        day: Only of this target day.

    Raises:
        InputError: If the runs have no such row in common.
    """
    found = pair.attribution
    change = found.of(store_id=store_id, sku_id=sku_id, day=day)
    before, after = found.before.key, found.after.key
    parts = [
        _head(found),
        change_words(before, after, change),
        _causes(found, change),
        _parts(change),
        _figures(pair, store_id, sku_id, day) if store_id and sku_id else "",
        "" if sku_id and store_id else _most_moved(found, store_id, sku_id, day),
        _inputs(change.inputs),
        _code(found, change),
    ]
    return "\n\n".join(part for part in parts if part)


def _head(found: Attribution) -> str:
    common, (first, second) = found.common, found.common.only
    head = (
        f"{found.before.key} -> {found.after.key}: {common.series.height:,} series on {len(common.days)} days "
        f"({common.days[0]} to {common.days[-1]})"
    )
    only = [f"{rows:,} rows only the {name} has" for rows, name in ((first, "first"), (second, "second")) if rows]
    return "; ".join([head, *only])


def _causes(found: Attribution, change: AttributedChange) -> str:
    keys = found.before.key, found.after.key
    rows = [
        [cause_words(cause, *keys, change.inputs), cause, float(units)]
        for cause, units in change.causes.iter_rows()
        if units or cause != CODE
    ]
    rows.append(["= difference", "", float(change.after_units - change.before_units)])
    return table(("cause", "group", "units"), rows, title="Why")


def _figures(pair: RunPair, store_id: str, sku_id: str, day: date | None) -> str:
    """Show expected sales of a series, and the risk of a day, by the same causes."""
    found = pair.figures(store_id=store_id, sku_id=sku_id, day=day)
    names = {name: name.removesuffix("_units").replace("_", " ") for name in found}
    by_cause = {name: dict(figure.causes.iter_rows()) for name, figure in found.items()}
    causes = dict.fromkeys(cause for moved in by_cause.values() for cause, units in moved.items() if units)
    rows = [
        ["first", *(float(figure.before) for figure in found.values())],
        *([cause, *(float(moved.get(cause, 0)) for moved in by_cause.values())] for cause in causes),
        ["second", *(float(figure.after) for figure in found.values())],
    ]
    return table(("group", *names.values()), rows, title="Expected sales and risk")


def _parts(change: AttributedChange) -> str:
    if change.parts.is_empty():
        return ""
    shown = change.parts.head(_MOST_PARTS).with_columns(pl.col("driver").str.strip_suffix("_units"))
    left = change.parts.height - shown.height
    body = table(("group", "driver", "units"), plain(shown).rows(), title="By driver")
    return f"{body}\nand {left:,} more" if left > 0 else body


def _most_moved(found: Attribution, store_id: str | None, sku_id: str | None, day: date | None) -> str:
    rows = found.by_series() if day is None else found.rows().filter(target_date=day)
    for name, wanted in (("store_id", store_id), ("sku_id", sku_id)):
        rows = rows if wanted is None else rows.filter(pl.col(name) == wanted)
    moved = rows.filter(pl.col("change_units") != 0).sort(pl.col("change_units").abs().neg(), "store_id", "sku_id")
    if moved.is_empty():
        return "No series moved."
    keys = found.before.key, found.after.key
    shown = [
        [store, sku, change_words(*keys, found.of(store_id=store, sku_id=sku, day=day))]
        for store, sku in moved.head(FIRST).select("store_id", "sku_id").iter_rows()
    ]
    return table(("store", "SKU", "why"), shown, title="Series that moved most")


def _inputs(inputs: pl.DataFrame) -> str:
    if inputs.is_empty():
        return "Both read the same inputs of these rows."
    counted = inputs.group_by("kind", "input").agg(rows=pl.len(), first=pl.col("event_date").min(),
                                                   last=pl.col("event_date").max()).sort("kind", "input")  # fmt: skip
    body = table(("kind", "input", "rows that differ", "from", "to"), plain(counted).rows(), title="Inputs")
    if inputs.height > 2 * FIRST:
        return body
    rows = inputs.select("store_id", "sku_id", "input", "event_date", "before", "after")
    return f"{body}\n\n{table(('store', 'SKU', 'input', 'day', 'before', 'after'), plain(rows).rows())}"


def _code(found: Attribution, change: AttributedChange) -> str:
    units = dict(change.causes.iter_rows())[CODE]
    if not units or not found.code_causes:
        return ""
    return f"Other than when the runs were made: {'; '.join(found.code_causes)}."
