"""What holds of fusion whatever the sources say."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.history.fusion import resolve

UNTIL = datetime(2025, 1, 10, tzinfo=UTC)
KEY = ["sku_id", "store_id", "event_date"]
TRUST = {"audit": 0.9, "backoffice": 0.7, "pos": 0.9}
SCHEMA: Final[dict[str, Any]] = {
    "sku_id": pl.String,
    "store_id": pl.String,
    "event_date": pl.Date,
    "known_at": pl.Datetime("us", "UTC"),
    "sales_units": pl.Float64,
    "source": pl.String,
    "trust": pl.Float64,
}


@st.composite
def observations(draw: st.DrawFn, hours: tuple[int, int] = (-100, 100)) -> pl.DataFrame:
    """A few observations by up to three sources, known some hours around UNTIL."""
    row = st.tuples(
        st.sampled_from(["A", "B"]),
        st.sampled_from(["S", "T"]),
        st.sampled_from([date(2025, 1, 1), date(2025, 1, 2)]),
        st.integers(*hours).map(lambda hour: UNTIL + timedelta(hours=hour)),
        st.integers(0, 3).map(float),
        st.sampled_from(sorted(TRUST)),
    )
    rows = [(*one, TRUST[one[-1]]) for one in draw(st.lists(row, max_size=25))]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def resolved(frame: pl.DataFrame, until: datetime = UNTIL) -> pl.DataFrame:
    return resolve("sales", frame.lazy(), known_until=until).collect().sort(KEY)


@settings(max_examples=60, deadline=None)
@given(observations(), st.integers(0, 100))
def test_the_order_of_rows_does_not_matter(frame: pl.DataFrame, seed: int) -> None:
    shuffled = frame.sample(fraction=1, shuffle=True, seed=seed)
    assert resolved(shuffled).equals(resolved(frame))


@settings(max_examples=60, deadline=None)
@given(observations(), observations(hours=(1, 100)))
def test_what_is_known_later_changes_nothing(frame: pl.DataFrame, later: pl.DataFrame) -> None:
    assert resolved(pl.concat([later, frame])).equals(resolved(frame))


@settings(max_examples=60, deadline=None)
@given(observations())
def test_there_is_one_row_for_each_key_spoken_of_and_it_was_said(frame: pl.DataFrame) -> None:
    visible = frame.filter(pl.col("known_at") <= UNTIL)
    found = resolved(frame)
    assert found.select(KEY).equals(visible.select(KEY).unique().sort(KEY))
    said = [*KEY, "known_at", "sales_units", "source"]
    assert found.join(visible.unique(said), on=said, how="semi").height == found.height


@settings(max_examples=40, deadline=None)
@given(observations())
def test_resolving_what_is_resolved_changes_no_value(frame: pl.DataFrame) -> None:
    once = resolved(frame)
    again = resolved(once.with_columns(trust=pl.lit(0.5)))
    assert again.select(SCHEMA.keys() - {"trust"}).equals(once.select(SCHEMA.keys() - {"trust"}))


@settings(max_examples=40, deadline=None)
@given(observations())
def test_saying_the_same_twice_changes_nothing(frame: pl.DataFrame) -> None:
    assert resolved(pl.concat([frame, frame])).equals(resolved(frame))
