"""Frames to Parquet bytes and back, the same bytes for the same frame.

What belongs here: the file format. What does not: where files go.
"""

import io
from typing import Final

import polars as pl

# One SKU-store of a run sorted by store, SKU, step then lies in one or two row groups.
ROW_GROUP: Final = 65_536


def to_parquet(frame: pl.DataFrame) -> bytes:
    """Return ``frame`` as zstd Parquet; rechunked first, so that equal frames give equal bytes."""
    buffer = io.BytesIO()
    frame.rechunk().write_parquet(
        buffer, compression="zstd", compression_level=3, statistics=True, row_group_size=ROW_GROUP
    )
    return buffer.getvalue()
