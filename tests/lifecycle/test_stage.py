"""What is due, what is recorded, and what stays: assignments by date, verdicts by measured day."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from forecast_assets.core.errors import LostRaceError, NotPublishedError, NotReadyError
from forecast_assets.lifecycle.stage import (
    AssignmentContext,
    TrialContext,
    assign_stores,
    due_dates,
    due_day,
    record_verdict,
    weigh_trial,
)
from forecast_assets.operations.challengers import stop_challenger
from resources.ledger.entries.assign import AssignmentTerms, ChannelAssignments
from resources.ledger.entries.weigh import ChallengerVerdict, ChallengerVerdicts
from resources.maintenance.verification import verify_store
from resources.stores.home import Stores, open_stores
from tests.support.store_cases import CUTOFF, catalogue, publish, register, run_key
from tests.support.trial_cases import (
    CHALLENGER,
    CHAMPION,
    FIRST,
    Said,
    assigned,
    begin,
    both,
    judged,
    measure_days,
    measured,
    with_champion,
)

DAYS = [CUTOFF + timedelta(days=at) for at in range(6)]


@pytest.fixture
def prepared(stores: Stores) -> Stores:
    return with_champion(stores)


def due(stores: Stores) -> list[date]:
    return due_dates(stores.ledger.state(), "daily")


def newest(stores: Stores, day: date) -> tuple[str, int, int]:
    found = stores.ledger.state().part(ChannelAssignments).newest("daily", day)
    assert found is not None
    return found.terms.champion_version, found.stores, found.challenger_stores


def sql(stores: Stores, folder: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(catalogue(stores, folder)), read_only=True) as connection:
        return connection.execute(query).fetchall()


# --- assignments ---


def test_without_a_trial_nothing_is_assigned(prepared: Stores) -> None:
    publish(prepared, run_key())
    assert due(prepared) == []
    with pytest.raises(NotReadyError, match="No daily trial has begun"):
        assign_stores(AssignmentContext(prepared, "daily", CUTOFF))


def test_from_the_first_trial_on_every_date_is_assigned_once_and_the_newest_as_things_change(prepared: Stores) -> None:
    for day in (0, 1):
        publish(prepared, run_key(day))
    begin(prepared, 1.0)
    # The newest date from before the trial, and whatever comes after.
    assert due(prepared) == [DAYS[1]]
    assert assigned(prepared, DAYS[1]).challenger_stores == 0
    assert due(prepared) == []
    publish(prepared, run_key(1, CHALLENGER))
    assert due(prepared) == [DAYS[1]]
    assert assigned(prepared, DAYS[1]).challenger_stores == 1
    publish(prepared, run_key(2))
    publish(prepared, run_key(3))
    assert due(prepared) == [DAYS[2], DAYS[3]]
    for day in due(prepared):
        assigned(prepared, day)
    # The challenger publishes an older date late: what its followers read at the time stays.
    publish(prepared, run_key(2, CHALLENGER))
    assert due(prepared) == []
    begin(prepared, 0.0)
    assert due(prepared) == [DAYS[3]]


def test_after_the_trial_all_follow_the_champion_again(prepared: Stores) -> None:
    begin(prepared, 1.0)
    for version in (CHAMPION, CHALLENGER):
        publish(prepared, run_key(1, version))
    assigned(prepared, DAYS[1])
    assert newest(prepared, DAYS[1]) == (CHAMPION, 1, 1)
    stop_challenger(prepared.registry, "daily", by="ana", reason="done")
    assert due(prepared) == [DAYS[1]]
    assigned(prepared, DAYS[1])
    assert newest(prepared, DAYS[1]) == (CHAMPION, 1, 0)
    publish(prepared, run_key(2))
    assert due(prepared) == [DAYS[2]]


def test_assignments_go_on_with_the_runs_that_the_champion_publishes(prepared: Stores) -> None:
    """A trial of shorter runs than those that it publishes from then on, and the time after the trial."""
    of_28 = {day: replace(run_key(day), forecast_horizon=28) for day in range(5)}
    begin(prepared, 1.0)
    for key in (run_key(1), of_28[1], run_key(1, CHALLENGER), of_28[2]):
        publish(prepared, key)
    assert due(prepared) == [DAYS[1], DAYS[2]]
    terms = [assigned(prepared, day).terms for day in due(prepared)]
    assert [(each.forecast_horizon, each.is_challenger_published) for each in terms] == [(7, True), (28, False)]
    publish(prepared, replace(of_28[2], model_version=CHALLENGER))
    assert due(prepared) == [DAYS[2]], "both have published runs of 28 days of it by now"
    assert assigned(prepared, DAYS[2]).challenger_stores == 1
    stop_challenger(prepared.registry, "daily", by="ana", reason="done")
    publish(prepared, of_28[3])
    assert due(prepared) == [DAYS[3]]
    assert assigned(prepared, DAYS[3]).terms == AssignmentTerms(CHAMPION, 28)
    assert due(prepared) == []


def test_of_a_date_without_a_run_of_the_champion_nothing_is_assigned(prepared: Stores) -> None:
    begin(prepared)
    publish(prepared, run_key(1, CHALLENGER))
    assert due(prepared) == []
    with pytest.raises(NotPublishedError, match="`stat-1` has not published 2025-01-02"):
        assign_stores(AssignmentContext(prepared, "daily", DAYS[1]))


def test_a_rollback_assigns_the_newest_date_anew(prepared: Stores) -> None:
    register(prepared, "stat-0", horizon=28)
    prepared.registry.promote("stat-0", by="ana", reason="first")
    prepared.registry.promote(CHAMPION, by="ana", reason="better")
    begin(prepared, 0.0)
    for version in (CHAMPION, "stat-0"):
        publish(prepared, run_key(1, version))
    assigned(prepared, DAYS[1])
    prepared.registry.rollback(by="ana", reason="off")
    assert due(prepared) == [DAYS[1]]
    assigned(prepared, DAYS[1])
    assert newest(prepared, DAYS[1]) == ("stat-0", 1, 0)


def test_a_date_that_the_champion_has_not_published_is_not_assigned(prepared: Stores) -> None:
    begin(prepared, 1.0)
    publish(prepared, run_key(1, CHALLENGER))
    assert due(prepared) == []
    with pytest.raises(NotPublishedError, match="`stat-1` has not published 2025-01-02"):
        assign_stores(AssignmentContext(prepared, "daily", DAYS[1]))


def test_of_processes_that_assign_a_date_at_once_one_records_it(prepared: Stores) -> None:
    begin(prepared, 1.0)
    publish(prepared, run_key(1))
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda _: assigned(open_stores(prepared.blobs.root), DAYS[1]).sequence, range(4))]
    assert len({*found}) == len(prepared.ledger.state().part(ChannelAssignments).by_date["daily", DAYS[1]])
    assert due(prepared) == []


def test_whoever_follows_a_channel_joins_explicit_versions(prepared: Stores, tmp_path: Path) -> None:
    begin(prepared, 1.0)
    publish(prepared, run_key(1), units=4)
    publish(prepared, run_key(1, CHALLENGER), units=9)
    publish(prepared, run_key(2), units=4)
    for day in (1, 1, 2):
        assigned(prepared, DAYS[day])
    found = sql(
        prepared,
        tmp_path / "catalogue",
        'WITH runs AS (SELECT * FROM "stat-1".forecasts UNION ALL SELECT * FROM "stat-2".forecasts) '
        "SELECT a.prediction_date, a.model_version, sum(r.forecast_units)::INT FROM audit.channel_assignments a "
        "JOIN runs r USING (cadence, prediction_date, store_id, model_version, forecast_horizon) "
        "WHERE a.channel = 'champion' AND a.is_newest GROUP BY ALL ORDER BY 1",
    )
    assert found == [(DAYS[1], CHALLENGER, 9 * 14), (DAYS[2], CHAMPION, 4 * 14)]
    assert not verify_store(prepared.blobs).findings


# --- evidence ---


def day_due(stores: Stores) -> date | None:
    return due_day(stores.ledger.state(), "daily")


def verdicts(stores: Stores) -> list[ChallengerVerdict]:
    return [one for each in stores.ledger.state().part(ChallengerVerdicts).by_trial.values() for one in each]


def test_a_verdict_is_due_whenever_a_day_of_the_trial_was_measured(prepared: Stores) -> None:
    assert day_due(prepared) is None
    with pytest.raises(NotReadyError, match="No daily trial runs"):
        weigh_trial(TrialContext(prepared, "daily"))
    measured(prepared, CUTOFF, both(Said(), Said()))
    begin(prepared)
    assert day_due(prepared) is None
    with pytest.raises(NotReadyError, match="begins with 2025-01-02; no day from then on was measured"):
        weigh_trial(TrialContext(prepared, "daily"))
    measured(prepared, FIRST, both(Said(), Said()))
    assert day_due(prepared) == FIRST
    judged(prepared)
    assert day_due(prepared) is None


def test_days_of_before_the_trial_are_no_evidence(prepared: Stores) -> None:
    measured(prepared, CUTOFF, both(Said(), Said(loss=1.0)))
    begin(prepared)
    measured(prepared, FIRST, both(Said(), Said()))
    made = judged(prepared)
    rows = prepared.predictions.read(prepared.predictions.version(made.product_version))
    assert rows["target_date"].unique().to_list() == [FIRST]


def test_a_restated_day_is_weighed_anew_and_the_earlier_verdict_stays(prepared: Stores, tmp_path: Path) -> None:
    begin(prepared, rules={"level": 0.3})
    measure_days(prepared, 28, Said(loss=90.0))
    first = judged(prepared)
    assert first.decision == "better"
    for at in range(28):
        measured(prepared, FIRST + timedelta(days=at), both(Said(), Said(loss=100.5)))
    assert day_due(prepared) == FIRST + timedelta(days=27)
    second = judged(prepared)
    assert (second.decision, second.target_date) == ("undecided", first.target_date)
    assert verdicts(prepared) == [first, second]
    found = sql(
        prepared,
        tmp_path / "catalogue",
        "SELECT weighed_sequence, is_newest, count(*), max(e_value) > 3 FROM audit.challenger_evidence "
        "WHERE is_deciding GROUP BY ALL ORDER BY 1",
    )
    assert found == [(first.sequence, False, 28, True), (second.sequence, True, 28, False)]
    told = sql(prepared, tmp_path / "catalogue", "SELECT decision FROM audit.challenger_verdicts ORDER BY sequence")
    assert told == [("better",), ("undecided",)]
    guards = sql(prepared, tmp_path / "catalogue", "SELECT count(*), bool_and(holds) FROM audit.challenger_guards")
    assert guards == [(6, True)]
    assert not verify_store(prepared.blobs).findings


def test_days_in_any_order_come_to_the_same(prepared: Stores, tmp_path: Path) -> None:
    other = with_champion(open_stores(tmp_path / "other"))
    losses = [90.0 + at % 13 for at in range(15)]
    for stores, order in ((prepared, range(15)), (other, reversed(range(15)))):
        begin(stores)
        for at in order:
            measured(stores, FIRST + timedelta(days=at), both(Said(), Said(loss=losses[at])))
    one, two = judged(prepared), judged(other)
    assert (one.e_value, one.lower, one.guards) == (two.e_value, two.lower, two.guards)
    assert one.product_version != ""


def test_two_that_weigh_the_same_record_it_once(prepared: Stores) -> None:
    begin(prepared)
    measured(prepared, FIRST, both(Said(), Said()))
    context = TrialContext(prepared, "daily")
    weighed = weigh_trial(context)
    version = context.write(weighed)
    one = record_verdict(context, weighed, version, since=0)
    assert record_verdict(context, weighed, version, since=0) == one
    measured(prepared, FIRST + timedelta(days=1), both(Said(), Said()))
    judged(prepared)
    with pytest.raises(LostRaceError, match="Another process weighed the evidence of stat-2 meanwhile"):
        record_verdict(context, weighed, version, since=0)


def test_a_new_trial_does_not_take_the_evidence_of_the_one_before(prepared: Stores) -> None:
    begin(prepared)
    measure_days(prepared, 7, Said(loss=90.0))
    assert judged(prepared).observations == 1
    stop_challenger(prepared.registry, "daily", by="ana", reason="once more")
    again = begin(prepared)
    assert day_due(prepared) is None
    measured(prepared, again.first_day, both(Said(), Said()))
    assert judged(prepared).observations == 0


def test_what_a_verdict_rests_on_is_never_vacuumed_and_can_be_made_again(prepared: Stores) -> None:
    begin(prepared)
    measure_days(prepared, 8, Said(loss=90.0))
    made = judged(prepared)
    again = weigh_trial(TrialContext(prepared.as_of(made.sequence - 1), "daily"))
    product = prepared.predictions.version(made.product_version)
    assert again.result.rows.equals(prepared.predictions.read(product))
    assert product.files[0].path in verify_store(prepared.blobs).named
    assert product.facts["measured_sequences"] == [
        one.sequence for days in prepared.ledger.state().measurements.values() for one in days
    ]
