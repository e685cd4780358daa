"""Keeping the runs of channels prepared: whatever goes wrong, the next look comes."""

import logging
from threading import Event
from typing import cast

import pytest

from forecast_assets.core.errors import StorageError
from forecast_assets.serving.dataplane.online_features import OnlineFeatures
from forecast_assets.serving.dataplane.warming import Warming
from resources.stores.home import Stores


class FailingFeatures:
    """Fails at each look, each time otherwise, and at last not any more."""

    def __init__(self) -> None:
        self.errors: list[Exception] = [StorageError("no answer"), OSError("no disk"), KeyError("a defect")]
        self.looked = Event()

    def let_go_old(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.looked.set()


def test_no_error_ends_the_looks_and_each_is_logged(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    features = FailingFeatures()
    with caplog.at_level(logging.WARNING), Warming(stores, cast("OnlineFeatures", features), 0.01):
        assert features.looked.wait(10)
    assert [(each.levelname, each.exc_info is not None) for each in caplog.records] == [
        ("WARNING", False), ("WARNING", False), ("ERROR", True),
    ]  # fmt: skip
