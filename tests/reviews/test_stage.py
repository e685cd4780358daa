"""Reviewing weeks of a store: what is recorded, what is refused, what happens to what was reviewed before."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from forecast_assets.contracts import FORECAST_ACCURACY
from forecast_assets.core.errors import InputError, LostRaceError, NotReadyError
from forecast_assets.operations.policies import apply_policy, policy_in_force, propose_policy
from forecast_assets.operations.reviewing import business_review
from forecast_assets.reviews.stage import ReviewContext, newest_week, record_review, review_week, week_end
from resources.ledger.entries.review import WeekReviews
from resources.maintenance.verification import verify_store
from resources.stores.home import Stores, open_stores
from tests.support.review_cases import NOW, SUNDAY, WEEK, measure_weeks, reviewed
from tests.support.store_cases import CUTOFF, catalogue, publish, run_key
from tests.support.trial_cases import CHAMPION, Said, accuracy_rows, measured, measured_rows, with_champion


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return with_champion(open_stores(tmp_path / "store"))


def test_a_reviewed_week_is_an_entry_with_what_it_proposes_and_changes_nothing(stores: Stores) -> None:
    measure_weeks(stores, lambda *_: Said(inside=0.73))
    before = policy_in_force(stores.ledger)
    record, is_new = reviewed(stores)
    assert (record.week, record.policy, is_new) == (WEEK, before.version, True)
    assert [(each.key, each.before, each.after) for each in record.proposals] == [
        ("gates.largest_coverage_miss", 0.1, 0.05)
    ]
    assert policy_in_force(stores.ledger) == before
    found = business_review(stores, "daily", SUNDAY)
    assert found.proposal is not None
    assert [change.name for change in found.proposal.changes] == ["gates.largest_coverage_miss"]
    assert not verify_store(stores.blobs).findings


def test_a_proposal_that_was_applied_is_not_made_again_from_the_same_review(stores: Stores) -> None:
    measure_weeks(stores, lambda *_: Said(inside=0.73))
    reviewed(stores)
    proposal = business_review(stores, "daily", SUNDAY).proposal
    assert proposal is not None
    apply_policy(stores.ledger, proposal, by="ana", reason="review of 2025-W06")
    found = business_review(stores, "daily", SUNDAY)
    assert (found.proposal, found.outdated) == (None, ("gates.largest_coverage_miss",))


def test_the_same_numbers_are_recorded_once_and_restated_ones_beside_the_earlier(
    stores: Stores, tmp_path: Path
) -> None:
    measure_weeks(stores, lambda *_: Said())
    first, _ = reviewed(stores)
    assert reviewed(stores) == (first, False)
    measured(stores, SUNDAY, {(CHAMPION, 1): Said(450.0)})
    second, is_new = reviewed(stores)
    assert is_new
    assert stores.ledger.state().part(WeekReviews).by_week["daily", WEEK] == [first, second]
    assert stores.as_of(first.sequence).ledger.state().part(WeekReviews).newest("daily", WEEK) == first
    with duckdb.connect(catalogue(stores, tmp_path / "catalogue"), read_only=True) as connection:
        rows = connection.execute(
            "SELECT reviewed_sequence, is_newest, figure FROM audit.business_reviews "
            "WHERE role = 'champion' AND kpi = 'wape' AND segment = 'all' ORDER BY 1"
        ).fetchall()
    assert rows == [(first.sequence, False, 0.1), (second.sequence, True, 0.275)]


def test_of_two_reviews_at_once_that_differ_the_later_is_refused(stores: Stores) -> None:
    measure_weeks(stores, lambda *_: Said())
    context = ReviewContext(stores, "daily", SUNDAY)
    since = context.newest_entry()
    early = review_week(context, NOW)
    written = context.write(early.result)
    measured(stores, SUNDAY, {(CHAMPION, 1): Said(450.0)})
    reviewed(stores)
    with pytest.raises(LostRaceError, match="Another process reviewed 2025-W06 of daily runs meanwhile"):
        record_review(context, written, early, since=since)
    assert len(stores.ledger.state().part(WeekReviews).by_week["daily", WEEK]) == 1


def test_a_week_with_days_that_were_not_measured_says_how_many_were(stores: Stores) -> None:
    measured(stores, SUNDAY, {(CHAMPION, 1): Said()})
    reviewed(stores)
    assert set(business_review(stores, "daily", SUNDAY).rows["days"]) == {1}


def test_what_cannot_be_reviewed_is_refused(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="No forecasts of daily runs have been measured in week 2025-W06"):
        reviewed(stores)
    measured(stores, SUNDAY, {(CHAMPION, 1): Said()})
    with pytest.raises(InputError, match="is not over: it ends with 2025-02-09"):
        reviewed(stores, now=datetime(2025, 2, 9, 23, 59, tzinfo=UTC))
    with pytest.raises(InputError, match="weeks end on Sundays"):
        reviewed(stores, SUNDAY - timedelta(days=1))
    with pytest.raises(NotReadyError, match="No version is `champion`"):
        reviewed(open_stores(tmp_path / "empty"))
    with pytest.raises(NotReadyError, match="has not been reviewed"):
        business_review(stores, "daily", SUNDAY)


@pytest.mark.parametrize("text", ["2025-W53", "2025-W00", "2025-26", "", "2025-W26-1"])
def test_what_is_no_week_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no ISO week"):
        week_end(text)


def test_the_newest_week_is_one_that_is_over_and_measured(stores: Stores) -> None:
    with pytest.raises(NotReadyError, match="of a week that is over"):
        newest_week(stores.ledger.state(), "daily", NOW)
    for day in (SUNDAY - timedelta(days=9), SUNDAY + timedelta(days=1)):
        measured(stores, day, {(CHAMPION, 1): Said()})
    assert newest_week(stores.ledger.state(), "daily", NOW) == date(2025, 2, 2)


def test_bands_are_not_moved_by_runs_that_had_others(stores: Stores) -> None:
    """Runs that name no policy have the bands of the release."""
    measure_weeks(stores, lambda *_: Said())
    context = ReviewContext(stores, "daily", SUNDAY)
    said = review_week(context, NOW)
    apply_policy(stores.ledger, propose_policy(stores.ledger, {"risk_bands.high": 0.3}), by="ana", reason="costs")
    later = review_week(context, datetime.now(UTC))
    assert not [each for each in later.proposals if each.key.startswith("risk_bands")]
    assert said.result.facts["policy"] != later.result.facts["policy"]


def sold_out(day: date) -> pl.DataFrame:
    """Forecasts of a day by a run of the day before and one of a week before; of band `high` 60% were sold out."""
    rows = accuracy_rows(day, {(CHAMPION, step): Said() for step in (1, 7)})
    said = {"segment_kind": "risk_band", "segment": "high", "risk_rows": 200, "stockout_rows": 120}
    kinds = FORECAST_ACCURACY.schema
    band = rows.filter(segment_kind="all").with_columns(
        pl.lit(value).cast(kinds[name]).alias(name) for name, value in said.items()
    )
    return pl.concat([rows, band]).sort(FORECAST_ACCURACY.key)


@pytest.mark.parametrize(("weeks_before", "moved"), [(4, ["risk_bands.critical"]), (3, [])])
def test_bands_are_moved_by_the_runs_behind_the_weeks_in_a_row_and_no_other(
    stores: Stores, weeks_before: int, moved: list[str]
) -> None:
    """The run of one Sunday, and those of a week before, name no policy: they have the bands of the release."""
    asked = propose_policy(stores.ledger, {"risk_bands.high": 0.3})
    policy = apply_policy(stores.ledger, asked, by="ana", reason="costs").version
    for back in range(5):
        sunday = SUNDAY - timedelta(weeks=back)
        measured_rows(stores, sunday, sold_out(sunday))
        if back != weeks_before:
            publish(stores, run_key((sunday - CUTOFF).days - 1), policy=policy)
    said = review_week(ReviewContext(stores, "daily", SUNDAY), datetime.now(UTC))
    assert [each.key for each in said.proposals] == moved
