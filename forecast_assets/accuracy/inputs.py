"""What a day's measurement rests on: the published runs that look at the day, and the batches with a word on it.

What belongs here: finding both as they are now, reading what came, and telling days that are due from those that are
not. What does not: reading what a run said (run_days), or any error or sum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import polars as pl

from forecast_assets.accuracy.measuring import SERIES, DayActuals
from forecast_assets.contracts import FORECAST_OVERRIDES, FORECAST_VALUE_ADDED, QUARANTINED_ROWS, STORE_CLOSURES
from forecast_assets.contracts.confirmations import spoken_feed
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import IncompleteInputsError, NotPublishedError
from forecast_assets.history.as_known import History
from forecast_assets.history.silence import Silence, silences
from resources.ledger.entries.ingest import Batches, BatchRecord
from resources.ledger.entries.publish import Publication
from resources.ledger.state import LedgerState
from resources.stores.home import Stores
from resources.stores.moments import SILENT_DAYS

PRODUCT: Final = "forecast_accuracy"
# Written beside it where forecasts of the day were overridden, and named by its facts.
VALUE_PRODUCT: Final = FORECAST_VALUE_ADDED.name
# What is compared: sales, and from the others whether the shelf was empty.
ACTUAL_FEEDS: Final = ("sales", "stock_status", "inventory_positions")
_COMPARED: Final = ("forecasts", "stockout_risks")
_OVERRIDES: Final = FORECAST_OVERRIDES.name


@dataclass(frozen=True)
class DayInputs:
    """What the measurement of one day rests on.

    Attributes:
        cadence: Rhythm of the runs.
        target_date: The day.
        runs: Published runs whose horizon holds the day, by key.
        batches: Batches with a word on the day, or on which it rests what silence means on it.
    """

    cadence: str
    target_date: date
    runs: tuple[Publication, ...]
    batches: tuple[BatchRecord, ...]

    @property
    def key(self) -> str:
        """What the product is named by."""
        return f"{self.cadence}/{self.target_date}"

    @property
    def is_observed(self) -> bool:
        """Whether any batch may have sales of the day, or tell that a silent store was closed."""
        first, last = self.told_by
        return any(batch.feed == "sales" and batch.overlaps(first, last) for batch in self.batches)

    @property
    def told_by(self) -> tuple[date, date]:
        """First and last of the days whose words tell what came on the day."""
        has_silence = any(batch.listed_days is not None for batch in self.batches)
        return self.target_date, self.target_date + timedelta(days=SILENT_DAYS if has_silence else 0)

    @property
    def overridden(self) -> tuple[Publication, ...]:
        """Those of the runs of which planners or rules have moved some forecast, on whatever day."""
        # Entries of releases without overrides do not name such files.
        return tuple(run for run in self.runs if any(file.rows for file in run.files.get(_OVERRIDES, ())))

    @property
    def versions(self) -> dict[str, Any]:
        """What the product's manifest names as its inputs."""
        return {
            "batches": sorted(batch.batch_id for batch in self.batches),
            **{f"{run.key}/{name}": run.products[name] for run in self.runs for name in _COMPARED},
            **{f"{run.key}/{_OVERRIDES}": run.products[_OVERRIDES] for run in self.overridden},
        }


def day_inputs(state: LedgerState, cadence: str, target_date: date) -> DayInputs:
    """Return what a day's measurement rests on as the ledger stands."""
    runs = [run for key, run in state.publications.items() if key.cadence == cadence and _covers(run, target_date)]
    current = state.part(Batches).current()
    reading = {silence.source: silence for silence in silences(current) if silence.listed_days}
    batches = [batch for batch in current if _tells(batch, target_date, reading)]
    return DayInputs(cadence, target_date, tuple(sorted(runs, key=lambda run: run.key)), tuple(batches))


def _tells(batch: BatchRecord, day: date, reading: Mapping[str, Silence]) -> bool:
    """Whether a batch has a word on a day, or one from which follows what its source's silence means on it."""
    if batch.feed == "sales" and batch.source in reading:
        return batch.overlaps(day - reading[batch.source].reach, day + timedelta(days=SILENT_DAYS))
    telling = (*ACTUAL_FEEDS, STORE_CLOSURES.name, QUARANTINED_ROWS.name)
    return spoken_feed(batch.feed) in telling and batch.overlaps(day, day)


def _covers(run: Publication, day: date) -> bool:
    return run.key.prediction_date < day <= run.key.prediction_date + timedelta(days=run.key.forecast_horizon)


def require_measurable(inputs: DayInputs) -> None:
    """Stop unless there is something to compare.

    Raises:
        NotPublishedError: If no published run looks at the day.
        IncompleteInputsError: If no sales of the day have been ingested.
    """
    if not inputs.runs:
        raise NotPublishedError(
            f"No published {inputs.cadence} run looks at {inputs.target_date}.",
            remedy=Sentence("See what is published: ", Action("runs")),
            cadence=inputs.cadence,
            target_date=inputs.target_date,
        )
    if not inputs.is_observed:
        raise IncompleteInputsError(inputs.target_date, [f"`sales` has not reached {inputs.target_date}"])


def due_days(stores: Stores, cadence: str, first: date | None = None, last: date | None = None) -> list[date]:
    """Return the days whose runs or batches are not those that they were last measured with, oldest first.

    Args:
        stores: Where everything is.
        cadence: Rhythm of the runs.
        first: First day to look at; None for the first that any run looks at.
        last: Last day to look at; None for the last that any run looks at.
    """
    state = stores.ledger.state()
    days = [day for day in _covered_days(state, cadence) if (not first or day >= first) and (not last or day <= last)]
    return [day for day in days if is_due(stores, state, day_inputs(state, cadence, day))]


def _covered_days(state: LedgerState, cadence: str) -> list[date]:
    spans = {(key.prediction_date, key.forecast_horizon) for key in state.publications if key.cadence == cadence}
    return sorted({day + timedelta(days=step) for day, horizon in spans for step in range(1, horizon + 1)})


def is_due(stores: Stores, state: LedgerState, inputs: DayInputs) -> bool:
    """Whether a day can be measured and has not been with exactly these inputs, as the ledger stands."""
    if not inputs.runs or not inputs.is_observed:
        return False
    measured = state.newest_measurement(inputs.cadence, inputs.target_date)
    if measured is None or not stores.predictions.is_staged(PRODUCT, inputs.key):
        return True
    # What was measured again without any number changing has no entry of its own; staging remembers it.
    made = stores.predictions.staged(PRODUCT, inputs.key)
    numbers = made.files[0].sha256, made.facts.get(VALUE_PRODUCT, {}).get("numbers", "")
    return (dict(made.inputs), *numbers) != (inputs.versions, measured.numbers, measured.value_numbers)


def newest_known_at(stores: Stores, inputs: DayInputs) -> datetime:
    """Return when the newest word that tells of the day became known: the moment that the measurement is as of.

    Raises:
        IncompleteInputsError: If the batches have no row of the day.
    """
    moments = [
        rows.select(pl.col("known_at").max()).collect().item()
        for feed in ACTUAL_FEEDS
        if (rows := _rows(stores, inputs, feed)) is not None
    ]
    known = [moment for moment in moments if moment is not None]
    if not known:
        raise IncompleteInputsError(inputs.target_date, [f"no feed has a row of {inputs.target_date}"])
    newest: datetime = max(known).astimezone(UTC)
    return newest


def _rows(stores: Stores, inputs: DayInputs, feed: str) -> pl.LazyFrame | None:
    first, last = inputs.told_by if feed == "sales" else (inputs.target_date, inputs.target_date)
    return stores.observations.scan(inputs.batches, feed, since=first, until=last)


def read_actuals(stores: Stores, inputs: DayInputs, known_until: datetime) -> DayActuals:
    """Return what came on the day, as known at a moment."""
    history = History(stores.observations, inputs.batches, inputs.target_date, known_until)
    feeds = {feed: history.feed(feed, since=inputs.target_date) for feed in ACTUAL_FEEDS}
    sales = feeds["sales"]
    rows = pl.LazyFrame(schema=_SALES) if sales is None else sales.select(*_SALES)
    return DayActuals(rows.collect(), _stockouts(feeds).collect())


_SALES: Final = {"store_id": pl.String, "sku_id": pl.String, "sales_units": pl.Float64}


def _stockouts(feeds: Mapping[str, pl.LazyFrame | None]) -> pl.LazyFrame:
    """Hours out of stock where they are known, else whether anything was left at the end of the day."""
    signs = {"stock_status": pl.col("out_of_stock_hours") > 0, "inventory_positions": pl.col("on_hand_units") <= 0}
    said = [
        rows.select(*SERIES, sign.alias("is_stockout"))
        for feed, sign in signs.items()
        if (rows := feeds[feed]) is not None
    ]
    none = pl.LazyFrame(schema={"store_id": pl.String, "sku_id": pl.String, "is_stockout": pl.Boolean})
    return pl.concat([none, *said]).unique(SERIES, keep="first", maintain_order=True)
