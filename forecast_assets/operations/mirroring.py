"""Mirroring the ledger's versions to MLflow, and holding the mirror against the ledger.

What belongs here: what is missing or differs, in which order it is written, and that nobody waits in vain for it. What
does not: what a version says (`lifecycle.mlflow_runs`), MLflow's client (`resources.mlflow`), or how pages look.

The ledger decides. What a mirror says is compared with it and never read for anything else.
"""

import fcntl
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from forecast_assets.core.progress import Progress, silent
from forecast_assets.core.spans import later
from forecast_assets.lifecycle.mlflow_runs import ALIASES, expected_metrics, run_content, version_content
from forecast_assets.settings import Settings
from resources.ledger.entries.register import VersionRecord
from resources.ledger.state import LedgerState
from resources.mlflow.client import MODEL_FOLDER, MlflowMirror
from resources.mlflow.content import FoundModel, FoundRun, FoundVersion, RunContent, VersionContent
from resources.mlflow.model_folder import ARTIFACT, DATA, model_files
from resources.mlflow.place import MirrorPlace
from resources.store.blobs import translated
from resources.stores.home import Stores

# Pages and pictures of a version for people, by path; made by whoever draws.
Pages = Callable[[Stores, VersionRecord], Mapping[str, bytes]]
# Their paths alone, which take no drawing.
PagePaths = Callable[[VersionRecord], Collection[str]]

MIRROR: Final = "MLflow"
_STAGE: Final = "mirror versions"


@dataclass(frozen=True)
class MirrorOutcome:
    """What a mirror took over.

    Attributes:
        place: Where it is.
        sequence: Ledger entry up to which it follows.
        versions: How many versions there are.
        written: Those that were new to it.
        changed: Those whose tags or description were put right.
        aliases: Aliases that were moved: the version that each points at, None for one that was removed.
    """

    place: MirrorPlace
    sequence: int
    versions: int
    written: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    aliases: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class MirrorComparison:
    """What a mirror says beside the ledger.

    Attributes:
        place: Where it is.
        sequence: Ledger entry that it was compared at.
        versions: How many versions the ledger has.
        differences: One sentence for each.
    """

    place: MirrorPlace
    sequence: int
    versions: int
    differences: tuple[str, ...]


@dataclass(frozen=True)
class MirrorDelay:
    """Why a mirror does not follow yet; what the ledger records stays so.

    Attributes:
        error: What went wrong.
    """

    error: Exception


def mirror_place(settings: Settings) -> MirrorPlace:
    """Return where the mirror of a home is."""
    return MirrorPlace(settings.mlflow_folder, settings.mlflow_model, settings.mlflow_uri, settings.mlflow_artifacts)


# --- writing ---


def follow(settings: Settings, stores: Stores, pages: Pages) -> MirrorOutcome | MirrorDelay | None:
    """Let the mirror follow what was just recorded; whatever goes wrong with it is told and stops nobody.

    Returns:
        What it took over, or why it is late; None if it is switched off.
    """
    if not settings.mlflow:
        return None
    try:
        return sync(stores, mirror_place(settings), pages, trusts_descriptions=True)
    except Exception as error:  # noqa: BLE001 - a mirror must not make a training or a promotion fail
        return MirrorDelay(error)


def sync(
    stores: Stores,
    place: MirrorPlace,
    pages: Pages,
    progress: Progress = silent,
    *,
    rebuild: bool = False,
    trusts_descriptions: bool = False,
) -> MirrorOutcome:
    """Write what the mirror lacks, and put right what changes: tags and aliases.

    Args:
        stores: Where everything is.
        place: Where the mirror is.
        pages: Draws pages and pictures of a version.
        progress: Called with stage, done and total.
        rebuild: Remove what is there first, so that all of it is made anew.
        trusts_descriptions: Take descriptions that are there as they are: they never change by themselves, and to hold
            them against the ledger takes reading the report of every version.

    Raises:
        MirrorUnavailableError: If it does not answer, or refuses.
        MirrorConflictError: If what is there is not of this ledger, not numbered as it is, or of another release.
        ChangedFileError: If a report or an artifact of the store is not as it was written.
    """
    state = stores.ledger.state()
    records = list(state.versions.values())
    if not records:
        return MirrorOutcome(place, state.sequence, 0)
    ledger = stores.ledger.until(1)[0].hash
    with _one_at_a_time(place):
        mirror = MlflowMirror(place)
        if rebuild:
            mirror.remove(ledger)
        mirror.claim(ledger)
        found, wanted = mirror.model(), wanted_versions(stores, state)
        written, changed = [], []
        for done, (version, record) in enumerate(zip(wanted, records, strict=True)):
            progress(_STAGE, done, len(records))
            known = found.versions.get(version.number)
            if known is None:
                with later("mlflow mirror", f"train/{record.model_version}"):
                    mirror.write(version, _run_of(stores, record), run_files(stores, record, pages))
                written.append(record.model_version)
                continue
            differing = _tag_differences(version, known)
            if differing:
                mirror.set_tags(version, known)
            wanted_words = known.description if trusts_descriptions else _run_of(stores, record).description
            if wanted_words != known.description:
                mirror.set_description(version.number, wanted_words)
            if differing or wanted_words != known.description:
                changed.append(record.model_version)
        progress(_STAGE, len(records), len(records))
        moved = _aliases_to_move(wanted, found)
        for name, number in moved.items():
            mirror.set_alias(name, number)
    names = {version.number: version.name for version in wanted}
    return MirrorOutcome(
        place, state.sequence, len(records), tuple(written), tuple(changed),
        {name: None if number is None else names[number] for name, number in moved.items()},
    )  # fmt: skip


def wanted_versions(stores: Stores, state: LedgerState) -> list[VersionContent]:
    """Return what a mirror has to say of every version, in the order of the ledger, numbered from 1."""
    artifact_of = stores.predictions.version
    return [
        version_content(number, record, artifact_of(record.artifact), state)
        for number, record in enumerate(state.versions.values(), start=1)
    ]


def _run_of(stores: Stores, record: VersionRecord) -> RunContent:
    store = stores.predictions
    report = store.read(store.version(record.evaluation_report))
    return run_content(record, store.version(record.artifact), report)


def run_files(stores: Stores, record: VersionRecord, pages: Pages) -> dict[str, bytes]:
    """Return the artifacts of a version's run: the model, its reports as tables, and pages and pictures of them."""
    store = stores.predictions
    artifact = store.read_bytes(store.version(record.artifact))
    model = model_files(record.model_version, record.recorded_at, artifact)
    tables = {
        f"reports/{name}.parquet": store.read_bytes(store.version(version))
        for name, version in _reports(record).items()
    }
    return {**{f"{MODEL_FOLDER}/{path}": data for path, data in model.items()}, **tables, **pages(stores, record)}


def _reports(record: VersionRecord) -> dict[str, str]:
    reports = {"evaluation_report": record.evaluation_report, "calibration_report": record.calibration}
    return {name: version for name, version in reports.items() if version}


@contextmanager
def _one_at_a_time(place: MirrorPlace) -> Iterator[None]:
    """Let one process of this home write at a time; of several machines the later finds its number taken."""
    with translated(place.folder):
        place.folder.mkdir(parents=True, exist_ok=True)
        opened = os.open(place.folder, os.O_RDONLY)
    try:
        # Not every file system has locks; there, too, the later finds its number taken.
        with suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _aliases_to_move(wanted: list[VersionContent], found: FoundModel) -> dict[str, int | None]:
    """Return the aliases of channels that point elsewhere than they should; others are somebody else's."""
    targets = {name: version.number for version in wanted for name in version.aliases}
    return {name: targets.get(name) for name in ALIASES.values() if targets.get(name) != found.aliases.get(name)}


# --- comparing ---


def compare_mirror(
    stores: Stores, place: MirrorPlace, progress: Progress = silent, *, pages: PagePaths = lambda _: ()
) -> MirrorComparison:
    """Hold everything that a mirror says against the ledger; nothing is written.

    Args:
        stores: Where everything is.
        place: Where the mirror is.
        progress: Called with stage, done and total.
        pages: Paths of the pages and pictures that a version's run has to have.

    Raises:
        MirrorUnavailableError: If it does not answer, or refuses.
        MirrorConflictError: If its database is of another release.
    """
    state = stores.ledger.state()
    wanted = wanted_versions(stores, state)
    if not (place.is_there or wanted):
        return MirrorComparison(place, state.sequence, 0, ())
    if not place.is_there:
        return MirrorComparison(place, state.sequence, len(wanted), ("there is no mirror yet",))
    mirror = MlflowMirror(place)
    found = mirror.model()
    ledger = stores.ledger.until(1)[0].hash if wanted else ""
    differences = []
    if wanted and found.ledger != ledger:
        differences.append(f"`{place.model}` mirrors {'another ledger' if found.ledger else 'no ledger'}")
    if place.is_embedded and wanted and mirror.artifact_location not in (None, place.artifact_location):
        differences.append(f"artifacts are at {mirror.artifact_location} instead of {place.artifact_location}")
    for done, (version, record) in enumerate(zip(wanted, state.versions.values(), strict=True)):
        progress("compare versions", done, len(wanted))
        differences += _differences_of(stores, mirror, found, version, record, pages)
    progress("compare versions", len(wanted), len(wanted))
    beyond = sorted(found.versions.keys() - {version.number for version in wanted})
    differences += [f"version {number} is none of the ledger's" for number in beyond]
    names = {version.number: f"`{version.name}`" for version in wanted}
    differences += [
        f"alias `{name}` is {_pointed(names, found.aliases.get(name))} instead of {_pointed(names, number)}"
        for name, number in _aliases_to_move(wanted, found).items()
    ]
    return MirrorComparison(place, state.sequence, len(wanted), tuple(differences))


def _pointed(names: Mapping[int, str], number: int | None) -> str:
    return "unset" if number is None else names.get(number, f"version {number}")


def _differences_of(
    stores: Stores,
    mirror: MlflowMirror,
    found: FoundModel,
    version: VersionContent,
    record: VersionRecord,
    pages: PagePaths,
) -> list[str]:
    name = f"`{record.model_version}`"
    known = found.versions.get(version.number)
    if known is None:
        return [f"{name} is missing (version {version.number})"]
    wanted = _run_of(stores, record)
    differences = [f"{name}: {what}" for what in _tag_differences(version, known)]
    differences += [] if known.description == wanted.description else [f"{name}: the description differs"]
    run = mirror.run(known.run_id) if known.run_id else None
    if run is None:
        return [*differences, f"{name}: its run is gone"]
    expected = {**dict.fromkeys(pages(record)), **_file_sizes(stores, record)}
    differences += [f"{name}: {what}" for what in _file_differences(expected, run.files)]
    return [*differences, *(f"{name}: {what} of its run" for what in _run_differences(wanted, run))]


def _file_sizes(stores: Stores, record: VersionRecord) -> dict[str, int | None]:
    """Return the files of a run that follow from the ledger, with their sizes; None where that is not known."""
    artifact = stores.predictions.version(record.artifact).files[0]
    model = {path: len(data) for path, data in model_files(record.model_version, record.recorded_at, b"").items()}
    # What describes the model names the Python that it was mirrored by, which may have been another one.
    sizes: dict[str, int | None] = {**model, "MLmodel": None, f"{DATA}/{ARTIFACT}": artifact.bytes}
    reports = {f"reports/{name}.parquet": stores.predictions.version(each) for name, each in _reports(record).items()}
    return {
        **{f"{MODEL_FOLDER}/{path}": size for path, size in sizes.items()},
        **{path: report.files[0].bytes for path, report in reports.items()},
    }


def _file_differences(expected: Mapping[str, int | None], files: Mapping[str, int]) -> Iterator[str]:
    for path, size in sorted(expected.items()):
        has = files.get(path)
        if has is None:
            yield f"the file `{path}` is gone"
        elif not has or has != (size or has):
            yield f"the file `{path}` is {has:,} bytes long"


def _tag_differences(version: VersionContent, known: FoundVersion) -> list[str]:
    differing = [
        f"tag `{name}` is {known.tags.get(name, 'unset')} instead of {value}"
        for name, value in version.tags.items()
        if known.tags.get(name) != value
    ]
    return [*differing, *(f"tag `{name}` is no longer true" for name in version.outdated(known.tags))]


def _run_differences(wanted: RunContent, run: FoundRun) -> Iterator[str]:
    if run.status != "FINISHED":
        yield f"the status is {run.status}"
    for what, said, has in (
        ("parameter", wanted.params, run.params),
        ("metric", expected_metrics(wanted.metrics), run.metrics),
        ("tag", wanted.tags, run.tags),
    ):
        names = [name for name, value in said.items() if has.get(name) != value]
        if names:
            shown = f"{what} `{names[0]}` is {has.get(names[0], 'unset')} instead of {said[names[0]]}"
            yield shown if len(names) == 1 else f"{shown}, and {len(names) - 1} more {what}s differ"
