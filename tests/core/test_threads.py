"""Threads: the order of the parts, the same for any number of them, errors that are not lost."""

import threading
import time

import pytest

from forecast_assets.core.threads import in_threads


@pytest.mark.parametrize("workers", [None, 1, 2, 5])
def test_what_is_made_comes_in_the_order_of_the_parts(workers: int | None) -> None:
    def made(part: int) -> int:
        time.sleep(0.002 * (part % 3))
        return part * part

    assert list(in_threads(made, range(20), workers)) == [(part, part * part) for part in range(20)]


def test_no_parts_are_no_work() -> None:
    assert list(in_threads(abs, [], workers=2)) == []


def test_parts_are_worked_on_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=30)
    assert len(list(in_threads(lambda _part: both.wait(), [0, 1], workers=2))) == 2


def test_what_was_made_does_not_pile_up() -> None:
    begun: list[int] = []
    made = in_threads(begun.append, range(50), workers=2)
    next(made)
    time.sleep(0.05)
    assert len(begun) <= 3
    made.close()
    assert len(begun) <= 3


def test_an_error_in_a_part_is_raised_where_its_result_is_asked_for() -> None:
    made = in_threads(lambda part: 1 // part, [1, 0, 2], workers=2)
    assert next(made) == (1, 1)
    with pytest.raises(ZeroDivisionError):
        list(made)
