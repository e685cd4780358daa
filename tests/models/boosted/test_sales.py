"""Forecasts of sales: what is lost follows from them, versions keep their bytes, damage is named."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import InputError
from forecast_assets.models.boosted.inputs import InputSpec
from forecast_assets.models.boosted.sales import LIKE_DAYS, LOG, RATIO, STRUCTURE, SalesModel, SalesTrees, share_lost
from forecast_assets.models.boosted.sales_inputs import SALES_INPUTS
from forecast_assets.models.boosted.trees import Trees, fit_trees

DEMAND_INPUTS = (InputSpec("price", "price_units", "price"),)
NAMES = ("price", *(spec.name for spec in SALES_INPUTS))
UNITS = st.floats(0.0, 1e6, allow_subnormal=False)
SHARES = st.floats(0.0, 1.0)
SHAPE = (3, 4)


@pytest.fixture(scope="module")
def trees() -> Trees:
    random = np.random.default_rng(2)
    inputs = random.normal(size=(3_000, len(NAMES))).astype(np.float32)
    units = random.poisson(np.exp(0.5 * inputs[:, 0])).astype(np.float64)
    return fit_trees(inputs, units, np.zeros(3_000), names=NAMES, drivers=NAMES, rounds=3, workers=1)


@pytest.fixture(scope="module")
def model(trees: Trees) -> SalesModel:
    drivers = tuple(spec.driver for spec in (*DEMAND_INPUTS, *SALES_INPUTS))
    own = replace(trees, drivers=drivers)
    return SalesModel(
        SALES_INPUTS,
        (SalesTrees(LOG, STRUCTURE, True, 0.25, 1.0, own), SalesTrees(RATIO, LIKE_DAYS, False, 0.75, 1.1, own)),
    )


@given(
    arrays.arrays(np.float64, SHAPE, elements=UNITS), arrays.arrays(np.float64, SHAPE, elements=UNITS), st.floats(0, 1)
)
def test_what_is_not_lost_is_sales_and_never_above_demand(demand: Floats, sales: Floats, usual: float) -> None:
    lost = share_lost(demand, sales, np.full((3, 1), usual))
    assert ((lost >= 0.0) & (lost <= 1.0)).all()
    np.testing.assert_allclose(demand * (1.0 - lost), np.minimum(demand, sales), rtol=1e-9, atol=1e-9)


def test_without_demand_the_usual_share_is_lost() -> None:
    lost = share_lost(np.zeros((2, 2)), np.array([[0.0, 0.0], [3.0, 3.0]]), np.array([[0.1], [0.4]]))
    np.testing.assert_allclose(lost, [[0.1, 0.1], [0.4, 0.4]])


def test_a_score_is_of_the_logarithm_of_the_ratio_or_of_the_ratio(trees: Trees) -> None:
    inputs = np.random.default_rng(3).normal(size=(50, len(NAMES))).astype(np.float32)
    level, score = np.full(50, 4.0), trees.plain_score(inputs)
    np.testing.assert_allclose(
        SalesTrees(LOG, LIKE_DAYS, True, 1.0, 1.0, trees).units(level, inputs), 4.0 * np.exp(score)
    )
    low = replace(trees, start=trees.start - 0.2)
    ratio = SalesTrees(RATIO, LIKE_DAYS, True, 1.0, 1.5, low).units(level, inputs)
    np.testing.assert_allclose(ratio, 6.0 * np.maximum(score - 0.2, 0.0))
    assert (ratio == 0.0).any()


def test_a_model_survives_its_data(model: SalesModel) -> None:
    again = SalesModel.from_data(model.to_data(), DEMAND_INPUTS)
    assert again == model
    assert not model.mistakes()
    model.require_whole(DEMAND_INPUTS)


def test_a_version_from_before_store_days_were_told_apart_keeps_its_data(model: SalesModel) -> None:
    first, second = model.members
    assert all("follows_store_days" not in member for member in model.to_data()["members"])
    newer = replace(model, members=(first, replace(second, follows_store_days=False)))
    assert newer.to_data()["members"][1]["follows_store_days"] is False
    assert SalesModel.from_data(newer.to_data(), DEMAND_INPUTS) == newer


def test_what_training_does_not_make_is_named(model: SalesModel) -> None:
    first, second = model.members
    strange = replace(SALES_INPUTS[3], kind="moon")
    for wrong, words in (
        (replace(model, inputs=(strange, *SALES_INPUTS[1:])), "inputs of sales sales_1d_over_level"),
        (replace(model, members=(replace(first, link="square"), second)), "links of sales square"),
        (replace(model, members=(replace(first, start="noon"), second)), "models of sales start from: noon"),
        (replace(model, members=(first,)), r"weights of models of sales are 0\.25"),
        (replace(model, members=(replace(first, weight=-0.5), replace(second, weight=1.5))), r"are -0\.5"),
        (replace(model, members=()), "weights of models of sales are"),
        (replace(model, members=(replace(second, weight=1.0),)), "serves series that sell on few days"),
        (replace(model, members=(first, replace(second, scale=0.0))), r"scales of models of sales are 0\.0"),
    ):
        assert any(re.search(words, mistake) for mistake in wrong.mistakes())


def test_damaged_trees_are_refused(model: SalesModel) -> None:
    first, second = model.members
    cut = replace(first, trees=replace(first.trees, text=first.trees.text[:-400]))
    with pytest.raises(InputError, match="not whole"):
        replace(model, members=(second, cut)).require_whole(DEMAND_INPUTS)
    with pytest.raises(InputError, match="not the same"):
        model.require_whole((replace(DEMAND_INPUTS[0], name="cost"),))
