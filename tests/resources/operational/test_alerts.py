"""Alerts open, stay, are looked at and close; what changed is told once, in order, however often it has to be sent."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecast_assets.core.errors import InputError, RefusedError
from forecast_assets.core.health import HealthFinding
from resources.operational.alerts import (
    CLOSED,
    OPENED,
    STILL_OPEN,
    AlertStore,
    Notice,
    TakenFindings,
    TellingRules,
)

NOW = datetime(2025, 7, 1, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SALES = HealthFinding("late-feed", "sales", "`sales` ends early.", "Ask.", {"day": "2025-06-29"})
STOCK = HealthFinding("late-feed", "stock_status", "It ends early.", "Ask.")
DISK = HealthFinding("disk-nearly-full", "/data", "10 MB are free.", "Free space.")
VERDICT = HealthFinding("challenger-verdict", "daily/7/better", "It is better.", "Promote it.")


@pytest.fixture
def store(tmp_path: Path) -> AlertStore:
    return AlertStore(tmp_path / "operational.sqlite")


def take(
    store: AlertStore,
    *findings: HealthFinding,
    at: datetime = NOW,
    unknown: tuple[str, ...] = (),
    to: tuple[str, ...] = ("a", "b"),
    rules: TellingRules = TellingRules(),  # noqa: B008 - frozen
) -> TakenFindings:
    return store.take(
        [(each, str(each.remedy)) for each in findings], at, unknown=unknown, destinations=to, rules=rules
    )


def told(notice: Notice | None) -> list[tuple[str, str]]:
    return [] if notice is None else [(item.what, item.alert.fingerprint) for item in notice.items]


def test_what_is_found_again_is_the_same_alert_and_told_once(store: AlertStore) -> None:
    first = take(store, SALES, DISK)
    assert [each.fingerprint for each in first.opened] == ["late-feed/sales", "disk-nearly-full//data"]
    assert told(first.notice) == [(OPENED, "late-feed/sales"), (OPENED, "disk-nearly-full//data")]
    changed = HealthFinding(SALES.code, SALES.subject, "Other words.", "Ask.")
    again = take(store, changed, DISK, at=NOW + MINUTE)
    assert (again.opened, again.closed, again.notice) == ((), (), None)
    (alert,) = [each for each in store.all() if each.code == "late-feed"]
    assert (alert.words, alert.opened_at, alert.seen_at) == ("Other words.", NOW, NOW + MINUTE)


def test_what_is_found_no_more_closes_and_that_is_told(store: AlertStore) -> None:
    take(store, SALES, DISK)
    done = take(store, DISK, at=NOW + MINUTE)
    assert told(done.notice) == [(CLOSED, "late-feed/sales")]
    assert [each.fingerprint for each in store.all()] == ["disk-nearly-full//data"]
    (closed,) = [each for each in store.all(has_closed=True) if each.state == CLOSED]
    assert closed.closed_at == NOW + MINUTE
    opened_anew = take(store, SALES, DISK, at=NOW + 2 * MINUTE)
    assert told(opened_anew.notice) == [(OPENED, "late-feed/sales")]
    assert opened_anew.opened[0].alert_id != closed.alert_id


def test_what_could_not_be_looked_at_stays_as_it_is(store: AlertStore) -> None:
    take(store, SALES, DISK)
    done = take(store, at=NOW + MINUTE, unknown=("late-feed",))
    assert [each.fingerprint for each in done.closed] == ["disk-nearly-full//data"]
    assert [each.fingerprint for each in store.all()] == ["late-feed/sales"]


def test_a_look_that_was_begun_earlier_changes_nothing(store: AlertStore) -> None:
    take(store, at=NOW + MINUTE)
    late = take(store, SALES, at=NOW)
    assert late == TakenFindings()
    assert store.all() == []


def test_an_open_alert_is_told_again_after_a_while_and_news_never(store: AlertStore) -> None:
    take(store, SALES, VERDICT)
    day = timedelta(hours=24)
    assert take(store, SALES, VERDICT, at=NOW + day - MINUTE).notice is None
    assert told(take(store, SALES, VERDICT, at=NOW + day).notice) == [(STILL_OPEN, "late-feed/sales")]
    assert take(store, SALES, VERDICT, at=NOW + day + MINUTE).notice is None


def test_an_acknowledged_alert_rests_until_then_and_its_end_is_told(store: AlertStore) -> None:
    take(store, SALES)
    (alert,) = store.all()
    until = NOW + timedelta(hours=30)
    done = store.acknowledge(alert.alert_id, by="ana", until=until, reason="asked", now=NOW)
    assert (done.state, done.acknowledged_by, done.acknowledged_until) == ("acknowledged", "ana", until)
    assert take(store, SALES, at=NOW + timedelta(hours=29)).notice is None
    assert told(take(store, SALES, at=until).notice) == [(OPENED, "late-feed/sales")]
    store.acknowledge(alert.alert_id, by="ana", until=until + timedelta(days=9), reason="", now=until)
    assert told(take(store, at=until + MINUTE).notice) == [(CLOSED, "late-feed/sales")]


def test_only_an_open_alert_can_be_acknowledged_and_by_somebody(store: AlertStore) -> None:
    take(store, SALES)
    with pytest.raises(InputError, match="no alert 9"):
        store.acknowledge(9, by="ana", until=NOW + MINUTE, reason="", now=NOW)
    with pytest.raises(InputError, match="needs who"):
        store.acknowledge(1, by=" ", until=NOW + MINUTE, reason="", now=NOW)
    with pytest.raises(InputError, match="is over"):
        store.acknowledge(1, by="ana", until=NOW, reason="", now=NOW)
    take(store, at=NOW + MINUTE)
    with pytest.raises(RefusedError, match="is closed"):
        store.acknowledge(1, by="ana", until=NOW + 2 * MINUTE, reason="", now=NOW)


def test_more_than_enough_in_an_hour_is_held_back_and_told_in_the_next(store: AlertStore) -> None:
    rules = TellingRules(most_per_hour=2)
    take(store, SALES, rules=rules)
    take(store, SALES, STOCK, at=NOW + MINUTE, rules=rules)
    held = take(store, SALES, STOCK, DISK, at=NOW + 2 * MINUTE, rules=rules)
    assert (held.notice, held.held_back) == (None, 1)
    over = take(store, STOCK, at=NOW + 3 * MINUTE, rules=rules)
    assert (over.notice, over.held_back) == (None, 2)
    later = take(store, STOCK, at=NOW + timedelta(hours=1, minutes=1), rules=rules)
    assert told(later.notice) == [(CLOSED, "late-feed/sales"), (CLOSED, "disk-nearly-full//data")]


def test_without_destinations_alerts_wait_for_somebody_to_tell(store: AlertStore) -> None:
    assert take(store, SALES, to=()).notice is None
    assert told(take(store, SALES, at=NOW + MINUTE).notice) == [(OPENED, "late-feed/sales")]


def test_each_destination_is_handed_what_it_lacks_in_order(store: AlertStore) -> None:
    first = take(store, SALES).notice
    second = take(store, at=NOW + MINUTE).notice
    assert first is not None
    assert second is not None
    claimed = store.claim("a", "me", NOW + MINUTE)
    assert list(claimed) == [first, second]
    store.sent(first.notice_id, "a", NOW + MINUTE)
    store.let_go("a", "me")
    assert list(store.claim("a", "me", NOW + MINUTE)) == [second]
    assert store.waiting() == {"a": 1, "b": 2}


def test_what_somebody_sends_nobody_else_does_until_he_must_be_dead(store: AlertStore) -> None:
    notice = take(store, SALES).notice
    assert list(store.claim("a", "first", NOW)) == [notice]
    assert store.claim("a", "second", NOW + timedelta(seconds=59)) == []
    assert list(store.claim("b", "second", NOW)) == [notice]
    # Killed after sending and before recording: that one is sent again, under its old id.
    assert list(store.claim("a", "second", NOW + timedelta(seconds=61))) == [notice]


def test_a_destination_that_fails_is_left_alone_longer_each_time(store: AlertStore) -> None:
    notice = take(store, SALES).notice
    assert notice is not None
    at = NOW
    for wait in (30, 60, 120, 240, 480, 960, 1920, 3600, 3600):
        assert store.claim("a", "me", at)
        store.failed("a", "me", "ConnectionError", at)
        assert store.claim("a", "me", at + timedelta(seconds=wait - 1)) == []
        at += timedelta(seconds=wait)
    assert store.failing() == {"a": "ConnectionError"}
    store.sent(notice.notice_id, "a", at)
    assert store.failing() == {}


def test_of_many_who_evaluate_at_once_one_tells(tmp_path: Path) -> None:
    def evaluate(_: int) -> tuple[Notice | None, int]:
        own = AlertStore(tmp_path / "operational.sqlite")
        notice = take(own, SALES, DISK).notice
        return notice, len(own.claim("a", str(_), NOW))

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(evaluate, range(24)))
    assert sum(notice is not None for notice, _ in done) == 1
    assert sum(claimed for _, claimed in done) == 1
    assert len(AlertStore(tmp_path / "operational.sqlite").all(has_closed=True)) == 2


def test_what_was_told_long_ago_is_forgotten(store: AlertStore) -> None:
    take(store, SALES)
    take(store, at=NOW + MINUTE)
    take(store, at=NOW + timedelta(days=2))
    assert store.waiting() == {}
    assert len(store.all(has_closed=True)) == 1
    take(store, at=NOW + timedelta(days=91))
    assert store.all(has_closed=True) == []


def test_a_clock_that_was_ahead_silences_nothing_once_it_is_right(store: AlertStore) -> None:
    ahead, one = NOW + timedelta(days=365), TellingRules(most_per_hour=1)
    take(store, SALES, at=ahead, rules=one)
    store.claim("a", "who died", ahead)
    store.failed("b", "who sent", "it answered 503", ahead)
    again = take(store, SALES, DISK, rules=one)
    assert [each.fingerprint for each in again.opened] == ["disk-nearly-full//data"]
    assert told(again.notice) == [(OPENED, "disk-nearly-full//data")]
    assert [len(store.claim(each, "now", NOW)) for each in ("a", "b")] == [2, 2]
