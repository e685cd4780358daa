"""Kinds of ledger entries: one that is added in this file alone, what every kind declares, and what stays readable.

`Note` and what follows it is the whole of a kind. A real one is the same in a file of its own below
`resources/ledger/entries`, where the registry finds it.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final

import duckdb
import pytest

import resources
from forecast_assets.core.errors import AlreadyPublishedError, RefusedError, UnknownEntryError
from forecast_assets.operations.promoting import judge
from forecast_assets.presentation.documentation import kinds_markdown
from forecast_assets.presentation.log import log_text
from resources.ledger import entries
from resources.ledger.entries import (
    KINDS,
    EntryDescription,
    EntryEvent,
    EntryKind,
    FoldedState,
    References,
    register_kind,
)
from resources.ledger.entries.audit import (
    RECORDED_AT,
    AuditColumn,
    AuditTable,
    AuditView,
    ColumnType,
    ProductView,
    TableView,
)
from resources.ledger.entries.folded import GENESIS
from resources.ledger.log import Entry, entry_path
from resources.ledger.records import canonical
from resources.maintenance.survey import CHANGED, MISSING
from resources.maintenance.verification import verify_store
from resources.store.blobs import sha256
from resources.stores.home import Stores, open_stores
from tests.support.ledger_cases import every_kind, measure, record_backtest
from tests.support.store_cases import catalogue, ingest, publish, register, run_key

REPOSITORY = Path(__file__).parents[3]

# --- a kind of entry in one file ---


@dataclass(frozen=True)
class Note:
    """A planner noted something, with a picture.

    Attributes:
        by: Who.
        text: What.
        path: The picture.
        sha256: Its SHA-256.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    by: str
    text: str
    path: str
    sha256: str
    sequence: int = 0
    recorded_at: str = ""


@dataclass
class Notes:
    """What follows from notes.

    Attributes:
        by_text: Notes by what they say, oldest first.
    """

    by_text: dict[str, Note] = field(default_factory=dict)


class AlreadyNotedError(RefusedError):
    """Somebody said the same before."""


class NoteKind(EntryKind[Note]):
    """Notes, from their pictures to the view `notes`."""

    name = "note"
    meaning = "a planner noted something"
    kept_state = "notes by what they say"
    record = Note

    def fold(self, record: Note, state: FoldedState) -> None:
        state.part(Notes).by_text[record.text] = record

    def references(self, record: Note) -> References:
        return References(files=[(record.path, record.sha256)])

    def admit(self, record: Note, state: FoldedState) -> None:
        before = state.part(Notes).by_text.get(record.text)
        if before is not None:
            raise AlreadyNotedError(f"{before.by} noted that already (ledger entry {before.sequence}).")

    def views(self) -> Sequence[AuditView]:
        return (TableView("notes", "one note", "What planners noted.", ("sequence",), NOTES),)

    def event(self, record: Note) -> EntryEvent:
        return EntryEvent("note.written", f"notes/{record.by}")

    def describe(self, record: Note) -> EntryDescription:
        return EntryDescription(f"noted: {record.text}", record.by)


NOTES: Final = AuditTable(
    "notes",
    (
        AuditColumn("sequence", ColumnType.INT64, "ledger entry"),
        AuditColumn("by", ColumnType.TEXT, "who"),
        AuditColumn("text", ColumnType.TEXT, "what"),
        RECORDED_AT,
    ),
    lambda state: state.part(Notes).by_text.values(),
)


@pytest.fixture
def note() -> Iterator[NoteKind]:
    kind = register_kind(NoteKind())
    yield kind
    del KINDS[kind.name]


PICTURE = b"of a shelf"
PATH = f"notes/{sha256(PICTURE)}.png"


def noted(stores: Stores, text: str = "the shelf was empty", by: str = "ana") -> Entry:
    stores.blobs.create(PATH, PICTURE)
    body = NoteKind().body(Note(by, text, PATH, sha256(PICTURE)))
    return stores.ledger.append("note", body, names=[PATH])


@pytest.fixture
def with_notes(stores: Stores, note: NoteKind) -> Stores:
    """A store with entries of other kinds, then two notes."""
    assert note.name in KINDS
    ingest(stores)
    noted(stores)
    noted(stores, "it was full again", "ben")
    return stores


def findings(stores: Stores) -> dict[str, str]:
    return {each.path: each.kind for each in verify_store(stores.blobs).findings}


def test_an_entry_of_a_new_kind_is_appended_and_folded(with_notes: Stores) -> None:
    kept = with_notes.ledger.state().part(Notes).by_text
    assert [(each.by, each.text, each.sequence) for each in kept.values()] == [
        ("ana", "the shelf was empty", 2), ("ben", "it was full again", 3),
    ]  # fmt: skip
    again = open_stores(with_notes.blobs.root)
    assert again.ledger.state() == with_notes.ledger.state()
    assert list(again.as_of(2).ledger.state().part(Notes).by_text) == ["the shelf was empty"]
    assert not again.as_of(1).ledger.state().part(Notes).by_text


def test_a_new_kind_refuses_by_its_own_rule(with_notes: Stores) -> None:
    with pytest.raises(AlreadyNotedError, match=r"ana noted that already \(ledger entry 2\)"):
        noted(with_notes, by="eve")
    assert with_notes.ledger.state().sequence == 3


def test_what_an_entry_of_a_new_kind_names_is_verified(with_notes: Stores) -> None:
    assert PATH in verify_store(with_notes.blobs).named
    assert findings(with_notes) == {}
    file = with_notes.blobs.local(PATH)
    file.write_bytes(b"of another shelf")
    assert findings(with_notes) == {PATH: CHANGED}
    file.unlink()
    assert findings(with_notes) == {PATH: MISSING}


def test_a_new_kind_has_a_view(with_notes: Stores, tmp_path: Path) -> None:
    with duckdb.connect(str(catalogue(with_notes, tmp_path / "catalogue")), read_only=True) as connection:
        found = connection.execute('SELECT sequence, "by", text FROM audit.notes ORDER BY 1').fetchall()
        said = connection.execute("SELECT comment FROM duckdb_views() WHERE view_name = 'notes'").fetchall()
        columns = connection.execute(
            "SELECT comment FROM duckdb_columns() WHERE table_name = 'notes' AND column_name = 'text'"
        ).fetchall()
    assert found == [(2, "ana", "the shelf was empty"), (3, "ben", "it was full again")]
    assert (said, columns) == ([("What planners noted. Grain: one note.",)], [("what",)])


def test_a_new_kind_has_words(with_notes: Stores) -> None:
    told = log_text(with_notes, top=1, kind="note").splitlines()
    assert told[1].split()[0] == "3"
    assert "note" in told[1]
    assert "noted: it was full again" in told[1]
    assert "ben" in told[1]
    assert told[2] == "1 earlier entry; show more with --top"


def test_a_new_kind_is_in_the_table_of_the_documents(note: NoteKind) -> None:
    assert f"| `note` | {note.meaning} | {note.kept_state} |" in kinds_markdown().splitlines()


def test_a_release_without_the_kind_refuses_the_ledger(with_notes: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(KINDS, "note")
    with pytest.raises(UnknownEntryError, match=r"entry 2 is of the kind `note`; .* knows .*ingest.* upgrade"):
        open_stores(with_notes.blobs.root).ledger.state()
    assert findings(with_notes) == {entry_path(2): CHANGED, entry_path(3): CHANGED}


def test_a_name_is_registered_once(note: NoteKind) -> None:
    with pytest.raises(ValueError, match="there is a kind of entry `note` already"):
        register_kind(NoteKind())
    assert KINDS["note"] is note


# --- what every kind declares ---

KIND_NAMES: Final = tuple(KINDS)


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    made = open_stores(tmp_path_factory.mktemp("kinds") / "store")
    every_kind(made)
    return made


@pytest.mark.parametrize("name", KIND_NAMES)
def test_a_kind_is_the_module_of_its_name(name: str) -> None:
    kind = KINDS[name]
    assert type(kind).__module__ == f"resources.ledger.entries.{name}"
    assert type(kind).__doc__
    for said in (kind.meaning, kind.kept_state):
        assert said
        assert said == said.strip(". ")


def test_every_module_of_a_kind_has_registered_it() -> None:
    shared = {"audit", "base", "channel_moves", "folded", "judged_days", "run_links"}
    assert {module.name for module in iter_modules(entries.__path__)} - shared == {*KIND_NAMES}


IN_ITS_OWN_FILE = """
from dataclasses import dataclass
from resources.ledger.entries.base import EntryDescription, EntryEvent, EntryKind, register_kind

@dataclass(frozen=True)
class Greeting:
    text: str
    sequence: int = 0
    recorded_at: str = ""

class GreetKind(EntryKind[Greeting]):
    name, meaning, kept_state, record = "greet", "somebody greeted", "nothing", Greeting

    def fold(self, record, state):
        pass

    def event(self, record):
        return EntryEvent("greeting.sent", "greetings")

    def describe(self, record):
        return EntryDescription(record.text)

GREET = register_kind(GreetKind())
"""


def test_a_file_among_the_kinds_is_all_that_a_new_one_needs(tmp_path: Path) -> None:
    """In a copy of the package, so that the file is there when the registry is made."""
    shutil.copytree(REPOSITORY / "resources", tmp_path / "resources")
    (tmp_path / "resources/ledger/entries/greet.py").write_text(IN_ITS_OWN_FILE)
    script = "from resources.ledger.entries import KINDS; print(*KINDS)"
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True, text=True, check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.stdout.split() == sorted([*KIND_NAMES, "greet"])


@pytest.mark.parametrize("name", KIND_NAMES)
def test_a_record_is_frozen_and_says_what_its_fields_are(name: str) -> None:
    record = KINDS[name].record
    assert is_dataclass(record)
    assert record.__dataclass_params__.frozen  # type: ignore[attr-defined]
    for each in fields(record):
        assert f"\n        {each.name}: " in str(record.__doc__), each.name


@pytest.mark.parametrize("name", KIND_NAMES)
def test_what_is_read_of_an_entry_is_what_is_written_of_it(all_kinds: Stores, name: str) -> None:
    kind = KINDS[name]
    found = [entry for entry in all_kinds.ledger.entries() if entry.kind == name]
    assert found
    for entry in found:
        record = kind.read(entry)
        assert (record.sequence, record.recorded_at) == (entry.sequence, entry.recorded_at)
        assert canonical(kind.body(record)) == canonical(entry.body)


@pytest.mark.parametrize("name", KIND_NAMES)
def test_a_kind_has_words_for_people_and_names_no_command(all_kinds: Stores, name: str) -> None:
    for entry in (entry for entry in all_kinds.ledger.entries() if entry.kind == name):
        words = KINDS[name].describe(KINDS[name].read(entry))
        assert words.what
        assert "forecast-assets" not in " ".join(words)


@pytest.mark.parametrize("name", KIND_NAMES)
def test_the_columns_of_a_kinds_views_are_described_and_its_rows_are_of_its_records(
    all_kinds: Stores, name: str
) -> None:
    for view in KINDS[name].views():
        shown = (
            view.extra_columns.items()
            if isinstance(view, ProductView)
            else [(c.name, c.description) for c in view.columns]
        )
        assert all(description for _, description in shown)
        records = [*view.table.records(all_kinds.ledger.state())]
        kinds = {all_kinds.ledger.entries()[record.sequence - 1].kind for record in records}
        assert name in kinds


def test_no_two_kinds_say_that_a_view_is_theirs() -> None:
    views = [view.product.name if isinstance(view, ProductView) else view.name
             for kind in KINDS.values() for view in kind.views()]  # fmt: skip
    assert len(views) == len(set(views))


def test_what_holds_for_every_kind_branches_on_none() -> None:
    """What folds, appends, verifies, shows and tells asks the registry: no kind is named there."""
    root = Path(str(resources.__file__)).parent
    everywhere = [
        root / "ledger/state.py", root / "ledger/log.py", root / "maintenance/survey.py",
        root / "maintenance/verification.py", *(root / "catalogue").glob("*.py"),
        *(REPOSITORY / "forecast_assets" / each for each in ("presentation/log.py", "cli/views.py")),
    ]  # fmt: skip
    for path in everywhere:
        texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not texts & {*KIND_NAMES}, path


def test_the_documents_tell_of_every_kind() -> None:
    assert kinds_markdown() in (REPOSITORY / "docs/store-format.md").read_text()


# --- what was written at the beginning ---

FIRST_KINDS: Final = ("ingest", "register", "promote", "publish", "measure")


def as_at_the_beginning(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an entry as the first release wrote it."""
    if kind == "ingest":
        later = ("last_known_at", "is_single_word")
        batches = [{name: said for name, said in batch.items() if name not in later} for batch in body["batches"]]
        return {**body, "batches": batches}
    if kind == "publish":
        accepted = {name: [*body["acceptances"][version]] for name, version in body["products"].items()}
        return {"key": body["key"], "products": body["products"], "accepted": accepted}
    return {name: said for name, said in body.items() if name not in ("cpu", "acceptances")}


@pytest.fixture
def beginning(all_kinds: Stores, tmp_path: Path) -> Stores:
    """A store of the first release: fewer fields, fewer kinds, no nonce, no bundles."""
    root = tmp_path / "beginning"
    shutil.copytree(all_kinds.blobs.root, root)
    shutil.rmtree(root / "ledger")
    previous, sequence = GENESIS, 0
    (root / "ledger").mkdir()
    for entry in all_kinds.ledger.entries():
        if entry.kind not in FIRST_KINDS or "correction" in entry.body:
            continue
        sequence += 1
        raw = {
            "format": 1, "sequence": sequence, "previous": previous, "kind": entry.kind,
            "recorded_at": entry.recorded_at, "body": as_at_the_beginning(entry.kind, entry.body),
        }  # fmt: skip
        (root / entry_path(sequence)).write_bytes(canonical(raw))
        previous = sha256(canonical(raw))
    return open_stores(root)


def test_a_store_that_was_written_at_the_beginning_opens_and_is_as_it_was_written(beginning: Stores) -> None:
    state = beginning.ledger.state()
    assert {entry.kind for entry in beginning.ledger.entries()} == {*FIRST_KINDS}
    assert state.channel("champion") == "stat-2"
    assert [*state.publications] == [run_key(), run_key(1)]
    assert (len(state.batches), len(state.versions), len(state.measurements)) == (1, 2, 2)
    assert findings(beginning) == {}
    named = verify_store(beginning.blobs).named
    for published in state.publications.values():
        for version, checks in published.acceptances.items():
            assert {f"acceptances/{version}/{check}.json" for check in checks} <= named


def test_a_store_that_was_written_at_the_beginning_goes_on(beginning: Stores, tmp_path: Path) -> None:
    with pytest.raises(AlreadyPublishedError):
        publish(beginning, run_key())
    ingest(beginning, 1)
    register(beginning, "stat-3", gates={"backtest_beats_seasonal_naive": True})
    beginning.registry.promote("stat-3", by="ana", reason="better")
    beginning.registry.rollback(by="ben", reason="worse")
    # Its reports cannot be read, so that its registration counts; its runs say how steady they are.
    rows = judge(beginning, "stat-1", "daily").rows
    said = dict(rows.filter(kind="merit").select("gate", "verdict").iter_rows())
    assert {gate for gate, verdict in said.items() if verdict == "met"} == {
        "beats_seasonal_naive", "inputs_are_familiar", "stable_between_runs",
    }  # fmt: skip
    assert set(said.values()) == {"met", "not_measured"}
    publish(beginning, run_key(revision=1), units=9)
    publish(beginning, run_key(2))
    measure(beginning, since=beginning.ledger.state().sequence)
    record_backtest(beginning)
    assert findings(beginning) == {}
    assert beginning.ledger.state() == open_stores(beginning.blobs.root).ledger.state()
    assert len(log_text(beginning, top=100).splitlines()) > beginning.ledger.state().sequence
    with duckdb.connect(str(catalogue(beginning, tmp_path / "catalogue")), read_only=True) as connection:
        found = connection.execute("SELECT count(*) FROM audit.publications").fetchall()
        assert found == [(len(beginning.ledger.state().publications),)]


def test_the_entries_of_a_store_are_those_that_its_kinds_write(all_kinds: Stores) -> None:
    """Bytes of today, from records: nothing is added to an entry on the way, and nothing is lost."""
    for entry in all_kinds.ledger.entries():
        raw = json.loads(all_kinds.blobs.get(entry_path(entry.sequence)))
        kind = KINDS[raw["kind"]]
        assert canonical({**raw, "body": kind.body(kind.read(entry))}) == all_kinds.blobs.get(
            entry_path(entry.sequence)
        )
