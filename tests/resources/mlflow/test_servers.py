"""Mirrors elsewhere: MLflow's server, PostgreSQL, a bucket; each started here, on this machine."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from forecast_assets.core.errors import MirrorUnavailableError
from forecast_assets.launch import Runner
from forecast_assets.operations.mirroring import compare_mirror, mirror_place
from resources.mlflow.place import MirrorPlace, prepare
from tests.support.buckets import BUCKET, Server
from tests.support.mirrors import client, home_with, mirrored, mlflow_server, postgresql, register_again


@pytest.fixture
def home(trained: Runner, tmp_path: Path) -> Runner:
    return home_with(trained, tmp_path / "home", "stat-2")


def follows(home: Runner, place: MirrorPlace) -> Any:
    """Mirror, move a channel, mirror again, make anew; return MLflow's own client."""
    assert mirrored(home, place).written == ("stat-1", "stat-2")
    assert compare_mirror(home.stores, place).differences == ()
    home.stores.registry.promote("stat-2", by="ana", reason="better")
    register_again(home.stores, "stat-3")
    again = mirrored(home, place)
    assert (again.written, again.changed, dict(again.aliases)) == (
        ("stat-3",), ("stat-1", "stat-2"), {"champion": "stat-2"},
    )  # fmt: skip
    assert mirrored(home, place, rebuild=True).written == ("stat-1", "stat-2", "stat-3")
    assert compare_mirror(home.stores, place).differences == ()
    found = client(place)
    versions = found.search_model_versions(f"name = '{place.model}'")
    assert {each.tags["model_version"]: int(each.version) for each in versions} == {
        "stat-1": 1, "stat-2": 2, "stat-3": 3,
    }  # fmt: skip
    record = home.stores.registry.model_version("stat-1")
    artifact = found.download_artifacts(found.get_model_version(place.model, "1").run_id, "model/data/artifact.json")
    store = home.stores.predictions
    assert Path(artifact).read_bytes() == store.read_bytes(store.version(record.artifact))
    return found


@pytest.mark.timeout(600)
def test_versions_are_mirrored_to_postgresql_and_a_bucket(home: Runner, server: Server, tmp_path: Path) -> None:
    bucket = f"s3://{BUCKET}/{uuid4().hex}/mlflow artifacts"
    with postgresql(tmp_path / "postgresql") as address:
        place = replace(mirror_place(home.settings), address=address, artifact_root=bucket)
        server.requests()
        mlflow = follows(home, place)
        assert server.requests()["PUT"] >= 3 * 5
        assert mlflow.get_model_version(place.model, "1").source.startswith(bucket)
        # Nobody may write there: nothing is registered half, and nothing is lost.
        register_again(home.stores, "stat-4")
        server.disturb(*[("PUT", "denied")] * 40)
        with pytest.raises(MirrorUnavailableError, match="refuses") as refused:
            mirrored(home, place)
        assert "secret" not in str(refused.value)
        assert len(mlflow.search_model_versions(f"name = '{place.model}'")) == 3
        server.disturb()
        assert mirrored(home, place).written == ("stat-4",)
        assert compare_mirror(home.stores, place).differences == ()
    with pytest.raises(MirrorUnavailableError, match="cannot be opened"):
        mirrored(home, place)


@pytest.mark.timeout(600)
def test_versions_are_mirrored_to_a_server(home: Runner, tmp_path: Path) -> None:
    database = MirrorPlace(tmp_path / "server", "m")
    prepare(database)
    with mlflow_server(tmp_path / "server", database.database) as address:
        place = replace(mirror_place(home.settings), address=address)
        mlflow = follows(home, place)
        assert mlflow.get_model_version(place.model, "1").source.startswith("mlflow-artifacts:")
        assert not place.database.exists()
    with pytest.raises(MirrorUnavailableError, match="does not answer"):
        mirrored(home, place)
