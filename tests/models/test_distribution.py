"""The out-of-distribution score: calibrated on training, high where an input is like nothing that was trained on."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest

from forecast_assets.features.panel import Panel
from forecast_assets.models.distribution import INPUTS, Reference, learn_reference
from tests.support.forecast_cases import lawful_panel, panel_of

HORIZON = 14
UNUSUAL = 0.995


def panel(seed: int = 1, count: int = 300) -> Panel:
    return lawful_panel(count=count, days=140, horizon=HORIZON, level=8.0, seed=seed)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return learn_reference(panel())


def test_training_itself_is_as_unusual_as_its_shares_say(reference: Reference) -> None:
    score = reference.score(panel())
    assert score.shape == (300, HORIZON)
    assert ((score >= 0) & (score <= 1)).all()
    # Half a percent by definition, on all training rows together.
    assert (score >= UNUSUAL).mean() < 0.015
    # Scores are shares: about a tenth of the rows lie above nine tenths.
    assert (score >= 0.9).mean() == pytest.approx(0.1, abs=0.07)


def test_another_draw_of_the_same_law_is_not_called_out(reference: Reference) -> None:
    assert (reference.score(panel(seed=2)) >= UNUSUAL).mean() < 0.03


def sold_in_the_last_week(on: Panel) -> Panel:
    """The month's units of a series, nearly all of them in its last week."""
    sales = on.sales.copy()
    sales[0, -28:-7] /= 3
    sales[0, -7:] *= 3
    return replace(on, sales=sales)


def ahead(name: str, value: object) -> Callable[[Panel], Panel]:
    def change(on: Panel) -> Panel:
        matrix = getattr(on, name).copy()
        matrix[0, on.history_days :] = value
        return replace(on, **{name: matrix})

    return change


def never_known_before(on: Panel) -> Panel:
    sales = on.sales.copy()
    sales[0, :-2] = np.nan
    return replace(on, sales=sales)


def empty_for_a_month(on: Panel) -> Panel:
    is_censored = on.is_censored.copy()
    is_censored[0, -28:] = True
    return replace(on, is_censored=is_censored)


def event_every_day(on: Panel) -> Panel:
    days = on.event_days.copy()
    days[:, on.history_days :] = True
    return replace(on, event_days=days)


UNLIKE: dict[str, Callable[[Panel], Panel]] = {
    "level": lambda on: replace(on, sales=np.where(np.arange(300)[:, None] == 0, on.sales * 500, on.sales)),
    "week_on_month": sold_in_the_last_week,
    "days_out_of_stock": empty_for_a_month,
    "age": never_known_before,
    "price": ahead("price_ratio", 0.05),
    "promotions": ahead("is_promotion", True),
    "events": event_every_day,
}


@pytest.mark.parametrize("name", UNLIKE)
def test_an_input_like_nothing_that_was_trained_on_is_found_and_named(reference: Reference, name: str) -> None:
    changed = UNLIKE[name](panel())
    found = reference.judge(changed)
    assert found.score[0, -1] >= UNUSUAL
    assert INPUTS[found.most_unusual[0, -1]] == name
    if name != "events":
        assert (found.score[1:] == reference.score(panel())[1:]).all()


def test_the_further_out_the_more_unusual(reference: Reference) -> None:
    scores = [reference.score(ahead("price_ratio", price)(panel()))[0, 0] for price in (1.0, 0.7, 0.5, 0.01)]
    assert scores == sorted(scores)
    assert scores[-1] == 1.0


def test_an_unknown_plan_is_not_unusual(reference: Reference) -> None:
    odd = ahead("price_ratio", 0.05)(panel())
    unknown = replace(odd, has_plan=np.zeros_like(odd.has_plan))
    assert (reference.judge(unknown).most_unusual != INPUTS.index("price")).all()
    assert reference.score(unknown)[0, 0] < UNUSUAL


def test_long_records_and_full_shelves_are_nothing_unusual() -> None:
    made = panel_of(np.random.default_rng(3).poisson(5.0, (50, 200)).astype(np.float64), horizon=7)
    learned = learn_reference(made.as_of(100))
    assert (learned.judge(made).most_unusual != INPUTS.index("age")).all()


def test_it_is_deterministic_and_read_back_exactly(reference: Reference) -> None:
    assert learn_reference(panel()) == reference
    data = json.loads(json.dumps(asdict(reference), allow_nan=False))
    assert Reference.from_data(data) == reference
    assert len(json.dumps(data)) < 30_000


@pytest.mark.parametrize("days", [1, 8, 30])
def test_a_short_record_is_learned_from_without_an_error(days: int) -> None:
    made = panel_of(np.ones((3, days)), horizon=7)
    assert learn_reference(made).score(made).shape == (3, 7)


def test_no_record_at_all_is_scored_without_an_error(reference: Reference) -> None:
    made = panel_of(np.full((2, 30), np.nan), horizon=HORIZON)
    assert np.isfinite(reference.score(made)).all()
    assert np.isfinite(learn_reference(made).score(made)).all()


def test_many_series_take_seconds() -> None:
    random = np.random.default_rng(4)
    made = panel_of(random.poisson(2.0, (10_000, 120)).astype(np.float64), horizon=14)
    learned = learn_reference(made)
    started = time.process_time()
    learned.score(made)
    assert time.process_time() - started < 1.0
