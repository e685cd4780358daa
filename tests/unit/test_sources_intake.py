"""Checks on a batch before it is stored."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from forecast_assets.errors import ContractError
from forecast_assets.sources.batch import Batch
from forecast_assets.sources.intake import check_batch


def sales(days: list[int], sku_id: str = "A", units: float = 1.0, delay_days: int = 1) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "sku_id": sku_id,
            "store_id": "S",
            "event_date": [date(2025, 1, day) for day in days],
            "known_at": [datetime(2025, 1, day, tzinfo=UTC) + timedelta(days=delay_days) for day in days],
            "sales_units": units,
        },
        schema_overrides={"known_at": pl.Datetime("us", "UTC")},
    )


def batch(frame: pl.DataFrame) -> Batch:
    return Batch("sales", "pos", 0.9, timedelta(0), frame)


def test_a_whole_batch_passes_unchanged() -> None:
    given = batch(sales([1, 2, 3]))
    assert check_batch(given) is given


def test_missing_days_are_named_with_their_series() -> None:
    frame = pl.concat([sales([1, 2, 3]), sales([1, 4, 6], "B")])
    with pytest.raises(ContractError) as caught:
        check_batch(batch(frame))
    assert "1 series miss days" in str(caught.value)
    assert "SKU B at store S: 2025-01-02, 2025-01-03, 2025-01-05" in str(caught.value)
    assert "sales_units 0" in caught.value.remedy


def test_only_the_first_ten_series_are_named() -> None:
    frame = pl.concat([sales([1, 3], f"SKU-{number:02d}") for number in range(13)])
    with pytest.raises(ContractError, match=r"SKU-09 at store S: 2025-01-02 and 3 more series") as caught:
        check_batch(batch(frame))
    assert "SKU-10" not in str(caught.value)


def test_a_day_counts_whenever_it_became_known() -> None:
    check_batch(batch(pl.concat([sales([1, 3]), sales([2], delay_days=9), sales([3], delay_days=9)])))


def test_nothing_is_known_before_its_day_begins() -> None:
    check_batch(batch(sales([2], delay_days=0)))
    with pytest.raises(ContractError, match=r"1 rows were known before their day began.*2025, 1, 2"):
        check_batch(batch(sales([2], delay_days=-1)))


def test_plans_may_be_known_ahead() -> None:
    frame = pl.DataFrame(
        {
            "event_name": "fair",
            "store_node": "all",
            "event_date": [date(2025, 5, 1)],
            "known_at": [datetime(2024, 5, 1, tzinfo=UTC)],
        },
        schema_overrides={"known_at": pl.Datetime("us", "UTC")},
    )
    check_batch(Batch("events", "calendar", 0.9, timedelta(0), frame))


@pytest.mark.parametrize(
    "frame",
    [
        sales([]),
        sales([1], units=-1.0),
        sales([1]).with_columns(sku_id=pl.lit(None, pl.String)),
        sales([1]).with_columns(sales_units=pl.lit(float("nan"))),
        pl.concat([sales([1]), sales([1])]),
    ],
    ids=["empty", "negative", "null", "nan", "duplicate"],
)
def test_the_contract_comes_first(frame: pl.DataFrame) -> None:
    with pytest.raises(ContractError, match="`sales` breaks its contract"):
        check_batch(batch(frame))


def test_a_restatement_of_single_days_is_no_gap_where_the_days_between_are_held() -> None:
    held = sales([1, 2, 3, 4, 5]).lazy()
    restated = batch(sales([1, 5], delay_days=9))
    assert check_batch(restated, held) is restated
    with pytest.raises(ContractError, match="miss days"):
        check_batch(restated)


def test_a_gap_between_what_is_held_and_what_arrives_is_found() -> None:
    held = sales([1, 2, 3]).lazy()
    check_batch(batch(sales([4])), held)
    with pytest.raises(ContractError, match="miss days"):
        check_batch(batch(sales([6])), held)
