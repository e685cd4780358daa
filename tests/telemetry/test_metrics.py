"""Figures: Prometheus' own parser reads them, they say what was recorded, and their labels have few values."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from prometheus_client import CollectorRegistry

from forecast_assets.core.errors import StorageError
from forecast_assets.core.operational_metrics import PREFIX, Collector, OperationalMetric, Reading
from forecast_assets.launch import Runner
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.settings import Settings
from forecast_assets.telemetry.collectors import home_collectors
from forecast_assets.telemetry.exposition import metrics_text, registry_text, write_metrics
from forecast_assets.telemetry.home_metrics import Home
from forecast_assets.telemetry.quality_metrics import QualityReadings
from forecast_assets.telemetry.request_metrics import RequestMetrics
from forecast_assets.telemetry.starting import listening
from resources.ledger.entries.judged_days import Signal
from resources.stores.home import Stores
from tests.support.command import caller
from tests.support.ledger_cases import judge
from tests.support.metrics_read import Samples, labelled, parsed
from tests.support.retailers import KEY, RETAILER, copied
from tests.support.trial_cases import FIRST, Said, measured, with_champion
from tests.support.value_cases import value_row, valued


def read(stores: Stores, now: datetime, home: Path) -> Samples:
    return parsed(metrics_text(home_collectors(Settings(home=home), stores, lambda: now)))


def test_figures_of_a_home_say_what_its_ledger_says(published: tuple[Runner, RunOutcome], tmp_path: Path) -> None:
    runner, outcome = published
    now = datetime(2025, 7, 3, 6, tzinfo=UTC)
    found = read(runner.stores, now, tmp_path)
    state, publication = runner.stores.ledger.state(), outcome.publication
    assert labelled(found, "ledger_sequence") == state.sequence
    recorded = datetime.fromisoformat(state.recorded_at)
    assert labelled(found, "ledger_head_timestamp_seconds") == recorded.timestamp()
    assert labelled(found, "ledger_head_age_seconds") == (now - recorded).total_seconds()
    # The last day that is over is 2 July; sales are known up to 30 June.
    assert labelled(found, "feed_lag_days", feed="sales") == 2
    assert labelled(found, "run_prediction_date_age_days", cadence="daily") == 2
    assert labelled(found, "run_rows", cadence="daily", product="forecasts") == 18 * 2 * 28
    accepted = sum(len(checks) for checks in publication.accepted.values())
    assert labelled(found, "run_accepted_checks", cadence="daily") == accepted > 20
    assert labelled(found, "drift_signals_open", subject="feed") == 0
    assert labelled(found, "collector_failed", collector="home") == 0


def test_no_label_has_a_store_a_sku_or_a_run(published: tuple[Runner, RunOutcome], tmp_path: Path) -> None:
    found = read(published[0].stores, datetime(2025, 7, 3, 6, tzinfo=UTC), tmp_path)
    values = {value for _, labels in found for _, value in labels}
    assert not {value for value in values if re.search(r"\d{4}-\d\d-\d\d|S-\d\d|-\d{4}|/", value)}
    assert len(found) < 200


def test_accuracy_is_the_ratio_of_the_sums_of_the_newest_days_by_segment(stores: Stores, tmp_path: Path) -> None:
    with_champion(stores)
    # Out of the window; in it on two days.
    measured(stores, FIRST, {("stat-1", 1): Said(loss=900.0)})
    last = FIRST + timedelta(days=40)
    for at, said in ((1, Said(loss=30.0, error=-10.0, inside=0.7)), (0, Said(loss=50.0, error=20.0, inside=0.9))):
        measured(stores, last - timedelta(days=at), {("stat-1", 1): said, ("stat-9", 1): Said(loss=5.0)})
    found = read(stores, datetime(2025, 7, 3, 6, tzinfo=UTC), tmp_path)
    every = {"cadence": "daily", "model_version": "stat-1", "segment_kind": "all", "segment": "all"}
    rows = stores.predictions.read(
        stores.predictions.version(stores.ledger.state().newest_measurement("daily", last).product_version)  # type: ignore[union-attr]
    ).filter(model_version="stat-1", segment_kind="all", product_level="sku", store_level="store")
    sales = float(rows["sales_units"].sum()) * 2
    assert labelled(found, "accuracy_wape_share", **every) == pytest.approx(80.0 / sales)
    assert labelled(found, "accuracy_bias_share", **every) == pytest.approx(10.0 / sales)
    assert labelled(found, "accuracy_coverage_share", **every, interval_percent="80") == pytest.approx(0.8)
    assert labelled(found, "accuracy_rows", **every) == 400
    assert not [labels for _, labels in found if ("model_version", "stat-9") in labels], "no channel points there"
    assert not [labels for _, labels in found if ("segment_kind", "store") in labels]


def test_the_value_of_overrides_is_of_planners_alone(stores: Stores, tmp_path: Path) -> None:
    valued(stores, [value_row(found=10, published=12, sales=11.5, rows=40)])
    found = read(stores, datetime(2025, 7, 3, 6, tzinfo=UTC), tmp_path)
    assert labelled(found, "override_value_added_points", cadence="daily") == pytest.approx(100 * (1.5 - 0.5) / 11.5)
    assert labelled(found, "override_rows", cadence="daily") == 40


def test_open_signals_of_drift_are_counted_until_they_close(stores: Stores, tmp_path: Path) -> None:
    signals = tuple(Signal(f"feed/{feed}/rows/changed/all", "2025-01-04", 3.0, "fewer") for feed in ("sales", "prices"))
    counts = []
    for day, told, closed in (("2025-01-05", signals, ()), ("2025-01-06", (), (signals[0].signal,))):
        judge(stores, date.fromisoformat(day), told, closed)
        found = read(stores, datetime(2025, 7, 3, 6, tzinfo=UTC), tmp_path)
        counts.append(labelled(found, "drift_signals_open", subject="feed"))
    assert counts == [2, 1]


def test_files_are_read_again_only_when_the_ledger_has_grown(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_champion(stores)
    measured(stores, FIRST, {("stat-1", 1): Said()})
    readings, home = QualityReadings(), Home(Settings(home=tmp_path), stores, datetime(2025, 7, 3, tzinfo=UTC))
    first = readings(home)
    monkeypatch.setattr(stores.predictions, "read", lambda *_: pytest.fail("it was read again"))
    assert readings(home) is first
    monkeypatch.undo()
    measured(stores, FIRST + timedelta(days=1), {("stat-1", 1): Said()})
    assert readings(home) != first


def test_figures_that_cannot_be_read_leave_the_others_there(stores: Stores, tmp_path: Path) -> None:
    def broken() -> Iterable[Reading]:
        raise OSError("disk")

    found = parsed(metrics_text([Collector("broken", (), broken), *home_collectors(Settings(home=tmp_path), stores)]))
    assert labelled(found, "collector_failed", collector="broken") == 1
    assert labelled(found, "ledger_sequence") == 0


def test_a_label_with_odd_characters_is_read_back() -> None:
    metric = OperationalMetric("odd", "gauge", "things", "Odd.", ("what",))
    text = metrics_text([Collector("odd", (metric,), lambda: [metric(1.5, 'a "b"\\\nc')])])
    assert labelled(parsed(text), "odd", what='a "b"\\\nc') == 1.5
    with pytest.raises(ValueError, match="has the labels"):
        metric(1.0)


# --- requests ---


def test_quantiles_follow_from_the_histogram_of_a_route_and_a_use() -> None:
    registry = CollectorRegistry(auto_describe=False)
    requests = RequestMetrics(registry)
    for milliseconds in range(1, 101):
        requests.answered("http", "/v1/predict", "what_if", "2xx", milliseconds / 1_000)
    with requests.under_way("http"), requests.under_way("http"):
        found = parsed(registry_text(registry).decode())
    own = {"door": "http", "route": "/v1/predict", "use": "what_if", "status": "2xx"}
    assert labelled(found, "request_seconds_count", **own) == 100
    assert labelled(found, "request_seconds_sum", **own) == pytest.approx(5.05)
    within = {float(dict(labels)["le"]): count for (name, labels), count in found.items() if name.endswith("_bucket")}
    assert (within[0.05], within[0.1], within[float("inf")]) == (50, 100, 100)
    assert labelled(found, "requests_in_flight", door="http") == 2
    assert not [name for name, _ in found if name.endswith("_created")]


# --- files and the command ---


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    path, texts = tmp_path / "figures.prom", [f"# {'x' * 200_000}\n{PREFIX}a {number}\n" for number in range(2)]
    seen: set[str] = set()
    write_metrics(path, texts[0])
    writers = [Thread(target=lambda text=text: [write_metrics(path, text) for _ in range(30)]) for text in texts]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_text())
    assert seen <= {*texts}
    assert [*tmp_path.iterdir()] == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    with pytest.raises(StorageError, match="cannot be written"):
        write_metrics(tmp_path / "none" / "figures.prom", texts[0])


def test_the_command_prints_or_writes_them(
    published: tuple[Runner, RunOutcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(published[0].settings.home))
    call = caller(monkeypatch, capsys)
    code, said = call("metrics")
    assert code == 0
    assert labelled(parsed(said), "run_rows", cadence="daily", product="forecasts") == 18 * 2 * 28
    path = tmp_path / "figures.prom"
    assert call("metrics", "--out", path) == (0, f"Written to {path}.\n")
    assert {name for name, _ in parsed(path.read_text())} == {name for name, _ in parsed(said)}


@pytest.mark.usefixtures("brief_runs")
def test_a_run_leaves_a_file_of_figures_with_its_own_times(trained: Runner, tmp_path: Path) -> None:
    runner = copied(trained, tmp_path / "home")
    path = tmp_path / "figures.prom"
    with listening(runner.settings.model_copy(update={"metrics_file": path}), "batch"):
        runner.score(KEY)
    found = parsed(path.read_text())
    assert labelled(found, "run_succeeded", cadence="daily") == 1
    assert labelled(found, "run_checks", cadence="daily", outcome="failed") == 0
    assert labelled(found, "run_checks", cadence="daily", outcome="passed") > 40
    seconds = labelled(found, "run_seconds", cadence="daily")
    stages = [value for (name, _), value in found.items() if name == "run_stage_seconds"]
    assert 0 < sum(stages) <= seconds


@pytest.mark.usefixtures("brief_runs")
def test_a_file_that_cannot_be_written_fails_no_run(
    trained: Runner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runner = copied(trained, tmp_path / "home")
    with listening(runner.settings.model_copy(update={"metrics_file": tmp_path / "none" / "x.prom"}), "batch"):
        assert runner.snapshot(RETAILER.end - timedelta(days=1))
    assert "figures could not be written" in caplog.text


def test_a_command_that_needs_no_telemetry_imports_none_of_its_libraries(tmp_path: Path) -> None:
    script = (
        "import sys, forecast_assets.cli\n"
        "from forecast_assets.cli.common import current, opened\n"
        "from forecast_assets.telemetry.starting import listening\n"
        "with listening(current(), 'batch'): opened()\n"
        "print([name for name in ('opentelemetry.sdk', 'prometheus_client', 'structlog') if name in sys.modules])\n"
    )
    environment = {**os.environ, "FORECAST_ASSETS_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
