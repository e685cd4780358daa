"""Overrides in words and tables.

What belongs here: how they look on a terminal. What does not: what they do, or recording anything.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from forecast_assets.contracts import FORECAST_OVERRIDES
from forecast_assets.core.actions import Action
from forecast_assets.core.errors import first_ten
from forecast_assets.core.keys import RunKey
from forecast_assets.core.overrides import PERCENT
from forecast_assets.core.wording import counted
from forecast_assets.operations.overrides import OverrideEffect, OverridePreview
from forecast_assets.operations.reading import read_product
from forecast_assets.presentation.actions import command_line
from forecast_assets.presentation.text import table
from resources.ledger.entries.override import OverrideRecord, PlannedOverride
from resources.ledger.entries.override_decision import OverrideDecision
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores

# More are in the tables of the views and pages.
_SHOWN: Final = 20


def preview_text(preview: OverridePreview) -> str:
    """Return what overrides would do to a run, with every level that moves."""
    levels = table(
        ("product level", "store level", "nodes moved", "model", "now", "then"),
        [
            (row["product_level"], row["store_level"], f"{row['nodes']:,}",
             *(f"{row[name]:,.1f}" for name in ("model_units", "before_units", "after_units")))
            for row in preview.levels.iter_rows(named=True)
        ],
    )  # fmt: skip
    below = ["", "Units of the days and nodes that change, by level:", levels] if preview.nodes.height else []
    return "\n".join([effects_text(preview), *below])


def effects_text(preview: OverridePreview) -> str:
    """Return what each override would do to the rows that it is about."""
    head = f"Held against {preview.key}. Units over the days that each is about:"
    effects = table(
        ("override", "series", "rows moved", "model", "now", "then", "change", "note"),
        [_effect_row(each) for each in preview.effects[:_SHOWN]],
    )
    rest = len(preview.effects) - _SHOWN
    more = [f"... and {counted(rest, 'other')}."] if rest > 0 else []
    return "\n".join([head, effects, *more])


def _effect_row(effect: OverrideEffect) -> tuple[str, ...]:
    units = (effect.model_units, effect.before_units, effect.after_units)
    change = f"{effect.change_percent:+,.1f}%" if abs(effect.change_percent) != float("inf") else "from nothing"
    return (
        str(effect.override), f"{effect.series:,}", f"{effect.rows_moved:,} of {effect.rows:,}",
        *(f"{each:,.1f}" for each in units), change, " ".join(effect_notes(effect)),
    )  # fmt: skip


def effect_notes(effect: OverrideEffect) -> list[str]:
    """Return what to look at twice in what an override would do, a sentence each; the same wherever it is shown."""
    said = []
    if not effect.rows:
        said.append("None of its days is in this run: it would move later runs only.")
    elif effect.override.form == PERCENT and not effect.rows_moved and not effect.before_units:
        said.append("It would move nothing: zero is forecast, and percent of zero are zero; give units instead.")
    elif not effect.rows_moved:
        said.append("It would move nothing of this run.")
    if effect.superseded_by:
        said.append(
            f"Rows of {first_ten(effect.superseded_by)} stay as those say: they are narrower or newer, or not sold."
        )
    if effect.keeps_from:
        said.append(f"It takes rows from {first_ten(effect.keeps_from)}.")
    if abs(effect.unmet_units) >= 0.000001:  # noqa: PLR2004 - one millionth
        side = "less" if effect.unmet_units > 0 else "more"
        units = f"{abs(effect.unmet_units):,.1f} units"
        said.append(f"Its node has {units} {side} than it asks for, since others have fixed its rows.")
    if effect.multiplied_uplifts:
        said.append(f"Before it, uplifts that are about the same row multiply: {first_ten(effect.multiplied_uplifts)}.")
    return said


def recorded_text(record: OverrideRecord, key: RunKey) -> str:
    """Return what was recorded, and what comes next."""
    name = f"o{record.sequence}"
    what = f"Recorded as {name} ({counted(len(record.overrides), 'override')}), ledger entry {record.sequence}."
    if record.needs_approval:
        approve = Action("overrides approve", {"by": "NAME", "reason": "TEXT"}, on=(name,))
        return f"{what}\nIt moves nothing until a second person approves it: {command_line(approve)}"
    publish = Action("overrides publish", {"by": record.by, "reason": "TEXT"}, on=(str(key),))
    return f"{what}\nThe next run has it. For a revision of this one: {command_line(publish)}"


def overrides_text(found: Sequence[PlannedOverride], *, shows_all: bool) -> str:
    """List overrides."""
    if not found:
        return "No overrides." if shows_all else "No overrides are in force or wait for approval. All: --all."
    rows = [
        (
            each.id, each.status if not each.decided_by else f"{each.status} by {each.decided_by}", each.by,
            str(each.override.scope), f"{each.override.first_date} to {each.override.last_date}",
            each.override.change_text, each.override.reason, each.override.note,
        )
        for each in found
    ]  # fmt: skip
    return table(("override", "state", "by", "node", "days", "says", "reason", "note"), rows)


def decided_text(decision: OverrideDecision, found: Sequence[PlannedOverride]) -> str:
    """Return what was decided, and what comes next."""
    lines = [f"{each.id} is {each.status}: {each.override}" for each in found[:_SHOWN]]
    rest = len(found) - _SHOWN
    if rest > 0:
        lines.append(f"... and {counted(rest, 'other')}.")
    publish = Action("overrides publish", {"by": decision.by, "reason": "TEXT"})
    return "\n".join(
        [*lines, f"Ledger entry {decision.sequence}. For a revision of the newest run: {command_line(publish)}"]
    )


def published_text(stores: Stores, publication: Publication) -> str:
    """Return what overrides moved in a revision."""
    rows = read_product(stores, publication, FORECAST_OVERRIDES.name)
    moved = rows.filter(superseded_by="")
    if moved.is_empty():
        return "No override moves any row of it."
    units = (pl.col("after_units") - pl.col("before_units")).cast(pl.Float64)
    each = moved.group_by("override_id", "by", "scope", maintain_order=True).agg(rows=pl.len(), units=units.sum())
    shown = each.sort(pl.col("units").abs(), descending=True).head(_SHOWN)
    return table(
        ("override", "by", "node", "rows", "units"),
        [(*row[:3], f"{row[3]:,}", f"{row[4]:+,.1f}") for row in shown.iter_rows()],
    )
