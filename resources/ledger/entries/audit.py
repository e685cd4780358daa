"""How a kind of entry declares its audit views: tables of rows that follow from entries, and views over them.

What belongs here: the forms that such a declaration may have, without SQL and without a library for frames. What does
not: the columns of any one view, keeping rows in files, or the SQL that shows them; these two are the catalogue's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from resources.store.manifests import ProductVersion

if TYPE_CHECKING:
    from forecast_assets.contracts import Contract
    from resources.ledger.entries.folded import FoldedState

AuditRow = dict[str, Any]


class ColumnType(Enum):
    """What the values of a column are."""

    TEXT = auto()
    TEXTS = auto()
    DATE = auto()
    MOMENT = auto()
    INT32 = auto()
    INT32S = auto()
    INT64 = auto()
    FLOAT64 = auto()
    BOOLEAN = auto()


@dataclass(frozen=True)
class AuditColumn:
    """A column of an audit table.

    Attributes:
        name: Its name.
        type: What its values are; columns, where each value is a list of rows that have them.
        description: What it means, for those who look at the view.
        nullable: Whether it may be empty.
    """

    name: str
    type: "ColumnType | tuple[AuditColumn, ...]"
    description: str = ""
    nullable: bool = False


class LedgerRecord(Protocol):
    """A record of an entry."""

    @property
    def sequence(self) -> int:
        """The entry."""


class AuditSource(Protocol):
    """What rows are made from, besides records."""

    @property
    def state(self) -> "FoldedState":
        """What is true at the entry that the views are of."""

    def recorded_at(self, sequence: int) -> str:
        """Return when an entry was appended, ISO 8601 in UTC."""

    def readable(self, versions: Sequence[str]) -> Mapping[str, ProductVersion]:
        """Return those product versions whose manifests are there and unchanged; ask for several at once."""


class ComputedRows(NamedTuple):
    """Rows of some records.

    Attributes:
        rows: The rows, in the order of the records.
        is_complete: Whether everything could be read; what could not be is looked at again by the next build.
    """

    rows: list[AuditRow]
    is_complete: bool = True


@dataclass(frozen=True)
class AuditTable:
    """Rows that follow from entries. They never change, so that they are computed once and kept in files.

    Attributes:
        name: What their files are called.
        columns: Their columns.
        records: Returns the records that they tell of.
        rows: Returns the rows of some records; without it, a row is the record's attributes with the columns' names.
    """

    name: str
    columns: tuple[AuditColumn, ...]
    records: Callable[["FoldedState"], Iterable[LedgerRecord]]
    rows: Callable[[Sequence[Any], AuditSource], ComputedRows] | None = None

    def rows_of(self, records: Sequence[LedgerRecord], source: AuditSource) -> ComputedRows:
        """Return the rows of some records, all of each entry that is among them."""
        if self.rows is not None:
            return self.rows(records, source)
        return ComputedRows([{c.name: getattr(record, c.name) for c in self.columns} for record in records])


@dataclass(frozen=True)
class TableView:
    """A view over the rows of a table, but for rows that are nested in them.

    Attributes:
        name: Name of the view in the schema `audit`.
        grain: What one row is.
        description: What it shows.
        key: Columns that identify a row.
        table: The rows.
    """

    name: str
    grain: str
    description: str
    key: tuple[str, ...]
    table: AuditTable

    @property
    def columns(self) -> tuple[AuditColumn, ...]:
        """The columns that it shows."""
        return tuple(column for column in self.table.columns if isinstance(column.type, ColumnType))


@dataclass(frozen=True)
class NestedView:
    """A view over rows that are nested in those of a table, and over rows of another one that they name by number.

    Attributes:
        name: Name of the view in the schema `audit`.
        grain: What one row is.
        description: What it shows.
        key: Columns that identify a row.
        table: Whose rows have others nested in them.
        parent_columns: Columns of these that are shown beside each nested row.
        nested: Column with the nested rows.
        nested_columns: Columns of the nested rows.
        numbers: Column of the nested rows with numbers of rows of `numbered`.
        numbered: The other table; its rows have a `number`.
        numbered_columns: What columns show of a numbered row, by names of its columns; the others are empty.
        renamed: Column that is taken over from the nested row with one part of its text replaced by another.
    """

    name: str
    grain: str
    description: str
    key: tuple[str, ...]
    table: AuditTable
    parent_columns: tuple[AuditColumn, ...]
    nested: str
    nested_columns: tuple[AuditColumn, ...]
    numbers: str
    numbered: AuditTable
    numbered_columns: Mapping[str, str]
    renamed: tuple[str, str, str]

    @property
    def columns(self) -> tuple[AuditColumn, ...]:
        """The columns that it shows."""
        return (*self.parent_columns, *self.nested_columns)


@dataclass(frozen=True)
class ProductView:
    """A view over all files of a product that entries record by itself, beside what their entries say.

    Attributes:
        product: Contract of the product, whose name is that of the view.
        table: Rows that name the files, each with `FILE_COLUMNS`.
        sequence: Column of them with the number of the entry.
        subject_columns: Columns of them that say what a record tells of; the newest of each is marked.
        extra_columns: Columns beside the product's, with what they mean: of the table, and `is_newest`.
    """

    product: "Contract"
    table: AuditTable
    sequence: str
    subject_columns: tuple[str, ...]
    extra_columns: Mapping[str, str]


AuditView = TableView | NestedView | ProductView

SEQUENCE: Final = AuditColumn("ledger_sequence", ColumnType.INT64, "ledger entry that recorded it")
RECORDED_AT: Final = AuditColumn("recorded_at", ColumnType.TEXT, "when it was recorded, ISO 8601 in UTC")
# What a row of a `ProductView` says of its file.
FILE_COLUMNS: Final = (
    AuditColumn("path", ColumnType.TEXT),
    AuditColumn("sha256", ColumnType.TEXT),
    AuditColumn("rows", ColumnType.INT64),
    AuditColumn("bytes", ColumnType.INT64),
    AuditColumn("schema", ColumnType.TEXT, "fingerprint of the contract that the file keeps"),
)


def known_until(moment: str) -> AuditRow:
    """Return the column that says up to which moment of knowledge, ISO 8601 in UTC, a product was made."""
    return {"known_until": datetime.fromisoformat(moment)}


def file_rows(
    records: Sequence[Any],
    source: AuditSource,
    columns_of: Callable[[Any], AuditRow],
    sequence: str,
    *,
    product: str = "product_version",
) -> ComputedRows:
    """Return a row for each file of the product of each record.

    Args:
        records: What entries say.
        source: Where manifests are.
        columns_of: Returns what else a row says of its record.
        sequence: Name of the column with the number of the entry.
        product: Attribute of a record with the manifest hash of its product.
    """
    versions = [getattr(record, product) for record in records]
    made = source.readable(versions)
    rows = [
        {**columns_of(record), sequence: record.sequence, **asdict(file), "schema": made[version].schema}
        for record, version in zip(records, versions, strict=True)
        if version in made
        for file in made[version].files
    ]
    return ComputedRows(rows, all(version in made for version in versions))
