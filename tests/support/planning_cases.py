"""A published retailer that planners may override, behind pages and routes, with a key for each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from re import findall
from urllib.parse import urlencode

from httpx import ASGITransport, Response

from forecast_assets.launch import Runner
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.api.override_routes import add_overrides
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.planning import PlanningDesk
from forecast_assets.serving.pages.door import PlannersDoor
from forecast_assets.serving.pages.planning import add_planning
from resources.operational.api_keys import ApiKeys
from resources.operational.saved_filters import SavedFilters
from tests.support.callers import Client
from tests.support.retailers import KEY, copied

NOW = datetime(2025, 7, 1, 9, tzinfo=UTC)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Planning:
    """Pages of planners, and who looks at them."""

    desk: PlanningDesk
    client: Callable[[str, str], Client]

    def as_planner(self, name: str = "ana", role: str = "planner") -> Client:
        return self.client(name, role)


def page(client: Client, path: str, status: int = 200, **asked: object) -> str:
    found = client.get(f"{path}?{urlencode(asked)}")
    assert found.status_code == status, found.text
    return unescape(found.text)


def token_of(client: Client) -> str:
    """Return what forms of a person carry, as the page of a preview has it."""
    days = {"first": KEY.prediction_date + timedelta(days=1), "last": KEY.prediction_date + timedelta(days=1)}
    asked = urlencode({**days, "form": "percent", "value": "1", "reason": "other"})
    (found,) = findall('name="token" value="([0-9a-f]{64})"', client.get(f"/plan/override?{asked}").text)
    return str(found)


def send(client: Client, path: str, fields: dict[str, object] | list[tuple[str, object]]) -> Response:
    return client.request("POST", path, content=urlencode(fields), headers=FORM)


def planning_on(published: Runner, home: Path) -> Planning:
    """Copy a home, and open its pages and routes of planners."""
    stores = copied(published, home).stores
    plane = DataPlane(stores, lambda: NOW)
    operational = home / "operational" / "operational.sqlite"
    keys = ApiKeys(operational)
    callers = Callers(keys, lambda: NOW)
    app = create_app(plane, callers)
    desk = PlanningDesk(plane, stores)
    add_overrides(app, desk, callers)
    add_planning(app, desk, PlannersDoor(callers, desk.is_open), filters=SavedFilters(operational))

    def client(name: str, role: str) -> Client:
        key = keys.create(name, role, now=NOW, valid_for=timedelta(days=1))[1]
        return Client(ASGITransport(app=app, raise_app_exceptions=False), key)

    return Planning(desk, client)
