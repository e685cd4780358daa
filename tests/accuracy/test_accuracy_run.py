"""Past forecasts meet the sales that came, end to end, on the small finished run."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest

from forecast_assets.accuracy.inputs import PRODUCT
from forecast_assets.automation.triggers import accuracy_request
from forecast_assets.core.errors import NotAcceptedError, NotPublishedError
from forecast_assets.core.keys import DAILY, WEEKLY
from forecast_assets.launch import Runner
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.presentation.accuracy import AccuracyQuery, accuracy_text
from forecast_assets.simulation.simulator import Simulation
from resources.orchestration.dagster_home import Launches
from resources.stores.moments import DAILY_FEEDS
from tests.support.retailers import KEY, RETAILER, copied

pytestmark = pytest.mark.usefixtures("brief_runs")

Published = tuple[Runner, RunOutcome]
DAYS = [RETAILER.end + timedelta(days=step) for step in (1, 2)]
LAUNCHES = Launches(dg.DagsterInstance.ephemeral(), "daily_accuracy")


def arrive(runner: Runner, simulation: Simulation, day: date, late: int = 0, more: float = 0.0) -> None:
    """Take in what the feeds say of a day after the simulation: its last day again, some rows left for later."""
    later = [batch for batch in simulation.batches if batch.feed in DAILY_FEEDS]
    runner.ingest([replace(batch, frame=_again(batch.frame, batch.feed, day, late, more)) for batch in later])


def _again(frame: pl.DataFrame, feed: str, day: date, late: int, more: float) -> pl.DataFrame:
    last = frame.filter(pl.col("event_date") == RETAILER.end).sort("known_at", "store_id", "sku_id")
    said = last.unique(["sku_id", "store_id"], keep="last", maintain_order=True)
    shift = day - RETAILER.end
    moved = said.with_columns(pl.col("event_date") + shift, pl.col("known_at") + shift + timedelta(seconds=more))
    if feed == "sales":
        moved = moved.with_columns(pl.col("sales_units") + more)
    return moved.head(moved.height - late)


@pytest.fixture(scope="module")
def measured(
    published: Published, simulation: Simulation, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Runner, RunOutcome]:
    """A copy of the published home, two days later, with both days measured."""
    runner = copied(published[0], tmp_path_factory.mktemp("measured") / "home")
    for day in DAYS:
        arrive(runner, simulation, day, late=3 if day == DAYS[1] else 0)
    assert runner.measure("daily") == DAYS
    return runner, published[1]


def sql(runner: Runner, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(runner.settings.catalogue_path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_published_forecasts_are_scored_against_the_sales_that_came(measured: Published) -> None:
    runner, outcome = measured
    said = read_product(runner.stores, outcome.publication, "forecasts").filter(target_date=DAYS[0])
    history = runner.stores.observations.scan(
        runner.stores.observations.batches(), "sales", since=DAYS[0], until=DAYS[0]
    )
    assert history is not None
    came = history.sort("known_at").unique(["store_id", "sku_id"], keep="last").collect()
    joined = said.join(came, on=["store_id", "sku_id"])
    error = joined["expected_sales_units"].cast(pl.Float64) - joined["sales_units"]
    ((rows, sales, absolute, bias),) = sql(
        runner,
        "SELECT rows, sales_units, absolute_error_units, error_units FROM audit.forecast_accuracy WHERE step = 1 "
        "AND product_level = 'sku' AND store_level = 'store' AND segment_kind = 'all'",
    )
    assert rows == joined.height == said.height
    assert [float(str(value)) for value in (sales, absolute, bias)] == pytest.approx(
        [joined["sales_units"].sum(), error.abs().sum(), error.sum()]
    )


def test_nodes_above_are_the_published_aggregates(measured: Published) -> None:
    runner, outcome = measured
    aggregates = read_product(runner.stores, outcome.publication, "aggregate_forecasts").filter(target_date=DAYS[0])
    wanted = aggregates.group_by("product_level", "store_level").agg(
        pl.len().cast(pl.Int64).alias("rows"), pl.col("forecast_units", "expected_sales_units").sum()
    )
    found = sql(
        runner,
        "SELECT product_level, store_level, rows, forecast_units, expected_sales_units FROM audit.forecast_accuracy "
        "WHERE step = 1 AND segment_kind = 'all' AND (product_level, store_level) <> ('sku', 'store') ORDER BY ALL",
    )
    assert found == wanted.sort("product_level", "store_level").rows()


def test_late_rows_are_counted(measured: Published) -> None:
    runner, _ = measured
    found = sql(
        runner,
        "SELECT step, sum(rows), sum(rows_without_actual) FROM audit.forecast_accuracy "
        "WHERE product_level = 'sku' AND store_level = 'store' AND segment_kind = 'store' GROUP BY ALL ORDER BY 1",
    )
    assert [late for _, _, late in found] == [0, 3]
    assert len({int(str(rows)) + int(str(late)) for _, rows, late in found}) == 1


def test_measuring_again_does_nothing_until_a_day_is_restated(
    measured: Published, simulation: Simulation, tmp_path: Path
) -> None:
    runner = copied(measured[0], tmp_path / "home")
    before = runner.stores.ledger.state().sequence
    assert runner.measure("daily") == []
    assert runner.stores.ledger.state().sequence == before
    first = runner.stores.ledger.state().newest_measurement("daily", DAYS[1])
    arrive(runner, simulation, DAYS[1], more=2.0)
    assert runner.measure("daily") == [DAYS[1]]
    both = runner.stores.ledger.state().measurements["daily", DAYS[1]]
    assert both[0] == first
    found = sql(
        runner,
        "SELECT measured_sequence, is_newest, sales_units, rows_without_actual FROM audit.forecast_accuracy "
        "WHERE step = 2 AND product_level = 'total' AND store_level = 'total' ORDER BY 1",
    )
    assert [(row[0], row[1]) for row in found] == [(both[0].sequence, False), (both[1].sequence, True)]
    assert found[1][2] > found[0][2]  # type: ignore[operator]
    assert both[0].known_until < both[1].known_until
    frame = runner.stores.predictions.read(runner.stores.predictions.version(both[0].product_version))
    assert frame["target_date"].unique().to_list() == [DAYS[1]]


def test_a_failing_check_records_nothing(
    published: Published, simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import checks.acceptance as wiring
    from checks.judging import Verdict

    runner = copied(published[0], tmp_path / "home")
    arrive(runner, simulation, DAYS[0])
    monkeypatch.setattr(
        wiring, "judge", lambda *_: Verdict(False, 3, pl.DataFrame(), "3 rows break it. Call for help.")
    )
    with pytest.raises(NotAcceptedError, match=r"No measurement was recorded, .*segments_sum_to_all_rows: 3 rows"):
        runner.measure("daily")
    assert not runner.stores.ledger.state().measurements
    monkeypatch.undo()
    assert runner.measure("daily") == [DAYS[0]]


def test_a_day_that_no_run_looks_at_says_so_in_the_ui(measured: Published) -> None:
    from forecast_assets.definitions import accuracy_job, build_defs

    job = build_defs(settings=measured[0].settings).resolve_job_def(accuracy_job(DAILY))
    with pytest.raises(NotPublishedError, match=f"No published daily run looks at {KEY.prediction_date}"):
        job.execute_in_process(instance=measured[0].instance, partition_key=KEY.prediction_date.isoformat())


def test_the_asset_shows_pictures_rows_and_checks(measured: Published) -> None:
    runner, _ = measured
    asset = dg.AssetKey(["daily", PRODUCT])
    shown = runner.instance.get_latest_materialization_event(asset)
    assert shown is not None
    assert shown.asset_materialization is not None
    metadata = shown.asset_materialization.metadata
    for name in ("accuracy_by_days_ahead", "accuracy_over_days", "coverage_and_reliability"):
        assert "data:image/png;base64," in str(metadata[name].value)
    assert (
        metadata["ledger_sequence"].value == runner.stores.ledger.state().newest_measurement("daily", DAYS[1]).sequence
    )  # type: ignore[union-attr]


def test_the_sensor_asks_for_the_oldest_day_that_is_due_and_waits_for_the_newest_to_be_complete(
    published: Published, measured: Published, simulation: Simulation, tmp_path: Path
) -> None:
    def asked(runner: Runner, launches: Launches = LAUNCHES) -> dg.RunRequest | dg.SkipReason:
        return accuracy_request(runner.stores, DAILY, 0.2, launches)

    nothing = asked(published[0])
    assert isinstance(nothing, dg.SkipReason)
    assert "Every published daily forecast of a day up to 2025-06-30 is measured." in str(nothing.skip_message)
    runner = copied(published[0], tmp_path / "home")
    sales_of(runner, simulation, DAYS[0])
    waiting = asked(runner)
    assert isinstance(waiting, dg.SkipReason)
    assert f"Waiting for the inputs of {DAYS[0]}: `inventory_positions` has not" in str(waiting.skip_message)
    sales_of(runner, simulation, DAYS[1])
    request = asked(runner)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == DAYS[0].isoformat()
    weekly = accuracy_request(measured[0].stores, WEEKLY, 0.2, LAUNCHES)
    assert isinstance(weekly, dg.SkipReason)


def sales_of(runner: Runner, simulation: Simulation, day: date) -> None:
    sales = [batch for batch in simulation.batches if batch.feed == "sales"]
    runner.ingest([replace(batch, frame=_again(batch.frame, batch.feed, day, 0, 0.0)) for batch in sales])


@pytest.mark.parametrize("by", [None, "step", "segment", "level", "day"])
def test_the_command_shows_the_query_that_gives_its_numbers(measured: Published, by: str | None) -> None:
    runner, _ = measured
    path = runner.settings.catalogue_path
    text = accuracy_text(path, AccuracyQuery("daily", "stat-1", DAYS[0], DAYS[1], by), [])
    query = text.split("\n\n")[-1]
    answer = sql(runner, query.removesuffix(";"))
    assert answer
    lines = [line for line in text.split("\n\n")[1].splitlines() if line.startswith("stat-1")]
    assert len(lines) == len(answer)
    assert "Every daily forecast of these days was measured before" in text
