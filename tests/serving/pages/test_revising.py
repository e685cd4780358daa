"""A revision is published by a process of its own, one at a time, and what became of it is told by whoever asks."""

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecast_assets.core.errors import NotReadyError
from forecast_assets.presentation.planned_overrides import revision_section
from forecast_assets.serving.pages.revising import Revising, revising_command
from tests.support.retailers import KEY

SAYS = "import os, sys; print(os.environ['FORECAST_ASSETS_HOME']); print(sys.argv[1:]); "


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2025, 7, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def revising(tmp_path: Path, program: str) -> Revising:
    return Revising(tmp_path / "revisions", tmp_path, Clock(), (sys.executable, "-c", SAYS + program))


def ended(one: Revising) -> dict[str, object]:
    ends = time.monotonic() + 30
    while (told := one.newest() or {}).get("state") == "running":
        assert time.monotonic() < ends
        time.sleep(0.02)
    return dict(told)


def test_nothing_is_told_before_anybody_asks(tmp_path: Path) -> None:
    assert revising(tmp_path, "").newest() is None
    assert "Nobody has published a revision" in revision_section(None)


def test_the_command_gets_run_who_and_why_as_they_are(tmp_path: Path) -> None:
    one = revising(tmp_path, "")
    reason = "$(touch x); `id` \"quoted\" --help 'é' <b>"
    one.start(KEY, by="ana", reason=reason)
    told = ended(one)
    assert told["state"] == "finished"
    assert str(told["said"]).splitlines() == [str(tmp_path), repr([str(KEY), "--by=ana", f"--reason={reason}"])]
    page = revision_section(told)
    assert "Finished: a revision of" in page
    assert "<b>" not in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["revisions"]


def test_one_that_fails_says_why(tmp_path: Path) -> None:
    one = revising(tmp_path, "sys.exit('error: nothing to revise')")
    one.start(KEY, by="ana", reason="x")
    told = ended(one)
    assert told["state"] == "failed"
    assert str(told["said"]).endswith("error: nothing to revise")
    assert 'role="alert"' in revision_section(told)


def test_there_is_one_at_a_time_and_another_process_of_the_service_tells_the_same(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    one = revising(tmp_path, f"import time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)")
    one.start(KEY, by="ana", reason="first")
    other = revising(tmp_path, "")
    told = other.newest()
    assert told is not None
    assert (told["state"], told["reason"]) == ("running", "first")
    assert "Look again" in revision_section(told)
    with pytest.raises(NotReadyError, match="being published already"):
        other.start(KEY, by="ben", reason="second")
    gate.touch()
    assert ended(other)["state"] == "finished"
    other.clock.now = one.clock.now  # type: ignore[attr-defined]
    other.start(KEY, by="ben", reason="second")
    assert ended(one)["reason"] == "second"


def test_one_that_is_killed_is_no_longer_running(tmp_path: Path) -> None:
    one = revising(tmp_path, "sys.stdout.flush(); os.kill(os.getpid(), 9)")
    one.start(KEY, by="ana", reason="x")
    assert ended(one)["state"] == "failed"


def test_the_command_is_there() -> None:
    command, *rest = revising_command()
    assert Path(command).exists()
    assert rest == ["overrides", "publish"]
