"""What was answered in real time before: events by id, by caller, by series, and those of one day.

What belongs here: questions about events, and who may see which. What does not: recording them (`events`).

An event has what a caller asked and what it was told. It is the caller's own, and support's; nobody else's.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import polars as pl

from forecast_assets.core.errors import InputError, NotAllowedError, NotPublishedError, StorageError
from resources.events.home import EventHome
from resources.events.record import EventRecord
from resources.events.stores import MOST_EVENTS, EventQuery

# What a list has of an event; all of it is asked for by id.
_LISTED: Final = (
    "event_id", "occurred_at", "caller", "request_id", "use", "model_version", "run", "input", "series",
    "out_of_distribution_score", "is_degraded", "warnings", "milliseconds",
)  # fmt: skip
_TOLD_OF_A_DAY: Final = {
    "event_id": pl.String, "occurred_at": pl.String, "caller": pl.String, "use": pl.String, "model_version": pl.String,
    "prediction_date": pl.String, "served_from": pl.String, "step": pl.Int64, "forecast_units": pl.Float64,
    "expected_sales_units": pl.Float64, "stockout_probability": pl.Float64, "risk_band": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Viewer:
    """Who looks at events.

    Attributes:
        key_id: Its key.
        sees_all: Whether it may see events of other callers.
    """

    key_id: str
    sees_all: bool


@dataclass(frozen=True)
class EventPage:
    """A page of events.

    Attributes:
        events: What is listed of each, the newest first.
        next_page: What to ask for the page after; None after the last.
    """

    events: Sequence[Mapping[str, Any]]
    next_page: str | None


def is_event_id(text: str) -> bool:
    """Whether a text is the id of an event, rather than of a published row."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def event_of(events: EventHome, event_id: str, viewer: Viewer) -> Mapping[str, Any]:
    """Return all of an event.

    Raises:
        NotPublishedError: If there is none of that id.
        NotAllowedError: If it is another caller's, and the viewer may not see those.
    """
    found = events.find(event_id.lower())
    if found is None:
        raise NotPublishedError(
            f"There is no prediction event {event_id}.",
            remedy="Ask again in some seconds if it was answered just now and `/health/ready` says that events wait.",
            event_id=event_id,
        )
    if not (viewer.sees_all or found.key_id == viewer.key_id):
        raise NotAllowedError(
            f"The prediction event {event_id} is another caller's.",
            remedy="Ask with the key that asked for the prediction, or with one of support.",
            event_id=event_id,
        )
    return found.document


def page_of(events: EventHome, asked: EventQuery) -> EventPage:
    """Return a page of events.

    Raises:
        InputError: If it cannot be asked.
    """
    if (asked.store_id is None) != (asked.sku_id is None):
        raise InputError("A series is a store and a SKU.", remedy="Name both, or neither.")
    if not 1 <= asked.limit <= MOST_EVENTS:
        raise InputError(f"A page has 1 to {MOST_EVENTS} events, not {asked.limit}.", remedy="Ask page by page.")
    found = events.store.select(asked)
    following = page_after(found[-1]) if len(found) == asked.limit else None
    return EventPage([{name: each.document[name] for name in _LISTED} for each in found], following)


def page_after(record: EventRecord) -> str:
    """Return what a caller gives back for the page after an event."""
    text = json.dumps([record.occurred_at.isoformat(), record.event_id])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def page_from(text: str) -> tuple[datetime, str]:
    """Read back what `page_after` wrote.

    Raises:
        InputError: If it is none.
    """
    try:
        moment, event_id = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        found = datetime.fromisoformat(moment), str(UUID(event_id))
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise InputError(
            "That is no page that was answered.", remedy="Give back `next_page` of the answer before, unchanged."
        ) from error
    if found[0].tzinfo is None:
        raise InputError("That is no page that was answered.", remedy="Give back `next_page` unchanged.")
    return found


@dataclass(frozen=True)
class ToldOfDay:
    """What callers were told of one day of a series in real time.

    Attributes:
        rows: A row per event, the newest first.
        warnings: What whoever reads them has to know, in sentences.
    """

    rows: pl.DataFrame
    warnings: tuple[str, ...] = ()


def told_of_day(events: EventHome | None, store_id: str, sku_id: str, day: date, viewer: Viewer) -> ToldOfDay:
    """Return what callers were told of one day of a series, as far as the store has it.

    Args:
        events: Of the home; None where none are recorded.
        store_id: Store.
        sku_id: SKU.
        day: The day that was forecast.
        viewer: Who looks: others than support see their own.
    """
    none = pl.DataFrame(schema=_TOLD_OF_A_DAY)
    if events is None:
        return ToldOfDay(none)
    asked = EventQuery(key_id=None if viewer.sees_all else viewer.key_id, store_id=store_id, sku_id=sku_id)
    try:
        found = events.store.select(asked)
    except StorageError as error:
        return ToldOfDay(none, (f"What was told in real time is not known now: {error.message}",))
    rows = [row for each in found if (row := _told(each, (store_id, sku_id), day))]
    newest = (f"Only the newest {MOST_EVENTS} predictions of the series were looked at.",)
    return ToldOfDay(pl.DataFrame(rows, schema=_TOLD_OF_A_DAY), newest if len(found) == asked.limit else ())


def _told(record: EventRecord, series: tuple[str, str], day: date) -> dict[str, Any] | None:
    document = record.document
    days = document["days"]
    if day.isoformat() not in days:
        return None
    step = days.index(day.isoformat())
    row = record.series.index(series) * len(days) + step
    outputs = {name: values for part in document["steps"] for name, values in part["outputs"].items()}
    return {
        "event_id": record.event_id,
        "occurred_at": document["occurred_at"],
        "caller": record.caller,
        "use": record.use,
        "model_version": record.model_version,
        "prediction_date": document["run"]["prediction_date"],
        "served_from": document["run"]["served_from"],
        "step": step + 1,
        **{
            name: value_at(outputs.get(name), row)
            for name in ("forecast_units", "expected_sales_units", "stockout_probability", "risk_band")
        },
    }


def value_at(column: Any, row: int) -> Any:
    """Return the value of a row, where one value stands for a column that is the same in all."""
    return column[row] if isinstance(column, list) else column
