"""Questions: what a caller can ask of what is stored, with the bounds that hold for every protocol.

What belongs here: typed questions, and refusing what cannot be asked. What does not: answering, or parsing a request.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Self

from forecast_assets.contracts import FORECAST_EXPLANATIONS, FORECASTS, STOCKOUT_RISKS
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import DAILY, require_cadence

# What callers may read, by the name of the question: one row per SKU, store and step each.
STORED: Final = {
    "forecasts": FORECASTS,
    "risks": STOCKOUT_RISKS,
    "explanations": FORECAST_EXPLANATIONS,
}
DEFAULT_ROWS: Final = 1_000
MOST_ROWS: Final = 50_000
# Stores or SKUs that one question may name; who needs more reads the Parquet files or SQL.
MOST_NAMES: Final = 1_000


@dataclass(frozen=True)
class VersionAsked:
    """Which runs a question is about: an explicit version, or a channel, which is resolved once.

    Attributes:
        model_version: Model version; None where a channel is named.
        channel: Channel; None where a version is named.
        cadence: Rhythm of the runs.
        prediction_date: Of the run; None for the newest that is published.
        horizon: Days ahead of the run; None where only one is published.
        revision: Of the run; None where it has not been corrected.
    """

    model_version: str | None = None
    channel: str | None = None
    cadence: str = DAILY.name
    prediction_date: date | None = None
    horizon: int | None = None
    revision: int | None = None

    def __post_init__(self) -> None:
        """Refuse a question that implies a version.

        Raises:
            InputError: If neither or both of version and channel are named, or the cadence is none.
        """
        if (self.model_version is None) == (self.channel is None):
            raise InputError(
                "Name either a model version or a channel: a number is never of an implied version.",
                remedy=f"Add `model_version`, or `channel`, such as {DAILY.champion}.",
            )
        require_cadence(self.cadence)


@dataclass(frozen=True)
class StoredQuestion:
    """A page of stored rows.

    Attributes:
        product: One of `STORED`.
        asked: Of which run.
        store_ids: Only these stores; empty for all.
        sku_ids: Only these SKUs; empty for all.
        first_step: First day ahead.
        last_step: Last day ahead; None for all.
        columns: Besides the row's key; empty for all.
        limit: Rows of a page at most.
        page: Where the page begins; None for the first.
    """

    product: str
    asked: VersionAsked
    store_ids: Sequence[str] = ()
    sku_ids: Sequence[str] = ()
    first_step: int = 1
    last_step: int | None = None
    columns: Sequence[str] = ()
    limit: int = DEFAULT_ROWS
    page: "Page | None" = None

    def __post_init__(self) -> None:
        """Refuse what no page can hold.

        Raises:
            InputError: With what is wrong.
        """
        if self.product not in STORED:
            raise InputError(f"`{self.product}` cannot be read.", remedy=f"Read one of: {', '.join(STORED)}.")
        unknown = [name for name in self.columns if name not in STORED[self.product].schema]
        if unknown:
            raise InputError(
                f"`{self.product}` has no column {', '.join(f'`{name}`' for name in unknown)}.",
                remedy=f"It has {', '.join(STORED[self.product].schema)}.",
                columns=unknown,
            )
        if not 1 <= self.limit <= MOST_ROWS:
            raise InputError(f"A page has 1 to {MOST_ROWS:,} rows, not {self.limit:,}.", remedy="Ask page by page.")
        if max(len(self.store_ids), len(self.sku_ids)) > MOST_NAMES:
            raise InputError(
                f"A question names at most {MOST_NAMES:,} stores and {MOST_NAMES:,} SKUs.",
                remedy="Ask for fewer at a time, or read the views in SQL.",
            )
        if self.first_step < 1 or (self.last_step is not None and self.last_step < self.first_step):
            raise InputError(
                f"There are no steps {self.first_step} to {self.last_step}.", remedy="Steps count from 1, the next day."
            )


@dataclass(frozen=True)
class Page:
    """Where a page begins: the runs that the first page was answered from, and the row.

    A channel may move between two pages, and a newer run be published; what has begun goes on with the same runs.

    Attributes:
        runs: Keys of the runs, in text.
        row: Rows before the page.
        assignment: Ledger entry that says which stores each run is read in; None where all are of one run.
    """

    runs: tuple[str, ...]
    row: int
    assignment: int | None = None

    def __str__(self) -> str:
        """Return what a caller gives back for the page."""
        return (
            base64.urlsafe_b64encode(json.dumps([*self.runs, self.assignment, self.row]).encode()).decode().rstrip("=")
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back what ``str`` wrote.

        Raises:
            InputError: If ``text`` is none.

        Example:
            >>> Page.parse(str(Page(("daily/2024-06-11/stat-1/14/r0",), 1000))).row
            1000
        """
        try:
            *runs, assignment, row = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            found = cls(tuple(map(str, runs)), int(row), None if assignment is None else int(assignment))
        except (ValueError, TypeError, binascii.Error) as error:
            raise InputError(
                "That is no page that was answered.", remedy="Give back `next_page` of the answer before, unchanged."
            ) from error
        if not found.runs or found.row < 0:
            raise InputError("That is no page that was answered.", remedy="Give back `next_page` unchanged.")
        return found
