"""The mapping of general tables to feeds: a TOML file, validated, with an example that works.

What belongs here: what may stand in the file, and what is wrong with one. What does not: reading the tables.
"""

import math
import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from forecast_assets.contracts import FEEDS, Contract
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import SourceError, first_ten
from forecast_assets.ingestion.batch import LONGEST_LAG
from forecast_assets.ingestion.far_values import RULES
from forecast_assets.sources.text_days import is_time_zone
from forecast_assets.sources.text_files import is_separator, is_text_encoding

_HIERARCHIES: Final = ("product_hierarchy", "store_hierarchy")
_PLANS: Final = ("prices", "events", "covariates", "store_closures")
# What a mapping may name besides the contract's own columns.
EXTRA_COLUMNS: Final = {"prices": ("list_price",)}

_HOURS: Final = LONGEST_LAG / timedelta(hours=1)
_STRICT: Final = ConfigDict(extra="forbid", strict=True, frozen=True)


class FeedTable(BaseModel):
    """One `[[feed]]`: where its rows are and what its columns mean.

    Attributes:
        feed: Feed, a key of ``contracts.FEEDS``.
        file: CSV or Parquet, relative to the mapping; `*` and `?` stand for many files.
        database: DuckDB database, with `table` or `query`.
        columns: Contract column to source column; a column that is called the same need not be named.
        constants: Contract column to one value for all rows.
        levels: Of a hierarchy with a column per level: name of the level to its column, the widest first.
        date_format: Of dates written as text, for example `%d.%m.%Y`, or `excel` for numbers of days; found out from
            the file if it is left out, as are the next three.
        decimal_comma: Whether numbers are written as 1.234,5.
        encoding: Of a CSV, for example `cp1252`.
        separator: Between the fields of a CSV.
        known_at_format: Of moments written as text.
        time_zone: Zone in which days begin, for example `Europe/Berlin`, where days are told by moments with a zone.
        aggregate: `sum` where a row is a line of a receipt or a booking, and a day has several.
        unit_factor: What a quantity of the source is in units: 0.001 for grams taken as kilograms, -1 for the other
            sign.
        missing_values: Texts that stand for no value.
        missing_days: `zero` where only what was sold is listed: silence is then a day without a sale, or a closed one.
        listed_days: With `missing_days = "zero"`: how long after its last sale an article is still taken to be listed.
        far_values: What is done with rows whose value is far outside its series' own record: `accept` them with a
            warning, `quarantine` the rows, or `refuse` the file.
        known_days_ahead: Of prices, events, covariates and closures: how many days before its day a row was known.
        on_invalid: `refuse` the whole ingest for a row that breaks a rule, or `quarantine` the row.
        tolerated_rows: With `on_invalid = "quarantine"`: a run goes on with so many quarantined rows of its date.
        tolerated_percent: Likewise, of a hundred rows of the date.
        source: Who says so, if it differs from the mapping's.
        trust: Likewise.
        declared_lag_hours: Likewise.
    """

    model_config = _STRICT

    feed: Literal[
        "sales", "stock_status", "inventory_positions", "purchase_orders", "prices", "events", "covariates",
        "store_closures", "product_hierarchy", "store_hierarchy",
    ]  # fmt: skip
    file: str | None = None
    database: str | None = None
    table: str | None = None
    query: str | None = None
    columns: dict[str, str] = {}
    constants: dict[str, Any] = {}
    levels: dict[str, str] = {}
    date_format: str | None = None
    decimal_comma: bool | None = None
    encoding: str | None = None
    separator: str | None = Field(None, min_length=1, max_length=1)
    known_at_format: str | None = None
    time_zone: str | None = None
    aggregate: Literal["sum"] | None = None
    unit_factor: float = 1.0
    missing_values: list[str] = []
    missing_days: Literal["error", "zero"] = "error"
    listed_days: int = Field(364, ge=1, le=3650)
    far_values: Literal["accept", "quarantine", "refuse"] = "accept"
    known_days_ahead: int | None = Field(None, ge=0, le=3650)
    on_invalid: Literal["refuse", "quarantine"] = "refuse"
    tolerated_rows: int = Field(0, ge=0)
    tolerated_percent: float = Field(0.0, ge=0, le=100)
    source: str | None = None
    trust: float | None = Field(None, ge=0, le=1)
    declared_lag_hours: float | None = Field(None, ge=0, le=_HOURS)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for complaint in self._complaints():
            raise ValueError(complaint)
        return self

    def _complaints(self) -> list[str]:
        contract = FEEDS[self.feed]
        allowed = {*contract.names, *EXTRA_COLUMNS.get(self.feed, ())}
        unknown = sorted({*self.columns, *self.constants} - allowed)
        twice = sorted(set(self.columns) & set(self.constants))
        names = {*contract.names, "sku_id", "store_id"}
        taken = sorted({*self.levels} & names | {*self.levels.values()} & {*contract.names})
        unfit = sorted(name for name, value in self.constants.items() if not _is_constant(value))
        is_one = (self.file is not None) + (self.database is not None) == 1
        is_query = (self.table is not None) + (self.query is not None) == 1
        said = {
            "give `file`, or `database` with `table` or `query`": is_one and is_query == (self.database is not None),
            f"`{self.feed}` has no columns {unknown}; it has {sorted(allowed)}": not unknown,
            f"columns {twice} are both mapped and constant": not twice,
            "`levels` is for hierarchies": not self.levels or self.feed in _HIERARCHIES,
            'each level has a column of its own: department = "dept", category = "cat"': (
                len(set(self.levels.values())) == len(self.levels)
            ),
            f"levels and their columns are called otherwise than {sorted(names)}; rename {taken}: "
            'department = "dept"': not taken,
            f'`separator` is one printable ASCII character or a tab, such as ";" or "\\t", not {self.separator!r}': (
                self.separator is None or is_separator(self.separator)
            ),
            f"`encoding` is one that Python knows, such as utf-8, utf-16 or cp1252, not {self.encoding!r}": (
                self.encoding is None or is_text_encoding(self.encoding)
            ),
            f"`time_zone` is one of the IANA's, such as Europe/Berlin or UTC, not {self.time_zone!r}": (
                self.time_zone is None or is_time_zone(self.time_zone)
            ),
            "`aggregate` is for sales": self.aggregate is None or self.feed == "sales",
            f"`unit_factor` is a number other than 0, not {self.unit_factor}": (
                math.isfinite(self.unit_factor) and self.unit_factor != 0
            ),
            "`unit_factor` is for feeds with quantities in units": self.unit_factor == 1 or any(unit_columns(contract)),
            f"constants {unfit} are not text, a date, true or false, or a number of at most 64 bits": not unfit,
            "`missing_days` is for sales": self.missing_days == "error" or self.feed == "sales",
            '`tolerated_rows` and `tolerated_percent` need `on_invalid = "quarantine"`': self.on_invalid == "quarantine"
            or not self.model_fields_set & {"tolerated_rows", "tolerated_percent"},
            '`aggregate` and `on_invalid = "quarantine"` exclude each other: a sum without one of its lines is wrong': (
                self.aggregate is None or self.on_invalid == "refuse"
            ),
            '`listed_days` needs `missing_days = "zero"`': self.missing_days == "zero"
            or "listed_days" not in self.model_fields_set,
            '`far_values = "quarantine"` needs `on_invalid = "quarantine"`': self.far_values != "quarantine"
            or self.on_invalid == "quarantine",
            f"`far_values` is for {', '.join(sorted(RULES))}": self.far_values == "accept" or self.feed in RULES,
            f"`known_days_ahead` is for {', '.join(_PLANS)}": self.known_days_ahead is None or self.feed in _PLANS,
        }
        return [complaint for complaint, is_right in said.items() if not is_right]


def unit_columns(contract: Contract) -> list[str]:
    """Return the columns of a feed that hold quantities in units.

    Example:
        >>> unit_columns(FEEDS["sales"]), unit_columns(FEEDS["prices"])
        (['sales_units'], [])
    """
    return [name for name in contract.names if name.endswith("_units")]


def _is_constant(value: Any) -> bool:
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str | float | date)


class TableMapping(BaseModel):
    """The whole file.

    Attributes:
        source: Who says so, for example `erp`.
        trust: How far to believe it against other sources, 0 to 1.
        declared_lag_hours: How long after the end of a day it is complete for that day.
        feed: The tables.
    """

    model_config = _STRICT

    source: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    trust: float = Field(0.8, ge=0, le=1)
    declared_lag_hours: float = Field(ge=0, le=_HOURS)
    feed: list[FeedTable] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_meaning_of_silence(self) -> Self:
        meanings: dict[str, set[int | None]] = {}
        for table in self.feed:
            if table.feed == "sales":
                meaning = table.listed_days if table.missing_days == "zero" else None
                meanings.setdefault(table.source or self.source, set()).add(meaning)
        several = sorted(source for source, found in meanings.items() if len(found) > 1)
        if several:
            raise ValueError(
                f"sources {several} have several tables of sales with different `missing_days` or `listed_days`; a "
                "source means one thing by silence: give one of them another `source`"
            )
        return self


def read_mapping(path: Path) -> TableMapping:
    """Read and check a mapping.

    Raises:
        SourceError: With everything that is wrong with it.
    """
    try:
        return TableMapping.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SourceError(f"There is no mapping {path}: {error.strerror}.", remedy=_EXAMPLE_HINT, path=path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not TOML: {error}.", remedy=_EXAMPLE_HINT, path=path) from error
    except ValidationError as error:
        wrong = [_complaint(one) for one in error.errors()]
        raise SourceError(
            f"{path} is not a usable mapping: {first_ten(wrong)}.",
            remedy=Sentence("Correct it. ", _EXAMPLE_HINT),
            path=path,
            wrong=wrong,
        ) from error


def _complaint(error: Any) -> str:
    """Put one complaint of pydantic in words; an unknown key comes with those that there are."""
    place = [str(part + 1) if isinstance(part, int) else str(part) for part in error["loc"]]
    where = " ".join(place[:-1])
    if error["type"] == "extra_forbidden":
        model = FeedTable if len(place) > 1 else TableMapping
        return f"unknown key `{place[-1]}`{f' in {where}' if where else ''} (allowed: {', '.join(model.model_fields)})"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{' '.join(place)}: {message}"


_EXAMPLE_HINT: Final = Sentence("An example: ", Action("ingest table", {"example": True}))

_EXAMPLE: Final = """\
#
# This mapping works on a file sales.csv beside it that begins like this:
#
#   day;article;shop;qty
#   28.06.2025;MILK-1L;S1;12
#   29.06.2025;MILK-1L;S1;9,5
#   30.06.2025;MILK-1L;S1;0

source = "erp"             # who says so: lower-case letters, digits, underscores
trust = 0.8                # against other sources of the same feed, 0 to 1
declared_lag_hours = 6     # how long after midnight (UTC) a day is complete

[[feed]]
feed = "sales"             # or: stock_status, inventory_positions, purchase_orders, prices, events,
                           # covariates, store_closures, product_hierarchy, store_hierarchy; one [[feed]] each
file = "sales.csv"         # CSV or Parquet beside this file; "sales_*.csv" takes many
# database = "shop.duckdb" # or a DuckDB database, with: table = "sales", or: query = "SELECT ..."
separator = ";"            # leave these three out, and they are found out from the file, and told
decimal_comma = true       # 9,5 and 1.234,5
date_format = "%d.%m.%Y"   # 28.06.2025
# encoding = "cp1252"      # if it is neither UTF-8 nor UTF-16
# aggregate = "sum"        # if a row is a line of a receipt: the lines of a day are added up, returns netted
# unit_factor = 0.001      # what a quantity is in units: grams taken as kilograms; -1 turns the sign
# time_zone = "Europe/Berlin" # if days are told by moments with a zone
# missing_days = "zero"    # if the file lists only the days on which something was sold
# missing_values = ["NA"]  # texts that stand for no value
# far_values = "refuse"    # refuse the file where a value is far outside its series' own record; else it is a warning

[feed.columns]             # our column = yours; those called the same need not be named
event_date = "day"
sku_id = "article"
store_id = "shop"
sales_units = "qty"
# known_at = "booked_at"   # when a row became known; without it: the end of its day plus the declared lag

# [feed.constants]         # one value for all rows
# store_id = "S1"

# [[feed]]
# feed = "product_hierarchy"
# file = "articles.csv"
# [feed.columns]
# sku_id = "article"
# [feed.levels]            # the widest first; one column of yours each
# department = "dept"
# category = "cat"

# [[feed]]
# feed = "prices"
# file = "prices.csv"
# known_days_ahead = 28    # how many days before its day a price is known
# [feed.columns]
# event_date = "day"
# sku_id = "article"
# store_id = "shop"
# unit_price = "price"
# list_price = "regular"   # without it: the highest price that held in the trailing year stands for it
"""

EXAMPLE: Final = Sentence(
    "# How tables become feeds. Check it, then take it in:\n#\n#   ",
    Action("ingest check table", {"mapping": "mapping.toml"}),
    "\n#   ",
    Action("ingest table", {"mapping": "mapping.toml"}),
    "\n",
    _EXAMPLE,
)
