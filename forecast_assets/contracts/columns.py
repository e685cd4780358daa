"""Columns, keys and words that several contracts share.

What belongs here: what means the same wherever it stands. What does not: a contract.
"""

from typing import Final

import polars as pl

from forecast_assets.contracts.schema import TIMESTAMP, Column
from forecast_assets.core.quantities import UNITS

QUANTILES: Final = (0.005, 0.025, 0.05, 0.1, 0.165, 0.25, 0.5, 0.75, 0.835, 0.9, 0.95, 0.975, 0.995)
QUANTILE_COLUMNS: Final = tuple(f"q{round(level * 1000):03d}_units" for level in QUANTILES)
DEMAND_CLASSES: Final = ("smooth", "erratic", "intermittent", "lumpy", "seasonal", "new", "dead", "ended")
RISK_BANDS: Final = ("low", "moderate", "high", "critical", "unknown")
RISK_METHODS: Final = ("inventory_position", "stock_status", "none")

# What may be said of a forecast beside its number; several are joined with `;` in this order.
QUALITY_FLAGS: Final = (
    "fallback", "out_of_distribution", "new_series", "short_history", "mostly_out_of_stock", "no_plan",
    "quarantined_rows",
)  # fmt: skip

SERIES_STEP_KEY: Final = (
    "cadence", "prediction_date", "model_version", "forecast_horizon", "revision", "store_id", "sku_id", "step",
)  # fmt: skip
NODE_KEY: Final = ("product_level", "product_node", "store_level", "store_node")
NODE_STEP_KEY: Final = (
    "cadence", "prediction_date", "model_version", "forecast_horizon", "revision", *NODE_KEY, "step",
)  # fmt: skip


def sku_column() -> Column:
    """Return the SKU of a row."""
    return Column("sku_id", pl.String, "stock-keeping unit, as in the source")


def store_column() -> Column:
    """Return the store of a row."""
    return Column("store_id", pl.String, "store or fulfilment node, as in the source")


def known_at_column() -> Column:
    """Return when a row became known."""
    return Column("known_at", TIMESTAMP, "when this became known; a later row for the same key is a restatement")


def event_date_column(meaning: str) -> Column:
    """Return the day that a row is of."""
    return Column("event_date", pl.Date, meaning)


def run_columns() -> tuple[Column, ...]:
    """Return the columns that name the run of a row."""
    return (
        Column("cadence", pl.String, "rhythm of the run", one_of=("daily", "weekly")),
        Column("prediction_date", pl.Date, "last observed day; step 1 is the next"),
        Column("model_version", pl.String, "the model version that the reader names"),
        Column("forecast_horizon", pl.Int32, "horizon of the run in days", at_least=1),
        Column("revision", pl.Int32, "0, or the number of the correction", at_least=0),
    )


def series_columns() -> tuple[Column, ...]:
    """Return the columns that name run and series of a row."""
    return (*run_columns(), sku_column(), store_column())


def step_columns() -> tuple[Column, ...]:
    """Return the columns that name the day ahead of a row."""
    return (
        Column("step", pl.Int32, "days after the prediction date, from 1", at_least=1),
        Column("target_date", pl.Date, "prediction_date + step"),
    )


def units_column(name: str, description: str, *, nullable: bool = False, signed: bool = False) -> Column:
    """Return a quantity in units, not negative unless signed."""
    return Column(name, UNITS, description, nullable=nullable, at_least=None if signed else 0)


def quantile_columns() -> tuple[Column, ...]:
    """Return a column of units per published quantile."""
    return tuple(
        units_column(name, f"demand is at most this with probability {level}")
        for name, level in zip(QUANTILE_COLUMNS, QUANTILES, strict=True)
    )


def sum_quantile_columns() -> tuple[Column, ...]:
    """Return a column of units per published quantile of a sum."""
    return tuple(
        units_column(
            name,
            f"the sum is at most this with probability {level}, by sample paths; null for versions without them",
            nullable=True,
        )
        for name, level in zip(QUANTILE_COLUMNS, QUANTILES, strict=True)
    )


def quality_columns() -> tuple[Column, ...]:
    """Return the columns that say how far to trust a row."""
    return (
        Column(
            "out_of_distribution_score",
            pl.Float64,
            "how unlike the days that the version was trained on its inputs are, 0 to 1: the share of training rows "
            "that were less unusual; null where the version was registered before this was recorded",
            nullable=True,
            at_least=0,
            at_most=1,
        ),
        Column(
            "quality_flags",
            pl.String,
            f"why to look twice, joined with `;`; empty if nothing: {', '.join(f'`{flag}`' for flag in QUALITY_FLAGS)}"
            "; null in runs that were published before this was recorded",
            may_be_empty=True,
        ),
    )
