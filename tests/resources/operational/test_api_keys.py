"""Keys: shown once, kept as hashes, revoked for good."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecast_assets.core.errors import InputError, IntegrityError
from resources.operational.api_keys import ApiKeys

NOW = datetime(2025, 7, 1, 9, tzinfo=UTC)


def test_a_key_is_found_by_its_text_and_its_secret_is_nowhere(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path / "operational.db")
    key, text = keys.create("ana", "planner", now=NOW, valid_for=timedelta(days=30))
    assert keys.find(text) == key
    assert keys.find(text[:-1]) is None
    assert keys.find(f"other{text}") is None
    secret = text.split("_", 2)[2]
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.iterdir())
    assert key.is_valid(NOW)
    assert not key.is_valid(NOW + timedelta(days=30))


def test_a_revoked_key_is_listed_and_not_valid(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path / "operational.db")
    key, text = keys.create("ana", "planner", now=NOW, valid_for=None)
    assert keys.revoke(key.key_id, now=NOW).revoked_at == NOW
    found = keys.find(text)
    assert found is not None
    assert not found.is_valid(NOW)
    assert [each.key_id for each in keys.all()] == [key.key_id]
    with pytest.raises(InputError, match="nobody may use"):
        keys.revoke(key.key_id, now=NOW)
    with pytest.raises(InputError, match="There is no key `zz`"):
        keys.revoke("zz", now=NOW)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "operational.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(IntegrityError, match="is damaged"):
        ApiKeys(tmp_path / "operational.db").all()
