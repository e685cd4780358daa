"""A caller of the gRPC door in tests: a real server on the loopback, and what it answers."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict

from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.rpc import forecast_assets_pb2 as pb
from forecast_assets.serving.rpc.errors import DETAILS
from forecast_assets.serving.rpc.forecast_assets_pb2_grpc import ForecastAssetsStub
from forecast_assets.serving.rpc.server import RpcServer


@dataclass
class RpcCaller:
    """Asks a server.

    Attributes:
        server: The server, entered.
        channel: To it.
        key: Sent with each call; None for none.
    """

    server: RpcServer
    channel: grpc.Channel
    key: str | None
    stub: Any = field(init=False)

    def __post_init__(self) -> None:
        self.stub = ForecastAssetsStub(self.channel)

    def metadata(self, **more: str) -> list[tuple[str, str]]:
        key = [] if self.key is None else [("authorization", f"Bearer {self.key}")]
        return [*key, *((name.replace("_", "-"), value) for name, value in more.items())]

    def call(self, method: str, request: Any, timeout: float = 60.0, **more: str) -> Any:
        return getattr(self.stub, method)(request, timeout=timeout, metadata=self.metadata(**more))

    def refused(self, method: str, request: Any, **more: Any) -> "Refused":
        try:
            answer = self.call(method, request, **more)
        except grpc.RpcError as error:
            return refused(error)
        raise AssertionError(f"answered: {answer}")


@dataclass(frozen=True)
class Refused:
    """What a call ended with.

    Attributes:
        code: Of its status.
        problem: The first detail, with facts and actions read; empty where there is none.
    """

    code: grpc.StatusCode
    problem: Mapping[str, Any]


def refused(error: Any) -> Refused:
    said = dict(error.trailing_metadata() or ())
    if DETAILS not in said:
        return Refused(error.code(), {})
    status, problem = pb.Status.FromString(said[DETAILS]), pb.Problem()
    assert (status.code, status.message) == (error.code().value[0], error.details())
    assert status.details[0].Unpack(problem)
    told = MessageToDict(problem, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    for name in ("facts", "actions"):
        told[name] = json.loads(told.pop(f"{name}_json"))
    return Refused(error.code(), told)


@contextmanager
def serving(plane: DataPlane, callers: Callers, key: str | None = None, **options: Any) -> Iterator[RpcCaller]:
    """A server on a free port, and a caller of it."""
    with (
        RpcServer(plane, callers, "127.0.0.1", 0, **options) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        yield RpcCaller(server, channel, key)
