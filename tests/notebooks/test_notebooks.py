"""Notebooks: they run on a finished run without a server, show its numbers, and are friendly where there is nothing."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import marimo as mo
import polars as pl
import pytest

from forecast_assets.core.overrides import Override, Scope
from forecast_assets.launch import Runner
from forecast_assets.operations.missed_stockouts import empty_shelves
from forecast_assets.operations.overrides import record_overrides
from forecast_assets.operations.reading import hierarchy_places, read_product, series_after, series_history
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.operations.value_added import advice, value_added
from forecast_assets.presentation.notebook import choose, chosen
from forecast_assets.simulation.simulator import Simulation
from resources.stores.home import open_stores
from tests.support.compared_runs import CORRECTED, FIRST, SECOND, ComparedRuns
from tests.support.products import make_accuracy
from tests.support.retailers import KEY, RETAILER, copied
from tests.support.stockout_cases import DAYS, JUDGED, emptied
from tests.support.value_cases import DAY, value_row, valued

pytestmark = pytest.mark.usefixtures("brief_runs")

Published = tuple[Runner, RunOutcome]
FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


def shown(name: str, home: Path, monkeypatch: pytest.MonkeyPatch, **defs: Any) -> tuple[str, Mapping[str, Any]]:
    """Run a notebook on a home folder; return all that it shows as one text, and its names."""
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(home))
    spec = importlib.util.spec_from_file_location(f"notebook_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    outputs, names = module.app.run(defs=defs or None)
    return " ".join(output.text for output in outputs if hasattr(output, "text")), names


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_without_data_says_what_to_do_and_writes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _ = shown(name, tmp_path / "none", monkeypatch)
    assert ("make demo" in text) or ("forecast-assets accuracy" in text)
    assert list(tmp_path.iterdir()) == []


def test_the_story_of_a_series_tells_the_published_numbers(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, outcome = published
    forecasts = read_product(runner.stores, outcome.publication, "forecasts")
    store_id, sku_id = forecasts.select("store_id", "sku_id").row(-1)
    text, names = shown(
        "series_story", runner.settings.home, monkeypatch,
        asked={"run": str(KEY), "store": store_id, "sku": sku_id, "step": "3"},
    )  # fmt: skip
    assert str(KEY) in text
    row = forecasts.filter(store_id=store_id, sku_id=sku_id, step=3).row(0, named=True)
    drivers = dict(names["drivers"].select("name", "value").rows())
    assert drivers["expected demand"] == float(row["forecast_units"])
    assert drivers["expected sales"] == float(row["expected_sales_units"])
    effects = names["drivers"].filter(~pl.col("is_total"), pl.col("name") != "lost sales")["value"].sum()
    assert drivers["usual day"] + effects == pytest.approx(float(row["forecast_units"]), abs=1e-6)
    assert "No day ahead has come." in text
    assert names["days"].height == KEY.forecast_horizon
    assert {product["product"] for product in names["lineage"]} >= {"forecasts", "base_forecasts", "feature_snapshots"}
    assert text.count("<img") + text.count("data:image/png") >= 4


def test_the_first_published_run_is_the_default_and_is_named(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, names = shown("series_story", published[0].settings.home, monkeypatch)
    assert names["publication"].key == KEY
    assert f"Run <code>{KEY}</code>" in text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"run": "daily/1999-01-01/x/28/r0"}, "is not published. There is:"),
        ({"store": "S-99"}, "There is no store"),
        ({"sku": "NOTHING"}, "There is no SKU"),
    ],
)
def test_what_is_not_there_is_named(
    published: Published, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], words: str
) -> None:
    text, _ = shown("series_story", published[0].settings.home, monkeypatch, asked=asked)
    assert words in text


def test_a_choice_starts_with_what_was_asked_for_and_has_to_be_made() -> None:
    assert chosen(choose({}, "run", {"a": 1, "b": 2}, "no {}"), "run") == 1
    assert chosen(choose({"run": "b"}, "run", {"a": 1, "b": 2}, "no {}"), "run") == 2
    with pytest.raises(mo.MarimoStopError) as stopped:
        chosen(mo.ui.dropdown(["a"]), "run")
    assert "Choose a run." in stopped.value.output.text
    with pytest.raises(mo.MarimoStopError) as stopped:
        choose({"run": "c"}, "run", ["a", "b"], "no {}.", named=1)
    assert "no c. There is: a." in stopped.value.output.text


def test_the_hierarchy_browser_adds_up_at_every_node(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, outcome = published
    total = read_product(runner.stores, outcome.publication, "forecasts")["forecast_units"].sum()
    _, names = shown("hierarchy_browser", runner.settings.home, monkeypatch)
    assert names["days"]["forecast_units"].sum() == total
    for side in ("product", "store"):
        assert names["parts"][side]["forecast_units"].sum() == total
    aggregates = read_product(runner.stores, outcome.publication, "aggregate_forecasts")
    node = aggregates.filter(product_level="category", store_level="store").row(0, named=True)
    asked = {"product": f"category={node['product_node']}", "store": f"store={node['store_node']}"}
    _, names = shown("hierarchy_browser", runner.settings.home, monkeypatch, asked=asked)
    own = aggregates.filter(product_node=node["product_node"], product_level="category", store_level="store")
    own = own.filter(store_node=node["store_node"]).sort("step")
    assert names["days"]["forecast_units"].to_list() == own["forecast_units"].to_list()
    assert names["parts"]["store"].is_empty()
    text, _ = shown("hierarchy_browser", runner.settings.home, monkeypatch, asked={"product": "category=NONE"})
    assert "There is no category=NONE in this run" in text


def test_accuracy_over_time_shows_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accuracy = make_accuracy()
    version = accuracy["model_version"][0]
    text, names = shown(
        "accuracy_over_time", tmp_path, monkeypatch, folder=None, stores=None, cadences=["daily"], measured=accuracy
    )
    assert f"Accuracy of {version}" in text
    whole = names["segments"].filter(segment_kind="all").row(0, named=True)
    finest = accuracy.filter(product_level="sku", store_level="store", segment_kind="all", model_version=version)
    expected = float(finest["absolute_error_units"].sum()) / float(finest["sales_units"].sum())
    assert whole["wape"] == pytest.approx(expected, abs=5e-4)


def test_why_it_changed_tells_causes_that_add_up(compared: ComparedRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    store, sku = compared.withdrawn
    text, names = shown(
        "why_it_changed", compared.runner.settings.home, monkeypatch,
        asked={"before": str(FIRST), "after": str(SECOND), "series": f"{sku} in {store}"},
    )  # fmt: skip
    steps = names["cause_steps"]
    whole = steps.filter("is_total")["value"].to_list()
    assert whole[0] + steps.filter(~pl.col("is_total"))["value"].sum() == pytest.approx(whole[1], abs=1e-5)
    assert names["moved"]["change_units"].sum() == names["found"].of().after_units - names["found"].of().before_units
    (told,) = (day["why"] for day in names["days"] if day["day"] == compared.day)
    assert "promotion ended" in told
    assert "promotion" in names["inputs"]["input"].to_list()
    assert "new sales" in text


def test_the_value_of_overrides_is_that_of_the_measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = open_stores(tmp_path / "store")
    # ana: 4 upward moves of 2 that came true by half, a fifth one a week later; ben: a cut that was right.
    rows = [value_row(f"o{at}-1", day=DAY + timedelta(days=7 * (at == 5))) for at in range(1, 6)]
    rows.append(value_row("o9-1", planner="b<en", reason="price", found=20, published=16, sales=16))
    for day in (DAY, DAY + timedelta(days=7)):
        valued(stores, [row for row in rows if row["target_date"] == day], day)
    text, names = shown("value_of_overrides", tmp_path, monkeypatch, asked={"planner": "ana", "days": 28})
    found = value_added(stores, by="planner", days=28)
    tables = names["tables"]
    assert list(tables) == ["planner", "reason", "direction", "size"]
    assert tables["planner"]["name"].to_list() == ["ana", "b<en"]
    # Sold 11 where 12 instead of 10 was said: an error of 1 before and after; of 16 four fewer were wrong.
    assert tables["planner"]["override_wape_percent"].to_list() == [9.1, 0.0]
    assert tables["planner"]["value_added_points"].to_list() == [0.0, 25.0]
    assert tables["planner"]["is_small_sample"].all()
    assert tables["direction"]["name"].to_list() == ["down", "up"]
    assert tables["size"]["row_days"].sum() == sum(line.row_days for line in found.lines) == 6
    monday = DAY - timedelta(days=DAY.weekday())
    assert names["weeks"]["name"].to_list() == [str(monday), str(monday + timedelta(days=7))]
    assert names["weeks"]["row_days"].to_list() == [5, 1]
    assert "All in all planners made them better by 5.6 points of sales (a small sample)" in text
    assert names["advised"].words == advice(stores, "ana").words
    assert "5 row-days of 5 overrides" in text
    assert "b<en" not in text
    assert "Days back are not 40." in shown("value_of_overrides", tmp_path, monkeypatch, asked={"days": 40})[0]


def test_a_planners_morning_shows_the_worklist_and_records_nothing(
    compared: ComparedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = copied(compared.runner, tmp_path / "home")
    store, sku = compared.withdrawn
    days = KEY.prediction_date + timedelta(days=1), KEY.prediction_date + timedelta(days=2)
    said = Override(Scope.of(sku=sku), *days, "percent", "10", "event", "fair")
    record_overrides(runner.stores, [said], by="ana", needs_approval=True)
    ledger = runner.stores.ledger.state().sequence
    files = sorted(runner.settings.home.rglob("*"))
    asked = {"series": f"{sku} in {store}", "form": "add", "value": "3", "first": str(days[0]), "last": str(days[1])}
    text, names = shown("planners_morning", runner.settings.home, monkeypatch, asked=asked)
    # By default it is the newest run of the champion, as it was corrected.
    assert names["publication"].key == CORRECTED
    risks = read_product(runner.stores, names["publication"], "stockout_risks")
    lost = risks.group_by("store_id", "sku_id").agg(pl.col("expected_lost_units").sum().cast(pl.Float64))
    assert names["listing"].found == lost.filter(pl.col("expected_lost_units") > 0).height
    assert names["listing"].lost_units == pytest.approx(lost["expected_lost_units"].sum())
    for row in names["reasons"].iter_rows(named=True):
        assert row["lost_units"] == pytest.approx(lost.row(by_predicate=_is(row), named=True)["expected_lost_units"])
        assert f"<strong>{row['sku_id']} in {row['store_id']}</strong>" in text
    assert names["revised"].before.key == KEY
    assert names["listed"].select("override", "state").rows() == [(f"o{ledger}-1", "pending")]
    assert "1 override, of which 1 wait" in text
    (effect,) = names["preview"].effects
    assert effect.after_units - effect.before_units == pytest.approx(6.0)
    assert names["preview"].rows["target_date"].to_list() == list(days)
    assert runner.stores.ledger.state().sequence == ledger
    assert sorted(runner.settings.home.rglob("*")) == files
    wrong, _ = shown("planners_morning", runner.settings.home, monkeypatch, asked={**asked, "value": "many"})
    assert "is no value of an override" in wrong


def _is(row: dict[str, Any]) -> pl.Expr:
    return (pl.col("store_id") == row["store_id"]) & (pl.col("sku_id") == row["sku_id"])


def test_a_planners_morning_tells_what_changed_since_the_run_before(
    compared: ComparedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = compared.runner.settings.home
    _, names = shown("planners_morning", home, monkeypatch, asked={"run": str(SECOND)})
    sides = [
        read_product(compared.runner.stores, compared.runner.stores.predictions.publication(key), "forecasts")
        for key in (FIRST, SECOND)
    ]
    common = set(sides[0]["target_date"]) & set(sides[1]["target_date"])
    units = [float(side.filter(pl.col("target_date").is_in(common))["forecast_units"].sum()) for side in sides]
    assert (names["changes"].before_units, names["changes"].after_units) == pytest.approx(units)
    text, names = shown("planners_morning", home, monkeypatch, asked={"run": str(FIRST)})
    assert names["changes"] is None
    assert "No earlier run of this version is published." in text


def test_the_story_of_a_missed_stockout_is_that_of_the_products(
    published: Published, simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    runner = emptied(published[0], simulation, home)
    ledger = runner.stores.ledger.state().sequence
    text, names = shown("missed_stockout", home, monkeypatch)
    # By default the worst of the newest day.
    store, sku, day = empty_shelves(runner.stores).select("store_id", "sku_id", "event_date").row(0)
    assert day == DAYS[-1]
    assert (names["found"].store_id, names["found"].sku_id, names["found"].day) == (store, sku, day)
    forecasts = read_product(runner.stores, runner.stores.predictions.publication(JUDGED), "forecasts")
    told = forecasts.filter(pl.col("store_id") == store, pl.col("sku_id") == sku, pl.col("target_date") <= day)
    units = dict(names["balance"].rows())
    assert units["forecast by the model"] == pytest.approx(float(told["reconciled_units"].sum()))
    assert units["forecast as published"] == pytest.approx(float(told["forecast_units"].sum()))
    assert names["parts"]["cause"].to_list() == ["forecast", "order", "position", "override"]
    assert names["parts"]["put_down_units"].sum() == pytest.approx(names["found"].balance.missed)
    assert f"Why {sku} in {store} ran out on {day}" in text
    assert f"Put down to: {names['found'].verdict} " in text
    assert "closed for works" in text
    assert str(KEY) in text
    # Another one, by arguments.
    other = empty_shelves(runner.stores).select("store_id", "sku_id").row(5)
    asked = {"store": other[0], "sku": other[1], "day": str(day), "version": "stat-1"}
    _, names = shown("missed_stockout", home, monkeypatch, asked=asked)
    assert (names["found"].store_id, names["found"].sku_id) == other
    text, _ = shown("missed_stockout", home, monkeypatch, asked={**asked, "day": "2024-01-01"})
    assert "No daily run looked at 2024-01-01 before." in text
    text, _ = shown("missed_stockout", home, monkeypatch, asked={**asked, "day": "Monday"})
    assert "A day is written as 2025-07-01." in text
    assert runner.stores.ledger.state().sequence == ledger


def test_without_an_empty_shelf_there_is_no_story(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    text, _ = shown("missed_stockout", published[0].settings.home, monkeypatch)
    assert "No shelf was empty on the newest 28 days with sales that a daily run" in text


def test_a_notebook_is_also_a_script(published: Published) -> None:
    environment = {**os.environ, "FORECAST_ASSETS_HOME": str(published[0].settings.home)}
    done = subprocess.run(
        [sys.executable, FOLDER / "hierarchy_browser.py"], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_the_history_of_a_series_is_what_the_run_knew(published: Published) -> None:
    runner, outcome = published
    places = hierarchy_places(runner.stores, outcome.publication)
    store_id, sku_id = places.select("store_id", "sku_id").row(0)
    found = series_history(runner.stores, outcome.publication, store_id, sku_id, days=30)
    assert found["event_date"].max() == RETAILER.end
    assert found["event_date"].is_sorted()
    assert found["event_date"].n_unique() == found.height <= 30
    known = runner.history(RETAILER.end).feed("sales")
    assert known is not None
    sold = known.filter(pl.col("store_id") == store_id, pl.col("sku_id") == sku_id).sort("event_date").tail(30)
    assert found["sales_units"].to_list() == sold.collect()["sales_units"].to_list()
    empty = found.filter(pl.col("on_hand_units") <= 0)
    assert empty["is_stockout"].all()
    assert found["price_ratio"].is_not_null().all()
    assert found["out_of_stock_share"].is_null().all()
    assert series_after(runner.stores, outcome.publication, store_id, sku_id).is_empty()
