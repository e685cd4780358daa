"""The weekly run end to end: Sundays, 90 days ahead, the same promises; and a backfill of past dates."""

import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from datetime import date, timedelta
from io import StringIO

import duckdb
import polars as pl
import pytest

from forecast_assets.cli import main
from forecast_assets.contracts import PRODUCTS, PUBLISHED
from forecast_assets.core.errors import HorizonError, InputError, NotAcceptedError
from forecast_assets.core.keys import WEEKLY, RunKey
from forecast_assets.ingestion.batch import Batch
from forecast_assets.launch import Runner
from forecast_assets.operations.backfilling import backfill_keys
from forecast_assets.operations.reading import read_product, resolve_run
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.presentation.actions import error_text
from forecast_assets.simulation.simulator import Simulation, SimulatorSettings, simulate_retailer
from tests.support.brief_runs import in_full
from tests.support.replayed_rows import picked, require_replayed
from tests.support.retailers import copied, new_runner

pytestmark = pytest.mark.usefixtures("brief_runs")

RETAILER = SimulatorSettings(skus=10, stores=2, days=330, seed=11, end=date(2025, 6, 30))
SUNDAY = date(2025, 6, 15)
KEY = RunKey("weekly", SUNDAY, "stat-weekly-1", 90)

# Plans are known ahead; their rows after the prediction date are no observations.
PLANS = {"prices", "events"}


@pytest.fixture(scope="module")
def retailer() -> Simulation:
    return simulate_retailer(RETAILER)


def batches(retailer: Simulation, *, later: bool) -> list[Batch]:
    """The retailer's batches up to the Sunday, or what came after it."""
    is_past = pl.col("event_date") <= SUNDAY
    chosen = [
        replace(batch, frame=batch.frame.filter(~is_past if later else is_past | pl.lit(batch.feed in PLANS)))
        for batch in retailer.batches
        if not (later and batch.feed in PLANS)
    ]
    return [batch for batch in chosen if batch.frame.height]


@pytest.fixture(scope="module")
def as_of_sunday(retailer: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A home that knows nothing after the Sunday, with a version that looks 90 days ahead."""
    runner = new_runner(tmp_path_factory.mktemp("weekly"))
    runner.ingest(batches(retailer, later=False))
    runner.train(family="statistical", version="stat-weekly-1", cutoff=SUNDAY - timedelta(days=7), horizon=90)
    runner.stores.registry.promote("stat-weekly-1", by="tests", reason="first", channel=WEEKLY.champion)
    return runner


@pytest.fixture(scope="module")
def later(retailer: Simulation, as_of_sunday: Runner, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """The same home two weeks later."""
    runner = copied(as_of_sunday, tmp_path_factory.mktemp("later") / "home")
    runner.ingest(batches(retailer, later=True))
    return runner


@pytest.fixture(scope="module")
def outcome(later: Runner) -> RunOutcome:
    with in_full():
        return later.score(KEY)


def test_random_weekly_rows_are_rebuilt_to_the_published_values(later: Runner, outcome: RunOutcome) -> None:
    require_replayed(later, KEY, picked(later, 20)[outcome.publication.key])


def test_every_product_keeps_its_contract_for_90_days(later: Runner, outcome: RunOutcome) -> None:
    assert outcome.is_new
    assert resolve_run(later.stores, "weekly", SUNDAY, "stat-weekly-1") == outcome.publication
    for name in PUBLISHED:
        frame = read_product(later.stores, outcome.publication, name)
        furthest = "period_days" if name == "cumulative_forecasts" else "step"
        rows = PRODUCTS[name].validate(frame)
        assert rows.is_empty() == PRODUCTS[name].may_have_no_rows, "nobody has overridden anything"
        assert rows[furthest].max() == (None if rows.is_empty() else 90)
        assert set(frame["cadence"]) <= {"weekly"}
    assert all(len(checks) >= 3 for checks in outcome.publication.accepted.values())


def test_no_observation_after_the_cutoff_is_read(as_of_sunday: Runner, later: Runner, outcome: RunOutcome) -> None:
    then = as_of_sunday.score(KEY)
    for name in PUBLISHED:
        before = read_product(as_of_sunday.stores, then.publication, name)
        assert before.equals(read_product(later.stores, outcome.publication, name)), name


def test_sql_names_the_weekly_views(later: Runner, outcome: RunOutcome) -> None:
    frame = read_product(later.stores, outcome.publication, "forecasts")
    with duckdb.connect(str(later.settings.catalogue_path), read_only=True) as connection:
        found = connection.execute(
            'SELECT count(*), sum(forecast_units) FROM "stat-weekly-1".weekly_forecasts WHERE prediction_date = ?',
            [SUNDAY],
        ).fetchone()
        assert found == (frame.height, frame["forecast_units"].sum())
        with pytest.raises(duckdb.CatalogException, match="forecasts"):
            connection.execute('SELECT * FROM "stat-weekly-1".forecasts')


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (replace(KEY, prediction_date=date(2025, 6, 16)), InputError, "is a Monday.*--date 2025-06-15"),
        (replace(KEY, prediction_date=date(2025, 6, 1)), NotAcceptedError, "would know its own future"),
        (replace(KEY, prediction_date=date(2024, 6, 2)), InputError, "lies before the store's first day"),
    ],
    ids=["monday", "before-training", "before-the-store"],
)
def test_what_can_never_run_is_refused_at_once(
    later: Runner, key: RunKey, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        later.score(key)


def test_a_version_looks_no_further_than_it_was_trained(trained: Runner) -> None:
    with pytest.raises(HorizonError) as caught:
        trained.score(RunKey("daily", date(2025, 6, 30), "stat-1", 30))
    assert re.search("`stat-1` was trained for 28 days ahead.*train --horizon 30", error_text(caught.value))


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


def call(runner: Runner, *arguments: object) -> Said:
    """Call the command on a home folder, in this process: loading everything twice more would take most of the time."""
    out, err, code = StringIO(), StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("FORECAST_ASSETS_HOME", str(runner.settings.home))
        patch.setenv("FORECAST_ASSETS_WORKERS", "1")
        patch.setattr(sys, "argv", ["forecast-assets", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


def test_a_backfill_says_what_it_did_and_what_waits(later: Runner, outcome: RunOutcome) -> None:
    assert outcome.publication
    keys = backfill_keys("weekly", "stat-weekly-1", SUNDAY, date(2025, 7, 6), None)
    assert len(keys) == 4
    options = ["--cadence", "weekly", "--model-version", "stat-weekly-1", "--from", SUNDAY, "--to"]
    done = call(later, "backfill", *options, "2025-06-22")
    assert done.code == 0, done.err
    assert "weekly/2025-06-22/stat-weekly-1/90/r0 (2 of 2)" in done.err
    assert [line.split()[1:3] for line in done.out.splitlines()[2:]] == [
        ["published", "before"], ["published", "ledger"],
    ]  # fmt: skip
    waiting = call(later, "backfill", *options[:-2], "2025-06-22", "--to", "2025-07-06")
    assert waiting.code == 3, waiting.err
    assert "1 of 3 dates wait for their inputs: 2025-07-06." in waiting.err
    assert "`sales` has not reached 2025-07-06" in " ".join(waiting.out.split())
    assert "weekly/2025-06-29/stat-weekly-1/90/r0  published" in waiting.out
