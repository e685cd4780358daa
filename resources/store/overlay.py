"""A store on top of another one: reads fall through to it, writes stay in a folder of their own.

What belongs here: what of the store below can be seen, and where writes go. What does not: what is written.

What is computed on an overlay cannot touch what is below it, and cannot mistake what is there for its own: pointers to
what runs last made, and what checks said of it, are not seen from here.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import RefusedError
from resources.store.blobs import BlobStore

# Through these, what is made again would be compared with itself.
HIDDEN: Final = ("staging/", "acceptances/")


class OverlayStore(BlobStore):
    """Blobs in a local folder, over those of another store that is only read.

    Whoever asks for everything is told what was written here.

    Args:
        below: The store below: a folder or a bucket.
        root: Folder of what is written here; may be removed at any time.
    """

    def __init__(self, below: BlobStore, root: Path) -> None:
        super().__init__(root)
        self._own = BlobStore(root)
        self._below = below

    def _holder(self, path: str) -> BlobStore:
        is_own = path.startswith(HIDDEN) or (self.root / path).exists()
        return self._own if is_own else self._below

    def place(self, path: str) -> str:
        """Return where ``path`` is, as people are told."""
        return self._holder(path).place(path)

    # --- writing ---

    def create(self, path: str, data: bytes) -> bool:
        """Write ``data`` here under a name that is new here, whatever is below.

        Raises:
            RefusedError: If it belongs to the ledger: nothing is committed on an overlay.
        """
        if path.startswith("ledger"):
            raise RefusedError(
                f"`{path}` cannot be recorded: what is rebuilt is compared, never published.",
                remedy=Sentence("Publish with ", Action("run"), " or ", Action("correct"), "."),
                path=path,
            )
        return self._own.create(path, data)

    def replace(self, path: str, data: bytes) -> None:
        """Write a mutable blob here."""
        self._own.replace(path, data)

    def remove(self, path: str) -> None:
        """Remove what was written here; what is below stays."""
        self._own.remove(path)

    # --- reading ---

    def find(self, path: str) -> bytes | None:
        """Return the bytes under ``path``, or None."""
        return self._holder(path).find(path)

    def find_each(self, paths: Sequence[str]) -> Iterator[bytes | None]:
        """Yield the bytes under each path, or None."""
        return map(self.find, paths)

    def has(self, path: str) -> bool:
        """Return whether there is something under ``path``."""
        return self._holder(path).has(path)

    def hash_of(self, path: str) -> str:
        """Return the SHA-256 of the bytes under ``path``."""
        return self._holder(path).hash_of(path)

    def is_intact(self, path: str, expected: str) -> bool:
        """Return whether the bytes under ``path`` hash to ``expected``."""
        return self._holder(path).is_intact(path, expected)

    def local(self, path: str, size: int | None = None) -> Path:
        """Return a local file that holds ``path``."""
        return self._holder(path).local(path, size)

    def names_after(self, folder: str, path: str) -> list[str]:
        """Return the names in a folder that sort after ``path``, here and below."""
        seen = [name for name in self._below.names_after(folder, path) if not name.startswith(HIDDEN)]
        return sorted({*seen, *self._own.names_after(folder, path)})
