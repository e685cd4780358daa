"""The fire drill: faults are injected into a home one by one; each has to be told, explained, mended and over.

What belongs here: faults, how each is mended by its runbook, and what is asked of every one of them. What does not: how
many are tried in which test (`test_fire_drill`).

Each fault has a home of its own. Whoever is told is a webhook on this machine. Of a fault it is asked that an alert of
its code is received within a minute, that its page exists and names the command that mends it, and that its end is
received within a minute of mending. `make fire-drill` prints a table of it.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, Final
from unittest.mock import patch

from click.testing import CliRunner

from forecast_assets.alerts.evaluating import AlertEvaluator
from forecast_assets.automation.alert_sensors import ALERT_SECONDS
from forecast_assets.cli import cli
from forecast_assets.core.errors import ForecastAssetsError, StorageError
from forecast_assets.core.keys import DAILY
from forecast_assets.launch import Runner
from forecast_assets.presentation.text import table
from forecast_assets.settings import Settings
from resources.ledger.log import entry_path
from resources.orchestration.run_history import HomeHistory
from resources.stores.home import Stores, open_stores
from tests.support.alert_receivers import Receiver, http_receiver
from tests.support.store_cases import CUTOFF, ingest, publish, run_key

RUNBOOKS: Final = Path(__file__).parents[2] / "docs/runbooks"
MOST_SECONDS: Final = 60.0
WHO: Final = ("--by", "ana", "--reason", "fire drill")


@dataclass
class Ground:
    """A home on which a fault is tried.

    Attributes:
        home: Its folder.
        receiver: Who is told.
        stack: What ends with the fault.
        options: Settings besides.
        now: The moment that evaluations take for the present; the clock's if None.
    """

    home: Path
    receiver: Receiver
    stack: ExitStack
    options: dict[str, Any] = field(default_factory=dict)
    now: datetime | None = None
    _evaluator: AlertEvaluator | None = None

    @property
    def settings(self) -> Settings:
        to = (self.receiver.address("webhook", "/alerts"), *self.options.get("also_to", ()))
        options = {name: value for name, value in self.options.items() if name != "also_to"}
        return Settings(**{"home": self.home, "mlflow": False, "alert_to": to, "alert_most_per_hour": 99, **options})

    @property
    def stores(self) -> Stores:
        return open_stores(self.settings.store)

    def set(self, **options: Any) -> None:
        """Change settings, as whoever starts Dagster anew."""
        self.options |= options
        self._evaluator = None

    def command(self, *words: object) -> str:
        """Call the command as a person does; it has to end well."""
        said = {"FORECAST_ASSETS_HOME": self.home, "FORECAST_ASSETS_MLFLOW": "false"}
        said |= {f"FORECAST_ASSETS_{name.upper()}": value for name, value in self.options.items() if name != "also_to"}
        env = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in said.items()}
        done = CliRunner().invoke(cli, [*map(str, words)], env=env)
        if done.exception is not None:
            raise done.exception
        return done.output

    def evaluate(self) -> None:
        """Do what the sensor does at each tick."""
        self._evaluator = self._evaluator or AlertEvaluator(self.settings)
        done = self._evaluator.evaluate(HomeHistory(self.settings.dagster_folder), now=self.now)
        assert not done.trouble, done.trouble
        self.now = None if self.now is None else self.now + timedelta(seconds=1)

    def received(self, what: str, code: str) -> bool:
        """Whether a webhook said something of an alert of a code."""
        alerts = [each for post in self.receiver.posts for each in post.said["data"]["alerts"]]
        return any((each["what"], each["code"]) == (what, code) for each in alerts)


# Injects its fault, yields, and mends it as its runbook says.
Fault = Callable[[Ground], Iterator[None]]


@dataclass(frozen=True)
class Drill:
    """A fault, and what is told of it.

    Attributes:
        code: Of the alert.
        fault: What is done.
        mends: Beginning of the command of its runbook that mends it, or that shows that it is mended.
        needs_model: Whether its home has a version that was really trained.
    """

    code: str
    fault: Fault
    mends: str
    needs_model: bool = False


@dataclass(frozen=True)
class Drilled:
    """What came of a drill.

    Attributes:
        code: Of the alert.
        told_seconds: From the fault until it was received.
        over_seconds: From mending until its end was received.
    """

    code: str
    told_seconds: float
    over_seconds: float


def drill(of: Drill, home: Path, *, every_seconds: float) -> Drilled:
    """Try a fault.

    Args:
        of: Which.
        home: Folder of a home, which is copied.
        every_seconds: From one evaluation to the next.
    """
    page = (RUNBOOKS / f"{of.code}.md").read_text()
    assert f"forecast-assets {of.mends}" in page, f"the page of {of.code} names no `{of.mends}`"
    with TemporaryDirectory() as folder, http_receiver() as receiver, ExitStack() as stack:
        shutil.copytree(home, Path(folder) / "home")
        ground = Ground(Path(folder) / "home", receiver, stack)
        steps = of.fault(ground)
        next(steps)
        told = _until(ground, "opened", of.code, every_seconds)
        for _ in steps:
            raise AssertionError("a fault is mended once")
        over = _until(ground, "closed", of.code, every_seconds)
    return Drilled(of.code, told, over)


def _until(ground: Ground, what: str, code: str, every_seconds: float) -> float:
    began = time.monotonic()
    # The worst case: the sensor has looked just before.
    time.sleep(every_seconds)
    while True:
        ground.evaluate()
        passed = time.monotonic() - began
        if ground.received(what, code):
            assert passed <= MOST_SECONDS, f"{code} was {what} after {passed:.0f} s"
            return passed
        assert passed <= MOST_SECONDS, f"{code} was not {what} in {passed:.0f} s: {ground.receiver.posts}"
        time.sleep(every_seconds)


# --- faults ---


def late_feed(ground: Ground) -> Iterator[None]:
    ground.set(freshness=True)
    ground.now = datetime(2025, 1, 3, 12, tzinfo=UTC)
    yield
    ingest(ground.stores, day=1)
    ground.command("feeds")


def late_run(ground: Ground) -> Iterator[None]:
    ingest(ground.stores, day=1)
    ground.set(freshness=True)
    # Two days later, so that the promotion is no news.
    ground.now = datetime(2025, 1, 3, 12, tzinfo=UTC)
    yield
    publish(ground.stores, run_key(1))
    ground.command("runs")


def failed_run(ground: Ground) -> Iterator[None]:
    from forecast_assets.lifecycle import stage

    def broken(*_: object) -> None:
        raise MemoryError("no room for the assignment")

    with patch.object(stage, "assignment_rows", broken):
        _fails(ground)
    yield
    ground.command("challenger", "assign")


def failed_check(ground: Ground) -> Iterator[None]:
    import polars as pl

    from forecast_assets.lifecycle import stage
    from forecast_assets.lifecycle.assigning import assignment_rows

    def spoiled(*given: Any) -> pl.DataFrame:
        return assignment_rows(*given).with_columns(hashed_share=pl.lit(None, pl.Float64))

    with patch.object(stage, "assignment_rows", spoiled):
        _fails(ground)
    yield
    ground.command("challenger", "assign")


def _fails(ground: Ground) -> None:
    from tests.support.trial_cases import begin

    begin(ground.stores, share=1.0)
    runner = Runner(ground.settings)
    try:
        runner.assign(DAILY.name)
    except (ForecastAssetsError, MemoryError):
        return
    raise AssertionError("the run was to fail")


def corrupted_file(ground: Ground) -> Iterator[None]:
    publication = ground.stores.ledger.state().publications[run_key()]
    file = ground.settings.store_folder / publication.files["forecasts"][0].path
    backup = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(backup[:-1] + bytes([backup[-1] ^ 1]))
    yield
    file.write_bytes(backup)
    ground.command("verify")


def edited_entry(ground: Ground) -> Iterator[None]:
    entry = ground.settings.store_folder / entry_path(2)
    backup = entry.read_bytes()
    entry.chmod(0o644)
    entry.write_bytes(backup.replace(b"stat-1", b"stat-9"))
    yield
    entry.write_bytes(backup)
    ground.command("verify")


def full_disk(ground: Ground) -> Iterator[None]:
    usage = shutil.disk_usage(ground.home)
    nearly = usage._replace(used=usage.total - 1_000_000, free=1_000_000)
    with patch("shutil.disk_usage", lambda _: nearly):
        yield
    ground.command("vacuum")


def edited_mlflow(ground: Ground) -> Iterator[None]:
    from forecast_assets.operations.mirroring import mirror_place
    from tests.support.mirrors import client, mirrored

    ground.set(mlflow=True)
    ground.now = datetime.now(UTC) + timedelta(hours=1)
    mirrored(Runner(ground.settings))
    place = mirror_place(ground.settings)
    ground.evaluate()
    assert not ground.receiver.posts
    client(place).set_model_version_tag(place.model, "1", "model_version", "somebody's")
    yield
    ground.command("mlflow", "sync")


def stopped_copy(ground: Ground) -> Iterator[None]:
    from tests.support.mirrors import postgresql_server

    server = ground.stack.enter_context(postgresql_server(ground.home / "postgresql"))
    ground.set(operational_copy=server.address)
    ground.command("copy", "sync")
    server.stop()
    yield
    server.start()
    ground.command("copy", "sync")


def stopped_redis(ground: Ground) -> Iterator[None]:
    from tests.support.redis_servers import redis_server

    server = ground.stack.enter_context(redis_server(ground.home / "redis"))
    ground.set(redis=server.url)
    ground.evaluate()
    assert not ground.receiver.posts
    server.stop()
    yield
    server.start()


def growing_spool(ground: Ground) -> Iterator[None]:
    from tests.support.event_cases import event, left_by_a_dead_process

    ground.set(event_spool_mb=1)
    left_by_a_dead_process(ground.settings.spool_folder, [event(number) for number in range(600)])
    yield
    ground.command("events", "drain")


def failing_model(ground: Ground) -> Iterator[None]:
    from forecast_assets.core.breaker import Breaker
    from forecast_assets.features.changes import SeriesChange
    from forecast_assets.serving.dataplane.plane import DataPlane
    from forecast_assets.serving.dataplane.predicting import Predictor, PredictQuestion
    from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
    from forecast_assets.serving.dataplane.questions import VersionAsked

    def unreadable(*_: Any) -> Any:
        raise StorageError("The artifact cannot be read.")

    plane = DataPlane(ground.stores, lambda: datetime.now(UTC))
    runs = PreparedRuns(plane.stores, prepare=unreadable)
    plane.predictor = Predictor(plane.stores, runs, breaker=lambda: Breaker(2, MOST_SECONDS / 2))
    ground.set(api_url=ground.stack.enter_context(served(plane)))
    question = PredictQuestion("what_if", VersionAsked(model_version="stat-1"), (SeriesChange("S", "A"),))
    for _ in range(2):
        assert plane.predictor.predict(question, datetime.now(UTC)).is_degraded
    yield
    # Whoever put the artifact right: the next one that is let through succeeds.
    plane.predictor.breaker_of(run_key()).succeeded()


def gone_service(ground: Ground) -> Iterator[None]:
    from tests.support.mirrors import free_port
    from tests.support.small_home import without_model

    port = free_port()
    ground.set(api_url=f"http://127.0.0.1:{port}")
    yield
    ground.stack.enter_context(served(without_model(ground.stores), port))


@contextmanager
def served(plane: Any, port: int = 0) -> Iterator[str]:
    """Serve a plane over HTTP until the block ends."""
    import uvicorn

    from forecast_assets.serving.access.callers import Callers
    from forecast_assets.serving.api.app import create_app
    from resources.operational.api_keys import ApiKeys

    callers = Callers(ApiKeys(Path("/nowhere/keys.sqlite")), lambda: datetime.now(UTC))
    config = uvicorn.Config(create_app(plane, callers), "127.0.0.1", port, log_config=None)
    server = uvicorn.Server(config)
    with closing(config.bind_socket()) as sock:
        thread = Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        yield "http://{}:{}".format(*sock.getsockname())
        server.should_exit = True
        thread.join(20)


def clock_behind(ground: Ground) -> Iterator[None]:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # noqa: ARG003
            return datetime.now(UTC) + timedelta(hours=2)

    with patch("resources.ledger.log.datetime", Ahead):
        ingest(ground.stores, day=3)
    yield

    # Set right: three hours on.
    class Right(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # noqa: ARG003
            return datetime.now(UTC) + timedelta(hours=3)

    ground.stack.enter_context(patch("resources.ledger.present.datetime", Right))
    ground.command("doctor")


def biased_forecasts(ground: Ground) -> Iterator[None]:
    yield from _measured_as(ground, error=200.0)


def narrow_intervals(ground: Ground) -> Iterator[None]:
    yield from _measured_as(ground, inside=0.6)


def _measured_as(ground: Ground, **said: float) -> Iterator[None]:
    """Fifteen days of measurements that are out of bounds; mended by four weeks that are not."""
    from tests.support.trial_cases import Said, measured

    def days(numbers: range, each: Said) -> None:
        for number in numbers:
            day: date = CUTOFF + timedelta(days=number)
            # Some days more, some less: chance has to be seen.
            varied = Said(error=each.error + 10 * (number % 3 - 1), inside=each.inside + 0.01 * (number % 3 - 1))
            measured(ground.stores, day, {("stat-1", 1): varied})

    days(range(1, 16), Said(**said))
    yield
    days(range(16, 44), Said())
    ground.command("policy", "show")


def drifting_feed(ground: Ground) -> Iterator[None]:
    from resources.ledger.entries.judged_days import Signal
    from tests.support.ledger_cases import judge

    first = date(2025, 1, 5)
    signal = Signal("feed/sales/sales_units/changed/all", first.isoformat(), 0.3, "sales_units of sales changed")
    judge(ground.stores, first, told=(signal,))
    ground.evaluate()
    assert not ground.receiver.posts, "the first day is the backlog's alone"
    judge(ground.stores, first + timedelta(days=1))
    yield
    ground.command("backlog", "acknowledge", 1, *WHO)


def deaf_destination(ground: Ground) -> Iterator[None]:
    deaf = ground.stack.enter_context(http_receiver())
    deaf.status = 500
    ground.set(also_to=(deaf.address("slack", "/services/SECRET"),), disk_free_mb=1 << 40)
    ground.now = datetime.now(UTC)
    yield
    deaf.status = 200
    # Past the half minute for which it is left alone.
    ground.now += timedelta(seconds=31)


DRILLS: Final[Mapping[str, Drill]] = {
    "late feed": Drill("late-feed", late_feed, "feeds"),
    "late run": Drill("late-run", late_run, "runs"),
    "failed run": Drill("failed-run", failed_run, "runs"),
    "failed check": Drill("failed-check", failed_check, "run"),
    "corrupted store file": Drill("verify-finding", corrupted_file, "verify"),
    "edited ledger entry": Drill("ledger-unreadable", edited_entry, "verify"),
    "full disk": Drill("disk-nearly-full", full_disk, "vacuum"),
    "MLflow edited": Drill("mlflow-behind", edited_mlflow, "mlflow sync", needs_model=True),
    "PostgreSQL of the copy stopped": Drill("copy-behind", stopped_copy, "copy sync"),
    "Redis stopped": Drill("redis-down", stopped_redis, "doctor"),
    "spool growing": Drill("spool-growing", growing_spool, "events drain"),
    "breaker of the model open": Drill("breaker-open", failing_model, "doctor"),
    "service gone": Drill("service-unavailable", gone_service, "serve"),
    "clock behind": Drill("clock-behind", clock_behind, "doctor"),
    "bias out of bounds": Drill("bias-out-of-bounds", biased_forecasts, "policy show"),
    "coverage out of bounds": Drill("coverage-out-of-bounds", narrow_intervals, "retrain"),
    "drift on a second day": Drill("drift-confirmed", drifting_feed, "backlog acknowledge"),
    "deaf destination": Drill("destination-down", deaf_destination, "alerts test"),
}


def make_home(home: Path) -> Path:
    """Make the home that faults are tried on: a champion, a challenger, and a published run."""
    from tests.support.trial_cases import with_champion

    stores = with_champion(open_stores(home / "store"))
    publish(stores, run_key())
    return home


def train_home(home: Path) -> Path:
    """Make a home whose champion was really trained, on a small simulated retailer."""
    from forecast_assets.simulation.simulator import simulate_retailer
    from tests.support.retailers import RETAILER, new_runner

    runner = new_runner(home)
    runner.ingest(simulate_retailer(RETAILER).batches)
    runner.train(family="statistical", version="stat-1", cutoff=RETAILER.end, horizon=28)
    runner.stores.registry.promote("stat-1", by="tests", reason="first")
    return home


def main() -> int:
    """Try every fault at the pace of the sensor, and print what came of it."""
    every = float(os.environ.get("FIRE_DRILL_SECONDS", ALERT_SECONDS))
    rows, failed = [], 0
    with TemporaryDirectory() as folder:
        homes = {False: make_home(Path(folder) / "made"), True: train_home(Path(folder) / "trained")}
        for name, each in DRILLS.items():
            try:
                done = drill(each, homes[each.needs_model], every_seconds=every)
                rows.append((name, each.code, f"{done.told_seconds:.1f}", f"{done.over_seconds:.1f}", "yes"))
            except Exception as error:  # noqa: BLE001 - one drill ends no other
                failed += 1
                rows.append((name, each.code, "-", "-", f"no: {error}"[:60]))
            print(f"{name}: {rows[-1][-1]}", file=sys.stderr, flush=True)
    print(table(("fault", "alert", "told after s", "over after s", "as it should"), rows))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
