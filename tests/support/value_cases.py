"""Measured days with what overrides were worth on them: rows as they would be summed, recorded by the real code."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from forecast_assets.contracts import FORECAST_ACCURACY, FORECAST_VALUE_ADDED, VALUE_STAGES
from resources.ledger.entries.measure import Measurement
from resources.stores.home import Stores
from tests.support import products

DAY = date(2025, 6, 3)


def value_row(
    override: str = "o3-1",
    *,
    found: float = 10,
    published: float = 12,
    sales: float = 11,
    rows: int = 1,
    day: date = DAY,
    ahead: int = 2,
    **said: Any,
) -> dict[str, Any]:
    """Rows of one override on one day, all alike: what was found and published, and what was sold."""
    moved = published - found
    size = "none" if not moved else "small" if abs(moved) < found / 10 else "medium"
    planners = {"planner": "ana", "reason": "event", "is_rule": False, "demand_class": "smooth"}
    run = {"cadence": "daily", "prediction_date": day - timedelta(days=ahead), "model_version": "stat-1", "revision": 0}
    stages = dict.fromkeys(VALUE_STAGES, found) | {"override": published}
    errors = {stage: (units - sales) * rows for stage, units in stages.items()}
    figures = {
        "sales_units": sales * rows,
        **{f"{stage}_absolute_error_units": abs(error) for stage, error in errors.items()},
        **{f"{stage}_error_units": error for stage, error in errors.items()},
        "moved_squared_units2": moved**2 * rows,
        "moved_times_needed_units2": moved * (sales - found) * rows,
    }
    return {
        **run, **planners, "override_id": override, "forecast_horizon": 28, "step": ahead, "target_date": day,
        "direction": "up" if moved > 0 else "down" if moved < 0 else "none", "size": size,
        "rows": rows, "rows_without_actual": 0, "rows_left_out": 0,
        **{name: Decimal(str(value)) for name, value in figures.items()}, **said,
    }  # fmt: skip


def value_frame(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=FORECAST_VALUE_ADDED.schema).sort(FORECAST_VALUE_ADDED.key)


def valued(
    stores: Stores, rows: Sequence[dict[str, Any]], day: date = DAY, cadence: str = "daily", checks: Sequence[str] = ()
) -> Measurement:
    """Record a measured day with what overrides were worth on it; without rows a day without overrides."""

    def write(contract: Any, frame: pl.DataFrame) -> Any:
        return stores.predictions.write(
            contract, frame, key=f"{cadence}/{day}", folder=f"accuracy/{day}", inputs={},
            facts={"known_until": "2025-07-05T12:00:00+00:00", "runs": 1},
        )  # fmt: skip

    value = write(FORECAST_VALUE_ADDED, value_frame(rows)) if rows else None
    made = write(FORECAST_ACCURACY, products.make_accuracy().sort(FORECAST_ACCURACY.key))
    newest = stores.ledger.state().newest_measurement(cadence, day)
    since = 0 if newest is None else newest.sequence
    recorded, _ = stores.predictions.record_measurement(
        cadence, day, made, since=since, required_checks=(), value=value, value_checks=checks
    )
    return recorded
