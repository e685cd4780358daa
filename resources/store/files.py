"""Files of this machine's own disk, outside the store: written whole or not at all, and confirmed by the disk.

What belongs here: writing and syncing one file or folder. What does not: which files there are, or the store's blobs.
"""

import os
from pathlib import Path
from uuid import uuid4


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, also after a power cut; who writes the same at once does no harm.

    That it has its name survives a power cut once its folder is synced.

    Raises:
        OSError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have the disk confirm a file's bytes, or which names a folder has.

    Raises:
        OSError: If it cannot.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
