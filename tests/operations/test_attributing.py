"""Why numbers of two runs differ: every row's causes add up, and what was planted is found where it belongs."""

import pickle
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal

from forecast_assets.cli import cli
from forecast_assets.core.errors import InputError, NotPublishedError, UnknownVersionError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import from_units
from forecast_assets.operations import mixed_forecasts
from forecast_assets.operations.attributing import RunPair, attribute_runs
from forecast_assets.operations.attribution import (
    CODE,
    MODEL,
    OBSERVATIONS,
    OBSERVATIONS_AND_MODEL,
    PLANS,
    RECONCILIATION,
    STOCK,
    Attribution,
)
from forecast_assets.operations.change_wording import change_words
from forecast_assets.operations.compared_run import DRIVERS
from forecast_assets.operations.prepared_pair import PreparedPair
from forecast_assets.operations.reading import read_product
from forecast_assets.serving.dataplane.row_blocks import RowBlocks
from tests.support.compared_runs import (
    CORRECTED,
    FIRST,
    RESTATED_DAY,
    RESTATED_UNITS,
    SECOND,
    ComparedRuns,
)
from tests.support.retailers import KEY

PAIRS = {
    "two dates and horizons": (FIRST, SECOND),
    "two versions": (SECOND, KEY),
    "a correction": (KEY, CORRECTED),
    "further apart, the later first": (CORRECTED, FIRST),
}


@pytest.fixture(scope="module")
def pairs(compared: ComparedRuns) -> dict[str, RunPair]:
    return {name: RunPair.of(compared.runner.stores, *keys, workers=1) for name, keys in PAIRS.items()}


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest, pairs: dict[str, RunPair]) -> RunPair:
    return pairs[request.param]


def published(compared: ComparedRuns, key: RunKey) -> pl.DataFrame:
    return read_product(
        compared.runner.stores, compared.runner.stores.predictions.publication(key), "forecast_explanations"
    )


def differing(found: Attribution, kind: str) -> set[tuple[str, str]]:
    return set(found.inputs.filter(kind=kind).select("store_id", "sku_id").unique().iter_rows())


@pytest.mark.parametrize("name", PAIRS)
def test_a_series_of_a_prepared_pair_is_shared_out_as_among_all(
    name: str, pairs: dict[str, RunPair], compared: ComparedRuns
) -> None:
    pair, stores = pairs[name], compared.runner.stores
    # As another process hands it over.
    prepared: PreparedPair = pickle.loads(pickle.dumps(PreparedPair.of(stores, *PAIRS[name], workers=1)))  # noqa: S301
    whole, blocks = pair.attribution, RowBlocks(stores)
    for place in range(0, whole.common.series.height, 5):
        store, sku = whole.common.series.row(place)
        few = prepared.of_series(stores, blocks.rows, store, sku)
        assert few.attribution.causes == whole.causes
        assert np.array_equal(few.attribution.units[:, 0], whole.units[:, place])
        assert few.attribution.code_causes == whole.code_causes
        day = whole.common.days[place % len(whole.common.days)]
        assert_frame_equal(few.attribution.of(day=day).inputs, whole.of(store_id=store, sku_id=sku, day=day).inputs)
        figures = [each.figures(store_id=store, sku_id=sku, day=day) for each in (few, pair)]
        assert [*figures[0]] == [*figures[1]]
        for one, other in zip(figures[0].values(), figures[1].values(), strict=True):
            assert (one.before, one.after) == (other.before, other.after)
            assert dict(one.causes.iter_rows()) | {STOCK: 0} == dict(other.causes.iter_rows()) | {STOCK: 0}


def test_a_prepared_pair_knows_its_common_series_alone(compared: ComparedRuns) -> None:
    stores = compared.runner.stores
    prepared = PreparedPair.of(stores, *PAIRS["a correction"], workers=1)
    with pytest.raises(InputError, match="have no common row of S-99, NONE"):
        prepared.of_series(stores, RowBlocks(stores).rows, "S-99", "NONE")


def test_the_causes_of_every_row_add_up_to_what_is_published_of_it(pair: RunPair, compared: ComparedRuns) -> None:
    found = pair.attribution
    key = ["store_id", "sku_id", "target_date"]
    sides = [published(compared, run.key).select(*key, "forecast_units") for run in (found.before, found.after)]
    both = sides[0].join(sides[1], on=key, suffix="_after").sort(key)
    rows = found.rows()
    assert rows.select(key).equals(both.select(key))
    assert rows["before_units"].equals(both["forecast_units"].alias("before_units"))
    assert rows["after_units"].equals(both["forecast_units_after"].alias("after_units"))
    causes = sum(from_units(rows[f"{cause}_units"]) for cause in found.causes)
    assert (causes == from_units(rows["change_units"])).all()
    assert (from_units(rows["change_units"]) != 0).any()
    assert not found.units[-1].any(), "the same code makes both runs to the last decimal"


def test_the_causes_of_every_driver_add_up_to_how_it_is_published(pair: RunPair, compared: ComparedRuns) -> None:
    found = pair.attribution
    key = ["store_id", "sku_id", "target_date"]
    sides = [published(compared, run.key).select(*key, *DRIVERS) for run in (found.before, found.after)]
    both = sides[0].join(sides[1], on=key, suffix="_after").sort(key)
    for at, driver in enumerate(DRIVERS):
        change = from_units(both[f"{driver}_after"]) - from_units(both[driver])
        assert (found.units[..., at].sum(axis=0).ravel() == change).all(), driver


def test_series_and_totals_are_sums_of_rows(pair: RunPair) -> None:
    found = pair.attribution
    rows, series, whole = found.rows(), found.by_series(), found.of()
    for cause in found.causes:
        name = f"{cause}_units"
        assert rows[name].sum() == series[name].sum() == dict(whole.causes.iter_rows())[cause]
        assert whole.parts.filter(cause=cause)["change_units"].sum() == rows[name].sum()
    assert whole.after_units - whole.before_units == rows["change_units"].sum()


def test_the_way_back_has_the_opposite_causes(pairs: dict[str, RunPair], compared: ComparedRuns) -> None:
    back = attribute_runs(compared.runner.stores, SECOND, FIRST, workers=1)
    there = pairs["two dates and horizons"].attribution
    assert back.causes == there.causes
    assert (back.units == -there.units).all()


def test_only_what_differs_is_a_cause(pairs: dict[str, RunPair]) -> None:
    causes = {name: pair.attribution.causes for name, pair in pairs.items()}
    assert causes["two dates and horizons"] == (OBSERVATIONS, PLANS, RECONCILIATION, CODE)
    assert {OBSERVATIONS, MODEL} < set(causes["two versions"])
    # What was said of the plan in time is read by the correction, which was made after it came.
    assert causes["a correction"] == (OBSERVATIONS, PLANS, RECONCILIATION, CODE)


def test_a_promotion_that_was_withdrawn_is_found_among_plans_and_nowhere_else(
    pairs: dict[str, RunPair], compared: ComparedRuns
) -> None:
    found = pairs["two dates and horizons"].attribution
    store, sku = compared.withdrawn
    change = found.of(store_id=store, sku_id=sku, day=compared.day)
    plans = change.parts.filter(cause=PLANS)
    assert plans["change_units"].sum() < 0
    assert set(plans.head(2)["driver"]) <= {"promotion_units", "price_units"}
    told = {row["input"]: (row["before"], row["after"]) for row in change.inputs.filter(kind="plan").to_dicts()}
    assert told["promotion"] == (1.0, 0.0)
    assert "promotion ended" in change_words(found.before.key, found.after.key, change)
    planned = differing(found, "plan")
    assert compared.withdrawn in planned
    others = found.rows().filter(~pl.struct("store_id", "sku_id").map_elements(
        lambda one: (one["store_id"], one["sku_id"]) in planned, return_dtype=pl.Boolean))  # fmt: skip
    assert others.height > 0
    assert not from_units(others["plans_units"]).any()


def test_a_restated_sale_is_found_among_observations(pairs: dict[str, RunPair], compared: ComparedRuns) -> None:
    found = pairs["a correction"].attribution
    store, sku = compared.restated
    change = found.of(store_id=store, sku_id=sku)
    assert dict(change.causes.iter_rows())[OBSERVATIONS] > 0
    (row,) = change.inputs.filter(input="sales").to_dicts()
    assert (row["event_date"], row["after"]) == (RESTATED_DAY, RESTATED_UNITS)
    assert "restated sales" in change_words(found.before.key, found.after.key, change)
    moved = found.by_series().sort(pl.col("observations_units").abs(), descending=True).row(0, named=True)
    assert (moved["store_id"], moved["sku_id"]) == compared.restated


def test_new_and_restated_sales_are_told_apart(pairs: dict[str, RunPair], compared: ComparedRuns) -> None:
    found = pairs["two dates and horizons"].attribution
    other = next(one for one in found.common.series.iter_rows() if one != compared.restated)
    for (store, sku), words in ((compared.restated, "new and restated sales"), (other, "new sales")):
        change = found.of(store_id=store, sku_id=sku)
        causes = dict(change.causes.iter_rows())
        if abs(causes[OBSERVATIONS]) >= Decimal("0.1"):
            assert words in change_words(found.before.key, found.after.key, change)


def test_rows_that_one_run_lacks_are_counted(pairs: dict[str, RunPair]) -> None:
    found = pairs["two dates and horizons"].attribution
    series, days = found.common.series.height, len(found.common.days)
    assert days == SECOND.forecast_horizon
    assert found.common.only == (series * (FIRST.forecast_horizon - days), 0)


def test_a_run_beside_itself_has_no_causes(compared: ComparedRuns) -> None:
    found = attribute_runs(compared.runner.stores, KEY, KEY, workers=1)
    assert found.causes == (CODE,)
    assert not found.units.any()
    assert found.inputs.is_empty()
    assert change_words(KEY, KEY, found.of()).endswith("nothing moved")


def test_expected_sales_and_risk_have_causes_that_add_up_too(pair: RunPair, compared: ComparedRuns) -> None:
    found, (store, sku) = pair.attribution, compared.withdrawn
    for day in found.common.days[::5]:
        figures = pair.figures(store_id=store, sku_id=sku, day=day)
        for name, product in (
            ("expected_sales_units", "forecast_explanations"), ("stockout_probability", "stockout_risks"),
        ):  # fmt: skip
            figure = figures[name]
            rows = []
            for run in (found.before, found.after):
                frame = read_product(compared.runner.stores, run, product)
                rows.append(frame.filter(store_id=store, sku_id=sku, target_date=day)[name].item())
            assert [figure.before, figure.after] == rows
            assert figure.causes["change_units"].sum() == figure.after - figure.before
            assert dict(figure.causes.iter_rows())[CODE] == 0
    if found.before.key.prediction_date != found.after.key.prediction_date:
        assert STOCK in figure.causes["cause"]


def test_what_a_change_of_code_did_is_the_rest(compared: ComparedRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    made = mixed_forecasts.base_frame

    def other_code(key: RunKey, *arguments: object) -> pl.DataFrame:
        frame = made(key, *arguments)
        more = (pl.col("level_units") + 2).cast(frame.schema["level_units"])
        return frame.with_columns(more) if key.prediction_date == SECOND.prediction_date else frame

    monkeypatch.setattr(mixed_forecasts, "base_frame", other_code)
    found = attribute_runs(compared.runner.stores, FIRST, SECOND, workers=1)
    level = DRIVERS.index("level_units")
    assert (found.units[-1][..., level] == -2_000_000).all()
    assert (found.units.sum(axis=(0, 3)) == (found.published[1] - found.published[0]).sum(axis=2)).all()
    assert "-" in change_words(FIRST, SECOND, found.of())
    assert "a change of code" in change_words(FIRST, SECOND, found.of())


def test_a_version_is_never_asked_further_ahead_than_it_was_trained_for(
    compared: ComparedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixed_forecasts.MixedForecasts, "model_reaches_other_observations", False)
    found = attribute_runs(compared.runner.stores, SECOND, KEY, workers=1)
    assert OBSERVATIONS_AND_MODEL in found.causes
    assert not {OBSERVATIONS, MODEL} & set(found.causes)
    assert not found.units[-1].any()
    assert "and model version" in change_words(SECOND, KEY, found.of())


def test_what_cannot_be_compared_is_refused(compared: ComparedRuns, pairs: dict[str, RunPair]) -> None:
    stores = compared.runner.stores
    with pytest.raises(UnknownVersionError):
        attribute_runs(stores, KEY, replace(KEY, model_version="stat-9"))
    with pytest.raises(NotPublishedError):
        attribute_runs(stores, KEY, replace(KEY, forecast_horizon=7))
    found = pairs["a correction"].attribution
    with pytest.raises(InputError, match="no common row of NOWHERE"):
        found.of(store_id="NOWHERE")
    with pytest.raises(InputError, match="no common row"):
        found.of(day=KEY.prediction_date)
    with pytest.raises(InputError, match="no common row"):
        pairs["a correction"].figures(store_id="NOWHERE", sku_id="NOTHING")


def test_the_command_says_why_and_writes_all_rows(
    compared: ComparedRuns,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(compared.runner.settings.home))
    out = tmp_path / "why.parquet"
    store, sku = compared.withdrawn
    done = CliRunner().invoke(
        cli, ["compare", "--why", str(FIRST), str(SECOND), "--out", str(out)], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert "rows only the first has" in done.output
    assert "promotion ended" in done.output
    rows = pl.read_parquet(out)
    assert rows.height == int(np.prod((36, 14)))
    step = (compared.day - FIRST.prediction_date).days
    ids = [f"{run}/{sku}/{store}/{at}" for run, at in ((FIRST, step), (SECOND, step - 1))]
    done = CliRunner().invoke(cli, ["compare", *ids], catch_exceptions=False)
    assert done.exit_code == 0
    assert "promotion ended" in done.output
    assert str(compared.day) in done.output
    for wrong, words in (
        ([ids[0], f"{SECOND}/{sku}/{store}/{step}"], "their difference has no causes"),
        ([ids[0], str(SECOND)], "two predictions"),
        ([str(FIRST), str(SECOND)], "forecast from different days"),
        ([str(KEY), str(CORRECTED), "--store", store], "--why"),
    ):
        done = CliRunner().invoke(cli, ["compare", *wrong])
        assert done.exit_code != 0
        assert words in done.output + str(done.exception)
