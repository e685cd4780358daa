"""Fusion and enrichment against a naive loop and against SQL, on the same tangled observations."""

from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import INVENTORY_POSITIONS
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


POLICY = ["review_period_days", "reorder_point_units", "order_up_to_units"]
FILLED = [*KEY, "source", "lead_time_days", *POLICY, "enriched"]


def policies(seed: int) -> pl.LazyFrame:
    """Positions by the same sources, half of whose policies lack some of their values, and a quarter all."""
    random = np.random.default_rng(seed)
    frame = tangled(seed).collect()
    has = random.random((frame.height, 3)) < random.choice([0.0, 0.5, 1.0], (frame.height, 1), p=[0.5, 0.3, 0.2])
    values = random.integers(1, 3, (frame.height, 3))
    told = {
        name: pl.Series(
            [int(value) if is_said else None for value, is_said in zip(values[:, at], has[:, at], strict=True)]
        )
        for at, name in enumerate(POLICY)
    }
    terms = frame.rename({"sales_units": "on_hand_units"}).with_columns(
        lead_time_days=random.integers(1, 3, frame.height).astype(float), lead_time_deviation_days=1.0, **told
    )
    schema = INVENTORY_POSITIONS.schema
    return terms.cast({name: schema[name] for name in terms.columns if name in schema}).lazy()


def enriched(observations: pl.LazyFrame) -> pl.DataFrame:
    return resolve("inventory_positions", observations, known_until=UNTIL).collect().select(FILLED).sort(KEY)


def enriched_by_a_loop(observations: pl.LazyFrame) -> pl.DataFrame:
    rows = [row for row in observations.collect().to_dicts() if row["known_at"] <= UNTIL]
    rows.sort(key=lambda row: tuple(row[name] for name in KEY))
    groups = (list(group) for _, group in groupby(rows, key=lambda row: tuple(row[name] for name in KEY)))
    return pl.DataFrame([filled(group) for group in groups], schema=enriched(observations).schema)


def filled(rows: list[dict[str, Any]]) -> dict[str, Any]:
    last: dict[str, dict[str, Any]] = {}
    values = ["on_hand_units", "lead_time_days", "lead_time_deviation_days", *POLICY]
    for row in sorted(
        rows, key=lambda row: (row["known_at"], row["trust"], *((row[v] is not None, row[v]) for v in values))
    ):
        last[row["source"]] = row
    freshest = max(row["known_at"] for row in last.values())

    def order(row: dict[str, Any]) -> tuple[Any, ...]:
        is_out_of_date = row["known_at"] < freshest - FRESHNESS_TOLERANCE
        return is_out_of_date, -row["trust"], -row["known_at"].timestamp(), row["source"]

    winner, *_ = ordered = sorted(last.values(), key=order)
    has = [row for row in ordered if any(row[name] is not None for name in POLICY)]
    facts = {**winner, "enriched": None}
    if has and all(winner[name] is None for name in POLICY):
        given, why = {name: has[0][name] for name in POLICY}, reason(has, order)
        told = [f"{name}: {has[0]['source']} ({why})" for name, value in given.items() if value is not None]
        facts |= {**given, "enriched": "; ".join(told)}
    return {name: facts[name] for name in FILLED}


def reason(has: list[dict[str, Any]], order: Any) -> str:
    first, *others = has
    if not others:
        return "only_source"
    if all([row[name] for name in POLICY] == [first[name] for name in POLICY] for row in others):
        return "sources_agree"
    for place, name in ((0, "fresher"), (1, "more_trusted"), (2, "fresher")):
        if order(others[0])[place] != order(first)[place]:
            return name
    return "tie_by_name"


ENRICHING_SQL = """
with last as (
    select * from observations where known_at <= $until
    qualify row_number() over (
        partition by sku_id, store_id, event_date, source
        order by known_at desc, trust desc, on_hand_units desc, lead_time_days desc, lead_time_deviation_days desc,
            review_period_days desc nulls last, reorder_point_units desc nulls last, order_up_to_units desc nulls last
    ) = 1
),
placed as (
    select *,
        coalesce(review_period_days, reorder_point_units, order_up_to_units) is not null as has,
        known_at < max(known_at) over key - interval 2 days as is_old
    from last window key as (partition by sku_id, store_id, event_date)
),
won as (
    select * from placed qualify row_number() over (
        partition by sku_id, store_id, event_date order by is_old, trust desc, known_at desc, source) = 1
),
givers as (
    select *,
        row_number() over preference as place,
        count(*) over key as candidates,
        lead(is_old) over preference as next_is_old,
        lead(trust) over preference as next_trust,
        lead(known_at) over preference as next_known_at,
        count(distinct (review_period_days, reorder_point_units, order_up_to_units)::varchar) over key = 1 as is_agreed
    from placed where has
    window key as (partition by sku_id, store_id, event_date),
        preference as (partition by sku_id, store_id, event_date order by is_old, trust desc, known_at desc, source)
),
first as (
    select *, ' (' || case when candidates = 1 then 'only_source'
        when is_agreed then 'sources_agree'
        when next_is_old > is_old then 'fresher'
        when next_trust < trust then 'more_trusted'
        when next_known_at < known_at then 'fresher'
        else 'tie_by_name' end || ')' as why
    from givers where place = 1
)
select w.sku_id, w.store_id, w.event_date, w.source, w.lead_time_days,
    case when w.has then w.review_period_days else f.review_period_days end as review_period_days,
    case when w.has then w.reorder_point_units else f.reorder_point_units end as reorder_point_units,
    case when w.has then w.order_up_to_units else f.order_up_to_units end as order_up_to_units,
    case when not w.has and f.why is not null then concat_ws('; ',
        case when f.review_period_days is not null then 'review_period_days: ' || f.source || f.why end,
        case when f.reorder_point_units is not null then 'reorder_point_units: ' || f.source || f.why end,
        case when f.order_up_to_units is not null then 'order_up_to_units: ' || f.source || f.why end) end as enriched
from won w left join first f using (sku_id, store_id, event_date) order by sku_id, store_id, event_date
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_enrichment_equals_a_loop_and_sql(seed: int) -> None:
    observations = policies(seed)
    found = enriched(observations)
    assert found.equals(enriched_by_a_loop(observations))
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("observations", observations.collect().to_arrow())
        said = pl.DataFrame(connection.sql(ENRICHING_SQL, params={"until": UNTIL}).to_arrow_table())
    assert found.equals(said.cast(dict(found.schema)))  # type: ignore[arg-type]


def test_the_positions_exercise_every_reason_of_an_enrichment() -> None:
    told = pl.concat([enriched(part) for seed in range(3) for part in (policies(seed), policies(seed).head(200))])[
        "enriched"
    ]
    why = set(told.drop_nulls().str.extract(r"\((\w+)\)"))
    assert why == {"only_source", "sources_agree", "more_trusted", "fresher", "tie_by_name"}
    assert 0 < told.null_count() < len(told)
