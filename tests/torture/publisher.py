"""The process that is harmed: prepares stores, records something in them by the real code, and is judged afterwards.

What belongs here: what is recorded (scenarios), what must hold after any harm, and the server that forks a process for
each case. What does not: where harm strikes, or how often.

Run as a program it is a server: it imports everything once, starts no threads that matter, and forks one process that
is harmed and one that judges for every line of JSON that it is given. So a case costs what publishing costs.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import duckdb
import pandera.polars  # noqa: F401 - loaded before forking, not in every case
import polars as pl

from forecast_assets.contracts import FORECAST_ACCURACY, PUBLISHED, Contract
from forecast_assets.core.errors import AlreadyPublishedError, AlreadyRegisteredError, ForecastAssetsError, StorageError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.library_errors import as_own_error
from resources.ledger.log import BUNDLE
from resources.maintenance.vacuuming import vacuum_store
from resources.maintenance.verification import verify_store
from resources.store.provenance import code_version, cpu_type, library_versions
from resources.stores.home import Stores, open_stores
from tests.accuracy.test_records import TARGET, rows
from tests.support import ledger_cases, products, store_cases
from tests.torture.injection import Call, Harm, Report, arm, preloaded

# A process that hangs is killed after so many seconds, by a signal that no case expects.
PATIENCE: Final = 120
REPOSITORY: Final = Path(__file__).parents[2]
DONE: Final = "done"
# What every backtest here has found; a report that is not recorded has found another.
WAPE: Final = 0.25


# --- what is recorded ---


@dataclass(frozen=True)
class Scenario:
    """Something that a process records.

    Attributes:
        prepare: Makes the home folder as it is before.
        act: Records; done again, it completes what is missing and repeats nothing. Returns what it says.
        appends: Kinds of the ledger entries that it appends.
        publishes: The run that becomes visible, if any.
        resumed: Kinds of the entries if it was stopped between them and done again, where these are others; each way.
        ends_in_errors_too: Whether its last entry follows an error too, so that nobody waits for it.
    """

    prepare: Callable[[Path], None]
    act: Callable[[Path], str]
    appends: Sequence[str]
    publishes: RunKey | None = None
    resumed: Sequence[Sequence[str]] = ()
    ends_in_errors_too: bool = False


def stores_of(home: Path) -> Stores:
    return open_stores(home / "store")


def units_of(key: RunKey) -> int:
    """Return the number by which the forecasts of a run are told from those of any other."""
    return 4 + (key.prediction_date - store_cases.CUTOFF).days + 10 * key.revision


def publish(home: Path, key: RunKey) -> str:
    """Publish a run and build the catalogue, as the asset does: the run is published with or without a catalogue."""
    stores = stores_of(home)
    with suppress(AlreadyPublishedError):
        store_cases.publish(stores, key, units_of(key))
    try:
        store_cases.catalogue(stores, home / "catalogue")
    except (StorageError, duckdb.Error) as error:
        return f"{DONE}, without a catalogue: {error}"
    return DONE


def ingest(home: Path) -> str:
    store_cases.ingest(stores_of(home), day=5)
    return DONE


def register(home: Path) -> str:
    stores = stores_of(home)
    with suppress(AlreadyRegisteredError):
        store_cases.register(stores, "stat-2")
    if stores.ledger.state().channel("champion") != "stat-2":
        stores.registry.promote("stat-2", by="ana", reason="better")
    return DONE


def roll_back(home: Path) -> str:
    stores = stores_of(home)
    if stores.ledger.state().channel("champion") != "stat-1":
        stores.registry.rollback(by="ana", reason="worse")
    return DONE


def measure(home: Path) -> str:
    predictions = stores_of(home).predictions
    made = predictions.write(
        FORECAST_ACCURACY, rows(), key=f"daily/{TARGET}", folder="accuracy", inputs={"batches": []},
        facts={"known_until": "2025-06-05T12:00:00+00:00", "runs": 1},
    )  # fmt: skip
    predictions.accept(made.version, "sums_are_right")
    predictions.record_measurement("daily", TARGET, made, since=0, required_checks=["sums_are_right"])
    return DONE


def backtest(home: Path) -> str:
    ledger_cases.record_backtest(stores_of(home), wape=WAPE)
    return DONE


def vacuum(home: Path) -> str:
    stores = stores_of(home)
    vacuum_store(stores.blobs, stores.ledger, by="ana")
    return DONE


def prepared(*keys: RunKey, entries: int = 0, then: Callable[[Stores], object] | None = None) -> Callable[[Path], None]:
    """Return what makes a home with observations, a version, published runs, and so many ledger entries."""

    def prepare(home: Path) -> None:
        stores = stores_of(home)
        store_cases.ingest(stores)
        store_cases.register(stores)
        for key in keys:
            publish(home, key)
        while stores.ledger.state().sequence < entries:
            stores.registry.promote("stat-1", by="ana", reason="as before")
        if then:
            then(stores)
        if keys:
            store_cases.catalogue(stores, home / "catalogue")

    return prepare


def _promote_both(stores: Stores) -> None:
    store_cases.register(stores, "stat-2")
    for name in ("stat-1", "stat-2"):
        stores.registry.promote(name, by="ana", reason="next")


def _write_report(stores: Stores) -> None:
    ledger_cases.report(stores, wape=WAPE)


def _leave_old_products(stores: Stores) -> None:
    """Leave what a run and a backtest wrote a month ago that did not commit, beside a backtest that did."""
    store_cases.stage(stores, DAYS[2], units_of(DAYS[2]))
    ledger_cases.record_backtest(stores, wape=WAPE)
    ledger_cases.report(stores, wape=2 * WAPE)
    month_ago = time.time() - 30 * 86_400
    for blob in stores.blobs.everything():
        os.utime(stores.blobs.local(blob.path), (month_ago, month_ago))


def publishing(prepare: Callable[[Path], None], key: RunKey) -> Scenario:
    return Scenario(prepare, lambda home: publish(home, key), ["publish"], key)


DAYS: Final = [store_cases.run_key(day) for day in range(3)]
CORRECTED: Final = store_cases.run_key(1, revision=1)
SCENARIOS: Final[Mapping[str, Scenario]] = {
    "the first publication": publishing(prepared(), DAYS[0]),
    "a daily publication": publishing(prepared(*DAYS[:2]), DAYS[2]),
    "the publication that fills a bundle": publishing(prepared(*DAYS[:2], entries=BUNDLE - 1), DAYS[2]),
    "a publication that was stopped before its commit": publishing(
        prepared(*DAYS[:2], then=lambda stores: store_cases.stage(stores, DAYS[2], units_of(DAYS[2]))), DAYS[2]
    ),
    "a correction": publishing(prepared(*DAYS[:2]), CORRECTED),
    "an ingest": Scenario(prepared(DAYS[0]), ingest, ["ingest"]),
    "a new champion": Scenario(prepared(DAYS[0]), register, ["register", "promote"]),
    "a rollback": Scenario(prepared(DAYS[0], then=_promote_both), roll_back, ["rollback"]),
    "a measurement": Scenario(prepared(DAYS[0]), measure, ["measure"]),
    "a backtest": Scenario(prepared(DAYS[0]), backtest, ["evaluate"]),
    "a backtest that was stopped before its commit": Scenario(
        prepared(DAYS[0], then=_write_report), backtest, ["evaluate"]
    ),
    "a vacuum": Scenario(
        prepared(*DAYS[:2], then=_leave_old_products),
        vacuum,
        ["vacuum", "vacuumed"],
        resumed=[["vacuum", "vacuum", "vacuumed"], ["vacuum", "vacuumed", "vacuum", "vacuumed"]],
        ends_in_errors_too=True,
    ),
}


# --- what must hold ---


@dataclass(frozen=True)
class Seen:
    """What a reader sees: hashes and kinds of the entries, product versions of the published runs, files."""

    entries: tuple[str, ...]
    kinds: tuple[str, ...]
    published: Mapping[str, Mapping[str, str]]
    files: Sequence[str]


def look(home: Path) -> Seen:
    """Read everything that is visible, as a new process does; whatever is wrong with it is an AssertionError."""
    stores = stores_of(home)
    entries = stores.ledger.entries()
    publications = stores.ledger.state().publications
    for key, publication in publications.items():
        assert set(publication.products) == set(PUBLISHED), f"{key} is half there"
        for product, version in publication.products.items():
            found = stores.predictions.read(stores.predictions.version(version))
            assert found.equals(expected_frame(product, key)), f"{product} of {key} has other values"
    for record in stores.ledger.state().backtests.get("stat-1", []):
        found = stores.predictions.read(stores.predictions.version(record.product_version))
        assert found.equals(products.make_backtests("stat-1", WAPE)), f"{record} has another report"
    findings = verify_store(stores.blobs).findings
    assert not findings, findings
    _look_at_catalogue(home, [entry.hash for entry in entries], list(publications))
    return Seen(
        tuple(entry.hash for entry in entries),
        tuple(entry.kind for entry in entries),
        {str(key): dict(publication.products) for key, publication in publications.items()},
        [blob.path for blob in stores.blobs.everything() if _is_content(blob.path)],
    )


def _is_content(path: str) -> bool:
    """Return whether a file is one that every process which comes to its end leaves under the same name."""
    return not path.startswith(("scratch/", "ledger/", "ledger_bundles/", "vacuums/")) and "#" not in path


@cache
def expected_frame(product: str, key: RunKey) -> pl.DataFrame:
    return store_cases.product_frame(product, key, units_of(key))


def _look_at_catalogue(home: Path, entries: Sequence[str], published: Sequence[RunKey]) -> None:
    """A catalogue that can be opened is that of a ledger entry, and its views show every run up to there, whole."""
    link = home / "catalogue" / "catalogue.duckdb"
    if not os.path.lexists(link):
        return
    with duckdb.connect(str(link), read_only=True) as connection:
        sequence, head = connection.sql("SELECT sequence, hash FROM audit.ledger_head").fetchall()[0]
        assert entries[sequence - 1] == head, "the catalogue is of another ledger"
        listed = [key for (key,) in connection.sql("SELECT publication_key FROM audit.publications").fetchall()]
        assert listed == [str(key) for key in published[: len(listed)]], listed
        for product in PUBLISHED:
            found = connection.sql(f'SELECT * FROM "stat-1".{product}').pl()  # noqa: S608
            wanted = [expected_frame(product, key) for key in published[: len(listed)]]
            assert found.height == sum(frame.height for frame in wanted), f"{product} in the catalogue"
            for frame in wanted:
                key = frame.select(RUN_COLUMNS).unique()
                rows_of_run = found.join(key, on=RUN_COLUMNS, how="semi", maintain_order="left")
                assert rows_of_run.select(frame.columns).equals(frame), f"{product} in the catalogue"


RUN_COLUMNS: Final = list(vars(DAYS[0]))


def catalogue_head(home: Path) -> int | None:
    """Return the ledger entry whose catalogue the link points at."""
    link = home / "catalogue" / "catalogue.duckdb"
    return int(link.readlink().parent.name.split("-")[1]) if os.path.lexists(link) else None


def judge(scenario: Scenario, home: Path, before: Seen, unharmed: Seen) -> int:
    """Check a home after harm, do the same again without harm, and check that nothing tells it from an unharmed one.

    Returns:
        How many of the scenario's entries readers saw before it was done again.
    """
    seen = look(home)
    known = len(before.entries)
    assert seen.entries[:known] == before.entries, "an entry of before is gone"
    new = seen.kinds[known:]
    assert list(new) == list(scenario.appends[: len(new)]), new
    runs = {key: seen.published[key] for key in seen.published if key not in before.published}
    assert runs in ({}, {str(scenario.publishes): unharmed.published.get(str(scenario.publishes))}), runs
    assert {**seen.published, **before.published} == seen.published, "a published run changed"
    if before.published:
        assert catalogue_head(home) in (known, known + len(scenario.appends)), "no catalogue, or that of another head"

    said = scenario.act(home)
    assert said == DONE, said
    again = look(home)
    assert again.entries[: len(seen.entries)] == seen.entries, "doing it again changed the past"
    assert list(again.kinds[known:]) in (scenario.appends, *scenario.resumed), again.kinds
    assert again.published == unharmed.published, "done again, it has other bytes"
    assert again.files == unharmed.files, "done again, it left other files"
    if scenario.publishes:
        assert catalogue_head(home) == len(again.entries)
    return len(new)


# --- the server ---


def _outcome(scenario: Scenario, home: Path) -> str:
    """Record, and say how that ended as the command would."""
    try:
        return scenario.act(home)
    except Exception as error:
        known = error if isinstance(error, ForecastAssetsError) else as_own_error(error)
        if known is None:
            raise
        return f"{type(known).__name__}: {known}"


def _in_child(action: Callable[[], Any]) -> tuple[int, str]:
    """Run something in a forked process; return its exit code, minus the signal's number if one ended it, and its word.

    A process that is killed says nothing.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE)
        try:
            code, said = 0, json.dumps(action())
        except BaseException:  # noqa: BLE001 - whatever it is, the test shows it
            code, said = 1, traceback.format_exc()
        os.write(writing, said.encode())
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


class _Prepared:
    """A scenario's home as it is before, and what an unharmed process makes of it."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self._scenario = scenario
        self._folder = folder
        self._template = folder / "before"
        self._before = _seen(self._make)
        home, report = self._copy("unharmed"), folder / "calls"
        self._unharmed = _seen(lambda: self._act_and_look(home, report))
        self.calls = Report.read(report).calls
        shutil.rmtree(home)

    def _make(self) -> Seen:
        self._scenario.prepare(self._template)
        return look(self._template)

    def _act_and_look(self, home: Path, report: Path) -> Seen:
        arm(Harm(), home, report)
        assert self._scenario.act(home) == DONE
        arm(Harm(), Path("/nowhere"), Path(os.devnull))
        return look(home)

    def _copy(self, name: str) -> Path:
        home = self._folder / name
        shutil.copytree(self._template, home, symlinks=True)
        return home

    def case(self, harm: Harm) -> dict[str, Any]:
        """Harm one process, and judge what it left."""
        home, report = self._copy("harmed"), self._folder / "report"
        report.unlink(missing_ok=True)

        def act() -> str:
            arm(harm, home, report)
            return _outcome(self._scenario, home)

        code, said = _in_child(act)
        judged, verdict = _in_child(lambda: judge(self._scenario, home, self._before, self._unharmed))
        shutil.rmtree(home)
        return {
            "code": code,
            "said": said,
            "deeds": Report.read(report).deeds,
            "visible": int(verdict) if judged == 0 else None,
            "wrong": "" if judged == 0 else verdict or f"the judge ended with {judged}",
        }


def _seen(action: Callable[[], Seen]) -> Seen:
    code, said = _in_child(lambda: asdict(action()))
    assert code == 0, said or f"ended with {code}"
    raw = json.loads(said)
    return Seen(tuple(raw["entries"]), tuple(raw["kinds"]), raw["published"], raw["files"])


def serve(folder: Path) -> None:
    """Answer requests: a scenario's name is prepared and its calls told; with harm, one case is tried."""
    # What a frame must be was checked when these were made up; only writing is tried here.
    Contract.validate = lambda _self, _frame: None  # type: ignore[method-assign,assignment]
    # In a container the process has the same number every time.
    os.getpid = lambda: 7
    _ = code_version(), library_versions(), cpu_type()
    ready: dict[str, _Prepared] = {}
    for line in sys.stdin:
        request = json.loads(line)
        name = request["scenario"]
        if name not in ready:
            ready[name] = _Prepared(SCENARIOS[name], folder / str(len(ready)))
        harm = request["harm"]
        answer = ready[name].case(Harm(**harm)) if harm else [asdict(call) for call in ready[name].calls]
        print(json.dumps(answer), flush=True)


# --- its client ---


@dataclass(frozen=True)
class Case:
    """What became of one harmed process.

    Attributes:
        code: Exit code; minus the signal's number if one ended it.
        said: How it ended, or why it broke.
        deeds: Where harm struck, and how.
        visible: How many of the scenario's entries readers saw then; None if something was wrong.
        wrong: What did not hold; empty if all did.
    """

    code: int
    said: str
    deeds: Sequence[tuple[int, str]]
    visible: int | None
    wrong: str


class Server:
    """A running publisher."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def calls(self, scenario: str) -> list[Call]:
        """Return the calls of an unharmed process."""
        return [Call(**call) for call in self._ask(scenario, None)]

    def case(self, scenario: str, harm: Harm) -> Case:
        """Harm one process."""
        return Case(**self._ask(scenario, asdict(harm)))

    def _ask(self, scenario: str, harm: dict[str, Any] | None) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"scenario": scenario, "harm": harm}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the publisher ended; what it printed is above"
        return json.loads(answer)


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Start a publisher that works in a folder."""
    # Threads that a library starts when it is imported do not survive a fork.
    threads = {"OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    environment = {**preloaded(), **threads, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    command = [sys.executable, "-m", "tests.torture.publisher", str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY
    ) as process:
        yield Server(process)
        assert process.stdin
        process.stdin.close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
