"""Commands that make something: demo, simulate, run.

What belongs here: their arguments. What does not: logic.
"""

from datetime import date
from pathlib import Path
from typing import Final

import click

from forecast_assets.cli.common import DAY, current, examples, with_runner


@click.command(epilog=examples("forecast-assets demo", "forecast-assets demo --skus 50 --stores 4 --days 400"))
@click.option("--skus", default=200, show_default=True, type=click.IntRange(6), help="SKUs to simulate.")
@click.option("--stores", default=10, show_default=True, type=click.IntRange(1), help="Stores to simulate.")
@click.option("--days", default=800, show_default=True, type=click.IntRange(120), help="Days of history.")
@click.option("--seed", default=7, show_default=True, help="Seed; the same seed gives the same bytes.")
def demo(skus: int, stores: int, days: int, seed: int) -> None:
    """Simulate a retailer and run everything on it, up to published predictions.

    Safe to repeat: nothing is overwritten, and what exists already is said to.
    """
    from forecast_assets.demo import run_demo
    from forecast_assets.sources.simulator import SimulatorSettings

    run_demo(current(), SimulatorSettings(skus=skus, stores=stores, days=days, seed=seed))


@click.command(epilog=examples("forecast-assets simulate --out data/retailer --skus 500 --stores 20 --days 730"))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write; must be new.")
@click.option("--skus", default=200, show_default=True, type=click.IntRange(6), help="SKUs.")
@click.option("--stores", default=10, show_default=True, type=click.IntRange(1), help="Stores.")
@click.option("--days", default=800, show_default=True, type=click.IntRange(120), help="Days of history.")
@click.option("--seed", default=7, show_default=True, help="Seed; the same seed gives the same bytes.")
@click.option("--end", default="2025-06-30", show_default=True, type=DAY, help="Last observed day.")
@click.option("--format", "layout", default="native", show_default=True, type=click.Choice(["native", "m5"]))
def simulate(out: Path, skus: int, stores: int, days: int, seed: int, end: date, layout: str) -> None:
    """Write a simulated retailer with known truth, in the native layout or as M5 files."""
    from forecast_assets.sources.m5 import write_m5
    from forecast_assets.sources.simulator import SimulatorSettings, simulate, write_native

    settings = SimulatorSettings(skus=skus, stores=stores, days=days, seed=seed, end=end)
    write = {"native": write_native, "m5": write_m5}[layout]
    is_new = write(simulate(settings), out)
    click.echo(
        f"{'Wrote' if is_new else 'Already there, unchanged:'} {out} ({skus} SKUs x {stores} stores x {days} days)"
    )


@click.command(
    epilog=examples(
        "forecast-assets run --cadence daily --date 2025-06-30 --model-version stat-1",
        "forecast-assets run --cadence daily --date 2024-06-11 --model-version stat-1 --horizon 14",
    )
)
@click.option("--cadence", required=True, type=click.Choice(["daily"]), help="Rhythm of the run.")
@click.option("--date", "day", required=True, type=DAY, help="Prediction date: the last observed day.")
@click.option("--model-version", required=True, help="Model version; never implied.")
@click.option("--horizon", type=int, help="Days ahead; default 28 for daily.")
def run(cadence: str, day: date, model_version: str, horizon: int | None) -> None:
    """Snapshot, forecast, reconcile, assess, explain, check and publish one date with one version.

    Publishing is atomic: a run that stops before its end leaves nothing visible, and can be run again.
    """
    from forecast_assets.keys import CADENCES, RunKey, require_version_name
    from forecast_assets.presentation.state import outcome_text

    days = CADENCES[cadence].horizon(horizon)
    key = RunKey(cadence, day, require_version_name(model_version), days)
    with_runner(lambda runner: click.echo(outcome_text(runner.stores, runner.score(key))))


COMMANDS: Final = (demo, simulate, run)
