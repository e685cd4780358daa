"""Filters by name: each owner has their own, so many and no more."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from forecast_assets.core.errors import InputError
from resources.operational.saved_filters import MOST_FILTERS, SavedFilter, SavedFilters

NOW = datetime(2025, 7, 1, 9, tzinfo=UTC)


def test_filters_are_listed_by_name_as_they_were_saved(tmp_path: Path) -> None:
    kept = SavedFilters(tmp_path / "operational.sqlite")
    assert kept.all("ana") == []
    for name in ("b", "a"):
        kept.save("ana", SavedFilter(name, {"band": "high", "product": "category:dairy"}), now=NOW)
    assert kept.all("ana") == [SavedFilter(name, {"band": "high", "product": "category:dairy"}) for name in ("a", "b")]
    assert kept.all("ben") == []


def test_nobody_has_more_than_so_many_and_one_that_is_there_can_still_be_replaced(tmp_path: Path) -> None:
    kept = SavedFilters(tmp_path / "operational.sqlite")
    for number in range(MOST_FILTERS):
        kept.save("ana", SavedFilter(f"{number:03}", {}), now=NOW)
    with pytest.raises(InputError, match=f"{MOST_FILTERS} saved filters already"):
        kept.save("ana", SavedFilter("one more", {}), now=NOW)
    kept.save("ana", SavedFilter("000", {"band": "low"}), now=NOW)
    kept.save("ben", SavedFilter("one more", {}), now=NOW)
    assert kept.all("ana")[0] == SavedFilter("000", {"band": "low"})
    assert len(kept.all("ana")) == MOST_FILTERS
