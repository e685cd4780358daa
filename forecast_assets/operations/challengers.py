"""Champion and challenger: begin a trial, change its share, stop it, and promote on its evidence.

What belongs here: what is decided when, from what the ledger says. What does not: what may be recorded (the kinds of
entries), weighing evidence (lifecycle), or running anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import HorizonError, InputError, NotReadyError, first_ten
from forecast_assets.core.keys import CADENCES, DAILY, Cadence, last_day_over, require_cadence
from forecast_assets.lifecycle.horizons import published_horizons
from forecast_assets.lifecycle.promotion import is_judged, require_better
from forecast_assets.lifecycle.retraining import due_challenger
from forecast_assets.operations.promoting import Promotion, judge, promote
from resources.ledger.entries.challenge import CHALLENGE, Challenge, Challenges, TrialRules, running_trial
from resources.ledger.entries.channel_moves import Channels
from resources.ledger.entries.judged_days import AUTOMATION
from resources.ledger.entries.measure import Measurements
from resources.ledger.entries.policy import Policies
from resources.ledger.entries.weigh import BETTER, ChallengerVerdicts
from resources.ledger.present import present
from resources.ledger.state import LedgerState
from resources.stores.home import Stores
from resources.stores.registry import Registry

AUTOMATIC: Final = "the setting promotes_on_evidence"


@dataclass(frozen=True)
class ChallengeRequest:
    """What somebody asks for of a challenger.

    Attributes:
        cadence: Rhythm of the runs.
        model_version: The challenger.
        share: Share of stores that follow it; None for that of the trial that runs, else none of them.
        by: Who decides.
        reason: Why.
        first_day: Target date from which on evidence counts; None for the first that nobody has seen.
        salt: What stores are hashed with; None for the names of cadence and challenger.
        rules: Rules of the trial that are not the usual ones, by name.
    """

    cadence: str
    model_version: str
    share: float | None
    by: str
    reason: str
    first_day: date | None = None
    salt: str | None = None
    rules: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ChallengeOutcome:
    """What became of it.

    Attributes:
        challenge: The newest entry of the trial.
        is_new: Whether this call recorded it.
    """

    challenge: Challenge
    is_new: bool


@dataclass(frozen=True)
class SeenTrial:
    """What somebody saw who decided on a challenger.

    Attributes:
        newest: Ledger entry of the newest decision on the cadence's trials; 0 if there was none.
        channel_since: Ledger entry since which the challenger's channel points where it does; 0 before its first move.
    """

    newest: int
    channel_since: int


def seen_trial(state: LedgerState, cadence: Cadence) -> SeenTrial:
    """Return what there is of a cadence's trials now."""
    newest = state.part(Challenges).newest(cadence.name)
    return SeenTrial(0 if newest is None else newest.sequence, state.part(Channels).since(cadence.challenger))


def set_challenger(
    stores: Stores, asked: ChallengeRequest, now: datetime | None = None, *, seen: SeenTrial | None = None
) -> ChallengeOutcome:
    """Begin a trial of a version against the champion, or change the share of the one that runs.

    A trial of another version ends with it. Rules are fixed while a trial runs; its salt stays too, so that another
    share moves as few stores as it can. A version that begins a trial, or is to be followed by more stores, is judged
    by the policy in force first.

    Args:
        stores: Where everything is.
        asked: What is asked for.
        now: Moment that decides which days are over; by default the present.
        seen: What whoever asks knew when they decided; by default what there is now.

    Raises:
        InputError: If rules would change while the trial runs, or evidence would begin on days that have been seen.
        HorizonError: If the two versions publish runs, and none of the horizon that is to be compared.
        NotReadyError: If there is no champion, or there are no sales.
        ChangedFileError: If a report that figures of a gate are read from is not as it was recorded.
        ForecastAssetsError: As `ChallengeKind.admit` says.
    """
    require_cadence(asked.cadence)
    _require_rules(asked.rules or {})
    return _set_challenger(stores, asked, now, seen)


def _set_challenger(
    stores: Stores,
    asked: ChallengeRequest,
    now: datetime | None,
    seen: SeenTrial | None,
    judged_since: int | None = None,
) -> ChallengeOutcome:
    """Do so.

    Args:
        stores: Where everything is.
        asked: What is asked for.
        now: Moment that decides which days are over.
        seen: What whoever asks knew.
        judged_since: Ledger entry of the newest policy before the version was judged for this; None if it was not yet.
    """
    state = stores.ledger.state()
    known = seen or seen_trial(state, CADENCES[asked.cadence])
    running = running_trial(state, asked.cadence)
    if running is not None and running.model_version == asked.model_version:
        share = running.share if asked.share is None else asked.share
        _require_same_rules(running, asked)
        if share == running.share:
            return ChallengeOutcome(running, is_new=False)
        wanted = replace(
            running, share=share, by=asked.by, reason=asked.reason, trial=running.begun_by, sequence=0, recorded_at=""
        )
        is_more = share > running.share
    else:
        wanted, is_more = _new_trial(stores, asked, now), True
    if is_more and judged_since is None:
        stores.registry.require_challengeable(wanted)
        judged_since = state.part(Policies).newest
        judge(stores, wanted.model_version, wanted.cadence)
    entry = stores.registry.challenge(
        wanted,
        seen=known.newest,
        channel_since=known.channel_since,
        since_policy=judged_since,
    )
    return ChallengeOutcome(CHALLENGE.read(entry), is_new=True)


def _require_rules(given: Mapping[str, Any]) -> None:
    """Refuse rules that there are not, and values that are none of them."""
    kinds = {each.name: str if each.name == "loss" else int | float for each in fields(TrialRules)}
    unknown = sorted({*given} - {*kinds})
    if unknown:
        raise InputError(f"A trial has no rule {first_ten(unknown)}.", remedy=f"Rules are: {', '.join(kinds)}.")
    for name, value in given.items():
        if not isinstance(value, kinds[name]) or isinstance(value, bool):
            raise InputError(
                f"{value!r} is no {name.replace('_', ' ')} of a trial.",
                remedy="Give a name." if name == "loss" else "Give a number.",
            )


def _new_trial(stores: Stores, asked: ChallengeRequest, now: datetime | None) -> Challenge:
    cadence, given, state = CADENCES[asked.cadence], dict(asked.rules or {}), stores.ledger.state()
    rules = TrialRules(cadence.horizon(given.pop("forecast_horizon", None)), **given)
    champion = state.part(Channels).target(cadence.champion) or ""
    _require_published(state, cadence, champion, asked.model_version, rules.forecast_horizon)
    unseen = first_unseen_day(stores, cadence, now)
    first = asked.first_day or unseen
    if first < unseen or not cadence.allows(first - timedelta(days=1)):
        raise InputError(
            f"Evidence cannot begin on {first}: days before {unseen} have been seen, and it begins on a day after a "
            f"{cadence.name} prediction date.",
            remedy=f"Leave --from out for {unseen}, the first such day.",
            first_day=first,
        )
    return Challenge(
        cadence=cadence.name,
        channel=cadence.challenger,
        model_version=asked.model_version,
        champion_version=champion,
        share=asked.share or 0.0,
        salt=f"{cadence.name}/{asked.model_version}" if asked.salt is None else asked.salt,
        first_day=first,
        rules=rules,
        by=asked.by,
        reason=asked.reason,
    )


def _require_published(state: LedgerState, cadence: Cadence, champion: str, challenger: str, compared: int) -> None:
    both = _published_by_both(state, cadence, champion, challenger)
    if not champion or both is None or compared in both:
        return
    told = {name: sorted(published_horizons(state, cadence.name, name)) for name in (champion, challenger)}
    lacking = next(name for name, horizons in told.items() if horizons and compared not in horizons)
    raise HorizonError(
        f"`{lacking}` publishes {cadence.name} runs of {first_ten(told[lacking])} days, none of {compared}: there "
        "would be nothing to compare.",
        remedy=f"Compare runs that both publish: --horizon {' or '.join(map(str, sorted(both)))}."
        if both
        else Sentence(
            "Publish such runs first: ",
            Action("run", {"cadence": cadence.name, "date": "DATE", "model_version": lacking, "horizon": compared}),
            ".",
        ),
        horizon=compared,
        both=sorted(both),
        published=told,
    )


def _published_by_both(state: LedgerState, cadence: Cadence, champion: str, challenger: str) -> frozenset[int] | None:
    """Return the horizons of runs that both versions publish; None while neither has published anything.

    A version that has published nothing yet may come to publish any, and of every challenger schedules make runs of the
    cadence's horizon.
    """
    of_champion, of_challenger = (published_horizons(state, cadence.name, name) for name in (champion, challenger))
    if not of_challenger:
        return of_champion or None
    of_challenger |= {cadence.default_horizon}
    return of_champion & of_challenger if of_champion else of_challenger


def first_unseen_day(stores: Stores, cadence: Cadence, now: datetime | None = None) -> date:
    """Return the first day after a prediction date of which no sales have come, and which was not measured.

    Sales of days that are not over yet are slips of a source, or of stores further east, and do not count; what was
    measured does, also if the clock has gone back since.

    Args:
        stores: Where everything is.
        cadence: Rhythm of the runs.
        now: Moment that decides which days are over; by default the present.

    Raises:
        NotReadyError: If there are no sales.
    """
    state = stores.ledger.state()
    measured = (day for name, day in state.part(Measurements).by_day if name == cadence.name)
    over = last_day_over((now or present(state)).astimezone(UTC))
    sold = stores.observations.newest_day("sales", until=over)
    seen = max([sold, *measured])
    return next(day for day in (seen + timedelta(days=at) for at in range(1, 8)) if cadence.allows(day - _DAY))


_DAY: Final = timedelta(days=1)


def _require_same_rules(running: Challenge, asked: ChallengeRequest) -> None:
    fixed = {**vars(running.rules), "first_day": running.first_day, "salt": running.salt}
    given = {**(asked.rules or {}), "first_day": asked.first_day, "salt": asked.salt}
    changed = [name for name, value in given.items() if value is not None and value != fixed[name]]
    if changed:
        raise InputError(
            f"The {first_ten(name.replace('_', ' ') for name in changed)} of the trial that runs since ledger entry "
            f"{running.begun_by} cannot change: evidence is valid by rules that were fixed beforehand.",
            remedy=Sentence(
                "Stop it and begin another: ",
                Action("challenger stop", {"by": "NAME", "reason": "TEXT"}),
                ".",
            ),
            trial=running.begun_by,
            changed=changed,
        )


def stop_challenger(registry: Registry, cadence: str, *, by: str, reason: str) -> Challenge:
    """Stop the trial of a cadence: the challenger's channel points at nothing, and no new evidence is taken.

    Raises:
        InputError: If who or why is missing.
        NotReadyError: If no trial runs.
        LostRaceError: If somebody else decided meanwhile.
    """
    state = registry.ledger.state()
    running = running_trial(state, cadence)
    if running is None:
        raise NotReadyError(
            f"No {cadence} trial runs.",
            remedy=Sentence("See what there was: ", Action("challenger show", {"cadence": cadence}), "."),
            cadence=cadence,
        )
    wanted = replace(running, by=by, reason=reason, trial=running.begun_by, is_stop=True, sequence=0, recorded_at="")
    return CHALLENGE.read(registry.challenge(wanted, seen=running.sequence))


def promote_on_evidence(
    stores: Stores, version: str, *, by: str, reason: str, channel: str, overrides: Sequence[str] = ()
) -> Promotion:
    """Point a champion's channel at its challenger, if the newest verdict says that it is better.

    It has to meet the gates of the policy besides, as in every promotion. The rule is asked again after every lost
    race: of two such promotions at once the second finds the trial over, and what was measured meanwhile has to be
    weighed first. For a channel that points there already no evidence is needed: only its overrides may change.

    Args:
        stores: Where everything is.
        version: The challenger.
        by: Who decides.
        reason: Why.
        channel: `champion`, or that of another cadence.
        overrides: Gates of merit that it fails and that are not to count; the policy has to allow it.

    Raises:
        InputError: If who or why is missing, or the channel is no champion's.
        UnknownVersionError: If there is no such version.
        NotAcceptedError: If no trial of it runs, nothing was weighed since the newest measurement, or it is not shown
            to be better; or if it may not serve.
    """
    cadence = next((each.name for each in CADENCES.values() if each.champion == channel), None)
    if cadence is None:
        raise InputError(
            f"`{channel}` is no champion, so there is no evidence for it.",
            remedy=f"Name one of {first_ten(each.champion for each in CADENCES.values())}.",
            channel=channel,
        )
    stores.registry.model_version(version)
    state = stores.ledger.state()
    if state.part(Channels).target(channel) == version:
        return promote(stores, version, by=by, reason=reason, channel=channel, overrides=overrides)
    verdict = require_better(state, cadence, version)
    return promote(
        stores,
        version,
        by=by,
        reason=f"{reason} (on the evidence of ledger entry {verdict.sequence})",
        channel=channel,
        overrides=overrides,
        rule=lambda now: require_better(now, cadence, version),
    )


def promote_if_better(stores: Stores, cadence: Cadence) -> Promotion | None:
    """Promote the challenger of the running trial, if the newest verdict lets it be; else do nothing.

    Args:
        stores: Where everything is.
        cadence: Whose champion it is to become.
    """
    state = stores.ledger.state()
    trial = running_trial(state, cadence.name)
    verdict = None if trial is None else state.part(ChallengerVerdicts).newest(trial.begun_by)
    if trial is None or verdict is None or verdict.decision != BETTER or not is_judged(state, trial):
        return None
    words = "shown to be better, as the setting asks for"
    return promote_on_evidence(stores, trial.model_version, by=AUTOMATIC, reason=words, channel=cadence.champion)


def offer_challenger(stores: Stores) -> Challenge | str:
    """Begin a trial of the version that was trained by rule, if it passes its gates; return it, or why there is none.

    It is judged by the policy in force first. No store follows it until somebody gives it a share. Runs are compared as
    far ahead as in the trial before, else as the cadence has it; if the champion publishes none of these, as far as the
    longest that both publish. No farther than both versions were trained for.

    Args:
        stores: Where everything is.

    Raises:
        NotAcceptedError: If it was retired meanwhile.
        LostRaceError: If somebody began or stopped a trial, or moved the challenger's channel, meanwhile.
    """
    seen = seen_trial(stores.ledger.state(), DAILY)
    offer = due_challenger(stores)
    if isinstance(offer, str):
        return offer
    judged_since = stores.ledger.state().part(Policies).newest
    judged = judge(stores, offer.model_version, DAILY.name).record
    failed = [*judged.failed_soundness, *judged.failed_merit]
    if failed:
        return f"`{offer.model_version}` does not pass {first_ten(failed)}."
    days = _days_compared(stores, DAILY, offer.model_version)
    if isinstance(days, str):
        return days
    rules = {"forecast_horizon": days}
    asked = ChallengeRequest(DAILY.name, offer.model_version, None, AUTOMATION, offer.reason, rules=rules)
    return _set_challenger(stores, asked, None, seen, judged_since).challenge


def _days_compared(stores: Stores, cadence: Cadence, challenger: str) -> int | str:
    """Return the horizon of the runs that a trial by rule compares, or why there is none."""
    state = stores.ledger.state()
    before, champion = state.part(Challenges).newest(cadence.name), state.channel(cadence.champion) or ""
    usual = cadence.default_horizon if before is None else before.rules.forecast_horizon
    pair = filter(None, (challenger, champion))
    trained = (stores.predictions.version(state.versions[name].artifact).facts.get("horizon") for name in pair)
    longest = min((int(days) for days in trained if days is not None), default=cadence.longest_horizon)
    both = _published_by_both(state, cadence, champion, challenger)
    if both is None:
        return min(usual, longest)
    possible = [days for days in both if days <= longest]
    if not possible:
        return (
            f"`{challenger}` is compared with nothing: `{champion}` publishes no runs as short as it was trained for."
        )
    return usual if usual in possible else max(possible)
