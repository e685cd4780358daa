"""Fusion against a naive loop and against SQL, on the same tangled observations."""

from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest

from forecast_assets.history.fusion import FRESHNESS_TOLERANCE, resolve

UNTIL = datetime(2025, 1, 12, tzinfo=UTC)
KEY = ["sku_id", "store_id", "event_date"]
OUT = [*KEY, "known_at", "sales_units", "source", "resolution", "candidates", "is_restated"]


def tangled(seed: int) -> pl.LazyFrame:
    """2,000 observations of at most 120 keys by four sources, with ties in trust, time and value, in no order."""
    random = np.random.default_rng(seed)
    count = 2000
    source = random.integers(0, 4, count)
    return pl.LazyFrame(
        {
            "sku_id": [f"SKU-{n}" for n in random.integers(0, 4, count)],
            "store_id": [f"S-{n}" for n in random.integers(0, 3, count)],
            "event_date": [date(2025, 1, 1) + timedelta(days=int(n)) for n in random.integers(0, 10, count)],
            "known_at": [
                datetime(2025, 1, 2, tzinfo=UTC) + timedelta(hours=12 * int(n)) for n in random.integers(0, 40, count)
            ],
            "sales_units": random.integers(0, 3, count).astype(float),
            "source": np.array(["audit", "backoffice", "pos", "web"])[source].tolist(),
            "trust": np.array([0.9, 0.7, 0.9, 0.5])[source],
        },
        schema_overrides={"known_at": pl.Datetime("us", "UTC")},
    )


def resolved(observations: pl.LazyFrame) -> pl.DataFrame:
    return resolve("sales", observations, known_until=UNTIL).collect().select(OUT).sort(KEY)


def naive(observations: pl.LazyFrame) -> pl.DataFrame:
    rows = [row for row in observations.collect().to_dicts() if row["known_at"] <= UNTIL]
    rows.sort(key=lambda row: tuple(row[name] for name in KEY))
    chosen = [choose(list(group)) for _, group in groupby(rows, key=lambda row: tuple(row[name] for name in KEY))]
    return pl.DataFrame(chosen, schema=resolved(observations).schema)


def choose(rows: list[dict[str, Any]]) -> dict[str, Any]:
    last: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["known_at"], row["trust"], row["sales_units"])):
        last[row["source"]] = row
    freshest = max(row["known_at"] for row in last.values())
    near = [row for row in last.values() if row["known_at"] >= freshest - FRESHNESS_TOLERANCE]
    near.sort(key=lambda row: (-row["trust"], -row["known_at"].timestamp(), row["source"]))
    winner = near[0]
    if len(last) == 1:
        why = "only_source"
    elif len({row["sales_units"] for row in last.values()}) == 1:
        why = "sources_agree"
    elif len(near) == 1:
        why = "fresher"
    elif near[1]["trust"] < winner["trust"]:
        why = "more_trusted"
    elif near[1]["known_at"] < winner["known_at"]:
        why = "fresher"
    else:
        why = "tie_by_name"
    words = {row["known_at"] for row in rows if row["source"] == winner["source"]}
    facts = {**winner, "resolution": why, "candidates": len(last), "is_restated": len(words) > 1}
    return {name: facts[name] for name in OUT}


SQL = """
with last as (
    select *,
        count(distinct known_at) over (partition by sku_id, store_id, event_date, source) > 1 as is_restated
    from observations
    where known_at <= $until
    qualify row_number() over (
        partition by sku_id, store_id, event_date, source order by known_at desc, trust desc, sales_units desc
    ) = 1
),
placed as (
    select *,
        max(known_at) over key as freshest,
        count(*) over key as candidates,
        min(sales_units) over key = max(sales_units) over key as is_agreed
    from last window key as (partition by sku_id, store_id, event_date)
),
near as (
    select *,
        row_number() over preference as place,
        lead(trust) over preference as next_trust,
        lead(known_at) over preference as next_known_at
    from placed
    where known_at >= freshest - interval 2 days
    window preference as (
        partition by sku_id, store_id, event_date order by trust desc, known_at desc, source
    )
)
select sku_id, store_id, event_date, known_at, sales_units, source,
    case when candidates = 1 then 'only_source'
        when is_agreed then 'sources_agree'
        when next_trust is null then 'fresher'
        when next_trust < trust then 'more_trusted'
        when next_known_at < known_at then 'fresher'
        else 'tie_by_name' end as resolution,
    candidates, is_restated
from near where place = 1 order by sku_id, store_id, event_date
"""


def in_sql(frame: pl.LazyFrame) -> pl.DataFrame:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("observations", frame.collect().to_arrow())
        found = pl.DataFrame(connection.sql(SQL, params={"until": UNTIL}).to_arrow_table())
    return found.cast(dict(resolved(frame).schema))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fusion_equals_a_loop_and_sql(seed: int) -> None:
    observations = tangled(seed)
    found = resolved(observations)
    assert found.equals(naive(observations))
    assert found.equals(in_sql(observations))


def test_the_observations_exercise_every_resolution() -> None:
    reasons = set(resolved(tangled(1))["resolution"]) | set(resolved(tangled(1).head(120))["resolution"])
    assert reasons == {"only_source", "sources_agree", "more_trusted", "fresher", "tie_by_name"}
