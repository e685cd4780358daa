"""`policy`: bounds of gates, what may be overridden, risk bands and targets hold from a day on.

What belongs here: all that is to be known of this kind of entry. What does not: what a policy may say
(`forecast_assets.core.policy`), or holding anything against one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import InputError, LostRaceError
from forecast_assets.core.policy import DEFAULT_POLICY, Policy, PolicyChange, known_policy, policy_changes
from resources.ledger.entries.audit import (
    RECORDED_AT,
    AuditColumn,
    AuditSource,
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
from resources.ledger.entries.folded import FoldedState
from resources.ledger.records import with_known_fields


@dataclass(frozen=True)
class PolicyRecord:
    """A policy holds from a day on.

    Attributes:
        document: The whole of it, by section and key.
        version: What it is called: the first digits of the hash of the document.
        effective_from: First day, in UTC, on which it is in force.
        replaces: Version of the policy that would be in force on that day without it.
        by: Who decided; empty of the policy that holds where nobody applied any.
        reason: Why.
        sequence: Ledger entry; 0 of the policy that holds where nobody applied any.
        recorded_at: When, ISO 8601 in UTC.
    """

    document: Mapping[str, Any]
    version: str
    effective_from: date
    replaces: str
    by: str
    reason: str
    sequence: int = 0
    recorded_at: str = ""

    @cached_property
    def policy(self) -> Policy:
        """The policy; of one that a later release wrote what this release knows."""
        return known_policy(self.document)


UNAPPLIED: Final = PolicyRecord(DEFAULT_POLICY.document, DEFAULT_POLICY.version, date.min, "", "", "")


@dataclass
class Policies:
    """All policies that were applied, in the order of the ledger.

    Attributes:
        applied: Oldest first.
    """

    applied: list[PolicyRecord] = field(default_factory=list)

    @property
    def newest(self) -> int:
        """Ledger entry of the one that was applied last; 0 if none was."""
        return self.applied[-1].sequence if self.applied else 0

    def in_force(self, day: date) -> PolicyRecord:
        """Return the policy of a day: of those that have taken effect the one that did so last."""
        effective = [each for each in self.applied if each.effective_from <= day]
        return max(effective, key=lambda each: (each.effective_from, each.sequence), default=UNAPPLIED)

    def require(self, version: str) -> PolicyRecord:
        """Return the policy of a name, without one that of the release.

        Raises:
            InputError: If there is none of the name.
        """
        found = self.called(version)
        if found is None:
            raise InputError(
                f"There is no policy {version}.",
                remedy=Sentence("See which is in force: ", Action("policy show"), "."),
                policy=version,
            )
        return found

    def called(self, version: str) -> PolicyRecord | None:
        """Return the policy of a name, without one that of the release; None if there is none of the name."""
        if not version:
            return UNAPPLIED
        return next((each for each in (*reversed(self.applied), UNAPPLIED) if each.version == version), None)


class PolicyKind(EntryKind[PolicyRecord]):
    """Policies, from their admission to the view `policies`."""

    name = "policy"
    meaning = "bounds of gates, overrides that are allowed, risk bands and targets hold from a day on"
    kept_state = "policies; of those in effect on a day the one that took effect last, of several the last entry"
    record = PolicyRecord

    def read(self, entry: EntryLike) -> PolicyRecord:
        """Return the policy of an entry."""
        day = date.fromisoformat(entry.body["effective_from"])
        return with_known_fields(PolicyRecord, {**entry.body, **position_fields(entry), "effective_from": day})

    def fold(self, record: PolicyRecord, state: FoldedState) -> None:
        """Keep the policy behind those before it."""
        state.part(Policies).applied.append(record)

    def admit(self, record: PolicyRecord, state: FoldedState, *, since: int | None = None) -> None:
        """Refuse a policy that changes nothing, or that was written before somebody else applied another.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            since: Ledger entry of the newest policy when it was written, 0 if there was none; None if nobody looked.

        Raises:
            InputError: If who or why is missing, or nothing changes.
            LostRaceError: If there is a newer one.
        """
        require_decision("A policy", record.by, record.reason)
        policies = state.part(Policies)
        if since is not None and policies.newest > since:
            other = policies.applied[-1]
            raise LostRaceError(
                f"{other.by} has applied policy {other.version} meanwhile (ledger entry {other.sequence}).",
                remedy="See what has changed and, if yours is still wanted, apply it again.",
                version=other.version,
                sequence=other.sequence,
            )
        present = policies.in_force(record.effective_from)
        if present.version == record.version:
            raise InputError(
                f"Policy {record.version} is the one in force on {record.effective_from} already; nothing changes.",
                remedy="Change a value, or leave it as it is.",
                version=record.version,
            )

    def views(self) -> Sequence[AuditView]:
        """Return the view `policies`."""
        return (
            TableView(
                name=POLICIES.name,
                grain="one policy that was applied",
                description="Bounds of gates, what may be overridden, risk bands and targets: from which day on, who "
                "decided and why. Without a row the policy of the release holds.",
                key=("sequence",),
                table=POLICIES,
            ),
        )

    def event(self, record: PolicyRecord) -> EntryEvent:
        """Return that there is another policy."""
        del record
        return EntryEvent("policy.applied", "policy")

    def describe(self, record: PolicyRecord) -> EntryDescription:
        """Return which policy, from when on, how much it changes, who decided and why."""
        return EntryDescription(
            f"policy {record.version} from {record.effective_from} on, instead of {record.replaces}",
            record.by,
            record.reason,
        )


def changes_of(record: PolicyRecord, policies: Policies) -> list[PolicyChange]:
    """Return what a policy changed of the one that it replaced."""
    before = policies.called(record.replaces) or UNAPPLIED
    return policy_changes(before.policy, record.policy)


def change_text(change: PolicyChange) -> str:
    """Return a change in one line.

    Example:
        >>> change_text(PolicyChange("overrides.allowed", (), ("bias_is_small",)))
        'overrides.allowed: none -> bias_is_small'
    """
    return f"{change.name}: {value_text(change.before)} -> {value_text(change.after)}"


def value_text(value: float | tuple[str, ...]) -> str:
    """Return a value of a policy in words."""
    return ", ".join(value) or "none" if isinstance(value, tuple) else f"{value:g}"


def _rows(records: Sequence[PolicyRecord], source: AuditSource) -> ComputedRows:
    policies = source.state.part(Policies)
    return ComputedRows(
        [
            {
                **{name: getattr(each, name) for name in ("sequence", "version", "effective_from", "replaces", "by",
                                                          "reason", "recorded_at")},
                "changes": "; ".join(map(change_text, changes_of(each, policies))),
                "document": json.dumps(each.document, sort_keys=True),
            }
            for each in records
        ]
    )  # fmt: skip


POLICIES: Final = AuditTable(
    "policies",
    (
        AuditColumn("sequence", ColumnType.INT64, "ledger entry that applied it"),
        AuditColumn("version", ColumnType.TEXT, "what it is called: the first digits of the hash of its values"),
        AuditColumn("effective_from", ColumnType.DATE, "first day (UTC) on which it is in force"),
        AuditColumn("replaces", ColumnType.TEXT, "version of the one that would be in force on that day without it"),
        AuditColumn("changes", ColumnType.TEXT, "what it changes of that one, joined with `; `"),
        AuditColumn("by", ColumnType.TEXT, 'who decided (in SQL `"by"`)'),
        AuditColumn("reason", ColumnType.TEXT, "why"),
        AuditColumn("document", ColumnType.TEXT, "all of its values, as JSON"),
        RECORDED_AT,
    ),
    lambda state: state.part(Policies).applied,
    _rows,
)
POLICY: Final = register_kind(PolicyKind())
