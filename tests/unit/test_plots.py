"""Pictures: they are PNGs, small, the same for the same frame, and the terminal's is plain text."""

import base64
from datetime import date, timedelta
from io import BytesIO

import matplotlib.image
import numpy as np
import polars as pl
import pytest

from forecast_assets import plots
from forecast_assets.contracts import DEMAND_CLASSES, QUANTILE_COLUMNS

CUTOFF = date(2025, 6, 30)
PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def _history(days: int = 56) -> pl.DataFrame:
    dates = [CUTOFF - timedelta(days=back) for back in range(days - 1, -1, -1)]
    return pl.DataFrame({"event_date": dates, "sales_units": [float(5 + i % 7) for i in range(days)]})


def _forecast(units: float = 6.0) -> pl.DataFrame:
    days = pl.DataFrame({"target_date": [CUTOFF + timedelta(days=step) for step in range(1, 29)]})
    levels = dict(zip(QUANTILE_COLUMNS, np.linspace(0.3, 2.0, 13), strict=True))
    return days.with_columns(
        pl.lit(units).alias("forecast_units"),
        pl.lit(0.9 * units).alias("expected_sales_units"),
        *(pl.lit(units * level).alias(name) for name, level in levels.items()),
    )


def _risks() -> pl.DataFrame:
    rows = [
        {"target_date": CUTOFF + timedelta(days=step), "risk_band": band, "stockout_probability": probability}
        for step in range(1, 8)
        for band, probability in (("low", 0.01), ("critical", 0.8), ("unknown", None))
    ]
    return pl.DataFrame(rows)


def _steps(price: float = -0.5) -> pl.DataFrame:
    rows = [("level", 2.0, False), ("price", price, False), ("expected demand", 2.0 + price, True)]
    return pl.DataFrame(rows, schema=["name", "value", "is_total"], orient="row")


def _pictures() -> dict[str, bytes]:
    base = pl.DataFrame({"step": [1, 1, 2], "demand_class": [DEMAND_CLASSES[0], DEMAND_CLASSES[2], DEMAND_CLASSES[0]]})
    report = pl.DataFrame(
        {"segment_kind": ["all", "step"], "segment": ["all", "1"], "metric": ["wape"] * 2, "value": [0.3, 0.2],
         "baseline_value": [0.4, None], "rows": [1000, 10]}
    )  # fmt: skip
    return {
        "fan": plots.history_and_fan_png(_history(), _forecast()),
        "totals": plots.totals_png(_history(), _forecast()),
        "risk": plots.risk_calendar_png(_risks()),
        "classes": plots.demand_class_png(base),
        "evaluation": plots.evaluation_png(report),
        "waterfall": plots.waterfall_png(_steps(), "units"),
        "node": plots.node_png(_forecast()),
    }


def test_pictures_are_small_pngs_with_something_on_them() -> None:
    for name, png in _pictures().items():
        assert png.startswith(PNG_HEAD), name
        assert len(png) < 60_000, name
        pixels = matplotlib.image.imread(BytesIO(png), format="png")
        assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 10, name


def test_the_same_frame_gives_the_same_bytes_and_another_does_not() -> None:
    assert _pictures() == _pictures()
    assert plots.totals_png(_history(), _forecast(6.0)) != plots.totals_png(_history(), _forecast(7.0))


def test_band_shares_add_up_and_leave_the_unknown_out_of_the_mean() -> None:
    shares = plots._band_shares(_risks())
    assert shares.select(pl.sum_horizontal("low", "moderate", "high", "critical", "unknown")).to_series().to_list() == (
        pytest.approx([100.0] * 7)
    )
    assert shares["mean"].to_list() == pytest.approx([40.5] * 7)


def test_a_markdown_image_carries_the_picture() -> None:
    text = plots.as_markdown_image(b"\x89PNG", "units per day")
    head, _, payload = text.partition("base64,")
    assert head == "![units per day](data:image/png;"
    assert base64.b64decode(payload.removesuffix(")")) == b"\x89PNG"


@pytest.mark.parametrize("history", [_history(28), _history(28).clear(), pl.DataFrame()])
def test_the_terminal_plot_is_plain_text_with_dates_and_units(history: pl.DataFrame) -> None:
    text = plots.terminal_forecast_plot(history, _forecast(), width=78, height=16)
    assert "\x1b" not in text
    assert "units per day" in text
    assert "07 Jul" in text
    assert "●" in text
    assert max(len(line) for line in text.splitlines()) <= 78


def test_the_second_terminal_plot_does_not_remember_the_first() -> None:
    first = plots.terminal_forecast_plot(_history(28), _forecast())
    plots.terminal_forecast_plot(_history(28), _forecast(50.0))
    assert plots.terminal_forecast_plot(_history(28), _forecast()) == first


def test_a_waterfall_stands_each_driver_on_the_one_before() -> None:
    laid = plots._laid_out(_steps())
    assert laid["top"].to_list() == [2.0, 1.5, 1.5]
    assert laid["bottom"].to_list() == [0.0, 1.5, 0.0]
    assert laid["label"].to_list() == ["+2.00", "-0.50", "1.50"]
    assert plots._laid_out(_steps(-0.000001))["label"][1] == "-0.000001"
    assert plots.waterfall_png(_steps(), "units") != plots.waterfall_png(_steps(0.5), "units")


def test_days_out_of_stock_are_drawn() -> None:
    history = _history().with_columns(is_stockout=pl.col("event_date") == CUTOFF)
    nothing = history.with_columns(is_stockout=pl.lit(None, pl.Boolean))
    assert plots.history_and_fan_png(history, _forecast()) != plots.history_and_fan_png(_history(), _forecast())
    assert plots.history_and_fan_png(nothing, _forecast()) == plots.history_and_fan_png(_history(), _forecast())
