"""What support asks, as text: why a number is what it is, why it changed, forecasts of a day, how the service does.

What belongs here: what is printed of an answer of the data plane. What does not: finding it, or pages (`support`).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

from forecast_assets.core.errors import first_ten
from forecast_assets.plots.drivers import driver_steps
from forecast_assets.presentation.text import plain, table
from forecast_assets.serving.dataplane.answered import ToldOfDay, value_at
from forecast_assets.serving.dataplane.comparing import PredictionsCompared
from forecast_assets.serving.dataplane.published import Explained, Vintages

_ADDRESS: Final = "prediction_id"


def explained_text(found: Explained) -> str:
    """Return all that is published of one row: words, drivers that add up, the numbers, and what it was made from."""
    run = found.run
    words = [str(found.explanation[name]) for name in ("forecast_reason", "risk_reason") if found.explanation.get(name)]
    drivers = [(row["name"], row["value"]) for row in driver_steps(found.explanation).iter_rows(named=True)]
    columns = {**found.forecast, **found.risk}
    numbers = [(name, _plain(value)) for name, value in columns.items() if value is not None and name != _ADDRESS]
    made = [("run", run.run), ("ledger entry", f"{run.ledger_sequence}"), ("published at", run.published_at)]
    return "\n\n".join(
        [
            found.prediction_id,
            *words,
            table(("driver", "units"), drivers, title="How it adds up"),
            table(("column", "value"), numbers, title="Numbers"),
            table(("what", "which"), [*made, *found.made_from.items()], title="What it was made from"),
        ]
    )


def event_text(event: Mapping[str, Any]) -> str:
    """Return a prediction event: who asked what, what was told, and how it came about, step by step."""
    run, caller = event["run"], event["caller"]
    series = first_ten("/".join(each) for each in event["series"])
    lines = [
        f"{event['event_id']}, {event['occurred_at']}: {caller['name']} ({caller['role']}) asked for {event['use']}.",
        f"Of {series}; answered by {run['served_from']} on {run['run']} in {event['milliseconds']:,.0f} ms.",
        *event["warnings"],
    ]
    steps = [(step["name"], float(step["milliseconds"]), step["formula"]) for step in event["steps"]]
    outputs = {name: values for step in event["steps"] for name, values in step["outputs"].items()}
    rows = [
        ("/".join(each), day, *(_told(outputs, name, at * len(event["days"]) + step) for name in _TOLD))
        for at, each in enumerate(event["series"][:_MOST_SERIES])
        for step, day in enumerate(event["days"])
    ]
    return "\n\n".join(
        [
            "\n".join(lines),
            table(("step", "ms", "formula"), steps, title="How it came about"),
            table(("series", "day", *(name.replace("_", " ") for name in _TOLD)), rows, title="What was told"),
            f"All of it, with {len(event['series'])} series, inputs and decomposition: --json.",
        ]
    )


_MOST_SERIES: Final = 3
_TOLD: Final = ("forecast_units", "expected_sales_units", "stockout_probability", "risk_band")


def _told(outputs: Mapping[str, Any], name: str, row: int) -> object:
    return value_at(outputs.get(name), row)


def compared_text(found: PredictionsCompared) -> str:
    """Return why two predictions of one day differ: in words, by cause, and what of their inputs differs."""
    causes = list(dict.fromkeys(name for figure in found.figures.values() for name in figure.causes["cause"]))
    by_figure = {name: dict(figure.causes.iter_rows()) for name, figure in found.figures.items()}
    rows = [
        ("before", *(float(figure.before) for figure in found.figures.values())),
        *((cause, *(float(by_figure[name].get(cause, 0)) for name in found.figures)) for cause in causes),
        ("after", *(float(figure.after) for figure in found.figures.values())),
    ]
    heading = ("cause", *(name.removesuffix("_units").replace("_", " ") for name in found.figures))
    tables = [
        ("What each cause moved", found.parts),
        ("Inputs that differ", found.inputs),
        ("Features that differ", found.features),
        ("Published columns that differ", found.outputs),
    ]
    what = ("what", "before", "after")
    return "\n\n".join(
        [
            f"{found.sku_id} in {found.store_id} on {found.target_date}: {' -> '.join(run.run for run in found.runs)}",
            found.words,
            *found.warnings,
            table(heading, rows, title="By cause"),
            *(table(frame.columns, plain(frame).rows(), title=title) for title, frame in tables if frame.height),
            *([table(what, found.versions, title="What else differs")] if found.versions else []),
        ]
    )


def history_text(found: Vintages, told: ToldOfDay, day: date) -> str:
    """Return every published forecast of a day, what callers were told of it, and what came."""
    rows = [
        (
            row["prediction_date"],
            f"{row['model_version']} r{row['revision']}",
            row["step"],
            float(row["forecast_units"]),
            f"{float(row['q100_units']):,.1f} to {float(row['q900_units']):,.1f}",
            float(row["expected_sales_units"]),
            "" if row["stockout_probability"] is None else f"{float(row['stockout_probability']):.1%}",
            row[_ADDRESS],
        )
        for row in found.rows.iter_rows(named=True)
    ]
    head = (
        "predicted on",
        "version",
        "days ahead",
        "forecast",
        "80% between",
        "expected sales",
        "stock-out risk",
        "id",
    )
    answers = plain(told.rows.select("occurred_at", "caller", "use", "served_from", "forecast_units", "event_id"))
    told_head = ("told at", "to", "use", "served from", "forecast", "event")
    return "\n\n".join(
        [
            table(head, rows, title=f"Every forecast of {day}"),
            *([table(told_head, answers.rows(), title="Told in real time")] if answers.height else []),
            *told.warnings,
            _came(found),
        ]
    )


def _came(found: Vintages) -> str:
    if found.sales_units is None:
        return "Nothing is known yet of what was sold."
    share = found.out_of_stock_share
    empty = f"; the shelf was empty for {share:.0%} of the trading hours" if share else ""
    return f"Sold that day: {found.sales_units:,.2f} units{empty}."


def health_text(state: Mapping[str, Any]) -> str:
    """Return whether questions can be answered, and what is degraded.

    Args:
        state: As `/health/ready` tells it.
    """
    newest = ", ".join(f"{cadence} {day}" for cadence, day in state["newest_prediction_date"].items()) or "none"
    ready = "Ready" if state["is_ready"] else "Not ready"
    lines = [
        f"{ready}; ledger entry {state['ledger_sequence']}; newest runs of the champion: {newest}.",
        *_sentences("not ready", state["reasons"]),
        *_sentences("degraded", state["degraded"]),
    ]
    events = state.get("events")
    if events:
        lines.append(
            f"Prediction events since the service began: {events['recorded']:,} recorded, {events['drained']:,} in "
            f"every sink, {sum(events['dropped'].values()):,} dropped; {events['waiting_bytes']:,} bytes wait."
        )
    return "\n".join(lines)


def _sentences(what: str, words: Sequence[str]) -> list[str]:
    return [f"{what}: {each}" for each in words]


def _plain(value: Any) -> object:
    return float(value) if hasattr(value, "as_tuple") else value
