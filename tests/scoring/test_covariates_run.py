"""A whole run with covariates: told in units and words, rebuilt, and the same whatever will be observed."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import COVARIATES
from forecast_assets.core.keys import RunKey
from forecast_assets.ingestion.batch import Batch
from forecast_assets.launch import Runner
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.replaying import replay
from forecast_assets.simulation.simulator import simulate_retailer
from tests.support import canaries
from tests.support.canaries import CUTOFF, HORIZON, KNOWN_UNTIL, RETAILER, Run

pytestmark = pytest.mark.usefixtures("brief_runs")

FAMILY = "global"
KEY = RunKey("daily", CUTOFF, f"{FAMILY}-1", HORIZON)
PLAN_DAYS, EFFECT = 7, 0.5
DAYS = RETAILER.days
FIRST = RETAILER.end - timedelta(days=DAYS - 1)
WARMTH = np.random.default_rng(11).normal(size=DAYS)


def words(known_until: datetime, plans: bool) -> pl.DataFrame:
    """Warmth of all stores as planned up to a week ahead, with an error, or as observed at the end of the day."""
    errors = np.random.default_rng(12).normal(0.0, 0.2, (PLAN_DAYS + 1, DAYS))
    leads = range(PLAN_DAYS, 0, -1) if plans else (0,)
    rows = [
        ("warmth", "all", day, datetime.combine(day - timedelta(days=lead - 1), time(), UTC), value)
        for at, day in enumerate(FIRST + timedelta(days=at) for at in range(DAYS))
        for lead in leads
        for value in [float(WARMTH[at] + (errors[lead, at] if plans else 0.0))]
    ]
    frame = pl.DataFrame(rows, schema=COVARIATES.schema, orient="row")
    return frame.filter(pl.col("known_at") <= known_until)


def weather(known_until: datetime = KNOWN_UNTIL) -> list[Batch]:
    forecaster, station = words(known_until, plans=True), words(known_until, plans=False)
    return [
        Batch("covariates", "forecaster", 0.5, timedelta(0), forecaster),
        Batch("covariates", "station", 0.9, timedelta(0), station),
    ]


def sold_by_warmth(batch: Batch) -> Batch:
    """Sales that rise and fall with the warmth of the day."""
    if batch.feed != "sales":
        return batch
    days = pl.DataFrame(
        {"event_date": [FIRST + timedelta(days=at) for at in range(DAYS)], "factor": np.exp(EFFECT * WARMTH)}
    )
    told = batch.frame.join(days, on="event_date", how="left", maintain_order="left")
    units = (pl.col("sales_units") * pl.col("factor").fill_null(1.0)).round(0)
    return replace(batch, frame=told.with_columns(sales_units=units).drop("factor"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runner, Run]:
    return run_of(tmp_path_factory.mktemp("home"), weather())


def run_of(home: Path, told: list[Batch]) -> tuple[Runner, Run]:
    simulation = simulate_retailer(RETAILER)
    runner = canaries.new_runner(home / "home")
    runner.ingest([*map(sold_by_warmth, canaries.honest(simulation)), *told])
    return runner, canaries.run(runner, FAMILY, canaries.true_sales(simulation))


def test_the_effect_is_told_in_units_and_in_words(published: tuple[Runner, Run]) -> None:
    stores = published[0].stores
    told = read_product(stores, stores.predictions.publication(KEY), "forecast_explanations")
    ahead = pl.DataFrame(
        {"target_date": [CUTOFF + timedelta(days=step) for step in range(1, PLAN_DAYS + 1)],
         "warmth": WARMTH[DAYS - HORIZON : DAYS - HORIZON + PLAN_DAYS]}
    )  # fmt: skip
    daily = told.group_by("target_date").agg(pl.col("covariates_units").sum().cast(pl.Float64))
    both = ahead.join(daily, on="target_date")
    assert np.corrcoef(both["warmth"], both["covariates_units"])[0, 1] > 0.8
    words_told = told.filter(pl.col("forecast_reason").str.contains("warmth"))["forecast_reason"]
    assert words_told.str.contains(r"covariates \(warmth (above|below) usual( lately)?\) (add|take away) \d").all()
    assert len(words_told) > 0


def test_the_run_is_rebuilt_byte_for_byte(published: tuple[Runner, Run]) -> None:
    runner = published[0]
    replay(runner.stores, runner.settings, KEY, lambda *_: None).require_equal()


def test_what_will_be_observed_changes_nothing(published: tuple[Runner, Run], tmp_path: Path) -> None:
    """Plans and observations of the days ahead that come later, in the same deliveries."""
    later = weather(KNOWN_UNTIL + timedelta(days=30))
    assert all(each.frame.height > before.frame.height for each, before in zip(later, weather(), strict=True))
    _, other = run_of(tmp_path, later)
    assert other.content == published[1].content
