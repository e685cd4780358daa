"""Which runs a question is about: that of a version, or those that the stores of a channel follow.

What belongs here: from what is asked to published runs. What does not: reading their rows.

While a challenger has a share of the stores, whoever reads the champion's channel reads the challenger's run in those,
as the ledger's newest assignment of the date says. An explicit version is always read in all stores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, NotPublishedError, first_ten
from forecast_assets.core.keys import CADENCES, CHANNELS
from forecast_assets.operations.reading import resolve_run
from forecast_assets.serving.dataplane.questions import VersionAsked
from resources.ledger.entries.assign import ChannelAssignment, ChannelAssignments
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores


@dataclass(frozen=True)
class FollowedRun:
    """A published run, and in which stores it is read.

    Attributes:
        publication: The run.
        store_ids: Stores whose rows are of it; None for all.
        assignment: Ledger entry that says so; None where nothing was assigned.
    """

    publication: Publication
    store_ids: Sequence[str] | None = None
    assignment: int | None = None


def followed_runs(stores: Stores, asked: VersionAsked) -> Sequence[FollowedRun]:
    """Return the published runs that are asked for, the champion's first; a channel is resolved here, once.

    Raises:
        InputError: If there is no such channel, or it points at no version.
        UnknownVersionError: If there is no such version.
        NotPublishedError: If nothing is published there, or several horizons or revisions are and none was named.
    """
    publication = resolve(stores, asked)
    assigned = _assignment(stores, asked, publication)
    if assigned is None:
        return [FollowedRun(publication)]
    key, terms = publication.key, assigned.terms
    challenger = resolve_run(
        stores, key.cadence, key.prediction_date, terms.challenger_version, terms.forecast_horizon, None
    )
    return shared_out(stores, [publication, challenger], assigned.sequence)


def run_of_stores(stores: Stores, asked: VersionAsked, store_ids: Sequence[str]) -> FollowedRun:
    """Return the one run that stores follow.

    Raises:
        InputError: If they follow several, or as `followed_runs` does.
        UnknownVersionError: If there is no such version.
        NotPublishedError: If nothing is published there, or several horizons or revisions are and none was named.
    """
    runs = followed_runs(stores, asked)
    wanted = set(store_ids)
    found = [run for run in runs if run.store_ids is None or wanted & set(run.store_ids)]
    if len(found) > 1:
        versions = {run.publication.key.model_version: sorted(wanted & set(run.store_ids or ())) for run in found}
        told = "; ".join(f"{first_ten(names)} {version}" for version, names in versions.items())
        raise InputError(
            f"While a challenger has a share, these stores of `{asked.channel}` follow different versions: {told}.",
            remedy="Ask for the stores of each version in a request of its own.",
            versions=versions,
        )
    # A store that is in no run is told by whoever reads the run.
    return found[0] if found else runs[0]


def shared_out(stores: Stores, runs: Sequence[Publication], assignment: int | None) -> Sequence[FollowedRun]:
    """Return runs with the stores in which each is read, as an assignment of their date says.

    Args:
        stores: Where everything is.
        runs: Of one date.
        assignment: Ledger entry; None where all stores are of the one run.

    Raises:
        InputError: If there is no such assignment.
    """
    if assignment is None:
        return [FollowedRun(run) for run in runs[:1]]
    first = runs[0].key
    by_date = stores.ledger.state().part(ChannelAssignments).by_date
    found = [each for each in by_date.get((first.cadence, first.prediction_date), []) if each.sequence == assignment]
    if not found:
        raise InputError(f"Ledger entry {assignment} assigns no stores of {first}.", assignment=assignment)
    rows = stores.predictions.read(stores.predictions.version(found[0].product_version), ["store_id", "model_version"])
    return [
        FollowedRun(
            run, rows.filter(pl.col("model_version") == run.key.model_version)["store_id"].to_list(), assignment
        )
        for run in runs
    ]


def _assignment(stores: Stores, asked: VersionAsked, publication: Publication) -> ChannelAssignment | None:
    """Return the assignment that counts for a question, if stores follow a challenger in it."""
    key = publication.key
    if asked.channel != CADENCES[key.cadence].champion:
        return None
    found = stores.ledger.state().part(ChannelAssignments).newest(key.cadence, key.prediction_date)
    if found is None or not found.challenger_stores:
        return None
    # Of another champion, or of runs of another length, it says nothing of this one.
    is_of_run = (found.terms.champion_version, found.terms.forecast_horizon) == (
        key.model_version,
        key.forecast_horizon,
    )
    return found if is_of_run else None


def resolve(stores: Stores, asked: VersionAsked) -> Publication:
    """Return the published run that is asked for; a channel is resolved here, once.

    Raises:
        InputError: If there is no such channel, or it points at no version.
        UnknownVersionError: If there is no such version.
        NotPublishedError: If nothing is published there, or several horizons or revisions are and none was named.
    """
    version = asked.model_version or _version_of(stores, str(asked.channel))
    stores.registry.model_version(version)
    day = asked.prediction_date or _newest_date(stores, asked, version)
    return resolve_run(stores, asked.cadence, day, version, asked.horizon, asked.revision)


def _version_of(stores: Stores, channel: str) -> str:
    if channel not in CHANNELS:
        raise InputError(f"There is no channel `{channel}`.", remedy=f"Name one of: {', '.join(CHANNELS)}.")
    version = stores.ledger.state().channel(channel)
    if version is None:
        raise NotPublishedError(
            f"The channel `{channel}` points at no version.",
            remedy=Sentence(
                "Point it at one: ",
                Action("promote", {"channel": channel, "by": "NAME", "reason": "TEXT"}, on=("VERSION",)),
            ),
            channel=channel,
        )
    return version


def _newest_date(stores: Stores, asked: VersionAsked, version: str) -> date:
    dates = [
        key.prediction_date
        for key in stores.ledger.state().publications
        if (key.model_version, key.cadence) == (version, asked.cadence)
        and asked.horizon in {None, key.forecast_horizon}
    ]
    if not dates:
        raise NotPublishedError(
            f"{version} has published no {asked.cadence} run.",
            remedy=Sentence("See what is published: ", Action("runs"), "."),
            model_version=version,
            cadence=asked.cadence,
        )
    return max(dates)
