"""Blocks of published rows that are kept in memory, compressed, up to a bound in bytes.

What belongs here: which are kept, and which go first. What does not: which block has what, decoding, or compressing.

Blocks are kept since somebody asked for their rows, or beforehand, since somebody will. For one that was asked for
those go that were read longest ago, and before them what nobody has read yet. For one that is kept beforehand nothing
goes that is in use: only blocks of other runs than are warmed now, and that nobody has read since these are.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from threading import Lock

# Version of a product, and number of the block in it.
BlockName = tuple[str, int]


class KeptBlocks:
    """Blocks by name; safe to share between threads.

    Args:
        most_bytes: Bytes of blocks that are kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        # Those that go first stand first.
        self._blocks: OrderedDict[BlockName, bytes] = OrderedDict()
        # What may go for blocks that are kept beforehand, in the same order.
        self._spare: OrderedDict[BlockName, None] = OrderedDict()
        self._warmed: frozenset[str] = frozenset()
        self._bytes = 0
        self._lock = Lock()

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._bytes

    def get(self, name: BlockName) -> bytes | None:
        """Return a block that is kept: it is in use from now on."""
        with self._lock:
            kept = self._blocks.get(name)
            if kept is not None:
                self._blocks.move_to_end(name)
                self._spare.pop(name, None)
            return kept

    def has(self, names: Collection[BlockName]) -> bool:
        """Whether all of some blocks are kept; they are in no more use than before."""
        with self._lock:
            return all(name in self._blocks for name in names)

    def warm(self, versions: Collection[str]) -> None:
        """Say of which product versions blocks are kept beforehand: those of others may go for them, unless read."""
        with self._lock:
            before, self._warmed = self._warmed, frozenset(versions)
            if before != self._warmed:
                self._spare = OrderedDict.fromkeys(name for name in self._blocks if name[0] not in self._warmed)

    def has_room(self, size: int) -> bool:
        """Whether so many bytes can be kept beforehand."""
        with self._lock:
            spare = sum(len(self._blocks[name]) for name in self._spare)
            return self._bytes - spare + size <= self._most

    def keep(self, blocks: Mapping[BlockName, bytes]) -> None:
        """Keep blocks that somebody asked for."""
        with self._lock:
            for name, content in blocks.items():
                self._let_go(name)
                self._add(name, content)
            while self._bytes > self._most:
                self._let_go(next(iter(self._blocks)))

    def keep_beforehand(self, blocks: Mapping[BlockName, bytes]) -> bool:
        """Keep blocks that nobody has asked for yet; return whether there was room for all that are not kept."""
        with self._lock:
            for name, content in blocks.items():
                if name in self._blocks:
                    continue
                while self._spare and self._bytes + len(content) > self._most:
                    self._let_go(next(iter(self._spare)))
                if self._bytes + len(content) > self._most:
                    return False
                self._add(name, content)
                self._blocks.move_to_end(name, last=False)
            return True

    def let_go(self, version: str) -> None:
        """Keep no block of a product version."""
        with self._lock:
            for name in [name for name in self._blocks if name[0] == version]:
                self._let_go(name)

    def _add(self, name: BlockName, content: bytes) -> None:
        self._blocks[name] = content
        self._bytes += len(content)

    def _let_go(self, name: BlockName) -> None:
        self._bytes -= len(self._blocks.pop(name, b""))
        self._spare.pop(name, None)
