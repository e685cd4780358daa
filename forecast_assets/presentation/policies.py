"""Policies in words: the document as TOML, which can be edited and applied again, and what a proposal changes.

What belongs here: how a policy is written down for people. What does not: reading one, or applying it.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from textwrap import wrap
from typing import Final

from forecast_assets.core.policy import Policy, PolicyValue, meaning_of
from forecast_assets.operations.policies import BASED_ON, PolicyProposal
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


def policy_text(record: PolicyRecord, pending: Sequence[PolicyRecord] = (), *, based_on: int | None = None) -> str:
    """Return a policy as TOML, with who applied it and what will follow as comments.

    Args:
        record: The policy.
        pending: Those that follow.
        based_on: Ledger entry of the newest one, which keeps an edited file from undoing a later one; None to leave it
            out.
    """
    said = [_headline(record), *(f"{_headline(each)} (not in force yet)" for each in pending)]
    base = [] if based_on is None else [f"{BASED_ON} = {based_on}"]
    return "\n".join((*(f"# {line}" for line in said), *base, "", policy_toml(record.policy)))


def proposal_text(proposal: PolicyProposal) -> str:
    """Say what a proposed policy changes of the one that would be in force without it."""
    base, day = proposal.base, proposal.effective_from
    rows = [(each.name, value_text(each.before), value_text(each.after)) for each in proposal.changes]
    if not rows:
        return f"Nothing changes: on {day} policy {base.version} says the same."
    title = f"Policy {proposal.policy.version} from {day} on, instead of {base.version}"
    what = f"{title}:\n{table(('key', 'before', 'after'), rows)}"
    return "\n\n".join((what, *(_follows_text(each, proposal) for each in proposal.pending)))


def _follows_text(pending: PolicyRecord, proposal: PolicyProposal) -> str:
    """Say that a policy which was applied before follows a proposed one, and what of it that undoes."""
    values = pending.policy.values
    undone = [each.name for each in proposal.changes if values[each.name] != each.after]
    what = f"undoes {', '.join(undone)}" if undone else "says the same of what changes here"
    who = f"ledger entry {pending.sequence}, by {pending.by}"
    return f"Policy {pending.version} follows on {pending.effective_from} ({who}) and {what}."


def unbased_text(file: Path) -> str:
    """Say that a file does not tell what it was edited from."""
    return f"`{file}` has no `{BASED_ON}`: whether somebody applied another policy since it was written is not known."


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
