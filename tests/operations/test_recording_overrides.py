"""What planners say is held against a published run and against each other, before anything is recorded."""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from forecast_assets.core.errors import InputError, LostRaceError, NotPublishedError, NotReadyError
from forecast_assets.core.overrides import Override, Scope
from forecast_assets.core.quantities import SCALE
from forecast_assets.history.observed import observed_until
from forecast_assets.launch import Runner
from forecast_assets.operations.override_files import read_overrides
from forecast_assets.operations.overrides import (
    PlannedRun,
    checked_overrides,
    current_overrides,
    decide_overrides,
    newest_run,
    overrides_of,
    preview_overrides,
    record_overrides,
)
from forecast_assets.operations.policies import apply_policy, propose_policy
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.presentation.actions import error_text
from forecast_assets.presentation.overrides import effect_notes
from resources.stores.home import Stores
from tests.support.retailers import KEY, copied

TODAY = KEY.prediction_date
DAY = TODAY + timedelta(days=3)
LONGEST_SECONDS = 60  # ten times what it takes on idle cores


@pytest.fixture(scope="module")
def run(published: tuple[Runner, RunOutcome]) -> PlannedRun:
    return PlannedRun.of(published[0].stores, published[1].publication)


@pytest.fixture
def home(published: tuple[Runner, RunOutcome], tmp_path: Path) -> Stores:
    return copied(published[0], tmp_path / "home").stores


def said(
    form: str = "percent", value: str = "20", scope: Scope | None = None, day: date = DAY, **facts: object
) -> Override:
    return replace(Override(scope or Scope.of(), day, day, form, value, "event"), **facts)  # type: ignore[arg-type]


def series_of(run: PlannedRun, at: int = 0) -> Scope:
    store, sku = run.hierarchy.series.row(at)
    return Scope.of(sku=sku, store=store)


def sequence(stores: Stores) -> int:
    return stores.ledger.state().sequence


def test_the_run_is_the_newest_of_the_champion(home: Stores, run: PlannedRun) -> None:
    assert newest_run(home).key == KEY
    assert newest_run(home, replace(KEY, revision=7)).key == KEY
    assert observed_until(home) == TODAY
    with pytest.raises(NotPublishedError):
        newest_run(home, replace(KEY, prediction_date=TODAY - timedelta(days=1)))
    assert run.model.shape == (run.hierarchy.series.height, KEY.forecast_horizon)


def test_without_a_run_there_is_nothing_to_override(trained: Runner) -> None:
    with pytest.raises(NotReadyError, match="No daily run is published yet"):
        newest_run(trained.stores)


def test_a_preview_records_nothing_and_is_what_recording_says(home: Stores, run: PlannedRun) -> None:
    before = sequence(home)
    seen = preview_overrides(home, run, [said()])
    assert (seen.seen, sequence(home)) == (before, before)
    whole = run.model[:, 2].sum()
    (effect,) = seen.effects
    assert effect.before_units == effect.model_units == whole / SCALE
    assert effect.after_units * SCALE == pytest.approx(round(whole * 1.2), abs=1)
    total = seen.nodes.filter(product_level="total", store_level="total")
    assert total["target_date"].to_list() == [DAY]
    units = pl.col("after_units")
    assert seen.rows.select(units.sum()).item() == total["after_units"].item()
    record, again = record_overrides(home, [said()], by="ana", seen=seen.seen)
    assert again.effects == seen.effects
    assert record.sequence == sequence(home) == before + 1


def test_percent_of_nothing_is_nothing_and_units_of_nothing_are_shared_alike(home: Stores, run: PlannedRun) -> None:
    zero = replace(run, model=np.zeros_like(run.model))
    seen = preview_overrides(home, zero, [said("percent", "50", series_of(run)), said("units", "7", series_of(run, 1))])
    nothing, something = seen.effects
    assert (nothing.rows_moved, nothing.after_units, nothing.change_percent) == (0, 0.0, 0.0)
    assert effect_notes(nothing) == [
        "It would move nothing: zero is forecast, and percent of zero are zero; give units instead."
    ]
    assert (something.after_units, something.change_percent) == (7.0, float("inf"))
    assert 0 not in seen.unusual
    assert 1 in seen.unusual, "from nothing to something is asked about"
    alike = preview_overrides(home, zero, [said("units", "1")])
    moved = [float(units) * SCALE for units in alike.rows["after_units"]]
    assert sum(moved) == pytest.approx(SCALE)
    assert max(moved) - min(moved) <= 2


def test_an_absurd_size_asks_again_and_is_taken_when_it_is_meant(home: Stores) -> None:
    before = sequence(home)
    with pytest.raises(InputError, match="more than 200%") as told:
        record_overrides(home, [said("percent", "900")], by="ana")
    assert "--confirm" in str(told.value.remedy)
    assert sequence(home) == before
    record, seen = record_overrides(home, [said("percent", "900")], by="ana", confirmed=True)
    assert (seen.unusual, record.sequence) == ((0,), before + 1)
    # Hidden behind a narrower one it is still asked about.
    with pytest.raises(InputError, match="more than 200%"):
        record_overrides(home, [said("percent", "5000")], by="ana")


def test_what_empties_many_series_or_hides_beyond_the_run_or_below_a_cap_asks_too(
    home: Stores, run: PlannedRun
) -> None:
    for emptied in (said("zero", ""), said("percent", "-90"), said("cap", "1")):
        with pytest.raises(InputError, match="by more than 200%"):
            record_overrides(home, [emptied], by="ana")
    late = TODAY + timedelta(days=KEY.forecast_horizon + 30)
    with pytest.raises(InputError, match="by more than 200%"):
        record_overrides(home, [said("units", "4000000", day=late)], by="ana")
    record_overrides(home, [said("cap", "60")], by="ana", confirmed=True)
    with pytest.raises(InputError, match="by more than 200%"):
        record_overrides(home, [said("units", "4000000")], by="ben")
    usual = [said("zero", "", series_of(run)), said("zero", "", reason="delisted"), said("percent", "20", day=late)]
    assert not record_overrides(home, usual, by="ben")[1].unusual


def test_more_than_sums_can_hold_is_refused(home: Stores, run: PlannedRun) -> None:
    whole = Override(Scope.of(), DAY, DAY + timedelta(days=20), "units", "1000000000", "event")
    each = [replace(whole, scope=series_of(run, at)) for at in range(6)]
    with pytest.raises(InputError, match="more units than sums over all series can hold"):
        record_overrides(home, each, by="ana", confirmed=True)


def test_a_policy_says_from_which_size_on_it_asks(home: Stores) -> None:
    apply_policy(
        home.ledger, propose_policy(home.ledger, {"planning.largest_change_percent": 10.0}), by="ana", reason="careful"
    )
    with pytest.raises(InputError, match="more than 10%"):
        record_overrides(home, [said("percent", "-11")], by="ana")
    assert record_overrides(home, [said("percent", "-9")], by="ana")[0].overrides[0].value == "-9"


def test_a_policy_may_ask_for_a_second_person_whatever_the_planner_says(home: Stores) -> None:
    apply_policy(home.ledger, propose_policy(home.ledger, {"planning.needs_approval": 1.0}), by="ana", reason="careful")
    record, _ = record_overrides(home, [said()], by="ana", needs_approval=False)
    assert record.needs_approval
    (waiting,) = current_overrides(home)
    assert (waiting.status, waiting.is_in_force) == ("pending", False)


@pytest.mark.parametrize("status", ["recorded", "pending"])
def test_a_floor_above_a_cap_of_the_same_node_and_days_is_refused(home: Stores, status: str) -> None:
    cap, _ = record_overrides(home, [said("cap", "50")], by="ana", needs_approval=status == "pending", confirmed=True)
    for day, value in ((DAY, "50.000001"), (DAY, "900")):
        with pytest.raises(InputError, match=rf"contradicts at most 50 units a day \(o{cap.sequence}-1\)"):
            record_overrides(home, [said("floor", value, day=day)], by="ben", confirmed=True)
    fine = [said("floor", "50"), said("floor", "90", day=DAY + timedelta(days=1))]
    assert len(record_overrides(home, fine, by="ben", confirmed=True)[0].overrides) == 2
    decide_overrides(home, [f"o{cap.sequence}"], "withdrawn", by="ana", reason="off")
    assert record_overrides(home, [said("floor", "900")], by="ben", confirmed=True)[0].sequence == sequence(home)


def test_a_floor_above_a_cap_within_one_file_is_named_by_its_row(home: Stores, run: PlannedRun) -> None:
    with pytest.raises(InputError, match=r"1 of 2 overrides are wrong.*row 2: at least 9 .* contradicts .*\(row 1\)"):
        checked_overrides(home, run, [said("cap", "8"), said("floor", "9")])


def test_what_the_run_does_not_have_is_named_with_what_is_near(home: Stores, run: PlannedRun) -> None:
    store, sku = run.hierarchy.series.row(0)
    wrong = {
        "There is no sku `nobody`": Scope.of(sku="nobody"),
        "There is no product level `shelf`": Scope.of(product=("shelf", "a")),
        "There is no store level `planet`": Scope.of(stores=("planet", "a")),
        "There is no total `all`": Scope.of(product=("total", "all")),
    }
    for message, scope in wrong.items():
        with pytest.raises(InputError, match=message):
            checked_overrides(home, run, [said(scope=scope)])
    with pytest.raises(InputError) as told:
        checked_overrides(home, run, [said(scope=Scope.of(sku=sku.lower(), store=store))])
    assert f"Did you mean {sku}?" in str(told.value.remedy)


def test_days_that_are_past_are_refused_and_days_beyond_the_run_told(home: Stores, run: PlannedRun) -> None:
    with pytest.raises(InputError, match=f"is past: sales are known up to {TODAY}"):
        checked_overrides(home, run, [said(day=TODAY)])
    with pytest.raises(InputError, match="It expires on"):
        checked_overrides(home, run, [said(expires_on=TODAY - timedelta(days=1))])
    (effect,) = preview_overrides(home, run, [said(day=TODAY + timedelta(days=29))]).effects
    assert (effect.rows, effect.rows_moved, effect.series) == (0, 0, run.hierarchy.series.height)
    # One that began in the past moves what is left of it.
    begun = said(first_date=TODAY - timedelta(days=5), last_date=TODAY + timedelta(days=1))
    (effect,) = preview_overrides(home, run, [begun]).effects
    assert effect.rows == run.hierarchy.series.height


def test_approving_what_is_over_would_move_nothing_and_is_refused(
    home: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, _ = record_overrides(home, [said()], by="ana", needs_approval=True)
    monkeypatch.setattr("forecast_assets.operations.overrides.observed_until", lambda _: DAY)
    with pytest.raises(InputError, match=f"o{record.sequence}-1 cannot be approved any more"):
        decide_overrides(home, [f"o{record.sequence}"], "approved", by="ben", reason="late")
    _, (found,) = decide_overrides(home, [f"o{record.sequence}"], "rejected", by="ben", reason="late")
    assert found.status == "rejected"
    assert current_overrides(home) == []


@pytest.mark.parametrize(
    "note", ["<img src=x onerror=alert(1)>", "Robert'); DROP TABLE forecasts; --", "=HYPERLINK(1)", "50 % off, 100 €"]
)
def test_notes_are_kept_as_text(home: Stores, note: str) -> None:
    record_overrides(home, [said(note=note)], by="ana")
    assert overrides_of(home.ledger)[-1].override.note == note


@pytest.mark.parametrize("note", ["a\x00b", "a\nb", "a\x1b[31mb", "a\u202eb"])
def test_notes_that_cannot_be_printed_are_refused(home: Stores, note: str) -> None:
    before = sequence(home)
    with pytest.raises(InputError, match="cannot be printed"):
        record_overrides(home, [said(note=note)], by="ana")
    assert sequence(home) == before


def test_of_two_planners_who_looked_at_the_same_the_second_is_told(home: Stores, run: PlannedRun) -> None:
    seen = preview_overrides(home, run, [said()]).seen
    first, _ = record_overrides(home, [said("percent", "10", series_of(run))], by="ben", seen=seen)
    with pytest.raises(LostRaceError, match=rf"ben has overridden the same meanwhile \(o{first.sequence}-1") as told:
        record_overrides(home, [said()], by="ana", seen=seen)
    assert "Look at the preview again" in str(told.value.remedy)
    # Other days or other rows are nobody's loss.
    record_overrides(home, [said(day=DAY + timedelta(days=1))], by="ana", seen=seen)
    record_overrides(home, [said(scope=series_of(run, 1))], by="ana", seen=seen)
    again = preview_overrides(home, run, [said()]).seen
    assert record_overrides(home, [said()], by="ana", seen=again)[0].by == "ana"


def test_of_two_planners_at_the_same_moment_one_records(home: Stores, run: PlannedRun) -> None:
    seen = preview_overrides(home, run, [said()]).seen
    barrier, outcomes = threading.Barrier(2), []

    def record(by: str) -> None:
        barrier.wait()
        try:
            outcomes.append(record_overrides(home, [said()], by=by, seen=seen)[0].by)
        except LostRaceError as error:
            outcomes.append(type(error).__name__)

    planners = [threading.Thread(target=record, args=(by,)) for by in ("ana", "ben")]
    for each in planners:
        each.start()
    for each in planners:
        each.join()
    (winner,) = {*outcomes} - {"LostRaceError"}
    assert sorted(outcomes) == sorted(["LostRaceError", winner])
    assert [each.by for each in overrides_of(home.ledger)] == [winner]


def written(path: Path, rows: Sequence[str]) -> Path:
    path.write_text("\n".join(["sku,store,first_date,form,value,reason", *rows]))
    return path


def many(run: PlannedRun, count: int = 10_000) -> list[str]:
    """Rows of a file: as many overrides of single series and days as there are, then of them again."""
    of = random.Random(3)
    series = run.hierarchy.series.rows()
    return [
        f"{sku},{store},{TODAY + timedelta(days=1 + of.randrange(28))},percent,{of.randrange(1, 50)},event"
        for store, sku in (series[at % len(series)] for at in range(count))
    ]


def test_of_ten_thousand_rows_three_that_are_wrong_are_named_and_none_is_recorded(
    home: Stores, run: PlannedRun, tmp_path: Path
) -> None:
    rows = many(run)
    store, sku = run.hierarchy.series.row(0)
    rows[16] = f"{sku},{store},{DAY},percent,twenty,event"
    rows[4999] = f"nobody,{store},{DAY},percent,20,event"
    rows[9999] = f"{sku},{store},31.02.2025,percent,20,event"
    before, started = sequence(home), time.monotonic()
    with pytest.raises(InputError) as told:
        record_overrides(home, read_overrides(written(tmp_path / "july.csv", rows)), by="ana")
    print(f"three wrong of 10,000 rows: {time.monotonic() - started:.1f} s")
    assert time.monotonic() - started < LONGEST_SECONDS
    message = told.value.message
    assert message.startswith("3 of 10,000 overrides are wrong, so none is recorded:")
    for wrong in (
        "row 17: `twenty` is no value",
        "row 5000: There is no sku `nobody`",
        "row 10000: `31.02.2025` is no date",
    ):
        assert wrong in message
    assert sequence(home) == before


@pytest.mark.parametrize("form", ["percent", "cap"])
def test_ten_thousand_good_rows_are_one_entry(home: Stores, run: PlannedRun, tmp_path: Path, form: str) -> None:
    rows = [row.replace(",percent,", f",{form},") for row in many(run)]
    started = time.monotonic()
    record, seen = record_overrides(
        home, read_overrides(written(tmp_path / "july.csv", rows)), by="ana", confirmed=True
    )
    print(f"10,000 good rows of {form}: {time.monotonic() - started:.1f} s")
    assert time.monotonic() - started < LONGEST_SECONDS
    assert (len(record.overrides), len(seen.effects), record.sequence) == (10_000, 10_000, sequence(home))


def test_ten_thousand_caps_of_one_node_are_held_against_each_other_in_time(home: Stores, run: PlannedRun) -> None:
    given = [said("cap", str(9_000 + at), day=DAY + timedelta(days=at % 25)) for at in range(10_000)]
    started = time.monotonic()
    assert len(checked_overrides(home, run, given)) == 10_000
    print(f"10,000 caps of one node: {time.monotonic() - started:.1f} s")
    assert time.monotonic() - started < LONGEST_SECONDS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sku,form,reason\nA,zero,event", "lacks first_date"),
        ("sku,first_date,form,reason,colour\nA,2025-07-03,zero,event,red", "has colour, which nobody knows"),
        ("sku,first_date,form,reason\n", "0 rows"),
        ("", "."),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "july.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_overrides(path)


def test_a_file_may_be_in_any_usual_dialect(tmp_path: Path) -> None:
    path = tmp_path / "july.csv"
    text = (
        "product;stores;first_date;last_date;form;value;reason;note;expires_on\r\n"
        "category:dairy;region:north;03.07.2025;05.07.2025;Percent;20;event;a fair;\r\n"
        ";;2025-07-03;;zero;;delisted;;2025-07-09\r\n"
        "dairy;;2025-07-03;;zero;;event;;\r\n"
        ";;2025-07-03;;zero;5;event;;\r\n"
    )
    path.write_bytes(text.encode())
    first, second, third, fourth = read_overrides(path)
    assert isinstance(first, Override)
    assert str(first) == "category dairy in region north, 2025-07-03 to 2025-07-05: +20%"
    assert (first.form, first.note, first.expires_on) == ("percent", "a fair", None)
    assert isinstance(second, Override)
    assert (str(second.scope), second.last_date, second.expires_on) == (
        "all products in all stores", date(2025, 7, 3), date(2025, 7, 9),
    )  # fmt: skip
    assert isinstance(third, InputError)
    assert "`dairy` names no node" in third.message
    # What contradicts itself is not put right in silence.
    assert isinstance(fourth, Override)
    assert fourth.value == "5"


def test_without_a_daily_run_the_command_that_makes_one_is_named(stores: Stores) -> None:
    with pytest.raises(NotReadyError, match="No daily run is published yet") as refused:
        newest_run(stores)
    assert "forecast-assets run --cadence daily --date DATE" in error_text(refused.value)
