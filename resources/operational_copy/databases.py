"""What the database of a copy can do, whichever it is.

What belongs here: the protocols, and what all databases refuse in the same words. What does not: any database.
"""

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

import polars as pl

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, MirrorConflictError, MirrorUnavailableError
from forecast_assets.core.keys import RunKey
from resources.operational_copy.layout import FORMAT, TABLES, CopiedRun

OFF: Final = "off"
SQLITE: Final = "sqlite"
COPY: Final = "The operational copy"
# What the views of a copy are told by.
MARK: Final = "Of the operational copy of forecast-assets."


class CopyReader(Protocol):
    """A copy as it stands, for the length of one transaction."""

    def runs(self) -> list[CopiedRun]:
        """Return the runs that it has, by key."""
        ...

    def count(self, product: str, key: RunKey | None = None) -> int:
        """Return how many rows of a product there are, of one run or of all; 0 where the table is gone."""
        ...

    def rows(self, product: str, key: RunKey) -> Iterator[pl.DataFrame]:
        """Yield the rows of a product of a run by its contract, in the order of its key, part by part."""
        ...

    def views(self) -> set[tuple[str, str]]:
        """Return version and name of each view of the copy."""
        ...


class CopyWriter(CopyReader, Protocol):
    """A copy that is written, in one transaction, alone."""

    def insert(self, product: str, rows: pl.DataFrame, lines: bytes) -> None:
        """Add rows of a product.

        Args:
            product: Which.
            rows: By its contract.
            lines: The same rows as lines (`content.lines_of`).
        """
        ...

    def remove(self, key: RunKey) -> None:
        """Remove all of a run: its rows, and what is recorded of it."""
        ...

    def remove_strays(self) -> int:
        """Remove rows of runs that are not recorded; return how many there were."""
        ...

    def record(self, run: CopiedRun) -> None:
        """Record a run."""
        ...

    def show(self, model_version: str, cadence: str) -> None:
        """Make the views of a version that are missing.

        Raises:
            MirrorConflictError: If something else has the name of one.
        """
        ...

    def hide(self, model_version: str, cadence: str) -> None:
        """Remove the views of a version that has no run any more."""
        ...


class CopyDatabase(Protocol):
    """Where a copy is."""

    @property
    def place(self) -> str:
        """Where it is, for people: without a password."""
        ...

    def reading(self, ledger: str) -> AbstractContextManager[CopyReader | None]:
        """Yield the copy as it stands; None where there is none yet, or one of an earlier release.

        Args:
            ledger: Hash of the first entry of the ledger that it is of.

        Raises:
            MirrorUnavailableError: If the database does not answer, or refuses.
            MirrorConflictError: If what is there is of another ledger, of a later release or of somebody else.
        """
        ...

    def writing(self, ledger: str) -> AbstractContextManager[CopyWriter]:
        """Yield the copy within one transaction, which is kept if the block ends well; its tables are there.

        Raises:
            MirrorUnavailableError: If the database does not answer, refuses, or others write for too long.
            MirrorConflictError: As above.
        """
        ...


def copy_database(setting: str, path: Path) -> CopyDatabase:
    """Return the database of a home's copy.

    Args:
        setting: `sqlite`, or the address of a PostgreSQL database.
        path: Of the SQLite file.

    Raises:
        InputError: If the copy is switched off.
    """
    if setting == OFF:
        raise InputError(
            "There is no operational copy: it is switched off.",
            remedy="Set FORECAST_ASSETS_OPERATIONAL_COPY to `sqlite`, or to a postgresql:// address.",
        )
    if setting == SQLITE:
        from resources.operational_copy.sqlite import SqliteCopy

        return SqliteCopy(path)
    from resources.operational_copy.postgresql import PostgresqlCopy

    return PostgresqlCopy(setting)


# --- what is refused ---


def is_ready(place: str, found: tuple[int, str] | None, tables: Collection[str], ledger: str, remedy: str) -> bool:
    """Return whether a copy can be used as it is; False where it has to be made, or made anew.

    Args:
        place: Where it is, for people.
        found: Format and ledger that it says it is of; None where it has no table for that.
        tables: Names of the tables that are there.
        ledger: Hash of the first entry of the ledger.
        remedy: How to name another place.

    Raises:
        MirrorConflictError: If it is of another ledger, of a later release, or of somebody else.
    """
    if found is None:
        foreign = sorted({*TABLES} & {*tables})
        if foreign:
            raise MirrorConflictError(
                f"{COPY} at {place} cannot be made: tables of its names are there already ({', '.join(foreign)}); "
                "nothing was changed.",
                remedy=f"Find out whose they are, and {remedy}.",
                tables=foreign,
            )
        return False
    version, of = found
    if version > FORMAT:
        raise MirrorConflictError(
            f"{COPY} at {place} was made by a later release (its format is {version}, this release has {FORMAT}); "
            "nothing was changed.",
            remedy=f"Upgrade this installation, or {remedy}.",
            found=version,
        )
    if of not in (ledger, ""):
        raise MirrorConflictError(
            f"{COPY} at {place} is of another ledger; nothing was changed.",
            remedy=f"Set FORECAST_ASSETS_HOME to the home that it is of, or {remedy}.",
        )
    return version == FORMAT


def name_taken(place: str, view: str) -> MirrorConflictError:
    """Return the error of something else that has the name of a view."""
    return MirrorConflictError(
        f"{COPY} at {place} cannot show {view}: something else has that name; nothing was changed.",
        remedy=Sentence("Rename or remove it, then: ", Action("copy sync"), "."),
        view=view,
    )


def other_tables(place: str, why: str, remedy: str) -> MirrorConflictError:
    """Return the error of tables that somebody changed."""
    return MirrorConflictError(
        f"The tables of {COPY.lower()} at {place} are not as this release makes them: {why}.",
        remedy=Sentence(f"{remedy}; it is made anew from the ledger: ", Action("copy sync"), "."),
    )


def not_available(place: str, why: str) -> MirrorUnavailableError:
    """Return the error of a database that does not answer or refuses."""
    return MirrorUnavailableError(
        f"{COPY} at {place} cannot be used: {why}.",
        remedy=Sentence("Mend the access, then catch up: ", Action("copy sync"), "; what is published stays so."),
        place=place,
    )
