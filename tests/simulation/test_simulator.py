"""The simulated retailer: its bytes, its books, and its truth."""

import hashlib
import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import FEEDS
from forecast_assets.core.errors import SourceError
from forecast_assets.simulation.assortment import DEMAND_TYPES, make_assortment
from forecast_assets.simulation.m5_writer import week_number, write_m5
from forecast_assets.simulation.simulator import Simulation, SimulatorSettings, simulate_retailer, write_native

SETTINGS = SimulatorSettings(skus=25, stores=2, days=200)
KEY = ["sku_id", "store_id", "event_date"]


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate_retailer(SETTINGS)


def feed(simulation: Simulation, name: str, source: str | None = None) -> pl.DataFrame:
    return next(b.frame for b in simulation.batches if b.feed == name and source in {None, b.source})


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_same_bytes_and_another_seed_other_bytes(simulation: Simulation, tmp_path: Path) -> None:
    assert write_native(simulation, tmp_path / "first")
    assert write_native(simulate_retailer(SETTINGS), tmp_path / "second")
    assert write_native(simulate_retailer(replace(SETTINGS, seed=8)), tmp_path / "other")
    first, other = hashes(tmp_path / "first"), hashes(tmp_path / "other")
    assert first == hashes(tmp_path / "second")
    assert len(first) == 12
    assert all(first[name] != other[name] for name in ("sales_pos.parquet", "prices.parquet", "truth/demand.parquet"))


def test_writing_again_changes_nothing_and_other_settings_are_refused(simulation: Simulation, tmp_path: Path) -> None:
    folder = tmp_path / "retailer"
    assert write_native(simulation, folder) is True
    before = hashes(folder)
    assert write_native(simulation, folder) is False
    with pytest.raises(SourceError, match="already holds something else"):
        write_native(replace(simulation, settings=replace(SETTINGS, seed=9)), folder)
    with pytest.raises(SourceError, match="already holds something else"):
        write_m5(simulation, folder)
    assert hashes(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["retailer"]


def test_a_crash_while_writing_leaves_nothing(
    simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr("forecast_assets.simulation.simulator.json.dumps", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        write_native(simulation, tmp_path / "retailer")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_filled(simulation: Simulation, tmp_path: Path) -> None:
    folder = tmp_path / "retailer"
    folder.mkdir()
    assert write_native(simulation, folder)
    assert json.loads((folder / "feeds.json").read_text())["files"]["sales_pos.parquet"] == {
        "feed": "sales",
        "source": "pos",
        "trust": 0.9,
        "declared_lag_hours": 6.0,
    }


@pytest.mark.parametrize(
    "wrong", [{"skus": 0}, {"stores": 0}, {"days": 5}, {"horizon": 0}, {"horizon": 43}, {"seed": -1}]
)
def test_senseless_settings_are_refused_by_name(wrong: dict[str, int]) -> None:
    with pytest.raises(SourceError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))} "):
        SimulatorSettings(**wrong)  # type: ignore[arg-type]


def test_every_feed_keeps_its_contract_and_is_sorted_by_day(simulation: Simulation) -> None:
    for batch in simulation.batches:
        FEEDS[batch.feed].validate(batch.frame)
        assert batch.frame["event_date"].is_sorted()
    assert feed(simulation, "sales", "pos").equals(
        feed(simulation, "sales", "pos").sort("event_date", *KEY, "known_at")
    )


def test_nothing_observed_lies_after_the_end_and_the_plan_goes_on(simulation: Simulation) -> None:
    for name in ("sales", "inventory_positions", "purchase_orders"):
        assert feed(simulation, name)["event_date"].max() == SETTINGS.end
    ahead = SETTINGS.end + timedelta(days=42)
    prices = feed(simulation, "prices")
    assert prices["event_date"].max() == ahead
    known_ahead = prices.filter(pl.col("known_at") <= pl.lit(SETTINGS.end).cast(pl.Datetime("us", "UTC")))
    assert known_ahead["event_date"].max() == ahead
    assert feed(simulation, "events").filter(pl.col("event_date") > SETTINGS.end).height >= 1
    assert simulation.truth["event_date"].max() == SETTINGS.end + timedelta(days=SETTINGS.horizon)


def test_the_last_word_of_pos_is_the_truth_and_first_words_are_sometimes_wrong(simulation: Simulation) -> None:
    pos = feed(simulation, "sales", "pos")
    last = pos.sort("known_at").group_by(KEY).last().join(simulation.truth, on=KEY, suffix="_true", validate="1:1")
    assert (last["sales_units"] == last["sales_units_true"]).all()
    restated = pos.height - last.height
    assert 0.002 < restated / last.height < 0.01
    first = pos.sort("known_at").group_by(KEY).first().join(simulation.truth, on=KEY, suffix="_true")
    assert first.filter(pl.col("sales_units") != pl.col("sales_units_true")).height == restated


def test_some_rows_come_late_and_sources_disagree_now_and_then(simulation: Simulation) -> None:
    pos = feed(simulation, "sales", "pos").sort("known_at").group_by(KEY).first()
    usual = pl.col("event_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC") + timedelta(hours=30)
    delay = pos.select((pl.col("known_at") - usual).dt.total_days().alias("days"))["days"]
    assert 0.005 < (delay > 0).mean() < 0.02
    assert delay.min() == 0
    assert delay.max() == 5
    both = feed(simulation, "sales", "backoffice").join(simulation.truth, on=KEY, suffix="_true", validate="1:1")
    assert 0.002 < (both["sales_units"] != both["sales_units_true"]).mean() < 0.01


def test_units_are_whole_and_the_books_balance(simulation: Simulation) -> None:
    """Opening stock + arrivals - sales = closing stock, on every day of every series."""
    truth = simulation.truth.filter(pl.col("event_date") <= SETTINGS.end)
    assert (truth["sales_units"] % 1 == 0).all()
    assert (truth["sales_units"] + truth["lost_units"] == truth["demand_units"]).all()
    assert ((truth["lost_units"] > 0) == truth["is_stockout"]).all()
    assert truth.filter("is_stockout")["on_hand_units"].max() == 0
    arrived = (
        feed(simulation, "purchase_orders")
        .drop_nulls("received_date")
        .group_by("sku_id", "store_id", pl.col("received_date").alias("event_date"))
        .agg(pl.col("ordered_units").cast(pl.Int64).sum())
    )
    days = truth.join(arrived, on=KEY, how="left").fill_null(0).sort(KEY)
    change = pl.col("on_hand_units") - pl.col("on_hand_units").shift().over("sku_id", "store_id")
    days = days.with_columns(change=change, flow=pl.col("ordered_units") - pl.col("sales_units")).drop_nulls("change")
    assert (days["change"] == days["flow"]).all()


def test_orders_follow_the_declared_policy(simulation: Simulation) -> None:
    """Each placed order lifts on hand + on order to S, and is placed exactly when that was at or below s."""
    orders = feed(simulation, "purchase_orders")
    placed = orders.filter(pl.col("received_date").is_null()).select(*KEY, "order_id", "ordered_units")
    received = orders.drop_nulls("received_date").select("order_id", "received_date")
    placed = placed.join(received, on="order_id", how="left", validate="1:1")
    positions = feed(simulation, "inventory_positions")
    open_units = (
        positions.select(KEY)
        .join(placed, on=["sku_id", "store_id"], suffix="_placed")
        .filter(pl.col("event_date_placed") < pl.col("event_date"))
        .filter(pl.col("received_date").is_null() | (pl.col("received_date") > pl.col("event_date")))
        .group_by(KEY)
        .agg(on_order=pl.col("ordered_units").cast(pl.Int64).sum())
    )
    state = positions.join(open_units, on=KEY, how="left").join(placed, on=KEY, how="left").fill_null(0)
    position = state["on_hand_units"] + state["on_order"]
    due = position <= state["reorder_point_units"]
    assert ((state["ordered_units"] > 0) == due).all()
    assert ((position + state["ordered_units"]).filter(due) == state["order_up_to_units"].filter(due)).all()


def test_lead_times_are_as_declared(simulation: Simulation) -> None:
    # Only orders old enough to have surely arrived: the young ones that have are the quick ones.
    orders = feed(simulation, "purchase_orders").filter(pl.col("event_date") < SETTINGS.end - timedelta(days=45))
    terms = feed(simulation, "inventory_positions").unique(["sku_id", "store_id"])
    arrived = orders.drop_nulls("received_date").join(terms, on=["sku_id", "store_id"])
    lead = (arrived["received_date"] - arrived["event_date"]).dt.total_days()
    assert lead.min() >= 1
    assert arrived.height == orders["order_id"].n_unique()
    assert (lead - arrived["lead_time_days"]).mean() == pytest.approx(0, abs=0.1)


def test_each_demand_type_is_there_and_behaves_so(simulation: Simulation) -> None:
    assert set(simulation.series["demand_type"]) == set(DEMAND_TYPES)
    truth = simulation.truth.filter(pl.col("event_date") <= SETTINGS.end).join(simulation.series, on=KEY[:2])
    by_type = {kind[0]: rows for kind, rows in truth.group_by("demand_type")}
    zeros = {kind: (rows["demand_units"] == 0).mean() for kind, rows in by_type.items()}
    assert zeros["smooth"] < 0.05
    assert zeros["intermittent"] > 0.4
    assert zeros["lumpy"] > 0.5
    launch = by_type["new"].group_by("sku_id").agg(pl.col("event_date").min())["event_date"]
    assert launch.is_between(SETTINGS.end - timedelta(days=56), SETTINGS.end - timedelta(days=6)).all()
    gone = by_type["dead"].filter(pl.col("event_date") > SETTINGS.end - timedelta(days=60))
    assert gone["demand_units"].max() == 0
    assert gone.height == 60 * by_type["dead"].select("sku_id", "store_id").n_unique()


def test_true_probabilities_agree_with_what_happened(simulation: Simulation) -> None:
    """Stock-outs happen as often as their probabilities say, and more where they are higher."""
    happened = simulation.truth.select(*KEY[:2], pl.col("event_date").alias("target_date"), "is_stockout")
    judged = simulation.stockout_probability.join(happened, on=[*KEY[:2], "target_date"], validate="1:1")
    assert judged.height == SETTINGS.series * SETTINGS.horizon
    assert judged["step"].unique().sort().to_list() == list(range(1, 29))
    probability, outcome = judged["true_stockout_probability"], judged["is_stockout"].cast(pl.Float64)
    brier = ((probability - outcome) ** 2).mean()
    assert brier == pytest.approx((probability * (1 - probability)).mean(), abs=0.01)
    assert brier < 0.85 * ((outcome.mean() - outcome) ** 2).mean()
    assert probability.mean() == pytest.approx(outcome.mean(), abs=0.03)


def test_stock_outs_are_as_common_as_in_shops_and_uneven() -> None:
    truth = simulate_retailer(SimulatorSettings(skus=60, stores=3, days=200)).truth
    by_series = truth.group_by("sku_id", "store_id").agg(pl.col("is_stockout").mean())["is_stockout"]
    assert 0.04 < truth["is_stockout"].mean() < 0.10
    assert by_series.quantile(0.9) > 3 * by_series.median()


def test_hierarchies_have_three_levels_that_nest(simulation: Simulation) -> None:
    for name, member, levels in (
        ("product_hierarchy", "sku_id", ["department", "category", "subcategory"]),
        ("store_hierarchy", "store_id", ["country", "region", "city"]),
    ):
        wide = feed(simulation, name).pivot(on="level_name", index=member, values="node_id")
        assert wide.columns == [member, *levels]
        for child, parent in zip([member, *levels[:0:-1]], levels[::-1], strict=True):
            assert wide.group_by(child).agg(pl.col(parent).n_unique())[parent].max() == 1


def test_identifiers_sort_as_numbers_do() -> None:
    assortment = make_assortment(SimulatorSettings(skus=12, stores=120))
    assert assortment.sku_ids[0] == "FOOD-0001"
    assert (np.sort(assortment.store_ids) == assortment.store_ids).all()
    assert (np.sort(assortment.sku_ids) == assortment.sku_ids).all()


def test_m5_files_are_as_published(simulation: Simulation, tmp_path: Path) -> None:
    assert write_m5(simulation, tmp_path / "m5") is True
    assert write_m5(simulation, tmp_path / "m5") is False
    sales = pl.read_csv(tmp_path / "m5" / "sales_train_evaluation.csv")
    calendar = pl.read_csv(tmp_path / "m5" / "calendar.csv", try_parse_dates=True)
    prices = pl.read_csv(tmp_path / "m5" / "sell_prices.csv")
    assert sales.columns[:7] == ["id", "item_id", "dept_id", "cat_id", "store_id", "state_id", "d_1"]
    assert sales.columns[-1] == f"d_{SETTINGS.days}"
    assert sales["id"][0] == "FOOD-0001_S-01_evaluation"
    assert calendar.height == SETTINGS.days + SETTINGS.horizon
    assert set(prices["wm_yr_wk"]) == set(calendar["wm_yr_wk"])
    long = sales.unpivot(index=["item_id", "store_id"], on=sales.columns[6:], variable_name="d", value_name="units")
    long = long.join(calendar.select("d", "date"), on="d")
    keys = {"left_on": ["item_id", "store_id", "date"], "right_on": KEY}
    both = long.join(simulation.truth, **keys, how="left")  # type: ignore[arg-type]
    assert both.filter(pl.col("units") != pl.col("sales_units").fill_null(0)).is_empty()


@pytest.mark.parametrize(
    ("day", "number"), [(date(2011, 1, 29), 11101), (date(2012, 1, 27), 11152), (date(2016, 6, 19), 11621)]
)
def test_m5_weeks_are_numbered_as_in_its_calendar(day: date, number: int) -> None:
    assert week_number(day) == number
