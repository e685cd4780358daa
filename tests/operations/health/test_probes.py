"""Probes say what is wrong, and only then; what is due is due by schedule, lag and grace."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from forecast_assets.core.health import FailedRun, HealthFinding
from forecast_assets.operations.health import installation, places, punctuality, quality
from forecast_assets.operations.health.look import HomeLook
from forecast_assets.operations.outbox import home_outbox
from forecast_assets.settings import Settings
from resources.broker import kafka
from resources.ledger.entries.judged_days import Signal
from resources.maintenance.backup_index import BackupRecord, write_record
from resources.outbox.event import LEDGER
from resources.outbox.store import DestinationPosition
from resources.stores.home import Stores, open_stores
from tests.support.brokers import kafka_cluster, silent_address
from tests.support.ledger_cases import anomalies, judge
from tests.support.store_cases import CUTOFF, ingest, publish, run_key
from tests.support.trial_cases import CHALLENGER, Said, begin, judged, measure_days, measured, with_champion

SIGNAL = Signal("feed/sales/sales_units/changed/all", "2025-01-05", 0.3, "sales_units of sales changed")
ROWS = Signal("feed/sales/rows/changed/all", "2025-01-05", 0.3, "rows of sales changed")


@pytest.fixture
def home(tmp_path: Path) -> Stores:
    return with_champion(open_stores(tmp_path / "store"))


def look(stores: Stores, now: datetime | None = None, history: Any = None, **settings: Any) -> HomeLook:
    home = Path(stores.blobs.root).parent
    return HomeLook(Settings(home=home, mlflow=False, **settings), now or datetime.now(UTC), history)


def told(findings: tuple[HealthFinding, ...]) -> list[str]:
    return [each.fingerprint for each in findings]


# --- punctuality ---


@pytest.mark.parametrize(
    ("now", "late"),
    [
        ("2025-01-02T12:00", []),  # 1 January has come
        ("2025-01-03T09:59", []),  # 2 January is due at 7, with three hours of grace
        ("2025-01-03T10:00", ["late-feed/sales"]),
    ],
)
def test_a_feed_is_late_after_the_scheduled_hour_and_the_grace(home: Stores, now: str, late: list[str]) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert told(punctuality.late_feeds(look(home, at, freshness=True)).findings) == late


def test_a_feed_may_come_as_late_as_its_deliveries_declare(home: Stores) -> None:
    at = datetime(2025, 1, 3, 10, tzinfo=UTC)
    assert told(punctuality.late_feeds(look(home, at, freshness=True, schedule_hour_utc=0)).findings) == [
        "late-feed/sales"
    ]
    # Six hours of lag and three of grace.
    early = datetime(2025, 1, 3, 8, 59, tzinfo=UTC)
    assert punctuality.late_feeds(look(home, early, freshness=True, schedule_hour_utc=0)).findings == ()


def test_a_home_of_past_days_is_not_late(home: Stores) -> None:
    for probe in (punctuality.late_feeds, punctuality.late_runs):
        seen = probe(look(home))
        assert (seen.findings, seen.is_watched) == ((), False)


def test_a_run_is_late_until_the_champion_has_published_it(home: Stores) -> None:
    ingest(home, day=1)
    at = datetime(2025, 1, 3, 12, tzinfo=UTC)
    # A champion that has published nothing begins with the newest date after its promotion.
    assert punctuality.late_runs(look(home, at, freshness=True)).findings == ()
    publish(home, run_key())
    (finding,) = punctuality.late_runs(look(home, at, freshness=True)).findings
    assert finding.fingerprint == "late-run/daily"
    assert "daily run of 2025-01-02 with `stat-1` is not published" in finding.words
    publish(home, run_key(1))
    assert punctuality.late_runs(look(home, at, freshness=True)).findings == ()


# --- quality ---


def test_failed_runs_and_failed_checks_are_told_apart(home: Stores) -> None:
    at = datetime.now(UTC)
    runs = [
        FailedRun("daily_scoring", "2025-01-01|stat-1", "r1", at, (("sums_agree", "2 rows differ."),)),
        FailedRun("training", "", "r2", at, words="MemoryError"),
    ]

    class History:
        def failed_runs(self, since: datetime) -> list[FailedRun]:
            assert since < at - timedelta(days=6)
            return runs

        def trouble(self) -> str:
            return ""

    found = quality.failed_runs(look(home, history=History())).findings
    assert told(found) == ["failed-check/daily_scoring/2025-01-01|stat-1/sums_agree", "failed-run/training"]
    assert "2 rows differ." in found[0].words
    assert "MemoryError" in found[1].words


def test_a_drift_is_told_once_a_second_day_confirms_it(home: Stores) -> None:
    judge(home, date(2025, 1, 5), told=(SIGNAL,))
    seen = quality.drift(look(home))
    assert (seen.findings, "1 signal not confirmed" in seen.words) == ((), True)
    judge(home, date(2025, 1, 6))
    (finding,) = quality.drift(look(home)).findings
    assert (finding.fingerprint, finding.facts["items"]) == ("drift-confirmed/feed/sales", [1])
    judge(home, date(2025, 1, 7), closed=(SIGNAL.signal,))
    assert quality.drift(look(home)).findings == ()


def test_a_change_in_some_stores_alone_has_to_go_on_for_two_weeks(home: Stores) -> None:
    local = Signal("feed/sales/sales_units/changed/stores", "2025-01-05", 0.3, "sales_units of sales changed in S-02")
    other = Signal("feed/sales/rows/changed/stores", "2025-01-05", 0.3, "rows of sales changed in S-01")
    judge(home, date(2025, 1, 5), told=(local, other))
    for number in range(1, 14):
        judge(home, date(2025, 1, 5) + timedelta(days=number))
    assert quality.drift(look(home)).findings == ()
    judge(home, date(2025, 1, 19))
    assert told(quality.drift(look(home)).findings) == ["drift-confirmed/feed/sales"]


def test_what_is_broken_in_some_stores_is_told_on_the_second_day(home: Stores) -> None:
    broken = Signal("feed/sales/sales_units/broken/stores", "2025-01-05", 3.0, "sales_units of sales broken in S-02")
    judge(home, date(2025, 1, 5), told=(broken,))
    assert quality.drift(look(home)).findings == ()
    judge(home, date(2025, 1, 6))
    assert told(quality.drift(look(home)).findings) == ["drift-confirmed/feed/sales"]


def test_a_drift_that_is_over_on_the_second_day_wakes_nobody(home: Stores) -> None:
    judge(home, date(2025, 1, 5), told=(SIGNAL,))
    judge(home, date(2025, 1, 6), closed=(SIGNAL.signal,))
    assert quality.drift(look(home)).findings == ()


def test_a_drift_is_told_at_once_if_a_second_figure_or_detector_confirms_it(home: Stores) -> None:
    judge(home, date(2025, 1, 5), told=(SIGNAL, ROWS))
    assert told(quality.drift(look(home)).findings) == ["drift-confirmed/feed/sales"]


def test_another_detector_confirms_a_feed(home: Stores) -> None:
    judge(home, date(2025, 1, 5), told=(SIGNAL,))
    series = Signal("series/sales/sales_farthest/unusual/stores", "2025-01-05", 3.0, "series of sales are unusual")
    anomalies(home, told=(series,))
    (finding,) = quality.drift(look(home)).findings
    assert (finding.fingerprint, len(finding.facts["signals"])) == ("drift-confirmed/feed/sales", 2)


def days_of(stores: Stores, numbers: range, **said: float) -> None:
    usual = {"error": 0.0, "inside": 0.8, **said}
    for number in numbers:
        varied = Said(error=usual["error"] + 10 * (number % 3 - 1), inside=usual["inside"] + 0.01 * (number % 3 - 1))
        measured(stores, CUTOFF + timedelta(days=number), {("stat-1", 1): varied})


@pytest.mark.parametrize(
    ("error", "is_told"), [(0.0, False), (90.0, False), (101.0, False), (120.0, True), (-120.0, True)]
)
def test_bias_is_told_beyond_the_bound_and_what_chance_explains(home: Stores, error: float, is_told: bool) -> None:
    days_of(home, range(1, 15), error=error)
    found = quality.bias(look(home)).findings
    assert told(found) == (["bias-out-of-bounds/daily"] if is_told else [])
    assert all(("too high" if error > 0 else "too low") in each.words for each in found)


@pytest.mark.parametrize(("inside", "is_told"), [(0.8, False), (0.71, False), (0.6, True), (0.95, True)])
def test_coverage_is_told_beyond_the_bound_likewise(home: Stores, inside: float, is_told: bool) -> None:
    days_of(home, range(1, 15), inside=inside)
    assert told(quality.coverage(look(home)).findings) == (["coverage-out-of-bounds/daily"] if is_told else [])


def test_few_measured_days_say_nothing(home: Stores) -> None:
    days_of(home, range(1, 14), error=500.0, inside=0.1)
    assert not quality.bias(look(home)).is_watched
    assert not quality.coverage(look(home)).is_watched


def test_a_verdict_that_somebody_may_act_on_is_news(home: Stores) -> None:
    begin(
        home, rules={"level": 0.9, "least_days": 14, "bias_margin": 1.0, "coverage_margin": 1.0, "segment_margin": 1.0}
    )
    measure_days(home, 10, Said(20.0))
    judged(home)
    assert quality.verdicts(look(home)).findings == ()
    measure_days(home, 40, Said(20.0), first=10)
    verdict = judged(home)
    assert verdict.decision == "better"
    (finding,) = quality.verdicts(look(home)).findings
    assert finding.severity == "info"
    assert f"`{CHALLENGER}` beside `stat-1`" in finding.words


# --- places ---


def test_a_changed_file_is_found_again_until_it_is_right(home: Stores) -> None:
    publication = publish(home, run_key())
    path = Path(home.blobs.root) / publication.files["forecasts"][0].path
    right = path.read_bytes()
    assert places.stored_bytes(look(home)).findings == ()
    path.chmod(0o644)
    path.write_bytes(right[:-1] + b"x")
    for _ in range(2):
        assert told(places.stored_bytes(look(home)).findings) == [
            f"verify-finding/{publication.files['forecasts'][0].path}"
        ]
    path.unlink()
    (finding,) = places.stored_bytes(look(home)).findings
    assert "missing" in finding.words
    path.write_bytes(right)
    assert places.stored_bytes(look(home)).findings == ()


def test_what_a_whole_verification_found_is_told_until_the_next_one(home: Stores) -> None:
    from resources.maintenance.sampling import keep_findings

    operational = Path(home.blobs.root).parent / "operational/operational.sqlite"
    keep_findings(operational, {}, datetime.now(UTC))
    assert not operational.exists(), "a whole store leaves no trace"
    keep_findings(operational, {"stray.txt": "unexpected: nobody wrote it"}, datetime.now(UTC))
    for _ in range(2):
        assert told(places.stored_bytes(look(home)).findings) == ["verify-finding/stray.txt"]
    keep_findings(operational, {}, datetime.now(UTC))
    assert places.stored_bytes(look(home)).findings == ()


def test_files_are_looked_at_in_turn(home: Stores) -> None:
    from resources.maintenance.sampling import look_at_some, named_files

    publish(home, run_key())
    state, at = home.ledger.state(), datetime.now(UTC)
    operational = Path(home.blobs.root).parent / "operational/operational.sqlite"
    every = [file.path for file in named_files(state)]
    seen = []

    def watched(path: str, expected: str) -> bool:
        del expected
        seen.append(path)
        return True

    with patch.object(home.blobs, "is_intact", watched):
        for _ in every:
            assert look_at_some(home, state, operational, at, seconds=0.0).looked == 1
    assert seen == every


def test_a_disk_is_nearly_full_below_the_setting(home: Stores) -> None:
    assert places.disks(look(home, disk_free_mb=1)).findings == ()
    (finding,) = places.disks(look(home, disk_free_mb=1 << 40)).findings
    assert finding.code == "disk-nearly-full"


def test_a_service_that_is_no_service_is_unavailable(home: Stores) -> None:
    from tests.support.alert_receivers import http_receiver

    with http_receiver() as server:
        (finding,) = places.service(look(home, api_url=f"http://127.0.0.1:{server.port}")).findings
    assert finding.fingerprint == "service-unavailable/service"


def test_what_a_service_says_is_told_by_what_it_is(home: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"is_ready": True, "reasons": [], "degraded": ["the breaker of the model is open", "Redis fails"]}
    monkeypatch.setattr(places, "told_state", lambda _: {**state, "ledger_sequence": 3})
    found = places.service(look(home, api_url="http://x")).findings
    assert told(found) == ["breaker-open/service", "service-degraded/service"]
    monkeypatch.setattr(places, "told_state", lambda _: {**state, "is_ready": False, "reasons": ["nothing is there"]})
    (finding,) = places.service(look(home, api_url="http://x")).findings
    assert "nothing is there" in finding.words


# --- installation ---


def test_libraries_that_differ_from_the_lock_are_named(
    home: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "polars==0.0.1 \\\n    --hash=sha256:ab\nno-such-library==1.0\nother==2 ; python_full_version < '3'\n"
    )
    monkeypatch.setattr(installation, "LOCK", lock)
    (finding,) = installation.libraries(look(home)).findings
    assert len(finding.facts["different"]) == 2
    assert "instead of 0.0.1" in finding.words
    assert "no-such-library is not installed" in finding.words


def test_libraries_are_those_of_the_lock_here(home: Stores) -> None:
    assert installation.libraries(look(home)).findings == ()


def test_a_catalogue_that_lacks_a_publication_is_behind(home: Stores) -> None:
    publish(home, run_key())
    assert told(installation.catalogue(look(home)).findings) == ["catalogue-behind/catalogue"]
    import duckdb

    from resources.catalogue.build import build_catalogue

    folder = Path(home.blobs.root).parent / "catalogue"
    with duckdb.connect() as connection:
        build_catalogue(home.predictions, folder, connection)
    assert installation.catalogue(look(home)).findings == ()


def test_a_port_that_is_taken_is_said(home: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    from tests.support.mirrors import free_port

    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(installation, "PORTS", {"UI": taken.getsockname()[1], "service": free_port()})
        words = installation.ports(look(home)).words
    assert re.fullmatch(r"UI \d+: somebody listens, service \d+: free", words)


def test_a_store_that_everybody_may_write_to_is_too_open(home: Stores) -> None:
    folder = Path(home.blobs.root)
    assert installation.permissions(look(home)).findings == ()
    folder.chmod(folder.stat().st_mode | stat.S_IWOTH)
    assert told(installation.permissions(look(home)).findings) == ["too-open/home"]


@contextmanager
def nobody_may() -> Iterator[None]:
    with patch.object(os, "access", lambda *_: False):
        yield


def test_a_home_that_cannot_be_written_is_a_problem(home: Stores) -> None:
    assert installation.home(look(home)).findings == ()
    with nobody_may():
        (finding,) = installation.home(look(home)).findings
    assert finding.code == "home-unusable"


# --- who is told, and what is backed up ---


def test_a_broker_is_asked_whether_it_answers(home: Stores) -> None:
    assert places.broker(look(home)).words.startswith("not set")
    with kafka_cluster() as address:
        seen = places.broker(look(home, broker=address))
        assert (seen.findings, seen.words) == ((), f"kafka {address} answers")
    with patch.object(kafka, "ANSWER_SECONDS", 1.0):
        assert told(places.broker(look(home, broker=silent_address())).findings) == ["broker-down/broker"]


def test_a_destination_that_takes_none_is_told_after_ten_minutes_and_one_that_nobody_tells_after_thirty(
    home: Stores,
) -> None:
    outbox = home_outbox(look(home).settings)
    now = datetime.now(UTC)
    asked = {"webhooks": ("https://example.com/hook",)}
    assert not places.outbox(look(home)).findings
    assert not places.outbox(look(home, **asked)).findings, "who was told nothing yet is not behind"

    def found(minutes: int, position: int, trouble: str = "") -> list[str]:
        at = (now - timedelta(minutes=minutes)).isoformat(timespec="seconds")
        name = "webhook example.com/hook"
        outbox.put(DestinationPosition(name, LEDGER, position, "", at, trouble, at if trouble else ""))
        return told(places.outbox(look(home, now, **asked)).findings)

    newest, behind = home.ledger.state().sequence, ["outbox-behind/webhook example.com/hook, ledger"]
    assert found(9, newest - 1, "it answers 500") == []
    assert found(11, newest - 1, "it answers 500") == behind
    assert found(60 * 24, newest - 1) == [], "until a moment ago there was nothing to tell"
    now += timedelta(minutes=29)
    assert found(60 * 24, newest - 1) == []
    now += timedelta(minutes=2)
    assert found(29, newest - 1) == []
    assert found(60 * 24, newest - 1) == behind
    assert found(31, newest) == []
    assert found(11, newest + 3, "it was told what is not in this ledger") == behind
    assert not places.outbox(look(home, now)).findings, "it is no destination any more"


def test_a_backup_is_old_where_entries_came_since(home: Stores) -> None:
    now = datetime.now(UTC)
    assert not places.backup(look(home, now)).findings

    def found(hours: float, head: str) -> list[str]:
        at = (now - timedelta(hours=hours)).isoformat()
        write_record(look(home).settings.backups_path, BackupRecord("/mnt/backup", head, at, at, 1.0))
        return told(places.backup(look(home, now)).findings)

    state = home.ledger.state()
    assert found(47, "1:ab") == []
    assert found(49, "1:ab") == ["backup-old/backup"]
    assert found(49, f"{state.sequence}:{state.head}") == []
