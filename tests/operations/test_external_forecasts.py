"""External forecasts, end to end: published as a version of their own by the same path as all others."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest
from click.testing import CliRunner

from checks.lineage import lineage_breaks
from forecast_assets.automation.triggers import scoring_request
from forecast_assets.cli import cli
from forecast_assets.contracts import QUANTILE_COLUMNS
from forecast_assets.core.errors import (
    AlreadyPublishedError,
    AlreadyRegisteredError,
    IncompleteInputsError,
    InputError,
    NotAcceptedError,
    NotStagedError,
    RefusedError,
    SourceError,
)
from forecast_assets.core.keys import DAILY, RunKey
from forecast_assets.launch import Runner
from forecast_assets.operations.external_forecasts import (
    ExternalForecastsPlan,
    ExternalForecastsRequest,
    plan_external_forecasts,
    publish_external_forecasts,
)
from forecast_assets.operations.lineage import lineage_of
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.presentation.actions import error_text
from forecast_assets.presentation.external_forecasts import external_outcome_text, external_plan_text
from forecast_assets.presentation.lineage import lineage_text
from forecast_assets.presentation.state import version_text, versions_text
from forecast_assets.scoring.context import given_inputs_of
from forecast_assets.simulation.simulator import Simulation
from partitions import scoring_partition
from resources.catalogue.build import build_catalogue
from resources.ledger.channels import FORMER_CHAMPION_LIVE_FOR
from resources.orchestration.dagster_home import Launches
from tests.corrections.test_corrected_runs import restated_sales
from tests.support.brief_runs import in_full
from tests.support.retailers import KEY, RETAILER, copied

pytestmark = pytest.mark.usefixtures("brief_runs")

END = RETAILER.end
ROW = ["store_id", "sku_id", "step"]
PLANNERS = replace(KEY, model_version="planners-1")


def publish(
    runner: Runner, request: ExternalForecastsRequest
) -> tuple[ExternalForecastsPlan, list[RunOutcome], list[str]]:
    plan = plan_external_forecasts(runner, request)
    done = list(publish_external_forecasts(runner, plan))
    return plan, [outcome for outcome, _ in done], [external_outcome_text(*each) for each in done]


Published = tuple[Runner, Path, ExternalForecastsPlan, list[RunOutcome], list[str]]


@pytest.fixture(scope="module")
def taken_over(published: tuple[Runner, RunOutcome], tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The published run of the statistical version and its aggregates, as a CSV file of another one."""
    folder = tmp_path_factory.mktemp("outside")
    runner = copied(published[0], folder / "home")
    forecasts = read_product(runner.stores, published[1].publication, "forecasts")
    upper = read_product(runner.stores, published[1].publication, "aggregate_forecasts")
    spoiled = pl.when((pl.col("product_level") == "total") & (pl.col("step") == 3)).then(2).otherwise(1)
    upper = upper.with_columns((pl.col("forecast_units") * spoiled).cast(pl.Decimal(18, 6)))
    file = folder / "planners.csv"
    pl.concat([forecasts, upper], how="diagonal_relaxed").write_csv(file)
    with in_full():
        return runner, file, *publish(runner, ExternalForecastsRequest(file, "planners-1"))


def rows_of(runner: Runner, key: RunKey, product: str) -> pl.DataFrame:
    return read_product(runner.stores, runner.stores.predictions.publication(key), product)


def test_the_numbers_of_the_file_are_published_to_the_last_decimal(taken_over: Published) -> None:
    runner, _, _, outcomes, _ = taken_over
    assert [outcome.is_new for outcome in outcomes] == [True]
    theirs, ours = rows_of(runner, KEY, "forecasts"), rows_of(runner, PLANNERS, "forecasts")
    assert ours.select(ROW).equals(theirs.select(ROW))
    for name in ("forecast_units", "base_units", "reconciled_units"):
        assert ours[name].equals(theirs["forecast_units"], check_names=False)
    assert ours.select(QUANTILE_COLUMNS).equals(theirs.select(QUANTILE_COLUMNS))
    assert ours["model_used"].unique().to_list() == ["external"]
    aggregates = [rows_of(runner, key, "aggregate_forecasts")["forecast_units"] for key in (KEY, PLANNERS)]
    assert aggregates[0].equals(aggregates[1])
    sums = [rows_of(runner, key, "cumulative_forecasts") for key in (KEY, PLANNERS)]
    assert sums[0]["forecast_units"].equals(sums[1]["forecast_units"])
    # Nobody knows how errors of forecasts from elsewhere hang together.
    assert sums[1].select(QUANTILE_COLUMNS).unique().rows() == [(None,) * 13]


def test_risk_explanations_and_views_follow_as_for_every_version(taken_over: Published) -> None:
    runner, *_ = taken_over
    risks = rows_of(runner, PLANNERS, "stockout_risks")
    assert risks["stockout_probability"].null_count() < risks.height
    explained = rows_of(runner, PLANNERS, "forecast_explanations")
    assert explained["level_units"].equals(explained["forecast_units"], check_names=False)
    said = explained.filter(pl.col("forecast_units") > 0)["forecast_reason"]
    assert said.str.contains(r"made elsewhere \(planners-1\): [0-9.]+ units|Made elsewhere \(planners-1\)").all()
    with duckdb.connect(str(runner.settings.catalogue_path), read_only=True) as connection:
        found = connection.sql('SELECT count(*), min(prediction_id) FROM "planners-1".forecasts').fetchall()
    assert found[0][0] == explained.height
    assert found[0][1].startswith("daily/2025-06-30/planners-1/28/r0/")


def test_lineage_leads_to_the_file_and_its_bytes(taken_over: Published) -> None:
    runner, file, plan, outcomes, _ = taken_over
    import hashlib

    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    said = lineage_text(lineage_of(runner.stores, str(PLANNERS)))
    assert plan.file.sha256 == digest
    assert f"external file planners.csv, SHA-256 {digest}" in said
    store = runner.stores.predictions
    ancestors = store.lineage(outcomes[0].publication.products.values())
    assert {"external_forecasts", "base_forecasts", "model_artifacts", "feature_snapshots"} <= {
        product.product for product in ancestors
    }


def test_upper_rows_are_compared_with_the_sums_and_used_for_nothing_else(taken_over: Published) -> None:
    runner, file, plan, _, said = taken_over
    assert plan.file.upper.height == rows_of(runner, KEY, "aggregate_forecasts").height
    assert "are within 0.1% of the sum of their series; what is published is the sums" in said[0]
    assert "The widest gap is 100.0%, at total total" in said[0]
    assert f"planners.csv (SHA-256 {plan.file.sha256[:12]})" in external_plan_text(plan)
    assert file.name in external_plan_text(plan)


def test_it_serves_under_its_own_name_and_may_not_be_promoted(taken_over: Published) -> None:
    runner, *_ = taken_over
    record = runner.stores.registry.model_version("planners-1")
    assert (record.family, record.cutoff) == ("external", END)
    assert record.gates == {"file_is_sound": True, "backtest_beats_seasonal_naive": False}
    with pytest.raises(NotAcceptedError, match="past prediction dates on which it beats seasonal naive"):
        runner.stores.registry.promote("planners-1", by="ana", reason="looks good")
    assert "not met: serves under its own name only" in version_text(runner.stores, "planners-1")
    assert "own name only" in versions_text(runner.stores)


def test_the_same_file_again_changes_nothing(taken_over: Published) -> None:
    runner, file, *_ = taken_over
    before = runner.stores.ledger.state().sequence
    _, outcomes, said = publish(runner, ExternalForecastsRequest(file, "planners-1"))
    assert not outcomes[0].is_new
    assert "is already published (ledger entry" in said[0]
    assert runner.stores.ledger.state().sequence == before


def edited(file: Path, folder: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
    path = folder / "edited.csv"
    change(pl.read_csv(file, infer_schema_length=None)).write_csv(path)
    return path


def test_other_numbers_under_the_same_key_are_refused_by_row(taken_over: Published, tmp_path: Path) -> None:
    runner, file, *_ = taken_over
    first = pl.int_range(pl.len()) == 0
    path = edited(file, tmp_path, lambda rows: rows.with_columns(pl.col("forecast_units") + first * 0.01))
    said = (
        r"is already published \(ledger entry \d+\) with other numbers in 1 rows \(store/SKU/step S-01/[^ ]+/1\), and"
    )
    with pytest.raises(RefusedError, match=said):
        plan_external_forecasts(runner, ExternalForecastsRequest(path, "planners-1"))


def test_series_that_are_missing_unknown_or_wrong_are_all_named_at_once(taken_over: Published, tmp_path: Path) -> None:
    runner, file, *_ = taken_over
    gone = pl.col("sku_id").is_null() | (pl.col("sku_id") != pl.col("sku_id").min())
    path = edited(
        file,
        tmp_path,
        lambda rows: rows.filter(gone).with_columns(
            store_id=pl.when(pl.int_range(pl.len()) < 28).then(pl.lit("S-99")).otherwise("store_id"),
            forecast_units=pl.when(pl.int_range(pl.len()) == 30).then(-1.0).otherwise("forecast_units"),
        ),
    )
    with pytest.raises(SourceError) as caught:
        plan_external_forecasts(runner, ExternalForecastsRequest(path, "planners-2"))
    for words in (
        "edited.csv cannot be published: (1) a negative `forecast_units` in 1 of", "1 series are not in the snapshot",
        "S-99/", "series of the snapshot of 2025-06-30 are not in the file: S-01/", "--missing zero",
    ):  # fmt: skip
        assert words in str(caught.value)
    assert "planners-2" not in runner.stores.ledger.state().versions
    no_food = pl.col("sku_id").is_null() | ~pl.col("sku_id").str.starts_with("FOOD")
    half = ExternalForecastsRequest(
        edited(file, tmp_path, lambda rows: rows.filter(no_food)), "planners-2", fill_missing=True
    )
    with pytest.raises(
        SourceError, match=r"\d+ of the \d+ series of the snapshot of 2025-06-30 still sell and are not in"
    ):
        plan_external_forecasts(runner, half)


def test_a_name_that_was_trained_here_is_refused(taken_over: Published) -> None:
    runner, file, *_ = taken_over
    with pytest.raises(
        AlreadyRegisteredError, match=r"`stat-1` is a version of the family `statistical`.*Choose another"
    ):
        plan_external_forecasts(runner, ExternalForecastsRequest(file, "stat-1"))


def moved(file: Path, folder: Path, days: int) -> Path:
    dates = pl.col("prediction_date", "target_date").str.to_date() + timedelta(days=days)
    return edited(file, folder, lambda rows: rows.with_columns(dates))


def test_a_date_whose_sales_are_not_there_yet_waits(taken_over: Published, tmp_path: Path) -> None:
    runner, file, *_ = taken_over
    with pytest.raises(IncompleteInputsError, match="Inputs for 2025-07-01 are not complete"):
        plan_external_forecasts(runner, ExternalForecastsRequest(moved(file, tmp_path, 1), "planners-1"))


def test_a_date_before_the_version_is_refused(taken_over: Published, tmp_path: Path) -> None:
    runner, file, *_ = taken_over
    with pytest.raises(NotAcceptedError, match="Ingest the forecasts of earlier days as another version"):
        plan_external_forecasts(runner, ExternalForecastsRequest(moved(file, tmp_path, -1), "planners-1"))


def test_a_run_without_a_file_says_what_to_ingest(taken_over: Published) -> None:
    runner, *_ = taken_over
    said = "external, and no file with its forecasts for .*/7/r0 was ingested. Ingest it: forecast-assets ingest"
    with pytest.raises(NotStagedError) as caught:
        runner.score(replace(PLANNERS, forecast_horizon=7))
    assert re.search(said, error_text(caught.value))


def test_of_two_ingests_at_once_the_slower_finds_the_same_numbers_or_is_refused(
    taken_over: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = copied(taken_over[0], tmp_path / "home")
    late = replace(taken_over[2], is_new=False, dates=(replace(taken_over[2].dates[0], is_published=False),))
    real, calls = runner.score, list[RunKey]()

    def quicker(key: RunKey) -> RunOutcome:
        calls.append(key)
        if len(calls) == 1:
            raise AlreadyPublishedError(key, 6)
        return real(key)

    monkeypatch.setattr(runner, "score", quicker)
    assert [outcome.is_new for outcome, _ in publish_external_forecasts(runner, late)] == [False]
    other = replace(late.file, rows=late.file.rows.with_columns(pl.col("forecast_units") + 1))
    with pytest.raises(
        RefusedError, match=r"planners-1/28/r0 was published meanwhile with other numbers \(ledger entry 6\)"
    ):
        list(publish_external_forecasts(runner, replace(late, file=other)))


def test_a_correction_takes_the_same_forecasts_with_what_is_known_now(
    taken_over: Published, simulation: Simulation, tmp_path: Path
) -> None:
    runner = copied(taken_over[0], tmp_path / "home")
    runner.ingest([restated_sales(simulation)])
    corrected = runner.correct(PLANNERS, by="ana", reason="the till restated a day")
    first, second = (rows_of(runner, replace(PLANNERS, revision=number), "forecasts") for number in (0, 1))
    assert second["forecast_units"].equals(first["forecast_units"])
    store = runner.stores.predictions
    made = [
        {
            product.version
            for product in store.lineage(each.products.values())
            if product.product == "external_forecasts"
        }
        for each in (taken_over[3][0].publication, corrected.publication)
    ]
    assert made[0] == made[1]
    snapshots = [
        store.version(each.products["forecasts"]).inputs["feature_snapshots"]
        for each in (taken_over[3][0].publication, corrected.publication)
    ]
    assert snapshots[0] != snapshots[1]


def command(runner: Runner, *arguments: str) -> tuple[BaseException | None, str]:
    done = CliRunner().invoke(cli, arguments, env={"FORECAST_ASSETS_HOME": str(runner.settings.home)})
    return done.exception, done.output


def test_the_command_says_what_it_found_and_did(taken_over: Published) -> None:
    runner, file, *_ = taken_over
    failed, said = command(runner, "ingest", "forecasts", str(file), "--model-version", "planners-1")
    assert failed is None
    assert "planners.csv (SHA-256" in said
    assert "Quantiles given: 0.005, 0.025" in said
    assert "daily/2025-06-30/planners-1/28/r0 is already published (ledger entry 6); nothing changed." in said
    refused, _ = command(runner, "ingest", "forecasts", "nothing.csv", "--model-version", "planners-3")
    assert isinstance(refused, SourceError)
    muddled, _ = command(runner, "ingest", "forecasts", str(file), "--model-version", "p", "--columns", "qty")
    assert isinstance(muddled, InputError)


# --- several past dates -------------------------------------------------------------------------------------------

PAST = [END - timedelta(days=7), END]


def known_sales(runner: Runner) -> pl.DataFrame:
    rows = runner.history(END).feed("sales")
    assert rows is not None
    return rows.select("store_id", "sku_id", "event_date", "sales_units").collect()


def hindsight(runner: Runner, folder: Path) -> Path:
    """Forecasts of two dates a week apart: of the first what was sold, of the second twice the last week."""
    sales, parts = known_sales(runner), []
    for day in PAST:
        series = sales.filter(pl.col("event_date") <= day).select("store_id", "sku_id").unique()
        ahead = series.join(pl.DataFrame({"step": range(1, 8)}), how="cross").with_columns(
            prediction_date=pl.lit(day), target_date=pl.lit(day) + pl.duration(days=pl.col("step"))
        )
        source = pl.col("target_date") - pl.duration(days=pl.when(pl.lit(day) == END).then(7).otherwise(0))
        parts.append(
            ahead.with_columns(event_date=source).join(sales, on=["store_id", "sku_id", "event_date"], how="left")
        )
    path = folder / "vendor.parquet"
    units = pl.col("sales_units").fill_null(0.0) * pl.when(pl.col("prediction_date") == END).then(2).otherwise(1)
    pl.concat(parts).select(
        "store_id", "sku_id", "prediction_date", "step", units.alias("qty"), (units * 2 + 1).alias("q900_units")
    ).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def resumed(trained: Runner, tmp_path_factory: pytest.TempPathFactory) -> tuple[Runner, list[RunOutcome]]:
    """Two dates in one Parquet file, interrupted after the first."""
    folder = tmp_path_factory.mktemp("vendor")
    runner = copied(trained, folder / "home")
    request = ExternalForecastsRequest(
        hindsight(runner, folder), "vendor-2", horizon=7, columns={"qty": "forecast_units"}
    )
    interrupted = publish_external_forecasts(runner, plan_external_forecasts(runner, request))
    assert next(interrupted)[0].is_new
    interrupted.close()
    state = runner.stores.ledger.state()
    assert [key.prediction_date for key in state.publications if key.model_version == "vendor-2"] == PAST[:1]
    return runner, publish(runner, request)[1]


def test_an_interrupted_file_goes_on_where_it_stopped(resumed: tuple[Runner, list[RunOutcome]]) -> None:
    runner, outcomes = resumed
    assert [outcome.is_new for outcome in outcomes] == [False, True]
    assert [outcome.publication.key.prediction_date for outcome in outcomes] == PAST
    sequences = [outcome.publication.sequence for outcome in outcomes]
    assert sequences == sorted(sequences)
    versions = [entry for entry in runner.stores.ledger.entries() if entry.kind == "register"]
    assert [entry.body["model_version"] for entry in versions] == ["stat-1", "vendor-2"]


def test_a_correction_of_the_second_date_of_a_file_takes_that_date(
    resumed: tuple[Runner, list[RunOutcome]], simulation: Simulation, tmp_path: Path
) -> None:
    runner, second = copied(resumed[0], tmp_path / "home"), resumed[1][1].publication.key
    first = resumed[1][0].publication.key
    runner.ingest([restated_sales(simulation)])
    made = runner.correct(second, by="ana", reason="the till restated a day")
    ours = rows_of(runner, made.publication.key, "forecasts")
    assert ours["forecast_units"].equals(rows_of(runner, second, "forecasts")["forecast_units"])
    assert ours["forecast_units"].sum() != rows_of(runner, first, "forecasts")["forecast_units"].sum()
    (file,) = given_inputs_of(runner.stores.predictions, made.publication.products.values())
    assert file.key == str(second)
    lines = lineage_text(lineage_of(runner.stores, str(made.publication.key))).splitlines()
    own = [line for line in lines if "external file" in line]
    assert len(own) == 1
    assert str(second) in own[0]
    assert [str(first) in line for line in lines if "registered with" in line] == [True]


def test_the_lineage_check_refuses_the_numbers_of_another_date(
    resumed: tuple[Runner, list[RunOutcome]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores, (first, second) = resumed[0].stores, [outcome.publication for outcome in resumed[1]]
    product = stores.predictions.version(second.products["forecasts"])
    assert lineage_breaks(stores, product, second.key) == []
    others = given_inputs_of(stores.predictions, first.products.values())
    monkeypatch.setattr("checks.lineage.given_inputs_of", lambda *_: others)
    said = f"its numbers are those of the file of {first.key}, not of {second.key}"
    assert lineage_breaks(stores, product, second.key) == [said]


def test_quantiles_that_are_not_given_are_completed(resumed: tuple[Runner, list[RunOutcome]]) -> None:
    runner, outcomes = resumed
    frame = rows_of(runner, outcomes[0].publication.key, "forecasts")
    assert (frame["q900_units"] == frame["forecast_units"] * 2 + Decimal(1)).all()
    rising = [pl.col(low) <= pl.col(high) for low, high in pairwise(QUANTILE_COLUMNS)]
    assert frame.select(pl.all_horizontal(rising).all()).item()
    sells = frame.filter(pl.col("forecast_units") > 0)
    assert (sells["q500_units"] > 0).mean() > 0.9


def test_past_dates_whose_sales_are_known_are_measured_beside_seasonal_naive(
    resumed: tuple[Runner, list[RunOutcome]],
) -> None:
    runner, _ = resumed
    record = runner.stores.registry.model_version("vendor-2")
    assert record.cutoff == PAST[0]
    assert record.gates["backtest_beats_seasonal_naive"]
    report = runner.stores.predictions.read(runner.stores.predictions.version(record.evaluation_report))
    overall = {row["metric"]: row for row in report.filter(segment_kind="all").iter_rows(named=True)}
    assert overall["wape"]["value"] < overall["wape"]["baseline_value"]
    # The newest date has no days after it yet, so one is measured.
    frame = rows_of(runner, RunKey("daily", PAST[0], "vendor-2", 7), "forecasts")
    assert 0.9 * frame.height <= overall["wape"]["rows"] <= frame.height


def test_the_sensor_waits_for_the_file_of_an_external_champion(
    resumed: tuple[Runner, list[RunOutcome]], tmp_path: Path
) -> None:
    runner = copied(resumed[0], tmp_path / "home")
    body = {"channel": "champion", "model_version": "vendor-2", "by": "tests", "reason": "waits"}
    runner.stores.ledger.append("promote", body, lambda _: None)
    launches = Launches(runner.instance, "daily_scoring")
    asked = scoring_request(runner.stores, DAILY, launches)
    assert isinstance(asked, dg.SensorResult), "the champion before it goes on meanwhile"
    assert asked.run_requests is not None
    assert asked.run_requests[0].partition_key == scoring_partition(END, "stat-1")
    asked = scoring_request(runner.stores, DAILY, launches, datetime.now(UTC) + FORMER_CHAMPION_LIVE_FOR)
    assert isinstance(asked, dg.SkipReason)
    assert "no file with its forecasts for daily/2025-06-30/vendor-2/28/r0 was ingested" in str(asked.skip_message)


def test_the_catalogue_can_be_built_again(resumed: tuple[Runner, list[RunOutcome]], tmp_path: Path) -> None:
    runner, outcomes = resumed
    with duckdb.connect() as connection:
        path = build_catalogue(runner.stores.predictions, tmp_path / "catalogue", connection)
    with duckdb.connect(str(path), read_only=True) as connection:
        dates = connection.sql('SELECT DISTINCT prediction_date FROM "vendor-2".forecasts ORDER BY 1').fetchall()
    assert [day for (day,) in dates] == [outcome.publication.key.prediction_date for outcome in outcomes]
    assert dates[0][0] == date(2025, 6, 23)
