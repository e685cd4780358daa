"""A retailer whose store is a bucket: the same run gives the same bytes, and every reader finds them."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest
from click.testing import CliRunner

from forecast_assets.automation.triggers import build_sensors
from forecast_assets.cli import cli
from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.keys import DAILY, RunKey
from forecast_assets.definitions import build_defs, stores_resource
from forecast_assets.ingestion.batch import Batch
from forecast_assets.launch import Runner
from forecast_assets.settings import Settings
from forecast_assets.simulation.simulator import SimulatorSettings, simulate_retailer, write_native
from forecast_assets.sources.simulated import read_simulated
from resources.maintenance.verification import verify_store
from tests.support.brief_runs import make_brief
from tests.support.buckets import BUCKET, REPOSITORY, Server, lead_to

RETAILER = SimulatorSettings(skus=5, stores=2, days=120, seed=11, end=date(2025, 6, 30))
DAY = RETAILER.end - timedelta(days=1)
KEY = RunKey("daily", DAY, "stat-1", 7)
NOW = datetime(2025, 7, 3, 6, tzinfo=UTC)
RUN = ("--date", str(DAY), "--model-version", "stat-1", "--horizon", "7")


def everything_done(runner: Runner, source: Path) -> Runner:
    """Ingest, train, promote, run, measure, and ingest sales that were said again."""
    batches = list(read_simulated(source))
    runner.ingest(batches)
    runner.train(family="statistical", version="stat-1", cutoff=DAY, horizon=7)
    runner.stores.registry.promote("stat-1", by="tests", reason="first")
    assert runner.score(KEY).is_new
    assert runner.measure("daily") == [RETAILER.end]
    runner.ingest([_said_again(batches)])
    return runner


def _said_again(batches: list[Batch]) -> Batch:
    batch = next(each for each in batches if each.feed == "sales" and each.source == "pos")
    row = batch.frame.filter(pl.col("event_date") == DAY).sort("store_id", "sku_id", "known_at").head(1)
    return replace(batch, frame=row.with_columns(known_at=pl.lit(NOW, row.schema["known_at"]), sales_units=40.0))


@dataclass(frozen=True)
class Twins:
    """The same retailer twice."""

    bucket: Runner
    folder: Runner

    @property
    def environment(self) -> dict[str, str]:
        """What leads a command to the one in the bucket."""
        settings = self.bucket.settings
        return {"FORECAST_ASSETS_HOME": str(settings.home), "FORECAST_ASSETS_STORE_URL": str(settings.store_url)}


@pytest.fixture(scope="module")
def twins(started: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    folder = tmp_path_factory.mktemp("twins")
    write_native(simulate_retailer(RETAILER), folder / "native")
    with pytest.MonkeyPatch.context() as patch:
        lead_to(started, patch)
        # What they leave out knows nothing of where the store is.
        make_brief(patch)
        url = f"s3://{BUCKET}/twins"
        bucket = Runner(Settings(home=folder / "bucket", store_url=url, workers=1, risk_paths=50))
        everything_done(bucket, folder / "native").correct(KEY, by="ana", reason="a till was read twice")
        other = Runner(Settings(home=folder / "folder", workers=1, risk_paths=50))
        yield Twins(bucket, everything_done(other, folder / "native"))


@pytest.fixture
def found(twins: Twins, server: Server) -> Twins:
    """The twins, with the server where commands look for it."""
    assert server.endpoint
    return twins


def test_the_same_inputs_give_the_same_bytes_in_a_bucket_and_in_a_folder(twins: Twins) -> None:
    bucket, folder = (runner.stores.ledger.state() for runner in (twins.bucket, twins.folder))
    assert [*bucket.publications] == [KEY, replace(KEY, revision=1)]
    assert bucket.publications[KEY].products == folder.publications[KEY].products
    assert [*bucket.batches] == [*folder.batches]
    assert {day: [m.numbers for m in made] for day, made in bucket.measurements.items()} == {
        day: [m.numbers for m in made] for day, made in folder.measurements.items()
    }
    for name in PUBLISHED:
        (file,) = twins.bucket.stores.predictions.files(bucket.publications[KEY], name)
        assert twins.bucket.stores.blobs.get(file.path) == twins.folder.stores.blobs.get(file.path)


def test_nothing_of_the_store_is_kept_in_the_home_folder_but_copies(twins: Twins) -> None:
    home = twins.bucket.settings.home
    assert not (home / "store").exists()
    assert sorted(path.name for path in home.iterdir()) == ["catalogue", "dagster", "great_expectations", "mirror"]


def test_verifying_finds_every_file_as_it_was_written(twins: Twins) -> None:
    state, found = twins.bucket.stores.ledger.state(), verify_store(twins.bucket.stores.blobs)
    assert found.findings == ()
    assert (found.entries, found.head) == (state.sequence, f"{state.sequence}:{state.head}")
    assert found.files == len(twins.bucket.stores.blobs.everything())


def test_another_process_queries_the_catalogue_without_the_bucket(twins: Twins) -> None:
    sql = 'SELECT count(*), sum(forecast_units) FROM "stat-1".forecasts WHERE revision = 0'
    path = str(twins.bucket.settings.catalogue_path)
    code = f"import duckdb; print(duckdb.connect({path!r}, read_only=True).execute({sql!r}).fetchall())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PATH": ""})
    with duckdb.connect(str(twins.folder.settings.catalogue_path), read_only=True) as connection:
        rows = connection.execute(sql).fetchall()
    assert rows[0][0] == RETAILER.skus * RETAILER.stores * KEY.forecast_horizon
    assert done.stdout.strip() == str(rows)


def test_the_catalogue_is_made_again_after_its_copies_were_removed(found: Twins) -> None:
    sql, settings = 'SELECT count(*) FROM "stat-1".stockout_risks', found.bucket.settings

    def count() -> int:
        with duckdb.connect(str(settings.catalogue_path), read_only=True) as connection:
            (rows,) = connection.execute(sql).fetchall()
            return int(rows[0])

    before = count()
    shutil.rmtree(settings.mirror_folder)
    with pytest.raises(duckdb.IOException):
        count()
    done = CliRunner().invoke(cli, ["catalogue"], env=found.environment)
    assert done.exception is None, done.output
    assert count() == before


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("show", "forecasts", *RUN, "--revision", "0", "--top", "3"), "forecast_units"),
        (("feeds",), "sales"),
        (("lineage", f"{KEY}/FOOD-0001/S-01/3"), "feature_snapshots"),
        (("observations", "--sku", "FOOD-0001", "--store", "S-01", "--date", str(DAY)), "pos"),
        (("versions",), "stat-1"),
        (("versions", "stat-1"), "seasonal naive"),
        (("run", "--cadence", "daily", *RUN), "already"),
    ],
    ids=["show", "feeds", "lineage", "observations", "versions", "version", "run"],
)
def test_a_command_says_of_the_bucket_what_it_says_of_the_folder(
    found: Twins, command: tuple[str, ...], said: str
) -> None:
    bucket = CliRunner().invoke(cli, command, env=found.environment)
    folder = CliRunner().invoke(cli, command, env={"FORECAST_ASSETS_HOME": str(found.folder.settings.home)})
    assert bucket.exception is None, bucket.output
    assert said in bucket.output
    assert _timeless(bucket.output, found) == _timeless(folder.output, found)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("runs",), "a till was read twice"),
        (("compare", str(KEY), str(replace(KEY, revision=1))), "rows moved"),
        (("restatements",), "Nothing has been restated"),
        (("accuracy", "--by", "step"), "Measured daily forecasts of 1 days"),
    ],
    ids=["runs", "compare", "restatements", "accuracy"],
)
def test_a_correction_in_the_bucket_is_told(found: Twins, command: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(cli, command, env=found.environment)
    assert done.exception is None, done.output
    assert said in done.output


def _timeless(text: str, twins: Twins) -> list[str]:
    """Leave out what differs from one process to the next, and where the homes are."""
    for runner in (twins.bucket, twins.folder):
        text = text.replace(str(runner.settings.home), "HOME").replace(str(runner.settings.store), "STORE")
    changing = re.compile(
        r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\+00:00)?|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{64}"
        r"|(?<=^training_seconds) +[\d.]+"
    )
    # Progress starts with seconds.
    said = [line for line in text.splitlines() if not re.match(r" +\d+\.\d s ", line)]
    return [changing.sub("...", line).rstrip() for line in said]


def test_an_export_writes_the_same_bytes(found: Twins, tmp_path: Path) -> None:
    for name, environment in (
        ("bucket", found.environment),
        ("folder", {"FORECAST_ASSETS_HOME": str(found.folder.settings.home)}),
    ):
        command = ["export", "forecasts", *RUN, "--revision", "0", "--out", str(tmp_path / f"{name}.parquet")]
        done = CliRunner().invoke(cli, command, env=environment)
        assert done.exception is None, done.output
    assert (tmp_path / "bucket.parquet").read_bytes() == (tmp_path / "folder.parquet").read_bytes()


def test_the_code_location_opens_on_the_bucket_with_its_start_date(found: Twins) -> None:
    defs = build_defs(settings=found.bucket.settings)
    partitions = defs.resolve_asset_graph().get(dg.AssetKey("feature_snapshots")).partitions_def
    assert isinstance(partitions, dg.TimeWindowPartitionsDefinition)
    assert partitions.get_first_partition_key() == str(RETAILER.end - timedelta(days=RETAILER.days - 1))


def test_sensors_look_into_the_bucket(found: Twins) -> None:
    settings = found.bucket.settings
    repository = build_defs(settings=settings).get_repository_def()
    said = []
    for sensor in build_sensors(settings, stores_resource(settings), "feature_pipeline", {DAILY: "daily_scoring"}):
        with dg.build_sensor_context(
            instance=dg.DagsterInstance.ephemeral(), repository_def=repository, sensor_name=sensor.name
        ) as context:
            data = sensor.evaluate_tick(context)
        said.append([*(request.partition_key for request in data.run_requests or []), data.skip_message])
    assert said[0] == [str(RETAILER.end), None], "the newest day of the feeds in the bucket has no snapshot yet"
    assert "`stat-1` was trained for 7" in str(said[1][-1])


def test_a_notebook_shows_a_run_of_the_bucket(found: Twins, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("series_story", REPOSITORY / "notebooks/series_story.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _, names = module.app.run()
    assert names["publication"].key == KEY
    assert names["days"].height == KEY.forecast_horizon
