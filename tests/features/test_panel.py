"""The panel: where observations go, what is missing, and backtests as of an earlier day."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from forecast_assets.features.panel import Panel, assemble_panel
from tests.support.forecast_cases import panel_of

CUTOFF = date(2025, 1, 5)
SERIES = pl.DataFrame({"store_id": ["S", "S"], "sku_id": ["B", "A"]})
STATUS: dict[str, list[object]] = {"out_of_stock_hours": [4.0, 8.0], "trading_hours": [16.0, 16.0]}


def rows(sku: str, days: list[int], **columns: list[object]) -> pl.DataFrame:
    return pl.DataFrame(
        {"store_id": "S", "sku_id": sku, "event_date": [CUTOFF + timedelta(days=day) for day in days], **columns}
    )


def events_of(*said: tuple[str, str, int, str | None]) -> pl.DataFrame:
    """Events by name, place, day from the cutoff on, and kind."""
    return pl.DataFrame(
        [(name, node, CUTOFF + timedelta(days=day), kind) for name, node, day, kind in said],
        schema={"event_name": pl.String, "store_node": pl.String, "event_date": pl.Date, "event_kind": pl.String},
        orient="row",
    )


def panel(**feeds: pl.DataFrame) -> Panel:
    sales = pl.concat([rows("A", [-2, -1, 0, 1], sales_units=[1.0, 2.0, 3.0, 99.0]), rows("B", [0], sales_units=[4.0])])
    observations = {"sales": sales.lazy(), **{name: frame.lazy() for name, frame in feeds.items()}}
    return assemble_panel(SERIES, observations, cutoff=CUTOFF, history_days=30, horizon_days=2)


def test_rows_land_in_their_cells_and_what_is_not_known_is_nan() -> None:
    made = panel()
    assert made.series["sku_id"].to_list() == ["A", "B"]
    assert (made.first_date, made.history_days, made.cutoff) == (date(2025, 1, 3), 3, CUTOFF)
    np.testing.assert_array_equal(made.sales, [[1, 2, 3], [np.nan, np.nan, 4]])
    assert (made.price_ratio == 1).all()
    assert not made.has_plan.any()
    assert not made.is_promotion.any()
    assert not made.is_censored.any()
    assert made.event_names == ()


def test_plans_reach_into_the_horizon() -> None:
    prices = rows("A", [0, 1, 2, 3], price_ratio=[0.9, 0.8, 0.7, 0.1], is_promotion=[False, True, False, True])
    made = panel(prices=prices, events=events_of(("fair", "all", 0, None), ("fair", "all", 2, None)))
    np.testing.assert_array_equal(made.price_ratio[0], [1, 1, 0.9, 0.8, 0.7])
    np.testing.assert_array_equal(made.is_promotion[0], [False, False, False, True, False])
    np.testing.assert_array_equal(made.has_plan, [[True, True], [False, False]])
    np.testing.assert_array_equal(made.event_days, [[False, False, True, False, True]])


def test_what_is_said_of_a_store_holds_for_all_of_its_series_ahead_too() -> None:
    days = [CUTOFF - timedelta(days=1), CUTOFF, CUTOFF + timedelta(days=2), CUTOFF + timedelta(days=9)]
    said = pl.DataFrame({"store_id": ["S", "S", "S", "S"], "event_date": days, "is_closed": [True, False, True, True]})
    elsewhere = said.with_columns(store_id=pl.lit("T"), is_closed=pl.lit(value=True))
    made = panel(store_closures=pl.concat([said, elsewhere]))
    np.testing.assert_array_equal(made.is_closed, [[False, True, False, False, True]] * 2)
    assert not panel().is_closed.any()
    assert panel().is_closed.shape == (2, 5)
    np.testing.assert_array_equal(made.as_of(1).is_closed[0], [False, True, False, False])
    np.testing.assert_array_equal(made.recent(2).is_closed[0], [True, False, False, True])
    np.testing.assert_array_equal(made.ahead(1).is_closed[0], [False, True, False, False])
    np.testing.assert_array_equal(made.take(np.array([1])).is_closed, [[False, True, False, False, True]])


def test_an_empty_shelf_is_seen_in_hours_or_in_positions() -> None:
    status = rows("A", [-1, 0], **STATUS, out_of_stock_demand_share=[0.1, None])
    positions = rows("B", [0], on_hand_units=[0.0])
    made = panel(stock_status=status, inventory_positions=positions)
    np.testing.assert_array_equal(made.out_of_stock_share[0], [np.nan, 0.25, 0.5])
    np.testing.assert_array_equal(made.is_censored, [[False, True, True], [False, False, True]])


def test_missed_demand_goes_by_the_hours_of_sales_where_they_are_known_and_by_their_number_elsewhere() -> None:
    status = rows("A", [-1, 0], **STATUS, out_of_stock_demand_share=[0.1, None])
    made = panel(stock_status=status)
    np.testing.assert_array_equal(made.missed_share, [[np.nan, 0.1, 0.5], [np.nan] * 3])
    np.testing.assert_array_equal(made.as_of(1).missed_share[0], [np.nan, 0.1])
    np.testing.assert_array_equal(made.recent(2).missed_share[0], [0.1, 0.5])
    np.testing.assert_array_equal(made.take(np.array([1])).missed_share, [[np.nan] * 3])


def test_weekdays_follow_the_calendar() -> None:
    assert panel().weekday.tolist() == [4, 5, 6, 0, 1]
    assert datetime(2025, 1, 3, tzinfo=UTC).weekday() == 4


def test_as_of_moves_the_cutoff_back_and_keeps_the_plan() -> None:
    prices = rows("A", [-2, -1, 0, 1, 2], price_ratio=[0.5, 0.6, 0.7, 0.8, 0.9], is_promotion=[False] * 5)
    earlier = panel(prices=prices).as_of(2)
    assert earlier.cutoff == date(2025, 1, 3)
    np.testing.assert_array_equal(earlier.sales, [[1], [np.nan]])
    np.testing.assert_array_equal(earlier.price_ratio[0], [0.5, 0.6, 0.7])


def test_an_event_applies_to_all_stores_to_one_or_to_those_of_a_node() -> None:
    stores = ["S1", "S2", "S3"]
    sales = pl.concat([rows("A", [0], sales_units=[1.0]).with_columns(store_id=pl.lit(store)) for store in stores])
    nodes = pl.DataFrame({"store_id": ["S1", "S2", "S3"], "node_id": ["CA", "CA", "TX"]})
    places = (("fair", "all", 0), ("snap", "CA", 0), ("snap", "TX", 1), ("move", "S2", 2), ("lost", "nowhere", 0))
    events = events_of(*((*place, None) for place in places))
    made = assemble_panel(
        sales.select("store_id", "sku_id"),
        {"sales": sales.lazy(), "events": events.lazy()},
        cutoff=CUTOFF,
        history_days=30,
        horizon_days=2,
        store_nodes=nodes,
    )
    assert made.event_names == ("fair", "lost", "move", "snap", "snap")
    np.testing.assert_array_equal(
        made.event_series,
        [[True] * 3, [False] * 3, [False, True, False], [True, True, False], [False, False, True]],
    )
    np.testing.assert_array_equal(made.event_days[3:], [[True, False, False], [False, True, False]])


@pytest.mark.parametrize(
    ("said", "recurring"),
    [
        ([], ()),
        ([("pay", "all", -2, "recurring")], ("pay",)),
        ([("pay", "S", -2, "rare"), ("pay", "all", -1, "recurring")], ("pay",)),
        # The newest day that says a kind of a place decides there.
        ([("pay", "S", -2, "recurring"), ("pay", "S", -1, "rare"), ("pay", "S", 0, None)], ()),
        # A plan says the kind too.
        ([("pay", "all", 2, "recurring"), ("fair", "all", 0, None)], ("pay",)),
    ],
)
def test_a_source_says_which_events_recur(said: list[tuple[str, str, int, str | None]], recurring: tuple[str]) -> None:
    made = panel(events=events_of(*said)) if said else panel()
    assert made.recurring_events == recurring
    assert made.as_of(1).recurring_events == made.recent(2).recurring_events == made.ahead(2).recurring_events


def counted(*days_of: list[int], kind: str | None = None) -> tuple[str, ...]:
    """Recurring events of 368 days of history and ten ahead; an event `pay` falls on such days in each place."""
    sales = rows("A", list(range(-367, 1)), sales_units=[1.0] * 368)
    said = [("pay", f"S{place}", day, kind) for place, days in enumerate(days_of) for day in days]
    made = assemble_panel(
        SERIES[1:],
        {"sales": sales.lazy(), "events": events_of(*said).lazy()},
        cutoff=CUTOFF,
        history_days=400,
        horizon_days=10,
    )
    assert made.history_days == 368
    return made.recurring_events


def test_where_nobody_says_it_days_of_the_history_in_one_place_are_counted() -> None:
    assert counted([-7 * week for week in range(8)]) == ("pay",)
    assert counted([-7 * week for week in range(7)]) == ()
    assert counted([*(-7 * week for week in range(7)), *range(1, 9)]) == ()
    assert counted([-7 * week for week in range(4)], [-7 * week - 3 for week in range(4)]) == ()
    assert counted([-7 * week for week in range(50)], kind="rare") == ()


def test_days_in_a_row_are_one_occurrence() -> None:
    holiday, months = list(range(-20, -5)), [[-30 * month - day for day in range(10)] for month in range(1, 9)]
    assert counted(holiday) == ()
    assert counted([*holiday, *(day - 40 for day in holiday)]) == ()
    # The first ten days of a month are a run, and it comes every month.
    assert counted([day for month in months for day in month]) == ("pay",)


def test_eight_days_of_a_longer_history_are_not_often_enough() -> None:
    days = np.zeros((2, 379), dtype=np.bool_)
    days[0, :16:2] = days[1, :18:2] = True
    made = panel_of(np.ones((1, 369)), 10, event_names=("eight", "nine"), event_days=days)
    assert made.recurring_events == ("nine",)


def test_the_recent_panel_ends_where_the_whole_one_does() -> None:
    made = panel(events=events_of(("fair", "all", 0, None))).recent(2)
    assert (made.first_date, made.history_days, made.cutoff) == (date(2025, 1, 4), 2, CUTOFF)
    np.testing.assert_array_equal(made.sales, [[2, 3], [np.nan, 4]])
    assert made.price_ratio.shape == (2, 4)
    np.testing.assert_array_equal(made.event_days, [[False, True, False, False]])
    assert panel().recent(99).history_days == 3


def test_a_history_longer_than_a_slice_is_whole() -> None:
    days = list(range(-199, 1))
    sales = rows("A", days, sales_units=[float(day) for day in days])
    made = assemble_panel(SERIES[1:], {"sales": sales.lazy()}, cutoff=CUTOFF, history_days=200, horizon_days=5)
    np.testing.assert_array_equal(made.sales, [days])


def test_feeds_that_are_not_there_take_no_room() -> None:
    made = panel()
    assert np.isnan(made.out_of_stock_share).all()
    assert made.out_of_stock_share.strides == made.missed_share.strides == (0, 0)


def test_events_of_three_days_after_the_horizon_are_known_beside_it() -> None:
    """What they do to the days before them is of the horizon; an earlier cutoff and a shorter horizon know the same."""
    said = [("fair", "S", day, "rare") for day in (-1, 2, 3, 5, 6)]
    made = panel(events=events_of(*said))
    assert np.flatnonzero(made.event_days[0]).tolist() == [1, 4]
    assert np.flatnonzero(made.event_days_and_beyond[0]).tolist() == [1, 4, 5, 7]
    assert np.flatnonzero(made.ahead(1).event_days_and_beyond[0]).tolist() == [1, 4, 5]
    assert np.flatnonzero(made.as_of(1).event_days_and_beyond[0]).tolist() == [1, 4, 5]
    assert np.flatnonzero(made.recent(2).event_days_and_beyond[0]).tolist() == [0, 3, 4, 6]
