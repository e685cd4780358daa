"""Stored reads over HTTP: formats, keys, problems."""

import io

import polars as pl
import pytest

from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.questions import StoredQuestion, VersionAsked
from tests.support.callers import Client

ASKED = {"model_version": "stat-1", "limit": "50"}


def test_every_format_has_the_published_numbers(client: Client, plane: DataPlane) -> None:
    rows = plane.stored(StoredQuestion("forecasts", VersionAsked("stat-1"), limit=50)).rows
    found = client.get("/v1/forecasts", params=ASKED)
    assert found.status_code == 200
    body = found.json()
    assert body["runs"][0]["model_version"] == "stat-1"
    assert [row["forecast_units"] for row in body["rows"]] == [float(units) for units in rows["forecast_units"]]
    arrow = client.get("/v1/forecasts", params={**ASKED, "format": "arrow"})
    assert pl.read_ipc_stream(io.BytesIO(arrow.content)).equals(rows)
    csv = client.get("/v1/forecasts", params={**ASKED, "format": "csv"})
    assert csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert csv.text == rows.write_csv()
    assert csv.headers["x-next-page"] == body["next_page"]


def test_without_version_or_channel_it_is_422_with_the_remedy(client: Client) -> None:
    found = client.get("/v1/risks")
    assert found.status_code == 422
    assert found.headers["content-type"] == "application/problem+json"
    problem = found.json()
    assert (problem["status"], problem["title"], problem["code"]) == (422, "Unprocessable Content", "input") or (
        problem["title"] == "Unprocessable Entity"
    )
    assert "`model_version`" in problem["remedy"]
    assert problem["request_id"] == found.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/forecasts?model_version=stat-9", 404, "unknown-version"),
        ("/v1/forecasts?model_version=stat-1&prediction_date=2020-01-01", 404, "not-published"),
        ("/v1/forecasts?model_version=stat-1&limit=0", 422, "malformed-request"),
        ("/v1/forecasts?model_version=stat-1&color=red", 422, "malformed-request"),
        ("/v1/forecasts?model_version=stat-1&page=nonsense", 422, "input"),
        ("/v1/explain/nonsense", 422, "input"),
        ("/v1/nothing", 404, "not-found"),
    ],
)
def test_each_error_is_a_problem_with_a_code(client: Client, path: str, status: int, code: str) -> None:
    found = client.get(path)
    assert (found.status_code, found.json()["code"]) == (status, code)
    assert found.headers["content-type"] == "application/problem+json"
    assert found.json()["detail"]


def test_a_row_is_explained_by_its_id(client: Client) -> None:
    row = client.get("/v1/forecasts", params={**ASKED, "limit": "1"}).json()["rows"][0]
    told = client.get(f"/v1/explain/{row['prediction_id']}").json()
    assert told["forecast"]["forecast_units"] == row["forecast_units"]
    assert told["explanation"]["forecast_reason"]
    assert told["made_from"]["model_artifact"] == told["run"]["artifact"]


def test_history_tells_each_vintage(client: Client) -> None:
    row = client.get("/v1/forecasts", params={**ASKED, "limit": "1"}).json()["rows"][0]
    asked = {"store_id": row["store_id"], "sku_id": row["sku_id"], "target_date": row["target_date"]}
    told = client.get("/v1/history", params=asked).json()
    assert [each["prediction_id"] for each in told["rows"]] == [row["prediction_id"]]
    assert told["sales_units"] is None
    nothing = client.get("/v1/history", params={**asked, "target_date": "2030-01-01"})
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not-published")


def test_versions_and_health(client: Client) -> None:
    told = client.get("/v1/versions").json()
    assert told["channels"]["champion"] == "stat-1"
    assert told["versions"][0]["newest_prediction_date"] == {"daily": "2025-06-30"}
    client.key = None
    assert client.get("/health/live").json() == {"status": "live"}
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
