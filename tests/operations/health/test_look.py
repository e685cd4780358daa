"""One probe that fails or hangs costs no other, and what nobody knows is said to be so."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forecast_assets.core.errors import NotReadyError, StorageError
from forecast_assets.core.health import HealthFinding
from forecast_assets.operations.health.look import HomeLook, Probe, Remembered, Seen, examine
from forecast_assets.operations.health.registry import EVERYTHING
from forecast_assets.settings import Settings
from resources.stores.home import open_stores
from tests.support.store_cases import ingest

FOUND = HealthFinding("late-feed", "sales", "It is late.", "Ask.")


def look(home: Path) -> HomeLook:
    return HomeLook(Settings(home=home, mlflow=False), datetime.now(UTC), is_read_only=True)


def fails(_: HomeLook) -> Seen:
    raise StorageError("The bucket does not answer.", remedy="Mend it.")


def is_defect(_: HomeLook) -> Seen:
    raise ZeroDivisionError("division by zero")


def hangs(_: HomeLook) -> Seen:
    time.sleep(5)
    return Seen("too late")


def test_what_fails_or_hangs_costs_no_other_and_is_told(tmp_path: Path) -> None:
    probes = [
        Probe("a", ("late-run",), fails),
        Probe("b", ("failed-run",), hangs),
        Probe("c", ("disk-nearly-full",), is_defect),
        Probe("d", ("late-feed",), lambda _: Seen("seen", (FOUND,))),
    ]
    began = time.monotonic()
    health = examine(probes, look(tmp_path), seconds=0.5)
    assert time.monotonic() - began < 1.5
    assert [each.fingerprint for each in health.findings] == [
        "probe-failed/a", "probe-failed/b", "probe-failed/c", "late-feed/sales",
    ]  # fmt: skip
    assert health.unknown_codes == {"late-run", "failed-run", "disk-nearly-full"}
    words = [each.words for each in health.findings]
    assert "The bucket does not answer" in words[0]
    assert "did not end within 0.5 s" in words[1]
    assert "ZeroDivisionError" in words[2]


def test_a_ledger_that_cannot_be_read_is_one_finding(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    ingest(stores)
    ingest(stores, day=1)
    (tmp_path / "store/ledger").rename(tmp_path / "elsewhere")
    (tmp_path / "store/ledger").write_text("no folder")
    health = examine(EVERYTHING, look(tmp_path))
    assert [each.code for each in health.findings] == ["ledger-unreadable"]
    assert {"verify-finding", "drift-confirmed", "clock-behind"} <= health.unknown_codes


def test_looking_writes_nothing(tmp_path: Path) -> None:
    ingest(open_stores(tmp_path / "store"))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    examine(EVERYTHING, look(tmp_path))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_what_rests_on_the_same_is_made_once() -> None:
    remembered, made = Remembered(), []
    for rests_on in (1, 1, 2):
        remembered.get("x", rests_on, lambda: made.append(1))
    assert len(made) == 2


def test_what_is_not_ready_is_said(tmp_path: Path) -> None:
    def waits(_: HomeLook) -> Seen:
        raise NotReadyError("Nothing has come.", remedy="Wait.")

    (finding,) = examine([Probe("a", (), waits)], look(tmp_path)).findings
    assert "Nothing has come" in finding.words


@pytest.mark.parametrize("probe", EVERYTHING, ids=lambda probe: probe.name)
def test_an_empty_home_has_no_finding(probe: Probe, tmp_path: Path) -> None:
    (looked,) = examine([probe], look(tmp_path)).looked
    assert looked.findings == ()
    assert looked.seen is not None
