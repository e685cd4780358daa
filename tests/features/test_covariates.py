"""Covariates: what each cutoff knew of them, where they hold, and what a panel makes of them."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.features.covariates import WORD_COLUMNS, Covariates, lay_out_covariates
from forecast_assets.features.panel import Panel, assemble_panel

FIRST = date(2025, 1, 1)
STORES = pl.DataFrame({"store_id": ["S2", "S1", "S3"]})
NODES = pl.DataFrame({"store_id": ["S1", "S2", "S3"], "node_id": ["north", "north", "south"]})
Said = tuple[str, str, int, int, float]


def words(*said: Said) -> pl.LazyFrame:
    """Words by covariate, place, day, first cutoff that knew them, and value; days counted from `FIRST`."""
    rows = [
        (name, node, FIRST + timedelta(days=day), FIRST + timedelta(days=since), value)
        for name, node, day, since, value in said
    ]
    kinds = {"event_date": pl.Date, "since": pl.Date, "value": pl.Float64}
    schema = {name: kinds.get(name, pl.String) for name in WORD_COLUMNS}
    return pl.LazyFrame(rows, schema=schema, orient="row")


def laid_out(*said: Said, days: int = 4) -> Covariates:
    return lay_out_covariates(words(*said), STORES, FIRST, days, NODES)


def known(covariates: Covariates, name: str, cutoff: int, days: int = 4) -> list[list[float | None]]:
    """Values by series and day, None where nothing was known."""
    values = covariates.as_known(name, cutoff, days)[covariates.store]
    return [[None if np.isnan(value) else float(value) for value in row] for row in values]


def test_a_day_ahead_is_known_as_planned_and_a_past_one_as_it_came() -> None:
    made = laid_out(("rain", "all", 2, 0, 5.0), ("rain", "all", 2, 1, 6.0), ("rain", "all", 2, 2, 9.0))
    assert [known(made, "rain", cutoff)[0][2] for cutoff in (-1, 0, 1, 2, 3)] == [None, 5.0, 6.0, 9.0, 9.0]


def test_what_is_only_observed_is_never_known_ahead() -> None:
    made = laid_out(*(("rain", "all", day, day, 1.0) for day in range(4)))
    for cutoff in range(4):
        assert known(made, "rain", cutoff)[0] == [1.0] * (cutoff + 1) + [None] * (3 - cutoff)


def test_the_narrowest_place_that_says_anything_of_a_day_counts_whoever_spoke_last() -> None:
    made = laid_out(
        ("rain", "S1", 0, 0, 3.0), ("rain", "north", 0, 1, 2.0), ("rain", "all", 0, 2, 1.0), ("rain", "all", 1, 2, 1.0)
    )
    assert known(made, "rain", 2) == [[2.0, 1.0, None, None], [3.0, 1.0, None, None], [1.0, 1.0, None, None]]


def test_places_without_a_store_days_outside_and_names_that_nobody_speaks_of_are_unknown() -> None:
    made = laid_out(("rain", "nowhere", 0, 0, 1.0), ("sun", "all", -1, 0, 1.0), ("sun", "all", 4, 0, 1.0))
    assert made.names == ()
    assert lay_out_covariates(None, STORES, FIRST, 4, None).names == ()
    assert known(laid_out(("sun", "S1", 0, 0, 1.0)), "rain", 3) == [[None] * 4] * 3


def panel(*said: Said) -> Panel:
    """Two days of history and two ahead of three stores."""
    days = [FIRST, FIRST + timedelta(days=1)]
    sales = STORES.join(pl.DataFrame({"event_date": days}), how="cross").with_columns(
        sku_id=pl.lit("A"), sales_units=pl.lit(1.0)
    )
    return assemble_panel(
        sales,
        {"sales": sales.lazy(), "covariates": words(*said)},
        cutoff=days[-1],
        history_days=9,
        horizon_days=2,
        store_nodes=NODES,
    )


def test_a_panel_carries_covariates_through_all_that_is_made_of_it() -> None:
    made = panel(*(("rain", "S2", day, since, 10.0 * day + since) for day in range(4) for since in (0, 1)))
    assert made.series["store_id"].to_list() == ["S1", "S2", "S3"]
    assert known(made.covariates, "rain", 1) == [[None] * 4, [1.0, 11.0, 21.0, 31.0], [None] * 4]
    assert known(made.covariates, "rain", 0)[1] == [0.0, 10.0, 20.0, 30.0]
    assert known(made.as_of(1).covariates, "rain", 1, 3)[1] == [0.0, 10.0, 20.0]
    assert known(made.recent(1).covariates, "rain", 0, 3)[1] == [11.0, 21.0, 31.0]
    assert known(made.recent(1).covariates, "rain", -1, 3)[1] == [10.0, 20.0, 30.0]
    assert known(made.take(np.array([1])).covariates, "rain", 1) == [[1.0, 11.0, 21.0, 31.0]]
    assert known(made.ahead(1).covariates, "rain", 1, 3)[1] == [1.0, 11.0, 21.0]
    assert panel().covariates.names == ()


DRAWN = st.lists(
    st.tuples(
        st.sampled_from(["rain", "sun"]),
        st.sampled_from(["all", "north", "S1", "S2"]),
        st.integers(0, 5),
        st.integers(-2, 6),
        st.floats(-9, 9),
    ),
    max_size=20,
)


@settings(deadline=None)
@given(said=DRAWN, later=DRAWN, cutoff=st.integers(0, 3))
def test_a_cutoff_knows_the_same_whatever_is_said_after_it(said: list[Said], later: list[Said], cutoff: int) -> None:
    news = [(name, node, day, max(since, cutoff + 1), value) for name, node, day, since, value in later]
    alone, beside = (laid_out(*rows, days=6).as_known("rain", cutoff, 6) for rows in (said, [*said, *news]))
    if np.isnan(alone).all() and alone.shape != beside.shape:
        assert np.isnan(beside).all()
        return
    np.testing.assert_array_equal(alone, beside)


@settings(deadline=None)
@given(said=DRAWN, cutoff=st.integers(0, 5))
def test_each_cell_is_the_newest_word_of_the_narrowest_place_then(said: list[Said], cutoff: int) -> None:
    made = laid_out(*said, days=6)
    sizes = {"all": 3, "north": 2, "S1": 1, "S2": 1}
    holds = {"all": {"S1", "S2", "S3"}, "north": {"S1", "S2"}, "S1": {"S1"}, "S2": {"S2"}}
    order = sorted(enumerate(said), key=lambda each: (-sizes[each[1][1]], each[1][3], each[0]))
    for at, store in enumerate(["S1", "S2", "S3"]):
        for day in range(6):
            found = [
                value
                for _, (name, node, of, since, value) in order
                if (name, of) == ("sun", day) and since <= cutoff and store in holds[node]
            ]
            told = made.as_known("sun", cutoff, 6)
            expected = found[-1] if found else np.nan
            assert (told[at, day] if len(told) else np.nan) == pytest.approx(expected, nan_ok=True, abs=0)
