"""A family that the project does not know goes through all of it: trained, published, rebuilt, judged at past cutoffs.

The family itself, thirty lines, is `LastWeek` in tests/support/family_cases.py; nothing else was written for it.
"""

from collections.abc import Iterator
from datetime import date

import polars as pl
import pytest

from forecast_assets.backtesting.backtest import BacktestRequest, run_backtests
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.progress import silent
from forecast_assets.launch import Runner
from forecast_assets.models.family import family
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.replaying import replay
from forecast_assets.operations.replaying_training import replay_training
from forecast_assets.presentation.state import version_text
from tests.support.family_cases import LastWeek, registered
from tests.support.retailers import RETAILER, copied

pytestmark = pytest.mark.usefixtures("brief_runs")

VERSION, HORIZON = "week-1", 14
CUTOFF = date(2025, 6, 9)
KEY = RunKey("daily", RETAILER.end, VERSION, HORIZON)


@pytest.fixture(scope="module", autouse=True)
def toy() -> Iterator[None]:
    with registered(LastWeek()):
        yield


@pytest.fixture(scope="module")
def runner(toy: None, trained: Runner, tmp_path_factory: pytest.TempPathFactory) -> Runner:  # noqa: ARG001
    """A home with one version of the family and one run of it."""
    made = copied(trained, tmp_path_factory.mktemp("another_family") / "home")
    made.train(family=LastWeek.name, version=VERSION, cutoff=CUTOFF, horizon=HORIZON)
    made.score(KEY)
    return made


def test_it_is_registered_with_a_report_and_shown(runner: Runner) -> None:
    record = runner.stores.registry.model_version(VERSION)
    assert record.family == "last_week"
    assert record.gates == {"was_measured": True}
    report = runner.stores.predictions.read(runner.stores.predictions.version(record.evaluation_report))
    # It is seasonal naive, so it is as good as seasonal naive.
    overall = report.filter(segment_kind="all", metric="wape").row(0, named=True)
    assert overall["value"] == pytest.approx(overall["baseline_value"], rel=0.2)
    assert "last_week" in version_text(runner.stores, VERSION)


def test_a_daily_run_publishes_it_with_risks_and_explanations_that_add_up(runner: Runner) -> None:
    publication = runner.stores.predictions.publication(KEY)
    forecasts = read_product(runner.stores, publication, "forecasts")
    assert forecasts["model_used"].unique().to_list() == ["last_week"]
    assert forecasts["forecast_units"].equals(forecasts["base_units"].alias("forecast_units"))
    explanations = read_product(runner.stores, publication, "forecast_explanations")
    assert (explanations["level_units"] + explanations["rounding_units"] == explanations["forecast_units"]).all()
    risks = read_product(runner.stores, publication, "stockout_risks")
    assert risks.height == forecasts.height
    assert risks["stockout_probability"].drop_nulls().is_between(0, 1).all()


def test_run_and_training_are_rebuilt_byte_for_byte(runner: Runner) -> None:
    for found in (
        replay(runner.stores, runner.settings, KEY, silent),
        replay_training(runner.stores, runner.settings, VERSION, silent),
    ):
        found.require_equal()
        assert found.is_equal


def test_it_is_judged_at_past_cutoffs_also_before_its_own(runner: Runner) -> None:
    cutoffs = [date(2025, 6, 2), date(2025, 6, 16)]
    judged = run_backtests(runner.stores, runner.settings, BacktestRequest(VERSION, cutoffs, horizon=7), silent)
    methods = {(one.cutoff, one.method): one for one in judged.record.methods}
    assert methods["2025-06-02", "version"].is_recipe
    assert not methods["2025-06-16", "version"].is_recipe
    assert {one.family for one in judged.record.methods} == {"last_week", "statistical"}
    wape = pl.col("segment_kind").eq("all") & pl.col("metric").eq("wape") & pl.col("cutoff").is_not_null()
    own = judged.report.filter(wape, method="version").sort("cutoff")["value"]
    naive = judged.report.filter(wape, method="seasonal_naive").sort("cutoff")["value"]
    # Stock that may run out is taken off what it expects to sell, which seasonal naive knows nothing of.
    assert own.to_list() == pytest.approx(naive.to_list(), rel=0.3)


def test_without_it_nothing_of_it_can_be_read(runner: Runner) -> None:
    with pytest.raises(InputError, match="no model family `oracle`"):
        family("oracle")
    assert KEY in runner.stores.ledger.state().publications
