"""A quarter without a fault: days come, runs are published and measured, drift is judged, and hardly anybody is woken.

What belongs here: that alerts are evaluated twice a day through a simulated quarter in which nothing is wrong, and told
at most once. What does not: faults, which the fire drill has.

`make soak` goes through 91 days, and again with other chance; every test run through some days of them.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from forecast_assets.alerts.evaluating import AlertEvaluator
from forecast_assets.core.keys import DAILY, RunKey
from forecast_assets.ingestion.batch import Batch
from forecast_assets.launch import Runner
from forecast_assets.settings import Settings
from forecast_assets.simulation.simulator import SimulatorSettings, simulate_retailer
from resources.operational.alerts import AlertStore
from resources.orchestration.run_history import HomeHistory
from resources.stores.moments import DAILY_FEEDS
from tests.support.alert_receivers import Receiver, http_receiver

HORIZON: Final = 7
END: Final = date(2025, 6, 30)
IS_FULL: Final = os.environ.get("SOAK") == "full"
DAYS: Final = 91 if IS_FULL else 2
SEEDS: Final = (11, 12) if IS_FULL else (11,)

pytestmark = [pytest.mark.usefixtures("brief_runs"), pytest.mark.timeout(0 if IS_FULL else 300)]


@dataclass
class Quarter:
    """A home whose days go by, and who is told of it."""

    runner: Runner
    batches: list[Batch]
    receiver: Receiver
    evaluator: AlertEvaluator

    def arrive(self, first: date, last: date) -> None:
        """Ingest the daily feeds of some days."""
        is_new = pl.col("event_date").is_between(first, last)
        self.runner.ingest(replace(batch, frame=batch.frame.filter(is_new)) for batch in self.batches)

    def evaluate(self, at: datetime) -> None:
        done = self.evaluator.evaluate(HomeHistory(self.runner.settings.dagster_folder), self.runner.stores, at)
        assert not done.trouble
        assert "probe-failed" not in {each.code for each in done.health.findings}

    def live(self, day: date) -> None:
        """Let a day come, publish and measure what is due, judge drift, and look twice."""
        at = datetime.combine(day + timedelta(days=1), time(), UTC)
        self.evaluate(at + timedelta(hours=6))
        self.arrive(day, day)
        self.runner.score(RunKey(DAILY.name, day, "stat-1", HORIZON))
        self.runner.measure(DAILY.name)
        self.runner.drift(day)
        self.evaluate(at + timedelta(hours=18))


@pytest.fixture(params=SEEDS)
def quarter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Quarter]:
    simulated = simulate_retailer(
        SimulatorSettings(skus=16, stores=2, days=250 + DAYS, seed=request.param, end=END)
    ).batches
    with http_receiver() as receiver:
        settings = Settings(
            home=tmp_path / "home", workers=1, risk_paths=100, mlflow=False, freshness=True,
            alert_to=(receiver.address("webhook"),),
        )  # fmt: skip
        runner = Runner(settings)
        runner.ingest(batch for batch in simulated if batch.feed not in DAILY_FEEDS)
        daily = [batch for batch in simulated if batch.feed in DAILY_FEEDS]
        made = Quarter(runner, daily, receiver, AlertEvaluator(settings))
        start = END - timedelta(days=DAYS)
        made.arrive(date.min, start)
        runner.train(family="statistical", version="stat-1", cutoff=start, horizon=HORIZON)
        runner.stores.registry.promote("stat-1", by="ana", reason="first")
        runner.score(RunKey(DAILY.name, start, "stat-1", HORIZON))
        yield made


def test_a_quiet_quarter_raises_one_alert_at_most_and_the_silence_after_it_some(quarter: Quarter) -> None:
    for number in range(1, DAYS + 1):
        quarter.live(END - timedelta(days=DAYS - number))
    store = AlertStore(quarter.runner.settings.operational_path)
    raised = store.all(has_closed=True)
    assert len(raised) <= 1, Counter(each.fingerprint for each in raised)
    told = [each for post in quarter.receiver.posts for each in post.said["data"]["alerts"] if each["what"] == "opened"]
    assert len(told) == len(raised)
    # What stays away is told, so that the silence before was no deafness.
    quarter.evaluate(datetime.combine(END + timedelta(days=3), time(18), UTC))
    assert {each.code for each in store.all()} - {each.code for each in raised} == {"late-feed", "late-run"}
