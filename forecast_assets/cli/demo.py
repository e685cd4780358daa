"""The demonstration: everything once, on a simulated retailer.

What belongs here: the order of the steps and what is said about them. What does not: any step.
"""

import time
from datetime import date
from pathlib import Path
from typing import Final

import click
import polars as pl

from forecast_assets.cli.common import listen_to_the_end
from forecast_assets.cli.copies import follow_copy
from forecast_assets.cli.mirror import follow_mirror
from forecast_assets.core.errors import InputError, NotAcceptedError
from forecast_assets.core.keys import DAILY, WEEKLY, Cadence, RunKey
from forecast_assets.core.progress import Progress
from forecast_assets.launch import Runner
from forecast_assets.operations.promoting import promote
from forecast_assets.operations.reading import scan_product
from forecast_assets.plots import terminal_forecast_plot
from forecast_assets.presentation.actions import error_text
from forecast_assets.presentation.rows import with_reason
from forecast_assets.presentation.state import ingest_text, outcome_text
from forecast_assets.presentation.text import plain, progress_lines, table
from forecast_assets.settings import Settings
from forecast_assets.simulation.simulator import SimulatorSettings, make_native
from forecast_assets.sources.simulated import read_simulated
from resources.ledger.entries.publish import Publication

VERSION: Final = "stat-1"
WEEKLY_VERSION: Final = "stat-weekly-1"
WEEKS_SHOWN: Final = 12
RISKS_SHOWN: Final = 10
RISK_STEPS: Final = 7
HISTORY_SHOWN_DAYS: Final = 56


def run_demo(settings: Settings, simulator: SimulatorSettings) -> None:
    """Simulate, ingest, train, promote, run and show; each step says when it was done before."""
    started = time.monotonic()
    listen_to_the_end(settings)
    with progress_lines() as progress:
        runner = Runner(settings, progress)
        folder = settings.simulated_folder
        _simulate(folder, simulator, progress)
        _ingest(runner, folder)
        _train(runner, DAILY, VERSION, simulator.end)
        publication = _run(runner, DAILY, VERSION, simulator.end)
        _show_risks(runner, publication)
        _show_forecast(runner, publication)
        _step("Show the version in MLflow")
        follow_mirror()
        click.echo("\nThat run can be read from now on. What comes next is the weekly one, by a version of its own.")
        weekly = _weekly(runner, WEEKLY.newest_date(simulator.end))
        if weekly is not None:
            follow_mirror()
        follow_copy()
    _show_query(settings, "Try it in SQL; a query names the model version, there is no latest", _by_store(publication))
    _show_query(settings, "Demand until the order after next can arrive", _until_next_order(publication))
    if weekly is not None:
        _show_query(settings, "The weeks ahead, from the weekly run; its views are named so", _by_week(weekly))
    click.echo(f"\nDone in {time.monotonic() - started:.0f} s. Next, look at it in the Dagster UI: make ui")


def _step(title: str) -> None:
    click.echo(click.style(f"\n== {title}", bold=True))


def _simulate(folder: Path, simulator: SimulatorSettings, progress: Progress) -> None:
    _step(f"Simulate {simulator.skus} SKUs x {simulator.stores} stores x {simulator.days} days")
    is_new = make_native(
        simulator, folder, lambda stage, share: progress(f"simulate: {stage}", round(share * 100), 100)
    )
    state = "Wrote" if is_new else "Already there, unchanged:"
    click.echo(f"{state} {folder} (its truth/ is for tests; the pipeline never reads it)")


def _ingest(runner: Runner, folder: Path) -> None:
    _step("Ingest")
    click.echo(ingest_text(runner.ingest(read_simulated(folder))))


def _train(runner: Runner, cadence: Cadence, version: str, cutoff: date) -> None:
    _step(f"Train and promote model version {version}")
    if version in runner.stores.ledger.state().versions:
        click.echo(f"{version} is registered already.")
    else:
        runner.train(family="statistical", version=version, cutoff=cutoff, horizon=cadence.default_horizon)
        click.echo(f"Registered {version}. See how it did in its backtests: forecast-assets versions {version}")
    if runner.stores.ledger.state().channel(cadence.champion) == version:
        click.echo(f"{version} is the {cadence.champion} already.")
    else:
        reason = "first version of the demonstration"
        done = promote(runner.stores, version, by="demo", reason=reason, channel=cadence.champion)
        click.echo(f"{cadence.champion} is now {version} (ledger entry {done.sequence}).")


def _run(runner: Runner, cadence: Cadence, version: str, day: date) -> Publication:
    _step(f"Run and publish {day}{'' if cadence is DAILY else f', {cadence.default_horizon} days ahead'}")
    outcome = runner.score(RunKey(cadence.name, day, version, cadence.default_horizon))
    click.echo(outcome_text(runner.stores, outcome))
    return outcome.publication


def _weekly(runner: Runner, sunday: date) -> Publication | None:
    """Run the newest Sunday; a retailer whose history is too short for 90 days ahead goes without."""
    try:
        _train(runner, WEEKLY, WEEKLY_VERSION, sunday)
    except (InputError, NotAcceptedError) as error:
        click.echo(f"No weekly run of this retailer: {error_text(error)}")
        return None
    return _run(runner, WEEKLY, WEEKLY_VERSION, sunday)


def _show_risks(runner: Runner, publication: Publication) -> None:
    _step(f"The {RISKS_SHOWN} highest stock-out risks of the next {RISK_STEPS} days")
    risks = scan_product(runner.stores, publication, "stockout_risks")
    columns = ["store_id", "sku_id", "target_date", "stockout_probability", "expected_lost_units", "risk_reason"]
    worst = (
        with_reason(runner.stores, publication, risks.filter(pl.col("step") <= RISK_STEPS))
        .sort("stockout_probability", "expected_lost_units", "sku_id", "store_id", descending=True, nulls_last=True)
        .unique(["store_id", "sku_id"], keep="first", maintain_order=True)
        .head(RISKS_SHOWN)
        .select(columns)
        .collect()
    )
    click.echo(table(columns, plain(worst).rows()))


def _show_forecast(runner: Runner, publication: Publication) -> None:
    forecasts = scan_product(runner.stores, publication, "forecasts")
    totals = (
        forecasts.filter(pl.col("demand_class") == "smooth")
        .group_by("store_id", "sku_id")
        .agg(pl.col("forecast_units").sum())
        .sort("forecast_units", "sku_id", "store_id", descending=True)
    )
    store, sku, _ = totals.head(1).collect().row(0)
    _step(f"Forecast of {sku} in {store}")
    is_series = (pl.col("store_id") == store) & (pl.col("sku_id") == sku)
    history = runner.history(publication.key.prediction_date).feed("sales")
    past = pl.LazyFrame() if history is None else history.filter(is_series).sort("event_date").tail(HISTORY_SHOWN_DAYS)
    click.echo(terminal_forecast_plot(past.collect(), forecasts.filter(is_series).sort("step").collect()))


def _by_store(publication: Publication) -> str:
    key = publication.key
    return (
        "SELECT store_node AS store_id, sum(forecast_units) AS demand, sum(expected_sales_units) AS sales\n"
        f'FROM "{key.model_version}".aggregate_forecasts\n'
        f"WHERE prediction_date = DATE '{key.prediction_date}' AND forecast_horizon = {key.forecast_horizon}\n"
        "  AND product_level = 'total' AND store_level = 'store' AND step <= 7\n"
        "GROUP BY ALL ORDER BY demand DESC LIMIT 5"
    )


def _until_next_order(publication: Publication) -> str:
    key = publication.key
    return (
        "SELECT store_id, sku_id, period_days, forecast_units, q500_units, covering_95_units\n"
        f'FROM "{key.model_version}".cumulative_forecasts\n'
        f"WHERE prediction_date = DATE '{key.prediction_date}' AND forecast_horizon = {key.forecast_horizon}\n"
        "  AND period = 'lead_time_and_review'\n"
        "ORDER BY forecast_units DESC, store_id, sku_id LIMIT 5"
    )


def _by_week(publication: Publication) -> str:
    key = publication.key
    return (
        "SELECT min(target_date) AS week_from, sum(forecast_units) AS demand, sum(expected_sales_units) AS sales\n"
        f'FROM "{key.model_version}".weekly_aggregate_forecasts\n'
        f"WHERE prediction_date = DATE '{key.prediction_date}' AND forecast_horizon = {key.forecast_horizon}\n"
        f"  AND product_level = 'total' AND store_level = 'total' AND step <= {WEEKS_SHOWN * 7}\n"
        "GROUP BY (step - 1) // 7 ORDER BY week_from"
    )


def _show_query(settings: Settings, title: str, sql: str) -> None:
    import duckdb

    _step(title)
    click.echo(f"duckdb -readonly {settings.catalogue_path}\n\n{sql};\n")
    with duckdb.connect(str(settings.catalogue_path), read_only=True) as connection:
        result = pl.DataFrame(connection.sql(sql).to_arrow_table())
    click.echo(table(result.columns, plain(result).rows()))
