"""What takes long to make: once, for a while, and made anew beside what is there."""

from collections.abc import Callable
from threading import Event, Thread

import pytest

from forecast_assets.core.errors import StorageError
from forecast_assets.serving.dataplane.made_once import MadeOnce


class Counted:
    """Makes numbers that rise."""

    def __init__(self) -> None:
        self.made = 0
        self.now = 0.0

    def __call__(self, _key: str) -> int:
        self.made += 1
        return self.made


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def kept(counted: Counted) -> MadeOnce[str, int]:
    return MadeOnce(counted, 2, keeps_seconds=10.0, clock=lambda: counted.now)


def test_after_its_time_it_is_made_anew(counted: Counted, kept: MadeOnce[str, int]) -> None:
    assert (kept.get("a"), kept.get("a"), kept.seconds_left("a")) == (1, 1, 10.0)
    counted.now = 9.0
    assert (kept.get("a"), kept.is_ready("a"), kept.seconds_left("a")) == (1, True, 1.0)
    counted.now = 10.0
    assert (kept.is_ready("a"), kept.seconds_left("a")) == (False, 0.0)
    assert (kept.get("a"), kept.is_ready("a")) == (2, True)
    assert not kept.is_ready("b")


def test_what_nobody_asks_for_any_more_is_let_go(counted: Counted, kept: MadeOnce[str, int]) -> None:
    kept.get("a")
    counted.now = 5.0
    kept.get("b")
    counted.now = 12.0
    kept.let_go_old()
    assert [key for key in "ab" if key in kept._kept] == ["b"]


def test_renewed_it_is_another_one_with_all_its_time(counted: Counted, kept: MadeOnce[str, int]) -> None:
    kept.get("a")
    counted.now = 8.0
    kept.renew("a")
    assert (kept.get("a"), kept.seconds_left("a")) == (2, 10.0)
    kept.renew("never asked for")
    assert not kept.is_ready("never asked for")


def test_what_cannot_be_renewed_stays_for_as_long_as_it_may() -> None:
    makes: list[Callable[[], int]] = [lambda: 1]
    now = [0.0]
    kept: MadeOnce[str, int] = MadeOnce(lambda _key: makes[-1](), 2, keeps_seconds=10.0, clock=lambda: now[0])
    kept.get("a")

    def fail() -> int:
        raise StorageError("no answer")

    makes.append(fail)
    now[0] = 8.0
    with pytest.raises(StorageError):
        kept.renew("a")
    assert (kept.get("a"), kept.seconds_left("a")) == (1, 2.0)


def test_while_it_is_renewed_the_one_that_is_there_is_given() -> None:
    go, begun, numbers = Event(), Event(), iter((1, 2))

    def make(_key: str) -> int:
        number = next(numbers)
        if number == 2:
            begun.set()
            assert go.wait(20)
        return number

    kept: MadeOnce[str, int] = MadeOnce(make, 2)
    kept.get("a")
    renewing = Thread(target=kept.renew, args=("a",))
    renewing.start()
    assert begun.wait(20)
    assert kept.get("a") == 1
    go.set()
    renewing.join(20)
    assert kept.get("a") == 2


def test_its_time_begins_when_it_is_made() -> None:
    go, now = Event(), [0.0]

    def make(_key: str) -> int:
        assert go.wait(20)
        return 1

    kept: MadeOnce[str, int] = MadeOnce(make, 2, keeps_seconds=10.0, clock=lambda: now[0])
    with pytest.raises(TimeoutError):
        kept.get("a", 0.01)
    now[0] = 11.0
    kept.let_go_old()
    assert not kept.is_ready("a")
    go.set()
    assert (kept.get("a", 20), kept.seconds_left("a")) == (1, 10.0)


def test_no_more_are_made_at_once_than_may_be_and_all_are_made() -> None:
    go, begun, under_way, most = Event(), Event(), list[str](), list[int]()

    def make(key: str) -> str:
        under_way.append(key)
        most.append(len(under_way))
        begun.set()
        assert go.wait(20)
        under_way.remove(key)
        return key.upper()

    kept: MadeOnce[str, str] = MadeOnce(make, 4, at_once=1)
    for key in "abc":
        with pytest.raises(TimeoutError):
            kept.get(key, 0.01)
    renewing = Thread(target=kept.renew, args=("a",))
    renewing.start()
    assert begun.wait(20)
    assert under_way == ["a"]
    go.set()
    assert [kept.get(key, 20) for key in "abc"] == ["A", "B", "C"]
    renewing.join(20)
    assert most == [1, 1, 1, 1]


class _PanicError(BaseException):
    """As libraries report defects of their own, around `Exception`."""


def test_a_panic_of_a_library_is_an_error_like_others() -> None:
    def make(_key: str) -> int:
        raise _PanicError("index out of bounds")

    kept: MadeOnce[str, int] = MadeOnce(make, 2)
    with pytest.raises(RuntimeError, match=r"_PanicError: index out of bounds"):
        kept.get("a", 20)
    assert not kept.is_begun("a")


def test_what_fails_lets_the_next_one_be_made() -> None:
    def make(key: str) -> str:
        if key == "a":
            raise StorageError("no answer")
        return key

    kept: MadeOnce[str, str] = MadeOnce(make, 4, at_once=1)
    with pytest.raises(StorageError):
        kept.get("a", 20)
    assert kept.get("b", 20) == "b"
