"""Backtesting a version at past cutoffs: as of what was known then, recorded once, shown on a page."""

import base64
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from forecast_assets.backtesting.actuals import ForecastFrames
from forecast_assets.backtesting.backtest import BacktestOutcome, BacktestRequest, last_cutoffs, run_backtests
from forecast_assets.cli import cli
from forecast_assets.contracts import BACKTEST_REPORTS, BACKTESTED_METHOD, FORECASTS, STOCKOUT_RISKS
from forecast_assets.core.errors import (
    HorizonError,
    IncompleteInputsError,
    InputError,
    NotStagedError,
    UnknownVersionError,
)
from forecast_assets.core.keys import RunKey
from forecast_assets.launch import Runner
from forecast_assets.operations.external_forecasts import (
    ExternalForecastsRequest,
    plan_external_forecasts,
    publish_external_forecasts,
)
from forecast_assets.operations.reading import read_product
from forecast_assets.presentation.backtests import newest_report_text, overall, summary
from forecast_assets.presentation.log import log_text
from forecast_assets.presentation.report_page import report_metadata, report_page, report_pictures
from forecast_assets.settings import Settings
from forecast_assets.simulation.simulator import SimulatorSettings, simulate_retailer, write_native
from forecast_assets.sources.simulated import read_simulated
from resources.maintenance.verification import verify_store

END = date(2025, 6, 30)
RETAILER = SimulatorSettings(skus=6, stores=2, days=120, seed=5, end=END)
EARLY, LATE = END - timedelta(days=14), END - timedelta(days=7)
DAYS = 7


def silent(stage: str, done: int, total: int) -> None:
    del stage, done, total


def runner_on(home: Path) -> Runner:
    return Runner(Settings(home=home, workers=1, risk_paths=50))


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A store with two versions of one recipe, trained a week apart, and nothing published."""
    folder = tmp_path_factory.mktemp("backtested")
    write_native(simulate_retailer(RETAILER), folder / "native")
    made = runner_on(folder / "home")
    made.ingest(read_simulated(folder / "native"))
    for version, cutoff in (("stat-0", EARLY), ("stat-1", LATE)):
        made.train(family="statistical", version=version, cutoff=cutoff, horizon=DAYS)
    return made


@pytest.fixture(scope="module")
def outcome(runner: Runner) -> BacktestOutcome:
    return ask(runner, BacktestRequest("stat-1", [LATE, EARLY], against=["stat-0"]))


def ask(runner: Runner, request: BacktestRequest) -> BacktestOutcome:
    return run_backtests(runner.stores, runner.settings, request, silent)


def copied(runner: Runner, home: Path) -> Runner:
    shutil.copytree(runner.settings.home, home, symlinks=True)
    return runner_on(home)


def value(report: pl.DataFrame, metric: str, method: str = "version", cutoff: date | None = None) -> float:
    rows = report.filter(
        pl.col("cutoff").eq_missing(pl.lit(cutoff)), pl.col("segment_kind") == "all", metric=metric, method=method
    )
    return float(rows["value"].item())


def test_a_version_is_judged_at_each_cutoff_beside_what_it_has_to_beat(outcome: BacktestOutcome) -> None:
    report = BACKTEST_REPORTS.validate(outcome.report)
    assert report["model_version"].unique().to_list() == ["stat-1"]
    assert set(report["cutoff"]) == {EARLY, LATE, None}
    assert {"version", "stat-0", "seasonal_naive"} <= set(report["method"])
    assert {"all", "demand_class", "step", "level"} <= set(report["segment_kind"])
    naive, ours = (value(report, "wape", method) for method in ("seasonal_naive", "version"))
    assert 0 < ours < naive
    assert 0 <= value(report, "brier") <= 1


def test_the_figures_are_those_of_the_matrices(outcome: BacktestOutcome) -> None:
    """WAPE of one cutoff, from the sales of the simulator and the forecasts of the run."""
    late = outcome.cutoffs[-1]
    said = ForecastFrames.of(late.runs[0]).forecasts
    came = late.actuals.history.feed("sales", since=LATE + timedelta(days=1))
    assert came is not None
    sales = came.select("store_id", "sku_id", pl.col("event_date").alias("target_date"), "sales_units").collect()
    rows = said.join(sales, on=["store_id", "sku_id", "target_date"], how="inner")
    assert rows.height == said.height == 12 * DAYS
    missed = (rows["expected_sales_units"].cast(pl.Float64) - rows["sales_units"]).abs().sum()
    assert value(outcome.report, "wape", cutoff=LATE) == pytest.approx(missed / rows["sales_units"].sum())


def test_a_version_scores_itself_from_its_cutoff_on_and_its_recipe_before(
    runner: Runner, outcome: BacktestOutcome
) -> None:
    methods = {(each.cutoff, each.method): each for each in outcome.record.methods}
    early, late = methods[EARLY.isoformat(), "version"], methods[LATE.isoformat(), "version"]
    assert (early.is_recipe, late.is_recipe) == (True, False)
    assert late.artifact == runner.stores.registry.model_version("stat-1").artifact
    assert methods[EARLY.isoformat(), "stat-0"].is_recipe is False
    # Trained as of the same cutoff by the same recipe, the two are the same.
    known = runner.stores.predictions
    trained = known.read_bytes(known.version(runner.stores.registry.model_version("stat-0").artifact))
    own = outcome.cutoffs[0].runs[0]
    assert own.step.stores.predictions.read_bytes(own.artifact) == trained
    for metric in ("wape", "bias"):
        assert value(outcome.report, metric, cutoff=EARLY) == value(outcome.report, metric, "stat-0", EARLY)


def test_forecasts_are_those_that_a_run_of_that_day_publishes(
    runner: Runner, outcome: BacktestOutcome, tmp_path: Path
) -> None:
    scored = copied(runner, tmp_path / "home")
    published = scored.score(RunKey("daily", LATE, "stat-1", DAYS)).publication
    ours = ForecastFrames.of(outcome.cutoffs[-1].runs[0]).forecasts
    assert read_product(scored.stores, published, "forecasts").equals(ours)


def test_nothing_is_published_but_the_report(runner: Runner, outcome: BacktestOutcome) -> None:
    state = runner.stores.ledger.state()
    assert not state.publications
    assert list(state.versions) == ["stat-0", "stat-1"]
    assert state.newest_backtest("stat-1") == outcome.record
    assert not verify_store(runner.stores.blobs).findings
    assert runner.stores.predictions.read(outcome.product).equals(outcome.report)


def test_asked_again_nothing_is_made_and_nothing_recorded(
    runner: Runner, outcome: BacktestOutcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    for made in ("make_snapshot", "train_version", "score"):
        monkeypatch.setattr(f"forecast_assets.backtesting.runs.{made}", never)
    before = runner.stores.ledger.state().sequence
    again = ask(runner, BacktestRequest("stat-1", [EARLY, LATE, LATE], against=["stat-0", "stat-1"]))
    assert not again.is_new
    assert again.record == outcome.record
    assert runner.stores.ledger.state().sequence == before


def never(*_: object, **__: object) -> None:
    raise AssertionError("this was made before")


def test_interrupted_it_leaves_nothing_half_made_and_goes_on_to_the_same_bytes(
    runner: Runner, outcome: BacktestOutcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = copied(runner, tmp_path / "home")
    shutil.rmtree(other.settings.backtests_folder)
    head = other.stores.ledger.state().sequence
    request = BacktestRequest("stat-1", [LATE, EARLY], against=["stat-0"])
    with monkeypatch.context() as patched:
        patched.setattr("forecast_assets.backtesting.runs.score", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ask(other, request)
    kept = sorted(path.name.split("-")[0] for path in other.settings.backtests_folder.iterdir())
    assert kept == ["snapshot", "training"]
    assert other.stores.ledger.state().sequence == head
    again = ask(other, request)
    assert again.product == outcome.product
    assert not again.is_new


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_interrupted_before_forecasts_are_assembled_it_makes_again_what_was_damaged_meanwhile(
    runner: Runner, outcome: BacktestOutcome, tmp_path: Path
) -> None:
    del outcome
    other = copied(runner, tmp_path / "home")
    whole = ask(other, BacktestRequest("stat-1", [LATE])).product
    bench = other.settings.backtests_folder
    for folder in bench.glob("forecasts-*"):
        shutil.rmtree(folder)
    for file in bench.glob("scoring-*/predictions/base_forecasts/**/*.parquet"):
        file.chmod(0o644)
        file.write_bytes(file.read_bytes()[:-1])
    assert ask(other, BacktestRequest("stat-1", [LATE])).product == whole


def test_an_external_version_is_compared_with_a_statistical_version_and_the_champion(
    runner: Runner, tmp_path: Path
) -> None:
    other = copied(runner, tmp_path / "home")
    other.stores.registry.promote("stat-1", by="ana", reason="first")
    take_over(other, tmp_path)
    found = ask(other, BacktestRequest("planners-1", [LATE]))
    methods = {each.method: each for each in found.record.methods}
    assert list(methods) == ["version", "champion", "statistical"]
    assert methods["champion"].model_version == "stat-1"
    assert methods["statistical"].is_recipe is True
    ones = found.cutoffs[-1].backtest.expected_sales
    assert np.all(ones <= 1.0)
    with pytest.raises(InputError, match=f"`planners-1` is external, so it cannot be trained as of {EARLY}"):
        ask(other, BacktestRequest("planners-1", [EARLY, LATE]))


def take_over(runner: Runner, folder: Path) -> None:
    """Publish one unit per day of every series, as external forecasts, as of the late cutoff."""
    sales = runner.history(LATE).feed("sales")
    assert sales is not None
    rows = sales.select("store_id", "sku_id").unique().join(pl.LazyFrame({"step": range(1, DAYS + 1)}), how="cross")
    file = folder / "planners.csv"
    rows.select(
        "store_id", "sku_id", prediction_date=pl.lit(LATE),
        target_date=pl.lit(LATE) + pl.duration(days=pl.col("step")), forecast_units=1.0,
    ).collect().write_csv(file)  # fmt: skip
    list(
        publish_external_forecasts(
            runner, plan_external_forecasts(runner, ExternalForecastsRequest(file, "planners-1"))
        )
    )


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"cutoffs": []}, InputError, "no cutoff to backtest at"),
        ({"cutoffs": [END]}, InputError, f"{END} cannot be cutoffs: sales are known from .* to {END}"),
        ({"cutoffs": [date(2024, 1, 1)]}, InputError, "2024-01-01 cannot be cutoffs"),
        ({"horizon": 14}, HorizonError, "`stat-1` is trained for 7 days ahead, and 14 were asked of it"),
        ({"horizon": 60}, HorizonError, "7 to 30 days, not 60"),
        ({"version": "stat-9"}, UnknownVersionError, "no model version `stat-9`"),
        ({"against": ["stat-9"]}, UnknownVersionError, "no model version `stat-9`"),
        ({"cadence": "weekly"}, HorizonError, "looks 30 days ahead or more, and the version is trained for 7"),
        ({"cadence": "weekly", "horizon": 30}, InputError, "is a Monday; prediction dates of a weekly run are Sundays"),
        ({"cutoffs": [RETAILER.end - timedelta(days=115)]}, InputError, "days of sales up to the cutoff are too few"),
    ],
)
def test_what_cannot_be_backtested_says_why(
    runner: Runner, change: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        ask(runner, replace(BacktestRequest("stat-1", [LATE]), **change))


def test_days_that_are_not_known_yet_are_left_out_and_told(runner: Runner) -> None:
    near = END - timedelta(days=3)
    found = ask(runner, BacktestRequest("stat-1", [near]))
    assert found.notes == (f"Of the days after {near}, 43% of all series and days are known; the others are left out.",)
    rows = found.report.filter(pl.col("cutoff").is_null(), segment_kind="all", metric="wape", method="version")
    assert rows["rows"].to_list() == [12 * 3]


def test_a_cutoff_without_any_day_behind_it_is_refused(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecast_assets.history.as_known.History.feed", lambda *_, **__: None)
    with pytest.raises(IncompleteInputsError, match=f"`sales` has no rows of the days after {LATE}"):
        ask(runner, BacktestRequest("stat-1", [LATE]))


def test_the_newest_cutoffs_leave_all_days_ahead_known(runner: Runner) -> None:
    def newest(**options: int) -> list[date]:
        return last_cutoffs(runner.stores, "stat-1", "daily", None, **options)

    assert newest(last=2, every=7) == [EARLY, LATE]
    assert newest(last=3, every=1) == [LATE - timedelta(days=back) for back in (2, 1, 0)]
    with pytest.raises(InputError, match="a week apart, not 3 days"):
        last_cutoffs(runner.stores, "stat-1", "weekly", 30, last=2, every=3)


# --- what people see ---


@pytest.fixture(scope="module")
def pictures(outcome: BacktestOutcome) -> dict[str, bytes]:
    return report_pictures(outcome)


def test_the_page_needs_nothing_else_and_says_everything(outcome: BacktestOutcome, pictures: dict[str, bytes]) -> None:
    page = report_page(outcome, pictures)
    assert page == report_page(outcome, report_pictures(outcome)), "the same report, the same bytes"
    assert not re.search(r"<script|<link|https?://|@import|url\(", page)
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(images) == len(pictures) >= 7
    assert all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)
    for words in ("Backtests of stat-1", "How it did", "Bias by level: base to reconciled",
                  "node bias: base, node&#x27;s own", "What the metrics are", "climatology", "wape (% of sales)",
                  f"recipe of stat-1 (statistical), trained as of {EARLY}", "A few series, with what came",
                  outcome.product.version):  # fmt: skip
        assert words in page, words


def test_one_cutoff_makes_no_line(outcome: BacktestOutcome) -> None:
    assert "error_by_cutoff" not in report_pictures(replace(outcome, cutoffs=outcome.cutoffs[-1:]))


def test_a_segment_that_only_a_later_cutoff_has_stands_with_its_kind() -> None:
    report = pl.DataFrame(
        {
            "cutoff": [EARLY, None, None, None, None],
            "segment_kind": ["all", "all", "demand_class", "store_node", "demand_class"],
            "segment": ["all", "all", "smooth", "NL", "new"],
        }
    )
    assert overall(report)["segment"].to_list() == ["all", "smooth", "new", "NL"]


def test_one_cutoff_is_named_once(outcome: BacktestOutcome) -> None:
    assert f"2 cutoffs, {EARLY} to {LATE}; " in summary(outcome.record)
    assert f"1 cutoff, {LATE}; " in summary(replace(outcome.record, cutoffs=(outcome.record.cutoffs[-1],)))


def test_names_cannot_break_the_page(outcome: BacktestOutcome) -> None:
    record = replace(outcome.record, model_version="<b>x</b>")
    page = report_page(replace(outcome, record=record), {})
    assert "<b>" not in page
    assert "Nothing could be measured" in page


def test_dagster_shows_tables_and_pictures(outcome: BacktestOutcome, pictures: dict[str, bytes]) -> None:
    shown = report_metadata(outcome, pictures)
    assert shown["headlines"].startswith("| metric | this version | seasonal naive | stat-0 |")
    assert "| wape (% of sales) |" in shown["headlines"]
    assert "| total x total |" in shown["bias_before_and_after_reconciliation"]
    assert "| node_bias (% of sales) | 0% |" in shown["metrics"]
    assert "error_by_cutoff" in pictures
    assert all(shown[name].startswith("![") for name in pictures)


def test_versions_and_log_tell_of_the_newest_report(runner: Runner, outcome: BacktestOutcome) -> None:
    told = newest_report_text(runner.stores, "stat-1")
    assert told.startswith("Newest backtest report (entry ")
    assert newest_report_text(runner.stores, "stat-0") == ""
    entry = outcome.record.sequence
    (line,) = (
        line for line in log_text(runner.stores, top=50, kind="evaluate").split("\n") if line.startswith(f"{entry} ")
    )
    assert f"stat-1: daily forecasts 7 days ahead at 2 cutoffs up to {LATE}, beside seasonal" in line


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Call:
    for name, setting in {"HOME": runner.settings.home, "WORKERS": 1, "RISK_PATHS": 50}.items():
        monkeypatch.setenv(f"FORECAST_ASSETS_{name}", str(setting))

    def invoke(*arguments: object) -> tuple[int, str]:
        done = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=True)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    return invoke


def test_the_command_writes_a_page_records_the_report_and_shows_it(
    call: Call, runner: Runner, outcome: BacktestOutcome, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    code, told = call("backtest", "--version", "stat-1", "--last", 2, "--against", "stat-0", "--out", page)
    assert code == 0
    assert "this version" in told
    assert f"Pictures, segments, levels, and what each metric is: {page}" in told.replace("\n", "")
    assert "Backtests of stat-1" in page.read_text()
    event = runner.instance.get_latest_materialization_event(dg_key())
    assert event is not None
    assert {"headlines", "bias_by_level", "product_version"} <= set(event.asset_materialization.metadata)  # type: ignore[union-attr]
    with duckdb.connect(str(runner.settings.catalogue_path), read_only=True) as connection:
        (row,) = connection.execute(
            "SELECT count(*), count(DISTINCT evaluated_sequence), max(forecast_horizon) FROM audit.backtest_reports "
            "WHERE model_version = 'stat-1' AND is_newest"
        ).fetchall()
    assert row == (outcome.report.height, 1, DAYS)
    assert "Newest backtest report" in call("versions", "stat-1")[1]


def dg_key() -> object:
    import dagster as dg

    return dg.AssetKey(BACKTEST_REPORTS.name)


def test_the_command_says_what_it_needs(call: Call, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Either --cutoffs or --last is needed"):
        call("backtest", "--version", "stat-1")
    with pytest.raises(InputError, match="Either --cutoffs or --last"):
        call("backtest", "--version", "stat-1", "--last", 1, "--cutoffs", LATE)
    with pytest.raises(InputError, match="does not exist"):
        call("backtest", "--version", "stat-1", "--last", 1, "--out", tmp_path / "no/report.html")
    with pytest.raises(InputError, match=r"End it in \.html"):
        call("backtest", "--version", "stat-1", "--last", 1, "--out", tmp_path / "report.txt")
    mine = tmp_path / "mine.html"
    mine.write_text("not a report")
    with pytest.raises(InputError, match=r"mine\.html` exists"):
        call("backtest", "--version", "stat-1", "--last", 1, "--out", mine)
    assert mine.read_text() == "not a report"
    code, told = call("backtest", "--version", "stat-1", "--cutoffs", "soon")
    assert code == 2
    assert "`soon` is not a date" in told
    assert "Examples:" in call("backtest", "--help")[1]


def test_the_command_goes_by_its_older_name_too(call: Call) -> None:
    with pytest.raises(InputError, match="Either --cutoffs or --last is needed"):
        call("evaluate", "--version", "stat-1")
    code, told = call("evaluate", "--version", "stat-1", "--cutoffs", "soon")
    assert (code, "`soon` is not a date" in told) == (2, True)
    older, newer = cli.commands["evaluate"], cli.commands["backtest"]
    assert (older.callback, older.params, older.help, older.epilog) == (
        newer.callback, newer.params, newer.help, newer.epilog,
    )  # fmt: skip
    listed = call("--help")[1]
    assert "  backtest " in listed
    assert "  evaluate " not in listed


def test_a_reader_of_sql_finds_no_report_where_there_is_none(stores: object, tmp_path: Path) -> None:
    from tests.support.store_cases import catalogue

    path = catalogue(stores, tmp_path / "catalogue")  # type: ignore[arg-type]
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM audit.backtest_reports").fetchall() == [(0,)]
        without_words = connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE table_name = 'backtest_reports' AND comment IS NULL"
        ).fetchall()
    assert without_words == []


def test_what_a_method_forecast_is_named_by_hash(outcome: BacktestOutcome) -> None:
    for cutoff in outcome.cutoffs:
        for run in cutoff.runs:
            last = FORECASTS if run.method.name == BACKTESTED_METHOD else STOCKOUT_RISKS
            assert run.record().forecasts == run.step.made[last.name].version


def test_only_of_the_version_is_made_what_would_be_published(outcome: BacktestOutcome) -> None:
    """Nobody reads the explanations of what it is compared with."""
    for own, other in (cutoff.runs for cutoff in outcome.cutoffs):
        assert {"forecasts", "stockout_risks"} <= set(own.step.made)
        assert "forecasts" not in other.step.made
        with pytest.raises(NotStagedError):
            other.step.stores.predictions.staged("forecast_explanations", other.key)
