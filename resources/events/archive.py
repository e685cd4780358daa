"""The archive: events of days that are over, in Parquet files that stay for good.

What belongs here: files of days, and holding a store to them row for row. What does not: when it is done, how long a
store has events, or the view over the files (`view`).

A file is named by its hash and never changed. Events that come late for a day go into one more file of that day, so
that each event is in one file.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, Final

import polars as pl

from forecast_assets.core.errors import ChangedFileError, IntegrityError, first_ten
from resources.events.record import EventRecord
from resources.events.stores import EventStore
from resources.store.files import sync, write_whole
from resources.store.parquet import to_parquet

# So many events are put into a file at most: documents of many series are large.
MOST_IN_A_FILE: Final = 2_000
SCHEMA: Final[Mapping[str, Any]] = {
    "event_id": pl.String,
    "occurred_at": pl.Datetime("us", "UTC"),
    "day": pl.Date,
    "request_id": pl.String,
    "key_id": pl.String,
    "caller": pl.String,
    "role": pl.String,
    "use": pl.String,
    "run": pl.String,
    "model_version": pl.String,
    "artifact": pl.String,
    "prediction_date": pl.Date,
    "served_from": pl.String,
    "is_degraded": pl.Boolean,
    "milliseconds": pl.Float64,
    "out_of_distribution_score": pl.Float64,
    "warnings": pl.List(pl.String),
    "series": pl.List(pl.Struct({"store_id": pl.String, "sku_id": pl.String})),
    "document": pl.String,
}
COLUMNS: Final[Mapping[str, str]] = {
    "event_id": "UUID of the event",
    "occurred_at": "when it was answered",
    "day": "that day, in UTC",
    "request_id": "id of the request, as logs have it",
    "key_id": "key of the caller",
    "caller": "whose key it is",
    "role": "what it may do",
    "use": "what the prediction was for",
    "run": "key of the published run that the answer rests on",
    "model_version": "which version answered",
    "artifact": "hash of the version's artifact",
    "prediction_date": "last day that the run knew",
    "served_from": "`model` or `last_batch`",
    "is_degraded": "whether something other than the model answered",
    "milliseconds": "what the answer took",
    "out_of_distribution_score": "largest of its rows; null where the version has none",
    "warnings": "what the caller was told besides numbers",
    "series": "what it is about",
    "document": "all of the event, as JSON",
}


@dataclass(frozen=True)
class ArchivedDay:
    """What became of a day.

    Attributes:
        day: The day.
        events: Events of it in the files.
        written: Of these, how many were written now.
        late: Events that came into the store meanwhile, for the next time.
    """

    day: date
    events: int
    written: int
    late: int


class EventArchive:
    """The Parquet files of a home.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self, day: date) -> list[Path]:
        """Return the files of a day."""
        return sorted(self._of_day(day).glob("*.parquet"))

    def count(self, day: date) -> int:
        """Return how many events of a day there are, by what its files say of themselves.

        Raises:
            ChangedFileError: If a file is none.
        """
        return sum(_events_in(path) for path in self.files(day))

    def find(self, event_id: str) -> EventRecord | None:
        """Return an event of any day; None if there is none."""
        files = [str(path) for path in self.folder.glob("date=*/*.parquet")]
        if not files:
            return None
        found = pl.scan_parquet(files, glob=False).filter(event_id=event_id).select("document").collect()
        return None if found.is_empty() else EventRecord.of(json.loads(found["document"][0]))

    def known(self, event_ids: Sequence[str]) -> set[str]:
        """Return which of some ids are events of any day; the files are read once for all."""
        files = [str(path) for path in self.folder.glob("date=*/*.parquet")]
        if not files or not event_ids:
            return set()
        ids = pl.scan_parquet(files, glob=False).select("event_id").filter(pl.col("event_id").is_in([*event_ids]))
        return set(ids.collect()["event_id"])

    def move(self, store: EventStore, day: date) -> ArchivedDay:
        """Write those events of a day that are not there yet, read the files back, and hold the store to them.

        Args:
            store: Where they are; nothing of it is removed.
            day: A day that is over.

        Raises:
            IntegrityError: If an event is there otherwise, or a file is not as it was written.
            OSError: If the files cannot be written.
        """
        with self._alone():
            before = self._rows(day)
            new = (record for record in store.of_day(day) if record.event_id not in before)
            for records in _batches(new, MOST_IN_A_FILE):
                self._write(day, records)
            after = self._rows(day)
            late, _ = self._compared(store, day, after)
            return ArchivedDay(day, len(after), len(after) - len(before), len(late))

    def held(self, store: EventStore, day: date) -> int | None:
        """Return how many events of a day a store has, if each is here, equal; None if one is not here.

        Raises:
            IntegrityError: If one is here otherwise, or a file is not as it was written.
        """
        missing, count = self._compared(store, day, self._rows(day))
        return None if missing else count

    def _of_day(self, day: date) -> Path:
        return self.folder / f"date={day}"

    def _rows(self, day: date) -> dict[str, str]:
        """Return what stands for the row of each event of a day's files, by its id.

        Raises:
            ChangedFileError: If a file does not hash to its name.
        """
        found: dict[str, str] = {}
        for path in self.files(day):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != path.stem:
                raise _changed(path)
            found |= _digests(pl.read_parquet(content))
        return found

    def _compared(self, store: EventStore, day: date, there: Mapping[str, str]) -> tuple[list[str], int]:
        """Return the events of a day that the files lack, and how many the store has."""
        missing, other, count = list[str](), list[str](), 0
        for records in _batches(store.of_day(day), MOST_IN_A_FILE):
            count += len(records)
            for event_id, digest in _digests(_frame(records)).items():
                if event_id not in there:
                    missing.append(event_id)
                elif there[event_id] != digest:
                    other.append(event_id)
        if other:
            raise IntegrityError(
                f"Events of {day} are other in {store.place} than in the files below `{self._of_day(day)}`: "
                f"{first_ten(other)}.",
                remedy="Nothing was dropped. Find out who changed the store: events never change.",
                events=other,
            )
        return missing, count

    def _write(self, day: date, records: Sequence[EventRecord]) -> None:
        data = to_parquet(_frame(records))
        path = self._of_day(day) / f"{hashlib.sha256(data).hexdigest()}.parquet"
        write_whole(path, data)
        sync(path.parent)
        sync(self.folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time write: two would write the same events twice."""
        self.folder.mkdir(parents=True, exist_ok=True)
        opened = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
            yield
        finally:
            os.close(opened)


def _events_in(path: Path) -> int:
    try:
        return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
    except pl.exceptions.PolarsError as error:
        raise _changed(path) from error


def _changed(path: Path) -> ChangedFileError:
    return ChangedFileError(
        f"`{path}` does not hash to its name: it is not as it was written.",
        remedy="Restore it from a backup. Events of that day that are still in the store stay there.",
        path=path,
    )


def _batches(records: Iterable[EventRecord], size: int) -> Iterator[list[EventRecord]]:
    left = iter(records)
    while batch := list(islice(left, size)):
        yield batch


def _digests(frame: pl.DataFrame) -> dict[str, str]:
    return {row[0]: hashlib.sha256(repr(row).encode()).hexdigest() for row in frame.select([*COLUMNS]).iter_rows()}


def _frame(records: Sequence[EventRecord]) -> pl.DataFrame:
    return pl.DataFrame([_row(record) for record in records], schema=SCHEMA, orient="row")


def _row(record: EventRecord) -> tuple[Any, ...]:
    document = record.document
    run = document["run"]
    return (
        record.event_id,
        record.occurred_at,
        record.day,
        document["request_id"],
        record.key_id,
        record.caller,
        document["caller"]["role"],
        record.use,
        run["run"],
        record.model_version,
        run["artifact"],
        date.fromisoformat(run["prediction_date"]),
        run["served_from"],
        document["is_degraded"],
        document["milliseconds"],
        document["out_of_distribution_score"],
        list(document["warnings"]),
        [{"store_id": store, "sku_id": sku} for store, sku in record.series],
        record.content.decode(),
    )


def empty_file() -> bytes:
    """Return a file without events, which has all columns."""
    return to_parquet(_frame([]))
