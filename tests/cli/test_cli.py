"""The command: quick help, clear errors, exit codes; never a traceback."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from forecast_assets.simulation.simulator import SimulatorSettings, simulate_retailer, write_native
from tests.support.command import Call, caller

RUN = ("run", "--cadence", "daily", "--date")
WEEKLY_RUN = ("run", "--cadence", "weekly", "--date")
BACKFILL = ("backfill", "--cadence", "daily", "--model-version", "a", "--from")
COMMAND = Path(sys.executable).with_name("forecast-assets")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FORECAST_ASSETS_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "retailer"
    write_native(simulate_retailer(SimulatorSettings(skus=12, stores=2, days=130, seed=3)), folder)
    return folder


@pytest.fixture
def source(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "source"))


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    assert home

    return caller(monkeypatch, capsys)


def test_help_answers_within_half_a_second() -> None:
    times = []
    for _ in range(3):
        started = time.monotonic()
        done = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=True)
        times.append(time.monotonic() - started)
    assert min(times) < 0.5
    assert "Examples:" in done.stdout
    assert "Exit codes:" in done.stdout


def test_every_command_explains_itself(call: Call) -> None:
    for command in ("demo", "simulate", "ingest", "train", "promote", "rollback", "run", "backfill", "show", "export",
                    "versions", "runs", "feeds", "log", "lineage", "observations", "ui", "catalogue",
                    "plot"):  # fmt: skip
        code, text = call(command, "--help")
        assert code == 0
        assert len(text.splitlines()) > 4, command


def test_reading_before_anything_is_there_says_what_to_do(call: Call) -> None:
    assert call("versions") == (
        0,
        "No model versions yet: forecast-assets train --family statistical --version V --cutoff DATE\n",
    )
    assert call("runs")[1].startswith("Nothing is published yet")
    code, text = call("feeds")
    assert (code, "Nothing has been ingested" in text) == (3, True)
    code, text = call("show", "risks", "--date", "2025-06-30", "--model-version", "stat-1")
    assert (code, "There is no model version `stat-1`. Known: none." in text) == (2, True)
    code, text = call("lineage", "not/an/id")
    assert (code, "is not a run key" in text) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*RUN, "2025-06-30"], "Missing option '--model-version'"),
        ([*RUN, "30.6.2025", "--model-version", "a"], "write it as 2024-06-11"),
        ([*RUN, "2025-06-30", "--model-version", "Main"], "`Main` cannot name a model version"),
        ([*RUN, "2025-06-30", "--model-version", "a", "--horizon", "90"], "7 to 30 days, not 90"),
        ([*RUN, "2025-06-30", "--model-version", "a"], "There is no model version `a`"),
        ([*WEEKLY_RUN, "2025-06-30", "--model-version", "a"], "is a Monday; prediction dates of a weekly run are"),
        ([*WEEKLY_RUN, "2025-06-30", "--model-version", "a"], "Sundays. Use the one before: --date 2025-06-29."),
        ([*WEEKLY_RUN, "2025-06-29", "--model-version", "a", "--horizon", "28"], "30 to 90 days, not 28"),
        ([*WEEKLY_RUN, "2025-06-29", "--model-version", "a"], "There is no model version `a`"),
        ([*BACKFILL, "2025-06-30", "--to", "2025-06-01"], "The range from 2025-06-30 to 2025-06-01 is empty."),
        ([*BACKFILL, "2025-06-01", "--to", "2025-06-30"], "There is no model version `a`"),
        (["promote", "a", "--by", "ana", "--reason", "x", "--channel", "weekly-champion"], "no model version `a`"),
        (["promote", "a", "--by", "ana", "--reason", "x", "--channel", "best"], "'best' is not one of 'champion'"),
        (["train", "--family", "magic", "--version", "a", "--cutoff", "2025-06-30"], "'magic' is not"),
        (["promote", "a", "--by", "ana", "--reason", "x"], "There is no model version `a`"),
        (["export", "forecasts", "--date", "2025-06-30", "--model-version", "a", "--out", "x.csv"], "no model version"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_with_a_remedy(call: Call, arguments: list[str], message: str) -> None:
    code, text = call(*arguments)
    assert code == 2
    assert message in text
    assert "Traceback" not in text


def damaged_sales(change: pl.Expr) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "sales_pos.parquet"
        pl.read_parquet(path).with_columns(change).write_parquet(path)

    return damage


def without_days(folder: Path) -> None:
    path = folder / "sales_pos.parquet"
    frame = pl.read_parquet(path)
    day = frame["event_date"].sort()[frame.height // 2]
    frame.filter(pl.col("event_date") != day).write_parquet(path)


def doubled(folder: Path) -> None:
    path = folder / "sales_pos.parquet"
    frame = pl.read_parquet(path)
    pl.concat([frame, frame.head(3)]).write_parquet(path)


def without_column(folder: Path) -> None:
    path = folder / "prices.parquet"
    pl.read_parquet(path).drop("price_ratio").write_parquet(path)


def torn(folder: Path) -> None:
    path = folder / "prices.parquet"
    path.write_bytes(path.read_bytes()[:100])


def described_badly(folder: Path) -> None:
    (folder / "feeds.json").write_text(json.dumps({"format": 1})[:-3])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "prices.parquet").unlink(), "prices.parquet"),
        (shutil.rmtree, "source"),
        (without_column, "price_ratio"),
        (torn, "prices.parquet"),
        (described_badly, "feeds.json"),
        (damaged_sales(pl.col("sales_units").cast(pl.String)), "sales_units"),
        (damaged_sales(-pl.col("sales_units") - 1), "column `sales_units` is below 0"),
        (doubled, "duplicate keys"),
        (without_days, "miss days between their first and their last"),
    ],
    ids=["missing-file", "missing-folder", "missing-column", "torn-file", "bad-description", "wrong-type", "negative",
         "duplicates", "gaps"],
)  # fmt: skip
def test_a_bad_source_stops_before_anything_is_stored(
    call: Call, home: Path, source: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(source)
    code, text = call("ingest", "simulated", source)
    assert code == 2, text
    assert message in " ".join(text.split())
    assert "Traceback" not in text
    assert not list(home.glob("store/ledger/*"))


def test_ingesting_twice_changes_nothing(call: Call, home: Path, source: Path) -> None:
    assert call("ingest", "simulated", source)[0] == 0
    code, text = call("ingest", "simulated", source)
    assert (code, "Everything was there already; nothing changed." in text) == (0, True)
    assert len(list(home.glob("store/ledger/*"))) == 1
    assert "pos" in call("feeds")[1]


def test_observations_say_which_source_won_and_why(call: Call, source: Path) -> None:
    call("ingest", "simulated", source)
    frame = pl.read_parquet(source / "sales_pos.parquet")
    sku, store, day = frame.select("sku_id", "store_id", "event_date").row(0)
    code, text = call("observations", "--sku", sku, "--store", store, "--date", day, "--known-until", "2025-12-31")
    assert code == 0
    assert "backoffice" in text
    assert "resolution" in text
    code, text = call("observations", "--sku", "none", "--store", store, "--date", day)
    assert (code, "No source said anything of none" in text) == (2, True)


def test_simulating_again_says_that_it_is_there(call: Call, tmp_path: Path) -> None:
    arguments = ["simulate", "--out", tmp_path / "out", "--skus", 8, "--stores", 1, "--days", 130]
    assert "Wrote" in call(*arguments)[1]
    assert "Already there, unchanged" in call(*arguments)[1]
    code, text = call(*arguments[:-1], 131)
    assert code == 2
    assert "out" in text


def test_a_calendar_is_simulated_where_it_is_asked_for(call: Call, tmp_path: Path) -> None:
    arguments = ["--skus", 8, "--stores", 1, "--days", 130]
    assert "Wrote" in call("simulate", "--out", tmp_path / "plain", *arguments)[1]
    assert "Wrote" in call("simulate", "--out", tmp_path / "rich", *arguments, "--calendar")[1]
    plain, rich = ({path.name for path in (tmp_path / name / "truth").iterdir()} for name in ("plain", "rich"))
    assert {"payday_factors.parquet", "weather.parquet"} <= rich - plain


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_home_is_a_storage_error(call: Call, home: Path, source: Path) -> None:
    home.mkdir()
    home.chmod(0o500)
    code, text = call("ingest", "simulated", source)
    home.chmod(0o700)
    assert (code, "Make the folder writable" in text) == (6, True)


def test_a_home_below_a_file_is_a_storage_error(
    call: Call, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "file" / "home"))
    code, text = call("ingest", "simulated", source)
    assert code == 6, text
    assert "Traceback" not in text


def test_a_full_disk_stops_the_ingest_and_it_can_be_repeated(home: Path, source: Path) -> None:
    """A file-size limit of the process stands in for a full disk: the write fails in the same place."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [COMMAND, "ingest", "simulated", source], capture_output=True, text=True, check=False, preexec_fn=limit,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 6, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(home.glob("store/ledger/*"))
    again = subprocess.run([COMMAND, "ingest", "simulated", source], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr


def test_a_setting_that_cannot_be_used_is_named(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_WORKERS", "none")
    code, text = call("versions")
    assert code == 2
    assert "FORECAST_ASSETS_WORKERS" in text


@pytest.fixture
def mapping(call: Call, tmp_path: Path) -> Path:
    """The example as the command prints it, with the file that it shows."""
    code, text = call("ingest", "table", "--example")
    assert code == 0
    shown = [line.removeprefix("#   ") for line in text.splitlines() if ";" in line and line.startswith("#   ")]
    (tmp_path / "sales.csv").write_text("\n".join(shown) + "\n")
    path = tmp_path / "mapping.toml"
    path.write_text(text)
    return path


def test_a_table_is_checked_without_a_trace_and_then_taken_in(call: Call, home: Path, mapping: Path) -> None:
    code, text = call("ingest", "check", "table", "--mapping", mapping)
    assert (code, "Nothing is wrong.\nNothing was stored: this only looked." in text) == (0, True)
    assert not home.exists()
    code, text = call("ingest", "table", "--mapping", mapping)
    assert (code, "Recorded as ledger entry 1." in text) == (0, True), text
    code, text = call("ingest", "table", "--mapping", mapping)
    assert (code, "Everything was there already" in text) == (0, True)


def test_everything_wrong_with_a_table_is_listed_by_check_and_by_ingest(call: Call, home: Path, mapping: Path) -> None:
    with (mapping.parent / "sales.csv").open("a") as file:
        file.write("31.06.2025;MILK-1L;S1;4\n02.07.2025;MILK-1L;S1;-1\n")
    for command in (("ingest", "check", "table"), ("ingest", "table")):
        code, text = call(*command, "--mapping", mapping)
        words = " ".join(text.split())
        assert code == 2
        assert "`event_date` cannot be read as a date in 1 rows: row 5 '31.06.2025'" in words
        assert "column `sales_units` is below 0 in 1 rows" in words
        assert "SKU MILK-1L at store S1: 2025-07-01" in words
        assert "3 of 3 findings are errors" in words
    assert not list(home.glob("store/ledger/*"))


def test_warnings_are_shown_and_do_not_stop(call: Call, mapping: Path) -> None:
    call("ingest", "table", "--mapping", mapping)
    (mapping.parent / "sales.csv").write_text("day;article;shop;qty\n02.07.2025;MILK-1L;S1;4\n")
    for command, said in ((("ingest", "check", "table"), "this only looked"), (("ingest", "table"), "ledger entry 2")):
        code, text = call(*command, "--mapping", mapping)
        assert (code, "warning sales late days 1" in " ".join(text.split()), said in text) == (0, True, True)


def test_a_simulated_folder_can_be_checked(call: Call, home: Path, source: Path) -> None:
    doubled(source)
    code, text = call("ingest", "check", "simulated", source)
    assert (code, "duplicate keys" in text, home.exists()) == (2, True, False)


def test_holidays_are_taken_in_once(call: Call) -> None:
    arguments = ["ingest", "holidays", "--country", "US", "--from", "2015-01-01", "--to", "2016-12-31"]
    code, text = call(*arguments)
    assert (code, "holidays_us" in text, "Recorded as ledger entry 1." in text) == (0, True, True), text
    assert "Everything was there already" in call(*arguments)[1]
    code, text = call(*arguments[:3], "XX", *arguments[4:])
    assert (code, "There is no country `XX`. Known: AD" in text) == (2, True)


def test_a_table_without_a_mapping_says_what_to_give(call: Call) -> None:
    code, text = call("ingest", "table")
    assert (code, "Give --mapping FILE" in text and "--example" in text and "--guess" in text) == (2, True)


@pytest.mark.parametrize(
    "wrong",
    [{"trust": "high"}, {"trust": 7}, {"declared_lag_hours": None}, {"declared_lag_hours": 1e9}, {"feed": ["sales"]},
     {"source": 7}, {"source": "POS 1"}],
    ids=str,
)  # fmt: skip
def test_odd_values_in_a_description_are_named(call: Call, source: Path, wrong: dict[str, object]) -> None:
    path = source / "feeds.json"
    described = json.loads(path.read_text())
    described["files"]["prices.parquet"].update(wrong)
    path.write_text(json.dumps(described))
    code, text = call("ingest", "simulated", source)
    assert (code, f"does not say what prices.parquet is: {next(iter(wrong))}" in text) == (2, True), text


@pytest.mark.parametrize("content", [b"home = [", b'home = "\xff"'], ids=["torn", "not-text"])
def test_a_settings_file_that_cannot_be_read_is_named(call: Call, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "forecast-assets.toml").write_bytes(content)
    code, text = call("versions")
    assert code == 2
    assert "`forecast-assets.toml` in the working folder cannot be read" in text


def test_an_empty_home_is_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", " ")
    code, text = call("versions")
    assert code == 2
    assert "it is empty; name a folder, or leave it out for ./var" in text


def test_a_home_that_databases_cannot_lie_in_is_refused_and_the_reason_said(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "what?" / "var"))
    code, text = call("versions")
    assert code == 2
    assert "its path has a `?`, at which the addresses of databases end" in text
    assert not (tmp_path / "what?").exists()


def test_looking_leaves_no_trace(call: Call, home: Path) -> None:
    for arguments in (["versions"], ["runs"], ["feeds"], ["lineage", "daily/2025-06-30/a/28/r0"],
                      ["show", "risks", "--date", "2025-06-30", "--model-version", "a"]):  # fmt: skip
        call(*arguments)
    assert not home.exists()


def test_a_home_below_the_users_folder_is_one_folder_for_all_commands(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forecast_assets.settings import Settings

    assert home
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = Settings(home=Path("~/retail"))
    folders = {settings.store_folder, settings.simulated_folder, settings.dagster_folder, settings.catalogue_folder}
    assert {folder.parent for folder in folders} == {tmp_path / "retail"}


def test_a_history_of_runs_that_cannot_be_written_is_a_storage_error(call: Call, home: Path) -> None:
    history = home / "dagster" / "history"
    history.mkdir(parents=True)
    (history / "runs.db").write_bytes(b"damaged" * 1000)
    train = ("train", "--family", "statistical", "--version", "a", "--cutoff", "2025-06-30")
    code, text = call(*train)
    assert code == 6, text
    assert f"Dagster's history in `{home / 'dagster'}` cannot be written: file is not a database." in text
    assert "aside and run the same command again: it holds the past of the UI, no data." in text
    shutil.rmtree(history)
    history.write_text("in the way")
    code, text = call(*train)
    assert (code, "Traceback" in text) == (6, False), text
