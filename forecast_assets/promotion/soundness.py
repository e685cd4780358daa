"""Gates of soundness of a version: registered gates that no channel can do without, lineage, bytes, no look-ahead.

What belongs here: whether what is recorded of a version holds. What does not: how good it is, or what it published.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from checks.rules import rules_of
from forecast_assets.core.errors import InputError, IntegrityError
from forecast_assets.models.gates import judged
from forecast_assets.promotion.verdicts import FAILED, MET, GateVerdict, within
from resources.ledger.entries.publish import Publication
from resources.ledger.entries.register import CHANNEL_GATES, VersionRecord
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

_SNAPSHOT: Final = "feature_snapshots"
_ARTIFACT: Final = "model_artifacts"


def registered_verdicts(version: VersionRecord, report: pl.DataFrame | None) -> Iterator[GateVerdict]:
    """Yield the gates that a version was registered with and cannot serve without; what was decided then stands.

    Args:
        version: The version.
        report: Contract `evaluation_reports`, for the figures; None where it cannot be read.
    """
    results = {} if report is None else {each.name: each for each in judged(report)}
    for gate, passed in version.gates.items():
        if gate in CHANNEL_GATES:
            continue
        verdict, result = MET if passed else FAILED, results.get(gate)
        if result is None:
            yield GateVerdict(gate, verdict, "its registration")
        else:
            yield GateVerdict(
                gate, verdict, "its registration", result.value, result.margin, result.lowest, result.highest
            )


def record_verdicts(stores: Stores, version: VersionRecord, run: Publication | None) -> Iterator[GateVerdict]:
    """Yield whether the version and its newest run are made from what is recorded, and knew nothing of what came.

    Args:
        stores: Where everything is.
        version: The version.
        run: Its newest run; None where nothing is published.
    """
    said = "the version" if run is None else f"the version and the run {run.key}"
    links = (version.artifact, version.evaluation_report, version.calibration, version.training_snapshot)
    published = () if run is None else tuple(run.products.values())
    try:
        behind = stores.predictions.lineage(filter(None, (*links, *published)))
    except IntegrityError as error:
        # Without a manifest nothing behind it can be named.
        yield within("lineage_is_complete", 1.0, f"{said}: {error.message}", highest=0.0)
        return
    breaks = [*_differing_links(stores, version, run)]
    yield within("lineage_is_complete", float(len(breaks)), "; ".join((said, *breaks)), highest=0.0)
    damaged = _damaged(stores, behind)
    yield within("bytes_are_as_recorded", float(len(damaged)), "; ".join((said, *damaged)), highest=0.0)
    yield _look_ahead(stores, version)


def _differing_links(stores: Stores, version: VersionRecord, run: Publication | None) -> Iterator[str]:
    """Compare what manifests and the version's entry say of the same thing."""
    artifact, report, snapshot = (
        stores.predictions.version(link)
        for link in (version.artifact, version.evaluation_report, version.training_snapshot)
    )
    compared = [
        ("the report is of artifact", report.inputs.get(_ARTIFACT), version.artifact),
        ("the artifact was trained on snapshot", artifact.inputs.get(_SNAPSHOT), version.training_snapshot),
        ("the snapshot has feature version", snapshot.facts.get("feature_version"), version.feature_version),
    ]
    if version.calibration:
        calibration = stores.predictions.version(version.calibration)
        compared.append(("the calibration report is of artifact", calibration.inputs.get(_ARTIFACT), version.artifact))
    if run is not None:
        forecasts = stores.predictions.version(run.products["forecasts"])
        compared.append(("the run was made with artifact", forecasts.inputs.get(_ARTIFACT), version.artifact))
    yield from (f"{words} {found}, not {expected}" for words, found, expected in compared if found != expected)


def _damaged(stores: Stores, behind: Sequence[ProductVersion]) -> list[str]:
    """Return the files and batches behind a version that are not as they were recorded, by what is said of each."""
    found = []
    for made in behind:
        try:
            stores.predictions.verify_files(made)
        except IntegrityError as error:
            found.append(str(error.message))
    batches = dict.fromkeys(name for made in behind for name in made.inputs.get("batches", ()))
    for name in batches:
        try:
            for batch in stores.observations.named([name]):
                stores.observations.verify(batch)
        except (IntegrityError, InputError) as error:
            found.append(str(error.message))
    return found


def _look_ahead(stores: Stores, version: VersionRecord) -> GateVerdict:
    """Training read nothing after the cutoff: its snapshot is of that day and passed its rules on exactly its bytes."""
    snapshot = stores.predictions.version(version.training_snapshot)
    day = snapshot.facts.get("prediction_date")
    rules = [rule.name for rule in rules_of(_SNAPSHOT) if rule.is_blocking]
    accepted = stores.predictions.acceptances(snapshot.version, rules)
    broken = [f"its snapshot has not passed {name}" for name in rules if name not in accepted]
    broken += [f"its snapshot is of {day}, not of {version.cutoff}"] if day != version.cutoff.isoformat() else []
    return within("no_look_ahead", float(len(broken)), "; ".join(("the training snapshot", *broken)), highest=0.0)
