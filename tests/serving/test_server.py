"""The service as it is started: a process that answers the calls it shows, and ends when it is told to."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

from forecast_assets.cli import cli
from forecast_assets.core.errors import NotPublishedError, StorageError
from forecast_assets.launch import Runner
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.serving.rpc import forecast_assets_pb2 as pb
from forecast_assets.serving.rpc.forecast_assets_pb2_grpc import ForecastAssetsStub
from resources.operational.api_keys import ApiKeys
from tests.support.retailers import KEY

COMMAND = Path(sys.executable).with_name("forecast-assets")
Started = tuple["subprocess.Popen[str]", list[str]]


@pytest.fixture(scope="module")
def home(published: tuple[Runner, RunOutcome]) -> Path:
    return published[0].settings.home


@pytest.fixture(scope="module")
def started(home: Path) -> Iterator[Started]:
    """A sandbox with its calls, and what it said until it listened; services before it may have put features."""
    for left in (home / "serving").glob("features.sqlite*"):
        left.unlink()
    shutil.rmtree(home / "serving" / "rows", ignore_errors=True)
    command = [str(COMMAND), "serve", "--port", "0", "--grpc-port", "0", "--examples", "--sandbox"]
    environment = {**os.environ, "FORECAST_ASSETS_HOME": str(home)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout
        said: list[str] = []
        for line in process.stdout:
            said.append(line.rstrip("\n"))
            if line.startswith("Listening"):
                break
        yield process, said
        process.kill()


def called(line: str) -> dict[str, object]:
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True, timeout=60)
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def files(home: Path) -> dict[str, bytes]:
    """Return the ledger and every name of the store."""
    paths = [path for path in sorted((home / "store").rglob("*")) if path.is_file()]
    return {str(path): path.read_bytes() if "ledger" in path.parts else b"" for path in paths}


def test_the_calls_that_it_shows_work_and_change_nothing(started: Started, home: Path) -> None:
    before, (_, said) = files(home), started
    stored, what_if, compared = (called(line) for line in said if line.startswith("curl"))
    assert isinstance(stored["rows"], list)
    assert len(stored["rows"]) == 7
    assert what_if["run"] == {**what_if["run"], "run": str(KEY), "served_from": "model"}  # type: ignore[dict-item]
    assert what_if["warnings"] == ["made in a sandbox: nobody acts on it"]
    units = compared["figures"]["forecast_units"]  # type: ignore[index]
    assert units["before"] + sum(units["causes"].values()) == pytest.approx(units["after"], abs=1e-9)
    assert units["after"] != units["before"]
    assert files(home) == before
    # Nor are features or rows put below a home that is none of a sandbox.
    assert not list(home.rglob("features.sqlite*"))
    assert not (home / "serving" / "rows").exists()


def test_both_doors_give_the_same_answer(started: Started) -> None:
    over_http, said = called(next(line for line in started[1] if "/v1/forecasts" in line)), " ".join(started[1])
    key, address = re.findall(r"fak_\S+", said)[0], re.findall(r"gRPC on (\S+)", said)[0]
    rows = over_http["rows"]
    assert isinstance(rows, list)
    asked = pb.StoredRequest(
        model_version="stat-1", store_id=[rows[0]["store_id"]], sku_id=[rows[0]["sku_id"]], last_step=7
    )
    with grpc.insecure_channel(address) as channel:
        told = ForecastAssetsStub(channel).Forecasts(asked, timeout=60, metadata=[("authorization", f"Bearer {key}")])
    assert [float(row.forecast_units) for row in told.rows] == [row["forecast_units"] for row in rows]


def test_answers_of_a_sandbox_are_marked_and_any_use_is_allowed(started: Started) -> None:
    line = next(line for line in started[1] if "/v1/predict" in line)
    assert called(line.replace("what_if", "an_experiment"))["use"] == "an_experiment"
    whole = ["/bin/sh", "-c", line.replace("curl", "curl -i", 1)]
    done = subprocess.run(whole, capture_output=True, text=True, check=True, timeout=60)
    assert re.search("^x-sandbox: true", done.stdout, re.MULTILINE)


def test_a_browser_shows_the_page_of_a_sandbox(started: Started, tmp_path: Path) -> None:
    text = " ".join(started[1])
    key, port = re.findall(r"fak_\S+", text)[0], re.findall(r"http://127.0.0.1:(\d+)", text)[0]
    series = "&".join(re.findall(r"(?:store_id|sku_id)=[^&']+", text)[:2])
    asked = f"explore?{series}&version=stat-1&price_ratio=0.8&from_day=2025-07-03"
    page = browsed(f"http://ana:{key}@127.0.0.1:{port}/{asked}", tmp_path)
    assert "made in a sandbox" in page
    assert re.search(r"Over 28 days [\d.,]+ units (more|less) than published", page)
    picture = tmp_path / "page.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    # An empty one has 5 KB.
    assert picture.stat().st_size > 20_000


def browsed(url: str, folder: Path) -> str:
    """Return a page as a browser has it after loading, and leave a picture of it."""
    command = shutil.which("chromium")
    if command is None:
        if "CI" in os.environ:
            pytest.fail("chromium is not installed: .ci/run installs it")
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    for what in ("--dump-dom", f"--screenshot={folder / 'page.png'}"):
        done = subprocess.run([command, *options, what, url], capture_output=True, text=True, check=True, timeout=120)
        if what == "--dump-dom":
            dom = done.stdout
    return dom


def test_told_to_stop_it_ends_in_order(started: Started) -> None:
    started[0].send_signal(signal.SIGTERM)
    assert started[0].wait(30) == 0


def test_without_anything_published_there_is_nothing_to_show(tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, ["serve", "--port", "0", "--examples"], env={"FORECAST_ASSETS_HOME": str(tmp_path)})
    assert isinstance(found.exception, NotPublishedError)
    assert str(found.exception.remedy) == "Make a demonstration: `demo`."
    assert ApiKeys(tmp_path / "operational" / "operational.sqlite").all() == []


def test_warm_puts_the_newest_runs_once_for_services_that_are_started_later(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(home))
    path = home / "serving" / "features.sqlite"
    is_there = f"""{KEY}: what predictions need of it is in serving/features.sqlite.
Published rows of {KEY} are in serving/rows.
"""
    for expected in (f"Preparing {KEY} ...\n{is_there}", is_there):
        done = CliRunner().invoke(cli, ["warm"])
        assert (done.exit_code, done.output) == (0, expected)
    for left in path.parent.glob("features.sqlite*"):
        left.unlink()
    path.mkdir()
    refused = CliRunner().invoke(cli, ["warm"])
    path.rmdir()
    assert isinstance(refused.exception, StorageError)
    assert "unable to open database file" in str(refused.exception)
