"""How good past forecasts were, over time: error, bias, coverage and risk, beside seasonal naive.

What belongs here: reading measurements and showing them. What does not: measuring, or writing anything.

    marimo run notebooks/accuracy_over_time.py
    marimo export html notebooks/accuracy_over_time.py -o accuracy.html -- --cadence daily --version stat-1
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Accuracy over time")


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
def _(notebook):
    stores, cadences = notebook.open_or_stop(
        lambda opened: sorted({cadence for cadence, _ in opened.ledger.state().measurements}),
        "No published forecast below `{folder}` has been measured yet. Forecasts are measured once the sales of their "
        "days are there: `forecast-assets accuracy` measures what is due.",
    )
    return cadences, stores


@app.cell
def _(asked, cadences, notebook):
    unmeasured = "Nothing of cadence `{}` has been measured."
    cadence_choice = notebook.choose(asked, "cadence", cadences, unmeasured, searchable=False)
    return (cadence_choice,)


@app.cell
def _(cadence_choice, notebook, reading, stores):
    measured = reading.measured_accuracy(stores, notebook.chosen(cadence_choice, "cadence"))
    return (measured,)


@app.cell
def _(asked, measured, notebook):
    versions = measured["model_version"].unique().sort().to_list()
    version_choice = notebook.choose(
        asked, "version", versions, "Nothing of version `{}` has been measured.", label="model version"
    )
    return (version_choice,)


@app.cell
def _(measured, notebook, version_choice):
    accuracy = measured.filter(model_version=notebook.chosen(version_choice, "version"))
    return (accuracy,)


@app.cell
def _(accuracy, cadence_choice, mo, version_choice):
    span = accuracy["target_date"].min(), accuracy["target_date"].max()
    mo.vstack(
        [
            mo.md(f"# Accuracy of {version_choice.value}"),
            mo.hstack([cadence_choice, version_choice], justify="start"),
            mo.md(
                f"{accuracy['target_date'].n_unique()} days measured, {span[0]} to {span[1]}; the newest measurement "
                "of each day. Errors are of expected sales, on SKUs and stores, beside seasonal naive on the same rows."
            ),
        ]
    )
    return


@app.cell
def _(accuracy, mo, plots):
    mo.vstack(
        [
            mo.md("## Day by day"),
            mo.image(plots.accuracy_over_days_png(accuracy), alt="WAPE by day", width="100%"),
            mo.md("## By days ahead"),
            mo.image(plots.accuracy_by_step_png(accuracy), alt="WAPE and bias by days ahead", width="100%"),
            mo.md("## Intervals and risk"),
            mo.image(plots.coverage_and_reliability_png(accuracy), alt="coverage and reliability", width="100%"),
        ]
    )
    return


@app.cell
def _(accuracy, mo, pl, plots):
    segment_sums = (
        accuracy.filter(product_level="sku", store_level="store")
        .group_by("segment_kind", "segment")
        .agg(
            pl.col("rows", "sales_units", "error_units", "absolute_error_units", "naive_absolute_error_units").sum(),
        )
        .filter(pl.col("sales_units") > 0)
        .sort("segment_kind", "segment")
    )
    sold = pl.col("sales_units").cast(pl.Float64)
    segments = segment_sums.select(
        "segment_kind",
        "segment",
        "rows",
        "sales_units",
        wape=(pl.col("absolute_error_units").cast(pl.Float64) / sold).round(3),
        naive_wape=(pl.col("naive_absolute_error_units").cast(pl.Float64) / sold).round(3),
        bias_percent=(100 * pl.col("error_units").cast(pl.Float64) / sold).round(1),
    )
    marks = segments.select(
        "segment_kind", "segment", "rows", metric=pl.lit("wape"), value="wape", baseline_value="naive_wape"
    )
    mo.vstack(
        [
            mo.md("## By segment"),
            mo.image(plots.error_by_segment_png(marks), alt="WAPE by segment", width="100%"),
            mo.ui.table(segments, selection=None),
        ]
    )
    return (segments,)


if __name__ == "__main__":
    app.run()
