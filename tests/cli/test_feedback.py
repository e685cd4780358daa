"""`feedback`, `dead-letters` and what they mean for `backlog`, as an operator types them."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import polars as pl
import pytest
from click.testing import CliRunner, Result

from forecast_assets.cli import cli
from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.core.errors import ForecastAssetsError, RefusedError, StorageError
from forecast_assets.lifecycle.retraining import BROKEN
from forecast_assets.operations.feedback import mend, replay, take_over
from forecast_assets.presentation.actions import error_text
from resources.ledger.entries.backlog import Backlog
from resources.operational.dead_letters import DROPPED, DeadLetters, LetterStep
from resources.operational.feedback import FeedbackStore
from resources.stores.home import open_stores
from tests.support.feedback_cases import CORRECTION, LABEL, QUALITY, ROW, FeedbackDoor, sent, with_run
from tests.support.store_cases import catalogue


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeedbackDoor:
    """A home with a run, and the service in front of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    stores = with_run(open_stores(tmp_path / "home/store"))
    return FeedbackDoor(stores, tmp_path / "home/operational/operational.sqlite")


def called(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def said(*arguments: str) -> str:
    result = called(*arguments)
    assert result.exception is None, result.exception
    return result.output


def refused(*arguments: str) -> tuple[int, str]:
    error = called(*arguments).exception
    assert isinstance(error, ForecastAssetsError), error
    return exit_code(type(error)), error_text(error)


def test_what_was_said_is_listed_and_exported(door: FeedbackDoor, tmp_path: Path) -> None:
    assert said("feedback", "list") == "No feedback.\n"
    sent(door.client(), [CORRECTION, LABEL, {**QUALITY, "comment": 'déjà vu, "twice"\n=1+1'}], "r-1")
    listed = said("feedback", "list")
    assert [word in listed for word in ("3 units - counted", "too_high", ROW)] == [True] * 3
    assert len(said("feedback", "list", "--kind", "label").splitlines()) < len(listed.splitlines())
    assert said("feedback", "export", "all.parquet") == "3 written to all.parquet.\n"
    said("feedback", "export", "all.csv")
    rows = pl.read_parquet(tmp_path / "all.parquet")
    assert rows["kind"].to_list() == ["correction", "label", "quality"]
    assert rows["units"].to_list() == [3.0, None, None]
    assert rows["caller"].to_list() == ["ana"] * 3
    assert rows.schema["received_at"] == pl.Datetime("us", "UTC")
    table = pl.read_csv(tmp_path / "all.csv")
    assert table.select("feedback_id", "comment").equals(rows.select("feedback_id", "comment"))
    assert said("feedback", "export", "none.parquet", "--kind", "label").startswith("1 ")
    for out in ("all.csv", "all.xlsx", "nowhere/all.csv"):
        assert refused("feedback", "export", out)[0] == 2


def test_no_text_of_a_caller_is_a_formula_in_an_exported_csv(door: FeedbackDoor, tmp_path: Path) -> None:
    texts = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\uff1d1", "1-1=0", "'=1", "plain"]
    sent(door.client(name="=ana"), [{**LABEL, "comment": text} for text in texts], "-r")
    said("feedback", "export", "all.csv")
    said("feedback", "export", "all.parquet")
    table = pl.read_csv(tmp_path / "all.csv")
    kept = pl.read_parquet(tmp_path / "all.parquet")
    assert table["comment"].to_list() == [*(f"'{text}" for text in kept["comment"][:7]), *kept["comment"][7:]]
    assert table["caller"].unique().to_list() == ["'=ana"]
    assert kept["caller"].unique().to_list() == ["=ana"]


def test_an_export_of_nothing_has_the_columns(door: FeedbackDoor, tmp_path: Path) -> None:
    said("feedback", "export", "none.parquet")
    assert pl.read_parquet(tmp_path / "none.parquet").shape == (0, 17)
    assert not door.path.exists()


def test_a_dead_letter_is_shown_mended_and_replayed_as_feedback_of_who_sent_it(door: FeedbackDoor) -> None:
    wrong = {**CORRECTION, "units": -3, "colour": "red"}
    sent(door.client(), [LABEL, wrong], "r-1")
    assert 'no field "colour"' in said("dead-letters", "list")
    assert json.dumps(wrong) in said("dead-letters", "show", "1")
    assert "cannot be used still" in said("dead-letters", "replay", "1", "--by", "ben")
    said("dead-letters", "mend", "1", "--remove", "colour", "--by", "ben")
    assert "`units` is no number" in said("dead-letters", "replay", "--all", "--by", "ben")
    assert "`units` is no number" in said("dead-letters", "list")
    shown = said("dead-letters", "mend", "1", "--set", "units=3", "--set", "comment=as ana told", "--by", "ben")
    assert json.dumps({**CORRECTION, "units": 3, "comment": "as ana told"}) in shown
    assert "is feedback" in said("dead-letters", "replay", "1", "--by", "ben")
    kept = door.store.all("correction")[0]
    assert (kept.said.units, kept.said.comment, kept.letter_id) == (3.0, "as ana told", 1)
    assert (kept.sender.name, kept.sender.request_id, kept.position) == ("ana", "r-1", 1)
    shown = said("dead-letters", "show", "1")
    assert json.dumps(wrong) in shown
    assert [line.split("  ")[1].split()[0] for line in shown.splitlines()[-5:]] == [
        "refused", "mended", "refused", "mended", "replayed",
    ]  # fmt: skip
    assert said("dead-letters", "list") == "No dead letters.\n"
    assert "replayed" in said("dead-letters", "list", "--all")
    for again in (("replay",), ("mend", "--set", "units=4"), ("drop", "--reason", "why")):
        code, why = refused("dead-letters", again[0], "1", *again[1:], "--by", "ben")
        assert (code, "is replayed already" in why) == (4, True), again
    assert len(door.store.all()) == 2


def test_what_is_dropped_stays_with_who_and_why(door: FeedbackDoor) -> None:
    sent(door.client(), [{"kind": "praise"}])
    assert refused("dead-letters", "drop", "1", "--by", " ", "--reason", "x")[0] == 2
    assert (
        said("dead-letters", "drop", "1", "--by", "ben", "--reason", "sent by mistake") == "Dead letter 1 is dropped.\n"
    )
    assert said("dead-letters", "list") == "No dead letters.\n"
    assert "dropped by ben: sent by mistake" in said("dead-letters", "show", "1")
    assert '{"kind": "praise"}' in said("dead-letters", "list", "--state", "dropped")
    assert said("dead-letters", "replay", "--all", "--by", "ben") == ""


def test_what_is_no_json_is_written_anew(door: FeedbackDoor) -> None:
    sent(door.client(), '{"kind": "label\x1b[2J', **{"Content-Type": "application/x-ndjson"})
    listed = said("dead-letters", "list")
    assert ("\x1b" in listed, "\\x1b" in listed) == (False, True)
    code, why = refused("dead-letters", "mend", "1", "--set", "kind=label", "--by", "ben")
    assert (code, "--json TEXT" in why) == (2, True)
    assert refused("dead-letters", "mend", "1", "--json", "[]", "--by", "ben")[0] == 2
    said("dead-letters", "mend", "1", "--json", json.dumps(LABEL), "--set", "label=useful", "--by", "ben")
    assert "is feedback" in said("dead-letters", "replay", "1", "--by", "ben")
    assert door.store.all()[0].said.label == "useful"


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "7"),
        ("mend", "7", "--set", "units=3", "--by", "ben"),
        ("mend", "1", "--by", "ben"),
        ("mend", "1", "--set", "units", "--by", "ben"),
        ("mend", "1", "--set", "kind=praise", "--by", "ben"),
        ("mend", "1", "--remove", "units", "--by", "ben"),
        ("mend", "1", "--set", "units=3", "--by", " "),
        ("replay", "7", "--by", "ben"),
        ("replay", "--by", "ben"),
        ("replay", "1", "--all", "--by", "ben"),
        ("drop", "7", "--by", "ben", "--reason", "x"),
    ],
)
def test_what_cannot_be_done_with_a_letter_is_refused_and_nothing_changes(
    door: FeedbackDoor, arguments: tuple[str, ...]
) -> None:
    sent(door.client(), [{"kind": "praise"}])
    assert refused("dead-letters", *arguments)[0] == 2
    assert door.letters.steps(1) == []
    assert door.letters.find(1).text == '{"kind": "praise"}'


def test_of_two_who_mend_at_once_the_second_is_refused(door: FeedbackDoor) -> None:
    sent(door.client(), [{"kind": "praise"}])
    seen = door.letters.find(1)
    mend(door.letters, 1, {"kind": "label"}, by="ben")
    with pytest.raises(ForecastAssetsError, match="Somebody mended dead letter 1 meanwhile"):
        door.letters.step(seen, LetterStep("now", DROPPED, "cleo", "why", seen.text))
    assert [each.by for each in door.letters.steps(1)] == ["ben"]


def test_a_letter_that_is_replayed_many_times_at_once_is_feedback_once(door: FeedbackDoor) -> None:
    sent(door.client(), [{**LABEL, "label": "nice"}])
    mend(door.letters, 1, {"label": "useful"}, by="ben")

    def again(_: int) -> bool:
        try:
            replay(door.stores, FeedbackStore(door.path), door.letters, 1, by="ben")
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(again, range(4))) == 1
    assert len(door.store.all()) == 1


def test_findings_become_items_of_the_backlog_once(door: FeedbackDoor, tmp_path: Path) -> None:
    sent(door.client(), [QUALITY, LABEL])
    listed = said("backlog", "list")
    assert listed.startswith("The backlog is empty.")
    assert [word in listed for word in ("till was closed", "feedback take-over", "open")] == [True] * 3
    assert said("feedback", "take-over", "--by", "ben").startswith("Item 1: the till was closed")
    (item,) = (line for line in said("backlog", "list").splitlines() if line.startswith("1 "))
    assert "ana on" in item
    assert item.split()[1:3] == ["open", "no"]
    assert "take-over" not in said("backlog", "list")
    assert "item 1" in said("feedback", "list")
    assert "already" in said("feedback", "take-over", "--by", "ben")
    finding = door.store.all("quality")[0]
    assert (finding.backlog_item, finding.taken_over_by) == (1, "ben")
    with duckdb.connect(catalogue(open_stores(tmp_path / "home/store"), tmp_path), read_only=True) as link:
        rows = link.sql('SELECT item, signal, status, is_present, "by" FROM audit.backlog').fetchall()
    assert rows == [(1, f"feedback/{finding.feedback_id}", "open", False, "ben")]
    said("backlog", "close", "1", "--by", "cleo", "--reason", "the till is mended")
    assert "already" in said("feedback", "take-over", "--by", "ben")


def test_taking_over_goes_on_where_it_stopped(door: FeedbackDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(door.client(), [QUALITY, {**QUALITY, "finding": "prices of last year"}])
    ledger, store = door.stores.ledger, FeedbackStore(door.path)

    def full(*_: object, **__: object) -> None:
        raise StorageError("full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "taken_over", full)
        with pytest.raises(StorageError):
            take_over(ledger, store, by="ben")
    assert len(ledger.state().part(Backlog).newest) == 1
    assert [each.item for each in take_over(ledger, store, by="ben")] == [1, 2]
    assert len(ledger.state().part(Backlog).steps) == 2


def test_many_who_take_over_at_once_open_each_item_once(door: FeedbackDoor, tmp_path: Path) -> None:
    sent(door.client(), [{**QUALITY, "finding": f"finding {number}"} for number in range(5)])

    def take(_: int) -> list[int]:
        ledger = open_stores(tmp_path / "home/store").ledger
        return [each.item for each in take_over(ledger, FeedbackStore(door.path), by="ben")]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(take, range(4)))
    steps = open_stores(tmp_path / "home/store").ledger.state().part(Backlog).steps
    assert sorted(step.item for step in steps) == [1, 2, 3, 4, 5]
    assert len({step.signal for step in steps}) == 5
    assert {each.backlog_item for each in door.store.all()} == {1, 2, 3, 4, 5}


def test_a_finding_is_no_signal_that_holds_training_back(door: FeedbackDoor) -> None:
    sent(door.client(), [{**QUALITY, "finding": BROKEN}])
    take_over(door.stores.ledger, door.store, by="ben")
    backlog = door.stores.ledger.state().part(Backlog)
    assert (len(backlog.newest), backlog.present) == (1, {})


def test_letters_of_a_home_without_any_are_none(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "operational.sqlite")
    assert (letters.all(), letters.steps(1)) == ([], [])
    with pytest.raises(ForecastAssetsError, match="no dead letter 1"):
        letters.find(1)
