"""Why empty shelves were not prevented: rules against numbers worked out by hand, and all of it against plain loops."""

from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta
from math import ceil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from forecast_assets.core.errors import InputError, NotReadyError
from forecast_assets.core.keys import RunKey
from forecast_assets.launch import Runner
from forecast_assets.operations.missed_stockouts import (
    CAUSES,
    StockBalance,
    empty_shelves,
    missed_stockout,
    missed_words,
    put_down,
)
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.simulation.simulator import Simulation
from tests.support.compared_runs import FIRST, SECOND, ComparedRuns
from tests.support.retailers import KEY, copied
from tests.support.stockout_cases import DAYS, JUDGED, emptied

pytestmark = pytest.mark.usefixtures("brief_runs")


def parts(**units: float | None) -> dict[str, tuple[float | None, float]]:
    balance = StockBalance(**{"known": 0.0, "left": 0.0, **units})  # type: ignore[arg-type]
    return {part.cause: (part.units, part.put_down_units) for part in put_down(balance)}


@pytest.mark.parametrize(
    ("units", "wanted"),
    [
        # 40 asked for, 25 forecast and there.
        ({"missed": 15, "sold": 25, "model": 25, "published": 25, "known": 25}, {"forecast": (15, 15)}),
        # 40 forecast and asked for; 10 on hand, and the 30 on order did not come.
        (
            {"missed": 30, "sold": 10, "model": 40, "published": 40, "known": 10, "expected": 30},
            {"order": (30, 30)},
        ),
        # The same, and nobody had ordered.
        ({"missed": 30, "sold": 10, "model": 40, "published": 40, "known": 10}, {"order": (30, 30)}),
        # The books had 40, the shelf 28.
        ({"missed": 12, "sold": 28, "model": 40, "published": 40, "known": 40}, {"position": (12, 12)}),
        # The model was right, and a planner halved it.
        ({"missed": 20, "sold": 20, "model": 40, "published": 20, "known": 20}, {"override": (20, 20)}),
        # A planner took 20 from a forecast that was 15 too high: 5 too many.
        ({"missed": 5, "sold": 20, "model": 40, "published": 20, "known": 20}, {"override": (5, 5)}),
        # A planner took 10 from a forecast that was 20 too high: that kept nothing from the shelf.
        (
            {"missed": 10, "sold": 10, "model": 40, "published": 30, "known": 10, "expected": 20},
            {"forecast": (-10, 0), "order": (20, 10)},
        ),
        # A planner raised a forecast, and not enough: that is the model's.
        ({"missed": 10, "sold": 30, "model": 20, "published": 30, "known": 30}, {"forecast": (10, 10)}),
        # All at once, of 24 missed: asked for 54, model 45, published 40, 10 + 40 counted on, 30 came, 10 gone.
        (
            {"missed": 24, "sold": 30, "model": 45, "published": 40, "known": 10, "expected": 40, "received": 30},
            # 9, 10, 10 and 5 are 34, of which 10 of spare stock took up its part.
            {"forecast": (9, 24 * 9 / 34), "order": (10, 24 * 10 / 34), "position": (10, 24 * 10 / 34),
             "override": (5, 24 * 5 / 34)},
        ),
        # A forecast that was too high kept no stock from the shelf: the late order did.
        (
            {"missed": 10, "sold": 10, "model": 30, "published": 30, "known": 10, "expected": 20},
            {"forecast": (-10, 0), "order": (20, 10)},
        ),
    ],
)  # fmt: skip
def test_missed_units_are_put_down_as_by_hand(units: dict[str, float], wanted: dict[str, tuple[float, float]]) -> None:
    found = parts(**units)
    assert list(found) == list(CAUSES)
    assert found == {cause: pytest.approx(wanted.get(cause, (0.0, 0.0))) for cause in CAUSES}


def test_without_positions_orders_and_stock_are_unknown() -> None:
    found = parts(missed=15, sold=25, model=25, published=25, known=None, left=None)
    assert found == {"forecast": (15, 15), "order": (None, 0.0), "position": (None, 0.0), "override": (0.0, 0.0)}
    assert not any(told for _, told in parts(missed=5, sold=0, model=9, published=9, known=None).values())


@pytest.fixture(scope="module")
def runner(
    published: tuple[Runner, RunOutcome], simulation: Simulation, tmp_path_factory: pytest.TempPathFactory
) -> Runner:
    return emptied(published[0], simulation, tmp_path_factory.mktemp("emptied") / "home")


def known(runner: Runner, feed: str, *columns: str) -> list[dict[str, Any]]:
    """What is said last of each key of a feed, of the sources that count most."""
    rows = runner.stores.observations.scan(runner.stores.observations.batches(), feed)
    assert rows is not None
    return rows.sort("trust", "known_at").select("store_id", "sku_id", "event_date", *columns).collect().to_dicts()


Series = tuple[str, str]


def by_day(rows: list[dict[str, Any]], column: str) -> dict[Series, dict[date, float]]:
    found: dict[Series, dict[date, float]] = defaultdict(dict)
    for row in rows:
        found[row["store_id"], row["sku_id"]][row["event_date"]] = row[column]
    return found


def missed_by_hand(sold: dict[date, float], stock: dict[date, float]) -> float:
    missed = 0.0
    for day in DAYS:
        if stock[day] <= 0:
            before = [day - timedelta(weeks=back) for back in range(1, 9)]
            usual = [sold[then] for then in before if then in sold and stock[then] > 0]
            missed += max(sum(usual) / len(usual) - sold[day], 0.0)
    return missed


def orders_by_hand(orders: list[dict[str, Any]], lead: int) -> tuple[float, float]:
    """What was due by the last day of orders that were open when the run was made, and what came."""
    expected = received = 0.0
    for order in orders:
        came = order["received_date"]
        if came is None or came > KEY.prediction_date:
            is_due = order["event_date"] + timedelta(days=lead) <= DAYS[-1]
            expected += order["ordered_units"] if is_due else 0.0
            received += 0.0 if came is None else order["ordered_units"]
    return expected, received


def balances(runner: Runner) -> dict[Series, tuple[StockBalance, bool]]:
    """The balance of every series up to the last day, and whether the run was in time, by plain loops."""
    positions = known(runner, "inventory_positions", "on_hand_units", "lead_time_days")
    sold, stock = by_day(known(runner, "sales", "sales_units"), "sales_units"), by_day(positions, "on_hand_units")
    leads = by_day(positions, "lead_time_days")
    said = known(runner, "purchase_orders", "order_id", "ordered_units", "received_date")
    newest = {row["order_id"]: row for row in said}
    forecasts = read_product(runner.stores, runner.stores.predictions.publication(JUDGED), "forecasts").to_dicts()
    found = {}
    for store, sku in sorted({(row["store_id"], row["sku_id"]) for row in forecasts}):
        own = [row for row in forecasts if (row["store_id"], row["sku_id"]) == (store, sku)]
        model, published = (
            sum(float(row[name]) for row in own if row["target_date"] in DAYS)
            for name in ("reconciled_units", "forecast_units")
        )
        lead = max(ceil(leads[store, sku][DAYS[1]]), 1)
        orders = [row for row in newest.values() if (row["store_id"], row["sku_id"]) == (store, sku)]
        expected, received = orders_by_hand(orders, lead)
        balance = StockBalance(
            missed_by_hand(sold[store, sku], stock[store, sku]),
            sum(sold[store, sku][day] for day in DAYS),
            model,
            published,
            known=stock[store, sku][KEY.prediction_date],
            expected=expected,
            received=received,
            left=0.0,
        )
        found[store, sku] = (balance, lead <= len(DAYS))
    return found


def test_every_shelf_is_told_as_plain_loops_do(runner: Runner) -> None:
    wanted = balances(runner)
    assert any(balance.received for balance, _ in wanted.values())
    assert any(balance.expected for balance, _ in wanted.values())
    assert {in_time for _, in_time in wanted.values()} == {True, False}
    for (store_id, sku_id), (balance, in_time) in wanted.items():
        found = missed_stockout(runner.stores, store_id, sku_id, DAYS[-1])
        assert (found.run, found.is_in_time) == (JUDGED, in_time)
        assert vars(found.balance) == pytest.approx(vars(balance))
        # The terms add up to what was missed, and so does what is put down to causes.
        spare = balance.published - balance.known - balance.expected  # type: ignore[operator]
        terms = sum(part.units or 0.0 for part in found.parts)
        assert terms + min(spare, 0.0) == pytest.approx(balance.missed)
        if found.verdict:
            assert sum(part.put_down_units for part in found.parts) == pytest.approx(balance.missed)
            assert found.verdict == max(found.parts, key=lambda part: part.units or 0.0).cause
        assert f"{balance.missed:,.1f} units of {sku_id} in {store_id}" in missed_words(found)


def test_of_known_hours_the_share_without_stock_is_missed(
    runner: Runner, simulation: Simulation, tmp_path: Path
) -> None:
    store_id, sku_id, usual = empty_shelves(runner.stores).select("store_id", "sku_id", "usual_units").row(0)
    told = copied(runner, tmp_path / "home")
    batch = next(batch for batch in simulation.batches if batch.feed == "inventory_positions")
    row = batch.frame.filter(store_id=store_id, sku_id=sku_id, event_date=KEY.prediction_date).head(1)
    said = row.select(
        "sku_id", "store_id", pl.col("event_date", "known_at") + timedelta(days=len(DAYS)),
        out_of_stock_hours=pl.lit(4.0), trading_hours=pl.lit(16.0), out_of_stock_demand_share=pl.lit(None, pl.Float64),
    )  # fmt: skip
    told.ingest([replace(batch, feed="stock_status", frame=said)])
    days = missed_stockout(told.stores, store_id, sku_id, DAYS[-1]).days
    assert days["out_of_stock_share"][-1] == 4 / 16
    assert days["missed_units"][-1] == pytest.approx(usual / 4)


@pytest.mark.parametrize(
    ("lead_time", "judged", "in_time"),
    [(0.4, SECOND, True), (1.0, SECOND, True), (1.5, FIRST, True), (3, FIRST, False)],
)
def test_judged_is_the_newest_run_after_which_an_order_would_have_come(
    compared: ComparedRuns, simulation: Simulation, tmp_path: Path, lead_time: float, judged: RunKey, in_time: bool
) -> None:
    told = copied(compared.runner, tmp_path / "home")
    batch = next(batch for batch in simulation.batches if batch.feed == "inventory_positions")
    store_id, sku_id = compared.withdrawn
    days = batch.frame.filter(pl.col("event_date") >= SECOND.prediction_date, store_id=store_id, sku_id=sku_id)
    later = pl.col("known_at") + timedelta(hours=1)
    said = days.with_columns(later, on_hand_units=pl.lit(0.0), lead_time_days=pl.lit(float(lead_time)))
    told.ingest([replace(batch, frame=said)])
    found = missed_stockout(told.stores, store_id, sku_id, KEY.prediction_date, FIRST.model_version)
    assert (found.run, found.is_in_time, found.lead_time_days) == (judged, in_time, lead_time)
    assert found.vintages["run"].to_list() == [str(FIRST), str(SECOND)]
    assert ("No run was early enough" in missed_words(found)) is not in_time


def test_empty_shelves_are_the_newest_first_and_the_worst_of_a_day(runner: Runner) -> None:
    shelves = empty_shelves(runner.stores)
    assert shelves["event_date"].is_sorted(descending=True)
    last = shelves.filter(event_date=DAYS[-1])
    assert last.select("store_id", "sku_id").n_unique() == last.height == len(balances(runner))
    assert last["missed_units"].is_sorted(descending=True)
    store_id, sku_id, missed = last.select("store_id", "sku_id", "missed_units").row(0)
    days = missed_stockout(runner.stores, store_id, sku_id, DAYS[-1]).days
    assert days["target_date"].to_list() == DAYS
    assert days["missed_units"][-1] == missed


def test_the_story_has_every_vintage_order_and_override(runner: Runner) -> None:
    store_id, sku_id = empty_shelves(runner.stores).select("store_id", "sku_id").row(0)
    found = missed_stockout(runner.stores, store_id, sku_id, DAYS[-1])
    assert found.vintages.select("run", "step", "is_judged").rows() == [(str(KEY), 3, False), (str(JUDGED), 3, True)]
    for key, units in found.vintages.select("run", "forecast_units").iter_rows():
        publication = next(run for run in (KEY, JUDGED) if str(run) == key)
        told = read_product(runner.stores, runner.stores.predictions.publication(publication), "forecasts")
        own = told.filter(store_id=store_id, sku_id=sku_id, target_date=DAYS[-1])
        assert units == float(own["forecast_units"][0])
    assert found.overrides["target_date"].to_list() == DAYS
    assert set(found.overrides["by"]) == {"ana"}
    assert set(found.overrides["note"]) == {"closed for works"}
    late = [
        order
        for store, sku in balances(runner)
        for order in missed_stockout(runner.stores, store, sku, DAYS[-1]).orders.iter_rows(named=True)
    ]
    for order in late:
        came = order["received_date"] or DAYS[-1]
        is_due = order["expected_date"] <= DAYS[-1]
        assert order["days_late"] == ((came - order["expected_date"]).days if is_due else None)
    assert {order["received_date"] for order in late} == {DAYS[1], None}


def test_what_cannot_be_told_says_why(runner: Runner) -> None:
    store_id, sku_id = empty_shelves(runner.stores).select("store_id", "sku_id").row(0)
    with pytest.raises(NotReadyError, match="No daily run looked at 2024-01-01 before"):
        missed_stockout(runner.stores, store_id, sku_id, date(2024, 1, 1))
    with pytest.raises(NotReadyError, match="are not known of"):
        missed_stockout(runner.stores, store_id, sku_id, DAYS[-1] + timedelta(days=1))
    with pytest.raises(InputError, match="has no SKU NONE"):
        missed_stockout(runner.stores, store_id, "NONE", DAYS[-1])
    with pytest.raises(NotReadyError, match="No daily run of stat-9"):
        empty_shelves(runner.stores, "stat-9")
    full = next(
        (row["store_id"], row["sku_id"])
        for row in known(runner, "inventory_positions", "on_hand_units")
        if row["event_date"] == DAYS[0] and row["on_hand_units"] > 0
    )
    with pytest.raises(InputError, match=f"was not empty on {DAYS[0]}"):
        missed_stockout(runner.stores, *full, DAYS[0])
