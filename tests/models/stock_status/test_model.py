"""The classifier of a version: its parts, its JSON form, and what is refused."""

import json
from typing import Any

import numpy as np
import pytest

from forecast_assets.core.errors import InputError
from forecast_assets.models.stock_status.model import StatusModel
from forecast_assets.models.stock_status.training import fit_status
from tests.support.status_cases import DAYS, GROUPS, HORIZON, empty_shelves, status_hierarchy, status_panel

OUT = empty_shelves()
PANEL = status_panel(OUT[:, :DAYS])
HIERARCHY = status_hierarchy(PANEL)


@pytest.fixture(scope="module")
def model() -> StatusModel:
    return fit_status(PANEL, GROUPS, HIERARCHY, horizon=HORIZON, workers=1)[0]


def data_of(model: StatusModel) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(model.to_data()))
    return read


def test_a_classifier_is_read_back_as_it_was_written(model: StatusModel) -> None:
    again = StatusModel.from_data(data_of(model))
    assert again.to_data() == model.to_data()
    one, two = (each.assess(PANEL, GROUPS, HIERARCHY, workers=1) for each in (model, again))
    np.testing.assert_array_equal(one.probability, two.probability)


def test_what_is_usual_does_not_know_the_series_own_days(model: StatusModel) -> None:
    """Series that had another record on the last days have another probability, by their own part."""
    turned = OUT[:, :DAYS].copy()
    turned[0, -5:] = ~turned[0, -5:]
    before, after = (model.assess(status_panel(each), GROUPS, HIERARCHY, workers=1) for each in (OUT[:, :DAYS], turned))
    moved = np.abs(after.probability - before.probability)[0, 0]
    assert moved > 0.1
    assert np.abs(after.usual_probability - before.usual_probability)[0, 0] < moved / 3


def test_probabilities_are_within_bounds(model: StatusModel) -> None:
    made = model.assess(PANEL, GROUPS, HIERARCHY, workers=1)
    for each in (made.probability, made.usual_probability):
        assert each.shape == (len(GROUPS), HORIZON)
        assert ((each >= 0.005) & (each <= 0.995)).all()


def test_without_the_level_of_areas_it_still_serves(model: StatusModel) -> None:
    from forecast_assets.hierarchy import Hierarchy

    bare = Hierarchy.build(PANEL.series, None, None)
    made = model.assess(PANEL, GROUPS, bare, workers=1)
    assert np.isfinite(made.probability).all()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("inputs", lambda data: [{**data["inputs"][0], "kind": "tarot"}, *data["inputs"][1:]], r"does not know.*share"),
        ("inputs", lambda data: [{**each, "part": "usual"} for each in data["inputs"]], "parts of its inputs"),
        ("later", lambda data: {**data["later"], "slope": -1.0}, r"slopes are.*-1\.0"),
        ("later", lambda data: {**data["later"], "linear": {**data["later"]["linear"], "mean": [0.0]}}, "its lines"),
        ("next_day", lambda data: {**data["next_day"], "trees": {"text": "tree", "start": 0.0}}, "not whole"),
    ],
)
def test_what_no_training_makes_is_refused(model: StatusModel, name: str, value: Any, words: str) -> None:
    data = data_of(model)
    with pytest.raises(InputError, match=words):
        StatusModel.from_data({**data, name: value(data)})
