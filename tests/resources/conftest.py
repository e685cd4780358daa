"""Every kind of place that a store can be in: a test that asks for one runs in each."""

from pathlib import Path

import pytest

from tests.support.places import Place


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    location = request.getfixturevalue("url") if request.param == "bucket" else tmp_path / "store"
    return Place(str(location), str(tmp_path / "mirror"))
