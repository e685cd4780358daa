"""Blocks of published rows in files below the home, where the next process finds them, and all of them together.

What belongs here: which product versions get a file, and going on without one. What does not: the files
(`resources.row_cache`), which blocks are kept in memory (`kept_blocks`), or making blocks (`row_blocks`).

Whatever fails, a block is just not there: a file that cannot be written is let go of, and one of whose blocks is
damaged is removed.
"""

import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from threading import Lock
from time import monotonic
from typing import Final

from forecast_assets.core.keys import StoreSku
from forecast_assets.serving.dataplane.kept_blocks import BlockName
from resources.row_cache.block_file import BlockFile, BlockWriter, DamagedBlocksError
from resources.row_cache.block_files import BlockFiles

# A version whose file could not be written, as on a disk that is full, gets none for so long.
TRIED_AGAIN_SECONDS: Final = 300.0
# Files that are open, and versions that are known to have none.
_MOST_KNOWN: Final = 64
_log: Final = logging.getLogger(__name__)


class Taken(Enum):
    """Where blocks of a product version are put."""

    WHOLE = auto()
    HERE = auto()
    ELSEWHERE = auto()
    NOWHERE = auto()


@dataclass(frozen=True)
class _Begun:
    """A file that is being written.

    Attributes:
        writer: Of it.
        starts: First series of each of its blocks.
    """

    writer: BlockWriter
    starts: Sequence[StoreSku]


class DiskBlocks:
    """Blocks in files; safe to share between threads.

    Args:
        files: Where they are; None for nowhere.
    """

    def __init__(self, files: BlockFiles | None) -> None:
        self._files = files
        self._found: OrderedDict[str, BlockFile | None] = OrderedDict()
        self._begun: dict[str, _Begun] = {}
        self._refused_until: dict[str, float] = {}
        self._lock = Lock()

    def starts(self, version: str) -> list[StoreSku] | None:
        """Return the first series of each block of a version that has a file; None of another one."""
        found = self._find(version)
        return None if found is None else [(store_id, sku_id) for store_id, sku_id in found.notes]

    def get(self, name: BlockName) -> bytes | None:
        """Return a block that is in a file, whole or being written."""
        version, number = name
        found, begun = self._find(version), self._begun.get(version)
        try:
            if found is not None:
                return found.read(number)
            return None if begun is None else begun.writer.read(number)
        except (OSError, DamagedBlocksError) as error:
            self._let_go(version, error)
            return None

    def has(self, names: Collection[BlockName]) -> bool:
        """Whether all of some blocks are in files."""
        return all(self._has(*name) for name in names)

    def use(self, versions: Collection[str]) -> None:
        """Say which versions get files; look for those that others have written meanwhile, or removed."""
        if self._files is None:
            return
        self._files.use(versions)
        with self._lock:
            for version, found in [*self._found.items()]:
                if found is None or not found.is_there:
                    del self._found[version]
            left = [self._begun.pop(version) for version in [*self._begun] if version not in versions]
        for begun in left:
            begun.writer.abandon()

    def begin(self, version: str, starts: Sequence[StoreSku]) -> Taken:
        """Begin the file of a version, unless it has one; say where its blocks are put.

        Args:
            version: That gets a file.
            starts: First series of each of its blocks.
        """
        if self._find(version) is not None:
            return Taken.WHOLE
        if self._files is None or self._refused_until.get(version, 0.0) > monotonic():
            return Taken.NOWHERE
        with self._lock:
            if version in self._begun:
                return Taken.HERE
            try:
                self._begun[version] = _Begun(self._files.begin(version), starts)
            except BlockingIOError:
                return Taken.ELSEWHERE
            except OSError as error:
                self._refuse(version, error)
                return Taken.NOWHERE
        return Taken.HERE

    def takes(self, version: str) -> bool:
        """Whether blocks of a version are put into a file just now."""
        return version in self._begun

    def put(self, version: str, blocks: Mapping[int, bytes]) -> bool:
        """Write blocks of a version whose file was begun; return whether they are in it.

        With the last of them the file is finished.
        """
        begun = self._begun.get(version)
        if begun is None:
            return False
        try:
            begun.writer.put(blocks)
            if all(begun.writer.has(number) for number in range(len(begun.starts))):
                found = begun.writer.finish(len(begun.starts), begun.starts)
                with self._lock:
                    self._found[version] = found
                    self._begun.pop(version, None)
        except (OSError, DamagedBlocksError) as error:
            self._let_go(version, error)
            return False
        return True

    def close(self) -> None:
        """Leave no file behind that is not whole."""
        with self._lock:
            left, self._begun, self._files = [*self._begun.values()], {}, None
        for begun in left:
            begun.writer.abandon()

    def _has(self, version: str, number: int) -> bool:
        found, begun = self._find(version), self._begun.get(version)
        return found is not None or (begun is not None and begun.writer.has(number))

    def _find(self, version: str) -> BlockFile | None:
        with self._lock:
            if version in self._found:
                return self._found[version]
            files = self._files
        found = None if files is None else files.find(version)
        with self._lock:
            self._found[version] = found
            while len(self._found) > _MOST_KNOWN:
                self._found.popitem(last=False)
        return found

    def _let_go(self, version: str, error: Exception) -> None:
        """Go on without a file that fails."""
        with self._lock:
            begun, found = self._begun.pop(version, None), self._found.pop(version, None)
            files = self._files
            if begun is not None:
                self._refuse(version, error)
        if begun is not None:
            begun.writer.abandon()
        elif found is not None and files is not None:
            self._found[version] = None
            files.remove(version, error)

    def _refuse(self, version: str, error: Exception) -> None:
        if version not in self._refused_until:
            _log.warning("rows of the product version %s are kept in memory alone: %s", version, error)
        self._refused_until[version] = monotonic() + TRIED_AGAIN_SECONDS
