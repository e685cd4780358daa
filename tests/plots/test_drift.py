"""The picture of a figure that is watched: what was, beside what was to be expected, in units that people know."""

from datetime import date, timedelta
from io import BytesIO
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from forecast_assets.drift.judging import FIGURE_DAYS
from forecast_assets.plots import drift
from forecast_assets.plots.drift import figure_png

FIRST = date(2025, 6, 1)


def days(
    values: list[float | None], expected: list[float | None], scale: str = "log", figure: str = "sales_units"
) -> pl.DataFrame:
    on = [FIRST + timedelta(days=at) for at in range(len(values))]
    said = {"feed": "sales", "figure": figure, "scale": scale, "event_date": on, "value": values, "expected": expected}
    return pl.DataFrame(said, schema=FIGURE_DAYS)


def drawn(frame: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The axes of the picture, before they become bytes."""
    found = []

    def kept(figure: Any, axes: Any) -> bytes:
        found.append(axes)
        return b"" if figure is None else b"drawn"

    monkeypatch.setattr(drift, "png_bytes", kept)
    assert figure_png(frame) == b"drawn"
    return found[0]


def test_quantities_are_drawn_in_their_own_unit_beside_what_was_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = drawn(days([np.log(80.0), np.log(200.0)], [np.log(100.0), np.log(110.0)]), monkeypatch)
    lines = {line.get_label(): line.get_ydata().tolist() for line in axes.get_lines()}
    assert lines["expected"] == pytest.approx([100.0, 110.0])
    assert lines["sales: sales units"] == pytest.approx([80.0, 200.0])
    assert "sales units, mean store" in {axes.get_ylabel(), axes.get_title(), axes.get_title(loc="left")}


def test_shares_are_drawn_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = drawn(days([0.1, 0.6], [0.1, 0.12], "share", "promotion_share"), monkeypatch)
    assert [line.get_ydata().tolist() for line in axes.get_lines()][:2] == [[0.1, 0.12], [0.1, 0.6]]


def test_days_that_are_not_known_are_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = drawn(days([None, np.log(20.0), None], [None, np.log(10.0), None]), monkeypatch)
    shown = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    assert np.isnan(shown["sales: sales units"]).tolist() == [True, False, True]
    assert np.isnan(shown["expected"]).tolist() == [True, False, True]


@pytest.mark.parametrize("count", [1, 91])
@pytest.mark.parametrize("is_known", [True, False])
def test_any_figure_has_a_picture_and_the_same_one_every_time(count: int, is_known: bool) -> None:
    frame = days([5.0 if is_known else None] * count, [5.1 if is_known else None] * count)
    made = figure_png(frame)
    assert Image.open(BytesIO(made)).size == (900, 340)
    assert made == figure_png(frame)
