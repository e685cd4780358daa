"""Batches before they are stored: judging one by itself."""

from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.findings import Finding
from forecast_assets.ingestion.held import NOTHING_HELD, Held
from forecast_assets.ingestion.intake import Intake


def findings_of(batch: Batch, held: Held = NOTHING_HELD) -> list[Finding]:
    """Everything that is wrong with one batch, beside what the store holds already."""
    intake = Intake(held)
    judged = intake.take(batch)
    return [*judged.findings, *intake.finish()]
