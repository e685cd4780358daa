"""Pages on which people ask why a published number is what it is, and what it would be otherwise.

What belongs here: what stands on these pages, and their forms. What does not: answering, or who may ask.

They work without a script and by keyboard alone: every question is a form that makes a link, every picture has its
numbers in a table beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final
from urllib.parse import urlencode

import polars as pl

from forecast_assets.plots import history_and_fan_png
from forecast_assets.plots.drivers import driver_steps, waterfall_png
from forecast_assets.presentation.pages import html_image, html_page, html_section, html_table
from forecast_assets.serving.dataplane.comparing import PredictionsCompared
from forecast_assets.serving.dataplane.predicting import Predicted
from forecast_assets.serving.dataplane.published import Explained, Vintages

SUPPORT: Final = "/support"
EXPLORE: Final = "/explore"
FORM_STYLE: Final = """
form.ask { display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: end; margin: 1rem 0; }
form.ask label { display: grid; gap: .2rem; font-size: 13px; }
input, select, button { font: inherit; padding: .3rem .5rem; }
button { background: #0b5cad; color: #fff; border: 0; border-radius: 4px; padding: .45rem .9rem; }
:focus-visible { outline: 3px solid #d55e00; outline-offset: 2px; }
a { color: #0b5cad; } caption { text-align: left; color: #55636f; padding-bottom: .3rem; }
.skip { position: absolute; left: -999px; } .skip:focus { left: 1rem; }
""".strip()


@dataclass(frozen=True)
class FormField:
    """A field of a form.

    Attributes:
        name: As the link has it.
        label: As people read it.
        value: What stands in it.
        kind: Type of the input, such as `text`, `date` or `number`.
        choices: What can be chosen; empty where anything may be written.
        is_required: Whether it has to be filled.
        suggestions: Id of the list with what may be written, where there is one on the page.
    """

    name: str
    label: str
    value: str = ""
    kind: str = "text"
    choices: Sequence[str] = ()
    is_required: bool = False
    suggestions: str = ""


def html_form(action: str, fields: Sequence[FormField], button: str) -> str:
    """Return a form that makes a link."""
    inputs = "\n".join(_field(field) for field in fields)
    return (
        f'<form class="ask" method="get" action="{escape(action)}">\n{inputs}\n<button>{escape(button)}</button></form>'
    )


def _field(field: FormField) -> str:
    required = " required" if field.is_required else ""
    if field.choices:
        options = "".join(
            f"<option{' selected' if choice == field.value else ''}>{escape(choice)}</option>"
            for choice in field.choices
        )
        inner = f'<select name="{field.name}">{options}</select>'
    else:
        step = ' step="any"' if field.kind == "number" else ""
        suggested = f' list="{field.suggestions}"' if field.suggestions else ""
        inner = (
            f'<input name="{field.name}" type="{field.kind}"{step} value="{escape(field.value)}"'
            f' autocomplete="off"{suggested}{required}>'
        )
    return f"<label>{escape(field.label)} {inner}</label>"


def asking_page(title: str, *parts: str) -> str:
    """Return a page with forms."""
    body = "\n".join(part for part in parts if part)
    skip = '<a class="skip" href="#answer">Skip to the answer</a>'
    return html_page(title, f"{skip}\n<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>", style=FORM_STYLE)


def warning(text: str) -> str:
    """Return something that people must not overlook; a screen reader says it at once."""
    return f'<p class="warning" role="alert">{escape(text)}</p>'


def support_form(asked: Mapping[str, str]) -> str:
    """Return the form that asks for every forecast of one day of one series."""
    fields = [
        FormField("store_id", "Store", asked.get("store_id", ""), is_required=True),
        FormField("sku_id", "SKU", asked.get("sku_id", ""), is_required=True),
        FormField("target_date", "Day", asked.get("target_date", ""), "date", is_required=True),
        FormField("cadence", "Runs", asked.get("cadence", "daily"), choices=("daily", "weekly")),
    ]
    return html_form(SUPPORT, fields, "Show every forecast of it")


def vintages_section(asked: Mapping[str, str], found: Vintages) -> str:
    """Return every published forecast of a day, with what came, and a choice of two to compare."""
    rows = found.rows.iter_rows(named=True)
    names = found.rows["prediction_id"].to_list()
    first, second = asked.get("first", names[0]), asked.get("second", names[-1])
    head = ("from", "to", "predicted on", "version", "days ahead", "forecast", "80% between", "expected sales",
            "stock-out risk", "published")  # fmt: skip
    lines = "\n".join(_vintage(row, first, second, asked) for row in rows)
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(asked[name])}">'
        for name in ("store_id", "sku_id", "target_date", "cadence")
        if asked.get(name)
    )
    table = (
        f'<form method="get" action="{SUPPORT}#why">{hidden}<div class="wide"><table>\n'
        f"<caption>Units; the earliest first. Choose two to see why they differ.</caption>\n"
        f"<tr>{columns}</tr>\n{lines}\n</table></div>\n<button>Why do these two differ?</button></form>"
    )
    came = "Nothing is known yet of what was sold." if found.sales_units is None else _came(found)
    return html_section(f"Every forecast of {asked['target_date']}", came, table)


def _vintage(row: Mapping[str, Any], first: str, second: str, asked: Mapping[str, str]) -> str:
    name = row["prediction_id"]
    link = escape(f"{SUPPORT}?{urlencode({**asked, 'prediction_id': name})}#explained")
    choices = "".join(
        f'<td><input type="radio" name="{field}" value="{escape(name)}" aria-label="{word} {escape(name)}"'
        f"{' checked' if name == chosen else ''}></td>"
        for field, chosen, word in (("first", first, "compare from"), ("second", second, "compare to"))
    )
    probability = row["stockout_probability"]
    cells = (
        f"{row['step']}",
        units(row["forecast_units"]),
        f"{units(row['q100_units'])} and {units(row['q900_units'])}",
        units(row["expected_sales_units"]),
        "" if probability is None else f"{float(probability):.0%} ({row['risk_band']})",
        str(row["published_at"])[:16].replace("T", " "),
    )
    rest = "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells)
    day = f'<td><a href="{link}">{row["prediction_date"]}</a></td>'
    return f"<tr>{choices}{day}<td>{escape(row['model_version'])} r{row['revision']}</td>{rest}</tr>"


def _came(found: Vintages) -> str:
    share = found.out_of_stock_share
    empty = "" if not share else f"; the shelf was empty for {share:.0%} of the trading hours"
    return f"Sold that day: {units(found.sales_units)} units{empty}."


def explained_section(found: Explained) -> str:
    """Return all that is published of one row: its words, its drivers, and what it was made from."""
    words = [
        f"<p>{escape(str(text))}</p>"
        for text in (found.explanation["forecast_reason"], found.explanation["risk_reason"])
        if text
    ]
    run = found.run
    made = [("run", run.run), ("ledger entry", f"{run.ledger_sequence}"), ("published at", run.published_at)]
    return (
        '<div id="explained"></div>'
        + html_section(
            "Why it is what it is",
            found.prediction_id,
            *words,
            *drivers_shown(found.explanation),
        )
        + html_section(
            "What it was made from",
            "Hashes of what it was made from: `lineage` follows them further, `replay` makes the number again.",
            html_table(("what", "which"), [*made, *found.made_from.items()]),
        )
    )


def drivers_shown(explanation: Mapping[str, Any]) -> tuple[str, str]:
    """Return how drivers add up from the usual day to expected sales: a picture, and its numbers."""
    steps = driver_steps(explanation)
    rows = [(row["name"], units(row["value"])) for row in steps.iter_rows(named=True)]
    picture = html_image(waterfall_png(steps, "units"), "drivers from the usual day to expected sales")
    return picture, html_table(("driver", "units"), rows)


def compared_section(found: PredictionsCompared) -> str:
    """Return why two predictions of one day differ: in words, by cause, and what of their inputs differs."""
    causes = list(dict.fromkeys(name for figure in found.figures.values() for name in figure.causes["cause"]))
    by_figure = {name: dict(figure.causes.iter_rows()) for name, figure in found.figures.items()}
    rows = [
        ("before", *(_exact(figure.before) for figure in found.figures.values())),
        *((cause, *(_exact(by_figure[name].get(cause, 0)) for name in found.figures)) for cause in causes),
        ("after", *(_exact(figure.after) for figure in found.figures.values())),
    ]
    tables = [
        ("What each cause moved", found.parts),
        ("Inputs that differ", found.inputs),
        ("Features that differ", found.features),
        ("Published columns that differ", found.outputs),
    ]
    details = [_folded(title, frame) for title, frame in tables if frame.height]
    versions = found.versions and html_table(("what else", "before", "after"), found.versions)
    return '<div id="why"></div>' + html_section(
        "Why these two differ",
        found.words,
        *(warning(text) for text in found.warnings),
        html_image(waterfall_png(_steps_between(found), "units"), "the difference by cause"),
        html_table(("cause", *(name.replace("_", " ") for name in found.figures)), rows),
        *details,
        versions or "",
    )


def _folded(title: str, frame: pl.DataFrame) -> str:
    table = html_table(frame.columns, frame.rows())
    return f"<details><summary>{escape(title)} ({frame.height})</summary>{table}</details>"


def _steps_between(found: PredictionsCompared) -> pl.DataFrame:
    figure = found.figures["forecast_units"]
    steps = [
        ("before", figure.before, True),
        *((cause, units, False) for cause, units in figure.causes.iter_rows()),
        ("after", figure.after, True),
    ]
    return pl.DataFrame(
        [(name, float(value), is_total) for name, value, is_total in steps],
        schema={"name": pl.String, "value": pl.Float64, "is_total": pl.Boolean},
        orient="row",
    )


def _exact(value: Any) -> str:
    return f"{float(value):,.6f}"


def fan_section(history: pl.DataFrame, forecast: pl.DataFrame, came: pl.DataFrame, run: str) -> str:
    """Return the past of a series, the forecast of a run with its quantiles, and what came."""
    picture = html_image(history_and_fan_png(history, forecast, came), "past sales, forecast and what came")
    return html_section("The series", f"As {run} saw it, and what came.", picture)


def units(value: Any) -> str:
    """Return units as people read them.

    Example:
        >>> units(1234.5), units(None)
        ('1,234.50', '')
    """
    return "" if value is None else f"{float(value):,.2f}"


# --- a sandbox ---


def explore_form(asked: Mapping[str, str]) -> str:
    """Return the form of a what-if: what would be other of one series; what is left empty stays."""
    fields = [
        FormField("store_id", "Store", asked.get("store_id", ""), is_required=True),
        FormField("sku_id", "SKU", asked.get("sku_id", ""), is_required=True),
        FormField("version", "Version or channel", asked.get("version", "champion"), is_required=True),
        FormField("on_hand", "On hand, units", asked.get("on_hand", ""), "number"),
        FormField("order_day", "An order arrives on", asked.get("order_day", ""), "date"),
        FormField("order_units", "and brings, units", asked.get("order_units", ""), "number"),
        FormField("price_ratio", "Price over list price", asked.get("price_ratio", ""), "number"),
        FormField("promotion", "Promotion", asked.get("promotion", ""), choices=("", "yes", "no")),
        FormField("from_day", "from", asked.get("from_day", ""), "date"),
        FormField("to_day", "to", asked.get("to_day", ""), "date"),
    ]
    return html_form(EXPLORE, fields, "What would it be?")


def explored_section(
    published: pl.DataFrame, predicted: Predicted, past: pl.DataFrame, published_risks: pl.DataFrame
) -> str:
    """Return what a series would be, beside what is published of it.

    Args:
        published: Its rows of `forecasts`.
        predicted: The answer about the one series.
        past: As `series_history` has it.
        published_risks: Its rows of `stockout_risks`.
    """
    made = predicted.forecasts.sort("step")
    together = (
        made.select("step", "target_date", "forecast_units", "expected_sales_units")
        .join(predicted.risks.select("step", "stockout_probability", "risk_band"), on="step")
        .join(published.select("step", was="forecast_units"), on="step")
        .join(published_risks.select("step", risk_was="stockout_probability"), on="step")
        .sort("step")
    )
    rows = [
        (
            row["step"],
            row["target_date"],
            units(row["was"]),
            units(row["forecast_units"]),
            units(row["forecast_units"] - row["was"]),
            units(row["expected_sales_units"]),
            _share(row["risk_was"]),
            f"{_share(row['stockout_probability'])} ({row['risk_band']})",
        )
        for row in together.iter_rows(named=True)
    ]
    head = ("days ahead", "day", "published", "would be", "difference", "would sell", "risk published", "risk would be")
    picture = html_image(history_and_fan_png(past, made), "past sales, and what the forecast would be")
    most = together.sort((pl.col("forecast_units") - pl.col("was")).abs(), descending=True, maintain_order=True)
    shown = predicted.explanations.filter(step=most["step"][0]).row(0, named=True)
    total = float(together.select((pl.col("forecast_units") - pl.col("was")).sum()).item())
    more = "more" if total >= 0 else "less"
    words = f"Over {len(rows)} days {units(abs(total))} units {more} than published, by {predicted.run.run}."
    held = f"Held at the published run: {', '.join(predicted.held)}." if predicted.held else ""
    return html_section(
        "What it would be",
        words,
        *(warning(text) for text in predicted.warnings),
        picture,
        html_table(head, rows),
    ) + html_section(
        f"Why, on {shown['target_date']}",
        str(shown["forecast_reason"]),
        *drivers_shown(shown),
        held and f'<p class="note">{escape(held)}</p>',
    )


def _share(value: Any) -> str:
    return "" if value is None else f"{float(value):.0%}"
