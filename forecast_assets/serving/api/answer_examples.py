"""Answers as examples of the document of routes; tests hold them to the models of answers.

What belongs here: one answer of each kind, short. What does not: models, or requests.
"""

from collections.abc import Mapping
from typing import Any, Final

_DAY: Final = "2025-07-01"
_RUN_KEY: Final = "daily/2025-06-30/stat-1/28/r0"
_ROW_ID: Final = f"{_RUN_KEY}/FOOD-0001/S-01/1"
_EVENT_ID: Final = "0e7d67d2-edfc-423c-ac9e-8b5b7ec9e006"
_SERIES: Final = {"store_id": "S-01", "sku_id": "FOOD-0001"}
_RUN: Final[dict[str, Any]] = {
    "run": _RUN_KEY, "model_version": "stat-1", "channel": "champion", "artifact": "6ff5c590" * 8,
    "prediction_date": "2025-06-30", "published_at": "2025-07-01T05:00:40+00:00", "ledger_sequence": 5, "age_days": 1,
    "assignment": None, "served_from": "published", "overrides": [],
}  # fmt: skip
_ROW: Final[dict[str, Any]] = {"prediction_id": _ROW_ID, **_SERIES, "step": 1, "target_date": _DAY}
_FORECAST: Final = {"forecast_units": 6.359708, "expected_sales_units": 6.101223, "q500_units": 6.0, "q900_units": 11.0}
_RISK: Final = {"stockout_probability": 0.062, "risk_band": "low"}
_REASON: Final = {"forecast_reason": "The usual day sells 6.1; Tuesdays sell 4% more than the week's mean (+0.26)."}
_TOLD: Final[dict[str, Any]] = {
    "event_id": _EVENT_ID, "occurred_at": "2025-07-01T09:00:00.000000+00:00",
    "caller": {"key_id": "9f2c41d07be3", "name": "ana", "role": "planner"}, "request_id": "visit-17", "use": "what_if",
    "model_version": "stat-1", "run": {**_RUN, "served_from": "model"},
    "input": {"use": "what_if", "channel": "champion", "series": [{**_SERIES, "on_hand_units": 0}]},
    "series": [["S-01", "FOOD-0001"]], "out_of_distribution_score": 0.12, "is_degraded": False, "warnings": [],
    "milliseconds": 38.2,
}  # fmt: skip


def _page(row: dict[str, Any]) -> dict[str, Any]:
    return {"runs": [_RUN], "next_page": None, "rows": [{**_ROW, **row}]}


_LIVE: Final[dict[str, Any]] = {"status": "live"}
_READY: Final[dict[str, Any]] = {
    "status": "ready", "is_ready": True, "reasons": [], "degraded": [], "ledger_sequence": 5,
    "newest_prediction_date": {"daily": "2025-06-30"}, "events": None,
}  # fmt: skip
_NOT_READY: Final[dict[str, Any]] = {
    **_READY, "status": "not ready", "is_ready": False, "reasons": ["nothing is published yet"], "ledger_sequence": 0,
    "newest_prediction_date": {},
}  # fmt: skip
_FORECASTS: Final = _page(_FORECAST)
_RISKS: Final = _page(_RISK)
_EXPLANATIONS: Final = _page({"level_units": 6.1, "weekday_units": 0.26, **_REASON})
_VERSIONS: Final[dict[str, Any]] = {
    "versions": [
        {
            "model_version": "stat-1", "family": "statistical", "cutoff": "2025-06-30", "channels": ["champion"],
            "is_live": True, "is_retired": False, "passed_gates": True,
            "newest_prediction_date": {"daily": "2025-06-30"}, "registered_at": "2025-07-01T04:30:00+00:00",
        }
    ],
    "channels": {"champion": "stat-1", "challenger": None},
}  # fmt: skip
_EXPLAINED: Final[dict[str, Any]] = {
    "prediction_id": _ROW_ID, "run": {**_RUN, "channel": None}, "forecast": _FORECAST, "risk": _RISK,
    "explanation": _REASON, "made_from": {"model_artifact": "6ff5c590" * 8, "forecasts": "bfa728d4" * 8},
}  # fmt: skip
_WHOLE_EVENT: Final[dict[str, Any]] = {
    "schema": 1, "trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", **_TOLD, "days": [_DAY],
    "steps": [
        {
            "name": "base", "formula": "base_units = exp(log_units) = the sum of its drivers", "milliseconds": 4.1,
            "inputs": {"price_ratio": 0.8}, "outputs": {"base_units": 6.36, "log_units": 1.850028},
            "decomposition": {"level_units": 6.1, "weekday_units": 0.26},
        }
    ],
    "bounds": {"q500_units": 6.0, "q900_units": 11.0}, "held": ["calibration"],
}  # fmt: skip
_EVENTS: Final[dict[str, Any]] = {"events": [_TOLD], "next_page": None}
_HISTORY: Final[dict[str, Any]] = {
    "sales_units": 7.0, "out_of_stock_share": 0.0, "warnings": [],
    "rows": [
        {
            "prediction_id": _ROW_ID, "prediction_date": "2025-06-30", "model_version": "stat-1", "revision": 0,
            "step": 1, "published_at": "2025-07-01T05:00:40+00:00", **_FORECAST, **_RISK,
        }
    ],
    "events": [],
}  # fmt: skip
_PREDICTED: Final[dict[str, Any]] = {
    "use": "what_if", "run": {**_RUN, "served_from": "model"}, "degraded": False, "held": ["calibration"],
    "warnings": [], "event": {"id": _EVENT_ID, "status": "recorded"}, "forecasts": [{**_ROW, **_FORECAST}],
    "risks": [{**_ROW, **_RISK}], "explanations": [{**_ROW, **_REASON}],
}  # fmt: skip
_COMPARED: Final[dict[str, Any]] = {
    "words": "2025-06-29 44.8, 2025-06-30 32.6: -12.2 promotion ended", **_SERIES, "target_date": _DAY,
    "runs": [{**_RUN, "run": "daily/2025-06-29/stat-1/28/r0", "prediction_date": "2025-06-29", "age_days": 2}, _RUN],
    "degraded": False, "held": [], "warnings": [],
    "figures": {"forecast_units": {"before": 44.8, "after": 32.6, "causes": {"plans": -12.2}}}, "versions": [],
    "parts": [{"cause": "plans", "driver": "promotion", "change_units": -12.2}],
    "inputs": [
        {**_SERIES, "kind": "plans", "input": "promotion", "event_date": _DAY, "before": 1.0, "after": 0.0}
    ],
    "features": [], "outputs": [{"name": "forecast_units", "before": "44.800000", "after": "32.600000"}],
}  # fmt: skip
_FEEDBACK: Final[dict[str, Any]] = {
    "request_id": "visit-17", "accepted": 1, "dead_lettered": 0, "is_repeated": False,
    "records": [{"position": 0, "status": "accepted", "feedback_id": "5a0c1c52-7d3e-4f6e-8f0e-6f2a43a5a1b7"}],
}  # fmt: skip
# By what the document calls a route, and the status.
_OVERRIDE: Final[dict[str, Any]] = {
    "id": "o412-1", "product_level": "category", "product_node": "dairy", "store_level": "total",
    "store_node": "total", "first_date": "2025-07-03", "last_date": "2025-07-06", "form": "percent", "value": "20",
    "reason": "event", "note": "local festival", "expires_on": None, "by": "ana", "observed_until": "2025-06-30",
    "recorded_at": "2025-07-01T09:00:00+00:00", "status": "pending", "decided_by": "", "decided_at": "",
    "decided_reason": "",
}  # fmt: skip
_PREVIEWED: Final[dict[str, Any]] = {
    "run": _RUN_KEY, "seen": 411, "is_recorded": False, "is_repeated": False, "ids": [], "status": None,
    "largest_percent": 200.0,
    "effects": [
        {
            "override": "category dairy in all stores, 2025-07-03 to 2025-07-06: +20%", "series": 120, "rows": 480,
            "rows_moved": 480, "model_units": 5120.5, "before_units": 5120.5, "after_units": 6144.6,
            "unmet_units": 0.0, "superseded_by": [], "keeps_from": [], "multiplied_uplifts": [], "is_unusual": False,
        }
    ],
    "levels": [
        {
            "product_level": "total", "store_level": "total", "nodes": 1, "model_units": 81200.0,
            "before_units": 81200.0, "after_units": 82224.1,
        }
    ],
}  # fmt: skip
_RECORDED: Final = {**_PREVIEWED, "is_recorded": True, "ids": ["o412-1"], "status": "recorded"}
_OVERRIDES: Final[dict[str, Any]] = {"overrides": [_OVERRIDE]}
_DECIDED: Final[dict[str, Any]] = {
    "overrides": [
        {
            **_OVERRIDE, "status": "approved", "decided_by": "ben", "decided_at": "2025-07-01T10:00:00+00:00",
            "decided_reason": "as agreed on Monday",
        }
    ]
}  # fmt: skip
EXAMPLES: Final[Mapping[tuple[str, int], tuple[dict[str, Any], ...]]] = {
    ("live", 200): (_LIVE,),
    ("ready", 200): (_READY,),
    ("ready", 503): (_NOT_READY,),
    ("forecasts", 200): (_FORECASTS,),
    ("risks", 200): (_RISKS,),
    ("explanations", 200): (_EXPLANATIONS,),
    ("versions", 200): (_VERSIONS,),
    ("explain", 200): (_EXPLAINED, _WHOLE_EVENT),
    ("events", 200): (_EVENTS,),
    ("history", 200): (_HISTORY,),
    ("predict", 200): (_PREDICTED,),
    ("compare", 200): (_COMPARED,),
    ("feedback", 200): (_FEEDBACK,),
    ("override", 200): (_PREVIEWED, _RECORDED),
    ("overrides", 200): (_OVERRIDES,),
    ("approve_override", 200): (_DECIDED,),
    ("reject_override", 200): (_DECIDED,),
    ("withdraw_override", 200): (_DECIDED,),
}
