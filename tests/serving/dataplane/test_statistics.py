"""Pooled statistics as bytes: read back exactly, and under no key but their own."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import RunKey
from forecast_assets.features.pooled import Statistic
from forecast_assets.serving.dataplane.prepared_key import PreparedKey
from forecast_assets.serving.dataplane.statistics import statistics_from_bytes, statistics_to_bytes

KEY = PreparedKey(RunKey("daily", date(2025, 6, 30), "stat-1", 28), 7, "f" * 12, "a" * 64, "b" * 64)
KEPT = {
    "lost share": Statistic(np.array([0.1, np.nan])),
    "units by sku": Statistic(np.arange(6.0).reshape(2, 3), np.array([0, 1, 1, 0])),
    "stock status": Statistic(np.array(True)),
}


def test_they_are_read_back_exactly() -> None:
    found = statistics_from_bytes(KEY, statistics_to_bytes(KEY, KEPT))
    assert found.keys() == KEPT.keys()
    for name, kept in KEPT.items():
        assert found[name].values.tobytes() == kept.values.tobytes()
        assert found[name].values.shape == kept.values.shape
        assert (found[name].code is None) == (kept.code is None)
    assert found["units by sku"].code.tolist() == [0, 1, 1, 0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "other",
    [
        {"snapshot": "c" * 64},
        {"artifact": "c" * 64},
        {"feature_version": "0" * 12},
        {"publication": 8},
        {"run": replace(KEY.run, revision=1)},
    ],
)
def test_under_another_key_they_are_refused(other: dict) -> None:
    with pytest.raises(InputError, match="are no statistics of"):
        statistics_from_bytes(replace(KEY, **other), statistics_to_bytes(KEY, KEPT))


def test_damaged_or_foreign_bytes_are_refused() -> None:
    content = statistics_to_bytes(KEY, KEPT)
    for damaged in (b"", b"{}", content[: len(content) // 2], content.replace(b"units by sku", b"units by sks")[:-1]):
        with pytest.raises(InputError, match="are no statistics of"):
            statistics_from_bytes(KEY, damaged)
