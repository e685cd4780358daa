"""Copying one run: all of it in one transaction, read back before it is kept.

What belongs here: the order of it, and what has to be equal. What does not: statements of a database, or which runs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import polars as pl

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import MirrorConflictError
from forecast_assets.core.keys import RunKey
from resources.operational_copy.content import ContentDigest, lines_of
from resources.operational_copy.databases import COPY, CopyDatabase, CopyReader, CopyWriter
from resources.operational_copy.layout import CopiedProduct, CopiedRun

_MADE_ANEW: Final = Action("copy sync", {"again": True})


@dataclass(frozen=True)
class RunToCopy:
    """A published run.

    Attributes:
        key: The run.
        ledger_sequence: Entry that published it.
        published_at: When.
        versions: Product versions by name.
        rows: How many rows each product has, by what published it.
        read: Yields the rows of a product, in the order of its key, part by part.
    """

    key: RunKey
    ledger_sequence: int
    published_at: datetime
    versions: Mapping[str, str]
    rows: Mapping[str, int]
    read: Callable[[str], Iterable[pl.DataFrame]]


def copy_run(database: CopyDatabase, ledger: str, run: RunToCopy, *, again: bool = False) -> bool:
    """Copy a run, if it is not there: rows and record together, or nothing.

    Args:
        database: Where to.
        ledger: Hash of the first entry of the ledger.
        run: The run.
        again: Copy it also where it is recorded, in the place of what is there.

    Returns:
        Whether it was copied now; False if it was there, perhaps from another process that came first.

    Raises:
        MirrorUnavailableError: If the database does not answer, or refuses.
        MirrorConflictError: If what is read back is not what was written, or what is there is not of this ledger.
        ChangedFileError: If a published file is not as it was written.
    """
    with database.writing(ledger) as writer:
        there = {found.key: found for found in writer.runs()}.get(run.key)
        if there is not None and there.versions == dict(run.versions) and not again:
            return False
        writer.remove(run.key)
        products = {name: _copied(database.place, writer, run, name) for name in run.versions}
        writer.record(CopiedRun(run.key, run.ledger_sequence, run.published_at, datetime.now(UTC), products))
        writer.show(run.key.model_version, run.key.cadence)
    return True


def drop_runs(database: CopyDatabase, ledger: str, keys: Iterable[RunKey]) -> None:
    """Remove runs in one transaction, and the views of versions that have none any more."""
    with database.writing(ledger) as writer:
        for key in keys:
            writer.remove(key)
        left = {(run.key.model_version, run.key.cadence) for run in writer.runs()}
        for version, cadence in {(key.model_version, key.cadence) for key in keys} - left:
            writer.hide(version, cadence)


def mend_views(database: CopyDatabase, ledger: str) -> None:
    """Make views that somebody removed."""
    with database.writing(ledger) as writer:
        for version, cadence in sorted({(run.key.model_version, run.key.cadence) for run in writer.runs()}):
            writer.show(version, cadence)


def remove_strays(database: CopyDatabase, ledger: str) -> int:
    """Remove rows that no recorded run has; return how many."""
    with database.writing(ledger) as writer:
        return writer.remove_strays()


def digest_of(reader: CopyReader, product: str, key: RunKey) -> ContentDigest:
    """Return the digest of what a copy has of a product."""
    return digest_rows(reader.rows(product, key))


def digest_rows(parts: Iterable[pl.DataFrame]) -> ContentDigest:
    """Return the digest of rows."""
    found = ContentDigest()
    for rows in parts:
        found.add(rows.height, lines_of(rows))
    return found


def _copied(place: str, writer: CopyWriter, run: RunToCopy, product: str) -> CopiedProduct:
    written = ContentDigest()
    for rows in run.read(product):
        lines = lines_of(rows)
        writer.insert(product, rows, lines)
        written.add(rows.height, lines)
    found = digest_of(writer, product, run.key)
    if written.rows != run.rows[product] or (found.rows, found.hex) != (written.rows, written.hex):
        raise MirrorConflictError(
            f"{COPY} at {place} gives back other rows of `{product}` than were written of {run.key}: {found.rows:,} "
            f"rows of {run.rows[product]:,}; nothing of the run was kept.",
            remedy=Sentence("Look for triggers or rules on its tables, remove them, then: ", _MADE_ANEW, "."),
            product=product,
            key=run.key,
        )
    return CopiedProduct(run.versions[product], written.rows, written.hex)
