"""Margins by hand, by an oracle that loops, and what they do not depend on."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from forecast_assets.metrics.backtests import report
from forecast_assets.metrics.sampling import JudgedCells, one_sided_margin
from tests.support.gate_cases import backtests_of, overall, shaken_sales


def cells(numerator: list[list[float]], denominator: float = 5.0, **changes: object) -> JudgedCells:
    values = np.array(numerator)
    fields = {
        "numerator": values,
        "denominator": np.full(values.shape, denominator),
        "judged": np.ones(values.shape, dtype=np.bool_),
        "series": np.arange(len(values)),
        "store": np.zeros(len(values), dtype=np.int64),
        "first_day": 0,
    }
    return JudgedCells(**{**fields, **changes})  # type: ignore[arg-type]


def test_errors_of_series_that_last_make_the_margin() -> None:
    """Each of two series is off by 0.1 of the total: 0.2 with one degree of freedom."""
    margin = one_sided_margin([cells([[1.0, 1.0], [-1.0, -1.0]])])
    assert margin == pytest.approx(t.ppf(0.95, 1) * 0.2)


def test_errors_that_all_series_share_on_a_day_make_the_margin() -> None:
    margin = one_sided_margin([cells([[1.0, -1.0, 0.0]] * 2)])
    by_day = [2 / 30, -2 / 30, 0.0]
    assert margin == pytest.approx(t.ppf(0.95, 1) * np.sqrt(sum(u**2 for u in by_day) * 3 / 2))


def test_independent_errors_count_once() -> None:
    """By series, by day and by both the sum is the same, so that the variance is that of one of them."""
    signs = [[1.0, -1.0], [-1.0, 1.0]]
    same = one_sided_margin([cells(signs, series=np.array([0, 1]))])
    assert same == 0.0 or same == pytest.approx(0.0)
    alone = one_sided_margin([cells([[1.0, -1.0]])])
    assert alone == pytest.approx(t.ppf(0.95, 1) * 0.2)


def test_nothing_sold_and_one_day_of_one_series_tell_nothing() -> None:
    assert one_sided_margin([cells([[1.0, 2.0]], denominator=0.0)]) is None
    assert one_sided_margin([cells([[1.0]])]) is None


def test_silent_series_are_no_witnesses() -> None:
    few = cells([[1.0, 2.0], [0.5, -1.0]])
    silent = JudgedCells(
        *(np.concatenate([values, np.zeros((9, 2))]) for values in (few.numerator, few.denominator)),
        judged=np.ones((11, 2), dtype=np.bool_),
        series=np.arange(11),
        store=np.zeros(11, dtype=np.int64),
        first_day=0,
    )
    assert one_sided_margin([silent]) == one_sided_margin([few])


def test_enough_stores_stand_for_their_series() -> None:
    """Eight stores, each with two series that are off together: twice the error of independent ones."""
    off = np.repeat([1.0, -1.0] * 4, 2)[:, None] * np.ones((16, 3))
    by_series, by_store = (
        one_sided_margin([cells(off.tolist(), store=np.repeat(np.arange(count), 16 // count))]) for count in (4, 8)
    )
    assert by_series == pytest.approx(t.ppf(0.95, 2) * np.sqrt(16 * (3 / 240) ** 2 * 16 / 15))
    assert by_store == pytest.approx(t.ppf(0.95, 2) * np.sqrt(8 * (6 / 240) ** 2 * 8 / 7))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 70), st.integers(1, 10))
def test_margins_are_those_of_a_plain_loop(seed: int, series: int, days: int, stores: int) -> None:
    random = np.random.default_rng(seed)
    sold = random.poisson(1.0, (series, days)).astype(np.float64)
    made = JudgedCells(
        random.normal(size=sold.shape) * (random.random(sold.shape) < 0.7),
        sold,
        random.random(sold.shape) < 0.8,
        np.arange(series),
        np.arange(series) % stores,
        first_day=seed,
    )
    expected = _by_loop(made)
    found = one_sided_margin([made])
    assert found == pytest.approx(expected) if expected is not None else found is None


def _by_loop(made: JudgedCells) -> float | None:
    places = [
        (row, day)
        for row, day in product(*map(range, made.judged.shape))
        if made.judged[row, day] and (made.numerator[row, day] or made.denominator[row, day])
    ]
    total = sum(made.denominator[place] for place in places)
    if not total:
        return None
    rate = sum(made.numerator[place] for place in places) / total
    first = min(day for _, day in places)
    many_stores = len({made.store[row] for row, _ in places}) >= 8
    many_weeks = len({(day - first) // 7 for _, day in places}) >= 8
    sums: list[dict[object, float]] = [{}, {}, {}]
    for row, day in places:
        unit = made.store[row] if many_stores else made.series[row]
        time = (day - first) // 7 if many_weeks else day
        for kind, key in zip(sums, (unit, time, (unit, time)), strict=True):
            error = (made.numerator[row, day] - rate * made.denominator[row, day]) / total
            kind[key] = kind.get(key, 0.0) + error
    counts = [len(kind) for kind in sums[:2] if len(kind) > 1]
    if not counts:
        return None
    units, times, pairs = (sum(u**2 for u in kind.values()) * len(kind) / max(len(kind) - 1, 1) for kind in sums)
    return float(t.ppf(0.95, min(counts) - 1) * np.sqrt(max(units + times - pairs, units, times)))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100), st.floats(0.01, 100.0))
def test_units_of_measure_and_the_order_of_series_and_cutoffs_do_not_matter(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    sales = shaken_sales(random, 6, 2.0)
    made = report(backtests_of(sales, 2.0))
    turned = report(list(reversed(backtests_of(sales, 2.0))))
    scaled = report(backtests_of(scale * sales, scale * 2.0))
    for metric in ("wape", "bias", "coverage_80"):
        assert overall(turned, metric)["gate_margin"] == overall(made, metric)["gate_margin"]
        assert overall(scaled, metric)["gate_margin"] == pytest.approx(overall(made, metric)["gate_margin"])


def test_reports_have_margins_of_what_gates_ask_and_of_nothing_else() -> None:
    made = report(backtests_of(shaken_sales(np.random.default_rng(1), 6, 2.0), 2.0))
    told = made.filter(made["gate_margin"].is_not_null())
    assert set(told.select("segment_kind", "metric").rows()) == {
        ("all", "wape"), ("all", "bias"), ("all", "coverage_80"),
    }  # fmt: skip
    assert (told["gate_margin"] > 0).all()


def test_the_margin_of_wape_is_that_of_its_difference_from_seasonal_naive() -> None:
    """A version that is seasonal naive differs from it by nothing, however far both are off."""
    backtests = backtests_of(shaken_sales(np.random.default_rng(2), 6, 2.0), 2.0)
    same = [replace(each, expected_sales=each.others["seasonal_naive"]) for each in backtests]
    assert overall(report(same), "wape")["gate_margin"] == 0.0


def test_the_same_series_at_two_cutoffs_is_one_witness() -> None:
    """Each series is off by as much at both cutoffs: two cutoffs say no more of it than one."""
    sales = np.tile(np.array([[1.0], [2.0], [3.0], [4.0]]), (1, 84))
    one, two = (report(backtests_of(sales[:, : 28 * (count + 1)], 2.5, cutoffs=count)) for count in (1, 2))
    assert overall(two, "bias")["gate_margin"] == pytest.approx(overall(one, "bias")["gate_margin"])
