"""The batches of a store: which there are, which count, and what was set aside.

What belongs here: finding and listing them. What does not: taking batches in or back (use_cases), or words.
"""

from dataclasses import dataclass

import polars as pl

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.ingestion.quarantine import held_rows
from resources.ledger.entries.ingest import Batches, BatchRecord
from resources.ledger.entries.retract import Retraction, Retractions
from resources.stores.home import Stores

_SHORTEST: int = 6


@dataclass(frozen=True)
class ListedBatch:
    """A batch as a list of them shows it.

    Attributes:
        number: 1, 2, 3, ... in the order of the ledger.
        record: The batch.
        taken_back: What says so, if it does not count.
    """

    number: int
    record: BatchRecord
    taken_back: Retraction | None


def listed_batches(stores: Stores, feed: str | None = None, source: str | None = None) -> list[ListedBatch]:
    """Return all batches, oldest first.

    Args:
        stores: Where everything is.
        feed: Of this feed only.
        source: Of this source only.
    """
    state = stores.ledger.state()
    kept, words = state.part(Batches), state.part(Retractions).newest()
    every = [
        ListedBatch(number, batch, words[name] if name in kept.taken_back else None)
        for number, (name, batch) in enumerate(kept.by_id.items(), 1)
    ]
    return [each for each in every if feed in {None, each.record.feed} and source in {None, each.record.source}]


def find_batch(stores: Stores, text: str) -> BatchRecord:
    """Return the batch that somebody means.

    Args:
        stores: Where everything is.
        text: Its number, its id, or the first digits of the id, at least six.

    Raises:
        InputError: If there is none, or several.
    """
    every = listed_batches(stores)
    found = [each for each in every if str(each.number) == text] or [
        each for each in every if len(text) >= _SHORTEST and each.record.batch_id.startswith(text)
    ]
    if len(found) != 1:
        several = f": {first_ten(each.number for each in found)}" if found else ""
        raise InputError(
            f"{'Several batches are' if found else 'There is no batch'} {text}{several}.",
            remedy=Sentence("See which there are: ", Action("ingest batches"), "."),
        )
    return found[0].record


def quarantined(stores: Stores) -> pl.DataFrame:
    """Return all rows that were set aside, as ``ingestion.quarantine.held_rows`` does."""
    return held_rows(stores.observations, stores.observations.batches())
