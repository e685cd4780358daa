"""Which version each store follows: a stable hash, so that a share moves as few stores as it can.

What belongs here: from stores and terms to rows, for the product and whoever else has to answer by the same rule. What
does not: which date is due, or recording anything.

The rule is that of bucketing in online experiments (Kohavi, Tang & Xu 2020, Trustworthy Online Controlled Experiments,
chapter 4, doi:10.1017/9781108653985): a store is hashed together with a salt to a number from 0 to 1 and follows the
challenger if that lies below the share. Nothing else is looked at, so that a store stays where it is from day to day, a
greater share only adds stores, and another salt draws anew.
"""

from collections.abc import Collection, Iterable
from datetime import date
from hashlib import sha256
from typing import Final

import polars as pl

from forecast_assets.contracts import CHANNEL_ASSIGNMENTS
from resources.ledger.entries.assign import AssignmentTerms

_DIGITS: Final = 13


def hashed_share(store_id: str, salt: str) -> float:
    """Return where a store lies, from 0 to below 1.

    The first 13 hexadecimal digits (52 bits, as many as a float holds) of SHA-256 over salt, a zero byte and store.

    Args:
        store_id: The store.
        salt: What stores are hashed with.

    Example:
        >>> round(hashed_share("S-01", "stat-2"), 6)
        0.28014
    """
    return int(sha256(f"{salt}\0{store_id}".encode()).hexdigest()[:_DIGITS], 16) / 16**_DIGITS


def assigned_version(store_id: str, terms: AssignmentTerms, *, has_challenger_rows: bool) -> str:
    """Return the version whose rows whoever follows the channel reads in a store.

    Args:
        store_id: The store.
        terms: What decides it.
        has_challenger_rows: Whether the challenger's run has the store.
    """
    follows = bool(terms.trial) and hashed_share(store_id, terms.salt) < terms.share
    return terms.challenger_version if follows and has_challenger_rows else terms.champion_version


def assignment_rows(
    channel: str,
    cadence: str,
    prediction_date: date,
    terms: AssignmentTerms,
    stores: Iterable[str],
    challenger_stores: Collection[str],
) -> pl.DataFrame:
    """Assign every store of the champion's run.

    Args:
        channel: The channel that is followed.
        cadence: Rhythm of the runs.
        prediction_date: The date.
        terms: What decides it.
        stores: Stores of the champion's run.
        challenger_stores: Stores of the challenger's run; none as long as it is not published.

    Returns:
        Rows of contract `channel_assignments`, sorted by store.
    """
    rows = [
        {
            "store_id": store,
            "model_version": assigned_version(store, terms, has_challenger_rows=store in challenger_stores),
            "is_challenger_store": bool(terms.trial) and hashed_share(store, terms.salt) < terms.share,
            "hashed_share": hashed_share(store, terms.salt) if terms.trial else None,
        }
        for store in sorted(stores)
    ]
    frame = pl.DataFrame(rows, schema_overrides={"hashed_share": pl.Float64})
    return CHANNEL_ASSIGNMENTS.conform(
        frame.with_columns(
            pl.lit(channel).alias("channel"),
            pl.lit(cadence).alias("cadence"),
            pl.lit(prediction_date, pl.Date).alias("prediction_date"),
            pl.lit(terms.forecast_horizon, pl.Int32).alias("forecast_horizon"),
        )
    )
