"""A bucket on this machine: moto's S3 server, started once, and an empty prefix for each test."""

import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
BUCKET = "retailer"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


@dataclass(frozen=True)
class Server:
    """Where the server is, and how to disturb and to watch it."""

    endpoint: str

    def disturb(self, *faults: tuple[str, str]) -> None:
        """Let the next requests of these methods go wrong, as tests/support/bucket_server.py says."""
        self._ask("/-/faults", json.dumps(faults).encode())

    def requests(self) -> Counter[str]:
        """Return how many requests of each kind came since the last call; a listing is a LIST."""
        seen = json.loads(self._ask("/-/requests"))
        return Counter("LIST" if "list-type=2" in path else method for method, path in seen)

    def _ask(self, path: str, data: bytes | None = None) -> bytes:
        with urllib.request.urlopen(self.endpoint + path, data, timeout=10) as answer:  # noqa: S310
            found: bytes = answer.read()
            return found


@contextmanager
def served(**environment: str) -> Iterator[Server]:
    """Serve S3 until the block ends; a machine without what serves it skips, but never in CI."""
    if find_spec("moto") is None or find_spec("flask_cors") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have moto with its server: stores in buckets are tried on it")
        pytest.skip("no moto with its server: make install")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.bucket_server"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
        # Few names per answer, so that listings go over several.
        env={"MOTO_S3_DEFAULT_MAX_KEYS": "40", "PYTHONPATH": str(REPOSITORY), **CREDENTIALS, **environment},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@pytest.fixture(scope="session")
def started() -> Iterator[Server]:
    with served() as server:
        yield server


def lead_to(server: Server, patch: pytest.MonkeyPatch) -> None:
    """Make an environment in which the server is found."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": server.endpoint}.items():
        patch.setenv(name, value)


def new_url() -> str:
    """Return an empty place in the bucket."""
    return f"s3://{BUCKET}/{uuid4().hex}/retail store"


@pytest.fixture
def server(started: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, and an environment in which it is found."""
    lead_to(started, monkeypatch)
    started.disturb()
    started.requests()
    return started


@pytest.fixture
def url(server: Server) -> str:
    """An empty place in the bucket."""
    assert server.endpoint
    return new_url()
