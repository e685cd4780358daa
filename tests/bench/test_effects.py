"""Effects that are read out of forecasts are those that are in them."""

from dataclasses import replace

import numpy as np
import pytest

from bench.cases import Case, m5_cases
from bench.effects import effect_errors, forecast_effects, true_effects
from bench.m5_law import DEPARTMENTS, STATE_OF_STORE, STORES, Law, paydays
from bench.m5_shaped import Shape
from forecast_assets.core.arrays import Floats

CUTOFF = 130


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    (made,) = m5_cases(Shape(items=14, days=170, seed=2), tmp_path_factory.mktemp("m5"), [CUTOFF], 100)
    return made


@pytest.fixture(scope="module")
def law(case: Case) -> Law:
    assert case.law is not None
    return case.law


def on_each_series(case: Case, of_places: Floats) -> Floats:
    """[n, H] what all series of a department in a store share, [70, H]."""
    return of_places[case.law_places()]


def test_forecasts_that_follow_the_laws_calendar_have_no_error(case: Case, law: Law) -> None:
    calendar = law.calendar_factors[:, :, CUTOFF : CUTOFF + 28].reshape(-1, 28)
    errors = effect_errors(case, 3.0 * on_each_series(case, calendar))
    assert errors == pytest.approx({"payday factor error": 0.0, "weekday factor error": 0.0}, abs=1e-9)


def test_true_effects_are_the_laws_parameters(case: Case, law: Law) -> None:
    true = true_effects(case, law)
    assert np.abs(true.payday - law.payday_factor.ravel()).mean() < 0.03
    assert np.abs(true.weekday - law.weekday_factor.reshape(-1, 7)).mean() < 0.01


def test_flat_forecasts_miss_all_of_every_effect(case: Case, law: Law) -> None:
    errors = effect_errors(case, np.ones_like(case.sales))
    true = true_effects(case, law)
    assert errors["payday factor error"] == pytest.approx(np.abs(true.payday - 1).mean())
    assert errors["weekday factor error"] == pytest.approx(np.abs(true.weekday - 1).mean())


def test_an_effect_of_one_department_in_one_store_is_found_there_alone(case: Case, law: Law) -> None:
    place = 2 * len(STORES) + STORES.index("TX_2")
    on = paydays(case.days_ahead)[STATE_OF_STORE[STORES.index("TX_2")]] > 0
    forecast = np.ones((len(DEPARTMENTS) * len(STORES), 28))
    forecast[place, on] = 1.3
    found = forecast_effects(case, law, on_each_series(case, forecast))
    assert found.payday[place] == pytest.approx(1.3)
    np.testing.assert_allclose(np.delete(found.payday, place), 1.0)


def test_without_a_law_there_is_nothing_to_compare_with(case: Case) -> None:
    with pytest.raises(ValueError, match="no law"):
        effect_errors(replace(case, law=None), case.sales)
