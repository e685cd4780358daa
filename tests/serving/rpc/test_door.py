"""What holds for every call: keys, rights, ids, bounds, deadlines, health, and an end in order."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Event
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from forecast_assets.core.errors import InputError, StorageError
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.service_state import ServiceState
from forecast_assets.serving.dataplane.versions import KnownVersion
from forecast_assets.serving.messages.ids import LARGEST_REQUEST_BYTES
from forecast_assets.serving.rpc import forecast_assets_pb2 as pb
from forecast_assets.serving.rpc.health import SERVICE
from forecast_assets.serving.rpc.server import RpcServer
from resources.operational.api_keys import ApiKeys
from tests.support.rpc_calls import Refused, RpcCaller, refused, serving
from tests.support.small_home import NOW_OF_SMALL as NOW

VERSIONS = pb.VersionsRequest()
WHAT_IF = pb.PredictRequest(use="what_if", model_version="stat-1", series=[{"store_id": "S", "sku_id": "A"}])


class SlowVersions:
    """Answers of the data plane that wait until they are let go."""

    def __init__(self) -> None:
        self.began, self.may_end, self.asked = Event(), Event(), 0

    def __call__(self) -> list[KnownVersion]:
        self.asked += 1
        self.began.set()
        assert self.may_end.wait(30)
        return []


@pytest.fixture
def slow(small: DataPlane, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowVersions]:
    made = SlowVersions()
    monkeypatch.setattr(small, "versions", made)
    yield made
    made.may_end.set()


def fails(error: Exception) -> Callable[[], Any]:
    def failing() -> Any:
        raise error

    return failing


# --- who may ---


def test_without_a_key_nothing_is_read(caller: RpcCaller) -> None:
    caller.key = None
    found = caller.refused("Versions", VERSIONS)
    assert (found.code, found.problem["code"]) == (grpc.StatusCode.UNAUTHENTICATED, "not-authenticated")
    assert found.problem["actions"][0]["name"] == "keys create"


@pytest.mark.parametrize("said", ["nonsense", "Basic YTpi", "Bearer", "Bearer fak_000000000000_x"])
def test_what_is_no_key_is_refused(caller: RpcCaller, said: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        caller.stub.Versions(VERSIONS, metadata=[("authorization", said)])
    assert refused(raised.value).code is grpc.StatusCode.UNAUTHENTICATED


def test_expired_and_revoked_keys_are_refused(caller: RpcCaller, own_keys: ApiKeys) -> None:
    old, old_text = own_keys.create("old", "reader", now=NOW - timedelta(days=2), valid_for=timedelta(days=1))
    gone, gone_text = own_keys.create("gone", "reader", now=NOW, valid_for=None)
    own_keys.revoke(gone.key_id, now=NOW)
    for key, text, what in ((old, old_text, "expired"), (gone, gone_text, "revoked")):
        caller.key = text
        found = caller.refused("Versions", VERSIONS)
        assert found.code is grpc.StatusCode.UNAUTHENTICATED
        assert found.problem["detail"] == f"The key {key.key_id} is {what}."
        assert found.problem["facts"] == {"key_id": key.key_id}


def test_a_reader_reads_and_may_not_predict(caller: RpcCaller, own_keys: ApiKeys) -> None:
    assert caller.call("Predict", WHAT_IF).run.model_version == "stat-1"
    caller.key = own_keys.create("reader", "reader", now=NOW, valid_for=None)[1]
    assert caller.call("Versions", VERSIONS).versions
    found = caller.refused("Predict", WHAT_IF)
    assert (found.code, found.problem["code"]) == (grpc.StatusCode.PERMISSION_DENIED, "not-allowed")
    assert "planner" in found.problem["remedy"]


def test_who_asks_too_often_is_told_when_to_ask_again(small: DataPlane, own_keys: ApiKeys, planner_key: str) -> None:
    callers = Callers(own_keys, lambda: NOW, per_minute={"planner": 3})
    with serving(small, callers, planner_key) as caller:
        for _ in range(3):
            caller.call("Versions", VERSIONS)
        found = caller.refused("Versions", VERSIONS)
    assert (found.code, found.problem["code"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too-many-requests")
    assert found.problem["facts"]["retry_after_seconds"] >= 1


# --- what comes with a call ---


def ids(caller: RpcCaller, **said: str) -> dict[str, str]:
    _, call = caller.stub.Versions.with_call(VERSIONS, metadata=caller.metadata(**said))
    return dict(call.initial_metadata())


def test_ids_and_trace_context_come_back(caller: RpcCaller) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    found = ids(caller, x_request_id="order-7", traceparent=trace)
    assert (found["x-request-id"], found["traceparent"]) == ("order-7", trace)
    odd = ids(caller, x_request_id="a b", traceparent="00-0-0-0")
    assert len(odd["x-request-id"]) == 36
    assert odd["traceparent"] != "00-0-0-0"
    assert "x-sandbox" not in found
    caller.key = None
    assert caller.refused("Versions", VERSIONS, x_request_id="order-8").problem["request_id"] == "order-8"


def test_answers_of_a_sandbox_are_marked(small: DataPlane, callers: Callers, planner_key: str) -> None:
    sandbox = DataPlane(small.stores, lambda: NOW, is_sandbox=True)
    with serving(sandbox, callers, planner_key) as caller:
        assert ids(caller)["x-sandbox"] == "true"


def test_decimals_come_to_the_last_digit(caller: RpcCaller) -> None:
    reply = caller.call("Risks", pb.StoredRequest(model_version="stat-2", limit=1))
    (row,) = reply.rows
    assert (row.stockout_probability, row.days_of_cover) == ("0.250000", "2.000000")
    assert not row.HasField("usual_probability")
    told = caller.call("Explain", pb.ExplainRequest(prediction_id=row.prediction_id))
    assert told.risk.stockout_probability == "0.250000"
    assert told.explanation.stock_units == "-1.000000"


# --- what cannot be ---


def test_a_request_that_is_too_large_is_refused(caller: RpcCaller) -> None:
    ids_of_skus = ["x" * 200] * (LARGEST_REQUEST_BYTES // 200)
    found = caller.refused("Forecasts", pb.StoredRequest(model_version="stat-1", sku_id=ids_of_skus))
    assert found.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    fewer = caller.refused("Forecasts", pb.StoredRequest(model_version="stat-1", sku_id=ids_of_skus[:2_000]))
    assert (fewer.code, fewer.problem["code"]) == (grpc.StatusCode.INVALID_ARGUMENT, "malformed-request")


def test_a_problem_that_metadata_cannot_carry_is_shortened_and_says_so(caller: RpcCaller) -> None:
    columns = [f"column_é_{at}" for at in range(1_000)]
    found = caller.refused("Forecasts", pb.StoredRequest(model_version="stat-1", columns=columns))
    assert (found.code, found.problem["code"]) == (grpc.StatusCode.INVALID_ARGUMENT, "input")
    assert found.problem["detail"].startswith("`forecasts` has no column `column_é_0`")
    assert "forecast_units" in found.problem["remedy"]
    assert (found.problem["is_shortened"], found.problem["facts"]) == (True, {})


def test_a_defect_is_told_to_the_log_and_not_to_the_caller(
    caller: RpcCaller, small: DataPlane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(small, "versions", fails(KeyError("inner secret")))
    found = caller.refused("Versions", VERSIONS, x_request_id="order-7")
    assert (found.code, found.problem["code"]) == (grpc.StatusCode.INTERNAL, "defect")
    assert "secret" not in str(found.problem)
    failed = next(record for record in caplog.records if record.exc_info)
    assert "order-7" in failed.getMessage()
    assert "inner secret" in str(failed.exc_info[1])  # type: ignore[index]


def test_a_disk_that_does_not_answer_is_unavailable(
    caller: RpcCaller, small: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small, "versions", fails(StorageError("The disk is gone.", remedy="Mount it.", disk="sda")))
    found = caller.refused("Versions", VERSIONS)
    assert found.code is grpc.StatusCode.UNAVAILABLE
    assert (found.problem["code"], found.problem["facts"]) == ("storage", {"disk": "sda"})


def test_a_method_that_is_none_and_bytes_that_are_none_are_refused(caller: RpcCaller) -> None:
    for path, code in (
        (f"/{SERVICE}/Nothing", grpc.StatusCode.UNIMPLEMENTED), (f"/{SERVICE}/Versions", grpc.StatusCode.INTERNAL)
    ):  # fmt: skip
        with pytest.raises(grpc.RpcError) as raised:
            caller.channel.unary_unary(path)(b"\xff\xff", metadata=caller.metadata())
        assert raised.value.code() is code


# --- time ---


@pytest.mark.usefixtures("slow")
def test_nobody_waits_beyond_the_deadline(caller: RpcCaller) -> None:
    found = caller.refused("Versions", VERSIONS, timeout=0.3)
    assert found.code is grpc.StatusCode.DEADLINE_EXCEEDED


@contextmanager
def one_at_a_time(small: DataPlane, callers: Callers, key: str, slow: SlowVersions) -> Iterator[RpcCaller]:
    """A server whose one thread is taken until `slow` may end."""
    with serving(small, callers, key, answering=1) as caller, ThreadPoolExecutor(1) as others:
        first = others.submit(caller.call, "Versions", VERSIONS)
        assert slow.began.wait(30)
        yield caller
        slow.may_end.set()
        first.result(30)
        # What waited behind it has had its turn when a later call is answered.
        caller.call("Versions", VERSIONS)


def test_a_call_whose_time_is_over_before_its_turn_is_not_asked(
    small: DataPlane, callers: Callers, planner_key: str, slow: SlowVersions
) -> None:
    with one_at_a_time(small, callers, planner_key, slow) as caller:
        assert caller.refused("Versions", VERSIONS, timeout=0.3).code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert slow.asked == 2


def test_a_call_that_is_cancelled_before_its_turn_is_not_asked(
    small: DataPlane, callers: Callers, planner_key: str, slow: SlowVersions
) -> None:
    with one_at_a_time(small, callers, planner_key, slow) as caller:
        waiting = caller.stub.Versions.future(VERSIONS, metadata=caller.metadata())
        time.sleep(0.3)
        assert waiting.cancel()
        time.sleep(0.3)
    assert slow.asked == 2


def test_a_caller_who_leaves_during_an_answer_harms_nobody(caller: RpcCaller, slow: SlowVersions) -> None:
    leaving = caller.stub.Versions.future(VERSIONS, metadata=caller.metadata())
    assert slow.began.wait(30)
    assert leaving.cancel()
    slow.may_end.set()
    assert caller.call("Versions", VERSIONS).channels


def test_told_to_stop_it_answers_what_is_under_way_and_refuses_what_is_new(
    small: DataPlane, callers: Callers, planner_key: str, slow: SlowVersions
) -> None:
    with serving(small, callers, planner_key) as caller, ThreadPoolExecutor(1) as others:
        first = others.submit(caller.call, "Versions", VERSIONS)
        assert slow.began.wait(30)
        ended = caller.server.stop()
        with grpc.insecure_channel(caller.server.address) as channel:
            late = RpcCaller(caller.server, channel, planner_key)
            assert late.refused("Versions", VERSIONS).code is grpc.StatusCode.UNAVAILABLE
        assert not ended.is_set()
        slow.may_end.set()
        assert len(first.result(30).channels) > 0
        assert ended.wait(30)


def test_what_never_ends_is_broken_off(
    small: DataPlane, callers: Callers, planner_key: str, slow: SlowVersions
) -> None:
    def code(caller: RpcCaller) -> Refused:
        return caller.refused("Versions", VERSIONS)

    with serving(small, callers, planner_key, last_answers_seconds=0.3) as caller, ThreadPoolExecutor(1) as others:
        first = others.submit(code, caller)
        assert slow.began.wait(30)
        assert caller.server.stop().wait(10)
        assert first.result(30).code in {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}
        slow.may_end.set()


# --- health ---


def health(caller: RpcCaller, service: str) -> int:
    found: int = HealthStub(caller.channel).Check(HealthCheckRequest(service=service), timeout=30).status
    return found


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_is_what_the_data_plane_says_and_needs_no_key(
    caller: RpcCaller, small: DataPlane, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    assert health(caller, service) == HealthCheckResponse.SERVING
    monkeypatch.setattr(small, "readiness", lambda: ServiceState(is_ready=False, reasons=("gone",)))
    assert health(caller, service) == HealthCheckResponse.NOT_SERVING
    monkeypatch.undo()
    assert health(caller, service) == HealthCheckResponse.SERVING


def test_health_of_another_service_is_not_known(caller: RpcCaller) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        health(caller, "another.Service")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_who_watches_health_hears_of_a_change_and_of_the_end(
    small: DataPlane, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forecast_assets.serving.rpc.server.HEALTH_EVERY_SECONDS", 0.1)
    with serving(small, callers) as caller:
        watched = HealthStub(caller.channel).Watch(HealthCheckRequest(service=SERVICE), timeout=60)
        assert next(watched).status == HealthCheckResponse.SERVING
        monkeypatch.setattr(small, "readiness", lambda: ServiceState(is_ready=False, reasons=("gone",)))
        assert next(each.status for each in watched if each.status != HealthCheckResponse.SERVING) == 2
        monkeypatch.setattr(small, "readiness", lambda: ServiceState(is_ready=True))
        assert next(each.status for each in watched if each.status == HealthCheckResponse.SERVING) == 1
        caller.server.stop()
        assert next(each.status for each in watched if each.status != HealthCheckResponse.SERVING) == 2


def test_a_look_that_fails_is_told_as_not_ready_and_does_not_end_the_looks(
    small: DataPlane, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> ServiceState:
        raise KeyError("a defect")

    monkeypatch.setattr("forecast_assets.serving.rpc.server.HEALTH_EVERY_SECONDS", 0.1)
    with serving(small, callers) as caller:
        watched = HealthStub(caller.channel).Watch(HealthCheckRequest(service=SERVICE), timeout=60)
        assert next(watched).status == HealthCheckResponse.SERVING
        monkeypatch.setattr(small, "readiness", broken)
        assert next(watched).status == HealthCheckResponse.NOT_SERVING
        monkeypatch.undo()
        assert next(watched).status == HealthCheckResponse.SERVING


def test_a_home_without_anything_published_is_not_ready(callers: Callers, stores: Any) -> None:
    with serving(DataPlane(stores), callers) as caller:
        assert health(caller, "") == HealthCheckResponse.NOT_SERVING


# --- where it listens ---


def test_a_port_that_is_taken_is_refused(small: DataPlane, callers: Callers) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"gRPC cannot listen on 127.0.0.1:{port}"):
            RpcServer(small, callers, "127.0.0.1", port)
    with serving(small, callers) as first:
        port = int(first.server.address.rpartition(":")[2])
        with pytest.raises(InputError, match="cannot listen"):
            RpcServer(small, callers, "127.0.0.1", port)


def test_an_address_of_version_6_is_written_as_one(small: DataPlane, callers: Callers) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    try:
        server = RpcServer(small, callers, "::1", 0)
    except InputError:
        pytest.skip("no IPv6 on the loopback")
    with server:
        assert server.address.startswith("[::1]:")
