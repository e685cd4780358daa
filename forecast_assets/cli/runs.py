"""Commands that make something: demo, simulate, run, backfill.

What belongs here: their arguments. What does not: logic.
"""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from forecast_assets.cli.common import DAY, current, examples, opened_registry, with_runner
from forecast_assets.cli.copies import follow_copy
from forecast_assets.core.keys import CADENCES, RunKey, require_version_name

if TYPE_CHECKING:
    from forecast_assets.launch import Runner


@click.command(epilog=examples("forecast-assets demo", "forecast-assets demo --skus 50 --stores 4 --days 400"))
@click.option("--skus", default=200, show_default=True, type=click.IntRange(6), help="SKUs to simulate.")
@click.option("--stores", default=10, show_default=True, type=click.IntRange(1), help="Stores to simulate.")
@click.option("--days", default=800, show_default=True, type=click.IntRange(120), help="Days of history.")
@click.option("--seed", default=7, show_default=True, help="Seed; the same seed gives the same bytes.")
def demo(skus: int, stores: int, days: int, seed: int) -> None:
    """Simulate a retailer and run everything on it, up to published predictions.

    Safe to repeat: nothing is overwritten, and what exists already is said to.
    """
    from forecast_assets.cli.demo import run_demo
    from forecast_assets.simulation.simulator import SimulatorSettings

    run_demo(current(), SimulatorSettings(skus=skus, stores=stores, days=days, seed=seed))


@click.command(epilog=examples("forecast-assets simulate --out data/retailer --skus 500 --stores 20 --days 730"))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write; must be new.")
@click.option("--skus", default=200, show_default=True, type=click.IntRange(6), help="SKUs.")
@click.option("--stores", default=10, show_default=True, type=click.IntRange(1), help="Stores.")
@click.option("--days", default=800, show_default=True, type=click.IntRange(120), help="Days of history.")
@click.option("--seed", default=7, show_default=True, help="Seed; the same seed gives the same bytes.")
@click.option("--end", default="2025-06-30", show_default=True, type=DAY, help="Last observed day.")
@click.option(
    "--format",
    "layout",
    default="native",
    show_default=True,
    type=click.Choice(["native", "m5"]),
    help="This project's own files, or files as M5 has them.",
)
@click.option(
    "--calendar",
    "has_calendar",
    is_flag=True,
    help="With paydays, weekdays, events, level shifts and noise by category and store, and weather.",
)
def simulate(
    out: Path, skus: int, stores: int, days: int, seed: int, end: date, layout: str, has_calendar: bool
) -> None:
    """Write a simulated retailer with known truth, in the native layout or as M5 files."""
    from forecast_assets.simulation.m5_writer import write_m5
    from forecast_assets.simulation.simulator import (
        CalendarSettings,
        SimulatorSettings,
        simulate_retailer,
        write_native,
    )

    calendar = CalendarSettings() if has_calendar else None
    settings = SimulatorSettings(skus=skus, stores=stores, days=days, seed=seed, end=end, calendar=calendar)
    write = {"native": write_native, "m5": write_m5}[layout]
    is_new = write(simulate_retailer(settings), out)
    click.echo(
        f"{'Wrote' if is_new else 'Already there, unchanged:'} {out} ({skus} SKUs x {stores} stores x {days} days)"
    )


@click.command(
    epilog=examples(
        "forecast-assets run --cadence daily --date 2025-06-30 --model-version stat-1",
        "forecast-assets run --cadence daily --date 2024-06-11 --model-version stat-1 --horizon 14",
        "forecast-assets run --cadence weekly --date 2025-06-29 --model-version stat-weekly-1",
    )
)
@click.option("--cadence", required=True, type=click.Choice([*CADENCES]), help="Rhythm of the run.")
@click.option("--date", "day", required=True, type=DAY, help="Prediction date: the last observed day.")
@click.option("--model-version", required=True, help="Model version; never implied.")
@click.option("--horizon", type=int, help="Days ahead; default 28 for daily, 90 for weekly runs.")
def run(cadence: str, day: date, model_version: str, horizon: int | None) -> None:
    """Snapshot, forecast, reconcile, assess, explain, check and publish one date with one version.

    Publishing is atomic: a run that stops before its end leaves nothing visible, and can be run again.
    """
    from forecast_assets.presentation.state import outcome_text

    days = CADENCES[cadence].horizon(horizon)
    CADENCES[cadence].require_date(day)
    key = RunKey(cadence, day, require_version_name(model_version), days)
    with_runner(lambda runner: click.echo(outcome_text(runner.stores, runner.score(key))))
    follow_copy()


@click.command(
    epilog=examples(
        "forecast-assets backfill --cadence daily --model-version stat-1 --from 2025-06-01 --to 2025-06-30",
        "forecast-assets backfill --cadence weekly --model-version stat-weekly-1 --from 2025-04-06 --to 2025-06-29",
    )
)
@click.option("--cadence", required=True, type=click.Choice([*CADENCES]), help="Rhythm of the runs.")
@click.option("--model-version", required=True, help="Model version; never implied.")
@click.option("--from", "first", required=True, type=DAY, help="First prediction date.")
@click.option("--to", "last", required=True, type=DAY, help="Last prediction date.")
@click.option("--horizon", type=int, help="Days ahead; default 28 for daily, 90 for weekly runs.")
def backfill(cadence: str, model_version: str, first: date, last: date, horizon: int | None) -> None:
    """Run and publish a range of prediction dates with one version, oldest first.

    Each date reads what was known then. What is published already is passed over, and so is a date whose inputs are
    incomplete: it is listed at the end, with exit code 3. Stopped at any moment, the same command goes on from there.
    """
    from forecast_assets.operations.backfilling import backfill_keys
    from resources.ledger.present import present_of_days

    now = present_of_days(opened_registry().ledger.state())
    keys = backfill_keys(cadence, require_version_name(model_version), first, last, horizon, now)
    with_runner(lambda runner: _backfill(runner, keys))


def _backfill(runner: "Runner", keys: "list[RunKey]") -> None:
    from forecast_assets.operations.backfilling import BackfilledDate, backfill, require_none_waits
    from forecast_assets.presentation.state import backfill_text

    def starting(at: int, key: RunKey) -> None:
        click.echo(f"{key} ({at + 1} of {len(keys)})", err=True)

    done: list[BackfilledDate] = []
    try:
        done.extend(backfill(runner, keys, starting))
    finally:
        # Also after Ctrl-C or a failed check: what is published by then stays so.
        if done:
            click.echo(backfill_text(done))
            follow_copy()
    require_none_waits(done)


COMMANDS: Final = (demo, simulate, run, backfill)
