"""One SKU in one store: its past, what is forecast and why, the risk and its words, and what it was made from.

What belongs here: reading published products and showing them. What does not: computing or writing anything.

    marimo run notebooks/series_story.py
    marimo export html notebooks/series_story.py -o story.html -- --run daily/2025-06-30/stat-1/28/r0 --step 3
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="One series")


@app.cell
def _():
    import marimo as mo
    import polars as pl

    from forecast_assets import plots
    from forecast_assets.operations import reading
    from forecast_assets.presentation import notebook
    from resources.orchestration.markdown import literal

    return literal, mo, notebook, pl, plots, reading


@app.cell
def _(mo):
    asked = mo.cli_args().to_dict()
    return (asked,)


@app.cell
def _(asked, notebook):
    stores, run_choice = notebook.open_runs(asked)
    return run_choice, stores


@app.cell
def _(notebook, reading, run_choice, stores):
    publication = notebook.chosen(run_choice, "run")
    series = reading.scan_product(stores, publication, "forecasts").select("store_id", "sku_id").unique().collect()
    return publication, series


@app.cell
def _(asked, notebook, series):
    store_names = series["store_id"].unique().sort().to_list()
    store_choice = notebook.choose(asked, "store", store_names, "There is no store `{}` in this run.", named=10)
    return (store_choice,)


@app.cell
def _(asked, notebook, series, store_choice):
    sku_names = series.filter(store_id=notebook.chosen(store_choice, "store"))["sku_id"].sort().to_list()
    sku_choice = notebook.choose(asked, "sku", sku_names, "There is no SKU `{}` in that store.", label="SKU", named=10)
    return (sku_choice,)


@app.cell
def _(asked, mo, publication):
    last = publication.key.forecast_horizon
    first_step = min(max(int(asked.get("step", 1)), 1), last)
    step_choice = mo.ui.slider(1, last, value=first_step, label="day ahead", show_value=True, debounce=True)
    return (step_choice,)


@app.cell
def _(notebook, pl, publication, reading, sku_choice, step_choice, store_choice, stores):
    store_id, sku_id = store_choice.value, notebook.chosen(sku_choice, "SKU")

    def of_series(product):
        """Rows of one product of the chosen series, by step."""
        rows = reading.scan_product(stores, publication, product)
        return rows.filter(pl.col("store_id") == store_id, pl.col("sku_id") == sku_id).sort("step").collect()

    forecast, risks, reasons = map(of_series, ("forecasts", "stockout_risks", "forecast_explanations"))
    history = reading.series_history(stores, publication, store_id, sku_id, days=182)
    actuals = reading.series_after(stores, publication, store_id, sku_id)
    day = {
        name: frame.row(step_choice.value - 1, named=True)
        for name, frame in (("forecast", forecast), ("risk", risks), ("reason", reasons))
    }
    return actuals, day, forecast, history, reasons, risks, sku_id, store_id


@app.cell
def _(forecast, literal, mo, publication, run_choice, sku_choice, sku_id, step_choice, store_choice, store_id):
    kind = forecast.row(0, named=True)
    mo.vstack(
        [
            mo.md(f"# {literal(sku_id)} in {literal(store_id)}"),
            mo.hstack([run_choice, store_choice, sku_choice], justify="start"),
            step_choice,
            mo.md(
                f"Run `{publication.key}`, ledger entry {publication.sequence}, version "
                f"**{publication.key.model_version}**. A *{kind['demand_class']}* series, forecast by "
                f"{kind['model_used']}{' (stands in for a model that failed)' if kind['is_fallback'] else ''}."
            ),
        ]
    )
    return


@app.cell
def _(actuals, forecast, history, mo, plots):
    known = (
        f"Of the {forecast.height} days ahead, {actuals.height} have come."
        if actuals.height
        else "No day ahead has come."
    )
    fan = plots.history_and_fan_png(history.tail(84), forecast, actuals)
    mo.vstack(
        [
            mo.md("## What sold, and what is expected"),
            mo.image(fan, alt="sales, stock-outs and forecast", width="100%"),
            mo.md(
                f"{history['is_stockout'].sum() or 0} of the last {history.height} days were out of stock for some of "
                f"the day: sales of those days bound demand from below. {known}"
            ),
        ]
    )
    return


@app.cell
def _(day, mo, plots, reasons):
    drivers = plots.driver_steps(day["reason"])
    mo.vstack(
        [
            mo.md(f"## Why: {day['forecast']['target_date']:%A %d %B %Y}"),
            mo.md(f"> {day['reason']['forecast_reason']}."),
            mo.image(plots.waterfall_png(drivers, "units"), alt="drivers of the day", width="100%"),
            mo.md(f"Not computed: {day['reason']['not_computed'] or 'nothing is missing'}."),
            mo.md("The same for every day ahead: what adds stands on the usual day, what takes away hangs from it."),
            mo.image(plots.drivers_png(reasons), alt="drivers of all days", width="100%"),
        ]
    )
    return (drivers,)


@app.cell
def _(day, mo, pl, plots, risks):
    parts = [
        (name.removesuffix("_probability").replace("_", " "), 100 * float(day["risk"][name]), False)
        for name in risks.columns
        if name.endswith("_probability") and name != "stockout_probability" and day["risk"][name] is not None
    ]
    is_known = day["risk"]["stockout_probability"] is not None
    whole = [("risk", 100 * float(day["risk"]["stockout_probability"]), True)] if is_known else []
    risk_steps = pl.DataFrame([*parts, *whole], schema=["name", "value", "is_total"], orient="row")
    picture = (
        mo.image(plots.waterfall_png(risk_steps, "probability (%)"), alt="parts of the risk", width="100%")
        if is_known
        else mo.md("The risk of this day is unknown.")
    )
    words = day["reason"]["risk_reason"]
    mo.vstack([mo.md(f"## Risk of running out: {day['risk']['risk_band']}"), mo.md(f"> {words}."), picture])
    return (risk_steps,)


@app.cell
def _(mo, publication, stores):
    lineage = [
        {"product": product.product, "version": product.version, "made for": product.key, "code": product.code_version}
        for product in stores.predictions.lineage(publication.products.values())
    ]
    mo.vstack([mo.md("## What it was made from"), mo.ui.table(lineage, selection=None)])
    return (lineage,)


@app.cell
def _(forecast, mo, reasons, risks):
    days = forecast.select("step", "target_date", "forecast_units", "expected_sales_units").with_columns(
        risks["stockout_probability"], risks["risk_band"], reasons["forecast_reason"], reasons["risk_reason"]
    )
    mo.vstack([mo.md("## Every day ahead"), mo.ui.table(days, selection=None)])
    return (days,)


if __name__ == "__main__":
    app.run()
