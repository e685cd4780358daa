"""Policies: which one is in force when, proposals, and what is refused."""

from datetime import timedelta
from pathlib import Path

import pytest

from forecast_assets.core.errors import InputError, LostRaceError
from forecast_assets.core.policy import DEFAULT_POLICY
from forecast_assets.operations.policies import (
    apply_policy,
    newest_policy,
    pending_policies,
    policy_in_force,
    propose_policy,
    read_policy_file,
    today,
)
from forecast_assets.presentation.policies import policy_text, proposal_text
from resources.ledger.entries.policy import UNAPPLIED, Policies, PolicyRecord
from resources.stores.home import Stores, open_stores

WHO = {"by": "ana", "reason": "a test"}
STRICTER = {"gates.largest_bias": 0.08}


def applied(stores: Stores, changes: dict[str, object], days: int = 0) -> PolicyRecord:
    proposal = propose_policy(stores.ledger, changes, today(stores.ledger) + timedelta(days=days))
    return apply_policy(stores.ledger, proposal, **WHO)


def test_where_nobody_applied_one_the_policy_of_the_release_is_in_force(stores: Stores) -> None:
    found = policy_in_force(stores.ledger)
    assert (found.policy, found.version, found.sequence) == (DEFAULT_POLICY, DEFAULT_POLICY.version, 0)
    assert "nobody has applied another" in policy_text(found)


def test_a_policy_is_in_force_from_its_day_on_and_says_who_and_why(stores: Stores) -> None:
    record = applied(stores, STRICTER, days=3)
    assert policy_in_force(stores.ledger).version == DEFAULT_POLICY.version
    assert pending_policies(stores.ledger) == [record]
    later = policy_in_force(stores.ledger, today(stores.ledger) + timedelta(days=3))
    assert (later, later.policy.gates.largest_bias) == (record, 0.08)
    again = open_stores(stores.blobs.root)
    assert policy_in_force(again.ledger, record.effective_from) == record
    assert (record.by, record.reason, record.replaces) == ("ana", "a test", DEFAULT_POLICY.version)


def test_what_takes_effect_last_counts_whatever_was_applied_last(stores: Stores) -> None:
    late = applied(stores, STRICTER, days=5)
    soon = applied(stores, {"risk_bands.high": 0.25}, days=2)
    days = [today(stores.ledger) + timedelta(days=ahead) for ahead in (1, 2, 4, 5)]
    found = [policy_in_force(stores.ledger, day).version for day in days]
    assert found == [DEFAULT_POLICY.version, soon.version, soon.version, late.version]
    same_day = applied(stores, {"gates.largest_bias": 0.09}, days=5)
    assert policy_in_force(stores.ledger, days[-1]) == same_day


def test_what_a_proposal_does_not_name_stays_as_it_is_on_its_day(stores: Stores) -> None:
    applied(stores, STRICTER, days=2)
    before = propose_policy(stores.ledger, {"risk_bands.high": 0.25})
    after = propose_policy(stores.ledger, {"risk_bands.high": 0.25}, today(stores.ledger) + timedelta(days=2))
    assert (before.policy.gates.largest_bias, after.policy.gates.largest_bias) == (0.1, 0.08)
    assert [change.name for change in after.changes] == ["risk_bands.high"]


def test_a_proposal_says_what_a_policy_that_follows_undoes(stores: Stores) -> None:
    applied(stores, {"risk_bands.high": 0.3}, days=2)
    follows = applied(stores, {"risk_bands.high": 0.25}, days=2)
    told = proposal_text(propose_policy(stores.ledger, {"risk_bands.high": 0.25, **STRICTER}))
    assert told.splitlines()[-1] == (
        f"Policy {follows.version} follows on {follows.effective_from} (ledger entry {follows.sequence}, by "
        f"{follows.by}) and undoes gates.largest_bias."
    )
    after = propose_policy(stores.ledger, STRICTER, today(stores.ledger) + timedelta(days=2))
    assert "follows on" not in proposal_text(after)


def test_the_policy_that_is_shown_can_be_applied_again(stores: Stores, tmp_path: Path) -> None:
    applied(stores, {"overrides.allowed": ["bias_is_small"]})
    file = tmp_path / "policy.toml"
    file.write_text(policy_text(policy_in_force(stores.ledger)), encoding="utf-8")
    proposal = propose_policy(stores.ledger, read_policy_file(file).values)
    assert proposal.changes == []
    assert "Nothing changes" in proposal_text(proposal)
    file.write_text(file.read_text().replace("largest_bias = 0.1", "largest_bias = 0.08"), encoding="utf-8")
    [change] = propose_policy(stores.ledger, read_policy_file(file).values).changes
    assert (change.name, change.after) == ("gates.largest_bias", 0.08)


def shown(stores: Stores, file: Path) -> Path:
    """Write the policy in force to a file, as `policy show > FILE` does, and edit it."""
    pending = pending_policies(stores.ledger)
    said = policy_text(policy_in_force(stores.ledger), pending, based_on=newest_policy(stores.ledger))
    file.write_text(said.replace("largest_bias = 0.1\n", "largest_bias = 0.08\n"), encoding="utf-8")
    return file


def test_a_file_that_was_shown_before_another_policy_was_applied_does_not_undo_that(
    stores: Stores, tmp_path: Path
) -> None:
    edited = read_policy_file(shown(stores, tmp_path / "policy.toml"))
    assert edited.based_on == 0
    assert propose_policy(stores.ledger, edited.values, based_on=edited.based_on).changes
    other = applied(stores, {"risk_bands.high": 0.25}, days=2)
    with pytest.raises(LostRaceError, match=f"that of the release was .* that of ledger entry {other.sequence} is now"):
        propose_policy(stores.ledger, edited.values, based_on=edited.based_on)
    again = read_policy_file(shown(stores, tmp_path / "again.toml"))
    proposal = propose_policy(stores.ledger, again.values, based_on=again.based_on)
    assert [change.name for change in proposal.changes] == ["gates.largest_bias"]


@pytest.mark.parametrize("said", ["-1", "true", '"12"', "1.5"])
def test_a_file_that_is_based_on_no_entry_is_refused(said: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(f"based_on = {said}\n", encoding="utf-8")
    with pytest.raises(InputError, match="is no ledger entry"):
        read_policy_file(file)


def test_a_proposal_names_the_policies_that_follow_it_and_what_they_undo(stores: Stores) -> None:
    late = applied(stores, {"risk_bands.high": 0.25}, days=2)
    told = proposal_text(propose_policy(stores.ledger, STRICTER))
    when = f"follows on {late.effective_from} (ledger entry {late.sequence}, by ana)"
    assert f"Policy {late.version} {when} and undoes gates.largest_bias." in told
    same = proposal_text(propose_policy(stores.ledger, {"risk_bands.high": 0.25}))
    assert f"{when} and says the same of what changes here." in same
    assert "follows" not in proposal_text(propose_policy(stores.ledger, STRICTER, late.effective_from))


def test_a_policy_without_a_change_a_reason_or_a_future_is_refused(stores: Stores) -> None:
    with pytest.raises(InputError, match=f"Policy {DEFAULT_POLICY.version} is the one in force .* nothing changes"):
        applied(stores, {"gates.largest_bias": 0.1})
    with pytest.raises(InputError, match=r"cannot take effect on .*: what was decided since"):
        applied(stores, STRICTER, days=-1)
    with pytest.raises(InputError, match="A policy needs who and why"):
        apply_policy(stores.ledger, propose_policy(stores.ledger, STRICTER), by="ana", reason=" ")
    assert stores.ledger.state().sequence == 0


def test_of_two_who_apply_at_once_the_second_is_told_of_the_first(stores: Stores) -> None:
    mine = propose_policy(stores.ledger, STRICTER)
    other = open_stores(stores.blobs.root)
    first = apply_policy(other.ledger, propose_policy(other.ledger, {"risk_bands.high": 0.25}), by="ben", reason="kpi")
    with pytest.raises(LostRaceError, match=f"ben has applied policy {first.version} meanwhile"):
        apply_policy(stores.ledger, mine, **WHO)
    assert policy_in_force(stores.ledger) == first
    apply_policy(stores.ledger, propose_policy(stores.ledger, STRICTER), **WHO)
    assert policy_in_force(stores.ledger).policy.values["risk_bands.high"] == 0.25


@pytest.mark.parametrize(
    ("text", "message"),
    [("[gates\n", "is no TOML"), ("largest_bias = 0.08", "outside of its sections"), (None, "cannot be read")],
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "policy.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_policy_file(file)


def test_a_policy_is_found_by_its_version_and_one_that_was_never_applied_is_refused(stores: Stores) -> None:
    made, policies = applied(stores, STRICTER), stores.ledger.state().part(Policies)
    assert policies.require(made.version) == made
    assert policies.require(UNAPPLIED.version) == policies.require("") == UNAPPLIED
    with pytest.raises(InputError, match="There is no policy 0123456789ab"):
        policies.require("0123456789ab")
