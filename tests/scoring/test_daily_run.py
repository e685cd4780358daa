"""The daily run end to end, through Dagster, in one process."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import duckdb
import numpy as np
import polars as pl
import pytest
import sqlalchemy

from checks.rule import Rule
from checks.rules import RULES
from forecast_assets.automation.triggers import scoring_request, snapshot_request
from forecast_assets.contracts import COMPONENTS, NODE_KEY, PERIODS, PRODUCTS, PUBLISHED, QUANTILE_COLUMNS, QUANTILES
from forecast_assets.core.errors import (
    AlreadyRegisteredError,
    ChangedFileError,
    HorizonError,
    IncompleteInputsError,
    NotAcceptedError,
    UnknownVersionError,
)
from forecast_assets.core.keys import DAILY, RunKey
from forecast_assets.core.run import RunRequest
from forecast_assets.launch import Runner
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.publication.cumulative import terms_of
from forecast_assets.publication.paths import paths_of_run
from forecast_assets.scoring.context import RunContext
from forecast_assets.simulation.simulator import Simulation
from forecast_assets.snapshots.rebuilding import rebuild_snapshot
from forecast_assets.sources.simulated import read_simulated
from partitions import scoring_partition
from resources.maintenance.verification import verify_store
from resources.orchestration.dagster_home import Launches
from resources.stores.moments import DAILY_FEEDS
from tests.support.retailers import KEY, RETAILER, copied, new_runner
from tests.torture.injection import KILL_AFTER, KILL_BEFORE, Call, Harm, Report, armed
from tests.torture.sizes import size

pytestmark = pytest.mark.usefixtures("brief_runs")

Published = tuple[Runner, RunOutcome]
SNAPSHOTS = Launches(dg.DagsterInstance.ephemeral(), "feature_pipeline")
SCORING = Launches(dg.DagsterInstance.ephemeral(), "daily_scoring")


def product(published: Published, name: str) -> pl.DataFrame:
    runner, outcome = published
    return read_product(runner.stores, outcome.publication, name)


def test_one_ledger_entry_publishes_all_products_with_their_acceptances(published: Published) -> None:
    runner, outcome = published
    assert outcome.is_new
    assert set(outcome.publication.products) == set(PUBLISHED)
    assert all(len(checks) >= 3 for checks in outcome.publication.accepted.values())
    assert outcome.checks_passed >= len([rule for rule in RULES if rule.product in PRODUCTS])
    assert runner.stores.ledger.state().sequence == outcome.publication.sequence


def test_every_series_has_every_step_and_keeps_its_contract(published: Published, simulation: Simulation) -> None:
    frame = product(published, "forecasts")
    series = simulation.series.select("store_id", "sku_id").unique().height
    assert frame.height == frame.select("store_id", "sku_id").unique().height * 28
    assert frame.select("store_id", "sku_id").unique().height <= series
    for name in PUBLISHED:
        rows = PRODUCTS[name].validate(product(published, name))
        assert rows.is_empty() == PRODUCTS[name].may_have_no_rows, "nobody has overridden anything"
    assert frame["target_date"].min() == RETAILER.end + timedelta(days=1)
    assert frame["target_date"].max() == RETAILER.end + timedelta(days=28)


def test_aggregates_are_the_exact_sums_of_the_forecasts(published: Published) -> None:
    frame, aggregates = product(published, "forecasts"), product(published, "aggregate_forecasts")
    total = aggregates.filter(product_level="total", store_level="total").sort("step")
    sums = frame.group_by("step").agg(pl.col("forecast_units").sum(), pl.col("expected_sales_units").sum()).sort("step")
    assert total["forecast_units"].to_list() == sums["forecast_units"].to_list()
    assert total["expected_sales_units"].to_list() == sums["expected_sales_units"].to_list()
    levels = aggregates.select("product_level", "store_level").unique().height
    assert levels == 5 * 5 - 1  # total, three levels and the item itself, twice; the bottom is the forecasts


def test_quantiles_of_every_node_are_those_of_its_paths(published: Published) -> None:
    """Paths are made anew from what was published, and added up here by the names of what is below each node."""
    runner, _ = published
    run = RunContext(runner.stores, RunRequest(KEY, runner.options))
    forecasts, aggregates = product(published, "forecasts"), product(published, "aggregate_forecasts")
    paths = paths_of_run(run, forecasts)
    assert paths is not None
    drawn = np.stack(list(paths.steps()))
    mean = forecasts["forecast_units"].cast(pl.Float64).to_numpy().reshape(-1, 28).T
    assert drawn.min() >= 0
    assert np.abs(drawn.mean(axis=2) - mean).max() <= 0.5 / paths.paths + 1e-6
    assert (drawn == np.rint(drawn)).all(axis=(0, 2)).tolist() == paths.marginals.is_whole.tolist()
    places = {
        (level.name, node): (at, run.hierarchy.crossed_levels[at].code == place)
        for at, level in enumerate(run.hierarchy.crossed_levels)
        for place, node in enumerate(level.frame.select("product_node", "store_node").iter_rows())
    }
    assert len(places) * 28 == aggregates.height
    for rows in aggregates.partition_by(NODE_KEY):
        row = rows.row(0, named=True)
        level, node = (row["product_level"], row["store_level"]), (row["product_node"], row["store_node"])
        sums = drawn[:, places[level, node][1]].sum(axis=1)
        expected = np.quantile(sums, QUANTILES, axis=1, method="hazen").T
        assert rows.sort("step").select(QUANTILE_COLUMNS).cast(pl.Float64).to_numpy() == pytest.approx(
            expected, abs=2e-6
        )


def test_demand_over_days_is_that_of_the_same_paths(published: Published) -> None:
    runner, _ = published
    run = RunContext(runner.stores, RunRequest(KEY, runner.options))
    forecasts, found = product(published, "forecasts"), product(published, "cumulative_forecasts")
    paths = paths_of_run(run, forecasts)
    assert paths is not None
    drawn, at = np.stack(list(paths.steps())), {name: row for row, name in enumerate(run.hierarchy.series.iter_rows())}
    assert set(found["period"]) == set(PERIODS)
    for row in found.iter_rows(named=True):
        if row["period"] in ("lead_time", "lead_time_and_review"):
            continue
        sums = drawn[: int(row["period_days"]), at[row["store_id"], row["sku_id"]]].sum(axis=0)
        expected = np.quantile(sums, QUANTILES, method="hazen")
        assert [float(row[name]) for name in QUANTILE_COLUMNS] == pytest.approx(expected, abs=2e-6)
        assert float(row["covering_95_units"]) == pytest.approx(np.sort(sums)[474], abs=2e-6)


def test_demand_over_a_random_lead_time_is_wider_than_over_its_mean(published: Published) -> None:
    runner, _ = published
    run = RunContext(runner.stores, RunRequest(KEY, runner.options))
    found = product(published, "cumulative_forecasts")
    terms = terms_of(run.hierarchy.series, run.history)
    assert terms is not None
    lead = found.filter(period="lead_time")
    known = dict(zip(run.hierarchy.series.iter_rows(), terms.lead_time_days.tolist(), strict=True))
    said = [known[row["store_id"], row["sku_id"]] for row in lead.iter_rows(named=True)]
    assert lead["period_days"].cast(pl.Float64).to_list() == pytest.approx(said, abs=0.1)
    more = lead.join(found.filter(period="lead_time_and_review"), on=["store_id", "sku_id"], suffix="_more")
    for column in ("forecast_units", "q500_units", "covering_98_units"):
        assert (more[f"{column}_more"] >= more[column]).all()


def test_explanations_add_up_to_the_published_numbers(published: Published) -> None:
    frame = product(published, "forecast_explanations")
    drivers = [*COMPONENTS, "reconciliation_units", "override_units"]
    assert frame.select((pl.sum_horizontal(drivers) == pl.col("forecast_units")).all()).item()
    joined = frame.join(product(published, "forecasts"), on=["store_id", "sku_id", "step"], suffix="_published")
    assert (joined["forecast_units"] == joined["forecast_units_published"]).all()
    assert (joined["expected_sales_units"] == joined["expected_sales_units_published"]).all()


def test_running_again_computes_nothing_and_says_so(published: Published) -> None:
    runner, outcome = published
    before = runner.stores.ledger.state().sequence
    again = runner.score(KEY)
    assert not again.is_new
    assert again.publication == outcome.publication
    assert runner.stores.ledger.state().sequence == before


def test_another_process_queries_it_by_naming_the_version(published: Published) -> None:
    runner, _ = published
    path = str(runner.settings.catalogue_path)
    sql = (
        "SELECT count(*) FROM \"stat-1\".forecasts WHERE prediction_date = DATE '2025-06-30' AND forecast_horizon = 28"
    )
    code = f"import duckdb; print(duckdb.connect({path!r}, read_only=True).execute({sql!r}).fetchone()[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = product(published, "forecasts").height
    assert int(done.stdout) == expected
    engine = sqlalchemy.create_engine(f"duckdb:///{runner.settings.catalogue_path}", connect_args={"read_only": True})
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text(sql)).scalar_one() == expected
    engine.dispose()
    with duckdb.connect(str(runner.settings.catalogue_path), read_only=True) as connection, pytest.raises(duckdb.Error):
        connection.execute("SELECT * FROM forecasts")


def test_the_same_inputs_give_the_same_bytes(published: Published, trained: Runner, tmp_path: Path) -> None:
    _, outcome = published
    other = copied(trained, tmp_path / "other").score(KEY)
    assert other.publication.products == outcome.publication.products


def test_a_fresh_home_gives_the_same_snapshot_and_artifact(
    trained: Runner, retailer_folder: Path, tmp_path: Path
) -> None:
    runner = new_runner(tmp_path / "fresh")
    runner.ingest(read_simulated(retailer_folder))
    runner.train(family="statistical", version="stat-1", cutoff=RETAILER.end, horizon=28)
    ours, theirs = (r.stores.registry.model_version("stat-1") for r in (runner, trained))
    assert (ours.artifact, ours.training_snapshot, ours.evaluation_report) == (
        theirs.artifact, theirs.training_snapshot, theirs.evaluation_report,
    )  # fmt: skip


def test_a_snapshot_of_the_past_is_the_same_before_and_after_later_days_arrive(
    simulation: Simulation, trained: Runner, tmp_path: Path
) -> None:
    day = RETAILER.end - timedelta(days=20)
    runner = new_runner(tmp_path / "earlier")
    early = []
    for batch in simulation.batches:
        kept = batch.frame.filter((pl.col("event_date") <= day) | pl.lit(batch.feed in {"prices", "events"}))
        early.append(replace(batch, frame=kept))
    runner.ingest(early)
    frames = []
    for each in (runner, copied(trained, tmp_path / "later")):
        version = each.stores.predictions.version(each.snapshot(day))
        frames.append(each.stores.predictions.read(version))
    assert frames[0].equals(frames[1])


def test_a_stored_snapshot_is_rebuilt_to_the_same_bytes_after_the_specs_have_changed(
    trained: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    import forecast_assets.features.specs as today
    from resources.store.parquet import to_parquet

    stored = trained.stores.predictions.staged("feature_snapshots", RETAILER.end)
    monkeypatch.setattr(today, "DEFAULT_SPECS", today.DEFAULT_SPECS[:3])
    rebuilt = rebuild_snapshot(stored, trained.stores.observations)
    assert to_parquet(rebuilt) == trained.stores.predictions.read_bytes(stored)
    assert today.feature_version(today.DEFAULT_SPECS) != stored.facts["feature_version"]


def test_a_changed_batch_is_found_before_the_commit(trained: Runner, tmp_path: Path) -> None:
    runner = copied(trained, tmp_path / "home")
    batch = next(each for each in runner.stores.observations.batches() if each.feed == "purchase_orders")
    path = runner.settings.store_folder / batch.path
    path.chmod(0o644)
    pl.read_parquet(path).with_columns(pl.col("ordered_units") + 1).write_parquet(path)
    with pytest.raises(ChangedFileError, match=f"every_link_resolves_to_the_bytes_recorded: .*{batch.sha256}"):
        runner.score(KEY)
    assert not runner.stores.ledger.state().publications


def test_sensors_wait_and_say_for_what(trained: Runner, published: Published, tmp_path: Path) -> None:
    asked = scoring_request(trained.stores, DAILY, SCORING)
    assert isinstance(asked, dg.SensorResult)
    assert asked.run_requests is not None
    assert asked.run_requests[0].partition_key == scoring_partition(RETAILER.end, "stat-1")
    done = scoring_request(published[0].stores, DAILY, SCORING)
    assert isinstance(done, dg.SkipReason)
    assert "is published (ledger entry" in str(done.skip_message)
    there = snapshot_request(trained.stores, 0.2, SNAPSHOTS)
    assert isinstance(there, dg.SkipReason)
    assert "The snapshot of 2025-06-30 is there" in str(there.skip_message)
    empty = snapshot_request(new_runner(tmp_path / "empty").stores, 0.2, SNAPSHOTS)
    assert isinstance(empty, dg.SkipReason)
    assert "Nothing of the feed `sales` has been ingested" in str(empty.skip_message)


def test_a_new_day_is_asked_for_once_its_inputs_are_complete(
    trained: Runner, simulation: Simulation, tmp_path: Path
) -> None:
    runner, day = copied(trained, tmp_path / "home"), RETAILER.end + timedelta(days=1)
    later = [(batch, _moved(batch.frame, 1)) for batch in simulation.batches if batch.feed in DAILY_FEEDS]
    runner.ingest([replace(batch, frame=frame) for batch, frame in later if batch.source == "pos"])
    waiting = snapshot_request(runner.stores, 0.2, SNAPSHOTS)
    assert isinstance(waiting, dg.SkipReason)
    assert f"`inventory_positions` has not reached {day}" in str(waiting.skip_message)
    runner.ingest([replace(batch, frame=frame) for batch, frame in later if batch.source != "pos"])
    request = snapshot_request(runner.stores, 0.2, SNAPSHOTS)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == day.isoformat()


def _moved(frame: pl.DataFrame, days: int) -> pl.DataFrame:
    """The rows of the last day, said again of a later day."""
    last = frame.filter(pl.col("event_date") == RETAILER.end).unique(["sku_id", "store_id"], maintain_order=True)
    return last.with_columns(pl.col("event_date", "known_at") + timedelta(days=days))


def test_an_unknown_version_a_taken_name_and_a_horizon_out_of_range_are_refused(trained: Runner) -> None:
    with pytest.raises(UnknownVersionError, match=r"no model version `stat-9`. Known: stat-1"):
        trained.score(RunKey("daily", RETAILER.end, "stat-9", 28))
    with pytest.raises(AlreadyRegisteredError, match="choose another name"):
        trained.train(family="statistical", version="stat-1", cutoff=RETAILER.end, horizon=28)
    with pytest.raises(HorizonError):
        DAILY.horizon(31)


def test_a_day_that_has_not_been_reached_waits_and_names_the_feeds(trained: Runner) -> None:
    with pytest.raises(IncompleteInputsError, match="`sales` has not reached 2025-07-01: its newest day is 2025-06-30"):
        trained.score(RunKey("daily", RETAILER.end + timedelta(days=1), "stat-1", 28))


def test_a_failing_check_stops_the_run_before_publication(
    trained: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import checks.acceptance as wiring
    from checks.judging import Verdict

    def fail(rule: object, *_: object, **__: object) -> Verdict:
        name = getattr(rule, "name", "")
        passed = name != "forecast_is_what_the_explanation_says"
        if not passed:
            # What another process does meanwhile must not be taken for what this run's checks said.
            runner.instance.add_run(dg.DagsterRun(job_name="of_another_process", run_id=str(uuid4())))
        return Verdict(passed, 0 if passed else 3, pl.DataFrame(), "3 rows break it. Call for help.")

    monkeypatch.setattr(wiring, "judge", fail)
    runner = copied(trained, tmp_path / "home")
    with pytest.raises(NotAcceptedError, match=r"Nothing was published, .*explanation_says: 3 rows break it"):
        runner.score(KEY)
    assert not runner.stores.ledger.state().publications
    monkeypatch.undo()
    with pytest.raises(NotAcceptedError, match=r"`forecasts` has not passed .*forecast_is_what_the_explanation_says"):
        materialize(runner, ["published_predictions"])
    assert runner.score(KEY).is_new


def test_a_product_made_from_a_blocked_one_cannot_be_published_either(
    trained: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import checks.acceptance as wiring
    from checks.judging import Verdict

    real = wiring.judge

    def fail(rule: Rule, *rest: object, **named: object) -> Verdict:
        if rule.name == "components_sum_to_base_units":
            return Verdict(False, 1, pl.DataFrame(), "One row breaks it.")
        return real(rule, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(wiring, "judge", fail)
    runner = copied(trained, tmp_path / "home")
    with pytest.raises(NotAcceptedError, match="components_sum_to_base_units: One row breaks it"):
        runner.score(KEY)
    rest = ["reconciled_forecasts", "forecast_overrides", "stockout_risks", "forecast_explanations", "forecasts",
            "published_predictions"]  # fmt: skip
    with pytest.raises(NotAcceptedError, match=r"`base_forecasts` has not passed .*components_sum_to_base_units"):
        materialize(runner, rest)
    assert not runner.stores.ledger.state().publications


def materialize(runner: Runner, names: list[str]) -> None:
    """Materialize some assets and their checks alone, as someone might in the UI."""
    from forecast_assets.definitions import build_defs
    from partitions import scoring_partition

    job = build_defs(settings=runner.settings).resolve_implicit_global_asset_job_def()
    job.execute_in_process(
        instance=runner.instance,
        asset_selection=[dg.AssetKey(["daily", name]) for name in names],
        partition_key=scoring_partition(KEY.prediction_date, KEY.model_version),
    )


def test_ctrl_c_ends_in_one_line_and_publishes_nothing(trained: Runner, tmp_path: Path) -> None:
    runner = copied(trained, tmp_path / "home")
    command = [
        Path(sys.executable).with_name("forecast-assets"),
        "run",
        "--cadence",
        "daily",
        "--model-version",
        "stat-1",
    ]
    environment = {**os.environ, "FORECAST_ASSETS_HOME": str(runner.settings.home), "FORECAST_ASSETS_WORKERS": "1"}
    with subprocess.Popen(
        [*command, "--date", str(RETAILER.end)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        # As a terminal does it: to all processes of the command.
        os.killpg(process.pid, signal.SIGINT)
        said += process.stderr.read()
        assert process.wait() == 130, said
    assert "error: Interrupted." in said
    assert "Traceback" not in said
    assert not new_runner(runner.settings.home).stores.ledger.state().publications


def run_harmed(runner: Runner, harm: Harm, below: str = "") -> tuple[int, Report]:
    """Run the command, whole, in a process that is harmed on the way; return its exit code and what it came to.

    Dagster's databases do not always write as often; calls below `store` alone are the same every time.
    """
    home = runner.settings.home
    environment = {
        **armed(harm, home / below, home.parent / "calls"),
        "FORECAST_ASSETS_HOME": str(home),
        "FORECAST_ASSETS_WORKERS": "1",
        "FORECAST_ASSETS_RISK_PATHS": str(runner.settings.risk_paths),
    }
    command = [Path(sys.executable).with_name("forecast-assets"), "run", "--cadence", "daily", "--model-version",
               "stat-1", "--date", str(KEY.prediction_date), "--horizon", str(KEY.forecast_horizon)]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=home)
    return done.returncode, Report.read(home.parent / "calls")


@pytest.fixture(scope="module")
def calls(trained: Runner, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Call]:
    """What a run that nobody harms does to the disk below its home: store, catalogue, Dagster's databases and logs."""
    code, report = run_harmed(copied(trained, tmp_path_factory.mktemp("count") / "home"), Harm())
    assert code == 0
    return report.calls


def in_store(calls: Sequence[Call]) -> list[Call]:
    """Return the calls below the store, numbered by themselves."""
    found = [call for call in calls if "/home/store" in call.path]
    return [replace(call, number=number) for number, call in enumerate(found, start=1)]


def require_all_or_nothing(runner: Runner, published: Published, *, is_there: bool | None = None) -> None:
    """Look at a home whose run was killed, run again, and look for what an unharmed run publishes."""
    after = new_runner(runner.settings.home)
    publications = dict(after.stores.ledger.state().publications)
    expected = published[1].publication.products
    assert {key: found.products for key, found in publications.items()} in ({}, {KEY: expected})
    if is_there is not None:
        assert bool(publications) == is_there
    assert verify_store(after.stores.blobs).findings == ()
    link = runner.settings.catalogue_path
    assert publications or not os.path.lexists(link)
    again = after.score(KEY)
    assert again.is_new != bool(publications)
    assert again.publication.products == expected
    assert verify_store(after.stores.blobs).findings == ()
    with duckdb.connect(str(link), read_only=True) as connection:
        assert connection.execute('SELECT count(*) > 0 FROM "stat-1".forecasts').fetchall() == [(True,)]


@pytest.mark.timeout(size(300, 7200))
@pytest.mark.parametrize("below", ["", "store"])
def test_a_run_killed_anywhere_is_published_whole_or_not_at_all_and_running_again_publishes(
    trained: Runner, published: Published, calls: Sequence[Call], tmp_path: Path, below: str
) -> None:
    number, points = len(in_store(calls) if below else calls), size(1, 20)
    for at in (number * (2 * point + 1) // (2 * points) for point in range(points)):
        runner = copied(trained, tmp_path / str(at) / "home")
        code, report = run_harmed(runner, Harm(KILL_BEFORE, at), below)
        assert (code, [struck for struck, _ in report.deeds]) == (-signal.SIGKILL, [at])
        require_all_or_nothing(runner, published)
        shutil.rmtree(tmp_path / str(at))


@pytest.mark.parametrize(("action", "is_there"), [(KILL_BEFORE, False), (KILL_AFTER, True)])
def test_a_run_killed_at_its_commit_is_there_exactly_if_its_entry_has_its_name(
    trained: Runner, published: Published, calls: Sequence[Call], tmp_path: Path, action: int, *, is_there: bool
) -> None:
    (commit,) = [call for call in in_store(calls) if "/store/ledger/" in call.path and "link" in call.name]
    runner = copied(trained, tmp_path / "home")
    code, report = run_harmed(runner, Harm(action, commit.number), "store")
    assert code == -signal.SIGKILL
    assert report.calls[-1].path == str(runner.settings.store_folder / "ledger" / Path(commit.path).name)
    require_all_or_nothing(runner, published, is_there=is_there)
