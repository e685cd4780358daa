"""`serve --grpc-port`: both doors of one process, until it is told to stop."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import grpc
import pytest
import uvicorn
from click.testing import CliRunner
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from forecast_assets.cli import cli
from forecast_assets.core.errors import InputError
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.rpc import forecast_assets_pb2 as pb
from forecast_assets.serving.rpc.forecast_assets_pb2_grpc import ForecastAssetsStub
from forecast_assets.serving.server import TogetherServer
from resources.operational.api_keys import ApiKeys
from tests.serving.rpc.test_door import VERSIONS, SlowVersions
from tests.support.rpc_calls import RpcCaller, serving
from tests.support.small_home import without_model
from tests.test_docs import REPOSITORY, blocks

COMMAND = Path(sys.executable).with_name("forecast-assets")


def test_a_service_says_where_it_listens_for_both_and_ends_both_when_told_to(tmp_path: Path) -> None:
    _, key = ApiKeys(tmp_path / "operational" / "operational.sqlite").create(
        "tests", "reader", now=datetime.now(UTC), valid_for=None
    )
    command = [str(COMMAND), "serve", "--port", "0", "--grpc-port", "0", "--no-log-requests"]
    environment = {**os.environ, "FORECAST_ASSETS_HOME": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        said = process.stdout.readline()
        found = re.match(
            r"Listening on (http://127.0.0.1:\d+) and for gRPC on (127.0.0.1:\d+) \(ready: nothing is published yet\)",
            said,
        )
        assert found, said
        with urlopen(f"{found[1]}/health/live", timeout=30) as answer:  # noqa: S310
            assert answer.status == 200
        with grpc.insecure_channel(found[2]) as channel:
            told = ForecastAssetsStub(channel).Versions(
                VERSIONS, timeout=30, metadata=[("authorization", f"Bearer {key}")]
            )
            assert (list(told.versions), {each.name for each in told.channels} > {"champion"}) == ([], True)
            checked = HealthStub(channel).Check(HealthCheckRequest(), timeout=30)
            assert checked.status == HealthCheckResponse.NOT_SERVING
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_the_documented_call_works(caller: RpcCaller, planner_key: str, capsys: pytest.CaptureFixture[str]) -> None:
    (source,) = blocks((REPOSITORY / "docs/serving.md").read_text(), "python")
    assert "127.0.0.1:50051" in source
    exec(source.replace("127.0.0.1:50051", caller.server.address), {"key": planner_key})  # noqa: S102
    # The champion's newest run: of two series, seven days each.
    assert capsys.readouterr().out == f"stat-1 {['7.000000'] * 14}\n"


def test_without_being_asked_to_it_does_not_speak_grpc(tmp_path: Path) -> None:
    command = [str(COMMAND), "serve", "--port", "0", "--no-log-requests"]
    environment = {**os.environ, "FORECAST_ASSETS_HOME": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        assert "gRPC" not in process.stdout.readline()
        process.kill()


def test_an_address_that_is_not_this_machines_is_refused(tmp_path: Path) -> None:
    asked = ["serve", "--host", "203.0.113.7", "--port", "0", "--grpc-port", "0"]
    found = CliRunner().invoke(cli, asked, env={"FORECAST_ASSETS_HOME": str(tmp_path)})
    assert isinstance(found.exception, InputError)
    assert found.exception.facts == {"host": "203.0.113.7", "port": 0}


def test_told_to_stop_both_doors_end_when_the_last_answer_is_out(
    small: DataPlane, callers: Callers, planner_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowVersions()
    monkeypatch.setattr(small, "versions", slow)
    config = uvicorn.Config(create_app(small, callers), "127.0.0.1", 0, log_config=None)
    with serving(small, callers, planner_key) as caller, ThreadPoolExecutor(2) as others, config.bind_socket() as sock:
        sock.listen()
        both = TogetherServer(config, caller.server)
        running = others.submit(both.run, sockets=[sock])
        address = "http://{}:{}/health/live".format(*sock.getsockname())
        with urlopen(address, timeout=30) as answer:  # noqa: S310
            assert answer.status == 200
        under_way = others.submit(caller.call, "Versions", VERSIONS)
        assert slow.began.wait(30)
        both.should_exit = True
        assert is_refused_soon(caller)
        time.sleep(0.3)
        assert not running.done()
        with pytest.raises(OSError, match="refused"):
            urlopen(address, timeout=30)  # noqa: S310
        slow.may_end.set()
        assert len(under_way.result(30).channels) > 0
        running.result(30)


def test_told_to_stop_it_is_not_ready_at_once_and_answers_for_a_grace_period(
    small: DataPlane, callers: Callers, planner_key: str
) -> None:
    plane = without_model(small.stores)
    config = uvicorn.Config(create_app(plane, callers), "127.0.0.1", 0, log_config=None)
    with serving(plane, callers, planner_key) as caller, ThreadPoolExecutor(1) as others, config.bind_socket() as sock:
        sock.listen()
        both = TogetherServer(config, caller.server, 1.5, plane.end)
        running = others.submit(both.run, sockets=[sock])
        address = "http://{}:{}/health".format(*sock.getsockname())
        assert status_of(f"{address}/ready") == 200
        both.handle_exit(signal.SIGTERM, None)
        began = time.monotonic()
        assert status_of(f"{address}/ready") == 503
        assert HealthStub(caller.channel).Check(HealthCheckRequest(), timeout=30).status == (
            HealthCheckResponse.NOT_SERVING
        )
        while time.monotonic() - began < 1.0:
            assert status_of(f"{address}/live") == 200
            assert len(caller.call("Versions", VERSIONS).channels) > 0
        running.result(30)
        assert time.monotonic() - began >= 1.5
        with pytest.raises(OSError, match="refused"):
            status_of(f"{address}/live")


def test_a_second_signal_ends_the_grace_period(small: DataPlane, callers: Callers) -> None:
    config = uvicorn.Config(create_app(without_model(small.stores), callers), "127.0.0.1", 0, log_config=None)
    server = TogetherServer(config, None, 600.0)
    server.handle_exit(signal.SIGTERM, None)
    assert not server.should_exit
    server.handle_exit(signal.SIGTERM, None)
    assert server.should_exit


def status_of(url: str) -> int:
    try:
        with urlopen(url, timeout=30) as answer:  # noqa: S310
            return int(answer.status)
    except HTTPError as error:
        return error.code


def is_refused_soon(caller: RpcCaller) -> bool:
    """Whether callers who come now find nobody, within some seconds."""
    for _ in range(50):
        with grpc.insecure_channel(caller.server.address) as channel:
            late = RpcCaller(caller.server, channel, None).refused("Explain", pb.ExplainRequest())
        if late.code is grpc.StatusCode.UNAVAILABLE:
            return True
        time.sleep(0.1)
    return False
