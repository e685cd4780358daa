"""Which version a store follows: by a hash that anybody can compute, and as few moves as a share allows."""

import hashlib
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.contracts import CHANNEL_ASSIGNMENTS
from forecast_assets.lifecycle.assigning import assigned_version, assignment_rows, hashed_share
from resources.ledger.entries.assign import AssignmentTerms

STORES = [f"S-{at:04d}" for at in range(4000)]
DAY = date(2025, 1, 1)


def terms(share: float, salt: str = "daily/stat-2", trial: int = 7) -> AssignmentTerms:
    return AssignmentTerms("stat-1", 28, trial, "stat-2", share, salt, is_challenger_published=True)


def following(share: float, salt: str = "daily/stat-2") -> set[str]:
    return {
        store for store in STORES if assigned_version(store, terms(share, salt), has_challenger_rows=True) == "stat-2"
    }


def test_the_hash_is_what_the_document_says() -> None:
    digest = hashlib.sha256(b"daily/stat-2\x00S-0001").digest()
    assert hashed_share("S-0001", "daily/stat-2") == (int.from_bytes(digest, "big") >> 204) / 2**52


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_as_many_stores_follow_as_the_share_says(share: float) -> None:
    # Four standard errors of 4,000 draws.
    assert abs(len(following(share)) / len(STORES) - share) < 4 * (share * (1 - share) / len(STORES)) ** 0.5


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_a_greater_share_only_adds_stores(one: float, other: float) -> None:
    low, high = sorted((one, other))
    few, many = following(low), following(high)
    assert few <= many
    # No assignment of the same two shares could move fewer.
    assert len(few ^ many) == len(many) - len(few)


def test_none_follow_at_nothing_and_all_at_one() -> None:
    assert following(0.0) == set()
    assert following(1.0) == {*STORES}


def test_another_salt_draws_anew() -> None:
    one, other = following(0.2), following(0.2, "daily/stat-3")
    # As many in common as two draws that know nothing of each other have.
    assert abs(len(one & other) / len(STORES) - 0.04) < 0.015


def test_salt_and_store_are_told_apart() -> None:
    assert hashed_share("1S", "a") != hashed_share("S", "a1")


def test_a_store_reads_the_champions_rows_where_the_challenger_has_none() -> None:
    rows = assignment_rows("champion", "daily", DAY, terms(1.0), ["B", "A"], {"A"})
    CHANNEL_ASSIGNMENTS.validate(rows)
    assert rows.select("store_id", "model_version", "is_challenger_store").rows() == [
        ("A", "stat-2", True), ("B", "stat-1", True),
    ]  # fmt: skip


def test_without_a_trial_every_store_follows_the_champion() -> None:
    rows = assignment_rows("champion", "daily", DAY, AssignmentTerms("stat-1", 28), ["A", "B"], set())
    CHANNEL_ASSIGNMENTS.validate(rows)
    assert rows.select("model_version", "is_challenger_store", "hashed_share").unique().rows() == [
        ("stat-1", False, None)
    ]
