"""Forecasts as a file gave them, read as matrices, and the requirement that they are of the run's date and series.

What belongs here: reading contract `external_forecasts` for the models. What does not: reading files, or completing
what they leave out.
"""

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from forecast_assets.contracts import QUANTILE_COLUMNS, QUANTILES
from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import SCALE, from_units
from forecast_assets.features.panel import SERIES_KEY, Panel

_LEVELS: Mapping[str, float] = dict(zip(QUANTILE_COLUMNS, QUANTILES, strict=True))


def matrix(units: pl.Series, horizon: int) -> Floats:
    """[n, H] Units of rows that are sorted by series and step; they round back to the decimals that they were."""
    return from_units(units).reshape(-1, horizon) / SCALE


def given_levels(rows: pl.DataFrame) -> dict[str, float]:
    """Return the quantile columns that a file has, with their probabilities, lowest first."""
    return {name: level for name, level in _LEVELS.items() if not rows[name].null_count()}


def given_quantiles(rows: pl.DataFrame, horizon: int) -> dict[float, Floats]:
    """[n, H] units by probability, of the quantiles that a file has."""
    return {level: matrix(rows[name], horizon) for name, level in given_levels(rows).items()}


def require_same_date(key: RunKey | None, panel: Panel, rows: pl.DataFrame) -> None:
    """Refuse forecasts of another date.

    Raises:
        InputError: With the dates that they are of.
    """
    others = rows.filter(pl.col("prediction_date") != panel.cutoff)["prediction_date"].unique().sort()
    if others.len():
        raise InputError(
            f"The forecasts that {key or panel.cutoff} would take over are of {first_ten(others)}.",
            remedy="This is a defect of the software, not of the data: keep the store as it is and report the run.",
        )


def require_same_series(key: RunKey | None, panel: Panel, rows: pl.DataFrame) -> None:
    """Refuse forecasts that are not of exactly the panel's series and days.

    Raises:
        InputError: With the series that either side lacks: one has come since the file was ingested.
    """
    found = rows.filter(pl.col("step") == 1).select(SERIES_KEY)
    if found.equals(panel.series) and rows.height == panel.series.height * panel.horizon_days:
        return
    lacking = panel.series.join(found, on=SERIES_KEY, how="anti").rows()
    unknown = found.join(panel.series, on=SERIES_KEY, how="anti").rows()
    if key is not None and key.revision and lacking:
        raise InputError(
            f"{key} cannot be made: series have arrived that the file behind {replace(key, revision=0)} does not have: "
            f"{first_ten(lacking)}. A correction of external forecasts keeps its series.",
            remedy="What is published stays. Ingest the next file with these series: they are published from its date "
            "on; or ingest this date with them as another version.",
        )
    raise InputError(
        f"The file's forecasts for {key or panel.cutoff} are not of the snapshot's series: it lacks "
        f"{first_ten(lacking) or 'none'}, and the snapshot lacks {first_ten(unknown) or 'none'}.",
        remedy="The snapshot has changed since the file was ingested: ingest a file with these series.",
    )
