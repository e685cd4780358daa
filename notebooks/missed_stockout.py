"""The story of an empty shelf: what was published, ordered and said before, what came, and why it was not prevented.

What belongs here: showing what operations.missed_stockouts finds. What does not: its rules, or writing anything.

    marimo run notebooks/missed_stockout.py
    marimo export html notebooks/missed_stockout.py -o missed.html -- --store S-01 --sku FOOD-0001 --day 2025-06-30
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="A missed stock-out")


@app.cell
def _():
    from datetime import date

    import marimo as mo
    import polars as pl

    from forecast_assets import plots
    from forecast_assets.operations import missed_stockouts, overrides, reading
    from forecast_assets.presentation import notebook
    from resources.orchestration.markdown import literal

    return date, literal, missed_stockouts, mo, notebook, overrides, pl, plots, reading


@app.cell
def _(mo):
    asked = mo.cli_args().to_dict()
    return (asked,)


@app.cell
def _(notebook):
    stores, runs = notebook.open_published()
    return runs, stores


@app.cell
def _(asked, notebook, overrides, runs, stores):
    usual = {"version": notebook.or_stop(lambda: overrides.newest_run(stores)).key.model_version}
    versions = sorted({run.key.model_version for run in runs.values() if run.key.cadence == "daily"})
    version_choice = notebook.choose(
        {**usual, **asked}, "version", versions, "There is no daily run of `{}`.", label="model version"
    )
    return (version_choice,)


@app.cell
def _(asked, date, missed_stockouts, notebook, stores, version_choice):
    version = notebook.chosen(version_choice, "version")
    shelves = missed_stockouts.empty_shelves(stores, version)
    names = {
        f"{sku} in {store} on {day}": (store, sku, day)
        for store, sku, day in shelves.select("store_id", "sku_id", "event_date").iter_rows()
    }
    begin = {}
    if {"store", "sku", "day"} <= asked.keys():
        # Older days than are looked for can be asked for.
        begin = {"shelf": f"{asked['sku']} in {asked['store']} on {asked['day']}"}
        try:
            day_asked = date.fromisoformat(str(asked["day"]))
        except ValueError:
            notebook.stop("A day is written as 2025-07-01.", "danger")
        names.setdefault(begin["shelf"], (str(asked["store"]), str(asked["sku"]), day_asked))
    if not names:
        notebook.stop(
            f"No shelf was empty on the newest {missed_stockouts.LOOKED_DAYS} days with sales that a daily run of "
            f"`{version}` had looked at before. Run earlier dates (`forecast-assets run`), or wait for sales. "
            "On the demonstration: `docs/planning.md`."
        )
    shelf_choice = notebook.choose(begin, "shelf", names, "No empty shelf is `{}`.", label="empty shelf", named=10)
    return shelf_choice, shelves, version


@app.cell
def _(missed_stockouts, notebook, shelf_choice, stores, version):
    shelf = notebook.chosen(shelf_choice, "shelf")
    found = notebook.or_stop(lambda: missed_stockouts.missed_stockout(stores, *shelf, version))
    return (found,)


@app.cell
def _(found, literal, missed_stockouts, mo, pl, plots, shelf_choice, version_choice):
    parts = pl.DataFrame(found.parts).with_columns(pl.col("units", "put_down_units").cast(pl.Float64))
    put_down = parts.filter(pl.col("put_down_units") > 0).select(
        pl.col("cause").alias("name"), pl.col("put_down_units").alias("value"), pl.lit(value=False).alias("is_total")
    )
    whole = pl.DataFrame({"name": ["missed"], "value": [found.balance.missed], "is_total": [True]})
    mo.vstack(
        [
            mo.md(f"# Why {literal(found.sku_id)} in {literal(found.store_id)} ran out on {found.day}"),
            mo.hstack([version_choice, shelf_choice], justify="start"),
            mo.plain_text(missed_stockouts.missed_words(found)),
            mo.image(
                plots.waterfall_png(pl.concat([put_down, whole]), "units"), alt="what it is put down to", width="100%"
            ),
            mo.ui.table(parts, selection=None),
        ]
    )
    return (parts,)


@app.cell
def _(found, mo, pl):
    of = found.balance
    balance = pl.DataFrame(
        [
            ("missed: demand taken to have met an empty shelf", of.missed),
            ("sold", of.sold),
            ("forecast by the model", of.model),
            ("forecast as published", of.published),
            ("on hand at the end of the run's day, as it knew", of.known),
            ("open orders due by the day", of.expected),
            ("orders received", of.received),
            ("left at the end of the day", of.left),
            ("spare: counted on beyond the forecast", found.spare_units),
        ],
        schema={"units over these days": pl.String, "units": pl.Float64},
        orient="row",
    )
    lead = "unknown" if found.lead_time_days is None else f"{found.lead_time_days:g} days"
    mo.vstack(
        [
            mo.md("## What was counted on, and what came"),
            mo.md(
                f"Run `{found.run}` is judged: the last one after which an order would have come in time. Lead time: "
                f"{lead}. The rules are in docs/planning.md."
            ),
            mo.ui.table(balance, selection=None),
            mo.ui.table(found.days, selection=None),
        ]
    )
    return (balance,)


@app.cell
def _(found, mo, plots, reading, stores):
    judged = stores.predictions.publication(found.run)
    past = reading.series_history(stores, judged, found.store_id, found.sku_id, days=84)
    came = reading.series_after(stores, judged, found.store_id, found.sku_id)
    forecast = reading.one_series(stores, judged, "forecasts", found.store_id, found.sku_id)
    mo.vstack(
        [
            mo.image(
                plots.history_and_fan_png(past, forecast, came), alt="sales, stock-outs and forecast", width="100%"
            ),
            mo.md("## What was published of that day before"),
            mo.ui.table(found.vintages, selection=None),
        ]
    )
    return


@app.cell
def _(found, mo):
    mo.vstack(
        [
            mo.md("## Orders"),
            mo.ui.table(found.orders, selection=None) if found.orders.height else mo.md("No order was on its way."),
            mo.md("## Overrides and rules in that run"),
            mo.ui.table(found.overrides, selection=None) if found.overrides.height else mo.md("None moved these days."),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
