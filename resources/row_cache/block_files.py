"""The folder of files of blocks: which are there, which are being written, and which go when there is no more room.

What belongs here: names, the bound, and what becomes of a file that is damaged. What does not: a file's layout
(`block_file`), or what blocks say.

A file may be removed at any time by anybody; whoever has opened it goes on reading it. When there is no room for what
is being written, files of other names than are in use go, those that were written longest ago first.
"""

import logging
from collections.abc import Collection, Iterator
from contextlib import suppress
from errno import EEXIST
from pathlib import Path
from typing import Final

from resources.row_cache.block_file import PART, BlockFile, BlockWriter, DamagedBlocksError

MOST_BYTES: Final = 1 << 30
_SUFFIX: Final = ".blocks"
_log: Final = logging.getLogger(__name__)


class BlockFiles:
    """Files by name; safe to share between threads, and between processes.

    Args:
        folder: Made when it is first needed.
        most_bytes: That all files in it may have.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder, self._most = folder, most_bytes
        self._used: frozenset[str] = frozenset()
        # Files that cannot be read, of which that is said.
        self._told: set[str] = set()

    def use(self, names: Collection[str]) -> None:
        """Say which names are in use: none of these goes for another one."""
        self._used = frozenset(self._path(name).name for name in names)

    def find(self, name: str) -> BlockFile | None:
        """Return a file that is whole; None where there is none.

        One that is damaged is removed, so that it is made anew.
        """
        path = self._path(name)
        try:
            return BlockFile(path, name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (DamagedBlocksError, ValueError, KeyError, TypeError) as error:
            self.remove(name, error)
        except OSError as error:
            if name not in self._told:
                _log.warning("%s cannot be read (%s): going on without it", path, error.strerror)
            self._told.add(name)
        return None

    def begin(self, name: str) -> BlockWriter:
        """Begin a file.

        Raises:
            BlockingIOError: If another process writes it just now.
            OSError: If it cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(name)
        if path.exists():
            # Somebody else's, who would write it again if it were replaced.
            raise FileExistsError(EEXIST, "there is a file that cannot be read or removed")
        return BlockWriter(path, name, lambda size: self._has_room(size, path.name + PART))

    def remove(self, name: str, why: Exception) -> None:
        """Remove a file that is damaged."""
        path = self._path(name)
        _log.warning("%s is damaged (%s); it is made anew", path, why)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("%s cannot be removed (%s)", path, error.strerror)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"

    def _has_room(self, size: int, own: str) -> bool:
        """Return whether so many bytes more may be written; what has to go for them is removed."""
        files = sorted(_dated(self._folder))
        over = sum(bytes_ for _, bytes_, _ in files) + size - self._most
        for _, bytes_, each in files:
            if over <= 0:
                break
            if each.name != own and each.name.removesuffix(PART) not in self._used:
                each.unlink(missing_ok=True)
                over -= bytes_
        return over <= 0


def _dated(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield when each file was last written, its bytes, and its path."""
    for path in folder.glob(f"*{_SUFFIX}*"):
        # Another process may remove one at the same moment.
        with suppress(FileNotFoundError):
            found = path.stat()
            yield found.st_mtime, found.st_size, path


def block_files(folder: Path, most_bytes: int) -> BlockFiles | None:
    """Return the files of a service; None if they may have no bytes."""
    return BlockFiles(folder, most_bytes) if most_bytes else None
