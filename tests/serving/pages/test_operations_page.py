"""The page of operators: every part as its own source has it, and what fails costs no other part."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from httpx import ASGITransport

from forecast_assets.core.health import HealthFinding
from forecast_assets.core.operational_metrics import Reading
from forecast_assets.operations.health.look import HomeLook, Probe, Seen
from forecast_assets.operations.health.registry import ON_A_PAGE
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane import overview
from forecast_assets.serving.dataplane.overview import OverviewDesk
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.pages.operating import add_operations
from forecast_assets.settings import Settings
from forecast_assets.telemetry.quality_metrics import BIAS, COVERAGE, JUDGED, WAPE
from resources.maintenance.backup_index import BackupRecord, write_record
from resources.operational.alerts import AlertStore
from resources.operational.api_keys import ApiKeys
from resources.operational.traces import RunTimes, TraceStore
from resources.outbox.sqlite import SqliteOutbox
from resources.outbox.store import DestinationPosition
from resources.stores.home import Stores, open_stores
from tests.support.callers import Client
from tests.support.small_home import small_stores

# After the days that the small home is about.
NOW = datetime(2025, 1, 5, 9, tzinfo=UTC)


@dataclass
class Operated:
    """A small home with something of everything, and its page."""

    settings: Settings
    stores: Stores
    desk: OverviewDesk
    page: Callable[[str], Client]


def calm(_: HomeLook) -> Seen:
    return Seen("all is well")


def operated(home: Path, probes: tuple[Probe, ...]) -> Operated:
    settings = Settings(home=home)
    stores = open_stores(home / "store")
    plane = DataPlane(stores, lambda: NOW)
    desk = OverviewDesk(settings, plane.stores, plane.readiness, plane.clock, probes)
    keys = ApiKeys(settings.operational_path)
    callers = Callers(keys, lambda: NOW)
    app = create_app(plane, callers)
    add_operations(app, desk, callers)

    def page(role: str) -> Client:
        key = keys.create(role, role, now=NOW, valid_for=timedelta(days=1))[1]
        return Client(ASGITransport(app=app, raise_app_exceptions=False), key)

    return Operated(settings, stores, desk, page)


@pytest.fixture
def home(tmp_path: Path) -> Operated:
    small_stores(tmp_path / "store")
    return operated(tmp_path, (Probe("disk", ("disk-nearly-full",), calm),))


def section(text: str, title: str) -> str:
    return unescape(text.split(f"<h2>{title}</h2>", 1)[1].split("<h2>", 1)[0])


def shown(home: Operated) -> str:
    found = home.page("operator").get("/operations")
    assert found.status_code == 200, found.text
    return found.text


@pytest.mark.parametrize(
    ("role", "status"), [("operator", 200), ("monitor", 200), ("support", 403), ("planner", 403), ("reader", 403)]
)
def test_operators_and_monitors_alone_see_it(home: Operated, role: str, status: int) -> None:
    assert home.page(role).get("/operations").status_code == status


def test_it_needs_no_script_and_loads_nothing(home: Operated) -> None:
    found = home.page("operator").get("/operations")
    assert "default-src 'none'" in found.headers["content-security-policy"]
    for what in ("<script", "<link", "src=", "style="):
        assert what not in found.text
    titles = ["Open alerts", "Health", "Feeds", "Runs", "Accuracy, bias and coverage", "Drift",
              "Destinations of events", "Backups"]  # fmt: skip
    assert re.findall("<h2>(.*?)</h2>", found.text) == titles


def test_a_home_in_which_nothing_has_happened_says_so(tmp_path: Path) -> None:
    text = shown(operated(tmp_path, ()))
    assert "cannot answer: nothing is published" in unescape(text).lower()
    assert "None." in section(text, "Open alerts")
    assert "never been backed up" in section(text, "Backups")


def test_runs_are_named_by_version_date_and_ledger_entry(home: Operated) -> None:
    state = home.stores.ledger.state()
    newest = max(
        (run for run in state.publications.values() if run.key.model_version == "stat-1"),
        key=lambda run: (run.key.prediction_date, run.sequence),
    )
    text = section(shown(home), "Runs")
    for said in (str(newest.key), newest.key.prediction_date.isoformat(), f">{newest.sequence}<"):
        assert said in text


def test_the_last_runs_are_there_with_how_long_they_took(home: Operated) -> None:
    traces = TraceStore(home.settings.traces_path)
    stages = {"forecasts": 2.5, "check": 1.0, "publication": 0.25, "feature_snapshots": 3.0}
    for day in range(1, 16):
        subject = f"daily/2025-01-{day:02}/stat-1/7/r0"
        at = f"{datetime.now(UTC).date()}T00:00:{day:02}.000+00:00"
        traces.record_times(RunTimes(subject, at, 7.25, stages, 40, 3 * (day == 15), day != 15))
    text = section(shown(home), "Runs")
    assert "daily/2025-01-15/stat-1/7/r0" in text
    assert "failed" in text
    assert "feature_snapshots 3.0, forecasts 2.5, check 1.0" in text
    # The newest twelve, the newest first.
    days = re.findall(r">daily/2025-01-(\d\d)/stat-1/7/r0</td><td>20", text)
    assert days == [f"{day:02}" for day in range(15, 3, -1)]


def test_feeds_say_their_newest_day_and_how_far_behind_it_is(home: Operated) -> None:
    text = section(shown(home), "Feeds")
    rows = re.findall(r"<tr><td>(\w+)</td><td>([\d-]+)</td><td class=\"number\">(-?\d+)</td></tr>", text)
    assert rows
    over = NOW.date() - timedelta(days=1)
    for _, day, lag in rows:
        assert (over - date.fromisoformat(day)).days == int(lag)


def test_an_open_alert_has_its_words_remedy_and_runbook_and_is_escaped(home: Operated) -> None:
    store = AlertStore(home.settings.operational_path)
    late = HealthFinding("late-feed", "sales", "`sales` <b>is</b> late.", "Ask the till team.")
    other = HealthFinding("drift-confirmed", "feed/sales", "It drifts.", "Look.")
    store.take([(other, "Look."), (late, "Ask the till team.")], NOW - timedelta(hours=2))
    (mine,) = [each for each in store.all() if each.code == "late-feed"]
    store.acknowledge(mine.alert_id, by="ana", until=NOW + timedelta(hours=8), reason="asked", now=NOW)
    raw = shown(home)
    assert "<b>is</b>" not in raw
    text = section(raw, "Open alerts")
    assert "Ask the till team. Runbook: docs/runbooks/late-feed.md" in text
    assert "2025-01-05 07:00" in text
    assert "ana until 2025-01-05 17:00" in text
    # The worst first.
    assert text.index("late-feed") < text.index("drift-confirmed")


def test_destinations_and_backups_say_how_far_they_are(home: Operated) -> None:
    head = home.stores.ledger.state().sequence
    SqliteOutbox(home.settings.outbox_path).put(
        DestinationPosition("webhook https://example.com", "ledger", head - 2, "x", "2025-01-05T08:30:00+00:00",
                            "status 503", "2025-01-05T08:00:00+00:00")
    )  # fmt: skip
    write_record(
        home.settings.backups_path,
        BackupRecord("/mnt/backup", f"{head}:abc", "2025-01-05T07:30:00+00:00", "2025-01-05T07:31:00+00:00", 4.2),
    )
    raw = shown(home)
    destinations, backups = section(raw, "Destinations of events"), section(raw, "Backups")
    for said in ("webhook https://example.com", f">{head - 2}<", ">2<", "30 min ago", "status 503"):
        assert said in destinations
    for said in ("/mnt/backup", "2025-01-05T07:30:00Z", "1 h 30 min ago", f">{head}<", ">4.2<"):
        assert said in backups


def test_a_part_that_cannot_be_read_is_told_and_costs_no_other(home: Operated) -> None:
    home.settings.backups_path.parent.mkdir(parents=True, exist_ok=True)
    home.settings.backups_path.write_text("{")
    raw = shown(home)
    assert "Backups cannot be read" in unescape(raw)
    assert "daily/" in section(raw, "Runs")


def test_a_probe_that_raises_is_told_and_others_are_shown(tmp_path: Path) -> None:
    def fails(_: HomeLook) -> Seen:
        raise OSError("the disk is gone")

    small_stores(tmp_path / "store")
    text = section(shown(operated(tmp_path, (Probe("disk", (), fails), Probe("clock", (), calm)))), "Health")
    assert "the disk is gone" in text
    assert "all is well" in text


def test_whoever_reloads_it_costs_no_second_look(tmp_path: Path) -> None:
    looked = []

    def counts(_: HomeLook) -> Seen:
        looked.append(1)
        return Seen("looked")

    small_stores(tmp_path / "store")
    home = operated(tmp_path, (Probe("disk", (), counts),))
    assert shown(home) == shown(home)
    assert len(looked) == 1


def test_the_usual_probes_write_nothing_and_do_not_ask_the_service_itself(tmp_path: Path) -> None:
    small_stores(tmp_path / "store")
    home = operated(tmp_path, ON_A_PAGE)
    before = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}
    found = home.desk.overview()
    assert {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()} == before
    names = {each.probe.name for each in found.health.looked}
    assert {"ledger", "disk", "drift", "bias", "coverage", "clock"} <= names
    assert not {"service", "stored bytes", "runs and checks", "MLflow"} & names


def test_accuracy_is_that_of_all_series_by_version_with_the_share_of_its_80_percent_interval(
    home: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def readings(*_: object) -> list[Reading]:
        told = []
        for version, wape in (("stat-1", 0.41), ("stat-2", 0.39)):
            of_all = ("daily", version, "all", "all")
            told += [WAPE(wape, *of_all), BIAS(-0.021, *of_all), JUDGED(1200, *of_all)]
            told += [COVERAGE(share, *of_all, percent) for share, percent in ((0.5, "50"), (0.83, "80"), (0.96, "95"))]
            told += [
                WAPE(0.99, "daily", version, "risk_band", "high"),
                JUDGED(3, "daily", version, "risk_band", "high"),
            ]
        return told

    monkeypatch.setattr(overview, "all_readings", readings)
    text = section(shown(home), "Accuracy, bias and coverage")
    rows = [re.findall("<td[^>]*>(.*?)</td>", row) for row in re.findall("<tr>(<td.*?)</tr>", text)]
    assert rows == [
        ["daily", "stat-1", "", "41.0%", "", "-2.1%", "83.0%", "1,200"],
        ["daily", "stat-2", "", "39.0%", "", "-2.1%", "83.0%", "1,200"],
    ]
