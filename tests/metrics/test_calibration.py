from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from forecast_assets.contracts import CALIBRATION, QUANTILES
from forecast_assets.metrics.calibration import (
    CENTRAL_INTERVALS,
    CalibrationCounts,
    JudgedQuantiles,
    added_up,
    calibration_rows,
    counted,
    is_new_stretch,
    new_steps,
)
from forecast_assets.metrics.scores import crps, share_inside, shares_at_most

RISING = np.arange(1.0, 14.0)


def judged(demand: Any, **changes: Any) -> JudgedQuantiles:
    """Series on each of whose days the quantiles are 1, 2, ... 13 and the mean is 7."""
    came = np.asarray(demand, dtype=np.float64)
    fields: dict[str, Any] = {
        "level": "sku x store",
        "days": 1,
        "demand": came,
        "mean": np.full(came.shape, 7.0),
        "quantiles": np.broadcast_to(RISING, (*came.shape, 13)),
        "is_new": np.ones(came.shape[1], dtype=np.bool_),
        "is_new_in_band": np.ones(came.shape[1], dtype=np.bool_),
        "weight": np.ones(len(came)),
        "scale": np.ones(len(came)),
        "demand_class": np.full(len(came), "smooth"),
    }
    return JudgedQuantiles(**{**fields, **changes})


def rows_of(counts: CalibrationCounts, **where: Any) -> pl.DataFrame:
    return CALIBRATION.validate(calibration_rows(counts)).filter(**where)


def value(counts: CalibrationCounts, metric: str, **where: Any) -> float:
    found = rows_of(counts, metric=metric, **{"segment_kind": "all", **where})
    assert found.height == 1
    return float(found["value"][0])


def test_shares_are_of_what_came_between_two_quantiles() -> None:
    """Of four days one is below all quantiles, two are about the median, one is above all."""
    found = counted(judged([[0.5, 6.5, 7.5, 99.0]]))
    assert value(found, "coverage_50") == 0.5
    assert value(found, "coverage_99") == 0.5
    assert value(found, "at_most_q975") == 0.75
    pit = rows_of(found, metric="pit", segment_kind="all")
    assert pit.filter(pl.col("value") > 0)["low"].to_list() == [0.0, 0.25, 0.5, 0.995]
    assert pit["expected"].sum() == pytest.approx(1.0)


def test_a_count_that_ties_with_quantiles_counts_by_the_probability_that_it_covers() -> None:
    """Zero is all that is expected up to the level of 0.9; of that, 0.65 lies in the central 80%."""
    quantiles = np.where(np.array(QUANTILES) < 0.9, 0.0, 1.0)[None, None]
    found = counted(judged([[0.0]], quantiles=quantiles, mean=np.array([[0.1]])))
    assert value(found, "coverage_80") == pytest.approx(0.8 / 0.9)
    assert value(found, "at_most_q975") == 1.0


@pytest.mark.parametrize(("width", "expected"), [(1.0, "right"), (0.5, "narrow")])
def test_right_forecasts_are_covered_as_they_say_and_narrow_ones_are_not(width: float, expected: str) -> None:
    demand = np.random.default_rng(1).normal(50.0, 5.0, (400, 28))
    said = 50.0 + width * 5.0 * stats.norm.ppf(QUANTILES)
    found = counted(judged(demand, quantiles=np.broadcast_to(said, (400, 28, 13))))
    off = [abs(value(found, f"coverage_{percent}") - percent / 100) for percent in CENTRAL_INTERVALS]
    assert (max(off) < 0.01) == (expected == "right")


def test_the_score_of_a_distribution_is_nearly_its_integral() -> None:
    """Of a normal distribution it is known in closed form (Gneiting and Raftery 2007)."""
    at = np.array([-1.5, 0.0, 0.7])
    exact = at * (2 * stats.norm.cdf(at) - 1) + 2 * stats.norm.pdf(at) - 1 / np.sqrt(np.pi)
    quantiles = np.broadcast_to(stats.norm.ppf(QUANTILES), (3, 13))
    np.testing.assert_allclose(crps(at, quantiles), exact, rtol=0.03)


@given(st.lists(st.integers(0, 6), min_size=13, max_size=13), st.integers(0, 7), st.data())
def test_the_share_inside_is_the_difference_of_two_shares(steps: list[int], came: int, data: st.DataObject) -> None:
    quantiles, actual = np.sort(np.array(steps, dtype=np.float64))[None], np.array([float(came)])
    low, high = sorted(data.draw(st.lists(st.integers(0, 12), min_size=2, max_size=2, unique=True)))
    shares = shares_at_most(actual, quantiles)[0]
    inside = share_inside(actual, quantiles, QUANTILES[low], QUANTILES[high])[0]
    assert shares[high] - shares[low] == pytest.approx(inside)
    assert (np.diff(shares) >= 0).all()


def test_rows_are_divided_by_class_size_and_days_ahead() -> None:
    found = counted(judged(np.full((2, 9), 5.0), demand_class=np.array(["smooth", "lumpy"])))
    whole = calibration_rows(found).filter(pl.col("metric") == "crps")
    told = {(kind, segment): count for kind, segment, count in whole.select(KIND).iter_rows()}
    assert told == {
        ("all", "all"): 18, ("step", "1-7"): 14, ("step", "8-14"): 4,
        ("demand_class", "smooth"): 9, ("demand_class", "lumpy"): 9, ("size", "3-10"): 18,
        ("demand_class, size, step", "smooth, 3-10, 1-7"): 7, ("demand_class, size, step", "smooth, 3-10, 8-14"): 2,
        ("demand_class, size, step", "lumpy, 3-10, 1-7"): 7, ("demand_class, size, step", "lumpy, 3-10, 8-14"): 2,
    }  # fmt: skip


KIND = ["segment_kind", "segment", "rows"]


def test_unknown_days_and_rows_of_which_nothing_is_expected_are_left_out() -> None:
    mean = np.array([[7.0, 7.0, 0.0]])
    found = counted(judged([[np.nan, 6.0, 6.0]], mean=mean))
    assert rows_of(found, metric="crps", segment_kind="all")["rows"].to_list() == [1]
    assert counted(judged([[np.nan]])).places == {}


def test_sums_of_days_have_sizes_by_day_and_no_bands_of_days_ahead() -> None:
    found = counted(judged([[60.0]], days=7, mean=np.array([[70.0]])))
    kinds = rows_of(found, metric="crps").select("segment_kind", "segment").rows()
    assert kinds == [("all", "all"), ("demand_class", "smooth"), ("size", "3-10")]


def test_nodes_are_divided_by_days_ahead_only() -> None:
    found = counted(judged([[6.0]], level="total x total", demand_class=None))
    assert rows_of(found, metric="crps")["segment_kind"].to_list() == ["all", "step"]


def test_losses_are_weighted_and_scaled_and_nodes_without_a_scale_are_left_out() -> None:
    demand = np.array([[20.0], [7.0], [7.0]])
    alone = counted(judged(demand[:1]))
    found = counted(judged(demand, weight=np.array([1.0, 3.0, 9.0]), scale=np.array([2.0, 1.0, np.nan])))
    other = value(counted(judged(demand[1:2])), "wspl")
    assert value(found, "wspl") == pytest.approx((value(alone, "wspl") / 2 + 3 * other) / 4)


def test_cutoffs_are_added_up_and_days_that_both_judged_count_once() -> None:
    """Of seven days ahead the second cutoff, two days later, has five that the first had; bands are of the same."""
    later, earlier = date(2025, 1, 3), date(2025, 1, 1)
    new = new_steps(later, [earlier], 7)
    both = added_up([counted(judged(np.full((3, 7), 6.0))), counted(judged(np.full((3, 7), 6.0), is_new=new))])
    found = rows_of(both, metric="coverage_50", segment_kind="all").row(0, named=True)
    assert (found["rows"], found["effective_rows"], found["dates"]) == (42, 27, 9)


def test_in_bands_of_days_ahead_only_days_as_far_ahead_are_the_same() -> None:
    later, earlier = date(2025, 1, 8), date(2025, 1, 1)
    assert new_steps(later, [earlier], 14).tolist() == [False] * 7 + [True] * 7
    assert new_steps(later, [earlier], 14, as_far_ahead=True).all()
    assert new_steps(later, [], 14).all()


@pytest.mark.parametrize(("apart", "taken"), [(6, False), (7, True), (8, True)])
def test_sums_of_days_count_where_they_do_not_overlap(apart: int, taken: bool) -> None:
    first = date(2025, 1, 1)
    assert is_new_stretch(date.fromordinal(first.toordinal() + apart), [first], 7) is taken
    assert is_new_stretch(first, [], 7)


def test_of_many_nodes_as_much_is_counted_as_of_their_parts() -> None:
    demand = np.random.default_rng(2).gamma(2.0, 4.0, (9000, 2))
    whole = counted(judged(demand))
    parts = added_up(counted(judged(demand[rows])) for rows in (slice(0, 5000), slice(5000, None)))
    for metric in ("coverage_80", "crps"):
        assert value(whole, metric) == pytest.approx(value(parts, metric))
