"""The service: one process that answers HTTP until it is told to stop.

What belongs here: wiring stores, keys and the application, and running the server. What does not: any answer.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import uvicorn

from forecast_assets.operations.prediction_events import event_home
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.settings import Settings
from resources.operational.api_keys import ApiKeys
from resources.stores.home import open_stores

# What is being answered when the process is told to stop has so long.
_LAST_ANSWERS_SECONDS: Final = 10


@dataclass(frozen=True)
class ServerOptions:
    """How to listen.

    Attributes:
        host: Address.
        port: Port; 0 for a free one.
        log_requests: Whether each request leaves a line on standard error.
    """

    host: str
    port: int
    log_requests: bool = True


def run_server(settings: Settings, options: ServerOptions, echo: Callable[[str], None]) -> None:
    """Answer until the process is told to stop; then answer what is under way, and end.

    Args:
        settings: Of the home.
        options: How to listen.
        echo: Says where it listens.
    """
    logging.basicConfig(
        level=logging.INFO if options.log_requests else logging.WARNING, format="%(asctime)s %(message)s"
    )
    stores = open_stores(settings.store, settings.mirror_folder)
    events = event_home(settings)
    events.buffer.start()
    plane = DataPlane(stores, events=events)
    app = create_app(plane, Callers(ApiKeys(settings.operational_path), lambda: datetime.now(UTC)))
    config = uvicorn.Config(
        app,
        options.host,
        options.port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
    )
    sock = config.bind_socket()
    host, port = sock.getsockname()[:2]
    ready = plane.readiness()
    echo(f"Listening on http://{host}:{port} (ready: {'yes' if ready.is_ready else '; '.join(ready.reasons)})")
    uvicorn.Server(config).run(sockets=[sock])
