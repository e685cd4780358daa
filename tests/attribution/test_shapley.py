"""Shares of a difference: they add up, nobody is favoured, and the order of causes decides nothing."""

from itertools import permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.attribution.rounding import rounded_shares
from forecast_assets.attribution.shapley import MOST_CAUSES, shapley

NAMES = ("model_version", "observations", "override", "plans", "reconciliation", "stock_and_orders")
Game = tuple[tuple[str, ...], np.ndarray]


@st.composite
def games(draw: st.DrawFn, largest: int = 10**9) -> Game:
    names = draw(st.permutations(NAMES))[: draw(st.integers(0, MOST_CAUSES))]
    # Small numbers tie, and large ones do not fit.
    bound = draw(st.sampled_from([1, 5, largest]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return tuple(names), random.integers(-bound, bound, 2 ** len(names), endpoint=True)


def by_orders(count: int, values: np.ndarray) -> list[float]:
    """The definition: what each cause adds, over every order of joining."""
    added = [0] * count
    for order in permutations(range(count)):
        held = 0
        for cause in order:
            added[cause] += int(values[held | 1 << cause]) - int(values[held])
            held |= 1 << cause
    return [total / factorial(count) for total in added]


def renamed(names: tuple[str, ...], values: np.ndarray, order: list[int]) -> Game:
    """The same game with its causes in another order."""
    coalition = [sum((new >> at & 1) << cause for at, cause in enumerate(order)) for new in range(len(values))]
    return tuple(names[cause] for cause in order), values[coalition]


@given(games())
def test_shares_add_up_and_are_within_one_of_the_average_over_all_orders(game: Game) -> None:
    names, values = game
    found = shapley(names, values)
    assert found.sum() == values[-1] - values[0] if names else len(found) == 0
    assert np.abs(found - by_orders(len(names), values)).max(initial=0.0) < 1.0


@given(games(), st.randoms())
def test_the_order_of_causes_decides_nothing(game: Game, random: object) -> None:
    names, values = game
    order = list(range(len(names)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = renamed(names, values, order)
    assert dict(zip(names, shapley(names, values), strict=True)) == dict(
        zip(shuffled[0], shapley(*shuffled), strict=True)
    )


@given(games())
def test_the_way_back_has_the_opposite_causes(game: Game) -> None:
    names, values = game
    assert (shapley(names, values[::-1]) == -shapley(names, values)).all()


@given(games(), st.integers(0, MOST_CAUSES - 1))
def test_what_moves_no_coalition_gets_nothing(game: Game, cause: int) -> None:
    names, values = game
    if cause >= len(names):
        return
    without = np.arange(len(values)) & ~(1 << cause)
    assert shapley(names, values[without])[cause] == 0


@given(st.integers(2, MOST_CAUSES), st.lists(st.integers(-(10**6), 10**6), min_size=7, max_size=7))
def test_causes_that_do_the_same_get_the_same_but_for_the_last_unit(count: int, by_size: list[int]) -> None:
    values = np.array([by_size[each.bit_count()] for each in range(2**count)])
    found = shapley(NAMES[:count], values)
    assert found.max() - found.min() <= 1


@settings(max_examples=20)
@given(games(largest=10**18))
def test_numbers_that_64_bits_do_not_hold_in_between_stay_exact(game: Game) -> None:
    names, values = game
    found = shapley(names, values // 2)
    assert sum(map(int, found)) == (int(values[-1] // 2) - int(values[0] // 2) if names else 0)


def test_every_cell_is_a_game_of_its_own() -> None:
    random = np.random.default_rng(5)
    values = random.integers(-(10**8), 10**8, (16, 3, 4))
    found = shapley(NAMES[:4], values)
    assert found.shape == (4, 3, 4)
    for cell in np.ndindex(3, 4):
        assert (found[(slice(None), *cell)] == shapley(NAMES[:4], values[(slice(None), *cell)])).all()


@pytest.mark.parametrize(
    ("names", "values"), [(("a", "a"), [0, 1, 2, 3]), (("a",), [0, 1, 2]), (tuple("abcdefg"), [0] * 128)]
)
def test_what_is_no_game_is_refused(names: tuple[str, ...], values: list[int]) -> None:
    with pytest.raises(ValueError, match="coalitions"):
        shapley(names, np.array(values))


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=6), st.integers(1, 9))
def test_rounding_keeps_the_sum_and_the_opposite_rounds_oppositely(drawn: list[int], parts: int) -> None:
    shares = np.array([*drawn[:-1], drawn[-1] - sum(drawn) % parts])
    names = NAMES[: len(shares)]
    found = rounded_shares(shares, parts, names)
    assert found.sum() * parts == shares.sum()
    assert (np.abs(found * parts - shares) < parts).all()
    assert (rounded_shares(-shares, parts, names) == -found).all()
