"""Promotion by the policy in force: what is asked for, what may be overridden, and how that stays visible."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import duckdb
import polars as pl
import pytest

from forecast_assets.contracts import CALIBRATION, PROMOTION_GATES
from forecast_assets.core.errors import InputError, LostRaceError, NotAcceptedError, NotReadyError
from forecast_assets.core.keys import WEEKLY
from forecast_assets.operations.challengers import ChallengeRequest, set_challenger, stop_challenger
from forecast_assets.operations.policies import apply_policy, policy_in_force, propose_policy
from forecast_assets.operations.promoting import Promotion, judge, newest_judgement, promote
from forecast_assets.presentation.actions import error_text
from forecast_assets.presentation.channels import moved_text
from forecast_assets.presentation.log import log_text
from forecast_assets.presentation.promotion_gates import judgement_page, judgement_text
from resources.ledger.channels import serving_periods
from resources.ledger.entries.channel_moves import Channels
from resources.ledger.log import Ledger
from resources.maintenance.verification import verify_store
from resources.stores.home import Stores, open_stores
from resources.stores.registry import Registry
from tests.support.calibration_cases import calibration_frame
from tests.support.store_cases import CUTOFF, accept_training, catalogue, ingest, publish, register, run_key

WHO = {"by": "ana", "reason": "a test"}
BIAS, NAIVE = "backtest_bias_not_beyond_10_percent", "backtest_not_worse_than_seasonal_naive"
RISK = "risk_is_reliable"
# The older name says the same.
MARKED = "SELECT publication_key, overridden_gates FROM audit.publications WHERE overrides = overridden_gates"


def ready(stores: Stores, name: str = "stat-1", **gates: bool) -> None:
    """Register a version whose lineage holds, with a report that says nothing, so that its registration counts."""
    register(stores, name, gates={"backtest_beats_seasonal_naive": True, **gates}, horizon=90)
    accept_training(stores, name)


def allow(stores: Stores, *gates: str) -> str:
    proposal = propose_policy(stores.ledger, {"overrides.allowed": list(gates)})
    return apply_policy(stores.ledger, proposal, **WHO).version


def verdicts(stores: Stores, name: str = "stat-1") -> dict[str, str]:
    rows = judge(stores, name, "daily").rows
    return dict(rows.select("gate", "verdict").iter_rows())


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    made = open_stores(tmp_path / "store")
    ingest(made)
    return made


# --- judging ---


def test_a_judgement_is_a_product_of_its_own_and_is_recorded_once(stores: Stores, tmp_path: Path) -> None:
    ready(stores)
    first = judge(stores, "stat-1", "daily")
    assert first.is_new
    PROMOTION_GATES.validate(first.rows)
    again = judge(stores, "stat-1", "daily")
    assert (again.is_new, again.record) == (False, first.record)
    assert newest_judgement(stores, "stat-1", "daily").rows.equals(first.rows)
    assert verify_store(stores.blobs).findings == ()
    with duckdb.connect(str(catalogue(stores, tmp_path / "catalogue")), read_only=True) as connection:
        shown = connection.sql(
            "SELECT gate, verdict, policy, judged_sequence, is_newest FROM audit.promotion_gates ORDER BY gate"
        ).pl()
    assert shown.select("gate", "verdict").rows() == first.rows.sort("gate").select("gate", "verdict").rows()
    assert shown["policy"].unique().to_list() == [policy_in_force(stores.ledger).version]
    assert shown.select("judged_sequence", "is_newest").unique().rows() == [(first.record.sequence, True)]


def test_what_cannot_be_measured_yet_closes_no_channel_and_is_said(stores: Stores) -> None:
    ready(stores)
    found = verdicts(stores)
    assert {gate for gate, verdict in found.items() if verdict == "met"} == {
        "lineage_is_complete", "bytes_are_as_recorded", "no_look_ahead", "beats_seasonal_naive",
    }  # fmt: skip
    assert {verdict for verdict in found.values() if verdict != "met"} == {"not_measured"}
    text = judgement_text(*vars(newest_judgement(stores, "stat-1", "daily")).values())
    assert "there is no champion yet" in text
    assert text.endswith("a daily channel may point at `stat-1`.")


def test_a_version_that_nobody_judged_says_how_to(stores: Stores) -> None:
    ready(stores)
    with pytest.raises(NotReadyError, match="`stat-1` has not been judged for weekly channels") as refused:
        newest_judgement(stores, "stat-1", "weekly")
    assert "gates stat-1 --cadence weekly" in error_text(refused.value)


def test_of_two_who_promote_a_version_at_once_the_second_is_told_that_it_is_there(stores: Stores) -> None:
    ready(stores)

    def first(_: object) -> None:
        """Somebody else is quicker, between the judgement and the entry of the second."""
        other = open_stores(stores.blobs.root)
        if other.ledger.state().channel("champion") is None:
            promote(other, "stat-1", by="ben", reason="quicker")

    second = promote(stores, "stat-1", rule=first, **WHO)
    [move] = stores.ledger.state().part(Channels).of("champion")
    assert (second.is_new, second.sequence, move.by) == (False, move.sequence, "ben")


def test_a_version_that_looks_too_few_days_ahead_is_not_judged_for_weekly_channels(stores: Stores) -> None:
    register(stores, gates={"backtest_beats_seasonal_naive": True}, horizon=28)
    accept_training(stores)
    entries = stores.ledger.state().sequence
    for move in (
        lambda: judge(stores, "stat-1", "weekly"),
        lambda: promote(stores, "stat-1", channel=WEEKLY.champion, **WHO),
    ):
        with pytest.raises(NotAcceptedError, match="trained for 28 days ahead, and weekly runs look at least 30 ahead"):
            move()
    assert stores.ledger.state().sequence == entries
    assert judge(stores, "stat-1", "daily").is_new


def test_a_version_is_judged_anew_once_more_is_known(stores: Stores) -> None:
    ready(stores)
    before = judge(stores, "stat-1", "daily").record
    publish(stores, run_key())
    after = judge(stores, "stat-1", "daily")
    assert (after.is_new, after.record.sequence > before.sequence) == (True, True)
    assert newest_judgement(stores.as_of(before.sequence), "stat-1", "daily").record == before


def test_the_page_has_every_gate_and_the_picture(stores: Stores) -> None:
    ready(stores)
    found = judge(stores, "stat-1", "daily")
    page = judgement_page(found.record, found.rows)
    assert all(gate in page for gate in found.rows["gate"])
    assert 'src="data:image/png;base64,' in page


# --- soundness ---


def damage(stores: Stores, link: str) -> str:
    made = stores.predictions.version(getattr(stores.registry.model_version("stat-1"), link))
    file = stores.blobs.local(made.files[0].path)
    file.chmod(0o644)
    file.write_bytes(b"other bytes")
    return made.files[0].path


def test_a_channel_does_not_go_back_to_a_version_that_is_found_unsound_by_now(stores: Stores) -> None:
    for name in ("stat-1", "stat-2"):
        ready(stores, name)
        promote(stores, name, **WHO)
    damage(stores, "artifact")
    again = open_stores(stores.blobs.root)
    judge(again, "stat-1", "daily")
    entries = again.ledger.state().sequence
    with pytest.raises(NotAcceptedError, match=r"newest judgement \(ledger entry \d+\) fails bytes_are_as_rec") as told:
        again.registry.rollback(by="ben", reason="worse", to="stat-1")
    assert "there is none. If what it failed is mended, judge it again" in str(told.value.remedy)
    assert again.ledger.state().sequence == entries


@pytest.mark.parametrize("link", ["artifact", "training_snapshot"])
def test_a_version_whose_bytes_changed_is_not_promoted_whatever_the_policy_allows(stores: Stores, link: str) -> None:
    ready(stores)
    path = damage(stores, link)
    again = open_stores(stores.blobs.root)
    with pytest.raises(NotAcceptedError, match="it fails bytes_are_as_recorded"):
        promote(again, "stat-1", **WHO)
    rows = newest_judgement(again, "stat-1", "daily").rows
    assert path in rows.filter(gate="bytes_are_as_recorded")["measured_on"].item()
    with pytest.raises(InputError, match="bytes_are_as_recorded can never be overridden"):
        promote(again, "stat-1", overrides=["bytes_are_as_recorded"], **WHO)
    assert again.ledger.state().channel("champion") is None


def test_a_version_that_was_trained_on_a_later_day_or_an_unchecked_snapshot_looked_ahead(stores: Stores) -> None:
    register(stores)
    assert verdicts(stores)["no_look_ahead"] == "failed"
    accept_training(stores)
    assert verdicts(stores)["no_look_ahead"] == "met"
    record = {**vars(stores.registry.model_version("stat-1")), "model_version": "early", "cutoff": "2024-12-31"}
    stores.registry.register({k: v for k, v in record.items() if k not in ("sequence", "recorded_at", "cpu")})
    assert verdicts(stores, "early")["no_look_ahead"] == "failed"


def test_an_artifact_that_is_not_that_of_the_report_breaks_lineage(stores: Stores) -> None:
    ready(stores)
    ready(stores, "stat-2")
    mixed = {**vars(stores.registry.model_version("stat-1")), "model_version": "mixed", "cutoff": "2025-01-01",
             "artifact": stores.registry.model_version("stat-2").artifact}  # fmt: skip
    stores.registry.register({k: v for k, v in mixed.items() if k not in ("sequence", "recorded_at", "cpu")})
    with pytest.raises(NotAcceptedError, match="it fails lineage_is_complete"):
        promote(stores, "mixed", **WHO)


def test_what_a_version_cannot_serve_without_cannot_be_overridden_either(stores: Stores) -> None:
    ready(stores, **{NAIVE: False})
    with pytest.raises(NotAcceptedError, match=f"it fails {NAIVE}"):
        promote(stores, "stat-1", **WHO)
    with pytest.raises(InputError, match=f"{NAIVE} can never be overridden"):
        promote(stores, "stat-1", overrides=[NAIVE], **WHO)


# --- merit, and overrides ---


def test_a_gate_of_merit_closes_channels_and_by_default_nobody_may_override_it(stores: Stores) -> None:
    ready(stores, **{BIAS: False})
    with pytest.raises(NotAcceptedError, match=r"by policy \w+ it fails bias_is_small") as refused:
        promote(stores, "stat-1", **WHO)
    assert refused.value.facts["failed"] == ["bias_is_small"]
    with pytest.raises(NotAcceptedError, match="bias_is_small cannot be overridden by policy"):
        promote(stores, "stat-1", overrides=["bias_is_small"], **WHO)
    assert stores.ledger.state().channel_moves == []


def test_an_override_that_the_policy_allows_is_marked_in_everything_that_follows(
    stores: Stores, tmp_path: Path
) -> None:
    ready(stores, **{BIAS: False})
    ready(stores, "stat-2")
    ready(stores, "stat-3")
    publish(stores, run_key(0, "stat-3"))
    policy = allow(stores, "bias_is_small")
    done = promote(stores, "stat-1", overrides=["bias_is_small"], **WHO)
    move = stores.ledger.state().channel_moves[-1]
    assert (move.overrides, move.policy, move.judgement) == (("bias_is_small",), policy, done.judged.product.version)
    publish(stores, run_key(1))
    promote(stores, "stat-2", **WHO)
    publish(stores, run_key(1, "stat-2"))
    stores.registry.rollback(by="ben", reason="worse on promotions")
    back = stores.ledger.state().channel_moves[-1]
    assert (back.model_version, back.overrides, back.policy) == ("stat-1", ("bias_is_small",), policy)
    publish(stores, run_key(2))
    marked = {str(each.key): each.overrides for each in stores.ledger.state().publications.values()}
    assert marked == {
        str(run_key(0, "stat-3")): (), str(run_key(1)): ("bias_is_small",), str(run_key(1, "stat-2")): (),
        str(run_key(2)): ("bias_is_small",),
    }  # fmt: skip
    with duckdb.connect(str(catalogue(stores, tmp_path / "catalogue")), read_only=True) as connection:
        told = connection.sql(MARKED).fetchall()
        moves = connection.sql(
            "SELECT model_version, overridden_gates FROM audit.channel_history ORDER BY 1, 2"
        ).fetchall()
        policies = connection.sql('SELECT version, changes, "by" FROM audit.policies').fetchall()
    assert dict(told) == {key: ";".join(overrides) for key, overrides in marked.items()}
    assert moves == [("stat-1", "bias_is_small"), ("stat-1", "bias_is_small"), ("stat-2", "")]
    assert policies == [(policy, "overrides.allowed: none -> bias_is_small", "ana")]
    assert "champion is stat-1, overriding bias_is_small" in log_text(stores, top=3, kind="promote")
    assert "again, overriding bias_is_small" in log_text(stores, top=1, kind="rollback")


def unreliable(stores: Stores) -> None:
    """Register a version whose stock-out probabilities were 20 points off, and let a policy allow to override that."""
    ready(stores, "like")
    like = vars(stores.registry.model_version("like"))
    rows = calibration_frame().head(1)
    told = {"metric": "calibration_error", "value": 0.2, "segment_kind": "all", "segment": "all"}
    calibration = stores.predictions.write(
        CALIBRATION, CALIBRATION.conform(rows.with_columns(**{name: pl.lit(value) for name, value in told.items()})),
        key="training", folder="calibration/model_version=stat-1", inputs={"model_artifacts": like["artifact"]},
        facts={},
    )  # fmt: skip
    said = {**like, "model_version": "stat-1", "cutoff": CUTOFF.isoformat(), "calibration": calibration.version}
    stores.registry.register({name: said[name] for name in said if name not in ("sequence", "recorded_at", "cpu")})
    allow(stores, RISK)


def let_err(stores: Stores, by: float) -> None:
    apply_policy(stores.ledger, propose_policy(stores.ledger, {"gates.largest_risk_calibration_error": by}), **WHO)


def marks(stores: Stores, name: str = "stat-1") -> tuple[str, ...]:
    return stores.ledger.state().part(Channels).overrides_of(name)


def test_a_version_that_meets_by_now_what_was_overridden_is_marked_no_more(stores: Stores, tmp_path: Path) -> None:
    unreliable(stores)
    promote(stores, "stat-1", overrides=[RISK], **WHO)
    # A weekly run, since gates of daily channels look at hand-made daily runs.
    before = publish(stores, replace(run_key(0), cadence="weekly"))
    entries = stores.ledger.state().sequence
    with pytest.raises(NotAcceptedError, match=f"it fails {RISK}"):
        promote(stores, "stat-1", **WHO)
    moves = stores.ledger.state().channel_moves
    assert (marks(stores), [each.overrides for each in moves]) == ((RISK,), [(RISK,)])
    let_err(stores, 0.25)
    done = promote(stores, "stat-1", by="ben", reason="right enough")
    assert (done.is_new, done.sequence > entries, marks(stores)) == (True, True, ())
    assert promote(stores, "stat-1", **WHO) == Promotion(done.sequence, is_new=False, judged=None)
    after = publish(stores, run_key(1))
    told = moved_text(stores.ledger.state(), "champion", done.sequence)
    assert told.startswith(
        f"champion is still stat-1, judged anew (ledger entry {done.sequence}, by ben: right enough)"
    )
    assert f"It meets {RISK}: what champion publishes from now on is not marked so." in told
    assert "goes on being scored" not in told
    assert [period.model_version for period in serving_periods(stores.ledger.state().channel_moves)] == ["stat-1"]
    with duckdb.connect(str(catalogue(stores, tmp_path / "catalogue")), read_only=True) as connection:
        runs = connection.sql(MARKED).fetchall()
        history = connection.sql("SELECT overrides FROM audit.channel_history ORDER BY sequence").fetchall()
    assert (dict(runs)[str(before.key)], dict(runs)[str(after.key)]) == (RISK, ""), "what was published stays"
    corrected = publish(stores, replace(before.key, revision=1))
    assert corrected.overrides == (RISK,), "a correction is of the run that was marked"
    assert history == [(RISK,), ("",)]


def test_a_version_that_fails_by_now_can_be_marked_where_it_is(stores: Stores) -> None:
    unreliable(stores)
    let_err(stores, 0.25)
    promote(stores, "stat-1", **WHO)
    with pytest.raises(InputError, match=f"does not fail {RISK}, so there is nothing to override"):
        promote(stores, "stat-1", overrides=[RISK], **WHO)
    let_err(stores, 0.1)
    assert promote(stores, "stat-1", overrides=[RISK], **WHO).is_new
    assert marks(stores) == (RISK,)


def test_a_mark_is_of_channels_that_point_at_a_version_now(stores: Stores) -> None:
    unreliable(stores)
    ready(stores, "stat-2")
    promote(stores, "stat-1", channel="challenger", overrides=[RISK], **WHO)
    let_err(stores, 0.25)
    promote(stores, "stat-1", **WHO)
    assert marks(stores) == (RISK,), "the challenger's channel still points at it in spite of it"
    promote(stores, "stat-2", channel="challenger", **WHO)
    assert marks(stores) == (), "champion points at it without"
    stores.registry.rollback(by="ben", reason="a mistake", channel="challenger")
    assert marks(stores) == (RISK,), "going back needs no judgement, and keeps what it was promoted by"


def test_a_version_that_no_channel_points_at_any_more_keeps_its_mark_while_it_is_scored(stores: Stores) -> None:
    unreliable(stores)
    ready(stores, "stat-2")
    promote(stores, "stat-1", overrides=[RISK], **WHO)
    promote(stores, "stat-2", **WHO)
    assert marks(stores) == (RISK,)
    assert publish(stores, replace(run_key(0), cadence="weekly")).overrides == (RISK,)
    let_err(stores, 0.25)
    promote(stores, "stat-1", **WHO)
    promote(stores, "stat-2", **WHO)
    assert marks(stores) == (), "it met its gates the last time"


def test_a_trial_is_no_promotion_and_takes_no_mark_away(stores: Stores) -> None:
    unreliable(stores)
    ready(stores, "stat-2")
    promote(stores, "stat-1", overrides=[RISK], **WHO)
    promote(stores, "stat-2", **WHO)
    set_challenger(stores, ChallengeRequest("daily", "stat-1", 0.0, "ana", "once more"))
    assert marks(stores) == (RISK,)
    stop_challenger(stores.registry, "daily", by="ana", reason="no better")
    assert marks(stores) == (RISK,)


def test_who_lost_to_the_same_promotion_with_other_overrides_is_told(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreliable(stores)
    other = open_stores(stores.blobs.root)
    in_between(monkeypatch, lambda: promote(other, "stat-1", overrides=[RISK], by="ben", reason="quicker"))
    # The gate that keeps the version out is not asked: somebody else was quicker, and not in the same way.
    monkeypatch.setattr("resources.ledger.entries.promote._require_gates", lambda *_: None)
    with pytest.raises(LostRaceError, match="`champion` was moved meanwhile; it is now stat-1"):
        promote(stores, "stat-1", **WHO)
    assert [move.by for move in stores.ledger.state().channel_moves] == ["ben"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["beats_seasonal_naive"], "does not fail beats_seasonal_naive, so there is nothing to override"),
        (["bias"], "bias can never be overridden: only gates of merit can"),
    ],
)
def test_an_override_of_nothing_is_refused(stores: Stores, overrides: list[str], message: str) -> None:
    ready(stores)
    allow(stores, "beats_seasonal_naive")
    with pytest.raises(InputError, match=message):
        promote(stores, "stat-1", overrides=overrides, **WHO)


def test_a_promotion_without_who_why_or_channel_records_nothing(stores: Stores) -> None:
    ready(stores)
    before = stores.ledger.state().sequence
    for wrong in ({"by": " "}, {"reason": ""}, {"channel": "chmpion"}):
        with pytest.raises(InputError):
            promote(stores, "stat-1", **{**WHO, **wrong})
    assert stores.ledger.state().sequence == before


# --- at the same moment, and earlier stores ---


def in_between(monkeypatch: pytest.MonkeyPatch, do: Any) -> None:
    """Let somebody do something after the version was judged and before the channel is moved."""
    append = Ledger.append

    def late(ledger: Ledger, kind: str, *arguments: Any, **named: Any) -> Any:
        if kind == "promote":
            monkeypatch.setattr(Ledger, "append", append)
            do()
        return append(ledger, kind, *arguments, **named)

    monkeypatch.setattr(Ledger, "append", late)


def test_a_promotion_that_was_judged_by_a_policy_of_before_is_refused(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(stores)
    in_between(monkeypatch, lambda: allow(open_stores(stores.blobs.root), "bias_is_small"))
    with pytest.raises(LostRaceError, match="meanwhile another policy was applied"):
        promote(stores, "stat-1", **WHO)
    promote(stores, "stat-1", **WHO)
    assert stores.ledger.state().channel_moves[-1].policy == policy_in_force(stores.ledger).version


def test_a_promotion_that_was_judged_beside_another_champion_is_refused(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(stores)
    ready(stores, "stat-2")
    in_between(monkeypatch, lambda: promote(open_stores(stores.blobs.root), "stat-2", by="ben", reason="first"))
    with pytest.raises(LostRaceError, match="`champion` was moved meanwhile; it is now stat-2"):
        promote(stores, "stat-1", **WHO)
    assert promote(stores, "stat-1", **WHO).judged.record.against == "stat-2"


def at_once(stores: Stores, monkeypatch: pytest.MonkeyPatch, channel: str, *names: str) -> list[Promotion | str]:
    """Promote versions from threads that have all judged theirs before the first moves the channel."""
    move, judged = Registry.promote, Barrier(len(names), timeout=60)

    def waiting(registry: Registry, *arguments: Any, **named: Any) -> Any:
        judged.wait()
        return move(registry, *arguments, **named)

    monkeypatch.setattr(Registry, "promote", waiting)

    def promoted(name: str) -> Promotion | str:
        try:
            return promote(open_stores(stores.blobs.root), name, channel=channel, **WHO)
        except LostRaceError as error:
            return str(error)

    with ThreadPoolExecutor(len(names)) as pool:
        return [*pool.map(promoted, names)]


def test_of_two_versions_that_are_promoted_to_a_channel_at_once_one_wins_and_the_other_is_told(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stat-2", "stat-3"):
        ready(stores, name)
    found = at_once(stores, monkeypatch, "challenger", "stat-2", "stat-3")
    (move,) = stores.ledger.state().channel_moves
    assert [each.sequence for each in found if isinstance(each, Promotion)] == [move.sequence]
    (told,) = (each for each in found if isinstance(each, str))
    assert told.startswith(f"`challenger` was moved meanwhile; it is now {move.model_version}.")


def test_a_version_that_is_promoted_thrice_at_once_is_promoted_once(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(stores, "stat-2")
    found = at_once(stores, monkeypatch, "champion", *["stat-2"] * 3)
    (move,) = stores.ledger.state().channel_moves
    assert {each.sequence for each in found if isinstance(each, Promotion)} == {move.sequence}
    assert sorted(isinstance(each, Promotion) and each.is_new for each in found) == [False, False, True]


def test_a_publication_that_would_miss_the_mark_is_refused(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(stores, **{BIAS: False})
    allow(stores, "bias_is_small")
    append = Ledger.append

    def late(ledger: Ledger, kind: str, *arguments: Any, **named: Any) -> Any:
        if kind == "publish":
            monkeypatch.setattr(Ledger, "append", append)
            promote(open_stores(stores.blobs.root), "stat-1", overrides=["bias_is_small"], **WHO)
        return append(ledger, kind, *arguments, **named)

    monkeypatch.setattr(Ledger, "append", late)
    with pytest.raises(LostRaceError, match="other gates are overridden"):
        publish(stores, run_key())
    assert publish(stores, run_key()).overrides == ("bias_is_small",)


def test_what_was_judged_may_not_be_promoted_past_its_judgement(stores: Stores) -> None:
    """A door that knows no judgements needs what the registration says; once there is one, that counts."""
    ready(stores, **{BIAS: False})
    judge(stores, "stat-1", "daily")
    with pytest.raises(NotAcceptedError, match="it fails bias_is_small"):
        stores.registry.promote("stat-1", **WHO)


def test_a_version_of_an_earlier_release_is_judged_by_what_it_was_registered_with(stores: Stores) -> None:
    """Its gates have other names, its report cannot be read, and it has no calibration report."""
    old = {"wape_beats_seasonal_naive": True, "bias_within_10_percent": True,
           "coverage_of_80_percent_interval_within_10_points": True}  # fmt: skip
    register(stores, gates=old)
    accept_training(stores)
    found = verdicts(stores)
    assert {found[gate] for gate in ("beats_seasonal_naive", "bias_is_small", "coverage_is_right", *old)} == {"met"}
    promote(stores, "stat-1", **WHO)
    register(stores, "weak", gates={**old, "bias_within_10_percent": False})
    accept_training(stores, "weak")
    with pytest.raises(NotAcceptedError, match="bias_within_10_percent"):
        promote(stores, "weak", **WHO)


def test_a_channel_that_an_earlier_release_moved_goes_back_as_before(stores: Stores) -> None:
    for name in ("a", "b"):
        ready(stores, name)
        body = {"channel": "champion", "model_version": name, "by": "ana", "reason": "before there were policies"}
        stores.ledger.append("promote", body, lambda _: None)
    stores.registry.rollback(by="ben", reason="worse")
    move = stores.ledger.state().channel_moves[-1]
    assert (move.model_version, move.policy, move.judgement, move.overrides) == ("a", "", "", ())
    assert stores.ledger.entries()[-1].body == {
        "channel": "champion", "model_version": "a", "by": "ben", "reason": "worse",
    }  # fmt: skip


def test_the_gates_of_weekly_channels_are_judged_beside_the_weekly_champion(stores: Stores) -> None:
    for name in ("daily-1", "weekly-1", "new"):
        ready(stores, name)
    promote(stores, "daily-1", **WHO)
    promote(stores, "weekly-1", channel="weekly-champion", **WHO)
    judged = promote(stores, "new", channel="weekly-challenger", **WHO).judged
    assert (judged.record.cadence, judged.record.against) == ("weekly", "weekly-1")
    assert isinstance(judged.rows, pl.DataFrame)
