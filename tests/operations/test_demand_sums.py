"""Demand of parts of a run with its quantiles, asked in Python and by the command."""

import json
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import QUANTILE_COLUMNS
from forecast_assets.core.errors import InputError, NotPublishedError
from forecast_assets.launch import Runner
from forecast_assets.operations.demand_sums import demand_sum
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.use_cases import RunOutcome
from tests.support.command import caller
from tests.support.retailers import KEY

pytestmark = pytest.mark.usefixtures("brief_runs")

Published = tuple[Runner, RunOutcome]
FIRST = KEY.prediction_date + timedelta(days=1)


@pytest.fixture(scope="module")
def rows(published: Published) -> pl.DataFrame:
    runner, outcome = published
    return read_product(runner.stores, outcome.publication, "forecasts")


def ask(published: Published, **options: Any) -> Any:
    runner, outcome = published
    return demand_sum(runner.stores, outcome.publication, **options)


def test_a_node_on_one_day_is_what_is_published(published: Published) -> None:
    runner, outcome = published
    aggregates = read_product(runner.stores, outcome.publication, "aggregate_forecasts")
    picked = aggregates.filter(store_level="store", product_level="total", step=3).sort("store_node")
    for row in picked.iter_rows(named=True):
        found = ask(published, store=row["store_node"], first=row["target_date"], last=row["target_date"])
        assert found.mean == pytest.approx(float(row["forecast_units"]), abs=1e-9)
        assert found.series == row["series_count"]
        assert list(found.quantiles.values()) == pytest.approx(
            [float(row[name]) for name in QUANTILE_COLUMNS], abs=1e-6
        )


def test_a_whole_run_is_the_sum_of_its_rows(published: Published, rows: pl.DataFrame) -> None:
    found = ask(published)
    assert (found.first, found.last) == (FIRST, KEY.prediction_date + timedelta(days=28))
    assert found.mean == pytest.approx(float(rows["forecast_units"].sum()), abs=1e-6)
    assert np.diff(list(found.quantiles.values())).min() >= 0


def test_days_and_series_are_those_asked_for(published: Published, rows: pl.DataFrame) -> None:
    busiest = rows.sort("forecast_units").row(-1, named=True)
    sku, store = busiest["sku_id"], busiest["store_id"]
    last = FIRST + timedelta(days=6)
    found = ask(published, product=sku, store=f"store:{store}", last=last, levels=[0.5, 0.95])
    week = rows.filter(pl.col("sku_id") == sku, pl.col("store_id") == store, pl.col("target_date") <= last)
    assert found.series == 1
    assert found.mean == pytest.approx(float(week["forecast_units"].sum()), abs=1e-9)
    assert list(found.quantiles) == [0.5, 0.95]
    # A week's upper quantile is less than its days' together: not all days are busy.
    assert found.quantiles[0.95] < float(week["q950_units"].sum())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"product": "NOTHING"}, "no product node `NOTHING`"),
        ({"store": "store:NOTHING"}, "no store node `store:NOTHING`"),
        ({"first": FIRST - timedelta(days=1)}, "no days from"),
        ({"first": FIRST + timedelta(days=3), "last": FIRST}, "no days from"),
        ({"levels": [0.5, 1.0]}, "say nothing of the probabilities 1.0"),
    ],
)
def test_what_there_is_not_is_named(published: Published, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ask(published, **options)


def test_a_version_without_sample_paths_says_so(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecast_assets.models.statistical.artifact.StatisticalArtifact.dependence", None)
    with pytest.raises(NotPublishedError, match="no sample paths"):
        ask(published)


def test_the_command_answers_in_words_and_in_json(
    published: Published, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runner, _ = published
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(runner.settings.home))
    call = caller(monkeypatch, capsys, "quantiles")
    asked = ("--date", KEY.prediction_date.isoformat(), "--model-version", "stat-1", "--to", FIRST.isoformat())
    code, text = call(*asked)
    assert code == 0
    assert "all together\nexpected: " in text
    assert f"on {FIRST}" in text
    code, text = call(*asked, "--level", "0.9", "--json")
    document = json.loads(text)
    assert (code, list(document["quantiles"]), document["first"]) == (0, ["0.9"], FIRST.isoformat())
    assert call(*asked, "--product", "NOTHING")[0] == 2
