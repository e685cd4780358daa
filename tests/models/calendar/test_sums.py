import numpy as np
import polars as pl
import pytest

from forecast_assets.models.calendar.sums import sum_nodes
from tests.support.forecast_cases import panel_of

SERIES = pl.DataFrame(
    [("S1", "A"), ("S1", "B"), ("S1", "C"), ("S2", "A"), ("S2", "C")], schema=["store_id", "sku_id"], orient="row"
)
GROUPS = np.array(["x", "x", "y", "x", "y"])
STORES = SERIES["store_id"].to_numpy().astype(str)


def test_series_of_a_group_in_a_store_are_added_up() -> None:
    units = np.arange(20, dtype=np.float64).reshape(5, 4)
    named = sum_nodes(panel_of(units, series=SERIES), GROUPS, STORES, units, np.ones_like(units))
    names = [
        (str(named.groups[group]), str(named.stores[store]))
        for group, store in zip(named.sums.group, named.sums.store, strict=True)
    ]
    assert names == [("x", "S1"), ("y", "S1"), ("x", "S2"), ("y", "S2")]
    assert named.sums.units.T.tolist() == [(units[0] + units[1]).tolist(), *units[2:].tolist()]


def test_a_series_counts_on_the_days_on_which_it_was_seen() -> None:
    """A sells 10 a day throughout, B 30 on the two days that it was there: the node was never a fourth of itself."""
    units = np.array([[10.0, 10, 10, 10], [0, 0, 30, 30], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    exposure = np.where(np.arange(5)[:, None] == 1, np.array([0.0, 0, 1, 1]), 1.0)
    sums = sum_nodes(panel_of(units, series=SERIES), GROUPS, STORES, units, exposure).sums
    assert sums.expected[:, 0].tolist() == sums.units[:, 0].tolist() == [10, 10, 40, 40]


def test_stores_are_numbered_in_the_order_of_their_places() -> None:
    """Nodes of a store follow one another, also where places are in another order than names."""
    units = np.ones((5, 4))
    panel = panel_of(
        units,
        series=SERIES,
        event_names=("snap",),
        event_days=np.ones((1, 11), dtype=np.bool_),
        event_series=np.array([[True, True, True, False, False]]),
    )
    named = sum_nodes(panel, GROUPS, STORES, units, units)
    assert named.stores.tolist() == ["S2", "S1"]
    assert named.sums.store.tolist() == [0, 0, 1, 1]
    assert named.sums.nodes == [slice(0, 2), slice(2, 4)]


def test_a_store_in_which_series_differ_in_their_events_has_a_node_for_each() -> None:
    units = np.ones((5, 4))
    panel = panel_of(
        units,
        series=SERIES,
        event_names=("fair",),
        event_days=np.ones((1, 11), dtype=np.bool_),
        event_series=np.array([[True, False, False, False, False]]),
    )
    sums = sum_nodes(panel, GROUPS, STORES, units, units).sums
    assert sums.units.shape == (4, 5)
    assert len(set(sums.pair.tolist())) == 4
    assert sums.expected == pytest.approx(1.0)
