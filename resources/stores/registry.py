"""Model versions and the channels that point at them.

What belongs here: registering versions, moving channels forward and back. What does not: training or evaluating
anything, reading any number, or what follows from who served when. No library for frames is loaded here: going back
must not wait for one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import InputError, MissingFileError, NothingToRollBackError, first_ten
from forecast_assets.core.keys import CHANNELS, require_version_name
from resources.ledger.channels import promotion_stack
from resources.ledger.entries.challenge import CHALLENGE, Challenge
from resources.ledger.entries.channel_moves import ChannelMove, Channels, require_reach
from resources.ledger.entries.judge import Judgement
from resources.ledger.entries.promote import PROMOTE
from resources.ledger.entries.register import REGISTER, VersionRecord, Versions
from resources.ledger.entries.retire import RETIRE, Retirement
from resources.ledger.entries.rollback import ROLLBACK
from resources.ledger.log import Entry, Ledger
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
        name = require_version_name(str(record["model_version"]), is_new=True)
        record = {"calibration": "", "training_seconds": 0.0, **record}
        behind = self._manifests.lineage(
            record[link]
            for link in ("artifact", "evaluation_report", "calibration", "training_snapshot")
            if record[link]
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
        return self.ledger.append(REGISTER.name, {**record, "cpu": cpu_type()}, names=paths)

    def model_version(self, name: str) -> VersionRecord:
        """Return a registered model version.

        Raises:
            UnknownVersionError: If there is none of that name, with the known ones.
        """
        return self.ledger.state().part(Versions).known(name)

    def current_move(self, channel: str) -> ChannelMove | None:
        """Return the newest move of a channel, or None if it points at nothing."""
        channels = self.ledger.state().part(Channels)
        return channels.newest(channel) if channels.target(channel) is not None else None

    def promote(
        self,
        name: str,
        *,
        by: str,
        reason: str,
        channel: str = "champion",
        judgement: Judgement | None = None,
        overrides: Sequence[str] = (),
        since_policy: int | None = None,
        since_move: int | None = None,
        rule: Callable[[LedgerState], object] = lambda _: None,
    ) -> Entry:
        """Point a channel at a version; moves a pointer, recomputes nothing.

        Args:
            name: The version.
            by: Who decides.
            reason: Why.
            channel: The channel.
            judgement: What it was judged for the channel's cadence; None for a version that nobody judged, which needs
                the gates that it was registered with.
            overrides: Gates of merit that it fails and that do not count.
            since_policy: Ledger entry of the newest policy when it was judged; None if nobody looked.
            since_move: Ledger entry since which the channel pointed where it did before that; None if nobody looked.
            rule: A further rule of this promotion; raises to refuse, and is asked again after every lost race.

        Raises:
            InputError: If who or why is missing, there is no such channel, or a gate that is overridden does not fail.
            UnknownVersionError: If there is no such version.
            NotAcceptedError: If it is retired, fails a gate, a gate may not be overridden, or it was trained for fewer
                days ahead than the channel's cadence looks.
            LostRaceError: If it was judged again, or channel, champion or policy changed, since it was judged.
        """
        require_move("promotion", channel, by, reason)
        move = ChannelMove(
            channel,
            name,
            by,
            reason,
            policy="" if judgement is None else judgement.policy,
            judgement="" if judgement is None else judgement.product_version,
            overrides=tuple(dict.fromkeys(overrides)),
        )

        def admit(state: LedgerState) -> None:
            rule(state)
            PROMOTE.admit(
                move, state, trained_horizon=self._trained_horizon, since_policy=since_policy, since_move=since_move
            )

        return self.ledger.append(PROMOTE.name, PROMOTE.body(move), admit)

    def require_reach(self, name: str, channel: str) -> None:
        """Refuse a version whose runs could never be as long as those of a channel.

        Raises:
            UnknownVersionError: If there is no such version.
            NotAcceptedError: If it was trained for fewer days ahead than the channel's cadence looks.
        """
        require_reach(self.model_version(name), channel, self._trained_horizon)

    def challenge(
        self, challenge: Challenge, *, seen: int, channel_since: int | None = None, since_policy: int | None = None
    ) -> Entry:
        """Begin a trial, change its share, or stop it; the challenger's channel follows.

        Args:
            challenge: What is decided.
            seen: The newest such entry of the cadence when it was decided; 0 if there was none.
            channel_since: Ledger entry since which the challenger's channel pointed where it did then, 0 before its
                first move; None if nobody looked.
            since_policy: Ledger entry of the newest policy before the version was judged; None if it was not.

        Raises:
            ForecastAssetsError: As `ChallengeKind.admit` says.
        """
        admit = partial(
            CHALLENGE.admit,
            challenge,
            trained_horizon=self._trained_horizon,
            seen=seen,
            channel_since=channel_since,
            since_policy=since_policy,
        )
        return self.ledger.append(CHALLENGE.name, CHALLENGE.body(challenge), admit)

    def require_challengeable(self, challenge: Challenge) -> None:
        """Refuse a challenge that no judgement of the challenger would let begin.

        Raises:
            ForecastAssetsError: As `ChallengeKind.require_terms` says.
        """
        CHALLENGE.require_terms(challenge, self.ledger.state(), trained_horizon=self._trained_horizon)

    def rollback(self, *, by: str, reason: str, channel: str = "champion", to: str | None = None) -> Entry:
        """Point a channel back at a version that it pointed at before; moves a pointer, recomputes nothing.

        A channel never points at a version that may not serve its runs, so the gates and the reach that a promotion
        asks for hold here too: rules may have become stricter since the version was promoted.

        Args:
            by: Who decides.
            reason: Why.
            channel: The channel.
            to: An earlier version of the channel; by default the one before the present one, or that at which a channel
                pointed that points at nothing now. What was rolled back from
                is not counted, so that each rollback goes back further.

        Raises:
            InputError: If who or why is missing, or there is no such channel.
            NothingToRollBackError: If the channel never pointed at that version, or at no earlier one.
            NotAcceptedError: If the version is retired, or its gates or reach no longer suffice.
            LostRaceError: If somebody else moved the channel meanwhile and no version was named.
        """
        require_move("rollback", channel, by, reason)
        channels = self.ledger.state().part(Channels)
        since, stack = channels.since(channel), promotion_stack(channels.of(channel))
        # Before a channel that was cleared comes what it pointed at then.
        target = to or (stack[-1] if stack and channels.target(channel) is None else _before(channel, stack))
        # What it was promoted by, and in spite of what, stays with it.
        last = channels.newest_to(channel, target)
        move = replace(last or ChannelMove(channel, target, by, reason), by=by, reason=reason)
        admit = partial(
            ROLLBACK.admit, move, trained_horizon=self._trained_horizon, since=since if to is None else None
        )
        return self.ledger.append(ROLLBACK.name, ROLLBACK.body(move), admit)

    def retire(self, name: str, *, by: str, reason: str, serves_again: bool = False) -> Entry:
        """Take a version out of service: no channel may point at it and no new run is made; what it published stays.

        Args:
            name: The version.
            by: Who decides.
            reason: Why.
            serves_again: Undo an earlier retirement instead.

        Raises:
            InputError: If who or why is missing, or this is true already.
            UnknownVersionError: If there is no such version.
            NotAcceptedError: If a channel points at it.
        """
        retirement = Retirement(name, by, reason, serves_again)
        return self.ledger.append(RETIRE.name, RETIRE.body(retirement), partial(RETIRE.admit, retirement))

    def _trained_horizon(self, artifact: str) -> int | None:
        days: int | None = self._manifests.version(artifact).facts.get("horizon")
        return days


def open_registry(location: Path | str, mirror: Path | None = None) -> Registry:
    """Open the registry of a folder or a bucket alone, so that no library for frames has to be loaded.

    Args:
        location: Folder, or the URL of a bucket.
        mirror: Folder for local copies of what is in a bucket.
    """
    blobs = open_blobs(location, mirror)
    return Registry(blobs, Ledger(blobs))


def require_move(what: str, channel: str, by: str, reason: str) -> None:
    """Refuse to move a channel that there is not, or without who and why.

    Args:
        what: `promotion` or `rollback`.
        channel: The channel.
        by: Who decides.
        reason: Why.

    Raises:
        InputError: If one of them is missing.
    """
    require_decision(f"A {what}", by, reason)
    if channel not in CHANNELS:
        raise InputError(f"There is no channel `{channel}`.", remedy=f"Name one of {first_ten(CHANNELS)}.")


def _before(channel: str, stack: Sequence[str]) -> str:
    if len(stack) > 1:
        return stack[-2]
    raise NothingToRollBackError(
        f"`{channel}` has pointed at {f'nothing before `{stack[-1]}`' if stack else 'nothing yet'}.",
        remedy=Sentence(
            "Name any version that it has pointed at with --to; or promote one: ",
            Action("promote", {"by": "NAME", "reason": "TEXT"}, on=("VERSION",)),
            ".",
        ),
        channel=channel,
    )
