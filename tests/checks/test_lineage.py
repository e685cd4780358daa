"""The check before publication: every link resolves, and to the bytes that were recorded."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from checks.lineage import lineage_breaks
from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.keys import RunKey
from resources.store.manifests import ProductVersion, manifest_path
from resources.stores.home import Stores, open_stores
from tests.support.lineage_cases import KEY, products, publish_linked, register_linked, snapshot
from tests.support.store_cases import ingest

Behind = Callable[[Stores, ProductVersion], str]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = open_stores(tmp_path_factory.mktemp("template") / "store")
    publish_linked(made)
    return made.blobs.root


@pytest.fixture
def stores(template: Path, tmp_path: Path) -> Stores:
    return open_stores(shutil.copytree(template, tmp_path / "store"))


def of(stores: Stores, name: str = "forecasts") -> ProductVersion:
    return stores.predictions.version(stores.predictions.publication(KEY).products[name])


def breaks(stores: Stores, product: ProductVersion | None = None, key: RunKey = KEY) -> list[str]:
    return lineage_breaks(stores, product or of(stores), key)


def batch_path(stores: Stores, version: str, newest: bool) -> str:
    named = stores.observations.named(stores.predictions.version(version).inputs["batches"])
    return named[-1 if newest else 0].path


LINKS: dict[str, Behind] = {
    "its own file": lambda _, made: made.files[0].path,
    "its own manifest": lambda _, made: manifest_path(made.version),
    "a product on the way": lambda s, made: s.predictions.version(made.inputs["base_forecasts"]).files[0].path,
    "manifest of a product on the way": lambda _, made: manifest_path(made.inputs["base_forecasts"]),
    "feature snapshot": lambda s, made: s.predictions.version(made.inputs["feature_snapshots"]).files[0].path,
    "batch of the day": lambda s, made: batch_path(s, made.inputs["feature_snapshots"], newest=True),
    "artifact": lambda s, made: s.predictions.version(made.inputs["model_artifacts"]).files[0].path,
    "manifest of the artifact": lambda _, made: manifest_path(made.inputs["model_artifacts"]),
    "report": lambda s, _: s.predictions.version(s.registry.model_version("stat-1").evaluation_report).files[0].path,
    "manifest of the report": lambda s, _: manifest_path(s.registry.model_version("stat-1").evaluation_report),
    "training snapshot": lambda s, _: (
        s.predictions.version(s.registry.model_version("stat-1").training_snapshot).files[0].path
    ),
    "batch of the training": lambda s, _: batch_path(
        s, s.registry.model_version("stat-1").training_snapshot, newest=False
    ),
}


@pytest.mark.parametrize("product", PUBLISHED)
def test_a_run_as_it_was_made_has_no_break(stores: Stores, product: str) -> None:
    assert breaks(stores, of(stores, product)) == []


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_whatever_is_damaged_behind_a_product_is_named(stores: Stores, link: str, damage: str) -> None:
    product = of(stores)
    path = LINKS[link](stores, product)
    file = stores.blobs.local(path)
    if damage == "missing":
        file.unlink()
    else:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.chmod(0o644)
        file.write_bytes(content)
    (said,) = breaks(open_stores(stores.blobs.root), product)
    assert path in said


def test_a_training_batch_that_no_later_snapshot_reads_is_verified(stores: Stores) -> None:
    """The batches of the training are behind the version, whether or not the day's snapshot names them too."""
    made = products(stores, _of_last_batch(stores))["forecasts"]
    assert breaks(stores, made) == []
    trained_on = stores.registry.model_version("stat-1").training_snapshot
    path = batch_path(stores, trained_on, newest=False)
    stores.blobs.local(path).unlink()
    assert [path in said for said in breaks(stores, made)] == [True]


def _of_last_batch(stores: Stores) -> ProductVersion:
    scored = stores.predictions.version(of(stores).inputs["feature_snapshots"])
    last = {"batches": [scored.inputs["batches"][-1]]}
    return stores.predictions.write_bytes(
        "feature_snapshots", b"rows of the last batch", key="x", path="predictions/feature_snapshots/x", rows=1,
        schema="", inputs=last, facts=scored.facts,
    )  # fmt: skip


def test_an_entry_that_was_edited_breaks_the_chain_before_any_link(stores: Stores) -> None:
    product = of(stores)
    entry = next(each for each in stores.ledger.entries() if each.kind == "register")
    file = stores.blobs.local(f"ledger/{entry.sequence:012d}.json")
    raw = json.loads(file.read_bytes())
    raw["body"]["artifact"] = "0" * 64
    file.write_bytes(json.dumps(raw, sort_keys=True, separators=(",", ":")).encode())
    (said,) = breaks(open_stores(stores.blobs.root), product)
    assert "does not follow" in said


def test_a_product_of_another_run_is_not_taken(stores: Stores) -> None:
    (said, *_) = breaks(stores, key=replace(KEY, forecast_horizon=9))
    assert said == f"the manifest is of {KEY}, not of {replace(KEY, forecast_horizon=9)}"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model_version": "stat-2"}, "it was made by version stat-2, not stat-1"),
        ({"evaluation_report": "e"}, "it names the evaluation report e, not "),
        ({"feature_version": "f"}, "it names feature version f, not "),
        ({"inputs": {"model_artifacts": None}}, "it was made with artifact None, not "),
        ({"inputs": {"feature_snapshots": None}}, "it names no feature snapshot"),
    ],
)
def test_a_manifest_that_names_another_thing_than_its_version_does_is_refused(
    stores: Stores, wrong: dict[str, object], message: str
) -> None:
    scored = stores.predictions.version(of(stores).inputs["feature_snapshots"])
    said = breaks(stores, products(stores, scored, **wrong)["forecasts"])
    assert [message in each for each in said] == [True]


def test_a_snapshot_of_another_date_is_refused(stores: Stores) -> None:
    made = products(stores, snapshot(stores, 5))["forecasts"]
    assert breaks(stores, made) == ["its snapshot is of 2025-01-06, not 2025-01-02"]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("artifact", "the report is of artifact "),
        ("training_snapshot", "the artifact was trained on snapshot "),
        ("feature_version", "the training snapshot has feature version "),
    ],
)
def test_a_version_whose_entry_and_manifests_disagree_is_refused(tmp_path: Path, field: str, message: str) -> None:
    other = open_stores(tmp_path / "other")
    ingest(other)
    trained_on = snapshot(other, 0)
    another = other.predictions.write_artifact(
        "model_artifacts", b"other", key="x", folder="x", inputs={"feature_snapshots": trained_on.version}, facts={}
    )
    wrong = {"artifact": another.version, "training_snapshot": snapshot(other, 3).version, "feature_version": "f"}
    register_linked(other, trained_on, **{field: wrong[field]})
    made = products(other, snapshot(other, 1))["forecasts"]
    assert [each for each in breaks(other, made) if message in each], breaks(other, made)


def test_a_report_that_is_not_there_is_named(stores: Stores) -> None:
    product = of(stores)
    report = stores.registry.model_version("stat-1").evaluation_report
    stores.blobs.local(manifest_path(report)).unlink()
    (said,) = breaks(open_stores(stores.blobs.root), product)
    assert report in said
    assert "missing" in said
