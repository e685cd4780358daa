"""Columns that a contract has got since are left out where they say nothing, and filled in where files lack them."""

import polars as pl

from forecast_assets.contracts import FORECAST_EXPLANATIONS, PRODUCTS, contract_then, earlier_fingerprints
from forecast_assets.scoring.shapes import completed, in_shape, stored_columns
from tests.support.products import make

NAME = FORECAST_EXPLANATIONS.name
THEN = earlier_fingerprints(NAME)[-1]


def test_a_frame_takes_the_shape_of_then_and_back_without_loss() -> None:
    frame = make(NAME)
    contract, before = in_shape(NAME, frame, THEN)
    assert (contract, contract.fingerprint) == (contract_then(NAME, THEN), THEN)
    assert before.columns == contract.names != frame.columns
    assert completed(NAME, before, None, THEN).equals(frame)


def test_rows_that_need_a_new_column_keep_the_shape_of_today() -> None:
    frame = make(NAME)
    moved = frame.with_columns(payday_units=pl.lit(1, frame.schema["payday_units"]))
    assert in_shape(NAME, moved, THEN) == (PRODUCTS[NAME], moved)
    assert in_shape(NAME, frame, None)[1] is frame


def test_of_some_columns_those_are_read_that_there_are_and_the_rest_is_filled_in() -> None:
    wanted = ["sku_id", "payday_units", "level_units"]
    assert stored_columns(NAME, wanted, THEN) == ["sku_id", "level_units"]
    assert stored_columns(NAME, None, THEN) is None
    stored = make(NAME).select("sku_id", "level_units")
    assert completed(NAME, stored, wanted, THEN).columns == wanted
    assert completed(NAME, stored, wanted, THEN)["payday_units"].to_list() == [0] * stored.height
