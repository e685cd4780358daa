"""The asset of business reviews: context in, metadata out."""

from datetime import date

import dagster as dg
from dagster_duckdb import DuckDBResource

from forecast_assets.contracts import BUSINESS_REVIEWS
from forecast_assets.core.keys import WEEKLY, Cadence
from forecast_assets.reviews.stage import PRODUCT, ReviewContext, record_review, review_week
from forecast_assets.scoring.assets import rendered
from partitions import cadence_dates
from resources.orchestration.dagster_resources import StoresResource
from resources.orchestration.metadata import column_schema, description, product_metadata


def build_business_reviews_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the asset that reviews a week, and whose last act is to record it.

    Args:
        cadence: Rhythm of the runs.
        start: First prediction date of the store.
    """
    accuracy = dg.AssetKey([cadence.name, "forecast_accuracy"])

    @dg.asset(
        key=dg.AssetKey([cadence.name, PRODUCT]),
        partitions_def=cadence_dates(WEEKLY, start),
        # Five weeks of days: which of them were measured is the ledger's to say.
        deps=[dg.AssetDep(accuracy, partition_mapping=dg.AllPartitionMapping())],
        group_name="lifecycle",
        kinds={cadence.name, "polars", "parquet"},
        owners=["team:forecasting"],
        metadata={"dagster/column_schema": column_schema(BUSINESS_REVIEWS)},
        description=description(
            BUSINESS_REVIEWS,
            "**Partition**: the Sunday of the week. One ledger entry records the figures with what they propose to "
            "change of the policy; nothing is changed by itself. A week that is reviewed again keeps its earlier "
            "reviews.",
        ),
    )
    def business_reviews(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[StoresResource], duckdb: DuckDBResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        asked = ReviewContext(stores.open(), cadence.name, date.fromisoformat(context.partition_key))
        since = asked.newest_entry()
        reviewed = review_week(asked)
        version = asked.write(reviewed.result)
        record, _ = record_review(asked, version, reviewed, since=since)
        metadata = product_metadata(
            BUSINESS_REVIEWS, version, reviewed.result.rows, rendered(reviewed.result.summary())
        )
        metadata["ledger_sequence"] = record.sequence
        metadata["catalogue"] = stores.refreshed_catalogue(duckdb, context)
        return dg.MaterializeResult(metadata=metadata)

    return business_reviews
