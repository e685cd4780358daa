"""Processes of the service behind a balancer on this machine, with the configuration that is shipped.

What belongs here: starting, stopping and finding them. What does not: what they are asked.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
CONFIGURATION = REPOSITORY / "deploy" / "haproxy.cfg"
COMMAND = Path(sys.executable).with_name("forecast-assets")
NAMES = ("FIRST_SERVICE", "SECOND_SERVICE")


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class ServiceProcess:
    """A process of the service on a port of its own.

    Attributes:
        home: What it serves.
        port: Where.
    """

    home: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        environment = {**os.environ, "FORECAST_ASSETS_HOME": str(self.home), "FORECAST_ASSETS_WORKERS": "1"}
        command = [str(COMMAND), "serve", "--port", str(self.port), "--no-log-requests", "--grace", "1.5"]
        self.process = subprocess.Popen(
            command, env=environment, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self, how: signal.Signals) -> int:
        """Signal it, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(60)

    def is_ready(self) -> bool:
        return is_answered(f"http://127.0.0.1:{self.port}/health/ready")

    def until_ready(self) -> None:
        until_true(self.is_ready, 120)


def is_answered(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own service
            return answer.status == 200
    except OSError:
        return False


def until_true(is_so: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.1)


@contextmanager
def balanced(home: Path, folder: Path) -> Iterator[tuple[list[ServiceProcess], str]]:
    """Start two processes and the balancer; yield them, and its address."""
    if shutil.which("haproxy") is None:
        if "CI" in os.environ:
            pytest.fail("haproxy is not installed: .ci/run installs it")
        pytest.skip("haproxy is not installed (Debian: apt-get install haproxy)")
    services = [ServiceProcess(home), ServiceProcess(home)]
    port = free_port()
    addresses = {name: f"127.0.0.1:{each.port}" for name, each in zip(NAMES, services, strict=True)}
    environment = {**os.environ, **addresses, "BALANCED_AT": f"127.0.0.1:{port}"}
    balancer = None
    try:
        for each in services:
            each.start()
        for each in services:
            each.until_ready()
        with (folder / "haproxy.log").open("wb") as log:
            balancer = subprocess.Popen(
                ["haproxy", "-db", "-f", str(CONFIGURATION)], env=environment, stdout=log, stderr=log
            )
        address = f"http://127.0.0.1:{port}"
        until_true(lambda: is_answered(f"{address}/health/ready"), 30)
        yield services, address
    finally:
        for process in [balancer, *(each.process for each in services)]:
            if process is not None:
                process.kill()
                process.wait(60)
