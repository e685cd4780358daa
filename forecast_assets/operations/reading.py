"""The read side: published runs by explicit version, never by implication.

What belongs here: finding a publication, scanning and exporting its products. What does not: printing.
"""

import os
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from forecast_assets.contracts import FEEDS, PUBLISHED
from forecast_assets.errors import InputError, NotPublishedError, NotReadyError, UnknownProductError, first_ten
from forecast_assets.history import History
from forecast_assets.keys import CADENCES, RunKey
from forecast_assets.restatements import snapshot_behind
from forecast_assets.run_inputs import build_hierarchy
from forecast_assets.sources.fusion import resolve
from resources.blobs import translated
from resources.ledger import Publication
from resources.stores import Stores

FORMATS: Final = (".parquet", ".csv")
# How far back a series is shown, unless somebody asks for more.
HISTORY_DAYS: Final = 364
# What is told of a series' past, by feed.
_TOLD: Final = {
    "sales": ("sales_units",),
    "stock_status": ("out_of_stock_hours", "trading_hours"),
    "inventory_positions": ("on_hand_units",),
    "prices": ("price_ratio", "is_promotion"),
}


def resolve_run(
    stores: Stores,
    cadence: str,
    day: date,
    model_version: str,
    horizon: int | None = None,
    revision: int | None = None,
) -> Publication:
    """Return the publication of a date and version; horizon and revision may be left out where only one is published.

    Raises:
        UnknownVersionError: If there is no such version.
        NotPublishedError: If nothing is published, or several horizons or revisions are and none was named.
    """
    days = resolve_horizon(stores, cadence, day, model_version, horizon)
    key = RunKey(cadence, day, model_version, days, revision or 0)
    revisions = stores.predictions.revisions(key)
    if revision is None and len(revisions) > 1:
        raise NotPublishedError(
            f"{key} has been corrected, and each revision stays: {first_ten(map(_revision, revisions))}.",
            remedy="Name one with --revision.",
        )
    return stores.predictions.publication(key)


def resolve_horizon(stores: Stores, cadence: str, day: date, model_version: str, horizon: int | None) -> int:
    """Return the horizon that is named or the only one published; the cadence's default where nothing is.

    Raises:
        NotPublishedError: If several are published and none was named.
    """
    published = stores.predictions.horizons(cadence, day, model_version)
    if horizon is None and len(published) > 1:
        raise NotPublishedError(
            f"Several horizons are published for {day} with {model_version}: {first_ten(published)}.",
            remedy="Name one with --horizon.",
        )
    return next(iter(published), CADENCES[cadence].default_horizon) if horizon is None else horizon


def _revision(publication: Publication) -> str:
    correction, number = publication.correction, publication.key.revision
    return f"r{number} (by {correction.by}: {correction.reason})" if number else f"r{number} (as first published)"


def scan_product(stores: Stores, publication: Publication, product: str) -> pl.LazyFrame:
    """Scan one product of a published run.

    Raises:
        UnknownProductError: If the run has no such product.
    """
    if product not in PUBLISHED:
        raise UnknownProductError(f"There is no product `{product}`.", remedy=f"Choose one of: {', '.join(PUBLISHED)}.")
    return stores.predictions.scan(stores.predictions.version(publication.products[product]))


def read_product(stores: Stores, publication: Publication, product: str) -> pl.DataFrame:
    """Return all rows of one product of a published run, its bytes verified against the ledger.

    Raises:
        UnknownProductError: If the run has no such product.
        ChangedFileError: If a file is missing or changed.
    """
    scan_product(stores, publication, product)
    return stores.predictions.read(stores.predictions.version(publication.products[product]))


def export_product(stores: Stores, publication: Publication, product: str, out: Path) -> int:
    """Write one product to a new file; return its rows.

    The file appears whole or not at all.

    Raises:
        InputError: If the name ends in neither .parquet nor .csv, or the file exists.
    """
    if out.suffix not in FORMATS:
        raise InputError(f"`{out}` has no known format.", remedy="End it in .parquet or .csv.")
    if out.exists():
        raise InputError(f"`{out}` exists.", remedy="Choose another name, or remove it first.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"The folder `{out.parent}` does not exist.", remedy="Create it first.")
    frame = read_product(stores, publication, product)
    scratch = out.with_name(f".{out.name}.{os.getpid()}")
    with translated(out):
        try:
            frame.write_parquet(scratch) if out.suffix == ".parquet" else frame.write_csv(scratch)
            scratch.replace(out)
        finally:
            scratch.unlink(missing_ok=True)
    return frame.height


def published_runs(stores: Stores) -> dict[str, Publication]:
    """Return every published run by its key in text, in the order of publication."""
    published = sorted(stores.ledger.state().publications.values(), key=lambda each: each.sequence)
    return {str(each.key): each for each in published}


def known_history(stores: Stores, publication: Publication) -> History:
    """Return the observations that a published run was made from."""
    return History.of(snapshot_behind(stores, publication.products), stores.observations)


def places_of(stores: Stores, publication: Publication) -> pl.DataFrame:
    """Return where each series of a published run stands in the hierarchies, as they stood for that run.

    Returns:
        `store_id, sku_id`, then one column per level, `product:total` .. `product:sku` and `store:total` ..
        `store:store`, each with the name of the node; sorted by store and SKU.
    """
    series = scan_product(stores, publication, "forecasts").filter(pl.col("step") == 1)
    keys = series.select("store_id", "sku_id").collect()
    hierarchy = build_hierarchy(keys, known_history(stores, publication))
    sides = (("product", hierarchy.product_levels), ("store", hierarchy.store_levels))
    nodes = [pl.Series(f"{side}:{level.name}", level.members) for side, levels in sides for level in levels]
    return hierarchy.series.with_columns(nodes)


def measured_accuracy(stores: Stores, cadence: str) -> pl.DataFrame:
    """Return the newest measurement of every day of a cadence, one below the other.

    Returns:
        Contract `forecast_accuracy`, sorted by target date first.

    Raises:
        NotReadyError: If nothing of the cadence has been measured.
    """
    days = sorted(day for measured, day in stores.ledger.state().measurements if measured == cadence)
    newest = [stores.ledger.state().measured(cadence, day) for day in days]
    frames = [stores.predictions.read(stores.predictions.version(each.product_version)) for each in newest if each]
    if not frames:
        raise NotReadyError(
            f"No {cadence} forecast has been measured yet.", remedy="Measure what is due: forecast-assets accuracy."
        )
    return pl.concat(frames)


def series_history(
    stores: Stores, publication: Publication, store_id: str, sku_id: str, days: int = HISTORY_DAYS
) -> pl.DataFrame:
    """Return the past of one series, as it was known to a published run.

    Args:
        stores: Where everything is.
        publication: The run.
        store_id: Store.
        sku_id: SKU.
        days: How far back to look from the prediction date, in days.

    Returns:
        One row per day with sales, sorted: `event_date, sales_units, out_of_stock_share` (of trading hours, 0..1),
        `on_hand_units` (at the end of the day), `price_ratio` (over list price), `is_promotion`, `is_stockout`
        (whether the shelf was empty for some of the day); null where no feed says so.

    Raises:
        InputError: If nothing is known of that SKU in that store on those days.
    """
    history = known_history(stores, publication)
    since = history.cutoff - timedelta(days=days - 1)
    known = {name: _known_of(history, name, since, store_id, sku_id) for name in _TOLD}
    if known["sales"].is_empty():
        raise InputError(
            f"{publication.key} knows no sales of {sku_id} in {store_id} since {since}.",
            remedy="Choose a SKU and a store of that run's `forecasts`.",
        )
    told = known["sales"]
    for name in ("stock_status", "inventory_positions", "prices"):
        told = told.join(known[name], on="event_date", how="left")
    share, on_hand = pl.col("out_of_stock_hours") / pl.col("trading_hours"), pl.col("on_hand_units")
    return told.sort("event_date").select(
        "event_date",
        "sales_units",
        out_of_stock_share=share,
        on_hand_units=on_hand,
        price_ratio="price_ratio",
        is_promotion="is_promotion",
        is_stockout=pl.coalesce(share > 0, on_hand <= 0),
    )


def _known_of(history: History, feed: str, since: date, store_id: str, sku_id: str) -> pl.DataFrame:
    """Return what a feed says of one series, filtered before sources are weighed against each other."""
    columns = ["event_date", *_TOLD[feed]]
    rows = history.store.scan(history.batches, feed, since=since, until=history.cutoff)
    if rows is None:
        return pl.DataFrame(schema={name: FEEDS[feed].schema[name] for name in columns})
    own = rows.filter(pl.col("store_id") == store_id, pl.col("sku_id") == sku_id)
    return resolve(feed, own, known_until=history.known_until).select(columns).collect()
