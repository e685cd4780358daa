"""From the total down to one SKU in one store: expected demand, expected sales and risk of every node.

What belongs here: reading published products and showing them. What does not: computing forecasts, or writing anything.

    marimo run notebooks/hierarchy_browser.py
    marimo export html notebooks/hierarchy_browser.py -o nodes.html -- --product category=FOOD --store store=S-01
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Hierarchy")


@app.cell
def _():
    import marimo as mo
    import polars as pl

    from forecast_assets import plots
    from forecast_assets.operations import reading
    from forecast_assets.presentation import notebook

    return mo, notebook, pl, plots, reading


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
    places = reading.hierarchy_places(stores, publication)
    risks = reading.scan_product(stores, publication, "stockout_risks").select(
        "store_id", "sku_id", "step", "target_date", "risk_band", "stockout_probability", "expected_lost_units"
    )
    forecasts = reading.scan_product(stores, publication, "forecasts").select(
        "store_id", "sku_id", "step", "forecast_units", "expected_sales_units"
    )
    rows = (
        forecasts.join(risks, on=["store_id", "sku_id", "step"])
        .join(places.lazy(), on=["store_id", "sku_id"])
        .sort("store_id", "sku_id", "step")
        .collect()
    )
    levels = {side: [name for name in places.columns if name.startswith(f"{side}:")] for side in ("product", "store")}
    return levels, publication, rows


@app.cell
def _(asked, mo):
    def place_asked(side):
        """The node that the command line names as level=node; the total otherwise."""
        level, _, node = str(asked.get(side, "total=total")).partition("=")
        return f"{side}:{level}", node

    # Where the reader stands; clicking a row of a table below moves there.
    position, move = mo.state({side: place_asked(side) for side in ("product", "store")})
    return move, position


@app.cell
def _(levels, notebook, position, rows):
    at = position()
    unknown = [
        f"{column.partition(':')[2]}={node}"
        for side, (column, node) in at.items()
        if column not in levels[side] or node not in rows[column]
    ]
    if unknown:
        known = ", ".join(name.partition(":")[2] for names in levels.values() for name in names)
        notebook.stop(f"There is no {', no '.join(unknown)} in this run. Levels: {known}.", "danger")
    below = rows
    for column, node in at.values():
        below = below.filter(**{column: node})
    if below.is_empty():
        notebook.stop("No series belongs to both nodes.")
    return at, below


@app.cell
def _(at, below, levels, mo, move, run_choice):
    def path(side):
        """Buttons that lead from the total to where the reader stands."""
        names = levels[side][: levels[side].index(at[side][0]) + 1]
        return mo.hstack(
            [
                mo.ui.button(
                    label=f"{name.partition(':')[2]} {below[name][0]}"
                    if name.partition(":")[2] != "total"
                    else "total",
                    on_change=lambda _, name=name: move({**at, side: (name, below[name][0])}),
                )
                for name in names
            ],
            justify="start",
        )

    paths = {side: path(side) for side in levels}
    mo.vstack(
        [
            mo.md("# From the total to the shelf"),
            run_choice,
            mo.hstack([mo.md("products"), paths["product"]], justify="start"),
            mo.hstack([mo.md("stores"), paths["store"]], justify="start"),
        ]
    )
    return


@app.cell
def _(below, mo, pl, plots, publication):
    days = below.group_by("target_date").agg(pl.col("forecast_units", "expected_sales_units").sum()).sort("target_date")
    series_count = below.select("store_id", "sku_id").n_unique()
    urgent = below.filter(pl.col("risk_band").is_in(["high", "critical"])).select("store_id", "sku_id").n_unique()
    mo.vstack(
        [
            mo.md(
                f"Run `{publication.key}`: **{below['forecast_units'].sum():,.0f}** units expected to be asked for, "
                f"**{below['expected_sales_units'].sum():,.0f}** to be sold, over {days.height} days and "
                f"{series_count:,} SKU-stores; {urgent:,} of them have a day of high or critical risk."
            ),
            mo.image(plots.node_png(days), alt="expected demand and sales", width="100%"),
            mo.image(plots.risk_calendar_png(below), alt="risk bands by day", width="100%"),
        ]
    )
    return days, series_count, urgent


@app.cell
def _(at, below, levels, mo, move, pl):
    def children(side):
        """What lies directly below on one side, the largest first; empty at the member itself."""
        place = levels[side].index(at[side][0]) + 1
        if place == len(levels[side]):
            return pl.DataFrame()
        name = levels[side][place]
        is_urgent = pl.col("risk_band").is_in(["high", "critical"])
        return (
            below.group_by(name)
            .agg(
                pl.col("forecast_units", "expected_sales_units", "expected_lost_units").sum(),
                series=pl.struct("store_id", "sku_id").n_unique(),
                urgent_days_percent=(100 * is_urgent.mean()).round(1),
            )
            .sort(["forecast_units", name], descending=[True, False])
        )

    def table(side):
        """The children of one side; a click moves there."""
        frame = parts[side]
        if not frame.width:
            return mo.md("This is the member itself.")
        name = frame.columns[0]
        shown = frame.rename({name: name.partition(":")[2]})
        return mo.ui.table(
            shown,
            selection="single",
            on_change=lambda chosen: (
                move({**at, side: (name, chosen[name.partition(":")[2]][0])}) if len(chosen) else None
            ),
        )

    parts = {side: children(side) for side in levels}
    tables = {side: table(side) for side in levels}
    mo.vstack([mo.md("## Products below"), tables["product"], mo.md("## Stores below"), tables["store"]])
    return (parts,)


if __name__ == "__main__":
    app.run()
