"""A published run with an override, and three days after which every shelf is empty: some sold out, some not."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from forecast_assets.core.overrides import Override, Scope
from forecast_assets.launch import Runner
from forecast_assets.operations.overrides import record_overrides
from forecast_assets.simulation.simulator import Simulation
from tests.accuracy.test_accuracy_run import arrive
from tests.support.retailers import KEY, copied

JUDGED: Final = replace(KEY, revision=1)
DAYS: Final = [KEY.prediction_date + timedelta(days=ahead) for ahead in (1, 2, 3)]


def emptied(published: Runner, simulation: Simulation, home: Path) -> Runner:
    """Halve all forecasts by an override, and let the last of three days end without stock.

    Sales and positions are those of the simulation's last day again, so that stock goes without being sold; of the
    orders on their way every other one comes on the second day.
    """
    runner = copied(published, home)
    said = Override(Scope.of(), DAYS[0], DAYS[-1], "percent", "-50", "event", "closed for works")
    record_overrides(runner.stores, [said], by="ana")
    runner.publish_overrides(KEY, by="ana", reason="works")
    for day in DAYS:
        arrive(runner, simulation, day)
    batches = {batch.feed: batch for batch in simulation.batches if batch.feed != "sales"}
    positions = batches["inventory_positions"].frame.filter(event_date=KEY.prediction_date)
    gone = positions.unique(["store_id", "sku_id"]).with_columns(
        pl.lit(0.0).alias("on_hand_units"), pl.col("event_date", "known_at") + timedelta(days=3, hours=1)
    )
    orders = batches["purchase_orders"].frame.sort("known_at").unique("order_id", keep="last")
    received = orders.filter(pl.col("received_date").is_null()).sort("order_id").gather_every(2)
    came = received.with_columns(received_date=DAYS[1], known_at=pl.col("known_at") + timedelta(days=20))
    runner.ingest(
        [
            replace(batches["inventory_positions"], frame=gone.with_columns(event_date=DAYS[-1])),
            replace(batches["purchase_orders"], frame=came.select(orders.columns)),
        ]
    )
    return runner
