"""Retraining: when a version is due to be trained anew, what it is called, and when it is due to become challenger.

What belongs here: rules over what is recorded. What does not: training, judging, or running anything.

A version is trained by rule, never made champion by one: it becomes the challenger, under the name `automation`, with a
reason, in an entry of the ledger. Whoever finds it better promotes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from forecast_assets.contracts import BROKEN
from forecast_assets.core.errors import NotReadyError
from forecast_assets.core.keys import DAILY, last_day_over
from forecast_assets.core.run import TrainingRequest
from forecast_assets.models.family import trained_families
from resources.ledger.channels import channel_moves
from resources.ledger.entries.backlog import CLOSED, Backlog, BacklogStep
from resources.ledger.entries.challenge import Challenges, running_trial
from resources.ledger.entries.drift import DriftRecords
from resources.ledger.entries.judged_days import AUTOMATION, Signal, SignalName
from resources.ledger.entries.register import VersionRecord, Versions
from resources.ledger.entries.weigh import BETTER, COLLECTING, UNDECIDED, ChallengerVerdicts
from resources.ledger.state import LedgerState
from resources.stores.home import Stores

PREFIX: Final = "auto-"
# Days of a change that training has to see before it can learn it.
SEEN_DAYS: Final = 14
# Days of evidence after which an undecided trial makes room; a decision takes six weeks at least.
UNDECIDED_FOR: Final = timedelta(days=120)
_LOOKED_BACK: Final = 14


@dataclass(frozen=True)
class DueTraining:
    """A version that is due to be trained.

    Attributes:
        request: What to train.
        reason: Why.
    """

    request: TrainingRequest
    reason: str


@dataclass(frozen=True)
class ChallengerOffer:
    """A version that is due to become challenger.

    Attributes:
        model_version: Which.
        reason: Why.
    """

    model_version: str
    reason: str


def version_name(family: str, cutoff: date) -> str:
    """Return the name of a version that is trained by rule.

    Example:
        >>> version_name("statistical", date(2025, 6, 30))
        'auto-statistical-2025-06-30'
    """
    return f"{PREFIX}{family}-{cutoff}"


def due_training(stores: Stores, *, weeks: int, now: datetime, by_drift: bool = True) -> DueTraining | str:
    """Return the version that is due to be trained, or why none is.

    Args:
        stores: Where everything is.
        weeks: Weeks after which a version is trained anew without a reason of its own; 0 for never.
        now: Moment that decides which days are over.
        by_drift: Whether a change that no version of the family has seen is a reason.
    """
    state = stores.ledger.state()
    champion = state.channel(DAILY.champion)
    if champion is None:
        return f"No {DAILY.champion} to train anew."
    served = state.versions[champion]
    if served.family not in trained_families():
        return f"`{champion}` is of the family {served.family}, which is not trained here."
    cutoff = _newest_snapshot(stores, now)
    if cutoff is None:
        return "No snapshot of the last two weeks to train on: a run makes one, and so does the judgement of drift."
    seen = max(version.cutoff for version in state.versions.values() if version.family == served.family)
    reason, waits = _reason(state, seen, cutoff, weeks=weeks, by_drift=by_drift)
    if not reason:
        return waits
    name = version_name(served.family, cutoff)
    if name in state.versions:
        return f"`{name}` is trained."
    horizon = stores.predictions.version(served.artifact).facts.get("horizon")
    return DueTraining(TrainingRequest(name, served.family, cutoff, horizon), reason)


def _reason(state: LedgerState, seen: date, cutoff: date, *, weeks: int, by_drift: bool) -> tuple[str, str]:
    """Return why to train up to a day what has seen the days up to another, and if not, what is waited for."""
    broken = _broken(state, seen, cutoff)
    if broken:
        return "", broken
    waits = f"Versions have seen the days up to {seen}."
    if by_drift:
        for step, signal in _changes_after(state, seen):
            ready = date.fromisoformat(signal.since) + timedelta(days=SEEN_DAYS - 1)
            if cutoff >= ready:
                return f"drift, item {step.item} of the backlog: {signal.evidence}", ""
            waits = f"Item {step.item} of the backlog can be learned from {ready} on."
    if weeks and cutoff - seen >= timedelta(weeks=weeks):
        return f"schedule: the newest version has seen the days up to {seen}, {(cutoff - seen).days} days ago", ""
    return "", waits


def _broken(state: LedgerState, seen: date, cutoff: date) -> str:
    """Return why days after one and up to another cannot be learned from; empty if they can.

    While a signal is told, no word of a person makes its feed whole. Once it is told no more its days are still there:
    whether they were put right only a person knows, who closes the item.
    """
    told = {record.sequence: record for records in state.part(DriftRecords).by_day.values() for record in records}
    backlog = state.part(Backlog)
    for step in backlog.newest.values():
        # What callers found, or detectors of anomalies, is for people: its signal has another form or verdict.
        if f"/{BROKEN}/" not in step.signal or SignalName.parse(step.signal).verdict != BROKEN:
            continue
        if step.is_present:
            return f"A feed is broken (item {step.item} of the backlog): nothing is learned from it."
        if step.status == CLOSED:
            continue
        first = backlog.first(step.item)
        opened = next(each for each in told[first.sequence].opened if each.signal == step.signal)
        ended = next(each for each in backlog.steps if each.item == step.item and not each.is_present)
        since, last = date.fromisoformat(opened.since), told[ended.sequence].prediction_date - timedelta(days=1)
        if since <= cutoff and last > seen:
            return (
                f"Item {step.item} of the backlog is not closed: a feed was broken from {since} to {last}, which no "
                "version has seen. Close it when those days are put right, or may be learned from as they are."
            )
    return ""


def _open(state: LedgerState) -> list[BacklogStep]:
    return [step for step in state.part(Backlog).present.values() if step.status != CLOSED]


def _changes_after(state: LedgerState, seen: date) -> Iterator[tuple[BacklogStep, Signal]]:
    """Yield open items of a change that began after a day, with their signals."""
    opened = {
        (record.sequence, each.signal): each
        for records in state.part(DriftRecords).by_day.values()
        for record in records
        for each in record.opened
    }
    for step in _open(state):
        first = state.part(Backlog).first(step.item)
        signal = opened.get((first.sequence, step.signal))
        if signal is not None and date.fromisoformat(signal.since) > seen:
            yield step, signal


def _newest_snapshot(stores: Stores, now: datetime) -> date | None:
    """Return the newest day of the last two weeks with a snapshot; a day that is not over is a slip of a clock."""
    try:
        newest = stores.observations.newest_day("sales", until=last_day_over(now))
    except NotReadyError:
        return None
    days = (newest - timedelta(days=back) for back in range(_LOOKED_BACK))
    return next((day for day in days if stores.predictions.is_staged("feature_snapshots", day)), None)


def due_challenger(stores: Stores) -> ChallengerOffer | str:
    """Return the version that is due to become challenger, or why none is.

    A challenger that somebody chose is left alone until it is the champion, or is retired; one that a rule chose while
    its trial is undecided, for `UNDECIDED_FOR` at most, and while it is shown to be better.
    """
    state = stores.ledger.state()
    # Somebody may call a version of their own so: of another family, or up to another day.
    trained = [each for each in state.versions.values() if each.model_version == version_name(each.family, each.cutoff)]
    if not trained:
        return "No version was trained by rule."
    newest = max(trained, key=lambda version: version.sequence)
    name, present = newest.model_version, state.channel(DAILY.challenger)
    if any(move.model_version == name for move in state.channel_moves):
        return f"`{name}` has been put on a channel."
    failed = newest.failed_gates(for_channel=True)
    if failed:
        return f"`{name}` does not pass {', '.join(failed)}."
    retired = state.part(Versions).retirement_problem(name)
    if retired:
        return retired
    kept = "" if present is None else _kept(state, present, newest.cutoff)
    return kept or ChallengerOffer(name, _why(state, newest))


def _kept(state: LedgerState, challenger: str, cutoff: date) -> str:
    """Say why a challenger is not replaced by a version that has seen the days up to another; nothing if it may be."""
    if challenger in state.part(Versions).retired or challenger == state.channel(DAILY.champion):
        return ""
    trial = running_trial(state, DAILY.name)
    begun = () if trial is None else (each for each in state.part(Challenges).made if each.sequence == trial.begun_by)
    chosen_by = [channel_moves(state, DAILY.challenger)[-1].by, *(each.by for each in begun)]
    people = [by for by in chosen_by if by != AUTOMATION]
    if people:
        return f"`{challenger}` was made {DAILY.challenger} by {people[-1]}."
    if trial is None:
        return ""
    verdict = state.part(ChallengerVerdicts).newest(trial.begun_by)
    if verdict is not None and verdict.decision == BETTER:
        shown = f"`{challenger}` is shown to be better (ledger entry {verdict.sequence})"
        return f"{shown}, and stays {DAILY.challenger} until somebody promotes it, or stops its trial."
    is_open = verdict is None or verdict.decision in (COLLECTING, UNDECIDED)
    if not is_open or cutoff - trial.first_day >= UNDECIDED_FOR:
        return ""
    return f"The trial of `{challenger}` is undecided; until {trial.first_day + UNDECIDED_FOR} it goes on."


def _why(state: LedgerState, trained: VersionRecord) -> str:
    """Return why a version was trained, from what was recorded before it."""
    earlier = [
        version.cutoff
        for version in state.versions.values()
        if version.family == trained.family and version.sequence < trained.sequence
    ]
    seen = max(earlier, default=trained.cutoff)
    items = [
        str(step.item)
        for step, signal in _changes_after(state, seen)
        if date.fromisoformat(signal.since) <= trained.cutoff
    ]
    cause = f"item {', '.join(items)} of the backlog" if items else f"versions had seen the days up to {seen}"
    return f"trained by rule up to {trained.cutoff}, since {cause}; passes its gates"
