"""What every copy has, whatever its database: tables, keys, the record of a run, the views of a version.

What belongs here: names, columns and the queries behind views. What does not: statements of one database only.

A column is added by a contract: then `FORMAT` goes up, and a copy of an earlier release is made anew from the ledger.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from forecast_assets.contracts import PRODUCTS, PUBLISHED, SERIES_STEP_KEY
from forecast_assets.core.keys import DAILY, RunKey

# Goes up with every change of the layout, which its fingerprint tells.
FORMAT: Final = 2
FORMAT_TABLE: Final = "copy_format"
RUNS: Final = "runs"
RUN_COLUMNS: Final = SERIES_STEP_KEY[:5]
TABLES: Final = (*PUBLISHED, RUNS, FORMAT_TABLE)


@dataclass(frozen=True)
class CopiedProduct:
    """One product of a run as it was copied.

    Attributes:
        version: Product version, the hash of its manifest.
        rows: Its rows.
        content: SHA-256 of its rows as they were read back (`content.ContentDigest`).
    """

    version: str
    rows: int
    content: str


@dataclass(frozen=True)
class CopiedRun:
    """What a copy records of a run.

    Attributes:
        key: The run.
        ledger_sequence: Entry that published it.
        published_at: When.
        copied_at: When it was copied.
        products: What was copied of it, by name; a release may have made fewer products.
    """

    key: RunKey
    ledger_sequence: int
    published_at: datetime
    copied_at: datetime
    products: Mapping[str, CopiedProduct]

    @property
    def versions(self) -> dict[str, str]:
        """Product versions by name."""
        return {name: product.version for name, product in self.products.items()}

    @property
    def rows(self) -> int:
        """Rows of all products."""
        return sum(product.rows for product in self.products.values())


def runs_columns() -> dict[str, type]:
    """Return the columns of the table of runs, in order, with the types of their values."""
    own: dict[str, type] = {
        "cadence": str, "prediction_date": date, "model_version": str, "forecast_horizon": int, "revision": int,
        "ledger_sequence": int, "published_at": datetime, "copied_at": datetime,
    }  # fmt: skip
    for name in PUBLISHED:
        own |= {f"{name}_version": str, f"{name}_rows": int, f"{name}_content": str}
    return own


def run_values(run: CopiedRun) -> list[Any]:
    """Return the row of a run, in the order of the columns."""
    values = [*vars(run.key).values(), run.ledger_sequence, run.published_at, run.copied_at]
    for name in PUBLISHED:
        product = run.products.get(name)
        values += [None] * 3 if product is None else [product.version, product.rows, product.content]
    return values


def run_of(values: Sequence[Any]) -> CopiedRun:
    """Return the run of a row, as `run_values` wrote it."""
    row = dict(zip(runs_columns(), values, strict=True))
    return CopiedRun(
        RunKey(*(row[name] for name in RUN_COLUMNS)),
        row["ledger_sequence"],
        row["published_at"],
        row["copied_at"],
        {
            name: CopiedProduct(row[f"{name}_version"], row[f"{name}_rows"], row[f"{name}_content"])
            for name in PUBLISHED
            if row[f"{name}_version"] is not None
        },
    )


def row_order(product: str) -> tuple[str, ...]:
    """Return what the rows of a run are ordered by: the rest of the key.

    Example:
        >>> row_order("forecasts")
        ('store_id', 'sku_id', 'step')
    """
    return PRODUCTS[product].key[len(RUN_COLUMNS) :]


def cadence_view(cadence: str, product: str) -> str:
    """Return the name of a product's view, as in the catalogue.

    Example:
        >>> cadence_view("daily", "forecasts"), cadence_view("weekly", "forecasts")
        ('forecasts', 'weekly_forecasts')
    """
    return product if cadence == DAILY.name else f"{cadence}_{product}"


def prediction_id(day: str) -> str:
    """Return the SQL of a row's `prediction_id`, as `forecast_assets.core.keys.PredictionId` writes it.

    Args:
        day: The prediction date as text, in SQL.
    """
    quoted = "replace(replace(f.{0}, '%', '%25'), '/', '%2F')"
    parts = (
        "f.cadence", day, "f.model_version", "f.forecast_horizon", "'r' || f.revision", quoted.format("sku_id"),
        quoted.format("store_id"), "f.step",
    )  # fmt: skip
    return " || '/' || ".join(parts)


def newest_rows(product: str, cadence: str, model_version: str, columns: str, place: str = "") -> str:
    """Return the query over the rows of a version, the newest revision of each run.

    Args:
        product: Which product.
        cadence: Rhythm of the runs.
        model_version: Name of a version, which needs no quoting beyond apostrophes.
        columns: What is shown of the row `f`.
        place: What comes before the names of tables.
    """
    same = " AND ".join(f"f.{name} = run.{name}" for name in RUN_COLUMNS)
    later = " AND ".join(f"later.{name} = run.{name}" for name in RUN_COLUMNS[:-1])
    # A cross join, since SQLite then looks at the few runs first.
    return (
        f"SELECT {columns} FROM {place}{RUNS} AS run CROSS JOIN {place}{product} AS f "  # noqa: S608
        f"WHERE {same} AND run.cadence = '{cadence}' AND run.model_version = '{model_version}' "
        f"AND NOT EXISTS (SELECT 1 FROM {place}{RUNS} AS later WHERE {later} AND later.revision > run.revision)"
    )


def has_prediction_id(product: str) -> bool:
    """Whether rows of a product are named by a `prediction_id`."""
    return PRODUCTS[product].key == SERIES_STEP_KEY


def layout_fingerprint() -> str:
    """Return SHA-256 over all tables and columns: when it changes, `FORMAT` has to go up."""
    products = {name: [*((column, str(kind)) for column, kind in PRODUCTS[name].schema.items())] for name in PUBLISHED}
    keys = {name: PRODUCTS[name].key for name in PUBLISHED}
    runs = {name: kind.__name__ for name, kind in runs_columns().items()}
    return hashlib.sha256(json.dumps([products, keys, runs]).encode()).hexdigest()
