"""A service over a small home with every route, and a key of each role."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from httpx import ASGITransport

from forecast_assets.core.errors import NotReadyError
from forecast_assets.operations.prediction_events import event_home
from forecast_assets.operations.worklist import PlannableRun
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.roles import ROLES
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.api.document import DocumentedApi
from forecast_assets.serving.api.feedback_routes import add_feedback
from forecast_assets.serving.api.override_routes import add_overrides
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.planning import PlanningDesk
from forecast_assets.serving.pages.routes import add_pages
from forecast_assets.settings import Settings
from resources.ledger.entries.publish import Publication
from resources.operational.api_keys import ApiKeys
from resources.operational.feedback import FeedbackStore
from tests.support.callers import Client
from tests.support.small_home import NOW_OF_SMALL, without_model


@dataclass(frozen=True)
class ContractedService:
    """A service.

    Attributes:
        app: All its routes.
        plane: What answers; it records events.
        keys: A key by role.
    """

    app: DocumentedApi
    plane: DataPlane
    keys: Mapping[str, str]

    def client(self, role: str | None = "operator") -> Client:
        key = None if role is None else self.keys[role]
        return Client(ASGITransport(app=self.app, raise_app_exceptions=False), key)


class ReadingDesk(PlanningDesk):
    """Runs made by hand cannot be laid out for planners, and nothing is recorded."""

    def run(self, published: Publication | None = None) -> PlannableRun:
        raise NotReadyError(f"{published or 'It'} cannot be overridden.", remedy="Ask for what is published.")


@contextmanager
def contracted(plane: DataPlane, folder: Path) -> Iterator[ContractedService]:
    """Serve the stores of a plane, with events and feedback below a folder."""
    settings = Settings(home=folder)
    events, keys = event_home(settings), ApiKeys(settings.operational_path)
    events.buffer.start()
    recording = without_model(plane.stores, events)
    callers = Callers(keys, lambda: NOW_OF_SMALL, per_minute=dict.fromkeys(ROLES, 10_000_000))
    app = create_app(recording, callers)
    add_feedback(app, recording, callers, FeedbackStore(settings.operational_path, 5.0), None)
    add_pages(app, recording, callers)
    add_overrides(app, ReadingDesk(recording), callers)
    made = {role: keys.create(role, role, now=NOW_OF_SMALL, valid_for=timedelta(days=1))[1] for role in ROLES}
    # Clients of ASGI start and stop an application for each request, which ends what it stands on.
    close, recording.close = recording.close, lambda: None  # type: ignore[method-assign]
    yield ContractedService(app, recording, made)
    close()
