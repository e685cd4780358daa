"""Readers: what they make of a folder, and what they say about a wrong one."""

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from forecast_assets.core.errors import SourceError
from forecast_assets.ingestion.batch import Batch
from forecast_assets.simulation.simulator import SimulatorSettings, simulate_retailer, write_native
from forecast_assets.sources.freshretailnet import read_freshretailnet
from forecast_assets.sources.simulated import read_simulated
from tests.support.intake_cases import findings_of

SETTINGS = SimulatorSettings(skus=6, stores=1, days=120)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native") / "retailer"
    write_native(simulate_retailer(SETTINGS), folder)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "retailer"))


def test_what_is_written_is_what_is_read(written: Path) -> None:
    made, found = simulate_retailer(SETTINGS).batches, read_simulated(written)
    assert [(b.feed, b.source, b.trust, b.declared_lag) for b in found] == [
        (b.feed, b.source, b.trust, b.declared_lag) for b in made
    ]
    assert all(one.frame.equals(other.frame) for one, other in zip(made, found, strict=True))
    assert found[1].declared_lag == timedelta(hours=30)


def test_the_truth_is_never_needed_to_read(folder: Path) -> None:
    shutil.rmtree(folder / "truth")
    assert len(read_simulated(folder)) == 8


def test_a_missing_folder_or_file_is_named(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"There is no folder .*nowhere"):
        read_simulated(folder / "nowhere")
    (folder / "prices.parquet").unlink()
    with pytest.raises(SourceError, match=r"lacks prices\.parquet"):
        read_simulated(folder)
    (folder / "feeds.json").unlink()
    with pytest.raises(SourceError, match=r"lacks feeds\.json.*Found: events"):
        read_simulated(folder)


def test_a_missing_column_or_another_type_is_named(folder: Path) -> None:
    path = folder / "sales_pos.parquet"
    sales = pl.read_parquet(path)
    sales.drop("sales_units").write_parquet(path)
    with pytest.raises(SourceError, match=r"sales_pos\.parquet lacks the columns \['sales_units'\]"):
        read_simulated(folder)
    sales.with_columns(pl.col("sales_units").cast(pl.Int64)).write_parquet(path)
    with pytest.raises(SourceError, match=r"sales_units is Int64, not Float64"):
        read_simulated(folder)


def test_a_file_cut_short_is_said_to_be(folder: Path) -> None:
    path = folder / "events.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SourceError, match=r"cannot be read as Parquet"):
        read_simulated(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other", "format_version": 1, "files": {}}'])
def test_a_description_of_something_else_is_refused(folder: Path, text: str) -> None:
    (folder / "feeds.json").write_text(text)
    with pytest.raises(SourceError, match=r"feeds\.json (is not the description|describes other)"):
        read_simulated(folder)


def test_a_description_with_an_unknown_feed_is_refused(folder: Path) -> None:
    description = json.loads((folder / "feeds.json").read_text())
    description["files"]["events.parquet"]["feed"] = "weather"
    (folder / "feeds.json").write_text(json.dumps(description))
    with pytest.raises(SourceError, match=r"does not say what events\.parquet is.*weather"):
        read_simulated(folder)


@pytest.mark.parametrize(
    "wrong", [{"feed": "weather"}, {"source": "POS 1"}, {"trust": 1.5}, {"declared_lag": timedelta(hours=-1)}]
)
def test_a_batch_says_what_is_wrong_with_it(wrong: dict[str, object]) -> None:
    right = {"feed": "sales", "source": "pos", "trust": 0.5, "declared_lag": timedelta(0), "frame": pl.DataFrame()}
    with pytest.raises(SourceError):
        Batch(**{**right, **wrong})  # type: ignore[arg-type]


def daily() -> pl.DataFrame:
    """Two products in one store, Thursday 2024-04-04 to Monday 2024-04-08, with a holiday and a worked Sunday."""
    days = pl.date_range(date(2024, 4, 3), date(2024, 4, 8), eager=True)
    frames = [
        pl.DataFrame(
            {
                "city_id": 3,
                "store_id": 12,
                "management_group_id": 0,
                "first_category_id": 1,
                "second_category_id": 2,
                "third_category_id": 4,
                "product_id": product,
                "dt": days,
                "discount": [1.0, 0.9, 0.0, 1.0, 1.0, 0.85],
                "holiday_flag": [0, 1, 1, 1, 0, 0],
                "activity_flag": [0, 1, 0, 0, 0, 0],
                "sale_amount": [0.1, 0.2, 30.3, 0.0, 1.0, 0.7],
                "stock_hour6_22_cnt": [0, 16, 0, 3, 0, 0],
            }
        )
        for product in (7, 10)
    ]
    frame = pl.concat(frames).with_columns(pl.col("^.*_id$").cast(pl.Int16), pl.col("^.*_flag$|^.*_cnt$").cast(pl.Int8))
    return frame.with_columns(pl.col("discount", "sale_amount").cast(pl.Float32)).sample(
        fraction=1, shuffle=True, seed=1
    )


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    daily().write_parquet(tmp_path / "daily.parquet")
    ahead = pl.date_range(date(2024, 4, 9), date(2024, 4, 13), eager=True)
    plan = pl.DataFrame({"dt": ahead}).join(pl.DataFrame({"product_id": [7, 10, 99]}), how="cross")
    plan.select(
        pl.lit(12, pl.Int16).alias("store_id"),
        pl.col("product_id").cast(pl.Int16),
        "dt",
        pl.lit(0.8, pl.Float32).alias("discount"),
        pl.lit(0, pl.Int8).alias("activity_flag"),
        (pl.col("dt").dt.weekday() >= 6).cast(pl.Int8).alias("holiday_flag"),
    ).write_parquet(tmp_path / "plan.parquet")
    return tmp_path


def frames(folder: Path) -> dict[str, pl.DataFrame]:
    batches = read_freshretailnet(folder)
    assert [finding for batch in batches for finding in findings_of(batch)] == []
    assert {(batch.source, batch.declared_lag) for batch in batches} == {("freshretailnet", timedelta(0))}
    return {batch.feed: batch.frame for batch in batches}


def test_fresh_sales_are_exact_decimals_known_at_the_days_end(fresh: Path) -> None:
    sales = frames(fresh)["sales"]
    assert sales.filter(pl.col("sku_id") == "7")["sales_units"].to_list() == [0.1, 0.2, 30.3, 0.0, 1.0, 0.7]
    assert sales["event_date"].is_sorted()
    assert sales.row(0, named=True) == {
        "sku_id": "7",
        "store_id": "12",
        "event_date": date(2024, 4, 3),
        "known_at": datetime(2024, 4, 4, tzinfo=UTC),
        "sales_units": 0.1,
    }


def test_fresh_prices_reach_into_the_plan_of_known_series_only(fresh: Path) -> None:
    prices = frames(fresh)["prices"]
    one = prices.filter(pl.col("sku_id") == "7")
    assert one["price_ratio"].to_list() == [1.0, 0.9, 0.0, 1.0, 1.0, 0.85, *[0.8] * 5]
    assert one["is_promotion"].to_list() == [False, True, True, *[False] * 8]
    assert set(prices["sku_id"]) == {"7", "10"}
    assert (prices["event_date"].cast(pl.Datetime("us", "UTC")) - prices["known_at"]).unique().to_list() == [
        timedelta(days=14)
    ]
    assert prices["unit_price"].null_count() == prices.height


def test_fresh_weather_is_read_where_it_is_asked_for_as_observed(fresh: Path) -> None:
    assert "covariates" not in frames(fresh)
    weather = {"precpt": 1.5, "avg_temperature": 20.25, "avg_humidity": 70.0, "avg_wind_level": 2.0}
    told = [pl.lit(value, pl.Float32).alias(name) for name, value in weather.items()]
    pl.read_parquet(fresh / "daily.parquet").with_columns(told).write_parquet(fresh / "daily.parquet")
    read = {batch.feed: batch for batch in read_freshretailnet(fresh, weather=True)}["covariates"]
    assert [finding.kind for finding in findings_of(read)] == ["unknown nodes"], "sales say which stores there are"
    days = pl.read_parquet(fresh / "daily.parquet")["dt"].unique()
    assert read.frame.height == 4 * len(days)
    first = read.frame.filter(pl.col("event_date") == days.min()).rows()
    day = date(2024, 4, 3)
    assert first == [
        (name, "12", day, datetime(2024, 4, 4, tzinfo=UTC), value)
        for name, value in (("humidity", 70.0), ("precipitation", 1.5), ("temperature", 20.25), ("wind", 2.0))
    ]


def test_fresh_weather_that_is_not_there_is_named(fresh: Path) -> None:
    with pytest.raises(SourceError, match="precpt"):
        read_freshretailnet(fresh, weather=True)


def test_fresh_weekends_are_no_events_but_worked_ones_are(fresh: Path) -> None:
    """Thursday to Saturday off: the holiday, known when its last day is. The Sunday after is worked."""
    events = frames(fresh)["events"]
    assert events.rows() == [
        ("holiday", "all", date(2024, 4, 4), datetime(2024, 3, 23, tzinfo=UTC), None),
        ("holiday", "all", date(2024, 4, 5), datetime(2024, 3, 23, tzinfo=UTC), None),
        ("holiday", "all", date(2024, 4, 6), datetime(2024, 3, 23, tzinfo=UTC), None),
        ("working_weekend", "all", date(2024, 4, 7), datetime(2024, 3, 24, tzinfo=UTC), None),
    ]


def test_fresh_status_and_hierarchies(fresh: Path) -> None:
    found = frames(fresh)
    status = found["stock_status"].filter(pl.col("sku_id") == "10")
    assert status["out_of_stock_hours"].to_list() == [0.0, 16.0, 0.0, 3.0, 0.0, 0.0]
    assert status["trading_hours"].unique().to_list() == [16.0]
    products = found["product_hierarchy"].filter(pl.col("sku_id") == "7")
    assert products.select("depth", "level_name", "node_id").rows() == [
        (1, "management_group", "0"),
        (2, "first_category", "1"),
        (3, "second_category", "2"),
        (4, "third_category", "4"),
    ]
    assert found["store_hierarchy"].select("store_id", "level_name", "node_id").rows() == [("12", "city", "3")]


def hourly(days: pl.DataFrame) -> pl.DataFrame:
    """Hours that fit the days: without stock from 06:00 on, for as many hours as the days say."""
    gone = [sum(1 << hour for hour in range(6, 6 + count)) for count in days["stock_hour6_22_cnt"]]
    sold = pl.Series([[0.0] * 23 + [0.1]] * days.height, dtype=pl.List(pl.Float32))
    empty = pl.Series(gone, dtype=pl.UInt32)
    return days.select("store_id", "product_id", "dt", oos_bits=empty, hours_sale=sold)


def test_fresh_hours_say_what_a_day_missed_and_change_nothing_else(fresh: Path) -> None:
    without = frames(fresh)
    assert without["stock_status"]["out_of_stock_demand_share"].is_null().all()
    hourly(daily()).write_parquet(fresh / "hourly.parquet")
    found = frames(fresh)
    share = found["stock_status"].filter(pl.col("sku_id") == "10")["out_of_stock_demand_share"].to_list()
    assert share[0] == share[2] == 0.0
    # With a handful of days seen, nearly all is still spread evenly over trading hours.
    assert share[1] == pytest.approx(1.0, abs=0.1)
    assert share[3] == pytest.approx(3 / 16, abs=0.05)
    assert (
        found["stock_status"]
        .drop("out_of_stock_demand_share")
        .equals(without["stock_status"].drop("out_of_stock_demand_share"))
    )
    assert all(found[feed].equals(frame) for feed, frame in without.items() if feed != "stock_status")


def test_fresh_hours_that_do_not_fit_the_days_are_said(fresh: Path) -> None:
    hourly(daily()).with_columns(oos_bits=pl.lit(0, pl.UInt32)).write_parquet(fresh / "hourly.parquet")
    status = next(batch for batch in read_freshretailnet(fresh) if batch.feed == "stock_status")
    (finding,) = findings_of(status)
    assert (finding.kind, finding.is_error, finding.rows) == ("hours", False, 4)
    assert "hourly.parquet lacks 4 days, or has another number" in finding.message
    assert status.frame["out_of_stock_demand_share"].null_count() == 4


def test_fresh_without_a_plan_has_prices_up_to_the_last_day(fresh: Path) -> None:
    (fresh / "plan.parquet").unlink()
    assert frames(fresh)["prices"]["event_date"].max() == date(2024, 4, 8)


def test_fresh_faults_are_named(fresh: Path) -> None:
    daily().drop("discount", "dt").write_parquet(fresh / "daily.parquet")
    with pytest.raises(SourceError, match=r"daily\.parquet lacks the columns \['dt', 'discount'\]"):
        read_freshretailnet(fresh)
    daily().with_columns(pl.col("sale_amount").cast(pl.String)).write_parquet(fresh / "daily.parquet")
    with pytest.raises(SourceError, match=r"sale_amount is String, not Float32"):
        read_freshretailnet(fresh)
    with pytest.raises(SourceError, match=r"lacks sample_890_series_daily\.parquet"):
        read_freshretailnet(fresh, sample=True)


@pytest.mark.real_data
def test_the_real_sample_is_taken_in(real_data_dir: Path) -> None:
    batches = {batch.feed: batch for batch in read_freshretailnet(real_data_dir, sample=True)}
    assert [finding for batch in batches.values() for finding in findings_of(batch) if finding.is_error] == []
    sales = batches["sales"].frame
    assert sales.height == 67_640
    assert sales.select("sku_id", "store_id").n_unique() == 890
    assert batches["prices"].frame.height == 890 * (76 + 14)
    holidays = batches["events"].frame.filter(pl.col("event_name") == "holiday")["event_date"].to_list()
    assert holidays == [
        *(date(2024, 4, day) for day in (4, 5, 6)),
        *(date(2024, 5, day) for day in (1, 2, 3, 4, 5)),
        *(date(2024, 6, day) for day in (8, 9, 10)),
    ]
