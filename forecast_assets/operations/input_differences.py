"""Which inputs of two runs differ, field by field: sales, stock status, prices, promotions, events, closures.

What belongs here: the rows that differ, of series that both runs have. What does not: what they do to a forecast.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.core.arrays import Floats, Rows
from forecast_assets.features.panel import Panel
from forecast_assets.operations.common_rows import CommonRows
from forecast_assets.operations.mixed_forecasts import MixedForecasts
from forecast_assets.stockout_risk.inventory import Supply

SCHEMA: Final[dict[str, Any]] = {
    "store_id": pl.String,
    "sku_id": pl.String,
    "kind": pl.String,
    "input": pl.String,
    "event_date": pl.Date,
    "before": pl.Float64,
    "after": pl.Float64,
}
PAST, PLANNED, STOCK = "observation", "plan", "stock"
_EVENT: Final = "event "

Dates = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class _Differing:
    """Values of one input that differ.

    Attributes:
        kind: `observation`, `plan` or `stock`.
        name: Of the input.
        row: [k] places among the common series.
        day: [k] event date of each; not a date where it has none.
        before: [k] NaN where not known.
        after: [k] the same.
    """

    kind: str
    name: str
    row: Rows
    day: Dates
    before: Floats
    after: Floats


def input_differences(panels: tuple[Panel, Panel], mixed: MixedForecasts) -> pl.DataFrame:
    """Return what two runs were told otherwise.

    Args:
        panels: What either read.
        mixed: The runs, for their common rows and supplies.

    Returns:
        `store_id, sku_id, kind, input, event_date, before, after`, a row for each value that differs, sorted: `kind` is
        `observation` of days that either had observed, `plan` of common days ahead, `stock` of the last observed days.
        Yes is 1, no is 0, null what was not known. Days that only one had observed differ as a whole.
    """
    runs, common = mixed.runs, mixed.common
    if runs[0].snapshot.version == runs[1].snapshot.version:
        return pl.DataFrame(schema=SCHEMA)
    found = [*_past(panels, common), *_planned(panels, common), *_stock(mixed.supplies, common)]
    return _frame([each for each in found if len(each.row)], common)


def _frame(found: Sequence[_Differing], common: CommonRows) -> pl.DataFrame:
    """Lay values that differ out, sorted; one frame of all, since a frame each would take longer than few values."""
    if not found:
        return pl.DataFrame(schema=SCHEMA)
    whose = np.repeat(np.arange(len(found)), [len(each.row) for each in found])
    frame = common.series[np.concatenate([each.row for each in found])].with_columns(
        pl.Series("kind", [each.kind for each in found], pl.String)[whose],
        pl.Series("input", [each.name for each in found], pl.String)[whose],
        pl.Series("event_date", np.concatenate([each.day for each in found]), pl.Date),
        pl.Series("before", np.concatenate([each.before for each in found]), pl.Float64, nan_to_null=True),
        pl.Series("after", np.concatenate([each.after for each in found]), pl.Float64, nan_to_null=True),
    )
    return frame.sort("store_id", "sku_id", "kind", "input", "event_date")


def _past(panels: tuple[Panel, Panel], common: CommonRows) -> list[_Differing]:
    since = max(panel.first_date for panel in panels)
    until = max(panel.cutoff for panel in panels)
    days = [since + timedelta(days=at) for at in range((until - since).days + 1)]
    read: dict[str, Callable[[Panel], Any]] = {
        "sales": lambda panel: panel.sales,
        "out_of_stock_share": lambda panel: panel.out_of_stock_share,
        "shelf_was_empty": lambda panel: panel.is_censored,
        "price_ratio": lambda panel: panel.price_ratio,
        "promotion": lambda panel: panel.is_promotion,
    }
    return [_differing(PAST, name, [_cells(panel, matrix(panel), common.rows[side], days, end=panel.history_days)
                                    for side, panel in enumerate(panels)], days)
            for name, matrix in read.items()]  # fmt: skip


def _planned(panels: tuple[Panel, Panel], common: CommonRows) -> list[_Differing]:
    days = list(common.days)

    def prices(side: int, matrix: Any) -> Floats:
        panel = panels[side]
        found = _cells(panel, matrix, common.rows[side], days)
        is_planned = panel.has_plan[np.ix_(common.rows[side], common.columns[side])]
        return np.where(is_planned, found, np.nan)

    found = [
        _differing(PLANNED, name, [prices(side, getattr(panel, matrix)) for side, panel in enumerate(panels)], days)
        for name, matrix in (("price_ratio", "price_ratio"), ("promotion", "is_promotion"))
    ]  # fmt: skip
    closed = [_cells(panel, panel.is_closed, common.rows[side], days) for side, panel in enumerate(panels)]
    found.append(_differing(PLANNED, "closed", closed, days))
    for name in sorted({name for panel in panels for name in panel.event_names}):
        falls = [_falls(panel, name, common.rows[side], days) for side, panel in enumerate(panels)]
        found.append(_differing(PLANNED, f"{_EVENT}{name}", falls, days))
    return found


def _stock(supplies: Sequence[Supply], common: CommonRows) -> list[_Differing]:
    read: dict[str, Callable[[Supply], Floats]] = {
        "on_hand_units": lambda supply: supply.on_hand,
        "on_order_units": _on_order,
        "lead_time_days": lambda supply: supply.lead_time_days,
    }
    return [
        _differing(STOCK, name, [values(supply)[common.rows[side]][:, None] for side, supply in enumerate(supplies)],
                   [None])
        for name, values in read.items()
    ]  # fmt: skip


def _on_order(supply: Supply) -> Floats:
    ordered = np.bincount(supply.order_series, supply.order_units, minlength=len(supply.on_hand))
    return np.where(np.isnan(supply.on_hand), np.nan, ordered[: len(supply.on_hand)])


def _cells(panel: Panel, matrix: Any, rows: Rows, days: Sequence[date], *, end: int | None = None) -> Floats:
    """[N, days] Values of some series and days, one after the other; NaN outside of the panel, or from a column on."""
    columns = (days[0] - panel.first_date).days + np.arange(len(days))
    inside = (columns >= 0) & (columns < (matrix.shape[1] if end is None else end))
    out = np.full((len(rows), len(days)), np.nan)
    out[:, inside] = matrix[np.ix_(rows, columns[inside])]
    return out


def _falls(panel: Panel, name: str, rows: Rows, days: Sequence[date]) -> Floats:
    """[N, days] whether an event falls on some days."""
    columns, applies = panel.occurrences(name)
    matrix = np.zeros((panel.series.height, panel.event_days.shape[1]))
    matrix[:, columns] = applies
    return _cells(panel, matrix, rows, days)


def _differing(kind: str, name: str, values: Sequence[Floats], days: Sequence[date | None]) -> _Differing:
    before, after = values
    row, column = np.nonzero((before != after) & ~(np.isnan(before) & np.isnan(after)))
    day = np.array(days, dtype="datetime64[D]")[column]
    return _Differing(kind, name, row, day, before[row, column], after[row, column])
