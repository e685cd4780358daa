"""What changed of a series against its own past, by hand; what is too little; and shares of feeds."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from forecast_assets.core.errors import NotReadyError
from forecast_assets.feature_anomalies.changes import WatchedFeatures, series_changes
from forecast_assets.feature_anomalies.detector_training import drawn_series, require_days, train_on_days
from forecast_assets.feature_anomalies.signals import opened_and_closed_signals, signals_of_rows
from forecast_assets.features.specs import DEFAULT_SPECS
from tests.support.snapshot_cases import LAST, snapshot, times

WATCHED = WatchedFeatures.of(DEFAULT_SPECS)
DAYS = [LAST - timedelta(days=back) for back in range(21, 0, -1)]


def test_a_feature_within_its_range_is_no_distance_and_stock_may_run_out_and_be_refilled() -> None:
    earlier = [snapshot(day) for day in DAYS]
    at = WATCHED.names.index("on_hand_units")
    for factor, is_far in ((0.0, False), (1.0, False), (20.0, True)):
        now = times("on_hand_units", factor, ["P03"])(earlier[-1])
        found = series_changes(now, earlier, WATCHED)
        is_hit = (found.series["sku_id"] == "P03").to_numpy()
        assert (found.distance[is_hit, at] > 5).all() == is_far
        assert np.all(found.distance[~is_hit, at] == 0)
    assert not np.isin(["age_days", "days_since_sale_days"], WATCHED.names).any(), "they grow day by day"


def test_a_feed_that_stands_still_surprises_where_it_used_to_move() -> None:
    frozen = snapshot(DAYS[13])
    earlier = [snapshot(day) for day in DAYS[:14]] + [frozen] * 7
    found = series_changes(frozen, earlier, WATCHED)
    stock = WATCHED.feed_names.index("inventory_positions")
    assert (found.unchanged[:, stock] > 10).all()
    moving = series_changes(snapshot(LAST), [snapshot(day) for day in DAYS], WATCHED)
    assert np.median(moving.unchanged[:, stock]) == 0
    still = series_changes(frozen, [frozen] * 21, WATCHED)
    assert (still.unchanged[:, stock] == 0).all(), "what never moved surprises nobody"


def test_series_that_are_new_are_not_judged_and_what_no_feed_says_is_not_known() -> None:
    earlier = [snapshot(day) for day in DAYS]
    short = [each.filter(pl.col("sku_id") != "P01") for each in earlier[:-6]] + earlier[-6:]
    found = series_changes(snapshot(LAST), short, WATCHED)
    is_new = (found.series["sku_id"] == "P01").to_numpy()
    assert not found.is_judged[is_new].any()
    assert found.is_judged[~is_new].all()
    columns = [at for at, name in enumerate(WATCHED.columns) if name.startswith("stock_status")]
    assert np.isnan(found.matrix()[:, columns]).all()


def test_too_few_days_and_rows_are_told_with_what_to_do() -> None:
    with pytest.raises(
        NotReadyError, match="needs 8 snapshots with others before them to learn from; there is 1"
    ) as told:
        require_days(1)
    assert "anomalies snapshot" in str(told.value)
    few = {day: np.zeros((2, len(WATCHED.columns))) for day in DAYS[:8]}
    with pytest.raises(NotReadyError, match="needs 100 rows of series with a past of their own; 8 days have 16"):
        train_on_days(few, WATCHED, name="a")


def test_a_sample_of_series_is_the_same_in_any_order() -> None:
    series = snapshot(LAST).select("store_id", "sku_id")
    drawn = drawn_series(series, 5, 1)
    assert drawn.height == 5
    assert drawn_series(series.reverse(), 5, 1).equals(drawn)
    assert drawn_series(series, 99).height == series.height


def rows_of(share: float, store: str) -> pl.DataFrame:
    """A hundred series in each of two stores, of which a share of one is anomalous by prices."""
    stores = ["N"] * 100 + ["S"] * 100
    told = [store == each and at % 100 < share * 100 for at, each in enumerate(stores)]
    return pl.DataFrame({
        "store_id": stores, "verdict": ["anomalous" if each else "as usual" for each in told],
        "feed": ["prices" if each else None for each in told],
        "inputs": ["price_ratio;promotion_28d_share" if each else None for each in told],
    })  # fmt: skip


@pytest.mark.parametrize(
    ("share", "signal"),
    [(0.04, None), (0.09, None), (0.12, "series/prices/anomaly_share/anomalous/all")],
)
def test_only_a_share_beyond_chance_is_a_signal(share: float, signal: str | None) -> None:
    found = signals_of_rows(rows_of(share, "S"), LAST)
    assert [each.signal for each in found] == ([signal] if signal else [])


def test_one_store_of_many_is_told_by_name() -> None:
    rows = pl.concat([rows_of(0.3, "S"), *(rows_of(0.0, "S").with_columns(store_id=pl.lit(f"T{n}")) for n in range(3))])
    (found,) = signals_of_rows(rows, LAST)
    assert found.signal == "series/prices/anomaly_share/anomalous/stores"
    assert found.evidence == f"30% of series are unlike their past by prices in S on {LAST}: price_ratio"
    before = ["feed/prices/rows/broken/all", "series/sales/x/anomalous/all"]
    opened, closed = opened_and_closed_signals([found], before, ["prices", "sales"])
    assert (opened, closed) == ((found,), ("series/sales/x/anomalous/all",)), "signals of drift are left alone"
    assert opened_and_closed_signals([found], [found.signal], ["prices"]) == ((), ())


def test_what_is_told_of_a_feed_is_not_over_when_the_feed_is_not_there() -> None:
    told = ["series/prices/anomaly_share/anomalous/all", "series/sales/anomaly_share/anomalous/all"]
    watched = WatchedFeatures(("price_ratio", "sales_mean_7d_units"), ("prices", "sales"))
    rows = snapshot(LAST).with_columns(price_ratio=pl.lit(None, pl.Float64))
    assert watched.known_feeds(rows) == ("sales",)
    assert watched.known_feeds(snapshot(LAST)) == ("prices", "sales")
    assert opened_and_closed_signals([], told, watched.known_feeds(rows)) == ((), (told[1],))
