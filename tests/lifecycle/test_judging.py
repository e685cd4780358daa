"""Evidence day by day, by hand, and what follows from it."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import CHALLENGER_EVIDENCE
from forecast_assets.lifecycle.evidence import weigh
from forecast_assets.lifecycle.judging import JudgedTrial, judge
from forecast_assets.lifecycle.pairs import compared_rows
from resources.ledger.entries.challenge import Challenge
from tests.support.trial_cases import EVEN, FIRST, Said, both, rows_of_days, trial


def days(count: int) -> list[date]:
    return [FIRST + timedelta(days=at) for at in range(count)]


def judged(losses: list[float], asked: Challenge | None = None, **said: Any) -> JudgedTrial:
    """Judge a challenger by its losses; the champion's are even."""
    every = days(len(losses))
    return judged_days(
        {day: both(Said(), Said(loss=loss, **said)) for day, loss in zip(every, losses, strict=True)}, asked
    )


def judged_days(said: dict[date, dict[tuple[str, int], Said]], asked: Challenge | None = None) -> JudgedTrial:
    asked = asked or trial()
    return judge(asked, compared_rows(rows_of_days(said).lazy(), asked).collect(), [*said])


def of_step(found: JudgedTrial, step: int) -> pl.DataFrame:
    return found.rows.filter(pl.col("step") == step).sort("target_date")


def test_differences_and_weeks_by_hand() -> None:
    losses = [98.0, 102.0, 90.0, 100.0, 100.0, 100.0, 100.0, 95.0]
    found = judged(losses)
    CHALLENGER_EVIDENCE.validate(found.rows)
    rows = of_step(found, 1)
    share = [np.clip((EVEN - loss) / ((EVEN + loss) / 2) / 0.1, -1, 1) for loss in losses]
    np.testing.assert_allclose(rows["difference"], share, rtol=1e-12)
    # One week has ended: its mean is the only observation, as of its last day.
    assert rows["observation"].to_list()[:6] == [None] * 6
    assert rows["observation"][6] == pytest.approx(np.mean(share[:7]))
    assert rows["observations"].to_list() == [0] * 6 + [1, 1]
    assert rows["mean_difference"][7] == pytest.approx(np.mean(share[:7]))


def test_a_week_ahead_the_one_declared_day_of_the_week_counts() -> None:
    losses = [*np.linspace(90.0, 110.0, 21)]
    rows = of_step(judged(losses), 7)
    seen = rows.drop_nulls("observation")
    assert seen["target_date"].to_list() == [FIRST + timedelta(days=at) for at in (6, 13, 20)]
    assert seen["observation"].to_list() == seen["difference"].to_list()


def test_evidence_is_that_of_the_weeks_alone() -> None:
    random = np.random.default_rng(3)
    losses = [float(loss) for loss in random.normal(97.0, 4.0, 70)]
    rows = of_step(judged(losses), 1)
    weeks = rows.drop_nulls("observation")
    weighed = weigh(weeks["observation"].to_numpy())
    np.testing.assert_array_equal(weeks["e_value"], weighed.wealth)
    np.testing.assert_array_equal(weeks["lower"], weighed.lower)
    np.testing.assert_array_equal(weeks["upper"], weighed.upper)


def test_the_past_of_a_trial_does_not_change_with_more_days() -> None:
    losses = [90.0 + at % 9 for at in range(40)]
    whole, then = judged(losses), judged(losses[:26])
    earlier = whole.rows.filter(pl.col("target_date") < FIRST + timedelta(days=26))
    assert earlier.sort("step", "target_date").equals(then.rows.sort("step", "target_date"))


def test_decisions() -> None:
    assert judged([EVEN * 0.9] * 20).decision == "collecting"
    assert judged([EVEN * 0.9] * 42).decision == "better"
    assert judged([EVEN * 0.9] * 42, error=25.0).decision == "guarded"
    assert judged([EVEN * 0.999] * 42).decision == "undecided"
    assert judged([EVEN * 1.1] * 42).decision == "worse"


def test_nothing_is_decided_before_the_least_period_however_strong_the_evidence() -> None:
    long = trial(rules={"least_days": 84})
    weeks_before = judged([EVEN * 0.9] * 83, long)
    assert weeks_before.deciding.is_significant[-1]
    assert weeks_before.decision == "collecting"
    assert judged([EVEN * 0.9] * 84, long).decision == "better"


def test_one_that_is_worse_is_told_before_the_least_period_is_over() -> None:
    long = trial(rules={"least_days": 364})
    assert judged([EVEN * 1.1] * 42, long).decision == "worse"


def test_one_that_was_better_and_is_worse_by_now_is_not_promoted() -> None:
    found = judged([EVEN * 0.9] * 42 + [EVEN * 1.3] * 140)
    assert found.deciding.is_significant[-1]
    assert found.decision == "worse"


@pytest.mark.parametrize("scale", [1.0, 0.9])
def test_promoted_at_most_as_often_as_stated_with_a_look_every_day_for_a_year(scale: float) -> None:
    """Through the whole path, from rows on; what was significant stays so, so that one look at the end sees all."""
    random, promoted = np.random.default_rng(5), 0
    lenient = trial(rules={"bias_margin": 9.0, "coverage_margin": 1.0, "segment_margin": 9.0})
    years = 40
    for _ in range(years):
        losses = EVEN * scale * np.exp(random.normal(0.0, 0.05, 364))
        said = {day: both(Said(), Said(loss=float(loss)), (1,)) for day, loss in zip(days(364), losses, strict=True)}
        compared = compared_rows(rows_of_days(said).lazy(), lenient).collect()
        promoted += judge(lenient, compared, days(364)).deciding.is_significant[-1]
    # At 5%, 40 years have more than 7 wrong ones in one of a thousand draws; and a challenger 10% better is found.
    assert promoted <= 7 if scale == 1.0 else promoted == years


def test_a_step_that_only_reports_decides_nothing() -> None:
    asked = trial(rules={"deciding_step": 7})
    said = {**both(Said(), Said(loss=90.0), (1,)), **both(Said(), Said(), (7,))}
    found = judged_days(dict.fromkeys(days(60), said), asked)
    assert of_step(found, 1)["is_significant"][-1]
    assert not of_step(found, 1)["is_deciding"].any()
    assert found.decision == "undecided"


def test_of_weekly_runs_the_day_after_the_prediction_date_and_the_last_of_the_week_count() -> None:
    monday = date(2025, 1, 6)
    weekly = trial(cadence="weekly", first_day=monday, rules={"deciding_step": 7})
    said = {
        monday + timedelta(days=7 * week + at): both(Said(), Said(loss=90.0 + week), (at + 1,))
        for week in range(6)
        for at in range(7)
    }
    rows = rows_of_days(said).with_columns(cadence=pl.lit("weekly"))
    found = judge(weekly, compared_rows(rows.lazy(), weekly).collect(), [*said])
    for step, last in ((1, 6), (7, 6)):
        seen = of_step(found, step).drop_nulls("observation")
        assert seen["target_date"].to_list() == [monday + timedelta(days=7 * week + last) for week in range(6)]
        expected = [np.clip((10 - week) / ((190 + week) / 2) / 0.1, -1, 1) for week in range(6)]
        np.testing.assert_allclose(seen["observation"], expected)
    assert found.rows["is_deciding"].sum() == 42


def test_missing_days_are_there_with_why_and_leave_the_rest_as_it_is() -> None:
    known = [day for at, day in enumerate(days(42)) if at not in (3, 9, 10)]
    found = judged_days(dict.fromkeys(known, both(Said(), Said(loss=90.0))))
    rows = of_step(found, 1)
    assert rows.height == 42
    assert rows.filter(pl.col("no_pair") == "not measured")["target_date"].to_list() == [
        days(42)[at] for at in (3, 9, 10)
    ]
    assert rows["observations"][-1] == 6
    assert found.decision == "better"


def test_a_week_without_any_pair_is_no_observation() -> None:
    known = [day for at, day in enumerate(days(42)) if not 7 <= at < 14]
    rows = of_step(judged_days(dict.fromkeys(known, both(Said(), Said(loss=90.0)))), 1)
    assert rows["observations"].to_list()[13] == 1
    assert rows["observation"][13] is None
    assert rows["observations"][-1] == 5


def test_only_one_day_says_nothing_yet() -> None:
    found = judged([90.0])
    CHALLENGER_EVIDENCE.validate(found.rows)
    assert found.decision == "collecting"
    assert of_step(found, 1).select("observations", "e_value", "lower", "upper").rows() == [(0, 1.0, -1.0, 1.0)]
