"""Backtest reports in the asset graph: what the command for past cutoffs makes and reports."""

import dagster as dg

from forecast_assets.contracts import BACKTEST_REPORTS
from partitions import model_versions
from resources.orchestration.metadata import column_schema, description


def backtest_report_spec() -> dg.AssetSpec:
    """Return the asset of backtest reports; backtests make it, and whoever launches them reports it."""
    return dg.AssetSpec(
        key=BACKTEST_REPORTS.name,
        partitions_def=model_versions,
        deps=["model_artifacts", "feature_snapshots"],
        group_name="training",
        description=description(
            BACKTEST_REPORTS,
            "Made by a backtest and recorded in the ledger; all of them: `audit.backtest_reports`.",
        ),
        metadata={"dagster/column_schema": column_schema(BACKTEST_REPORTS)},
        kinds={"polars", "parquet"},
        owners=["team:forecasting"],
    )
