"""What the words of an explanation tell besides its numbers: plan, events, class, what the levels above say.

What belongs here: facts of a run, lined up with its rows. What does not: the words, the drivers, or reading stores.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import polars as pl
import pyarrow as pa

from forecast_assets.contracts import FEEDS
from forecast_assets.core.rows import are_same_rows
from forecast_assets.explanations.forecast_wording import FACT_TYPES
from forecast_assets.explanations.risk_wording import STOCK_FACTS
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.history.events import events_of_stores

# Facts by row, with their types; what is not known is null, and its phrase is left out.
ROW_FACTS: Final = {
    **FACT_TYPES,
    **dict.fromkeys(STOCK_FACTS, pl.Float64),
    "has_plan": pl.Boolean,
    "has_product_place": pl.Boolean,
    "has_store_place": pl.Boolean,
}
_DAY_KEY: Final = [*SERIES_KEY, "target_date"]
_STEP_KEY: Final = [*SERIES_KEY, "step"]


@dataclass(frozen=True)
class ExplanationContext:
    """Facts of a run, each optional.

    Attributes:
        feeds: Feeds that the snapshot has.
        series: `store_id, sku_id`, distinct, and any of `ROW_FACTS` that belong to a series.
        plan: `store_id, sku_id, target_date, planned_price_ratio, is_promotion_planned` of the days that are planned;
            None if nobody looked.
        events: `store_id, target_date, event_names, payday_names`, one row per store and day that has events.
        covariates: `store_id, target_date, covariate_names`, one row per store and day with a covariate far from usual.
        gaps: `store_id, sku_id, step, node_name, node_gap_share`: see `largest_gaps`.
        overrides: `store_id, sku_id, step, override_words`, one row per row that an override or rule is about.
        longest_days: Days since the first row of the series of the whole run known longest, where `series` are a few of
            them; None where they are all.
    """

    feeds: frozenset[str] = field(default_factory=lambda: frozenset(FEEDS))
    series: pl.DataFrame | None = None
    plan: pl.DataFrame | None = None
    events: pl.DataFrame | None = None
    covariates: pl.DataFrame | None = None
    gaps: pl.DataFrame | None = None
    overrides: pl.DataFrame | None = None
    longest_days: float | None = None

    def row_facts(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return `ROW_FACTS` for rows of a run, in their order.

        Args:
            rows: `store_id, sku_id, step, target_date` and any of `ROW_FACTS`.
        """
        plan = None if self.plan is None else self.plan.with_columns(has_plan=pl.lit(value=True))
        parts = (
            (self.series, SERIES_KEY),
            (plan, _DAY_KEY),
            (self.events, _EVENT_KEY),
            (self.covariates, _EVENT_KEY),
            (self.gaps, _STEP_KEY),
            (self.overrides, _STEP_KEY),
        )
        told = rows
        for part, key in parts:
            if part is not None:
                told = _with_facts(told, part, key)
        if plan is not None:
            told = told.with_columns(pl.col("has_plan").fill_null(value=False))
        known, nothing = frozenset(told.columns), pa.nulls(rows.height)
        return pl.DataFrame(
            [
                told[name].cast(dtype) if name in known else pl.Series(name, nothing, dtype=dtype)
                for name, dtype in ROW_FACTS.items()
            ]
        )

    @property
    def longest_history_days(self) -> float | None:
        """Days since the first row of the series known longest."""
        if self.longest_days is not None or self.series is None or "age_days" not in self.series.columns:
            return self.longest_days
        return self.series.select(pl.col("age_days").max().cast(pl.Float64)).item()  # type: ignore[no-any-return]


_EVENT_KEY: Final = ["store_id", "target_date"]


def _with_facts(rows: pl.DataFrame, part: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Return the rows with those of a part's `ROW_FACTS` that they lack."""
    wanted = [name for name in part.columns if name in ROW_FACTS and name not in rows.columns]
    # What was made of these very rows lies beside them already: comparing is a tenth of joining.
    if are_same_rows(rows, part, key):
        return rows.hstack([part[name] for name in wanted])
    return rows.join(part.select(*key, *wanted), on=key, how="left", maintain_order="left", validate="m:1")


def events_by_store(
    events: pl.DataFrame, stores: pl.Series, memberships: pl.DataFrame | None, recurring: Collection[str] = ()
) -> pl.DataFrame:
    """Name the events of each store and day.

    Args:
        events: Resolved `events`.
        stores: Stores of the run.
        memberships: `store_id, node_id`: the nodes that a store belongs to; None without a store hierarchy.
        recurring: Names of the events whose effect is told as that of paydays.

    Returns:
        `store_id, target_date, event_names, payday_names`, the names of a day joined with `and`, those that recur and
        the others each by themselves, null where there is none; sorted by store and day.
    """
    distinct = events_of_stores(events, stores, memberships)
    is_payday = pl.col("event_name").is_in(list(recurring))
    return distinct.group_by(_EVENT_KEY, maintain_order=True).agg(
        event_names=_joined(pl.col("event_name").filter(~is_payday)),
        payday_names=_joined(pl.col("event_name").filter(is_payday)),
    )


def _joined(names: pl.Expr) -> pl.Expr:
    return pl.when(names.len() > 0).then(names.str.join(" and "))
