"""Why forecasts differ between two published runs: in all, by series, and of one series day by day.

What belongs here: asking for causes and showing them. What does not: making or writing anything.

    marimo run notebooks/why_it_changed.py
    marimo export html notebooks/why_it_changed.py -o why.html -- --before daily/2025-06-29/stat-1/28/r0
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Why it changed")


@app.cell
def _():
    import marimo as mo
    import polars as pl

    from forecast_assets import plots
    from forecast_assets.operations.attributing import attribute_runs
    from forecast_assets.operations.change_wording import change_words
    from forecast_assets.operations.reading import published_runs
    from forecast_assets.presentation import notebook

    return attribute_runs, change_words, mo, notebook, pl, plots, published_runs


@app.cell
def _(mo):
    asked = mo.cli_args().to_dict()
    return (asked,)


@app.cell
def _(asked, notebook):
    stores, after_choice = notebook.open_runs({"run": asked["after"]} if "after" in asked else {})
    return after_choice, stores


@app.cell
def _(asked, notebook, published_runs, stores):
    runs = published_runs(stores)
    # The run before the newest is what people ask about.
    usual = {"before": [*runs][min(1, len(runs) - 1)]}
    before_choice = notebook.choose({**usual, **asked}, "before", runs, "`{}` is not published.")
    return (before_choice,)


@app.cell
def _(after_choice, before_choice, mo):
    mo.hstack([before_choice, after_choice])
    return


@app.cell
def _(after_choice, attribute_runs, before_choice, mo, notebook, stores):
    before, after = notebook.chosen(before_choice, "run").key, notebook.chosen(after_choice, "run").key
    with mo.status.spinner(title="Forecasting with inputs of both runs"):
        found = attribute_runs(stores, before, after)
    return after, before, found


@app.cell
def _(after, before, change_words, found, mo, pl, plots):
    whole = found.of()
    steps = [
        (str(before), float(whole.before_units), True),
        *((cause.replace("_", " "), float(units), False) for cause, units in whole.causes.iter_rows()),
        (str(after), float(whole.after_units), True),
    ]
    cause_steps = pl.DataFrame(steps, schema=["name", "value", "is_total"], orient="row")
    mo.vstack(
        [
            mo.md(f"# {change_words(before, after, whole)}"),
            mo.md(
                f"{found.common.series.height:,} series on {len(found.common.days)} days that both forecast; "
                f"{sum(found.common.only):,} rows only one of them has."
            ),
            mo.image(plots.waterfall_png(cause_steps, "units"), alt="what moved the forecasts", width="100%"),
            mo.ui.table(whole.parts, selection=None),
        ]
    )
    return (cause_steps,)


@app.cell
def _(found, mo, pl):
    moved = found.by_series().sort(pl.col("change_units").abs(), descending=True)
    mo.vstack(
        [
            mo.md("## Series, those that moved most first"),
            mo.ui.table(moved.with_columns(pl.selectors.decimal().cast(pl.Float64)), selection=None),
        ]
    )
    return (moved,)


@app.cell
def _(asked, moved, notebook):
    names = {f"{sku} in {store}": (store, sku) for store, sku in moved.select("store_id", "sku_id").iter_rows()}
    series_choice = notebook.choose(asked, "series", names, "There is no series `{}` in both.", named=10)
    return (series_choice,)


@app.cell
def _(after, before, change_words, found, mo, notebook, pl, series_choice):
    store_id, sku_id = notebook.chosen(series_choice, "series")
    days = [
        {"day": day, "why": change_words(before, after, found.of(store_id=store_id, sku_id=sku_id, day=day))}
        for day in found.common.days
    ]
    inputs = found.inputs.filter(pl.col("store_id") == store_id, pl.col("sku_id") == sku_id)
    mo.vstack(
        [
            series_choice,
            mo.ui.table(days, selection=None),
            mo.md("Inputs that differ:"),
            mo.ui.table(inputs, selection=None),
        ]
    )
    return days, inputs


if __name__ == "__main__":
    app.run()
