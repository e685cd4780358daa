"""Published rows of few series, quicker than from their files: in blocks that are kept compressed in memory.

What belongs here: which blocks have a series, and making them. What does not: what is asked, whole pages, or which
blocks are kept (`kept_blocks`).

A file of a run is decoded in row groups of 65,536 rows, whatever is wanted of it: 25 ms of a processor for the 28 rows
of a series. So the rows of a row group are kept in blocks of 2,048, each compressed by itself, up to a bound in bytes;
one block is decoded in about 2 ms. What is published never changes, so that nothing in them gets old.

Compressing a row group takes 0.1 s, for which nobody waits: who asks for rows that are not kept reads them from the
file, and one thread in the background keeps their row group. It ends when nothing is left to keep.
"""

import logging
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby, pairwise
from threading import Event, Lock, Thread
from time import monotonic
from typing import Final

import polars as pl

from forecast_assets.contracts import FORECAST_EXPLANATIONS, FORECASTS, STOCKOUT_RISKS
from forecast_assets.core.keys import StoreSku
from forecast_assets.operations.reading import scan_product
from forecast_assets.serving.dataplane.kept_blocks import BlockName, KeptBlocks
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores

BLOCK_ROWS: Final = 2_048
# Rows of a row group: what is decoded at once is kept at once.
PORTION_ROWS: Final = 65_536
# All that is asked of a run of 50,000 series, 28 days ahead.
MOST_BYTES: Final = 256 * 2**20
# As many are read by block; of more, scanning the file costs less.
FEW_SERIES: Final = 20
# Products that are kept before anybody asks, those first that are asked for most.
WARMED: Final = (FORECASTS.name, STOCKOUT_RISKS.name, FORECAST_EXPLANATIONS.name)
# What is asked for while so many portions wait is read from its file again the next time.
MOST_WANTED: Final = 64
_MOST_STARTS: Final = 64
_SERIES: Final = ("store_id", "sku_id")
# A portion in work is left at its next block.
_ENDS_SECONDS: Final = 2.0

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Portion:
    """Rows of a product version that are decoded together.

    Attributes:
        version: Of the product.
        number: Of the portion in it.
    """

    version: str
    number: int

    @property
    def blocks(self) -> range:
        """Its blocks; the last portion may have fewer."""
        each = PORTION_ROWS // BLOCK_ROWS
        return range(self.number * each, (self.number + 1) * each)


class RowBlocks:
    """Reads published rows of few series; safe to share between threads.

    Args:
        stores: Where everything is.
        most_bytes: Bytes of blocks that are kept.
    """

    def __init__(self, stores: Stores, most_bytes: int = MOST_BYTES) -> None:
        self._stores, self._kept = stores, KeptBlocks(most_bytes)
        self._starts: OrderedDict[str, list[StoreSku] | None] = OrderedDict()
        # Whoever waits for the starts of a product finds them there.
        self._starting: dict[str, Lock] = {}
        self._asked: OrderedDict[_Portion, pl.LazyFrame] = OrderedDict()
        self._beforehand: OrderedDict[_Portion, pl.LazyFrame] = OrderedDict()
        self._in_work: _Portion | None = None
        self._largest = 0
        self._keeper: Thread | None = None
        self._closing = Event()
        self._lock = Lock()

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
        wanted = pl.DataFrame(sorted(set(series)), schema=dict.fromkeys(_SERIES, pl.String), orient="row")
        if wanted.height <= FEW_SERIES:
            version = publication.products[product]
            starts = self._starts_of(version, scan)
            if starts is not None:
                places = sorted({place for one in wanted.iter_rows() for place in _places(starts, one)})
                scan = self._blocks(version, scan, places, keeps=keeps)
        return scan.join(wanted.lazy(), on=_SERIES, how="semi", maintain_order="left")

    def warm(self, publications: Sequence[Publication]) -> None:
        """Keep the blocks of runs before anybody asks, in the background, as far as there is room.

        Args:
            publications: All runs that will be asked for, the most important one first.
        """
        found = [(run, product) for product in WARMED for run in publications if product in run.products]
        self._kept.warm({run.products[product] for run, product in found})
        wanted: OrderedDict[_Portion, pl.LazyFrame] = OrderedDict()
        for run, product in found:
            version, scan = run.products[product], scan_product(self._stores, run, product)
            count = len(self._starts_of(version, scan) or ())
            for number in range(-(-count * BLOCK_ROWS // PORTION_ROWS)):
                portion = _Portion(version, number)
                if not self._kept.has([(version, block) for block in portion.blocks if block < count]):
                    wanted[portion] = scan
        with self._lock:
            self._beforehand = wanted
            self._begin()

    def finish(self) -> None:
        """Wait until what is to be kept is kept."""
        while (keeper := self._keeper) is not None:
            keeper.join()

    def close(self) -> None:
        """Keep nothing any more; what is asked is read from files."""
        with self._lock:
            self._closing.set()
            keeper = self._keeper
        if keeper is not None:
            keeper.join(_ENDS_SECONDS)

    def _starts_of(self, version: str, scan: pl.LazyFrame) -> list[StoreSku] | None:
        """Return the first series of each block; None where rows are not in the order of their series."""
        with self._lock:
            if version in self._starts:
                self._starts.move_to_end(version)
                return self._starts[version]
            # Of other products nobody waits meanwhile.
            starting = self._starting.setdefault(version, Lock())
        with starting:
            with self._lock:
                if version in self._starts:
                    return self._starts[version]
            found: list[StoreSku] = scan.select(_SERIES).gather_every(BLOCK_ROWS).collect().rows()
            known = found if all(a <= b for a, b in pairwise(found)) else None
            with self._lock:
                self._starts[version] = known
                self._starting.pop(version, None)
                while len(self._starts) > _MOST_STARTS:
                    self._starts.popitem(last=False)
            return known

    def _blocks(self, version: str, scan: pl.LazyFrame, places: Sequence[int], *, keeps: bool) -> pl.LazyFrame:
        """Return the rows of some blocks: of each portion from what is kept, or from the file if not all of it is."""
        found = []
        for number, of_portion in groupby(places, lambda place: place * BLOCK_ROWS // PORTION_ROWS):
            blocks = [*of_portion]
            kept = [self._kept.get((version, place)) for place in blocks]
            whole = [content for content in kept if content is not None]
            if len(whole) == len(blocks):
                found += [pl.read_ipc(content).lazy() for content in whole]
            else:
                if keeps:
                    self._want(_Portion(version, number), scan)
                found.append(scan.slice(blocks[0] * BLOCK_ROWS, (blocks[-1] + 1 - blocks[0]) * BLOCK_ROWS))
        return pl.concat(found) if found else scan.head(0)

    def _want(self, portion: _Portion, scan: pl.LazyFrame) -> None:
        """Have a portion kept that somebody asked for."""
        with self._lock:
            if portion != self._in_work and len(self._asked) < MOST_WANTED:
                self._asked[portion] = scan
                self._begin()

    def _begin(self) -> None:
        """Let the background begin, unless it has; whoever calls holds the lock."""
        if self._keeper is None and not self._closing.is_set():
            self._keeper = Thread(target=self._keep_wanted, name="row blocks", daemon=True)
            self._keeper.start()

    def _keep_wanted(self) -> None:
        while (wanted := self._next()) is not None:
            portion, scan, is_asked = wanted
            began = monotonic()
            try:
                self._keep(portion, scan, is_asked)
            except BaseException:  # noqa: BLE001 - whoever asks reads the file, and is told what is wrong with it
                _log.exception("rows of the product version %s could not be kept", portion.version)
            if not is_asked:
                # Answers come first: half of a processor at most.
                self._closing.wait(monotonic() - began)

    def _next(self) -> tuple[_Portion, pl.LazyFrame, bool] | None:
        """Return what to keep next, and whether it was asked for; None when nothing is left."""
        with self._lock:
            is_asked = bool(self._asked)
            queue = self._asked if is_asked else self._beforehand
            if self._closing.is_set() or not queue or not (is_asked or self._kept.has_room(self._largest)):
                self._in_work = self._keeper = None
                self._beforehand.clear()
                return None
            self._in_work, scan = queue.popitem(last=False)
            self._beforehand.pop(self._in_work, None)
            return self._in_work, scan, is_asked

    def _keep(self, portion: _Portion, scan: pl.LazyFrame, is_asked: bool) -> None:
        rows = scan.slice(portion.number * PORTION_ROWS, PORTION_ROWS).collect()
        made: dict[BlockName, bytes] = {}
        for block, start in zip(portion.blocks, range(0, rows.height, BLOCK_ROWS), strict=False):
            if self._closing.is_set():
                return
            buffer = BytesIO()
            rows.slice(start, BLOCK_ROWS).write_ipc(buffer, compression="lz4")
            made[(portion.version, block)] = buffer.getvalue()
        self._largest = max(self._largest, sum(map(len, made.values())))
        if is_asked:
            self._kept.keep(made)
        else:
            self._kept.keep_beforehand(made)


def _places(starts: Sequence[StoreSku], one: StoreSku) -> range:
    """Return the blocks that may have a series: from the last that begins before it to the last that begins with it."""
    return range(max(bisect_left(starts, one) - 1, 0), bisect_right(starts, one))
