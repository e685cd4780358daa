"""Putting series of a prepared run into a cache: here, or of many in a process of its own.

What belongs here: which process does it. What does not: what is put when (`online_features`), or what entries say.

Most of it is compressing: of 50,000 series it takes some twenty seconds, in which questions would wait for Python's
lock and for the processor.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import pyarrow as pa

from forecast_assets.core.beside import answering_beside
from forecast_assets.serving.dataplane.apart import LEAST_SERIES
from forecast_assets.serving.dataplane.feature_entries import entries_of
from resources.feature_cache.cache import FeatureCache

# Whoever answers a question goes first.
_NICENESS: Final = 5


@dataclass(frozen=True)
class SeriesBlock:
    """Some series that are put at once.

    Attributes:
        names: [k] of their entries.
        batch: [k] what entries say.
        seconds: For how long they are kept.
    """

    names: Sequence[str]
    batch: pa.RecordBatch
    seconds: float


def put_block(cache: FeatureCache, block: SeriesBlock) -> bool:
    """Put some series; return whether that could be tried."""
    return cache.put(dict(zip(block.names, entries_of(block.batch), strict=True)), block.seconds)


@contextmanager
def putting(
    cache: FeatureCache, count: int, least_series: int = LEAST_SERIES
) -> Iterator[Callable[[SeriesBlock], bool]]:
    """Yield what puts blocks one after the other until this block ends.

    Args:
        cache: Which; one that is shared where there are many series.
        count: How many series will be put.
        least_series: So many are put by a process of its own.
    """
    if count < least_series:
        yield partial(put_block, cache)
        return
    with answering_beside(partial(_put_here, cache)) as put:
        yield put


def _put_here(cache: FeatureCache) -> Callable[[SeriesBlock], bool]:
    os.nice(_NICENESS)
    return partial(put_block, cache)
