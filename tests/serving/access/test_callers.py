"""Deciding about a key at once, where that waits for nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecast_assets.core.errors import NotAuthenticatedError
from forecast_assets.serving.access import callers
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.request_counts import RequestCounts
from resources.operational.api_keys import ApiKeys

NOW = datetime(2025, 7, 1, 9, tzinfo=UTC)


def test_a_key_is_decided_about_at_once_while_it_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, seconds = ApiKeys(tmp_path / "keys.db"), [100.0]
    monkeypatch.setattr(callers, "monotonic", lambda: seconds[0])
    text = keys.create("tests", "reader", now=NOW, valid_for=timedelta(days=1))[1]
    asked = Callers(keys, lambda: NOW)
    assert asked.decide_at_once(None)
    for key in (text, "nobody's"):
        assert not asked.decide_at_once(key)
        if key == text:
            assert asked.identify(key).name == "tests"
        else:
            with pytest.raises(NotAuthenticatedError):
                asked.identify(key)
        assert asked.decide_at_once(key)
    # As long as one that was revoked may be let in, and no longer.
    keys.revoke(asked.identify(text).key_id, now=NOW)
    seconds[0] += 5.1
    assert not asked.decide_at_once(text)
    with pytest.raises(NotAuthenticatedError, match="revoked"):
        asked.identify(text)


def test_where_processes_count_together_a_server_is_asked_which_may_take_long(tmp_path: Path) -> None:
    counts = RequestCounts("redis://127.0.0.1:1/0")
    asked = Callers(ApiKeys(tmp_path / "keys.db"), lambda: NOW, counts=counts)
    assert not asked.decide_at_once(None)
    counts.close()
