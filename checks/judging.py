"""Applying rules to stored product versions with DuckDB.

What belongs here: running a rule's query and saying what was found. What does not: Dagster.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb
import polars as pl

from checks.rule import Rule
from resources.store.sql import file_list

SHOWN = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        passed: Whether the sentence is true.
        failing_rows: How many rows break it.
        examples: The first ten of them.
        message: What is wrong and what to do, or what was checked.
    """

    passed: bool
    failing_rows: int
    examples: pl.DataFrame
    message: str


def judge(
    rule: Rule,
    files: Mapping[str, Sequence[str]],
    connection: duckdb.DuckDBPyConnection,
    known_until: datetime | None = None,
    *,
    has_silence: bool = False,
) -> Verdict:
    """Apply one rule.

    Args:
        rule: The rule.
        files: Parquet files by product name: of `rule.product` and of all that it reads.
        connection: An in-memory connection; views of it are replaced.
        known_until: The moment by which a snapshot's rows had to be known.
        has_silence: Whether a source of its rows lists only what was sold, so that silence means zero.
    """
    # What is shown of failing rows does not depend on where this machine stands.
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET VARIABLE has_silence = {has_silence}")
    if known_until is not None:
        connection.execute(f"SET VARIABLE known_until_us = {(known_until - _EPOCH) // timedelta(microseconds=1)}")
    views = {"product": files[rule.product], **{name: files[name] for name in rule.reads}}
    for name, paths in views.items():
        # Columns are those of the files; folders may be called anything.
        rows = f"SELECT * FROM read_parquet({file_list(paths)}, hive_partitioning=false)"  # noqa: S608
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {rows}")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE failing AS {rule.failing}")
    failing = int(connection.execute("SELECT count(*) FROM failing").fetchall()[0][0])
    examples = pl.DataFrame(connection.sql(f"SELECT * FROM failing ORDER BY ALL LIMIT {SHOWN}").to_arrow_table())  # noqa: S608
    message = f"{failing:,} rows break it. {rule.remedy}" if failing else "No row breaks it."
    return Verdict(not failing, failing, examples, message)
