"""What a review proposes: each rule where it does and where it does not."""

from collections.abc import Sequence

import polars as pl
import pytest

from forecast_assets.contracts import BUSINESS_REVIEWS
from forecast_assets.core.policy import Policy
from forecast_assets.promotion.verdicts import gates_frame, within
from forecast_assets.reviews.proposing import VERSIONS_UNBOUND, proposals
from tests.support import products


def week(kpi: str, figures: Sequence[float | None], kind: str = "all", segment: str = "all") -> pl.DataFrame:
    """Figures of one KPI, newest week first."""
    names = ("figure", *(f"figure_{back}_before" for back in range(1, 5)))
    said = [pl.lit(value, pl.Float64).alias(name) for name, value in zip(names, figures, strict=True)]
    same = {"kpi": kpi, "segment_kind": kind, "segment": segment}
    return products.make_review().with_columns(*said, **{name: pl.lit(value) for name, value in same.items()})


def bands(**rates: Sequence[float | None]) -> pl.DataFrame:
    return pl.concat([week("stockout_rate", figures, "risk_band", band) for band, figures in rates.items()])


def judged(bias: float, margin: float = 0.01, bound: float = 0.1) -> pl.DataFrame:
    verdict = within("bias_is_small", bias, "a test", margin=margin, lowest=-bound, highest=bound)
    return gates_frame([verdict], model_version="stat-1", cadence="daily", policy="p", overridable=())


NOTHING = pl.DataFrame(schema=BUSINESS_REVIEWS.schema)


def proposed(rows: pl.DataFrame, gates: Sequence[pl.DataFrame] = (), **asked: bool) -> dict[str, tuple[float, float]]:
    found = proposals(rows, gates, Policy(), **asked)
    assert all(each.reason for each in found)
    Policy().with_changes({each.key: each.after for each in found})
    return {each.key: (each.before, each.after) for each in found}


def test_a_week_without_anything_to_tell_proposes_nothing() -> None:
    assert proposed(NOTHING) == {}


@pytest.mark.parametrize(
    ("band", "rates", "expected"),
    [
        ("high", [0.6, 0.55, 0.7, 0.51, 0.1], {"risk_bands.critical": (0.5, 0.35)}),
        ("high", [0.1, 0.15, 0.19, 0.1, 0.9], {"risk_bands.high": (0.2, 0.35)}),
        ("low", [0.06, 0.07, 0.08, 0.09, None], {"risk_bands.moderate": (0.05, 0.025)}),
        ("critical", [0.4, 0.3, 0.4, 0.45, 0.9], {"risk_bands.critical": (0.5, 0.75)}),
        ("high", [0.6, 0.55, 0.5, 0.51, 0.9], {}),
        ("high", [0.6, 0.55, None, 0.51, 0.9], {}),
        ("high", [0.6, 0.55, 0.1, 0.51, 0.9], {}),
    ],
)
def test_a_band_moves_if_stock_outs_were_beyond_an_edge_four_weeks_in_a_row(
    band: str, rates: list[float | None], expected: dict[str, tuple[float, float]]
) -> None:
    assert proposed(bands(**{band: rates})) == expected
    assert proposed(bands(**{band: rates}), are_bands_settled=False) == {}


def test_where_rules_disagree_nothing_is_proposed() -> None:
    above, below = [0.3] * 5, [0.1] * 5
    assert proposed(bands(moderate=above)) == {"risk_bands.high": (0.2, 0.125)}
    assert proposed(bands(moderate=above, high=below)) == {}


@pytest.mark.parametrize("covered", [0.74, 0.86])
def test_coverage_off_its_target_four_weeks_in_a_row_halves_its_bound(covered: float) -> None:
    assert proposed(week("coverage_80", [covered] * 5)) == {"gates.largest_coverage_miss": (0.1, 0.05)}


def test_coverage_near_its_target_or_now_above_now_below_proposes_nothing() -> None:
    assert proposed(week("coverage_80", [0.76] * 5)) == {}
    assert proposed(week("coverage_80", [0.68] * 5)) == {}, "the bound tells of it as it is"
    assert proposed(week("coverage_80", [0.74, 0.86, 0.74, 0.86, 0.74])) == {}
    assert proposed(week("coverage_80", [0.74, 0.74, 0.74, 0.8, 0.74])) == {}


def test_a_bound_that_no_version_came_near_is_halved() -> None:
    near, far = judged(0.045), judged(-0.03)
    assert proposed(NOTHING, [far] * VERSIONS_UNBOUND) == {"gates.largest_bias": (0.1, 0.05)}
    assert proposed(NOTHING, [far] * (VERSIONS_UNBOUND - 1)) == {}
    assert proposed(NOTHING, [near, *[far] * (VERSIONS_UNBOUND - 1)]) == {}, "its margin takes it beyond half"
    assert proposed(NOTHING, [*[far] * VERSIONS_UNBOUND, near]) != {}, "older versions do not count"


def test_versions_judged_by_another_bound_do_not_count() -> None:
    assert proposed(NOTHING, [judged(0.01, bound=0.2)] * VERSIONS_UNBOUND) == {}


def test_a_value_that_the_policy_cannot_have_is_not_proposed() -> None:
    least = Policy().with_changes({"gates.largest_bias": 0.001})
    found = proposals(NOTHING, [judged(0.0, 0.0, bound=0.001)] * VERSIONS_UNBOUND, least)
    assert found == ()
