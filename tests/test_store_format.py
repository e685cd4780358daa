"""The document of the format is enough: its own reader reads what this project reads, and nothing is left out of it."""

import ast
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from forecast_assets.contracts import CALIBRATION, PUBLISHED
from forecast_assets.operations.reading import read_product
from resources.ledger.entries import KINDS
from resources.ledger.entries.backlog import BACKLOG, OPEN, BacklogDecision
from resources.ledger.log import BUNDLE, Entry
from resources.ledger.records import canonical
from resources.stores.home import Stores, open_stores
from tests.support.calibration_cases import calibration_frame
from tests.support.ledger_cases import every_kind
from tests.support.lineage_cases import publish_linked
from tests.support.store_cases import run_key

DOCUMENT = Path(__file__).parent.parent / "docs/store-format.md"
# Runs a script in which nothing of this project can be imported, and says so if something was.
ALONE = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("forecast_assets", "resources", "checks", "partitions", "polars", "duckdb"):
            raise ImportError(name + " is not for this reader")
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    made = open_stores(tmp_path_factory.mktemp("store") / "store")
    every_kind(made)
    found = BacklogDecision(2, OPEN, "ana", "the till was closed", "feedback/0b6f6a3e-6f0e-4a55-9d5e-2f1c7f0a9b1d")
    made.ledger.append(BACKLOG.name, BACKLOG.body(found))
    return made


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    script = tmp_path_factory.mktemp("reader") / "reader.py"
    (source,) = blocks("python")
    script.write_text(source)
    return script


def blocks(language: str, text: str | None = None) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text or DOCUMENT.read_text(), flags=re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    found = re.search(
        rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", DOCUMENT.read_text(), flags=re.MULTILINE | re.DOTALL
    )
    assert found, title
    return found.group(1)


def run(reader: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", ALONE, reader, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def lines(reader: Path, *arguments: object) -> list[Any]:
    done = run(reader, *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_reader_is_short_and_needs_the_standard_library_and_pyarrow_only() -> None:
    (source,) = blocks("python")
    assert len(source.splitlines()) < 70
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    named = {name for node in nodes for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]}
    packages = {name.partition(".")[0] for name in named if name} - {"Path"}
    assert packages - sys.stdlib_module_names == {"pyarrow"}


def test_the_guard_keeps_this_project_away_from_the_reader(tmp_path: Path) -> None:
    script = tmp_path / "cheat.py"
    script.write_text("import resources.stores.home")
    done = run(script)
    assert done.returncode == 1
    assert "not for this reader" in done.stderr


@pytest.mark.parametrize("product", PUBLISHED)
@pytest.mark.parametrize("revision", [0, 1])
def test_the_documents_reader_reads_the_rows_that_this_project_reads(
    stores: Stores, reader: Path, product: str, revision: int
) -> None:
    key = run_key(revision=revision)
    frame = read_product(stores, stores.predictions.publication(key), product)
    ours = [json.loads(json.dumps(row, default=str)) for row in frame.to_dicts()]
    assert lines(reader, stores.blobs.root, key, product) == ours
    assert len(ours) > 5


@pytest.mark.parametrize("position", [3, 6, 8, 13])
def test_the_documents_reader_folds_entries_to_the_same_state(stores: Stores, reader: Path, position: int) -> None:
    state = stores.as_of(position).ledger.state()
    (found,) = lines(reader, stores.blobs.root, position)
    assert found["head"] == f"{state.sequence}:{state.head}"
    assert list(found["batches"]) == list(state.batches)
    assert list(found["versions"]) == list(state.versions)
    assert found["channels"].get("champion") == state.channel("champion")
    assert list(found["publications"]) == [str(key) for key in state.publications]
    measured = {f"{c}/{d}": days[-1].product_version for (c, d), days in state.measurements.items()}
    assert {name: body["product_version"] for name, body in found["measurements"].items()} == measured
    backtests = {version: reports[-1].product_version for version, reports in state.backtests.items()}
    assert {name: body["product_version"] for name, body in found["backtests"].items()} == backtests


def test_the_documents_reader_reads_entries_of_the_first_release(reader: Path, tmp_path: Path) -> None:
    """They name manifests and checks, not files and acceptances."""
    stores = open_stores(tmp_path / "store")
    publication = publish_linked(stores)
    entry = stores.ledger.entries()[-1]
    old = {name: value for name, value in entry.body.items() if name in ("key", "products")}
    raw = {
        "format": 1, "sequence": entry.sequence, "previous": entry.previous, "kind": "publish",
        "recorded_at": entry.recorded_at, "body": {**old, "accepted": publication.accepted},
    }  # fmt: skip
    (tmp_path / f"store/ledger/{entry.sequence:012d}.json").write_bytes(canonical(raw))
    again = open_stores(tmp_path / "store")
    found = again.predictions.publication(publication.key)
    assert found.files == {}
    frame = read_product(again, found, "forecasts")
    assert lines(reader, tmp_path / "store", publication.key, "forecasts") == [
        json.loads(json.dumps(row, default=str)) for row in frame.to_dicts()
    ]


@pytest.mark.parametrize("damage", ["entry", "file", "hole"])
def test_the_documents_reader_refuses_what_was_changed(reader: Path, tmp_path: Path, damage: str) -> None:
    stores = open_stores(tmp_path / "store")
    publication = publish_linked(stores)
    (file,) = stores.predictions.files(publication, "forecasts")
    target = stores.blobs.local(file.path if damage == "file" else "ledger/000000000002.json")
    if damage == "hole":
        target.unlink()
    else:
        target.write_bytes(target.read_bytes().replace(b"stat-1", b"stat-9") + (b"" if damage == "entry" else b"x"))
    done = run(reader, stores.blobs.root, publication.key, "forecasts")
    assert done.returncode == 1
    assert ("not what was recorded" if damage == "file" else "does not follow") in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_entry_is_described_with_an_example_of_its_fields(stores: Stores, kind: str) -> None:
    (block,) = blocks("json", section(kind))
    # Where fields are in some entries only, an example of each stands on a line of its own.
    examples = json.loads("[" + block.replace("}\n{", "},{") + "]")
    real = [entry for entry in stores.ledger.entries() if entry.kind == kind]
    assert {name for each in examples for name in shape(each)} == {name for entry in real for name in shape(entry.body)}


def shape(body: object, at: str = "") -> set[str]:
    """The paths of all fields, where names that are data (products, hashes, checks) count as one."""
    if isinstance(body, list):
        return {path for each in body for path in shape(each, f"{at}[]")}
    if not isinstance(body, Mapping):
        return {at}
    data = (".acceptances", ".files", ".products", ".schemas", ".gates", ".value_acceptances")
    is_data = at in data or at.startswith(".acceptances.")
    return {path for name, each in body.items() for path in shape(each, f"{at}.{'*' if is_data else name}")} or {at}


def test_the_envelope_is_described_field_by_field(stores: Stores) -> None:
    named = re.findall(r"^\| `(\w+)` \|", section("Entries"), re.MULTILINE)
    (example,) = blocks("json", section("Entries"))
    for entry in stores.ledger.entries():
        raw = stores.blobs.get(f"ledger/{entry.sequence:012d}.json")
        assert sorted(json.loads(raw)) == sorted(named)
        assert canonical(json.loads(raw)) == raw
    assert canonical(json.loads(example)) == example.strip().encode(), "the example is in the form it describes"
    assert Entry.parse(example.strip().encode()).kind == "promote"


def test_manifests_and_acceptances_are_described_field_by_field(stores: Stores) -> None:
    manifest, acceptance = (json.loads(block) for block in blocks("json", section("Manifests and acceptances")))
    for folder, example in (("manifests", manifest), ("acceptances", acceptance)):
        for file in (stores.blobs.root / folder).rglob("*.json"):
            assert sorted(json.loads(file.read_bytes())) == sorted(example)


def test_every_folder_of_a_store_is_described(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ledger.log", "maintenance.verification"):
        monkeypatch.setattr(f"resources.{module}.BUNDLE", 3)
    linked = open_stores(tmp_path / "store")
    publish_linked(linked)
    linked.predictions.write(
        CALIBRATION, calibration_frame(), key="stat-1", folder="calibration/model_version=stat-1", inputs={}, facts={}
    )
    found = {path.name for store in (stores, linked) for path in store.blobs.local("ledger").parent.iterdir()}
    assert set(re.findall(r"^\| `(\w+)/` \|", section("Folders"), re.MULTILINE)) == found


def test_bundles_are_what_the_document_says(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    for number in range(BUNDLE):
        stores.ledger.append(
            "promote",
            {"channel": "champion", "model_version": f"v-{number}", "by": "ana", "reason": "x"},
            lambda _: None,
        )
    (named,) = re.findall(r"A bundle `(ledger_bundles/\d+\.jsonl)`", section("Entries"))
    entries = [file.read_bytes() for file in sorted((tmp_path / "store/ledger").iterdir())]
    assert (tmp_path / "store" / named).read_bytes() == b"\n".join(entries)


def test_every_hash_in_a_name_is_that_of_the_file(stores: Stores) -> None:
    """As the document says to check with sha256sum."""
    named = [path for path in stores.blobs.root.rglob("*") if re.fullmatch(r"[0-9a-f]{64}", path.name.split(".")[0])]
    files = [path for path in named if path.is_file()]
    assert len(files) > 20
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name.split(".")[0]
