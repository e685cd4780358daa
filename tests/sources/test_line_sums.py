"""Lines of receipts: sums per day, returns netted, the same for every cut of the lines into files."""

import itertools
from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.sources.line_sums import LineSums, without_negative

DAY = date(2025, 6, 29)
MOMENT = datetime(2025, 6, 30, 6, tzinfo=UTC)
SCHEMA = {
    "sku_id": pl.String, "store_id": pl.String, "event_date": pl.Date, "known_at": pl.Datetime("us", "UTC"),
    "sales_units": pl.Float64,
}  # fmt: skip


def lines(*quantities: float | None, sku: str = "A", known_at: datetime = MOMENT) -> pl.DataFrame:
    rows = [(sku, "S", DAY, known_at, quantity) for quantity in quantities]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_lines_of_a_day_are_added_up_and_returns_netted() -> None:
    sums = LineSums.of(pl.concat([lines(5, 2, -1), lines(3, sku="B")]))
    assert sums.rows(1.0).select("sku_id", "sales_units").rows() == [("A", 6.0), ("B", 3.0)]
    finding = sums.finding(1.0)
    assert finding.message == "4 lines summed to 2 rows of SKU, store and day; 1 lines were returns"
    assert (finding.kind, finding.is_error, finding.rows) == ("line sums", False, 4)


def test_of_a_source_that_writes_sales_with_a_minus_returns_are_the_others() -> None:
    sums = LineSums.of(lines(-5, -2, 1))
    assert sums.rows(-1.0)["sales_units"].to_list() == [6.0]
    assert "1 lines were returns" in sums.finding(-1.0).message


def test_a_sum_is_known_when_its_newest_line_is() -> None:
    later = datetime(2025, 7, 2, tzinfo=UTC)
    sums = LineSums.of(pl.concat([lines(1, known_at=later), lines(2)]))
    assert sums.rows(1.0)["known_at"].to_list() == [later]


def test_a_line_without_a_quantity_leaves_its_day_without_one() -> None:
    assert LineSums.of(lines(1, None)).rows(1.0)["sales_units"].to_list() == [None]
    assert LineSums.of(lines(1, float("nan"))).rows(1.0)["sales_units"].to_list() == [None]


def test_grams_are_added_up_before_they_become_tonnes() -> None:
    sums = LineSums.of(lines(*[0.3] * 10_000, 1e15))
    assert sums.rows(1e-6)["sales_units"].to_list() == [pytest.approx(1e9 + 0.003, abs=1e-6)]


QUANTITIES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(QUANTITIES, st.data())
def test_neither_the_order_of_the_lines_nor_their_cut_into_files_matters(
    quantities: list[float], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(quantities))
    at = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    bounds = [0, *at, len(shuffled)]
    parts = [shuffled[first:last] for first, last in itertools.pairwise(bounds) if last > first]
    cut = LineSums.together(LineSums.of(lines(*part)) for part in parts)
    whole = LineSums.of(lines(*quantities))
    assert cut.rows(0.001).equals(whole.rows(0.001))
    assert cut.finding(1.0) == whole.finding(1.0)


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=20))
def test_the_sum_is_the_sum(millionths: list[int]) -> None:
    (summed,) = LineSums.of(lines(*(each / 10**6 for each in millionths))).rows(1.0)["sales_units"]
    assert summed == pytest.approx(sum(millionths) / 10**6, abs=1e-9)


def rows(*quantities: float) -> pl.DataFrame:
    return lines(*quantities).with_row_index("at").with_columns(sku_id=pl.format("A{}", "at")).drop("at")


def test_below_zero_is_zero_with_a_warning_that_names_the_first_ten() -> None:
    kept, (found,) = without_negative(
        rows(*[3.0] * 20, *[-2.0] * 12), "sales_units", feed="sales", what="which count as 0"
    )
    assert kept["sales_units"].to_list() == [3.0] * 20 + [0.0] * 12
    assert (found.kind, found.is_error, found.rows, found.column) == ("below zero", False, 12, "")
    assert found.message.startswith(
        "`sales_units` is below zero in 12 rows, which count as 0: A20 in S on 2025-06-29 (-2), A21 in S"
    )
    assert found.message.endswith("A29 in S on 2025-06-29 (-2) and 2 more")


def test_nothing_is_said_where_nothing_is_below_zero() -> None:
    frame = rows(0.0, 1.0)
    kept, found = without_negative(frame, "sales_units", feed="sales", what="")
    assert kept.equals(frame)
    assert found == []


@pytest.mark.parametrize(("negative", "is_error"), [(10, False), (11, True)])
def test_more_below_zero_than_above_is_the_wrong_sign(negative: int, is_error: bool) -> None:
    _, (found,) = without_negative(rows(1.0, *[-1.0] * negative), "sales_units", feed="sales", what="")
    assert found.is_error is is_error
    assert ("unit_factor = -1" in found.remedy) is is_error
