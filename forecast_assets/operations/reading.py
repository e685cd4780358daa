"""The read side: published runs by explicit version, never by implication.

What belongs here: finding publications, now or as of a past position of the ledger, scanning and exporting their
products. What does not: printing.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import polars as pl

from forecast_assets.contracts import FORECAST_ACCURACY, PRODUCTS, PUBLISHED, SALES, absent_columns
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, NotPublishedError, NotReadyError, UnknownProductError, first_ten
from forecast_assets.core.keys import CADENCES, RunKey, StoreSku
from forecast_assets.corrections.restatements import source_snapshot
from forecast_assets.history.as_known import History
from forecast_assets.history.series import past_observations
from forecast_assets.operations.new_files import FRAMES, require_new, write_frame
from forecast_assets.scoring.context import build_hierarchy
from resources.ledger.entries.measure import Measurements
from resources.ledger.entries.publish import Publication
from resources.ledger.log import PastLedger
from resources.stores.home import Stores

# Returns published rows of some series, by store and SKU, of a product of a run.
ReadRows = Callable[[Publication, str, Sequence[StoreSku]], pl.LazyFrame]
# How far back a series is shown, unless somebody asks for more.
HISTORY_DAYS: Final = 364


def stores_as_of(stores: Stores, position: int | datetime) -> Stores:
    """Return the stores as they stood at a position of the ledger, for reading; nothing can be recorded there.

    Args:
        stores: Where everything is.
        position: Sequence number of a ledger entry, or a moment (with its zone). A number is exact; a moment is as
            right as the clocks of those who wrote.

    Raises:
        InputError: If nothing was there yet, the ledger is not that long, or more may still be recorded by the moment.
    """
    head = stores.ledger.state()
    if isinstance(position, datetime) and _is_open(position, head.recorded_at):
        raise InputError(
            f"{position:%Y-%m-%dT%H:%M:%SZ} is not over: more may still be recorded by then.",
            remedy=f"Name a moment that has passed, or the ledger's newest entry, {head.sequence}.",
        )
    past = stores.as_of(position)
    if not past.ledger.state().sequence:
        entries = stores.ledger.entries()
        begun = f"its first entry is of {entries[0].recorded_at}" if entries else "it has no entry"
        raise InputError(
            f"The ledger had not begun then: {begun}.",
            remedy=Sentence("Name a later moment, or an entry from 1: ", Action("log")),
        )
    return past


def _is_open(moment: datetime, newest: str) -> bool:
    """Return whether another entry may still be recorded by a moment; none is recorded before the newest one."""
    if newest and moment < datetime.fromisoformat(newest):
        return False
    # Entries are recorded to the second, so a second that is not over may get another one.
    return moment > datetime.now(UTC) - timedelta(seconds=1)


def is_past(stores: Stores) -> bool:
    """Return whether the stores stand at a position of the ledger that was asked for."""
    return isinstance(stores.ledger, PastLedger)


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
            key=key,
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
            prediction_date=day,
            model_version=model_version,
            horizons=published,
        )
    return next(iter(published), CADENCES[cadence].default_horizon) if horizon is None else horizon


def _revision(publication: Publication) -> str:
    correction, number = publication.correction, publication.key.revision
    return f"r{number} (by {correction.by}: {correction.reason})" if number else f"r{number} (as first published)"


def scan_product(stores: Stores, publication: Publication, product: str) -> pl.LazyFrame:
    """Scan one product of a published run, without hashing its files.

    Returns:
        The product's columns, as its contract says; one that an earlier release did not write is null, or zero if it is
        a driver.

    Raises:
        UnknownProductError: If the run has no such product.
    """
    _require_product(product)
    return _scan(stores, [publication], product)


def scan_predictions(
    stores: Stores,
    product: str,
    *,
    model_version: str,
    cadence: str = "daily",
    dates: tuple[date, date] | None = None,
    horizon: int | None = None,
    revision: int | Literal["all"] | None = None,
    store_ids: Sequence[str] | None = None,
    sku_ids: Sequence[str] | None = None,
) -> pl.LazyFrame:
    """Scan one product over many published runs of a model version.

    Which files are read follows from the ledger: those of other versions, dates, horizons and revisions are never
    opened. Within a file, statistics leave out the row groups without the stores and SKUs that are asked for. Files are
    not hashed; `read_product` and verifying the store do that.

    Args:
        stores: Where everything is; `stores_as_of` gives those of a past position.
        product: A published product.
        model_version: Model version; never implied.
        cadence: Rhythm of the runs.
        dates: First and last prediction date; None for all.
        horizon: Days ahead of the runs; may be left out where each date has one.
        revision: Number of the revision: runs that have no such revision are left out. `"all"` for every revision, told
            apart by the column `revision`. May be left out where no run has been corrected: nothing is the latest.
        store_ids: Only these stores; None for all. The product must have a column `store_id`.
        sku_ids: Only these SKUs; None for all. The product must have a column `sku_id`.

    Returns:
        The product's columns, as its contract says, in the order of dates, horizons and revisions; a column that an
        earlier release did not write is null, or zero if it is a driver. Runs of releases that did not make the product
        are left out.

    Raises:
        InputError: If the dates are the wrong way round, or the product has no stores or SKUs to choose from.
        UnknownProductError: If there is no such product, or none of the runs has it.
        UnknownVersionError: If there is no such version.
        NotPublishedError: If nothing is published there, or several horizons or revisions are and none was named.
    """
    _require_product(product)
    found = _published_between(stores, model_version, cadence, dates)
    chosen = _of_revision(_of_horizon(found, horizon), revision)
    if not chosen:
        raise NotPublishedError(
            f"Nothing is published by {model_version} that is asked for: {_asked(cadence, dates, horizon, revision)}.",
            remedy=Sentence("See what is there: ", Action("runs")),
            model_version=model_version,
        )
    rows = _scan(stores, chosen, product)
    for column, wanted in (("store_id", store_ids), ("sku_id", sku_ids)):
        if wanted is not None and column not in PRODUCTS[product].schema:
            raise InputError(f"`{product}` has no column `{column}`.", remedy="Leave it out, or filter by its nodes.")
        rows = rows if wanted is None else rows.filter(pl.col(column).is_in([*wanted]))
    return rows


def _scan(stores: Stores, publications: Sequence[Publication], product: str) -> pl.LazyFrame:
    """Scan a product of runs in their order, whatever release published them."""
    schema, publications = PRODUCTS[product].schema, _with_product(publications, product)
    files = [file for each in publications for file in stores.predictions.files(each, product)]
    rows = pl.scan_parquet(
        stores.predictions.paths(files), schema=schema, glob=False, hive_partitioning=False, missing_columns="insert",
        extra_columns="ignore",
    )  # fmt: skip
    absent = [absent_columns(product, each.schemas.get(product)) for each in publications]
    shown = {name: value for each in absent for name, value in each.items() if value is not None}
    return rows.with_columns(pl.col(name).fill_null(value).cast(schema[name]) for name, value in shown.items())


def one_series(
    stores: Stores, publication: Publication, product: str, store_id: str, sku_id: str, read: ReadRows | None = None
) -> pl.DataFrame:
    """Return the rows of one SKU in one store of a published run, sorted by step, without hashing whole files.

    Args:
        stores: Where everything is.
        publication: The run.
        product: Which of its products.
        store_id: Store.
        sku_id: SKU.
        read: Reads rows of few series; by default from the product's files.

    Raises:
        UnknownProductError: If the run has no such product.
        InputError: If the run has no such series.
    """
    if read is None:
        rows = scan_product(stores, publication, product).filter(store_id=store_id, sku_id=sku_id)
    else:
        rows = read(publication, product, [(store_id, sku_id)])
    found = rows.collect()
    if found.is_empty():
        raise InputError(
            f"{publication.key} has no SKU {sku_id} in store {store_id}.",
            remedy=Sentence("Look at what there is: ", Action("show", {"top": 20}, on=("forecasts", "..."))),
            key=publication.key,
            store_id=store_id,
            sku_id=sku_id,
        )
    return found.sort("step")


def _require_product(product: str) -> None:
    if product not in PUBLISHED:
        raise UnknownProductError(
            f"There is no product `{product}`.", remedy=f"Choose one of: {', '.join(PUBLISHED)}.", product=product
        )


def _with_product(publications: Sequence[Publication], product: str) -> list[Publication]:
    """Return those runs that have a product.

    Raises:
        UnknownProductError: If none has.
    """
    found = [each for each in publications if product in each.products]
    if not found:
        raise UnknownProductError(
            f"There is no `{product}` of {first_ten([each.key for each in publications])}: published by a release "
            "that made none, they stay as they are.",
            remedy="Read a run of a later date.",
            product=product,
        )
    return found


def _published_between(
    stores: Stores, model_version: str, cadence: str, dates: tuple[date, date] | None
) -> list[Publication]:
    """Return the runs of a version in the order of their keys.

    Raises:
        InputError: If the dates are the wrong way round.
    """
    stores.registry.model_version(model_version)
    first, last = dates or (date.min, date.max)
    if first > last:
        raise InputError(f"The dates {first} to {last} are the wrong way round.", remedy="Give the earlier one first.")
    found = [
        each
        for each in stores.ledger.state().publications.values()
        if (each.key.model_version, each.key.cadence) == (model_version, cadence)
        and first <= each.key.prediction_date <= last
    ]
    return sorted(found, key=lambda each: each.key)


def _of_horizon(found: Sequence[Publication], horizon: int | None) -> list[Publication]:
    if horizon is not None:
        return [each for each in found if each.key.forecast_horizon == horizon]
    by_date: dict[date, int] = {}
    for each in found:
        day, days = each.key.prediction_date, each.key.forecast_horizon
        if by_date.setdefault(day, days) != days:
            raise NotPublishedError(
                f"Several horizons are published for {day}: {by_date[day]} and {days}.", remedy="Name one: horizon=N."
            )
    return [*found]


def _of_revision(found: Sequence[Publication], revision: int | Literal["all"] | None) -> list[Publication]:
    if isinstance(revision, int):
        return [each for each in found if each.key.revision == revision]
    corrected = [each.key for each in found if each.key.revision]
    if corrected and revision is None:
        raise NotPublishedError(
            f"Some of these runs have been corrected, and each revision stays: {first_ten(corrected)}.",
            remedy='Name one: revision=N; or take every one: revision="all".',
        )
    return [*found]


def _asked(cadence: str, dates: tuple[date, date] | None, horizon: int | None, revision: int | str | None) -> str:
    said = {
        "cadence": cadence,
        "dates": None if dates is None else f"{dates[0]} to {dates[1]}",
        "horizon": horizon,
        "revision": revision,
    }
    return ", ".join(f"{name} {value}" for name, value in said.items() if value is not None)


def read_product(stores: Stores, publication: Publication, product: str) -> pl.DataFrame:
    """Return all rows of one product of a published run, its bytes verified against the ledger.

    Returns:
        The product's columns, as `scan_product` returns them.

    Raises:
        UnknownProductError: If the run has no such product.
        ChangedFileError: If a file is missing or changed.
    """
    _require_product(product)
    _with_product([publication], product)
    read = stores.predictions.read(stores.predictions.version(publication.products[product]))
    shown = absent_columns(product, publication.schemas.get(product))
    schema = PRODUCTS[product].schema
    absent = [pl.lit(shown.get(name), kind).alias(name) for name, kind in schema.items() if name not in read.columns]
    return read.with_columns(absent).select(*schema)


def export_product(stores: Stores, publication: Publication, product: str, out: Path) -> int:
    """Write one product to a new file; return its rows.

    The file appears whole or not at all.

    Raises:
        InputError: If the name ends in neither .parquet nor .csv, or the file exists.
    """
    require_new(out, FRAMES)
    frame = read_product(stores, publication, product)
    write_frame(frame, out)
    return frame.height


def published_runs(stores: Stores) -> dict[str, Publication]:
    """Return every published run by its key in text, in the order of publication."""
    published = sorted(stores.ledger.state().publications.values(), key=lambda each: each.sequence)
    return {str(each.key): each for each in published}


def run_history(stores: Stores, publication: Publication) -> History:
    """Return the observations that a published run was made from."""
    return History.of(source_snapshot(stores, publication.products), stores.observations)


def hierarchy_places(stores: Stores, publication: Publication) -> pl.DataFrame:
    """Return where each series of a published run stands in the hierarchies, as they stood for that run.

    Returns:
        `store_id, sku_id`, then one column per level, `product:total` .. `product:sku` and `store:total` ..
        `store:store`, each with the name of the node; sorted by store and SKU.
    """
    series = scan_product(stores, publication, "forecasts").filter(pl.col("step") == 1)
    keys = series.select("store_id", "sku_id").collect()
    hierarchy = build_hierarchy(keys, run_history(stores, publication))
    sides = (("product", hierarchy.product_levels), ("store", hierarchy.store_levels))
    nodes = [pl.Series(f"{side}:{level.name}", level.members) for side, levels in sides for level in levels]
    return hierarchy.series.with_columns(nodes)


def measured_accuracy(stores: Stores, cadence: str) -> pl.DataFrame:
    """Return the newest measurement of every day of a cadence, one below the other.

    Returns:
        Contract `forecast_accuracy`, sorted by target date first; what an earlier release did not measure is null.

    Raises:
        NotReadyError: If nothing of the cadence has been measured.
    """
    measurements = stores.ledger.state().part(Measurements)
    newest = measurements.newest_of(cadence, sorted(day for of, day in measurements.by_day if of == cadence))
    frames = [stores.predictions.read(stores.predictions.version(each.product_version)) for each in newest]
    if not frames:
        raise NotReadyError(
            f"No {cadence} forecast has been measured yet.",
            remedy=Sentence("Measure what is due: ", Action("accuracy"), "."),
            cadence=cadence,
        )
    rows = pl.concat([pl.DataFrame(schema=FORECAST_ACCURACY.schema), *frames], how="diagonal")
    return rows.select(FORECAST_ACCURACY.names)


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
    history = run_history(stores, publication)
    since = history.cutoff - timedelta(days=days - 1)
    told = past_observations(history, _named_series(store_id, sku_id), since)
    if told.is_empty():
        raise InputError(
            f"{publication.key} knows no sales of {sku_id} in {store_id} since {since}.",
            remedy="Choose a SKU and a store of that run's `forecasts`.",
        )
    return told.drop("store_id", "sku_id")


def series_after(stores: Stores, publication: Publication, store_id: str, sku_id: str) -> pl.DataFrame:
    """Return what came of one series on the days that a published run looks at, as far as it is known now.

    Args:
        stores: Where everything is.
        publication: The run.
        store_id: Store.
        sku_id: SKU.

    Returns:
        As `series_history` does; no rows where nothing came yet.
    """
    since = publication.key.prediction_date + timedelta(days=1)
    told = past_observations(history_after(stores, publication), _named_series(store_id, sku_id), since)
    return told.drop("store_id", "sku_id")


def history_after(stores: Stores, publication: Publication) -> History:
    """Return what is known now of the days until the last that a published run looks at."""
    last = publication.key.prediction_date + timedelta(days=publication.key.forecast_horizon)
    batches = tuple(stores.observations.batches())
    return History(stores.observations, batches, last, stores.observations.newest_knowledge(last))


def daily_sales(history: History, of: pl.DataFrame, since: date) -> pl.DataFrame:
    """Return what some series sold together on each day.

    Args:
        history: What was known.
        of: Which: rows with `store_id`, `sku_id` or both.
        since: First day.

    Returns:
        `event_date, sales_units`, sorted; days without a row are left out.
    """
    rows = history.feed(SALES.name, since=since)
    said = pl.LazyFrame(schema=SALES.schema) if rows is None else rows
    own = said.join(of.lazy(), on=of.columns, how="semi")
    return own.group_by("event_date").agg(pl.col("sales_units").sum()).sort("event_date").collect()


def _named_series(store_id: str, sku_id: str) -> pl.DataFrame:
    return pl.DataFrame({"store_id": [store_id], "sku_id": [sku_id]})
