"""Models that are judged: families as a run would forecast, yardsticks, and parts that are switched off."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench import candidates, tweedie
from bench.candidates import UNTRAINED, WITHOUT, Made, Versions, family_model, model_named
from bench.cases import Case, m5_cases
from bench.effects import effect_errors
from bench.m5_shaped import Shape
from forecast_assets.models.calendar.calendar import CALENDARS
from forecast_assets.models.family import family
from forecast_assets.models.forecasts import ForecastInputs, Forecasts

CUTOFF, HISTORY = 160, 150


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    (made,) = m5_cases(Shape(items=14, days=190, seed=4), tmp_path_factory.mktemp("m5"), [CUTOFF], HISTORY)
    return made


@pytest.fixture(scope="module")
def statistical(case: Case) -> Made:
    return family_model("statistical")(case)


def test_seasonal_naive_repeats_the_last_week(case: Case) -> None:
    made = model_named("naive")(case)
    sales = made.sales
    assert made.demand is sales
    np.testing.assert_array_equal(sales, np.tile(case.panel.sales[:, -7:], (1, 4)))


def test_whoever_knows_the_law_errs_less_than_seasonal_naive_and_on_no_payday(case: Case) -> None:
    law, naive = (model_named(name)(case) for name in ("law", "naive"))
    assert np.abs(law.sales - case.sales).sum() < 0.8 * np.abs(naive.sales - case.sales).sum()
    assert effect_errors(case, law.sales) == pytest.approx(
        {"payday factor error": 0.0, "weekday factor error": 0.0}, abs=0.01
    )
    with pytest.raises(ValueError, match="no law"):
        model_named("law")(replace(case, law=None))


def test_the_plain_model_of_sales_beats_seasonal_naive_and_is_repeatable(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tweedie, "TREES", 80)
    plain, naive = (model_named(name)(case).sales for name in ("tweedie", "naive"))
    assert plain.shape == case.sales.shape
    assert (plain >= 0).all()
    assert np.abs(plain - case.sales).sum() < 0.9 * np.abs(naive - case.sales).sum()
    np.testing.assert_array_equal(plain, model_named("tweedie")(case).sales)


def test_a_family_forecasts_without_a_record_of_stock(case: Case, statistical: Made) -> None:
    assert statistical.sales.shape == case.sales.shape
    assert statistical.risk is None
    assert 0.8 < statistical.sales.sum() / case.sales.sum() < 1.25


def test_without_the_calendar_forecasts_differ(case: Case, statistical: Made) -> None:
    assert np.abs(family_model("statistical", ["calendar"])(case).sales - statistical.sales).max() > 0.01


def test_series_follow_the_nodes_unless_these_are_switched_off(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubling(type(family("statistical"))):  # type: ignore[misc]
        def forecast(self, artifact: Any, inputs: ForecastInputs) -> Forecasts:
            made: Forecasts = super().forecast(artifact, inputs)
            assert made.nodes is not None
            return replace(made, nodes=replace(made.nodes, mean=2.0 * made.nodes.mean, variance_ratio=None))

    versions: Versions = {}
    alone = family_model("statistical", ["nodes"], versions=versions)(case).sales
    monkeypatch.setattr(candidates, "family", lambda _name: Doubling())
    assert family_model("statistical", versions=versions)(case).sales.sum() > 1.5 * alone.sum()
    np.testing.assert_array_equal(family_model("statistical", ["nodes"], versions=versions)(case).sales, alone)


@pytest.fixture(scope="module")
def half_empty(case: Case) -> Case:
    """The same shop, with an empty shelf for half of every second day."""
    shares = np.where(np.arange(HISTORY) % 2, 0.5, 0.0) * np.ones((len(case.sales), 1))
    panel = replace(case.panel, is_censored=shares > 0, out_of_stock_share=shares, missed_share=shares)
    return replace(case, panel=panel)


def test_expected_sales_are_demand_less_the_loss_that_the_family_tells(
    half_empty: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Knowing(type(family("statistical"))):  # type: ignore[misc]
        def forecast(self, artifact: Any, inputs: ForecastInputs) -> Forecasts:
            made: Forecasts = super().forecast(artifact, inputs)
            return replace(made, lost_share=np.full_like(made.mean, 1.0))

    versions: Versions = {}
    usual = family_model("statistical", ["sales"], versions=versions)(half_empty)
    assert usual.risk is not None
    assert 0 < usual.sales.sum() < usual.demand.sum()
    monkeypatch.setattr(candidates, "family", lambda _name: Knowing())
    assert family_model("statistical", versions=versions)(half_empty).sales.sum() == 0
    without = family_model("statistical", ["sales"], versions=versions)(half_empty)
    np.testing.assert_array_equal(without.sales, usual.sales)


def test_one_part_at_a_time_is_left_out_of_training(case: Case) -> None:
    told = {part: candidates._training(case, [part], evaluates=False) for part in WITHOUT}
    assert {part: (each.calendars, each.reads_recurring) for part, each in told.items()} == {
        "calendar": (("none",), True),
        "recurring": (CALENDARS, False),
        "nodes": (CALENDARS, True),
        "sales": (CALENDARS, True),
    }
    assert case.panel.recurring_events == ("snap",)


def test_parts_that_are_not_used_cost_no_training(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[Any] = []

    class Counting(type(family("statistical"))):  # type: ignore[misc]
        def train(self, inputs: Any) -> Any:
            trained.append(inputs.calendars)
            return super().train(inputs)

    monkeypatch.setattr(candidates, "family", lambda _name: Counting())
    versions: Versions = {}
    made = {part: family_model("statistical", [part], versions=versions)(case) for part in ("nodes", "sales")}
    assert trained == [CALENDARS]
    assert np.abs(made["nodes"].sales - made["sales"].sales).max() > 0.0
    assert made["nodes"].training_seconds == made["sales"].training_seconds
    family_model("statistical", ["calendar"], versions=versions)(case)
    assert trained == [CALENDARS, ("none",)]


def test_every_part_is_told_in_words() -> None:
    assert set(WITHOUT) == {"calendar", "recurring", "nodes", "sales"} > UNTRAINED
    assert all(WITHOUT.values())
