"""Feeds as assets: what the ingest command has stored, as the root of the lineage that the UI shows."""

import dagster as dg

from forecast_assets.contracts import FEEDS
from resources.orchestration.metadata import column_schema, description


def feed_specs() -> list[dg.AssetSpec]:
    """Return one external asset per feed; an ingest reports their materializations."""
    return [
        dg.AssetSpec(
            key=["observations", contract.name],
            group_name="observations",
            description=description(
                contract,
                "Append-only batches. An ingest brings new rows; restatements are later rows.",
            ),
            metadata={"dagster/column_schema": column_schema(contract)},
            kinds={"parquet"},
            owners=["team:forecasting"],
        )
        for contract in FEEDS.values()
    ]
