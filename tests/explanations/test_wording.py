"""The words of explanations: the right base of each percentage, the right name, and what is missing is said."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import BASE_NODE_FORECASTS, COMPONENTS, FEEDS
from forecast_assets.core.quantities import publish
from forecast_assets.explanations.explanation_context import ROW_FACTS, ExplanationContext, events_by_store
from forecast_assets.explanations.forecast_wording import forecast_reason, worth_saying
from forecast_assets.explanations.levels_above import largest_gaps, node_names
from forecast_assets.explanations.not_computed import SEASON_DAYS, not_computed
from forecast_assets.explanations.phrases import capitalised, sells_many
from forecast_assets.hierarchy import Hierarchy
from tests.support.forecast_cases import two_by_two

SUNDAY = date(2025, 7, 6)
EFFECTS = frozenset({*COMPONENTS, "reconciliation_units", "override_units"}) - {"level_units", "rounding_units"}
USUAL = "The usual day sells 10.0"
NODE = "category FOOD in store S-1"
SUNDAYS = "Sundays sell 100% more than the week's mean"
HALF_MORE = "Sundays sell 50% more than the week's mean (+5.0)"
JULY = "July sells 10% more than the year's mean (+2.0)"
RELATIVES = "recent sales of its relatives (the product elsewhere, its store and category)"
ABOVE = "is forecast 6% above the sum of its parts"


def reason(**told: Any) -> str:
    """Words of one row whose drivers are as told, and of which nothing else is known."""
    numbers = {
        **dict.fromkeys(COMPONENTS, 0.0), "reconciliation_units": 0.0, "override_units": 0.0,
        "level_units": 10.0, "target_date": SUNDAY, "demand_class": "smooth", "model_used": "SES",
    }  # fmt: skip
    row = {**dict.fromkeys(ROW_FACTS), **numbers, **told}
    row.setdefault("forecast_units", sum(value for name, value in row.items() if name in {*COMPONENTS}))
    frame = pl.DataFrame([row], schema_overrides=ROW_FACTS)
    units = {name: frame[name].cast(pl.Float64).to_numpy() for name in EFFECTS | {"level_units"}}
    said = worth_saying(units)
    frame = frame.hstack([sells_many(units["level_units"]), *said.values()])
    left_out = [pl.lit(None, pl.Float64).alias(f"said {name}") for name in EFFECTS.difference(said)]
    words = str(frame.with_columns(left_out).select(capitalised(forecast_reason())).item())
    # What is not worth saying, and what no series is, is left out of the sentence by whoever knows: the words are the
    # same.
    less = forecast_reason(frozenset(said), frozenset(frame["demand_class"]))
    assert str(frame.select(capitalised(less)).item()) == words
    return words


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"weekday_units": 4.0}, f"{USUAL}; Sundays sell 40% more than the week's mean (+4.0)"),
        (
            {"trend_units": 2.0, "weekday_units": -6.0},
            f"{USUAL}; the trend adds 2.0; Sundays sell 50% less than the week's mean (-6.0)",
        ),
        (
            {"weekday_units": 10.0, "season_units": 2.4},
            f"{USUAL}; {SUNDAYS} (+10.0); July sells 12% more than the year's mean (+2.4)",
        ),
        (
            {"weekday_units": 10.0, "season_units": 2.4, "follows_last_year": True},
            f"{USUAL}; {SUNDAYS} (+10.0); July sells 12% more than the last weeks, as last year (+2.4)",
        ),
        (
            {"price_units": 3.1, "planned_price_ratio": 0.8},
            f"{USUAL}; a price 20% below list adds 3.1",
        ),
        (
            {"price_units": -1.0, "planned_price_ratio": 1.05},
            f"{USUAL}; a price 5% above list takes away 1.0",
        ),
        ({"price_units": 1.0}, f"{USUAL}; a price as in recent weeks adds 1.0"),
        (
            {"promotion_units": 2.0, "is_promotion_planned": True},
            f"{USUAL}; the promotion adds 2.0",
        ),
        ({"promotion_units": 2.0}, f"{USUAL}; promoting as in recent weeks adds 2.0"),
        ({"event_units": 4.0, "event_names": "fair"}, f"{USUAL}; fair adds 4.0"),
        (
            {"event_units": -4.0, "event_names": "fair and payday"},
            f"{USUAL}; fair and payday take away 4.0",
        ),
        ({"event_units": 4.0}, f"{USUAL}; a calendar event adds 4.0"),
        ({"payday_units": 3.2}, f"{USUAL}; paydays add 3.2"),
        ({"payday_units": 3.2, "payday_names": "snap"}, f"{USUAL}; snap adds 3.2"),
        ({"payday_units": -1.0, "payday_names": "pay and snap"}, f"{USUAL}; pay and snap take away 1.0"),
        ({"time_of_month_units": -0.5}, f"{USUAL}; the time of month takes away 0.5"),
        ({"covariates_units": 1.5}, f"{USUAL}; covariates add 1.5"),
        (
            {"covariates_units": -1.5, "covariate_names": "rain above usual"},
            f"{USUAL}; covariates (rain above usual) take away 1.5",
        ),
        ({"covariate_names": "rain above usual"}, USUAL),
        (
            {"weekday_units": 5.0, "payday_units": 4.0, "time_of_month_units": 1.0, "season_units": 2.0},
            f"{USUAL}; {HALF_MORE}; paydays add 4.0; the time of month adds 1.0; {JULY}",
        ),
        (
            {"event_units": -10.0, "forecast_units": 0.0},
            f"No demand is expected; {USUAL.lower()}; a closed store takes away 10.0",
        ),
        (
            {"reconciliation_units": 0.6, "node_name": NODE, "node_gap_share": 0.06},
            f"{USUAL}; adding up with the levels above adds 0.6 ({NODE} by itself {ABOVE})",
        ),
        ({"override_units": 5.0}, f"{USUAL}; an override (+5.0)"),
        (
            {"override_units": -5.0, "override_words": "ana: -5 units a day more, event, rain"},
            f"{USUAL}; ana: -5 units a day more, event, rain (-5.0)",
        ),
        ({"override_units": 0.0, "override_words": "ana: +20%, event"}, USUAL),
        ({"relatives_units": 1.2}, f"{USUAL}; {RELATIVES} add 1.2"),
        ({"relatives_units": -1.2}, f"{USUAL}; {RELATIVES} take away 1.2"),
        (
            {"availability_units": 0.3, "days_out_of_stock_28d_share": 0.25},
            f"{USUAL}; recent days without stock add 0.3",
        ),
        (
            {"availability_units": -0.3, "days_out_of_stock_28d_share": 0.0},
            f"{USUAL}; having been in stock lately takes away 0.3",
        ),
        ({"availability_units": 0.3}, f"{USUAL}; recent availability adds 0.3"),
        ({"level_units": 0.2, "demand_class": "lumpy"}, "Sells on few days, 0.2 a day on average"),
        ({"level_units": 0.004}, "The usual day sells under 0.01"),
        (
            {"model_used": "external", "model_version": "theirs-1", "level_units": 12.3},
            "Made elsewhere (theirs-1): 12.3 units",
        ),
    ],
)
def test_each_driver_has_its_words(told: dict[str, Any], words: str) -> None:
    assert reason(**told) == words


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"demand_class": "dead", "days_since_sale_days": 74.0}, "No demand is expected; no sale in 74 days"),
        ({"demand_class": "dead", "age_days": 364.0}, "No demand is expected; no sale in the 364 days known"),
        ({"demand_class": "dead"}, "No demand is expected; no sale for long"),
        (
            {"demand_class": "ended", "last_day": date(2025, 5, 1)},
            "No demand is expected; ended: no rows since 2025-05-01",
        ),
        ({"demand_class": "ended"}, "No demand is expected; ended"),
    ],
)
def test_a_forecast_of_nothing_says_why(told: dict[str, Any], words: str) -> None:
    assert reason(level_units=0.0, **told) == words


def test_a_new_series_says_of_whom_it_borrows_only_if_it_does() -> None:
    new = {"demand_class": "new", "age_days": 1.0, "borrowed_from": "category FOOD in S-1"}
    assert reason(**new, model_used="BorrowedLevel(7)") == (
        "New, 1 day known: borrowed from category FOOD in S-1 and from its other stores; the usual day sells 10.0"
    )
    assert reason(**new) == "New, 1 day known; the usual day sells 10.0"


@pytest.mark.parametrize("model", ["LightGBM", "LightGBM+SimpleExponentialSmoothing(0.1)"])
def test_learned_effects_are_told_in_units_because_no_share_of_what_is_below_them_is_theirs(model: str) -> None:
    told = {"weekday_units": 4.0, "season_units": -2.4, "model_used": model}
    assert reason(**told) == f"{USUAL}; Sundays sell more (+4.0); July sells less (-2.4)"
    assert "%" in reason(**{**told, "model_used": "SimpleExponentialSmoothing(0.1)"})


def test_what_is_under_two_percent_of_the_usual_day_is_not_told() -> None:
    assert reason(price_units=0.19, trend_units=-0.19) == USUAL
    assert "adds 0.2" in reason(price_units=0.2)


def test_events_are_named_for_the_stores_that_they_apply_to() -> None:
    day = date(2025, 7, 4)
    rows = [("holiday", "all"), ("fair", "S1"), ("snap", "north"), ("snap", "nowhere")]
    events = pl.DataFrame(
        {
            "event_name": [name for name, _ in rows],
            "store_node": [node for _, node in rows],
            "event_date": [day] * len(rows),
        }
    )
    nodes = pl.DataFrame({"store_id": ["S1", "S2", "S9"], "node_id": ["south", "north", "north"]})
    named = events_by_store(events, pl.Series(["S1", "S2", "S3", "S1"]), nodes)
    plain = [("S1", day, "fair and holiday"), ("S2", day, "holiday and snap"), ("S3", day, "holiday")]
    assert named.rows() == [(*row, None) for row in plain]
    assert events_by_store(events, pl.Series(["S2"]), None).rows() == [("S2", day, "holiday", None)]
    told_apart = events_by_store(events, pl.Series(["S1", "S2"]), nodes, recurring=["snap", "fair"])
    assert told_apart.rows() == [("S1", day, "holiday", "fair"), ("S2", day, "holiday", "snap")]
    assert events_by_store(events, pl.Series(["S3"]), None, ["holiday"]).rows() == [("S3", day, None, "holiday")]


def _levels(node_units: dict[tuple[str, str], float], lift: float) -> list[tuple[Any, ...]]:
    """Gaps of S1-A, S1-B, S1-C, S2-A, S2-B at 10 units each, all moved by some units, where nodes think otherwise."""
    hierarchy = two_by_two()
    assert isinstance(hierarchy, Hierarchy)
    series = hierarchy.series.with_columns(step=pl.lit(1, pl.Int32))
    base = series.with_columns(publish(np.full(5, 10.0), "base_units"))
    moved = series.with_columns(publish(np.full(5, 10.0 + lift), "reconciled_units"))
    information = hierarchy.information.nodes
    own = [
        node_units.get((row["product_node"], row["store_node"]), 10.0 * row["series_count"])
        for row in information.iter_rows(named=True)
    ]
    nodes = information.with_columns(publish(np.array(own), "base_units"))
    assert set(nodes.columns) & set(BASE_NODE_FORECASTS.names)
    return largest_gaps(base, moved, nodes, hierarchy).select("node_name", "node_gap_share").rows()


def test_the_node_that_pulls_hardest_the_way_a_row_moved_is_named() -> None:
    assert _levels({("total", "total"): 60.0}, lift=1.0) == [("the total", pytest.approx(0.2))] * 5
    assert _levels({("total", "total"): 60.0}, lift=-1.0) == [(None, None)] * 5
    assert _levels({("total", "total"): 60.0}, lift=0.0) == [(None, None)] * 5
    assert _levels({("total", "total"): 45.0}, lift=-1.0) == [("the total", pytest.approx(-0.1))] * 5


def test_nodes_are_called_by_their_levels() -> None:
    named = node_names(two_by_two().nodes).to_list()
    assert {"the total", "category x", "store S1", "category x in store S1", "sku A"} <= set(named)


def wants(feeds: set[str], longest: float | None = None, **row: Any) -> str:
    told = {
        "has_plan": None, "has_product_place": None, "has_store_place": None, "risk_method": "inventory_position",
        "stockout_probability": 0.1, "season_units": 0.0, **row,
    }  # fmt: skip
    flags = {name: pl.Boolean for name in told if name.startswith("has_")}
    frame = pl.DataFrame([told], schema_overrides={**flags, "stockout_probability": pl.Float64})
    return str(frame.select(not_computed(frozenset(feeds), longest)).item())


@pytest.mark.parametrize(
    ("missing", "row", "words"),
    [
        ("", {}, ""),
        ("prices", {"has_plan": False}, "price and promotion: there is no price feed"),
        ("", {"has_plan": False}, "price and promotion of this day: no plan is known for it, recent weeks stand in"),
        ("events", {}, "calendar events: there is no event feed"),
        ("product_hierarchy", {}, "levels between the SKU and the total: there is no product hierarchy"),
        ("store_hierarchy", {}, "levels between the store and the total: there is no store hierarchy"),
        (
            "",
            {"has_product_place": False},
            "the SKU's place in the product hierarchy: it has none, `unassigned` stands in",
        ),
        (
            "",
            {"has_store_place": False},
            "the store's place in the store hierarchy: it has none, `unassigned` stands in",
        ),
        (
            "",
            {"risk_method": "none", "stockout_probability": None},
            "stock-out risk: neither a stock position nor stock status is known",
        ),
        ("", {"risk_method": "stock_status"}, "days of cover: only stock status is known"),
        (
            "",
            {"stockout_probability": None},
            "stock-out risk after lead time and review: no ordering policy is declared",
        ),
    ],
)
def test_what_could_not_be_computed_is_said(missing: str, row: dict[str, Any], words: str) -> None:
    assert wants({*FEEDS} - {missing}, **row) == words


def test_several_wants_are_joined() -> None:
    assert wants(set(FEEDS) - {"prices", "events"}) == (
        "price and promotion: there is no price feed; calendar events: there is no event feed"
    )


def test_too_little_history_for_a_yearly_season_is_said_unless_there_is_one() -> None:
    words = "time of year: it shows after two years, 364 days are known"
    assert wants({*FEEDS}, 364.0) == words
    assert wants({*FEEDS}, 364.0, season_units=1.0) == ""
    assert wants({*FEEDS}, float(SEASON_DAYS)) == ""


def test_facts_of_the_same_rows_are_lined_up_as_those_in_another_order() -> None:
    rows = pl.DataFrame({"store_id": "S", "sku_id": ["A", "A", "B"], "step": [1, 2, 1]}).with_columns(
        target_date=pl.lit(date(2025, 7, 4))
    )
    gaps = rows.select("store_id", "sku_id", "step").with_columns(node_name=pl.Series(["x", None, "z"]))
    told = [ExplanationContext(gaps=part).row_facts(rows) for part in (gaps, gaps.reverse(), gaps.head(1))]
    assert [each["node_name"].to_list() for each in told] == [["x", None, "z"], ["x", None, "z"], ["x", None, None]]


def test_facts_are_lined_up_with_rows_whatever_is_left_out() -> None:
    days = [date(2025, 7, 1), date(2025, 7, 2)]
    rows = pl.DataFrame({"store_id": ["S", "S"], "sku_id": ["B", "A"], "step": [1, 2], "target_date": days})
    plan = pl.DataFrame(
        {"store_id": ["S"], "sku_id": ["A"], "target_date": days[1:], "planned_price_ratio": [0.9],
         "is_promotion_planned": [True]}
    )  # fmt: skip
    told = ExplanationContext(plan=plan).row_facts(rows)
    assert told.schema == pl.Schema(ROW_FACTS)
    assert told["planned_price_ratio"].to_list() == [None, 0.9]
    assert told["has_plan"].to_list() == [False, True]
    assert ExplanationContext().row_facts(rows)["has_plan"].to_list() == [None, None]
