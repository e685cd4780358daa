"""A calibration report of a small retailer, as training writes it."""

import numpy as np
import polars as pl

from forecast_assets.contracts import CALIBRATION, QUANTILES
from forecast_assets.metrics.calibration import JudgedQuantiles, added_up, calibration_rows, counted


def calibration_frame() -> pl.DataFrame:
    """Right forecasts of four series, and of their total, for two weeks and for the first of them together."""
    random = np.random.default_rng(7)
    return CALIBRATION.conform(
        calibration_rows(
            added_up(
                counted(_judged(random, level, days, demand_class))
                for level, days, demand_class in (
                    ("sku x store", 1, "smooth"),
                    ("total x total", 1, None),
                    ("total x total", 7, None),
                )
            )
        )
    )


def _judged(random: np.random.Generator, level: str, days: int, demand_class: str | None) -> JudgedQuantiles:
    shape = (4 if demand_class else 1, 14 if days == 1 else 1)
    every = np.ones(shape[1], dtype=np.bool_)
    return JudgedQuantiles(
        level=level, days=days, demand=random.uniform(0.0, 10.0 * days, shape), mean=np.full(shape, 5.0 * days),
        quantiles=np.broadcast_to(10.0 * days * np.array(QUANTILES), (*shape, 13)), is_new=every, is_new_in_band=every,
        weight=np.ones(shape[0]), scale=np.ones(shape[0]),
        demand_class=None if demand_class is None else np.full(shape[0], demand_class),
    )  # fmt: skip
