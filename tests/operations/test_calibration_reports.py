from pathlib import Path

import duckdb

from forecast_assets.operations.calibration_reports import calibration_report
from resources.stores.home import open_stores
from tests.support.calibration_cases import calibration_frame
from tests.support.store_cases import catalogue, register


def test_the_report_of_a_version_is_that_which_it_was_registered_with(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    register(stores)
    found = calibration_report(stores, "stat-1")
    assert found.rows.equals(calibration_frame())
    assert found.version == stores.registry.model_version("stat-1")


def test_the_view_has_the_reports_of_all_versions(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    for name in ("stat-1", "stat-2"):
        register(stores, name)
    counted = "SELECT model_version, registered_sequence, count(*) FROM audit.calibration GROUP BY ALL ORDER BY ALL"
    with duckdb.connect(str(catalogue(stores, tmp_path)), read_only=True) as connection:
        rows = connection.sql(counted).fetchall()
    height = calibration_frame().height
    assert rows == [("stat-1", 1, height), ("stat-2", 2, height)]
