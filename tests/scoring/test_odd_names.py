"""A run whose names all mean something to some part inside, below a folder whose name does too."""

from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Final

import duckdb
import polars as pl
import pytest

from forecast_assets.core.keys import RunKey
from forecast_assets.launch import Runner
from forecast_assets.operations.lineage import lineage_of
from forecast_assets.operations.reading import hierarchy_places
from forecast_assets.sources.tables import read_tables
from resources.maintenance.verification import verify_store
from tests.support.retailers import new_runner

pytestmark = pytest.mark.usefixtures("brief_runs")

LAST: Final = date(2025, 4, 30)
STORES: Final = ("total", "all", "-", 'it\'s; "100%" ?*')
SKUS: Final = (
    "total", "all", "unassigned", "-", "main", "null", "select", "1 2", "$5 a$b_{$",
    "Caf\N{LATIN SMALL LETTER E WITH ACUTE}",
    "o'brien \"x\" [a]*?; {b} | c <i>& 50%",
)  # fmt: skip
MAPPING: Final = """
source = "total"
declared_lag_hours = 0
[[feed]]
feed = "sales"
file = "sales [1] it's 100%#.csv"
[[feed]]
feed = "product_hierarchy"
file = "articles*.csv"
[feed.levels]
select = "dept"
"it's a{}b %" = "*"
[[feed]]
feed = "store_hierarchy"
file = "stores.csv"
[feed.levels]
all = "reg"
[[feed]]
feed = "events"
file = "events.csv"
known_days_ahead = 30
"""


def write_files(folder: Path) -> None:
    (folder / "mapping.toml").write_text(MAPPING)
    days = pl.DataFrame({"event_date": pl.date_range(LAST - timedelta(days=90), LAST, eager=True)})
    series = pl.DataFrame({"sku_id": SKUS}).join(pl.DataFrame({"store_id": STORES}), how="cross")
    sales = days.join(series, how="cross")
    units = Random(1).choices(range(7), k=sales.height)
    sales.with_columns(sales_units=pl.Series(units)).write_csv(folder / "sales [1] it's 100%#.csv")
    nodes = ("total", "all", "unassigned", "-")
    # One article has no place in the hierarchy.
    places = [(sku, nodes[at % 2], nodes[at % 4]) for at, sku in enumerate(SKUS[:-1])]
    pl.DataFrame(places, schema=["sku_id", "dept", "*"], orient="row").write_csv(folder / "articles*.csv")
    pl.DataFrame({"store_id": STORES, "reg": ["total", "all", "total", "-"]}).write_csv(folder / "stores.csv")
    events = {"event_name": ["select", "it's; 50%"] * 3, "store_node": ["all", "total"] * 3}
    at = [LAST + timedelta(days=back) for back in (-60, -50, -30, -20, 2, 3)]
    pl.DataFrame({"event_date": at, **events}).write_csv(folder / "events.csv")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runner, RunKey]:
    folder = tmp_path_factory.mktemp("odd") / 'it\'s 100% [a-z]*#; "q" store_id=7'
    folder.mkdir()
    write_files(folder)
    runner = new_runner(folder / "ho me*[x]'#%")
    runner.ingest(read_tables(folder / "mapping.toml", runner.stored_rows()))
    runner.train(family="statistical", version="total", cutoff=LAST, horizon=7)
    key = RunKey("daily", LAST, "total", 7)
    runner.score(key)
    return runner, key


def test_it_is_published_and_every_view_of_it_can_be_read(published: tuple[Runner, RunKey]) -> None:
    runner, _ = published
    with duckdb.connect(str(runner.settings.catalogue_path), read_only=True) as connection:
        series = connection.execute("SELECT DISTINCT sku_id, store_id FROM total.forecasts ORDER BY ALL").fetchall()
        assert series == sorted((sku, store) for sku in SKUS for store in STORES)
        (levels,) = connection.execute(
            "SELECT count(DISTINCT units) FROM (SELECT sum(forecast_units) AS units FROM total.aggregate_forecasts "
            "GROUP BY product_level, store_level)"
        ).fetchall()
        assert levels == (1,)
        views = "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal AND schema_name <> 'main'"
        for schema, view in connection.execute(views).fetchall():
            connection.execute(f'FROM "{schema}"."{view}"').fetchall()
    assert verify_store(runner.stores.blobs).findings == ()


def test_each_name_leads_to_its_own_rows(published: tuple[Runner, RunKey]) -> None:
    runner, key = published
    publication = runner.stores.ledger.state().publications[key]
    places = hierarchy_places(runner.stores, publication)
    assert places.filter(sku_id=SKUS[-1])["product:select"].unique().to_list() == ["unassigned (2)"]
    assert places.filter(store_id="-")["store:all"].unique().to_list() == ["total"]
    with duckdb.connect(str(runner.settings.catalogue_path), read_only=True) as connection:
        named = connection.execute("SELECT prediction_id, sku_id, store_id FROM total.forecasts WHERE step = 1")
        for name, sku_id, store_id in named.fetchall():
            row = lineage_of(runner.stores, name).row or {}
            assert (row["sku_id"], row["store_id"]) == (sku_id, store_id)
