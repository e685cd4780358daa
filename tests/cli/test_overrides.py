"""`overrides` as a planner types it: preview, add, import, list, approve, reject, withdraw, publish."""

import re
import shlex
from datetime import date, timedelta
from pathlib import Path

import click
import pytest

from forecast_assets.cli.overrides import overrides
from forecast_assets.launch import Runner
from forecast_assets.operations.overrides import overrides_of
from forecast_assets.operations.use_cases import RunOutcome
from resources.stores.home import Stores
from tests.support.command import Call, caller
from tests.support.retailers import KEY, copied

pytestmark = pytest.mark.usefixtures("brief_runs")

DAY = KEY.prediction_date + timedelta(days=3)
WHERE = ("--from", str(DAY), "--reason", "event")
BY = ("--by", "ana")
DECISION = ("--by", "ben", "--reason", "seen")


@pytest.fixture
def home(published: tuple[Runner, RunOutcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    runner = copied(published[0], tmp_path / "home")
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FORECAST_ASSETS_WORKERS", "1")
    monkeypatch.setenv("FORECAST_ASSETS_RISK_PATHS", "100")
    monkeypatch.delenv("FORECAST_ASSETS_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    return runner.stores


@pytest.fixture
def call(home: Stores, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    assert home
    return caller(monkeypatch, capsys, "overrides")


def said(call: Call, *arguments: object) -> str:
    code, text = call(*arguments)
    assert code == 0, text
    return text


def refused(call: Call, *arguments: object) -> str:
    code, text = call(*arguments)
    assert code != 0, text
    assert "Traceback" not in text
    return text


def added(call: Call, *arguments: object) -> str:
    text = said(call, "add", *WHERE, *BY, *arguments)
    (name,) = re.findall(r"Recorded as (o\d+) \(", text)
    return str(name)


def test_every_command_explains_itself_and_its_examples_parse(call: Call) -> None:
    names = {"preview", "add", "import", "list", "approve", "reject", "withdraw", "publish", "value"}
    assert {*overrides.commands} == names
    for name, command in overrides.commands.items():
        text = said(call, name, "--help")
        assert "Examples:" in text
        lines = re.sub(r"\\\n", " ", command.epilog or "").replace("\b", "").splitlines()
        examples = [line.strip() for line in lines if line.strip().startswith("forecast-assets overrides ")]
        assert examples, name
        for example in examples:
            words = shlex.split(example, comments=True)[2:]
            assert words[0] == name
            assert isinstance(command.make_context(name, words[1:]), click.Context)


def test_a_preview_shows_every_level_and_records_nothing(home: Stores, call: Call) -> None:
    before = home.ledger.state().sequence
    text = said(call, "preview", *WHERE, "--percent", "20")
    assert f"Held against {KEY}." in text
    assert "+20.0%" in text
    assert re.search(r"^total +total +1 ", text, re.MULTILINE)
    assert re.search(r"^sku +store ", text, re.MULTILINE)
    nothing = said(call, "preview", "--from", DAY + timedelta(days=90), "--reason", "event", "--zero")
    assert "None of its days is in this run" in nothing
    assert home.ledger.state().sequence == before


def test_an_override_is_added_listed_and_withdrawn(home: Stores, call: Call) -> None:
    assert said(call, "list") == "No overrides are in force or wait for approval. All: --all.\n"
    assert said(call, "list", "--all") == "No overrides.\n"
    note = "<b>fair</b>; DROP TABLE x"
    name = added(call, "--percent", "20", "--note", note, "--to", DAY + timedelta(days=2))
    text = said(call, "list")
    for told in (f"{name}-1", "recorded", "ana", "all products in all stores", f"{DAY} to ", "+20%", "event", note):
        assert told in text
    assert name not in said(call, "list", "--by", "ben")
    assert f"{name}-1 is withdrawn" in said(call, "withdraw", f"{name}-1", *BY, "--reason", "rain")
    assert name not in said(call, "list")
    assert "withdrawn by ana" in said(call, "list", "--all")
    assert [each.status for each in overrides_of(home.ledger)] == ["withdrawn"]


def test_a_second_person_approves_or_rejects(call: Call) -> None:
    first, second = (added(call, "--percent", "20", "--needs-approval") for _ in range(2))
    text = said(call, "list")
    assert text.count("pending") == 2
    assert f"{first}-1 is approved" in said(call, "approve", first, *DECISION)
    assert f"{second}-1 is rejected" in said(call, "reject", f"{second}-1", *DECISION)
    assert "approved by ben" in said(call, "list")


def test_decisions_that_cannot_be_are_told(call: Call) -> None:
    name = added(call, "--percent", "20", "--needs-approval")
    assert "ana cannot approve" in refused(call, "approve", name, *BY, "--reason", "mine")
    assert "There is no override o99" in refused(call, "withdraw", "o99", *DECISION)
    assert "Missing option '--reason'" in refused(call, "reject", name, *BY)
    assert "Missing argument 'ID...'" in refused(call, "approve", *DECISION)
    said(call, "reject", name, *DECISION)
    for again in ("reject", "approve", "withdraw"):
        assert "is rejected by ben" in refused(call, again, name, *DECISION)


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no form": ((), "Give one of --units, --percent, --add, --floor, --cap, --zero"),
    "two forms": (("--percent", "2", "--zero"), "Give one of"),
    "no number": (("--percent", "twenty"), "`twenty` is no value"),
    "too large a number": (("--units", "1e30"), "`1e30` is no value"),
    "less than nothing": (("--percent", "-150"), "less than nothing"),
    "a node without level": (("--zero", "--product", "dairy"), "`dairy` names no node"),
    "two nodes of products": (("--zero", "--product", "a:b", "--sku", "A"), "not by both"),
    "no such node": (("--zero", "--sku", "nobody"), "There is no sku `nobody`"),
    "no such level": (("--zero", "--stores", "planet:mars"), "There is no store level `planet`"),
    "a note that rings": (("--zero", "--note", "a\x07"), "cannot be printed"),
    "absurd": (("--percent", "900"), "--confirm"),
    "a day that is none": (("--zero", "--to", "soon"), "soon"),
    "days the wrong way round": (("--zero", "--to", "2025-07-01"), "end before they begin"),
    "expired": (("--zero", "--expires", "2025-06-01"), "It expires on 2025-06-01"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_and_nothing_recorded(home: Stores, call: Call, wrong: str) -> None:
    arguments, message = WRONG[wrong]
    before = home.ledger.state().sequence
    assert message in refused(call, "add", *WHERE, *BY, *arguments)
    assert home.ledger.state().sequence == before


def test_what_is_missing_or_past_or_of_no_run_is_told(call: Call) -> None:
    assert "Missing option '--by'" in refused(call, "add", *WHERE, "--zero")
    assert "Missing option '--reason'" in refused(call, "add", "--from", str(DAY), "--zero", *BY)
    assert "is no reason" in refused(call, "add", "--from", str(DAY), "--zero", "--reason", "hunch", *BY)
    assert "is past" in refused(call, "add", "--from", str(KEY.prediction_date), "--zero", "--reason", "event", *BY)
    assert "is not a run key" in refused(call, "preview", *WHERE, "--zero", "--run", "daily")
    unknown = str(KEY).replace(str(KEY.prediction_date), str(date(2024, 1, 7)))
    assert "2024-01-07" in refused(call, "preview", *WHERE, "--zero", "--run", unknown)


def test_an_unusual_change_is_recorded_when_it_is_meant(call: Call) -> None:
    assert re.fullmatch(r"o\d+", added(call, "--percent", "900", "--confirm"))


def test_a_file_is_shown_then_recorded_as_one_entry(home: Stores, call: Call, tmp_path: Path) -> None:
    file = tmp_path / "july.csv"
    file.write_text(f"first_date,form,value,reason,note\n{DAY},percent,20,event,a fair\n{DAY},cap,900,supply,\n")
    before = home.ledger.state().sequence
    assert "Units of the days and nodes that change, by level:" in said(call, "import", file, *BY, "--dry-run")
    assert home.ledger.state().sequence == before
    text = said(call, "import", file, *BY)
    assert "(2 overrides), ledger entry" in text
    assert home.ledger.state().sequence == before + 1
    assert said(call, "list").count("\n") >= 3


def test_a_file_with_wrong_rows_names_them_and_records_nothing(home: Stores, call: Call, tmp_path: Path) -> None:
    file = tmp_path / "july.csv"
    file.write_text(
        f"first_date,form,value,reason\n{DAY},percent,20,event\n{DAY},percent,much,event\nsoon,zero,,event\n"
    )
    before = home.ledger.state().sequence
    for dry in ((), ("--dry-run",)):
        text = refused(call, "import", file, *BY, *dry)
        assert "2 of 3 overrides are wrong, so none is recorded" in text
        assert "row 2: `much` is no value" in text
        assert "row 3: `soon` is no date" in text
    assert "lacks" in refused(call, "import", write(tmp_path, "sku,form\nA,zero\n"), *BY)
    assert refused(call, "import", tmp_path / "none.csv", *BY)
    assert refused(call, "import", tmp_path, *BY)
    assert home.ledger.state().sequence == before


def write(folder: Path, text: str) -> Path:
    path = folder / "other.csv"
    path.write_text(text)
    return path


def test_a_revision_is_published_once(home: Stores, call: Call) -> None:
    decision = (*BY, "--reason", "a fair")
    assert "There is nothing to revise" in refused(call, "publish", *decision)
    assert "is not a run key" in refused(call, "publish", "stat-1", *decision)
    assert "Missing option '--reason'" in refused(call, "publish", *BY)
    name = added(call, "--percent", "20")
    text = said(call, "publish", *decision)
    assert f"{KEY}"[:-2] + "r1" in text
    assert re.search(rf"^{name}-1 +ana +all products in all stores +\d+ +\+", text, re.MULTILINE)
    assert "There is nothing to revise" in refused(call, "publish", str(KEY), *decision)
    said(call, "withdraw", name, *BY, "--reason", "rain")
    assert "No override moves any row of it." in said(call, "publish", str(KEY), *decision)
    assert [key.revision for key in home.ledger.state().publications] == [0, 1, 2]
