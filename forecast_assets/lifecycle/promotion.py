"""Promotion on evidence: a rule beside the one that every promotion keeps.

What belongs here: whether the ledger holds what a promotion on evidence rests on. What does not: weighing evidence, or
moving a channel. No library for frames is loaded here: promoting must not wait for one.
"""

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NotAcceptedError
from forecast_assets.core.keys import CADENCES
from resources.ledger.entries.challenge import Challenge, Challenges, running_trial, trial_end
from resources.ledger.entries.channel_moves import Channels
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.weigh import (
    BETTER,
    DECISIONS,
    GUARDED,
    ChallengerVerdict,
    ChallengerVerdicts,
    measured_days,
)


def is_judged(state: FoldedState, trial: Challenge) -> bool:
    """Whether the newest verdict of a trial rests on the newest measurements, or there are none yet."""
    verdict = state.part(ChallengerVerdicts).newest(trial.begun_by)
    newest = max((one.sequence for one in measured_days(state, trial)), default=0)
    return newest == (0 if verdict is None else verdict.measured_sequence)


def require_better(state: FoldedState, cadence: str, version: str) -> ChallengerVerdict:
    """Return the verdict that lets a challenger be promoted.

    Args:
        state: What is true now.
        cadence: Whose champion it is to become.
        version: The challenger.

    Raises:
        NotAcceptedError: If no trial of it runs, nothing was weighed since the newest measurement, or the verdict is
            another one.
    """
    trial = running_trial(state, cadence)
    if trial is None or trial.model_version != version:
        raise _refused(_no_trial(state, cadence, version), version, _SHOW)
    verdict = state.part(ChallengerVerdicts).newest(trial.begun_by)
    again = Sentence("Weigh it: ", Action("evidence", {"cadence": cadence}), ".")
    if verdict is None:
        raise _refused(f"no evidence of the trial of ledger entry {trial.begun_by} was weighed yet.", version, again)
    if not is_judged(state, trial):
        raise _refused(f"days were measured since the verdict of ledger entry {verdict.sequence}.", version, again)
    if verdict.decision != BETTER:
        raise _refused(verdict_words(verdict), version, Sentence("It may be after more days. ", _SHOW))
    return verdict


def verdict_words(verdict: ChallengerVerdict) -> str:
    """Return what a verdict says, as the end of a sentence."""
    failed = f": {', '.join(verdict.failed_guards)}" if verdict.decision == GUARDED else ""
    return (
        f"by days up to {verdict.target_date} {DECISIONS[verdict.decision]}{failed} (ledger entry {verdict.sequence}: "
        f"e-value {verdict.highest_e_value:.3g}, mean difference {_figure(verdict.mean_difference)} of the bound, "
        f"{verdict.observations} observations)."
    )


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.3f}"


_SHOW = Sentence("See how it stands: ", Action("challenger show"), ".")


def _no_trial(state: FoldedState, cadence: str, version: str) -> str:
    champion = CADENCES[cadence].champion
    if state.part(Channels).target(champion) == version:
        return f"it is `{champion}` already."
    newest = state.part(Challenges).newest(cadence)
    if newest is None or newest.model_version != version:
        return f"it does not challenge `{champion}`."
    ended = trial_end(state, newest)
    return f"its trial is over: {ended}"


def _refused(why: str, version: str, remedy: Sentence) -> NotAcceptedError:
    return NotAcceptedError(f"`{version}` cannot be promoted on evidence: {why}", remedy=remedy, model_version=version)
