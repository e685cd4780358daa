"""The page of one series for planners, the pages of nodes, and of what changed.

What belongs here: what stands on these pages. What does not: reading it, or who may look.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import polars as pl

from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.core.overrides import Scope
from forecast_assets.core.wording import counted
from forecast_assets.operations.nodes_ahead import NodeAhead, RunChanges
from forecast_assets.operations.planned_series import SeriesAhead
from forecast_assets.plots import history_and_fan_png
from forecast_assets.plots.drivers import DRIVER_NAMES
from forecast_assets.presentation.pages import Html, html_image, html_section, html_table
from forecast_assets.presentation.planned_overrides import scope_link
from forecast_assets.presentation.planning import (
    NODES,
    OVERRIDE,
    SERIES,
    WORKLIST,
    Signed,
    anchor,
    band_badge,
    link,
    run_note,
    scope_arguments,
    share,
    units,
)
from forecast_assets.presentation.support import drivers_shown
from forecast_assets.serving.dataplane.comparing import PredictionsCompared
from forecast_assets.serving.dataplane.planning import ChangesPage, SeriesPage
from forecast_assets.serving.dataplane.published import Explained, SeriesSeen, Vintages
from resources.ledger.entries.publish import Publication

_STOCK_NAME: Final = "stock-outs"
_BELOW_SHOWN: Final = 100


def series_sections(found: SeriesPage, signed: Signed, overrides: str) -> list[str]:
    """Return all that stands on the page of a series.

    Args:
        found: What is known of it.
        signed: Who looks.
        overrides: The section of overrides, with their form.
    """
    key, line = found.publication.key, found.ahead.line
    store_id, sku_id = str(line["store_id"]), str(line["sku_id"])
    row = PredictionId.parse(found.explained.prediction_id)
    flags = str(line["quality_flags"]).replace(";", ", ").replace("_", " ")
    summary = (
        f"<p>{band_badge(line['risk_band'])} {units(line['lost_units'])} of {units(line['forecast_units'])} units are "
        f"expected to be lost over {key.forecast_horizon} days; the worst day is {line['target_date']}."
        f"{f' Look twice: {escape(flags)}.' if flags else ''}</p>"
    )
    jump = (
        f'<p><a class="button" href="#override">Override it</a> '
        f"{anchor(link(WORKLIST, product='', stores=f'store:{store_id}'), 'all at risk in the store')} &middot; "
        f"{anchor(link(NODES, product=f'sku:{sku_id}'), 'the SKU in all stores')}</p>"
    )
    return [
        summary,
        run_note(key, found.publication.recorded_at, signed, row),
        jump,
        _fan(found.seen, key),
        _why(found.explained, found.day),
        _days(found.ahead, found.day, store_id, sku_id),
        overrides,
        _vintages(found.vintages, found.day),
        _relatives(found.ahead.relatives),
    ]


def _fan(seen: SeriesSeen, key: RunKey) -> str:
    png = history_and_fan_png(seen.past, seen.forecast, seen.came)
    picture = html_image(png, "past sales with days out of stock, forecast with its quantiles, and what came")
    return html_section("Past and forecast", f"As {key} saw it. Shaded days were out of stock.", picture)


def _why(explained: Explained, day: object) -> str:
    told = explained.explanation
    words = [f"<p>{escape(str(told[name]))}</p>" for name in ("forecast_reason", "risk_reason") if told[name]]
    missing = f'<p class="note">Not computed: {escape(str(told["not_computed"]))}.</p>' if told["not_computed"] else ""
    return html_section(f"Why, on {day}", "Another day: choose it below.", *words, missing, *drivers_shown(told))


def _days(ahead: SeriesAhead, shown: object, store_id: str, sku_id: str) -> str:
    days = ahead.days
    has_stock = not days["stock_units"].is_null().all()
    has_price = not days["price_ratio"].is_null().all()
    has_override = bool((days["override_units"] != 0).any())
    head = [
        *("day", "forecast", "80% between"),
        *(["override"] if has_override else []),
        *("would sell", "chance of a stock-out", "lost"),
        *(["arrives", "stock left"] if has_stock else []),
        *(["price / list"] if has_price else []),
        "promotion and events",
    ]
    lines = []
    for row in days.iter_rows(named=True):
        address = link(SERIES, store=store_id, sku=sku_id, day=row["target_date"])
        name = f"{row['target_date']:%a %Y-%m-%d}"
        plans = [*(["promotion"] if row["is_promotion"] else []), *([row["events"]] if row["events"] else [])]
        lines.append(
            [
                Html(f"<strong>{name}</strong>") if row["target_date"] == shown else anchor(f"{address}#why", name),
                units(row["forecast_units"]),
                f"{units(row['q100_units'])} and {units(row['q900_units'])}",
                *([_signed(row["override_units"])] if has_override else []),
                units(row["expected_sales_units"]),
                Html(f"{share(row['stockout_probability'])} {band_badge(row['risk_band'])}"),
                units(row["expected_lost_units"]),
                *([units(row["arriving_units"] or None), units(row["stock_units"])] if has_stock else []),
                *([_ratio(row)] if has_price else []),
                ", ".join(plans),
            ]
        )
    stock = " Stock left is what is expected without further orders; a late order is taken to come tomorrow."
    return html_section("The days ahead", f"Units.{stock if has_stock else ''}", html_table(head, lines))


def _ratio(row: Mapping[str, Any]) -> str:
    if row["price_ratio"] is None:
        return ""
    price = "" if row["unit_price"] is None else f" ({row['unit_price']:,.2f})"
    return f"{row['price_ratio']:.2f}{price}"


def _signed(value: Any) -> str:
    return f"{float(value):+,.1f}" if value else ""


def _vintages(found: Vintages, day: object) -> str:
    lines = [
        (
            row["prediction_date"],
            f"{row['model_version']} r{row['revision']}",
            row["step"],
            units(row["forecast_units"]),
            f"{units(row['q100_units'])} and {units(row['q900_units'])}",
            share(row["stockout_probability"]),
        )
        for row in found.rows.iter_rows(named=True)
    ]
    came = "" if found.sales_units is None else f" Sold that day: {units(found.sales_units)}."
    table = html_table(
        ("predicted on", "version", "days ahead", "forecast", "80% between", "chance of a stock-out"), lines
    )
    return html_section(f"What was said of {day} before", f"Every published forecast of it, the first one first.{came}",
                        table)  # fmt: skip


def _relatives(rows: pl.DataFrame) -> str:
    if rows.is_empty():
        return ""
    lines = [
        (anchor(link(SERIES, store=row["store_id"], sku=row["sku_id"]), row["store_id"]), band_badge(row["risk_band"]),
         units(row["forecast_units"]), units(row["lost_units"]))
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip
    return html_section("The same SKU elsewhere", "Over the horizon; the greatest expected loss first.",
                        html_table(("store", "risk", "forecast", "lost"), lines))  # fmt: skip


# --- nodes ---


def node_sections(published: Publication, found: NodeAhead, signed: Signed) -> list[str]:
    """Return all that stands on the page of a node."""
    key, scope = published.key, found.scope
    way = " &rsaquo; ".join(
        [*(str(scope_link(each)) for each in found.above[:-1]), f"<strong>{escape(str(scope))}</strong>"]
    )
    arguments = scope_arguments(scope)
    change = "" if found.change_units is None else f", {found.change_units:+,.1f} since the run before on common days"
    over = anchor(link(OVERRIDE, **arguments), "Override it")
    summary = (
        f"<p>{counted(found.series, 'series', 'series')}: {units(found.forecast_units)} units over "
        f"{key.forecast_horizon} days{change}; {units(found.sales_units)} would sell, {units(found.lost_units)} are "
        f"expected to be lost.</p><p>{over} &middot; {anchor(link(WORKLIST, **arguments), 'what is at risk here')}</p>"
    )
    parts = [f"<p>{way}</p>" if len(found.above) > 1 else "", summary, run_note(key, published.recorded_at, signed)]
    if found.fan.height:
        png = history_and_fan_png(found.past, found.fan, found.came)
        picture = html_image(png, "past sales of the node, forecast with its quantiles, and what came")
        words = "Of the whole node, a day; the past is what its series sold, also on days without stock."
        parts.append(html_section("Past and forecast", words, picture, _numbers(found)))
    for side, title in (("product", "By product"), ("store", "By store")):
        rows = found.below.filter(side=side)
        if rows.height:
            parts.append(_below(rows, scope, title))
    if scope.is_series:
        address = link(SERIES, store=scope.store_node, sku=scope.product_node)
        parts.append(f"<p>{anchor(address, 'All of this series')}</p>")
    return parts


def _numbers(found: NodeAhead) -> str:
    came = dict(found.came.iter_rows())
    ahead = [
        (row["target_date"], units(row["forecast_units"]), f"{units(row['q100_units'])} and {units(row['q900_units'])}",
         units(row["expected_sales_units"]), units(came.get(row["target_date"])))
        for row in found.fan.iter_rows(named=True)
    ]  # fmt: skip
    past = [(day, units(sold)) for day, sold in found.past.sort("event_date", descending=True).iter_rows()]
    tables = (
        html_table(("day", "forecast", "80% between", "would sell", "sold"), ahead, "Units ahead"),
        html_table(("day", "sold"), past, "Units before, the newest day first"),
    )
    number = len(ahead) + len(past)
    return f"<details><summary>The numbers of the picture ({number})</summary>{''.join(tables)}</details>"


def _below(rows: pl.DataFrame, scope: Scope, title: str) -> str:
    has_change = not rows["change_units"].is_null().all()
    lines = [
        [
            scope_link(_child(scope, row)),
            row["series"],
            units(row["forecast_units"]),
            *([f"{row['change_units']:+,.1f}"] if has_change else []),
            units(row["sales_units"]),
            units(row["lost_units"]),
        ]
        for row in rows.head(_BELOW_SHOWN).iter_rows(named=True)
    ]
    more = f"; the first {_BELOW_SHOWN} of {rows.height:,}" if rows.height > _BELOW_SHOWN else ""
    change = ["change since the run before"] if has_change else []
    words = f"Units over the horizon; the greatest forecast first{more}."
    head = ["node", "series", "forecast", *change, "would sell", "lost"]
    return html_section(f"{title}: {rows['level'][0]}", words, html_table(head, lines))


def _child(scope: Scope, row: Mapping[str, Any]) -> Scope:
    if row["side"] == "product":
        return Scope(row["level"], row["node"], scope.store_level, scope.store_node)
    return Scope(scope.product_level, scope.product_node, row["level"], row["node"])


# --- changes ---


def changes_sections(found: ChangesPage, signed: Signed) -> list[str]:
    """Return all that stands on the page of what changed."""
    published = found.publication
    note = run_note(published.key, published.recorded_at, signed)
    if found.changes is None or found.before is None:
        return [note, "<p>There is no earlier run of this version and horizon to compare it with.</p>"]
    changes = found.changes
    change = changes.after_units - changes.before_units
    gone = [
        f"{counted(number, 'series', 'series')} {words}"
        for number, words in ((changes.only_before, "are gone"), (changes.only_after, "are new"))
        if number
    ]
    summary = (
        f"<p>Since <strong>{escape(str(found.before.key))}</strong>, of the days {changes.first_day} to "
        f"{changes.last_day} that both look at: {units(changes.before_units)} units then, "
        f"{units(changes.after_units)} now ({change:+,.1f}). {escape('; '.join(gone))}</p>"
    )
    return [summary, note, _largest(changes, found.causes)]


def _largest(changes: RunChanges, causes: Sequence[PredictionsCompared]) -> str:
    if changes.largest.is_empty():
        return "<p>No forecast changed.</p>"
    because = {(each.store_id, each.sku_id): each.words for each in causes}
    drivers = {
        (str(store), str(sku)): _driver_words(rows)
        for (store, sku), rows in changes.drivers.group_by("store_id", "sku_id", maintain_order=True)
    }
    lines = []
    for row in changes.largest.iter_rows(named=True):
        name = (row["store_id"], row["sku_id"])
        why = because.get(name)
        said = f"on {row['largest_day']}: {why}" if why else drivers.get(name, "")
        address = link(SERIES, store=row["store_id"], sku=row["sku_id"], day=row["largest_day"])
        lines.append(
            (anchor(address, f"{row['sku_id']} in {row['store_id']}"), units(row["before_units"]),
             units(row["after_units"]), f"{row['change_units']:+,.1f}", row["largest_day"], said)
        )  # fmt: skip
    words = "Units over the common days; what moved most, day by day, first. " + (
        "Why is told of the first ten: by cause on the day of the largest change."
        if because
        else "Why is told of the first ten: by drivers, over all common days. Causes are being worked out; look again "
        "in a few minutes."
    )
    head = ("SKU and store", "before", "now", "change", "largest on", "why")
    return html_section("Largest changes", words, html_table(head, lines))


def _driver_words(rows: pl.DataFrame) -> str:
    largest = rows.sort(pl.col("change_units").abs(), descending=True, maintain_order=True).head(4)
    named = {**DRIVER_NAMES, "stock_units": _STOCK_NAME}
    return ", ".join(
        f"{row['change_units']:+,.1f} {named.get(row['driver'], row['driver'])}"
        for row in largest.iter_rows(named=True)
    )
