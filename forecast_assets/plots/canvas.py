"""What every picture shares: one size, one set of colours, axes, dates, and PNG bytes that follow from the frame alone.

What belongs here: style. What does not: what a picture shows.

Colours keep apart for readers who see no difference between red and green, and pictures are as wide as a report's text.
"""

import base64
from io import BytesIO
from typing import Any, Final

import polars as pl

INK: Final = "#24323f"
FAINT: Final = "#8a97a3"
PALE: Final = "#d4d9de"
# The colours of Okabe and Ito, which keep apart in every common kind of colour blindness.
BLUE: Final = "#0072b2"
VERMILION: Final = "#d55e00"
SKY: Final = "#56b4e9"
ORANGE: Final = "#e69f00"
GREEN: Final = "#009e73"
YELLOW: Final = "#f0e442"
PURPLE: Final = "#cc79a7"
LINE_COLOURS: Final = (BLUE, VERMILION, GREEN, PURPLE)
BAND_COLOURS: Final = {
    "low": "#a6cee3", "moderate": "#f4dc8c", "high": "#e8893b", "critical": "#9b2226", "unknown": PALE,
}  # fmt: skip
# What adds and what takes away.
RISING: Final = SKY
FALLING: Final = VERMILION
SMALL: Final = 8
MARKER: Final[dict[str, Any]] = {"marker": "o", "markersize": 3}

_DOTS_PER_INCH: Final = 100
_COLOURS: Final = 128
_WHITE: Final = 255
_NEARLY_WHITE: Final = 252
_WIDTH: Final = 9.0
_HEIGHT: Final = 3.4


class Markdown(str):
    """Text that pages render as Markdown, rather than show as it is."""

    __slots__ = ()


def as_markdown_image(png: bytes, alt: str) -> Markdown:
    """Return a picture as Markdown that carries its own bytes, as Dagster's metadata shows it.

    Example:
        >>> as_markdown_image(b"PNG", "units per day")
        '![units per day](data:image/png;base64,UE5H)'
    """
    return Markdown(f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})")


def new_axes(value_label: str, *, height: float = _HEIGHT) -> tuple[Any, Any]:
    """Return a figure and its axes, outside pyplot's global state, so that threads do not draw into each other.

    Args:
        value_label: What the values are, with their unit.
        height: In hundreds of pixels.
    """
    figure = _figure(height)
    axes = figure.subplots()
    style(axes, value_label)
    return figure, axes


def two_axes(left_label: str, right_label: str) -> tuple[Any, tuple[Any, Any]]:
    """Return one figure with two axes side by side."""
    figure = _figure(_HEIGHT)
    left, right = figure.subplots(1, 2)
    style(left, left_label)
    style(right, right_label)
    return figure, (left, right)


def _figure(height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH, height), dpi=_DOTS_PER_INCH, layout="constrained")


def style(axes: Any, value_label: str) -> None:
    """Give axes the look of all pictures."""
    axes.set_ylabel(value_label, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.7)
    axes.set_axisbelow(True)


def name_dates(axes: Any) -> None:
    """Label a time axis with as few words as tell the days apart."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.margins(x=0.01)


def floats(frame: pl.DataFrame, column: str) -> list[float]:
    """Return a column of units as what a picture can place; null stays a hole."""
    return frame[column].cast(pl.Float64).to_list()


def literal(name: str) -> str:
    r"""Return a name that pictures show as it is: between two dollar signs they would set a formula, or fail to.

    Example:
        >>> print(literal("$5 off"))
        \$5 off
    """
    return name.replace("$", r"\$")


def png_bytes(figure: Any, axes: Any = None, *, title: str = "") -> bytes:
    """Return a finished picture.

    Args:
        figure: The figure.
        axes: Axes whose legend, if anything on them has a name, is drawn above them; no legend if left out.
        title: What the picture is of.
    """
    if axes is not None and axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.0), ncols=8, frameon=False, fontsize=SMALL, labelcolor=INK,
            borderaxespad=0.2, columnspacing=1.2, handlelength=1.6,
        )  # fmt: skip
    if title:
        figure.suptitle(literal(title), x=0.01, ha="left", color=INK, fontsize=11)
    return _few_colours(figure)


def _few_colours(figure: Any) -> bytes:
    """Draw with few colours: a third of the bytes, and nothing in them but the picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba())).convert("RGB")
    buffer = BytesIO()
    few = drawn.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    # Averaging colours leaves paper that is nearly white.
    few.putpalette([_WHITE if shade >= _NEARLY_WHITE else shade for shade in few.getpalette() or []])
    few.save(buffer, format="png", optimize=True)
    return buffer.getvalue()
