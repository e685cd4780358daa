"""The stores of one home folder, opened together.

What belongs here: wiring blobs, ledger and stores. What does not: orchestration.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from resources.ledger.log import Ledger, PastLedger
from resources.store.blobs import BlobStore
from resources.store.bucket import open_blobs
from resources.stores.observations import ObservationStore
from resources.stores.products import PredictionStore
from resources.stores.registry import Registry


@dataclass(frozen=True)
class Stores:
    """The ledger and what it makes visible.

    Attributes:
        blobs: Files.
        ledger: What happened.
        observations: What sources said.
        predictions: Products.
        registry: Model versions and channels.
    """

    blobs: BlobStore
    ledger: Ledger
    observations: ObservationStore
    predictions: PredictionStore
    registry: Registry

    @classmethod
    def on(cls, blobs: BlobStore, ledger: Ledger | None = None) -> "Stores":
        """Wire the stores on blobs."""
        kept = ledger or Ledger(blobs)
        return cls(blobs, kept, ObservationStore(blobs, kept), PredictionStore(blobs, kept), Registry(blobs, kept))

    def as_of(self, position: int | datetime) -> "Stores":
        """Return the same stores as they stood at a ledger position; nothing can be recorded there.

        Args:
            position: Sequence number of a ledger entry, or a moment.

        Raises:
            InputError: If the ledger is not that long.
        """
        return self.on(self.blobs, PastLedger(self.ledger, position))

    def read_only(self, rest_seconds: float = 0.0) -> "Stores":
        """Return the same stores, by which nothing can be recorded, written or removed.

        Args:
            rest_seconds: How long what was recorded meanwhile may stay unseen.
        """
        blobs = self.blobs.read_only()
        return self.on(blobs, Ledger(blobs, rest_seconds))


def open_stores(location: Path | str, mirror: Path | None = None) -> Stores:
    """Open the stores of a folder or a bucket; the first write creates a folder that is missing.

    Args:
        location: Folder, or the URL of a bucket.
        mirror: Folder for local copies of what is in a bucket.
    """
    return Stores.on(open_blobs(location, mirror))
