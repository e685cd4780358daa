"""Feature specs, their version and their compiler."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.features.compiler import _AGGREGATES, compute_features
from forecast_assets.features.specs import (
    DEFAULT_SPECS,
    FeatureSpec,
    feature_version,
    specs_from_data,
    specs_to_data,
)

CUTOFF = date(2025, 3, 31)


def sales(units: list[float], sku: str = "A") -> pl.LazyFrame:
    first = CUTOFF - timedelta(days=len(units) - 1)
    days = pl.date_range(first, CUTOFF, eager=True)
    return pl.LazyFrame({"sku_id": sku, "store_id": "S", "event_date": days, "sales_units": units})


def one(aggregate: str, units: list[float], window: int | None = None) -> float | None:
    spec = FeatureSpec("f", "sales", "sales_units", aggregate, window)  # type: ignore[arg-type]
    return compute_features([spec], {"sales": sales(units)}, cutoff=CUTOFF)["f"].item()


@pytest.mark.parametrize(
    ("aggregate", "window", "expected"),
    [
        ("count", None, 6.0),
        ("mean", 2, 3.5),
        ("mean", None, 2.5),
        ("sum", 3, 7.0),
        ("max", None, 5.0),
        ("share_positive", None, 4 / 6),
        ("interval", None, 6 / 4),
        ("variation", None, ((25 + 9 + 25 + 4) / 4 - (15 / 4) ** 2) / (15 / 4) ** 2),
        ("latest", None, 2.0),
        ("days_since_first", None, 6.0),
        ("days_since_last_positive", None, 0.0),
    ],
)
def test_each_aggregate_on_a_table_written_by_hand(aggregate: str, window: int | None, expected: float) -> None:
    assert one(aggregate, [5.0, 3.0, 0.0, 0.0, 5.0, 2.0], window) == pytest.approx(expected)


def test_a_series_that_never_sold_has_no_interval() -> None:
    assert one("interval", [0.0, 0.0]) is None
    assert one("variation", [0.0, 0.0]) is None
    assert one("days_since_last_positive", [0.0, 0.0]) is None


def test_changing_one_window_changes_the_version_and_the_old_one_still_compiles_to_the_same_bytes() -> None:
    rows = {"sales": sales([float(day % 5) for day in range(200)])}
    old = specs_to_data(DEFAULT_SPECS)
    before = compute_features(DEFAULT_SPECS, rows, cutoff=CUTOFF)
    at = next(n for n, spec in enumerate(DEFAULT_SPECS) if spec.window_days == 28)
    changed = (*DEFAULT_SPECS[:at], replace(DEFAULT_SPECS[at], window_days=27), *DEFAULT_SPECS[at + 1 :])
    assert feature_version(changed) != feature_version(DEFAULT_SPECS)
    assert feature_version(specs_from_data(old)) == feature_version(DEFAULT_SPECS)
    assert compute_features(specs_from_data(old), rows, cutoff=CUTOFF).equals(before)
    assert not compute_features(changed, rows, cutoff=CUTOFF).equals(before)


def test_feeds_that_a_source_lacks_give_nulls() -> None:
    frame = compute_features(DEFAULT_SPECS, {"sales": sales([1.0])}, cutoff=CUTOFF)
    assert frame["on_hand_units"].null_count() == 1
    assert frame["age_days"].to_list() == [1.0]


@settings(max_examples=25, deadline=None)
@given(future=st.lists(st.floats(0, 1e6), min_size=1, max_size=30), units=st.lists(st.floats(0, 1e6), min_size=1))
def test_rows_after_the_cutoff_never_change_a_feature(future: list[float], units: list[float]) -> None:
    specs = [spec for spec in DEFAULT_SPECS if spec.feed == "sales"]
    later = sales(future).with_columns(pl.col("event_date") + timedelta(days=len(future)))
    rows: Mapping[str, pl.LazyFrame] = {"sales": sales(units)}
    more: Mapping[str, pl.LazyFrame] = {"sales": pl.concat([later, sales(units)])}
    assert compute_features(specs, rows, cutoff=CUTOFF).equals(compute_features(specs, more, cutoff=CUTOFF))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100))
def test_the_order_of_rows_never_changes_a_byte(seed: int) -> None:
    skus = [sales([0.1 * ((day * sku) % 7) for day in range(90)], f"K{sku}").collect() for sku in range(20)]
    frame = pl.concat(skus)
    specs = [spec for spec in DEFAULT_SPECS if spec.feed == "sales"]
    shuffled = frame.sample(fraction=1, shuffle=True, seed=seed)
    first = compute_features(specs, {"sales": frame.lazy()}, cutoff=CUTOFF)
    assert compute_features(specs, {"sales": shuffled.lazy()}, cutoff=CUTOFF).equals(first)


def naive(aggregate: str, units: list[float | None], window: int) -> float | None:
    """What a feature is, in plain loops: units of the last days, the newest last; None where the value is unknown."""
    inside = list(enumerate(units[::-1]))[:window]
    known = [value for _, value in inside if value is not None]
    selling = [value for value in known if value > 0]
    mean = sum(selling) / len(selling) if selling else 0.0
    spread = sum(value * value for value in selling) / len(selling) - mean * mean if selling else 0.0
    return {
        "count": float(len(known)),
        "sum": sum(known),
        "mean": sum(known) / len(known) if known else None,
        "max": max(known, default=None),
        "share_positive": len(selling) / len(known) if known else None,
        "interval": len(known) / len(selling) if selling else None,
        "variation": max(spread, 0.0) / (mean * mean) if selling else None,
        "latest": inside[0][1],
        "days_since_first": float(len(inside)),
        "days_since_last_positive": next((float(ago) for ago, value in inside if value), None),
    }[aggregate]


@pytest.mark.parametrize("aggregate", sorted(_AGGREGATES))
@settings(max_examples=30, deadline=None)
@given(
    units=st.lists(st.one_of(st.none(), st.integers(0, 4).map(float)), min_size=1, max_size=12),
    window=st.integers(1, 14),
)
def test_each_aggregate_over_a_window_is_what_a_loop_gives(
    aggregate: str, units: list[float | None], window: int
) -> None:
    found = one(aggregate, units, window)  # type: ignore[arg-type]
    expected = naive(aggregate, units, window)
    assert found == (None if expected is None else pytest.approx(expected))
