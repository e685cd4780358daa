"""Published rows of few series, quicker than from their files: in blocks that are kept compressed in memory.

What belongs here: which blocks have a series, and which blocks are kept. What does not: what is asked, or whole pages.

A file of a run is decoded in row groups of 65,536 rows, whatever is wanted of it: 20 ms of a processor for the 28 rows
of a series. So the rows of a row group are kept in blocks of 2,048, each compressed by itself, up to a bound in bytes;
one block is decoded in about 1 ms. What is published never changes, so that nothing in them gets old.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from threading import Lock
from typing import Final

import polars as pl

from forecast_assets.core.keys import StoreSku
from forecast_assets.operations.reading import scan_product
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores

BLOCK_ROWS: Final = 2_048
# Rows of a row group: what is decoded at once is kept at once.
PORTION_ROWS: Final = 65_536
MOST_BYTES: Final = 256 * 2**20
# As many are read by block; of more, scanning the file costs less.
FEW_SERIES: Final = 20
_MOST_STARTS: Final = 64
_SERIES: Final = ("store_id", "sku_id")


class RowBlocks:
    """Reads published rows of few series; safe to share between threads.

    Args:
        stores: Where everything is.
        most_bytes: Bytes of blocks that are kept; those go first that were read longest ago.
    """

    def __init__(self, stores: Stores, most_bytes: int = MOST_BYTES) -> None:
        self._stores, self._most = stores, most_bytes
        self._starts: OrderedDict[str, list[StoreSku] | None] = OrderedDict()
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()
        # One portion is decoded at a time: whoever waits for it finds it there.
        self._decoding = Lock()

    def rows(
        self, publication: Publication, product: str, series: Sequence[StoreSku], *, keeps: bool = True
    ) -> pl.LazyFrame:
        """Return the rows of some series of a published run, in their order; none of those that it has not.

        Args:
            publication: The run.
            product: Sorted by store and SKU, or all of it is scanned.
            series: Store and SKU of each.
            keeps: Whether what has to be decoded is kept. It costs less not to where many files are asked for a series
                each, and leaves what is kept to those who ask for more.

        Raises:
            UnknownProductError: If the run has no such product.
        """
        scan = scan_product(self._stores, publication, product)
        version = publication.products[product]
        starts = self._starts_of(version, scan)
        wanted = pl.DataFrame(sorted(set(series)), schema=dict.fromkeys(_SERIES, pl.String), orient="row")
        if starts is not None and wanted.height <= FEW_SERIES:
            places = sorted({place for one in wanted.iter_rows() for place in _places(starts, one)})
            blocks = [self._block(version, scan, place, keeps=keeps) for place in places]
            scan = pl.concat(blocks).lazy() if blocks else scan.head(0)
        return scan.join(wanted.lazy(), on=_SERIES, how="semi", maintain_order="left")

    def _starts_of(self, version: str, scan: pl.LazyFrame) -> list[StoreSku] | None:
        """Return the first series of each block; None where rows are not in the order of their series."""
        with self._lock:
            if version in self._starts:
                self._starts.move_to_end(version)
                return self._starts[version]
        found: list[StoreSku] = scan.select(_SERIES).gather_every(BLOCK_ROWS).collect().rows()
        known = found if all(a <= b for a, b in pairwise(found)) else None
        with self._lock:
            self._starts[version] = known
            while len(self._starts) > _MOST_STARTS:
                self._starts.popitem(last=False)
        return known

    def _block(self, version: str, scan: pl.LazyFrame, place: int, *, keeps: bool) -> pl.DataFrame:
        kept = self._kept(version, place)
        if kept is None and not keeps:
            return scan.slice(place * BLOCK_ROWS, BLOCK_ROWS).collect()
        if kept is None:
            with self._decoding:
                kept = self._kept(version, place) or self._decode(version, scan, place)
        return pl.read_ipc(kept)

    def _kept(self, version: str, place: int) -> bytes | None:
        with self._lock:
            kept = self._blocks.get((version, place))
            if kept is not None:
                self._blocks.move_to_end((version, place))
            return kept

    def _decode(self, version: str, scan: pl.LazyFrame, place: int) -> bytes:
        """Decode the portion of a block, keep its blocks, and return that one."""
        first = place * BLOCK_ROWS // PORTION_ROWS * PORTION_ROWS
        rows = scan.slice(first, PORTION_ROWS).collect()
        found = {}
        for start in range(0, rows.height, BLOCK_ROWS):
            buffer = BytesIO()
            rows.slice(start, BLOCK_ROWS).write_ipc(buffer, compression="lz4")
            found[(version, (first + start) // BLOCK_ROWS)] = buffer.getvalue()
        with self._lock:
            for name, content in found.items():
                # Some of the portion may be kept still.
                self._bytes += len(content) - len(self._blocks.pop(name, b""))
                self._blocks[name] = content
            while self._bytes > self._most:
                _, gone = self._blocks.popitem(last=False)
                self._bytes -= len(gone)
        return found[(version, place)]


def _places(starts: Sequence[StoreSku], one: StoreSku) -> range:
    """Return the blocks that may have a series: from the last that begins before it to the last that begins with it."""
    return range(max(bisect_left(starts, one) - 1, 0), bisect_right(starts, one))
