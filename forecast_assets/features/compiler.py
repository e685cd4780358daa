"""From feature specs to Polars: one definition of each feature for training, scoring and serving.

What belongs here: compiling specs and applying them to resolved observations.
What does not: which observations count (fusion) and where they come from.

Values are summed as whole millionths, since sums of whole numbers do not depend on the order of addition; the same
observations then give the same bytes on any number of threads.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Final

import polars as pl

from forecast_assets.contracts import Column, Contract
from forecast_assets.core.quantities import SCALE
from forecast_assets.features.specs import FeatureSpec

SERIES: Final = ["store_id", "sku_id"]

# Squares of millionths overflow 64 bits after a few large days; thousandths do not.
_COARSE: Final = 1_000


def compile_contract(specs: Sequence[FeatureSpec]) -> Contract:
    """Return the contract of the snapshot that these specs make."""
    identity = (
        Column("prediction_date", pl.Date, "last observed day"),
        Column("store_id", pl.String, "store or fulfilment node, as in the source"),
        Column("sku_id", pl.String, "stock-keeping unit, as in the source"),
    )
    features = tuple(
        Column(spec.name, pl.Float64, f"{spec.aggregate} of {spec.feed}.{spec.column}{_window(spec)}", nullable=True)
        for spec in specs
    )
    return Contract(
        name="feature_snapshots",
        grain="one SKU and one store at one prediction date",
        description="What was known of each series at the cutoff, and nothing that became known later.",
        columns=(*identity, *features),
        key=("prediction_date", "store_id", "sku_id"),
        promises=("Only observations of days up to the prediction date, known by known_until, were read.",),
    )


def _window(spec: FeatureSpec) -> str:
    return f" over {spec.window_days} days" if spec.window_days else ""


def compute_features(
    specs: Sequence[FeatureSpec], observations: Mapping[str, pl.LazyFrame], *, cutoff: date
) -> pl.DataFrame:
    """Compute features of every series that has sales.

    Args:
        specs: What to compute.
        observations: Resolved rows by feed: one per SKU, store and day. A feed that a source does not have may be
            missing; its features are then null.
        cutoff: The last day that may be read.

    Returns:
        One row per series, in the order of ``compile_contract``, sorted by store and SKU.
    """
    snapshot = observations["sales"].filter(pl.col("event_date") <= cutoff).select(SERIES).unique().collect()
    for feed, group in groupby(sorted(specs, key=lambda spec: spec.feed), key=lambda spec: spec.feed):
        wanted = list(group)
        if feed in observations:
            computed = _feed_features(wanted, observations[feed], cutoff)
            snapshot = snapshot.join(computed, on=SERIES, how="left", validate="1:1")
        else:
            snapshot = snapshot.with_columns(pl.lit(None, pl.Float64).alias(spec.name) for spec in wanted)
    return compile_contract(specs).conform(snapshot.with_columns(prediction_date=pl.lit(cutoff, pl.Date)).sort(SERIES))


def _feed_features(specs: Sequence[FeatureSpec], rows: pl.LazyFrame, cutoff: date) -> pl.DataFrame:
    known = rows.filter(pl.col("event_date") <= cutoff)
    return known.group_by(SERIES).agg(compile_spec(spec, cutoff) for spec in specs).collect(engine="streaming")


def compile_spec(spec: FeatureSpec, cutoff: date) -> pl.Expr:
    """Return the aggregation over one series' rows that computes the feature as of ``cutoff``."""
    day, value = pl.col("event_date"), pl.col(spec.column).cast(pl.Float64)
    if spec.window_days is not None:
        # Nulls outside of the window instead of filtering: plain sums and extremes need no list of a group's rows.
        inside = day > cutoff - timedelta(days=spec.window_days)
        day, value = pl.when(inside).then(day), pl.when(inside).then(value)
    return _AGGREGATES[spec.aggregate](value, day, cutoff).cast(pl.Float64).alias(spec.name)


def _exact_sum(value: pl.Expr) -> pl.Expr:
    return (value * SCALE).round().cast(pl.Int64).sum()


def _mean(value: pl.Expr) -> pl.Expr:
    return pl.when(value.count() > 0).then(_exact_sum(value) / SCALE / value.count())


def _interval(value: pl.Expr) -> pl.Expr:
    """Average days between days with demand (ADI)."""
    selling = (value > 0).sum()
    return pl.when(selling > 0).then(value.count() / selling)


def _variation(value: pl.Expr) -> pl.Expr:
    """Squared coefficient of variation of the size of demand on days with demand (CV2)."""
    sizes = (pl.when(value > 0).then(value) * _COARSE).round().cast(pl.Int64)
    count, total, squares = sizes.count(), sizes.sum(), (sizes * sizes).sum()
    mean = total / count
    return pl.when(count > 0).then(pl.max_horizontal(squares / count - mean * mean, 0.0) / (mean * mean))


_AGGREGATES: Final[dict[str, Callable[[pl.Expr, pl.Expr, date], pl.Expr]]] = {
    "count": lambda value, _day, _cutoff: value.count(),
    "mean": lambda value, _day, _cutoff: _mean(value),
    "sum": lambda value, _day, _cutoff: _exact_sum(value) / SCALE,
    "max": lambda value, _day, _cutoff: value.max(),
    "share_positive": lambda value, _day, _cutoff: pl.when(value.count() > 0).then((value > 0).sum() / value.count()),
    "interval": lambda value, _day, _cutoff: _interval(value),
    "variation": lambda value, _day, _cutoff: _variation(value),
    "latest": lambda value, day, _cutoff: value.sort_by(day, nulls_last=False).last(),
    "days_since_first": lambda _value, day, cutoff: (pl.lit(cutoff) - day.min()).dt.total_days() + 1,
    "days_since_last_positive": lambda value, day, cutoff: (
        pl.lit(cutoff) - pl.when(value > 0).then(day).max()
    ).dt.total_days(),
}
