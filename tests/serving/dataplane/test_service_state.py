"""Whether questions can be answered is told to everybody, so that it names no path of the machine."""

import errno
import logging
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from forecast_assets.core.errors import StorageError
from forecast_assets.serving.dataplane.service_state import ServiceState, service_state, without_paths
from resources.stores.home import Stores

_PATH = "/srv/the home/store/ledger/1.json"


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", _PATH),
        StorageError(f"The ledger `{_PATH}` cannot be read.", remedy="Make it readable."),
    ],
)
def test_a_ledger_that_cannot_be_read_is_told_without_its_path_which_is_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def failing() -> None:
        raise error

    stores = cast("Stores", SimpleNamespace(ledger=SimpleNamespace(state=failing)))
    with caplog.at_level(logging.WARNING):
        found = without_paths(service_state(stores, datetime.now(UTC)))
    assert not found.is_ready
    assert found.reasons[0].startswith("the ledger cannot be read: ")
    assert "/" not in str(found)
    assert "home" not in str(found)
    assert _PATH in caplog.text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "[Errno 28] No space left on device: '/srv/a b/spool'",
            "[Errno 28] No space left on device: a path of the service",
        ),
        ("moving failed: /srv/spool/1.jsonl: no space", "moving failed: a path of the service: no space"),
        ("events wait for the sink `store`: postgresql://postgres:***@/cache:5432/x is not available",) * 2,
        ("features of redis://:***@cache:6379/0 are gone",) * 2,
        ("5 of 10 / 20 events",) * 2,
    ],
)
def test_paths_are_left_out_of_all_that_is_told_and_addresses_are_not(words: str, told: str) -> None:
    said = ServiceState(True, (words,), (words,), features={"place": words}, events={"failing": {"store": words}})
    assert without_paths(said) == ServiceState(
        True, (told,), (told,), features={"place": told}, events={"failing": {"store": told}}
    )
