"""Products in the shape of an earlier release: what a replay writes, and what a run that goes on from one reads.

What belongs here: leaving out and filling in the columns that a contract has got since. What does not: which columns
those are (contracts), or reading and writing files.
"""

from collections.abc import Sequence

import polars as pl

from forecast_assets.contracts import PRODUCTS, Contract, absent_columns, contract_then


def in_shape(product: str, frame: pl.DataFrame, fingerprint: str | None) -> tuple[Contract, pl.DataFrame]:
    """Return rows as an earlier release would have written them, with the contract of then.

    Columns are left out only where they say what readers see in their place: rows that need them keep today's shape, so
    that what has become of them is seen.

    Args:
        product: A product of a run.
        frame: Its rows by today's contract.
        fingerprint: Of the contract that they are to keep; None for today's.
    """
    absent = {} if fingerprint is None else absent_columns(product, fingerprint)
    says_the_same = [pl.col(name).eq_missing(pl.lit(value)).all() for name, value in absent.items()]
    if not absent or not frame.select(pl.all_horizontal(says_the_same)).item():
        return PRODUCTS[product], frame
    contract = contract_then(product, fingerprint)
    return contract, frame.select(contract.names)


def stored_columns(product: str, columns: Sequence[str] | None, fingerprint: str) -> list[str] | None:
    """Return which of some columns the files of a product have; None for all that they have."""
    absent = absent_columns(product, fingerprint)
    return None if columns is None else [name for name in columns if name not in absent]


def completed(product: str, frame: pl.DataFrame, columns: Sequence[str] | None, fingerprint: str) -> pl.DataFrame:
    """Return rows of a product with what their files lack in its place, in the order of the columns.

    Args:
        product: A product.
        frame: What its files have of the columns.
        columns: Which columns; None for all of its contract.
        fingerprint: Of the contract that the files keep.
    """
    absent = absent_columns(product, fingerprint)
    if not absent:
        return frame
    schema = PRODUCTS[product].schema
    wanted = [*schema] if columns is None else [*columns]
    missing = [pl.lit(absent[name], schema[name]).alias(name) for name in wanted if name in absent]
    return frame.with_columns(missing).select(wanted)
