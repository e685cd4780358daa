"""What changed since the run before, and what is below a node: as sums of what both runs published say."""

import time
from collections.abc import Callable
from datetime import date, timedelta

import polars as pl
import pytest

from forecast_assets.core.errors import InputError
from forecast_assets.core.overrides import Scope
from forecast_assets.operations.comparison import DRIVERS, FORECAST_DRIVERS
from forecast_assets.operations.nodes_ahead import node_ahead, run_before, run_changes
from forecast_assets.operations.reading import hierarchy_places, read_product, series_after, series_history
from forecast_assets.operations.worklist import PlannableRun
from forecast_assets.presentation.planned_series import changes_sections, node_sections
from forecast_assets.presentation.planning import Signed
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.planning import PlanningDesk
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores
from tests.support.compared_runs import FIRST, SECOND, ComparedRuns

SERIES = ["store_id", "sku_id"]


@pytest.fixture(scope="module")
def stores(compared: ComparedRuns) -> Stores:
    return compared.runner.stores


@pytest.fixture(scope="module")
def runs(stores: Stores) -> tuple[PlannableRun, PlannableRun]:
    first, second = (PlannableRun.of(stores, stores.predictions.publication(key)) for key in (FIRST, SECOND))
    return second, first


@pytest.fixture(scope="module")
def both(stores: Stores) -> pl.DataFrame:
    """Published rows of the days that both runs look at."""
    sides = [
        read_product(stores, stores.predictions.publication(key), "forecast_explanations")
        .select(*SERIES, "target_date", "forecast_units", *DRIVERS)
        .with_columns(pl.selectors.decimal().cast(pl.Float64))
        for key in (FIRST, SECOND)
    ]
    return sides[0].join(sides[1], on=[*SERIES, "target_date"], suffix="_after")


def test_the_run_before_is_the_nearest_of_the_version(stores: Stores) -> None:
    state = stores.ledger.state()
    found = run_before(state, state.publications[SECOND])
    assert found is not None
    assert found.key == FIRST
    assert run_before(state, state.publications[FIRST]) is None


def test_changes_are_those_of_common_days(
    stores: Stores, runs: tuple[PlannableRun, PlannableRun], both: pl.DataFrame
) -> None:
    found = run_changes(stores, *runs, limit=100)
    assert (found.first_day, found.last_day) == (
        SECOND.prediction_date + timedelta(days=1), SECOND.prediction_date + timedelta(days=14)
    )  # fmt: skip
    assert found.before_units == pytest.approx(both["forecast_units"].sum())
    assert found.after_units == pytest.approx(both["forecast_units_after"].sum())
    change = pl.col("forecast_units_after") - pl.col("forecast_units")
    expected = both.group_by(SERIES).agg(change=change.sum(), moved=change.abs().sum()).filter(pl.col("moved") > 1e-9)
    assert found.largest.height == expected.height > 10
    assert found.largest["moved_units"].is_sorted(descending=True)
    joined = found.largest.join(expected, on=SERIES)
    assert joined["change_units"].to_list() == pytest.approx(joined["change"].to_list())
    assert joined["moved_units"].to_list() == pytest.approx(joined["moved"].to_list())
    top = found.largest.row(0, named=True)
    of_top = both.filter(store_id=top["store_id"], sku_id=top["sku_id"]).with_columns(change=change.abs())
    assert top["largest_day"] == of_top.sort("change")["target_date"][-1]
    assert run_changes(stores, *runs, limit=3).largest.equals(found.largest.head(3))


def test_drivers_of_the_first_ten_add_up_to_the_change(stores: Stores, runs: tuple[PlannableRun, PlannableRun]) -> None:
    found = run_changes(stores, *runs, limit=50)
    of_forecast = found.drivers.filter(pl.col("driver").is_in(FORECAST_DRIVERS))
    sums = of_forecast.group_by(SERIES).agg(pl.col("change_units").sum().alias("sum"))
    joined = found.largest.head(10).join(sums, on=SERIES, how="left")
    assert joined["sum"].to_list() == pytest.approx(joined["change_units"].to_list(), abs=1e-5)


def test_what_is_below_a_node_adds_up_with_its_change(
    stores: Stores, runs: tuple[PlannableRun, PlannableRun], both: pl.DataFrame
) -> None:
    run, before = runs
    places = hierarchy_places(stores, run.planned.publication)
    levels = [name.removeprefix("product:") for name in places.columns if name.startswith("product:")]
    level = levels[1]
    node = places[f"product:{level}"][0]
    found = node_ahead(stores, run, Scope.of(product=(level, node)), before)
    own = places.filter(pl.col(f"product:{level}") == node).select(*SERIES, child=f"product:{levels[2]}")
    change = pl.col("forecast_units_after") - pl.col("forecast_units")
    expected = own.join(both, on=SERIES).group_by("child").agg(change=change.sum())
    below = found.below.filter(side="product").join(expected, left_on="node", right_on="child")
    assert below.height == own["child"].n_unique()
    assert below["change_units"].to_list() == pytest.approx(below["change"].to_list())
    assert found.change_units == pytest.approx(expected["change"].sum())
    assert found.below.filter(side="store")["change_units"].sum() == pytest.approx(found.change_units)
    assert [str(each) for each in found.above] == ["all products in all stores", f"{level} {node} in all stores"]


def test_the_past_of_a_node_is_what_its_series_sold_as_its_run_knew_it_and_then_what_came(
    stores: Stores, runs: tuple[PlannableRun, PlannableRun]
) -> None:
    first = runs[1]
    day = first.key.prediction_date
    store = first.lines["store_id"][0]
    found = node_ahead(stores, first, Scope.of(store=store), None)
    named = first.lines.filter(store_id=store).select(SERIES).rows()
    published = first.planned.publication
    # As the pages of its series say, one after the other.
    each = (
        [series_history(stores, published, *one, days=91) for one in named],
        [series_after(stores, published, *one) for one in named],
    )
    for rows, of_series in zip((found.past, found.came), each, strict=True):
        sold: dict[date, float] = {}
        for on, units in pl.concat(of_series).select("event_date", "sales_units").iter_rows():
            sold[on] = sold.get(on, 0.0) + units
        assert rows["event_date"].to_list() == sorted(sold)
        assert rows["sales_units"].to_list() == pytest.approx([sold[on] for on in sorted(sold)])
    assert found.past.height > 60
    assert found.came["event_date"][0] == day + timedelta(days=1)
    signed = Signed("ana", "planner", "", may_override=True)
    words = "\n".join(node_sections(published, found, signed))
    assert f'<td>{day}</td><td class="number">{found.past["sales_units"][-1]:,.1f}</td>' in words


def test_a_series_has_nothing_below_and_no_fan(stores: Stores, runs: tuple[PlannableRun, PlannableRun]) -> None:
    store, sku = runs[0].lines.select(SERIES).row(0)
    found = node_ahead(stores, runs[0], Scope.of(sku=sku, store=store), None)
    assert (found.series, found.below.height, found.fan.height, found.change_units) == (1, 0, 0, None)
    assert (found.past.height, found.came.height) == (0, 0)
    with pytest.raises(InputError, match="There is no store `x`"):
        node_ahead(stores, runs[0], Scope.of(store="x"), None)


def test_causes_are_told_once_both_runs_are_prepared(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = PlanningDesk(DataPlane(stores))
    published = stores.predictions.publication(SECOND)
    newest: Callable[[], Publication] = lambda: published  # noqa: E731
    monkeypatch.setattr(desk, "newest", newest)
    signed = Signed("ana", "planner", "", may_override=True, dagster_url="http://dagster:3000/")
    first = desk.changes()
    words = "\n".join(changes_sections(first, signed))
    assert first.causes or "Causes are being worked out" in words
    assert "http://dagster:3000/assets/daily/published_predictions?partition=" in words
    ends = time.monotonic() + 120
    while not (found := desk.changes()).causes:
        assert time.monotonic() < ends
        time.sleep(0.2)
    assert len(found.causes) == 10
    assert found.changes is not None
    assert found.causes[0].sku_id == found.changes.largest["sku_id"][0]
    assert not found.causes[0].is_degraded
    assert found.causes[0].words.replace("&", "&amp;") in "\n".join(changes_sections(found, signed))
