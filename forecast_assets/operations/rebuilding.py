"""What running stages again over an overlay of the store needs.

What belongs here: the overlay, the inputs that are not rebuilt, and snapshots. What does not: running stages, or
comparing what they made.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from forecast_assets.core.errors import InputError, NotStagedError
from forecast_assets.core.progress import Progress
from forecast_assets.snapshots.rebuilding import write_rebuilt
from resources.store.manifests import ProductVersion
from resources.store.overlay import OverlayStore
from resources.stores.home import Stores


@contextmanager
def overlay(stores: Stores, keep: Path | None) -> Iterator[Stores]:
    """Open the stores over a folder that takes what is written.

    Args:
        stores: Where everything is, as it was.
        keep: New or empty folder outside the store; a temporary one if None.

    Raises:
        InputError: If the folder is not empty, or lies in the store.
    """
    if keep is not None:
        if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
            raise InputError(f"`{keep}` is not an empty folder.", remedy="Name a new one with --keep.")
        if keep.resolve().is_relative_to(stores.blobs.root.resolve()):
            raise InputError(f"`{keep}` lies in the store.", remedy="Name a folder outside it with --keep.")
        yield Stores.on(OverlayStore(stores.blobs, keep), stores.ledger)
        return
    with TemporaryDirectory(prefix="forecast-assets-") as folder:
        yield Stores.on(OverlayStore(stores.blobs, Path(folder)), stores.ledger)


def verify_inputs(
    stores: Stores, snapshots: Iterable[ProductVersion], made: Iterable[ProductVersion], progress: Progress
) -> None:
    """Re-hash what is not rebuilt but read: batches, artifact, external files.

    Raises:
        ChangedFileError: Naming the first that is not as recorded.
    """
    ids = dict.fromkeys(batch for snapshot in snapshots for batch in snapshot.inputs["batches"])
    batches, others = stores.observations.named(ids), list(made)
    total = len(batches) + len(others)
    for done, batch in enumerate(batches):
        progress("check inputs", done, total)
        stores.observations.verify(batch)
    for each in others:
        stores.predictions.verify_files(each)
    progress("check inputs", total, total)


def rebuild_snapshots(scratch: Stores, snapshots: Sequence[ProductVersion], progress: Progress) -> None:
    """Compute snapshots again where the stages of a run look for them."""
    for done, snapshot in enumerate(snapshots):
        progress("rebuild snapshot", done, len(snapshots))
        write_rebuilt(snapshot, scratch)
    progress("rebuild snapshot", len(snapshots), len(snapshots))


def rebuilt_product(scratch: Stores, product: str, key: str) -> ProductVersion | None:
    """Return what was made on an overlay; None if it was not made."""
    try:
        return scratch.predictions.staged(product, key)
    except NotStagedError:
        return None
