"""The stream under deaths: at any step, again and again, no answer is lost and repeats are equal.

A sample in every run of the tests, hundreds in `make torture`.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.roles import ROLES
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.stream.answering import Answering, AnsweringOptions
from resources.broker.dead_letters import letters_topic
from resources.broker.memory import MemoryBroker
from resources.operational.api_keys import ApiKeys
from resources.operational.stream_letters import StreamLetters
from resources.stores.home import open_stores
from tests.support.small_home import NOW_OF_SMALL, small_stores, without_model
from tests.support.store_cases import publish, run_key
from tests.support.stream_calls import TOPICS, StreamCaller, answering_on
from tests.torture.sizes import size

DEATHS = size(10, 300)
NEWEST = {"channel": "champion", "limit": 2}


class DeathError(BaseException):
    """Whatever runs ends here."""


@pytest.fixture
def published_below(tmp_path: Path) -> tuple[DataPlane, Callable[[int], None]]:
    """A small home, and what publishes another run of it."""
    stores = small_stores(tmp_path / "store")
    return (
        without_model(open_stores(tmp_path / "store")),
        lambda at: publish(stores, run_key(3 + at), 50 + at, is_comparable=True),
    )


def dying(answering: Answering, broker: MemoryBroker, chance: random.Random) -> None:
    """Have one of the next steps of a consumer end it, before or after it is done."""
    left = [chance.randint(1, 12)]

    def around(do: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            left[0] -= 1
            dies, is_late = left[0] == 0, chance.random() < 0.5
            if dies and not is_late:
                raise DeathError
            done = do(*arguments)
            if dies:
                raise DeathError
            return done

        return step

    answering._answers.keep = around(answering._answers.keep)  # type: ignore[method-assign]
    answering._letters.keep = around(answering._letters.keep)  # type: ignore[method-assign]
    answering._broker = Bystander(broker, around)  # type: ignore[assignment]


class Bystander:
    """A broker seen by one who may die while talking to it."""

    def __init__(self, broker: MemoryBroker, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._broker, self._around = broker, around
        self.publish = around(broker.publish)

    def subscribe(self, *arguments: Any) -> Any:
        made = self._broker.subscribe(*arguments)
        made.poll, made.commit = self._around(made.poll), self._around(made.commit)  # type: ignore[method-assign]
        return made


def test_whoever_dies_wherever_no_answer_is_lost_and_repeats_are_equal(
    published_below: tuple[DataPlane, Callable[[int], None]], tmp_path: Path
) -> None:
    plane, publish_another = published_below
    keys = ApiKeys(tmp_path / "operational.db")
    key = keys.create("tests", "support", now=NOW_OF_SMALL, valid_for=timedelta(days=1))[1]
    callers = Callers(keys, lambda: NOW_OF_SMALL, per_minute=dict.fromkeys(ROLES, 1_000_000))
    broker, chance = MemoryBroker(), random.Random(7)
    caller = StreamCaller(broker, key)
    asked = 10 * DEATHS
    for at in range(asked):
        caller.send(caller.message("forecasts", NEWEST if at % 10 else b"none", f"r-{at}", lane=str(at % 7)))
    deaths = 0
    for life in range(asked):
        answering = answering_on(broker, plane, callers, tmp_path / "s.sqlite", AnsweringOptions(at_once=8))
        dying(answering, broker, chance)
        if life in (2, 5):
            publish_another(life)
        stopped = Event()
        if sum(broker.groups[TOPICS.group].committed.values()) == asked:
            break
        with suppress(DeathError):
            answering.run(stopped)
        deaths += 1
    assert deaths >= DEATHS
    bodies = defaultdict[str, set[bytes]](set)
    for each in caller.drained():
        bodies[each.headers["x-request-id"]].add(each.value)
    assert set(bodies) == {f"r-{at}" for at in range(asked)}
    assert {len(each) for each in bodies.values()} == {1}
    # What is no request is among the dead letters, once, and on their topic at least once.
    assert StreamLetters(tmp_path / "s.sqlite").count() == asked / 10
    assert {each.headers["x-request-id"] for each in caller.of(letters_topic("t"))} == {
        f"r-{at}" for at in range(0, asked, 10)
    }
    firsts = defaultdict[str, list[int]](list)
    for each in caller.of(TOPICS.answers):
        number = int(each.headers["x-request-id"].partition("-")[2])
        if number not in firsts[each.key]:
            firsts[each.key].append(number)
    # First answers of each key are in the order of its requests.
    assert all(numbers == sorted(numbers) for numbers in firsts.values())
