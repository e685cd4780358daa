"""Model versions and the channels that point at them.

What belongs here: registering versions, moving channels forward and back. What does not: training or evaluating
anything, reading any number, or what follows from who served when. No library for frames is loaded here: going back
must not wait for one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import (
    AlreadyRegisteredError,
    InputError,
    LostRaceError,
    MissingFileError,
    NotAcceptedError,
    NothingToRollBackError,
    UnknownVersionError,
    first_ten,
)
from forecast_assets.core.keys import CHANNELS, WEEKLY, require_version_name
from resources.ledger.channels import appointments, way_back
from resources.ledger.log import Entry, Ledger
from resources.ledger.records import CHANNEL_GATES, Appointment, Body, VersionRecord
from resources.ledger.state import LedgerState
from resources.store.blobs import BlobStore
from resources.store.bucket import open_blobs
from resources.store.manifests import Manifests, paths_of
from resources.store.provenance import cpu_type


class Registry:
    """Model versions and channels on a ledger.

    Attributes:
        ledger: Where they are recorded.
    """

    def __init__(self, blobs: BlobStore, ledger: Ledger) -> None:
        self._blobs = blobs
        self._manifests = Manifests(blobs)
        self.ledger = ledger

    def register(self, record: Mapping[str, Any]) -> Entry:
        """Register a model version.

        Raises:
            AlreadyRegisteredError: If the name is taken.
            ChangedFileError: If a manifest of what it was made from is missing or changed, or a file is missing.
        """
        name = require_version_name(str(record["model_version"]))

        def admit(state: LedgerState) -> None:
            if name in state.versions:
                raise AlreadyRegisteredError(
                    f"`{name}` is already registered (ledger entry {state.versions[name].sequence}).",
                    remedy="A version never changes: choose another name.",
                    model_version=name,
                    sequence=state.versions[name].sequence,
                )

        behind = self._manifests.lineage(
            record[link] for link in ("artifact", "evaluation_report", "training_snapshot")
        )
        paths = paths_of(behind)
        missing = [path for path in paths if not self._blobs.has(path)]
        if missing:
            raise MissingFileError(
                f"`{name}` cannot be registered: {first_ten(missing)} of what it was made from is not there.",
                remedy="Train it again, or restore the file from a backup.",
                model_version=name,
                missing=missing,
            )
        return self.ledger.append("register", {**record, "cpu": cpu_type()}, admit, names=paths)

    def model_version(self, name: str) -> VersionRecord:
        """Return a registered model version.

        Raises:
            UnknownVersionError: If there is none of that name, with the known ones.
        """
        return _known(self.ledger.state(), name)

    def standing(self, channel: str) -> Appointment | None:
        """Return the appointment that a channel stands at, or None if it points at nothing."""
        return next(reversed(appointments(self.ledger.state(), channel)), None)

    def promote(self, name: str, *, by: str, reason: str, channel: str = "champion") -> Entry:
        """Point a channel at a version; moves a pointer, recomputes nothing.

        Raises:
            InputError: If who or why is missing, or there is no such channel.
            UnknownVersionError: If there is no such version.
            NotAcceptedError: If its evaluation report did not pass the gates, or if it was trained for fewer days ahead
                than the channel's cadence looks.
        """
        _require_decision("promotion", channel, by, reason)

        def admit(state: LedgerState) -> None:
            record = _known(state, name)
            failed = record.failed_gates(for_channel=True)
            if failed:
                raise NotAcceptedError(
                    f"`{name}` cannot be promoted: its evaluation report fails {first_ten(failed)}.",
                    remedy=Sentence("Look at it: ", Action("versions", given=(name,)), f"; {_way_out(failed)}."),
                    model_version=name,
                    failed=failed,
                )
            lacking = self._lacking_reach(record, channel)
            if lacking:
                raise NotAcceptedError(
                    lacking,
                    remedy=f"Train a version with --horizon {WEEKLY.default_horizon}.",
                    channel=channel,
                    model_version=name,
                )

        return self.ledger.append("promote", _body(channel, name, by, reason), admit)

    def rollback(self, *, by: str, reason: str, channel: str = "champion", to: str | None = None) -> Entry:
        """Point a channel back at a version that it pointed at before; moves a pointer, recomputes nothing.

        A channel never points at a version that may not serve its runs, so the gates and the reach that a promotion
        asks for hold here too: rules may have become stricter since the version was promoted.

        Args:
            by: Who decides.
            reason: Why.
            channel: The channel.
            to: An earlier version of the channel; by default the one before the present one. What was rolled back from
                is not counted, so that each rollback goes back further.

        Raises:
            InputError: If who or why is missing, or there is no such channel.
            NothingToRollBackError: If the channel never pointed at that version, or at no earlier one.
            NotAcceptedError: If the version's gates or reach no longer suffice.
            LostRaceError: If somebody else moved the channel meanwhile and no version was named.
        """
        _require_decision("rollback", channel, by, reason)
        seen = appointments(self.ledger.state(), channel)
        target = to or _before(channel, way_back(seen))

        def admit(state: LedgerState) -> None:
            history = appointments(state, channel)
            if to is None and history != seen:
                raise LostRaceError(
                    f"{history[-1].by} has moved `{channel}` meanwhile; it is now {history[-1].model_version}.",
                    remedy=Sentence(
                        "If it should still go back, name the version: --to VERSION; see ", Action("versions"), "."
                    ),
                    channel=channel,
                    model_version=history[-1].model_version,
                )
            earlier = dict.fromkeys(each.model_version for each in history)
            present = history[-1].model_version if history else None
            if target == present or target not in earlier:
                raise NothingToRollBackError(
                    f"`{channel}` {'is' if target == present else 'never was'} {target}.",
                    remedy=f"It was before: {first_ten([name for name in earlier if name != present]) or 'nothing'}.",
                    channel=channel,
                    model_version=target,
                )
            why_not = self._why_not(state.versions[target], channel)
            if why_not:
                fit = [name for name in earlier if name != present and not self._why_not(state.versions[name], channel)]
                raise NotAcceptedError(
                    f"`{channel}` cannot go back to `{target}`: {why_not}",
                    remedy=f"Name an earlier one that may serve with --to: {first_ten(fit) or 'there is none'}.",
                    channel=channel,
                    model_version=target,
                )

        return self.ledger.append("rollback", _body(channel, target, by, reason), admit)

    def _why_not(self, record: VersionRecord, channel: str) -> str:
        """Say why a channel may not point at a version; nothing if it may."""
        failed = record.failed_gates(for_channel=True)
        if failed:
            return f"its evaluation report fails {first_ten(failed)}."
        return self._lacking_reach(record, channel)

    def _lacking_reach(self, record: VersionRecord, channel: str) -> str:
        """Say why a version could never serve the cadence which follows the channel; nothing if it could."""
        if channel not in (WEEKLY.champion, WEEKLY.challenger):
            # No version is trained for fewer days than the shortest daily run.
            return ""
        days = self._manifests.version(record.artifact).facts.get("horizon")
        if days is None or days >= WEEKLY.shortest_horizon:
            return ""
        return (
            f"`{record.model_version}` was trained for {days} days ahead, and {WEEKLY.name} runs look at least "
            f"{WEEKLY.shortest_horizon} ahead."
        )


def open_registry(location: Path | str, mirror: Path | None = None) -> Registry:
    """Open the registry of a folder or a bucket alone, so that no library for frames has to be loaded.

    Args:
        location: Folder, or the URL of a bucket.
        mirror: Folder for local copies of what is in a bucket.
    """
    blobs = open_blobs(location, mirror)
    return Registry(blobs, Ledger(blobs))


def _require_decision(what: str, channel: str, by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise InputError(f"A {what} needs who and why.", remedy="Give --by and --reason some text.")
    if channel not in CHANNELS:
        raise InputError(f"There is no channel `{channel}`.", remedy=f"Name one of {first_ten(CHANNELS)}.")


def _body(channel: str, name: str, by: str, reason: str) -> Body:
    return {"channel": channel, "model_version": name, "by": by, "reason": reason}


def _before(channel: str, way: Sequence[str]) -> str:
    if len(way) > 1:
        return way[-2]
    raise NothingToRollBackError(
        f"`{channel}` has pointed at {f'nothing before `{way[-1]}`' if way else 'nothing yet'}.",
        remedy=Sentence(
            "Name any version that it has pointed at with --to; or promote one: ",
            Action("promote", {"by": "NAME", "reason": "TEXT"}, given=("VERSION",)),
            ".",
        ),
        channel=channel,
    )


def _known(state: LedgerState, name: str) -> VersionRecord:
    if name not in state.versions:
        raise UnknownVersionError(name, sorted(state.versions))
    return state.versions[name]


def _way_out(failed: Sequence[str]) -> str:
    if CHANNEL_GATES.issuperset(failed):
        return (
            "it may serve under its own name; to promote what was made elsewhere, ingest it as another version, from a "
            "file with past prediction dates on which it beats seasonal naive"
        )
    return "train a better one"
