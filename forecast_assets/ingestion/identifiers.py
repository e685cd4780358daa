"""Names that look like two forms of one: the traces of spreadsheets, keyboards and systems that write differently.

What belongs here: which names of SKUs and stores are suspect, and their words. What does not: names that another feed
lacks (``intake``), or mending any.

Nothing is changed: names are what sources say they are, and two that differ are two series. So a slip of form splits a
series in two, of which one ends and one is new; that is worth a look before it is stored.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from forecast_assets.core.errors import first_ten
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.findings import FeedFinding
from forecast_assets.ingestion.gaps import limits
from forecast_assets.ingestion.stored_rows import StoredRows

COLUMNS: Final = ("sku_id", "store_id")
# Held names are looked for in the rows of this long before what arrives.
LOOKED_BACK: Final = timedelta(days=365)

# 4.01E+12, 4,01E+12: what a spreadsheet makes of a long number, whose last digits are gone.
_ROUNDED: Final = re.compile(r"\d([.,]\d+)?[eE]\+\d{1,3}")
ALIKE: Final = "names alike"
DAMAGED: Final = "damaged names"
_HELD_IN: Final = "sales"
_WITHOUT_DAYS: Final = ("product_hierarchy", "store_hierarchy")


@dataclass
class _Sighting:
    """Where a name was seen in what arrives: how many rows, of which feed and delivery first."""

    feed: str
    delivery: str
    rows: int = 0


@dataclass
class Identifiers:
    """Names of the batches of one ingest, as they come; names only are kept, no rows."""

    _seen: dict[str, dict[str, _Sighting]] = field(
        default_factory=lambda: {column: {} for column in COLUMNS}, init=False
    )
    _first: date | None = field(default=None, init=False)
    _last: date | None = field(default=None, init=False)

    def take(self, batch: Batch) -> None:
        """Take note of a batch."""
        for column in COLUMNS:
            if column in batch.frame.columns:
                counts = batch.frame[column].drop_nulls().value_counts(sort=False, name="rows").rows()
                for name, rows in counts:
                    sighting = _Sighting(batch.feed, batch.delivery or batch.source)
                    self._seen[column].setdefault(name, sighting).rows += rows
        if batch.feed not in _WITHOUT_DAYS and batch.frame["event_date"].count():
            first, last = limits(batch.frame["event_date"])
            self._first, self._last = min(self._first or first, first), max(self._last or last, last)

    def findings(self, stored: StoredRows) -> list[FeedFinding]:
        """Judge the names together, and with those that are held.

        Args:
            stored: What the store holds already.

        Returns:
            Warnings: one per column and way in which names differ, with the pairs.
        """
        return [
            finding
            for column, seen in self._seen.items()
            if seen
            for finding in (*_rounded(column, seen), *_alike(column, seen, self._held(column, stored)))
        ]

    def _held(self, column: str, stored: StoredRows) -> set[str]:
        since = None if self._first is None else self._first - LOOKED_BACK
        rows = None if since is None else stored.rows(_HELD_IN, since=since, until=self._last)
        return set() if rows is None else set(rows.select(column).unique().collect(engine="streaming")[column])


def folded(name: str) -> str:
    """Return what two forms of one name have in common.

    Example:
        >>> folded("00123") == folded("123"), folded("Tea  20") == folded("TEA 20")
        (True, True)
    """
    return _without_zeros(_in_one_case(_with_single_spaces(_visible(name))))


def _visible(name: str) -> str:
    composed = unicodedata.normalize("NFKC", name)
    # Marks of direction, joiners, byte order marks: category Cf; a space of another width is a space.
    return "".join(" " if letter.isspace() else letter for letter in composed if unicodedata.category(letter) != "Cf")


def _with_single_spaces(name: str) -> str:
    return " ".join(name.split())


def _in_one_case(name: str) -> str:
    return name.casefold()


def _without_zeros(name: str) -> str:
    return name.lstrip("0") or "0" if name.isdigit() else name


# Ways in which two names differ, the least visible first: of a pair the first that makes both the same is told.
_WAYS: Final = (
    ("characters that cannot be seen, or are written in two ways", _visible),
    ("spaces", lambda name: _with_single_spaces(_visible(name))),
    ("capitals", lambda name: _in_one_case(_with_single_spaces(_visible(name)))),
    ("leading zeros", folded),
)


def _rounded(column: str, seen: dict[str, _Sighting]) -> Iterator[FeedFinding]:
    damaged = {name: sighting for name, sighting in seen.items() if _ROUNDED.fullmatch(name)}
    if not damaged:
        return
    shown = first_ten(f"`{name}` ({told.rows:,} rows of {told.delivery})" for name, told in sorted(damaged.items()))
    yield _warning(
        next(iter(damaged.values())).feed,
        DAMAGED,
        sum(told.rows for told in damaged.values()),
        f"{len(damaged):,} names in `{column}` are numbers that a spreadsheet has rounded: {shown}",
        "Several articles may have become one. Export again with the column as text.",
        column,
    )


def _alike(column: str, seen: dict[str, _Sighting], held: set[str]) -> Iterator[FeedFinding]:
    forms: dict[str, list[str]] = defaultdict(list)
    for name in sorted(seen.keys() | held):
        forms[folded(name)].append(name)
    # Two forms that are both held were said when the second came.
    suspect = [names for names in forms.values() if len(names) > 1 and any(name in seen for name in names)]
    for way in dict.fromkeys(_way(names) for names in suspect):
        groups = [names for names in suspect if _way(names) == way]
        told = [seen[name] for names in groups for name in names if name in seen]
        shown = first_ten(" and ".join(_shown(name, seen) for name in names) for names in groups)
        yield _warning(
            told[0].feed,
            ALIKE,
            sum(sighting.rows for sighting in told),
            f"{len(groups):,} names in `{column}` come in forms that differ only by {way}: {shown}",
            "They are kept as different series. If they are the same, write them alike at the source.",
            column,
        )


def _way(names: Sequence[str]) -> str:
    return next(way for way, alike in _WAYS if len({alike(name) for name in names}) == 1)


def _shown(name: str, seen: dict[str, _Sighting]) -> str:
    """Return a name with what cannot be seen written out, and where it stands."""
    is_plain = name == _with_single_spaces(_visible(name))
    where = f"{seen[name].rows:,} rows of {seen[name].delivery}" if name in seen else "held already"
    return f"{name if is_plain else ascii(name)} ({where})"


def _warning(feed: str, kind: str, rows: int, message: str, remedy: str, column: str) -> FeedFinding:
    return FeedFinding(feed, kind, is_error=False, rows=rows, message=message, remedy=remedy, column=column)
