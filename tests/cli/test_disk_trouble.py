"""What an operator meets at night: a full, read-only or forbidden disk, a clock that goes back, two runs of one key.

Where in a process the disk fails is tried in tests/torture; here is what a command then says, and its exit code.
"""

import errno
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.core.errors import AlreadyPublishedError
from forecast_assets.core.keys import RunKey
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores, open_stores
from tests.support.ledger_cases import admit_all
from tests.support.store_cases import catalogue, ingest, publish, register, required, run_key, stage
from tests.torture.injection import FAIL_FROM, TROUBLES, Harm, Report, armed

COMMAND = Path(sys.executable).with_name("forecast-assets")
RETIRE = ("retire", "stat-1", "--by", "ana", "--reason", "better")
LASTING = {trouble.error: trouble for trouble in TROUBLES if trouble.lasts}
# What a person is told to do.
REMEDIES = {
    errno.ENOSPC: "Free some disk space and run the same command again",
    errno.EROFS: "Make the folder writable for this user, or set FORECAST_ASSETS_HOME",
    errno.EACCES: "Make the folder writable for this user, or set FORECAST_ASSETS_HOME",
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template")
    made = open_stores(home / "store")
    ingest(made)
    register(made)
    publish(made, run_key())
    return home


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "home"))


def entries(home: Path) -> list[str]:
    return [entry.kind for entry in open_stores(home / "store").ledger.entries()]


def call(home: Path, *arguments: str, error: int | None = None, at: int = 1) -> tuple[int, str]:
    """Call the command, from whose first change of the home on the disk fails; return exit code and what it says."""
    harm = Harm() if error is None else Harm(FAIL_FROM, at, error, LASTING[error].kinds)
    report = home.parent / "report"
    report.unlink(missing_ok=True)
    environment = {**armed(harm, home, report), "FORECAST_ASSETS_HOME": str(home)}
    done = subprocess.run([COMMAND, *arguments], env=environment, cwd=home, capture_output=True, text=True, check=False)
    assert bool(Report.read(report).deeds) == (error is not None)
    return done.returncode, done.stderr


@pytest.mark.parametrize("error", REMEDIES)
def test_a_command_whose_disk_fails_says_where_and_what_to_do_and_works_afterwards(home: Path, error: int) -> None:
    before = entries(home)
    code, said = call(home, *RETIRE, error=error)
    assert code == 6, said
    assert said.startswith("error: ")
    assert str(home / "store/ledger/000000000004.json") in said
    assert REMEDIES[error] in said
    assert "Traceback" not in said
    assert entries(home) == before
    assert call(home, *RETIRE)[0] == 0
    assert entries(home) == [*before, "retire"]


@pytest.mark.parametrize("error", REMEDIES)
def test_a_catalogue_that_cannot_be_written_leaves_the_one_of_before(home: Path, error: int) -> None:
    link = home / "catalogue/catalogue.duckdb"
    stores = open_stores(home / "store")
    catalogue(stores, link.parent)
    before = link.readlink()
    stores.registry.promote("stat-1", by="ana", reason="better")
    code, said = call(home, "catalogue", error=error)
    assert code == 6, said
    assert str(home / "catalogue") in said
    assert "Traceback" not in said
    assert (link.readlink(), link.exists()) == (before, True)
    catalogue(stores, link.parent)
    assert link.readlink() != before


def test_a_limit_on_the_size_of_files_is_told_as_a_full_disk(home: Path) -> None:
    # No shim: the system itself refuses to let a file grow.
    done = subprocess.run(
        [COMMAND, *RETIRE], cwd=home, env={"FORECAST_ASSETS_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )  # fmt: skip
    assert done.returncode == 6, done.stderr
    assert REMEDIES[errno.ENOSPC] in done.stderr
    assert entries(home) == ["ingest", "register", "publish"]


def test_a_disk_that_fails_after_the_commit_does_not_say_that_nothing_happened(home: Path) -> None:
    # Writing aside, giving the entry its name, and then no word from the disk whether it will last.
    counted = home.parent / "counted"
    shutil.copytree(home, counted)
    assert call(counted, *RETIRE) == (0, "")
    calls = Report.read(home.parent / "report").calls
    committed = next(made.number for made in calls if made.name == "linkat" and "/ledger/" in made.path)
    code, said = call(home, *RETIRE, error=errno.EIO, at=committed + 1)
    assert code == 6
    assert "Ledger entry 4 is appended, but the disk did not confirm it" in said
    assert "nothing was published" not in said
    assert entries(home) == ["ingest", "register", "publish", "retire"]


def test_a_clock_that_goes_back_reorders_nothing(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    noon = datetime(2025, 6, 1, 12, tzinfo=UTC)
    told = [noon, noon - timedelta(days=400), noon + timedelta(hours=1), noon - timedelta(seconds=1)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            del tz
            return told.pop(0)

    with monkeypatch.context() as patched:
        patched.setattr("resources.ledger.log.datetime", Clock)
        ingest(stores)
        for reason in ("first", "second", "third"):
            stores.ledger.append(
                "promote", {"channel": "champion", "model_version": reason, "by": "ana", "reason": reason},
                admit_all,
            )  # fmt: skip
    assert told == []
    recorded = [datetime.fromisoformat(entry.recorded_at) for entry in stores.ledger.entries()]
    assert recorded == [noon, noon, noon + timedelta(hours=1), noon + timedelta(hours=1)]
    # What was there at a moment is what had been appended by then, and grows with the moment.
    assert [stores.as_of(moment).ledger.state().sequence for moment in recorded] == [2, 2, 4, 4]
    assert stores.as_of(noon + timedelta(minutes=1)).ledger.state().channel("champion") == "first"


def commit(
    location: Path, key: RunKey, ready: Barrier, products: Mapping[str, str]
) -> Publication | AlreadyPublishedError:
    """Publish from a store of one's own, at the same moment as somebody else."""
    own = open_stores(location).predictions
    ready.wait(60)
    try:
        return own.publish(key, products, required)
    except AlreadyPublishedError as error:
        return error


def test_of_two_runs_of_a_key_at_once_one_is_published_whole_and_the_other_is_refused(stores: Stores) -> None:
    ingest(stores)
    register(stores)
    location = stores.blobs.root
    for day in range(8):
        ready = Barrier(2)
        key = run_key(day)
        staged = {units: stage(stores, key, units) for units in (4, 5)}

        with ThreadPoolExecutor(2) as pool:
            outcomes = dict(zip(staged, pool.map(partial(commit, location, key, ready), staged.values()), strict=True))
        (winner,) = [units for units, outcome in outcomes.items() if isinstance(outcome, Publication)]
        (refused,) = [outcome for outcome in outcomes.values() if isinstance(outcome, AlreadyPublishedError)]
        published = open_stores(location).predictions.publication(key)
        assert dict(published.products) == staged[winner]
        assert (exit_code(type(refused)), refused.sequence) == (4, published.sequence)
