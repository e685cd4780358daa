"""Pictures: they are PNGs, small, the same for the same frame, and the terminal's is plain text."""

import base64
from datetime import date, timedelta
from io import BytesIO

import matplotlib.image
import numpy as np
import polars as pl
import pytest

from forecast_assets import plots
from forecast_assets.contracts import COMPONENTS, DEMAND_CLASSES, FORECAST_EXPLANATIONS, QUANTILE_COLUMNS
from forecast_assets.plots import canvas, drivers, quality, runs

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


def _came(days: int = 5) -> pl.DataFrame:
    dates = [CUTOFF + timedelta(days=step) for step in range(1, days + 1)]
    units = [4.0 + step for step in range(days)]
    return pl.DataFrame({"event_date": dates, "sales_units": units, "is_stockout": [step == 2 for step in range(days)]})


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


def _explanations(**effects: float) -> pl.DataFrame:
    """Two weeks of drivers on a usual day of ten units; each effect holds on every day."""
    zero = dict.fromkeys((*COMPONENTS, "reconciliation_units", "override_units"), 0.0)
    told = {**zero, "level_units": 10.0, **effects}
    forecast = sum(told.values())
    row = {**told, "forecast_units": forecast, "stock_units": -1.0, "expected_sales_units": forecast - 1.0}
    return pl.DataFrame([{"target_date": CUTOFF + timedelta(days=step), **row} for step in range(1, 15)])


def _report(**columns: list[object]) -> pl.DataFrame:
    kinds = ["all", "demand_class", "demand_class", "day_ahead"]
    return pl.DataFrame(
        {"segment_kind": kinds, "segment": ["all", "smooth", "lumpy", "1"], "metric": ["wape"] * 4,
         "value": [0.3, 0.2, None, 0.3], "baseline_value": [0.4, 0.3, 0.9, 0.4], "rows": [900, 700, 200, 30], **columns}
    )  # fmt: skip


def _pictures() -> dict[str, bytes]:
    base = pl.DataFrame({"step": [1, 1, 2], "demand_class": [DEMAND_CLASSES[0], DEMAND_CLASSES[2], DEMAND_CLASSES[0]]})
    report = pl.DataFrame(
        {"segment_kind": ["all", "step"], "segment": ["all", "1"], "metric": ["wape"] * 2, "value": [0.3, 0.2],
         "baseline_value": [0.4, None], "rows": [1000, 10]}
    )  # fmt: skip
    return {
        "fan": plots.history_and_fan_png(_history(), _forecast()),
        # Between two dollar signs stands no formula, least of all one that cannot be read.
        "a name with dollar signs": plots.history_and_fan_png(_history(), _forecast(), title="$5 a$b_{$ in \\$x$"),
        "fan with what came": plots.history_and_fan_png(_history(), _forecast(), _came(), title="A in S"),
        "drivers": plots.drivers_png(_explanations(price_units=2.0, weekday_units=-1.0), title="A in S"),
        "drivers of one day": plots.drivers_png(_explanations(price_units=2.0).head(1)),
        "errors by segment": plots.error_by_segment_png(_report()),
        "errors by step": plots.error_by_step_png(_report()),
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
        assert len(png) < 25_000, name
        pixels = matplotlib.image.imread(BytesIO(png), format="png")
        assert pixels.shape[1] == 900, name
        assert pixels[0, 0].min() == 1.0, f"{name} does not lie on white"
        assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 10, name


def test_the_same_frame_gives_the_same_bytes_and_another_does_not() -> None:
    assert _pictures() == _pictures()
    assert plots.totals_png(_history(), _forecast(6.0)) != plots.totals_png(_history(), _forecast(7.0))


def test_band_shares_add_up_and_leave_the_unknown_out_of_the_mean() -> None:
    shares = runs._band_shares(_risks())
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
    laid = drivers._laid_out(_steps())
    assert laid["top"].to_list() == [2.0, 1.5, 1.5]
    assert laid["bottom"].to_list() == [0.0, 1.5, 0.0]
    assert laid["label"].to_list() == ["+2.00", "-0.50", "1.50"]
    assert drivers._laid_out(_steps(-0.000001))["label"][1] == "-0.000001"
    assert drivers._laid_out(_steps(0.0))["label"][1] == "0"
    assert plots.waterfall_png(_steps(), "units") != plots.waterfall_png(_steps(0.5), "units")


def test_days_out_of_stock_are_drawn() -> None:
    history = _history().with_columns(is_stockout=pl.col("event_date") == CUTOFF)
    nothing = history.with_columns(is_stockout=pl.lit(None, pl.Boolean))
    assert plots.history_and_fan_png(history, _forecast()) != plots.history_and_fan_png(_history(), _forecast())
    assert plots.history_and_fan_png(nothing, _forecast()) == plots.history_and_fan_png(_history(), _forecast())


def test_what_came_is_drawn_over_the_forecast_and_its_stockouts_are_shaded() -> None:
    alone = plots.history_and_fan_png(_history(), _forecast())
    assert plots.history_and_fan_png(_history(), _forecast(), _came().clear()) == alone
    actuals = plots.history_and_fan_png(_history(), _forecast(), _came())
    in_stock = plots.history_and_fan_png(_history(), _forecast(), _came().with_columns(is_stockout=pl.lit(value=False)))
    assert len({alone, actuals, in_stock}) == 3


def test_sums_without_quantiles_are_drawn_without_fans() -> None:
    unknown = _forecast().with_columns(pl.lit(None, pl.Float64).alias(name) for name in QUANTILE_COLUMNS)
    for draw in (plots.history_and_fan_png, plots.totals_png):
        bare = draw(_history(), unknown)
        assert bare == draw(_history(), _forecast().drop(QUANTILE_COLUMNS))
        assert bare != draw(_history(), _forecast())


def test_base_forecasts_are_drawn_without_expected_sales() -> None:
    base = _forecast().rename({"forecast_units": "base_units"}).drop("expected_sales_units")
    assert plots.history_and_fan_png(_history(), base).startswith(PNG_HEAD)
    assert plots.history_and_fan_png(_history(0), base).startswith(PNG_HEAD)


def test_a_series_that_sells_nothing_and_a_report_without_segments_are_drawn_too() -> None:
    nothing = _explanations(level_units=0.0)
    assert plots.drivers_png(nothing).startswith(PNG_HEAD)
    assert plots.drivers_png(nothing.head(1)).startswith(PNG_HEAD)
    assert plots.history_and_fan_png(_history().with_columns(sales_units=0.0), _forecast(0.0)).startswith(PNG_HEAD)
    assert plots.error_by_segment_png(_report().clear()).startswith(PNG_HEAD)
    assert plots.error_by_step_png(_report().clear()).startswith(PNG_HEAD)


def test_every_driver_of_the_contract_has_a_name_and_a_look() -> None:
    told = [name for name in FORECAST_EXPLANATIONS.names if name.endswith("_units")]
    totals = {"forecast_units", "stock_units", "expected_sales_units"}
    assert [*drivers.DRIVER_NAMES] == [name for name in told if name not in totals]
    effects = {*drivers.DRIVER_NAMES} - {drivers.LEVEL, "rounding_units"}
    assert effects == {*drivers._COLOURS, *drivers._HATCHES}
    assert len({*drivers._COLOURS.values()}) == len(drivers._COLOURS)
    assert len({*drivers._HATCHES.values()}) == len(drivers._HATCHES)


def test_the_steps_of_a_day_add_up_from_the_usual_day_to_expected_sales() -> None:
    row = _explanations(relatives_units=2.0, availability_units=-0.5).row(0, named=True)
    assert plots.driver_steps(row).rows() == [
        ("usual day", 10.0, True),
        ("relatives", 2.0, False),
        ("availability", -0.5, False),
        ("expected demand", 11.5, True),
        ("lost sales", -1.0, False),
        ("expected sales", 10.5, True),
    ]
    before = {name: value for name, value in row.items() if name not in {"relatives_units", "availability_units"}}
    assert plots.driver_steps(before)["name"][1] == "expected demand"


def test_bars_are_of_the_largest_drivers_and_the_rest_are_one() -> None:
    names = ["trend", "weekday", "season", "price", "promotion", "event", "relatives", "availability"]
    told = _explanations(**{f"{name}_units": size for size, name in enumerate(names, start=1)}, rounding_units=1e-6)
    bars = drivers._bars(told)
    assert [*bars] == [*(f"{name}_units" for name in names[2:]), "other"]
    assert bars["other"].to_list() == [3.0] * 14
    assert [*drivers._bars(_explanations(event_units=1.0, rounding_units=1e-6))] == ["event_units"]
    whole = told.select(pl.sum_horizontal(*(f"{name}_units" for name in names))).to_series()
    assert sum(bars.values(), pl.Series([0.0] * 14)).to_list() == whole.to_list()


def test_bars_that_reach_below_the_ground_are_inside_the_picture() -> None:
    class Recorder:
        def bar(self, *_: object, **__: object) -> None: ...

    told = _explanations(price_units=-14.0, event_units=3.0)
    reach = drivers._draw_bars(Recorder(), told["target_date"], told["level_units"], drivers._bars(told))
    assert reach == (-4.0, 13.0)


def test_reports_with_two_columns_and_with_a_row_per_method_are_drawn_alike() -> None:
    report = _report().with_columns(baseline_value=pl.when(pl.col("segment") == "all").then("baseline_value"))
    long = pl.concat(
        [
            report.with_columns(method=pl.lit("version")),
            report.with_columns(value="baseline_value", method=pl.lit("seasonal_naive")),
        ]
    ).drop("baseline_value")
    for draw in (plots.error_by_segment_png, plots.error_by_step_png):
        assert draw(report) == draw(long)
    more = long.with_columns(method=pl.lit("statistical"), value=pl.col("value") + 0.05)
    assert plots.error_by_segment_png(pl.concat([long, more])) != plots.error_by_segment_png(long)


def test_of_too_many_segments_the_largest_are_drawn_in_their_order() -> None:
    many = pl.DataFrame(
        {"segment_kind": "store", "segment": [f"S{i}" for i in range(60)], "method": "version",
         "value": 0.1, "rows": [i % 60 for i in range(30, 90)]}
    )  # fmt: skip
    places = quality._places(many)
    assert places.height == 40
    assert places["rows"].min() == 20
    assert places["segment"].to_list() == [name for name in many["segment"] if name in places["segment"]]
    negative = many.with_columns(metric=pl.lit("bias"), value=pl.lit(-0.1), baseline_value=pl.lit(0.1)).drop("method")
    assert plots.error_by_segment_png(negative, "bias").startswith(PNG_HEAD)


# Linear light as seen without red and without green cones (Machado, Oliveira & Fernandes 2009, severity 1).
COLOUR_BLIND = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def _lab(colours: list[str], kind: str) -> np.ndarray:
    """[n, 3] CIE L*a*b* of colours as seen with a kind of colour blindness."""
    rgb = np.array([[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ COLOUR_BLIND[kind].T, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = seen @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], axis=1)


def _least_distance(colours: list[str], kind: str) -> float:
    lab = _lab(colours, kind)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    return float(apart[np.triu_indices(len(colours), 1)].min())


@pytest.mark.parametrize("kind", [*COLOUR_BLIND])
@pytest.mark.parametrize(
    "colours",
    [
        [*canvas.BAND_COLOURS.values()],
        [*drivers._COLOURS.values()],
        [*canvas.LINE_COLOURS],
        [canvas.RISING, canvas.FALLING],
    ],
)
def test_colours_of_one_picture_keep_apart_for_colour_blind_readers(colours: list[str], kind: str) -> None:
    assert _least_distance(colours, kind) > 10


def test_the_usual_red_and_green_would_not_keep_apart() -> None:
    assert (
        _least_distance(["#c8473f", "#7a7a2f"], "none") > 10 > _least_distance(["#c8473f", "#7a7a2f"], "deuteranopia")
    )
