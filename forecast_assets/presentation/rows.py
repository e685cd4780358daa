"""Rows of products, their lineage and the observations behind them, in words.

What belongs here: what a row says. What does not: what there is (state).
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

import polars as pl

from forecast_assets.contracts import FEEDS
from forecast_assets.errors import InputError
from forecast_assets.keys import PredictionId, RunKey
from forecast_assets.operations.reading import scan_product
from forecast_assets.run_inputs import outside_forecasts_of
from forecast_assets.sources.fusion import resolve
from resources.ledger import Publication
from resources.prediction_store import ProductVersion
from resources.stores import Stores

if TYPE_CHECKING:
    pass

from forecast_assets.presentation.corrections import correction_text
from forecast_assets.presentation.text import plain, table

_SHOWN: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "forecasts": (
        "forecasts",
        ("store_id", "sku_id", "target_date", "forecast_units", "expected_sales_units", "q050_units", "q500_units",
         "q950_units", "model_used"),
    ),
    "risks": (
        "stockout_risks",
        ("store_id", "sku_id", "target_date", "stockout_probability", "expected_lost_units", "days_of_cover",
         "risk_band"),
    ),
    "explanations": (
        "forecast_explanations",
        ("store_id", "sku_id", "target_date", "forecast_units", "expected_sales_units", "forecast_reason",
         "risk_reason"),
    ),
}  # fmt: skip


def show_text(
    stores: Stores, publication: Publication, product: str, *, sku: str | None, store: str | None, top: int
) -> str:
    """Show rows of one product; risks with the highest probability first.

    Raises:
        InputError: If no row matches.
    """
    name, columns = _SHOWN[product]
    rows = scan_product(stores, publication, name)
    for column, wanted in (("sku_id", sku), ("store_id", store)):
        rows = rows if wanted is None else rows.filter(pl.col(column) == wanted)
    order, descending = (["store_id", "sku_id", "step"], False)
    if product == "risks" and (sku is None or store is None):
        rows = with_reason(stores, publication, rows)
        columns = [*columns, "risk_reason"]
        order, descending = ["stockout_probability", "expected_lost_units", "store_id", "sku_id", "step"], True
    frame = rows.sort(order, descending=descending, nulls_last=True).head(top).select(columns).collect()
    if frame.is_empty():
        raise InputError(
            f"No row of {publication.key} has SKU {sku or 'any'} in store {store or 'any'}.",
            remedy="Look at what there is: forecast-assets show forecasts ... --top 20",
        )
    return f"{table(columns, plain(frame).rows())}\n{publication.key}, ledger entry {publication.sequence}"


def with_reason(stores: Stores, publication: Publication, risks: pl.LazyFrame) -> pl.LazyFrame:
    """Add the reason in words to risk rows."""
    key = ["store_id", "sku_id", "step"]
    reasons = scan_product(stores, publication, "forecast_explanations").select(*key, "risk_reason")
    return risks.join(reasons, on=key, how="left")


def lineage_text(stores: Stores, identifier: str) -> str:
    """Walk from a published run or row to everything it was made from."""
    is_row = identifier.count("/") > str(RunKey("daily", date.min, "v", 1)).count("/")
    key = PredictionId.parse(identifier).run if is_row else RunKey.parse(identifier)
    publication = stores.predictions.publication(key)
    parts = [f"{publication.key}: ledger entry {publication.sequence}, published {publication.recorded_at}"]
    if key.revision:
        parts.append(correction_text(publication))
    if is_row:
        parts.append(_row_text(stores, publication, PredictionId.parse(identifier)))
    own = {made.version for made in outside_forecasts_of(stores.predictions, publication.products.values())}
    parts += [_product_text(product, own) for product in stores.predictions.lineage(publication.products.values())]
    model = stores.predictions.model_version(key.model_version)
    links = [(name, str(value)) for name, value in vars(model).items() if name != "gates"]
    parts.append(table(("model version", ""), links))
    snapshot = _ancestor(stores, publication.products["forecasts"], "feature_snapshots")
    parts.append(_batches_text(stores, snapshot))
    return "\n\n".join(parts)


def _row_text(stores: Stores, publication: Publication, wanted: PredictionId) -> str:
    rows = scan_product(stores, publication, "forecasts").filter(
        pl.col("sku_id") == wanted.sku_id, pl.col("store_id") == wanted.store_id, pl.col("step") == wanted.step
    )
    frame = rows.select("target_date", "base_units", "reconciled_units", "forecast_units", "expected_sales_units")
    found = plain(frame.collect())
    if found.is_empty():
        raise InputError(f"{wanted} is not a row of this run.", remedy="Take the id from a view's `prediction_id`.")
    return table(found.columns, found.rows())


def _product_text(product: ProductVersion, own: Collection[str]) -> str:
    rows = [("made for", product.key)]
    rows += [("file", file.path) for file in product.files]
    if "file_sha256" in product.facts:
        # Beside the run's own file there are those that the version was registered with, perhaps of other dates.
        what = "made elsewhere" if product.version in own else "registered with"
        rows.append((what, f"{product.facts['file']}, SHA-256 {product.facts['file_sha256']}"))
    rows += [(f"made from {key}", str(value)) for key, value in product.inputs.items() if key != "batches"]
    rows += [("code", product.code_version), ("libraries", json.dumps(dict(product.libraries)))]
    return table((product.product, product.version), rows)


def _ancestor(stores: Stores, version: str, name: str) -> ProductVersion:
    return stores.predictions.version(stores.predictions.version(version).inputs[name])


def _batches_text(stores: Stores, snapshot: ProductVersion) -> str:
    facts = [(name, str(snapshot.facts[name])) for name in ("prediction_date", "known_until", "feature_version")]
    batches = stores.observations.named(snapshot.inputs["batches"])
    rows = [(batch.feed, batch.source, batch.rows, batch.sequence, batch.batch_id) for batch in batches]
    return "\n\n".join(
        (
            table(("feature snapshot", snapshot.version), facts),
            table(("feed", "source", "rows", "ledger entry", "batch"), rows),
        )
    )


def observations_text(stores: Stores, feed: str, sku: str, store: str, day: date, known_until: datetime | None) -> str:
    """Show what each source said of one SKU, store and day, which one won, and why.

    Raises:
        InputError: If the feed has no row per SKU, store and day, or nobody said anything.
    """
    if feed not in FEEDS or not {"sku_id", "store_id"} <= set(FEEDS[feed].names):
        raise InputError(f"`{feed}` has no row per SKU and store.", remedy=f"Choose one of: {', '.join(FEEDS)}.")
    moment = known_until.replace(tzinfo=UTC) if known_until else stores.observations.known_until(day)
    rows = stores.observations.scan(stores.observations.batches(), feed, since=day, until=day)
    said = (
        pl.LazyFrame()
        if rows is None
        else rows.filter(pl.col("sku_id") == sku, pl.col("store_id") == store, pl.col("known_at") <= moment)
    )
    frame = said.collect()
    if frame.is_empty():
        raise InputError(f"No source said anything of {sku} in {store} on {day}.", remedy="forecast-assets feeds")
    spoken = plain(frame.sort("known_at", "source"))
    won = plain(resolve(feed, frame.lazy(), known_until=moment).drop("known_at").collect())
    return "\n\n".join(
        (
            f"As known at {moment:%Y-%m-%d %H:%M} UTC",
            table(spoken.columns, spoken.rows(), title="Said"),
            table(won.columns, won.rows(), title="Resolved"),
        )
    )
