"""What a new series borrows, on tables small enough to work out by hand."""

import numpy as np
import polars as pl
import pytest

from forecast_assets.models.statistical.borrowing import BORROWED, BorrowedLevels, borrow
from forecast_assets.models.statistical.levels import ZERO
from forecast_assets.models.statistical.series import WITHOUT_LEVEL
from forecast_assets.models.statistical.training import _CANDIDATES
from tests.support.forecast_cases import panel_of

ONE_ROW = np.array([0])


def _borrow(rows: list[tuple[str, str, str, float, float, bool]]) -> BorrowedLevels:
    """Rows of store, SKU, group, units, days, is new; the others are established at units / days."""
    store, sku, group, units, days, is_new = (list(column) for column in zip(*rows, strict=True))
    panel = panel_of(np.zeros((len(rows), 7)), series=pl.DataFrame({"store_id": store, "sku_id": sku}))
    sold, seen, new = np.array(units), np.array(days), np.array(is_new)
    recent = sold / np.maximum(seen, 1)
    return borrow(panel, np.array(group), sold, seen, recent, new, ~new)


def test_own_days_weigh_against_the_parents_days() -> None:
    known = BorrowedLevels(parent=np.array([10.0]), units=np.array([12.0]), days=np.array([3.0]))
    assert known.level("BorrowedLevel(3)", ONE_ROW).tolist() == [7.0]
    assert known.level("BorrowedLevel(1)", ONE_ROW).tolist() == [5.5]
    unseen = BorrowedLevels(parent=np.array([10.0]), units=np.array([0.0]), days=np.array([0.0]))
    assert unseen.level("BorrowedLevel(7)", ONE_ROW).tolist() == [10.0]


def test_a_store_that_sells_twice_as_much_lends_twice_as_much() -> None:
    rows = [("S1", f"K{i}", "g", 400.0, 100.0, False) for i in range(20)]
    rows += [("S2", f"K{i}", "g", 800.0, 100.0, False) for i in range(20)]
    made = _borrow([*rows, ("S1", "N", "g", 0.0, 0.0, True), ("S2", "N", "g", 0.0, 0.0, True)])
    assert made.parent[-2] == pytest.approx(4.0, rel=0.05)
    assert made.parent[-1] == pytest.approx(8.0, rel=0.05)


def test_other_stores_tell_of_a_product_what_its_group_cannot() -> None:
    """A best seller in nine stores arrives in the tenth."""
    rows = [(f"S{s}", f"K{i}", "g", 100.0, 100.0, False) for s in range(10) for i in range(10)]
    best = [(f"S{s}", "BEST", "g", 900.0, 100.0, False) for s in range(9)]
    made = _borrow([*rows, *best, ("S9", "BEST", "g", 0.0, 0.0, True)])
    assert made.parent[-1] > 6.0


def test_a_launch_in_many_stores_is_known_sooner_than_in_one() -> None:
    rows = [(f"S{s}", f"K{i}", "g", 100.0, 100.0, False) for s in range(10) for i in range(10)]
    alone = _borrow([*rows, ("S0", "N", "g", 8.0, 2.0, True)])
    together = _borrow([*rows, *((f"S{s}", "N", "g", 8.0, 2.0, True) for s in range(10))])
    assert alone.parent[-1] < together.parent[-1] < 4.0
    assert together.parent[-1] > 3.0


def test_groups_lend_to_their_own() -> None:
    rows = [("S", f"A{i}", "a", 100.0, 100.0, False) for i in range(30)]
    rows += [("S", f"B{i}", "b", 1000.0, 100.0, False) for i in range(30)]
    made = _borrow([*rows, ("S", "NA", "a", 0.0, 0.0, True), ("S", "NB", "b", 0.0, 0.0, True)])
    assert made.parent[-2] < 2.5
    assert made.parent[-1] > 8.0


def test_where_everything_is_new_all_lend_to_each() -> None:
    made = _borrow([("S", "A", "g", 10.0, 5.0, True), ("S", "B", "g", 0.0, 5.0, True)])
    assert (made.parent > 0).all()
    assert made.parent[0] > made.parent[1]
    nothing = _borrow([("S", "A", "g", 0.0, 0.0, True)])
    assert nothing.parent.tolist() == [0.0]


def test_only_new_series_borrow() -> None:
    assert {name for name, models in _CANDIDATES.items() if set(models) & set(BORROWED)} == {"new"}
    assert "new" in WITHOUT_LEVEL
    assert ZERO not in BORROWED
