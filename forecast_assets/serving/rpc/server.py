"""The server of the gRPC door: a port, threads that answer, and an end in order.

What belongs here: listening, bounds, stopping. What does not: any method.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, Final, Self

import grpc
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from forecast_assets.core.errors import InputError
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.messages.ids import LARGEST_REQUEST_BYTES
from forecast_assets.serving.rpc.door import ForecastAssetsDoor
from forecast_assets.serving.rpc.forecast_assets_pb2_grpc import add_ForecastAssetsServicer_to_server
from forecast_assets.serving.rpc.health import RpcHealth
from forecast_assets.telemetry.request_metrics import RequestMetrics

# As many as answer over HTTP; those that wait for one, or watch health, are bounded too, and the rest refused at once.
_ANSWERING: Final = 40
_MOST_CALLS: Final = 1_000
# Whoever watches health hears of a change after so long: well within the grace of a service that is told to stop.
HEALTH_EVERY_SECONDS: Final = 1.0
# A second process on the same port is told so, instead of sharing its callers.
_OPTIONS: Final = (("grpc.max_receive_message_length", LARGEST_REQUEST_BYTES), ("grpc.so_reuseport", 0))


class RpcServer:
    """Listens from when it is made, answers from when it is entered until it is left.

    Args:
        plane: What answers.
        callers: Who may ask.
        host: Address.
        port: Port; 0 for a free one.
        last_answers_seconds: How long calls that are under way have when it is left.
        answering: Calls that are answered at the same time.
        counts: Of calls; None for nowhere.

    Attributes:
        address: Where it listens.

    Raises:
        InputError: If it cannot listen there.
    """

    def __init__(
        self,
        plane: DataPlane,
        callers: Callers,
        host: str,
        port: int,
        *,
        last_answers_seconds: float = 10.0,
        answering: int = _ANSWERING,
        counts: RequestMetrics | None = None,
    ) -> None:
        self._last_answers = last_answers_seconds
        threads = ThreadPoolExecutor(answering, thread_name_prefix="rpc")
        self._server: Any = grpc.server(threads, options=_OPTIONS, maximum_concurrent_rpcs=_MOST_CALLS)
        self._health = RpcHealth(plane, HEALTH_EVERY_SECONDS)
        add_ForecastAssetsServicer_to_server(ForecastAssetsDoor(plane, callers, counts), self._server)
        add_HealthServicer_to_server(self._health, self._server)
        written = f"[{host}]" if ":" in host else host
        self.address = f"{written}:{self._listen(written, port)}"

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._server.start()
        self._health.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Refuse new calls, and wait for those that are under way."""
        self.stop().wait()

    def stop(self) -> Event:
        """Refuse new calls from now on; return what is set when the last one has ended, or its time is over."""
        self._health.stop()
        ended: Event = self._server.stop(self._last_answers)
        return ended

    def _listen(self, host: str, port: int) -> int:
        try:
            return int(self._server.add_insecure_port(f"{host}:{port}"))
        except RuntimeError as error:
            raise InputError(
                f"gRPC cannot listen on {host}:{port}.",
                remedy="Name an address of this machine, and a port that is free; 0 finds one.",
                host=host,
                port=port,
            ) from error
