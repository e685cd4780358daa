"""Rows of published products in the terminal, and what is said of a run that has no such product."""

from pathlib import Path

import pytest

from forecast_assets.core.errors import UnknownProductError
from forecast_assets.presentation.rows import show_text
from resources.stores.home import Stores, open_stores
from tests.support.earlier_stores import publish_as_before
from tests.support.store_cases import ingest, publish, register, run_key


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    made = open_stores(tmp_path / "store")
    ingest(made)
    register(made)
    return made


def test_sums_over_days_are_shown_from_the_shortest_period(stores: Stores) -> None:
    said = show_text(stores, publish(stores, run_key()), "cumulative", sku="A", store=None, top=2)
    names, *rows, run = (line.split() for line in said.splitlines())
    assert names[2:5] == ["period", "period_days", "forecast_units"]
    assert [row[2] for row in rows] == ["lead_time", "first_7_days"]
    assert run[0] == f"{run_key()},"


def test_a_run_of_an_earlier_release_says_why_it_has_none(stores: Stores) -> None:
    publication = publish_as_before(stores, run_key())
    with pytest.raises(UnknownProductError, match="published by a release that made none"):
        show_text(stores, publication, "cumulative", sku=None, store=None, top=3)
