"""`keys` and `uses` as an operator types them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecast_assets.serving.access.roles import ROLES
from resources.operational.api_keys import ApiKeys
from tests.support.command import Call, caller


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def call(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(home))
    return caller(monkeypatch, capsys)


def test_a_key_is_made_listed_and_revoked(call: Call) -> None:
    assert "No keys yet: forecast-assets keys create" in call("keys", "list")[1]
    code, said = call("keys", "create", "--name", "ana", "--role", "planner", "--days", "90")
    assert code == 0, said
    first, text = said.splitlines()
    expires = f"{datetime.now(UTC) + timedelta(days=90):%Y-%m-%d}"
    assert f"of ana (planner) expires {expires}. Keep it; it is not shown again:" in first
    key_id = first.split()[1]
    assert text.startswith(f"fak_{key_id}_")
    assert "valid" in call("keys", "list")[1]
    assert call("keys", "revoke", key_id) == (0, f"Key {key_id} of ana is revoked.\n")
    _, listed = call("keys", "list")
    assert "revoked" in listed
    assert text not in listed
    assert call("keys", "revoke", key_id)[0] != 0


def test_a_key_that_ran_out_is_told(call: Call, home: Path) -> None:
    call("keys", "create", "--name", "bi", "--role", "reader")
    made = datetime.now(UTC) - timedelta(days=2)
    for valid_for in (timedelta(days=1), None):
        ApiKeys(next(home.rglob("*.sqlite"))).create("old", "reader", now=made, valid_for=valid_for)
    states = [line.split()[-2:] for line in call("keys", "list")[1].splitlines() if " old " in line]
    assert [state for _, state in states].count("expired") == 1
    assert ["never", "valid"] in states


@pytest.mark.parametrize("role", ROLES)
def test_every_role_may_be_given(role: str, call: Call) -> None:
    assert call("keys", "create", "--name", "x", "--role", role)[0] == 0


def test_no_other_role_may_be_given(call: Call) -> None:
    assert call("keys", "create", "--name", "x", "--role", "owner")[0] == 2


def test_a_use_is_approved_once_with_who_and_why(call: Call) -> None:
    words = ("uses", "approve", "shelf_check", "--by", "ana", "--reason", "asked for")
    code, said = call(*words)
    assert code == 0, said
    assert said.startswith("`shelf_check` is approved from now on, by policy ")
    assert "(ledger entry 1)" in said
    assert call(*words) == (0, "`shelf_check` is approved already; nothing changed.\n")
    listed = call("uses", "list")[1]
    assert "shelf_check\n" in listed
    assert "\n\nBy policy " in listed
    assert call("uses", "approve", "No use!", "--by", "ana", "--reason", "x")[0] != 0


def test_there_is_nothing_to_warm_before_a_run_is_published(call: Call, home: Path) -> None:
    assert call("warm") == (0, "Nothing is published yet.\n")
    assert not (home / "serving" / "features.sqlite").exists()


def test_where_features_are_in_memory_alone_there_is_nowhere_to_put_them(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_FEATURE_DISK_MB", "0")
    code, said = call("warm")
    assert code != 0
    assert "there is nowhere to put it" in said
    assert "FORECAST_ASSETS_FEATURE_DISK_MB" in said
