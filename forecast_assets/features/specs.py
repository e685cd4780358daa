"""Feature specs: features as data, so that an old feature version can be compiled and run again.

What belongs here: what a feature is, the default set, and the version that follows from a set.
What does not: how a spec becomes Polars (compiler) or where snapshots are stored.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

Aggregate = Literal[
    "count", "mean", "sum", "max", "share_positive", "interval", "variation", "latest", "days_since_first",
    "days_since_last_positive",
]  # fmt: skip

FORMAT: Final = 1


@dataclass(frozen=True)
class FeatureSpec:
    """One feature of a series at a cutoff.

    Attributes:
        name: Column name, with its unit.
        feed: Feed it is computed from.
        column: Column of that feed.
        aggregate: How a window becomes a number: see the compiler.
        window_days: Days up to and including the cutoff; None for all that is known, which reads the whole history:
            specs of the first release had it.
    """

    name: str
    feed: str
    column: str
    aggregate: Aggregate
    window_days: int | None = None


# Nothing looks back further, so that a snapshot reads as much after ten years as after two: an age stays at this many
# days, and a series without a row in as many is no longer in the snapshot.
LONGEST_DAYS: Final = 728
# A position or price that has not been heard of for so long is not known any more.
LATEST_DAYS: Final = 91

DEFAULT_SPECS: Final = (
    FeatureSpec("age_days", "sales", "sales_units", "days_since_first", LONGEST_DAYS),
    FeatureSpec("days_since_sale_days", "sales", "sales_units", "days_since_last_positive", LONGEST_DAYS),
    FeatureSpec("sales_mean_7d_units", "sales", "sales_units", "mean", 7),
    FeatureSpec("sales_mean_28d_units", "sales", "sales_units", "mean", 28),
    FeatureSpec("sales_mean_91d_units", "sales", "sales_units", "mean", 91),
    FeatureSpec("sales_max_91d_units", "sales", "sales_units", "max", 91),
    FeatureSpec("selling_days_28d_share", "sales", "sales_units", "share_positive", 28),
    FeatureSpec("demand_interval_364d_days", "sales", "sales_units", "interval", 364),
    FeatureSpec("demand_variation_364d", "sales", "sales_units", "variation", 364),
    FeatureSpec("days_out_of_stock_28d_share", "stock_status", "out_of_stock_hours", "share_positive", 28),
    FeatureSpec("out_of_stock_28d_hours", "stock_status", "out_of_stock_hours", "sum", 28),
    FeatureSpec("on_hand_units", "inventory_positions", "on_hand_units", "latest", LATEST_DAYS),
    FeatureSpec("lead_time_days", "inventory_positions", "lead_time_days", "latest", LATEST_DAYS),
    FeatureSpec("lead_time_deviation_days", "inventory_positions", "lead_time_deviation_days", "latest", LATEST_DAYS),
    FeatureSpec("review_period_days", "inventory_positions", "review_period_days", "latest", LATEST_DAYS),
    FeatureSpec("reorder_point_units", "inventory_positions", "reorder_point_units", "latest", LATEST_DAYS),
    FeatureSpec("order_up_to_units", "inventory_positions", "order_up_to_units", "latest", LATEST_DAYS),
    FeatureSpec("price_ratio", "prices", "price_ratio", "latest", LATEST_DAYS),
    FeatureSpec("price_ratio_mean_28d", "prices", "price_ratio", "mean", 28),
    FeatureSpec("promotion_28d_share", "prices", "is_promotion", "share_positive", 28),
)


def days_needed(specs: Sequence[FeatureSpec]) -> dict[str, int | None]:
    """Return how many days up to the cutoff each feed has to be read for; always of sales, which name the series.

    One window without a bound makes all feeds be read whole, as they were when there were such windows: counts are 0
    for a series with older rows only, and null for one without any.

    Example:
        >>> days_needed(DEFAULT_SPECS)["prices"]
        91
    """
    windows = {"sales": [1], **{spec.feed: [] for spec in specs}}
    if any(spec.window_days is None for spec in specs):
        return dict.fromkeys(windows)
    for spec in specs:
        windows[spec.feed].append(spec.window_days or 1)
    return {feed: max(days) for feed, days in windows.items()}


def specs_to_data(specs: Sequence[FeatureSpec]) -> list[dict[str, Any]]:
    """Return specs in the JSON form that manifests keep."""
    return [asdict(spec) for spec in specs]


def specs_from_data(data: Sequence[Mapping[str, Any]]) -> tuple[FeatureSpec, ...]:
    """Read the JSON form back."""
    return tuple(FeatureSpec(**item) for item in data)


def feature_version(specs: Sequence[FeatureSpec]) -> str:
    """Return the version that follows from the specs: 12 hexadecimal digits of their SHA-256.

    Example:
        >>> feature_version(DEFAULT_SPECS) == feature_version(specs_from_data(specs_to_data(DEFAULT_SPECS)))
        True
    """
    encoded = json.dumps([FORMAT, specs_to_data(specs)], sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(encoded).hexdigest()[:12]
