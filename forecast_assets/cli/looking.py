"""Commands that show what there is.

What belongs here: their arguments. What does not: logic.
"""

import os
from datetime import date, datetime
from pathlib import Path
from typing import Final

import click

from forecast_assets.cli.common import DAY, current, examples, opened, published


@click.command(
    epilog=examples(
        "forecast-assets show forecasts --date 2025-06-30 --model-version stat-1 --sku FOOD-0001 --store S-01",
        "forecast-assets show risks --date 2025-06-30 --model-version stat-1 --top 10",
        "forecast-assets show explanations --date 2025-06-30 --model-version stat-1 --store S-01 --top 5",
    )
)
@click.argument("product", type=click.Choice(["forecasts", "risks", "explanations"]))
@published
@click.option("--sku", help="Only this SKU.")
@click.option("--store", help="Only this store.")
@click.option("--top", default=20, show_default=True, type=click.IntRange(1), help="Rows to show at most.")
def show(
    product: str,
    cadence: str,
    day: date,
    model_version: str,
    horizon: int | None,
    revision: int | None,
    sku: str | None,
    store: str | None,
    top: int,
) -> None:
    """Show published predictions in the terminal."""
    from forecast_assets.operations.reading import resolve_run
    from forecast_assets.presentation.rows import show_text

    stores = opened()
    publication = resolve_run(stores, cadence, day, model_version, horizon, revision)
    click.echo(show_text(stores, publication, product, sku=sku, store=store, top=top))


@click.command(
    epilog=examples("forecast-assets export forecasts --date 2025-06-30 --model-version stat-1 --out forecasts.csv")
)
@click.argument("product")
@published
@click.option("--out", required=True, type=click.Path(path_type=Path), help="FILE.parquet or FILE.csv; must be new.")
def export(
    product: str, cadence: str, day: date, model_version: str, horizon: int | None, revision: int | None, out: Path
) -> None:
    """Write one published product to a file."""
    from forecast_assets.operations.reading import export_product, resolve_run

    stores = opened()
    publication = resolve_run(stores, cadence, day, model_version, horizon, revision)
    rows = export_product(stores, publication, product, out)
    click.echo(f"Wrote {rows:,} rows of {product} ({publication.key}) to {out}")


@click.command()
def runs() -> None:
    """List published runs, newest first."""
    from forecast_assets.presentation.state import runs_text

    click.echo(runs_text(opened()))


@click.command()
def feeds() -> None:
    """List feeds: their sources, newest day and rows."""
    from forecast_assets.presentation.state import feeds_text

    click.echo(feeds_text(opened()))


@click.command(
    epilog=examples(
        "forecast-assets lineage daily/2025-06-30/stat-1/28/r0/FOOD-0001/S-01/3",
        "forecast-assets lineage daily/2025-06-30/stat-1/28/r0",
    )
)
@click.argument("identifier")
def lineage(identifier: str) -> None:
    """Walk from a published row or run to everything it was made from."""
    from forecast_assets.presentation.rows import lineage_text

    click.echo(lineage_text(opened(), identifier))


@click.command(
    epilog=examples("forecast-assets observations --sku FOOD-0001 --store S-01 --date 2025-06-30"),
)
@click.option("--sku", required=True, help="SKU.")
@click.option("--store", required=True, help="Store.")
@click.option("--date", "day", required=True, type=DAY, help="Day of the observation.")
@click.option("--feed", default="sales", show_default=True, help="Feed with a row per SKU, store and day.")
@click.option("--known-until", type=click.DateTime(), help="UTC; default: the knowledge time of that day's snapshot.")
def observations(sku: str, store: str, day: date, feed: str, known_until: datetime | None) -> None:
    """Show what each source said of one day, which one won, and why."""
    from forecast_assets.presentation.rows import observations_text

    click.echo(observations_text(opened(), feed, sku, store, day, known_until))


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=3000, show_default=True)
def ui(host: str, port: int) -> None:
    """Serve the Dagster UI on this home folder: assets, checks, runs, schedules."""
    from forecast_assets.operations.runner import ui_command

    command = ui_command(current(), host=host, port=port)
    os.execv(command[0], list(command))  # noqa: S606


@click.command()
def catalogue() -> None:
    """Build the BI catalogue again from the ledger, and say where it is."""
    import duckdb

    from resources.catalogue import build_catalogue

    settings = current()
    built = build_catalogue(opened().predictions, settings.catalogue_folder, duckdb.connect())
    click.echo(f"{settings.catalogue_path} -> {built.name}")


COMMANDS: Final = (show, export, runs, feeds, lineage, observations, ui, catalogue)
