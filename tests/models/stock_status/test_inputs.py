"""What the classifier sees: of the past only what was known, and each input by hand."""

from dataclasses import replace

import numpy as np
import pytest

from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.stock_status.inputs import (
    SERIES,
    STATUS_KINDS,
    USUAL,
    StatusRecord,
    StatusView,
    _added_up,
    inputs_for,
)
from tests.support.risk_cases import panel
from tests.support.status_cases import DAYS, GROUPS, HORIZON, empty_shelves, status_hierarchy, status_panel

PANEL = status_panel(empty_shelves(DAYS))
HIERARCHY = status_hierarchy(PANEL)
SPECS = inputs_for("city")


def record_of(on: object = PANEL) -> StatusRecord:
    return StatusRecord.of(on, GROUPS, HIERARCHY, "city")  # type: ignore[arg-type]


def seen(record: StatusRecord, origin: int, name: str, days: int = 1) -> np.ndarray:
    """[n, h] of one input."""
    (spec,) = (each for each in SPECS if each.name == name)
    n = record.panel.series.height
    return StatusView(record, origin, days, np.arange(n)).inputs([spec]).reshape(n, days)


def test_every_input_has_a_kind_and_a_part_and_a_name_of_its_own() -> None:
    assert {spec.kind for spec in SPECS} == set(STATUS_KINDS)
    assert {spec.part for spec in SPECS} == {USUAL, SERIES}
    assert len({spec.name for spec in SPECS}) == len(SPECS)


def test_without_areas_of_stores_there_are_no_inputs_of_them() -> None:
    assert not [spec.name for spec in inputs_for("total") if spec.of == "area"]
    assert [spec.name for spec in SPECS if spec.of == "area"]


def test_all_inputs_are_finite() -> None:
    made = StatusView(record_of(), DAYS - 1, HORIZON, np.arange(len(GROUPS))).inputs(SPECS)
    assert made.shape == (len(GROUPS) * HORIZON, len(SPECS))
    assert np.isfinite(made).all()


@pytest.mark.parametrize("origin", [8, 30, DAYS - 5])
def test_nothing_after_a_cutoff_is_seen(origin: int) -> None:
    """What comes after a cutoff may be turned round, and inputs stay as they are."""
    other = PANEL.out_of_stock_share.copy()
    other[:, origin + 1 :] = 1.0 - other[:, origin + 1 :]
    changed = replace(
        PANEL,
        out_of_stock_share=other,
        missed_share=other,
        sales=np.where(np.arange(DAYS) > origin, 99.0, PANEL.sales),
    )
    made = [StatusView(record_of(each), origin, 4, np.arange(len(GROUPS))).inputs(SPECS) for each in (PANEL, changed)]
    np.testing.assert_array_equal(*made)


def test_status_is_told_beside_that_of_all_on_the_day() -> None:
    share = np.zeros((4, 10))
    share[:2, -1] = 0.5
    on = panel(["S"] * 4, list("ABCD"), share, 2)
    record = StatusRecord.of(on, np.array(["G"] * 4), Hierarchy.build(on.series, None, None), "total")
    np.testing.assert_allclose(seen(record, 9, "share_1d_ago")[:, 0], [0.25, 0.25, -0.25, -0.25])
    # Of one day, drawn towards nothing by two.
    np.testing.assert_allclose(
        seen(record, 9, "out_half_life_2d")[:, 0],
        np.array([0.5, 0.5, -0.5, -0.5]) / (sum(0.5 ** (day / 2) for day in range(10)) + 2.0),
        rtol=1e-5,
    )


def test_relatives_are_told_of_those_that_share_a_node() -> None:
    """A is empty in both stores on the last day, B in neither: two of four, so half a point apart, of five and two."""
    share = np.zeros((4, 10))
    share[[0, 2], -1] = 0.5
    on = panel(["S1", "S1", "S2", "S2"], ["A", "B", "A", "B"], share, 2)
    record = StatusRecord.of(on, np.array(["G"] * 4), Hierarchy.build(on.series, None, None), "total")
    np.testing.assert_allclose(seen(record, 9, "sku_out_last_day")[:, 0], np.array([1.0, -1.0] * 2) / 7.0, rtol=1e-6)
    np.testing.assert_allclose(seen(record, 9, "store_out_last_day")[:, 0], 0.0, atol=1e-7)


def test_a_weekday_is_told_of_its_own_days() -> None:
    out = np.zeros((2, 28), dtype=np.bool_)
    out[0, 6::7] = True
    on = panel(["S"] * 2, ["A", "B"], np.where(out, 0.5, 0.0), 7)
    record = StatusRecord.of(on, np.array(["G"] * 2), Hierarchy.build(on.series, None, None), "total")
    habit = seen(record, 27, "out_same_weekday", 7)
    assert habit[0].argmax() == 6
    np.testing.assert_allclose(habit[0, :6], 0.0, atol=1e-7)
    np.testing.assert_allclose(habit[0], -habit[1], atol=1e-7)


def test_days_since_are_counted_from_the_last_such_day() -> None:
    share = np.zeros((2, 10))
    share[0, 6] = 0.5
    share[1] = 0.5
    on = panel(["S"] * 2, ["A", "B"], share, 1)
    record = StatusRecord.of(on, np.array(["G"] * 2), Hierarchy.build(on.series, None, None), "total")
    assert seen(record, 9, "days_since_out")[:, 0].tolist() == [3.0, 0.0]
    assert seen(record, 9, "days_since_full")[:, 0].tolist() == [0.0, 15.0]


def test_a_price_that_is_not_planned_is_the_usual_one() -> None:
    price = np.ones((1, 12))
    price[0, 10:] = 0.5
    on = panel(["S"], ["A"], np.zeros((1, 10)), 2, price_ratio=price)
    on = replace(on, has_plan=np.array([[True, False]]))
    record = StatusRecord.of(on, np.array(["G"]), Hierarchy.build(on.series, None, None), "total")
    assert seen(record, 9, "price", 2).tolist() == [[0.5, 1.0]]


def test_inputs_of_a_series_do_not_depend_on_which_others_are_asked_for() -> None:
    record = record_of()
    whole = StatusView(record, DAYS - 1, HORIZON, np.arange(len(GROUPS))).inputs(SPECS).reshape(-1, HORIZON, len(SPECS))
    some = np.array([3, 77, 150])
    few = StatusView(record, DAYS - 1, HORIZON, some).inputs(SPECS).reshape(-1, HORIZON, len(SPECS))
    np.testing.assert_array_equal(whole[some], few)


@pytest.mark.parametrize("lag", [1, 7])
@pytest.mark.parametrize("half_life", [0, 1, 14])
def test_few_columns_add_up_to_the_same_bits_as_many(half_life: int, lag: int) -> None:
    random = np.random.default_rng(half_life + lag)
    many = (random.normal(size=(90, 40)) * random.choice([0.0, 1.0, 1e-4, 1e5], size=(90, 40))).astype(np.float32)
    whole = _added_up(many, half_life, lag)
    for first in range(0, 40, 4):
        some = _added_up(many[:, first : first + 4], half_life, lag)
        assert some.dtype == np.float32
        assert np.array_equal(some, whole[:, first : first + 4])
