"""Days on which a whole store is silent, where its source lists only what was sold: closed, or a file that is missing.

What belongs here: what to tell of them at an ingest. What does not: what they mean (history.silence).
"""

from datetime import timedelta
from typing import Final

import polars as pl

from forecast_assets.contracts import STORE_CLOSURES
from forecast_assets.core.errors import first_ten
from forecast_assets.history.silence import Silence, store_days
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.findings import FeedFinding
from forecast_assets.ingestion.gaps import limits
from forecast_assets.ingestion.stored_rows import StoredRows
from resources.stores.moments import SILENT_DAYS

_STORE_DAY: Final = ["store_id", "event_date"]


class SilentDays:
    """Store-days of the batches of one ingest; only these are kept, not the rows.

    Args:
        stored: What the store holds already.
    """

    def __init__(self, stored: StoredRows) -> None:
        self._stored = stored
        self._heard: dict[str, list[pl.DataFrame]] = {}
        self._silences: dict[str, Silence] = {}

    def take(self, batch: Batch) -> None:
        """Take note of a batch, if silence of its source means something."""
        if batch.listed_days is None:
            return
        self._silences[batch.source] = Silence(batch.source, batch.listed_days, batch.declared_lag)
        self._heard.setdefault(batch.source, []).append(_heard(batch.frame.lazy()).collect())

    def findings(self) -> list[FeedFinding]:
        """Return a warning for silent days that are no usual closing day and count as closed by what has arrived."""
        return [found for source in self._heard for found in self._of(source)]

    def _of(self, source: str) -> list[FeedFinding]:
        silence, new = self._silences[source], pl.concat(self._heard[source])
        first, last = limits(new["event_date"])
        near = self._stored.rows("sales", source=source, since=first - silence.reach, until=last + _LATER)
        since, closures = first - _BEFORE, self._closures()
        held = None if near is None else _heard(near)
        words = new.lazy() if held is None else pl.concat([new.lazy(), held])
        days = store_days(words, closures, silence, since=since, until=last)
        unusual = days.filter(~pl.col("is_usual"))
        if held is not None:
            told = store_days(held, closures, silence, since=since, until=last)
            unusual = unusual.join(told, on=_STORE_DAY, how="anti")
        if unusual.is_empty():
            return []
        named = first_ten(f"{store} on {day}" for store, day in unusual.select(_STORE_DAY).iter_rows())
        return [
            FeedFinding(
                "sales",
                "silent days",
                is_error=False,
                rows=unusual.height,
                message=f"whole stores are silent on {unusual.height:,} days between others: {named}",
                remedy="They count as closed. If rows of them are missing, ingest them: they count from then on.",
            )
        ]

    def _closures(self) -> pl.DataFrame:
        rows = self._stored.rows(STORE_CLOSURES.name)
        if rows is None:
            return pl.DataFrame(schema={name: STORE_CLOSURES.schema[name] for name in (*_STORE_DAY, "is_closed")})
        newest = rows.sort("known_at").unique(_STORE_DAY, keep="last", maintain_order=True)
        return newest.select(*_STORE_DAY, "is_closed").collect()


_LATER: Final = timedelta(days=SILENT_DAYS)
# A silent day becomes a closed one by a later day; so far before what arrives some may do so now.
_BEFORE: Final = timedelta(days=35)


def _heard(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.group_by(_STORE_DAY).agg(pl.col("known_at").min(), pl.col("sales_units").max())
