"""How external forecasts fit a snapshot: which series are missing or unknown, and whether upper rows are sums.

What belongs here: comparing one prediction date of a file with the series and the hierarchy of its snapshot, and laying
it out as the product `external_forecasts`. What does not: the file by itself (``forecasts_file``), storing, publishing.
"""

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import EXTERNAL_FORECASTS, NODE_KEY, QUANTILE_COLUMNS
from forecast_assets.core.errors import first_ten
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import SCALE, UNITS, from_units, publish
from forecast_assets.core.rows import rows_per_step
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.sources.external_forecasts import MEAN, ForecastsFile

# An upper row counts as the sum of its series within this share of the sum.
COHERENT_WITHIN: Final = 0.001
_STEP_KEY: Final = [*SERIES_KEY, "step"]


@dataclass(frozen=True)
class Coherence:
    """How upper rows of a file compare with the sums of its series.

    Attributes:
        upper_nodes: Rows of upper nodes within the horizon.
        coherent_upper_nodes: Those within a thousandth of the sum.
        unknown_upper_nodes: Those of nodes that the hierarchy does not have.
        largest_gap_share: Largest difference, as a share of the sum.
        largest_gap_at: Node and step of it; empty if there are no upper rows.
    """

    upper_nodes: int = 0
    coherent_upper_nodes: int = 0
    unknown_upper_nodes: int = 0
    largest_gap_share: float = 0.0
    largest_gap_at: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """What a manifest records."""
        return dict(vars(self))


def missing_series(file: ForecastsFile, series: pl.DataFrame) -> pl.DataFrame:
    """Return the series of a snapshot that a file lacks, `store_id, sku_id`, in their order.

    Args:
        file: What it says of one prediction date.
        series: `store_id, sku_id` of the snapshot, sorted.
    """
    return series.join(file.rows, on=SERIES_KEY, how="anti", maintain_order="left")


def series_problems(file: ForecastsFile, series: pl.DataFrame, key: RunKey, *, fill_missing: bool) -> list[str]:
    """Return what keeps a file from fitting a snapshot, with the first ten series.

    Args:
        file: What it says of the key's prediction date.
        series: `store_id, sku_id` of the snapshot, sorted.
        key: The run.
        fill_missing: Whether zero may stand in for series that the file lacks.
    """
    day = key.prediction_date
    unknown = file.rows.drop_nulls(SERIES_KEY).join(series, on=SERIES_KEY, how="anti").select(SERIES_KEY).unique()
    lacking = missing_series(file, series)
    said = []
    if unknown.height:
        said.append(f"{unknown.height} series are not in the snapshot of {day}: {_names(unknown)}")
    if lacking.height and not fill_missing:
        said.append(
            f"{lacking.height} series of the snapshot of {day} are not in the file: {_names(lacking)}; add them, or "
            "publish zero for them with --missing zero"
        )
    return said


def _names(series: pl.DataFrame) -> str:
    return first_ten("/".join(pair) for pair in series.sort(SERIES_KEY).rows())


def external_frame(file: ForecastsFile, series: pl.DataFrame, key: RunKey) -> pl.DataFrame:
    """Lay what a file says of a run out as a product, with zero for the series that it lacks.

    Args:
        file: What it says of the key's prediction date; its rows have no problems.
        series: `store_id, sku_id` of the snapshot, sorted.
        key: The run.

    Returns:
        `external_forecasts` as its contract says, sorted by store, SKU and step.
    """
    units = [MEAN, *file.quantile_columns]
    said = file.rows.select(*_STEP_KEY, *units, pl.lit(value=False).alias("is_missing"))
    rows = rows_per_step(key, series).join(said, on=_STEP_KEY, how="left", validate="1:1", maintain_order="left")
    absent = [pl.lit(None, UNITS).alias(name) for name in QUANTILE_COLUMNS if name not in units]
    return EXTERNAL_FORECASTS.conform(
        rows.with_columns(
            *(publish(rows[name].fill_null(0.0), name) for name in units),
            *absent,
            pl.col("is_missing").fill_null(value=True),
        )
    )


def coherence(file: ForecastsFile, made: pl.DataFrame, hierarchy: Hierarchy, key: RunKey) -> Coherence:
    """Compare the upper rows of a file with the sums of its series; they are used for nothing else.

    Args:
        file: What it says of the key's prediction date.
        made: `external_forecasts` of the same date.
        hierarchy: Crossed hierarchy of the same series.
        key: The run.
    """
    upper = file.upper.filter(pl.col("step").is_between(1, key.forecast_horizon)).drop_nulls(MEAN)
    if upper.is_empty():
        return Coherence()
    sums = hierarchy.aggregate(from_units(made[MEAN]).reshape(-1, key.forecast_horizon))
    known = rows_per_step(key, hierarchy.nodes.select(NODE_KEY)).select(*NODE_KEY, "step")
    known = known.with_columns(pl.Series("sum", sums.ravel() / SCALE))
    compared = upper.join(known, on=[*NODE_KEY, "step"], how="left", maintain_order="left")
    gap = (pl.col(MEAN) - pl.col("sum")).abs() / pl.max_horizontal(pl.col("sum"), 1.0 / SCALE)
    judged = compared.with_columns(gap=gap).sort("gap", *NODE_KEY, "step", descending=[True] + [False] * 5)
    widest = judged.drop_nulls("gap").head(1)
    return Coherence(
        upper_nodes=upper.height,
        coherent_upper_nodes=judged.filter(pl.col("gap") <= COHERENT_WITHIN).height,
        unknown_upper_nodes=judged["sum"].null_count(),
        largest_gap_share=round(float(widest["gap"].sum()), 6),
        largest_gap_at=" ".join(str(part) for part in widest.select(*NODE_KEY, "step").rows()[0])
        if len(widest)
        else "",
    )
