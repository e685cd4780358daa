"""Shops of a few weeks get versions and runs for the whole horizon, wider where no backtest reached."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import CADENCES, RunKey
from forecast_assets.features.panel import Panel
from forecast_assets.launch import Runner
from forecast_assets.metrics.scores import share_inside
from forecast_assets.models.calibration import Calibration
from forecast_assets.models.family import family
from forecast_assets.models.forecasts import ForecastInputs, Forecasts
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.operations.reading import read_product
from forecast_assets.presentation.state import version_text
from forecast_assets.sources.tables import read_tables
from tests.support.fitted import fit
from tests.support.forecast_cases import WEEKDAY, one_group, panel_of
from tests.support.retailers import new_runner

# A Sunday, so that both cadences may predict from it.
END = date(2025, 6, 29)
MAPPING = """
source = "till"
declared_lag_hours = 6
[[feed]]
feed = "sales"
file = "sales.csv"
"""
pytestmark = pytest.mark.usefixtures("brief_runs")


def drawn(count: int, days: int, *, level: float = 5.0, walk: float = 0.0, seed: int = 1) -> Floats:
    """[n, days] Poisson sales about levels that differ, and wander by so much a day, times the weekday."""
    random = np.random.default_rng(seed)
    own = level * np.exp(random.normal(0.0, 0.5, (count, 1)))
    path = np.exp(np.cumsum(random.normal(0.0, walk, (count, days)), axis=1))
    return random.poisson(own * path * WEEKDAY[np.arange(days) % 7]).astype(np.float64)


@pytest.fixture
def shop(tmp_path: Path) -> Runner:
    """A home with nothing in it."""
    return new_runner(tmp_path / "home")


def open_shop(runner: Runner, days: int, articles: int = 8) -> None:
    """Take in so many days of sales of two stores."""
    sales = drawn(2 * articles, days)
    row, day = np.indices(sales.shape)
    first = END - timedelta(days=days - 1)
    frame = pl.DataFrame({"row": row.ravel(), "day": day.ravel(), "sales_units": sales.ravel()}).select(
        event_date=pl.lit(first) + pl.duration(days="day"),
        store_id=pl.format("S-{}", pl.col("row") % 2),
        sku_id=pl.format("A-{}", pl.col("row") // 2),
        sales_units=pl.col("sales_units").cast(pl.Int64),
    )
    folder = runner.settings.home.parent
    frame.write_csv(folder / "sales.csv")
    (folder / "mapping.toml").write_text(MAPPING)
    runner.ingest(read_tables(folder / "mapping.toml"))


@pytest.mark.parametrize(
    ("family_name", "cadence", "days", "reach"),
    [
        ("statistical", "daily", 14, 7), ("statistical", "daily", 20, 7), ("statistical", "daily", 35, 7),
        ("statistical", "daily", 56, 14), ("statistical", "daily", 100, 28), ("combined", "daily", 43, 15),
        ("statistical", "weekly", 56, 14), ("statistical", "weekly", 70, 21), ("statistical", "weekly", 150, 90),
    ],
)  # fmt: skip
def test_a_shop_goes_from_a_few_weeks_to_a_published_run(
    shop: Runner, family_name: str, cadence: str, days: int, reach: int
) -> None:
    open_shop(shop, days)
    horizon = CADENCES[cadence].default_horizon
    # A daily run's days ahead are what training is for if nobody says.
    asked = None if cadence == "daily" else horizon
    shop.train(family=family_name, version="first-1", cutoff=END, horizon=asked)
    outcome = shop.score(RunKey(cadence, END, "first-1", horizon))
    rows = read_product(shop.stores, outcome.publication, "forecasts")
    assert rows.height == 16 * horizon
    beyond = rows.filter(pl.col("step") > reach)["quality_flags"].str.contains("short_history")
    within = rows.filter(pl.col("step") <= reach)["quality_flags"].str.contains("short_history")
    assert beyond.all()
    assert within.all() if days < 56 else not within.any()
    said = f"{days} days of history: backtested up to {reach} days ahead. On days {reach + 1} to {horizon} the spread"
    assert (said in version_text(shop.stores, "first-1")) == (reach < horizon)
    facts = shop.stores.predictions.version(shop.stores.registry.model_version("first-1").artifact).facts
    assert facts.get("backtested_days", horizon) == reach


@pytest.mark.parametrize(
    ("days", "horizon", "words"),
    [
        (
            13,
            None,
            r"13 days of sales up to the cutoff are too few .* 28 days ahead: it takes 14 .* 1 day later",
        ),
        (
            55,
            90,
            r"55 days .* 90 days ahead: it takes 56 .*Ingest earlier days of sales, or take a cutoff 1 day",
        ),
    ],
)
def test_too_few_days_are_refused_with_how_many_it_takes(
    shop: Runner, days: int, horizon: int | None, words: str
) -> None:
    open_shop(shop, days)
    with pytest.raises(InputError, match=words):
        shop.train(family="statistical", version="stat-1", cutoff=END, horizon=horizon)


@pytest.mark.parametrize("name", ["global", "combined"])
def test_trees_refuse_a_short_history_and_name_the_family_that_takes_it(shop: Runner, name: str) -> None:
    open_shop(shop, 42)
    with pytest.raises(InputError, match=r"42 days .* too few .* takes 43 or more. Train with --family statistical"):
        shop.train(family=name, version="trees-1", cutoff=END)


# --- from a panel alone ---


def forecast(panel: Panel) -> tuple[StatisticalArtifact, Forecasts]:
    groups = one_group(panel.series.height)
    artifact = fit(panel, groups, horizon=panel.horizon_days, workers=1, evaluates=False).artifact
    assert isinstance(artifact, StatisticalArtifact)
    return artifact, family("statistical").forecast(artifact, ForecastInputs(panel, groups, workers=1))


@pytest.mark.parametrize(
    ("days", "horizon", "level", "walk"),
    [(14, 28, 5.0, 0.0), (35, 28, 5.0, 0.03), (56, 28, 5.0, 0.05), (56, 28, 0.2, 0.0), (70, 90, 5.0, 0.02)],
)
def test_days_beyond_the_backtests_are_covered_on_simulated_truth(
    days: int, horizon: int, level: float, walk: float
) -> None:
    """The 80% interval holds at least as much as it says, and does not hold everything."""
    sales = drawn(80, days + horizon, level=level, walk=walk)
    artifact, made = forecast(panel_of(sales[:, :days], horizon=horizon))
    assert artifact.short_history is not None
    reach = artifact.short_history.backtested_days
    came = sales[:, days + reach :]
    quantiles = made.quantiles[:, reach:].reshape(-1, len(QUANTILES))
    inside = share_inside(came.ravel(), quantiles, 0.1, 0.9).mean()
    assert 0.77 <= inside <= 0.96


def test_quantiles_beyond_the_backtests_move_away_from_the_mean_step_by_step() -> None:
    sales = drawn(40, 35)
    artifact, _ = forecast(panel_of(sales, horizon=28))
    quantiles = artifact.quantiles(np.full((1, 28), 5.0), np.array(["smooth"]))[0, 6:]
    low, high = quantiles[:, QUANTILES.index(0.1)], quantiles[:, QUANTILES.index(0.9)]
    assert low[0] < 5.0 < high[0]
    assert (np.diff(low) <= 0).all()
    assert (np.diff(high) > 0).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert high[-1] - 5.0 == pytest.approx((high[0] - 5.0) * 2.0)


def test_a_version_with_a_short_history_survives_its_bytes() -> None:
    artifact, _ = forecast(panel_of(drawn(10, 20), horizon=28))
    assert StatisticalArtifact.from_bytes(artifact.to_bytes()) == artifact
    assert artifact.facts() == {"known_days": 20, "backtested_days": 7}
    damaged = artifact.to_bytes().replace(b'"backtested_days": 7', b'"backtested_days": 0')
    with pytest.raises(InputError, match=r"no artifact of the family `statistical`.*no backtest of 0 days"):
        family("statistical").load(damaged)


def test_a_version_that_was_backtested_all_the_way_has_the_bytes_of_before() -> None:
    """Releases before short histories wrote no word of them."""
    artifact, made = forecast(panel_of(drawn(10, 60), horizon=28))
    assert b"short_history" not in artifact.to_bytes()
    assert artifact.facts() == {}
    assert made.backtested_days is None
    plain: Calibration = artifact.calibration
    np.testing.assert_array_equal(made.quantiles, plain.quantiles(made.mean, made.demand_class))


def test_one_article_in_one_store_gets_a_version_too() -> None:
    panel = panel_of(drawn(1, 14), horizon=28)
    made = fit(panel, one_group(1), horizon=28, workers=1)
    assert made.report is not None
    assert made.report.filter(segment_kind="all", metric="wape")["rows"].to_list() == [7]


def test_what_a_short_history_shows_is_judged_as_far_ahead_as_it_came() -> None:
    """Two backtests of 56 days: 14 days of the newer, 28 of the older, the widened ones included."""
    panel = panel_of(drawn(20, 56), horizon=28)
    made = fit(panel, one_group(20), horizon=28, workers=1)
    assert made.report is not None
    by_day = made.report.filter(segment_kind="day_ahead", metric="coverage_80").select("segment", "rows")
    assert dict(by_day.iter_rows()) == {str(day): 40 if day <= 14 else 20 for day in range(1, 29)}


def test_the_future_does_not_touch_what_is_forecast_from_a_short_history() -> None:
    panel = panel_of(drawn(12, 20), horizon=28)
    turned = replace(panel, sales=np.concatenate([panel.sales[:, :-7], 50.0 - panel.sales[:, -7:]], axis=1))
    ours, theirs = (fit(each, one_group(12), horizon=28, workers=1).report for each in (panel, turned))
    assert ours is not None
    assert theirs is not None
    totals = []
    for report, sales in ((ours, panel.sales), (theirs, turned.sales)):
        bias = report.filter(segment_kind="all", metric="bias")["value"].item()
        totals.append((bias + 1.0) * sales[:, -7:].sum())
    assert totals[0] == pytest.approx(totals[1])
