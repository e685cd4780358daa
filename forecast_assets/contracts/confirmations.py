"""Confirmations: which of its words a source has said again, without the words.

What belongs here: the form of such a batch and what it is called. What does not: finding what was said again
(ingestion.repeats), or what follows from it (history.confirmed).

A plan that is sent anew every day mostly says what it said before. The rows that repeat a source's word are not stored;
that it was said again is, for each day (and store, where the feed has them), in one row for all words of it:

- `all`: every word of the source on the day (and store) that was stored before and stood at `known_at` was said again;
  the other columns of the key are null,
- `except`: but not this one,
- `listed`: this one was, where naming what was said again is shorter than naming what was not.
"""

from typing import Final

import polars as pl

from forecast_assets.contracts.feeds import FEEDS
from forecast_assets.contracts.schema import Column, Contract

ALL: Final = "all"
EXCEPT: Final = "except"
LISTED: Final = "listed"
_SUFFIX: Final = "_confirmations"


def confirmations_feed(feed: str) -> str:
    """Return what batches of confirmations of a feed are called.

    Example:
        >>> confirmations_feed("prices")
        'prices_confirmations'
    """
    return f"{feed}{_SUFFIX}"


def spoken_feed(feed: str) -> str:
    """Return the feed that a batch speaks of: its own, or the one whose words it confirms.

    Example:
        >>> spoken_feed("prices_confirmations"), spoken_feed("prices")
        ('prices', 'prices')
    """
    return feed.removesuffix(_SUFFIX)


def is_confirmable(contract: Contract) -> bool:
    """Whether words of a feed can be confirmed day by day: not where a later word may move its day, as of orders."""
    return "event_date" in contract.key


def word_key(contract: Contract) -> list[str]:
    """Return the columns that say what a word is about: the key without `known_at`."""
    return [name for name in contract.key if name != "known_at"]


def group_key(contract: Contract) -> list[str]:
    """Return the columns within which all words can be confirmed by one row: the day, and the store if there is one."""
    return [name for name in ("event_date", "store_id") if name in contract.key]


def confirmations_contract(feed: str) -> Contract:
    """Return the contract of the confirmations of a feed."""
    contract = FEEDS[feed]
    group = group_key(contract)
    key = [column for column in contract.columns if column.name in word_key(contract)]
    columns = [
        Column(column.name, column.dtype, column.description, nullable=column.name not in group) for column in key
    ]
    return Contract(
        name=confirmations_feed(feed),
        grain="one word that was said again, or all of one day (and store)",
        description=f"Which words of `{feed}` their source said again at a later moment.",
        columns=(
            *columns,
            Column("known_at", contract.schema["known_at"], "when it was said again, UTC"),
            Column("scope", pl.String, "all words, this one, or not this one", one_of=(ALL, LISTED, EXCEPT)),
        ),
        key=(*word_key(contract), "known_at", "scope"),
    )
