"""What overrides were worth: errors of every stage by planner, reason, direction and size, over time, and advice.

What belongs here: reading measurements and showing them. What does not: measuring, or changing an override.

    marimo run notebooks/value_of_overrides.py
    marimo export html notebooks/value_of_overrides.py -o value.html -- --days 364 --planner ana
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Value of overrides")


@app.cell
def _():
    import marimo as mo
    import polars as pl

    from forecast_assets import plots
    from forecast_assets.operations import value_added as value
    from forecast_assets.presentation import notebook
    from forecast_assets.presentation import value_added as words
    from resources.orchestration.markdown import literal

    return literal, mo, notebook, pl, plots, value, words


@app.cell
def _(mo):
    asked = mo.cli_args().to_dict()
    return (asked,)


@app.cell
def _(notebook, value):
    stores, cadences = notebook.open_or_stop(
        value.valued_cadences,
        "No overridden forecast below `{folder}` has been measured yet. Record one (`forecast-assets overrides add`), "
        "publish it, and measure it once the sales of its days are there: `forecast-assets accuracy`. "
        "All of it on a simulated retailer: `docs/planning.md`.",
    )
    return cadences, stores


@app.cell
def _(asked, cadences, notebook, value):
    nothing = "Nothing that was overridden of cadence `{}` has been measured."
    cadence_choice = notebook.choose(asked, "cadence", cadences, nothing, searchable=False)
    spans = {str(days): days for days in (28, value.SHOWN_DAYS, 182, value.ADVICE_DAYS)}
    back = {"days": str(asked.get("days", value.SHOWN_DAYS))}
    days_choice = notebook.choose(back, "days", spans, "Days back are not {}.", label="days back", searchable=False)
    return cadence_choice, days_choice


@app.cell
def _(cadence_choice, days_choice, notebook, value, stores):
    cadence, days = notebook.chosen(cadence_choice, "cadence"), notebook.chosen(days_choice, "span")
    found = {by: value.value_added(stores, by=by, days=days, cadence=cadence) for by in ("planner", "reason")}
    planners = [line.name for line in found["planner"].lines if not line.is_rule]
    # Nobody but planners chooses a direction or size.
    chosen_by_people = ("direction", "size") if planners else ()
    found |= {by: value.value_added(stores, by=by, days=days, cadence=cadence) for by in chosen_by_people}
    weeks = value.value_by_week(stores, days=days, cadence=cadence)
    return cadence, days, found, planners, weeks


@app.cell
def _(cadence_choice, days_choice, found, mo, words):
    mo.vstack(
        [
            mo.md("# What overrides were worth"),
            mo.hstack([cadence_choice, days_choice], justify="start"),
            mo.plain_text(words.value_sentence(found["planner"])),
            mo.md(words.LEGEND),
        ]
    )
    return


@app.cell
def _(found, mo, pl, plots):
    def shown(frame):
        """Figures as people read them: shares of sales in percent."""
        shares = pl.col("^.*_wape$")
        return frame.with_columns((shares * 100).round(1), pl.col("value_added_points").round(1)).rename(
            lambda name: name.replace("_wape", "_wape_percent")
        )

    tables = {by: shown(each.frame) for by, each in found.items()}
    mo.vstack(
        [
            part
            for by, each in found.items()
            for part in (
                mo.md(f"## By {by}"),
                mo.image(plots.value_added_png(each.frame), alt=f"WAPE of every stage by {by}", width="100%"),
                mo.ui.table(tables[by], selection=None),
            )
        ]
    )
    return shown, tables


@app.cell
def _(mo, plots, shown, weeks):
    # The picture has room for so many.
    picture = plots.value_added_png(weeks.tail(12))
    over_time = (
        [
            mo.image(picture, alt="WAPE of every stage by week", width="100%"),
            mo.ui.table(shown(weeks), selection=None),
        ]
        if weeks.height
        else [mo.md("Rules of the policy alone moved forecasts.")]
    )
    mo.vstack([mo.md("## Over time: planners' overrides by week, from its Monday"), *over_time])
    return


@app.cell
def _(asked, notebook, planners):
    if not planners:
        notebook.stop("No planner has overridden any of these forecasts.")
    planner_choice = notebook.choose(asked, "planner", planners, "Nothing of planner `{}` has been measured.")
    return (planner_choice,)


@app.cell
def _(cadence, literal, mo, notebook, planner_choice, stores, value, words):
    planner = notebook.chosen(planner_choice, "planner")
    advised = value.advice(stores, planner, cadence=cadence)
    mo.vstack(
        [
            mo.md(f"## What the record of {literal(planner)} advises"),
            planner_choice,
            mo.md(f"From the newest {value.ADVICE_DAYS} days. {words.NEVER}"),
            *(mo.plain_text(sentence) for sentence in advised.words),
        ]
    )
    return (advised,)


if __name__ == "__main__":
    app.run()
