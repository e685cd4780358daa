"""Mirrors of a trained home: more versions of it, servers to mirror to, and how a mirror is spoiled.

What belongs here: what tests of the mirror share. What does not: what they ask of it.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import pytest

from forecast_assets.launch import Runner
from forecast_assets.operations.mirroring import MirrorOutcome, mirror_place, sync
from resources.ledger.entries.register import REGISTER, VersionRecord
from resources.mlflow.place import MirrorPlace
from resources.stores.home import Stores
from tests.support.retailers import copied

RELEASE: Final = "3.17.2"
PAGE: Final = {"reports/evaluation.html": b"<p>a page</p>"}


def brief_pages(stores: Stores, record: VersionRecord) -> Mapping[str, bytes]:
    """A page that is not drawn."""
    assert stores.registry.model_version(record.model_version) == record
    return PAGE


def register_again(stores: Stores, *names: str) -> None:
    """Register the trained version under other names too."""
    first = stores.registry.model_version("stat-1")
    for name in names:
        stores.registry.register(REGISTER.body(replace(first, model_version=name)))


def mirrored(runner: Runner, place: MirrorPlace | None = None, *, rebuild: bool = False) -> MirrorOutcome:
    return sync(runner.stores, place or mirror_place(runner.settings), brief_pages, rebuild=rebuild)


def home_with(trained: Runner, folder: Path, *names: str) -> Runner:
    """A copy of the trained home, with the trained version under other names too."""
    runner = copied(trained, folder)
    register_again(runner.stores, *names)
    return runner


def client(place: MirrorPlace) -> Any:
    """MLflow's own client, as somebody uses it who knows nothing of this project."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(place.uri, place.uri)


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def require(found: object, what: str) -> None:
    """Skip where something is not installed, but never in CI."""
    if found:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must have {what}: mirrors are tried on it")
    pytest.skip(f"no {what} here")


def _postgresql_folder() -> str:
    on_path = shutil.which("initdb")
    if on_path:
        return str(Path(on_path).parent)
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return str(known[-1].parent) if known else ""


class PostgresqlServer:
    """A PostgreSQL server of its own, which can be stopped and started again.

    Attributes:
        address: Of its database, without a driver's name; the same after each start.
    """

    def __init__(self, folder: Path) -> None:
        self._binaries = _postgresql_folder()
        require(self._binaries, "PostgreSQL (Debian's package postgresql)")
        # It refuses to run as root; Debian's package has a user for it, who cannot reach the folders of pytest: another
        # one that begins meanwhile shuts them.
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        self.folder = Path(mkdtemp(prefix="postgresql-", dir="/tmp")) if self._as_user else folder
        self.folder.mkdir(exist_ok=True)
        self._data = self.folder / "data"
        port = free_port()
        self.address = f"postgresql://postgres:secret@127.0.0.1:{port}/postgres"
        self._options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        if self._as_user:
            shutil.chown(self.folder, "postgres")
        self._call("initdb", "-U", "postgres", "--no-sync", "--auth=trust")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = str(self.folder / "log")
        self._call("pg_ctl", "-w", "-l", log, "-o", self._options, "start", stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        """Stop it at once, as a crash does; who is connected is cut off."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        ends = time.monotonic() + 60
        while Path(f"/proc/{pid}").exists() and time.monotonic() < ends:
            time.sleep(0.02)
        assert not Path(f"/proc/{pid}").exists()

    @property
    def is_running(self) -> bool:
        """Whether it has not been stopped."""
        return (self._data / "postmaster.pid").exists()

    def _call(self, program: str, *arguments: str, stdout: int | None = subprocess.PIPE) -> None:
        command = [*self._as_user, f"{self._binaries}/{program}", "-D", str(self._data), *arguments]
        subprocess.run(command, check=True, stdout=stdout)


@contextmanager
def postgresql_server(folder: Path) -> Iterator[PostgresqlServer]:
    """Run a PostgreSQL server of its own until the block ends."""
    server = PostgresqlServer(folder)
    server.start()
    try:
        yield server
    finally:
        if server.is_running:
            server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server of its own until the block ends; yields an address without a driver's name."""
    with postgresql_server(folder) as server:
        yield server.address


@contextmanager
def mlflow_server(folder: Path, database: Path) -> Iterator[str]:
    """Run MLflow's server on a database until the block ends; yields its address."""
    require(find_spec("flask_cors"), "Flask, which MLflow's server runs on")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{database}",
        "_MLFLOW_SERVER_REGISTRY_STORE": f"sqlite:///{database}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "served"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    }
    command = [sys.executable, "-m", "flask", "--app", "mlflow.server:app", "run", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            _wait_for(f"{address}/health", process, folder / "server.log")
            yield address
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path, seconds: float = 200.0) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own server
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(log.read_text())
