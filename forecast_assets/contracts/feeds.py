"""Feeds: what sources say.

What belongs here: the contract of each feed. What does not: how a source's format is read.
"""

from typing import Final

import polars as pl

from forecast_assets.contracts.columns import event_date_column, known_at_column, sku_column, store_column
from forecast_assets.contracts.schema import Column, Contract, Enrichment

# Beyond this a quantity of one SKU, store and day is an error of the source; sums of many still fit DECIMAL(18, 6).
LARGEST_UNITS: Final = 1e9

SALES = Contract(
    name="sales",
    grain="one SKU, one store, one day, as known at one moment",
    description="Units sold per day. Days without a sale are rows with zero, so that a missing row is a gap.",
    columns=(
        sku_column(),
        store_column(),
        event_date_column("day of the sales"),
        known_at_column(),
        Column("sales_units", pl.Float64, "units sold that day", at_least=0, at_most=LARGEST_UNITS),
    ),
    key=("sku_id", "store_id", "event_date", "known_at"),
    promises=("Each series has a row for every day between its first and its last.",),
    limits=("Sales are not demand: on days without stock they are a lower bound of it.",),
)

STOCK_STATUS = Contract(
    name="stock_status",
    grain="one SKU, one store, one day, as known at one moment",
    description="Hours out of stock within trading hours, for sources that do not know quantities on hand.",
    columns=(
        sku_column(),
        store_column(),
        event_date_column("day of the status"),
        known_at_column(),
        Column("out_of_stock_hours", pl.Float64, "trading hours without stock", at_least=0, at_most=24),
        Column("trading_hours", pl.Float64, "trading hours of the day", at_least=1, at_most=24),
        Column(
            "out_of_stock_demand_share",
            pl.Float64,
            "share of a usual day's sales that falls into the hours without stock; null where no hours of sales are "
            "known",
            nullable=True,
            at_least=0,
            at_most=1,
        ),
    ),
    key=("sku_id", "store_id", "event_date", "known_at"),
    enrichments=(Enrichment(("out_of_stock_demand_share",), given=("out_of_stock_hours", "trading_hours")),),
)

INVENTORY_POSITIONS = Contract(
    name="inventory_positions",
    grain="one SKU, one store, one day (at its end), as known at one moment",
    description="Stock on hand and the declared replenishment terms.",
    columns=(
        sku_column(),
        store_column(),
        event_date_column("day at whose end the position was taken"),
        known_at_column(),
        Column("on_hand_units", pl.Float64, "units on hand at the end of the day", at_least=0, at_most=LARGEST_UNITS),
        Column("lead_time_days", pl.Float64, "mean days from order to arrival", at_least=0),
        Column("lead_time_deviation_days", pl.Float64, "standard deviation of the lead time", at_least=0),
        Column("review_period_days", pl.Int32, "days between replenishment reviews", nullable=True, at_least=1),
        Column(
            "reorder_point_units",
            pl.Float64,
            "s of the (s, S) policy: order when on hand plus on order is at or below; null where none is said",
            nullable=True,
            at_least=0,
            at_most=LARGEST_UNITS,
        ),
        Column(
            "order_up_to_units",
            pl.Float64,
            "S of the (s, S) policy",
            nullable=True,
            at_least=0,
            at_most=LARGEST_UNITS,
        ),
    ),
    key=("sku_id", "store_id", "event_date", "known_at"),
    enrichments=(Enrichment(("review_period_days", "reorder_point_units", "order_up_to_units")),),
)

# An order that has not come for so long will not; a run reads no further back, so that its cost stays bounded.
OPEN_ORDER_DAYS: Final = 364

PURCHASE_ORDERS = Contract(
    name="purchase_orders",
    grain="one order, as known at one moment",
    description="Replenishment orders; the receipt is a later row of the same order with `received_date`.",
    columns=(
        Column("order_id", pl.String, "order, as in the source"),
        sku_column(),
        store_column(),
        event_date_column("day at whose end the order was placed"),
        known_at_column(),
        Column("ordered_units", pl.Float64, "units ordered", at_least=0, at_most=LARGEST_UNITS),
        Column(
            "received_date",
            pl.Date,
            "day whose opening stock includes the order; null while open",
            nullable=True,
        ),
    ),
    key=("order_id", "known_at"),
    limits=(f"An order that is older than {OPEN_ORDER_DAYS} days is not read: it counts as lost, not as on its way.",),
)

PRICES = Contract(
    name="prices",
    grain="one SKU, one store, one day, as known at one moment",
    description="Prices and promotions: the past, and the plan ahead (rows known before their day).",
    columns=(
        sku_column(),
        store_column(),
        event_date_column("day of the price"),
        known_at_column(),
        Column(
            "unit_price",
            pl.Float64,
            "price per unit; null where the source has ratios only",
            nullable=True,
            at_least=0,
        ),
        Column("price_ratio", pl.Float64, "price over list price (1 = list price)", at_least=0, at_most=10),
        Column("is_promotion", pl.Boolean, "whether a promotion is on"),
    ),
    key=("sku_id", "store_id", "event_date", "known_at"),
    enrichments=(Enrichment(("unit_price",)),),
)

# What limits an event to no store in particular.
ALL_STORES: Final = "all"
# Events that come so often that their effect can be seen in the record, such as paydays, and all others.
RECURRING: Final = "recurring"
RARE: Final = "rare"

EVENTS = Contract(
    name="events",
    grain="one named event on one day, for all stores or some",
    description="Calendar events: holidays, festivals, sports, paydays.",
    columns=(
        Column("event_name", pl.String, "name of the event"),
        Column("store_node", pl.String, "`all`, or the store or the node of a store level that it is limited to"),
        event_date_column("day of the event"),
        known_at_column(),
        Column(
            "event_kind",
            pl.String,
            "`recurring` if it comes so often that its effect shows in its own days, as that of a payday, else `rare`; "
            "null where the source does not say, so that its days are counted",
            nullable=True,
            one_of=(RECURRING, RARE),
        ),
    ),
    key=("event_name", "store_node", "event_date", "known_at"),
    enrichments=(Enrichment(("event_kind",)),),
)

COVARIATES = Contract(
    name="covariates",
    grain="one covariate, one store or node, one day, as known at one moment",
    description="Numeric drivers of demand, such as weather, footfall or tourism: the past, and plans or forecasts of "
    "days ahead (rows known before their day). What is only known afterwards is never read ahead.",
    columns=(
        Column("covariate", pl.String, "name of the covariate, with its unit if it has one"),
        Column("store_node", pl.String, "`all`, or the store or the node of a store level that it is said of"),
        event_date_column("day of the value"),
        known_at_column(),
        Column("value", pl.Float64, "value of that day; any unit, the same on all days"),
    ),
    key=("covariate", "store_node", "event_date", "known_at"),
    limits=("A value that is corrected later counts from then on: models learn from what was known at the time.",),
)

STORE_CLOSURES = Contract(
    name="store_closures",
    grain="one store, one day, as known at one moment",
    description="Days on which a store is closed: the past, and the plan ahead. What is said here beats what silence "
    "would mean; a later row with false takes it back.",
    columns=(
        store_column(),
        event_date_column("day on which the store is closed"),
        known_at_column(),
        Column("is_closed", pl.Boolean, "whether the store is closed that day"),
    ),
    key=("store_id", "event_date", "known_at"),
)

QUARANTINED_ROWS = Contract(
    name="quarantined_rows",
    grain="one row of a delivery that was set aside",
    description="Rows that break a rule, set aside so that the others of their delivery count. Until the source sends "
    "them right, or somebody releases them, what they speak of is not known.",
    columns=(
        Column("of_feed", pl.String, "feed that the row belongs to"),
        Column("delivery", pl.String, "file, table or query that it came in"),
        Column("row_number", pl.Int64, "its row there, as people count them", at_least=1),
        Column("sku_id", pl.String, "its stock-keeping unit; null where there is none to read", nullable=True),
        Column("store_id", pl.String, "its store; null where there is none to read", nullable=True),
        event_date_column("its day; of a row without a readable one the last day of its delivery"),
        known_at_column(),
        Column("has_day", pl.Boolean, "whether its day could be read"),
        Column("reasons", pl.String, "what is wrong with it"),
        Column("content", pl.String, "the row as it was read, a JSON object by column"),
        Column("tolerated_rows", pl.Int64, "a run of the day goes on with so many such rows", at_least=0),
        Column("tolerated_percent", pl.Float64, "or with such a share of the day's rows", at_least=0, at_most=100),
    ),
    key=("of_feed", "delivery", "row_number", "event_date", "known_at"),
)

PRODUCT_HIERARCHY = Contract(
    name="product_hierarchy",
    grain="one SKU and one level above it",
    description="Which node of each product level a SKU belongs to; level 1 is the widest below the total.",
    columns=(
        sku_column(),
        event_date_column("day from which the membership holds"),
        known_at_column(),
        Column("depth", pl.Int32, "1 for the widest level, rising towards the SKU", at_least=1),
        Column("level_name", pl.String, "name of the level, for example `category`"),
        Column("node_id", pl.String, "node of that level"),
    ),
    key=("sku_id", "depth", "event_date", "known_at"),
)

STORE_HIERARCHY = Contract(
    name="store_hierarchy",
    grain="one store and one level above it",
    description="Which node of each store level a store belongs to; level 1 is the widest below the total.",
    columns=(
        store_column(),
        event_date_column("day from which the membership holds"),
        known_at_column(),
        Column("depth", pl.Int32, "1 for the widest level, rising towards the store", at_least=1),
        Column("level_name", pl.String, "name of the level, for example `region`"),
        Column("node_id", pl.String, "node of that level"),
    ),
    key=("store_id", "depth", "event_date", "known_at"),
)

FEEDS: Final = {
    contract.name: contract
    for contract in (
        SALES,
        STOCK_STATUS,
        INVENTORY_POSITIONS,
        PURCHASE_ORDERS,
        PRICES,
        EVENTS,
        COVARIATES,
        STORE_CLOSURES,
        QUARANTINED_ROWS,
        PRODUCT_HIERARCHY,
        STORE_HIERARCHY,
    )
}
