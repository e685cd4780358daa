"""The read side: many runs by explicit version and revision, few files opened, few row groups read."""

import re
import shutil
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.errors import (
    ForecastAssetsError,
    InputError,
    NotPublishedError,
    UnknownProductError,
    UnknownVersionError,
)
from forecast_assets.core.keys import RunKey
from forecast_assets.operations.reading import one_series, read_product, scan_predictions, scan_product
from forecast_assets.presentation.actions import error_text
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores, open_stores
from tests.support.store_cases import CUTOFF, publish, register, run_key


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days of one version, each with a number of its own; a day of another version."""
    made = open_stores(tmp_path_factory.mktemp("template") / "store")
    register(made)
    register(made, "stat-2")
    for back in range(4):
        publish(made, run_key(back), units=10 + back)
    publish(made, run_key(0, "stat-2"), units=99)
    return made.blobs.root


@pytest.fixture
def stores(template: Path, tmp_path: Path) -> Stores:
    return open_stores(shutil.copytree(template, tmp_path / "store"))


@pytest.fixture
def runs(stores: Stores) -> list[Publication]:
    return [stores.predictions.publication(run_key(back)) for back in range(4)]


def units(rows: pl.LazyFrame) -> list[int]:
    """The numbers that tell runs apart, in the order of rows, each once."""
    return [int(value) for value in rows.collect()["forecast_units"].unique(maintain_order=True)]


def day(back: int) -> date:
    return CUTOFF + timedelta(days=back)


def remove(stores: Stores, publications: Sequence[Publication]) -> None:
    """Take the files of runs away, so that whoever opens one fails."""
    for publication in publications:
        for product in PUBLISHED:
            for file in stores.predictions.files(publication, product):
                stores.blobs.local(file.path).unlink(missing_ok=True)


def test_many_runs_of_a_version_are_one_frame_in_the_order_of_dates(stores: Stores, runs: list[Publication]) -> None:
    rows = scan_predictions(stores, "forecasts", model_version="stat-1")
    assert units(rows) == [10, 11, 12, 13]
    assert rows.collect().equals(pl.concat(read_product(stores, run, "forecasts") for run in runs))


def test_dates_and_versions_choose_files_and_no_other_is_opened(stores: Stores, runs: list[Publication]) -> None:
    remove(stores, [runs[0], runs[3], stores.predictions.publication(run_key(0, "stat-2"))])
    fresh = open_stores(stores.blobs.root)
    assert units(scan_predictions(fresh, "forecasts", model_version="stat-1", dates=(day(1), day(2)))) == [11, 12]
    with pytest.raises(FileNotFoundError):
        scan_predictions(fresh, "forecasts", model_version="stat-1").collect()


def test_manifests_are_not_needed_to_read(stores: Stores, runs: list[Publication]) -> None:
    for manifest in (stores.blobs.root / "manifests").iterdir():
        manifest.unlink()
    fresh = open_stores(stores.blobs.root)
    assert units(scan_predictions(fresh, "forecasts", model_version="stat-1")) == [10, 11, 12, 13]
    assert one_series(fresh, runs[0], "stockout_risks", "S", "A").height == 7


def test_horizons_are_chosen_and_never_mixed_unasked(stores: Stores, runs: list[Publication]) -> None:
    longer = RunKey("daily", day(1), "stat-1", 9)
    publish(stores, longer, units=77)
    assert runs
    assert units(scan_predictions(stores, "forecasts", model_version="stat-1", horizon=9)) == [77]
    assert units(scan_predictions(stores, "forecasts", model_version="stat-1", horizon=7)) == [10, 11, 12, 13]
    with pytest.raises(NotPublishedError, match=f"Several horizons are published for {day(1)}: 7 and 9"):
        scan_predictions(stores, "forecasts", model_version="stat-1")


def test_a_corrected_run_asks_which_revision(stores: Stores, runs: list[Publication]) -> None:
    publish(stores, run_key(1, revision=1), units=50)
    assert runs
    with pytest.raises(NotPublishedError, match=rf'corrected.*{run_key(1, revision=1)}.*revision="all"'):
        scan_predictions(stores, "forecasts", model_version="stat-1")
    untouched = scan_predictions(stores, "forecasts", model_version="stat-1", dates=(day(2), day(3)))
    assert units(untouched) == [12, 13], "where nothing was corrected nothing has to be named"
    assert units(scan_predictions(stores, "forecasts", model_version="stat-1", revision=0)) == [10, 11, 12, 13]
    assert units(scan_predictions(stores, "forecasts", model_version="stat-1", revision=1)) == [50]
    every = scan_predictions(stores, "forecasts", model_version="stat-1", revision="all", dates=(day(1), day(1)))
    told = every.select("revision", pl.col("forecast_units").cast(pl.Int64)).unique().sort("revision").collect()
    assert told.rows() == [(0, 11), (1, 50)]


def test_a_past_position_is_scanned_as_it_was(stores: Stores, runs: list[Publication]) -> None:
    publish(stores, run_key(1, revision=1), units=50)
    past = stores.as_of(runs[2].sequence)
    assert units(scan_predictions(past, "forecasts", model_version="stat-1")) == [10, 11, 12]


@pytest.mark.parametrize("product", PUBLISHED)
def test_every_product_can_be_scanned(stores: Stores, runs: list[Publication], product: str) -> None:
    found = scan_predictions(stores, product, model_version="stat-1", dates=(day(0), day(0))).collect()
    assert found.equals(read_product(stores, runs[0], product))
    assert found.equals(scan_product(stores, runs[0], product).collect())


def grouped(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> Publication:
    """A run whose files have a row group for each series."""
    monkeypatch.setattr("resources.store.parquet.ROW_GROUP", 7)
    return publish(stores, run_key(9))


def ruin(file: Path, series: tuple[str, str]) -> int:
    """Overwrite the bytes of every row group but that of one series; return how many were."""
    footer, content, ruined = pq.read_metadata(file), bytearray(file.read_bytes()), 0
    store, sku = (footer.schema.to_arrow_schema().get_field_index(name) for name in ("store_id", "sku_id"))
    for at in range(footer.num_row_groups):
        group = footer.row_group(at)
        if (group.column(store).statistics.min, group.column(sku).statistics.min) == series:
            continue
        ruined += 1
        for column in map(group.column, range(group.num_columns)):
            start = column.data_page_offset if column.dictionary_page_offset is None else column.dictionary_page_offset
            content[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    file.write_bytes(content)
    return ruined


def test_only_the_row_groups_of_a_series_are_read(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    run = grouped(stores, monkeypatch)
    (file,) = stores.predictions.files(run, "forecasts")
    assert ruin(stores.blobs.local(file.path), ("S", "B")) == 1
    asked: Any = {"model_version": "stat-1", "dates": (day(9), day(9))}
    everything = scan_predictions(stores, "forecasts", **asked)
    assert one_series(stores, run, "forecasts", "S", "B")["step"].to_list() == [*range(1, 8)]
    some = scan_predictions(stores, "forecasts", **asked, store_ids=["S", "T"], sku_ids=["B", "C"])
    assert some.collect()["sku_id"].to_list() == ["B"] * 7
    for needs_the_ruined in (everything, everything.filter(pl.col("sku_id") == "A")):
        with pytest.raises(pl.exceptions.ComputeError):
            needs_the_ruined.collect()


def test_one_series_is_the_rows_of_that_series(stores: Stores, runs: list[Publication]) -> None:
    found = one_series(stores, runs[2], "forecasts", "S", "A")
    assert found.equals(read_product(stores, runs[2], "forecasts").filter(sku_id="A", store_id="S").sort("step"))
    assert found.height == 7


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"product": "guesses"}, UnknownProductError, "Choose one of: .*forecasts"),
        ({"model_version": "stat-9"}, UnknownVersionError, "Known: stat-1"),
        ({"cadence": "weekly"}, NotPublishedError, "cadence weekly.*forecast-assets runs"),
        ({"dates": (day(20), day(30))}, NotPublishedError, "dates 2025-01-21 to 2025-01-31"),
        ({"dates": (day(2), day(1))}, InputError, "wrong way round"),
        ({"revision": 3}, NotPublishedError, "revision 3"),
        ({"product": "aggregate_forecasts", "sku_ids": ["A"]}, InputError, "has no column `sku_id`"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(
    stores: Stores, runs: list[Publication], wrong: dict[str, object], error: type[ForecastAssetsError], message: str
) -> None:
    assert runs
    arguments = {"product": "forecasts", "model_version": "stat-1", **wrong}
    with pytest.raises(error) as caught:
        scan_predictions(stores, arguments.pop("product"), **arguments)  # type: ignore[arg-type]
    assert re.search(message, error_text(caught.value))


def test_a_series_that_is_not_there_is_named(stores: Stores, runs: list[Publication]) -> None:
    with pytest.raises(InputError, match="has no SKU Z in store S"):
        one_series(stores, runs[0], "forecasts", "S", "Z")
