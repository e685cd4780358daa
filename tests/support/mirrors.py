"""Mirrors of a trained home: more versions of it, servers to mirror to, and how a mirror is spoiled.

What belongs here: what tests of the mirror share. What does not: what they ask of it.
"""

import os
import shutil
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


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server of its own until the block ends; yields an address without a driver's name."""
    found = _postgresql_folder()
    require(found, "PostgreSQL (Debian's package postgresql)")
    folder.mkdir()
    data, port = folder / "data", free_port()
    as_user: list[str] = []
    if os.getuid() == 0:
        # It refuses to run as root; Debian's package has a user for it, who must be able to reach the folder.
        as_user = ["runuser", "-u", "postgres", "--"]
        for each in [folder, *folder.parents]:
            if each.is_relative_to("/tmp") and each != Path("/tmp"):  # noqa: S108 - where pytest has its folders
                each.chmod(each.stat().st_mode | 0o011)
        shutil.chown(folder, "postgres")
    run = [*as_user, f"{found}/initdb", "-D", str(data), "-U", "postgres", "--no-sync", "--auth=trust"]
    subprocess.run(run, check=True, capture_output=True)
    control = [*as_user, f"{found}/pg_ctl", "-D", str(data), "-w"]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    subprocess.run([*control, "-l", str(folder / "log"), "-o", options, "start"], check=True, stdout=subprocess.DEVNULL)
    try:
        yield f"postgresql://postgres:secret@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True)


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
