"""The read side: published runs by explicit version, never by implication.

What belongs here: finding a publication, scanning and exporting its products. What does not: printing.
"""

import os
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from forecast_assets.contracts import PUBLISHED
from forecast_assets.errors import InputError, NotPublishedError, UnknownProductError, first_ten
from forecast_assets.keys import CADENCES, RunKey
from resources.blobs import translated
from resources.ledger import Publication
from resources.stores import Stores

FORMATS: Final = (".parquet", ".csv")


def resolve_run(stores: Stores, cadence: str, day: date, model_version: str, horizon: int | None = None) -> Publication:
    """Return the publication of a date and version; the horizon may be left out where only one is published.

    Raises:
        UnknownVersionError: If there is no such version.
        NotPublishedError: If nothing is published, or several horizons are and none was named.
    """
    published = stores.predictions.horizons(cadence, day, model_version)
    if horizon is None and len(published) > 1:
        raise NotPublishedError(
            f"Several horizons are published for {day} with {model_version}: {first_ten(published)}.",
            remedy="Name one with --horizon.",
        )
    days = next(iter(published), CADENCES[cadence].default_horizon) if horizon is None else horizon
    return stores.predictions.publication(RunKey(cadence, day, model_version, days))


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
