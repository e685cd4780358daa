"""Effects against the law that sales were drawn from."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.core.arrays import Floats
from forecast_assets.features.panel import Panel
from forecast_assets.models.calendar.fitting import NodeDays
from forecast_assets.models.calendar.sums import sum_nodes
from tests.support.calendar_cases import FAIR, PAYDAY, Shops, shops


def twice_named(panel: Panel) -> Panel:
    """Return the panel with the days of the first state's paydays given once more by a second source."""
    return replace(
        panel,
        event_names=(*panel.event_names, "paid_out"),
        event_days=np.concatenate([panel.event_days, panel.event_days[:1]]),
        event_series=np.concatenate([panel.event_series, panel.event_series[:1]]),
    )


def error(found: Floats, true: Floats) -> float:
    return float(np.abs(found - true).mean())


def test_paydays_move_those_that_they_move() -> None:
    made = shops()
    payday = made.found_payday(made.found())
    assert payday[made.payday > 1] == pytest.approx(1.4, rel=0.03)
    assert payday[made.payday == 1] == pytest.approx(1.0, abs=0.03)


def test_weekdays_of_each_group_in_each_store_are_found() -> None:
    made = shops()
    assert error(made.found().weekday, made.weekday) < 0.015


def test_days_given_twice_are_no_worse_than_given_once() -> None:
    made = shops()
    once, twice = made.found(), made.found(twice_named(made.panel))
    assert made.found_payday(twice) == pytest.approx(made.found_payday(once), rel=0.01)
    assert error(made.found_payday(twice), made.payday) < 1.1 * error(made.found_payday(once), made.payday) + 1e-3


def test_an_event_seen_once_is_believed_as_far_as_it_stands_out_of_what_all_share() -> None:
    """Where whole days go up and down by 15% together, one fair of +10% in 18 nodes is one observation."""
    calm, loud = (shops(noise=noise, event=1.1, seed=3) for noise in (0.01, 0.15))
    at = 200
    assert np.log(calm.found().event[:, at]).mean() == pytest.approx(np.log(1.1), abs=0.02)
    drawn = np.abs(np.log(loud.found().event[:, at])).mean()
    seen = np.abs(np.log(loud.panel.sales[:, at] / loud.panel.sales[:, at - 14 : at + 15].mean(axis=1))).mean()
    assert drawn < 0.8 * seen


def test_days_before_and_after_an_event_are_of_the_event() -> None:
    made = shops(event_days=(150, 250), noise=0.01)
    sales = made.panel.sales.copy()
    for day in (150, 250):
        sales[:, day - 1] *= 1.3
        sales[:, day + 1] *= 0.8
    event = made.found(replace(made.panel, sales=sales)).event
    assert event[:, 149].mean() == pytest.approx(1.3, rel=0.08)
    assert event[:, 151].mean() == pytest.approx(0.8, rel=0.08)
    assert event[:, [100, 155]] == pytest.approx(1.0)


def test_days_that_are_not_known_move_nothing() -> None:
    """Half of all fairs and a tenth of other days are unknown; noughts in their place would be read as a fall."""
    made = shops(event=1.2, event_days=(60, 120, 180, 240))
    is_hidden = np.random.default_rng(1).random(made.panel.sales.shape) < 0.1
    is_hidden[:, [60, 180]] = True
    found = made.found(replace(made.panel, sales=np.where(is_hidden, np.nan, made.panel.sales)))
    assert found.event[:, 60] == pytest.approx(1.2, rel=0.1)
    assert found.event[:, 60].mean() == pytest.approx(1.2, rel=0.02)
    assert error(found.weekday, made.weekday) < 0.02


def test_small_nodes_and_days_without_a_sale_are_no_bias() -> None:
    """Half a unit a day: three days of five without a sale. Together the nodes still tell weekdays and paydays.

    Which of them are moved by paydays is told in part only: sixty units are not enough to leave their group for.
    """
    made = shops(groups=4, stores=40, level=0.5, moved=1.4, seed=2)
    found = made.found()
    payday, first = np.log(made.found_payday(found)), made.groups == "G0"
    assert payday[first].mean() == pytest.approx(np.log(made.payday[first]).mean(), abs=0.04)
    assert payday[~first].mean() == pytest.approx(0.0, abs=0.04)
    assert payday[made.payday > 1].mean() > payday[first & (made.payday == 1)].mean() + 0.03
    assert found.weekday.mean(axis=0) == pytest.approx(made.weekday.mean(axis=0), abs=0.06)


@pytest.mark.parametrize(("groups", "stores"), [(1, 8), (5, 1), (1, 1)], ids=["one group", "one store", "one node"])
def test_a_shop_with_one_group_or_store_has_a_calendar(groups: int, stores: int) -> None:
    made = shops(groups, stores)
    found = made.found()
    assert error(made.found_payday(found), made.payday) < 0.05
    assert error(found.weekday, made.weekday) < 0.03


def test_one_day_out_of_all_proportion_moves_little() -> None:
    made = shops()
    sales = made.panel.sales.copy()
    sales[:, 120] *= 20
    found, before = made.found(replace(made.panel, sales=sales)), made.found()
    assert np.abs(found.weekday - before.weekday).max() < 0.03
    assert made.found_payday(found) == pytest.approx(made.found_payday(before), rel=0.02)


def test_without_a_sale_there_is_no_effect() -> None:
    made = shops(2, 2, 56)
    found = made.found(replace(made.panel, sales=np.zeros_like(made.panel.sales)))
    for factors in vars(found).values():
        assert factors == pytest.approx(1.0)


@settings(max_examples=5, deadline=None)
@given(st.floats(0.01, 1000.0))
def test_effects_do_not_depend_on_the_unit_of_measure(scale: float) -> None:
    """Kilograms or grams: what is sold and what is expected change alike."""
    made = shops(2, 3, 140)
    scaled = made.found(replace(made.panel, sales=made.panel.sales * scale))
    for name, factors in vars(made.found()).items():
        assert getattr(scaled, name) == pytest.approx(factors, abs=2e-3)


def sums_of(made: Shops) -> NodeDays:
    return sum_nodes(made.panel, made.groups, made.stores, made.panel.sales, np.ones_like(made.panel.sales)).sums


def test_some_of_the_nodes_are_the_same_nodes() -> None:
    sums = sums_of(shops(2, 6))
    chosen = np.array([0, 1, 6, 7])
    few = sums.take(chosen)
    assert few.units.tolist() == sums.units[:, chosen].tolist()
    assert few.store.tolist() == [0, 0, 1, 1]
    assert [few.nodes[0], few.nodes[1]] == [slice(0, 2), slice(2, 4)]
    assert len(sums.take(np.array([0, 1])).designs) == 1


def test_the_columns_are_those_that_the_history_shows() -> None:
    columns = sums_of(shops()).columns
    assert (columns.recurring, columns.rare) == ((PAYDAY,), (FAIR,))
