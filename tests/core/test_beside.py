"""Calls in processes of their own: answers, errors, deaths, and nothing that outlives the block."""

import multiprocessing
import os
import time
from functools import partial

import pytest

from forecast_assets.core.beside import beside, processes_allowed
from forecast_assets.core.errors import InputError


def _own(number: int) -> tuple[int, int]:
    return number, os.getpid()


def _refuse() -> None:
    raise InputError("There is nothing to do.", remedy="Give it something.", rows=3)


def _die() -> None:
    os._exit(7)


def test_answers_come_in_the_order_of_the_calls_and_from_other_processes() -> None:
    with beside([partial(_own, number) for number in range(2)]) as running:
        answers = [one.result() for one in running]
    assert [number for number, _ in answers] == [0, 1]
    assert len({os.getpid(), *(process for _, process in answers)}) == 3


def test_an_error_arrives_as_it_was_raised() -> None:
    with beside([_refuse]) as running, pytest.raises(InputError, match="nothing to do") as raised:
        running[0].result()
    assert raised.value.facts == {"rows": 3}
    assert str(raised.value.remedy) == "Give it something."


def test_a_process_that_is_killed_is_said_to_be() -> None:
    with beside([_die]) as running, pytest.raises(RuntimeError, match="ended with code 7"):
        running[0].result()


def test_nothing_outlives_the_block_however_it_ends() -> None:
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), beside([partial(time.sleep, 600)]):
        raise KeyboardInterrupt
    assert not multiprocessing.active_children()
    assert time.monotonic() - started < 60


def test_a_process_that_ends_with_its_parent_starts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes_allowed(3) == 3
    assert processes_allowed(None) == os.cpu_count()
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {"daemon": True})
    assert processes_allowed(3) == 1
