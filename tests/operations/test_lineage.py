"""Lineage: from a published row or run to everything behind it, for people and for programs."""

import json
import shutil
from pathlib import Path

import pytest

from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.errors import ChangedFileError, InputError, NotPublishedError
from forecast_assets.features.specs import DEFAULT_SPECS, feature_version
from forecast_assets.operations.lineage import lineage_of
from forecast_assets.presentation.lineage import lineage_text
from resources.store.blobs import sha256
from resources.store.manifests import acceptance_path, manifest_path
from resources.store.provenance import code_version, cpu_type, library_versions
from resources.stores.home import Stores, open_stores
from tests.support.command import Call, caller
from tests.support.lineage_cases import KEY, publish_linked
from tests.support.store_cases import CHECKS, CUTOFF

ROW = f"{KEY}/A/S/3"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = open_stores(tmp_path_factory.mktemp("template") / "store")
    publish_linked(made)
    return made.blobs.root


@pytest.fixture
def stores(template: Path, tmp_path: Path) -> Stores:
    return open_stores(shutil.copytree(template, tmp_path / "home/store"))


@pytest.fixture
def call(stores: Stores, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(stores.blobs.root.parent))
    monkeypatch.chdir(stores.blobs.root.parent)

    return caller(monkeypatch, capsys)


def document(stores: Stores, identifier: str = ROW) -> dict[str, object]:
    """What a program reads, which knows nothing of this project."""
    return json.loads(json.dumps(lineage_of(stores, identifier).document()))  # type: ignore[no-any-return]


def test_every_link_can_be_followed_to_bytes_that_hash_as_said(stores: Stores) -> None:
    """A walk over plain files, with nothing but the document: from the row to the last batch."""
    found, root = document(stores), stores.blobs.root
    run, products, batches = found["run"], found["products"], found["batches"]
    waiting, seen, named = [*run["products"].values()], set(), set()  # type: ignore[index]
    model = found["model_version"]
    waiting += [model["artifact"], model["evaluation_report"], model["training_snapshot"]]  # type: ignore[index]
    while waiting:
        version = waiting.pop()
        if version in seen:
            continue
        seen.add(version)
        made = products[version]  # type: ignore[index]
        assert sha256((root / manifest_path(version)).read_bytes()) == version
        for file in made["files"]:
            assert sha256((root / file["path"]).read_bytes()) == file["sha256"]
        for check, digest in made["acceptances"].items():
            assert sha256((root / acceptance_path(version, check)).read_bytes()) == digest
        waiting += [other for name, other in made["inputs"].items() if name != "batches"]
        named |= {*made["inputs"].get("batches", ())}
    assert seen == {*products}  # type: ignore[misc]
    assert named == {*batches}  # type: ignore[misc]
    for batch in batches.values():  # type: ignore[attr-defined]
        assert sha256((root / batch["path"]).read_bytes()) == batch["sha256"]
    entry = (root / f"ledger/{run['ledger_entry']:012d}.json").read_bytes()  # type: ignore[index]
    assert sha256(entry) == run["ledger_hash"]  # type: ignore[index]
    assert json.loads(entry)["body"]["products"] == run["products"]  # type: ignore[index]


def test_it_leads_to_every_kind_of_thing_that_a_row_was_made_from(stores: Stores) -> None:
    found = lineage_of(stores, ROW)
    kinds = {made.product for made in found.products.values()}
    assert kinds == {
        "forecasts", "aggregate_forecasts", "cumulative_forecasts", "stockout_risks", "forecast_explanations",
        "forecast_overrides", "base_forecasts", "feature_snapshots", "model_artifacts", "evaluation_reports",
    }  # fmt: skip
    assert found.products[found.model.training_snapshot].facts["prediction_date"] == CUTOFF.isoformat()
    assert [batch.first_event_date.day for batch in found.batches.values()] == [1, 2]
    assert found.row is not None
    assert (found.row["sku_id"], found.row["step"], found.row["forecast_units"]) == ("A", "3", "4.000000")


def test_people_read_all_of_it_as_a_tree(stores: Stores) -> None:
    found = lineage_of(stores, ROW)
    said = lineage_text(found)
    model = found.model
    for fact in (
        ROW, "forecast_units 4.000000", f"ledger entry {found.publication.sequence} ({found.entry.hash})", cpu_type(),
        f"code {code_version()}", f"polars {library_versions()['polars']}", "model version stat-1",
        "training run run-of-training", f"feature version {feature_version(DEFAULT_SPECS)}", DEFAULT_SPECS[-1].name,
        f"artifact: model_artifacts {model.artifact}", f"registered as ledger entry {model.sequence}",
        f"evaluation_report: evaluation_reports {model.evaluation_report}",
        f"accepted by 2 checks: {', '.join(sorted(CHECKS))}",
        f"training_snapshot: feature_snapshots {model.training_snapshot} (see above)",
        "sales: 1 batch from till, 2 rows of 2025-01-01 to 2025-01-01, ledger entries 1",
        "sales: 2 batches from till, 4 rows of 2025-01-01 to 2025-01-02, ledger entries 1, 3",
    ):  # fmt: skip
        assert fact in said, fact
    for version, made in found.products.items():
        assert version in said
        assert all(file.sha256 in said for file in made.files)
    lines = said.splitlines()
    assert all(line.startswith(("├", "└", "│", " ")) for line in lines[1:])
    assert not any(name in said for name in found.batches), "batches may be many: they are counted"
    assert max(len(line) for line in lines) < 1000


def test_all_lists_every_batch_and_every_acceptance(stores: Stores) -> None:
    found = lineage_of(stores, str(KEY))
    said = lineage_text(found, lists_all=True)
    assert all(f"{name}: {batch.rows:,} rows" in said for name, batch in found.batches.items())
    accepted = [digest for checks in found.publication.acceptances.values() for digest in checks.values()]
    assert len(accepted) == len(CHECKS) * len(PUBLISHED)
    assert all(digest in said for digest in accepted)


def test_the_command_prints_a_tree_or_json(call: Call, stores: Stores) -> None:
    code, said = call("lineage", ROW)
    assert (code, said.splitlines()[0]) == (0, ROW)
    code, said = call("lineage", KEY, "--json", "--as-of", 4)
    assert code == 0
    read = json.loads(said)
    assert read["read_at"] == {
        "ledger_entry": 4, "ledger_hash": stores.ledger.entries()[3].hash, "is_past": True,
    }  # fmt: skip
    assert read["row"] is None
    assert call("lineage", KEY, "--as-of", 3)[0] == 2


@pytest.mark.parametrize(
    ("identifier", "error"),
    [
        ("daily/2025-01-02/stat-1/7", InputError),
        (f"{KEY}/A/S/x", InputError),
        (f"{KEY}/A/S/99", InputError),
        (f"{KEY}/Z/S/1", InputError),
        ("daily/2025-02-02/stat-1/7/r0", NotPublishedError),
    ],
)
def test_what_is_not_published_has_no_lineage(stores: Stores, identifier: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        lineage_of(stores, identifier)


def test_a_changed_manifest_is_not_told_as_if_it_were_right(stores: Stores) -> None:
    artifact = stores.registry.model_version("stat-1").artifact
    file = stores.blobs.local(manifest_path(artifact))
    file.write_bytes(file.read_bytes().replace(b'"horizon":7', b'"horizon":9'))
    with pytest.raises(ChangedFileError, match=artifact):
        lineage_of(open_stores(stores.blobs.root), ROW)
