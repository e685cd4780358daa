"""The dashboard that Superset imports: what its charts ask, without Superset, and how their answers are compared."""

import io
import re
import shlex
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from bench.superset import BY_HAND, REQUIREMENTS, SAVED, WATCHED, Answer, bundle, by_hand, plain
from forecast_assets.core.keys import RunKey
from resources.stores.home import Stores
from tests.resources.catalogue.test_catalogue import build
from tests.support.store_cases import publish, register

REPOSITORY = Path(__file__).parents[2]
OTHER = RunKey("daily", date(2025, 7, 1), "stat-2", 7)


def files(content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: yaml.safe_load(archive.read(name)) for name in archive.namelist()}


def of_kind(found: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [content for name, content in found.items() if name.startswith(f"dashboard/{kind}/")]


def asked_by(chart: dict[str, Any], datasets: dict[str, dict[str, Any]]) -> str:
    """The query that Superset makes of a chart and its data set, as it was read in what Superset sent."""
    (asked,) = yaml.safe_load(chart["query_context"])["queries"]
    dataset = datasets[chart["dataset_uuid"]]
    source = f"({dataset['sql']})" if dataset["sql"] else f'"{dataset["schema"]}".{dataset["table_name"]}'
    metrics = [f'{each["sqlExpression"]} AS "{each["label"]}"' for each in asked["metrics"]]
    columns = ", ".join(asked["columns"])
    order = ", ".join(
        f"{by if isinstance(by, str) else chr(34) + by['label'] + chr(34)} {'ASC' if ascending else 'DESC'}"
        for by, ascending in asked["orderby"]
    )
    return (
        f"SELECT {columns}, {', '.join(metrics)} FROM {source} WHERE {asked['extras']['where']} "  # noqa: S608
        f"GROUP BY {columns} ORDER BY {order} LIMIT {asked['row_limit']}"
    )


@pytest.mark.parametrize("run", [SAVED, OTHER])
def test_charts_ask_what_was_written_by_hand_of_the_run_that_is_named(
    stores: Stores, tmp_path: Path, run: RunKey
) -> None:
    register(stores, run.model_version)
    publish(stores, run, 4)
    publish(stores, RunKey(run.cadence, run.prediction_date, run.model_version, run.forecast_horizon, 1), 6)
    build(stores, tmp_path / "catalogue")
    found = files(bundle(tmp_path, run))
    datasets = {each["uuid"]: each for each in of_kind(found, "datasets")}
    charts = of_kind(found, "charts")
    assert {each["slice_name"] for each in charts} == BY_HAND.keys()
    with duckdb.connect(tmp_path / "catalogue/catalogue.duckdb", read_only=True) as connection:
        for chart in charts:
            rows = plain(connection.execute(asked_by(chart, datasets)).fetchall())
            assert rows, chart["slice_name"]
            assert rows == by_hand(tmp_path, run, chart["slice_name"])
    assert [row[0] for row in by_hand(tmp_path, run, WATCHED)] == [0, 1]


def test_the_database_is_the_home_read_only_and_no_file_names_another_place(tmp_path: Path) -> None:
    found = files(bundle(tmp_path, OTHER))
    (database,) = of_kind(found, "databases")
    assert database["sqlalchemy_uri"] == f"duckdb:///{tmp_path}/catalogue/catalogue.duckdb"
    assert database["extra"]["engine_params"]["connect_args"] == {"read_only": True}
    assert not database["allow_dml"]
    assert {each["schema"] for each in of_kind(found, "datasets")} == {"stat-2"}
    assert "PATH/OF/HOME" not in str(found)
    assert "stat-1" not in str(found)


def test_a_value_that_differs_by_a_millionth_is_told() -> None:
    shown = plain([("S-01", 68840.547419, 20)])
    assert shown == plain([("S-01", Decimal("68840.547419"), 20)])
    for expected, same in ((Decimal("68840.547419"), True), (Decimal("68840.547420"), False)):
        assert Answer("x", "at first", shown, plain([("S-01", expected, 20)]), 0, 0).same is same
    assert not Answer("x", "at first", [], [], 0, 0).same


def test_the_document_installs_what_is_measured() -> None:
    (line,) = re.findall(r"pip install (apache-superset.*)", (REPOSITORY / "docs/querying.md").read_text())
    assert set(shlex.split(line)) == set(REQUIREMENTS)
