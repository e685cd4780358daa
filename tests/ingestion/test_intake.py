"""Checks on a batch before it is stored."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.contracts import COVARIATES, EVENTS, SALES
from forecast_assets.core.errors import ContractError, SourceError
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.findings import FeedFinding, contract_findings, require_no_errors
from forecast_assets.ingestion.intake import Intake
from forecast_assets.ingestion.stored_rows import StoredRows
from tests.support.intake_cases import findings_of


def sales(days: list[int], sku_id: str = "A", units: float = 1.0, delay_days: int = 1) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "sku_id": sku_id,
            "store_id": "S",
            "event_date": [date(2025, 1, day) for day in days],
            "known_at": [datetime(2025, 1, day, tzinfo=UTC) + timedelta(days=delay_days) for day in days],
            "sales_units": units,
        },
        schema_overrides={"known_at": pl.Datetime("us", "UTC")},
    )


def batch(frame: pl.DataFrame) -> Batch:
    return Batch("sales", "pos", 0.9, timedelta(0), frame)


def test_a_whole_batch_passes_unchanged() -> None:
    given = batch(sales([1, 2, 3]))
    judged = Intake(StoredRows.of({})).take(given)
    assert judged.findings == []
    assert judged.new.equals(given.frame)


def test_missing_days_are_named_with_their_series() -> None:
    frame = pl.concat([sales([1, 2, 3]), sales([1, 4, 6], "B")])
    with pytest.raises(ContractError) as caught:
        require_no_errors(findings_of(batch(frame)))
    assert "1 series miss days" in str(caught.value)
    assert "SKU B at store S: 2025-01-02, 2025-01-03, 2025-01-05" in str(caught.value)
    assert "sales_units 0" in caught.value.remedy


def test_only_the_first_ten_series_are_named() -> None:
    frame = pl.concat([sales([1, 3], f"SKU-{number:02d}") for number in range(13)])
    with pytest.raises(ContractError, match=r"SKU-09 at store S: 2025-01-02 and 3 more series") as caught:
        require_no_errors(findings_of(batch(frame)))
    assert "SKU-10" not in str(caught.value)


def test_a_day_counts_whenever_it_became_known() -> None:
    assert findings_of(batch(pl.concat([sales([1, 3]), sales([2], delay_days=9), sales([3], delay_days=9)]))) == []


def test_nothing_is_known_before_its_day_begins() -> None:
    assert findings_of(batch(sales([2], delay_days=0))) == []
    with pytest.raises(ContractError, match=r"1 rows were known before their day began.*2025, 1, 2"):
        require_no_errors(findings_of(batch(sales([2], delay_days=-1))))


def test_times_of_an_export_taken_for_knowledge_are_a_warning() -> None:
    (found,) = findings_of(batch(sales([1, 2], delay_days=90)))
    assert (found.kind, found.is_error, found.rows) == ("known late", False, 2)
    assert "more than 30 days after their day" in found.message
    assert findings_of(batch(pl.concat([sales([1, 2]), sales([1], delay_days=90)]))) == []


def test_a_column_that_a_feed_got_later_may_be_left_out_and_no_other() -> None:
    fair = pl.DataFrame(
        {"event_name": "fair", "store_node": "all", "event_date": [date(2025, 5, 1)],
         "known_at": [datetime(2024, 5, 1, tzinfo=UTC)], "event_kind": None}, schema=EVENTS.schema,
    )  # fmt: skip
    assert about("events", fair.drop("event_kind")).frame.equals(fair)
    marked = fair.with_columns(event_kind=pl.lit("rare"))
    assert about("events", marked).frame.equals(marked)
    (found,) = taken(about("events", fair.drop("store_node")))
    assert found.message.startswith("it lacks the columns ['store_node']")


def test_plans_may_be_known_ahead() -> None:
    frame = pl.DataFrame(
        {
            "event_name": "fair",
            "store_node": "all",
            "event_date": [date(2025, 5, 1)],
            "known_at": [datetime(2024, 5, 1, tzinfo=UTC)],
        },
        schema_overrides={"known_at": pl.Datetime("us", "UTC")},
    )
    assert findings_of(Batch("events", "calendar", 0.9, timedelta(0), frame)) == []


@pytest.mark.parametrize(
    "frame",
    [
        sales([]),
        sales([1], units=-1.0),
        sales([1]).with_columns(sku_id=pl.lit(None, pl.String)),
        sales([1]).with_columns(sales_units=pl.lit(float("nan"))),
        pl.concat([sales([1]), sales([1])]),
    ],
    ids=["empty", "negative", "null", "nan", "duplicate"],
)
def test_the_contract_comes_first(frame: pl.DataFrame) -> None:
    with pytest.raises(ContractError, match="`sales` breaks its contract"):
        require_no_errors(findings_of(batch(frame)))


def test_a_restatement_of_single_days_is_no_gap_where_the_days_between_are_held() -> None:
    held = StoredRows.of({"sales": sales([1, 2, 3, 4, 5])})
    restated = batch(sales([1, 5], delay_days=9))
    assert findings_of(restated, held) == []
    with pytest.raises(ContractError, match="miss days"):
        require_no_errors(findings_of(restated))


def test_a_gap_between_what_is_held_and_what_arrives_is_a_late_day() -> None:
    held = StoredRows.of({"sales": sales([1, 2, 3])})
    assert findings_of(batch(sales([4])), held) == []
    (late,) = findings_of(batch(sales([6])), held)
    assert (late.kind, late.is_error, late.rows) == ("late days", False, 2)
    assert "between what is held and what arrives: SKU A at store S: 2025-01-04, 2025-01-05" in late.message
    assert "ingest them when they do" in late.remedy


def test_days_are_judged_on_both_sides_of_what_arrives() -> None:
    (late,) = findings_of(batch(sales([6])), StoredRows.of({"sales": sales([1, 2, 3, 8])}))
    assert "2025-01-04, 2025-01-05, 2025-01-07" in late.message


def test_a_new_series_or_an_older_gap_is_no_late_day() -> None:
    held = StoredRows.of({"sales": sales([1, 2, 3, 7, 8])})
    assert findings_of(batch(sales([9])), held) == []
    assert findings_of(batch(sales([20], "B")), held) == []
    assert findings_of(batch(sales([7], delay_days=5)), held) == []


def test_a_hole_that_is_held_in_part_is_named_only_where_it_is_not() -> None:
    with pytest.raises(ContractError, match=r"store S: 2025-01-04, 2025-01-05, 2025-01-06\."):
        require_no_errors(findings_of(batch(sales([1, 7])), StoredRows.of({"sales": sales([1, 2, 3])})))


def taken(*batches: Batch, held: StoredRows | None = None) -> list[FeedFinding]:
    intake = Intake(held or StoredRows.of({}))
    found = [finding for each in batches for finding in intake.take(each).findings]
    return [*found, *intake.finish()]


def test_batches_of_one_delivery_are_judged_as_one() -> None:
    assert taken(batch(sales([1, 2])), batch(sales([3, 4]))) == []
    assert taken(batch(sales([5, 6])), batch(sales([1, 2])), batch(sales([3, 4]))) == []
    (gap,) = taken(batch(sales([1, 2])), batch(sales([4, 5])))
    assert (gap.kind, gap.is_error, gap.rows) == ("missing days", True, 1)
    assert "SKU A at store S: 2025-01-03" in gap.message
    assert taken(batch(sales([1, 2])), batch(sales([4, 5])), held=StoredRows.of({"sales": sales([3])})) == []


def test_between_deliveries_a_day_may_still_come() -> None:
    first, second = (replace(batch(sales(days)), delivery=f"day {days}") for days in ([1, 2], [4, 5]))
    (late,) = taken(first, second)
    assert (late.kind, late.is_error) == ("late days", False)


def test_many_batches_are_carried_as_runs_of_days() -> None:
    batches = [batch(sales([day])) for day in range(1, 29) if day != 13]
    (gap,) = taken(*batches)
    assert (gap.rows, gap.is_error) == (1, True)
    assert "2025-01-13" in gap.message


def test_a_row_said_otherwise_at_the_same_moment_is_a_contradiction() -> None:
    held = StoredRows.of({"sales": sales([1, 2])}, source="pos", trust=0.9)
    (found,) = findings_of(batch(sales([2], units=7.0)), held)
    assert (found.kind, found.is_error, found.rows) == ("contradiction", True, 1)
    assert "'event_date': '2025-01-02'" in found.message
    assert "later known_at" in found.remedy
    assert findings_of(batch(sales([2], units=7.0, delay_days=3)), held) == []
    assert findings_of(replace(batch(sales([2], units=7.0)), source="till"), held) == []


def test_rows_that_are_held_unchanged_are_not_new() -> None:
    held = StoredRows.of({"sales": sales([1, 2])}, source="pos", trust=0.9)
    judged = Intake(held).take(batch(sales([1, 2, 3])))
    assert judged.new["event_date"].to_list() == [date(2025, 1, 3)]
    trusted_otherwise = Intake(held).take(replace(batch(sales([1, 2, 3])), trust=0.5))
    assert trusted_otherwise.new.height == 3
    assert not trusted_otherwise.has_error


def test_everything_is_said_at_once() -> None:
    frame = pl.concat(
        [sales([1], units=-1.0), sales([2], units=float("nan")), sales([4], delay_days=-1), sales([4], delay_days=-1)]
    )
    frame = pl.concat([frame, sales([1], "").with_columns(store_id=pl.lit(None, pl.String))])
    with pytest.raises(ContractError) as caught:
        require_no_errors(findings_of(batch(frame)))
    kinds = {finding.kind for finding in caught.value.findings}
    assert kinds == {
        "too small", "not finite", "missing values", "empty text", "duplicate keys", "known too early", "missing days",
    }  # fmt: skip
    assert all(finding.message in str(caught.value) for finding in caught.value.findings)


def test_wrong_columns_and_types_are_said_together() -> None:
    frame = sales([1]).drop("store_id").with_columns(sales_units=pl.lit("1"), colour=pl.lit("red"))
    found = findings_of(batch(frame))
    assert [finding.kind for finding in found] == ["columns", "columns", "types"]
    assert "lacks the columns ['store_id']" in found[0].message
    assert "does not know: ['colour']" in found[1].message
    assert "sales_units is String, not Float64" in found[2].message


def test_no_series_sells_a_thousand_million_a_day() -> None:
    assert findings_of(batch(sales([1], units=1e9))) == []
    with pytest.raises(ContractError, match=r"column `sales_units` is above 1e\+09 in 1 rows"):
        require_no_errors(findings_of(batch(sales([1], units=1e15))))


UNITS = st.one_of(st.floats(-2, 3), st.sampled_from([1e9, 1e10, float("nan"), float("inf"), float("-inf")]))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["A", "B", "", None]), st.integers(1, 3), UNITS | st.none()), min_size=0, max_size=6
    )
)
def test_findings_agree_with_the_contract(rows: list[tuple[str | None, int, float | None]]) -> None:
    """Pandera is the oracle; it says nothing of empty text, which findings refuse as well."""
    frame = pl.DataFrame(
        [(sku, "S", date(2025, 1, day), datetime(2025, 2, day, tzinfo=UTC), units) for sku, day, units in rows],
        schema=SALES.schema, orient="row",
    )  # fmt: skip
    found = {finding.kind for finding in contract_findings(SALES, frame)} - {"empty text"}
    try:
        SALES.validate(frame)
    except ContractError:
        assert found
    else:
        assert not found


def about(feed: str, frame: pl.DataFrame) -> Batch:
    return Batch(feed, "erp", 0.9, timedelta(0), frame)


def prices(sku_id: str, store_id: str = "S") -> pl.DataFrame:
    days = sales([1], sku_id).with_columns(store_id=pl.lit(store_id))
    return days.select(
        "sku_id", "store_id", "event_date", "known_at", pl.lit(2.0).alias("unit_price"),
        pl.lit(1.0).alias("price_ratio"), pl.lit(value=False).alias("is_promotion"),
    )  # fmt: skip


def test_names_that_sales_do_not_know_are_a_warning_whatever_comes_first() -> None:
    found = taken(about("prices", prices("Z", "T")), batch(sales([1])))
    assert [(each.kind, each.is_error) for each in found] == [("unknown SKUs", False), ("unknown stores", False)]
    assert "1 SKUs that sales do not know: Z" in found[0].message
    assert taken(about("prices", prices("A")), batch(sales([1]))) == []
    assert taken(about("prices", prices("B")), held=StoredRows.of({"sales": sales([1], "B")})) == []
    assert taken(about("prices", prices("B"))) == []


def members(*rows: tuple[str, int, str, str]) -> pl.DataFrame:
    columns = ["sku_id", "depth", "level_name", "node_id"]
    frame = pl.DataFrame(rows, schema=columns, orient="row").with_columns(pl.col("depth").cast(pl.Int32))
    day = pl.lit(date(2025, 1, 1))
    return frame.with_columns(event_date=day, known_at=day.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")).select(
        "sku_id", "event_date", "known_at", "depth", "level_name", "node_id"
    )


def test_members_that_a_given_hierarchy_lacks_are_named() -> None:
    tree = about("product_hierarchy", members(("A", 1, "category", "food")))
    assert taken(batch(sales([1])), tree) == []
    (found,) = taken(batch(sales([1], "B")), tree)
    assert (found.kind, found.is_error, found.rows) == ("missing members", False, 1)
    assert "lacks 1 sku_id of sales: B" in found.message
    (again,) = taken(batch(sales([1], "B")), held=StoredRows.of({"product_hierarchy": tree.frame}))
    assert again.message == found.message
    assert taken(batch(sales([1], "B"))) == []


def test_memberships_that_are_no_tree_are_named() -> None:
    rows = ("A", 1, "department", "food"), ("A", 2, "category", "milk"), ("B", 1, "department", "drinks")
    (found,) = taken(about("product_hierarchy", members(*rows, ("B", 2, "category", "milk"))))
    assert found.kind == "not a tree"
    assert "Nodes of `category` have several parents in `department`" in found.message


def test_events_for_a_node_that_nobody_knows_are_named() -> None:
    fair = pl.DataFrame(
        {"event_name": "fair", "store_node": ["all", "S", "west"], "event_date": date(2025, 1, 1),
         "known_at": datetime(2024, 1, 1, tzinfo=UTC), "event_kind": None}, schema=EVENTS.schema,
    )  # fmt: skip
    (found,) = taken(about("events", fair), batch(sales([1])))
    assert (found.kind, found.is_error) == ("unknown nodes", False)
    assert "1 stores or nodes that are not known: west" in found.message


def test_covariates_of_a_node_that_nobody_knows_are_named() -> None:
    rain = pl.DataFrame(
        {"covariate": "rain", "store_node": ["all", "S", "west"], "event_date": date(2025, 1, 1),
         "known_at": datetime(2025, 1, 2, tzinfo=UTC), "value": 1.5}, schema=COVARIATES.schema,
    )  # fmt: skip
    (found,) = taken(about("covariates", rain), batch(sales([1])))
    assert (found.feed, found.kind, found.is_error) == ("covariates", "unknown nodes", False)
    assert "covariates are limited to 1 stores or nodes that are not known: west" in found.message
    endless = taken(about("covariates", rain.with_columns(value=float("inf"))), batch(sales([1])))
    assert any(finding.is_error and finding.column == "value" for finding in endless)


def test_what_a_reader_found_is_not_said_twice() -> None:
    told = FeedFinding("sales", "unreadable", is_error=True, rows=1, message="bad", remedy="", column="sales_units")
    frame = sales([1]).with_columns(sales_units=pl.lit(None, pl.Float64))
    assert findings_of(replace(batch(frame), findings=(told,))) == [told]


def test_a_feed_says_at_most_thirty_days_later_that_it_is_complete() -> None:
    Batch("sales", "pos", 0.9, timedelta(days=30), sales([1]))
    with pytest.raises(SourceError, match="declare a lag of zero to 30 days"):
        Batch("sales", "pos", 0.9, timedelta(days=31), sales([1]))


def status(share: list[float | None], hours: float = 4.0) -> Batch:
    days = sales(list(range(1, len(share) + 1))).drop("sales_units")
    frame = days.with_columns(
        out_of_stock_hours=pl.lit(hours),
        trading_hours=pl.lit(16.0),
        out_of_stock_demand_share=pl.Series(share, dtype=pl.Float64),
    )
    return Batch("stock_status", "pos", 0.9, timedelta(0), frame)


def test_days_stored_before_a_column_was_there_stay_as_they_are_and_new_days_get_it() -> None:
    held = StoredRows.of({"stock_status": status([None, None]).frame}, source="pos", trust=0.9)
    judged = Intake(held).take(status([0.1, 0.2, 0.3]))
    assert judged.new["event_date"].to_list() == [date(2025, 1, 3)]
    (finding,) = judged.findings
    assert (finding.kind, finding.is_error, finding.rows) == ("later column", False, 2)
    assert "out_of_stock_demand_share of days that were stored without it" in finding.message
    again = Intake(held).take(status([None, None]))
    assert (again.new.height, again.findings) == (0, [])


def test_another_value_of_a_later_column_or_beside_it_is_a_contradiction() -> None:
    held = StoredRows.of({"stock_status": status([0.1, 0.2]).frame}, source="pos", trust=0.9)
    judged = Intake(held).take(status([0.1, 0.3]))
    assert [finding.kind for finding in judged.findings] == ["contradiction"]
    silent = StoredRows.of({"stock_status": status([None]).frame}, source="pos", trust=0.9)
    judged = Intake(silent).take(status([0.1], hours=5.0))
    assert [finding.kind for finding in judged.findings] == ["contradiction"]
