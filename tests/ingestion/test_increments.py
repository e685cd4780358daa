"""Days as they come in from tables: a new day, a late one, a restated one."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from forecast_assets.core.errors import ContractError, IncompleteInputsError
from forecast_assets.features.panel import Panel
from forecast_assets.ingestion.ingest import IngestOutcome
from forecast_assets.launch import Runner
from forecast_assets.snapshots.stage import known_history, readiness
from forecast_assets.sources.tables import read_tables
from tests.support.retailers import new_runner

pytestmark = pytest.mark.usefixtures("brief_runs")

FIRST, LAST = date(2025, 3, 3), date(2025, 4, 13)
NEXT, AFTER = LAST + timedelta(days=1), LAST + timedelta(days=2)
STORES = ("S1", "S2", "S3")
MAPPING = """
source = "erp"
declared_lag_hours = 6

[[feed]]
feed = "sales"
file = "sales_*.csv"
[feed.columns]
known_at = "booked_at"
"""


def sold(days: list[date], stores: tuple[str, ...] = STORES, units: int = 3, booked_at: str = "") -> pl.DataFrame:
    places = pl.DataFrame({"sku_id": ["A", "B"]}).join(pl.DataFrame({"store_id": stores}), how="cross")
    rows = pl.DataFrame({"event_date": days}).join(places, how="cross")
    return rows.with_columns(sales_units=pl.col("event_date").dt.day() % 4 + units, booked_at=pl.lit(booked_at))


class Shop:
    """A folder of tables, and a home that takes it in again and again."""

    def __init__(self, folder: Path, mapping: str = MAPPING) -> None:
        self.folder = folder
        self.runner: Runner = new_runner(folder / "home")
        (folder / "mapping.toml").write_text(mapping)

    def delivers(self, name: str, rows: pl.DataFrame) -> IngestOutcome:
        rows.write_csv(self.folder / f"sales_{name}.csv")
        return self.runner.ingest(read_tables(self.folder / "mapping.toml", self.runner.stored_rows()))

    def missing(self, day: date) -> tuple[str, ...]:
        return readiness(known_history(self.runner.stores, day), 0.2).missing

    def panel(self, day: date) -> Panel:
        history = known_history(self.runner.stores, day)
        series = pl.DataFrame({"store_id": ["S3"], "sku_id": ["A"]})
        return history.panel(series, history_days=28, horizon_days=7)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.delivers("history", sold(pl.date_range(FIRST, LAST, eager=True).to_list()))
    return shop


def test_a_new_day_is_taken_in_by_the_same_command_and_makes_its_date_ready(shop: Shop) -> None:
    assert shop.missing(LAST) == ()
    assert shop.missing(NEXT)[0].startswith(f"`sales` has not reached {NEXT}")
    outcome = shop.delivers("next", sold([NEXT]))
    assert ([each.rows for each in outcome.added], outcome.findings) == ([6], ())
    assert [each.rows for each in outcome.known] == [6 * 42]
    assert shop.missing(NEXT) == ()


def test_a_run_waits_for_a_late_store_by_name_and_the_day_after_goes_on_without_it(shop: Shop) -> None:
    shop.delivers("next", sold([NEXT], ("S1", "S2")))
    with pytest.raises(IncompleteInputsError, match="`sales` lacks 1 stores: S3"):
        shop.runner.snapshot(NEXT)
    outcome = shop.delivers("after", sold([AFTER]))
    assert [(each.kind, each.is_error) for each in outcome.findings] == [("late days", False)]
    assert f"SKU A at store S3: {NEXT}" in outcome.findings[0].message
    assert shop.runner.snapshot(AFTER)
    assert pl.Series(shop.panel(AFTER).sales[0, -3:]).is_nan().to_list() == [False, True, False]

    late = shop.delivers("next_s3", sold([NEXT], ("S3",)))
    assert ([each.rows for each in late.added], late.findings) == ([2], ())
    assert shop.missing(NEXT) == ()
    assert shop.runner.snapshot(NEXT)
    assert pl.Series(shop.panel(AFTER).sales[0, -3:]).is_nan().to_list() == [False, False, False]


def test_a_restated_day_is_seen_by_later_snapshots_and_not_by_earlier_ones(shop: Shop) -> None:
    shop.delivers("next", sold([NEXT]))
    before = shop.panel(LAST).sales
    stored = shop.runner.snapshot(LAST)
    outcome = shop.delivers("restated", sold([LAST], ("S3",), units=90, booked_at=f"{NEXT}T12:00:00Z"))
    assert outcome.findings == ()
    assert shop.panel(LAST).sales.tolist() == before.tolist()
    assert shop.runner.snapshot(LAST) == stored
    later = shop.panel(NEXT).sales[0]
    assert (later[-2], before[0, -1]) == (90 + LAST.day % 4, 3 + LAST.day % 4)


@pytest.fixture
def till(tmp_path: Path) -> Shop:
    """A source that lists only what was sold, and sells everything on every day."""
    till = Shop(tmp_path, MAPPING.replace("[feed.columns]", 'missing_days = "zero"\n[feed.columns]'))
    till.delivers("history", sold(pl.date_range(FIRST, LAST, eager=True).to_list()))
    return till


def test_a_restated_row_leaves_the_rest_of_its_day_alone_where_only_sales_are_listed(till: Shop) -> None:
    till.delivers("next", sold([NEXT]))
    before, stored = till.panel(LAST).sales, till.runner.snapshot(LAST)
    row = sold([LAST], ("S3",), 90, f"{NEXT}T12:00:00Z").filter(pl.col("sku_id") == "B")
    outcome = till.delivers("restated", row)
    assert ([each.rows for each in outcome.added], outcome.findings) == ([1], ())
    assert till.runner.snapshot(LAST) == stored
    assert till.panel(NEXT).sales[0].tolist()[:-1] == before[0].tolist()[1:]
    again = till.delivers("restated", row)
    assert (again.added, again.sequence) == ((), None)


def test_a_correction_without_a_later_moment_is_refused_for_its_own_row_only(till: Shop) -> None:
    row = sold([LAST], ("S3",), 90).filter(pl.col("sku_id") == "B")
    with pytest.raises(ContractError, match=r"1 rows say something else than before, as known at the same moment.*'B'"):
        till.delivers("restated", row)


def test_a_correction_among_the_first_files_makes_up_no_zeros_either(tmp_path: Path) -> None:
    till = Shop(tmp_path, MAPPING.replace("[feed.columns]", 'missing_days = "zero"\n[feed.columns]'))
    row = sold([LAST], ("S3",), 90, f"{NEXT}T12:00:00Z").filter(pl.col("sku_id") == "B")
    row.write_csv(tmp_path / "sales_restated.csv")
    outcome = till.delivers("history", sold(pl.date_range(FIRST, NEXT, eager=True).to_list()))
    assert [each.rows for each in outcome.added] == [6 * 43, 1]
    assert till.panel(NEXT).sales[0, -2] == 3 + LAST.day % 4
