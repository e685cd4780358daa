"""What counted at every moment: the same as fusion would have said then, moment by moment."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.contracts import COVARIATES
from forecast_assets.history.fusion import resolve
from forecast_assets.history.vintages import first_cutoff, words_in_turn

DAY = date(2025, 7, 10)
START = datetime(2025, 7, 1, tzinfo=UTC)
TRUST = {"almanac": 0.3, "forecaster": 0.9, "station": 0.9}
KEY = ["covariate", "store_node", "event_date"]


def said(*words: tuple[str, str, float, float], trust: dict[str, float] | None = None) -> pl.DataFrame:
    """Words by source, covariate, hours since `START` and value."""
    trusted = TRUST if trust is None else trust
    rows = [
        (name, "all", DAY, START + timedelta(hours=hours), value, source, trusted[source])
        for source, name, hours, value in words
    ]
    schema = {**COVARIATES.schema, "source": pl.String, "trust": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def told(*words: tuple[str, str, float, float]) -> list[tuple[float, float]]:
    """Hours and values of what counted from when on."""
    found = words_in_turn(COVARIATES, said(*words))
    hours = (pl.col("known_at") - START).dt.total_minutes() / 60
    return found.select(hours, "value").rows()


def test_each_word_of_a_source_counts_until_the_next() -> None:
    assert told(("station", "rain", 5, 2.0), ("station", "rain", 0, 1.0)) == [(0, 1.0), (5, 2.0)]


def test_a_source_that_counts_less_takes_over_nothing_until_the_other_is_out_of_date() -> None:
    words = [("forecaster", "rain", 0, 1.0), ("almanac", "rain", 24, 5.0), ("almanac", "rain", 49, 6.0)]
    assert told(*words) == [(0, 1.0), (24, 1.0), (49, 6.0)]


def test_a_plan_gives_way_to_what_another_source_observed() -> None:
    assert told(("forecaster", "rain", 0, 1.0), ("station", "rain", 240, 7.0)) == [(0, 1.0), (240, 7.0)]


def test_the_first_cutoff_is_the_first_whose_run_is_made_no_earlier() -> None:
    frame = said(("station", "rain", 30, 1.0), ("station", "sun", 30.5, 1.0))
    days = frame.select(first_cutoff(pl.col("known_at"), timedelta(hours=6))).to_series()
    assert days.to_list() == [date(2025, 7, 1), date(2025, 7, 2)]


WORDS = st.lists(
    st.tuples(st.sampled_from(sorted(TRUST)), st.sampled_from(["rain", "sun"]), st.integers(0, 120), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)


@given(words=WORDS, trusts=st.tuples(*[st.sampled_from([0.2, 0.5, 0.9])] * 3))
@settings(max_examples=60, deadline=None)
def test_at_every_moment_it_is_what_fusion_says(
    words: list[tuple[str, str, int, int]], trusts: tuple[float, float, float]
) -> None:
    frame = said(*((s, n, h, float(v)) for s, n, h, v in words), trust=dict(zip(sorted(TRUST), trusts, strict=True)))
    turns = words_in_turn(COVARIATES, frame)
    assert not turns.select(*KEY, "known_at").is_duplicated().any()
    for moment in frame["known_at"].unique():
        now = resolve("covariates", frame.lazy(), known_until=moment).select(*KEY, "value").collect().sort(KEY)
        newest = turns.filter(pl.col("known_at") <= moment).unique(KEY, keep="last", maintain_order=True)
        assert newest.select(*KEY, "value").sort(KEY).equals(now)


def test_the_order_of_rows_does_not_matter() -> None:
    words = [("forecaster", "rain", 0, 1.0), ("almanac", "rain", 0, 5.0), ("station", "sun", 3, 2.0)]
    assert words_in_turn(COVARIATES, said(*words)).equals(words_in_turn(COVARIATES, said(*reversed(words))))
