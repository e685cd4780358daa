"""Versions that failed their gates: judged once, and again only after something was recorded."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg
import pytest

from forecast_assets.automation.drift_triggers import challenger_answer
from forecast_assets.automation.refusals import Refusals
from forecast_assets.automation.trial_sensors import evidence_request
from forecast_assets.core.keys import DAILY
from forecast_assets.operations import challengers, promoting
from forecast_assets.operations.policies import apply_policy, propose_policy, today
from resources.ledger.entries.policy import Policies
from resources.orchestration.dagster_home import Launches
from resources.stores.home import Stores
from tests.support.store_cases import ingest, register
from tests.support.trial_cases import CHALLENGER, CHAMPION, Said, begin, judged, measure_days, with_champion

AUTO = "auto-statistical-2025-02-01"
PASSED = {"backtest_beats_seasonal_naive": True}


@dataclass
class Tick:
    """The cursor of a sensor from one tick to the next."""

    cursor: str | None = None

    def update_cursor(self, cursor: str | None) -> None:
        self.cursor = cursor


@pytest.fixture
def judgings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the versions that were judged, in order."""
    made: list[str] = []
    real = promoting.judge_version

    def counted(stores: Stores, name: str, *arguments: object) -> object:
        made.append(name)
        return real(stores, name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(promoting, "judge_version", counted)
    assert challengers.judge is promoting.judge
    return made


@pytest.fixture
def failing(stores: Stores) -> Stores:
    """A version that was trained by rule, whose training snapshot nobody checked."""
    with_champion(stores)
    register(stores, AUTO, gates=PASSED, cutoff=date(2025, 2, 1), horizon=28)
    return stores


def test_a_version_that_fails_is_judged_again_only_after_a_new_entry(failing: Stores, judgings: list[str]) -> None:
    tick = Tick()
    first = challenger_answer(failing, Refusals(tick))
    assert f"`{AUTO}` does not pass" in first
    assert [challenger_answer(failing, Refusals(tick)) for _ in range(3)] == [first] * 3
    assert judgings == [AUTO]
    ingest(failing, 1)
    assert challenger_answer(failing, Refusals(tick)) == first
    assert challenger_answer(failing, Refusals(tick)) == first
    assert judgings == [AUTO, AUTO]


def test_a_newer_version_is_judged_whatever_was_refused_before(failing: Stores, judgings: list[str]) -> None:
    tick = Tick()
    challenger_answer(failing, Refusals(tick))
    register(failing, "auto-statistical-2025-03-01", gates=PASSED, cutoff=date(2025, 3, 1), horizon=28)
    assert "`auto-statistical-2025-03-01` does not pass" in challenger_answer(failing, Refusals(tick))
    assert judgings == [AUTO, "auto-statistical-2025-03-01"]


def test_a_policy_that_takes_effect_lets_judge_again(failing: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = propose_policy(failing.ledger, {"gates.largest_bias": 0.08}, today(failing.ledger) + timedelta(days=1))
    later, tick = apply_policy(failing.ledger, asked, by="ana", reason="costs"), Tick()
    why = challenger_answer(failing, Refusals(tick))
    assert Refusals(tick).still(AUTO, failing.ledger.state()) == why
    monkeypatch.setattr(Policies, "in_force", lambda _self, _day: later)
    assert Refusals(tick).still(AUTO, failing.ledger.state()) is None


@pytest.mark.parametrize("cursor", [None, "", "5", "[]", "null", '{"sequence": 1}', "{", "\x00"])
def test_a_cursor_that_says_nothing_is_no_refusal(failing: Stores, cursor: str | None) -> None:
    assert Refusals(Tick(cursor)).still(AUTO, failing.ledger.state()) is None


def test_what_others_recorded_while_a_version_was_judged_is_news(failing: Stores) -> None:
    tick, seen = Tick(), failing.ledger.state().sequence
    ingest(failing, 1)
    Refusals(tick).keep(AUTO, DAILY.name, "refused", seen=seen, state=failing.ledger.state())
    assert Refusals(tick).still(AUTO, failing.ledger.state()) is None


def test_a_challenger_that_is_better_and_fails_its_gates_is_judged_once(stores: Stores, judgings: list[str]) -> None:
    ingest(stores)
    register(stores, CHAMPION, horizon=28)
    register(stores, CHALLENGER, gates={"backtest_beats_seasonal_naive": False}, horizon=28)
    stores.registry.promote(CHAMPION, by="ana", reason="the first")
    begin(stores, 0.0, rules={"level": 0.3})
    judgings.clear()
    measure_days(stores, 28, Said(loss=90.0))
    assert judged(stores).decision == "better"
    launches, tick = Launches(dg.DagsterInstance.ephemeral(), "daily_evidence"), Tick()

    def said() -> str:
        answer = evidence_request(stores, DAILY, launches, promotes_on_evidence=True, refusals=Refusals(tick))
        assert isinstance(answer, dg.SkipReason)
        return str(answer.skip_message)

    answers = {said() for _ in range(3)}
    assert judgings == [CHALLENGER]
    assert len(answers) == 1
    assert "beats_seasonal_naive" in answers.pop()
    assert stores.ledger.state().channel("champion") == CHAMPION
