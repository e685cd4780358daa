"""A planner's morning: what is at risk and why, what changed, what others have said, and what a change would do.

What belongs here: reading published products, and previewing. What does not: recording or writing anything.

    marimo run notebooks/planners_morning.py
    marimo export html notebooks/planners_morning.py -o morning.html -- --band critical --form percent --value 20
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="A planner's morning")


@app.cell
def _():
    from datetime import date, timedelta

    import marimo as mo
    import polars as pl

    from forecast_assets.contracts import columns
    from forecast_assets.core import overrides as said_by
    from forecast_assets.core.wording import counted
    from forecast_assets.operations import nodes_ahead, overrides, policies, worklist
    from forecast_assets.operations.comparison import compare_runs
    from forecast_assets.presentation import notebook
    from forecast_assets.presentation.overrides import effects_text
    from resources.orchestration.markdown import literal

    return (
        columns, compare_runs, counted, date, effects_text, literal, mo, nodes_ahead, notebook, overrides, pl, policies,
        said_by, timedelta, worklist,
    )  # fmt: skip


@app.cell
def _(mo):
    asked = mo.cli_args().to_dict()
    return (asked,)


@app.cell
def _(asked, notebook, overrides):
    stores, run_choice = notebook.open_runs(asked, usual=overrides.newest_run)
    return run_choice, stores


@app.cell
def _(notebook, run_choice, stores, worklist):
    publication = notebook.chosen(run_choice, "run")
    run = worklist.PlannableRun.of(stores, publication)
    return publication, run


@app.cell
def _(asked, columns, notebook):
    bands = {"any": "", **dict(zip(columns.RISK_BANDS, columns.RISK_BANDS, strict=True))}
    band_choice = notebook.choose(asked, "band", bands, "There is no band of risk `{}`.", searchable=False)
    return (band_choice,)


@app.cell
def _(band_choice, mo, notebook, publication, run, run_choice, said_by, stores, worklist):
    band = notebook.chosen(band_choice, "band")
    listing = run.worklist(stores, worklist.WorklistQuestion(said_by.Scope.of(), band=band, limit=200))
    unpriced = f"; {listing.without_price:,} of them have no price" if listing.without_price else ""
    mo.vstack(
        [
            mo.md("# What is at risk"),
            mo.hstack([run_choice, band_choice], justify="start"),
            mo.md(
                f"Run `{publication.key}`, published {listing.published_at}: {listing.found:,} SKU-stores, expected "
                f"to lose **{listing.lost_units:,.1f}** units over {publication.key.forecast_horizon} days, worth "
                f"**{listing.lost_value:,.2f}**{unpriced}. The greatest expected loss comes first."
            ),
            mo.ui.table(listing.lines.drop("risk_reason", "forecast_reason"), selection=None),
        ]
    )
    return (listing,)


@app.cell
def _(listing, literal, mo):
    reasons = listing.lines.head(5)
    mo.vstack(
        [
            mo.md("## Why, of the first five"),
            *(
                mo.md(
                    f"**{literal(row['sku_id'])} in {literal(row['store_id'])}**, {row['target_date']}: "
                    f"{literal(row['risk_reason'])}. {literal(row['forecast_reason'])}."
                )
                for row in reasons.iter_rows(named=True)
            ),
        ]
    )
    return (reasons,)


@app.cell
def _(mo, nodes_ahead, publication, run, stores, worklist):
    before = nodes_ahead.run_before(stores.ledger.state(), publication)
    changes = before and nodes_ahead.run_changes(stores, run, worklist.PlannableRun.of(stores, before), limit=20)
    told = (
        [
            mo.md(
                f"Since `{before.key}`, over {changes.first_day} to {changes.last_day}, which both look at: "
                f"{changes.before_units:,.1f} units became **{changes.after_units:,.1f}**. "
                f"{changes.only_before:,} series are gone, {changes.only_after:,} are new."
            ),
            mo.ui.table(changes.largest, selection=None),
            mo.md("What moved the first ten of them, by driver:"),
            mo.ui.table(changes.drivers, selection=None),
        ]
        if changes
        else [mo.md("No earlier run of this version is published.")]
    )
    mo.vstack([mo.md("## What changed since the run before"), *told])
    return (changes,)


@app.cell
def _(compare_runs, mo, pl, publication, stores):
    first = next(iter(stores.predictions.revisions(publication.key)))
    revised = compare_runs(stores, first.key, publication.key) if publication.key.revision else None
    moved = (
        [
            mo.md(f"{revised.moved_rows:,} of {revised.rows:,} rows differ from `{first.key}`."),
            mo.ui.table(revised.totals.filter(pl.col("change_units") != 0), selection=None),
            mo.ui.table(revised.series, selection=None),
        ]
        if revised
        else [mo.md("It is as it was first published.")]
    )
    mo.vstack([mo.md("## What revising it has changed"), *moved])
    return (revised,)


@app.cell
def _(counted, mo, overrides, pl, stores):
    said = [
        {
            "override": each.id, "state": each.status, "by": each.by, "decided by": each.decided_by,
            "node": str(each.override.scope), "first day": each.override.first_date,
            "last day": each.override.last_date, "says": each.override.change_text,
            "reason": each.override.reason, "note": each.override.note,
        }
        for each in overrides.current_overrides(stores)
    ]  # fmt: skip
    listed = pl.DataFrame(said).sort(pl.col("state") != "pending", maintain_order=True) if said else pl.DataFrame()
    waiting = sum(each["state"] == "pending" for each in said)
    mo.vstack(
        [
            mo.md("## What has been said of the days to come"),
            mo.md(f"{counted(len(said), 'override')}, of which {waiting} wait for a second person."),
            *([mo.ui.table(listed, selection=None)] if said else []),
        ]
    )
    return listed, waiting


@app.cell
def _(asked, mo, notebook, policies, publication, run, said_by, stores, timedelta):
    key = publication.key
    ordered = run.lines[run.order].select("store_id", "sku_id").rows()
    names = {f"{sku} in {store}": (store, sku) for store, sku in ordered}
    series_choice = notebook.choose(asked, "series", names, "There is no series `{}` in this run.", named=10)
    usual = {"form": "percent", **asked}
    form_choice = notebook.choose(usual, "form", [*said_by.FORMS], "There is no form `{}`.", searchable=False)
    codes = policies.policy_in_force(stores.ledger).policy.planning.reasons
    reason_choice = notebook.choose(asked, "reason", codes, "The policy has no reason `{}`.", searchable=False)
    value_field = mo.ui.text(value=str(asked.get("value", "20")), label="value (none of the form zero)")
    ahead = key.prediction_date + timedelta(days=1), key.prediction_date + timedelta(days=min(7, key.forecast_horizon))
    first_field = mo.ui.text(value=str(asked.get("first", ahead[0])), label="first day")
    last_field = mo.ui.text(value=str(asked.get("last", ahead[1])), label="last day")
    return first_field, form_choice, last_field, reason_choice, series_choice, value_field


@app.cell
def _(first_field, form_choice, last_field, mo, reason_choice, series_choice, value_field):
    mo.vstack(
        [
            mo.md("## What a change would do"),
            mo.md("A preview: nothing is recorded. Recording is `forecast-assets overrides add`, or the page `/plan`."),
            mo.hstack([series_choice, form_choice, value_field, reason_choice], justify="start"),
            mo.hstack([first_field, last_field], justify="start"),
        ]
    )
    return


@app.cell
def _(
    date, effects_text, first_field, form_choice, last_field, mo, notebook, overrides, reason_choice, run, said_by,
    series_choice, stores, value_field,
):  # fmt: skip
    try:
        days = date.fromisoformat(first_field.value), date.fromisoformat(last_field.value)
    except ValueError:
        notebook.stop("Days are written as 2025-07-01.", "danger")
    store_id, sku_id = notebook.chosen(series_choice, "series")
    form = notebook.chosen(form_choice, "form")
    meant = said_by.Override(
        said_by.Scope.of(sku=sku_id, store=store_id), *days, form, "" if form == "zero" else value_field.value,
        notebook.chosen(reason_choice, "reason"),
    )  # fmt: skip
    preview = notebook.or_stop(lambda: overrides.preview_overrides(stores, run.planned, [meant]))
    large = (
        [mo.md(f"More than {preview.largest_percent:g}%: it would have to be confirmed.")] if preview.unusual else []
    )
    mo.vstack(
        [
            mo.plain_text(effects_text(preview)),
            *large,
            mo.md("Every level that would change, over the days that do:"),
            mo.ui.table(preview.levels, selection=None),
            mo.ui.table(preview.rows, selection=None),
        ]
    )
    return (preview,)


if __name__ == "__main__":
    app.run()
