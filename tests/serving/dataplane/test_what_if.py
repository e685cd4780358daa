"""What-if answers: what was published where nothing changes, and what follows from what does."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bench.distance import distance_to_whole_run
from forecast_assets.contracts import BASE_FORECASTS, FORECAST_EXPLANATIONS, FORECASTS, STOCKOUT_RISKS
from forecast_assets.core.errors import InputError, ReplayDifferenceError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import from_units
from forecast_assets.features.changes import ExpectedOrder, SeriesChange
from forecast_assets.launch import Runner
from forecast_assets.operations.attributing import RunPair
from forecast_assets.operations.attribution import CODE, MODEL, RECONCILIATION
from forecast_assets.operations.external_forecasts import (
    ExternalForecastsRequest,
    plan_external_forecasts,
    publish_external_forecasts,
)
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.serving.dataplane.feature_entries import (
    entries_of,
    prepared_from,
    read_run_entry,
    run_entry,
    series_batch,
)
from forecast_assets.serving.dataplane.prepared import PreparedRun, prepare_run
from forecast_assets.serving.dataplane.run_basis import RunBasis
from forecast_assets.serving.dataplane.what_if import WhatIf, what_if, what_if_apart, what_ifs
from tests.support.retailers import KEY, RETAILER, copied

pytestmark = pytest.mark.usefixtures("brief_runs")

Published = tuple[Runner, RunOutcome]
COMBINED = replace(KEY, model_version="combined-1", forecast_horizon=14)
EXTERNAL = replace(KEY, model_version="planners-1")
FIRST, LAST = RETAILER.end + timedelta(days=1), RETAILER.end + timedelta(days=28)


@pytest.fixture(scope="module")
def runner(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A home with runs of a statistical, a combined and an external version."""
    folder = tmp_path_factory.mktemp("what_if")
    made = copied(published[0], folder / "home")
    made.train(family="combined", version=COMBINED.model_version, cutoff=RETAILER.end, horizon=14)
    made.score(COMBINED)
    file = folder / "planners.csv"
    read_product(made.stores, published[1].publication, "forecasts").write_csv(file)
    request = ExternalForecastsRequest(Path(file), EXTERNAL.model_version)
    list(publish_external_forecasts(made, plan_external_forecasts(made, request)))
    return made


@pytest.fixture(scope="module")
def statistical(runner: Runner) -> PreparedRun:
    return prepare_run(runner.stores, KEY, workers=1)


@pytest.fixture(scope="module", params=[KEY, COMBINED, EXTERNAL], ids=["statistical", "combined", "external"])
def prepared(request: pytest.FixtureRequest, runner: Runner) -> PreparedRun:
    return prepare_run(runner.stores, request.param, workers=1)


def names_of(prepared: PreparedRun, rows: np.ndarray) -> list[tuple[str, str]]:
    return [prepared.panel.series.row(int(row)) for row in rows]


def unlike_new(prepared: PreparedRun, runner: Runner) -> list[tuple[str, str]]:
    """Series with a level of their own, which expect to sell."""
    frame = read_product(runner.stores, runner.stores.predictions.publication(prepared.key.run), "forecasts")
    usual = frame.filter(~pl.col("demand_class").is_in(["new", "dead", "ended"]) & (pl.col("step") == 1))
    return usual.filter(pl.col("base_units") > 0).select("store_id", "sku_id").rows()


def test_without_a_change_every_published_column_is_as_published(prepared: PreparedRun, runner: Runner) -> None:
    random, count = np.random.default_rng(3), prepared.panel.series.height
    publication = runner.stores.predictions.publication(prepared.key.run)
    published = {
        name: read_product(runner.stores, publication, name)
        for name in (FORECASTS.name, STOCKOUT_RISKS.name, FORECAST_EXPLANATIONS.name)
    }
    for size in (1, 1, 2, 5, count):
        asked = names_of(prepared, random.choice(count, size, replace=False))
        answer = what_if(prepared, [SeriesChange(*series) for series in asked])
        of = pl.DataFrame(asked, schema=["store_id", "sku_id"], orient="row")
        given = {
            FORECASTS.name: answer.forecasts,
            STOCKOUT_RISKS.name: answer.risks,
            FORECAST_EXPLANATIONS.name: answer.explanations,
        }
        for name, frame in given.items():
            rows = published[name].join(of, on=["store_id", "sku_id"], how="semi")
            rows = rows.sort("store_id", "sku_id", "step")
            assert_frame_equal(frame.select(rows.columns), rows, check_exact=True)
        snapshot = prepared.features.join(of, on=["store_id", "sku_id"], how="semi")
        assert_frame_equal(answer.features, snapshot, check_exact=True)


def test_questions_that_are_answered_at_once_are_answered_as_each_by_itself(prepared: PreparedRun) -> None:
    random, run = np.random.default_rng(4), prepared.key.run
    rows = random.permutation(np.flatnonzero(prepared.supply.has_position))[:12]
    changes = []
    for at, series in enumerate(names_of(prepared, rows)):
        stock = {"on_hand_units": float(at), "orders": (ExpectedOrder(FIRST + timedelta(days=at % 3), 5.0),)}
        plans = {"price_ratios": {FIRST: 0.7}, "promotions": {FIRST + timedelta(days=at % 4): True}}
        changes.append(SeriesChange(*series, **(stock if at % 2 or run == EXTERNAL else plans)))  # type: ignore[arg-type]
    changes[0] = SeriesChange(*changes[0].series)
    if run != EXTERNAL:
        changes[2] = replace(changes[2], sales={RETAILER.end: 3.0})
        changes[4] = replace(changes[4], events={FIRST: (prepared.panel.event_names[0],)})
    for change, answer in zip(changes, what_ifs(prepared, changes), strict=True):
        alone = what_if(prepared, [change])
        for name in ("features", "base", "forecasts", "risks", "explanations"):
            assert_frame_equal(getattr(answer, name), getattr(alone, name), check_exact=True)
        assert (answer.held, answer.of) == (alone.held, alone.of)
        assert_frame_equal(answer.panel.series, alone.panel.series)
        for given, expected in (
            (answer.panel.sales, alone.panel.sales),
            (answer.supply.on_hand, alone.supply.on_hand),
            (answer.supply.order_units, alone.supply.order_units),
            (answer.published, alone.published),
            (answer.published_base, alone.published_base),
        ):
            np.testing.assert_array_equal(given, expected)


def test_changed_plans_move_what_a_whole_run_moves(prepared: PreparedRun, runner: Runner) -> None:
    if prepared.key.run == EXTERNAL:
        pytest.skip("its forecasts follow from no input")
    random, names = np.random.default_rng(6), unlike_new(prepared, runner)
    days = [FIRST + timedelta(days=day) for day in (0, 3, 4)]

    def question(size: int) -> list[SeriesChange]:
        chosen = [names[at] for at in random.choice(len(names), size, replace=False)]
        ratios = dict.fromkeys(days, float(random.uniform(0.6, 0.9)))
        return [SeriesChange(*series, price_ratios=ratios, promotions=dict.fromkeys(days, True)) for series in chosen]

    found = distance_to_whole_run(runner.stores, prepared, [question(1), question(1), question(4)], workers=1)
    assert found.base_differing == 0
    assert found.base_compared == 6 * prepared.key.run.forecast_horizon
    # Two stores of eighteen articles: what one series moves its nodes by, which are held, is large.
    assert found.median < 0.05
    assert found.p95 < 0.15


def random_change(prepared: PreparedRun, row: int, random: np.random.Generator) -> SeriesChange:
    day = FIRST + timedelta(days=int(random.integers(0, 7)))
    kinds: list[dict[str, Any]] = [{}]
    if prepared.supply.has_position[row]:
        kinds += [{"on_hand_units": 2.0}, {"orders": (ExpectedOrder(day, 5.0),)}]
    if prepared.key.run != EXTERNAL:
        events = {day: (prepared.panel.event_names[0],)}
        kinds += [{"price_ratios": {day: 0.7}, "promotions": {day: True}}, {"events": events}]
        kinds += [{"sales": {RETAILER.end: float(random.integers(0, 9))}}]
    return SeriesChange(*prepared.panel.series.row(row), **kinds[random.integers(len(kinds))])


def test_a_part_of_a_run_answers_as_the_whole_also_when_it_was_bytes_meanwhile(
    prepared: PreparedRun, runner: Runner
) -> None:
    random, count = np.random.default_rng(9), prepared.panel.series.height
    basis, part = RunBasis.of(runner.stores, prepared.key.run), read_run_entry(run_entry(prepared, math.inf))
    entries, names = entries_of(series_batch(prepared, np.arange(count))), prepared.panel.series.rows()
    for size in (1, 2, 6, count):
        rows = np.sort(random.choice(count, size, replace=False))
        asked = [random_change(prepared, int(row), random) for row in rows[: random.integers(1, 7)]]
        read = prepared_from(basis, part, [names[row] for row in rows], [entries[row] for row in rows])
        whole = what_if(prepared, asked)
        for few in (prepared.narrowed(rows), read):
            found = what_if(few, asked)
            for name in ("features", "base", "forecasts", "risks", "explanations"):
                assert_frame_equal(getattr(found, name), getattr(whole, name), check_exact=True)
            assert (found.of, found.held) == (whole.of, whole.held)
            assert (found.published == whole.published).all()
            assert found.panel.sales.tobytes() == whole.panel.sales.tobytes()
        with pytest.raises(InputError, match="no series Nowhere"):
            what_if(read, [SeriesChange("Nowhere", "Nothing")])


@pytest.mark.parametrize("other", [COMBINED, EXTERNAL], ids=["combined", "external"])
def test_versions_of_any_families_are_compared_by_cause(runner: Runner, other: RunKey) -> None:
    pair = RunPair.of(runner.stores, KEY, other, workers=1)
    found, rows = pair.attribution, pair.attribution.rows()
    assert MODEL in found.causes
    assert set(found.causes) <= {MODEL, RECONCILIATION, CODE}
    assert (sum(from_units(rows[f"{cause}_units"]) for cause in found.causes) == from_units(rows["change_units"])).all()
    assert not found.units[-1].any()
    assert rows.height == found.common.series.height * other.forecast_horizon
    store, sku = unlike_new(prepare_run(runner.stores, KEY, workers=1), runner)[0]
    for figure in pair.figures(store_id=store, sku_id=sku, day=FIRST).values():
        assert figure.causes["change_units"].sum() == figure.after - figure.before
        assert dict(figure.causes.iter_rows())[CODE] == 0


def test_questions_at_once_are_answered_like_one_at_a_time(prepared: PreparedRun, runner: Runner) -> None:
    names = unlike_new(prepared, runner)
    plans = {} if prepared.key.run == EXTERNAL else {"price_ratios": {FIRST: 0.7}, "promotions": {FIRST: True}}
    asked = [
        SeriesChange(*names[0], **plans),
        SeriesChange(*names[0], on_hand_units=0.0),
        SeriesChange(*names[1], **plans),
        SeriesChange(*names[0]),
        SeriesChange(*names[0], on_hand_units=3.0, **plans),
    ]
    horizon, found = prepared.key.run.forecast_horizon, what_if_apart(prepared, asked)
    for at, change in enumerate(asked):
        alone = what_if(prepared, [change])
        rows = slice(at * horizon, (at + 1) * horizon)
        assert_frame_equal(found.base[rows], alone.base, check_exact=True)
        assert_frame_equal(found.risks[rows], alone.risks, check_exact=True)
        assert found.reconciled[rows]["reconciled_units"].equals(alone.forecasts["reconciled_units"])


def test_drivers_and_words_tell_a_changed_price_and_event(statistical: PreparedRun, runner: Runner) -> None:
    series = unlike_new(statistical, runner)[0]
    (event, *_) = statistical.panel.event_names
    plain = what_if(statistical, [SeriesChange(*series)])
    # Further ahead than what an event does to the days before it reaches back.
    festive = FIRST + timedelta(days=4)
    cheap = what_if(statistical, [SeriesChange(*series, price_ratios={FIRST: 0.6}, events={festive: (event,)})])
    before, after = (answer.explanations.row(0, named=True) for answer in (plain, cheap))
    assert after["price_units"] > before["price_units"]
    assert after["forecast_units"] > before["forecast_units"]
    drivers = [name for name in FORECAST_EXPLANATIONS.names if name.endswith("_units")]
    parts = [after[name] for name in drivers if name not in ("forecast_units", "stock_units", "expected_sales_units")]
    assert sum(parts) == after["forecast_units"]
    assert after["forecast_units"] + after["stock_units"] == after["expected_sales_units"]
    assert "price" in after["forecast_reason"]
    told = cheap.explanations.filter(target_date=festive).row(0, named=True)
    unmoved = plain.explanations.filter(target_date=festive).row(0, named=True)
    assert event in told["forecast_reason"]
    assert (told["event_units"], told["payday_units"]) != (unmoved["event_units"], unmoved["payday_units"])
    rest = pl.col("step") > 9
    assert_frame_equal(cheap.base.filter(rest).select("base_units"), plain.base.filter(rest).select("base_units"))
    assert cheap.base.columns == [*BASE_FORECASTS.names]


def test_stock_and_orders_move_the_risk_alone(prepared: PreparedRun) -> None:
    rows = np.flatnonzero(prepared.supply.has_position & (prepared.base.sum(axis=1) > 0))
    (series,) = names_of(prepared, rows[:1])
    full = what_if(prepared, [SeriesChange(*series, on_hand_units=1e6)])
    assert full.risks["stockout_probability"].max() == 0
    assert full.forecasts["forecast_units"].to_list() == full.forecasts["expected_sales_units"].to_list()
    assert full.features["on_hand_units"].to_list() == [1e6]
    arrives = FIRST + timedelta(days=2)
    some = SeriesChange(*series, on_hand_units=0.001, orders=(ExpectedOrder(arrives, 1e6),))
    risk = what_if(prepared, [some]).risks.select("target_date", "stockout_probability")
    assert risk.filter(pl.col("target_date") < arrives)["stockout_probability"].min() > 0
    assert risk.filter(pl.col("target_date") >= arrives)["stockout_probability"].max() == 0


def test_a_later_sale_moves_level_and_features(statistical: PreparedRun, runner: Runner) -> None:
    series = unlike_new(statistical, runner)[1]
    row = statistical.places[series]
    sold = float(np.nanmax(statistical.panel.sales[row])) + 1.0
    answer = what_if(statistical, [SeriesChange(*series, sales={RETAILER.end: sold})])
    assert answer.features["sales_max_91d_units"].item() == sold
    assert answer.features["days_since_sale_days"].item() == 0
    before = statistical.features[row]
    assert answer.features["age_days"].item() == before["age_days"].item()
    assert answer.features["on_hand_units"].item() == before["on_hand_units"].item()
    assert (answer.base["base_units"].to_numpy() != statistical.base[row]).any()


def test_changes_hold_together_and_answers_do_not_depend_on_their_order(
    statistical: PreparedRun, runner: Runner
) -> None:
    names = unlike_new(statistical, runner)[:3]
    changes = [SeriesChange(*series, price_ratios={FIRST: 0.7}) for series in names]
    answer = what_if(statistical, changes)
    again = what_if(statistical, changes[::-1])
    assert_frame_equal(answer.forecasts, again.forecasts)
    assert answer.forecasts.select("store_id", "sku_id").unique(maintain_order=True).rows() == sorted(names)


def test_threads_share_a_prepared_run(statistical: PreparedRun) -> None:
    asked = [SeriesChange(*series) for series in names_of(statistical, np.arange(6))]

    def units(change: SeriesChange) -> list[Decimal]:
        return what_if(statistical, [change]).forecasts["forecast_units"].to_list()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(units, asked * 2)) == [units(change) for change in asked] * 2


def test_an_answer_names_the_run_and_what_is_held(statistical: PreparedRun, runner: Runner) -> None:
    answer: WhatIf = what_if(statistical, [SeriesChange(*statistical.panel.series.row(0))])
    publication = runner.stores.predictions.publication(KEY)
    assert answer.of.run == KEY
    assert answer.of.publication == publication.sequence
    assert answer.of.artifact == runner.stores.registry.model_version("stat-1").artifact
    assert {"levels of parents", "shifts of level", "closed days of stores", "calibration"} <= set(answer.held)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"price_ratios": {RETAILER.end: 0.5}}, "is of no day ahead"),
        ({"promotions": {LAST + timedelta(days=1): True}}, "is of no day ahead"),
        ({"price_ratios": {FIRST: float("nan")}}, "nan is no price ratio"),
        ({"events": {FIRST: ("Landing on Mars",)}}, "knows no event `Landing on Mars`"),
        ({"sales": {FIRST: 1.0}}, "are of no day that the run reads"),
        ({"sales": {RETAILER.end: -1.0}}, "-1.0 units are none"),
        ({"on_hand_units": float("inf")}, "inf units are none"),
        ({"orders": (ExpectedOrder(RETAILER.end, 1.0),)}, "is of no day ahead"),
    ],
)
def test_what_no_feed_could_have_said_is_refused(statistical: PreparedRun, change: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        what_if(statistical, [SeriesChange(*statistical.panel.series.row(0), **change)])
    assert refused.value.facts["mistakes"]
    assert str(FIRST) in str(refused.value.remedy)


def test_unknown_series_none_and_one_twice_are_refused(statistical: PreparedRun) -> None:
    with pytest.raises(InputError, match="no series Nowhere/Nothing"):
        what_if(statistical, [SeriesChange("Nowhere", "Nothing")])
    with pytest.raises(InputError, match="No series is asked for"):
        what_if(statistical, [])
    one = SeriesChange(*statistical.panel.series.row(0))
    with pytest.raises(InputError, match="is there twice"):
        what_if(statistical, [one, one])


def test_forecasts_from_outside_follow_from_no_plan(runner: Runner) -> None:
    external = prepare_run(runner.stores, EXTERNAL, workers=1)
    with pytest.raises(InputError, match="were given from outside"):
        what_if(external, [SeriesChange(*external.panel.series.row(0), price_ratios={FIRST: 0.5})])


def test_stock_of_a_series_without_a_position_is_refused(statistical: PreparedRun) -> None:
    nowhere = np.full(len(statistical.supply.on_hand), np.nan)
    without = replace(statistical, supply=statistical.supply.with_stock(nowhere))
    with pytest.raises(InputError, match="knows no position"):
        what_if(without, [SeriesChange(*statistical.panel.series.row(0), on_hand_units=3.0)])


def test_a_run_that_does_not_come_out_as_published_answers_nothing(statistical: PreparedRun) -> None:
    other = replace(statistical, base=statistical.base + 1)
    with pytest.raises(ReplayDifferenceError, match=r"28 of 28 base forecasts of .* are not what was published"):
        what_if(other, [SeriesChange(*statistical.panel.series.row(0))])
