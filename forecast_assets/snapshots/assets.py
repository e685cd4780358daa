"""The snapshot asset: context in, metadata out."""

from collections.abc import Iterable
from datetime import date

import dagster as dg

from forecast_assets.core.spans import span
from forecast_assets.scoring.assets import materialized
from forecast_assets.snapshots.stage import CONTRACT, SNAPSHOTS, SnapshotContext, make_snapshot
from partitions import prediction_dates
from resources.orchestration.dagster_resources import RunResource, StoresResource
from resources.orchestration.metadata import column_schema, description


def build_snapshot_asset(start: date, feeds: Iterable[str], feed_tolerance: float) -> dg.AssetsDefinition:
    """Build the snapshot asset over the feeds' assets."""

    @dg.asset(
        key=SNAPSHOTS,
        partitions_def=prediction_dates(start),
        deps=[dg.AssetDep(dg.AssetKey(["observations", feed])) for feed in feeds],
        group_name="feature_snapshots",
        description=description(
            CONTRACT,
            "Refuses to be made while inputs are incomplete, and says what is missing.",
            "The manifest names the observation batches, the moment of knowledge and the specs, so that the same "
            "snapshot can be made again at any time.",
        ),
        metadata={"dagster/column_schema": column_schema(CONTRACT)},
        kinds={"polars", "parquet"},
        owners=["team:forecasting"],
    )
    def feature_snapshots(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[StoresResource], run: RunResource
    ) -> dg.MaterializeResult[None]:
        day = date.fromisoformat(context.partition_key)
        asked = SnapshotContext(stores.open(), day, feed_tolerance, run.known_until)
        with span(SNAPSHOTS) as now:
            result = make_snapshot(asked)
            version = asked.write(result)
            now.note(rows=result.rows.height)
        return materialized(CONTRACT, version, result)

    return feature_snapshots
