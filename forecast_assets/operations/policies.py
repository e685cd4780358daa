"""Policies: which one is in force, what a proposal changes of it, and applying one.

What belongs here: from a file or from changes by key to a recorded policy. What does not: what a policy may say
(core.policy), printing, or judging by one.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import InputError
from forecast_assets.core.policy import Policy, PolicyChange, flat_values, policy_changes
from resources.ledger.entries.policy import POLICY, Policies, PolicyRecord
from resources.ledger.log import Ledger


@dataclass(frozen=True)
class PolicyProposal:
    """A policy that nobody has applied yet.

    Attributes:
        policy: The whole of it.
        effective_from: First day, in UTC, on which it would be in force.
        base: What would be in force on that day without it.
        since: Ledger entry of the newest policy when it was written; 0 if there was none.
    """

    policy: Policy
    effective_from: date
    base: PolicyRecord
    since: int

    @property
    def changes(self) -> list[PolicyChange]:
        """What it changes, in the order of the document."""
        return policy_changes(self.base.policy, self.policy)


def today() -> date:
    """Return the day it is, in UTC, by which policies are in force."""
    return datetime.now(UTC).date()


def policy_in_force(ledger: Ledger, day: date | None = None) -> PolicyRecord:
    """Return the policy that is in force on a day, by default today; of a past ledger on the day where it stands."""
    return ledger.state().part(Policies).in_force(day or today())


def pending_policies(ledger: Ledger, day: date | None = None) -> list[PolicyRecord]:
    """Return the policies that have been applied and are not in force yet, the first first."""
    since = day or today()
    pending = [each for each in ledger.state().part(Policies).applied if each.effective_from > since]
    return sorted(pending, key=lambda each: (each.effective_from, each.sequence))


def read_policy_file(path: Path) -> dict[str, Any]:
    """Return the values that a file of TOML says, by `section.key`; it may say only some.

    Raises:
        InputError: If it cannot be read, or has values outside of sections.
    """
    try:
        return flat_values(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`{path}` cannot be read: {error}.", remedy="Name a file of TOML.") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"`{path}` is no TOML: {error}.", remedy="Begin with the policy that is in force.") from error


def propose_policy(ledger: Ledger, changes: Mapping[str, Any], effective_from: date | None = None) -> PolicyProposal:
    """Return the policy that follows from changes by `section.key`; what they do not name stays as it is.

    Args:
        ledger: Where policies are recorded.
        changes: Values that are to hold.
        effective_from: First day on which they do; today if left out.

    Raises:
        InputError: If there is no such key, a value is none that it may have, or the day is in the past.
    """
    day = effective_from or today()
    if day < today():
        raise InputError(
            f"A policy cannot take effect on {day}: what was decided since then was decided by another.",
            remedy=f"Let it take effect today, {today()}, or later.",
            effective_from=day,
        )
    policies = ledger.state().part(Policies)
    base = policies.in_force(day)
    return PolicyProposal(base.policy.with_changes(changes), day, base, policies.newest)


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
