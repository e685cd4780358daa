"""The asset of prediction events: context in, metadata out."""

from datetime import UTC, date, datetime
from typing import Final

import dagster as dg

from forecast_assets.operations.prediction_events import move_events
from forecast_assets.settings import Settings
from partitions import prediction_dates
from resources.events.archive import COLUMNS, SCHEMA

PREDICTION_EVENTS: Final = "prediction_events"
_COLUMNS: Final = dg.TableSchema(
    columns=[dg.TableColumn(name, str(SCHEMA[name]), description=words) for name, words in COLUMNS.items()]
)


def build_prediction_events_asset(start: date, settings: Settings) -> dg.AssetsDefinition:
    """Build the asset that moves events of days that are over to Parquet, and lets the store forget old ones.

    Args:
        start: First prediction date of the store.
        settings: Of the home.
    """

    @dg.asset(
        key=PREDICTION_EVENTS,
        partitions_def=prediction_dates(start),
        group_name="serving",
        kinds={"polars", "parquet"},
        owners=["team:forecasting"],
        metadata={"dagster/column_schema": _COLUMNS},
        description="Predictions that were answered in real time, one row per event, of days that are over; the view "
        "is `operational.prediction_events`.\n\n**Partition**: the day of the answers, in UTC. All days up to it are "
        "looked at, so that no day is left out. They are operational and in no ledger. A day leaves the event store "
        "after its retention, and only after each of its events was read in the files, equal in every column.",
    )
    def prediction_events(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        day = date.fromisoformat(context.partition_key)
        done = move_events(settings, datetime.now(UTC))
        of_day = [moved for moved in done.kept.moved if moved.day == day]
        return dg.MaterializeResult(
            metadata={
                "dagster/partition_row_count": done.archive.count(day),
                "events_written": sum(moved.written for moved in of_day),
                "days_moved": [str(moved.day) for moved in done.kept.moved],
                "days_dropped_from_the_store": [str(dropped) for dropped in done.kept.dropped],
                "view": done.view,
            }
        )

    return prediction_events
