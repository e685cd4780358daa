"""The standard health service: whether questions can be answered.

What belongs here: following the data plane's own word. What does not: deciding it.
"""

import logging
from threading import Event, Thread
from typing import Any, Final

from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse

from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.rpc import forecast_assets_pb2 as pb

SERVICE: Final[str] = pb.DESCRIPTOR.services_by_name["ForecastAssets"].full_name
# Of the whole server, and of its one service: they are the same.
_NAMES: Final = ("", SERVICE)
_log: Final = logging.getLogger(__name__)


class RpcHealth:
    """Answers checks as things are then; who watches hears of a change within seconds. No key is needed.

    Args:
        plane: What says whether it is ready.
        every_seconds: Between two looks for those who watch.
    """

    def __init__(self, plane: DataPlane, every_seconds: float) -> None:
        self._plane, self._every = plane, every_seconds
        self._servicer: Any = HealthServicer()
        # Watching takes no thread of the server's: the standard servicer is told of changes.
        self.Watch = self._servicer.Watch
        self._stopped = Event()
        self._look()
        self._thread = Thread(target=self._keep, name="rpc-health", daemon=True)

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - called as in the standard .proto
        """Answer whether the server, or the service that is named, can answer questions."""
        self._look()
        return self._servicer.Check(request, context)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Say from now on that nothing is answered."""
        self._stopped.set()
        self._servicer.enter_graceful_shutdown()

    def _look(self) -> None:
        self._tell(is_ready=self._plane.readiness().is_ready)

    def _tell(self, *, is_ready: bool) -> None:
        for name in _NAMES:
            self._servicer.set(name, HealthCheckResponse.SERVING if is_ready else HealthCheckResponse.NOT_SERVING)

    def _keep(self) -> None:
        while not self._stopped.wait(self._every):
            try:
                self._look()
            except Exception:  # noqa: BLE001 - who watches is told that it is not ready, and of the next look
                _log.exception("whether questions can be answered cannot be told")
                self._tell(is_ready=False)
