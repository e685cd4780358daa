"""Published rows of few series, quicker than from their files: in blocks that are kept compressed.

What belongs here: which block has a series, and making them. What does not: what is asked, whole pages, or where blocks
are kept (`disk_blocks`, `kept_blocks`).

A file of a run is decoded in row groups of 65,536 rows, whatever is wanted of it: 15 ms of a processor for the 28 rows
of a series. So the rows of a row group are kept in blocks of 1,024, each compressed by itself; one block is decoded in
less than half a millisecond. What is published never changes, so that nothing in them gets old.

Blocks of the newest runs are in a file for each of their products, where there may be such files, which the next
process finds whole. All others are in memory, up to a bound in bytes.

Compressing a row group takes 60 ms, for which nobody waits: who asks for rows that are not kept decodes their row
group, for all who ask meanwhile, and one thread in the background keeps it. It ends when nothing is left to keep.
"""

import hashlib
import json
import logging
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache, reduce
from io import BytesIO
from itertools import groupby, pairwise
from operator import or_
from threading import Event, Lock, Thread
from time import monotonic
from typing import Final, NamedTuple

import polars as pl

from forecast_assets.contracts import FORECAST_EXPLANATIONS, FORECASTS, PRODUCTS, STOCKOUT_RISKS, absent_columns
from forecast_assets.core.keys import StoreSku
from forecast_assets.operations.reading import scan_product
from forecast_assets.serving.dataplane.disk_blocks import DiskBlocks, Taken
from forecast_assets.serving.dataplane.kept_blocks import BlockName, KeptBlocks
from resources.ledger.entries.publish import Publication
from resources.row_cache.block_files import BlockFiles
from resources.stores.home import Stores

BLOCK_ROWS: Final = 1_024
# Rows of a row group: what is decoded at once is kept at once.
PORTION_ROWS: Final = 65_536
# More than is asked of a run of 50,000 series, 28 days ahead.
MOST_BYTES: Final = 256 * 2**20
# As many are read by block; of more, scanning the file costs less.
FEW_SERIES: Final = 20
# Products that are kept before anybody asks, those first that are asked for most.
WARMED: Final = (FORECASTS.name, STOCKOUT_RISKS.name, FORECAST_EXPLANATIONS.name)
# What is asked for while so many portions wait is read from its file again the next time.
MOST_WANTED: Final = 64
# So many portions that wait to be kept are held as they were decoded, 25 MB each.
MOST_HELD: Final = 4
_MOST_STARTS: Final = 64
_SERIES: Final = ("store_id", "sku_id")
# Of blocks: it changes with whatever they say, or how.
_FORMAT: Final = 1
# A portion in work is left at its next block.
_ENDS_SECONDS: Final = 2.0

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Portion:
    """Rows of a product version that are decoded together.

    Attributes:
        version: Of the product, as `kept_version` names it.
        number: Of the portion in it.
    """

    version: str
    number: int

    @property
    def blocks(self) -> range:
        """Its blocks; the last portion may have fewer."""
        each = PORTION_ROWS // BLOCK_ROWS
        return range(self.number * each, (self.number + 1) * each)


class LookUps(NamedTuple):
    """How often blocks were looked for.

    Attributes:
        hits: Blocks that were kept, in memory or on disk.
        misses: Blocks that had to be decoded from the file.
    """

    hits: int
    misses: int


def kept_version(publication: Publication, product: str) -> str:
    """Return what blocks of a product of a run are kept as: with a hash of all that their rows follow from."""
    return _named(publication.products[product], product, publication.schemas.get(product))


@lru_cache(maxsize=1_024)
def _named(version: str, product: str, fingerprint: str | None) -> str:
    # Columns that the files lack are shown as this release shows them.
    absent = dict(absent_columns(product, fingerprint))
    said = [_FORMAT, BLOCK_ROWS, PORTION_ROWS, PRODUCTS[product].fingerprint, absent]
    return f"{version}-{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]}"


class RowBlocks:
    """Reads published rows of few series; safe to share between threads.

    Args:
        stores: Where everything is.
        most_bytes: Bytes of blocks that are kept in memory.
        files: Where blocks of the newest runs are kept on disk; None for nowhere.
    """

    def __init__(self, stores: Stores, most_bytes: int = MOST_BYTES, files: BlockFiles | None = None) -> None:
        self._stores, self._kept, self._disk = stores, KeptBlocks(most_bytes), DiskBlocks(files)
        self._starts: OrderedDict[str, list[StoreSku] | None] = OrderedDict()
        # Whoever waits for the starts of a product finds them there.
        self._starting: dict[str, Lock] = {}
        self._asked: OrderedDict[_Portion, pl.LazyFrame] = OrderedDict()
        self._beforehand: OrderedDict[_Portion, pl.LazyFrame] = OrderedDict()
        # As decoded, or being decoded, by whoever asked first.
        self._held: dict[_Portion, Future[pl.DataFrame]] = {}
        self._in_work: _Portion | None = None
        self._largest = 0
        self._looked_up = LookUps(0, 0)
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
        wanted = sorted(set(series))
        if len(wanted) <= FEW_SERIES and product in PRODUCTS and product in publication.products:
            version = kept_version(publication, product)

            def scan() -> pl.LazyFrame:
                return scan_product(self._stores, publication, product)

            starts = self._starts_of(version, scan)
            if starts is not None:
                places = sorted({place for one in wanted for place in _places(starts, one)})
                found = [_of(rows, wanted) for rows in self._blocks(version, scan, places, keeps=keeps)]
                return pl.concat(found).lazy() if found else scan().head(0)
        names = pl.LazyFrame(wanted, schema=dict.fromkeys(_SERIES, pl.String), orient="row")
        scanned = scan_product(self._stores, publication, product)
        return scanned.join(names, on=_SERIES, how="semi", maintain_order="left")

    def warm(self, publications: Sequence[Publication]) -> None:
        """Keep the blocks of runs before anybody asks, in the background, as far as there is room.

        Args:
            publications: All runs that will be asked for, the most important one first.
        """
        found = [
            (run, product, kept_version(run, product))
            for product in WARMED
            for run in publications
            if product in run.products
        ]
        versions = {version for _, _, version in found}
        self._disk.use(versions)
        self._kept.warm(versions)
        wanted: OrderedDict[_Portion, pl.LazyFrame] = OrderedDict()
        for run, product, version in found:
            wanted |= self._lacking(version, scan_product(self._stores, run, product))
        with self._lock:
            self._beforehand = wanted
            self._begin()

    def is_on_disk(self, publication: Publication) -> bool:
        """Whether all blocks of a run are in files that the next process finds."""
        products = [product for product in WARMED if product in publication.products]
        return all(self._disk.starts(kept_version(publication, product)) is not None for product in products)

    def looked_up(self) -> LookUps:
        """Return how often blocks were looked for since the process began."""
        return self._looked_up

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
        self._disk.close()

    def _lacking(self, version: str, scan: pl.LazyFrame) -> "OrderedDict[_Portion, pl.LazyFrame]":
        """Return the portions of a version that are to be kept yet, where they may be."""
        starts = self._starts_of(version, lambda: scan) or []
        if not starts:
            return OrderedDict()
        taken = self._disk.begin(version, starts)
        if taken is Taken.WHOLE:
            self._kept.let_go(version)
        if taken in (Taken.WHOLE, Taken.ELSEWHERE):
            return OrderedDict()
        has = self._disk.has if taken is Taken.HERE else self._kept.has
        portions = (_Portion(version, number) for number in range(-(-len(starts) * BLOCK_ROWS // PORTION_ROWS)))
        return OrderedDict(
            (portion, scan)
            for portion in portions
            if not has([(version, block) for block in portion.blocks if block < len(starts)])
        )

    def _starts_of(self, version: str, scan: Callable[[], pl.LazyFrame]) -> list[StoreSku] | None:
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
            known = self._disk.starts(version) or _starts(scan())
            with self._lock:
                self._starts[version] = known
                self._starting.pop(version, None)
                while len(self._starts) > _MOST_STARTS:
                    self._starts.popitem(last=False)
            return known

    def _blocks(
        self, version: str, scan: Callable[[], pl.LazyFrame], places: Sequence[int], *, keeps: bool
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of some blocks: of each portion from what is kept, or from the file if not all of it is."""
        for number, of_portion in groupby(places, lambda place: place * BLOCK_ROWS // PORTION_ROWS):
            blocks = [*of_portion]
            kept = [self._content((version, place)) for place in blocks]
            whole = [content for content in kept if content is not None]
            is_kept = len(whole) == len(blocks)
            self._count(len(blocks), is_hit=is_kept)
            if is_kept:
                yield from (pl.read_ipc_stream(content) for content in whole)
                continue
            rows = self._decoded(_Portion(version, number), blocks, scan) if keeps else None
            start, count = blocks[0] * BLOCK_ROWS, (blocks[-1] + 1 - blocks[0]) * BLOCK_ROWS
            if rows is None:
                yield scan().slice(start, count).collect()
            else:
                yield rows.slice(start - number * PORTION_ROWS, count)

    def _count(self, blocks: int, *, is_hit: bool) -> None:
        with self._lock:
            before = self._looked_up
            self._looked_up = LookUps(before.hits + blocks * is_hit, before.misses + blocks * (not is_hit))

    def _content(self, name: BlockName) -> bytes | None:
        on_disk = self._disk.get(name)
        return self._kept.get(name) if on_disk is None else on_disk

    def _decoded(
        self, portion: _Portion, blocks: Sequence[int], scan: Callable[[], pl.LazyFrame]
    ) -> pl.DataFrame | None:
        """Return all rows of a portion of which some blocks lack, and have it kept; None where too many are held.

        It is decoded by whoever asks first; all who ask until it is kept wait for that.
        """
        with self._lock:
            held = self._held.get(portion)
            if held is None and len(self._held) >= MOST_HELD:
                self._want(portion, blocks, scan())
                return None
            if held is None:
                begun = self._held[portion] = Future()
        if held is not None:
            return held.result()
        try:
            scanned = scan()
            rows = _portion_rows(portion, scanned)
        except BaseException as error:
            with self._lock:
                self._held.pop(portion, None)
            begun.set_exception(error)
            raise
        begun.set_result(rows)
        with self._lock:
            if not self._want(portion, blocks, scanned):
                self._held.pop(portion, None)
        return rows

    def _want(self, portion: _Portion, blocks: Sequence[int], scan: pl.LazyFrame) -> bool:
        """Have a portion kept of which blocks lack; return whether it will be. Whoever calls holds the lock."""
        if portion == self._in_work or portion in self._asked:
            return True
        names = [(portion.version, block) for block in blocks]
        is_kept = self._disk.has(names) or self._kept.has(names)
        if is_kept or len(self._asked) >= MOST_WANTED or self._closing.is_set():
            return False
        self._asked[portion] = scan
        self._begin()
        return True

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
            with self._lock:
                held = self._held.get(portion)
                if held is not None and held.done():
                    del self._held[portion]
            if not is_asked:
                # Answers come first: half of a processor at most.
                self._closing.wait(monotonic() - began)

    def _next(self) -> tuple[_Portion, pl.LazyFrame, bool] | None:
        """Return what to keep next, and whether it was asked for; None when nothing is left."""
        with self._lock:
            is_asked = bool(self._asked)
            queue = self._asked if is_asked else self._beforehand
            if self._closing.is_set() or not queue or not (is_asked or self._has_room(next(iter(queue)))):
                self._in_work = self._keeper = None
                self._beforehand.clear()
                self._held.clear()
                return None
            self._in_work, scan = queue.popitem(last=False)
            self._beforehand.pop(self._in_work, None)
            return self._in_work, scan, is_asked

    def _has_room(self, portion: _Portion) -> bool:
        return self._disk.takes(portion.version) or self._kept.has_room(self._largest)

    def _keep(self, portion: _Portion, scan: pl.LazyFrame, is_asked: bool) -> None:
        held = self._held.get(portion)
        rows = held.result() if held is not None and held.done() else _portion_rows(portion, scan)
        made: dict[int, bytes] = {}
        for block, start in zip(portion.blocks, range(0, rows.height, BLOCK_ROWS), strict=False):
            if self._closing.is_set():
                return
            buffer = BytesIO()
            rows.slice(start, BLOCK_ROWS).write_ipc_stream(buffer, compression="zstd")
            made[block] = buffer.getvalue()
        was_taken = self._disk.takes(portion.version)
        if self._disk.put(portion.version, made):
            return
        if was_taken:
            # What of it is in memory already is found by the next look.
            self._leave(portion.version)
        self._largest = max(self._largest, sum(map(len, made.values())))
        named = {(portion.version, block): content for block, content in made.items()}
        if is_asked:
            self._kept.keep(named)
        else:
            self._kept.keep_beforehand(named)

    def _leave(self, version: str) -> None:
        """Keep no more of a version beforehand until somebody looks what lacks."""
        with self._lock:
            for portion in [portion for portion in self._beforehand if portion.version == version]:
                del self._beforehand[portion]


def _portion_rows(portion: _Portion, scan: pl.LazyFrame) -> pl.DataFrame:
    return scan.slice(portion.number * PORTION_ROWS, PORTION_ROWS).collect()


def _of(rows: pl.DataFrame, series: Sequence[StoreSku]) -> pl.DataFrame:
    """Return the rows of few series, in their order."""
    stores, skus = (rows[name] for name in _SERIES)
    found = reduce(or_, ((stores == store_id) & (skus == sku_id) for store_id, sku_id in series)).arg_true()
    first, count = (found[0], len(found)) if len(found) else (0, 0)
    if count and found[-1] - first + 1 > count:
        return rows[found]
    # A slice waits for no thread of Polars.
    return rows.slice(first, count)


def _starts(scan: pl.LazyFrame) -> list[StoreSku] | None:
    found: list[StoreSku] = scan.select(_SERIES).gather_every(BLOCK_ROWS).collect().rows()
    return found if all(a <= b for a, b in pairwise(found)) else None


def _places(starts: Sequence[StoreSku], one: StoreSku) -> range:
    """Return the blocks that may have a series: from the last that begins before it to the last that begins with it."""
    return range(max(bisect_left(starts, one) - 1, 0), bisect_right(starts, one))
