"""Each feed has its own moment of knowledge, and the run that of the slowest feed that it waits for."""

from datetime import UTC, date, datetime, timedelta

import pytest

from resources.ledger.entries.ingest import BatchRecord
from resources.stores.moments import Moments, moments_of

DAY = date(2025, 6, 30)
DAY_END = datetime(2025, 7, 1, tzinfo=UTC)
Lag = tuple[str, str, float]


def after(hours: float) -> datetime:
    return DAY_END + timedelta(hours=hours)


def batch(feed: str, source: str, lag: float) -> BatchRecord:
    return BatchRecord("x", feed, source, 0.9, lag, "x", 1, DAY, DAY, DAY_END)


@pytest.mark.parametrize(
    ("lags", "run", "by_feed"),
    [
        ([], 0, {}),
        ([("sales", "pos", 6)], 6, {}),
        # A slower source of a feed corrects it later; a quicker one is waited for no longer.
        ([("sales", "pos", 6), ("sales", "backoffice", 30)], 6, {}),
        # A slow feed lets the quick one know no more.
        ([("sales", "pos", 6), ("inventory_positions", "wms", 30)], 30, {"sales": 6}),
        ([("sales", "pos", 6), ("stock_status", "pos", 6), ("inventory_positions", "wms", 8)], 8,
         {"sales": 6, "stock_status": 6}),
        # What no run waits for counts by its own lag, and never beyond the run.
        ([("sales", "pos", 6), ("purchase_orders", "erp", 2)], 6, {"purchase_orders": 2}),
        ([("sales", "pos", 6), ("purchase_orders", "erp", 30), ("product_hierarchy", "erp", 48)], 6, {}),
        # Of plans counts what was decided by the time of the run.
        ([("sales", "pos", 6), ("prices", "erp", 0), ("events", "erp", 40), ("store_closures", "erp", 1)], 6, {}),
    ],
)  # fmt: skip
def test_a_feed_waits_for_itself_and_the_run_for_the_slowest_that_it_needs(
    lags: list[Lag], run: float, by_feed: dict[str, float]
) -> None:
    found = moments_of(DAY, [batch(*lag) for lag in lags])
    assert found == Moments(after(run), {feed: after(lag) for feed, lag in by_feed.items()})


def test_a_feed_without_a_moment_of_its_own_has_that_of_the_run() -> None:
    moments = Moments(after(30), {"sales": after(6)})
    assert (moments.of("sales"), moments.of("prices")) == (after(6), after(30))
