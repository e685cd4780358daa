"""One trace from a run's snapshot to its publication, over the wire; answers link to it; numbers are the same."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
from httpx import ASGITransport

from forecast_assets.core.spans import listen
from forecast_assets.launch import Runner
from forecast_assets.operations.copying import CopyOutcome, follow_publications
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.scoring.run import STAGES
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.settings import Settings
from forecast_assets.sources.simulated import read_simulated
from forecast_assets.telemetry.starting import ProcessKind, listening
from resources.operational.api_keys import ApiKeys
from resources.operational.traces import TraceStore
from tests.support.brief_runs import in_full
from tests.support.callers import Client
from tests.support.otlp_receiver import OtlpReceiver, otlp_receiver
from tests.support.planning_cases import NOW
from tests.support.retailers import KEY, copied

pytestmark = pytest.mark.usefixtures("brief_runs")

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"


@contextmanager
def traced(settings: Settings, part: ProcessKind = "batch") -> Iterator[OtlpReceiver]:
    """Export to a receiver while the block goes on; all that was exported is there after it."""
    with otlp_receiver() as receiver, listening(settings.model_copy(update={"otlp": receiver.url}), part):
        yield receiver


@pytest.fixture(scope="module")
def run(trained: Runner, tmp_path_factory: pytest.TempPathFactory) -> tuple[Runner, RunOutcome, OtlpReceiver]:
    """A run that was made while a collector listened."""
    runner = copied(trained, tmp_path_factory.mktemp("traced") / "home")
    with in_full(), traced(runner.settings) as receiver:
        outcome = runner.score(KEY)
    return runner, outcome, receiver


def test_one_trace_goes_from_the_run_through_stages_and_checks_to_the_ledger(
    run: tuple[Runner, RunOutcome, OtlpReceiver],
) -> None:
    _, outcome, receiver = run
    root = receiver.only("run")
    assert {span.trace_id for span in receiver.spans} == {root.trace_id}
    assert (root.parent_id, root.facts["subject"], root.service) == ("", str(KEY), "forecast-assets")
    parts = {span.name for span in receiver.spans if span.parent_id == root.span_id}
    assert parts == {"feature_snapshots", *STAGES, "check", "publication", "catalogue"}
    append = receiver.only("ledger append")
    assert append.parent_id == receiver.only("publication").span_id
    assert append.facts == {"kind": "publish", "sequence": outcome.publication.sequence}
    assert receiver.only("forecasts").facts == {"rows": 18 * 2 * 28}
    assert all(span.facts["passed"] is True for span in receiver.named("check"))
    of_run = [span for span in receiver.named("check") if span.facts["product"] != "feature_snapshots"]
    assert len(of_run) == outcome.checks_passed
    assert {*receiver.paths} == {"/v1/traces"}


def test_the_trace_of_a_run_is_found_by_its_key_and_its_times_too(
    run: tuple[Runner, RunOutcome, OtlpReceiver],
) -> None:
    runner, outcome, receiver = run
    root, kept = receiver.only("run"), TraceStore(runner.settings.traces_path)
    assert kept.traceparent_of(str(KEY)) == f"00-{root.trace_id}-{root.span_id}-01"
    times = kept.newest_times("daily")
    assert times is not None
    assert (times.subject, times.checks_failed, times.is_done) == (str(KEY), 0, True)
    assert times.checks_passed == len(receiver.named("check")) > outcome.checks_passed
    assert {*STAGES} < {*times.stage_seconds}
    assert sum(times.stage_seconds.values()) <= times.seconds


def test_published_bytes_are_the_same_with_telemetry_and_without(
    run: tuple[Runner, RunOutcome, OtlpReceiver], published: tuple[Runner, RunOutcome]
) -> None:
    with_it, without = run[1].publication, published[1].publication
    assert with_it.products == without.products
    assert with_it.files == without.files


def test_a_trace_is_kept_before_the_entry_that_publishes_its_run(
    trained: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = copied(trained, tmp_path / "home")
    seen: list[str | None] = []
    ledger = runner.stores.ledger
    append = ledger.append

    def looked(kind: str, *args: object, **kwargs: object) -> object:
        seen.append(TraceStore(runner.settings.traces_path).traceparent_of(str(KEY)))
        return append(kind, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger, "append", looked)
    with traced(runner.settings) as receiver:
        runner.score(KEY)
    root = receiver.only("run")
    assert seen == [f"00-{root.trace_id}-{root.span_id}-01"]


def test_what_cannot_be_kept_fails_no_run(trained: Runner, tmp_path: Path) -> None:
    runner = copied(trained, tmp_path / "home")
    runner.settings.traces_path.parent.mkdir(parents=True, exist_ok=True)
    runner.settings.traces_path.write_bytes(b"this is no database" * 100)
    with traced(runner.settings) as receiver:
        assert runner.score(KEY).is_new
    assert receiver.only("run").facts["subject"] == str(KEY)


def test_an_ingest_is_traced_by_its_batches(retailer_folder: Path, tmp_path: Path) -> None:
    runner = Runner(Settings(home=tmp_path, workers=1))
    with traced(runner.settings) as receiver:
        added = runner.ingest(read_simulated(retailer_folder)).added
    root, kept = receiver.only("ingest"), TraceStore(runner.settings.traces_path)
    assert root.facts["batches_added"] == len(added)
    assert receiver.only("ledger append").parent_id == root.span_id
    for batch in added:
        assert kept.traceparent_of(f"ingest/{batch.batch_id}") == f"00-{root.trace_id}-{root.span_id}-01"


def test_a_run_that_dagster_launches_is_traced_by_dagsters_id_of_it(trained: Runner, tmp_path: Path) -> None:
    runner = copied(trained, tmp_path / "home")
    settings = runner.settings.model_copy(update={"workers": 1})
    with otlp_receiver() as receiver:
        # As the daemon does it: a process of its own, which loads the code location and runs one job.
        environment = {
            **os.environ,
            "FORECAST_ASSETS_HOME": str(settings.home),
            "FORECAST_ASSETS_OTLP": receiver.url,
            "FORECAST_ASSETS_WORKERS": "1",
            "DAGSTER_HOME": str(tmp_path / "dagster"),
        }
        (tmp_path / "dagster").mkdir()
        script = (
            "import dagster as dg\n"
            "from forecast_assets.definitions import FEATURE_PIPELINE, defs\n"
            "job = defs().resolve_job_def(FEATURE_PIPELINE)\n"
            f"print(job.execute_in_process(partition_key='{date(2025, 6, 29)}').run_id)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=120
        )
    run_id = done.stdout.strip().splitlines()[-1]
    root = receiver.only("run")
    assert root.trace_id == run_id.replace("-", "")
    assert root.facts["job"] == "feature_pipeline"
    snapshot = receiver.only("feature_snapshots")
    assert (snapshot.trace_id, snapshot.parent_id) == (root.trace_id, root.span_id)


def test_a_mirror_that_follows_later_goes_on_in_the_trace_of_the_run(
    run: tuple[Runner, RunOutcome, OtlpReceiver],
) -> None:
    runner, _, of_run = run
    root, settings = of_run.only("run"), runner.settings.model_copy(update={"operational_copy": "sqlite"})
    with traced(settings) as receiver:
        outcome = follow_publications(settings, runner.stores)
    assert isinstance(outcome, CopyOutcome)
    assert outcome.written == (KEY,)
    copied_run = receiver.only("operational copy")
    assert (copied_run.trace_id, copied_run.parent_id) == (root.trace_id, root.span_id)


# --- answers ---


@pytest.fixture
def client(run: tuple[Runner, RunOutcome, OtlpReceiver], tmp_path: Path) -> Client:
    keys = ApiKeys(tmp_path / "keys.sqlite")
    text = keys.create("tests", "planner", now=NOW, valid_for=None)[1]
    app = create_app(DataPlane(run[0].stores, lambda: NOW), Callers(keys, lambda: NOW))
    return Client(ASGITransport(app=app), text)


def stored(client: Client, flags: str = "") -> None:
    asked = "/v1/forecasts?model_version=stat-1&sku_id=FOOD-0001&store_id=S-01&limit=1"
    headers = {"traceparent": f"{GIVEN}-{flags}"} if flags else {}
    assert client.get(asked, headers=headers).status_code == 200


def test_an_answer_links_to_the_trace_of_the_run_that_it_is_of(
    run: tuple[Runner, RunOutcome, OtlpReceiver], client: Client
) -> None:
    published = run[2].only("run")
    of_run = f"00-{published.trace_id}-{published.span_id}-01"
    settings = run[0].settings.model_copy(update={"trace_share_answers": 1.0})
    with traced(settings, "service") as receiver:
        stored(client)
    answer = receiver.only("answer stored")
    assert answer.links == (of_run,)
    assert answer.facts["run_traceparent"] == of_run
    assert (answer.parent_id, answer.service) == ("", "forecast-assets-service")
    assert receiver.only("read").parent_id == answer.span_id


def test_a_callers_trace_goes_on_in_the_answer(run: tuple[Runner, RunOutcome, OtlpReceiver], client: Client) -> None:
    settings = run[0].settings.model_copy(update={"trace_share_answers": 0.0})
    with traced(settings, "service") as receiver:
        stored(client, "01")
    answer = receiver.only("answer stored")
    assert f"00-{answer.trace_id}-{answer.parent_id}" == GIVEN


def test_a_caller_who_records_nothing_is_not_recorded(
    run: tuple[Runner, RunOutcome, OtlpReceiver], client: Client
) -> None:
    settings = run[0].settings.model_copy(update={"trace_share_answers": 1.0})
    with traced(settings, "service") as receiver:
        stored(client, "00")
    assert receiver.spans == []


def test_a_share_of_answers_is_recorded(run: tuple[Runner, RunOutcome, OtlpReceiver], client: Client) -> None:
    settings = run[0].settings.model_copy(update={"trace_share_answers": 0.25})
    with traced(settings, "service") as receiver:
        for _ in range(200):
            stored(client)
    # A fifth of the traces, give or take four standard deviations.
    assert 26 <= len(receiver.named("answer stored")) <= 74
    assert len(receiver.named("read")) == len(receiver.named("answer stored"))


def test_a_prediction_says_what_took_time_and_never_what_was_asked(
    run: tuple[Runner, RunOutcome, OtlpReceiver], client: Client
) -> None:
    settings = run[0].settings.model_copy(update={"trace_share_answers": 1.0})
    body = {
        "use": "what_if", "model_version": "stat-1",
        "series": [{"store_id": "S-01", "sku_id": "FOOD-0001", "price_ratios": {"2025-07-02": 0.7}}],
    }  # fmt: skip
    with traced(settings, "service") as receiver:
        found = client.request("POST", "/v1/predict", json=body)
    assert found.status_code == 200, found.text
    answer = receiver.only("answer prediction")
    assert (answer.facts["use"], answer.facts["run"]) == ("what_if", str(KEY))
    assert {span.name for span in receiver.spans if span.parent_id == answer.span_id} >= {"features", "model"}
    assert b"FOOD-0001" not in b"".join(receiver.bodies)


def test_nobody_listens_unless_a_process_says_so() -> None:
    assert listen(None) is None
