"""Batches before they are stored: judging one by itself."""

from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.findings import FeedFinding
from forecast_assets.ingestion.intake import Intake
from forecast_assets.ingestion.stored_rows import NO_STORED_ROWS, StoredRows


def findings_of(batch: Batch, held: StoredRows = NO_STORED_ROWS) -> list[FeedFinding]:
    """Everything that is wrong with one batch, beside what the store holds already."""
    intake = Intake(held)
    judged = intake.take(batch)
    return [*judged.findings, *intake.finish()]
