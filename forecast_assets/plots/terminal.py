"""A plot for the terminal, as plain text.

What belongs here: drawing with characters. What does not: PNGs.
"""

from typing import Any, Final

import polars as pl

from forecast_assets.plots.canvas import floats

_LINES: Final = (
    ("q900_units", "."),
    ("q100_units", "."),
    ("forecast_units", "●"),
)


def terminal_forecast_plot(history: pl.DataFrame, forecast: pl.DataFrame, width: int = 100, height: int = 22) -> str:
    """Draw one series in plain text: past sales, the forecast and its central 80 percent.

    Args:
        history: `event_date, sales_units`, sorted by date; may be empty, even without columns.
        forecast: Rows of contract `forecasts` of one series, sorted by step.
        width: Columns of the terminal.
        height: Lines.

    Returns:
        Lines of text without escape codes.
    """
    import plotext

    past = history["sales_units"].to_list() if history.width else []
    dates = [*(history["event_date"].to_list() if history.width else []), *forecast["target_date"].to_list()]
    future = list(range(len(past), len(dates)))
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, height)
    figure.ruler("y").lim(0, None)
    if past:
        _draw_line(figure, list(range(len(past))), past, "braille")
    for column, marker in _LINES:
        _draw_line(figure, future, floats(forecast, column), marker)
    marked = [place for place in range(len(dates)) if dates[place].weekday() == 0][:: 1 + len(dates) // 70]
    figure.ruler("x").ticks(marked, [f"{dates[place]:%d %b}" for place in marked])
    # The library's own legend would cover the history.
    figure.title("units per day:  ⣤⠃ sales   ● expected demand   . 8 in 10 days lie between")
    return str(plotext.uncolorize(str(figure.build())))


def _draw_line(figure: Any, places: list[int], values: list[float], marker: str) -> None:
    figure.draw(figure.signal(places, values, marker=marker).lines())
