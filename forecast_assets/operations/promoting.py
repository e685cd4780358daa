"""Promotion: judging a version by the policy in force, and pointing a channel at it.

What belongs here: the order of the two, and what came of them. What does not: a gate, a bound, or printing. Going back
and retiring need no judgement, and are the registry's alone: they must not wait for one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, LostRaceError, NotReadyError, first_ten
from forecast_assets.core.keys import CADENCES, cadence_of
from forecast_assets.core.policy import MERIT_GATES
from forecast_assets.operations.policies import policy_in_force
from forecast_assets.promotion.judging import JudgementOutcome, judge_version
from resources.ledger.entries.channel_moves import ChannelMove, Channels
from resources.ledger.entries.judge import Judgement, Judgements
from resources.ledger.entries.policy import Policies
from resources.ledger.state import LedgerState
from resources.stores.home import Stores
from resources.stores.registry import require_move


@dataclass(frozen=True)
class Promotion:
    """A channel points at a version.

    Attributes:
        sequence: Ledger entry of the move.
        is_new: Whether this call moved it; False where it pointed there already.
        judged: What the version showed at every gate; None where the channel pointed there already.
    """

    sequence: int
    is_new: bool
    judged: JudgementOutcome | None


def judge(stores: Stores, name: str, cadence: str) -> JudgementOutcome:
    """Hold a version against every gate of the policy in force, and record that.

    Raises:
        UnknownVersionError: If there is no such version.
        NotAcceptedError: If it was trained for fewer days ahead than runs of the cadence look.
        ChangedFileError: If a report that figures are read from is not as it was recorded.
    """
    stores.registry.require_reach(name, CADENCES[cadence].champion)
    return judge_version(stores, name, cadence, policy_in_force(stores.ledger))


def promote(
    stores: Stores,
    name: str,
    *,
    by: str,
    reason: str,
    channel: str = "champion",
    overrides: Sequence[str] = (),
    rule: Callable[[LedgerState], object] = lambda _: None,
) -> Promotion:
    """Point a channel at a version that meets every gate of the policy in force, but those that are overridden.

    A channel that points there already, in spite of the same gates, is left as it is. In spite of others it is judged
    and recorded anew: so a version that meets by now what was overridden is marked no more.

    Args:
        stores: Where everything is.
        name: The version.
        by: Who decides, also on overrides.
        reason: Why.
        channel: The channel.
        overrides: Gates of merit that it fails and that are not to count; the policy has to allow it.
        rule: A further rule of this promotion; raises to refuse, and is asked again after every lost race.

    Raises:
        InputError: If who or why is missing, there is no such channel or gate, or a gate that is overridden is met.
        UnknownVersionError: If there is no such version.
        NotAcceptedError: If it is retired, fails a gate, or a gate may not be overridden.
        LostRaceError: If channel, champion or policy changed meanwhile, unless somebody else did the same.
        ChangedFileError: If a report of it is not as it was recorded.
    """
    require_move("promotion", channel, by, reason)
    _require_merit(overrides)
    state = stores.ledger.state()
    since_move, since_policy = state.part(Channels).since(channel), state.part(Policies).newest
    done = _done_already(stores, channel, name, overrides)
    if done is not None:
        return Promotion(done.sequence, is_new=False, judged=None)
    judged = judge(stores, name, cadence_of(channel).name)
    try:
        entry = stores.registry.promote(
            name,
            by=by,
            reason=reason,
            channel=channel,
            judgement=judged.record,
            overrides=overrides,
            since_policy=since_policy,
            since_move=since_move,
            rule=rule,
        )
    except LostRaceError:
        # Whoever asked for the same at the same moment has done it.
        done = _done_already(stores, channel, name, overrides)
        if done is None:
            raise
        return Promotion(done.sequence, is_new=False, judged=judged)
    return Promotion(entry.sequence, is_new=True, judged=judged)


def _done_already(stores: Stores, channel: str, name: str, overrides: Sequence[str]) -> ChannelMove | None:
    """Return the move that pointed a channel at a version in spite of these gates; None if it points elsewhere."""
    current = stores.registry.current_move(channel)
    if current is None or current.model_version != name or {*current.overrides} != {*overrides}:
        return None
    return current


def _require_merit(overrides: Sequence[str]) -> None:
    others = [gate for gate in overrides if gate not in MERIT_GATES]
    if others:
        raise InputError(
            f"{first_ten(others)} can never be overridden: only gates of merit can.",
            remedy=f"Gates of merit are: {', '.join(MERIT_GATES)}.",
            gates=others,
        )


@dataclass(frozen=True)
class JudgedGates:
    """A judgement that is recorded.

    Attributes:
        record: What the ledger says of it.
        rows: Contract `promotion_gates`.
    """

    record: Judgement
    rows: pl.DataFrame


def newest_judgement(stores: Stores, name: str, cadence: str) -> JudgedGates:
    """Return the newest judgement of a version that is recorded; nothing is measured.

    Raises:
        UnknownVersionError: If there is no such version.
        NotReadyError: If it has not been judged.
    """
    stores.registry.model_version(name)
    record = stores.ledger.state().part(Judgements).newest(name, cadence)
    if record is None:
        raise NotReadyError(
            f"`{name}` has not been judged for {cadence} channels.",
            remedy=Sentence("Judge it: ", Action("gates", {"cadence": cadence}, on=(name,)), "."),
            model_version=name,
        )
    return JudgedGates(record, stores.predictions.read(stores.predictions.version(record.product_version)))
