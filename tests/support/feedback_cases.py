"""Feedback on a hand-made run, through the HTTP door without a network."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from httpx import ASGITransport, Response

from forecast_assets.operations.feedback_checks import FindEvents
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.api.feedback_routes import add_feedback
from forecast_assets.serving.dataplane.plane import DataPlane
from resources.operational.api_keys import ApiKeys
from resources.operational.dead_letters import DeadLetters
from resources.operational.feedback import FeedbackStore
from resources.stores.home import Stores
from tests.support.callers import Client
from tests.support.store_cases import accept_training, publish, register, run_key

NOW = datetime(2025, 1, 6, 9, tzinfo=UTC)
RUN = str(run_key(1))
ROW = f"{RUN}/A/S/1"
CORRECTION = {"prediction_id": ROW, "kind": "correction", "units": 3, "comment": "counted"}
LABEL = {"prediction_id": ROW, "kind": "label", "label": "too_high"}
QUALITY = {"prediction_id": ROW, "kind": "quality", "finding": "the till was closed all day"}


def with_run(stores: Stores) -> Stores:
    """Publish one run that feedback can be about."""
    register(stores)
    accept_training(stores)
    publish(stores, run_key(1))
    return stores


class FeedbackDoor:
    """An application that takes feedback on a home.

    Args:
        stores: With a published run.
        path: Operational database.
        is_sandbox: Whether people try things out.
        find_events: Tells of prediction events.
        wait_seconds: How long writing waits.
    """

    def __init__(
        self,
        stores: Stores,
        path: Path,
        *,
        is_sandbox: bool = False,
        find_events: FindEvents | None = None,
        wait_seconds: float = 5.0,
    ) -> None:
        self.stores, self.path = stores, path
        self.keys = ApiKeys(path.with_name("keys.sqlite"))
        self.store, self.letters = FeedbackStore(path, wait_seconds), DeadLetters(path)
        plane, callers = DataPlane(stores, lambda: NOW, is_sandbox=is_sandbox), Callers(self.keys, lambda: NOW)
        self.app: FastAPI = create_app(plane, callers)
        add_feedback(self.app, plane, callers, self.store, find_events)

    def client(self, role: str = "planner", name: str = "ana") -> Client:
        key = self.keys.create(name, role, now=NOW, valid_for=timedelta(days=1))[1]
        return Client(ASGITransport(app=self.app, raise_app_exceptions=False), key)


def sent(client: Client, records: Sequence[Any] | str | bytes, request_id: str = "", **headers: str) -> Response:
    """Send records, or a body as it is."""
    headers |= {"X-Request-Id": request_id} if request_id else {}
    body = records if isinstance(records, str | bytes) else json.dumps(records)
    return client.request("POST", "/v1/feedback", content=body, headers=headers)
