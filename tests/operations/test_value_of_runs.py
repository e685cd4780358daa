"""Overrides of a published run meet the sales that came, end to end, on the small finished run, against plain loops."""

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pytest

from forecast_assets.accuracy.inputs import PRODUCT, VALUE_PRODUCT, DayInputs, due_days
from forecast_assets.accuracy.run_days import RunKnowledgeCache, read_run
from forecast_assets.contracts import FORECAST_VALUE_ADDED
from forecast_assets.core.errors import NotReadyError
from forecast_assets.core.overrides import Override, Scope
from forecast_assets.launch import Runner
from forecast_assets.operations.overrides import decide_overrides, record_overrides
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.operations.value_added import value_added
from forecast_assets.presentation.value_added import value_text
from forecast_assets.simulation.simulator import Simulation
from resources.ledger.entries.measure import Measurement
from resources.maintenance.verification import verify_store
from resources.stores.home import open_stores
from tests.accuracy.test_accuracy_run import arrive
from tests.support.retailers import KEY, copied

pytestmark = pytest.mark.usefixtures("brief_runs")

Published = tuple[Runner, RunOutcome]
FIRST = replace(KEY, revision=1)
DAYS = [KEY.prediction_date + timedelta(days=ahead) for ahead in (1, 2, 3)]
BOTH = (DAYS[0], DAYS[1])
LATE = 3


def overridden_run(published: Published, home: Path) -> Runner:
    """Publish a revision with a node's override that a second person approved, and with a narrower one of another."""
    runner = copied(published[0], home)
    store, sku = read_product(runner.stores, published[1].publication, "forecasts").select("store_id", "sku_id").row(0)
    node = Override(Scope.of(), *BOTH, "percent", "20", "event", "local festival")
    own = Override(Scope.of(sku=sku, store=store), *BOTH, "percent", "-5", "price_change")
    record, _ = record_overrides(runner.stores, [node], by="ana", needs_approval=True)
    decide_overrides(runner.stores, [f"o{record.sequence}"], "approved", by="ben", reason="seen")
    record_overrides(runner.stores, [own], by="cleo")
    assert runner.publish_overrides(KEY, by="ana", reason="local festival").publication.key == FIRST
    return runner


@pytest.fixture(scope="module")
def measured(published: Published, simulation: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    runner = overridden_run(published, tmp_path_factory.mktemp("valued") / "home")
    for day in DAYS:
        arrive(runner, simulation, day, late=LATE if day == DAYS[1] else 0)
    assert runner.measure("daily") == DAYS
    return runner


def newest(runner: Runner, day: Any) -> Measurement:
    found = runner.stores.ledger.state().newest_measurement("daily", day)
    assert found is not None
    return found


def rows_of(runner: Runner, measurement: Measurement) -> pl.DataFrame:
    return runner.stores.predictions.read(runner.stores.predictions.version(measurement.value_version))


def known(runner: Runner, feed: str, day: Any, column: str) -> dict[tuple[str, str], Any]:
    """The newest word on a day, by store and SKU."""
    rows = runner.stores.observations.scan(runner.stores.observations.batches(), feed, since=day, until=day)
    if rows is None:
        return {}
    frame = rows.sort("known_at").select("store_id", "sku_id", column).collect()
    return {(store, sku): value for store, sku, value in frame.iter_rows()}


def loops(runner: Runner, day: Any) -> dict[tuple[str, str, str, str], dict[str, Decimal]]:
    """What overrides of the revision were worth on a day, by plain loops over what is stored."""
    publication = runner.stores.predictions.publication(FIRST)
    said = {name: read_product(runner.stores, publication, name).filter(target_date=day).to_dicts()
            for name in ("forecasts", "forecast_overrides")}  # fmt: skip
    past = read_run(runner.stores, publication, day, RunKnowledgeCache()).naive
    naive = {(store, sku): units for store, sku, units in past.select("store_id", "sku_id", "naive_units").iter_rows()}
    sold = known(runner, "sales", day, "sales_units")
    left = known(runner, "inventory_positions", day, "on_hand_units")
    hours = known(runner, "stock_status", day, "out_of_stock_hours")
    acted = {(row["store_id"], row["sku_id"]): row for row in said["forecast_overrides"] if not row["superseded_by"]}
    sums: dict[tuple[str, str, str, str], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for row in said["forecasts"]:
        series = row["store_id"], row["sku_id"]
        model, after = acted[series]["model_units"], acted[series]["after_units"]
        assert (model, after) == (row["reconciled_units"], row["forecast_units"])
        moved = after - model
        direction = "up" if moved > 0 else "down" if moved < 0 else "none"
        size = "none" if not moved else "small" if acted[series]["by"] == "cleo" else "medium"
        group = sums[acted[series]["override_id"], direction, size, row["demand_class"]]
        is_empty = hours[series] > 0 if series in hours else left.get(series, 1) <= 0
        group["rows"] += series in sold and not is_empty
        group["rows_without_actual"] += series not in sold
        group["rows_left_out"] += series in sold and is_empty
        if series not in sold or is_empty:
            continue
        units = round(Decimal(sold[series]), 6)
        stages = {"seasonal_naive": round(Decimal(naive.get(series, 0.0)), 6), "base": row["base_units"],
                  "reconciled": model, "rules": model, "override": after}  # fmt: skip
        group["sales_units"] += units
        for stage, forecast in stages.items():
            group[f"{stage}_absolute_error_units"] += abs(forecast - units)
            group[f"{stage}_error_units"] += forecast - units
        group["moved_squared_units2"] += round(moved * moved, 6)
        group["moved_times_needed_units2"] += round(moved * (units - model), 6)
    return sums


@pytest.mark.parametrize("day", BOTH)
def test_value_added_is_that_of_plain_loops_to_the_last_decimal(measured: Runner, day: Any) -> None:
    found, wanted = rows_of(measured, newest(measured, day)), loops(measured, day)
    assert found.select("prediction_date", "revision").unique().rows() == [(KEY.prediction_date, 1)]
    assert set(found["planner"]) == {"ana", "cleo"}
    figures = FORECAST_VALUE_ADDED.names[FORECAST_VALUE_ADDED.names.index("rows") :]
    names = ("override_id", "direction", "size", "demand_class")
    assert {tuple(row[name] for name in names) for row in found.iter_rows(named=True)} == set(wanted)
    for row in found.iter_rows(named=True):
        said = wanted[tuple(row[name] for name in names)]  # type: ignore[index]
        assert {name: row[name] for name in figures} == {name: said[name] for name in figures}
    series = read_product(measured.stores, measured.stores.predictions.publication(FIRST), "forecasts")
    counts = found.select(pl.col("rows", "rows_without_actual", "rows_left_out").sum()).row(0)
    assert sum(counts) == series.filter(target_date=day).height
    assert counts[1] == (LATE if day == DAYS[1] else 0)
    assert found["sales_units"].sum() > 0


def test_stages_are_those_of_the_days_accuracy_where_all_rows_are_judged_the_same(measured: Runner) -> None:
    # Both are of the same sales: those of accuracy are on all rows, those here without empty shelves.
    accuracy = measured.stores.predictions.read(
        measured.stores.predictions.version(newest(measured, DAYS[0]).product_version)
    )
    overall = accuracy.filter(revision=1, segment_kind="all", product_level="sku", store_level="store").to_dicts()[0]
    found = rows_of(measured, newest(measured, DAYS[0])).select(pl.col("rows", "sales_units").sum()).row(0)
    assert found[0] == overall["quantile_rows"]
    assert found[1] <= overall["sales_units"]


def test_days_without_overrides_have_nothing_of_it(measured: Runner) -> None:
    recorded = newest(measured, DAYS[2])
    assert (recorded.value_version, recorded.value_numbers) == ("", "")
    made = measured.stores.predictions.version(recorded.product_version)
    assert VALUE_PRODUCT not in made.facts
    with duckdb.connect(str(measured.settings.catalogue_path), read_only=True) as connection:
        shown = connection.execute("SELECT DISTINCT target_date, is_newest FROM audit.forecast_value_added ORDER BY 1")
        assert shown.fetchall() == [(day, True) for day in BOTH]


def test_the_store_is_whole_and_checks_have_accepted_what_is_recorded(measured: Runner) -> None:
    assert not verify_store(measured.stores.blobs).findings
    assert set(newest(measured, DAYS[0]).value_acceptances) == {
        "stages_are_judged_by_the_same_sales", "moves_are_in_their_direction",
    }  # fmt: skip


def test_a_file_that_is_gone_is_missed(measured: Runner, tmp_path: Path) -> None:
    runner = copied(measured, tmp_path / "home")
    made = runner.stores.predictions.version(newest(runner, DAYS[0]).value_version)
    runner.stores.blobs.local(made.files[0].path).unlink()
    assert {made.files[0].path in str(each) for each in verify_store(runner.stores.blobs).findings} == {True}


def test_the_asset_shows_a_picture_by_planner_and_its_checks(measured: Runner) -> None:
    shown = measured.instance.get_latest_materialization_event(dg.AssetKey(["daily", PRODUCT]))
    assert shown is not None
    assert shown.asset_materialization is not None
    assert "data:image/png;base64," in str(shown.asset_materialization.metadata["value_of_overrides"].value)
    checked = measured.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(["daily", PRODUCT]), "forecast_value_added__moves_are_in_their_direction"), limit=3
    )
    assert len(checked) == len(DAYS)


def test_measuring_again_does_nothing_until_a_day_is_restated(
    measured: Runner, simulation: Simulation, tmp_path: Path
) -> None:
    runner = copied(measured, tmp_path / "home")
    assert runner.measure("daily") == []
    first = newest(runner, DAYS[0])
    arrive(runner, simulation, DAYS[0], more=2.0)
    assert runner.measure("daily") == [DAYS[0]]
    second = newest(runner, DAYS[0])
    assert first.value_version
    assert second.value_numbers != first.value_numbers
    found, wanted = rows_of(runner, second), loops(runner, DAYS[0])
    assert found["sales_units"].sum() == sum(group["sales_units"] for group in wanted.values())
    assert found["sales_units"].sum() > rows_of(runner, first)["sales_units"].sum()
    with duckdb.connect(str(runner.settings.catalogue_path), read_only=True) as connection:
        shown = connection.execute(
            "SELECT DISTINCT measured_sequence, is_newest FROM audit.forecast_value_added WHERE target_date = ? "
            "ORDER BY 1",
            [DAYS[0]],
        ).fetchall()
    assert shown == [(first.sequence, False), (second.sequence, True)]


def test_the_summary_says_who_gained_what(measured: Runner) -> None:
    found = value_added(measured.stores)
    assert (found.first, found.last) == BOTH
    assert [line.name for line in found.lines] == ["ana", "cleo"]
    sums = [group for day in BOTH for group in loops(measured, day).values()]
    sales = float(sum(group["sales_units"] for group in sums))
    errors = [float(sum(group[f"{stage}_absolute_error_units"] for group in sums)) for stage in ("rules", "override")]
    assert found.overall is not None
    assert found.overall.value_added_points == pytest.approx(100 * (errors[0] - errors[1]) / sales)
    # One override each: no word on skill.
    assert all(line.is_small_sample for line in found.lines)
    assert "small sample" in value_text(found)


def test_a_store_that_was_measured_before_there_was_such_a_product_reads_and_is_measured_again(
    published: Published, simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = overridden_run(published, tmp_path / "home")
    for day in DAYS:
        arrive(runner, simulation, day)
    with monkeypatch.context() as patch:
        patch.setattr(DayInputs, "overridden", ())
        assert runner.measure("daily") == DAYS
        assert due_days(runner.stores, "daily") == []
    before = [newest(runner, day) for day in DAYS]
    assert not any(each.value_version for each in before)
    with pytest.raises(NotReadyError, match="No daily forecast that was overridden has been measured"):
        value_added(open_stores(runner.stores.predictions._blobs.root))
    with duckdb.connect(str(runner.settings.catalogue_path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM audit.forecast_value_added").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) > 0 FROM audit.forecast_accuracy").fetchall() == [(True,)]
    assert runner.measure("daily") == DAYS
    # Of the day that nobody overrode the numbers are those recorded, so that nothing is recorded again.
    after = [newest(runner, day) for day in DAYS]
    assert [bool(each.value_version) for each in after] == [True, True, False]
    assert [each.numbers for each in after] == [each.numbers for each in before]
    assert after[2] == before[2]
    assert due_days(runner.stores, "daily") == []
