"""What overrides of one run were worth on one day, against plain loops over hand-made rows."""

from collections import defaultdict
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import polars as pl
import pytest

from forecast_assets.accuracy.measuring import DayActuals
from forecast_assets.accuracy.overridden import moved_rows, value_of_run
from forecast_assets.contracts import FORECAST_VALUE_ADDED, VALUE_STAGES
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS

KEY = RunKey("daily", date(2025, 6, 1), "stat-1", 7, 1)
TARGET = date(2025, 6, 3)
UPLIFT = ("event_uplift food fair 50", "policy", "event_uplift", True)
SHELF = ("minimum_presentation food 2", "policy", "minimum_presentation", True)
ANA = ("o3-1", "ana", "event", False)
BEN = ("o4-1", "ben", "price", False)
FLOOR = ("o5-1", "cleo", "display", False)

# By SKU: base, reconciled, naive (None: unknown), sales (None: late), whether the shelf is known to have been empty,
# and the applications: who, before, after, superseded by.
CASES: dict[str, tuple[str, str, float | None, float | None, bool | None, list[tuple[Any, str, str, str]]]] = {
    "alone": ("9.5", "10", 8.0, 11.0, False, [(ANA, "10", "12", "")]),
    "a-tenth": ("3", "3.333333", 2.0, 3.0, None, [(ANA, "3.333333", "3.666666", "")]),
    "just-below": ("10", "10", 9.0, 10.0, None, [(ANA, "10", "10.9", "")]),
    "three-tenths": ("10", "10", 12.0, 9.0, None, [(ANA, "10", "7", "")]),
    "nothing": ("10", "10", 12.0, 9.0, None, [(ANA, "10", "10", "")]),
    "from-zero": ("0", "0", None, 3.0, None, [(ANA, "0", "2.5", "")]),
    "superseded": ("10", "10", 9.0, 8.0, None, [(BEN, "10", "6", ""), (ANA, "6", "6", "o4-1")]),
    "both": ("10", "10", 9.0, 14.0, None, [(ANA, "10", "12", ""), (FLOOR, "12", "15", "")]),
    "met-floor": ("10", "10", 9.0, 14.0, None, [(ANA, "10", "12", ""), (FLOOR, "12", "12", "")]),
    "after-rule": ("10", "10", 9.0, 21.5, None, [(UPLIFT, "10", "15", ""), (ANA, "15", "18", "")]),
    "before-rule": ("1", "1", 1.0, 1.0, None, [(ANA, "1", "0.5", ""), (SHELF, "0.5", "2", "")]),
    "rule-only": ("1", "1.5", 1.0, 2.0, None, [(UPLIFT, "1.5", "2.25", ""), (SHELF, "2.25", "2.25", "")]),
    "late": ("10", "10", 9.0, None, None, [(ANA, "10", "12", "")]),
    "late-and-empty": ("10", "10", 9.0, None, True, [(ANA, "10", "12", "")]),
    "empty": ("10", "10", 9.0, 1.0, True, [(ANA, "10", "12", "")]),
    "untouched": ("10", "10", 9.0, 8.0, None, []),
}
WHOSE = {
    "alone": ("o3-1", "up", "medium"), "a-tenth": ("o3-1", "up", "medium"), "just-below": ("o3-1", "up", "small"),
    "three-tenths": ("o3-1", "down", "medium"), "nothing": ("o3-1", "none", "none"),
    "from-zero": ("o3-1", "up", "large"), "superseded": ("o4-1", "down", "large"),
    "both": ("o5-1", "up", "large"), "met-floor": ("o3-1", "up", "medium"),
    "after-rule": ("o3-1", "up", "medium"), "before-rule": ("o3-1", "down", "large"),
    "rule-only": (UPLIFT[0], "up", "large"),
}  # fmt: skip


def frame(rows: list[dict[str, Any]], **types: Any) -> pl.DataFrame:
    return pl.DataFrame(
        [{"store_id": "S", **row} for row in rows],
        schema_overrides={"sku_id": pl.String, **types},
        infer_schema_length=None,
    )


def overrides(cases: dict[str, Any] = CASES) -> pl.DataFrame:
    rows = [
        {"sku_id": sku, "application": at, "override_id": who[0], "by": who[1], "reason": who[2], "is_rule": who[3],
         "before_units": Decimal(before), "after_units": Decimal(after), "superseded_by": lost}
        for sku, case in cases.items()
        for at, (who, before, after, lost) in enumerate(case[5], start=1)
    ]  # fmt: skip
    # However they are stored, the order of applications is theirs.
    return frame(rows, before_units=UNITS, after_units=UNITS).sample(fraction=1, shuffle=True, seed=5)


def forecasts() -> pl.DataFrame:
    rows = [
        {"sku_id": sku, "demand_class": "lumpy" if sku == "both" else "smooth", "base_units": Decimal(case[0]),
         "reconciled_units": Decimal(case[1]), "forecast_units": Decimal(case[5][-1][2] if case[5] else case[1])}
        for sku, case in CASES.items()
    ]  # fmt: skip
    return frame(rows, base_units=UNITS, reconciled_units=UNITS, forecast_units=UNITS)


def actuals() -> DayActuals:
    sales = [{"sku_id": sku, "sales_units": case[3]} for sku, case in CASES.items() if case[3] is not None]
    empty = [{"sku_id": sku, "is_stockout": case[4]} for sku, case in CASES.items() if case[4] is not None]
    return DayActuals(frame(sales), frame(empty))


def naive() -> pl.DataFrame:
    return frame([{"sku_id": sku, "naive_units": case[2]} for sku, case in CASES.items() if case[2] is not None])


def value() -> pl.DataFrame:
    return value_of_run(KEY, TARGET, overrides(), forecasts(), naive(), actuals())


def plain_loops() -> dict[tuple[str, ...], dict[str, Decimal]]:
    """The same by loops: who had a row last, what it was moved from, errors of each stage."""
    sums: dict[tuple[str, ...], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for sku, (base, reconciled, repeated, sales, is_empty, applications) in CASES.items():
        own = [each for each in applications if not each[0][3]] or applications
        if not own:
            continue
        last = own[-1]
        for each in own:
            if Decimal(each[2]) != Decimal(each[1]):
                last = each
        found = Decimal(own[0][1])
        moved = sum((Decimal(each[2]) - Decimal(each[1]) for each in own), Decimal(0))
        published = Decimal(applications[-1][2])
        share = None if not found else (abs(moved) / found).quantize(Decimal("0.001"))
        size = (
            "none" if not moved else "large" if share is None or share > Decimal("0.3")
            else "small" if share < Decimal("0.1") else "medium"
        )  # fmt: skip
        direction = "up" if moved > 0 else "down" if moved < 0 else "none"
        group = sums[(last[0][0], direction, size, "lumpy" if sku == "both" else "smooth")]
        group["rows"] += sales is not None and not is_empty
        group["rows_without_actual"] += sales is None
        group["rows_left_out"] += sales is not None and bool(is_empty)
        if sales is None or is_empty:
            continue
        sold = Decimal(str(sales))
        group["sales_units"] += sold
        said = {
            "seasonal_naive": Decimal(str(repeated or 0)), "base": Decimal(base), "reconciled": Decimal(reconciled),
            "rules": published if own[0][0][3] else found, "override": published,
        }  # fmt: skip
        for stage, units in said.items():
            group[f"{stage}_absolute_error_units"] += abs(units - sold)
            group[f"{stage}_error_units"] += units - sold
        group["moved_squared_units2"] += rounded(moved * moved)
        group["moved_times_needed_units2"] += rounded(moved * (sold - found))
    return sums


def rounded(units2: Decimal) -> Decimal:
    return units2.quantize(Decimal("0.000001"), ROUND_HALF_EVEN)


def test_the_rows_keep_their_contract_and_name_run_and_day() -> None:
    found = FORECAST_VALUE_ADDED.validate(value())
    assert found.select("prediction_date", "revision", "step", "target_date").unique().rows() == [
        (KEY.prediction_date, 1, 2, TARGET)
    ]
    assert found.filter(override_id="o5-1").select("planner", "reason", "is_rule").rows() == [
        ("cleo", "display", False)
    ]
    assert found.filter(pl.col("is_rule")).select("override_id", "planner", "reason").rows() == [UPLIFT[:3]]


def test_sums_are_those_of_plain_loops_to_the_last_decimal() -> None:
    found, wanted = value(), plain_loops()
    assert found.height == len(wanted)
    for row in found.iter_rows(named=True):
        said = wanted[row["override_id"], row["direction"], row["size"], row["demand_class"]]
        for name in FORECAST_VALUE_ADDED.names[FORECAST_VALUE_ADDED.names.index("rows") :]:
            assert row[name] == said[name], (row["override_id"], row["direction"], row["size"], name)


@pytest.mark.parametrize("sku", WHOSE)
def test_a_row_is_whose_override_changed_it_last(sku: str) -> None:
    found = moved_rows(overrides({sku: CASES[sku]}))
    assert found.select("override_id", "direction", "size").rows() == [WHOSE[sku]]


def test_rows_that_cannot_be_judged_are_counted_and_nothing_else() -> None:
    found = value()
    counts = found.select(pl.col("rows", "rows_without_actual", "rows_left_out").sum()).row(0)
    assert counts == (12, 2, 1)
    none = found.filter(rows=0)
    assert (
        none.select(pl.col(f"{stage}_absolute_error_units" for stage in VALUE_STAGES).sum()).sum_horizontal().sum() == 0
    )


def test_nothing_overridden_is_no_row() -> None:
    empty = overrides().clear()
    assert value_of_run(KEY, TARGET, empty, forecasts(), naive(), actuals()).is_empty()
