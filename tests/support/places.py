"""Where a store is, a folder or a bucket: opened anew by whoever wants to, and changed behind everybody's back.

What belongs here: places, and what is done to them past the store. What does not: what a store promises.
"""

from dataclasses import dataclass
from pathlib import Path

from resources.ledger.log import Ledger
from resources.store.blobs import BlobStore
from resources.store.bucket import open_blobs
from resources.stores.home import Stores, open_stores


@dataclass(frozen=True)
class Place:
    """Where a store is, for whoever opens it, in this process or in another."""

    location: str
    mirror: str

    def open(self) -> Stores:
        return open_stores(self.location, Path(self.mirror))

    def blobs(self) -> BlobStore:
        return open_blobs(self.location, Path(self.mirror))

    def ledger(self) -> Ledger:
        return Ledger(self.blobs())

    def beside(self, name: str) -> "Place":
        """Return another place, whose name begins with this one's."""
        return Place(f"{self.location}-{name}", self.mirror)

    def change(self, path: str, data: bytes) -> None:
        """Put other bytes under a name, as nobody should."""
        blobs = self.blobs()
        if blobs.is_local:
            blobs.local(path).write_bytes(data)
        else:
            blobs.replace(path, data)

    def copy_from(self, folder: Path) -> None:
        """Take over all that a store in a folder has."""
        blobs, copied = self.blobs(), BlobStore(folder)
        for blob in copied.everything():
            blobs.create(blob.path, copied.get(blob.path))
