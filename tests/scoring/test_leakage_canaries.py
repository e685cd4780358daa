"""Nothing that is known later reaches a run: with canaries planted or without, it says the same, byte for byte.

Each test is a function of the code it runs, and is run on leaky code too: a leak that it would not find fails it here.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.contracts import FEEDS
from forecast_assets.core.arrays import Floats
from forecast_assets.features.panel import Panel
from forecast_assets.launch import Runner
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.boosted.inputs import DEFAULT_INPUTS, CutoffInputs, TreePanel
from forecast_assets.models.statistical.effects import Factors
from forecast_assets.simulation.simulator import simulate_retailer
from forecast_assets.training import evaluation
from tests.support import canaries
from tests.support.canaries import HORIZON, Run
from tests.support.digests import digest
from tests.support.fitted import fit
from tests.support.forecast_cases import lawful_panel, one_group

pytestmark = pytest.mark.usefixtures("brief_runs")

FAMILIES: Final = ("statistical", "global")
# Families that whole runs are made with.
RUNS: Final = ("statistical", "global")
SERIES, DAYS = 16, 98


@dataclass(frozen=True)
class Retailers:
    """The same retailer without canaries and with them, and what it will sell."""

    clean: Runner
    planted: Runner
    truth: pl.DataFrame


@pytest.fixture(scope="module")
def retailers(tmp_path_factory: pytest.TempPathFactory) -> Retailers:
    simulation = simulate_retailer(canaries.RETAILER)
    homes = tmp_path_factory.mktemp("canaries")
    clean, planted = (canaries.new_runner(homes / name) for name in ("clean", "planted"))
    clean.ingest(canaries.honest(simulation))
    planted.ingest(canaries.planted(simulation))
    return Retailers(clean, planted, canaries.true_sales(simulation))


# --- what is read of a store ---


def differing(ours: dict[str, pl.DataFrame], theirs: dict[str, pl.DataFrame]) -> set[str]:
    both = ours.keys() & theirs.keys()
    return {name for name in ours.keys() | theirs.keys() if name not in both or not ours[name].equals(theirs[name])}


def require_the_same_reading(retailers: Retailers) -> None:
    assert differing(canaries.read(retailers.clean), canaries.read(retailers.planted)) == set()


def test_nothing_that_is_known_later_is_read(retailers: Retailers) -> None:
    require_the_same_reading(retailers)


SIMULATED = FEEDS.keys() - {"covariates", "store_closures", "quarantined_rows"}


@pytest.mark.parametrize(
    ("leak", "found"),
    [
        (
            canaries.knows_what_came_later,
            {"features", "panel.sales", "panel.price_ratio", "panel.is_censored", *SIMULATED},
        ),
        (canaries.reads_rows_whenever_known, {"prices", "events", "product_hierarchy", "panel.has_plan"}),
        (canaries.reads_a_day_ahead, {"sales", "inventory_positions"}),
    ],
)
def test_a_leak_into_what_is_read_is_found(
    retailers: Retailers, leak: canaries.Patch, found: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = canaries.read(retailers.clean)
    leak(monkeypatch)
    assert found <= differing(honest, canaries.read(retailers.planted))
    with pytest.raises(AssertionError):
        require_the_same_reading(retailers)


# --- whole runs ---


@pytest.fixture(scope="module", params=RUNS)
def honest_run(retailers: Retailers, request: pytest.FixtureRequest) -> tuple[str, Run]:
    return request.param, canaries.run(retailers.clean, request.param, retailers.truth)


def require_no_profit(honest: Run, other: Run) -> None:
    """The same bytes all along, and so no better a forecast."""
    assert {name for name, content in honest.content.items() if other.content[name] != content} == set()
    assert other.error >= honest.error


def test_a_run_does_not_profit_from_canaries(retailers: Retailers, honest_run: tuple[str, Run], tmp_path: Path) -> None:
    family, honest = honest_run
    assert {"feature_snapshots", "model_artifacts", "evaluation_reports", "base_forecasts"} <= honest.content.keys()
    require_no_profit(honest, canaries.run(copied(retailers.planted, tmp_path), family, retailers.truth))


def test_a_run_that_profits_is_found(
    retailers: Retailers, honest_run: tuple[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, honest = honest_run
    canaries.knows_what_came_later(monkeypatch)
    leaking = canaries.run(copied(retailers.planted, tmp_path), family, retailers.truth)
    assert leaking.error < 0.7 * honest.error, "these canaries are of no use to whoever reads them"
    with pytest.raises(AssertionError):
        require_no_profit(honest, leaking)
    with pytest.raises(AssertionError):
        require_no_profit(honest, replace(honest, error=leaking.error))


def copied(runner: Runner, folder: Path) -> Runner:
    return canaries.new_runner(shutil.copytree(runner.settings.home, folder / "home", symlinks=True))


# --- panels, as models see them ---


@pytest.fixture(scope="module")
def panel() -> Panel:
    """One horizon more of history than the cutoffs below know."""
    return lawful_panel(count=SERIES, days=DAYS + HORIZON, horizon=HORIZON, level=6.0)


@pytest.fixture(scope="module", params=FAMILIES)
def version(panel: Panel, request: pytest.FixtureRequest) -> tuple[str, Artifact]:
    return request.param, canaries.trained(request.param, panel.as_of(HORIZON))


def with_another_future(panel: Panel, since: int, units: float) -> Panel:
    """A panel in which all observations from a column on are something else."""

    def other(matrix: Floats, value: float) -> Floats:
        return np.concatenate([matrix[:, :since], np.full_like(matrix[:, since:], value)], axis=1)

    return replace(
        panel,
        sales=other(panel.sales, units),
        is_censored=other(panel.is_censored, units > 50),
        out_of_stock_share=other(panel.out_of_stock_share, 0.5),
    )


def require_the_same_forecasts(version: tuple[str, Artifact], ours: Panel, theirs: Panel) -> None:
    family, artifact = version
    assert canaries.forecasts(family, ours, artifact) == canaries.forecasts(family, theirs, artifact)


def test_whatever_comes_after_a_cutoff_leaves_its_forecasts_alone(panel: Panel, version: tuple[str, Artifact]) -> None:
    @settings(max_examples=5, deadline=None, derandomize=True)
    @given(units=st.one_of(st.just(np.nan), st.floats(0.0, 1e6)))
    def holds(units: float) -> None:
        other = with_another_future(panel, DAYS, units)
        require_the_same_forecasts(version, panel.as_of(HORIZON), other.as_of(HORIZON))

    holds()


@pytest.mark.parametrize("family", FAMILIES)
def test_whatever_comes_after_a_cutoff_leaves_its_version_alone(panel: Panel, family: str) -> None:
    version = canaries.trained(family, panel.as_of(HORIZON))
    other = with_another_future(panel, DAYS, 1000.0)
    assert digest(canaries.trained(family, other.as_of(HORIZON)).to_bytes()) == digest(version.to_bytes())


def test_a_cutoff_that_shows_a_day_more_is_found(
    panel: Panel, version: tuple[str, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = with_another_future(panel, DAYS, 1000.0)
    canaries.shows_a_day_more(monkeypatch)
    with pytest.raises(AssertionError):
        require_the_same_forecasts(version, panel.as_of(HORIZON), other.as_of(HORIZON))


def half_unplanned(panel: Panel, price_ratio: float, *, is_promotion: bool) -> Panel:
    """A panel with no plan for every other day of the horizon, and something in its place."""
    hidden = np.zeros((panel.series.height, panel.history_days + panel.horizon_days), dtype=np.bool_)
    hidden[:, panel.history_days :: 2] = True
    return replace(
        panel,
        price_ratio=np.where(hidden, price_ratio, panel.price_ratio),
        is_promotion=np.where(hidden, is_promotion, panel.is_promotion),
        has_plan=~hidden[:, panel.history_days :],
    )


def test_a_plan_that_is_not_known_is_not_read(panel: Panel, version: tuple[str, Artifact]) -> None:
    past = panel.as_of(HORIZON)
    dull, telling = half_unplanned(past, 1.0, is_promotion=False), half_unplanned(past, 0.3, is_promotion=True)
    require_the_same_forecasts(version, dull, telling)


def test_a_model_that_reads_an_unknown_plan_is_found(
    panel: Panel, version: tuple[str, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    canaries.uses_any_plan(monkeypatch)
    with pytest.raises(AssertionError):
        test_a_plan_that_is_not_known_is_not_read(panel, version)


# --- past cutoffs within training ---


def inputs_at(panel: Panel, origin: int) -> bytes:
    """What trees are shown of the days after a past cutoff."""
    days = panel.history_days + panel.horizon_days
    plain = Factors(*[np.ones((SERIES, days))] * 7)
    record = TreePanel.of(panel, plain, one_group(SERIES), ["all"], 0.1)
    return (
        CutoffInputs(record, origin, np.arange(origin + 1, origin + 8))
        .inputs(DEFAULT_INPUTS, np.arange(SERIES))
        .tobytes()
    )


def require_the_same_inputs(panel: Panel, origin: int) -> None:
    assert inputs_at(panel, origin) == inputs_at(with_another_future(panel, origin + 1, 1000.0), origin)


@pytest.mark.parametrize("origin", [20, 60, DAYS - 2])
def test_what_trees_see_at_a_past_cutoff_ends_with_it(panel: Panel, origin: int) -> None:
    require_the_same_inputs(panel, origin)


def test_inputs_that_read_a_day_ahead_are_found(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    canaries.inputs_read_a_day_ahead(monkeypatch)
    with pytest.raises(AssertionError):
        require_the_same_inputs(panel, 60)


def backtested(family: str, panel: Panel) -> list[str]:
    """Hashes of what the backtests of training forecast."""
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        real = evaluation.report
        patch.setattr(evaluation, "report", lambda made: seen.extend(made) or real(made))
        fit(panel, one_group(SERIES), horizon=HORIZON, family=family, workers=1)
    assert seen
    # By hash: where they differ, whole bytes would be laid out for minutes.
    return [digest(each.tobytes()) for made in seen for each in (made.mean, made.expected_sales, made.quantiles)]


def require_the_same_backtests(family: str, panel: Panel) -> None:
    """Forecasts from an origin one horizon back do not depend on what came after it."""
    other = with_another_future(panel, panel.history_days - HORIZON, 9.0)
    assert backtested(family, panel) == backtested(family, other)


@pytest.mark.parametrize("family", FAMILIES)
def test_backtests_do_not_see_what_came_after_their_origin(panel: Panel, family: str) -> None:
    require_the_same_backtests(family, panel)


def test_backtests_that_see_a_day_more_are_found(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    canaries.shows_a_day_more(monkeypatch)
    with pytest.raises(AssertionError):
        require_the_same_backtests("statistical", panel)


def overall_error(family: str, panel: Panel) -> float:
    """WAPE of the backtests of training."""
    report = fit(panel, one_group(SERIES), horizon=HORIZON, family=family, workers=1).report
    assert report is not None
    found: float = report.filter(pl.col("metric") == "wape", pl.col("segment") == "all")["value"].item()
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_backtests_do_not_profit_from_prices_that_are_known_afterwards_only(panel: Panel, family: str) -> None:
    """Each day's price tells its sales, and no price is known ahead: at no cutoff does that help."""
    days = panel.history_days
    no_plan = {
        "has_plan": np.zeros((SERIES, HORIZON), dtype=np.bool_),
        "is_promotion": np.zeros_like(panel.is_promotion),
    }
    plain = replace(panel, price_ratio=np.ones_like(panel.price_ratio), **no_plan)
    above = (1.0 + panel.sales) / (1.0 + panel.sales.mean(axis=1, keepdims=True))
    told = np.concatenate([np.clip(above, 0.1, 10.0) ** -0.5, plain.price_ratio[:, days:]], axis=1)
    assert overall_error(family, replace(plain, price_ratio=told)) > 0.95 * overall_error(family, plain)
