"""The forecast-assets command: parses, calls, prints.

What belongs here: arguments, help and exit codes. What does not: logic.

Heavy modules are imported inside the commands, so that `--help` answers at once.
"""

import os
import sys
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from forecast_assets import __version__
from forecast_assets.errors import ForecastAssetsError, InputError

if TYPE_CHECKING:
    from forecast_assets.runner import Runner
    from forecast_assets.settings import Settings

INTERRUPTED: Final = 130
DEFECT: Final = 70

_INTERRUPTED: Final = (
    "Interrupted. A run that stops before its commit publishes nothing; see what is published: forecast-assets runs"
)
_EXIT_CODES: Final = (
    "Exit codes: 0 done (or done before), 2 input that cannot be used, 3 not ready (something is missing), 4 refused "
    "(a promise would break), 5 stored bytes are not what was recorded, 6 storage (disk full, read-only), "
    "130 interrupted, 70 a defect."
)


class _Day(click.ParamType[date, Any]):
    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"`{value}` is not a date; write it as 2024-06-11.", param, ctx)


DAY: Final = _Day()


def main() -> None:
    """Run the command; every error the product raises on purpose ends in one line and its exit code."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        _fail(_INTERRUPTED, INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ForecastAssetsError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail(_INTERRUPTED, INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if os.environ.get("FORECAST_ASSETS_DEBUG"):
            raise
        _fail(
            f"{type(error).__name__}: {error} This is a defect or a broken installation. A run that stops before its "
            "commit publishes nothing. Run again with FORECAST_ASSETS_DEBUG=1 to see where.",
            DEFECT,
        )


def _fail(message: str, code: int) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(code)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=_EXIT_CODES,
)
@click.version_option(__version__, prog_name="forecast-assets")
def cli() -> None:
    r"""Demand and inventory intelligence as immutable, versioned, replayable data products.

    All state lives below FORECAST_ASSETS_HOME (default ./var).

    \b
    Examples:
      forecast-assets demo
      forecast-assets ingest simulated data/retailer
      forecast-assets train --family statistical --version stat-1 --cutoff 2025-06-30
      forecast-assets promote stat-1 --by ana --reason "first version"
      forecast-assets run --cadence daily --date 2025-06-30 --model-version stat-1
      forecast-assets show risks --date 2025-06-30 --model-version stat-1 --top 10
    """


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _settings() -> "Settings":
    from pydantic import ValidationError

    from forecast_assets.settings import current_settings

    try:
        return current_settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        raise InputError(
            f"The setting `{name}` is not usable: {first['msg']}.",
            remedy=f"Correct FORECAST_ASSETS_{name.upper()} or forecast-assets.toml.",
        ) from error


def _with_runner(work: "Callable[[Runner], None]") -> None:
    from forecast_assets.presentation import progress_lines
    from forecast_assets.runner import Runner

    with progress_lines() as report:
        work(Runner(_settings(), report))


@cli.command(epilog=_examples("forecast-assets demo", "forecast-assets demo --skus 50 --stores 4 --days 400"))
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

    run_demo(_settings(), SimulatorSettings(skus=skus, stores=stores, days=days, seed=seed))


@cli.command(epilog=_examples("forecast-assets simulate --out data/retailer --skus 500 --stores 20 --days 730"))
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


@cli.group()
def ingest() -> None:
    """Bring in what a source says, as append-only batches; checked before anything is stored."""


@ingest.command("simulated", epilog=_examples("forecast-assets ingest simulated data/retailer"))
@click.argument("folder", type=click.Path(path_type=Path))
def ingest_simulated(folder: Path) -> None:
    """Ingest a folder that `simulate` wrote."""
    from forecast_assets.sources.simulated import read_simulated

    _ingest(lambda: read_simulated(folder))


@ingest.command("freshretailnet", epilog=_examples("forecast-assets ingest freshretailnet data/freshretailnet"))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--sample", is_flag=True, help="Read the sample of 890 series instead of all 50,000.")
def ingest_freshretailnet(folder: Path, sample: bool) -> None:
    """Ingest FreshRetailNet-50K from daily.parquet and plan.parquet."""
    from forecast_assets.sources.freshretailnet import read_freshretailnet

    _ingest(lambda: read_freshretailnet(folder, sample=sample))


def _ingest(read: Callable[[], Any]) -> None:
    from forecast_assets.presentation import ingest_text

    _with_runner(lambda runner: click.echo(ingest_text(runner.ingest(read()))))


@cli.command(
    epilog=_examples("forecast-assets train --family statistical --version stat-1 --cutoff 2025-06-30"),
)
@click.option("--family", required=True, type=click.Choice(["statistical"]), help="Model family.")
@click.option("--version", required=True, help="Name of the new version, for example stat-1.")
@click.option("--cutoff", required=True, type=DAY, help="Last day that training may see.")
@click.option(
    "--horizon",
    type=click.IntRange(7, 90),
    help="Days that backtests look ahead; default 28, less on short histories.",
)
def train(family: str, version: str, cutoff: date, horizon: int | None) -> None:
    """Fit a model version, evaluate it on days it has not seen, and register it."""
    from forecast_assets.presentation import version_text

    def work(runner: "Runner") -> None:
        runner.train(family=family, version=version, cutoff=cutoff, horizon=horizon)
        click.echo(version_text(runner.stores, version))

    _with_runner(work)


@cli.command(epilog=_examples('forecast-assets promote stat-1 --by ana --reason "beats seasonal naive by 12%"'))
@click.argument("version")
@click.option("--by", required=True, help="Who decides.")
@click.option("--reason", required=True, help="Why.")
@click.option("--channel", default="champion", show_default=True, type=click.Choice(["champion", "challenger"]))
def promote(version: str, by: str, reason: str, channel: str) -> None:
    """Point a channel at a version; schedules follow it from now on."""
    if not by.strip() or not reason.strip():
        raise InputError("A promotion needs who and why.", remedy="Give --by and --reason some text.")
    entry = _stores().predictions.promote(version, by=by, reason=reason, channel=channel)
    click.echo(f"{channel} is now {version} (ledger entry {entry.sequence}, by {by}: {reason})")


def _stores() -> Any:
    from resources.stores import open_stores

    return open_stores(_settings().store_folder)


@cli.command(
    epilog=_examples(
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
    from forecast_assets.presentation import outcome_text

    days = CADENCES[cadence].horizon(horizon)
    key = RunKey(cadence, day, require_version_name(model_version), days)
    _with_runner(lambda runner: click.echo(outcome_text(runner.stores, runner.score(key))))


def _published(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name a published run."""
    for option in (
        click.option("--horizon", type=int, help="Horizon of the run; needed where several are published."),
        click.option("--model-version", required=True, help="Model version; never implied."),
        click.option("--date", "day", required=True, type=DAY, help="Prediction date."),
        click.option("--cadence", default="daily", show_default=True, type=click.Choice(["daily"])),
    ):
        function = option(function)
    return function


@cli.command(
    epilog=_examples(
        "forecast-assets show forecasts --date 2025-06-30 --model-version stat-1 --sku FOOD-0001 --store S-01",
        "forecast-assets show risks --date 2025-06-30 --model-version stat-1 --top 10",
        "forecast-assets show explanations --date 2025-06-30 --model-version stat-1 --store S-01 --top 5",
    )
)
@click.argument("product", type=click.Choice(["forecasts", "risks", "explanations"]))
@_published
@click.option("--sku", help="Only this SKU.")
@click.option("--store", help="Only this store.")
@click.option("--top", default=20, show_default=True, type=click.IntRange(1), help="Rows to show at most.")
def show(
    product: str,
    cadence: str,
    day: date,
    model_version: str,
    horizon: int | None,
    sku: str | None,
    store: str | None,
    top: int,
) -> None:
    """Show published predictions in the terminal."""
    from forecast_assets.presentation import show_text
    from forecast_assets.reading import resolve_run

    stores = _stores()
    publication = resolve_run(stores, cadence, day, model_version, horizon)
    click.echo(show_text(stores, publication, product, sku=sku, store=store, top=top))


@cli.command(
    epilog=_examples("forecast-assets export forecasts --date 2025-06-30 --model-version stat-1 --out forecasts.csv")
)
@click.argument("product")
@_published
@click.option("--out", required=True, type=click.Path(path_type=Path), help="FILE.parquet or FILE.csv; must be new.")
def export(product: str, cadence: str, day: date, model_version: str, horizon: int | None, out: Path) -> None:
    """Write one published product to a file."""
    from forecast_assets.reading import export_product, resolve_run

    stores = _stores()
    publication = resolve_run(stores, cadence, day, model_version, horizon)
    rows = export_product(stores, publication, product, out)
    click.echo(f"Wrote {rows:,} rows of {product} ({publication.key}) to {out}")


@cli.command(epilog=_examples("forecast-assets versions", "forecast-assets versions stat-1"))
@click.argument("version", required=False)
def versions(version: str | None) -> None:
    """List model versions and channels, or show one version with its evaluation report."""
    from forecast_assets.presentation import version_text, versions_text

    click.echo(version_text(_stores(), version) if version else versions_text(_stores()))


@cli.command()
def runs() -> None:
    """List published runs, newest first."""
    from forecast_assets.presentation import runs_text

    click.echo(runs_text(_stores()))


@cli.command()
def feeds() -> None:
    """List feeds: their sources, newest day and rows."""
    from forecast_assets.presentation import feeds_text

    click.echo(feeds_text(_stores()))


@cli.command(
    epilog=_examples(
        "forecast-assets lineage daily/2025-06-30/stat-1/28/r0/FOOD-0001/S-01/3",
        "forecast-assets lineage daily/2025-06-30/stat-1/28/r0",
    )
)
@click.argument("identifier")
def lineage(identifier: str) -> None:
    """Walk from a published row or run to everything it was made from."""
    from forecast_assets.presentation import lineage_text

    click.echo(lineage_text(_stores(), identifier))


@cli.command(
    epilog=_examples("forecast-assets observations --sku FOOD-0001 --store S-01 --date 2025-06-30"),
)
@click.option("--sku", required=True, help="SKU.")
@click.option("--store", required=True, help="Store.")
@click.option("--date", "day", required=True, type=DAY, help="Day of the observation.")
@click.option("--feed", default="sales", show_default=True, help="Feed with a row per SKU, store and day.")
@click.option("--known-until", type=click.DateTime(), help="UTC; default: the knowledge time of that day's snapshot.")
def observations(sku: str, store: str, day: date, feed: str, known_until: datetime | None) -> None:
    """Show what each source said of one day, which one won, and why."""
    from forecast_assets.presentation import observations_text

    click.echo(observations_text(_stores(), feed, sku, store, day, known_until))


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=3000, show_default=True)
def ui(host: str, port: int) -> None:
    """Serve the Dagster UI on this home folder: assets, checks, runs, schedules."""
    from forecast_assets.runner import ui_command

    command = ui_command(_settings(), host=host, port=port)
    os.execv(command[0], list(command))  # noqa: S606


@cli.command()
def catalogue() -> None:
    """Build the BI catalogue again from the ledger, and say where it is."""
    import duckdb

    from resources.catalogue import build_catalogue

    settings = _settings()
    built = build_catalogue(_stores().predictions, settings.catalogue_folder, duckdb.connect())
    click.echo(f"{settings.catalogue_path} -> {built.name}")
