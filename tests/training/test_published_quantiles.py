from typing import Any

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import CALIBRATION, QUANTILES
from forecast_assets.core.arrays import Floats
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.metrics.calibration import calibration_rows
from forecast_assets.models.forecasts import Forecasts, NodeForecasts
from forecast_assets.models.sample_paths.dependence import Dependence
from forecast_assets.training.fitting import TrainingResult
from forecast_assets.training.published_quantiles import PastRun, judged_calibration
from tests.support.fitted import fit
from tests.support.forecast_cases import lawful_panel, one_group, panel_of, products, series_of, two_by_two

# Quantiles next to the mean: whatever is not judged by the same series on both sides lies outside of all of them.
NARROW = 1.0 + 0.02 * (np.array(QUANTILES) - 0.5)


def forecasts(mean: Floats, nodes: NodeForecasts | None = None) -> Forecasts:
    count = len(mean)
    return Forecasts(
        mean=mean, quantiles=mean[:, :, None] * NARROW, demand_class=np.full(count, "smooth"),
        model_used=np.full(count, "m", dtype=np.object_), is_fallback=np.zeros(count, dtype=np.bool_), nodes=nodes,
    )  # fmt: skip


def judged(made: Forecasts, demand: Floats, hierarchy: Hierarchy, **changes: Any) -> pl.DataFrame:
    past = panel_of(np.full((len(demand), 30), 10.0), demand.shape[1], series=hierarchy.series)
    run = PastRun(**{"made": made, "past": past, "hierarchy": hierarchy, "demand": demand,
                     "dependence": Dependence.none(), "workers": 1, **changes})  # fmt: skip
    return CALIBRATION.validate(calibration_rows(judged_calibration(run)))


def coverage(report: pl.DataFrame, **where: Any) -> dict[tuple[str, int], float]:
    rows = report.filter(metric="coverage_99", segment_kind="all", **where)
    return {(level, days): value for level, days, value in rows.select("level", "days", "value").iter_rows()}


def test_every_level_is_judged_day_by_day_and_over_the_first_days() -> None:
    hierarchy = two_by_two()
    mean = np.full((5, 14), 10.0)
    found = coverage(judged(forecasts(mean), mean, hierarchy))
    levels = {" x ".join(level.name) for level in hierarchy.crossed_levels} | {"sku x store"}
    assert found == dict.fromkeys([(level, days) for level in levels for days in (1, 7, 14)], 1.0)


@pytest.mark.parametrize(("horizon", "sums"), [(1, set()), (6, set()), (7, {7}), (90, {7, 14, 28})])
def test_sums_are_of_as_many_first_days_as_there_are(horizon: int, sums: set[int]) -> None:
    mean = np.full((5, horizon), 10.0)
    found = coverage(judged(forecasts(mean), mean, two_by_two()))
    assert {days for _, days in found} == {1} | sums


def test_what_is_not_known_is_left_out_of_both_sides_of_a_sum() -> None:
    mean = np.full((5, 7), 10.0)
    demand = np.where(np.arange(35).reshape(5, 7) % 3 == 0, np.nan, mean)
    demand[:, 6] = np.nan
    report = judged(forecasts(mean), demand, two_by_two())
    assert set(coverage(report).values()) == {1.0}
    rows = report.filter(metric="crps", segment_kind="all", level="total x total").select("days", "rows").rows()
    assert rows == [(1, 6), (7, 1)]


def test_quantiles_are_judged_after_reconciliation() -> None:
    """The total's own forecast is twice the sum and trusted alone: what came is near that, and outside of the base."""
    hierarchy = Hierarchy.build(series_of(4, stores=1), None, None)
    base, came = np.full((4, 7), 10.0), np.full((4, 7), 20.0)
    count = hierarchy.information.nodes.height
    own = hierarchy.information.matrix @ came
    nodes = NodeForecasts(
        hierarchy.information.nodes, own, np.full(count, "m", dtype=np.object_), np.zeros(count, dtype=np.bool_),
        np.full(count, 1e-3),
    )  # fmt: skip
    assert coverage(judged(forecasts(base, nodes), came, hierarchy), level="sku x store", days=1).popitem()[1] == 1.0
    assert coverage(judged(forecasts(base), came, hierarchy), level="sku x store", days=1).popitem()[1] == 0.0


def test_without_a_dependence_only_series_are_judged() -> None:
    mean = np.full((5, 7), 10.0)
    assert set(coverage(judged(forecasts(mean), mean, two_by_two(), dependence=None))) == {("sku x store", 1)}


def test_dependence_decides_how_wide_sums_are() -> None:
    """Series err together: sums are covered if that is known, and not if they are taken to be independent."""
    hierarchy, random = Hierarchy.build(series_of(60, stores=1), None, None), np.random.default_rng(4)
    mean, shared = np.full((60, 28), 10.0), random.normal(0.0, 1.0, 28)
    wide = np.maximum(10.0 + 3.0 * np.array([-2.6, -1.96, -1.64, -1.28, -0.97, -0.67, 0, 0.67, 0.97, 1.28, 1.64, 1.96,
                                             2.6]), 0.0)  # fmt: skip
    made = forecasts(mean)
    made.quantiles[:] = wide
    demand = 10.0 + 3.0 * np.broadcast_to(shared, (60, 28))
    together, apart = (
        coverage(judged(made, demand, hierarchy, dependence=each), level="total x total", days=1).popitem()[1]
        for each in (Dependence({}, {"total x total": 0.95}), Dependence.none())
    )
    assert together > 0.9
    assert apart < 0.5


# --- of a training ---


@pytest.fixture(scope="module")
def trained() -> TrainingResult:
    return fit(lawful_panel(count=80, days=90), one_group(80), horizon=14, workers=1)


def report_of(result: TrainingResult) -> pl.DataFrame:
    assert result.calibration is not None
    return CALIBRATION.validate(result.calibration)


def value(report: pl.DataFrame, metric: str) -> float:
    return float(report.filter(metric=metric, segment_kind="all", level="sku x store", days=1)["value"].item())


def test_a_training_reports_how_often_its_quantiles_came(trained: TrainingResult) -> None:
    report = report_of(trained)
    assert set(report["level"]) == {"total x total", "total x store", "sku x total", "sku x store"}
    assert report.filter(metric="coverage_80", segment_kind="all", level="sku x store", days=1)["rows"].item() == 2240
    for percent in (50, 80, 95):
        assert value(report, f"coverage_{percent}") == pytest.approx(percent / 100, abs=0.06)


def test_days_that_are_judged_teach_nothing() -> None:
    """The last two weeks sell three times as much: half of what was judged lies above all quantiles."""
    panel = lawful_panel(count=40, days=90)
    sales = np.concatenate([panel.sales[:, :-14], 3.0 * panel.sales[:, -14:] + 100.0], axis=1)
    report = report_of(fit(panel_of(sales, 14), one_group(40), horizon=14, workers=1))
    assert value(report, "at_most_q995") < 0.52


def test_the_report_has_the_same_rows_for_any_number_of_threads(trained: TrainingResult) -> None:
    again = fit(lawful_panel(count=80, days=90), one_group(80), horizon=14, workers=3)
    assert report_of(again).equals(report_of(trained))


@pytest.mark.parametrize(
    ("count", "days", "horizon"),
    [(1, 90, 14), (20, 60, 1), (20, 200, 90), (20, 16, 28)],
    ids=["one series", "one day ahead", "90 days ahead", "fewer than two past cutoffs"],
)
def test_small_and_short_histories_have_a_report(count: int, days: int, horizon: int) -> None:
    report = report_of(fit(lawful_panel(count, days, horizon), one_group(count), horizon=horizon, workers=1))
    assert report["value"].null_count() == 0
    assert report.filter(pl.col("metric") != "wspl")["value"].is_finite().all()


def test_where_nothing_sells_there_is_nothing_to_judge() -> None:
    assert fit(panel_of(np.zeros((5, 90)), 14), one_group(5), horizon=14, workers=1).calibration is None


def test_levels_of_a_real_hierarchy_are_judged() -> None:
    panel = lawful_panel(count=24, days=90)
    skus = panel.series["sku_id"].unique().sort()
    tree = products(*((sku, "ab"[at % 2]) for at, sku in enumerate(skus)))
    hierarchy = Hierarchy.build(panel.series, tree, None)
    report = report_of(fit(panel, one_group(24), horizon=14, workers=1, hierarchy=hierarchy))
    assert {"category x total", "category x store"} < set(report["level"])
