"""Trials through the command and Dagster's jobs, on hand-made runs: what is recorded, shown and refused."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import dagster as dg
import duckdb
import polars as pl
import pytest

from forecast_assets.cli.challengers import set_version
from forecast_assets.core.errors import NotAcceptedError, NotReadyError
from forecast_assets.launch import Runner
from forecast_assets.lifecycle import stage
from forecast_assets.lifecycle.assigning import assignment_rows
from forecast_assets.lifecycle.promotion import require_better
from forecast_assets.settings import Settings
from resources.catalogue import build
from resources.ledger.entries.challenge import DECIDING_STEPS, LOSSES, TrialRules
from tests.support.command import Call, caller
from tests.support.store_cases import CUTOFF, publish, run_key
from tests.support.trial_cases import CHALLENGER, FIRST, Said, begin, both, measure_days, measured, with_champion

WHO = ("--by", "ana", "--reason", "test")


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    made = Runner(Settings(home=tmp_path / "home"))
    with_champion(made.stores)
    return made


@pytest.fixture
def call(runner: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(runner.settings.home))
    return caller(monkeypatch, capsys)


def metadata(runner: Runner, asset: str) -> dict[str, object]:
    events = runner.instance.fetch_materializations(dg.AssetKey(["daily", asset]), limit=1).records
    found = events[0].asset_materialization
    assert found is not None
    return {name: value.value for name, value in found.metadata.items()}


def test_a_version_that_there_is_is_not_trained_again_nor_are_its_inputs_looked_at(call: Call) -> None:
    day = CUTOFF + timedelta(days=40)
    asked = ("train", "--family", "statistical", "--cutoff", day, "--version")
    code, told = call(*asked, CHALLENGER)
    assert (code, f"`{CHALLENGER}` is already registered" in told) == (4, True)
    assert call(*asked, "stat-9")[0] == 3, "of another version inputs are missing"


def test_a_trial_from_its_first_day_to_the_promotion(runner: Runner, call: Call) -> None:
    stores = runner.stores
    publish(stores, run_key(0))
    code, told = call("challenger", "show")
    assert (code, told.split(":")[0]) == (0, "No daily trial yet")
    code, told = call(
        "challenger", "set", CHALLENGER, "--share", "1", "--horizon", "7", "--level", "0.3", *WHO,
    )  # fmt: skip
    assert code == 0, told
    assert "stat-2 against stat-1, daily: a trial begins (ledger entry 7); followed in 100% of stores." in told
    assert "Evidence counts from 2025-01-02 on, 1 day ahead, and decides from 2025-01-30 on." in told
    assert f"Stores are assigned to versions on 1 daily date: {CUTOFF}." in told
    code, told = call("evidence")
    assert (code, "no day from 2025-01-02 on, when evidence begins, was measured yet" in told) == (0, True)
    code, told = call("promote", CHALLENGER, "--on-evidence", *WHO)
    assert (code, "no evidence of the trial of ledger entry 7 was weighed yet" in told) == (4, True)

    publish(stores, run_key(0, CHALLENGER))
    code, told = call("challenger", "assign")
    assert (code, f"on 1 daily date: {CUTOFF}" in told) == (0, True)
    assert "0 stores stat-1, 1 store stat-2" in call("log", "--top", "1")[1]

    measure_days(stores, 28, Said(loss=90.0))
    code, told = call("evidence")
    assert code == 0, told
    assert "Weighed days up to 2025-01-29." in told
    assert "better, that is, the challenger is better, and no guard speaks against it" in told
    assert "Weeks that decide" in told
    code, told = call("evidence")
    assert "Nothing was measured since the newest verdict." in told
    shown = metadata(runner, "challenger_evidence")
    assert shown["decision"] == "better"
    assert str(shown["confidence_sequence"]).startswith("![confidence sequence](data:image/png;base64,")
    assert "bias_of_all_sales" in str(shown["guards"])
    code, told = call("challenger", "show")
    assert "the trial runs" in told
    assert "1 store of 1 read the challenger's run; it is followed in: S." in told

    # Runs made by hand do not meet the gates of soundness; that a promotion on evidence asks for them is seen in
    # tests/operations/test_challengers.py.
    runner.stores.registry.promote(
        CHALLENGER, by="ana", reason="the trial", rule=lambda state: require_better(state, "daily", CHALLENGER)
    )
    code, told = call("challenger", "show")
    assert "over, `champion` became stat-2 with ledger entry" in told
    code, told = call("promote", CHALLENGER, "--on-evidence", *WHO)
    assert (code, "nothing changed" in told) == (0, True)
    with pytest.raises(NotReadyError, match="No daily trial runs"):
        runner.judge("daily")


def test_setting_the_same_again_changes_nothing_and_stopping_says_what_stays(call: Call) -> None:
    asked = ("challenger", "set", CHALLENGER, "--share", "0.25", "--horizon", "7", *WHO)
    assert call(*asked)[0] == 0
    code, told = call(*asked)
    assert (code, "with 25% of stores (ledger entry 6); nothing changed" in told) == (0, True)
    code, told = call("challenger", "set", CHALLENGER, "--share", "0.5", *WHO)
    assert (code, "is now followed in 50% of stores" in told) == (0, True)
    code, told = call("challenger", "set", CHALLENGER, "--level", "0.5", *WHO)
    assert (code, "cannot change" in told) == (2, True)
    code, told = call("challenger", "set", "stat-9", *WHO)
    assert code == 2
    code, told = call("versions")
    assert "challenger" in told
    code, told = call("challenger", "stop", *WHO)
    assert (code, "stopped (ledger entry 8)" in told) == (0, True)
    assert "over, ana stopped it (ledger entry 8): test." in call("challenger", "show")[1]
    code, told = call("challenger", "stop", *WHO)
    assert (code, "No daily trial runs" in told) == (3, True)
    code, told = call("promote", CHALLENGER, "--channel", "challenger", *WHO)
    assert (code, "challenger is now stat-2" in told) == (0, True)


def test_days_without_a_pair_are_told(runner: Runner, call: Call) -> None:
    assert call("challenger", "set", CHALLENGER, "--horizon", "7", *WHO)[0] == 0
    measured(runner.stores, FIRST, {("stat-1", 1): Said()})
    measured(runner.stores, FIRST + timedelta(days=2), both(Said(), Said(rows=3)))
    _, told = call("evidence")
    assert "Days without a pair, no run of stat-2: 2025-01-02." in told
    assert "Days without a pair, not measured: 2025-01-03." in told
    assert "Days without a pair, not the same rows: 2025-01-04." in told


def test_many_dates_are_assigned_with_one_catalogue(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(runner.stores)
    for day in range(3):
        publish(runner.stores, run_key(day))
    built: list[Path] = []
    build_file = build._build_file

    def counted(made: Sequence[str], path: Path, connection: duckdb.DuckDBPyConnection) -> None:
        built.append(path)
        build_file(made, path, connection)

    monkeypatch.setattr(build, "_build_file", counted)
    assert runner.assign("daily") == [CUTOFF + timedelta(days=day) for day in range(3)]
    assert len(built) == 1
    with duckdb.connect(str(runner.settings.catalogue_path), read_only=True) as connection:
        found = connection.sql("SELECT DISTINCT prediction_date FROM audit.channel_assignments").fetchall()
    assert len(found) == 3


def test_an_assignment_that_breaks_a_rule_is_not_recorded(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(runner.stores, share=1.0)
    publish(runner.stores, run_key(0))
    before = runner.stores.ledger.state().sequence

    def without_hash(*arguments: Any) -> pl.DataFrame:
        return assignment_rows(*arguments).with_columns(hashed_share=pl.lit(None, pl.Float64))

    monkeypatch.setattr(stage, "assignment_rows", without_hash)
    with pytest.raises(NotAcceptedError, match="Nothing was recorded, since a check failed: stores_follow_by_their"):
        runner.assign("daily")
    assert runner.stores.ledger.state().sequence == before
    monkeypatch.undo()
    assert runner.assign("daily") == [CUTOFF]
    passed = runner.instance.fetch_materializations(dg.AssetKey(["daily", "channel_assignments"]), limit=1).records
    assert len(passed) == 1
    assert runner.stores.ledger.state().sequence == before + 1


def test_the_catalogue_shows_trials_assignments_and_evidence(runner: Runner) -> None:
    runner.refresh_catalogue()
    with duckdb.connect(str(runner.settings.catalogue_path), read_only=True) as connection:
        for view in ("challenger_trials", "channel_assignments", "challenger_evidence", "challenger_verdicts"):
            assert connection.table(f"audit.{view}").fetchall() == []


def test_the_command_offers_what_a_trial_may_be_decided_by() -> None:
    offered = {option.name: getattr(option.type, "choices", ()) for option in set_version.params}
    assert tuple(offered["loss"]) == tuple(LOSSES)
    assert tuple(offered["deciding_step"]) == DECIDING_STEPS
    defaults = TrialRules(forecast_horizon=28)
    for option in set_version.params:
        if (
            isinstance(option, click.Option)
            and hasattr(defaults, str(option.name))
            and option.name != "forecast_horizon"
        ):
            assert f"default {getattr(defaults, str(option.name)):}" in str(option.help), option.name
