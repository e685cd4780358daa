"""Evaluations tell what changed, each destination for itself, also after a crash and where nothing can be kept."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecast_assets.alerts import evaluating
from forecast_assets.alerts.destinations import read_destinations
from forecast_assets.alerts.evaluating import AlertEvaluator, failing_destinations, try_destinations
from forecast_assets.core.health import HealthFinding
from forecast_assets.operations.health.look import HomeLook, Probe, Seen
from forecast_assets.operations.health.places import destinations
from forecast_assets.operations.outbox import home_outbox
from forecast_assets.settings import Settings
from resources.operational.alerts import AlertStore
from tests.support.alert_receivers import Receiver, http_receiver

NOW = datetime(2025, 7, 1, 8, tzinfo=UTC)
FOUND = HealthFinding("redis-down", "redis", "It does not answer.", "Start it.")
DISK = HealthFinding("disk-nearly-full", "/data", "1 MB is free.", "Free space.")


class Faults:
    """What a probe finds."""

    def __init__(self, *found: HealthFinding) -> None:
        self.found = found

    def __call__(self, _: HomeLook) -> Seen:
        return Seen("seen", self.found)


@pytest.fixture
def receivers() -> Iterator[tuple[Receiver, Receiver]]:
    with ExitStack() as stack:
        yield stack.enter_context(http_receiver()), stack.enter_context(http_receiver())


def evaluator(home: Path, faults: Faults, *to: str) -> AlertEvaluator:
    probes = [
        Probe("faults", ("redis-down", "disk-nearly-full"), faults),
        Probe("destinations", ("destination-down",), destinations),
    ]
    return AlertEvaluator(Settings(home=home, alert_to=to), probes)


def said(receiver: Receiver) -> list[list[tuple[str, str]]]:
    return [[(each["what"], each["code"]) for each in post.said["data"]["alerts"]] for post in receiver.posts]


def test_all_of_one_evaluation_is_one_notification(tmp_path: Path, receivers: tuple[Receiver, Receiver]) -> None:
    faults = Faults(FOUND, DISK)
    watch = evaluator(tmp_path, faults, receivers[0].address("webhook"))
    watch.evaluate(now=NOW)
    watch.evaluate(now=NOW + timedelta(seconds=30))
    faults.found = ()
    watch.evaluate(now=NOW + timedelta(seconds=60))
    assert said(receivers[0]) == [
        [("opened", "disk-nearly-full"), ("opened", "redis-down")],
        [("closed", "disk-nearly-full"), ("closed", "redis-down")],
    ]


def test_a_destination_that_is_down_holds_up_no_other_and_is_told_to_it(
    tmp_path: Path, receivers: tuple[Receiver, Receiver]
) -> None:
    works, fails = receivers
    fails.status = 503
    watch = evaluator(tmp_path, Faults(FOUND), works.address("webhook"), fails.address("webhook", "/SECRET"))
    watch.evaluate(now=NOW)
    watch.evaluate(now=NOW + timedelta(seconds=5))
    assert said(works) == [[("opened", "redis-down")], [("opened", "destination-down")]]
    assert "it answered 503" in works.posts[1].said["data"]["alerts"][0]["words"]
    assert b"SECRET" not in works.posts[1].body
    assert len(fails.posts) == 1, "it is left alone for half a minute"
    fails.status = 200
    watch.evaluate(now=NOW + timedelta(seconds=31))
    assert said(fails)[1:] == [[("opened", "redis-down")], [("opened", "destination-down")]]
    assert fails.posts[0].headers["webhook-id"] == fails.posts[1].headers["webhook-id"]
    watch.evaluate(now=NOW + timedelta(seconds=60))
    assert said(works)[2:] == said(fails)[3:] == [[("closed", "destination-down")]]


_KILLED = """
import os, sys
from datetime import datetime
from pathlib import Path
from forecast_assets.alerts import destinations
from tests.alerts.test_evaluating import FOUND, Faults, evaluator
send = destinations.HttpDestination.send
def dies(self, told):
    if sys.argv[4] == "before": os._exit(9)
    send(self, told)
    os._exit(9)
destinations.HttpDestination.send = dies
evaluator(Path(sys.argv[1]), Faults(FOUND), sys.argv[2]).evaluate(now=datetime.fromisoformat(sys.argv[3]))
"""


@pytest.mark.parametrize(("when", "times"), [("before", 1), ("after", 2)])
def test_killed_around_sending_it_is_told_at_most_twice_under_one_id(
    when: str, times: int, tmp_path: Path, receivers: tuple[Receiver, Receiver]
) -> None:
    address = receivers[0].address("webhook")
    command = [sys.executable, "-c", _KILLED, str(tmp_path), address, NOW.isoformat(), when]
    killed = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert killed.returncode == 9
    watch = evaluator(tmp_path, Faults(FOUND), address)
    for seconds in (30, 61, 90, 120):
        watch.evaluate(now=NOW + timedelta(seconds=seconds))
    assert said(receivers[0]) == [[("opened", "redis-down")]] * times
    assert len({post.headers["webhook-id"] for post in receivers[0].posts}) == 1
    assert len({post.body for post in receivers[0].posts}) == 1


def test_what_cannot_be_kept_is_told_once_an_hour(tmp_path: Path, receivers: tuple[Receiver, Receiver]) -> None:
    (tmp_path / "operational").write_text("no folder")
    watch = evaluator(tmp_path, Faults(DISK), receivers[0].address("webhook"))
    for seconds in range(3):
        done = watch.evaluate(now=NOW + timedelta(seconds=seconds))
        assert "operational" in done.trouble
    assert said(receivers[0]) == [[("opened", "disk-nearly-full"), ("opened", "probe-failed")]]


def test_a_test_of_destinations_records_nothing(tmp_path: Path, receivers: tuple[Receiver, Receiver]) -> None:
    works, fails = receivers
    fails.status = 500
    to = (works.address("pagerduty", "/#KEY"), fails.address("slack", "/"))
    found = try_destinations(Settings(home=tmp_path, alert_to=to), NOW)
    assert [(each.sent, each.trouble) for each in found] == [(1, ""), (0, "it answered 500")]
    assert [post.said["event_action"] for post in works.posts] == ["trigger", "resolve"]
    assert AlertStore(Settings(home=tmp_path).operational_path).all(has_closed=True) == []
    assert [*tmp_path.iterdir()] == []


def test_alerts_that_open_and_close_are_events_once_also_after_a_crash_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(FOUND, DISK)
    watch = evaluator(tmp_path, faults)
    outbox = home_outbox(watch.settings)
    with monkeypatch.context() as patched:
        patched.setattr(evaluating, "record_alerts", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            watch.evaluate(now=NOW)
    assert outbox.newest() == 0
    watch.evaluate(now=NOW + timedelta(seconds=30))
    faults.found = (DISK,)
    for seconds in (60, 90):
        watch.evaluate(now=NOW + timedelta(seconds=seconds))
    told = [(each.type.removeprefix("forecast-assets."), each.subject, each.at) for each in outbox.after(0, 10)]
    assert told == [
        ("alert.opened", "alerts/redis-down/redis", "2025-07-01T08:00:00+00:00"),
        ("alert.opened", "alerts/disk-nearly-full//data", "2025-07-01T08:00:00+00:00"),
        ("alert.closed", "alerts/redis-down/redis", "2025-07-01T08:01:00+00:00"),
    ]
    facts = json.loads(outbox.after(0, 1)[0].content)["facts"]
    assert (facts["code"], facts["words"], facts["severity"]) == ("redis-down", "It does not answer.", "warning")
    faults.found = (FOUND, DISK)
    watch.evaluate(now=NOW + timedelta(seconds=120))
    assert outbox.after(0, 10)[-1].type == "forecast-assets.alert.opened"
    assert outbox.newest() == 4


def test_a_database_of_events_that_is_down_holds_up_no_notification(
    tmp_path: Path, receivers: tuple[Receiver, Receiver]
) -> None:
    watch = evaluator(tmp_path, Faults(FOUND), receivers[0].address("webhook"))
    works = watch.settings
    watch.settings = works.model_copy(update={"event_store": "postgresql://ana@127.0.0.1:1/x"})
    done = watch.evaluate(now=NOW)
    assert said(receivers[0]) == [[("opened", "redis-down")]]
    assert ([each.code for each in done.taken.opened], done.trouble) == (["redis-down"], "")
    watch.settings = works
    watch.evaluate(now=NOW + timedelta(seconds=30))
    assert home_outbox(works).newest() == 1, "it is recorded once that is possible"


def test_who_is_told_no_more_does_not_fail_and_what_cannot_be_read_fails_nobody(tmp_path: Path) -> None:
    settings = evaluator(tmp_path, Faults(), "webhook+http://127.0.0.1:1/").settings
    (name,) = [each.name for each in read_destinations(settings.alert_to)]
    for each in (name, "another"):
        AlertStore(settings.operational_path).failed(each, "who", "it answered 503", NOW)
    assert failing_destinations(settings) == {name: "it answered 503"}
    settings.operational_path.write_bytes(b"no database" * 1000)
    assert failing_destinations(settings) == {}
