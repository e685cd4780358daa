"""Base forecasts of an external version: taken over to the last decimal, and left alone by reconciliation."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from forecast_assets.base_forecasts.forecasting import forecast_frames
from forecast_assets.contracts import (
    BASE_FORECASTS,
    BASE_NODE_FORECASTS,
    COMPONENTS,
    EXTERNAL_FORECASTS,
    QUANTILE_COLUMNS,
)
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS, to_units
from forecast_assets.core.rows import rows_per_step
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.external.artifact import ExternalArtifact, register_external
from forecast_assets.models.external.family import EXTERNAL_FAMILY
from forecast_assets.models.forecasts import ForecastInputs
from forecast_assets.reconciliation.reconciling import reconciled_frame
from tests.support.forecast_cases import lawful_panel, products

PANEL = lawful_panel(count=60, days=70, horizon=14)
KEY = RunKey("daily", PANEL.cutoff, "planners-1", 14)
HIERARCHY = Hierarchy.build(
    PANEL.series,
    products(*((sku, f"c{at % 3}") for at, sku in enumerate(PANEL.series["sku_id"].unique().sort()))),
    None,
)


@pytest.fixture(scope="module")
def artifact() -> ExternalArtifact:
    return register_external(
        PANEL, first_file={"name": "f", "sha256": "0"}, columns={}, quantile_levels=(), history_days=364
    )


def external_frames(said: pl.DataFrame, artifact: ExternalArtifact, key: RunKey = KEY) -> tuple[pl.DataFrame, ...]:
    """Base forecasts of an external version, of series and of upper nodes."""
    groups = HIERARCHY.product_groups(artifact.group_level)
    inputs = ForecastInputs(PANEL, groups, HIERARCHY, given_rows=said, key=key)
    return forecast_frames(key, PANEL, HIERARCHY, EXTERNAL_FAMILY, EXTERNAL_FAMILY.forecast(artifact, inputs))


def made(panel: Panel = PANEL, given: tuple[str, ...] = ()) -> pl.DataFrame:
    """Any quantities from nothing to a million units a day, with all six decimals; quantiles rise from the mean."""
    rows = rows_per_step(KEY, panel.series)
    random = np.random.default_rng(7)
    mean = (10.0 ** random.uniform(0, 12, rows.height)).astype(np.int64) * (random.random(rows.height) > 0.1)
    return EXTERNAL_FORECASTS.conform(
        rows.with_columns(
            to_units(mean, "forecast_units"),
            *(to_units(mean * (at + 1), name) for at, name in enumerate(given)),
            *(pl.lit(None, UNITS).alias(name) for name in QUANTILE_COLUMNS if name not in given),
            is_missing=pl.col("sku_id") == "K003",
        )
    )


def test_the_mean_is_the_level_and_nothing_else_is_claimed(artifact: ExternalArtifact) -> None:
    said = made(given=("q500_units", "q900_units"))
    base, nodes = external_frames(said, artifact)
    BASE_FORECASTS.validate(base)
    BASE_NODE_FORECASTS.validate(nodes)
    for name in ("base_units", "level_units"):
        assert base[name].equals(said["forecast_units"], check_names=False)
    assert all((base[name] == 0).all() for name in COMPONENTS[1:])
    assert base["q900_units"].equals(said["q900_units"])
    assert base["q500_units"].equals(said["q500_units"])
    for low, high in pairwise(QUANTILE_COLUMNS):
        assert (base[low] <= base[high]).all()
    used = (
        base.group_by("model_used").agg(pl.col("is_fallback").unique(), pl.col("sku_id").n_unique()).sort("model_used")
    )
    assert used.rows() == [("ZeroModel", [True], 1), ("external", [False], 29)]


def test_rows_have_scores_and_flags_of_the_series_that_they_are_of(artifact: ExternalArtifact) -> None:
    base, _ = external_frames(made(), artifact)
    assert base["out_of_distribution_score"].null_count() == 0
    flagged = base.filter(pl.col("quality_flags").str.contains("fallback"))
    assert flagged["sku_id"].unique().to_list() == ["K003"]
    assert flagged.height == base["is_fallback"].sum()
    before, _ = external_frames(made(), replace(artifact, reference=None))
    assert before["out_of_distribution_score"].null_count() == before.height
    BASE_FORECASTS.validate(before)


def test_reconciling_sums_changes_no_decimal(artifact: ExternalArtifact) -> None:
    base, nodes = external_frames(made(given=QUANTILE_COLUMNS), artifact)
    total = nodes.filter(product_level="total", store_level="total").sort("step")["base_units"]
    assert total.to_list() == base.group_by("step").agg(pl.col("base_units").sum()).sort("step")["base_units"].to_list()
    reconciled = reconciled_frame(base, nodes, HIERARCHY)
    assert reconciled["reconciled_units"].equals(base["base_units"], check_names=False)
    for name in QUANTILE_COLUMNS:
        assert reconciled[name].equals(base[name])


def test_a_series_that_came_since_is_refused_by_name(artifact: ExternalArtifact) -> None:
    said = made().filter(pl.struct("store_id", "sku_id") != pl.struct(store_id=pl.lit("S0"), sku_id=pl.lit("K001")))
    with pytest.raises(InputError, match=r"it lacks \('S0', 'K001'\), and the snapshot lacks none.*ingest a file with"):
        external_frames(said, artifact)


def test_a_correction_says_that_a_series_that_came_since_waits_for_the_next_file(artifact: ExternalArtifact) -> None:
    said = made().filter(pl.struct("store_id", "sku_id") != pl.struct(store_id=pl.lit("S0"), sku_id=pl.lit("K001")))
    corrected = replace(KEY, revision=1)
    words = (
        r"r1 cannot be made: series have arrived that the file behind .*/r0 does not have: \('S0', 'K001'\)\. "
        r"A correction of external forecasts keeps its series.*Ingest the next file with these series"
    )
    with pytest.raises(InputError, match=words):
        external_frames(said, artifact, corrected)


def test_forecasts_of_another_date_are_refused(artifact: ExternalArtifact) -> None:
    week = pl.col("prediction_date", "target_date") - pl.duration(days=7)
    with pytest.raises(InputError, match=f"would take over are of {KEY.prediction_date - timedelta(days=7)}"):
        external_frames(made().with_columns(week), artifact)


def test_units_keep_all_six_decimals(artifact: ExternalArtifact) -> None:
    said = made().with_columns(forecast_units=pl.lit(Decimal("123456.654321")).cast(UNITS))
    base, _ = external_frames(said, artifact)
    assert base["base_units"].unique().to_list() == [Decimal("123456.654321")]
    assert base["prediction_date"][0] == PANEL.cutoff > date(2025, 1, 1)
