"""All processes of one machine under one command: they answer, one that is killed comes back, all end when told to."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from forecast_assets.core.keys import RunKey
from forecast_assets.settings import Settings
from resources.operational.api_keys import ApiKeys
from resources.stores.home import open_stores
from tests.support.balanced_services import free_port, is_answered, until_true
from tests.support.store_cases import ingest, publish, register

UP = Path(__file__).parents[2] / "deploy/up.sh"
# Commands of this environment, whether or not it is the active one.
SEARCHED = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
PROGRAMS = ("api-1", "api-2", "balancer", "code-location", "daemon", "webserver")
PORTS = ("API_PORT", "WEBSERVER_PORT", "FIRST_PORT", "SECOND_PORT", "CODE_LOCATION_PORT")


@dataclass
class Machine:
    """A home whose processes run."""

    home: Path
    process: "subprocess.Popen[bytes]"
    ports: dict[str, int]
    key: str

    def pid(self, program: str) -> int:
        """The process of a program; 0 while there is none."""
        command = [str(shutil.which("supervisorctl", path=SEARCHED)), "-s", f"unix://{self.home}/supervisor.sock"]
        said = subprocess.run([*command, "pid", program], check=False, capture_output=True, text=True).stdout
        return int(said) if said.strip().isdigit() else 0

    def asked(self, path: str) -> object:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['API_PORT']}{path}", headers={"Authorization": f"Bearer {self.key}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return json.load(answer)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    for needed, package in (("supervisord", "make install-dev"), ("haproxy", "apt-get install haproxy")):
        if shutil.which(needed, path=SEARCHED) is None:
            if "CI" in os.environ:
                pytest.fail(f"{needed} is not installed: {package}")
            pytest.skip(f"{needed} is not installed: {package}")
    home = tmp_path_factory.mktemp("up")
    stores = open_stores(home / "store")
    ingest(stores)
    register(stores)
    publish(stores, RunKey("daily", datetime.now(UTC).date() - timedelta(days=1), "stat-1", 7, 0))
    stores.registry.promote("stat-1", by="tests", reason="first")
    keys = ApiKeys(Settings(home=home).operational_path)
    key = keys.create("tests", "operator", now=datetime.now(UTC), valid_for=None)[1]
    ports = {name: free_port() for name in PORTS}
    environment = {
        **os.environ, "FORECAST_ASSETS_HOME": str(home), "FORECAST_ASSETS_WORKERS": "1",
        "PATH": SEARCHED, **{name: str(at) for name, at in ports.items()},
    }  # fmt: skip
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen([str(UP)], env=environment, cwd=UP.parents[1], stdout=log, stderr=log)
    try:
        yield Machine(home, process, ports, key)
    finally:
        left = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        for each in left:
            if each.is_running():
                each.kill()
        process.wait(30)


def test_all_answer_one_that_is_killed_comes_back_and_all_end_when_told_to(machine: Machine) -> None:
    api, webserver = (f"http://127.0.0.1:{machine.ports[name]}" for name in ("API_PORT", "WEBSERVER_PORT"))
    until_true(lambda: is_answered(f"{api}/health/ready"), 60)
    versions = machine.asked("/v1/versions")
    assert isinstance(versions, dict)
    assert versions["channels"]["champion"] == "stat-1"
    until_true(lambda: is_answered(f"{webserver}/server_info"), 60)
    until_true(lambda: is_location_loaded(webserver), 60)
    pids = {program: machine.pid(program) for program in PROGRAMS}
    assert all(pids.values()), pids
    # Nobody is told, so nobody follows.
    assert machine.pid("outbox") == 0

    os.kill(pids["api-1"], signal.SIGKILL)
    failed = 0
    ends = time.monotonic() + 60
    while machine.pid("api-1") in {0, pids["api-1"]} or not is_answered(
        f"http://127.0.0.1:{machine.ports['FIRST_PORT']}/health/ready"
    ):
        assert time.monotonic() < ends
        failed += not is_answered(f"{api}/health/live")
        time.sleep(0.1)
    assert failed == 0, "the other process answers meanwhile"

    everything = psutil.Process(machine.process.pid).children(recursive=True)
    machine.process.send_signal(signal.SIGTERM)
    assert machine.process.wait(60) == 0
    assert [each for each in everything if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
    logs = {path.stem for path in (machine.home / "logs").glob("*.log")}
    assert {*PROGRAMS, "supervisord"} <= logs


def is_location_loaded(webserver: str) -> bool:
    """Whether the webserver has found the code location and all its assets."""
    query = {"query": "{assetNodes {id}}"}
    request = urllib.request.Request(  # noqa: S310 - our own webserver
        f"{webserver}/graphql", json.dumps(query).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
        found = json.load(answer)
    return bool(found["data"]["assetNodes"])
