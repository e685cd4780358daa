"""The service: one process that answers HTTP, and gRPC where it is asked to, until it is told to stop.

What belongs here: wiring stores, keys and the doors, and running them. What does not: any answer.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from types import FrameType
from typing import Final

import uvicorn
from prometheus_client import CollectorRegistry

from forecast_assets.operations.health.registry import ON_A_PAGE
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.request_counts import RequestCounts
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.api.feedback_routes import add_feedback
from forecast_assets.serving.api.metrics_route import add_metrics
from forecast_assets.serving.api.override_routes import add_overrides
from forecast_assets.serving.dataplane.overview import OverviewDesk
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.planning import PlanningDesk
from forecast_assets.serving.dataplane.service_metrics import service_collector
from forecast_assets.serving.dataplane.warming import Warming
from forecast_assets.serving.examples import example_calls, run_to_show
from forecast_assets.serving.opening import open_plane
from forecast_assets.serving.pages.door import PlannersDoor
from forecast_assets.serving.pages.operating import add_operations
from forecast_assets.serving.pages.planning import add_planning
from forecast_assets.serving.pages.revising import Revising
from forecast_assets.serving.pages.routes import add_pages
from forecast_assets.serving.rpc.server import RpcServer
from forecast_assets.settings import Settings
from forecast_assets.telemetry.collectors import home_collectors
from forecast_assets.telemetry.logs import start_logs
from forecast_assets.telemetry.request_metrics import RequestMetrics
from forecast_assets.telemetry.starting import listening
from resources.operational.api_keys import ApiKeys
from resources.operational.feedback import FeedbackStore
from resources.operational.saved_filters import SavedFilters
from resources.stores.home import open_stores

# What is being answered when the process is told to stop has so long.
_LAST_ANSWERS_SECONDS: Final = 10
# Callers who are balanced between processes by their health are sent elsewhere within so long.
GRACE_SECONDS: Final = 3.0
# A caller waits so long for another one's feedback to be written.
_FEEDBACK_WAITS_SECONDS: Final = 5.0


@dataclass(frozen=True)
class ServerOptions:
    """How to listen.

    Attributes:
        host: Address.
        port: Port; 0 for a free one.
        log_requests: Whether each request leaves a line on standard error.
        is_sandbox: Whether people try things out: any use is allowed, and answers are marked.
        with_examples: Whether a key is made and calls are shown that work at once.
        rpc_port: Port of gRPC; 0 for a free one, None for no gRPC.
        grace_seconds: How long it goes on answering when it is told to stop.
    """

    host: str
    port: int
    log_requests: bool = True
    is_sandbox: bool = False
    with_examples: bool = False
    rpc_port: int | None = None
    grace_seconds: float = GRACE_SECONDS


class TogetherServer(uvicorn.Server):
    """Stops gRPC when it stops: both refuse what is new at once, and what both stand on is let go of last.

    Told to stop by SIGTERM it goes on answering for a grace period, in which whoever balances callers between several
    processes sees that it is not ready any more, and sends it no more of them.

    Args:
        config: Of HTTP.
        rpc: The gRPC door; None for none.
        grace_seconds: Between being told to stop, and refusing what is new.
        ending: Is called when it is told to stop.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        rpc: RpcServer | None,
        grace_seconds: float = 0.0,
        ending: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._rpc, self._grace, self._ending = rpc, grace_seconds, ending
        self._ends_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the grace period; a second signal, or Ctrl-C, ends it at once."""
        if sig != signal.SIGTERM or self._ends_at is not None:
            super().handle_exit(sig, frame)
            return
        self._ending()
        self._ends_at = monotonic() + self._grace

    async def on_tick(self, counter: int) -> bool:
        """Return whether it is over."""
        is_over = self._ends_at is not None and monotonic() >= self._ends_at
        return await super().on_tick(counter) or is_over

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way, and end."""
        if self._rpc is not None:
            ended = self._rpc.stop()
            for server in self.servers:
                server.close()
            await asyncio.to_thread(ended.wait)
        await super().shutdown(sockets)


def run_server(settings: Settings, options: ServerOptions, echo: Callable[[str], None]) -> None:
    """Answer until the process is told to stop; then answer what is under way, and end.

    Args:
        settings: Of the home.
        options: How to listen.
        echo: Says where it listens.
    """
    start_logs(settings.log_format, logging.INFO if options.log_requests else logging.WARNING)
    counts = RequestCounts(settings.redis)
    stores = open_stores(settings.store, settings.mirror_folder)
    plane = open_plane(settings, stores, is_sandbox=options.is_sandbox, also_degraded=counts.degraded)
    keys = ApiKeys(settings.operational_path)
    callers = Callers(keys, lambda: datetime.now(UTC), counts=counts)
    registry = CollectorRegistry(auto_describe=False)
    requests = RequestMetrics(registry)
    app = create_app(plane, callers, requests)
    add_metrics(app, registry, [service_collector(plane), *home_collectors(settings, plane.stores)], callers)
    add_pages(app, plane, callers)
    add_operations(app, OverviewDesk(settings, plane.stores, plane.readiness, plane.clock, ON_A_PAGE), callers)
    desk = PlanningDesk(plane, None if options.is_sandbox else stores)
    add_overrides(app, desk, callers)
    revising = None if options.is_sandbox else Revising(settings.revisions_folder, settings.home, plane.clock)
    filters = None if options.is_sandbox else SavedFilters(settings.operational_path)
    add_planning(app, desk, PlannersDoor(callers, desk.is_open, settings.dagster_url), revising, filters)
    kept = FeedbackStore(settings.operational_path, _FEEDBACK_WAITS_SECONDS)
    add_feedback(app, plane, callers, kept, None if plane.events is None else plane.events.known)
    config = uvicorn.Config(
        app,
        options.host,
        options.port,
        access_log=False,
        log_config=None,
        log_level=logging.WARNING,
        server_header=False,
        timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
    )
    rpc = None
    if options.rpc_port is not None:
        rpc = RpcServer(
            plane, callers, options.host, options.rpc_port, last_answers_seconds=_LAST_ANSWERS_SECONDS, counts=requests
        )
    with closing(counts), config.bind_socket() as sock, rpc or nullcontext():
        # Whoever calls as soon as it is said where waits for the answer, and is not refused.
        sock.listen(config.backlog)
        host, port = sock.getsockname()[:2]
        warming = Warming(plane.stores, plane.features, plane.few, also=desk.warm)
        if options.with_examples:
            warming.try_once(lambda run: echo(f"Preparing {run} for what-ifs ..."))
            _show_examples(plane, keys, f"http://{host}:{port}", echo)
        ready, sandbox = plane.readiness(), " as a sandbox" if options.is_sandbox else ""
        state = "yes" if ready.is_ready else "; ".join(ready.reasons)
        also = "" if rpc is None else f" and for gRPC on {rpc.address}"
        echo(f"Listening on http://{host}:{port}{also}{sandbox} (ready: {state}). Stop with Ctrl-C.")
        with warming, listening(settings, "service"):
            TogetherServer(config, rpc, options.grace_seconds, plane.end).run(sockets=[sock])


def _show_examples(plane: DataPlane, keys: ApiKeys, address: str, echo: Callable[[str], None]) -> None:
    run = run_to_show(plane)
    key, text = keys.create("examples", "support", now=datetime.now(UTC), valid_for=timedelta(days=1))
    echo(f"A key to try things out, of the role {key.role}, until tomorrow:\n{text}\n")
    for title, call in example_calls(plane, run, address, text):
        echo(f"{title}:\n{call}\n")
