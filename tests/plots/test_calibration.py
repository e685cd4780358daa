import polars as pl

from forecast_assets.contracts import CALIBRATION
from forecast_assets.plots.calibration import calibration_pictures, coverage_by_level_png
from tests.support.calibration_cases import calibration_frame

PNG_HEAD = b"\x89PNG\r\n\x1a\n"
RISK = ("sku x store", 1, "all", "all", "reliability", 3, 0.2, 0.3, 0.4, 0.25, 10, 10, 5)


def test_a_report_has_a_picture_for_all_that_it_tells_of() -> None:
    risk = pl.DataFrame([RISK], schema=CALIBRATION.schema, orient="row")
    pictures = calibration_pictures(pl.concat([calibration_frame(), risk]))
    assert list(pictures) == [
        "coverage_by_level",
        "coverage_of_sums_of_days",
        "quantiles_of_series",
        "reliability_of_risk",
    ]
    assert all(png.startswith(PNG_HEAD) and len(png) < 60_000 for png in pictures.values())


def test_what_there_is_nothing_to_draw_of_is_left_out() -> None:
    of_series = calibration_frame().filter(level="sku x store")
    assert list(calibration_pictures(of_series)) == ["coverage_by_level", "quantiles_of_series"]
    assert calibration_pictures(calibration_frame().clear()) == {}


def test_coverage_is_drawn_where_it_is() -> None:
    rows = calibration_frame().filter(segment_kind="all")
    moved = rows.with_columns(value=pl.when(pl.col("metric") == "coverage_80").then(0.1).otherwise("value"))
    assert coverage_by_level_png(rows) == coverage_by_level_png(rows)
    assert coverage_by_level_png(rows) != coverage_by_level_png(moved)
