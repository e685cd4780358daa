"""What overrides were worth, in words, a table and a page with a picture.

What belongs here: how it looks. What does not: measuring, or adding up.
"""

from html import escape
from textwrap import wrap
from typing import Final

import polars as pl

from forecast_assets.accuracy.value_added import LEAST_OVERRIDES, LEAST_ROW_DAYS
from forecast_assets.contracts import VALUE_STAGES
from forecast_assets.operations.value_added import PlannerAdvice, ValueAdded, ValueLine
from forecast_assets.plots import value_added_png
from forecast_assets.presentation.pages import html_image, html_page, html_section, html_table
from forecast_assets.presentation.text import table

_HEADS: Final = (
    "overrides", "row-days", "rows", "late", "empty shelf", *(stage.replace("_", " ") for stage in VALUE_STAGES),
    "value added", "",
)  # fmt: skip
LEGEND: Final = (
    "Columns from seasonal naive to override: WAPE of that stage, percent of sales, on the same rows. reconciled is "
    "the model's untouched forecast, rules the one that planners found, override the published one. value added: "
    "points by which the published one is better than the one that was found; below zero it is worse. row-days: SKU, "
    "store and day; rows: forecasts of all runs that looked at them. late, empty shelf: rows not judged, since sales "
    "are not known, or known to be short of demand. small sample: fewer than "
    f"{LEAST_ROW_DAYS} row-days or {LEAST_OVERRIDES} overrides, too few to tell skill from luck."
)
_LINE: Final = 120
_SQL: Final = "All figures: the view audit.forecast_value_added."
NEVER: Final = "Nothing is changed by itself."


def value_text(found: ValueAdded, advised: PlannerAdvice | None = None) -> str:
    """Say what overrides were worth, and what a planner's own record advises.

    Args:
        found: What they were worth.
        advised: Advice of the planner who was asked for; None if none was.
    """
    parts = [
        value_sentence(found),
        table((found.by, *_HEADS), _rows(found)),
        "\n".join(wrap(LEGEND, _LINE)),
        "" if advised is None else advice_text(advised),
        _SQL,
    ]
    return "\n\n".join(part for part in parts if part)


def value_page(found: ValueAdded, advised: PlannerAdvice | None = None) -> str:
    """Return a page on what overrides were worth, with a picture.

    Args:
        found: What they were worth.
        advised: Advice of the planner who was asked for; None if none was.
    """
    title = "What overrides were worth"
    picture = value_added_png(found.frame.with_columns(name=pl.Series([_name(line) for line in found.lines])))
    sections = [
        html_section(
            f"By {found.by}", value_sentence(found), html_image(picture, "error of every stage"),
            html_table((found.by, *_HEADS), _rows(found)), f'<p class="note">{escape(LEGEND)}</p>',
        ),
    ]  # fmt: skip
    if advised is not None:
        lines = "".join(f"<p>{escape(each)}</p>" for each in advised.words)
        sections.append(html_section(f"What the record of {advised.planner} advises", NEVER, lines))
    return html_page(title, f"<h1>{escape(title)}</h1>\n" + "\n".join(sections))


def advice_text(advised: PlannerAdvice) -> str:
    """Return what a planner's own record advises, as it stands beside a form."""
    return "\n".join((f"What the record of {advised.planner} advises. {NEVER}", *(f"- {w}" for w in advised.words)))


def value_sentence(found: ValueAdded) -> str:
    """Return in one sentence what planners' overrides were worth in all."""
    whose = f" by {found.planner}" if found.planner else ""
    head = f"Overridden {found.cadence} forecasts{whose} of {found.first} to {found.last}, as sales came."
    line = found.overall
    if line is None or line.value_added_points is None:
        return head
    points = line.value_added_points
    verdict = "better" if points > 0 else "worse"
    unsure = " (a small sample)" if line.is_small_sample else ""
    return f"{head} All in all planners made them {verdict} by {abs(points):.1f} points of sales{unsure}."


def _rows(found: ValueAdded) -> list[tuple[object, ...]]:
    # One line of planners says it all already.
    several = found.overall is not None and sum(not line.is_rule for line in found.lines) > 1
    overall = [found.overall] if several and found.overall is not None else []
    return [_row(line) for line in (*found.lines, *overall)]


def _row(line: ValueLine) -> tuple[object, ...]:
    return (
        _name(line), line.overrides, line.row_days, line.rows, line.rows_without_actual, line.rows_left_out,
        *(_percent(line.wape[stage]) for stage in VALUE_STAGES),
        "-" if line.value_added_points is None else f"{round(line.value_added_points, 1) + 0.0:.1f}",
        "small sample" if line.is_small_sample else "",
    )  # fmt: skip


def _name(line: ValueLine) -> str:
    return f"{line.name} (rule)" if line.is_rule else line.name


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"
