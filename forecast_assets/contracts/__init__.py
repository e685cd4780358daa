"""One schema of record per frame: columns, types, units, bounds, keys, and what is promised and not promised.

What belongs here: what a frame must be. What does not: how it is made, where it is stored, who reads it.

From a contract follow the Pandera schema that every frame passes before it is written, the fingerprint in the
manifest, the columns that the Dagster UI shows and the tables in the documentation.
"""

from forecast_assets.contracts.columns import (
    DEMAND_CLASSES,
    NODE_KEY,
    NODE_STEP_KEY,
    QUALITY_FLAGS,
    QUANTILE_COLUMNS,
    QUANTILES,
    RISK_BANDS,
    RISK_METHODS,
    SERIES_STEP_KEY,
)
from forecast_assets.contracts.feeds import (
    ALL_STORES,
    EVENTS,
    FEEDS,
    INVENTORY_POSITIONS,
    LARGEST_UNITS,
    OPEN_ORDER_DAYS,
    PRICES,
    PRODUCT_HIERARCHY,
    PURCHASE_ORDERS,
    QUARANTINED_ROWS,
    SALES,
    STOCK_STATUS,
    STORE_CLOSURES,
    STORE_HIERARCHY,
)
from forecast_assets.contracts.products import (
    AGGREGATE_FORECASTS,
    BASE_FORECASTS,
    BASE_NODE_FORECASTS,
    COMPONENTS,
    EXTERNAL_FORECASTS,
    FORECAST_EXPLANATIONS,
    FORECASTS,
    PRODUCTS,
    PUBLISHED,
    RECONCILED_FORECASTS,
    STOCKOUT_RISKS,
    absent_columns,
)
from forecast_assets.contracts.reports import (
    ACCURACY_SEGMENTS,
    BACKTEST_REPORTS,
    BACKTESTED_METHOD,
    EVALUATION_REPORTS,
    FORECAST_ACCURACY,
)
from forecast_assets.contracts.schema import SQUARED_UNITS, TIMESTAMP, Column, Contract

__all__ = [
    "ACCURACY_SEGMENTS",
    "AGGREGATE_FORECASTS",
    "ALL_STORES",
    "BACKTESTED_METHOD",
    "BACKTEST_REPORTS",
    "BASE_FORECASTS",
    "BASE_NODE_FORECASTS",
    "COMPONENTS",
    "DEMAND_CLASSES",
    "EVALUATION_REPORTS",
    "EVENTS",
    "EXTERNAL_FORECASTS",
    "FEEDS",
    "FORECASTS",
    "FORECAST_ACCURACY",
    "FORECAST_EXPLANATIONS",
    "INVENTORY_POSITIONS",
    "LARGEST_UNITS",
    "NODE_KEY",
    "NODE_STEP_KEY",
    "OPEN_ORDER_DAYS",
    "PRICES",
    "PRODUCTS",
    "PRODUCT_HIERARCHY",
    "PUBLISHED",
    "PURCHASE_ORDERS",
    "QUALITY_FLAGS",
    "QUANTILES",
    "QUANTILE_COLUMNS",
    "QUARANTINED_ROWS",
    "RECONCILED_FORECASTS",
    "RISK_BANDS",
    "RISK_METHODS",
    "SALES",
    "SERIES_STEP_KEY",
    "SQUARED_UNITS",
    "STOCKOUT_RISKS",
    "STOCK_STATUS",
    "STORE_CLOSURES",
    "STORE_HIERARCHY",
    "TIMESTAMP",
    "Column",
    "Contract",
    "absent_columns",
]
