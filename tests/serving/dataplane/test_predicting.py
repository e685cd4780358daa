"""Predictions in real time: by the model, else by what was published, and never without saying which."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from forecast_assets.core.breaker import Breaker
from forecast_assets.core.errors import InputError, NotAllowedError, StorageError
from forecast_assets.core.keys import RunKey
from forecast_assets.features.changes import SeriesChange
from forecast_assets.serving.dataplane.apart import Apart
from forecast_assets.serving.dataplane.events import RequestContext, event_document
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.predicting import Predictor, PredictQuestion
from forecast_assets.serving.dataplane.prepared import PreparedRun, prepare_run
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
from forecast_assets.serving.dataplane.questions import StoredQuestion, VersionAsked
from forecast_assets.serving.dataplane.resolving import resolve
from forecast_assets.serving.dataplane.what_if import what_if
from resources.stores.home import Stores
from tests.support.retailers import KEY

NOW = datetime(2025, 7, 1, 9, tzinfo=UTC)
WHO = RequestContext("k", "ana", "planner", "r", is_id_given=False, trace="", body={})
STAT = VersionAsked(model_version="stat-1")


@pytest.fixture(scope="module")
def prepared(plane: DataPlane) -> PreparedRun:
    return prepare_run(plane.stores, KEY, workers=1)


@pytest.fixture(scope="module")
def predictor(plane: DataPlane, prepared: PreparedRun) -> Predictor:
    made = Predictor(plane.stores, PreparedRuns(plane.stores, prepare=lambda _stores, _run: prepared))
    made.prepare(STAT)
    return made


@pytest.fixture
def series(plane: DataPlane) -> tuple[str, str]:
    rows = plane.stored(StoredQuestion("forecasts", STAT, first_step=3, last_step=3)).rows
    row = rows.sort("forecast_units", descending=True).row(0, named=True)
    return row["store_id"], row["sku_id"]


def asked(*changes: SeriesChange, use: str = "what_if") -> PredictQuestion:
    return PredictQuestion(use, STAT, changes)


def published(plane: DataPlane, series: tuple[str, str], product: str) -> Any:
    store, sku = series
    return plane.stored(StoredQuestion(product, STAT, store_ids=[store], sku_ids=[sku])).rows


def test_without_a_change_it_is_the_published_row(
    plane: DataPlane, predictor: Predictor, series: tuple[str, str]
) -> None:
    found = predictor.predict(asked(SeriesChange(*series)), NOW)
    assert (found.run.served_from, found.is_degraded, found.warnings) == ("model", False, ())
    assert_frame_equal(found.forecasts, published(plane, series, "forecasts"))
    assert_frame_equal(found.risks, published(plane, series, "risks"))
    assert_frame_equal(found.explanations, published(plane, series, "explanations"))


def test_a_promotion_moves_the_forecast_and_what_was_held_is_named(
    plane: DataPlane, predictor: Predictor, series: tuple[str, str]
) -> None:
    day = KEY.prediction_date + timedelta(days=3)
    found = predictor.predict(asked(SeriesChange(*series, price_ratios={day: 0.5}, promotions={day: True})), NOW)
    before = published(plane, series, "forecasts").filter(step=3)["forecast_units"][0]
    assert found.forecasts.filter(step=3)["forecast_units"][0] > before
    assert "nodes and reconciliation" in found.held


def test_a_use_that_nobody_approved_is_refused_with_the_way_to_have_it_approved(
    predictor: Predictor, series: tuple[str, str]
) -> None:
    with pytest.raises(NotAllowedError, match=r"`resale` is not approved.*`uses approve resale`"):
        predictor.predict(asked(SeriesChange(*series), use="resale"), NOW)


def test_a_wrong_question_is_not_answered_by_something_else(predictor: Predictor) -> None:
    with pytest.raises(InputError, match="has no series S/none"):
        predictor.predict(asked(SeriesChange("S", "none")), NOW)
    with pytest.raises(InputError, match="1 to 500 series, not 0"):
        predictor.predict(asked(), NOW)


def failing(plane: DataPlane, error: Exception, **arguments: Any) -> Predictor:
    def prepare(_stores: Stores, _run: RunKey) -> PreparedRun:
        raise error

    return Predictor(plane.stores, PreparedRuns(plane.stores, prepare=prepare), **arguments)


def test_where_the_model_fails_the_published_row_answers_and_says_so(plane: DataPlane, series: tuple[str, str]) -> None:
    broken = failing(plane, StorageError("no answer"))
    found = broken.predict(asked(SeriesChange(*series, on_hand_units=0.0)), NOW)
    assert (found.run.served_from, found.is_degraded, found.held) == ("last_batch", True, ())
    assert_frame_equal(found.forecasts, published(plane, series, "forecasts"))
    assert "the model failed (StorageError)" in found.warnings[0]
    assert "NOT in these numbers" in found.warnings[1]
    assert len(broken.predict(asked(SeriesChange(*series)), NOW).warnings) == 1


def test_what_fails_again_and_again_is_left_alone_and_tried_once_later(
    plane: DataPlane, series: tuple[str, str]
) -> None:
    clock = iter_clock()
    broken = failing(plane, StorageError("no answer"), breaker=lambda: Breaker(2, 30.0, clock=lambda: clock[0]))
    question = asked(SeriesChange(*series))
    for _ in range(2):
        assert "failed (StorageError)" in broken.predict(question, NOW).warnings[0]
    failed = resolve(plane.stores, question.asked).key
    assert broken.breaker_of(failed).is_open
    assert not broken.breaker_of(replace(failed, model_version="stat-2")).is_open
    assert "left alone" in broken.predict(question, NOW).warnings[0]
    clock[0] += 31
    assert "failed (StorageError)" in broken.predict(question, NOW).warnings[0]
    assert "left alone" in broken.predict(question, NOW).warnings[0]


def iter_clock() -> list[float]:
    return [0.0]


def test_where_the_published_row_is_too_old_a_rule_answers(plane: DataPlane, series: tuple[str, str]) -> None:
    question = asked(SeriesChange(*series, on_hand_units=0.0))
    found = failing(plane, StorageError("no answer")).predict(question, NOW + timedelta(days=7))
    assert (found.run.served_from, found.is_degraded, found.run.age_days) == ("rules", True, 8)
    assert "8 days old" in found.warnings[0]
    assert found.forecasts["target_date"][0] == (NOW + timedelta(days=7)).date()
    assert found.forecasts["forecast_units"].null_count() == 0
    assert set(found.risks["risk_band"]) == {"high"}
    later = failing(plane, StorageError("no answer")).predict(question, NOW + timedelta(days=60))
    assert later.run.served_from == "safety"


def test_where_the_published_row_cannot_be_read_a_rule_answers(
    plane: DataPlane, series: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise StorageError("the disk is gone")

    monkeypatch.setattr("forecast_assets.serving.dataplane.row_blocks.scan_product", broken)
    found = failing(plane, StorageError("no answer")).predict(asked(SeriesChange(*series)), NOW)
    assert found.run.served_from == "rules"
    assert "cannot be read (StorageError)" in found.warnings[0]
    assert json.loads(json.dumps(event_document("e", found, WHO, NOW, 1.0)))["steps"][0]["name"] == "rules"


@pytest.fixture
def slow(plane: DataPlane, prepared: PreparedRun) -> Iterator[tuple[Predictor, Event, list[int]]]:
    go, made = Event(), [0]

    def prepare(_stores: Stores, _run: RunKey) -> PreparedRun:
        made[0] += 1
        go.wait(30)
        return prepared

    yield Predictor(plane.stores, PreparedRuns(plane.stores, prepare=prepare), deadline_seconds=0.2), go, made
    go.set()


def test_nobody_waits_longer_than_the_deadline_and_a_run_is_prepared_once(
    slow: tuple[Predictor, Event, list[int]], series: tuple[str, str]
) -> None:
    predictor, go, made = slow
    question = asked(SeriesChange(*series))
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda _: predictor.predict(question, NOW), range(4)))
    assert {each.run.served_from for each in found} == {"last_batch"}
    assert "still being prepared" in found[0].warnings[0]
    assert made == [1]
    go.set()
    predictor.prepare(STAT)
    assert made == [1]


def test_a_run_that_another_process_prepared_gives_the_same_answers(
    plane: DataPlane, prepared: PreparedRun, series: tuple[str, str]
) -> None:
    theirs = Apart(plane.stores.blobs.root, None, least_series=1).run(plane.stores, KEY)
    change = SeriesChange(*series, price_ratios={KEY.prediction_date + timedelta(days=2): 0.7})
    here, there = (what_if(each, [change]) for each in (prepared, theirs))
    for name in ("forecasts", "risks", "explanations"):
        assert_frame_equal(getattr(here, name), getattr(there, name))
    assert theirs.key == prepared.key
