"""What must not be worse of a challenger, by hand."""

from datetime import timedelta

import polars as pl
import pytest

from forecast_assets.lifecycle.guards import BIAS, COVERAGE, SEGMENT, guard_results
from forecast_assets.lifecycle.pairs import compared_rows
from resources.ledger.entries.challenge import Challenge
from resources.ledger.entries.weigh import GuardResult
from tests.support.trial_cases import FIRST, Said, accuracy_rows, both, trial

DAYS = [FIRST, FIRST + timedelta(days=1)]


def results(champion: Said, challenger: Said, asked: Challenge | None = None) -> dict[str, GuardResult]:
    asked = asked or trial()
    rows = pl.concat([accuracy_rows(day, both(champion, challenger)) for day in DAYS])
    compared = compared_rows(rows.lazy(), asked).collect()
    return {each.guard: each for each in guard_results(compared, asked, DAYS)}


def test_figures_by_hand() -> None:
    found = results(Said(error=30, inside=0.78), Said(error=-45, inside=0.85, stores={"N": 40, "S": 55}))
    assert (found[BIAS].champion, found[BIAS].challenger) == pytest.approx((0.03, 0.045))
    assert (found[COVERAGE].champion, found[COVERAGE].challenger) == pytest.approx((0.02, 0.05))
    assert (found[SEGMENT].challenger, found[SEGMENT].detail) == (pytest.approx(1.1), "store S")


@pytest.mark.parametrize(
    ("guard", "within", "beyond"),
    [
        (BIAS, Said(error=19.9), Said(error=-20.1)),
        (COVERAGE, Said(inside=0.775), Said(inside=0.765)),
        (SEGMENT, Said(stores={"N": 40, "S": 52.4}), Said(stores={"N": 40, "S": 52.6})),
    ],
)
def test_a_guard_holds_up_to_its_margin(guard: str, within: Said, beyond: Said) -> None:
    assert results(Said(), within)[guard].holds
    found = results(Said(), beyond)
    assert not found[guard].holds
    assert all(each.holds for name, each in found.items() if name != guard)


def test_margins_are_those_of_the_trial() -> None:
    wide = trial(rules={"bias_margin": 0.1, "segment_margin": 0.5})
    found = results(Said(), Said(error=90, stores={"N": 30, "S": 70}), wide)
    assert all(each.holds for each in found.values())


def test_a_segment_that_sells_little_is_not_important() -> None:
    important = results(Said(), Said(stores={"N": 40, "S": 90}), trial(rules={"segment_share": 0.5}))
    assert not important[SEGMENT].holds
    # Half of the sales each: neither store has more than that, and the one product node has all.
    rare = results(Said(), Said(stores={"N": 40, "S": 90}), trial(rules={"segment_share": 0.51}))
    assert (rare[SEGMENT].holds, rare[SEGMENT].detail) == (True, "product_node food")


def test_only_days_with_a_pair_and_the_deciding_step_count() -> None:
    asked = trial()
    rows = pl.concat(
        [
            accuracy_rows(DAYS[0], both(Said(), Said(), steps=(1,))),
            accuracy_rows(DAYS[0], both(Said(), Said(error=900), steps=(7,))),
            accuracy_rows(DAYS[1], both(Said(), Said(error=900), steps=(1,))),
        ]
    )
    compared = compared_rows(rows.lazy(), asked).collect()
    assert guard_results(compared, asked, DAYS[:1])[0].challenger == 0.0


def test_what_is_not_known_does_not_hold() -> None:
    empty = compared_rows(accuracy_rows(FIRST, both(Said(), Said())).lazy(), trial()).collect()
    assert [each.holds for each in guard_results(empty, trial(), [])] == [False, False, False]
