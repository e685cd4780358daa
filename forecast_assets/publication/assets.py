"""The assets that assemble candidates and publish them: orchestration only."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Final

import dagster as dg
import polars as pl
from dagster_duckdb import DuckDBResource

from forecast_assets.contracts import AGGREGATE_FORECASTS, FORECASTS, PUBLISHED, SALES
from forecast_assets.core.errors import NotAcceptedError
from forecast_assets.core.keys import Cadence, RunKey
from forecast_assets.corrections.restatements import require_change, restatement, snapshot_behind
from forecast_assets.plots import as_markdown_image, telling_series, totals_png
from forecast_assets.publication.candidates import DESCRIBED, EXPLAINED, aggregate_frame, forecasts_frame
from forecast_assets.scoring.context import RunInputs
from forecast_assets.scoring.pictures import SHOWN_DAYS, fan_pictures
from partitions import scoring_partitions
from resources.ledger.entries.publish import Correction, revision_before
from resources.ledger.log import head_text
from resources.orchestration.glue import (
    RunSettings,
    StoresResource,
    product_metadata,
    run_key,
    scoring_asset,
    write_run_product,
)
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores
from resources.stores.products import PredictionStore

# What the pictures' choice reads of risks.
_AT_RISK: Final = ("store_id", "sku_id", "expected_lost_units")


def build_forecasts_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the asset that assembles what will be published."""

    @scoring_asset(
        cadence.name,
        FORECASTS,
        start,
        stage="publication",
        deps=["base_forecasts", "reconciled_forecasts", "forecast_explanations"],
        notes=[
            "Also writes `aggregate_forecasts`: exact sums over every pair of product and store levels.",
            "Not visible to consumers before `published_predictions` commits it.",
        ],
    )
    def forecasts(
        context: dg.AssetExecutionContext, stores: StoresResource, run: RunSettings
    ) -> dg.MaterializeResult[None]:
        store = stores.open().predictions
        key = run_key(context, cadence.name, run)
        explanations = store.staged("forecast_explanations", key)
        behind = RunInputs.behind(stores.open(), key, explanations)
        frame = forecasts_frame(
            store.read(store.version(explanations.inputs["base_forecasts"]), DESCRIBED),
            store.read(store.version(explanations.inputs["reconciled_forecasts"])),
            store.read(explanations, EXPLAINED),
        )
        aggregates = aggregate_frame(key, frame, behind.hierarchy)
        inputs = {**behind.inputs, "forecast_explanations": explanations.version}
        write_run_product(stores.open(), AGGREGATE_FORECASTS, aggregates, key, inputs, behind.facts)
        version = write_run_product(stores.open(), FORECASTS, frame, key, inputs, behind.facts)
        risks = store.read(store.version(explanations.inputs["stockout_risks"]), _AT_RISK)
        return dg.MaterializeResult(
            metadata=product_metadata(FORECASTS, version, frame, _extra(behind, frame, aggregates, risks))
        )

    return forecasts


def _extra(run: RunInputs, frame: pl.DataFrame, aggregates: pl.DataFrame, risks: pl.DataFrame) -> dict[str, object]:
    total = (
        frame.group_by("target_date")
        .agg(pl.col("forecast_units").sum(), pl.col("expected_sales_units").sum())
        .sort("target_date")
    )
    fans = fan_pictures(run.history, frame, telling_series(frame, risks))
    return {
        **{name: dg.MetadataValue.md(picture) for name, picture in fans.items()},
        "all_stores_and_skus": dg.MetadataValue.md(as_markdown_image(totals_png(_past(run), total), "units per day")),
        "aggregate_rows": aggregates.height,
    }


def _past(run: RunInputs) -> pl.DataFrame:
    """Return the sales of all series together on each of the last eight weeks' days, as known to the run."""
    rows = run.history.feed("sales", since=run.history.cutoff - timedelta(days=SHOWN_DAYS - 1))
    said = pl.LazyFrame(schema=SALES.schema) if rows is None else rows
    return said.group_by("event_date").agg(pl.col("sales_units").sum()).sort("event_date").collect()


def build_published_predictions_asset(
    cadence: Cadence, start: date, required_checks: Callable[[str], Sequence[str]]
) -> dg.AssetsDefinition:
    """Build the asset whose body is the commit."""

    @dg.asset(
        key=dg.AssetKey([cadence.name, "published_predictions"]),
        partitions_def=scoring_partitions(cadence, start),
        deps=[dg.AssetDep(dg.AssetKey([cadence.name, name])) for name in _CHECKED],
        group_name="publication",
        kinds={"duckdb", "parquet"},
        owners=["team:forecasting"],
        description=(
            "The commit: one ledger entry makes `forecasts`, `aggregate_forecasts`, `stockout_risks` and "
            "`forecast_explanations` of the run visible at once; then the BI catalogue is built.\n\n"
            "**Key**: cadence, prediction date, model version, forecast horizon, revision.\n\n"
            "**Promise**: refuses products on whose exact bytes a required check has not passed; never overwrites.\n\n"
            "**Limit**: carries no latest; consumers name the model version."
        ),
    )
    def published_predictions(
        context: dg.AssetExecutionContext, stores: StoresResource, run: RunSettings, duckdb: DuckDBResource
    ) -> dg.MaterializeResult[None]:
        store = stores.open().predictions
        key = run_key(context, cadence.name, run)
        products = _one_run(store, {name: store.staged(name, key) for name in PUBLISHED})
        publication = store.publish(key, products, required_checks, _correction(stores.open(), key, run, products))
        catalogue = stores.refreshed_catalogue(duckdb, context)
        state = store.ledger.state()
        return dg.MaterializeResult(
            metadata={
                "publication_key": str(key),
                "ledger_sequence": publication.sequence,
                # With this, `verify --expect-head` sees that the end of the ledger was cut or rewritten.
                "ledger_head": head_text(state.sequence, state.head),
                "catalogue": catalogue,
                "dagster/partition_row_count": sum(store.version(version).rows for version in products.values()),
                "checks_accepted": sum(len(checks) for checks in publication.accepted.values()),
                **{f"{name}_version": version for name, version in products.items()},
            }
        )

    return published_predictions


def _correction(stores: Stores, key: RunKey, run: RunSettings, products: dict[str, str]) -> Correction | None:
    """Return who corrects and why; refuses a correction of nothing, or one made from another moment of knowledge."""
    moment = run.known_until_moment
    if not key.revision or moment is None:
        return None
    made_from = snapshot_behind(stores, products).facts["known_until"]
    if made_from != moment.isoformat():
        raise NotAcceptedError(
            f"The products of {key} were made from what was known by {made_from}, not by {moment.isoformat()}: two "
            "corrections overlapped.",
            remedy="Run it again.",
        )
    require_change(restatement(stores, stores.predictions.publication(revision_before(key)), moment))
    return Correction(run.by, run.reason, known_until=made_from)


_CHECKED = ("forecasts", "stockout_risks", "forecast_explanations")


def _one_run(store: PredictionStore, products: dict[str, ProductVersion]) -> dict[str, str]:
    """Return the versions of products that follow from one another; two runs of a key at once could mix them."""
    explanations = store.version(products["forecasts"].inputs["forecast_explanations"])
    expected = {
        "forecast_explanations": explanations.version,
        "stockout_risks": explanations.inputs["stockout_risks"],
        "forecasts": products["forecasts"].version,
        "aggregate_forecasts": products["aggregate_forecasts"].version,
    }
    found = {name: product.version for name, product in products.items()}
    siblings = products["aggregate_forecasts"].inputs == products["forecasts"].inputs
    if found != expected or not siblings:
        raise NotAcceptedError(
            "The products do not follow from one another: two runs of this key overlapped.",
            remedy="Run it again.",
        )
    return found
