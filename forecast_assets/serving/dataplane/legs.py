"""Differences of one row, leg by leg: from a changed prediction to its run, from run to run, to another changed one.

What belongs here: shares of each leg by cause, and adding legs up. What does not: reading what is published, or words.

Between changes of one run the causes are what the changes say otherwise: later sales, plans, stock. Between two runs
they are those of the pair. What lies between two predictions is the sum of its legs, and so are its causes; the way
back has the opposite ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.attribution.shapley import shapley
from forecast_assets.contracts import COMPONENTS
from forecast_assets.core.arrays import Ints
from forecast_assets.core.quantities import UNITS, Millionths, from_units
from forecast_assets.features.changes import SeriesChange
from forecast_assets.operations.attributing import RunPair
from forecast_assets.operations.attribution import OBSERVATIONS, PLANS, STOCK
from forecast_assets.operations.compared_run import DRIVERS
from forecast_assets.operations.input_differences import PAST, PLANNED, SCHEMA
from forecast_assets.operations.input_differences import STOCK as OF_STOCK
from forecast_assets.serving.dataplane.prepared import PreparedRun
from forecast_assets.serving.dataplane.what_if import WhatIf, WhatIfFigures, what_if, what_if_apart

SALES, RISK = "expected_sales_units", "stockout_probability"
# What a leg moves: the drivers of the forecast, then the other figures.
MOVED: Final = (*DRIVERS, SALES, RISK)
_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    OBSERVATIONS: ("sales",),
    PLANS: ("price_ratios", "promotions", "events"),
    STOCK: ("on_hand_units", "orders"),
}


@dataclass(frozen=True)
class Leg:
    """A part of the way from one prediction to another.

    Attributes:
        before: What it begins with, by `MOVED`, in millionths.
        after: What it ends with.
        shares: What each cause moves; they add up to the difference.
        inputs: Inputs that differ, as `input_differences` returns them.
        knows_risk: Whether the probability of running out is known at both ends and in between.
    """

    before: Ints
    after: Ints
    shares: Mapping[str, Ints]
    inputs: pl.DataFrame
    knows_risk: bool


def joined(legs: Sequence[Leg]) -> Leg:
    """Add legs up, each of which begins where the one before it ends."""
    shares: dict[str, Ints] = {}
    for leg in legs:
        for cause, moved in leg.shares.items():
            shares[cause] = shares.get(cause, 0) + moved
    return Leg(
        legs[0].before,
        legs[-1].after,
        shares,
        pl.concat([leg.inputs for leg in legs]),
        knows_risk=all(leg.knows_risk for leg in legs),
    )


def leg_of_runs(pair: RunPair, store_id: str, sku_id: str, day: date) -> Leg:
    """Return the difference of two published rows.

    Raises:
        InputError: If the runs do not both have the row.
    """
    told = pair.attribution
    change, place = told.of(store_id=store_id, sku_id=sku_id, day=day), told.place(store_id, sku_id)
    at = told.common.days.index(day)
    figures = pair.figures(store_id=store_id, sku_id=sku_id, day=day)
    others = [_by_cause(figures[name].causes) if name in figures else {} for name in (SALES, RISK)]
    causes = dict.fromkeys([*told.causes, *(cause for other in others for cause in other)])
    drivers = dict(zip(told.causes, told.units[:, place, at], strict=True))
    nothing = np.zeros(len(DRIVERS), dtype=np.int64)
    shares = {
        cause: np.array([*drivers.get(cause, nothing), *(other.get(cause, 0) for other in others)], dtype=np.int64)
        for cause in causes
    }
    ends = [
        np.array([*told.published[side][place, at], *(_end(figures, name, side) for name in (SALES, RISK))])
        for side in (0, 1)
    ]
    return Leg(ends[0], ends[1], shares, change.inputs, knows_risk=RISK in figures)


def _by_cause(causes: pl.DataFrame) -> dict[str, int]:
    return dict(zip(causes["cause"], from_units(causes["change_units"]).tolist(), strict=True))


def _end(figures: Mapping[str, Any], name: str, side: int) -> int:
    if name not in figures:
        return 0
    value = figures[name].after if side else figures[name].before
    return int(value.scaleb(6))


# --- changes of one run ---


def leg_of_changes(
    prepared: PreparedRun, first: SeriesChange, second: SeriesChange, day: date
) -> tuple[Leg, WhatIf, WhatIf]:
    """Return the difference of a series of a run under two changes, and what was answered of each.

    Raises:
        InputError: If the run has no such series, or an input cannot be so.
        ReplayDifferenceError: If unchanged inputs no longer give what was published.
    """
    causes = [name for name, fields in _GROUPS.items() if _parts(first, fields) != _parts(second, fields)]
    ends = [what_if(prepared, [change]) for change in (first, second)]
    step = (day - prepared.panel.cutoff).days
    between = [_mixed(first, second, causes, each) for each in range(1, 2 ** len(causes) - 1)]
    inner = _inner(what_if_apart(prepared, between), step) if between else []
    values, known = zip(_end_values(ends[0], step), *inner, _end_values(ends[1], step), strict=True)
    moved = np.stack(values) if causes else np.stack([values[0]])
    leg = Leg(
        moved[0],
        moved[-1],
        dict(zip(causes, shapley(causes, moved), strict=True)),
        _inputs(prepared, first, second),
        knows_risk=all(known),
    )
    return leg, ends[0], ends[1]


def _parts(change: SeriesChange, fields: Sequence[str]) -> list[Any]:
    return [getattr(change, name) for name in fields]


def _mixed(first: SeriesChange, second: SeriesChange, causes: Sequence[str], coalition: int) -> SeriesChange:
    """Return a change that is the second's where a coalition holds its causes."""
    held = {name for at, cause in enumerate(causes) if coalition >> at & 1 for name in _GROUPS[cause]}
    names = [name for fields in _GROUPS.values() for name in fields]
    values = {name: getattr(second if name in held else first, name) for name in names}
    return SeriesChange(first.store_id, first.sku_id, **values)


def _end_values(answer: WhatIf, step: int) -> tuple[Millionths, bool]:
    """Return what a row is made of, by `MOVED`, and whether its risk is known."""
    told, risk = answer.explanations.filter(step=step), answer.risks.filter(step=step)[RISK]
    figures = [from_units(told[name]) for name in (*DRIVERS, SALES)]
    return np.concatenate([*figures, _known_or_zero(risk)]), risk.null_count() == 0


def _inner(found: WhatIfFigures, step: int) -> list[tuple[Millionths, bool]]:
    """Return the same of several questions."""
    base, reconciled, risks = (frame.filter(step=step) for frame in (found.base, found.reconciled, found.risks))
    model, forecast = (from_units(reconciled[name]) for name in ("reconciled_units", "forecast_units"))
    columns = [
        *(from_units(base[name]) for name in COMPONENTS),
        model - from_units(base["base_units"]),
        forecast - model,
        forecast - _known_or_zero(risks["expected_lost_units"]),
        _known_or_zero(risks[RISK]),
    ]
    return list(zip(np.stack(columns, axis=1), risks[RISK].is_not_null().to_list(), strict=True))


def _known_or_zero(values: pl.Series) -> Millionths:
    return from_units(values.fill_null(0).cast(UNITS))


def _inputs(prepared: PreparedRun, first: SeriesChange, second: SeriesChange) -> pl.DataFrame:
    """Return what two changes say otherwise; null where one says nothing, so that the run's own counts."""
    rows: list[tuple[Any, ...]] = []

    def differing(kind: str, name: str, before: Mapping[Any, Any], after: Mapping[Any, Any]) -> None:
        for day in sorted({*before, *after}):
            old, new = before.get(day), after.get(day)
            if old != new:
                rows.append(
                    (*first.series, kind, name, day, *(None if each is None else float(each) for each in (old, new)))
                )

    differing(PAST, "sales", first.sales, second.sales)
    differing(PLANNED, "price_ratio", first.price_ratios, second.price_ratios)
    differing(PLANNED, "promotion", first.promotions, second.promotions)
    for name in prepared.panel.event_names:
        falls = [{day: 1.0 for day, names in each.events.items() if name in names} for each in (first, second)]
        differing(PLANNED, f"event {name}", falls[0], falls[1])
    cutoff = prepared.panel.cutoff
    stocks = [{} if each.on_hand_units is None else {cutoff: each.on_hand_units} for each in (first, second)]
    differing(OF_STOCK, "on_hand_units", stocks[0], stocks[1])
    orders = [_by_day(each) for each in (first, second)]
    differing(OF_STOCK, "ordered_units", orders[0], orders[1])
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _by_day(change: SeriesChange) -> dict[date, float]:
    found: dict[date, float] = {}
    for order in change.orders:
        found[order.arrives] = found.get(order.arrives, 0.0) + order.units
    return found
