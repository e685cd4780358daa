"""Great Expectations suites: each passes on sound frames, each addition of ours fails on an unsound one."""

from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from checks import expectations as module
from checks.expectations import ExpectationOutcome, expectations, validate_feed, validate_product
from forecast_assets.contracts import COVARIATES, FEEDS, PRODUCTS, PUBLISHED, Column, Contract
from forecast_assets.core.errors import InputError
from forecast_assets.core.quantities import UNITS
from forecast_assets.simulation.simulator import SimulatorSettings, simulate_retailer


@pytest.fixture(scope="session")
def feeds() -> dict[str, pl.DataFrame]:
    batches = simulate_retailer(SimulatorSettings(skus=6, stores=2, days=150)).batches
    return {batch.feed: batch.frame for batch in batches if batch.source != "backoffice"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "great_expectations"


def some_value(column: Column) -> Any:
    facts = {"target_date": date(2025, 1, 2), "prediction_date": date(2025, 1, 1), "forecast_horizon": 2000}
    if column.name in facts:
        return facts[column.name]
    if column.dtype == pl.String:
        return column.one_of[0] if column.one_of else "x"
    return False if column.dtype == pl.Boolean else 1


def sound(product: str, rows: int = 3) -> pl.DataFrame:
    contract = PRODUCTS[product]
    values = [pl.lit(some_value(column)).cast(column.dtype).alias(column.name) for column in contract.columns]
    step = pl.int_range(1, rows + 1, dtype=pl.Int32, eager=True).alias("step")
    frame = pl.select(step).with_columns(value for value in values if value.meta.output_name() != "step")
    if "step" not in contract.names:
        # Rows of a product without steps are told apart by their SKU.
        frame = frame.with_columns(sku_id=pl.col("step").cast(pl.String))
    return contract.validate(frame.select(contract.names))


def failed(outcome: ExpectationOutcome) -> str:
    assert not outcome.success
    return "\n".join(outcome.failed)


@pytest.mark.parametrize(
    "feed", sorted(FEEDS.keys() - {"covariates", "stock_status", "store_closures", "quarantined_rows"})
)
def test_simulated_feeds_are_as_expected(feed: str, feeds: dict[str, pl.DataFrame], folder: Path) -> None:
    outcome = validate_feed(feeds[feed], feed, folder, run_name=f"ingest/{feed}/simulated")
    assert outcome.success, outcome.failed
    assert outcome.failed == []
    assert outcome.rows_examined == outcome.rows == feeds[feed].height


@pytest.mark.parametrize("product", PUBLISHED)
def test_sound_products_are_as_expected(product: str, folder: Path) -> None:
    outcome = validate_product(sound(product, 1200).lazy(), product, folder, run_name="daily/2025-01-01/stat-1/14/r0")
    assert outcome.success, outcome.failed
    assert outcome.evaluated == len(expectations(PRODUCTS[product]))
    assert outcome.scope == f"{outcome.evaluated} expectations of 1,200 rows"


def test_what_a_contract_says_is_expected(feeds: dict[str, pl.DataFrame], folder: Path) -> None:
    sales = feeds["sales"].head(4)
    wrong = sales.with_columns(
        sku_id=pl.Series([None, "", "A", "A"]),
        event_date=pl.lit(date(2025, 1, 1)),
        known_at=sales["known_at"][0],
        store_id=pl.lit("S-01"),
        sales_units=pl.Series([1.0, 1.0, -2.5, 1.0]),
    )
    said = failed(validate_feed(wrong, "sales", folder, run_name="wrong"))
    assert "Expected that sku_id is never missing; not so in 1 of 4 rows" in said
    assert "Expected that sku_id is not empty; not so in 1 of 4 rows, first: ''" in said
    assert "Expected that sales_units is at least 0 and at most 1e+09; not so in 1 of 4 rows, first: -2.5." in said
    assert "Expected that no two rows share sku_id, store_id, event_date, known_at; not so in 2 of 4 rows" in said
    assert "a correction needs a later known_at" in said


def test_columns_and_types_are_expected(feeds: dict[str, pl.DataFrame], folder: Path) -> None:
    sales = feeds["sales"].head(4)
    said = failed(validate_feed(sales.with_columns(extra=1), "sales", folder, run_name="wrong"))
    assert "the columns are the contract's, in order; found" in said
    texts = sales.with_columns(pl.col("sales_units").cast(pl.Float32))
    assert "sales_units is float64; found float32" in failed(validate_feed(texts, "sales", folder, run_name="wrong"))


def test_covariates_are_numbers_in_any_unit(folder: Path) -> None:
    row = {name: some_value(column) for name, column in zip(COVARIATES.names, COVARIATES.columns, strict=True)}
    said = pl.DataFrame([{**row, "value": value} for value in (-40.0, 0.0, 1e6)], schema=COVARIATES.schema)
    days = said.with_columns(event_date=date(2025, 1, 1) + pl.duration(days=pl.int_range(pl.len())))
    assert validate_feed(days, "covariates", folder, run_name="sound").success
    nothing = days.with_columns(value=pl.lit(None, pl.Float64))
    assert "value" in failed(validate_feed(nothing, "covariates", folder, run_name="wrong"))


UNSOUND_FEEDS = [
    ("sales", 1200, {"sales_units": pl.lit(0.0)}, "something was sold"),
    ("inventory_positions", 3, {"order_up_to_units": pl.lit(-0.5)}, "reorder_point_units is at most order_up_to_units"),
    ("purchase_orders", 3, {"received_date": pl.lit(date(2000, 1, 1))}, "event_date is at most received_date"),
    ("prices", 1200, {"price_ratio": pl.lit(9.0)}, "the usual price is near list price"),
]


@pytest.mark.parametrize(("feed", "rows", "change", "sentence"), UNSOUND_FEEDS)
def test_unsound_feeds_are_not(
    feed: str, rows: int, change: dict[str, pl.Expr], sentence: str, feeds: dict[str, pl.DataFrame], folder: Path
) -> None:
    wrong = feeds[feed].head(rows).with_columns(**change)
    assert f"Expected that {sentence}" in failed(validate_feed(wrong, feed, folder, run_name="wrong"))


def test_stock_is_out_within_trading_hours(feeds: dict[str, pl.DataFrame], folder: Path) -> None:
    status = feeds["sales"].head(3).drop("sales_units")
    hours = {"out_of_stock_hours": pl.lit(16.0), "trading_hours": pl.lit(16.0)}
    right = status.with_columns(**hours, out_of_stock_demand_share=pl.Series([1.0, 0.5, None]))
    assert validate_feed(right, "stock_status", folder, run_name="right").success
    wrong = right.with_columns(trading_hours=pl.lit(12.0))
    said = failed(validate_feed(wrong, "stock_status", folder, run_name="wrong"))
    assert "not so in 3 of 3 rows, first: trading_hours 12.0 and out_of_stock_hours 16.0." in said


def test_a_day_in_stock_misses_no_demand(feeds: dict[str, pl.DataFrame], folder: Path) -> None:
    status = feeds["sales"].head(4).drop("sales_units").with_columns(trading_hours=pl.lit(16.0))
    hours, share = pl.Series([0.0, 0.0, 2.0, 16.0]), "out_of_stock_demand_share"
    right = status.with_columns(out_of_stock_hours=hours).select(
        *status.columns[:4], "out_of_stock_hours", "trading_hours"
    )
    for said in ([0.0, None, 0.3, 1.0], [None] * 4):
        told = right.with_columns(pl.Series(share, said, pl.Float64))
        assert validate_feed(told, "stock_status", folder, run_name="right").success
    never = right.with_columns(out_of_stock_hours=pl.lit(16.0), out_of_stock_demand_share=pl.lit(1.0))
    assert validate_feed(never, "stock_status", folder, run_name="never").success
    wrong = right.with_columns(pl.Series(share, [0.0, 0.2, 0.3, 1.0]))
    complaint = failed(validate_feed(wrong, "stock_status", folder, run_name="wrong"))
    assert f"{share} is 0 on days whose trading hours were all in stock; not so in 1 of" in complaint
    beyond = right.with_columns(pl.Series(share, [0.0, 0.0, 0.3, 1.5]))
    assert f"{share} is at least 0 and at most 1" in failed(
        validate_feed(beyond, "stock_status", folder, run_name="beyond")
    )


TWO: Final = pl.lit(2).cast(UNITS)
UNSOUND_PRODUCTS: Final[dict[str, dict[str, pl.Expr]]] = {
    "forecasts": {
        "q500_units is at most q750_units": TWO.alias("q500_units"),
        "expected_sales_units is at most forecast_units": TWO.alias("expected_sales_units"),
        "prediction_date is below target_date": pl.col("prediction_date").alias("target_date"),
        "step is at most forecast_horizon": pl.col("step") + 1999,
        "most series are forecast by their chosen model": pl.lit(value=True).alias("is_fallback"),
    },
    "stockout_risks": {
        "stockout_probability is at most 1": TWO.alias("stockout_probability"),
        "series_probability is at least -1": (-TWO).alias("series_probability"),
        "risk_band is one of low, moderate": pl.lit("dire").alias("risk_band"),
    },
    "aggregate_forecasts": {
        "forecast_units is at least 0": (-TWO).alias("forecast_units"),
        "expected_sales_units is at most forecast_units": TWO.alias("expected_sales_units"),
    },
    "forecast_explanations": {"risk_reason is not empty": pl.lit("").alias("risk_reason")},
    "cumulative_forecasts": {
        "covering_95_units is at most covering_98_units": TWO.alias("covering_95_units"),
        "period_days is at least 1": pl.lit(0).cast(UNITS).alias("period_days"),
        "period is one of lead_time": pl.lit("a while").alias("period"),
    },
    "forecast_overrides": {
        "application is at least 1": pl.lit(0, pl.Int32).alias("application"),
        "after_units is at least 0": (-TWO).alias("after_units"),
        "override_id is not empty": pl.lit("").alias("override_id"),
        "reason is not empty": pl.lit("").alias("reason"),
        "prediction_date is below target_date": pl.col("prediction_date").alias("target_date"),
    },
}


@pytest.mark.parametrize("product", PUBLISHED)
def test_each_fault_of_an_unsound_product_is_named(product: str, folder: Path) -> None:
    faults = UNSOUND_PRODUCTS[product]
    wrong = sound(product, 1200).lazy().with_columns(*faults.values())
    outcome = validate_product(wrong, product, folder, run_name="wrong")
    said = failed(outcome)
    assert [sentence for sentence in faults if f"Expected that {sentence}" not in said] == []


def test_unknown_supply_is_not_a_fault(folder: Path) -> None:
    unknown = pl.lit(None, UNITS)
    risks = sound("stockout_risks").with_columns(stockout_probability=unknown, days_of_cover=unknown)
    assert validate_product(risks.lazy(), "stockout_risks", folder, run_name="unknown").success


def test_shares_are_not_asked_of_a_handful_of_rows(folder: Path) -> None:
    few = sound("forecasts").with_columns(is_fallback=pl.lit(value=True))
    assert validate_product(few.lazy(), "forecasts", folder, run_name="few").success


def test_an_expectation_that_cannot_be_evaluated_is_an_error(feeds: dict[str, pl.DataFrame], folder: Path) -> None:
    with pytest.raises(RuntimeError, match="could not be evaluated"):
        validate_feed(feeds["sales"].drop("sales_units"), "sales", folder, run_name="wrong")


def test_unknown_frames_are_refused_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(InputError, match=r"no expectations of `weather`. Known: covariates, events, "):
        validate_feed(pl.DataFrame(), "weather", folder, run_name="x")
    with pytest.raises(InputError, match=r"Known: aggregate_forecasts, "):
        validate_product(pl.LazyFrame(), "sales", folder, run_name="x")


def test_a_large_frame_is_sampled_the_same_way_each_time_and_that_is_said(
    feeds: dict[str, pl.DataFrame], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST", 100)
    sales = feeds["sales"]
    sample = module._sample(sales.lazy(), sales.height, 100)
    assert sample.equals(module._sample(sales.lazy(), sales.height, 100))
    assert sample.join(sales, on=sales.columns, how="semi").height == 100
    outcome = validate_feed(sales, "sales", folder, run_name="large")
    assert (outcome.rows, outcome.rows_examined) == (sales.height, 100)
    assert f"a sample of 100 of {sales.height:,} rows" in outcome.scope


def test_products_are_sampled_too_since_contracts_and_rules_see_every_row(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_OF_PRODUCT", 2)
    risks = pl.concat([sound("stockout_risks")] * 3)
    outcome = validate_product(risks.lazy(), "stockout_risks", folder, run_name="large")
    assert (outcome.rows, outcome.rows_examined) == (risks.height, 2)


def test_data_docs_keep_every_validation(feeds: dict[str, pl.DataFrame], tmp_path: Path) -> None:
    wrong = feeds["sales"].head(3).with_columns(sales_units=pl.lit(-7.25))
    outcomes = [
        validate_feed(feeds["events"], "events", tmp_path, run_name="ingest/events"),
        validate_feed(wrong, "sales", tmp_path, run_name="ingest/sales"),
        validate_product(
            sound("stockout_risks").lazy(), "stockout_risks", tmp_path, run_name="daily/2025-01-01/stat-1/14/r0"
        ),
    ]
    assert [outcome.success for outcome in outcomes] == [True, False, True]
    index = outcomes[0].data_docs.read_text()
    for name in ("ingest_events", "ingest_sales", "daily_2025-01-01_stat-1_14_r0"):
        assert name in index
    pages = [page.read_text() for page in (tmp_path / "data_docs" / "validations").rglob("*.html")]
    assert len(pages) == 3
    assert sum("sales_units is at least 0" in page and "-7.25" in page for page in pages) == 1
    assert sum("step is int32 and never missing" in page for page in pages) == 1


def test_pages_of_two_folders_are_kept_apart(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, run in ((one, "of_one_1"), (other, "of_other_2"), (one, "of_one_3")):
        validate_product(sound("stockout_risks").lazy(), "stockout_risks", folder, run_name=run)

    def shown(folder: Path) -> list[bool]:
        index = (folder / "data_docs" / "index.html").read_text()
        return [run in index for run in ("of_one_1", "of_other_2", "of_one_3")]

    assert shown(one) == [True, False, True]
    assert shown(other) == [False, True, False]
    assert len([*(one / "data_docs" / "validations").rglob("*.html")]) == 2


def test_what_one_expectation_implies_is_not_asked_twice() -> None:
    asked = {expected.sentence for expected in expectations(PRODUCTS["forecasts"])}
    assert "step is int32 and never missing" in asked
    assert "step is never missing" not in asked
    assert "demand_class is never missing" in asked
    assert "demand_class is not empty" not in asked
    assert "store_id is not empty" in asked


def test_a_missing_number_of_days_is_not_of_its_type(folder: Path) -> None:
    wrong = sound("stockout_risks", 4).lazy().with_columns(forecast_horizon=pl.Series([3, None, 3, 3], dtype=pl.Int32))
    said = failed(validate_product(wrong, "stockout_risks", folder, run_name="wrong"))
    assert "forecast_horizon is int32 and never missing; found float64" in said


def test_every_published_product_has_expectations_beyond_its_contract() -> None:
    def beyond(contract: Contract) -> int:
        return len(module._BEYOND.get(contract.name, []))

    assert all(beyond(PRODUCTS[name]) for name in PUBLISHED)
