"""The demonstration: everything once, on a simulated retailer.

What belongs here: the order of the steps and what is said about them. What does not: any step.
"""

import time
from pathlib import Path
from typing import Final

import click
import polars as pl

from forecast_assets.automation import CHAMPION
from forecast_assets.keys import DAILY, RunKey
from forecast_assets.plots import terminal_forecast_plot
from forecast_assets.presentation.rows import with_reason
from forecast_assets.presentation.state import ingest_text, outcome_text
from forecast_assets.presentation.text import plain, progress_lines, table
from forecast_assets.reading import scan_product
from forecast_assets.runner import Runner
from forecast_assets.settings import Settings
from forecast_assets.sources.simulated import read_simulated
from forecast_assets.sources.simulator import SimulatorSettings, make_native
from resources.ledger import Publication
from resources.orchestration import Progress

VERSION: Final = "stat-1"
RISKS_SHOWN: Final = 10
RISK_STEPS: Final = 7
HISTORY_SHOWN_DAYS: Final = 56


def run_demo(settings: Settings, simulator: SimulatorSettings) -> None:
    """Simulate, ingest, train, promote, run and show; each step says when it was done before."""
    started = time.monotonic()
    with progress_lines() as report:
        runner = Runner(settings, report)
        folder = settings.home / "simulated"
        _simulate(folder, simulator, report)
        _ingest(runner, folder)
        _train(runner, simulator)
        publication = _run(runner, simulator)
    _show_risks(runner, publication)
    _show_forecast(runner, publication)
    _show_query(settings, publication)
    click.echo(f"\nDone in {time.monotonic() - started:.0f} s. Next, look at it in the Dagster UI: make ui")


def _step(title: str) -> None:
    click.echo(click.style(f"\n== {title}", bold=True))


def _simulate(folder: Path, simulator: SimulatorSettings, report: Progress) -> None:
    _step(f"Simulate {simulator.skus} SKUs x {simulator.stores} stores x {simulator.days} days")
    is_new = make_native(simulator, folder, lambda stage, share: report(f"simulate: {stage}", round(share * 100), 100))
    state = "Wrote" if is_new else "Already there, unchanged:"
    click.echo(f"{state} {folder} (its truth/ is for tests; the pipeline never reads it)")


def _ingest(runner: Runner, folder: Path) -> None:
    _step("Ingest")
    click.echo(ingest_text(runner.ingest(read_simulated(folder))))


def _train(runner: Runner, simulator: SimulatorSettings) -> None:
    _step(f"Train and promote model version {VERSION}")
    if VERSION in runner.stores.ledger.state().versions:
        click.echo(f"{VERSION} is registered already.")
    else:
        runner.train(family="statistical", version=VERSION, cutoff=simulator.end, horizon=DAILY.default_horizon)
        click.echo(f"Registered {VERSION}. See how it did in its backtests: forecast-assets versions {VERSION}")
    if runner.stores.ledger.state().channel(CHAMPION) == VERSION:
        click.echo(f"{VERSION} is the champion already.")
    else:
        entry = runner.stores.predictions.promote(VERSION, by="demo", reason="first version of the demonstration")
        click.echo(f"{VERSION} is now the champion (ledger entry {entry.sequence}).")


def _run(runner: Runner, simulator: SimulatorSettings) -> Publication:
    _step(f"Run and publish {simulator.end}")
    outcome = runner.score(RunKey(DAILY.name, simulator.end, VERSION, DAILY.default_horizon))
    click.echo(outcome_text(runner.stores, outcome))
    return outcome.publication


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


def _show_query(settings: Settings, publication: Publication) -> None:
    import duckdb

    _step("Try it in SQL; a query names the model version, there is no latest")
    sql = (
        "SELECT store_node AS store_id, sum(forecast_units) AS demand, sum(expected_sales_units) AS sales\n"
        f'FROM "{publication.key.model_version}".aggregate_forecasts\n'
        f"WHERE prediction_date = DATE '{publication.key.prediction_date}' AND forecast_horizon = "
        f"{publication.key.forecast_horizon}\n"
        f"  AND product_level = 'total' AND store_level = 'store' AND step <= 7\n"
        f"GROUP BY ALL ORDER BY demand DESC LIMIT 5"
    )
    click.echo(f"duckdb -readonly {settings.catalogue_path}\n\n{sql};\n")
    with duckdb.connect(str(settings.catalogue_path), read_only=True) as connection:
        result = pl.DataFrame(connection.sql(sql).to_arrow_table())
    click.echo(table(result.columns, plain(result).rows()))
