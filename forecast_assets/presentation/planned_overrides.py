"""Pages of planners about overrides: the form, what one would do, the list with decisions, and publishing a revision.

What belongs here: what stands on these pages. What does not: what an override does, recording one, or who may.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from html import escape
from typing import Any, Final

import polars as pl

from forecast_assets.core.overrides import FORMS, LISTING_REASONS, Override, Scope
from forecast_assets.core.wording import counted, moment_text
from forecast_assets.operations.overrides import OverrideEffect, OverridePreview
from forecast_assets.presentation.overrides import effect_notes
from forecast_assets.presentation.pages import Html, html_section, html_table
from forecast_assets.presentation.planning import (
    OVERRIDE,
    OVERRIDES,
    REVISION,
    SERIES,
    WORKLIST,
    Signed,
    anchor,
    link,
    scope_arguments,
    units,
)
from forecast_assets.presentation.support import warning
from resources.ledger.entries.override import PENDING, PlannedOverride

# Fields of an override, as links and forms have them.
FIELDS: Final = (
    "product", "stores", "first", "last", "form", "value", "reason", "note", "expires_on", "needs_approval",
)  # fmt: skip
_FORM_NAMES: Final = {
    "percent": "percent more or less", "units": "units a day of the node", "add": "units a day more or less",
    "floor": "at least units a day", "cap": "at most units a day", "zero": "zero",
}  # fmt: skip
_DAYS_SHOWN: Final = 28


def override_fields(said: Override, *, needs_approval: bool = False) -> dict[str, str]:
    """Return an override as fields of a form."""
    return {
        **scope_arguments(said.scope),
        "first": str(said.first_date),
        "last": str(said.last_date),
        "form": said.form,
        "value": said.value,
        "reason": said.reason,
        "note": said.note,
        "expires_on": "" if said.expires_on is None else str(said.expires_on),
        "needs_approval": "yes" if needs_approval else "",
    }


def override_form(asked: Mapping[str, str], reasons: Sequence[str], *, button: str = "Preview") -> str:
    """Return the form of an override; it makes a link to its preview, and records nothing.

    Args:
        asked: What stands in its fields.
        reasons: Codes that the policy knows.
        button: What its button says.
    """
    said = {name: escape(asked.get(name, "")) for name in FIELDS}
    forms = "".join(
        f'<option value="{form}"{" selected" if asked.get("form", "percent") == form else ""}>{_FORM_NAMES[form]}'
        "</option>"
        for form in sorted(FORMS, key=[*_FORM_NAMES].index)
    )
    codes = "".join(
        f"<option{' selected' if asked.get('reason') == code else ''}>{escape(code)}</option>"
        for code in (*reasons, *LISTING_REASONS)
    )
    checked = " checked" if asked.get("needs_approval") else ""
    return f"""<form class="ask" method="get" action="{OVERRIDE}">
{_node_field("product", "Products", said["product"])}
{_node_field("stores", "Stores", said["stores"])}
<label>First day <input type="date" name="first" value="{said["first"]}" required></label>
<label>Last day <input type="date" name="last" value="{said["last"]}" required></label>
<label>Form <select name="form">{forms}</select></label>
<label>Value <input name="value" value="{said["value"]}" inputmode="decimal" size="8" autocomplete="off"></label>
<label>Reason <select name="reason">{codes}</select></label>
<label class="long">Note <input name="note" value="{said["note"]}" maxlength="500" autocomplete="off"></label>
<label>Expires on <input type="date" name="expires_on" value="{said["expires_on"]}"></label>
<label class="check"><input type="checkbox" name="needs_approval" value="yes"{checked}> Needs approval</label>
<button>{escape(button)}</button></form>"""


def _node_field(name: str, label: str, value: str) -> str:
    said = f'name="{name}" value="{value}" placeholder="all" autocomplete="off" list="{name}-nodes"'
    return f"<label>{label} (level:node) <input {said}></label>"


def preview_section(found: OverridePreview, signed: Signed, request: str, *, needs_approval: bool) -> str:
    """Return what an override would do, and the form that records it.

    Args:
        found: What it would do; of one override.
        signed: Who looks.
        request: Id that the form sends, so that it is recorded once however often it is sent.
        needs_approval: Whether a second person is to approve.
    """
    (effect,) = found.effects
    said = effect.override
    return html_section(
        "What it would do",
        f"{said}. Nothing is recorded yet; it is held against {found.key}.",
        _effect_table(effect),
        *(warning(text) for text in effect_notes(effect)),
        _record_form(found, effect, signed, request, needs_approval=needs_approval) if signed.may_override else "",
        *([_by_day(found.rows), _by_level(found)] if found.rows.height else []),
    )


def _effect_table(effect: OverrideEffect) -> str:
    return html_table(
        ("series", "rows", "rows moved", "model", "now", "would be", "change"),
        [
            (
                effect.series,
                effect.rows,
                effect.rows_moved,
                units(effect.model_units),
                units(effect.before_units),
                units(effect.after_units),
                _change(effect.before_units, effect.after_units),
            )
        ],
        "Units of all its days together",
    )


def _change(before: float, after: float) -> str:
    percent = f" ({after / before - 1:+.1%})" if before else ""
    return f"{after - before:+,.1f}{percent}"


def _record_form(
    found: OverridePreview, effect: OverrideEffect, signed: Signed, request: str, *, needs_approval: bool
) -> str:
    hidden = {
        **override_fields(effect.override, needs_approval=needs_approval),
        "seen": str(found.seen), "request": request, "token": signed.token,
    }  # fmt: skip
    fields = "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in hidden.items() if value
    )
    confirm = ""
    if found.unusual:
        confirm = (
            f'<p class="warning" role="alert">That is unusual: it changes a forecast by more than '
            f'{found.largest_percent:g}%.</p><label class="check"><input type="checkbox" name="confirm" value="yes">'
            " It is meant so</label>"
        )
    waits = " A second person has to approve it before it moves anything." if needs_approval else ""
    return (
        f'<form class="ask" method="post" action="{OVERRIDE}">{fields}{confirm}<button>Record it</button></form>'
        f'<p class="note">Recorded as {escape(signed.name)}.{waits} It moves the next runs, and this one once a '
        "revision is published.</p>"
    )


def _by_day(rows: pl.DataFrame) -> str:
    by_day = rows.group_by("target_date").agg(
        pl.col("model_units", "before_units", "after_units").sum().cast(pl.Float64)
    )
    lines = [
        (row["target_date"], units(row["model_units"]), units(row["before_units"]), units(row["after_units"]),
         _change(row["before_units"], row["after_units"]))
        for row in by_day.sort("target_date").head(_DAYS_SHOWN).iter_rows(named=True)
    ]  # fmt: skip
    return html_table(("day", "model", "now", "would be", "change"), lines, "Units of the series it moves, by day")


def _by_level(found: OverridePreview) -> str:
    lines = [
        (f"{row['product_level']} by {row['store_level']}", row["nodes"], units(row["before_units"]),
         units(row["after_units"]), _change(float(row["before_units"]), float(row["after_units"])))
        for row in found.levels.iter_rows(named=True)
        if row["nodes"]
    ]  # fmt: skip
    table = html_table(
        ("level", "nodes that change", "now", "would be", "change"), lines, "Units of the days that change"
    )
    return f"<details><summary>The effect at every level ({len(lines)})</summary>{table}</details>"


# --- the list ---


def overrides_section(
    found: Sequence[PlannedOverride], signed: Signed, just: Collection[str], shown: int, reason: str = ""
) -> str:
    """Return overrides with what became of them, and the form that decides about them.

    Args:
        found: The newest first.
        signed: Who looks.
        just: Ids of those that were recorded or decided a moment ago.
        shown: How many are shown.
        reason: What stands in the field of the reason.
    """
    if not found:
        return "<p>Nobody has overridden anything yet.</p>"
    head = [*(["choose"] if signed.may_override else []), "id", "status", "node", "days", "says", "reason", "by",
            "decided"]  # fmt: skip
    lines = [_line(each, signed, just) for each in found[:shown]]
    caption = f"The newest first; {min(shown, len(found)):,} of {len(found):,}."
    table = html_table(head, lines, caption)
    if not signed.may_override:
        return table
    return (
        f'<form method="post" action="{OVERRIDES}"><input type="hidden" name="token" value="{escape(signed.token)}">'
        f'{table}<div class="ask"><label>Reason of the decision <input name="decision" size="40" maxlength="500" '
        f'value="{escape(reason)}" autocomplete="off"></label> '
        '<button name="status" value="approved">Approve</button> '
        '<button class="quiet" name="status" value="rejected">Reject</button> '
        '<button class="quiet" name="status" value="withdrawn">Withdraw</button></div></form>'
    )


def _line(each: PlannedOverride, signed: Signed, just: Collection[str]) -> list[object]:
    said = each.override
    choose: list[object] = []
    if signed.may_override:
        can = each.is_open
        own = " (yours: a second person has to approve it)" if each.status == PENDING and each.by == signed.name else ""
        choose = [
            Html(
                f'<input type="checkbox" name="override" value="{escape(each.id)}" '
                f'aria-label="choose {escape(each.id)}{own}">'
                if can
                else ""
            )
        ]
    mark = '<span class="small">just&nbsp;now</span>' if each.id in just else ""
    expires = f"; expires {said.expires_on}" if said.expires_on else ""
    decided = f"{each.decided_by}: {each.decided_reason}" if each.decided_by else ""
    return [
        *choose,
        Html(f"{escape(each.id)}{mark}"),
        Html(f"<strong>{escape(each.status)}</strong>"),
        scope_link(said.scope),
        Html(f"<time>{said.first_date}</time> to <time>{said.last_date}</time>{expires}"),
        said.change_text,
        f"{said.reason}{': ' if said.note else ''}{said.note}",
        Html(f'{escape(each.by)}<span class="small">{escape(moment_text(each.recorded_at))}</span>'),
        decided,
    ]


def scope_link(scope: Scope) -> Html:
    """Return a node as a link to what is shown of it."""
    if scope.is_series:
        return anchor(link(SERIES, store=scope.store_node, sku=scope.product_node), str(scope))
    return anchor(link("/plan/nodes", **scope_arguments(scope)), str(scope))


def acting_section(found: Sequence[PlannedOverride], applied: pl.DataFrame, run: object) -> str:
    """Return who has overridden a series and why, and what the run made of it.

    Args:
        found: In force, or waiting for approval.
        applied: Rows of `forecast_overrides` of the series.
        run: The run.
    """
    if not found and applied.is_empty():
        return "<h2>Overrides</h2>\n<p>Nobody has overridden these days.</p>"
    lines = [
        (each.id, each.status, str(each.override), f"{each.override.reason} {each.override.note}".strip(), each.by)
        for each in found
    ]
    known = set(applied["override_id"])
    later = [each.id for each in found if each.is_in_force and each.id not in known]
    note = f" Not yet in {run}: {', '.join(later)}; a revision takes them in." if later else ""
    table = html_table(("id", "status", "says", "reason", "by"), lines) if lines else ""
    moved = [
        (row["target_date"], row["override_id"], units(row["before_units"], 2), units(row["after_units"], 2),
         row["superseded_by"])
        for row in applied.iter_rows(named=True)
    ]  # fmt: skip
    did = html_table(("day", "override or rule", "before", "after", "superseded by"), moved) if moved else ""
    folded = f"<details><summary>What {escape(str(run))} made of them ({len(moved)})</summary>{did}</details>"
    return html_section(
        "Overrides", f"{counted(len(found), 'override')} about these days.{note}", table, folded if moved else ""
    )


# --- a revision ---


def revision_form(run: object, signed: Signed, *, is_behind: bool) -> str:
    """Return the form that publishes a revision of the newest run, or why there is none to publish."""
    if not is_behind:
        return f'<p class="note">{escape(str(run))} has all overrides that are in force.</p>'
    if not signed.may_override:
        return f'<p class="note">{escape(str(run))} lacks some of the overrides in force.</p>'
    return (
        f'<form class="ask" method="post" action="{REVISION}"><input type="hidden" name="token" '
        f'value="{escape(signed.token)}"><input type="hidden" name="run" value="{escape(str(run))}">'
        f'<label class="long">{escape(str(run))} lacks some of the overrides in force. Why a revision of it is '
        'published <input name="why" maxlength="500" required autocomplete="off"></label>'
        "<button>Publish a revision</button></form>"
    )


def revision_section(state: Mapping[str, Any] | None) -> str:
    """Return how far the newest revision is that somebody asked for here.

    Args:
        state: `state` (running, finished, failed), `run, by, reason, started_at`, and `said`, what the command said.
    """
    if state is None:
        return "<p>Nobody has published a revision from here yet.</p>"
    said = {name: escape(str(value)) for name, value in state.items()}
    what = (
        f"{said['state'].capitalize()}: a revision of {said['run']}, asked for by {said['by']} at "
        f"{said['started_at']}: {said['reason']}."
    )
    look = f"<p>{anchor(REVISION, 'Look again')}</p>" if state["state"] == "running" else ""
    kind = 'class="warning" role="alert"' if state["state"] == "failed" else 'class="done" role="status"'
    log = f"<pre>{said['said']}</pre>" if state["said"] else ""
    further = f"{anchor(OVERRIDES, 'All overrides')} &middot; {anchor(WORKLIST, 'the worklist')}"
    return f"<p {kind}>{what}</p>{look}{log}<p>{further}</p>"


def default_fields(scope: Scope, first: date, last: date) -> dict[str, str]:
    """Return the fields of a new override of a node."""
    return {**scope_arguments(scope), "first": str(first), "last": str(last), "form": "percent"}
