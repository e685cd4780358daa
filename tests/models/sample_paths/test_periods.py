"""Periods against a plain loop over series and paths, and against tables written by hand."""

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import COVERED_PERCENT, PERIODS, QUANTILES
from forecast_assets.models.sample_paths import periods as module
from forecast_assets.models.sample_paths.periods import Periods, PeriodSums, Terms, expected, periods_of
from forecast_assets.models.sample_paths.sums import covering

N = 40
SERIES = pl.DataFrame({"store_id": ["S", "S", "T", "T"], "sku_id": ["A", "B", "A", "B"]})
# Fixed, random, none, and one that may last longer than the horizon of ten days.
TERMS = Terms(
    lead_time_days=np.array([3.0, 4.0, np.nan, 8.0]),
    lead_time_deviation_days=np.array([0.0, 1.0, np.nan, 2.0]),
    review_period_days=np.array([2.0, np.nan, np.nan, 7.0]),
)


@pytest.fixture
def found() -> Periods:
    return periods_of(SERIES, TERMS, 10, N)


def test_a_period_is_given_where_the_horizon_reaches_it(found: Periods) -> None:
    assert found.fixed == {"first_7_days": 7, "horizon": 10}
    given = [[name for name, is_there in zip(PERIODS, row, strict=True) if is_there] for row in found.is_given(4)]
    always = ["first_7_days", "horizon"]
    assert given == [
        ["lead_time", "lead_time_and_review", *always], ["lead_time", "lead_time_and_review", *always], always, always,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("horizon", "fixed"),
    [
        (1, {"horizon": 1}),
        (6, {"horizon": 6}),
        (14, {"first_7_days": 7, "first_14_days": 14, "horizon": 14}),
        (90, {"first_7_days": 7, "first_14_days": 14, "first_28_days": 28, "horizon": 90}),
    ],
)
def test_fixed_periods_are_as_many_as_the_horizon_has(horizon: int, fixed: dict[str, int]) -> None:
    assert periods_of(SERIES, None, horizon, N) == Periods(horizon, N, fixed, {})


def test_a_lead_time_that_does_not_vary_is_the_same_in_all_paths(found: Periods) -> None:
    assert set(found.drawn["lead_time"][0].tolist()) == {3}
    assert set(found.drawn["lead_time_and_review"][0].tolist()) == {5}


def test_a_random_lead_time_has_its_law_and_a_day_of_review(found: Periods) -> None:
    days = found.drawn["lead_time"][1]
    # Two thirds lie within one deviation, rounded: from 2.5 to 5.5 are 87%.
    assert (days.mean(), days.std()) == (pytest.approx(4.0, abs=0.05), pytest.approx(1.04, abs=0.1))
    assert ((days >= 3) & (days <= 5)).mean() == pytest.approx(0.87, abs=0.03)
    assert (found.drawn["lead_time_and_review"][1] - days == 1).all()


def test_lead_times_of_a_series_depend_on_no_other(found: Periods) -> None:
    terms = Terms(*(values[1:2] for values in vars(TERMS).values()))
    alone = periods_of(SERIES[1:2], terms, 10, N)
    for name in ("lead_time", "lead_time_and_review"):
        assert alone.drawn[name].tolist() == found.drawn[name][1:2].tolist()


def test_expected_demand_is_exact_where_days_are_fixed_and_a_mean_where_not(found: Periods) -> None:
    means = np.arange(40, dtype=np.int64).reshape(4, 10) * 1_000_001
    assert expected(found, "first_7_days", means).tolist() == means[:, :7].sum(axis=1).tolist()
    lead = expected(found, "lead_time", means)
    assert lead[0] == means[0, :3].sum()
    paths = [sum(int(means[1, day]) for day in range(days)) for days in found.drawn["lead_time"][1]]
    assert lead[1] == pytest.approx(np.mean(paths), abs=0.5)


def test_the_largest_units_do_not_overflow(found: Periods) -> None:
    means = np.full((4, 10), 10**17, dtype=np.int64)
    assert expected(found, "lead_time", means)[0] == 3 * 10**17


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("block", [1, 3, 100])
def test_sums_are_those_of_a_loop(found: Periods, workers: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    units = np.random.default_rng(5).poisson(3.0, size=(10, 4, N)).astype(np.float64)
    sums = PeriodSums(found, workers)
    for of_day in units:
        sums.add(of_day)
    assert set(sums.found) == {*found.fixed, *found.drawn}
    for name, read in sums.found.items():
        for series in np.flatnonzero(found.is_given(4)[:, PERIODS.index(name)]):
            days = [found.fixed[name]] * N if name in found.fixed else found.drawn[name][series]
            paths = np.array([units[: days[at], series, at].sum() for at in range(N)])
            assert read[series, :13] == pytest.approx(np.quantile(paths, QUANTILES, method="hazen"))
            enough = [next(u for u in sorted(paths) if (paths <= u).mean() >= p / 100) for p in COVERED_PERCENT]
            assert read[series, 13:].tolist() == enough


def test_what_covers_so_many_cases_is_the_least_that_does() -> None:
    ordered = np.arange(500, dtype=np.float64)[None]
    assert covering(ordered).tolist() == [[449.0, 474.0, 489.0, 494.0]]
    assert covering(ordered[:, :3]).tolist() == [[2.0] * 4]
