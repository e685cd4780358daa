"""Partitions: prediction dates, model versions, and how scoring maps to snapshots.

What belongs here: partition definitions and keys. What does not: anything that reads a store.
"""

import warnings
from datetime import date
from typing import Final

import dagster as dg

from forecast_assets.core.keys import Cadence

# Mapping one dimension of a partition and partitioned checks are beta and preview in the Dagster minor version that
# pyproject.toml pins; an upgrade is the moment to look again, not each run.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*MultiToSingleDimensionPartitionMapping")
warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*partitions_def on an AssetCheckSpec")

PREDICTION_DATE: Final = "prediction_date"
MODEL_VERSION: Final = "model_version"

# What a store that has never seen an ingest shows; the first ingest fixes the real one.
UNFIXED_START: Final = date(2024, 1, 1)

model_versions: Final = dg.DynamicPartitionsDefinition(name="model_versions")


def prediction_dates(start: date) -> dg.DailyPartitionsDefinition:
    """Return daily partitions from ``start``; the partition of a day appears when the day is over."""
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), end_offset=0)


def cadence_dates(cadence: Cadence, start: date) -> dg.DailyPartitionsDefinition:
    """Return the prediction dates of a cadence as days, so that each maps to the snapshot of the same day.

    Dagster's own weekly partitions are named by the day on which a week begins, and map to the seven days after it:
    those would be observations from after the cutoff.
    """
    if cadence.weekday is None:
        return prediction_dates(start)
    # Cron counts the days of the week from Sunday.
    others = ",".join(str(day) for day in range(7) if day != (cadence.weekday + 1) % 7)
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), end_offset=0, exclusions=[f"0 0 * * {others}"])


def scoring_partitions(cadence: Cadence, start: date) -> dg.MultiPartitionsDefinition:
    """Return the partitions of scoring products: prediction date x model version."""
    return dg.MultiPartitionsDefinition({PREDICTION_DATE: cadence_dates(cadence, start), MODEL_VERSION: model_versions})


def scoring_partition(prediction_date: date, model_version: str) -> dg.MultiPartitionKey:
    """Return the scoring partition of one date and version."""
    return dg.MultiPartitionKey({PREDICTION_DATE: prediction_date.isoformat(), MODEL_VERSION: model_version})


def snapshot_mapping() -> dg.PartitionMapping:
    """Map a scoring partition to the snapshot of the same day, whatever the version."""
    return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=PREDICTION_DATE)


def version_mapping() -> dg.PartitionMapping:
    """Map a scoring partition to the artifact of the same version, whatever the day."""
    return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=MODEL_VERSION)
