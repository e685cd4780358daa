"""Registration of external forecasts: what is measured, who may serve, and who may be promoted."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import EVALUATION_REPORTS, EXTERNAL_FORECASTS, QUANTILE_COLUMNS
from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import NotAcceptedError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS, publish
from forecast_assets.core.rows import rows_per_step
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.external.artifact import ExternalArtifact
from forecast_assets.models.external.family import EXTERNAL_FAMILY
from forecast_assets.models.gates import PROMOTION_GATES
from forecast_assets.models.training import GivenDate, TrainingInputs
from forecast_assets.scoring.preconditions import require_servable
from forecast_assets.training.fitting import fit_version
from resources.ledger.entries.register import CHANNEL_GATES
from resources.stores.home import Stores
from tests.support.forecast_cases import lawful_panel, one_group, panel_of
from tests.support.store_cases import register

OUTSIDE = {"family": "external", "cutoff": date(2025, 6, 30)}

HORIZON = 14
PANEL = lawful_panel(count=100, days=140, horizon=HORIZON, seed=3)
FIRST = PANEL.as_of(HORIZON)
KEY = RunKey("daily", FIRST.cutoff, "planners-1", HORIZON)
NO_UPPER = {"upper_nodes": 0, "coherent_upper_nodes": 0}


FILE = {"file": "f", "file_sha256": "0", "columns": {}, "quantile_levels": []}


def made(mean: Floats, missing: int = 0) -> pl.DataFrame:
    rows = rows_per_step(KEY, PANEL.series)
    return EXTERNAL_FORECASTS.conform(
        rows.with_columns(
            publish(mean, "forecast_units"),
            *(pl.lit(None, UNITS).alias(name) for name in QUANTILE_COLUMNS),
            is_missing=pl.int_range(pl.len()) < missing * HORIZON,
        )
    )


def external_report(
    said: pl.DataFrame,
    facts: dict[str, int] | None = None,
    *,
    first: Panel = FIRST,
    known: Panel | None = None,
    days_since: int = 0,
) -> pl.DataFrame:
    """Report of a version whose first file has one date, and what has become known since."""
    given = [GivenDate(said, {**FILE, **(facts or NO_UPPER)}, known, days_since)]
    hierarchy = Hierarchy.build(first.series, None, None)
    inputs = TrainingInputs(first, one_group(first.series.height), hierarchy, HORIZON, given_dates=given)
    trained = fit_version(EXTERNAL_FAMILY, inputs)
    assert isinstance(trained.artifact, ExternalArtifact)
    assert trained.artifact.first_file == {"name": "f", "sha256": "0"}
    return EVALUATION_REPORTS.validate(trained.report)


def external_gates(report: pl.DataFrame) -> dict[str, bool]:
    return EXTERNAL_FAMILY.gates(report)


def values(report: pl.DataFrame) -> dict[str, float]:
    return dict(report.filter(segment_kind="all").select("metric", "value").iter_rows())


def after_first() -> Floats:
    return PANEL.sales[:, -HORIZON:]


def test_a_file_without_past_dates_may_serve_and_not_be_promoted() -> None:
    facts = {"upper_nodes": 40, "coherent_upper_nodes": 30}
    report = external_report(made(after_first()), facts)
    found = values(report)
    assert found["completeness"] == 1.0
    assert found["quantiles_in_order"] == 1.0
    assert found["quantile_levels_given"] == 0.0
    assert found["coherent_upper_nodes_share"] == 0.75
    recent = FIRST.sales[:, -28:].sum(axis=0).mean()
    assert found["forecast_over_recent_sales"] == pytest.approx(after_first().sum(axis=0).mean() / recent)
    assert external_gates(report) == {"file_is_sound": True, "backtest_beats_seasonal_naive": False}


def test_past_dates_are_measured_beside_seasonal_naive() -> None:
    said = made(np.broadcast_to(after_first().mean(axis=1, keepdims=True), after_first().shape))
    report = external_report(said, known=PANEL, days_since=HORIZON)
    overall = report.filter(segment_kind="all")
    wape, naive = overall.filter(metric="wape").select("value", "baseline_value").row(0)
    week = FIRST.sales[:, -7:]
    expected = np.abs(np.tile(week, 2) - after_first()).sum() / after_first().sum()
    assert naive == pytest.approx(expected)
    assert wape < naive
    assert values(report)["bias"] == pytest.approx(0.0, abs=1e-6)
    gates = external_gates(report)
    assert set(gates) == {"file_is_sound", *(gate.name for gate in PROMOTION_GATES)}
    assert set(gates) - {"file_is_sound"} <= CHANNEL_GATES
    assert gates["backtest_beats_seasonal_naive"]
    assert gates["backtest_bias_not_beyond_10_percent"]


def test_forecasts_that_lose_to_seasonal_naive_do_not_pass() -> None:
    said = made(after_first()[::-1])
    report = external_report(said, known=PANEL, days_since=HORIZON)
    assert not external_gates(report)["backtest_beats_seasonal_naive"]


def test_days_that_are_not_known_yet_are_not_measured() -> None:
    said = made(after_first())
    later: Panel = PANEL.as_of(10)
    report = external_report(said, known=later, days_since=4)
    assert report.filter(segment_kind="all", metric="wape")["rows"].to_list() == [100 * 4]
    assert values(report)["wape"] == pytest.approx(0.0, abs=1e-6)


def test_series_that_still_sell_and_are_missing_make_a_file_unsound() -> None:
    few, many = (external_report(made(after_first(), missing)) for missing in (5, 6))
    assert external_gates(few)["file_is_sound"]
    assert not external_gates(many)["file_is_sound"]
    silent = panel_of(np.concatenate([FIRST.sales[:94], np.zeros((6, FIRST.sales.shape[1]))])[::-1], horizon=HORIZON)
    dead = external_report(made(after_first(), 6), first=silent)
    assert external_gates(dead)["file_is_sound"]


def test_who_may_serve_and_who_may_be_promoted_are_different_questions(stores: Stores) -> None:
    register(stores, "sound", **OUTSIDE, gates={"file_is_sound": True, "backtest_beats_seasonal_naive": False})
    register(stores, "better", **OUTSIDE, gates={"file_is_sound": True, "backtest_beats_seasonal_naive": True})
    register(stores, "unsound", **OUTSIDE, gates={"file_is_sound": False, "backtest_beats_seasonal_naive": True})
    key = RunKey("daily", PANEL.cutoff.replace(year=2026), "any", 14)
    models = {name: stores.registry.model_version(name) for name in ("sound", "better", "unsound")}
    require_servable(key, models["sound"])
    require_servable(key, models["better"])
    with pytest.raises(NotAcceptedError, match="`unsound` may not serve: its evaluation report fails file_is_sound"):
        require_servable(key, models["unsound"])
    stores.registry.promote("better", by="ana", reason="beats seasonal naive")
    with pytest.raises(
        NotAcceptedError, match=r"fails backtest_beats_seasonal_naive.*may serve under its own name; .*past"
    ):
        stores.registry.promote("sound", by="ana", reason="hope")
    with pytest.raises(NotAcceptedError, match="fails file_is_sound"):
        stores.registry.promote("unsound", by="ana", reason="hope")
    assert stores.ledger.state().channel("champion") == "better"


def test_a_date_before_the_version_is_refused_with_the_way_out(stores: Stores) -> None:
    register(stores, "sound", **OUTSIDE, gates={"file_is_sound": True})
    with pytest.raises(
        NotAcceptedError, match=r"would know its own future. Ingest the forecasts of earlier days as another"
    ):
        require_servable(KEY, stores.registry.model_version("sound"))
