"""Questions that come at the same time are answered together: each by itself, and none for another's sake."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event
from typing import Any

import pytest

from forecast_assets.core.errors import InputError
from forecast_assets.features.changes import SeriesChange
from forecast_assets.serving.dataplane.together import MOST_AT_ONCE, WhatIfLots
from forecast_assets.serving.dataplane.what_if import WhatIf

SOON = 10.0


@dataclass(frozen=True)
class Key:
    run: str


@dataclass(frozen=True)
class Prepared:
    """What some questions need; of a whole run that is everything."""

    key: Key
    places: Any


class Everything:
    def __contains__(self, _: object) -> bool:
        return True


RUN = Prepared(Key("run"), Everything())


class Answer(WhatIf):
    """What is said of some series, and of how many at once."""

    def __init__(self, series: Sequence[tuple[str, str]], at_once: int) -> None:
        object.__setattr__(self, "said", (tuple(series), at_once))

    said: Any


class Model:
    """Answers in place of the real one, as soon as it may; refuses what it is told to."""

    def __init__(self) -> None:
        self.go, self.begun = Event(), Event()
        self.lots: list[list[SeriesChange]] = []
        self.wrong: set[str] = set()
        self.broken: BaseException | None = None

    def one(self, _: Any, changes: Sequence[SeriesChange]) -> WhatIf:
        self._work(changes)
        return Answer([change.series for change in changes], 1)

    def several(self, _: Any, changes: Sequence[SeriesChange]) -> list[WhatIf]:
        self._work(changes)
        return [Answer([change.series], len(changes)) for change in changes]

    def _work(self, changes: Sequence[SeriesChange]) -> None:
        self.lots.append([*changes])
        self.begun.set()
        assert self.go.wait(SOON)
        if self.broken is not None and len(changes) > 1:
            raise self.broken

    def require(self, _: Any, changes: Sequence[SeriesChange]) -> None:
        if self.wrong & {change.sku_id for change in changes}:
            raise InputError("wrong", remedy="ask otherwise")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    made = Model()
    monkeypatch.setattr("forecast_assets.serving.dataplane.together.what_if", made.one)
    monkeypatch.setattr("forecast_assets.serving.dataplane.together.what_ifs", made.several)
    monkeypatch.setattr("forecast_assets.serving.dataplane.together.require_answerable", made.require)
    yield made
    made.go.set()


def change(number: int) -> SeriesChange:
    return SeriesChange("S", f"A{number}")


def ask(together: WhatIfLots, *numbers: int, prepared: Any = RUN) -> "Future[WhatIf]":
    return together.ask(prepared, [change(number) for number in numbers])


def said(answer: "Future[WhatIf]") -> tuple[list[str], int]:
    found = answer.result(SOON)
    assert isinstance(found, Answer)
    return [sku for _, sku in found.said[0]], found.said[1]


def never(*_: object) -> Any:
    raise AssertionError("all of them have the same run")


def behind_one(model: Model, gather: Any = never) -> tuple[WhatIfLots, "Future[WhatIf]"]:
    """Return who answers, while it is busy with a first question."""
    together = WhatIfLots(gather, patience_seconds=SOON)
    first = ask(together, 0)
    assert model.begun.wait(SOON)
    return together, first


def test_what_comes_in_while_one_is_answered_is_answered_together(model: Model) -> None:
    together, first = behind_one(model)
    others = [ask(together, number) for number in (1, 2, 3)]
    model.go.set()
    assert [said(each) for each in (first, *others)] == [(["A0"], 1), (["A1"], 3), (["A2"], 3), (["A3"], 3)]


def test_two_questions_about_one_series_are_not_one(model: Model) -> None:
    together, _ = behind_one(model)
    others = [ask(together, number) for number in (1, 1, 2)]
    model.go.set()
    assert [said(each) for each in others] == [(["A1"], 2), (["A1"], 1), (["A2"], 2)]


def test_other_runs_are_answered_by_themselves_and_in_turn(model: Model) -> None:
    together, _ = behind_one(model)
    other = ask(together, 3, prepared=Prepared(Key("another"), Everything()))
    ones = [ask(together, 4), ask(together, 5)]
    model.go.set()
    assert said(other) == (["A3"], 1)
    assert [said(each) for each in ones] == [(["A4"], 2), (["A5"], 2)]
    # Whoever waits longest is next, whatever came in since.
    assert [[each.sku_id for each in lot] for lot in model.lots] == [["A0"], ["A3"], ["A4", "A5"]]


def test_series_that_hold_together_are_answered_by_themselves_and_keep_nobody_waiting(model: Model) -> None:
    together = WhatIfLots(never, patience_seconds=SOON)
    several = ask(together, 1, 2)
    assert model.begun.wait(SOON)
    model.begun.clear()
    one = ask(together, 3)
    assert model.begun.wait(SOON), "it does not wait for those"
    model.go.set()
    assert [said(each) for each in (several, one)] == [(["A1", "A2"], 1), (["A3"], 1)]


def test_a_wrong_question_is_refused_at_once_and_spoils_no_other(model: Model) -> None:
    together, _ = behind_one(model)
    model.wrong = {"A2"}
    right, wrong, also = (ask(together, number) for number in (1, 2, 3))
    with pytest.raises(InputError, match="wrong"):
        wrong.result(0)
    model.go.set()
    assert [said(each) for each in (right, also)] == [(["A1"], 2), (["A3"], 2)]


class Panic(BaseException):
    """As libraries report defects of theirs."""


@pytest.mark.parametrize("broken", [ValueError("one of them"), Panic("a defect")])
def test_what_cannot_be_answered_at_once_is_answered_one_by_one(model: Model, broken: BaseException) -> None:
    together, _ = behind_one(model)
    model.broken = broken
    answers = [ask(together, number) for number in (1, 2, 3)]
    model.go.set()
    assert [said(each) for each in answers] == [(["A1"], 1), (["A2"], 1), (["A3"], 1)]


@pytest.mark.usefixtures("model")
def test_a_defect_is_told_as_a_model_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def panics(*_: object) -> None:
        raise Panic("a defect")

    monkeypatch.setattr("forecast_assets.serving.dataplane.together.what_if", panics)
    with pytest.raises(RuntimeError, match="Panic: a defect"):
        ask(WhatIfLots(never), 1).result(SOON)


def test_whoever_gave_up_waiting_is_not_answered(model: Model) -> None:
    together, _ = behind_one(model)
    gone, waits = ask(together, 1), ask(together, 2)
    assert gone.cancel()
    model.go.set()
    assert said(waits) == (["A2"], 1)
    assert [[each.sku_id for each in lot] for lot in model.lots] == [["A0"], ["A2"]]


def test_no_more_than_so_many_are_answered_at_once(model: Model) -> None:
    together, _ = behind_one(model)
    answers = [ask(together, number) for number in range(1, MOST_AT_ONCE + 3)]
    model.go.set()
    assert [said(each)[1] for each in answers] == [MOST_AT_ONCE] * MOST_AT_ONCE + [2, 2]


@pytest.mark.parametrize("is_at_hand", [True, False])
def test_what_none_of_them_has_in_full_is_gathered_or_each_has_its_own(model: Model, *, is_at_hand: bool) -> None:
    asked = []

    def gather(run: Any, series: Any) -> Any:
        asked.append((run, series))
        return RUN if is_at_hand else None

    together, _ = behind_one(model, gather)
    answers = [ask(together, n, prepared=Prepared(Key("run"), {("S", f"A{n}")})) for n in (1, 2)]
    model.go.set()
    assert [said(each)[1] for each in answers] == ([2, 2] if is_at_hand else [1, 1])
    assert asked == [("run", [("S", "A1"), ("S", "A2")])]


def test_whoever_has_all_that_others_need_has_it_for_them(model: Model) -> None:
    together, _ = behind_one(model)
    narrow, whole = ask(together, 1, prepared=Prepared(Key("run"), {("S", "A1")})), ask(together, 2)
    model.go.set()
    assert [said(each)[1] for each in (narrow, whole)] == [2, 2]


def test_a_lot_that_takes_too_long_is_not_waited_for(model: Model) -> None:
    together = WhatIfLots(never, patience_seconds=0.05)
    stuck = ask(together, 0)
    assert model.begun.wait(SOON)
    model.begun.clear()
    other = ask(together, 1)
    assert model.begun.wait(SOON), "another thread has taken it up"
    model.begun.clear()
    third = ask(together, 2)
    assert model.begun.wait(SOON), "nor is the second"
    model.go.set()
    assert [said(each) for each in (stuck, other, third)] == [(["A0"], 1), (["A1"], 1), (["A2"], 1)]
