"""The BI catalogue: explicit versions, safe swaps, every driver."""

from datetime import date
from pathlib import Path

import duckdb
import pytest
import sqlalchemy

from forecast_assets.contracts import PRODUCTS, PUBLISHED
from forecast_assets.keys import PredictionId, RunKey
from resources.catalogue import build_catalogue
from resources.prediction_store import run_folder
from resources.stores import Stores, open_stores
from tests.products import KEY, make
from tests.unit.test_prediction_store import register


def publish(stores: Stores, key: RunKey = KEY) -> None:
    if key.model_version not in stores.ledger.state().versions:
        register(stores.predictions, key.model_version)
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


def build(stores: Stores, folder: Path) -> Path:
    with duckdb.connect() as connection:
        return build_catalogue(stores.predictions, folder, connection)


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
    assert schemas == {"audit", "stat-1", "stat-2"}
    assert {view for schema, view in found if schema == "stat-2"} == set(PUBLISHED)


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
    comments = rows(catalogue, "SELECT comment FROM duckdb_views() WHERE view_name = 'weekly_stockout_risks'")
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
    import resources.catalogue as wiring

    real = wiring._built
    late = open_stores(tmp_path / "store")

    def slow(*arguments: object) -> Path:
        built = real(*arguments)  # type: ignore[arg-type]
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
