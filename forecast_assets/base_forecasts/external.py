"""Base forecasts of a version made elsewhere: what its file says, in the form that every later stage reads.

What belongs here: taking the file's numbers over, to the last decimal, and completing quantiles. What does not: reading
files, or changing a mean.

Upper nodes are the exact sums of the series, so that reconciliation finds nothing to correct: the published forecast is
the file's.
"""

from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.base_forecasts.quality import quality_flags
from forecast_assets.contracts import BASE_FORECASTS, BASE_NODE_FORECASTS, COMPONENTS, QUANTILE_COLUMNS, QUANTILES
from forecast_assets.core.arrays import Bools
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import SCALE, UNITS, Millionths, from_units, publish, to_units
from forecast_assets.core.rows import rows_per_step
from forecast_assets.features.panel import SERIES_KEY, Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.demand import classify
from forecast_assets.models.external.artifact import MADE_ELSEWHERE, ExternalArtifact
from forecast_assets.models.statistical.levels import ZERO

# The whole mean stands in the first component; nothing is known of how it came about.
_LEVEL, *_OTHERS = COMPONENTS
_NAMED: Final = (
    pl.when(pl.col("is_missing")).then(pl.lit(ZERO)).otherwise(pl.lit(MADE_ELSEWHERE)).alias("model_used"),
    pl.col("is_missing").alias("is_fallback"),
)


def external_frames(
    key: RunKey, panel: Panel, made: pl.DataFrame, hierarchy: Hierarchy, artifact: ExternalArtifact
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lay forecasts made elsewhere out as the products `base_forecasts` and `base_node_forecasts`.

    Args:
        key: The run.
        panel: The n series of the snapshot, H days ahead; demand classes follow from its history.
        made: Contract `external_forecasts` of the same series, sorted by store, SKU and step.
        hierarchy: Crossed hierarchy of the same series.
        artifact: What completes missing quantiles.

    Returns:
        n x H rows sorted by store, SKU and step, and m x H rows sorted by node and step.

    Raises:
        InputError: If the forecasts are of another date, or not of the panel's series: a series has come since the
            file was ingested.
    """
    _require_same_date(key, made)
    _require_same_series(key, panel, made)
    demand_class = classify(panel)
    score = None if artifact.reference is None else artifact.reference.score(panel)
    described = panel.series.with_columns(pl.Series("demand_class", demand_class.tolist(), pl.String))
    base = rows_per_step(key, described).with_columns(
        *made.select(pl.col("forecast_units").alias("base_units"), pl.col("forecast_units").alias(_LEVEL), *_NAMED),
        *(pl.lit(0, UNITS).alias(name) for name in _OTHERS),
        *_quantiles(made, demand_class, panel.horizon_days, artifact),
        pl.lit(None, pl.Float64).alias("lost_share"),
        pl.lit(None if score is None else pl.Series(score.ravel()), pl.Float64).alias("out_of_distribution_score"),
        quality_flags(panel, demand_class, _first_step(made["is_missing"], panel.horizon_days), score),
    )
    return BASE_FORECASTS.conform(base), _sums(key, _matrix(made["forecast_units"], panel.horizon_days), hierarchy)


def _sums(key: RunKey, mean: Millionths, hierarchy: Hierarchy) -> pl.DataFrame:
    summing = hierarchy.information
    sums = np.asarray(summing.matrix @ mean, dtype=np.int64)
    described = summing.nodes.with_columns(
        pl.lit(MADE_ELSEWHERE).alias("model_used"), pl.lit(value=False).alias("is_fallback")
    )
    rows = rows_per_step(key, described).with_columns(to_units(sums.ravel(), "base_units"))
    return BASE_NODE_FORECASTS.conform(rows)


def _quantiles(
    made: pl.DataFrame,
    demand_class: np.ndarray[tuple[int, ...], np.dtype[np.str_]],
    horizon: int,
    artifact: ExternalArtifact,
) -> list[pl.Series]:
    def units(name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return _matrix(made[name], horizon) / SCALE

    given = {
        level: units(name)
        for level, name in zip(QUANTILES, QUANTILE_COLUMNS, strict=True)
        if not made[name].null_count()
    }
    complete = artifact.quantiles(units("forecast_units"), demand_class, given)
    return [publish(complete[:, :, at], name) for at, name in enumerate(QUANTILE_COLUMNS)]


def _matrix(units: pl.Series, horizon: int) -> Millionths:
    return from_units(units).reshape(-1, horizon)


def _first_step(values: pl.Series, horizon: int) -> Bools:
    """[n] the value of each series' first step."""
    return np.asarray(values.to_numpy().reshape(-1, horizon)[:, 0], dtype=np.bool_)


def _require_same_date(key: RunKey, made: pl.DataFrame) -> None:
    others = made.filter(pl.col("prediction_date") != key.prediction_date)["prediction_date"].unique().sort()
    if others.len():
        raise InputError(
            f"The forecasts that {key} would take over are of {first_ten(others)}.",
            remedy="This is a defect of the software, not of the data: keep the store as it is and report the run.",
        )


def _require_same_series(key: RunKey, panel: Panel, made: pl.DataFrame) -> None:
    found = made.filter(pl.col("step") == 1).select(SERIES_KEY)
    if found.equals(panel.series) and made.height == panel.series.height * key.forecast_horizon:
        return
    lacking = panel.series.join(found, on=SERIES_KEY, how="anti").rows()
    unknown = found.join(panel.series, on=SERIES_KEY, how="anti").rows()
    if key.revision and lacking:
        raise InputError(
            f"{key} cannot be made: series have arrived that the file behind {replace(key, revision=0)} does not have: "
            f"{first_ten(lacking)}. A correction of forecasts made elsewhere keeps its series.",
            remedy="What is published stays. Ingest the next file with these series: they are published from its date "
            "on; or ingest this date with them as another version.",
        )
    raise InputError(
        f"The file's forecasts for {key} are not of the snapshot's series: it lacks {first_ten(lacking) or 'none'}, "
        f"and the snapshot lacks {first_ten(unknown) or 'none'}.",
        remedy="The snapshot has changed since the file was ingested: ingest a file with these series.",
    )
