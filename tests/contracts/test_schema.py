"""Contracts: what they let through and what they say when they do not."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from forecast_assets.contracts import FEEDS, PRODUCTS, QUANTILE_COLUMNS, SALES, Contract
from forecast_assets.core.errors import ContractError


def rows(**changes: object) -> pl.DataFrame:
    base = {
        "sku_id": ["A", "A"], "store_id": ["S", "S"], "event_date": [date(2025, 1, 1), date(2025, 1, 2)],
        "known_at": [datetime(2025, 1, 3, tzinfo=UTC)] * 2, "sales_units": [1.0, 2.0],
    }  # fmt: skip
    return pl.DataFrame({**base, **changes}, schema_overrides={"known_at": SALES.schema["known_at"]})


def test_what_keeps_the_contract_comes_back_unchanged() -> None:
    frame = rows()
    assert SALES.validate(frame) is frame


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            rows(sales_units=[-1.0, 2.0]),
            r"`sales_units` fails greater_than_or_equal_to\(0\) in 1 rows.*'sales_units': '-1.0'",
        ),
        (rows(sales_units=[None, 2.0]), "`sales_units` fails not_nullable in 1 rows"),
        (rows(sales_units=[float("nan"), 2.0]), "is_finite in 1 rows"),
        (rows(sales_units=["1", "2"]), r"fails dtype\('Float64'\) \(type String\)"),
        (rows(event_date=[date(2025, 1, 1)] * 2), "1 duplicate keys .*'event_date': '2025-01-01'.*x2"),
        (rows().drop("sku_id"), "sku_id"),
        (rows().with_columns(extra=pl.lit(1)), "extra"),
        (rows().clear(), "it has no rows"),
    ],
)
def test_each_way_to_break_a_contract_is_named_with_its_rows(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        SALES.validate(frame)


def test_conform_orders_columns_and_names_what_is_missing() -> None:
    shuffled = rows().select(reversed(SALES.names)).with_columns(extra=pl.lit(1))
    assert SALES.conform(shuffled).columns == SALES.names
    with pytest.raises(ContractError, match=r"lacks the columns \['sku_id'\]"):
        SALES.conform(rows().drop("sku_id"))


@pytest.mark.parametrize("contract", [*FEEDS.values(), *PRODUCTS.values()], ids=lambda contract: contract.name)
def test_every_contract_is_described_and_keyed_by_its_own_columns(contract: Contract) -> None:
    assert set(contract.key) <= set(contract.names)
    assert len(set(contract.names)) == len(contract.names)
    assert all(column.description for column in contract.columns)
    assert contract.grain
    assert contract.description
    contract.pandera()


def test_quantile_columns_are_named_by_their_permille() -> None:
    assert QUANTILE_COLUMNS[:5] == ("q005_units", "q025_units", "q050_units", "q100_units", "q165_units")
    assert QUANTILE_COLUMNS[-1] == "q995_units"


def test_the_fingerprint_follows_the_meaning() -> None:
    assert SALES.fingerprint == FEEDS["sales"].fingerprint
    assert len({contract.fingerprint for contract in (*FEEDS.values(), *PRODUCTS.values())}) == len(FEEDS) + len(
        PRODUCTS
    )
