"""Which records of feedback can be used: their form, their bounds, and whether what they are about was predicted.

What belongs here: from the text of a record to what it says, or what is wrong. What does not: keeping either.
"""

import json
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NoReturn
from uuid import UUID

import polars as pl

from forecast_assets.contracts import FORECASTS
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.operations.reading import scan_product
from resources.operational.feedback import Feedback
from resources.stores.home import Stores

CORRECTION: Final = "correction"
LABEL: Final = "label"
QUALITY: Final = "quality"
# What each kind says, in the field that it needs and no other kind may have.
KINDS: Final = {CORRECTION: "units", LABEL: "label", QUALITY: "finding"}
LABELS: Final = ("useful", "too_high", "too_low", "wrong_reason")
MOST_RECORDS: Final = 500
MOST_CHARACTERS: Final = 2_000
# Of one SKU in one store on one day: what is more is a slip of the keyboard.
MOST_UNITS: Final = 1_000_000.0
_MOST_ID: Final = 1_000
_FIELDS: Final = ("kind", "prediction_id", "event_id", *KINDS.values(), "comment")

FindEvents = Callable[[Sequence[str]], Collection[str]]


def judged_records(stores: Stores, texts: Sequence[str], find_events: FindEvents | None) -> Sequence[Feedback | str]:
    """Return what each record says, or why it cannot be used.

    Args:
        stores: Where everything is.
        texts: Records as they were sent, in JSON.
        find_events: Tells which of some ids are prediction events, asked once for all records; None where no events
            are kept.

    Raises:
        StorageError: If what was published cannot be read: then no record is judged.
    """
    formed = [_formed(text) for text in texts]
    ids = [
        PredictionId.parse(each.prediction_id) for each in formed if isinstance(each, Feedback) and each.prediction_id
    ]
    events = dict.fromkeys(each.event_id for each in formed if isinstance(each, Feedback) and each.event_id)
    unknown = _unknown(stores, ids) | _unknown_events([*events], find_events)
    return [each if isinstance(each, str) else unknown.get(each.subject, each) for each in formed]


def _unknown_events(ids: Sequence[str], find_events: FindEvents | None) -> dict[str, str]:
    if find_events is None:
        return dict.fromkeys(ids, "no prediction events are kept here: name a `prediction_id`")
    known = find_events(ids) if ids else ()
    return {each: f"there is no prediction event {each}" for each in ids if each not in known}


def _unknown(stores: Stores, ids: Sequence[PredictionId]) -> dict[str, str]:
    """Return what is wrong with each id that names no published row; a run is read once, whatever it is asked for."""
    by_run: dict[RunKey, list[PredictionId]] = {}
    for each in ids:
        by_run.setdefault(each.run, []).append(each)
    wrong: dict[str, str] = {}
    for run, rows in by_run.items():
        try:
            publication = stores.predictions.publication(run)
        except InputError as error:
            wrong |= {str(each): str(error.message) for each in rows}
            continue
        published = scan_product(stores, publication, FORECASTS.name).select(
            "sku_id", "store_id", pl.col("step").cast(pl.Int64)
        )
        # A step beyond the horizon may be beyond what a column holds.
        asked = {(each.sku_id, each.store_id, each.step) for each in rows if each.step <= run.forecast_horizon}
        wanted = pl.LazyFrame(sorted(asked), schema=published.collect_schema(), orient="row")
        found = set(published.join(wanted, on=["sku_id", "store_id", "step"], how="semi").collect().rows())
        for each in rows:
            if (each.sku_id, each.store_id, each.step) not in found:
                what = f"{run} has no step {each.step} of SKU {each.sku_id} in store {each.store_id}"
                wrong[str(each)] = what
    return wrong


def _formed(text: str) -> Feedback | str:
    try:
        return _parsed(text)
    except (ValueError, RecursionError) as error:
        return f"it is no JSON: {error}"
    except InputError as error:
        return str(error.message)


def _parsed(text: str) -> Feedback:
    record = json.loads(text, parse_constant=_no_number)
    if not isinstance(record, dict):
        raise InputError(f"it is no JSON object: {_short(record)}")
    unknown = [name for name in record if name not in _FIELDS]
    if unknown:
        raise InputError(f"there is no field {_short(unknown[0])}: fields are {', '.join(_FIELDS)}")
    said = {name: value for name, value in record.items() if value is not None}
    kind = said.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"`kind` is none of {', '.join(KINDS)}: {_short(kind)}")
    foreign = [name for name in said if name in KINDS.values() and name != KINDS[kind]]
    if foreign:
        raise InputError(f"`{foreign[0]}` does not belong to `{kind}`")
    prediction_id, event_id = _subject(said)
    return Feedback(
        kind,
        prediction_id,
        event_id,
        _units(said) if kind == CORRECTION else None,
        _label(said) if kind == LABEL else None,
        _text(said, "finding", MOST_CHARACTERS) if kind == QUALITY else None,
        _text(said, "comment", MOST_CHARACTERS) if "comment" in said else None,
    )


def _subject(said: Mapping[str, Any]) -> tuple[str | None, str | None]:
    if ("prediction_id" in said) == ("event_id" in said):
        raise InputError("it is about no prediction: give one of `prediction_id` and `event_id`")
    if "prediction_id" in said:
        text = _text(said, "prediction_id", _MOST_ID)
        named = PredictionId.parse(text)
        if named.step < 1:
            raise InputError(f"`{text}` is not a prediction id: steps count from 1")
        return str(named), None
    text = _text(said, "event_id", _MOST_ID)
    try:
        return None, str(UUID(text))
    except ValueError as error:
        raise InputError(f"`event_id` is no UUID: {_short(text)}") from error


def _units(said: Mapping[str, Any]) -> float:
    units = said.get("units")
    if not isinstance(units, int | float) or isinstance(units, bool) or not 0 <= units <= MOST_UNITS:
        raise InputError(f"`units` is no number from 0 to {MOST_UNITS:,.0f}: {_short(units)}")
    return float(units)


def _label(said: Mapping[str, Any]) -> str:
    label = said.get("label")
    if not isinstance(label, str) or label not in LABELS:
        raise InputError(f"`label` is none of {', '.join(LABELS)}: {_short(label)}")
    return label


def _text(said: Mapping[str, Any], name: str, most: int) -> str:
    text = said.get(name)
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"`{name}` is no text: {_short(text)}")
    if len(text) > most:
        raise InputError(f"`{name}` has {len(text):,} characters, more than {most:,}")
    # Terminals act on control characters, and halves of surrogate pairs are no text at all.
    if any(unicodedata.category(each) in {"Cc", "Cs"} and each not in "\n\t" for each in text):
        raise InputError(f"`{name}` has control characters")
    return text.strip()


def _short(value: object, most: int = 80) -> str:
    """Return a value as ASCII JSON, cut: reasons are stored and shown."""
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[:most]}..."


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
