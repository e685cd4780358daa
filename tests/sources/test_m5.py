"""The reader of M5 files: what it makes of them, what it says about wrong ones, and what more days change."""

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bench.m5_shaped import Shape, write_m5_shaped
from forecast_assets.contracts import FEEDS
from forecast_assets.core.errors import SourceError
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.ingest import IngestOutcome, ingest_batches
from forecast_assets.simulation.m5_writer import write_m5
from forecast_assets.simulation.simulator import Simulation, SimulatorSettings, simulate_retailer
from forecast_assets.sources.m5 import read_m5
from resources.store.parquet import to_parquet
from resources.stores.home import Stores

FIRST = date(2011, 6, 25)
KEY = ["sku_id", "store_id", "event_date"]


def day_columns(*units: int) -> dict[str, int]:
    return {f"d_{number}": value for number, value in enumerate(units, start=1)}


def write_small(folder: Path) -> Path:
    """Two items in two stores, ten days of sales over the end of a half-year, three weeks of calendar."""
    folder.mkdir()
    item = {"item_id": "A", "dept_id": "D", "cat_id": "C", "store_id": "CA_1", "state_id": "CA"}
    rows = [
        {"id": "A_CA_1", **item, **day_columns(0, 0, 0, 0, 0, 0, 0, 0, 5, 0)},
        {"id": "A_TX_1", **item, "store_id": "TX_1", "state_id": "TX", **day_columns(0, 0, 3, 0, 0, 0, 0, 1, 0, 0)},
        {"id": "B_CA_1", **item, "item_id": "B", "dept_id": "E", **day_columns(0, 0, 0, 0, 2, 0, 0, 0, 0, 0)},
        {"id": "B_TX_1", **item, "item_id": "B", "dept_id": "E", "store_id": "TX_1", "state_id": "TX",
         **day_columns(*[0] * 10)},
    ]  # fmt: skip
    pl.DataFrame(rows).write_csv(folder / "sales_train_evaluation.csv")
    days = [FIRST + timedelta(days=number) for number in range(21)]
    pl.DataFrame(
        {
            "date": days,
            "wm_yr_wk": [11122 + number // 7 for number in range(21)],
            "d": [f"d_{number + 1}" for number in range(21)],
            "event_name_1": [None] * 9 + ["IndependenceDay"] + [None] * 11,
            "event_name_2": [None] * 9 + ["Parade"] + [None] * 11,
            "snap_CA": [0, 1, *[0] * 19],
            "snap_TX": [*[0] * 20, 1],
        }
    ).write_csv(folder / "calendar.csv")
    pl.DataFrame(
        {
            "store_id": ["CA_1", "CA_1", "CA_1", "TX_1"],
            "item_id": ["A", "A", "A", "A"],
            "wm_yr_wk": [11122, 11123, 11124, 11123],
            "sell_price": [2.0, 1.5, 3.0, 2.5],
        }
    ).write_csv(folder / "sell_prices.csv")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_small(tmp_path / "m5")


def read(folder: Path) -> dict[str, pl.DataFrame]:
    frames: dict[str, list[pl.DataFrame]] = {}
    for batch in read_m5(folder):
        frames.setdefault(batch.feed, []).append(FEEDS[batch.feed].validate(batch.frame))
    return {feed: pl.concat(parts) for feed, parts in frames.items()}


def series(frame: pl.DataFrame, sku: str, store: str) -> pl.DataFrame:
    return frame.filter(pl.col("sku_id") == sku, pl.col("store_id") == store)


def test_a_series_begins_with_its_first_price_or_its_first_sale_and_every_later_day_counts(folder: Path) -> None:
    sales = read(folder)["sales"]
    assert series(sales, "A", "CA_1")["sales_units"].to_list() == [0, 0, 0, 0, 0, 0, 0, 0, 5, 0]
    assert series(sales, "A", "TX_1")["event_date"].to_list()[0] == FIRST + timedelta(days=2)
    assert series(sales, "A", "TX_1")["sales_units"].to_list() == [3, 0, 0, 0, 0, 1, 0, 0]
    assert series(sales, "B", "CA_1")["sales_units"].to_list() == [2, 0, 0, 0, 0, 0]
    assert series(sales, "B", "TX_1").is_empty()
    assert sales["known_at"][0] == datetime(2011, 6, 26, tzinfo=UTC)


def test_a_weeks_price_holds_each_day_and_its_ratio_is_to_the_highest_of_a_year(folder: Path) -> None:
    prices = read(folder)["prices"]
    first = series(prices, "A", "CA_1").sort("event_date")
    assert first["unit_price"].to_list() == [2.0] * 7 + [1.5] * 7 + [3.0] * 7
    assert first["price_ratio"].to_list() == [1.0] * 7 + [0.75] * 7 + [1.0] * 7
    assert not prices["is_promotion"].any()
    assert first["event_date"][-1] == FIRST + timedelta(days=20)
    assert first["known_at"][0] == datetime(2011, 6, 25, tzinfo=UTC) - timedelta(days=28)
    assert series(prices, "A", "TX_1")["event_date"].min() == FIRST + timedelta(days=7)


def test_a_high_price_is_forgotten_after_52_weeks(tmp_path: Path) -> None:
    write_m5_shaped(tmp_path, Shape(items=7, days=800))
    prices = read(tmp_path)["prices"].sort(KEY)
    row = prices.filter(pl.col("event_date").dt.weekday() == 6)
    for _, weeks in row.group_by("sku_id", "store_id"):
        price = weeks["unit_price"].to_numpy()
        highest = [price[max(0, week - 51) : week + 1].max() for week in range(len(price))]
        np.testing.assert_allclose(weeks["price_ratio"].to_numpy(), price / highest, atol=5e-7)


def test_events_hold_for_all_and_food_stamp_days_for_their_state(folder: Path) -> None:
    events = read(folder)["events"].select("event_name", "store_node", "event_date", "event_kind").rows()
    fourth = date(2011, 7, 4)
    assert events == [
        ("snap", "CA", FIRST + timedelta(days=1), "recurring"),
        ("IndependenceDay", "all", fourth, None),
        ("Parade", "all", fourth, None),
        ("snap", "TX", FIRST + timedelta(days=20), "recurring"),
    ]


def test_the_hierarchies_make_twelve_levels(tmp_path: Path) -> None:
    write_m5_shaped(tmp_path, Shape(items=14, days=30))
    found = read(tmp_path)
    pairs = found["sales"].select("store_id", "sku_id").unique().sort("store_id", "sku_id")
    crossed = Hierarchy.build(pairs, found["product_hierarchy"], found["store_hierarchy"])
    names = [level.name for level in crossed.product_levels], [level.name for level in crossed.store_levels]
    assert names == (["total", "category", "department", "sku"], ["total", "state", "store"])
    assert len(crossed.crossed_levels) + 1 == 12


def test_the_shorter_file_and_any_run_of_days_are_read(folder: Path) -> None:
    sales = pl.read_csv(folder / "sales_train_evaluation.csv")
    sales.drop("id", "d_1", "d_2", "d_10").write_csv(folder / "sales_train_validation.csv")
    (folder / "sales_train_evaluation.csv").unlink()
    found = read(folder)
    assert found["sales"]["event_date"].min() == FIRST + timedelta(days=2)
    assert found["sales"]["event_date"].max() == FIRST + timedelta(days=8)
    assert found["product_hierarchy"]["event_date"].unique().to_list() == [FIRST + timedelta(days=2)]


def test_batches_follow_the_halves_of_the_year(folder: Path) -> None:
    spans = [
        (batch.feed, batch.frame["event_date"].min(), batch.frame["event_date"].max())
        for batch in read_m5(folder)
        if batch.feed in {"sales", "prices"}
    ]
    assert spans == [
        ("sales", FIRST, date(2011, 6, 30)),
        ("prices", FIRST, date(2011, 6, 30)),
        ("sales", date(2011, 7, 1), date(2011, 7, 4)),
        ("prices", date(2011, 7, 1), date(2011, 7, 15)),
    ]


Change = Callable[[pl.DataFrame], pl.DataFrame]


def put(name: str, change: Change) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        change(pl.read_csv(folder / name)).write_csv(folder / name)

    return apply


def at(column: str, row: int, value: object) -> Change:
    def change(frame: pl.DataFrame) -> pl.DataFrame:
        values = [str(each) if each is not None else None for each in frame[column]]
        values[row] = None if value is None else str(value)
        return frame.with_columns(pl.Series(column, values, dtype=pl.String))

    return change


SALES, CALENDAR, PRICES = "sales_train_evaluation.csv", "calendar.csv", "sell_prices.csv"


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (shutil.rmtree, "There is no folder .*m5"),
        (lambda folder: (folder / PRICES).unlink(), r"lacks sell_prices\.csv\. Found: calendar\.csv"),
        (lambda folder: (folder / SALES).unlink(), r"lacks sales_train_evaluation\.csv"),
        (lambda folder: (folder / SALES).write_text(""), r"sales_train_evaluation\.csv cannot be read as CSV"),
        (put(SALES, lambda frame: frame.clear()), r"sales_train_evaluation\.csv has no rows"),
        (put(SALES, lambda frame: frame.drop("cat_id")), r"lacks the columns \['cat_id'\]"),
        (put(CALENDAR, lambda frame: frame.drop("wm_yr_wk")), r"calendar\.csv lacks the columns \['wm_yr_wk'\]"),
        (put(PRICES, lambda frame: frame.drop("sell_price")), r"sell_prices\.csv lacks the columns \['sell_price'\]"),
        (put(SALES, lambda frame: frame.drop("d_4", "d_7")), r"skips 2 days between d_1 and d_10: d_4, d_7\."),
        (put(SALES, lambda frame: frame.select(~pl.selectors.starts_with("d_"))), r"no columns d_1, d_2, "),
        (put(CALENDAR, lambda frame: frame.head(8)), r"2 days .* are not in calendar\.csv: d_9, d_10\."),
        (put(CALENDAR, lambda frame: frame[[0, 1, 2, 4]]), "out of step.*2011, 6, 29.*d 'd_5'"),
        (put(CALENDAR, at("date", 3, "2011-06-35")), r"1 rows unreadable: date '2011-06-35'"),
        (put(SALES, lambda frame: pl.concat([frame, frame[:1]])), r"1 rows of an item and a store that come twice"),
        (put(SALES, at("d_3", 1, -3)), r"item_id 'A', store_id 'TX_1', day 'd_3', value '-3'"),
        (put(SALES, at("d_3", 1, "three")), r"not whole numbers from 0, on 1 days.*value 'three'"),
        (put(SALES, at("d_3", 1, 2.5)), r"value '2\.5'"),
        (put(SALES, at("d_3", 1, None)), r"day 'd_3', value None"),
        (put(PRICES, at("item_id", 3, "Z")), r"1 rows of items in stores that the sales do not list: item_id 'Z'"),
        (put(PRICES, at("sell_price", 0, "free")), r"1 rows whose week or price is not a number from 0"),
        (put(PRICES, at("sell_price", 0, -1)), r"not a number from 0: store_id 'CA_1'.*sell_price -1\.0"),
        (put(PRICES, at("wm_yr_wk", 0, 11101)), r"1 rows of weeks that calendar\.csv does not have: wm_yr_wk 11101"),
        (put(PRICES, lambda frame: pl.concat([frame, frame[:1]])), "2 rows of an item, store and week"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_files_is_named(folder: Path, break_it: Callable[[Path], None], message: str) -> None:
    break_it(folder)
    with pytest.raises(SourceError, match=message) as caught:
        list(read_m5(folder))
    assert caught.value.remedy


def test_of_many_wrong_rows_ten_are_shown(folder: Path) -> None:
    sales = pl.read_csv(folder / SALES).with_columns(pl.col("^d_[1-4]$") - 9)
    sales.write_csv(folder / SALES)
    with pytest.raises(SourceError, match=r"16 rows .* on 4 days: .* and 6 more\.") as caught:
        list(read_m5(folder))
    assert str(caught.value).count("item_id") == 10


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate_retailer(SimulatorSettings(skus=12, stores=2, days=200))


@pytest.fixture(scope="module")
def read_back(simulation: Simulation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("m5") / "written"
    write_m5(simulation, folder)
    return read(folder)


def made(simulation: Simulation, feed: str) -> pl.DataFrame:
    return next(batch.frame for batch in simulation.batches if batch.feed == feed)


def test_every_simulated_sale_is_read_back_and_other_rows_are_zeros_of_the_launch_week(
    simulation: Simulation, read_back: dict[str, pl.DataFrame]
) -> None:
    truth = simulation.truth.filter(pl.col("event_date") <= simulation.settings.end)
    both = read_back["sales"].join(truth, on=KEY, how="full", coalesce=True, suffix="_true")
    assert both["sales_units"].null_count() == 0
    known = both.drop_nulls("sales_units_true")
    assert known.height == truth.height
    assert (known["sales_units"] == known["sales_units_true"]).all()
    added = both.filter(pl.col("sales_units_true").is_null())
    assert added["sales_units"].sum() == 0
    launch = truth.group_by("sku_id", "store_id").agg(launch=pl.col("event_date").min())
    late = added.join(launch, on=["sku_id", "store_id"])
    assert (late["launch"] - late["event_date"]).dt.total_days().max() < 7  # type: ignore[operator]


def test_every_weekly_price_event_and_membership_is_read_back(
    simulation: Simulation, read_back: dict[str, pl.DataFrame]
) -> None:
    week = pl.col("event_date").dt.offset_by("2d").dt.truncate("1w").alias("week")
    ours = made(simulation, "prices").sort("event_date").group_by("sku_id", "store_id", week).first()
    ours = ours.with_columns(pl.col("unit_price").round(2))
    theirs = read_back["prices"].group_by("sku_id", "store_id", week).agg(pl.col("unit_price").unique().implode())
    priced = ours.join(theirs, on=["sku_id", "store_id", "week"], how="full", suffix="_read")
    assert priced["unit_price"].null_count() == 0
    assert (priced["unit_price_read"].list.len() == 1).all()
    assert (priced["unit_price_read"].list.first() == priced["unit_price"]).all()
    columns = ["event_name", "event_date"]
    kept = made(simulation, "events").sort("event_date", "event_name").group_by("event_date").head(2).select(columns)
    assert read_back["events"].select(columns).sort(columns).equals(kept.unique().sort(columns))
    # Which of the simulation's levels the format has, and what it calls them.
    names = {"department": "category", "category": "department", "region": "state"}
    for feed, member in (("product_hierarchy", "sku_id"), ("store_hierarchy", "store_id")):
        columns = [member, "level_name", "node_id"]
        kept = made(simulation, feed).filter(pl.col("level_name").is_in(list(names)))
        renamed = kept.with_columns(pl.col("level_name").replace(names)).select(columns).sort(columns)
        assert read_back[feed].select(columns).sort(columns).equals(renamed)


def write_days(folder: Path, days: int) -> Path:
    """The same made-up shop with some of its days of sales; calendar and prices reach as far as ever."""
    if not (folder / SALES).is_file():
        write_m5_shaped(folder, Shape(items=7, days=560))
    shorter = folder.with_name(f"{folder.name}-{days}")
    shutil.copytree(folder, shorter)
    sales = pl.read_csv(folder / SALES)
    sales.drop([f"d_{number}" for number in range(days + 1, 561)]).write_csv(shorter / SALES)
    return shorter


def ingest(stores: Stores, folder: Path) -> IngestOutcome:
    def nothing(batch: Batch) -> list[str]:
        del batch
        return []

    return ingest_batches(read_m5(folder), stores.observations, expect=nothing, progress=lambda *_: None)


def test_more_days_change_only_the_last_batch_of_sales(tmp_path: Path) -> None:
    before, after = (list(read_m5(write_days(tmp_path / "shop", days))) for days in (520, 523))
    assert [batch.feed for batch in before] == [batch.feed for batch in after]
    changed = [
        one.frame["event_date"].min()
        for one, other in zip(before, after, strict=True)
        if to_parquet(one.frame) != to_parquet(other.frame)
    ]
    assert changed == [date(2012, 7, 1)]


def test_a_folder_with_more_days_adds_the_new_days_and_nothing_else(stores: Stores, tmp_path: Path) -> None:
    ingest(stores, write_days(tmp_path / "shop", 520))
    held = stores.observations.batches()
    longer = write_days(tmp_path / "shop", 523)
    outcome = ingest(stores, longer)
    (added,) = outcome.added
    last = date(2011, 1, 29) + timedelta(days=522)
    assert (added.feed, added.first_event_date, added.last_event_date) == ("sales", last - timedelta(days=2), last)
    assert stores.observations.batches() == [*held, added]
    rows = stores.observations.scan(stores.observations.batches(), "sales")
    assert rows is not None
    assert rows.select(*KEY).collect().sort(KEY).equals(read(longer)["sales"].select(KEY).sort(KEY))
    again = ingest(stores, longer)
    assert (again.added, again.sequence) == ((), None)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",0,1\n", ",0,yes\n", r"1 rows whose `snap_` columns are not 0 or 1.*snap_TX 'yes'"),
        (",0,1\n", ",0,2\n", r"snap_TX '2'"),
        ("11124,d_21", "11123,d_21", r"1 rows whose week lies before.*2011, 7, 15.*wm_yr_wk 11123"),
        ("snap_CA,snap_TX", "snap_CA,snap_CA", r"calendar.csv has columns of the same name: snap_CA"),
    ],
)
def test_a_calendar_that_says_two_things_is_refused(folder: Path, old: str, new: str, words: str) -> None:
    path = folder / "calendar.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(SourceError, match=words):
        read(folder)


def test_another_encoding_is_hinted_at(folder: Path) -> None:
    path = folder / "calendar.csv"
    path.write_bytes(path.read_text().encode("utf-16"))
    with pytest.raises(SourceError, match="UTF-8"):
        read(folder)
