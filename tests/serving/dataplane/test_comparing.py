"""Two predictions side by side: published rows, the same with other inputs, and what is said until causes are there."""

from collections.abc import Iterator
from threading import Event

import polars as pl
import pytest

from forecast_assets.core.errors import InputError, NotPublishedError, NotReadyError
from forecast_assets.core.keys import RunKey
from forecast_assets.features.changes import ExpectedOrder, SeriesChange
from forecast_assets.operations.attribution import CODE, OBSERVATIONS, PLANS, STOCK
from forecast_assets.serving.dataplane.comparing import (
    CompareQuestion,
    Comparer,
    PredictionAsked,
    PredictionsCompared,
)
from forecast_assets.serving.dataplane.prepared import PreparedRun, prepare_run
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
from forecast_assets.serving.dataplane.what_if import what_if
from tests.serving.conftest import NOW
from tests.support.compared_runs import FIRST, SECOND, ComparedRuns

FIGURES = {"forecast_units", "expected_sales_units", "stockout_probability"}


@pytest.fixture(scope="module")
def prepared(compared: ComparedRuns) -> dict[RunKey, PreparedRun]:
    return {run: prepare_run(compared.runner.stores, run, workers=1) for run in (FIRST, SECOND)}


@pytest.fixture(scope="module")
def comparer(compared: ComparedRuns, prepared: dict[RunKey, PreparedRun]) -> Comparer:
    runs = PreparedRuns(compared.runner.stores, prepare=lambda _stores, run: prepared[run])
    made = Comparer(compared.runner.stores, runs, deadline_seconds=60)
    made.prepare(FIRST, SECOND)
    return made


def row(compared: ComparedRuns, run: RunKey) -> str:
    (store, sku), step = compared.withdrawn, (compared.day - run.prediction_date).days
    return f"{run}/{sku}/{store}/{step}"


def adds_up(found: PredictionsCompared) -> None:
    assert found.figures.keys() == FIGURES
    for figure in found.figures.values():
        assert figure.causes["change_units"].sum() == figure.after - figure.before
    by_cause = dict(found.figures["forecast_units"].causes.iter_rows())
    parts = found.parts.group_by("cause").agg(pl.col("change_units").sum())
    for cause, units in parts.iter_rows():
        assert by_cause[cause] == units


def test_two_published_rows_have_all_that_differs_and_why(comparer: Comparer, compared: ComparedRuns) -> None:
    asked = [PredictionAsked(row(compared, run)) for run in (FIRST, SECOND)]
    found = comparer.compare(CompareQuestion(*asked), NOW)
    adds_up(found)
    assert (found.is_degraded, found.warnings, found.held) == (False, (), ())
    assert "promotion ended" in found.words
    assert [each.run for each in found.runs] == [str(FIRST), str(SECOND)]
    assert {each.served_from for each in found.runs} == {"published"}
    told = {name: (before, after) for name, before, after in found.outputs.iter_rows()}
    assert told["forecast_units"] == tuple(
        str(each) for each in (found.figures["forecast_units"].before, found.figures["forecast_units"].after)
    )
    assert {"base_units", "forecast_reason"} <= told.keys()
    assert "prediction_date" in found.features["name"].to_list()
    assert {name for name, *_ in found.versions} >= {"known until"}
    assert set(found.inputs["kind"]) >= {"plan", "observation"}
    causes = found.figures["forecast_units"].causes
    assert dict(causes.iter_rows())[CODE] == 0


def changes(compared: ComparedRuns) -> tuple[SeriesChange, SeriesChange]:
    store, sku = compared.withdrawn
    return (
        SeriesChange(store, sku, on_hand_units=0.0, sales={SECOND.prediction_date: 3.0}),
        SeriesChange(
            store, sku, orders=(ExpectedOrder(compared.day, 40.0),), promotions={compared.day: True},
            price_ratios={compared.day: 0.6}, sales={SECOND.prediction_date: 30.0},
        ),
    )  # fmt: skip


def test_what_if_beside_what_is_published_is_shared_out_among_its_inputs(
    comparer: Comparer, compared: ComparedRuns, prepared: dict[RunKey, PreparedRun]
) -> None:
    first, second = changes(compared)
    for before, after in ((None, second), (first, second), (first, None)):
        question = CompareQuestion(*(PredictionAsked(row(compared, SECOND), each) for each in (before, after)))
        found = comparer.compare(question, NOW)
        adds_up(found)
        assert set(found.figures["forecast_units"].causes["cause"]) <= {OBSERVATIONS, PLANS, STOCK}
        assert "nodes and reconciliation" in found.held
        for side, change in enumerate((before, after)):
            assert found.runs[side].served_from == ("published" if change is None else "model")
            own = what_if(prepared[SECOND], [change or SeriesChange(*compared.withdrawn)])
            expected = own.forecasts.filter(target_date=compared.day)["forecast_units"].item()
            figure = found.figures["forecast_units"]
            assert (figure.after if side else figure.before) == expected
    assert dict(found.inputs.filter(kind="stock").select("input", "before").iter_rows()) == {"on_hand_units": 0.0}


def test_a_cause_alone_is_what_the_model_makes_of_it(comparer: Comparer, compared: ComparedRuns) -> None:
    store, sku = compared.withdrawn
    only = SeriesChange(store, sku, promotions={compared.day: True}, price_ratios={compared.day: 0.6})
    asked = CompareQuestion(PredictionAsked(row(compared, SECOND)), PredictionAsked(row(compared, SECOND), only))
    found = comparer.compare(asked, NOW)
    figure = found.figures["forecast_units"]
    assert dict(figure.causes.iter_rows()) == {PLANS: figure.after - figure.before}
    assert figure.after > figure.before
    assert {"promotion_units", "price_units"} & set(found.parts["driver"])


def test_predictions_in_real_time_of_two_runs_add_up_over_their_runs(
    comparer: Comparer, compared: ComparedRuns
) -> None:
    first, second = changes(compared)
    there = CompareQuestion(
        PredictionAsked(row(compared, FIRST), SeriesChange(*compared.withdrawn, on_hand_units=1.0)),
        PredictionAsked(row(compared, SECOND), second),
    )
    found, back = (comparer.compare(each, NOW) for each in (there, CompareQuestion(there.second, there.first)))
    adds_up(found)
    adds_up(back)
    for name, figure in found.figures.items():
        opposite = dict(back.figures[name].causes.iter_rows())
        assert {cause: -units for cause, units in figure.causes.iter_rows()} == opposite
    assert first.series == second.series


def test_the_same_prediction_twice_differs_in_nothing(comparer: Comparer, compared: ComparedRuns) -> None:
    one = PredictionAsked(row(compared, SECOND))
    found = comparer.compare(CompareQuestion(one, one), NOW)
    assert found.outputs.is_empty()
    assert found.parts.is_empty()
    assert found.versions == []
    assert found.figures["forecast_units"].before == found.figures["forecast_units"].after
    assert found.words.endswith("nothing moved")


@pytest.fixture
def waiting(compared: ComparedRuns) -> Iterator[Comparer]:
    go = Event()

    def never(*_: object) -> None:
        go.wait(60)
        raise NotReadyError("The test is over.", remedy="None.")

    made = Comparer(
        compared.runner.stores,
        PreparedRuns(compared.runner.stores, prepare=never),  # type: ignore[arg-type]
        pair=never,  # type: ignore[arg-type]
        deadline_seconds=0.1,
    )
    yield made
    go.set()


def test_until_causes_are_there_an_answer_says_so_and_has_what_is_published(
    waiting: Comparer, compared: ComparedRuns
) -> None:
    asked = [PredictionAsked(row(compared, run)) for run in (FIRST, SECOND)]
    found = waiting.compare(CompareQuestion(*asked), NOW)
    assert found.is_degraded
    assert "Ask again" in found.warnings[0]
    assert found.figures.keys() == FIGURES
    assert all(figure.causes.is_empty() for figure in found.figures.values())
    assert found.parts.is_empty()
    assert not found.outputs.is_empty()
    change = SeriesChange(*compared.withdrawn, on_hand_units=1.0)
    with pytest.raises(NotReadyError, match="still being prepared"):
        waiting.compare(CompareQuestion(asked[1], PredictionAsked(row(compared, SECOND), change)), NOW)


def test_what_is_no_pair_is_refused(comparer: Comparer, compared: ComparedRuns) -> None:
    one = PredictionAsked(row(compared, FIRST))
    store, sku = compared.withdrawn
    other_day = PredictionAsked(f"{SECOND}/{sku}/{store}/14")
    unknown = PredictionAsked(row(compared, FIRST).replace("/28/", "/27/"))
    with pytest.raises(InputError, match="their difference has no causes"):
        comparer.compare(CompareQuestion(one, other_day), NOW)
    with pytest.raises(NotPublishedError):
        comparer.compare(CompareQuestion(unknown, unknown), NOW)
    with pytest.raises(InputError, match="not a prediction id"):
        comparer.compare(CompareQuestion(one, PredictionAsked("nonsense")), NOW)
    strange = PredictionAsked(one.prediction_id, SeriesChange(store, "OTHER", on_hand_units=1.0))
    with pytest.raises(InputError, match="inputs are of OTHER"):
        comparer.compare(CompareQuestion(one, strange), NOW)
