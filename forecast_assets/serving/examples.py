"""Calls that work on a home as it is, to be copied into a shell.

What belongs here: which calls, of which series. What does not: answering them.
"""

import json
import shlex
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

import polars as pl

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NotPublishedError
from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.questions import MOST_ROWS, StoredQuestion, VersionAsked
from forecast_assets.serving.dataplane.warming import runs_of_channels

# The day ahead on which a price is another one.
_STEP: Final = 3


def run_to_show(plane: DataPlane) -> RunKey:
    """Return the run that calls are shown of: the champion's newest.

    Raises:
        NotPublishedError: If no channel points at a version that has published.
    """
    run = next(iter(runs_of_channels(plane.stores.ledger.state())), None)
    if run is None:
        raise NotPublishedError(
            "Nothing is published that a channel points at: there is nothing to show.",
            remedy=Sentence("Make a demonstration: ", Action("demo"), "."),
        )
    return run


def example_calls(plane: DataPlane, run: RunKey, address: str, key: str) -> list[tuple[str, str]]:
    """Return titles and `curl` commands of a stored read, a what-if and a comparison.

    Args:
        plane: What would answer them.
        run: A published run.
        address: Of the service, such as `http://127.0.0.1:8000`.
        key: That a caller may use.
    """
    asked = {"model_version": run.model_version, "cadence": run.cadence, "prediction_date": str(run.prediction_date)}
    series = _series(plane, run)
    lowered = str(run.prediction_date + timedelta(days=_STEP))
    what_if = {
        "use": "what_if", **asked,
        "series": [{**series, "price_ratios": {lowered: 0.8}, "promotions": {lowered: True}}],
    }  # fmt: skip
    row = str(PredictionId(run, series["sku_id"], series["store_id"], _STEP))
    compared = {
        "first": {"prediction_id": row},
        "second": {"prediction_id": row, "inputs": {"price_ratios": {lowered: 0.8}, "promotions": {lowered: True}}},
    }
    return [
        ("The week ahead of one series", _get(address, key, "/v1/forecasts", {**asked, **series, "last_step": 7})),
        ("The same series, a fifth cheaper on one day", _post(address, key, "/v1/predict", what_if)),
        ("Why those two differ on that day, by cause", _post(address, key, "/v1/compare", compared)),
    ]


def _series(plane: DataPlane, run: RunKey) -> dict[str, str]:
    """Return the series of a run that may run out of stock soonest: there is something to see."""
    asked = VersionAsked(run.model_version, None, run.cadence, run.prediction_date, run.forecast_horizon, run.revision)
    first_day = plane.stored(StoredQuestion("risks", asked, last_step=1, limit=MOST_ROWS)).rows
    row = first_day.sort(-pl.col("stockout_probability"), "store_id", "sku_id").row(0, named=True)
    return {"store_id": row["store_id"], "sku_id": row["sku_id"]}


def _get(address: str, key: str, path: str, query: dict[str, Any]) -> str:
    return shlex.join(["curl", "-s", "-H", f"Authorization: Bearer {key}", f"{address}{path}?{urlencode(query)}"])


def _post(address: str, key: str, path: str, body: dict[str, Any]) -> str:
    headers = ["-H", f"Authorization: Bearer {key}", "-H", "Content-Type: application/json"]
    return shlex.join(["curl", "-s", *headers, f"{address}{path}", "-d", json.dumps(body)])
