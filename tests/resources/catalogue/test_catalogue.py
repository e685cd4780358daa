"""The BI catalogue: explicit versions, safe swaps, every driver."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy

from forecast_assets.contracts import PRODUCTS, PUBLISHED
from forecast_assets.core.errors import StorageError
from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.features.specs import DEFAULT_SPECS, specs_to_data
from forecast_assets.operations.lineage import lineage_of
from forecast_assets.presentation.actions import error_text
from resources.catalogue.audit import GROUPS, AuditRows
from resources.catalogue.build import build_catalogue, refresh_catalogue, superseded_files
from resources.ledger.entries.audit import AuditTable, ComputedRows
from resources.ledger.entries.publish import publications_table
from resources.ledger.records import canonical
from resources.store.blobs import sha256
from resources.store.manifests import manifest_path
from resources.stores.home import Stores, open_stores
from resources.stores.products import run_folder
from tests.support import lineage_cases, store_cases
from tests.support.products import KEY, make
from tests.support.store_cases import register


def publish(stores: Stores, key: RunKey = KEY) -> None:
    if key.model_version not in stores.ledger.state().versions:
        register(stores, key.model_version)
    products = {}
    for name in PUBLISHED:
        frame = make(name).with_columns(
            cadence=_text(key.cadence),
            model_version=_text(key.model_version),
            prediction_date=_day(key.prediction_date),
        )
        products[name] = stores.predictions.write(
            PRODUCTS[name], frame, key=key, folder=run_folder(name, key), inputs={}, facts={}
        ).version
    stores.predictions.publish(key, products, lambda _: ())


def _text(value: str) -> object:
    import polars as pl

    return pl.lit(value)


def _day(value: date) -> object:
    import polars as pl

    return pl.lit(value)


def build(stores: Stores, folder: Path, *, anew: bool = False) -> Path:
    with duckdb.connect() as connection:
        return build_catalogue(stores.predictions, folder, connection, anew=anew)


@pytest.fixture
def catalogue(stores: Stores, tmp_path: Path) -> Path:
    publish(stores)
    build(stores, tmp_path / "catalogue")
    return tmp_path / "catalogue" / "catalogue.duckdb"


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_each_version_is_a_schema_and_nothing_is_latest(stores: Stores, catalogue: Path) -> None:
    publish(stores, RunKey("daily", KEY.prediction_date, "stat-2", 7))
    build(stores, catalogue.parent)
    found = rows(catalogue, "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL")
    schemas = {schema for schema, _ in found}
    assert schemas == {"audit", "main", "stat-1", "stat-2"}
    assert {view for schema, view in found if schema == "stat-2"} == set(PUBLISHED)


def test_a_query_without_a_version_says_which_there_are_and_still_tells_its_columns(
    stores: Stores, catalogue: Path
) -> None:
    publish(stores, RunKey("daily", KEY.prediction_date, "other-2", KEY.forecast_horizon))
    build(stores, catalogue.parent)
    with duckdb.connect(str(catalogue), read_only=True) as connection:
        for name in PUBLISHED:
            for select in ("SELECT * FROM ", "SELECT count(*) FROM ", "SELECT 1 FROM (FROM main."):
                with pytest.raises(duckdb.InvalidInputException, match="stat-1") as error:
                    connection.execute(f"{select}{name}{')' if '(F' in select else ''}").fetchall()
                assert f'FROM "stat-1".{name}. There are "other-2", "stat-1".' in str(error.value)
            described = connection.execute(f"DESCRIBE main.{name}").fetchall()
            assert described == connection.execute(f'DESCRIBE "stat-1".{name}').fetchall()
    engine = sqlalchemy.create_engine(f"duckdb:///{catalogue}", connect_args={"read_only": True})
    assert {*PUBLISHED} <= {*sqlalchemy.inspect(engine).get_view_names("main")}
    columns = sqlalchemy.inspect(engine).get_columns("forecasts", "main")
    assert [each["name"] for each in columns][:2] == PRODUCTS["forecasts"].names[:2]


def test_weekly_runs_have_views_of_their_own(stores: Stores, catalogue: Path) -> None:
    publish(stores, RunKey("weekly", KEY.prediction_date, "stat-1", 7))
    publish(stores, RunKey("weekly", KEY.prediction_date, "stat-weekly-1", 7))
    build(stores, catalogue.parent)
    found = rows(catalogue, "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL")
    weekly = {f"weekly_{product}" for product in PUBLISHED}
    assert {view for schema, view in found if schema == "stat-1"} == {*PUBLISHED, *weekly}
    assert {view for schema, view in found if schema == "stat-weekly-1"} == weekly
    for view, cadence in (("forecasts", "daily"), ("weekly_forecasts", "weekly")):
        assert rows(catalogue, f'SELECT DISTINCT cadence FROM "stat-1".{view}') == [(cadence,)]  # noqa: S608
    comments = rows(
        catalogue,
        "SELECT comment FROM duckdb_views() WHERE view_name = 'weekly_stockout_risks' AND schema_name <> 'main'",
    )
    assert all("Runs of the weekly cadence only." in str(comment) for (comment,) in comments)


def test_a_store_that_was_made_anew_has_a_catalogue_of_its_own(stores: Stores, catalogue: Path, tmp_path: Path) -> None:
    other = open_stores(tmp_path / "anew" / "store")
    publish(other, RunKey("daily", date(2025, 1, 2), "stat-1", 7))
    assert other.ledger.state().sequence == stores.ledger.state().sequence
    build(other, catalogue.parent)
    assert rows(catalogue, "SELECT prediction_date FROM audit.publications") == [(date(2025, 1, 2),)]
    assert rows(catalogue, "SELECT hash FROM audit.ledger_head") == [(other.ledger.state().head,)]


def test_a_store_whose_tail_was_cut_is_shown_as_it_is(stores: Stores, catalogue: Path, tmp_path: Path) -> None:
    publish(stores, RunKey("daily", date(2025, 1, 2), "stat-1", 7))
    build(stores, catalogue.parent)
    max((tmp_path / "store" / "ledger").iterdir()).unlink()
    build(open_stores(tmp_path / "store"), catalogue.parent)
    assert rows(catalogue, "SELECT sequence FROM audit.ledger_head") == [(2,)]
    assert rows(catalogue, 'SELECT count(*) FROM "stat-1".forecasts') == [(14,)]


def test_a_slow_builder_does_not_hide_what_was_published_meanwhile(
    stores: Stores, catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resources.catalogue.build as wiring

    real = wiring._built
    late = open_stores(tmp_path / "store")

    def slow(*arguments: Any) -> Path:
        built = real(*arguments)
        if not stores.ledger.state().publications.keys() - {KEY}:
            publish(stores, RunKey("daily", date(2025, 1, 2), "stat-1", 7))
        return built

    monkeypatch.setattr(wiring, "_built", slow)
    build(late, catalogue.parent)
    assert rows(catalogue, 'SELECT count(*) FROM "stat-1".forecasts') == [(28,)]


def test_types_and_keys_come_through(catalogue: Path) -> None:
    described = dict(rows(catalogue, 'SELECT column_name, column_type FROM (DESCRIBE "stat-1".forecasts)'))
    assert described["prediction_date"] == "DATE"
    assert described["model_version"] == "VARCHAR"
    assert described["forecast_units"] == "DECIMAL(18,6)"
    assert rows(catalogue, 'SELECT DISTINCT model_version, forecast_horizon FROM "stat-1".forecasts') == [("stat-1", 7)]


def test_prediction_ids_in_sql_are_the_ones_that_lineage_reads(catalogue: Path) -> None:
    found = rows(catalogue, "SELECT prediction_id FROM \"stat-1\".forecasts WHERE sku_id = 'A' AND step = 3")
    assert found == [(str(PredictionId(KEY, "A", "S", 3)),)]


def test_columns_are_described(catalogue: Path) -> None:
    comments = rows(
        catalogue,
        "SELECT comment FROM duckdb_columns() WHERE column_name = 'expected_sales_units' AND schema_name = 'stat-1'",
    )
    assert any("stock-outs" in str(comment) for (comment,) in comments)


def test_old_connections_keep_what_they_had_and_new_ones_see_the_newest(stores: Stores, catalogue: Path) -> None:
    count = 'SELECT count(*) FROM "stat-1".forecasts'
    with duckdb.connect(str(catalogue), read_only=True) as before:
        publish(stores, RunKey("daily", date(2025, 1, 2), "stat-1", 7))
        build(stores, catalogue.parent)
        assert before.execute(count).fetchall() == [(14,)]
    assert rows(catalogue, count) == [(28,)]


def test_the_database_has_one_name_before_and_after_every_publication(stores: Stores, catalogue: Path) -> None:
    named = 'SELECT current_database(), count(*) FROM catalogue."stat-1".forecasts'
    assert rows(catalogue, named) == [("catalogue", 14)]
    before = catalogue.resolve()
    publish(stores, RunKey("daily", date(2025, 1, 2), "stat-1", 7))
    build(stores, catalogue.parent)
    assert rows(catalogue, named) == [("catalogue", 28)]
    # Drivers that name a database after the link see the same name as those that follow it.
    assert catalogue.resolve() != before
    assert before.name == catalogue.resolve().name == catalogue.name
    engine = sqlalchemy.create_engine(f"duckdb:///{catalogue}", connect_args={"read_only": True})
    assert "catalogue.stat-1" in [name.replace('"', "") for name in sqlalchemy.inspect(engine).get_schema_names()]
    engine.dispose()


def test_a_home_of_an_earlier_release_gets_the_name_with_the_next_look(stores: Stores, catalogue: Path) -> None:
    # There a catalogue lay beside the link, under a name of its own.
    built = catalogue.resolve()
    earlier = catalogue.with_name(f"{built.parent.name}.duckdb")
    built.rename(earlier)
    built.parent.rmdir()
    catalogue.unlink()
    catalogue.symlink_to(earlier.name)
    with duckdb.connect(str(catalogue), read_only=True) as held:
        assert held.execute('SELECT count(*) FROM "stat-1".forecasts').fetchall() == [(14,)]
        refresh_catalogue(stores.predictions, catalogue.parent)
        assert rows(catalogue, 'SELECT current_database(), count(*) FROM "stat-1".forecasts') == [("catalogue", 14)]
        assert held.execute('SELECT count(*) FROM "stat-1".forecasts').fetchall() == [(14,)]
    age(earlier, 30)
    age(catalogue.resolve(), 20)
    assert superseded_files(catalogue.parent, ago(25)) == []
    assert superseded_files(catalogue.parent, ago(15)) == [earlier]


def test_a_build_that_fails_leaves_no_folder(stores: Stores, catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(stores, RunKey("daily", date(2025, 1, 2), "stat-1", 7))
    before = sorted(catalogue.parent.iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("resources.catalogue.build._build_file", full)
    with pytest.raises(StorageError, match="No space left"):
        refresh_catalogue(stores.predictions, catalogue.parent)
    assert sorted(catalogue.parent.iterdir()) == before
    assert rows(catalogue, 'SELECT count(*) FROM "stat-1".forecasts') == [(14,)]


# What means something in a path: a quote of SQL, marks of patterns, what DuckDB reads from the names of folders.
ODD_FOLDERS = ("it's", "a*", "[x]", "50%", "#1", "a b", "{a,b}", "store_id=7", "prediction_date=2020-01-01")


@pytest.mark.parametrize("folder", ODD_FOLDERS)
def test_a_home_may_be_called_anything(folder: str, tmp_path: Path) -> None:
    stores = open_stores(tmp_path / folder / "store")
    publish(stores)
    # A folder beside it that the name would match if it were a pattern.
    decoy = open_stores(tmp_path / "ab" / "store")
    publish(decoy)
    link = tmp_path / folder / "catalogue" / "catalogue.duckdb"
    build(stores, link.parent)
    said = 'SELECT count(*), count(DISTINCT store_id), min(store_id), max(prediction_date) FROM "stat-1".forecasts'
    assert rows(link, said) == [(14, 1, "S", KEY.prediction_date)]
    assert rows(link, "SELECT count(*) FROM audit.publications") == [(1,)]
    views = "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal AND schema_name <> 'main'"
    for schema, view in rows(link, views):
        rows(link, f'FROM "{schema}"."{view}"')


def test_a_client_that_opens_it_to_write_does_no_harm(stores: Stores, catalogue: Path) -> None:
    target = catalogue.resolve()
    before = target.read_bytes()
    try:
        with duckdb.connect(str(catalogue)) as client:
            client.execute('CREATE VIEW "stat-1".mine AS SELECT 1')
    except duckdb.Error:
        assert target.read_bytes() == before
    publish(stores, RunKey("daily", date(2025, 1, 2), "stat-1", 7))
    build(stores, catalogue.parent)
    assert rows(catalogue, 'SELECT count(*) FROM "stat-1".forecasts') == [(28,)]


def test_building_again_changes_nothing(stores: Stores, catalogue: Path) -> None:
    first = catalogue.resolve()
    stamp = first.stat().st_mtime_ns
    assert build(stores, catalogue.parent) == first
    assert first.stat().st_mtime_ns == stamp
    assert [path.name for path in catalogue.parent.iterdir() if path.name.startswith(".")] == []


def test_an_empty_ledger_has_a_catalogue_too(stores: Stores, tmp_path: Path) -> None:
    build(stores, tmp_path / "catalogue")
    assert rows(tmp_path / "catalogue/catalogue.duckdb", "SELECT count(*) FROM audit.publications") == [(0,)]


def test_a_bi_tool_reads_it_through_sqlalchemy(catalogue: Path) -> None:
    engine = sqlalchemy.create_engine(f"duckdb:///{catalogue}", connect_args={"read_only": True})
    with engine.connect() as connection:
        total = connection.execute(sqlalchemy.text('SELECT sum(forecast_units) FROM "stat-1".forecasts')).scalar_one()
    engine.dispose()
    assert total == 56


def test_the_audit_schema_names_versions_of_every_product(catalogue: Path) -> None:
    found = rows(
        catalogue, "SELECT publication_key, ledger_sequence, length(forecasts_version) FROM audit.publications"
    )
    assert found == [(str(KEY), 2, 64)]
    assert rows(catalogue, "SELECT model_version, cutoff FROM audit.model_versions") == [("stat-1", date(2025, 1, 1))]


# --- what the audit views say ---


def query(path: Path, sql: str) -> list[dict[str, Any]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute(sql)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@pytest.fixture
def linked(stores: Stores, tmp_path: Path) -> Path:
    lineage_cases.publish_linked(stores)
    build(stores, tmp_path / "catalogue")
    return tmp_path / "catalogue" / "catalogue.duckdb"


OF_A_ROW = (
    'SELECT lineage.* FROM "stat-1".forecasts JOIN audit.lineage '
    "USING (cadence, prediction_date, model_version, forecast_horizon, revision) WHERE prediction_id = '{}'"
)


def test_one_query_leads_from_a_row_to_all_it_was_made_from(stores: Stores, linked: Path) -> None:
    wanted = lineage_of(stores, str(PredictionId(lineage_cases.KEY, "A", "S", 3)))
    links = query(linked, OF_A_ROW.format(wanted.identifier))
    made = [link for link in links if not link["link"].endswith("_batch")]
    assert {link["version"] for link in made} == set(wanted.products)
    for link in made:
        product = wanted.products[link["version"]]
        (file,) = product.files
        assert (link["product"], link["path"], link["sha256"]) == (product.product, file.path, file.sha256)
        assert (link["code_version"], link["made_from"]) == (product.code_version, product.parents)
        assert f"polars {product.libraries['polars']}" in link["libraries"]
    assert {link["publication_key"] for link in links} == {str(lineage_cases.KEY)}


def test_links_say_what_a_thing_was_to_the_run(stores: Stores, linked: Path) -> None:
    links = query(linked, "SELECT * FROM audit.lineage")
    model = stores.registry.model_version("stat-1")
    by_link = {link["link"]: link for link in links}
    assert set(by_link) == {
        *PUBLISHED, "base_forecasts", "scoring_snapshot", "scoring_batch", "model_artifact", "evaluation_report",
        "training_snapshot", "training_batch",
    }  # fmt: skip
    assert by_link["model_artifact"]["version"] == model.artifact
    assert by_link["model_artifact"]["training_run_id"] == "run-of-training"
    assert by_link["evaluation_report"]["version"] == model.evaluation_report
    assert by_link["training_snapshot"]["version"] == model.training_snapshot
    assert by_link["training_snapshot"]["known_until"] < by_link["scoring_snapshot"]["known_until"]
    specs = sha256(canonical(specs_to_data(DEFAULT_SPECS)))
    assert by_link["scoring_snapshot"]["specs_sha256"] == specs
    assert by_link["forecasts"]["feature_version"] == by_link["scoring_snapshot"]["feature_version"]


def test_batches_are_those_that_each_snapshot_read(stores: Stores, linked: Path) -> None:
    batches = list(stores.ledger.state().batches.values())
    columns = "link, product, version, path, sha256, rows"
    found = query(linked, f"SELECT {columns} FROM audit.lineage WHERE link LIKE '%batch'")  # noqa: S608
    wanted = [("scoring_batch", batch) for batch in batches] + [("training_batch", batches[0])]
    assert sorted(found, key=str) == sorted(
        (
            {"link": link, "product": "sales", "version": batch.batch_id, "path": batch.path, "sha256": batch.sha256,
             "rows": batch.rows}
            for link, batch in wanted
        ),
        key=str,
    )  # fmt: skip
    recorded = query(linked, "SELECT batch_id, number, ledger_sequence FROM audit.batches")
    assert recorded == [
        {"batch_id": batch.batch_id, "number": number, "ledger_sequence": batch.sequence}
        for number, batch in enumerate(batches, 1)
    ]


def test_a_lost_manifest_leaves_a_gap_in_the_lineage_and_nothing_else(stores: Stores, tmp_path: Path) -> None:
    lineage_cases.publish_linked(stores)
    version = stores.registry.model_version("stat-1").evaluation_report
    lost = tmp_path / "store" / manifest_path(version)
    lost.rename(tmp_path / "kept")
    build(stores, tmp_path / "catalogue")
    link = tmp_path / "catalogue" / "catalogue.duckdb"
    report = f"SELECT link, path FROM audit.lineage WHERE version = '{version}'"  # noqa: S608
    assert query(link, report) == [{"link": "evaluation_report", "path": None}]
    assert rows(link, 'SELECT count(*) FROM "stat-1".forecasts') == [(14,)]
    (tmp_path / "kept").rename(lost)
    build(stores, tmp_path / "catalogue")
    assert query(link, report)[0]["path"].startswith("evaluation_reports/")


def test_channels_and_vacuums_are_told(stores: Stores, catalogue: Path) -> None:
    register(stores, "stat-2")
    for name in ("stat-1", "stat-2"):
        stores.registry.promote(name, by="ana", reason="better")
    stores.registry.rollback(by="ben", reason="it's worse")
    stores.ledger.append("vacuum", {"by": "eve", "files": 2, "bytes": 9, "listed": "ab"}, lambda _: None)
    stores.ledger.append("vacuumed", {}, lambda _: None)
    build(stores, catalogue.parent)
    history = 'SELECT model_version, "by", reason, is_rollback FROM audit.channel_history'
    assert rows(catalogue, history) == [
        ("stat-1", "ana", "better", False), ("stat-2", "ana", "better", False), ("stat-1", "ben", "it's worse", True),
    ]  # fmt: skip
    assert rows(catalogue, 'SELECT "by", files, bytes, path FROM audit.vacuums') == [("eve", 2, 9, "vacuums/ab.json")]


def test_every_view_and_column_is_described_and_typed_whatever_the_ledger_has(stores: Stores, tmp_path: Path) -> None:
    folder, link = tmp_path / "catalogue", tmp_path / "catalogue" / "catalogue.duckdb"
    types = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'audit' ORDER BY ALL"
    build(stores, folder)
    empty = rows(link, types)
    assert {name for name, *_ in empty} == {
        "anomaly_detectors", "backlog", "backtest_reports", "batches", "business_reviews", "calibration",
        "challenger_evidence", "challenger_guards", "challenger_trials", "challenger_verdicts", "channel_assignments",
        "channel_history", "drift_reports", "feature_anomalies", "forecast_accuracy", "forecast_value_added",
        "ledger_head", "lineage", "model_versions", "planner_override_decisions", "planner_overrides", "policies",
        "promotion_gates", "publications", "retirements", "retractions", "vacuums",
    }  # fmt: skip
    lineage_cases.publish_linked(stores)
    build(stores, folder)
    assert rows(link, types) == empty
    for kind in ("views", "columns"):
        bare = f"SELECT * FROM duckdb_{kind}() WHERE NOT internal AND coalesce(comment, '') = ''"  # noqa: S608
        assert rows(link, bare) == []
    assert rows(link, "SELECT count(*) FROM duckdb_tables()") == [(0,)]


def test_a_long_ledger_is_few_files_and_no_run_is_left_out(stores: Stores, tmp_path: Path) -> None:
    register(stores)
    many = GROUPS[0] + GROUPS[1] + 3
    made = store_cases.stage(stores, store_cases.run_key(0))
    files = {name: [asdict(file) for file in stores.predictions.version(made[name]).files] for name in made}
    for day in range(many):
        body = {"key": str(store_cases.run_key(day)), "products": made, "files": files, "acceptances": {}, "cpu": "x"}
        stores.ledger.append("publish", body, lambda _: None)
        if day in {8, 9, many - 2}:
            build(stores, tmp_path / "catalogue")
    build(stores, tmp_path / "catalogue")
    link = tmp_path / "catalogue" / "catalogue.duckdb"
    keys = [(str(store_cases.run_key(day)),) for day in range(many)]
    assert rows(link, "SELECT publication_key FROM audit.publications") == keys
    assert rows(link, "SELECT DISTINCT publication_key FROM audit.lineage ORDER BY prediction_date") == keys
    assert len(AuditRows(stores.predictions, tmp_path / "catalogue" / "rows").files(publications_table())) == 5


def test_a_build_reads_no_manifest_that_an_earlier_one_has_read(stores: Stores, catalogue: Path) -> None:
    publish(stores, RunKey("daily", date(2025, 1, 2), "stat-1", 7))
    asked: list[str] = []
    real = stores.blobs.find_each

    def find_each(paths: Sequence[str]) -> Iterator[bytes | None]:
        asked.extend(paths)
        return real(paths)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stores.blobs, "find_each", find_each)
        build(stores, catalogue.parent)
        products = list(stores.ledger.state().publications.values())[-1].products.values()
        assert set(map(manifest_path, products)) <= set(asked)
        old = next(iter(stores.ledger.state().publications.values())).products.values()
        assert not {manifest_path(version) for version in old} & set(asked)
        asked.clear()
        build(stores, catalogue.parent)
    assert asked == []


# --- clients, builders, folders ---


def test_after_a_run_the_catalogue_is_looked_at_and_not_built_twice(stores: Stores, catalogue: Path) -> None:
    def connect() -> duckdb.DuckDBPyConnection:
        raise AssertionError

    assert refresh_catalogue(stores.predictions, catalogue.parent, connect) == catalogue.resolve()
    publish(stores, RunKey("daily", date(2025, 1, 2), "stat-1", 7))
    with pytest.raises(AssertionError):
        refresh_catalogue(stores.predictions, catalogue.parent, connect)
    assert refresh_catalogue(stores.predictions, catalogue.parent) == catalogue.resolve()
    assert rows(catalogue, 'SELECT count(*) FROM "stat-1".forecasts') == [(28,)]


def test_a_catalogue_that_cannot_be_built_says_what_to_do(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "catalogue").write_text("in the way")
    with pytest.raises(StorageError) as caught:
        refresh_catalogue(stores.predictions, tmp_path / "catalogue")
    assert re.search(r"What is recorded stays.*forecast-assets catalogue", error_text(caught.value))


OTHER_CLIENT = """
import duckdb, sys
with duckdb.connect(sys.argv[1]) as client:
    client.execute("PRAGMA disable_checkpoint_on_shutdown")
    client.execute('CREATE OR REPLACE VIEW "stat-1".forecasts AS SELECT 1 AS forecast_units')
"""


def test_what_a_client_with_all_rights_wrote_is_gone_with_the_next_look(stores: Stores, catalogue: Path) -> None:
    target = catalogue.resolve()
    target.chmod(0o644)
    subprocess.run([sys.executable, "-c", OTHER_CLIENT, str(catalogue)], check=True)
    assert target.with_name(f"{target.name}.wal").exists()
    assert rows(catalogue, 'SELECT count(*) FROM "stat-1".forecasts') == [(1,)]
    assert refresh_catalogue(stores.predictions, catalogue.parent) != target
    assert rows(catalogue, 'SELECT count(*) FROM "stat-1".forecasts') == [(14,)]


def test_what_it_wrote_into_the_file_itself_is_gone_too(stores: Stores, catalogue: Path) -> None:
    target = catalogue.resolve()
    target.chmod(0o644)
    script = OTHER_CLIENT.replace("PRAGMA disable_checkpoint_on_shutdown", "SELECT 1")
    subprocess.run([sys.executable, "-c", script, str(catalogue)], check=True)
    assert not target.with_name(f"{target.name}.wal").exists()
    assert refresh_catalogue(stores.predictions, catalogue.parent) != target
    assert rows(catalogue, 'SELECT count(*) FROM "stat-1".forecasts') == [(14,)]


def test_a_client_that_holds_the_file_to_write_does_not_hold_the_next_one(stores: Stores, catalogue: Path) -> None:
    catalogue.resolve().chmod(0o644)
    with duckdb.connect(str(catalogue)) as client:
        client.execute("CREATE TABLE mine AS SELECT 1 AS one")
        build(stores, catalogue.parent, anew=True)
        script = "import duckdb, sys; duckdb.connect(sys.argv[1], read_only=True).execute('FROM audit.publications')"
        subprocess.run([sys.executable, "-c", script, str(catalogue)], check=True)
        assert client.execute("FROM mine").fetchall() == [(1,)]
    assert rows(catalogue, "SELECT count(*) FROM duckdb_tables()") == [(0,)]


def test_views_are_copied_into_a_database_of_ones_own(catalogue: Path) -> None:
    before = catalogue.read_bytes()
    with duckdb.connect() as client:
        client.execute(f"ATTACH '{catalogue}' AS catalogue (READ_ONLY)")
        client.execute('CREATE TABLE mine AS FROM catalogue."stat-1".forecasts')
        assert client.execute("SELECT count(*) FROM mine").fetchall() == [(14,)]
        with pytest.raises(duckdb.Error, match="read-only"):
            client.execute('CREATE TABLE catalogue."stat-1".mine AS SELECT 1')
    assert catalogue.read_bytes() == before


def test_builders_at_once_leave_one_right_catalogue(stores: Stores, catalogue: Path, tmp_path: Path) -> None:
    publish(stores, RunKey("daily", date(2025, 1, 2), "stat-1", 7))
    with ThreadPoolExecutor(4) as pool:
        built = [pool.submit(build, open_stores(tmp_path / "store"), catalogue.parent) for _ in range(4)]
        files = {one.result() for one in built}
    assert catalogue.resolve() in files
    assert rows(catalogue, 'SELECT count(*) FROM "stat-1".forecasts') == [(28,)]
    assert [path.name for path in catalogue.parent.rglob(".*")] == []


@pytest.mark.usefixtures("catalogue")
def test_a_folder_that_was_moved_is_mended_by_a_build(tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("store", "catalogue"):
        (tmp_path / name).rename(moved / name)
    link = moved / "catalogue" / "catalogue.duckdb"
    with pytest.raises(duckdb.IOException, match="No files found"):
        rows(link, 'SELECT count(*) FROM "stat-1".forecasts')
    refresh_catalogue(open_stores(moved / "store").predictions, moved / "catalogue")
    assert rows(link, 'SELECT count(*) FROM "stat-1".forecasts') == [(14,)]
    assert rows(link, "SELECT count(*) FROM audit.lineage") == [(9,)]


# --- the files of rows ---


@pytest.mark.parametrize("damage", [b"garbage", b""])
@pytest.mark.parametrize("anew", [False, True])
def test_damaged_rows_of_the_audit_views_are_made_again(
    stores: Stores, catalogue: Path, *, damage: bytes, anew: bool
) -> None:
    # The newer of two: DuckDB looks at the first one only when a view is created.
    publish(stores, RunKey("daily", date(2025, 1, 2), "stat-1", 7))
    build(stores, catalogue.parent)
    damaged = max((catalogue.parent / "rows").glob("publications-0*.parquet"))
    whole = damaged.read_bytes()
    damaged.write_bytes(damage)
    build(stores, catalogue.parent, anew=anew)
    assert damaged.read_bytes() == whole
    assert rows(catalogue, "SELECT count(*) FROM audit.publications") == [(2,)]


def test_rows_that_are_damaged_within_are_made_again_by_the_command(stores: Stores, catalogue: Path) -> None:
    kept = next((catalogue.parent / "rows").glob("publications-0*.parquet"))
    whole = kept.read_bytes()
    kept.write_bytes(whole[:4] + bytes(40) + whole[44:])
    build(stores, catalogue.parent, anew=True)
    assert kept.read_bytes() == whole


def test_a_build_that_finds_all_rows_writes_none(stores: Stores, tmp_path: Path) -> None:
    lineage_cases.publish_linked(stores)
    build(stores, tmp_path / "catalogue")
    files = {path: path.stat().st_ino for path in (tmp_path / "catalogue" / "rows").iterdir()}
    assert len(files) > 5
    build(stores, tmp_path / "catalogue")
    assert {path: path.stat().st_ino for path in (tmp_path / "catalogue" / "rows").iterdir()} == files


def test_rows_that_a_release_computes_in_another_way_are_written_anew(
    stores: Stores, catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = AuditRows(stores.predictions, catalogue.parent / "rows").files(publications_table())
    monkeypatch.setattr("resources.catalogue.audit.ROWS_FORMAT", 1000)
    after = AuditRows(stores.predictions, catalogue.parent / "rows").files(publications_table())
    assert not set(before) & set(after)


def test_the_first_error_of_a_build_is_told_and_its_connection_can_be_used_again(
    stores: Stores, tmp_path: Path
) -> None:
    publish(stores)
    for path in (tmp_path / "store" / "predictions").rglob("*.parquet"):
        path.chmod(0o644)
        path.write_bytes(b"garbage")
    with duckdb.connect() as connection:
        with pytest.raises(duckdb.Error, match=r"\.parquet"):
            build_catalogue(stores.predictions, tmp_path / "catalogue", connection)
        names = connection.execute("SELECT database_name FROM duckdb_databases() WHERE NOT internal").fetchall()
    assert names == [("memory",)]
    assert [path.name for path in (tmp_path / "catalogue").iterdir()] == ["rows"]


def test_a_failed_build_does_not_say_that_nothing_was_published(
    stores: Stores, catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(stores, RunKey("daily", date(2025, 1, 2), "stat-1", 7))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("resources.store.files.os.fsync", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        refresh_catalogue(stores.predictions, catalogue.parent)
    assert "nothing was published" not in error_text(caught.value)
    assert error_text(caught.value).endswith("Then: forecast-assets catalogue")


def test_files_that_become_one_are_joined_and_say_what_manifests_say(stores: Stores, tmp_path: Path) -> None:
    register(stores)
    made = store_cases.stage(stores, store_cases.run_key(0))
    files = {name: [asdict(file) for file in stores.predictions.version(made[name]).files] for name in made}
    asked: list[int] = []
    real = AuditRows._made

    def counted(self: AuditRows, table: AuditTable, publications: Sequence[Any]) -> ComputedRows:
        asked.append(len(publications))
        return real(self, table, publications)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(AuditRows, "_made", counted)
        for day in range(GROUPS[0]):
            body = {"key": str(store_cases.run_key(day)), "products": made, "files": files}
            stores.ledger.append("publish", {**body, "acceptances": {}, "cpu": "x"}, lambda _: None)
            (*_, last) = AuditRows(stores.predictions, tmp_path / "rows").files(publications_table())
    assert asked == [1] * GROUPS[0]
    (at_once,) = AuditRows(stores.predictions, tmp_path / "at once").files(publications_table())
    assert Path(last).name == Path(at_once).name
    assert Path(last).read_bytes() == Path(at_once).read_bytes()


DAY = 86_400


def age(path: Path, days: int) -> None:
    """Let a file look as old as that."""
    then = path.stat().st_mtime - days * DAY
    os.utime(path, (then, then))


@pytest.fixture
def superseded(stores: Stores, catalogue: Path) -> list[Path]:
    """Three catalogues, of 30, 20 and 10 days ago, and rows that were written with the first of them."""
    made = [catalogue.resolve()]
    for day in (2, 3):
        for at in range(5):
            publish(stores, RunKey("daily", date(2025, day, 1 + at), "stat-1", 7))
        made.append(build(stores, catalogue.parent))
    for path, days in zip(made, (30, 20, 10), strict=True):
        age(path, days)
    for path in (catalogue.parent / "rows").iterdir():
        age(path, 30)
    return made


def ago(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days)


def test_what_a_connection_of_the_last_days_may_need_stays(catalogue: Path, superseded: list[Path]) -> None:
    oldest, middle, present = superseded
    assert superseded_files(catalogue.parent, ago(25)) == []
    # Until the present one was built, the middle one was still being opened.
    assert superseded_files(catalogue.parent, ago(15)) == [oldest]
    assert superseded_files(catalogue.parent, ago(1))[:2] == sorted([oldest, middle])
    assert present not in superseded_files(catalogue.parent, ago(0))


def test_rows_go_when_no_catalogue_names_them_and_all_views_can_be_read_afterwards(
    catalogue: Path, superseded: list[Path]
) -> None:
    views = "SELECT (SELECT count(*) FROM audit.publications), (SELECT count(DISTINCT version) FROM audit.lineage)"
    before = rows(catalogue, views)
    with duckdb.connect(str(superseded[1]), read_only=True) as held:
        seen = held.execute(views).fetchall()
        for path in superseded_files(catalogue.parent, ago(15)):
            path.unlink()
        assert held.execute(views).fetchall() == seen
    going = superseded_files(catalogue.parent, ago(1))
    assert [path for path in going if path.parent.name == "rows"]
    for path in going:
        path.unlink()
    assert rows(catalogue, views) == before
    assert rows(catalogue, "SELECT count(*) FROM audit.forecast_accuracy") == [(0,)]


@pytest.mark.usefixtures("superseded")
def test_rows_stay_where_a_catalogue_cannot_be_asked(catalogue: Path) -> None:
    (catalogue.parent / "catalogue-7.duckdb").write_bytes(b"torn")
    assert [path for path in superseded_files(catalogue.parent, ago(1)) if path.parent.name == "rows"] == []


def test_what_killed_builds_left_goes(catalogue: Path) -> None:
    left = [catalogue.with_name(".catalogue-1-7.duckdb"), catalogue.parent / "rows" / ".publications.parquet-7"]
    for path in left:
        path.write_bytes(b"half")
    assert superseded_files(catalogue.parent, ago(1)) == []
    for path in left:
        age(path, 2)
    assert superseded_files(catalogue.parent, ago(1)) == left
