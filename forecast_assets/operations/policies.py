"""Policies: which one is in force, what a proposal changes of it, and applying one.

What belongs here: from a file or from changes by key to a recorded policy. What does not: what a policy may say
(core.policy), printing, or judging by one.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import InputError, LostRaceError
from forecast_assets.core.policy import Policy, PolicyChange, flat_values, policy_changes
from resources.ledger.entries.policy import POLICY, Policies, PolicyRecord
from resources.ledger.log import Ledger
from resources.ledger.present import present

# What a file that was shown says of the ledger that it was shown from.
BASED_ON: Final = "based_on"


@dataclass(frozen=True)
class PolicyProposal:
    """A policy that nobody has applied yet.

    Attributes:
        policy: The whole of it.
        effective_from: First day, in UTC, on which it would be in force.
        base: What would be in force on that day without it.
        since: Ledger entry of the newest policy when it was written; 0 if there was none.
        pending: Policies that take effect after its day, the first first: each replaces it as a whole.
    """

    policy: Policy
    effective_from: date
    base: PolicyRecord
    since: int
    pending: tuple[PolicyRecord, ...] = ()

    @property
    def changes(self) -> list[PolicyChange]:
        """What it changes, in the order of the document."""
        return policy_changes(self.base.policy, self.policy)


@dataclass(frozen=True)
class PolicyFile:
    """What a file of TOML says.

    Attributes:
        values: By `section.key`; it may say only some.
        based_on: Ledger entry of the newest policy when it was written, 0 if there was none; None if it does not say.
    """

    values: Mapping[str, Any]
    based_on: int | None = None


def today(ledger: Ledger) -> date:
    """Return the day it is, in UTC, by which policies are in force; never one before that of the newest entry."""
    return present(ledger.state()).date()


def policy_in_force(ledger: Ledger, day: date | None = None) -> PolicyRecord:
    """Return the policy that is in force on a day, by default today; of a past ledger on the day where it stands."""
    return ledger.state().part(Policies).in_force(day or today(ledger))


def pending_policies(ledger: Ledger, day: date | None = None) -> list[PolicyRecord]:
    """Return the policies that have been applied and are not in force yet, the first first."""
    since = day or today(ledger)
    pending = [each for each in ledger.state().part(Policies).applied if each.effective_from > since]
    return sorted(pending, key=lambda each: (each.effective_from, each.sequence))


def newest_policy(ledger: Ledger) -> int:
    """Return the ledger entry of the policy that was applied last, whenever it takes effect; 0 if none was."""
    return ledger.state().part(Policies).newest


def read_policy_file(path: Path) -> PolicyFile:
    """Return what a file of TOML says.

    Raises:
        InputError: If it cannot be read, has other values outside of sections, or is based on what is no entry.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`{path}` cannot be read: {error}.", remedy="Name a file of TOML.") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"`{path}` is no TOML: {error}.", remedy="Begin with the policy that is in force.") from error
    based_on = document.pop(BASED_ON, None)
    if based_on is not None and (type(based_on) is not int or based_on < 0):
        raise InputError(
            f"`{BASED_ON}` of `{path}` is no ledger entry: {based_on!r}.",
            remedy=Sentence("Leave it as it was shown: ", Action("policy show"), "."),
        )
    return PolicyFile(flat_values(document), based_on)


def propose_policy(
    ledger: Ledger, changes: Mapping[str, Any], effective_from: date | None = None, *, based_on: int | None = None
) -> PolicyProposal:
    """Return the policy that follows from changes by `section.key`; what they do not name stays as it is.

    Args:
        ledger: Where policies are recorded.
        changes: Values that are to hold.
        effective_from: First day on which they do; today if left out.
        based_on: Ledger entry of the newest policy when they were written; None if nobody knows.

    Raises:
        InputError: If there is no such key, a value is none that it may have, or the day is in the past.
        LostRaceError: If another policy was applied since they were written.
    """
    earliest = today(ledger)
    day = effective_from or earliest
    if day < earliest:
        raise InputError(
            f"A policy cannot take effect on {day}: what was decided since then was decided by another.",
            remedy=f"Let it take effect today, {earliest}, or later.",
            effective_from=day,
        )
    policies = ledger.state().part(Policies)
    if based_on is not None and based_on != policies.newest:
        raise LostRaceError(
            f"The file was written when {_entry_text(based_on)} was the newest policy; "
            f"{_entry_text(policies.newest)} is now, and would be undone.",
            remedy=Sentence("Show the policy again and edit that: ", Action("policy show"), "."),
            based_on=based_on,
            newest=policies.newest,
        )
    base = policies.in_force(day)
    # One that another replaces on its day never holds.
    pending = tuple(each for each in pending_policies(ledger, day) if policies.in_force(each.effective_from) == each)
    return PolicyProposal(base.policy.with_changes(changes), day, base, policies.newest, pending)


def _entry_text(sequence: int) -> str:
    return f"that of ledger entry {sequence}" if sequence else "that of the release"


def apply_policy(ledger: Ledger, proposal: PolicyProposal, *, by: str, reason: str) -> PolicyRecord:
    """Record a policy: it is in force from its day on.

    Raises:
        InputError: If who or why is missing, or nothing changes.
        LostRaceError: If somebody applied another one since it was proposed.
    """
    require_decision("A policy", by, reason)
    made = proposal.policy
    record = PolicyRecord(made.document, made.version, proposal.effective_from, proposal.base.version, by, reason)
    entry = ledger.append(POLICY.name, POLICY.body(record), partial(POLICY.admit, record, since=proposal.since))
    return POLICY.read(entry)


def approve_use(ledger: Ledger, use: str, *, by: str, reason: str) -> PolicyRecord | None:
    """Approve a use of predictions in real time by a policy of its own; None if it is approved already.

    Args:
        ledger: Where policies are recorded.
        use: What predictions are for.
        by: Who decides.
        reason: Why.

    Raises:
        InputError: If a use cannot be called so.
    """
    approved = policy_in_force(ledger).policy.real_time.uses
    if use in approved:
        return None
    return apply_policy(ledger, propose_policy(ledger, {"real_time.uses": [*approved, use]}), by=by, reason=reason)
