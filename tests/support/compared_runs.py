"""A retailer with runs to compare: two dates with news in between, two versions, a correction."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from forecast_assets.core.keys import RunKey
from forecast_assets.ingestion.batch import Batch
from forecast_assets.launch import Runner
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.simulation.simulator import Simulation
from tests.support.brief_runs import make_brief
from tests.support.retailers import KEY, RETAILER, copied

FIRST = RunKey("daily", RETAILER.end - timedelta(days=2), "stat-0", 28)
# A day later, half as far ahead.
SECOND = replace(FIRST, prediction_date=RETAILER.end - timedelta(days=1), forecast_horizon=14)
CORRECTED = replace(KEY, revision=1)
# After the first run's moment of knowledge, before the second's.
TOLD = datetime.combine(SECOND.prediction_date, datetime.min.time(), UTC) + timedelta(hours=12)
RESTATED_DAY = FIRST.prediction_date - timedelta(days=2)
RESTATED_UNITS = 60.0


@dataclass(frozen=True)
class ComparedRuns:
    """Runs to compare, and what was planted.

    Attributes:
        runner: The home.
        restated: Series whose sale was restated.
        withdrawn: Series whose promotion was withdrawn.
        day: Target day of that promotion.
    """

    runner: Runner
    restated: tuple[str, str]
    withdrawn: tuple[str, str]
    day: date


@pytest.fixture(scope="session")
def compared(
    published: tuple[Runner, RunOutcome], simulation: Simulation, tmp_path_factory: pytest.TempPathFactory
) -> ComparedRuns:
    runner = copied(published[0], tmp_path_factory.mktemp("compared") / "home")
    with pytest.MonkeyPatch.context() as patch:
        make_brief(patch)
        runner.train(family="statistical", version=FIRST.model_version, cutoff=FIRST.prediction_date, horizon=28)
        runner.score(FIRST)
        sales, restated = _restated(simulation)
        plan, withdrawn, day = _withdrawn(simulation, runner)
        runner.ingest([sales, plan])
        runner.score(SECOND)
        runner.correct(KEY, by="tests", reason="a sale was restated")
    return ComparedRuns(runner, restated, withdrawn, day)


def _restated(simulation: Simulation) -> tuple[Batch, tuple[str, str]]:
    batch = next(each for each in simulation.batches if each.feed == "sales" and each.source == "pos")
    rows = batch.frame.filter(pl.col("event_date") == RESTATED_DAY).sort("sales_units", "store_id", "sku_id")
    row = rows.tail(1)
    said = row.with_columns(known_at=pl.lit(TOLD, row.schema["known_at"]), sales_units=RESTATED_UNITS)
    return replace(batch, frame=said), row.select("store_id", "sku_id").row(0)


def _withdrawn(simulation: Simulation, runner: Runner) -> tuple[Batch, tuple[str, str], date]:
    """The plan of the promotion that adds most to the first run's forecasts of common days, said again without it."""
    told = read_product(runner.stores, runner.stores.predictions.publication(FIRST), "forecast_explanations")
    days = [SECOND.prediction_date + timedelta(days=step) for step in range(1, 15)]
    most = told.filter(pl.col("target_date").is_in(days)).sort("promotion_units", "store_id", "sku_id").tail(1)
    store, sku, day = most.select("store_id", "sku_id", "target_date").row(0)
    batch = next(each for each in simulation.batches if each.feed == "prices" and each.frame["is_promotion"].any())
    row = batch.frame.filter(store_id=store, sku_id=sku, event_date=day).sort("known_at").tail(1)
    said = row.with_columns(
        known_at=pl.lit(TOLD, row.schema["known_at"]), is_promotion=pl.lit(value=False), price_ratio=pl.lit(1.0)
    )
    return replace(batch, frame=said), (store, sku), day
