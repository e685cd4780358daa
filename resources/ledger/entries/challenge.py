"""`challenge`: a version challenges the champion in some stores, under rules that are fixed beforehand; or no more.

What belongs here: all that is to be known of this kind of entry, and which trial runs by them. What does not: which
stores follow the challenger, or weighing evidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from math import inf
from typing import Any, Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import (
    HorizonError,
    InputError,
    LostRaceError,
    NotAcceptedError,
    NotReadyError,
    first_ten,
)
from forecast_assets.core.keys import CADENCES
from resources.ledger.entries.audit import (
    RECORDED_AT,
    AuditColumn,
    AuditTable,
    AuditView,
    ColumnType,
    ComputedRows,
    TableView,
)
from resources.ledger.entries.base import (
    EntryDescription,
    EntryEvent,
    EntryKind,
    EntryLike,
    position_fields,
    register_kind,
)
from resources.ledger.entries.channel_moves import (
    ChannelMove,
    Channels,
    TrainedHorizon,
    require_not_retired,
    require_reach,
)
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.judge import Judgements
from resources.ledger.entries.measure import Measurements
from resources.ledger.entries.policy import Policies
from resources.ledger.entries.register import Versions
from resources.ledger.records import with_known_fields

# Column of `forecast_accuracy` by the name of the loss.
LOSSES: Final[Mapping[str, str]] = {
    "absolute_error": "absolute_error_units",
    "pinball_loss": "pinball_loss_units",
}
# Steps on which a trial may decide: further ahead there are too few observations that do not overlap.
DECIDING_STEPS: Final = (1, 7)


@dataclass(frozen=True)
class TrialRules:
    """What is fixed before anything of a trial is seen.

    Attributes:
        forecast_horizon: Days ahead of the runs that are compared.
        loss: What is summed by target date: one of `LOSSES`.
        bound: A day on which the losses differ by more than this share of their mean counts as this much.
        level: Chance of a wrong decision, however often somebody looks.
        deciding_step: Days ahead on which the trial decides; others are reported.
        least_days: Days before whose end nothing is decided.
        bias_margin: By how much the challenger's bias, as a share of sales, may lie further from 0.
        coverage_margin: By how much its coverage of the 80% interval may lie further from 80%.
        segment_margin: By which share its loss may be greater in an important segment.
        segment_share: Share of sales from which on a segment is important.
    """

    forecast_horizon: int
    loss: str = "absolute_error"
    bound: float = 0.1
    level: float = 0.05
    deciding_step: int = 1
    least_days: int = 28
    bias_margin: float = 0.02
    coverage_margin: float = 0.03
    segment_margin: float = 0.05
    segment_share: float = 0.05

    def problem(self) -> str:
        """Say which rule has no meaning, and what it may be; nothing if all have."""
        steps = [step for step in DECIDING_STEPS if step <= self.forecast_horizon]
        # Of no number each comparison is false, and JSON has neither that nor what is infinite.
        allowed = {
            "bound": (0 < self.bound <= 2, "above 0 and at most 2"),  # noqa: PLR2004 - no relative difference is larger
            "level": (0 < self.level < 1, "between 0 and 1"),
            "deciding_step": (self.deciding_step in steps, f"one of {first_ten(map(str, steps))}"),
            "loss": (self.loss in LOSSES, f"one of {first_ten(LOSSES)}"),
            "least_days": (self.least_days >= 1, "at least 1"),
            "segment_share": (0 < self.segment_share <= 1, "above 0 and at most 1"),
            **{
                name: (0 <= getattr(self, name) < inf, "0 or more")
                for name in ("bias_margin", "coverage_margin", "segment_margin")
            },
        }
        wrong = next((name for name, (is_allowed, _) in allowed.items() if not is_allowed), "")
        if not wrong:
            return ""
        return f"{wrong.replace('_', ' ')} of a trial is {allowed[wrong][1]}, not {getattr(self, wrong)}"


@dataclass(frozen=True)
class Challenge:
    """A version challenges the champion, in a share of stores; or does so no more.

    Attributes:
        cadence: Rhythm of the runs.
        channel: The challenger's channel, which points at the version from then on; at nothing once the trial stops.
        model_version: The challenger.
        champion_version: The version that it is compared with.
        share: Share of stores that follow the challenger, from 0 to 1.
        salt: What stores are hashed with.
        first_day: Target date from which on evidence counts; no sales of it had been seen.
        rules: What else was fixed beforehand.
        by: Who decided.
        reason: Why.
        trial: Ledger entry that began the trial; 0 in that entry itself. Later ones change its share or stop it.
        is_stop: Whether this ends the trial.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    cadence: str
    channel: str
    model_version: str
    champion_version: str
    share: float
    salt: str
    first_day: date
    rules: TrialRules
    by: str
    reason: str
    trial: int = 0
    is_stop: bool = False
    sequence: int = 0
    recorded_at: str = ""

    @property
    def begun_by(self) -> int:
        """Ledger entry that began the trial: its name."""
        return self.trial or self.sequence


@dataclass
class Challenges:
    """What follows from challenges.

    Attributes:
        made: Of all cadences, oldest first.
    """

    made: list[Challenge] = field(default_factory=list)

    def of(self, cadence: str) -> list[Challenge]:
        """Return those of one cadence, oldest first."""
        return [each for each in self.made if each.cadence == cadence]

    def newest(self, cadence: str) -> Challenge | None:
        """Return the newest of a cadence, whether or not its trial still runs; None before the first."""
        return next((each for each in reversed(self.made) if each.cadence == cadence), None)


def running_trial(state: FoldedState, cadence: str) -> Challenge | None:
    """Return the trial of a cadence as its newest entry has it; None where none runs.

    A trial is of two versions: it is over once the channel of either was moved to another one, also if it has been
    moved back since.

    Args:
        state: What is true now.
        cadence: Rhythm of the runs.
    """
    newest = state.part(Challenges).newest(cadence)
    return None if newest is None or trial_end(state, newest) else newest


def trial_end(state: FoldedState, newest: Challenge) -> str:
    """Say why a trial is over; nothing while it runs.

    Args:
        state: What is true now.
        newest: The newest entry of its cadence.
    """
    if newest.is_stop:
        return f"{newest.by} stopped it (ledger entry {newest.sequence}): {newest.reason}."
    channels, begun = state.part(Channels), newest.begun_by
    wanted = {CADENCES[newest.cadence].champion: newest.champion_version, newest.channel: newest.model_version}
    for move in channels.channel_moves:
        # A move to the version that it points at, with other overrides, changes nothing of what is compared.
        if move.sequence > begun and move.model_version != wanted.get(move.channel, move.model_version):
            return f"`{move.channel}` became {move.model_version} with ledger entry {move.sequence}."
    cleared = next((channel for channel in wanted if channels.cleared.get(channel, 0) > begun), None)
    return "" if cleared is None else f"`{cleared}` is nothing since ledger entry {channels.cleared[cleared]}."


class ChallengeKind(EntryKind[Challenge]):
    """Trials, from their rules to the view `challenger_trials`."""

    name = "challenge"
    meaning = "a version challenges the champion in a share of stores, under rules fixed beforehand; or no more"
    kept_state = "trials by cadence, and where the challenger's channel points; the last entry of a cadence decides"
    record = Challenge

    def read(self, entry: EntryLike) -> Challenge:
        """Return the challenge of an entry."""
        read = {
            "first_day": date.fromisoformat(entry.body["first_day"]),
            "rules": with_known_fields(TrialRules, entry.body["rules"]),
        }
        return with_known_fields(Challenge, {**entry.body, **position_fields(entry), **read})

    def fold(self, record: Challenge, state: FoldedState) -> None:
        """Keep the challenge, and point the channel at the challenger, or at nothing."""
        state.part(Challenges).made.append(record)
        channels = state.part(Channels)
        if record.is_stop:
            channels.cleared[record.channel] = record.sequence
        elif channels.target(record.channel) != record.model_version:
            said = (record.channel, record.model_version, record.by, record.reason)
            # A trial is no promotion: what a version is marked with, it stays marked with.
            marked = channels.overrides_of(record.model_version)
            channels.channel_moves.append(ChannelMove(*said, record.sequence, record.recorded_at, overrides=marked))

    def admit(
        self,
        record: Challenge,
        state: FoldedState,
        *,
        trained_horizon: TrainedHorizon = lambda _: None,
        seen: int | None = None,
        channel_since: int | None = None,
        since_policy: int | None = None,
    ) -> None:
        """Refuse a challenger that may not serve, and rules that are not fixed beforehand.

        A trial needs a version that fails no gate of soundness; that stores follow it, or more of them than before,
        needs the gates of merit too. A share may go down whatever was judged meanwhile.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            trained_horizon: Returns how many days ahead a version was trained for.
            seen: The newest entry of the cadence when it was decided, 0 if there was none; None if nobody looked.
            channel_since: Ledger entry since which the channel pointed where it did when it was decided, 0 before its
                first move; None if nobody looked.
            since_policy: Ledger entry of the newest policy before the version was judged, 0 if there was none; None if
                it was not.

        Raises:
            InputError: If who or why is missing, a rule has no meaning, or a version would challenge itself.
            UnknownVersionError: If there is no such version.
            NotReadyError: If there is no champion to challenge.
            NotAcceptedError: If the version is retired, fails gates, or is not for runs of the cadence.
            HorizonError: If one of the two was trained for fewer days than are to be compared.
            LostRaceError: If channels, trials, measurements or the policy have moved since this was decided.
        """
        newest = state.part(Challenges).newest(record.cadence)
        if seen is not None and (0 if newest is None else newest.sequence) != seen:
            raise _moved(record, f"somebody else decided on the {record.cadence} challenger")
        if channel_since is not None and state.part(Channels).since(record.channel) != channel_since:
            raise _moved(record, f"somebody else moved `{record.channel}`")
        if record.trial:
            running = running_trial(state, record.cadence)
            if running is None or running.begun_by != record.trial:
                raise _moved(record, f"the trial of ledger entry {record.trial} ended")
        self.require_terms(record, state, trained_horizon=trained_horizon)
        if record.is_stop:
            return
        if since_policy is not None and state.part(Policies).newest > since_policy:
            raise _moved(record, "another policy was applied")
        _require_gates(record, newest.share if newest is not None and record.trial else None, state)
        measured = [day for cadence, day in state.part(Measurements).by_day if cadence == record.cadence]
        if not record.trial and max(measured, default=date.min) >= record.first_day:
            raise _moved(record, f"{max(measured)} was measured, and evidence begins on days that nobody has seen")

    def require_terms(
        self, record: Challenge, state: FoldedState, *, trained_horizon: TrainedHorizon = lambda _: None
    ) -> None:
        """Refuse what no judgement of the challenger would mend: who, why, rules, who challenges whom.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            trained_horizon: Returns how many days ahead a version was trained for.

        Raises:
            InputError: If who or why is missing, a rule has no meaning, or a version would challenge itself.
            UnknownVersionError: If there is no such version.
            NotReadyError: If there is no champion to challenge.
            NotAcceptedError: If the version is retired, or is not for runs of the cadence.
            HorizonError: If one of the two was trained for fewer days than are to be compared.
            LostRaceError: If there is another champion by now.
        """
        require_decision("A challenge", record.by, record.reason)
        if record.is_stop:
            return
        _require_meaning(record)
        _require_champion(record, state.part(Channels).target(CADENCES[record.cadence].champion))
        versions = state.part(Versions)
        version = require_not_retired(record.model_version, record.channel, versions)
        require_reach(version, record.channel, trained_horizon)
        _require_reach(record, versions, trained_horizon)

    def views(self) -> Sequence[AuditView]:
        """Return the view `challenger_trials`."""
        return (
            TableView(
                name=CHALLENGER_TRIALS.name,
                grain="one decision on a challenger",
                description="Every trial with the rules that were fixed beforehand, every change of its share, and "
                "its end. A trial is over too once `channel_history` moves either channel.",
                key=("sequence",),
                table=CHALLENGER_TRIALS,
            ),
        )

    def event(self, record: Challenge) -> EntryEvent:
        """Return whether a challenge begins or ends."""
        return EntryEvent(
            "challenger.stopped" if record.is_stop else "challenger.started", f"challengers/{record.cadence}"
        )

    def describe(self, record: Challenge) -> EntryDescription:
        """Return who challenges whom in how many stores, who decided and why."""
        pair = f"{record.model_version} against {record.champion_version}, {record.cadence}"
        if record.is_stop:
            return EntryDescription(f"{pair}: stopped", record.by, record.reason)
        since = "" if record.trial else f", evidence from {record.first_day} on"
        return EntryDescription(f"{pair}: {record.share:.0%} of stores{since}", record.by, record.reason)


def _moved(record: Challenge, what: str) -> LostRaceError:
    return LostRaceError(
        f"Meanwhile {what}.",
        remedy=Sentence("Look, then run the same command again: ", Action("challenger show"), "."),
        cadence=record.cadence,
        model_version=record.model_version,
    )


def _require_meaning(record: Challenge) -> None:
    if not 0.0 <= record.share <= 1.0:
        raise InputError(f"{record.share:g} is no share of stores.", remedy="Give one from 0 to 1, such as 0.2.")
    if not record.salt.strip():
        raise InputError("The salt is empty.", remedy="Leave it out, or give it some text.")
    wrong = record.rules.problem()
    if wrong:
        raise InputError(
            f"The {wrong}.",
            remedy=Sentence("See what each may be: ", Action("challenger set", {"help": True}), "."),
        )


def _require_champion(record: Challenge, champion: str | None) -> None:
    channel = CADENCES[record.cadence].champion
    if champion is None:
        raise NotReadyError(
            f"`{channel}` points at nothing, so there is nothing to challenge.",
            remedy=Sentence(
                "Promote a version first: ",
                Action("promote", {"channel": channel, "by": "NAME", "reason": "TEXT"}, on=("VERSION",)),
                ".",
            ),
            channel=channel,
        )
    if champion != record.champion_version:
        raise _moved(record, f"`{channel}` became {champion}")
    if champion == record.model_version:
        raise InputError(
            f"`{champion}` is `{channel}`; it cannot challenge itself.",
            remedy=Sentence("Name another version; see which there are: ", Action("versions"), "."),
            model_version=champion,
        )


def _require_gates(record: Challenge, before: float | None, state: FoldedState) -> None:
    """Refuse a challenger by its newest judgement; by the gates it was registered with where there is none.

    Args:
        record: What is to be recorded.
        before: Share of the trial so far; None where it begins.
        state: What it would follow.
    """
    if before is not None and record.share <= before:
        return
    judged = state.part(Judgements).newest(record.model_version, record.cadence)
    if judged is None:
        failed = tuple(state.part(Versions).known(record.model_version).failed_gates(for_channel=True))
    else:
        failed = judged.failed if record.share else judged.failed_soundness
    if not failed:
        return
    if judged is None or judged.failed_soundness:
        may = "Put right what they name, or let another version challenge."
    elif before is None:
        may = "Compare it while no store follows it, with --share 0; or train a better one."
    else:
        may = "Leave its share as it is, or make it smaller."
    raise NotAcceptedError(
        f"`{record.model_version}` cannot challenge `{record.champion_version}` in {record.share:.0%} of stores: "
        f"it fails {first_ten(failed)}.",
        remedy=Sentence(
            "See figures and bounds: ",
            Action("gates", {"cadence": record.cadence}, on=(record.model_version,)),
            f". {may}",
        ),
        model_version=record.model_version,
        failed=failed,
    )


def _require_reach(record: Challenge, versions: Versions, trained_horizon: TrainedHorizon) -> None:
    wanted = record.rules.forecast_horizon
    CADENCES[record.cadence].horizon(wanted)
    for name in (record.champion_version, record.model_version):
        days = trained_horizon(versions.known(name).artifact)
        if days is not None and days < wanted:
            raise HorizonError(
                f"`{name}` was trained for {days} days ahead; {record.cadence} runs of {wanted} days are compared.",
                remedy=f"Compare shorter runs with --horizon {days}, if both publish them, or train another version.",
                model_version=name,
                horizon=wanted,
                longest=days,
            )


_RULES: Final = (
    AuditColumn("forecast_horizon", ColumnType.INT32, "days ahead of the runs that are compared"),
    AuditColumn("loss", ColumnType.TEXT, "what is summed by target date"),
    AuditColumn("bound", ColumnType.FLOAT64, "relative difference of a day from which on it counts as this much"),
    AuditColumn("level", ColumnType.FLOAT64, "chance of a wrong decision, however often somebody looks"),
    AuditColumn("deciding_step", ColumnType.INT32, "days ahead on which the trial decides"),
    AuditColumn("least_days", ColumnType.INT32, "days before whose end nothing is decided"),
    AuditColumn("bias_margin", ColumnType.FLOAT64, "by how much bias may lie further from 0"),
    AuditColumn("coverage_margin", ColumnType.FLOAT64, "by how much coverage may lie further from 80%"),
    AuditColumn("segment_margin", ColumnType.FLOAT64, "by which share the loss of an important segment may grow"),
    AuditColumn("segment_share", ColumnType.FLOAT64, "share of sales from which on a segment is important"),
)


def _rows(challenges: Sequence[Challenge], _: Any) -> ComputedRows:
    return ComputedRows(
        [
            {**{c.name: getattr(each, c.name) for c in _OWN}, "trial": each.begun_by, **asdict(each.rules)}
            for each in challenges
        ]
    )


_OWN: Final = (
    AuditColumn("sequence", ColumnType.INT64, "ledger entry"),
    AuditColumn("cadence", ColumnType.TEXT, "rhythm of the runs"),
    AuditColumn("channel", ColumnType.TEXT, "the challenger's channel"),
    AuditColumn("model_version", ColumnType.TEXT, "the challenger"),
    AuditColumn("champion_version", ColumnType.TEXT, "the version that it is compared with"),
    AuditColumn("share", ColumnType.FLOAT64, "share of stores that follow the challenger"),
    AuditColumn("salt", ColumnType.TEXT, "what stores are hashed with"),
    AuditColumn("first_day", ColumnType.DATE, "target date from which on evidence counts"),
    AuditColumn("is_stop", ColumnType.BOOLEAN, "whether this ends the trial"),
    AuditColumn("by", ColumnType.TEXT, 'who decided (in SQL `"by"`)'),
    AuditColumn("reason", ColumnType.TEXT, "why"),
    RECORDED_AT,
)
CHALLENGER_TRIALS: Final = AuditTable(
    "challenger_trials",
    (*_OWN, AuditColumn("trial", ColumnType.INT64, "ledger entry that began the trial"), *_RULES),
    lambda state: state.part(Challenges).made,
    _rows,
)
CHALLENGE: Final = register_kind(ChallengeKind())
