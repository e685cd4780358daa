"""Pictures of accuracy: small PNGs, the same for the same frame, whatever the frame lacks."""

from collections.abc import Callable
from io import BytesIO

import matplotlib.image
import numpy as np
import polars as pl
import pytest

from forecast_assets import plots
from forecast_assets.plots import quality
from tests.support.products import make_accuracy

Draw = Callable[[pl.DataFrame], bytes]
PNG_HEAD = b"\x89PNG\r\n\x1a\n"
PICTURES = (plots.accuracy_by_step_png, plots.accuracy_over_days_png, plots.coverage_and_reliability_png)


def days(versions: int = 1) -> pl.DataFrame:
    """Four weeks of one made-up measurement, for some versions."""
    one = make_accuracy()
    later = [
        one.with_columns(
            pl.col("target_date") + pl.duration(days=day),
            (pl.col("step") + day).cast(pl.Int32),
            pl.lit(f"stat-{version}").alias("model_version"),
            (pl.col("absolute_error_units") + day % 3 + version).cast(one.schema["absolute_error_units"]),
        )
        for day in range(28)
        for version in range(versions)
    ]
    return pl.concat(later)


@pytest.mark.parametrize("draw", PICTURES)
def test_pictures_are_small_and_have_something_on_them(draw: Draw) -> None:
    png = draw(days(versions=2))
    assert png.startswith(PNG_HEAD)
    assert len(png) < 60_000
    pixels = matplotlib.image.imread(BytesIO(png), format="png")
    assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 10


@pytest.mark.parametrize("draw", PICTURES)
def test_the_same_rows_give_the_same_bytes_in_any_order(draw: Draw) -> None:
    assert draw(days()) == draw(days().reverse())


@pytest.mark.parametrize("draw", PICTURES)
def test_days_without_sales_or_known_outcomes_are_drawn_too(draw: Draw) -> None:
    counts = ["sales_units", "quantile_rows", "risk_rows"]
    nothing = days().with_columns(pl.lit(0).cast(pl.Int64).alias(name) for name in counts[1:])
    nothing = nothing.with_columns((pl.col("sales_units") * 0).cast(days().schema["sales_units"]))
    assert draw(nothing).startswith(PNG_HEAD)


def test_lines_are_of_versions_and_a_few_at_most() -> None:
    names = [name for _, name, _ in quality._lines(quality._accuracy_sums(days(versions=6), "step"))]
    assert names == ["stat-0, 7 days", "stat-1, 7 days", "stat-2, 7 days", "stat-3, 7 days"]
