"""`promote`, `rollback` and `retire` as an operator types them: quick, light, and saying what to do next."""

import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result

from forecast_assets.cli import cli
from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.core.errors import ForecastAssetsError, NotAcceptedError, NothingToRollBackError
from forecast_assets.presentation.actions import error_text
from forecast_assets.presentation.state import versions_text
from forecast_assets.scoring.preconditions import require_possible
from resources.ledger.log import bundle_path
from resources.stores.home import Stores, open_stores
from tests.support.store_cases import accept_training, catalogue, publish, register, run_key

COMMAND = Path(sys.executable).with_name("forecast-assets")
HEAVY = ("polars", "dagster", "duckdb", "pandera", "pyarrow", "pandas", "numpy", "rich")
PUBLICATIONS = 740
DECISION = ("--by", "ana", "--reason", "worse on promotions")
# Runs the command, then says which libraries it loaded and how the process ended.
PROBE = f"""
import sys
from forecast_assets.cli import main
try:
    main()
finally:
    print("loaded:", [name for name in {HEAVY!r} if name in sys.modules])
"""
# Says too how long the process waited for a processor that others had: seconds, by the kernel's count.
WAITED = f"""{PROBE}
    from pathlib import Path
    kept = Path("/proc/self/schedstat")
    print(int(kept.read_text().split()[1]) / 1e9 if kept.exists() else 0.0)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def stores(home: Path) -> Stores:
    return open_stores(home / "store")


def promoted(stores: Stores, *names: str, channel: str = "champion") -> None:
    for name in names:
        register(stores, name, horizon=90)
        stores.registry.promote(name, by="ben", reason="better in backtests", channel=channel)


def called(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def rolled_back(*arguments: str) -> list[str]:
    result = called("rollback", *DECISION, *arguments)
    assert result.exception is None, result.exception
    return result.output.splitlines()


def refused(*arguments: str) -> ForecastAssetsError:
    error = called(*arguments).exception
    assert isinstance(error, ForecastAssetsError), error
    return error


# --- quick and light ---


@pytest.fixture(scope="module")
def two_years(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two years of daily runs, as their entries record them, and five champions one after the other."""
    home = tmp_path_factory.mktemp("two-years")
    stores = open_stores(home / "store")
    promoted(stores, "stat-1")
    publish(stores, run_key())
    body = stores.ledger.entries()[-1].body
    for day in range(1, PUBLICATIONS):
        stores.ledger.append("publish", {**body, "key": str(run_key(day))}, lambda _: None)
    promoted(stores, "stat-2", "stat-3", "stat-4", "stat-5")
    return home


def in_its_own_process(home: Path, *command: str) -> tuple[str, float]:
    """What a command prints, and its wall time in seconds, the start of Python included."""
    began = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "FORECAST_ASSETS_HOME": str(home)}
    )
    return done.stdout, time.monotonic() - began


def test_a_rollback_takes_less_than_a_second_with_two_years_of_publications(two_years: Path) -> None:
    assert len(open_stores(two_years / "store").ledger.state().publications) == PUBLICATIONS
    told, seconds = [], []
    for _ in range(3):
        said, wall = in_its_own_process(two_years, sys.executable, "-c", WAITED, "rollback", *DECISION)
        told.append(said)
        # On a busy machine any process takes any time: what it waited for others is not its own.
        seconds.append(wall - float(said.split()[-1]))
    print("seconds:", [round(each, 3) for each in seconds])
    # Another worker of these tests shares caches and execution units with it.
    assert min(seconds) < (1.5 if "PYTEST_XDIST_WORKER" in os.environ else 1.0)
    assert [text.split()[3] for text in told] == ["stat-4,", "stat-3,", "stat-2,"]
    assert open_stores(two_years / "store").ledger.state().channel("champion") == "stat-2"


@pytest.mark.parametrize(
    "arguments",
    [
        ("rollback", "--to", "stat-1", *DECISION),
        ("rollback", "--help"),
        ("promote", "--help"),
        ("--help",),
    ],
)
def test_no_library_for_frames_is_loaded(two_years: Path, arguments: tuple[str, ...]) -> None:
    said, _ = in_its_own_process(two_years, sys.executable, "-c", PROBE, *arguments)
    assert said.splitlines()[-1] == "loaded: []"
    assert len(said.splitlines()) > 1


@pytest.mark.parametrize("command", ["rollback", "promote"])
def test_help_answers_within_half_a_second_and_has_examples(two_years: Path, command: str) -> None:
    runs = [in_its_own_process(two_years, COMMAND, command, "--help") for _ in range(3)]
    assert min(seconds for _, seconds in runs) < 0.5
    assert f"forecast-assets {command} " in runs[0][0].split("Examples:")[1]


def test_it_follows_a_ledger_whose_copies_of_a_hundred_entries_are_gone(stores: Stores) -> None:
    promoted(stores, "stat-1", "stat-2")
    for day in range(100):
        body = {"key": str(run_key(day)), "products": {}, "accepted": {}}
        stores.ledger.append("publish", body, lambda _: None)
    stores.blobs.remove(bundle_path(100))
    assert rolled_back()[0].startswith("champion is now stat-1, was stat-2")


# --- what it says ---


def test_it_says_from_where_to_where_since_when_and_what_goes_on(stores: Stores) -> None:
    promoted(stores, "stat-1", "stat-2")
    first, second = stores.ledger.state().channel_moves
    lines = rolled_back()
    move = stores.ledger.state().channel_moves[-1]
    until = datetime.fromisoformat(move.recorded_at) + timedelta(days=28)
    assert lines[:2] == [
        f"champion is now stat-1, was stat-2 (ledger entry {move.sequence}, by ana: worse on promotions)",
        f"stat-1 had served from {first.recorded_at} to {second.recorded_at}.",
    ]
    assert f"stat-2 goes on being scored until {until.isoformat()}, so that there is a way back." in lines
    assert lines[-1].endswith(
        "audit.channel_history shows this after the next publication, or now: forecast-assets catalogue"
    )


def test_it_counts_the_newest_dates_that_consumers_find_rows_of(stores: Stores) -> None:
    promoted(stores, "stat-1", "stat-2")
    for day in range(9):
        published(stores, day, "stat-2")
    for day in (0, 5, 8):
        published(stores, day, "stat-1")
    lines = rolled_back()
    assert lines[2] == "Of the last 7 published daily dates, 2025-01-03 to 2025-01-09, it has 2."
    assert not [line for line in lines if "WARNING" in line]


def test_it_warns_with_the_command_when_the_newest_date_has_no_rows_by_the_version(stores: Stores) -> None:
    promoted(stores, "stat-1", "stat-2")
    for day in range(4):
        published(stores, day, "stat-2")
    for day in (0, 1):
        published(stores, day, "stat-1")
    published(stores, 7, "stat-9")
    lines = rolled_back()
    assert lines[2] == "Of the last 4 published daily dates, 2025-01-01 to 2025-01-04, it has 2."
    assert lines[3].startswith("WARNING: the newest, 2025-01-04, is not among them: consumers find no rows of it")
    given = lines[3].partition("forecast-assets ")[2].split()
    assert given == [
        "backfill",
        "--cadence",
        "daily",
        "--model-version",
        "stat-1",
        "--from",
        "2025-01-03",
        "--to",
        "2025-01-04",
    ]
    assert {option for option in given if option.startswith("--")} <= {
        option for parameter in cli.commands["backfill"].params for option in parameter.opts
    }


def published(stores: Stores, day: int, version: str) -> None:
    body = {"key": str(run_key(day, version)), "products": {}, "accepted": {}}
    stores.ledger.append("publish", body, lambda _: None)


def test_a_weekly_channel_counts_weekly_dates_and_no_challenger_promises_to_be_scored_on(stores: Stores) -> None:
    promoted(stores, "stat-1", "stat-2", channel="weekly-challenger")
    published(stores, 0, "stat-1")
    lines = rolled_back("--channel", "weekly-challenger")
    assert lines[0].startswith("weekly-challenger is now stat-1, was stat-2")
    assert lines[2] == "No weekly run of any of its versions is published."
    assert not [line for line in lines if "goes on being scored" in line]


def test_a_promotion_says_who_was_champion_before_and_the_first_one_that_it_is(stores: Stores) -> None:
    for name in ("stat-1", "stat-2"):
        register(stores, name)
        accept_training(stores, name)
    # Each is judged first, which is an entry of its own.
    assert called("promote", "stat-1", *DECISION).output == (
        "champion is now stat-1 (ledger entry 4, by ana: worse on promotions)\n"
    )
    said = called("promote", "stat-2", *DECISION).output.splitlines()
    assert said[0] == "champion is now stat-2, was stat-1 (ledger entry 6, by ana: worse on promotions)"
    assert said[1].startswith("stat-1 goes on being scored until ")


def test_what_is_done_already_is_said_and_not_recorded_again(stores: Stores) -> None:
    promoted(stores, "stat-1", "stat-2")
    rolled_back("--to", "stat-1")
    before = stores.ledger.state().sequence
    for again in (("rollback", "--to", "stat-1"), ("promote", "stat-1")):
        result = called(*again, *DECISION)
        assert (result.exit_code, result.exception) == (0, None)
        assert result.output.startswith(f"champion is stat-1 already (ledger entry {before}, ")
        assert result.output.endswith("by ana: worse on promotions); nothing changed.\n")
    assert stores.ledger.state().sequence == before


def test_the_catalogue_shows_the_rollback_once_it_is_built_again(stores: Stores, tmp_path: Path) -> None:
    promoted(stores, "stat-1", "stat-2")
    publish(stores, run_key())
    path = catalogue(stores, tmp_path / "catalogue")
    rolled_back()
    query = 'SELECT model_version, is_rollback, "by", reason FROM audit.channel_history ORDER BY sequence'
    with duckdb.connect(str(path), read_only=True) as connection:
        assert len(connection.sql(query).fetchall()) == 2
    with duckdb.connect(str(catalogue(stores, tmp_path / "catalogue")), read_only=True) as connection:
        last = connection.sql(query).fetchall()[-1]
    assert [str(value).lower() for value in last] == ["stat-1", "true", "ana", "worse on promotions"]


# --- what it refuses ---


def test_missing_who_or_why_and_unknown_channels_are_usage_errors(stores: Stores) -> None:
    promoted(stores, "stat-1", "stat-2")
    before = stores.ledger.state().sequence
    for arguments, message in (
        (("--reason", "worse"), "Missing option '--by'"),
        (("--by", "ana"), "Missing option '--reason'"),
        ((*DECISION, "--channel", "chmpion"), "'chmpion' is not one of 'champion'"),
    ):
        result = called("rollback", *arguments)
        assert (result.exit_code, message in result.output) == (2, True)
    assert exit_code(type(refused("rollback", "--by", " ", "--reason", "worse"))) == 2
    assert stores.ledger.state().sequence == before


def test_a_store_without_a_champion_has_nothing_to_roll_back_and_is_not_created(home: Path) -> None:
    error = refused("rollback", *DECISION)
    assert isinstance(error, NothingToRollBackError)
    assert exit_code(type(error)) == 4
    assert "has pointed at nothing yet" in str(error)
    assert not home.exists()


# --- who is live ---


def test_versions_says_who_is_live_until_when_and_what_was_a_rollback(stores: Stores) -> None:
    promoted(stores, "stat-1", "stat-2")
    register(stores, "stat-3")
    rolled_back()
    moved_at = datetime.fromisoformat(stores.ledger.state().channel_moves[-1].recorded_at)
    lines = {line.split()[0]: line for line in called("versions").output.splitlines() if line}
    end = (moved_at + timedelta(days=28)).isoformat()
    assert f"until {end}" in lines["stat-2"]
    assert " yes " in lines["stat-1"]
    assert "until" not in lines["stat-3"]
    text = versions_text(stores, moved_at + timedelta(days=28))
    assert "until" not in text
    assert [line.split()[1] for line in text.splitlines()[-3:]] == ["promotion", "promotion", "rollback"]


def test_versions_as_of_a_past_entry_says_who_was_live_then(stores: Stores) -> None:
    promoted(stores, "stat-1", "stat-2")
    second = stores.ledger.state().sequence
    rolled_back()
    shown = {line.split()[0]: line for line in called("versions", "--as-of", str(second)).output.splitlines() if line}
    assert " yes " in shown["stat-2"]
    assert "until" in shown["stat-1"]


# --- retirement ---


def test_retire_says_what_follows_and_how_it_is_undone(stores: Stores) -> None:
    promoted(stores, "stat-1", "stat-2")
    result = called("retire", "stat-1", *DECISION)
    assert result.output.startswith("stat-1 is retired (ledger entry ")
    assert "What it published stays" in result.output
    with pytest.raises(NotAcceptedError, match="no new run of it: `stat-1` is retired") as found:
        require_possible(stores, run_key())
    assert "forecast-assets retire stat-1 --undo --by NAME --reason TEXT" in error_text(found.value)
    assert require_possible(stores, run_key(revision=1)).model_version == "stat-1"
    assert called("retire", "stat-1", "--undo", *DECISION).output.startswith("stat-1 serves again")
    assert require_possible(stores, run_key()).model_version == "stat-1"
    assert isinstance(refused("retire", "stat-2", *DECISION), NotAcceptedError)
