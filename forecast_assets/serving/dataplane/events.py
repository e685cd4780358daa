"""Prediction events: what is kept of an answer in real time, enough to tell later why it was what it was.

What belongs here: the form of an event, and making one from an answer. What does not: where events are kept.

Values of an event are columns over its rows, a series after the other and of each its days ahead. A column that is the
same in all rows is that one value; one that is null in all of them is left out. An event of one series has some 20 KB.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.contracts import COMPONENTS, QUANTILE_COLUMNS, SERIES_STEP_KEY
from forecast_assets.core.quantities import SCALE
from forecast_assets.serving.dataplane.laps import ADJUSTMENT, BASE, EXPLANATION, FEATURES, RISK
from forecast_assets.serving.dataplane.predicting import Predicted
from forecast_assets.serving.dataplane.rules import RULES, SAFETY
from forecast_assets.serving.dataplane.what_if import WhatIf
from resources.events.record import content_of

# Goes up when something of an event comes to mean something else; what is added does not raise it.
SCHEMA: Final = 1
STORED: Final = "stored"
_NO_SCORES: Final = pl.Series(dtype=pl.Float64)
_NAMESPACE: Final = UUID("6d1d0a5e-5d0c-5b8e-9d1c-0f6a3c1f7b52")
_ORDER: Final = ("store_id", "sku_id", "step")
_KEYS: Final = frozenset({*SERIES_STEP_KEY, "target_date", "prediction_id"})
FORMULAS: Final[Mapping[str, str]] = {
    FEATURES: "the run's snapshot, with the changes laid in where the feeds would have said them",
    BASE: "base_units = exp(log_units) = the sum of its drivers",
    ADJUSTMENT: "reconciled_units = max(base_units + growth * (published_reconciled_units - published_base_units), 0), "
    "where growth = mean base_units / mean published_base_units of the series; 0 where base_units is 0; "
    "forecast_units = reconciled_units, moved by as many percent as overrides moved the published row",
    RISK: "stockout_probability = p = the sum of its parts, the smaller the more stock and orders take away; "
    "log_odds = log(p / (1 - p))",
    EXPLANATION: "forecast_units = the sum of the drivers + reconciliation_units + override_units; "
    "expected_sales_units = forecast_units + stock_units",
    STORED: "the published rows, unchanged",
    RULES: "forecast_units = mean sales of the same weekday in the last four weeks, without days out of stock; "
    "at risk where their sum exceeds the stock, or the stock is below the safety figure",
    SAFETY: "at risk where the stock is below the safety figure; else unknown",
}


@dataclass(frozen=True)
class RequestContext:
    """Who asks, in which request.

    Attributes:
        key_id: Key of the caller.
        caller: Whose key it is.
        role: What it may do.
        request_id: Of the request.
        is_id_given: Whether the caller gave it, so that the same again is the same request.
        trace: W3C trace context.
        body: What was asked, as it was sent.
    """

    key_id: str
    caller: str
    role: str
    request_id: str
    is_id_given: bool
    trace: str
    body: Mapping[str, Any]


def event_id_of(context: RequestContext) -> str:
    """Return the id of the event of a request: the same for the same request of the same caller.

    The question is part of it, so that a caller who gives every request the same id loses no event.
    """
    if not context.is_id_given:
        return str(uuid4())
    name = content_of({"key": context.key_id, "request": context.request_id, "body": context.body})
    return str(uuid5(_NAMESPACE, name.decode()))


def event_document(
    event_id: str, predicted: Predicted, context: RequestContext, now: datetime, milliseconds: float
) -> dict[str, Any]:
    """Return the event of an answer.

    Args:
        event_id: Of the event.
        predicted: The answer.
        context: Who asked.
        now: When it was answered.
        milliseconds: What the answer took.
    """
    # What the model makes is in order; published rows are as they are found.
    rows = predicted.forecasts if predicted.made else predicted.forecasts.sort(*_ORDER)
    series = list(dict.fromkeys(zip(rows["store_id"].to_list(), rows["sku_id"].to_list(), strict=True)))
    days = rows["target_date"].head(rows.height // len(series)).to_list()
    scores = rows.get_column("out_of_distribution_score", default=_NO_SCORES)
    return {
        "schema": SCHEMA,
        "event_id": event_id,
        "occurred_at": now.astimezone(UTC).isoformat(timespec="microseconds"),
        "request_id": context.request_id,
        "trace": context.trace,
        "caller": {"key_id": context.key_id, "name": context.caller, "role": context.role},
        "use": predicted.use,
        "model_version": predicted.run.model_version,
        "run": vars(predicted.run),
        "input": context.body,
        "series": series,
        "days": [day.isoformat() for day in days],
        "steps": _steps(predicted, milliseconds),
        "bounds": _columns(rows, [name for name in QUANTILE_COLUMNS if name in rows.columns]),
        "out_of_distribution_score": scores.max(),
        "is_degraded": predicted.is_degraded,
        "held": predicted.held,
        "warnings": predicted.warnings,
        "milliseconds": round(milliseconds, 3),
    }


def _steps(predicted: Predicted, milliseconds: float) -> list[dict[str, Any]]:
    made = predicted.made
    if made is None:
        outputs: dict[str, Any] = {}
        for frame in (predicted.forecasts, predicted.risks, predicted.explanations):
            outputs |= _values(frame.sort(*_ORDER)) if frame.columns else {}
        name = predicted.run.served_from if predicted.run.served_from in FORMULAS else STORED
        return [_step(name, milliseconds, {"run": predicted.run.run}, outputs)]
    return [
        _step(name, made.milliseconds.get(name, 0.0), inputs, outputs, decomposition)
        for name, inputs, outputs, decomposition in (
            (FEATURES, {"changes": "input"}, _columns(made.features, _own(made.features)), {}),
            (BASE, _inputs(made), *_base(made)),
            (ADJUSTMENT, _published(made), *_adjustment(made)),
            (RISK, _supply(made), *_risk(made)),
            (EXPLANATION, {"outputs of": [BASE, ADJUSTMENT, RISK]}, *_explanation(made)),
        )
    ]


def _step(
    name: str,
    milliseconds: float,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    decomposition: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    return {
        "name": name,
        "milliseconds": round(milliseconds, 3),
        "formula": FORMULAS[name],
        "inputs": dict(inputs),
        "outputs": dict(outputs),
        "decomposition": dict(decomposition),
    }


def _inputs(made: WhatIf) -> dict[str, Any]:
    """What the model read of the days ahead; of the past, how much of it."""
    panel, ahead = made.panel, slice(made.panel.history_days, None)
    known = np.isfinite(panel.sales)
    return {
        "outputs of": FEATURES,
        "history_days": panel.history_days,
        "known_sales_days": known.sum(axis=1).tolist(),
        "sales_of_28_days_units": np.where(known, panel.sales, 0.0)[:, -28:].sum(axis=1).round(6).tolist(),
        "price_ratio": _array(panel.price_ratio[:, ahead]),
        "is_promotion": _array(panel.is_promotion[:, ahead]),
    }


def _base(made: WhatIf) -> tuple[dict[str, Any], dict[str, Any]]:
    units = _list(made.base["base_units"])
    logs = _short([round(log(each), 9) if each > 0 else None for each in units])
    parts = [name for name in COMPONENTS if name in made.base.columns]
    shown = [name for name in _own(made.base) if name not in parts and name not in QUANTILE_COLUMNS]
    return {**_columns(made.base, shown), "log_units": logs}, _columns(made.base, parts)


def _published(made: WhatIf) -> dict[str, Any]:
    return {
        "outputs of": BASE,
        "published_base_units": _array(made.published_base / SCALE),
        "published_reconciled_units": _array(made.published / SCALE),
    }


def _adjustment(made: WhatIf) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = ["reconciliation_units", "override_units"]
    return _columns(made.forecasts, ["reconciled_units", "forecast_units"]), _columns(made.explanations, parts)


def _supply(made: WhatIf) -> dict[str, Any]:
    supply = made.supply
    orders = [] if not len(supply.order_series) else [
        {"series": int(series), "units": float(units), "placed_days_ago": int(elapsed)}
        for series, units, elapsed in zip(
            supply.order_series, supply.order_units, supply.order_elapsed_days, strict=True
        )
    ]  # fmt: skip
    return {
        "outputs of": [BASE, ADJUSTMENT],
        "on_hand_units": _array(supply.on_hand),
        "lead_time_days": _array(supply.lead_time_days),
        "review_period_days": _array(supply.review_period_days),
        "orders": orders,
    }


def _risk(made: WhatIf) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = [name for name in made.risks.columns if name.endswith("_probability") and name != "stockout_probability"]
    odds = _short([_log_odds(p) for p in _list(made.risks["stockout_probability"])])
    shown = [name for name in _own(made.risks) if name not in parts]
    return {**_columns(made.risks, shown), "log_odds": odds}, _columns(made.risks, parts)


def _log_odds(p: float | None) -> float | None:
    return None if p is None or not 0 < p < 1 else round(log(p / (1 - p)), 9)


def _explanation(made: WhatIf) -> tuple[dict[str, Any], dict[str, Any]]:
    words = [name for name in _own(made.explanations) if not name.endswith("_units")]
    return _columns(made.explanations, ["expected_sales_units", *words]), _columns(made.explanations, ["stock_units"])


def _values(frame: pl.DataFrame) -> dict[str, Any]:
    return _columns(frame, [name for name in _own(frame) if name not in QUANTILE_COLUMNS])


def _own(frame: pl.DataFrame) -> list[str]:
    return [name for name in frame.columns if name not in _KEYS]


def _columns(frame: pl.DataFrame, names: Iterable[str]) -> dict[str, Any]:
    """Return columns as JSON can hold them, without those that are null in every row."""
    found = {name: _short(_list(frame[name])) for name in names}
    return {name: values for name, values in found.items() if values is not None}


def _list(column: pl.Series) -> list[Any]:
    """Return a column's values; one by one, since a query plan for so few rows takes longer than its work."""
    if column.dtype.is_decimal():
        return column.cast(pl.Float64).to_list()
    if column.dtype.is_temporal():
        return column.cast(pl.String).to_list()
    return _numbers(column.to_list()) if column.dtype.is_float() else column.to_list()


def _array(values: npt.NDArray[Any]) -> Any:
    return _short(_numbers(values.ravel().tolist()))


def _numbers(values: list[Any]) -> list[Any]:
    """Return values with null for what is no number."""
    return [None if each != each else each for each in values]  # noqa: PLR0124


def _short(values: Sequence[Any]) -> Any:
    """Return one value for a column of nothing else."""
    first = values[0] if values else None
    return first if all(each == first for each in values) else list(values)
