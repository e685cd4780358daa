"""The pages: where a support engineer asks why a number changed, and where anybody in a sandbox tries another one.

What belongs here: from the fields of a link to questions of the data plane. What does not: answering them.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from forecast_assets.core.errors import ForecastAssetsError, InputError
from forecast_assets.core.keys import CHANNELS, DAILY, PredictionId
from forecast_assets.features.changes import ExpectedOrder, SeriesChange
from forecast_assets.presentation.actions import error_text
from forecast_assets.presentation.support import (
    EXPLORE,
    SUPPORT,
    compared_section,
    explained_section,
    explore_form,
    explored_section,
    fan_section,
    support_form,
    vintages_section,
    warning,
)
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.roles import Right
from forecast_assets.serving.dataplane.comparing import CompareQuestion, PredictionAsked
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.predicting import PredictQuestion
from forecast_assets.serving.dataplane.published import HistoryQuestion
from forecast_assets.serving.dataplane.questions import StoredQuestion, VersionAsked
from forecast_assets.serving.pages.door import answer_page

_TITLE: Final = "Why is this number what it is?"
_EXPLORE_TITLE: Final = "What would it be?"
_MOST_DAYS: Final = 90
_OF_A_DAY: Final = ("store_id", "sku_id", "target_date")


def add_pages(app: FastAPI, plane: DataPlane, callers: Callers) -> None:
    """Add the pages to an application."""

    @app.get(SUPPORT, include_in_schema=False)
    def support(request: Request) -> HTMLResponse:
        return answer_page(request, callers, Right.SUPPORT, _TITLE, lambda asked: _support(plane, asked))

    if plane.is_sandbox:

        @app.get(EXPLORE, include_in_schema=False)
        def explore(request: Request) -> HTMLResponse:
            return answer_page(request, callers, Right.PREDICT, _EXPLORE_TITLE, lambda asked: _explore(plane, asked))


def _support(plane: DataPlane, asked: Mapping[str, str]) -> list[str]:
    """Return the parts of the page of support; what cannot be answered stands below its form."""
    try:
        asked = _with_day(asked)
        form = support_form(asked)
        if not all(name in asked for name in _OF_A_DAY):
            return [form]
        return [form, '<div id="answer"></div>', *_answers(plane, asked)]
    except ForecastAssetsError as error:
        return [support_form(asked), warning(error_text(error))]


def _with_day(asked: Mapping[str, str]) -> Mapping[str, str]:
    """Fill in store, SKU and day of a prediction that is named alone, so that a link needs nothing else."""
    if "prediction_id" not in asked or all(name in asked for name in _OF_A_DAY):
        return asked
    named = PredictionId.parse(asked["prediction_id"])
    return {
        "store_id": named.store_id,
        "sku_id": named.sku_id,
        "target_date": named.target_date.isoformat(),
        "cadence": named.run.cadence,
        **asked,
    }


def _answers(plane: DataPlane, asked: Mapping[str, str]) -> list[str]:
    store_id, sku_id, day = asked["store_id"], asked["sku_id"], _day(asked["target_date"])
    found = plane.history(HistoryQuestion(store_id, sku_id, day, cadence=asked.get("cadence", DAILY.name)))
    newest = found.rows["prediction_id"][-1]
    named = asked.get("prediction_id", newest)
    series = plane.series(named)
    return [
        vintages_section(asked, found),
        *_why(plane, asked),
        explained_section(plane.explain(named)),
        fan_section(series.past, series.forecast, series.came, str(series.run)),
    ]


def _why(plane: DataPlane, asked: Mapping[str, str]) -> list[str]:
    """Return why the two predictions that were chosen differ, or what keeps that from being said."""
    if not {"first", "second"} <= set(asked):
        return []
    try:
        chosen = CompareQuestion(PredictionAsked(asked["first"]), PredictionAsked(asked["second"]))
        return [compared_section(plane.compare(chosen))]
    except ForecastAssetsError as error:
        return [warning(error_text(error))]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"`{text}` is no day.", remedy="Write it as 2025-07-05.") from error


def _explore(plane: DataPlane, asked: Mapping[str, str]) -> list[str]:
    """Return the parts of the page of a sandbox."""
    form = explore_form(asked)
    if not {"store_id", "sku_id"} <= set(asked):
        return [form]
    try:
        return [form, '<div id="answer"></div>', *_explored(plane, asked)]
    except ForecastAssetsError as error:
        return [form, warning(error_text(error))]


def _explored(plane: DataPlane, asked: Mapping[str, str]) -> list[str]:
    named = asked.get("version", DAILY.champion)
    of_run = VersionAsked(channel=named) if named in CHANNELS else VersionAsked(named)
    published, risks = (
        plane.stored(StoredQuestion(product, of_run, [asked["store_id"]], [asked["sku_id"]])).rows
        for product in ("forecasts", "risks")
    )
    predicted = plane.predictor.predict(PredictQuestion("what_if", of_run, [_change(asked)]), plane.clock())
    past = plane.series(predicted.forecasts["prediction_id"][0]).past
    return [explored_section(published, predicted, past, risks)]


def _change(asked: Mapping[str, str]) -> SeriesChange:
    days = _days(asked)
    orders: tuple[ExpectedOrder, ...] = ()
    if "order_day" in asked or "order_units" in asked:
        orders = (ExpectedOrder(_day(asked.get("order_day", "")), _number("order_units", asked)),)
    return SeriesChange(
        asked["store_id"],
        asked["sku_id"],
        _number("on_hand", asked) if "on_hand" in asked else None,
        orders,
        {day: _number("price_ratio", asked) for day in days} if "price_ratio" in asked else {},
        dict.fromkeys(days, asked["promotion"] == "yes") if "promotion" in asked else {},
    )


def _days(asked: Mapping[str, str]) -> list[date]:
    """Return the days on which price or promotion would be other."""
    if not {"price_ratio", "promotion"} & set(asked):
        return []
    first = _day(asked.get("from_day", ""))
    last = _day(asked.get("to_day", asked.get("from_day", "")))
    if not 0 <= (last - first).days < _MOST_DAYS:
        raise InputError(f"{first} to {last} are no days ahead.", remedy="Name a first day and one not before it.")
    return [first + timedelta(days=at) for at in range((last - first).days + 1)]


def _number(name: str, asked: Mapping[str, str]) -> float:
    text = asked.get(name, "")
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"`{name}` is no number: `{text}`.", remedy="Write it as 12 or 0.8.") from error
