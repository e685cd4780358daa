"""Pages of planners: what all of them share, and the worklist.

What belongs here: the frame with its navigation, how numbers name their run, and what stands on the worklist. What does
not: choosing its lines, or who may look.

They work without a script and by keyboard alone, as all pages do: every filter is a link, every picture has its numbers
beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final
from urllib.parse import quote, urlencode

import polars as pl

from forecast_assets.contracts.columns import QUALITY_FLAGS, RISK_BANDS
from forecast_assets.core.actions import Action
from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.core.overrides import Scope
from forecast_assets.core.spreadsheets import without_formulas
from forecast_assets.core.wording import counted, moment_text
from forecast_assets.operations.worklist import Worklist
from forecast_assets.presentation.actions import command_line
from forecast_assets.presentation.pages import Html, html_page, html_table
from forecast_assets.presentation.support import FORM_STYLE, FormField, html_form

WORKLIST: Final = "/plan"
WORKLIST_CSV: Final = "/plan/worklist.csv"
FILTERS: Final = "/plan/filters"
SERIES: Final = "/plan/series"
OVERRIDE: Final = "/plan/override"
OVERRIDES: Final = "/plan/overrides"
REVISION: Final = "/plan/revision"
NODES: Final = "/plan/nodes"
CHANGES: Final = "/plan/changes"
PAGE_LINES: Final = 25
# Filters of the worklist, as its link has them.
FILTER_FIELDS: Final = ("product", "stores", "band", "flag", "planner")
_HERE: Final = ' aria-current="page"'
_NAVIGATION: Final = (
    (WORKLIST, "Worklist"), (NODES, "Nodes"), (CHANGES, "Changes"), (OVERRIDES, "Overrides"),
)  # fmt: skip
PLANNING_STYLE: Final = (
    FORM_STYLE
    + """
body { max-width: 1180px; margin: 0 auto 3rem; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; padding: .8rem 0; border-bottom: 1px solid #d4d9de; }
nav a { padding: .35rem 0; } nav a[aria-current] { color: #24323f; font-weight: 600; text-decoration: none; }
nav .who { margin-left: auto; color: #55636f; padding: .35rem 0; }
input, select, button, a.button { min-height: 2.4rem; box-sizing: border-box; border: 1px solid #7a8894;
  border-radius: 4px; background: #fff; }
button, a.button { background: #0b5cad; color: #fff; border-color: #0b5cad; text-decoration: none; cursor: pointer;
  padding: .45rem .9rem; display: inline-block; }
button.quiet { background: #fff; color: #0b5cad; }
input[type=checkbox], input[type=radio] { min-height: 0; width: 1.25rem; height: 1.25rem; vertical-align: middle; }
form.ask label.check { display: flex; gap: .5rem; align-items: center; min-height: 2.4rem; }
form.ask label.long { flex: 1 1 20rem; } form.ask label.long input { width: 100%; }
.band { padding: .1rem .45rem; border-radius: 3px; white-space: nowrap; }
.band.critical { background: #8c1d18; color: #fff; } .band.high { background: #a34400; color: #fff; }
.band.moderate { background: #fff0c2; color: #4d3a00; } .band.low { background: #e3f2e6; color: #1e4620; }
.band.unknown { background: #e8ebee; color: #24323f; }
time { white-space: nowrap; } td .small { color: #55636f; font-size: 12px; display: block; }
p.done { border-left: 4px solid #1e7d34; padding-left: .8rem; }
nav.saved { border: 0; padding: 0; }
.pages { display: flex; gap: 1.2rem; align-items: center; margin: 1rem 0; }
pre { overflow-x: auto; background: #f4f6f8; padding: .6rem .8rem; font-size: 13px; white-space: pre-wrap; }
"""
).strip()


@dataclass(frozen=True)
class Signed:
    """Who looks at a page.

    Attributes:
        name: Whose key it is.
        role: What it may do.
        token: What forms of this caller carry, so that no other page can send them.
        may_override: Whether the role may override forecasts, and the service takes overrides.
        dagster_url: Address of the Dagster UI; None where nobody set one.
    """

    name: str
    role: str
    token: str
    may_override: bool
    dagster_url: str | None = None


def planning_page(title: str, signed: Signed | None, place: str, *parts: str) -> str:
    """Return a page with navigation.

    Args:
        title: Its title.
        signed: Who looks; None where nobody is signed in.
        place: The page of the navigation that it belongs to.
        parts: What stands on it, as HTML; empty ones are left out.
    """
    links = "".join(f'<a href="{path}"{_HERE if path == place else ""}>{name}</a>' for path, name in _NAVIGATION)
    who = f'<span class="who">{escape(signed.name)} ({escape(signed.role)})</span>' if signed else ""
    body = "\n".join(part for part in parts if part)
    skip = '<a class="skip" href="#content">Skip to the content</a>'
    return html_page(
        title,
        f'{skip}\n<nav aria-label="Planning">{links}{who}</nav>\n<main id="content">\n<h1>{escape(title)}</h1>\n'
        f"{body}\n</main>",
        style=PLANNING_STYLE,
    )


def link(path: str, **asked: object) -> str:
    """Return an address with arguments, those that are empty left out; as text, not yet HTML."""
    said = {name: value for name, value in asked.items() if value not in ("", None)}
    return f"{path}?{urlencode(said)}" if said else path


def anchor(address: str, words: str) -> Html:
    """Return a link as HTML."""
    return Html(f'<a href="{escape(address)}">{escape(words)}</a>')


def node_text(level: str, node: str) -> str:
    """Return a node of one dimension as links and forms have it; empty for all of it.

    Example:
        >>> node_text("category", "dairy"), node_text("total", "total")
        ('category:dairy', '')
    """
    return "" if level == "total" else f"{level}:{node}"


def scope_arguments(scope: Scope) -> dict[str, str]:
    """Return a node as arguments of a link."""
    return {
        "product": node_text(scope.product_level, scope.product_node),
        "stores": node_text(scope.store_level, scope.store_node),
    }


def run_note(run: RunKey, published_at: str, signed: Signed, row: PredictionId | None = None) -> str:
    """Return which run all numbers of a page are of, and where their lineage is.

    Args:
        run: The run.
        published_at: When, ISO 8601 in UTC.
        signed: Who looks.
        row: The row that a page is about, if it is about one.
    """
    if signed.dagster_url:
        partition = quote(f"{run.prediction_date}|{run.model_version}")
        address = f"{signed.dagster_url.rstrip('/')}/assets/{run.cadence}/published_predictions?partition={partition}"
        lineage = f"{anchor(address, 'lineage in Dagster')}."
    else:
        lineage = f"lineage: <code>{escape(command_line(Action('lineage', on=(str(row or run),))))}</code>"
    return (
        f'<p class="note">All numbers are of <strong>{escape(str(run))}</strong>: version {escape(run.model_version)}, '
        f"as of {run.prediction_date}, revision {run.revision}, published {escape(moment_text(published_at))}; "
        f"{lineage}</p>"
    )


def band_badge(band: object) -> Html:
    """Return a band of risk in its colour, and in words."""
    return Html(f'<span class="band {escape(str(band))}">{escape(str(band))}</span>')


def units(value: Any, decimals: int = 1) -> str:
    """Return units as planners read them.

    Example:
        >>> units(1234.56), units(None)
        ('1,234.6', '')
    """
    return "" if value is None else f"{float(value):,.{decimals}f}"


def share(value: Any) -> str:
    """Return a probability as planners read it.

    Example:
        >>> share(0.856), share(None)
        ('86%', '')
    """
    return "" if value is None else f"{float(value):.0%}"


def suggestions(nodes: Mapping[str, Sequence[str]]) -> str:
    """Return what fields of nodes suggest.

    Args:
        nodes: As LEVEL:NODE, by the name of the field.
    """
    return "".join(
        f'<datalist id="{name}-nodes">{"".join(f"<option>{escape(each)}</option>" for each in of)}</datalist>'
        for name, of in nodes.items()
    )


# --- the worklist ---


def worklist_form(asked: Mapping[str, str], planners: Sequence[str]) -> str:
    """Return the filters; they make a link."""
    fields = [
        FormField("product", "Products (level:node)", asked.get("product", ""), suggestions="product-nodes"),
        FormField("stores", "Stores (level:node)", asked.get("stores", ""), suggestions="stores-nodes"),
        FormField("band", "Risk reaches", asked.get("band", ""), choices=("", *RISK_BANDS)),
        FormField("flag", "Quality flag", asked.get("flag", ""), choices=("", *QUALITY_FLAGS)),
        FormField("planner", "Overridden by", asked.get("planner", ""), choices=("", *planners)),
    ]
    return html_form(WORKLIST, fields, "Show")


def saved_filters_section(saved: Mapping[str, Mapping[str, str]], asked: Mapping[str, str], signed: Signed) -> str:
    """Return the filters that somebody has saved, as links, and the forms that save this one and delete others.

    Args:
        saved: Fields of each, by its name.
        asked: Filters as the link has them.
        signed: Who looks.
    """
    links = [
        f'<a href="{escape(link(WORKLIST, **fields))}"{_HERE if dict(fields) == dict(asked) else ""}>{escape(name)}</a>'
        for name, fields in saved.items()
    ]
    listed = f'<nav class="saved" aria-label="Saved filters">Saved filters: {" ".join(links)}</nav>' if links else ""
    token = f'<input type="hidden" name="token" value="{escape(signed.token)}">'
    same = "".join(
        f'<input type="hidden" name="{name}" value="{escape(asked[name])}">' for name in FILTER_FIELDS if name in asked
    )
    save = (
        f'<form class="ask" method="post" action="{FILTERS}">{token}{same}<label>Name of this filter '
        f'<input name="name" maxlength="60" required autocomplete="off"></label>'
        '<button class="quiet">Save</button></form>'
    )
    choices = "".join(f"<option>{escape(name)}</option>" for name in saved)
    delete = (
        f'<form class="ask" method="post" action="{FILTERS}">{token}{same}<label>Saved filter '
        f'<select name="delete">{choices}</select></label><button class="quiet">Delete</button></form>'
        if saved
        else ""
    )
    return f"{listed}<details><summary>Save this filter, or delete one</summary>{save}{delete}</details>"


def worklist_section(found: Worklist, asked: Mapping[str, str], page: int, signed: Signed) -> str:
    """Return the lines of one page of the worklist.

    Args:
        found: The lines.
        asked: Filters as the link has them.
        page: Which page, from 1.
        signed: Who looks.
    """
    has_prices = found.without_price < found.found
    filters = {name: value for name, value in asked.items() if name != "page"}
    worth = "" if not has_prices else f", worth {units(found.lost_value, 0)} at the newest known prices"
    without = ""
    if found.without_price and has_prices:
        without = f" {counted(found.without_price, 'line')} without a known price count 1 a unit in the order."
    elif not has_prices:
        without = " No price is known of them, so they are ordered by units alone."
    summary = (
        f"<p>{counted(found.found, 'series', 'series')} at risk: {units(found.lost_units)} units are expected to be "
        f"lost over {found.run.forecast_horizon} days{worth}.{escape(without)}</p>"
    )
    if not found.found:
        return f"<p>Nothing is at risk here.</p>{run_note(found.run, found.published_at, signed)}"
    has_planners = bool((found.lines["planners"] != "").any())
    head = [
        "SKU and store", "risk", "worst day", "chance", "lost that day", f"lost in {found.run.forecast_horizon} days",
        *(["value"] if has_prices else []), *(["overridden by"] if has_planners else []),
    ]  # fmt: skip
    rows = found.lines.rows(named=True)
    lines = [_line(row, has_prices=has_prices, has_planners=has_planners) for row in rows]
    caption = "Units; the greatest expected loss first. Chance, and the reason below each line, are of the worst day."
    return "\n".join(
        (
            summary,
            f"<p>{anchor(link(WORKLIST_CSV, **filters), 'Export all of them as CSV')}</p>",
            html_table(head, lines, caption, below=[_reason(row) for row in rows]),
            _paging(found, filters, page),
            run_note(found.run, found.published_at, signed),
        )
    )


def _line(row: Mapping[str, Any], *, has_prices: bool, has_planners: bool) -> list[object]:
    address = link(SERIES, store=row["store_id"], sku=row["sku_id"])
    return [
        anchor(address, f"{row['sku_id']} in {row['store_id']}"),
        band_badge(row["risk_band"]),
        Html(f"<time>{row['target_date']}</time>"),
        share(row["stockout_probability"]),
        units(row["day_lost_units"]),
        units(row["lost_units"]),
        *(["no price" if row["lost_value"] is None else round(row["lost_value"])] if has_prices else []),
        *([row["planners"]] if has_planners else []),
    ]


def _reason(row: Mapping[str, Any]) -> Html:
    flags = str(row["quality_flags"]).replace(";", ", ").replace("_", " ")
    small = f'<span class="small">{escape(flags)}</span>' if flags else ""
    return Html(f"{escape(str(row['risk_reason']))}{small}")


def _paging(found: Worklist, filters: Mapping[str, str], page: int) -> str:
    last = -(-found.found // PAGE_LINES)
    if last < 2:  # noqa: PLR2004 - one page needs no other
        return ""
    parts = [f"<span>Page {page:,} of {last:,}</span>"]
    if page > 1:
        parts.insert(0, anchor(link(WORKLIST, **filters, page=page - 1), "Previous"))
    if page < last:
        parts.append(anchor(link(WORKLIST, **filters, page=page + 1), "Next"))
    return f'<nav class="pages" aria-label="Pages">{"".join(parts)}</nav>'


def worklist_csv(found: Worklist) -> bytes:
    """Return lines as CSV that a spreadsheet may open: no text in it is a formula."""
    run = found.run
    lines = found.lines.select(
        pl.lit(str(run)).alias("run"),
        "store_id",
        "sku_id",
        "risk_band",
        "target_date",
        "stockout_probability",
        "day_lost_units",
        "lost_units",
        "forecast_units",
        "unit_price",
        "lost_value",
        "quality_flags",
        "planners",
        "risk_reason",
        "forecast_reason",
    )
    return without_formulas(lines, lines.columns).write_csv().encode()
