"""A difference in one short sentence: `2025-06-29 120, 2025-06-30 95: -18 promotion ended, -7 new sales`.

What belongs here: what each cause is called, by what is known of it. What does not: making shares, or tables.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import polars as pl

from forecast_assets.core.keys import RunKey
from forecast_assets.operations.attribution import (
    CODE,
    MODEL,
    OBSERVATIONS,
    OBSERVATIONS_AND_MODEL,
    OVERRIDE,
    PLANS,
    RECONCILIATION,
    STOCK,
    AttributedChange,
)

_NAMES: Final = {
    MODEL: "model version",
    RECONCILIATION: "reconciliation",
    OVERRIDE: "override",
    STOCK: "stock and orders",
    CODE: "a change of code",
}
_EVENT: Final = "event "
# Fewer units than this are told with two decimals.
_MANY: Final = 10
_MOST_TOLD: Final = 6


def change_words(before: RunKey, after: RunKey, found: AttributedChange, labels: tuple[str, str] | None = None) -> str:
    """Say what moved a number, the largest causes first; what rounds to nothing is not told.

    Args:
        before: The run of the first number.
        after: The run of the second.
        found: The difference.
        labels: What the two numbers are called; by default what tells the runs apart.
    """
    decimals = 1 if max(found.before_units, found.after_units) >= _MANY else 2
    labels = labels or side_labels(before, after)
    numbers = (found.before_units, found.after_units)
    head = ", ".join(f"{label} {_number(units, decimals)}" for label, units in zip(labels, numbers, strict=True))
    if found.before_units == found.after_units and not any(found.causes["change_units"]):
        return f"{head}: nothing moved"
    told = sorted(_told(before, after, found), key=lambda each: -abs(each[0]))[:_MOST_TOLD]
    shown = [f"{_number(units, decimals, sign='+')} {words}" for units, words in told if round(units, decimals)]
    return f"{head}: {', '.join(shown) or 'less than can be shown'}"


def side_labels(before: RunKey, after: RunKey) -> tuple[str, str]:
    """Return what tells two runs apart, in short: dates, else versions, else revisions, else whole keys."""
    pairs = (
        (str(before.prediction_date), str(after.prediction_date)),
        (before.model_version, after.model_version),
        (f"r{before.revision}", f"r{after.revision}"),
    )
    return next((pair for pair in pairs if pair[0] != pair[1]), (str(before), str(after)))


def _number(units: Decimal, decimals: int, sign: str = "") -> str:
    text = f"{units:{sign},.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _told(before: RunKey, after: RunKey, found: AttributedChange) -> Iterator[tuple[Decimal, str]]:
    for cause, units in found.causes.select("cause", "change_units").iter_rows():
        if cause == PLANS:
            yield from _plans(found)
        else:
            yield units, cause_words(cause, before, after, found.inputs)


def cause_words(cause: str, before: RunKey, after: RunKey, inputs: pl.DataFrame) -> str:
    """Return what a cause is called.

    Args:
        cause: Its name.
        before: The run of the first number.
        after: The run of the second.
        inputs: Inputs that differ, as `input_differences` returns them.
    """
    if cause == OBSERVATIONS:
        return _sales(before, after, inputs)
    if cause == OBSERVATIONS_AND_MODEL:
        return f"{_sales(before, after, inputs)} and model version"
    return _NAMES.get(cause, cause.replace("_", " "))


def _sales(before: RunKey, after: RunKey, inputs: pl.DataFrame) -> str:
    """New sales are of days that only one run had observed; restated ones both had, and otherwise."""
    past = inputs.filter(kind="observation")
    both = pl.col("before").is_not_null() & pl.col("after").is_not_null()
    restated = past.filter(both & (pl.col("input") == "sales")).height > 0
    is_new = before.prediction_date != after.prediction_date
    if is_new:
        return "new and restated sales" if restated else "new sales"
    if restated:
        return "restated sales"
    names = past["input"].unique().sort().to_list()
    return f"restated {' and '.join(name.replace('_', ' ') for name in names[:2])}" if names else "sales of others"


def _plans(found: AttributedChange) -> Iterator[tuple[Decimal, str]]:
    """Plans by driver: each is called after what was planned otherwise."""
    parts = found.parts.filter(cause=PLANS)
    plans = found.inputs.filter(kind="plan")
    events = [name.removeprefix(_EVENT) for name in plans["input"].unique().sort() if name.startswith(_EVENT)]
    names = {
        "price_units": _price(plans.filter(input="price_ratio")),
        "promotion_units": _promotion(plans.filter(input="promotion")),
        **dict.fromkeys(("event_units", "payday_units"), f"events ({', '.join(events[:2])})" if events else "events"),
        "covariates_units": "covariates planned",
    }
    others = Decimal(0)
    for driver, units in parts.select("driver", "change_units").iter_rows():
        if driver in names:
            yield units, names[driver]
        else:
            others += units
    if others:
        yield others, "plans"


def _price(rows: pl.DataFrame) -> str:
    return {1: "higher price", -1: "lower price"}.get(_direction(rows, 1.0), "price")


def _promotion(rows: pl.DataFrame) -> str:
    return {1: "promotion added", -1: "promotion ended"}.get(_direction(rows, 0.0), "promotion")


def _direction(rows: pl.DataFrame, unknown: float) -> int:
    """1 where all values rise, -1 where all fall, 0 where they do both or there are none."""
    moves = (rows["after"].fill_null(unknown) - rows["before"].fill_null(unknown)).sign().unique()
    return int(moves.item()) if len(moves) == 1 else 0
