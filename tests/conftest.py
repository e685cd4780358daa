"""Fixtures: temporary stores, small retailers, and where the real data is."""

import os
from pathlib import Path

import pytest

from resources.stores.home import Stores, open_stores

# MLflow takes seconds to load; tests of the mirror switch it on.
os.environ.setdefault("FORECAST_ASSETS_MLFLOW", "false")

# Whatever room asks for them, and however many: a retailer is trained, and a bucket served, once.
pytest_plugins = [
    "tests.support.buckets", "tests.support.retailers", "tests.support.compared_runs", "tests.support.copy_cases",
]  # fmt: skip

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return open_stores(tmp_path / "store")


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    folder = Path(os.environ.get("FORECAST_ASSETS_TEST_DATA", REPOSITORY.parent / "shared/data/freshretailnet"))
    if not folder.is_dir():
        pytest.skip(f"no FreshRetailNet files at {folder}")
    return folder
