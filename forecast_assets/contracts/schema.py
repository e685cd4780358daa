"""What a contract is: columns, types, units, bounds, keys, and what is promised and not promised.

What belongs here: columns and contracts as such. What does not: any one of them.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from forecast_assets.core.errors import FIRST, ContractError
from forecast_assets.core.numbering import has_repeated_keys

TIMESTAMP: Final = pl.Datetime("us", "UTC")
SQUARED_UNITS: Final = pl.Decimal(38, 6)


@dataclass(frozen=True)
class Column:
    """One column: its type, what it means with its unit, and the bounds that every value keeps.

    Text is never empty unless `may_be_empty` says so.
    """

    name: str
    dtype: Any
    description: str
    nullable: bool = False
    at_least: float | None = None
    at_most: float | None = None
    one_of: tuple[str, ...] | None = None
    may_be_empty: bool = False


@dataclass(frozen=True)
class Enrichment:
    """Values of a feed that another source may give where the one that counts says nothing of them.

    Attributes:
        columns: They mean something together: all of them are taken from one source, and only where all are missing.
        given: What these values speak of. A source gives them only if it says the same there as the one that counts.
    """

    columns: tuple[str, ...]
    given: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contract:
    """What a frame promises.

    Attributes:
        name: The product or feed.
        grain: What one row is.
        description: What it is for.
        columns: In order.
        key: Columns that identify a row.
        promises: Sentences that are true of every stored frame.
        limits: What it does not say.
        enrichments: Which missing values of a feed's row another source may give. Columns that may be null and are not
            among them say something by being null.
        may_have_no_rows: Whether a frame without any row says something too.
    """

    name: str
    grain: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    promises: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    enrichments: tuple[Enrichment, ...] = ()
    may_have_no_rows: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """Column names to Polars types, in order."""
        return {column.name: column.dtype for column in self.columns}

    @property
    def names(self) -> list[str]:
        """Column names, in order."""
        return [column.name for column in self.columns]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names, types, bounds and key: it changes when the meaning of a stored file could."""
        facts = [
            [c.name, str(c.dtype), c.nullable, c.at_least, c.at_most, c.one_of, c.name in self.key]
            for c in self.columns
        ]
        return hashlib.sha256(json.dumps([self.name, facts]).encode()).hexdigest()

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the contract's columns in order; extra columns go, missing ones are the contract's failure."""
        missing = [name for name in self.names if name not in frame.columns]
        if missing:
            raise ContractError(
                self.name,
                [f"lacks the columns {missing}; found {frame.columns}"],
                remedy=f"Add them: `{self.name}` needs {self.names}.",
            )
        return frame[self.names]

    def validate(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return ``frame`` if it keeps the contract.

        Args:
            frame: Any number of rows; columns and their order exactly as in the contract.

        Raises:
            ContractError: Naming each broken promise with its first failing rows. An empty frame also breaks most.
        """
        from pandera.errors import SchemaErrors

        if frame.is_empty() and not self.may_have_no_rows:
            raise ContractError(self.name, ["it has no rows"], remedy="Check the source and the date range.")
        try:
            self.pandera().validate(frame, lazy=True)
        except SchemaErrors as error:
            raise ContractError(self.name, _describe(error, frame)) from error
        self._require_unique_keys(frame)
        return frame

    def pandera(self) -> Any:
        """Build the Pandera schema; exact columns, types and bounds, nothing coerced."""
        import pandera.polars as pa

        return pa.DataFrameSchema(
            {column.name: _pandera_column(column) for column in self.columns},
            strict=True,
            ordered=True,
            coerce=False,
            name=self.name,
        )

    def _require_unique_keys(self, frame: pl.DataFrame) -> None:
        # Pandera's own uniqueness check is many times slower than this on millions of rows.
        keys = list(self.key)
        if not has_repeated_keys(frame, keys):
            return
        duplicated = frame.group_by(keys).len().filter(pl.col("len") > 1).sort(keys)
        rows = [
            f"{dict(zip(keys, row[:-1], strict=True))} x{row[-1]}"
            for row in duplicated.head(FIRST).select(pl.all().cast(pl.String)).iter_rows()
        ]
        raise ContractError(self.name, [f"{duplicated.height} duplicate keys {keys}: {', '.join(rows)}"])


def _pandera_column(column: Column) -> Any:
    import pandera.polars as pa

    checks = []
    if column.at_least is not None:
        checks.append(pa.Check.ge(column.at_least))
    if column.at_most is not None:
        checks.append(pa.Check.le(column.at_most))
    if column.one_of is not None:
        checks.append(pa.Check.isin(column.one_of))
    if column.dtype in (pl.Float64, pl.Float32):
        checks.append(pa.Check(lambda data: data.lazyframe.select(pl.col(data.key).is_finite()), name="is_finite"))
    return pa.Column(column.dtype, checks=checks, nullable=column.nullable)


def _describe(error: Any, frame: pl.DataFrame) -> list[str]:
    lines = []
    for failure in error.schema_errors:
        column = getattr(failure.schema, "name", None)
        check = getattr(failure.check, "error", None) or getattr(failure.check, "name", None) or str(failure.check)
        values = _failing_values(failure, column, frame)
        lines.append(f"column `{column}` fails {check}{values}" if column in frame.columns else str(failure))
    return lines


def _failing_values(failure: Any, column: str | None, frame: pl.DataFrame) -> str:
    output = getattr(failure, "check_output", None)
    if column not in frame.columns or not isinstance(output, pl.DataFrame) or output.height != frame.height:
        return f" (type {frame.schema[column]})" if column in frame.columns else ""
    failing = frame.filter(~output.to_series(-1).fill_null(value=False))
    shown = [str(row) for row in failing.head(3).select(pl.all().cast(pl.String)).rows(named=True)]
    return f" in {failing.height} rows, first: {'; '.join(shown)}"
