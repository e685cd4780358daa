"""Policies in words: the document as TOML, which can be edited and applied again, and what a proposal changes.

What belongs here: how a policy is written down for people. What does not: reading one, or applying it.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import date
from textwrap import wrap
from typing import Final

from forecast_assets.core.policy import Policy, PolicyValue, meaning_of
from forecast_assets.operations.policies import PolicyProposal
from forecast_assets.presentation.text import table
from resources.ledger.entries.policy import PolicyRecord, value_text

_WIDTH: Final = 110


def policy_toml(policy: Policy) -> str:
    """Return the document of a policy as TOML, each value with what it means.

    Example:
        >>> policy_toml(Policy()).splitlines()[-1]
        'coverage_80 = 0.8'
    """
    return "\n".join(_lines(policy))


def policy_text(record: PolicyRecord, pending: Sequence[PolicyRecord] = ()) -> str:
    """Return a policy as TOML, with who applied it and what will follow as comments."""
    said = [_headline(record), *(f"{_headline(each)} (not in force yet)" for each in pending)]
    return "\n".join((*(f"# {line}" for line in said), "", policy_toml(record.policy)))


def proposal_text(proposal: PolicyProposal) -> str:
    """Say what a proposed policy changes of the one that would be in force without it."""
    base, day = proposal.base, proposal.effective_from
    rows = [(each.name, value_text(each.before), value_text(each.after)) for each in proposal.changes]
    if not rows:
        return f"Nothing changes: on {day} policy {base.version} says the same."
    title = f"Policy {proposal.policy.version} from {day} on, instead of {base.version}"
    return f"{title}:\n{table(('key', 'before', 'after'), rows)}"


def applied_text(record: PolicyRecord, today: date) -> str:
    """Say that a policy was applied, and from when on it is in force."""
    when = "from now on" if record.effective_from <= today else f"from {record.effective_from} on"
    return f"Policy {record.version} is in force {when} (ledger entry {record.sequence}, by {record.by})."


def _headline(record: PolicyRecord) -> str:
    if not record.sequence:
        return f"policy {record.version}, of this release: nobody has applied another"
    who = f"ledger entry {record.sequence}, by {record.by}: {record.reason}"
    return f"policy {record.version}, in force from {record.effective_from} on ({who})"


def _lines(policy: Policy) -> Iterator[str]:
    section = ""
    for name, value in policy.values.items():
        of, key = name.split(".")
        if of != section:
            yield from ([""] if section else [])
            yield f"[{of}]"
            section = of
        yield from (f"# {line}" for line in wrap(meaning_of(name), _WIDTH))
        yield f"{key} = {_toml(value)}"


def _toml(value: PolicyValue) -> str:
    # Lists and numbers are the same in JSON.
    return json.dumps(value)


def uses_text(record: PolicyRecord) -> str:
    """Return the uses of predictions in real time that a policy approves."""
    other = "Another one: forecast-assets uses approve USE --by NAME --reason TEXT"
    return "\n".join((*record.policy.real_time.uses, "", f"By policy {record.version}. {other}"))


def approved_use_text(use: str, record: PolicyRecord | None) -> str:
    """Return what became of the wish to approve a use; without a policy for it, it was approved before."""
    if record is None:
        return f"`{use}` is approved already; nothing changed."
    return f"`{use}` is approved from now on, by policy {record.version} (ledger entry {record.sequence})."
