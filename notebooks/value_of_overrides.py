"""What overrides were worth: errors of every stage by planner, reason, direction or size, and what a record advises.

What belongs here: reading measurements and showing them. What does not: measuring, or writing anything.

    marimo run notebooks/value_of_overrides.py
    marimo export html notebooks/value_of_overrides.py -o value.html -- --by direction --planner ana
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="The value of overrides")


@app.cell
def _():
    import marimo as mo
    import polars as pl

    from forecast_assets import plots
    from forecast_assets.operations import value_added as worth
    from forecast_assets.presentation import notebook

    return mo, notebook, pl, plots, worth


@app.cell
def _(mo):
    asked = mo.cli_args().to_dict()
    return (asked,)


@app.cell
def _(notebook, worth):
    stores, valued = notebook.open_or_stop(
        lambda opened: [
            each for each in ("daily", "weekly") if not worth.value_rows(opened, each, worth.ADVICE_DAYS).is_empty()
        ],
        "No overridden forecast below `{folder}` has been measured yet. Overrides are measured once the sales of their "
        "days are there: `forecast-assets accuracy` measures what is due.",
    )
    return stores, valued


@app.cell
def _(asked, notebook, valued, worth):
    cadence_choice = notebook.choose(
        asked, "cadence", valued, "No override of cadence `{}` was measured.", searchable=False
    )
    by_choice = notebook.choose(asked, "by", list(worth.SPLITS), "Lines are not by `{}`.", searchable=False)
    return by_choice, cadence_choice


@app.cell
def _(asked, cadence_choice, notebook, pl, stores, worth):
    cadence = notebook.chosen(cadence_choice, "cadence")
    rows = worth.value_rows(stores, cadence, worth.ADVICE_DAYS)
    planners = rows.filter(~pl.col("is_rule"))["planner"].unique().sort().to_list()
    everybody = "everybody"
    planner_choice = notebook.choose(asked, "planner", [everybody, *planners], "`{}` has overridden nothing.")
    return cadence, everybody, planner_choice, rows


@app.cell
def _(by_choice, cadence, everybody, notebook, planner_choice, stores, worth):
    who = notebook.chosen(planner_choice, "planner")
    planner = "" if who == everybody else who
    found = worth.value_added(stores, by=notebook.chosen(by_choice, "split"), planner=planner, cadence=cadence)
    return found, planner


@app.cell
def _(by_choice, cadence_choice, found, mo, planner_choice, plots):
    mo.vstack(
        [
            mo.md("# What overrides were worth"),
            mo.hstack([cadence_choice, by_choice, planner_choice], justify="start"),
            mo.md(
                f"Overridden forecasts of {found.first} to {found.last}, judged by the sales that came, on rows whose "
                "shelf was not known to be empty. `reconciled` is the model's untouched forecast, `rules` the one that "
                "planners found, `override` the published one. Pale: too few to tell skill from luck."
            ),
            mo.image(plots.value_added_png(found.frame), alt="WAPE of every stage", width="100%"),
        ]
    )
    return


@app.cell
def _(found, mo, pl):
    lines = pl.DataFrame(
        [
            {
                found.by: line.name,
                "overrides": line.overrides,
                "row_days": line.row_days,
                **{f"{stage}_wape": None if wape is None else round(wape, 4) for stage, wape in line.wape.items()},
                "value_added_points": line.value_added_points,
                "moves_that_came_true": line.moves_that_came_true,
                "is_small_sample": line.is_small_sample,
            }
            for line in found.lines
        ]
    )
    mo.ui.table(lines, selection=None)
    return (lines,)


@app.cell
def _(mo, pl, rows):
    sums = (
        rows.filter(~pl.col("is_rule"))
        .group_by("target_date")
        .agg(
            pl.col("sales_units", "rules_absolute_error_units", "override_absolute_error_units").sum().cast(pl.Float64)
        )
    )
    by_day = sums.sort("target_date").select(
        "target_date",
        value_added_points=100
        * (pl.col("rules_absolute_error_units") - pl.col("override_absolute_error_units"))
        / pl.col("sales_units"),
    )
    mo.vstack([mo.md("## Day by day"), mo.ui.table(by_day.sort("target_date", descending=True), selection=None)])
    return (by_day,)


@app.cell
def _(cadence, mo, planner, stores, worth):
    advised = worth.advice(stores, planner, cadence=cadence) if planner else None
    words = (
        "Choose a planner to see what the own record advises; nothing is changed by itself."
        if advised is None
        else "\n\n".join(advised.words)
    )
    mo.vstack([mo.md("## What the record advises"), mo.md(words)])
    return (advised,)


if __name__ == "__main__":
    app.run()
