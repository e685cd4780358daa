"""A cache beside the store: what is made there is kept, found again by what it was made from, and never published.

What belongs here: overlays that outlive the process, and a ledger with versions that nobody registered. What does not:
what is made on them.

Each step has a folder of its own over what it stands on. The folder gets its name only when the step is whole,
so that a killed process leaves nothing that counts; the name follows from the inputs, so that the same step is not made
twice. All of it can be removed at any time.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from forecast_assets.core.errors import ChangedFileError
from resources.ledger.entries.register import VersionRecord, Versions
from resources.ledger.log import Ledger, PastLedger
from resources.ledger.records import canonical
from resources.store.blobs import BlobStore, sha256, translated
from resources.store.manifests import ProductVersion
from resources.store.overlay import OverlayStore
from resources.store.provenance import code_version, cpu_type, library_versions
from resources.stores.home import Stores

ProductVersions = Mapping[str, ProductVersion]

_UNFINISHED: Final = ".unfinished-"
_STEP_RECORD: Final = "made.json"
_NAME_LENGTH: Final = 24
_LEFT_BEHIND_SECONDS: Final = 86_400


class ProvisionalLedger(PastLedger):
    """A ledger as it stood, with model versions that it does not have; nothing can be appended."""

    def __init__(self, ledger: Ledger, position: int, versions: Iterable[VersionRecord]) -> None:
        super().__init__(ledger, position)
        self._state.versions.update({version.model_version: version for version in versions})
        # What serves no more can still be measured.
        self._state.part(Versions).retired.clear()


@dataclass(frozen=True)
class CachedStep:
    """A finished piece of work.

    Attributes:
        stores: The stores as they look from it: what it made, over what it stands on.
        made: Product versions that it made, by product.
    """

    stores: Stores
    made: ProductVersions


class BacktestCache:
    """Work beside a store as it stood.

    Args:
        stores: Where everything is.
        folder: Where work is kept.
    """

    def __init__(self, stores: Stores, folder: Path) -> None:
        self.position = stores.ledger.state().sequence
        self.stores = stores.as_of(self.position)
        self._ledger = stores.ledger
        self._folder = folder

    def step(
        self,
        stage: str,
        inputs: Mapping[str, Any],
        make: Callable[[Stores], ProductVersions],
        *,
        below: Stores | None = None,
        versions: Iterable[VersionRecord] = (),
    ) -> CachedStep:
        """Return a piece of work, made now unless it was made before from the same inputs by the same code.

        Args:
            stage: What kind of work it is.
            inputs: All that shapes it, as JSON; code, libraries and the type of processor are added here.
            make: Makes it on an overlay; returns what it made.
            below: What it stands on; the store if left out.
            versions: Model versions that its ledger has besides.

        Raises:
            StorageError: If the folder cannot be written.
        """
        ledger = ProvisionalLedger(self._ledger, self.position, versions)
        blobs = (below or self.stores).blobs
        made_from = {**inputs, "code": code_version(), "libraries": library_versions(), "cpu": cpu_type()}
        folder = self._folder / f"{stage}-{sha256(canonical(made_from))[:_NAME_LENGTH]}"
        found = _read(_over(blobs, folder, ledger), folder)
        if found is None:
            with translated(folder), self._unfinished() as scratch:
                made = make(_over(blobs, scratch, ledger))
                mark = {"inputs": made_from, "made": {name: version.version for name, version in made.items()}}
                (scratch / _STEP_RECORD).write_bytes(canonical(mark))
                # Another process may have finished it meanwhile, and be reading it.
                found = _read(_over(blobs, folder, ledger), folder)
                if found is None:
                    _rename_into_place(scratch, folder)
            found = found or _read(_over(blobs, folder, ledger), folder)
        if found is None:
            raise ChangedFileError(f"`{folder}` is not as it was just written.", remedy="Check the disk; run again.")
        return found

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        self._folder.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(self._folder)
        scratch = self._folder / f"{_UNFINISHED}{uuid4().hex}"
        scratch.mkdir()
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _over(blobs: BlobStore, folder: Path, ledger: Ledger) -> Stores:
    return Stores.on(OverlayStore(blobs, folder), ledger)


def _read(stores: Stores, folder: Path) -> CachedStep | None:
    """Return the piece in a folder; None if there is none, or if it is not as it was written."""
    try:
        mark = json.loads((folder / _STEP_RECORD).read_bytes())
        made = {name: stores.predictions.version(version) for name, version in mark["made"].items()}
        for version in made.values():
            stores.predictions.verify_files(version)
    except (OSError, ValueError, KeyError, ChangedFileError):
        return None
    return CachedStep(stores, made)


def _rename_into_place(scratch: Path, folder: Path) -> None:
    """Give finished work its name; of two processes that finish the same one, either may."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        scratch.rename(folder)
    except OSError:
        # A folder with something in it is no FileExistsError everywhere.
        if not folder.exists():
            raise


def _remove_left_behind(folder: Path) -> None:
    """Remove what killed processes left; a day is longer than any work takes."""
    for path in folder.glob(f"{_UNFINISHED}*"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _LEFT_BEHIND_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
