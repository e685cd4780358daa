"""Restatements in the Dagster UI: an observation on each published run whose inputs have changed since.

What belongs here: saying it where operators look. What does not: correcting anything; that is a decision of a person.
"""

from datetime import timedelta
from typing import Final

import dagster as dg
import polars as pl

from forecast_assets.errors import FIRST
from forecast_assets.restatements import Restatement, correction_command, newest_revisions, pending
from forecast_assets.settings import Settings
from partitions import scoring_partition
from resources.orchestration import markdown_table
from resources.stores import Stores, open_stores

SENSOR_SECONDS: Final = 300
# Older runs are compared on demand: forecast-assets restatements.
DAYS_LOOKED_BACK: Final = 14


def build_restatement_sensor(settings: Settings) -> dg.SensorDefinition:
    """Build the sensor that observes published runs whose inputs have changed."""

    @dg.sensor(
        name="restatements_after_publication",
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Says which published runs of the last two weeks would read other inputs today, and how to correct "
        "them. Never corrects by itself.",
    )
    def restatements(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return restatement_events(open_stores(settings.store_folder), context.cursor)

    return restatements


def restatement_events(stores: Stores, cursor: str | None) -> dg.SensorResult:
    """Return an observation per published run whose inputs have changed; none while the ledger stays as it is.

    Args:
        stores: Where everything is.
        cursor: Number of the ledger entry up to which runs have been compared.
    """
    state = stores.ledger.state()
    if cursor == str(state.sequence):
        return dg.SensorResult(skip_reason=f"The ledger has no entry after {cursor}.")
    runs = newest_revisions(state)
    recent = [run for run in runs if run.key.prediction_date > runs[0].key.prediction_date - _LOOKED_BACK]
    found = list(pending(stores, recent))
    keys = ", ".join(str(each.publication.key) for each in found)
    words = f"Inputs have changed since: {keys}" if found else f"{len(recent)} published runs would read the same again"
    return dg.SensorResult(
        skip_reason=f"{words}.", asset_events=[_observation(each) for each in found], cursor=str(state.sequence)
    )


_LOOKED_BACK: Final = timedelta(days=DAYS_LOOKED_BACK)


def _observation(found: Restatement) -> dg.AssetObservation:
    key = found.publication.key
    return dg.AssetObservation(
        asset_key=dg.AssetKey([key.cadence, "published_predictions"]),
        partition=scoring_partition(key.prediction_date, key.model_version),
        description=f"Inputs of {key} have changed since it was published.",
        metadata={
            "publication_key": str(key),
            "rows_that_differ": found.rows.height,
            "by_feed": dg.MetadataValue.md(markdown_table(found.by_feed)),
            "first_rows": dg.MetadataValue.md(markdown_table(found.rows.head(FIRST).with_columns(_MINUTES))),
            "to_correct": correction_command(key),
        },
    )


_MINUTES: Final = pl.col("known_at").dt.strftime("%Y-%m-%d %H:%M UTC")
