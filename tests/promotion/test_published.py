"""What published runs tell: steadiness, familiar inputs, sums that hold; on runs that were made by hand."""

import polars as pl
import pytest

from forecast_assets.contracts import Contract
from forecast_assets.core.keys import RunKey
from forecast_assets.core.policy import DEFAULT_POLICY
from forecast_assets.promotion.published import (
    MOST_PAIRS,
    familiarity_verdict,
    newest_runs,
    run_soundness,
    stability_pairs,
    stability_verdict,
)
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores
from tests.support import products, store_cases
from tests.support.earlier_stores import publish_as_before
from tests.support.store_cases import ingest, publish, register, run_key


@pytest.fixture
def registered(stores: Stores) -> Stores:
    ingest(stores)
    register(stores)
    return stores


def runs(stores: Stores) -> list[Publication]:
    return newest_runs(stores, "stat-1", "daily")


def test_of_each_run_the_newest_revision_is_looked_at(registered: Stores) -> None:
    assert runs(registered) == []
    publish(registered, run_key(1))
    publish(registered, run_key())
    publish(registered, run_key(revision=1), units=9)
    assert [each.key for each in runs(registered)] == [run_key(revision=1), run_key(1)]


def test_only_dates_in_a_row_make_a_pair_and_the_newest_pairs_count(registered: Stores) -> None:
    for day in (0, 2, 3):
        publish(registered, run_key(day))
    assert [(a.key, b.key) for a, b in stability_pairs(runs(registered))] == [(run_key(2), run_key(3))]
    for day in range(4, 5 + MOST_PAIRS):
        publish(registered, run_key(day))
    assert len(stability_pairs(runs(registered))) == MOST_PAIRS


def test_steadiness_is_the_change_of_the_same_days_over_the_later_forecast(registered: Stores) -> None:
    publish(registered, run_key(), units=4)
    assert stability_verdict(registered, [], DEFAULT_POLICY).verdict == "not_measured"
    publish(registered, run_key(1), units=5)
    publish(registered, run_key(2), units=5)
    verdict = stability_verdict(registered, stability_pairs(runs(registered)), DEFAULT_POLICY)
    # Two SKUs on the six days that two runs share: 1 of 5 units changed in the first pair, none in the second.
    assert verdict.figure == pytest.approx((2 * 6 * 1) / (2 * 6 * 5 + 2 * 6 * 5))
    assert verdict.verdict == "met"
    publish(registered, run_key(3), units=50)
    assert stability_verdict(registered, stability_pairs(runs(registered)), DEFAULT_POLICY).verdict == "failed"


def with_scores(monkeypatch: pytest.MonkeyPatch, *scores: float | None) -> None:
    """Let runs have these scores, one after the other; the last for all rows that are left."""
    made = store_cases.product_frame

    def scored(product: str, key: RunKey, units: int = 4) -> pl.DataFrame:
        frame = made(product, key, units)
        if product != "forecasts":
            return frame
        all_of = [*scores, *[scores[-1]] * frame.height][: frame.height]
        return frame.with_columns(out_of_distribution_score=pl.Series(all_of, dtype=pl.Float64))

    monkeypatch.setattr(store_cases, "product_frame", scored)


def test_inputs_are_familiar_where_few_rows_are_unlike_those_of_training(
    registered: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert familiarity_verdict(registered, None, DEFAULT_POLICY).verdict == "not_measured"
    with_scores(monkeypatch, 0.999, 0.2)
    run = publish(registered, run_key())
    rows = registered.predictions.version(run.products["forecasts"]).rows
    verdict = familiarity_verdict(registered, run, DEFAULT_POLICY)
    assert verdict.figure == pytest.approx(1 / rows)
    assert verdict.verdict == "failed", "one row in fourteen is more than one in twenty"
    lenient = DEFAULT_POLICY.with_changes({"gates.largest_out_of_distribution_share": 0.1})
    assert familiarity_verdict(registered, run, lenient).verdict == "met"


def coherent(monkeypatch: pytest.MonkeyPatch, lowest_sales: int | None = None) -> None:
    """Let runs add up; with ``lowest_sales`` but for one row, which expects to sell that."""
    made = store_cases.product_frame

    def frame(product: str, key: RunKey, units: int = 4) -> pl.DataFrame:
        found, summed = made(product, key, units), products.make(product)
        if "forecast_units" in found.columns:
            found = found.with_columns(summed["forecast_units"])
        if product != "forecasts" or lowest_sales is None:
            return found
        one, sales = (pl.col("step") == 1) & (pl.col("sku_id") == "A"), found.schema["expected_sales_units"]
        changed = pl.when(one).then(lowest_sales).otherwise("expected_sales_units").cast(sales)
        return found.with_columns(changed.alias("expected_sales_units"))

    monkeypatch.setattr(store_cases, "product_frame", frame)


def test_a_run_of_an_earlier_release_says_nothing_of_its_inputs_and_still_adds_up(
    registered: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    coherent(monkeypatch)
    run = publish_as_before(registered, run_key())
    assert familiarity_verdict(registered, run, DEFAULT_POLICY).verdict == "not_measured"
    assert {each.gate: each.verdict for each in run_soundness(registered, run)} == {
        "forecasts_are_coherent": "met", "forecasts_are_not_negative": "met",
    }  # fmt: skip


def test_rows_that_do_not_add_up_or_are_below_zero_are_counted(
    registered: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {each.verdict for each in run_soundness(registered, None)} == {"not_measured"}
    with monkeypatch.context() as patch:
        coherent(patch)
        assert [each.figure for each in run_soundness(registered, publish(registered, run_key()))] == [0.0, 0.0]
    coherent(monkeypatch, lowest_sales=-1)
    monkeypatch.setattr(Contract, "validate", lambda _contract, frame: frame)
    found = {each.gate: each for each in run_soundness(registered, publish(registered, run_key(1)))}
    assert found["forecasts_are_not_negative"].figure == 1.0
    # The SKU, the store and the total of that day.
    assert found["forecasts_are_coherent"].figure == 3.0
    assert {each.verdict for each in found.values()} == {"failed"}
