"""Trials of challengers in words and tables.

What belongs here: what a trial is decided by, how it stands, and which stores follow whom. What does not: deciding or
weighing.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from forecast_assets.core.errors import first_ten
from forecast_assets.core.wording import counted
from forecast_assets.operations.challengers import ChallengeOutcome
from forecast_assets.presentation.text import table
from resources.ledger.entries.assign import ChannelAssignment, ChannelAssignments
from resources.ledger.entries.challenge import Challenge, Challenges, trial_end
from resources.ledger.entries.weigh import DECISIONS, ChallengerVerdict, ChallengerVerdicts, measured_days
from resources.ledger.state import LedgerState
from resources.stores.home import Stores

_SHOWN_WEEKS: Final = 20


def challenged_text(outcome: ChallengeOutcome, assigned: Sequence[date]) -> str:
    """Say what a challenge means from here on."""
    made = outcome.challenge
    if not outcome.is_new:
        return f"{_pair(made)} runs with {made.share:.0%} of stores (ledger entry {made.sequence}); nothing changed."
    if made.trial:
        lines = [f"{made.model_version} is now followed in {made.share:.0%} of stores (ledger entry {made.sequence})."]
    else:
        ahead = _ahead(made.rules.deciding_step)
        earliest = made.first_day + timedelta(days=made.rules.least_days)
        lines = [
            f"{_pair(made)}: a trial begins (ledger entry {made.sequence}); followed in {made.share:.0%} of stores.",
            f"Evidence counts from {made.first_day} on, {ahead}, and decides from {earliest} on.",
            "Schedules score both from now on.",
        ]
    return "\n".join((*lines, *_assigned_lines(made.cadence, assigned)))


def stopped_text(stopped: Challenge, assigned: Sequence[date]) -> str:
    """Say what stopping a trial means."""
    said = f"{_pair(stopped)}: stopped (ledger entry {stopped.sequence}). What was recorded of it stays readable."
    return "\n".join((said, *_assigned_lines(stopped.cadence, assigned)))


def assigned_text(cadence: str, assigned: Sequence[date]) -> str:
    """Say which dates were assigned just now."""
    return "\n".join(_assigned_lines(cadence, assigned)) or f"No {cadence} date waits for an assignment."


def _assigned_lines(cadence: str, assigned: Sequence[date]) -> list[str]:
    if not assigned:
        return []
    return [f"Stores are assigned to versions on {counted(len(assigned), f'{cadence} date')}: {first_ten(assigned)}."]


def trial_text(stores: Stores, cadence: str) -> str:
    """Show the newest trial of a cadence: rules, whether it runs, verdicts, and who follows whom."""
    state = stores.ledger.state()
    newest = state.part(Challenges).newest(cadence)
    if newest is None:
        return f"No {cadence} trial yet: forecast-assets challenger set VERSION --share 0.2 --by NAME --reason TEXT"
    ended = trial_end(state, newest)
    rules = newest.rules
    loss = f"{rules.loss.replace('_', ' ')} {_ahead(rules.deciding_step)}"
    lines = [
        f"{_pair(newest)}: {f'over, {ended}' if ended else 'the trial runs'} (begun by ledger entry {newest.begun_by})",
        f"Followed in {newest.share:.0%} of stores, hashed with `{newest.salt}`; by {newest.by}: {newest.reason}",
        f"Decided by {loss}, runs of {rules.forecast_horizon} days, from {newest.first_day} on",
        f"Wrong in at most {rules.level:.0%}; a day counts up to {rules.bound:.0%}; at least {rules.least_days} days",
    ]
    parts = ["\n".join(lines), *_verdict_parts(state, newest)]
    assigned = [one for (name, _), ones in state.part(ChannelAssignments).by_date.items() if name == cadence
                for one in ones[-1:]]  # fmt: skip
    if assigned:
        parts.append(_assignment_text(stores, max(assigned, key=lambda one: one.prediction_date)))
    return "\n\n".join(parts)


def _assignment_text(stores: Stores, assigned: ChannelAssignment) -> str:
    rows = stores.predictions.read(stores.predictions.version(assigned.product_version))
    following = rows.filter(pl.col("is_challenger_store"))["store_id"].to_list()
    reading = f"{counted(assigned.challenger_stores, 'store')} of {assigned.stores:,} read the challenger's run"
    return (
        f"On {assigned.prediction_date} (ledger entry {assigned.sequence}) {reading}; it is followed in: "
        f"{first_ten(following) or 'none'}."
    )


def evidence_text(stores: Stores, cadence: str, judged: date | None) -> str:
    """Say what the evidence of the running trial says, week by week on the step that decides.

    Args:
        stores: Where everything is.
        cadence: Rhythm of the runs.
        judged: The day up to which something was weighed just now; None if nothing has changed.
    """
    state = stores.ledger.state()
    newest = state.part(Challenges).newest(cadence)
    if newest is None:
        return trial_text(stores, cadence)
    verdict = state.part(ChallengerVerdicts).newest(newest.begun_by)
    if verdict is None:
        return (
            f"{_pair(newest)}: no day from {newest.first_day} on, when evidence begins, was measured yet. It takes "
            "sales of such a day, and a published run that had forecast it."
        )
    head = f"Weighed days up to {judged}." if judged else "Nothing was measured since the newest verdict."
    rows = stores.predictions.read(stores.predictions.version(verdict.product_version))
    return "\n\n".join((head, *_verdict_parts(state, newest), _weeks_text(rows, newest), _steps_text(rows)))


def _verdict_parts(state: LedgerState, trial: Challenge) -> list[str]:
    verdict = state.part(ChallengerVerdicts).newest(trial.begun_by)
    if verdict is None:
        days = counted(len(measured_days(state, trial)), "day")
        return [f"Nothing was weighed yet; {days} of the trial were measured."]
    return [_verdict_text(trial, verdict), _guards_text(verdict)]


def _verdict_text(trial: Challenge, verdict: ChallengerVerdict) -> str:
    percent = 100 * trial.rules.bound
    mean = "unknown" if verdict.mean_difference is None else f"{percent * verdict.mean_difference:+.2f}%"
    return (
        f"By days up to {verdict.target_date}: {verdict.decision}, that is, {DECISIONS[verdict.decision]} "
        f"(ledger entry {verdict.sequence}).\n"
        f"E-value {verdict.e_value:.3g}, highest {verdict.highest_e_value:.3g}; decides at {1 / trial.rules.level:g}. "
        f"The challenger loses less by {mean}, between {percent * verdict.lower:+.2f}% and "
        f"{percent * verdict.upper:+.2f}%, by {counted(verdict.observations, 'week')}."
    )


def _guards_text(verdict: ChallengerVerdict) -> str:
    rows = [
        (each.guard.replace("_", " "), each.champion, each.challenger, each.limit, "yes" if each.holds else "NO",
         each.detail)
        for each in verdict.guards
    ]  # fmt: skip
    return table(("must not be worse", "champion", "challenger", "at most", "holds", ""), rows)


def _weeks_text(rows: pl.DataFrame, trial: Challenge) -> str:
    weeks = rows.filter(pl.col("is_deciding"), pl.col("observation").is_not_null()).tail(_SHOWN_WEEKS)
    percent = 100 * trial.rules.bound
    shown = [
        (str(row["target_date"]), f"{percent * row['observation']:+.2f}%", row["observations"], row["e_value"],
         f"{percent * row['lower']:+.2f}%", f"{percent * row['upper']:+.2f}%")
        for row in weeks.iter_rows(named=True)
    ]  # fmt: skip
    head = ("week up to", "loses less by", "weeks", "e-value", "from", "to")
    return table(head, shown, title="Weeks that decide") if shown else "No week has ended yet."


def _steps_text(rows: pl.DataFrame) -> str:
    last = rows.group_by("step", maintain_order=True).agg(pl.all().last())
    pairs = rows.group_by("step").agg(paired=(pl.col("no_pair") == "").sum(), days=pl.len())
    shown = [
        (row["step"], "yes" if row["is_deciding"] else "no", f"{row['paired']} of {row['days']}", row["observations"],
         row["e_value"])
        for row in last.join(pairs, on="step").sort("step").iter_rows(named=True)
    ]  # fmt: skip
    without = rows.filter(pl.col("is_deciding"), pl.col("no_pair") != "").group_by("no_pair").agg(pl.col("target_date"))
    reasons = [
        f"Days without a pair, {reason}: {first_ten(sorted(days))}." for reason, days in without.sort("no_pair").rows()
    ]
    head = ("days ahead", "decides", "paired days", "observations", "e-value")
    return "\n".join((table(head, shown, title="By days ahead"), *reasons))


def _pair(challenge: Challenge) -> str:
    return f"{challenge.model_version} against {challenge.champion_version}, {challenge.cadence}"


def _ahead(step: int) -> str:
    return f"{counted(step, 'day')} ahead"
