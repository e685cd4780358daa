"""The stores of one home folder, opened together.

What belongs here: wiring blobs, ledger and stores. What does not: orchestration.
"""

from dataclasses import dataclass
from pathlib import Path

from resources.blobs import BlobStore
from resources.ledger import Ledger
from resources.observation_store import ObservationStore
from resources.prediction_store import PredictionStore


@dataclass(frozen=True)
class Stores:
    """The ledger and the two stores that it makes visible."""

    ledger: Ledger
    observations: ObservationStore
    predictions: PredictionStore


def open_stores(folder: Path) -> Stores:
    """Open the stores below ``folder``; the first write creates it when missing."""
    blobs = BlobStore(folder)
    ledger = Ledger(blobs)
    return Stores(ledger, ObservationStore(blobs, ledger), PredictionStore(blobs, ledger))
