"""Copying a run into PostgreSQL and SQLite, beside what one would write without any promise.

Forecasts of many series go into a database in one transaction: by the operational copy, which reads them back and
compares them; by psycopg's COPY, once row by row as its documents show it and once as lines that are ready; by SQLite's
`executemany`. All into tables of the same columns and key, in an order that is the other way round the second time.
Exits with 1 if the copy takes more than 1.5 times as long as psycopg's COPY row by row.

    python -m bench.operational_copy [--series 50000] [--rounds 1] [--address postgresql://...]
"""

import argparse
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from forecast_assets.contracts import FORECASTS, QUANTILE_COLUMNS
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS
from forecast_assets.presentation.text import table
from resources.operational_copy.content import BATCH, lines_of
from resources.operational_copy.postgresql import PostgresqlCopy
from resources.operational_copy.sqlite import SqliteCopy
from resources.operational_copy.writing import RunToCopy, copy_run
from tests.support.mirrors import postgresql

GOAL = 1.5
STEPS = 14
LEDGER = "0" * 64
SCHEMA = "operational_copy"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--address", help="PostgreSQL database to use; one is started if left out, without fsync")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder)
        rows = path / "rows.parquet"
        forecasts(chosen.series).write_parquet(rows, row_group_size=BATCH)
        with nullcontext(chosen.address) if chosen.address else postgresql(path / "postgresql") as address:
            return measured(rows, address, path, chosen.rounds)


def measured(rows: Path, address: str, folder: Path, rounds: int) -> int:
    count = pl.scan_parquet(rows).select(pl.len()).collect().item()
    keys = iter(RunKey("daily", date(2025, 1, 1), f"bench-{at}", STEPS) for at in range(10**6))
    postgresql_copy, sqlite_copy = PostgresqlCopy(address), SqliteCopy(folder / "copy.sqlite")
    # Tables are made by the first run, which nobody waits for.
    for database in (postgresql_copy, sqlite_copy):
        copy_run(database, LEDGER, run_of(rows, next(keys), 0, last=1))
    ways: dict[str, Callable[[RunKey], None]] = {
        "PostgreSQL: operational copy": lambda key: ours(postgresql_copy, rows, key, count),
        "PostgreSQL: psycopg COPY, row by row": lambda key: by_row(address, rows, key),
        "PostgreSQL: psycopg COPY, ready lines": lambda key: by_lines(address, rows, key),
        "SQLite: operational copy": lambda key: ours(sqlite_copy, rows, key, count),
        "SQLite: executemany": lambda key: by_executemany(folder / "copy.sqlite", rows, key),
    }
    took: dict[str, list[float]] = defaultdict(list)
    grown: dict[str, int] = {}
    for at in range(rounds):
        for name in [*ways] if at % 2 == 0 else reversed([*ways]):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            started = time.perf_counter()
            ways[name](next(keys))
            took[name].append(time.perf_counter() - started)
            grown.setdefault(name, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    seconds = {name: statistics.median(each) for name, each in took.items()}
    lines = [(name, f"{each:.1f}", f"{count / each:,.0f}", grown[name] // 1024) for name, each in seconds.items()]
    print(table([f"{count:,} forecasts", "seconds", "rows a second", "MB more at the peak"], lines))
    copy, by_rows, by_lines_, lite, many = seconds.values()
    print(f"PostgreSQL: {copy / by_rows:.2f} times COPY row by row (goal at most {GOAL}), {copy / by_lines_:.2f} times "
          f"COPY of ready lines; SQLite: {lite / many:.2f} times executemany.")  # fmt: skip
    return int(copy / by_rows > GOAL)


def forecasts(series: int) -> pl.DataFrame:
    """Make forecasts of as many series, in the order of their key, with numbers of the usual length."""
    pairs = pl.DataFrame({"at": range(series)}).select(
        pl.col("at"),
        store_id=pl.format("S-{}", (pl.col("at") // 500).cast(pl.String).str.zfill(4)),
        sku_id=pl.format("FOOD-{}", (pl.col("at") % 500).cast(pl.String).str.zfill(4)),
    )
    steps = pl.DataFrame({"step": pl.Series(range(1, STEPS + 1), dtype=pl.Int32)})
    units = (pl.col("at") % 977 / 7 + pl.col("step") / 3).cast(UNITS)
    values = {
        "cadence": "daily", "prediction_date": date(2025, 1, 1), "model_version": "bench", "forecast_horizon": STEPS,
        "revision": 0, "demand_class": "smooth", "model_used": "level", "is_fallback": False, "quality_flags": "",
        "expected_sales_units": Decimal("1.25"),
    }  # fmt: skip
    made = pairs.join(steps, how="cross").with_columns(
        *(pl.lit(value).alias(name) for name, value in values.items()),
        *((units * (at + 1)).cast(UNITS).alias(name) for at, name in enumerate(QUANTILE_COLUMNS)),
        target_date=pl.lit(date(2025, 1, 1)) + pl.duration(days=pl.col("step")),
        out_of_distribution_score=(pl.col("at") % 1000) / 1000,
        base_units=units, reconciled_units=units, forecast_units=units,
    )  # fmt: skip
    return made.select(pl.col(name).cast(kind) for name, kind in FORECASTS.schema.items())


def parts_of(rows: Path, key: RunKey, last: int | None = None) -> Iterator[pl.DataFrame]:
    scan = pl.scan_parquet(rows)
    count = scan.select(pl.len()).collect().item() if last is None else last
    for at in range(0, count, BATCH):
        part = scan.slice(at, min(BATCH, count - at)).collect()
        yield part.with_columns(model_version=pl.lit(key.model_version))


def run_of(rows: Path, key: RunKey, sequence: int, last: int) -> RunToCopy:
    return RunToCopy(
        key, sequence, datetime.now(UTC), {"forecasts": "v"}, {"forecasts": last}, lambda _: parts_of(rows, key, last)
    )


def ours(database: Any, rows: Path, key: RunKey, count: int) -> None:
    assert copy_run(database, LEDGER, run_of(rows, key, 1, count))


@contextmanager
def copying(address: str, form: str) -> Iterator[Any]:
    import psycopg

    query = f"COPY {SCHEMA}.forecasts FROM STDIN{form}"
    with psycopg.connect(address) as connection, connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
        yield copy


def by_row(address: str, rows: Path, key: RunKey) -> None:
    with copying(address, "") as copy:
        for part in parts_of(rows, key):
            for row in part.iter_rows():
                copy.write_row(row)


def by_lines(address: str, rows: Path, key: RunKey) -> None:
    with copying(address, " (FORMAT csv)") as copy:
        for part in parts_of(rows, key):
            copy.write(lines_of(part))


def by_executemany(path: Path, rows: Path, key: RunKey) -> None:
    """Floats in the place of millionths, as one would."""
    marks = ", ".join("?" * len(FORECASTS.names))
    plain = [
        pl.col(name).cast(pl.Float64).round(0).cast(pl.Int64) if kind == UNITS else pl.col(name)
        for name, kind in FORECASTS.schema.items()
    ]
    with closing(sqlite3.connect(path)) as connection, connection:
        for part in parts_of(rows, key):
            values = part.select(plain).with_columns(pl.selectors.date().cast(pl.String)).iter_rows()
            connection.executemany(f"INSERT INTO forecasts VALUES ({marks})", values)  # noqa: S608


if __name__ == "__main__":
    sys.exit(main())
