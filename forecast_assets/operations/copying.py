"""Copying rows of published runs to a database, and holding the copy against the ledger.

What belongs here: which runs a copy has, what is missing or differs, and that nobody waits in vain for it. What does
not: tables and statements (`resources.operational_copy`), or words for people.

The ledger decides. What a copy says is compared with it and never read for anything else.

Rows are read part by part, but of each product of a run the keys of all rows are in memory meanwhile, as what tells
whether its files are in order.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

import polars as pl

from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.keys import CADENCES, Cadence, RunKey
from forecast_assets.core.progress import Progress, silent
from forecast_assets.core.spans import later
from forecast_assets.operations.reading import scan_product
from forecast_assets.settings import Settings
from resources.ledger.entries.publish import Publication
from resources.ledger.state import LedgerState
from resources.operational_copy.content import BATCH
from resources.operational_copy.databases import OFF, CopyDatabase, CopyReader, copy_database
from resources.operational_copy.layout import CopiedRun, cadence_view, row_order
from resources.operational_copy.writing import (
    RunToCopy,
    copy_run,
    digest_of,
    digest_rows,
    drop_runs,
    mend_views,
    remove_strays,
)
from resources.stores.home import Stores

_STAGE: Final = "copy rows of runs"
_COMPARING: Final = "compare runs"


@dataclass(frozen=True)
class CopyOutcome:
    """What a copy took over.

    Attributes:
        place: Where it is.
        sequence: Ledger entry up to which it follows.
        runs: How many runs it has now.
        written: Runs that were copied now.
        dropped: Runs that it no longer has.
        strays: Rows of no run that were removed.
    """

    place: str
    sequence: int
    runs: int
    written: tuple[RunKey, ...] = ()
    dropped: tuple[RunKey, ...] = ()
    strays: int = 0


@dataclass(frozen=True)
class CopyComparison:
    """What a copy says beside the ledger.

    Attributes:
        place: Where it is.
        sequence: Ledger entry that it was compared at.
        runs: How many runs it should have.
        rows: Rows that were compared.
        is_deep: Whether contents were compared, not counts alone.
        differences: One sentence for each.
    """

    place: str
    sequence: int
    runs: int
    rows: int
    is_deep: bool
    differences: tuple[str, ...]


@dataclass(frozen=True)
class CopyDelay:
    """Why a copy does not follow yet; what is published stays so.

    Attributes:
        error: What went wrong.
    """

    error: Exception


def home_copy(settings: Settings) -> CopyDatabase:
    """Return the database of a home's copy.

    Raises:
        InputError: If the copy is switched off.
    """
    return copy_database(settings.operational_copy, settings.operational_copy_path)


def is_copied(settings: Settings) -> bool:
    """Whether a home has an operational copy."""
    return settings.operational_copy != OFF


def wanted_runs(state: LedgerState, keep: int) -> list[Publication]:
    """Return the runs that a copy has, the newest of each cadence first.

    The newest by prediction date, and of one date by when they were published; besides, the newest run of a version
    that a channel points at, however old: there is nothing newer of it yet.

    Args:
        state: Of the ledger.
        keep: How many of each cadence.
    """
    return [run for cadence in CADENCES.values() for run in _wanted_of(state, cadence, keep)]


def _wanted_of(state: LedgerState, cadence: Cadence, keep: int) -> list[Publication]:
    runs = [each for each in state.publications.values() if each.key.cadence == cadence.name]
    runs.sort(key=lambda each: (each.key.prediction_date, each.sequence), reverse=True)
    pointed = {state.channel(channel) for channel in (cadence.champion, cadence.challenger)}
    followed = [next((run for run in runs if run.key.model_version == version), None) for version in pointed]
    kept = runs[:keep]
    return [*kept, *(run for run in runs[keep:] if run in followed)]


# --- writing ---


def follow_publications(settings: Settings, stores: Stores) -> CopyOutcome | CopyDelay | None:
    """Let the copy follow what was just published; whatever goes wrong with it is told and stops nobody.

    Returns:
        What it took over, or why it is late; None if it is switched off.
    """
    if not is_copied(settings):
        return None
    try:
        return sync_copy(stores, home_copy(settings), settings.operational_copy_runs)
    except Exception as error:  # noqa: BLE001 - a copy must not make a publication fail
        return CopyDelay(error)


def sync_copy(
    stores: Stores, database: CopyDatabase, keep: int, progress: Progress = silent, *, again: bool = False
) -> CopyOutcome:
    """Copy the runs that are missing, a transaction each, and drop those that are no longer wanted.

    What stops in between goes on when it is called again.

    Args:
        stores: Where everything is.
        database: Where to.
        keep: How many runs of each cadence.
        progress: Called with stage, rows done and rows in all.
        again: Copy every run anew, also where it is there, and remove rows that no run has.

    Raises:
        MirrorUnavailableError: If the database does not answer, or refuses.
        MirrorConflictError: If what is there is not of this ledger, of a later release or of somebody else, or rows are
            read back otherwise than they were written.
        ChangedFileError: If a published file is not as it was written.
    """
    state = stores.ledger.state()
    wanted = wanted_runs(state, keep)
    if not wanted:
        return CopyOutcome(database.place, state.sequence, 0)
    ledger = _ledger(stores)
    there = _there(database, ledger)
    missing = [each for each in wanted if again or there.get(each.key) != _products(each)]
    # Before any is dropped: whoever reads finds a run at every moment.
    written = tuple(_copied(stores, database, ledger, missing, progress, again=again))
    dropped = sorted(there.keys() - {each.key for each in wanted})
    if dropped:
        drop_runs(database, ledger, dropped)
    strays = remove_strays(database, ledger) if again else 0
    _with_views(database, ledger)
    return CopyOutcome(database.place, state.sequence, len(wanted), written, tuple(dropped), strays)


def runs_to_copy(stores: Stores, database: CopyDatabase, keep: int) -> list[RunKey]:
    """Return the runs that a copy lacks, or has otherwise, and those that it has no longer to have.

    Raises:
        MirrorUnavailableError: If the database does not answer, or refuses.
        MirrorConflictError: If what is there is not of this ledger, of a later release or of somebody else.
    """
    wanted = {each.key: _products(each) for each in wanted_runs(stores.ledger.state(), keep)}
    if not wanted:
        return []
    there = _there(database, _ledger(stores))
    return sorted(key for key in wanted.keys() | there.keys() if wanted.get(key) != there.get(key))


def copied_runs(stores: Stores, database: CopyDatabase) -> list[CopiedRun]:
    """Return the runs that a copy has, by key; none if there is no copy yet."""
    if not stores.ledger.state().sequence:
        return []
    with database.reading(_ledger(stores)) as reader:
        return [] if reader is None else reader.runs()


def _copied(
    stores: Stores,
    database: CopyDatabase,
    ledger: str,
    missing: Sequence[Publication],
    progress: Progress,
    *,
    again: bool,
) -> Iterator[RunKey]:
    runs = [_to_copy(stores, each) for each in missing]
    total, done = sum(sum(run.rows.values()) for run in runs), 0
    for run in runs:
        progress(_STAGE, done, total)
        with later("operational copy", str(run.key), rows=sum(run.rows.values())):
            is_new = copy_run(database, ledger, run, again=again)
        if is_new:
            yield run.key
        done += sum(run.rows.values())
    if runs:
        progress(_STAGE, done, total)


def _to_copy(stores: Stores, publication: Publication) -> RunToCopy:
    products = _products(publication)
    return RunToCopy(
        publication.key,
        publication.sequence,
        datetime.fromisoformat(publication.recorded_at),
        products,
        {name: sum(file.rows for file in stores.predictions.files(publication, name)) for name in products},
        lambda product: published_parts(stores, publication, product),
    )


def published_parts(
    stores: Stores, publication: Publication, product: str, size: int = BATCH
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a product of a published run in the order of its key, part by part; files are verified first.

    Files are written in that order but for few products, so that of whole rows no more than a part is in memory; the
    keys of all rows are, which show that order.

    Raises:
        ChangedFileError: If a file is missing or changed.
    """
    stores.predictions.verify_files(stores.predictions.version(publication.products[product]))
    rows, order = scan_product(stores, publication, product), row_order(product)
    keys = rows.select(order).collect()
    if not keys.select(pl.struct(order).is_sorted()).item():
        rows = rows.sort(order).collect().lazy()
    for first, last in pairwise([*range(0, keys.height, size), keys.height]):
        yield rows.slice(first, last - first).collect()


def _with_views(database: CopyDatabase, ledger: str) -> None:
    with database.reading(ledger) as reader:
        is_whole = reader is not None and not _missing_views(reader, reader.runs())
    if not is_whole:
        mend_views(database, ledger)


def _there(database: CopyDatabase, ledger: str) -> dict[RunKey, dict[str, str]]:
    with database.reading(ledger) as reader:
        return {} if reader is None else {run.key: run.versions for run in reader.runs()}


def _products(publication: Publication) -> dict[str, str]:
    return {name: publication.products[name] for name in PUBLISHED if name in publication.products}


def _ledger(stores: Stores) -> str:
    return stores.ledger.until(1)[0].hash


# --- comparing ---


def compare_copy(
    stores: Stores, database: CopyDatabase, keep: int, progress: Progress = silent, *, deep: bool = False
) -> CopyComparison:
    """Hold a copy against the ledger; nothing is written.

    Args:
        stores: Where everything is.
        database: Where the copy is.
        keep: How many runs of each cadence it has.
        progress: Called with stage, runs done and runs in all.
        deep: Compare contents, not counts and hashes of products alone.

    Raises:
        MirrorUnavailableError: If the database does not answer, or refuses.
        MirrorConflictError: If what is there is not of this ledger, of a later release or of somebody else.
        ChangedFileError: If a published file is not as it was written.
    """
    state = stores.ledger.state()
    wanted = wanted_runs(state, keep)
    rows, differences = 0, list[str]()
    if wanted:
        with database.reading(_ledger(stores)) as reader:
            if reader is None:
                differences.append("there is no copy yet")
            else:
                compared = _Compared(stores, reader, deep=deep)
                for done, publication in enumerate(wanted):
                    progress(_COMPARING, done, len(wanted))
                    compared.hold(publication)
                progress(_COMPARING, len(wanted), len(wanted))
                compared.hold_all(state.publications)
                rows, differences = compared.rows, compared.differences
    return CopyComparison(database.place, state.sequence, len(wanted), rows, deep, tuple(differences))


class _Compared:
    """A comparison under way."""

    def __init__(self, stores: Stores, reader: CopyReader, *, deep: bool) -> None:
        self._stores, self._reader, self._deep = stores, reader, deep
        self._there = {run.key: run for run in reader.runs()}
        self.rows = 0
        self.differences: list[str] = []

    def hold(self, publication: Publication) -> None:
        """Compare one run."""
        key, there = publication.key, self._there.get(publication.key)
        if there is None:
            self.differences.append(f"{key} is missing")
            return
        if there.versions != _products(publication):
            self.differences.append(f"{key} is recorded with other products than the ledger has")
            return
        for product in there.products:
            self._hold_product(publication, product)

    def _hold_product(self, publication: Publication, product: str) -> None:
        key, reader = publication.key, self._reader
        expected = sum(file.rows for file in self._stores.predictions.files(publication, product))
        found = reader.count(product, key)
        self.rows += found
        if found != expected:
            self.differences.append(f"{key} has {found:,} rows of `{product}` instead of {expected:,}")
        elif self._deep:
            published = digest_rows(published_parts(self._stores, publication, product))
            if digest_of(reader, product, key).hex != published.hex:
                self.differences.append(f"{key} has other rows of `{product}` than were published")

    def hold_all(self, published: Collection[RunKey]) -> None:
        """Compare what is of no run in particular."""
        self.differences += [f"{key} is none of the ledger's" for key in sorted(self._there) if key not in published]
        for product in PUBLISHED:
            recorded = sum(self._reader.count(product, key) for key in self._there)
            strays = self._reader.count(product) - recorded
            if strays:
                self.differences.append(f"{strays:,} rows of `{product}` are of no run")
        views = _missing_views(self._reader, self._there.values())
        self.differences += [f"the view {view} of `{version}` is missing" for version, view in views]


def _missing_views(reader: CopyReader, runs: Collection[CopiedRun]) -> list[tuple[str, str]]:
    shown = {(run.key.model_version, run.key.cadence) for run in runs}
    needed = {(version, cadence_view(cadence, product)) for version, cadence in shown for product in PUBLISHED}
    return sorted(needed - reader.views())
