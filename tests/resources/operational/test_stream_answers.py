"""Answers of the stream: kept once, found by who asked, forgotten when nobody can ask for them again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecast_assets.core.errors import IntegrityError
from resources.operational.stream_answers import KeptAnswer, StreamAnswers

NOW = datetime(2025, 7, 1, tzinfo=UTC)


def answer(request_id: str, body: bytes = b"{}", key_id: str = "k") -> KeptAnswer:
    return KeptAnswer(key_id, request_id, "digest", 200, "application/json", body)


def test_of_two_under_one_id_the_first_is_kept_and_another_callers_is_another(tmp_path: Path) -> None:
    answers = StreamAnswers(tmp_path / "s.sqlite")
    assert answers.find("k", "1") is None
    assert answers.keep([answer("1", b"first"), answer("1", b"second")], NOW) == [answer("1", b"first")] * 2
    assert answers.keep([answer("1", b"third"), answer("1", b"x", "other")], NOW) == [
        answer("1", b"first"), answer("1", b"x", "other"),
    ]  # fmt: skip
    assert StreamAnswers(tmp_path / "s.sqlite").find("k", "1") == answer("1", b"first")


def test_what_is_older_is_forgotten_and_what_is_not_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.operational.stream_answers._MOST_FORGOTTEN", 3)
    answers = StreamAnswers(tmp_path / "s.sqlite")
    assert answers.forget(NOW) == 0
    answers.keep([answer(f"old-{at}") for at in range(7)], NOW)
    answers.keep([answer("new")], NOW + timedelta(days=8))
    assert answers.forget(NOW + timedelta(seconds=1)) == 7
    assert answers.find("k", "old-3") is None
    assert answers.find("k", "new") == answer("new")


def test_a_damaged_file_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "s.sqlite").write_bytes(b"no database" * 1_000)
    with pytest.raises(IntegrityError, match="damaged"):
        StreamAnswers(tmp_path / "s.sqlite").keep([answer("1")], NOW)
