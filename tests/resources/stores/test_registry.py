"""Channels: who served when, where a rollback goes, and what it refuses."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from forecast_assets.core.errors import (
    AlreadyRegisteredError,
    ChangedFileError,
    InputError,
    LostRaceError,
    MissingFileError,
    NotAcceptedError,
    NothingToRollBackError,
    UnknownVersionError,
)
from forecast_assets.core.keys import CHANNELS, DAILY, WEEKLY
from forecast_assets.presentation.channels import live_text
from resources.ledger.channels import (
    FORMER_CHAMPION_LIVE_FOR,
    LiveVersion,
    ServingPeriod,
    channel_moves,
    live_versions,
    serving_periods,
)
from resources.ledger.entries.channel_moves import ChannelMove
from resources.ledger.entries.register import Versions
from resources.ledger.log import Ledger
from resources.ledger.state import LedgerState
from resources.stores.home import Stores, open_stores
from resources.stores.registry import Registry, open_registry
from tests.support.store_cases import publish, register, run_key

WHO = {"by": "ana", "reason": "a test"}
BEGIN = datetime(2025, 3, 1, 8, tzinfo=UTC)


def promoted(stores: Stores, *names: str, channel: str = "champion", horizon: int = 90) -> Registry:
    """Register the versions and promote them one after the other."""
    for name in names:
        if name not in stores.ledger.state().versions:
            register(stores, name, horizon=horizon)
        stores.registry.promote(name, channel=channel, **WHO)
    return stores.registry


def went_to(registry: Registry, to: str | None = None, channel: str = "champion") -> str:
    return str(registry.rollback(to=to, channel=channel, **WHO).body["model_version"])


def moves(*steps: tuple[str, int], channel: str = "champion", rollbacks: tuple[int, ...] = ()) -> LedgerState:
    """A state after channel moves, each so many days after the beginning."""
    return appointed(
        ChannelMove(channel, name, "ana", "a test", at + 1, (BEGIN + timedelta(days=day)).isoformat(), at in rollbacks)
        for at, (name, day) in enumerate(steps)
    )


def appointed(moved: Iterable[ChannelMove]) -> LedgerState:
    state = LedgerState()
    state.channel_moves.extend(moved)
    return state


def live(state: LedgerState, day: float) -> list[str]:
    return [each.model_version for each in live_versions(state, DAILY, BEGIN + timedelta(days=day))]


# --- where a rollback goes ---


def test_each_rollback_goes_back_further_until_nothing_is_before(stores: Stores) -> None:
    registry = promoted(stores, "a", "b", "c")
    assert [went_to(registry), went_to(registry)] == ["b", "a"]
    with pytest.raises(NothingToRollBackError, match=r"`champion` has pointed at nothing before `a`.*--to"):
        went_to(registry)
    assert stores.ledger.state().channel("champion") == "a"


def test_what_was_rolled_back_from_is_not_gone_back_to_after_the_next_promotion(stores: Stores) -> None:
    registry = promoted(stores, "a", "b", "c")
    went_to(registry)
    promoted(stores, "d")
    assert [went_to(registry), went_to(registry)] == ["b", "a"]


def test_a_named_version_is_gone_back_to_over_others_and_forward_again(stores: Stores) -> None:
    registry = promoted(stores, "a", "b", "c")
    assert went_to(registry, "a") == "a"
    assert went_to(registry, "c") == "c"
    assert went_to(registry) == "a", "it came to c from a"


def test_the_same_version_promoted_twice_is_one_step(stores: Stores) -> None:
    registry = promoted(stores, "a", "b", "b")
    assert went_to(registry) == "a"


def test_channels_go_back_each_by_itself(stores: Stores) -> None:
    registry = promoted(stores, "a", "b")
    promoted(stores, "b", "c", channel="weekly-champion")
    assert went_to(registry, channel="weekly-champion") == "b"
    assert {name: stores.ledger.state().channel(name) for name in CHANNELS} == {
        "champion": "b", "challenger": None, "weekly-champion": "b", "weekly-challenger": None,
    }  # fmt: skip


def test_a_rollback_is_one_entry_that_says_who_when_and_why_and_nothing_else_changes(stores: Stores) -> None:
    registry = promoted(stores, "a", "b")
    files = {blob.path for blob in stores.blobs.everything()}
    entry = registry.rollback(by="ben", reason="worse on promotions")
    assert {blob.path for blob in stores.blobs.everything()} - files == {f"ledger/{entry.sequence:012d}.json"}
    move = open_stores(stores.blobs.root).ledger.state().channel_moves[-1]
    assert (move.by, move.reason, move.model_version, move.is_rollback) == ("ben", "worse on promotions", "a", True)
    assert datetime.fromisoformat(move.recorded_at).tzinfo is not None


# --- what is refused ---


@pytest.mark.parametrize(("by", "reason"), [(" ", "worse"), ("ana", ""), ("", "")])
def test_a_move_without_who_or_why_is_refused(stores: Stores, by: str, reason: str) -> None:
    registry = promoted(stores, "a", "b")
    before = stores.ledger.state().sequence
    with pytest.raises(InputError, match="A rollback needs who and why"):
        registry.rollback(by=by, reason=reason)
    with pytest.raises(InputError, match="A promotion needs who and why"):
        registry.promote("a", by=by, reason=reason)
    assert stores.ledger.state().sequence == before


def test_an_unknown_channel_is_refused_with_the_known_ones(stores: Stores) -> None:
    registry = promoted(stores, "a", "b")
    unknown: list[Callable[[], Any]] = [
        lambda: registry.rollback(channel="chmpion", **WHO),
        lambda: registry.promote("a", channel="chmpion", **WHO),
    ]
    for move in unknown:
        with pytest.raises(InputError, match=r"no channel `chmpion`. Name one of champion, challenger, weekly-"):
            move()


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("b", r"`champion` is b. It was before: a\."),
        ("c", r"`champion` never was c. It was before: a\."),
        ("nobody", r"`champion` never was nobody"),
    ],
)
def test_only_an_earlier_version_of_the_channel_is_gone_back_to(stores: Stores, to: str, message: str) -> None:
    registry = promoted(stores, "a", "b")
    register(stores, "c")
    with pytest.raises(NothingToRollBackError, match=message):
        went_to(registry, to)


def test_a_channel_that_points_at_nothing_cannot_go_back(stores: Stores) -> None:
    with pytest.raises(NothingToRollBackError, match="has pointed at nothing yet"):
        went_to(stores.registry)
    with pytest.raises(NothingToRollBackError, match=r"never was a. It was before: nothing"):
        went_to(stores.registry, "a")


def appointed_by_an_earlier_release(stores: Stores, name: str, channel: str) -> None:
    """Record a promotion that today's rules refuse."""
    body = {"channel": channel, "model_version": name, "by": "ana", "reason": "the rules were others"}
    stores.ledger.append("promote", body, lambda _: None)


def test_a_version_whose_gates_no_longer_suffice_is_not_gone_back_to_and_others_are_named(stores: Stores) -> None:
    promoted(stores, "a")
    register(stores, "weak", gates={"backtest_beats_seasonal_naive": False})
    appointed_by_an_earlier_release(stores, "weak", "champion")
    registry = promoted(stores, "c")
    with pytest.raises(NotAcceptedError, match=r"`champion` cannot go back to `weak`.*with --to: a\."):
        went_to(registry)
    assert stores.ledger.state().channel("champion") == "c"
    assert went_to(registry, "a") == "a"


def test_a_version_that_no_longer_reaches_far_enough_is_not_gone_back_to(stores: Stores) -> None:
    register(stores, "short", horizon=28)
    appointed_by_an_earlier_release(stores, "short", "weekly-champion")
    registry = promoted(stores, "c", channel="weekly-champion")
    with pytest.raises(NotAcceptedError, match=r"trained for 28 days ahead.*with --to: there is none\."):
        went_to(registry, channel="weekly-champion")


# --- moves at the same moment ---


def in_between(monkeypatch: pytest.MonkeyPatch, move: Callable[[], object]) -> None:
    """Let somebody else move the channel after the next mover has looked and before it appends."""
    append = Ledger.append

    def late(ledger: Ledger, *arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(Ledger, "append", append)
        move()
        return append(ledger, *arguments, **named)

    monkeypatch.setattr(Ledger, "append", late)


def test_a_rollback_after_a_promotion_that_nobody_saw_is_refused(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = promoted(stores, "a", "b")
    register(stores, "c")
    other = open_stores(stores.blobs.root).registry
    in_between(monkeypatch, lambda: other.promote("c", by="ben", reason="better"))
    with pytest.raises(LostRaceError, match=r"ben has moved `champion` meanwhile; it is now c\..*--to VERSION"):
        went_to(registry)
    assert stores.ledger.state().channel("champion") == "c"


def test_of_two_rollbacks_at_once_one_goes_back_one_step_and_the_other_is_refused(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = promoted(stores, "a", "b", "c")
    other = open_stores(stores.blobs.root).registry
    in_between(monkeypatch, lambda: other.rollback(by="ben", reason="worse"))
    with pytest.raises(LostRaceError, match="it is now b"):
        went_to(registry)
    assert stores.ledger.state().channel("champion") == "b"


def test_a_move_of_another_channel_or_a_publication_in_between_does_no_harm(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = promoted(stores, "a", "b")
    other = open_stores(stores.blobs.root).registry
    in_between(monkeypatch, lambda: other.promote("b", channel="challenger", **WHO))
    assert went_to(registry) == "a"


def test_a_named_version_is_gone_back_to_whoever_moved_the_channel_meanwhile(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = promoted(stores, "a", "b")
    register(stores, "c")
    other = open_stores(stores.blobs.root).registry
    in_between(monkeypatch, lambda: other.promote("c", by="ben", reason="better"))
    assert went_to(registry, "a") == "a"
    assert [each.model_version for each in stores.ledger.state().channel_moves] == ["a", "b", "c", "a"]


# --- retirement ---


def test_a_retired_version_serves_no_more_until_that_is_undone(stores: Stores) -> None:
    registry = promoted(stores, "a", "b", "c")
    entry = registry.retire("b", by="ana", reason="two versions behind")
    assert entry.body == {"model_version": "b", "serves_again": False, "by": "ana", "reason": "two versions behind"}
    with pytest.raises(NotAcceptedError, match=r"`champion` cannot point at it: `b` is retired \(ledger entry"):
        registry.promote("b", **WHO)
    with pytest.raises(NotAcceptedError, match="cannot go back to `b`: `b` is retired") as barred:
        registry.rollback(**WHO)
    assert str(barred.value.remedy) == "Name an earlier one that may serve with --to: a."
    assert went_to(registry, "a") == "a"
    registry.retire("b", by="ana", reason="to be compared", serves_again=True)
    assert went_to(registry, "b") == "b"


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_version_that_a_channel_points_at_is_not_retired(stores: Stores, channel: str) -> None:
    registry = promoted(stores, "a", channel=channel)
    with pytest.raises(NotAcceptedError, match=f"`a` cannot be retired: {channel} points at it"):
        registry.retire("a", **WHO)
    promoted(stores, "b", channel=channel)
    assert registry.retire("a", **WHO).kind == "retire"


def test_a_retirement_says_who_and_why_and_changes_something(stores: Stores) -> None:
    registry = promoted(stores, "a", "b")
    with pytest.raises(UnknownVersionError):
        registry.retire("z", **WHO)
    with pytest.raises(InputError, match="needs who and why"):
        registry.retire("a", by="ana", reason=" ")
    with pytest.raises(InputError, match="`a` serves already"):
        registry.retire("a", serves_again=True, **WHO)
    registry.retire("a", **WHO)
    with pytest.raises(InputError, match=r"`a` is retired \(ledger entry \d+\) already"):
        registry.retire("a", **WHO)


def test_of_two_who_promote_and_retire_at_once_only_the_first_is_heard(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = promoted(stores, "a", "b")
    other = open_stores(stores.blobs.root).registry
    in_between(monkeypatch, lambda: other.promote("a", **WHO))
    with pytest.raises(NotAcceptedError, match="champion points at it"):
        registry.retire("a", **WHO)
    assert not stores.ledger.state().part(Versions).retired


def test_a_run_that_is_made_while_its_version_is_retired_is_not_published(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could not be replayed: what it started from has no runs of that version."""
    register(stores)
    publish(stores, run_key())
    other = open_stores(stores.blobs.root).registry
    in_between(monkeypatch, lambda: other.retire("stat-1", **WHO))
    with pytest.raises(NotAcceptedError, match="no new run of it: `stat-1` is retired"):
        publish(stores, run_key(1))
    assert list(stores.ledger.state().publications) == [run_key()]
    assert publish(stores, run_key(revision=1)).key == run_key(revision=1)


def test_a_retired_former_champion_is_not_live(stores: Stores) -> None:
    registry = promoted(stores, "a", "b")
    now = datetime.now(UTC)
    assert [each.model_version for each in live_versions(stores.ledger.state(), DAILY, now)] == ["b", "a"]
    registry.retire("a", **WHO)
    state = stores.ledger.state()
    assert [each.model_version for each in live_versions(state, DAILY, now)] == ["b"]
    assert live_text(state, "a", now) == "retired"


# --- serving periods and live versions ---


def test_terms_follow_one_another_and_the_present_one_has_no_end() -> None:
    state = moves(("a", 0), ("b", 2), ("b", 3), ("a", 5))
    days = [(BEGIN + timedelta(days=day)).isoformat() for day in (0, 2, 5)]
    assert serving_periods(channel_moves(state, "champion")) == [
        ServingPeriod("a", days[0], days[1]), ServingPeriod("b", days[1], days[2]), ServingPeriod("a", days[2], None),
    ]  # fmt: skip
    assert serving_periods([]) == []


def test_a_former_champion_is_live_for_28_days_after_it_was_displaced() -> None:
    state = moves(("a", 0), ("b", 10))
    assert timedelta(days=28) == FORMER_CHAMPION_LIVE_FOR
    assert live(state, 37.9) == ["b", "a"]
    assert live(state, 38) == ["b"]
    assert live_versions(state, DAILY, BEGIN + timedelta(days=11)) == [
        LiveVersion("b"), LiveVersion("a", BEGIN + timedelta(days=38)),
    ]  # fmt: skip


def test_a_version_that_was_rolled_back_from_is_live_like_any_former_champion() -> None:
    state = moves(("a", 0), ("b", 10), ("a", 12), rollbacks=(2,))
    assert live(state, 39) == ["a", "b"]
    assert live(state, 40) == ["a"]


def test_of_several_terms_of_a_version_the_latest_counts_and_it_is_named_once() -> None:
    state = moves(("a", 0), ("b", 1), ("a", 20), ("c", 21))
    assert live_versions(state, DAILY, BEGIN + timedelta(days=28)) == [
        LiveVersion("c"), LiveVersion("a", BEGIN + timedelta(days=49)), LiveVersion("b", BEGIN + timedelta(days=48)),
    ]  # fmt: skip
    assert live(state, 48) == ["c", "a"]
    assert live(state, 49) == ["c"]


def test_promoting_the_champion_again_displaces_nobody_anew() -> None:
    assert live(moves(("a", 0), ("b", 1), ("b", 27)), 30) == ["b"]


def test_the_challenger_is_live_for_as_long_as_it_is_set_and_comes_after_the_champion() -> None:
    champions = moves(("a", 0), ("b", 1)).channel_moves
    state = appointed([*champions, *moves(("x", 2), channel="challenger").channel_moves])
    assert live(state, 3) == ["b", "x", "a"]
    assert live(state, 400) == ["b", "x"]
    same = appointed([*champions, *moves(("b", 2), channel="challenger").channel_moves])
    assert live(same, 3) == ["b", "a"]
    former = appointed([*champions, *moves(("a", 2), channel="challenger").channel_moves])
    assert live(former, 400) == ["b", "a"]


def test_each_cadence_has_its_own_live_versions() -> None:
    state = moves(("w", 0), channel="weekly-champion")
    assert live(state, 1) == []
    assert live_versions(state, WEEKLY, BEGIN) == [LiveVersion("w")]


# --- registering ---


def test_a_version_whose_artifact_is_gone_is_not_registered(stores: Stores) -> None:
    register(stores, "a")
    record = dict(vars(stores.registry.model_version("a")), model_version="b", cutoff="2025-01-01")
    body = {name: value for name, value in record.items() if name not in {"sequence", "recorded_at"}}
    path = stores.predictions.version(record["artifact"]).files[0].path
    stores.blobs.remove(path)
    with pytest.raises(MissingFileError, match=f"`b` cannot be registered: {path} of what it was made from"):
        stores.registry.register(body)
    with pytest.raises(ChangedFileError, match="manifests/"):
        stores.registry.register({**body, "evaluation_report": "0" * 64})
    assert [*stores.ledger.state().versions] == ["a"]


def test_a_name_that_is_taken_stays_with_the_first(stores: Stores) -> None:
    register(stores, "a", cutoff=date(2025, 1, 1))
    with pytest.raises(AlreadyRegisteredError, match="`a` is already registered"):
        register(stores, "a", cutoff=date(2025, 2, 1))
    assert stores.registry.model_version("a").cutoff == date(2025, 1, 1)


def test_the_registry_alone_sees_and_moves_what_the_stores_do(stores: Stores) -> None:
    promoted(stores, "a", "b")
    alone = open_registry(stores.blobs.root)
    assert went_to(alone) == "a"
    current_move = stores.registry.current_move("champion")
    assert current_move is not None
    assert (current_move.model_version, current_move.is_rollback) == ("a", True)
    assert stores.registry.current_move("challenger") is None
    with pytest.raises(UnknownVersionError, match=r"Known: a, b"):
        alone.promote("z", **WHO)
