"""Records of messages as rows of a feed: JSON lines, a JSON array, or one record.

What belongs here: from bytes to rows, and which records are none. What does not: reading topics, or rules that look at
more than one record.

All lines of all messages are read at once. Only where that fails, message by message, and of a message that fails,
record by record: what one record costs is paid by those that are wrong.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from io import BytesIO
from typing import Any, Final

import polars as pl
from polars.exceptions import PolarsError

from forecast_assets.contracts import FEEDS, TIMESTAMP, Contract
from forecast_assets.history.moments import midnight
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.quarantine import broken_rules
from forecast_assets.sources.tables import SINCE_EVER
from resources.stores.moments import PLANNED

_MESSAGE: Final = "_message"
_NUMBER: Final = "_number"
_TEXT: Final = "_text"
_TIMES: Final = (pl.Date, TIMESTAMP)
_MEMBERS: Final = frozenset({"product_hierarchy", "store_hierarchy"})
_LONGEST: Final = 200


@dataclass(frozen=True)
class StreamSource:
    """Who says what is on the topics.

    Attributes:
        name: Of the source, lower case.
        trust: How far to believe it against other sources, 0 to 1.
        declared_lag: How long after the end of a day it is complete for that day.
        listed_days: Of sales that list only what was sold: how long an article is still listed; None where every day is
            said.
    """

    name: str
    trust: float = 1.0
    declared_lag: timedelta = timedelta(0)
    listed_days: int | None = None


@dataclass(frozen=True)
class BadRecords:
    """Records of a message that are no rows of their feed.

    Attributes:
        message: Place of the message among those that were read.
        records: Each as it was sent, with its number in the message from 1, and why.
    """

    message: int
    records: Sequence[tuple[int, bytes, str]]


@dataclass(frozen=True)
class StreamedRows:
    """What messages say of a feed.

    Attributes:
        batch: Rows that are right by themselves; of several of one key the last. None if there is none.
        bad: What is not.
        records: How many records there were.
    """

    batch: Batch | None
    bad: Sequence[BadRecords]
    records: int


@dataclass
class _Read:
    """Records as they are read, and those that are none."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    bad: dict[int, list[tuple[int, bytes, str]]] = field(default_factory=dict)


def read_messages(feed: str, source: StreamSource, values: Sequence[bytes], last_day: date) -> StreamedRows:
    """Return what messages say of a feed.

    Args:
        feed: Name of the feed.
        source: Who says so.
        values: Contents of the messages, as they came.
        last_day: The last day that has begun anywhere.
    """
    contract = FEEDS[feed]
    schema, read = _text_schema(contract), _Read()
    whole = _all_at_once(values, schema)
    if whole is None:
        for at, value in enumerate(values):
            _read_message(at, value, schema, read)
    else:
        read.frames.append(whole)
    rows = pl.concat(read.frames) if read.frames else _numbered(pl.DataFrame(schema=schema), pl.Series(dtype=pl.Int64))
    judged = _judged(contract, source, rows, last_day)
    wrong = judged.filter(pl.col("reasons").is_not_null()).select(_MESSAGE, _NUMBER, "reasons")
    for message, number, reasons in wrong.iter_rows():
        read.bad.setdefault(message, []).append((number, _record(values[message], number), reasons))
    good = judged.filter(pl.col("reasons").is_null()).select(contract.names)
    newest = good.unique(list(contract.key), keep="last", maintain_order=True).sort("event_date", *contract.key)
    count = judged.height + sum(len(each) for each in read.bad.values()) - wrong.height
    bad = [BadRecords(message, sorted(records)) for message, records in sorted(read.bad.items())]
    return StreamedRows(None if newest.is_empty() else _batch(feed, source, newest), bad, count)


def _batch(feed: str, source: StreamSource, frame: pl.DataFrame) -> Batch:
    listed = source.listed_days if feed == "sales" else None
    return Batch(
        feed, source.name, source.trust, source.declared_lag, frame, delivery=f"stream {source.name}",
        listed_days=listed, comes_in_pieces=True,
    )  # fmt: skip


def _text_schema(contract: Contract) -> dict[str, Any]:
    """Return how records are read: days and moments as text, since JSON has neither."""
    return {name: pl.String if dtype in _TIMES else dtype for name, dtype in contract.schema.items()}


def _all_at_once(values: Sequence[bytes], schema: dict[str, Any]) -> pl.DataFrame | None:
    """Return the records of messages that are all lines of records; None if some are not."""
    stripped = [value.strip() for value in values]
    if not all(each.startswith(b"{") for each in stripped):
        return None
    try:
        frame = pl.read_ndjson(BytesIO(b"\n".join(stripped)), schema=schema)
    except (PolarsError, ValueError):
        return None
    counts = pl.Series([each.count(b"\n") + 1 for each in stripped], dtype=pl.Int64)
    if counts.sum() != frame.height:
        return None
    return _numbered(frame, counts)


def _numbered(frame: pl.DataFrame, counts: pl.Series) -> pl.DataFrame:
    """Return records with the place of their message and their number in it.

    Args:
        frame: Records.
        counts: [messages] records of each.
    """
    of = pl.DataFrame({_MESSAGE: pl.int_range(len(counts), eager=True), "count": counts.cast(pl.Int64)})
    places = of.select(pl.col(_MESSAGE).repeat_by("count").explode(empty_as_null=False)).to_series().cast(pl.Int64)
    numbered = frame.with_columns(places.alias(_MESSAGE))
    return numbered.with_columns((pl.int_range(pl.len()).over(_MESSAGE) + 1).cast(pl.Int64).alias(_NUMBER))


def _read_message(at: int, value: bytes, schema: dict[str, Any], read: _Read) -> None:
    try:
        records = [*records_of(value)]
    except (ValueError, RecursionError) as error:
        read.bad[at] = [(1, value, f"it is no JSON in UTF-8: {str(error)[:_LONGEST]}")]
        return
    if not records:
        read.bad[at] = [(1, value, "it has no record")]
        return
    frame = _lines(records, schema)
    if frame is not None:
        read.frames.append(_placed(frame, at, range(1, len(records) + 1)))
        return
    for number, record in enumerate(records, 1):
        frame = _lines([record], schema)
        if frame is None:
            read.bad.setdefault(at, []).append((number, record, _why(record, schema)))
        else:
            read.frames.append(_placed(frame, at, [number]))


def records_of(value: bytes) -> Iterable[bytes]:
    """Return the records of a message, each on a line of its own.

    Args:
        value: An array of records, one record, or a record a line.

    Raises:
        ValueError: If it is none of them.

    Example:
        >>> [*records_of(b'[{"a": 1}, {"a": 2}]')]
        [b'{"a": 1}', b'{"a": 2}']
    """
    text = value.decode().strip()
    if text.startswith("["):
        return [json.dumps(each, ensure_ascii=False).encode() for each in json.loads(text)]
    try:
        return [json.dumps(json.loads(text), ensure_ascii=False).encode()] if text else []
    except ValueError:
        return [line.encode() for line in text.split("\n") if line.strip()]


def _lines(records: Sequence[bytes], schema: dict[str, Any]) -> pl.DataFrame | None:
    try:
        frame = pl.read_ndjson(BytesIO(b"\n".join(records)), schema=schema)
    except (PolarsError, ValueError):
        return None
    return frame if frame.height == len(records) else None


def _placed(frame: pl.DataFrame, at: int, numbers: Sequence[int] | range) -> pl.DataFrame:
    return frame.with_columns(
        pl.lit(at, pl.Int64).alias(_MESSAGE), pl.Series(_NUMBER, [*numbers], dtype=pl.Int64)
    )  # fmt: skip


def _why(record: bytes, schema: dict[str, Any]) -> str:
    """Return why a record cannot be read, column by column."""
    try:
        said = json.loads(record)
    except (ValueError, RecursionError) as error:
        return f"it is no JSON in UTF-8: {str(error)[:_LONGEST]}"
    if not isinstance(said, dict):
        return f"it is no JSON object but {type(said).__name__}"
    wrong = [
        f"`{name}` cannot be {str(said[name])[:_LONGEST]!r}"
        for name, dtype in schema.items()
        if name in said and _lines([json.dumps({name: said[name]}).encode()], {name: dtype}) is None
    ]
    return "; ".join(wrong) or "it cannot be read"


def _judged(contract: Contract, source: StreamSource, rows: pl.DataFrame, last_day: date) -> pl.DataFrame:
    """Return rows with the contract's types, and why each is none: null where it is one."""
    made = rows.with_columns(
        pl.col(name).str.to_date("%Y-%m-%d", strict=False)
        if dtype == pl.Date
        else pl.col(name).str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False).cast(dtype)
        for name, dtype in contract.schema.items()
        if dtype in _TIMES
    )
    unreadable = [
        pl.when(rows[name].is_not_null() & made[name].is_null()).then(
            pl.lit(f"`{name}` cannot be read; write it as {_FORMS[dtype == pl.Date]}")
        )
        for name, dtype in contract.schema.items()
        if dtype in _TIMES
    ]
    text = pl.concat_str(unreadable, separator="; ", ignore_nulls=True)
    told = made.select(pl.when(text != "").then(text).alias(_TEXT)).to_series()
    known = pl.coalesce("known_at", *_moment(contract, source)).alias("known_at")
    made = made.with_columns(pl.when(rows["known_at"].is_null()).then(known).otherwise("known_at").alias("known_at"))
    batch = Batch(
        contract.name, source.name, source.trust, source.declared_lag, made.select(contract.names), unreadable=told
    )  # fmt: skip
    return made.with_columns(reasons=broken_rules(batch, last_day))


_FORMS: Final = {True: "2025-07-05", False: "2025-07-05T09:00:00Z"}


def _moment(contract: Contract, source: StreamSource) -> list[pl.Expr]:
    """When a record became known that does not say it; of plans and orders nobody can tell."""
    day = pl.col("event_date")
    if contract.name in _MEMBERS:
        return [midnight(day), midnight(pl.lit(SINCE_EVER))]
    if contract.name == "purchase_orders" or contract.name in PLANNED - {"covariates"}:
        return []
    # Without a readable day any moment does: the record is refused for its day.
    return [midnight(day + timedelta(days=1)) + source.declared_lag, midnight(pl.lit(SINCE_EVER))]


def _record(value: bytes, number: int) -> bytes:
    return [*records_of(value)][number - 1]
