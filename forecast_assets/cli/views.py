"""Commands that show what there is.

What belongs here: their arguments. What does not: logic.
"""

import json
import os
from datetime import date, datetime
from pathlib import Path
from typing import Final

import click

from forecast_assets.cli.common import DAY, as_of_option, current, examples, opened, published
from forecast_assets.core.errors import InputError
from resources.ledger.entries import KINDS


@click.command(
    epilog=examples(
        "forecast-assets show forecasts --date 2025-06-30 --model-version stat-1 --sku FOOD-0001 --store S-01",
        "forecast-assets show risks --date 2025-06-30 --model-version stat-1 --top 10",
        "forecast-assets show cumulative --date 2025-06-30 --model-version stat-1 --sku FOOD-0001 --store S-01",
        "forecast-assets show explanations --date 2025-06-30 --model-version stat-1 --store S-01 --top 5",
        "forecast-assets show forecasts --date 2025-06-30 --model-version stat-1 --as-of 2025-07-01",
    )
)
@click.argument("product", type=click.Choice(["forecasts", "risks", "explanations", "cumulative"]))
@published
@click.option("--sku", help="Only this SKU.")
@click.option("--store", help="Only this store.")
@click.option("--top", default=20, show_default=True, type=click.IntRange(1), help="Rows to show at most.")
@as_of_option
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
    as_of: int | datetime | None,
) -> None:
    """Show published predictions in the terminal."""
    from forecast_assets.operations.reading import resolve_run
    from forecast_assets.presentation.rows import show_text

    stores = opened(as_of)
    publication = resolve_run(stores, cadence, day, model_version, horizon, revision)
    click.echo(show_text(stores, publication, product, sku=sku, store=store, top=top))


@click.command(
    epilog=examples(
        "forecast-assets plot --date 2025-06-30 --model-version stat-1 --store S-01 --sku FOOD-0001 --out fan.png",
        "forecast-assets plot --date 2025-06-30 --model-version stat-1 --store S-01 --sku FOOD-0001 --drivers "
        "--out why.png",
        "forecast-assets plot --date 2025-06-30 --model-version stat-1 --store S-01 --out store.png",
    )
)
@published
@click.option("--store", required=True, help="Store.")
@click.option("--sku", help="SKU; all of the store together if left out.")
@click.option(
    "--drivers", "is_why", is_flag=True, help="Draw what the forecast is made of, instead of past and future."
)
@click.option("--days", default=84, show_default=True, type=click.IntRange(1, 3660), help="Days of the past to draw.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="FILE.png; must be new.")
@as_of_option
def plot(
    cadence: str,
    day: date,
    model_version: str,
    horizon: int | None,
    revision: int | None,
    store: str,
    sku: str | None,
    is_why: bool,
    days: int,
    out: Path,
    as_of: int | datetime | None,
) -> None:
    """Draw one SKU in one store, or all of a store, as a PNG.

    Its past sales with days out of stock shaded, the forecast with where 50, 80 and 95 percent of futures lie, and what
    came since; or, with --drivers, what every day's forecast of one SKU is made of.
    """
    from forecast_assets.operations.picturing import draw_drivers, draw_forecast, draw_store
    from forecast_assets.operations.reading import resolve_run

    stores = opened(as_of)
    publication = resolve_run(stores, cadence, day, model_version, horizon, revision)
    if is_why and sku is None:
        raise click.UsageError("Drivers are drawn of one SKU: name it with --sku.")
    if sku is None:
        draw_store(stores, publication, store, out, days)
    elif is_why:
        draw_drivers(stores, publication, store, sku, out)
    else:
        draw_forecast(stores, publication, store, sku, out, days)
    click.echo(f"Drew {sku or 'all'} in {store} ({publication.key}) to {out}")


@click.command(
    epilog=examples(
        "forecast-assets quantiles --date 2025-06-30 --model-version stat-1 --store S-01",
        "forecast-assets quantiles --date 2025-06-30 --model-version stat-1 --product category:FOOD --from 2025-07-01 "
        "--to 2025-07-07",
        "forecast-assets quantiles --date 2025-06-30 --model-version stat-1 --product FOOD-0001 --level 0.9 --json",
    )
)
@published
@click.option("--product", help="SKU or node of the product hierarchy; LEVEL:NODE where several levels have one.")
@click.option("--store", help="Store or node of the store hierarchy, likewise.")
@click.option("--from", "first", type=DAY, help="First day; default: the day after the prediction date.")
@click.option("--to", "last", type=DAY, help="Last day; default: the last of the run.")
@click.option(
    "--level",
    "levels",
    type=float,
    multiple=True,
    help="Probability; several may be given. Default: the 13 published ones.",
)
@click.option("--json", "is_json", is_flag=True, help="Print JSON, for programs.")
@as_of_option
def quantiles(
    cadence: str,
    day: date,
    model_version: str,
    horizon: int | None,
    revision: int | None,
    product: str | None,
    store: str | None,
    first: date | None,
    last: date | None,
    levels: tuple[float, ...],
    is_json: bool,
    as_of: int | datetime | None,
) -> None:
    """Show how much a part of a run may sell over some days, all together.

    Quantiles of the demand of any node of the hierarchy, or of a product of it in a store of it, over any days of the
    run, from the run's sample paths. They are information, not an order.
    """
    from forecast_assets.contracts import QUANTILES
    from forecast_assets.operations.demand_sums import demand_sum
    from forecast_assets.operations.reading import resolve_run
    from forecast_assets.presentation.demand_sums import demand_sum_document, demand_sum_text

    stores = opened(as_of, says=not is_json)
    publication = resolve_run(stores, cadence, day, model_version, horizon, revision)
    found = demand_sum(
        stores, publication, product=product, store=store, first=first, last=last, levels=levels or QUANTILES
    )
    click.echo(json.dumps(demand_sum_document(found), indent=2) if is_json else demand_sum_text(found))


@click.command(
    epilog=examples("forecast-assets export forecasts --date 2025-06-30 --model-version stat-1 --out forecasts.csv")
)
@click.argument("product")
@published
@click.option("--out", required=True, type=click.Path(path_type=Path), help="FILE.parquet or FILE.csv; must be new.")
@as_of_option
def export(
    product: str,
    cadence: str,
    day: date,
    model_version: str,
    horizon: int | None,
    revision: int | None,
    out: Path,
    as_of: int | datetime | None,
) -> None:
    """Write one published product to a file."""
    from forecast_assets.operations.reading import export_product, resolve_run

    stores = opened(as_of)
    publication = resolve_run(stores, cadence, day, model_version, horizon, revision)
    rows = export_product(stores, publication, product, out)
    click.echo(f"Wrote {rows:,} rows of {product} ({publication.key}) to {out}")


@click.command(epilog=examples("forecast-assets runs", "forecast-assets runs --as-of 2025-07-01T09:00"))
@as_of_option
def runs(as_of: int | datetime | None) -> None:
    """List published runs, newest first."""
    from forecast_assets.presentation.state import runs_text

    click.echo(runs_text(opened(as_of)))


@click.command(epilog=examples("forecast-assets feeds", "forecast-assets feeds --as-of 12"))
@as_of_option
def feeds(as_of: int | datetime | None) -> None:
    """List feeds: their sources, newest day and rows."""
    from forecast_assets.presentation.state import feeds_text

    click.echo(feeds_text(opened(as_of)))


@click.command(
    epilog=examples(
        "forecast-assets log",
        "forecast-assets log --kind publish --top 5",
        "forecast-assets log --as-of 2025-07-01",
    )
)
@click.option("--top", default=20, show_default=True, type=click.IntRange(1), help="Entries to show at most.")
@click.option("--kind", type=click.Choice(KINDS), help="Only entries of this kind.")
@as_of_option
def log(top: int, kind: str | None, as_of: int | datetime | None) -> None:
    """List everything that happened, newest first: what, when, who and why.

    These are the entries of the ledger, their chain verified.
    """
    from forecast_assets.presentation.log import log_text

    click.echo(log_text(opened(as_of), top=top, kind=kind))


@click.command(
    epilog=examples(
        "forecast-assets lineage daily/2025-06-30/stat-1/28/r0/FOOD-0001/S-01/3",
        "forecast-assets lineage daily/2025-06-30/stat-1/28/r0 --all",
        "forecast-assets lineage daily/2025-06-30/stat-1/28/r0 --json > lineage.json",
    )
)
@click.argument("identifier")
@click.option("--all", "lists_all", is_flag=True, help="List every observation batch and every acceptance.")
@click.option("--json", "is_json", is_flag=True, help="Print all of it as JSON, for programs.")
@as_of_option
def lineage(identifier: str, lists_all: bool, is_json: bool, as_of: int | datetime | None) -> None:
    """Walk from a published row or run to everything it was made from.

    IDENTIFIER is a row's `prediction_id` or a run's key, as in the list of runs.
    """
    from forecast_assets.operations.lineage import lineage_of
    from forecast_assets.presentation.lineage import lineage_text

    found = lineage_of(opened(as_of, says=not is_json), identifier)
    click.echo(json.dumps(found.document(), indent=2) if is_json else lineage_text(found, lists_all=lists_all))


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
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, help="Port to listen on.")
def ui(host: str, port: int) -> None:
    """Serve the Dagster UI on this home folder: assets, checks, runs, schedules."""
    from forecast_assets.launch import ui_command

    command, environment = ui_command(current(), host=host, port=port)
    os.execve(command[0], list(command), {**os.environ, **environment})  # noqa: S606


@click.command(
    epilog=examples("forecast-assets catalogue", "forecast-assets catalogue --as-of 2025-07-01 --out as-of-july.duckdb")
)
@as_of_option
@click.option("--out", type=click.Path(path_type=Path), help="With --as-of: FILE.duckdb; must be new.")
def catalogue(as_of: int | datetime | None, out: Path | None) -> None:
    """Build the BI catalogue again from the ledger, and say where it is; or write one of a past position."""
    import duckdb

    from resources.catalogue.build import build_catalogue, write_catalogue

    if (as_of is None) != (out is None):
        raise InputError(
            "A catalogue of a past position needs both --as-of and --out.", remedy="Give both, or neither."
        )
    settings = current()
    with duckdb.connect() as connection:
        if out is not None:
            rows = write_catalogue(opened(as_of).predictions, out, connection)
            click.echo(f"Wrote {out}; it reads {rows} and the store, so leave them where they are.")
            return
        built = build_catalogue(opened().predictions, settings.catalogue_folder, connection, anew=True)
    click.echo(f"{settings.catalogue_path} -> {built.parent.name}/{built.name}")


COMMANDS: Final = (show, plot, quantiles, export, runs, feeds, log, lineage, observations, ui, catalogue)
