"""Which days are due, what a measurement records, and the view over it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from forecast_assets.accuracy.inputs import (
    PRODUCT,
    day_inputs,
    due_days,
    newest_known_at,
    read_actuals,
    require_measurable,
)
from forecast_assets.accuracy.measuring import measure_run
from forecast_assets.contracts import FORECAST_ACCURACY, SALES, absent_columns, earlier_fingerprints
from forecast_assets.core.errors import IncompleteInputsError, LostRaceError, NotAcceptedError, NotPublishedError
from forecast_assets.core.keys import RunKey
from resources.catalogue.build import build_catalogue
from resources.ledger.entries.measure import Measurement
from resources.stores.home import Stores, open_stores
from tests.resources.catalogue.test_catalogue import publish
from tests.support.accuracy_cases import KEY, TARGET, actuals, forecasts, hierarchy, naive, risks

FIRST = date(2025, 1, 2)
PUBLISHED = RunKey("daily", date(2025, 1, 1), "stat-1", 7)


def rows(late: int = 0) -> pl.DataFrame:
    frame = measure_run(KEY, TARGET, forecasts(), risks(), naive(), actuals(late=late), hierarchy())
    return frame.sort(FORECAST_ACCURACY.key)


def record(stores: Stores, late: int = 0, since: int = 0, checks: tuple[str, ...] = ()) -> tuple[Measurement, bool]:
    version = stores.predictions.write(
        FORECAST_ACCURACY, rows(late), key=f"daily/{TARGET}", folder="accuracy", inputs={"batches": []},
        facts={"known_until": f"2025-06-0{5 - late}T12:00:00+00:00", "runs": 1},
    )  # fmt: skip
    return stores.predictions.record_measurement("daily", TARGET, version, since=since, required_checks=checks)


def say(stores: Stores, days: list[date], units: float = 4.0, known: int = 1) -> None:
    """Take in sales of two SKUs on some days."""
    said = [
        {"sku_id": sku, "store_id": "S", "event_date": day, "sales_units": units,
         "known_at": datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=known)}
        for day in days
        for sku in ("A", "B")
    ]  # fmt: skip
    frame = SALES.conform(pl.DataFrame(said, schema_overrides=SALES.schema))
    batch = stores.observations.write(frame, feed="sales", source="till", trust=1.0, declared_lag=timedelta(0))
    stores.observations.record([batch])


def stage(stores: Stores, day: date) -> None:
    """Measure a day as the asset does, with made-up numbers, up to before the commit."""
    inputs = day_inputs(stores.ledger.state(), "daily", day)
    stores.predictions.write(
        FORECAST_ACCURACY, rows(), key=inputs.key, folder="accuracy", inputs=inputs.versions,
        facts={"known_until": "2025-06-05T12:00:00+00:00", "runs": 1},
    )  # fmt: skip


def commit(stores: Stores, day: date) -> None:
    version = stores.predictions.staged(PRODUCT, f"daily/{day}")
    stores.predictions.record_measurement("daily", day, version, since=0, required_checks=())


def test_days_are_due_when_a_run_looks_at_them_and_sales_have_come(stores: Stores) -> None:
    assert due_days(stores, "daily") == []
    publish(stores, PUBLISHED)
    assert due_days(stores, "daily") == []
    say(stores, [date(2025, 1, 1), FIRST, date(2025, 1, 3)])
    assert due_days(stores, "daily") == [FIRST, date(2025, 1, 3)]
    assert due_days(stores, "daily", last=FIRST) == [FIRST]
    assert due_days(stores, "daily", first=date(2025, 1, 3)) == [date(2025, 1, 3)]
    assert due_days(stores, "weekly") == []
    publish(stores, RunKey("weekly", date(2024, 12, 29), "stat-2", 90))
    assert due_days(stores, "weekly") == [date(2025, 1, 1), FIRST, date(2025, 1, 3)]


def test_a_day_is_due_again_only_when_its_runs_or_sales_have_changed(stores: Stores) -> None:
    publish(stores, PUBLISHED)
    say(stores, [FIRST])
    stage(stores, FIRST)
    assert due_days(stores, "daily") == [FIRST], "a process that was killed before the commit has measured nothing"
    commit(stores, FIRST)
    assert due_days(stores, "daily") == []
    say(stores, [date(2025, 1, 3)])
    assert due_days(stores, "daily") == [date(2025, 1, 3)]
    say(stores, [FIRST], units=5.0, known=3)
    assert due_days(stores, "daily") == [FIRST, date(2025, 1, 3)]
    stage(stores, FIRST)
    assert FIRST not in due_days(stores, "daily"), "the numbers are those recorded, so nothing is left to record"
    publish(stores, RunKey("daily", date(2025, 1, 1), "stat-2", 7))
    assert due_days(stores, "daily") == [FIRST, date(2025, 1, 3)]


def test_what_cannot_be_measured_says_why(stores: Stores) -> None:
    with pytest.raises(NotPublishedError, match="No published daily run looks at 2025-01-02"):
        require_measurable(day_inputs(stores.ledger.state(), "daily", FIRST))
    publish(stores, PUBLISHED)
    with pytest.raises(IncompleteInputsError, match="`sales` has not reached 2025-01-02"):
        require_measurable(day_inputs(stores.ledger.state(), "daily", FIRST))
    say(stores, [date(2025, 1, 1), date(2025, 1, 3)])
    with pytest.raises(IncompleteInputsError, match="no feed has a row of 2025-01-02"):
        newest_known_at(stores, day_inputs(stores.ledger.state(), "daily", FIRST))


def test_sales_are_as_of_the_newest_word_on_the_day(stores: Stores) -> None:
    publish(stores, PUBLISHED)
    say(stores, [FIRST], units=4.0)
    say(stores, [FIRST], units=5.0, known=3)
    say(stores, [date(2025, 1, 3)], units=9.0, known=30)
    inputs = day_inputs(stores.ledger.state(), "daily", FIRST)
    moment = newest_known_at(stores, inputs)
    assert moment == datetime(2025, 1, 5, tzinfo=UTC)
    assert read_actuals(stores, inputs, moment).sales["sales_units"].to_list() == [5.0, 5.0]
    earlier = read_actuals(stores, inputs, moment - timedelta(days=1))
    assert earlier.sales["sales_units"].to_list() == [4.0, 4.0]
    assert earlier.stockouts.is_empty()


def test_the_same_numbers_are_recorded_once(stores: Stores) -> None:
    first, is_new = record(stores)
    again, is_new_again = record(stores, since=first.sequence)
    assert (is_new, is_new_again) == (True, False)
    assert again == first
    assert stores.ledger.state().sequence == 1


def test_a_restated_day_is_another_measurement_and_both_stay(stores: Stores) -> None:
    first, _ = record(stores, late=1)
    second, is_new = record(stores, since=first.sequence)
    assert is_new
    assert stores.ledger.state().measurements["daily", TARGET] == [first, second]
    reread = open_stores(stores.predictions._blobs.root).ledger.state()
    assert reread.newest_measurement("daily", TARGET) == second
    assert reread.newest_measurement("weekly", TARGET) is None


def test_a_slower_process_with_other_numbers_is_told_to_run_again(stores: Stores) -> None:
    first, _ = record(stores)
    with pytest.raises(LostRaceError, match=rf"measured the daily forecasts of {TARGET} meanwhile \(ledger entry 1\)"):
        record(stores, late=1)
    assert stores.ledger.state().newest_measurement("daily", TARGET) == first


def test_of_several_processes_at_once_one_records_and_all_are_right(stores: Stores) -> None:
    folder = stores.predictions._blobs.root

    def measure(_: int) -> bool:
        return record(open_stores(folder))[1]

    with ThreadPoolExecutor(6) as pool:
        recorded = list(pool.map(measure, range(6)))
    assert sum(recorded) == 1
    assert open_stores(folder).ledger.state().sequence == 1


def test_what_no_check_has_accepted_is_not_recorded(stores: Stores) -> None:
    with pytest.raises(NotAcceptedError, match="`forecast_accuracy` has not passed every_level_counts_the_same_units"):
        record(stores, checks=("every_level_counts_the_same_units",))
    assert stores.ledger.state().sequence == 0


def catalogue(stores: Stores, folder: Path) -> duckdb.DuckDBPyConnection:
    with duckdb.connect() as connection:
        path = build_catalogue(stores.predictions, folder, connection)
    return duckdb.connect(str(path), read_only=True)


def types(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    described = connection.execute("SELECT column_name, column_type FROM (DESCRIBE audit.forecast_accuracy)")
    return dict(described.fetchall())


def test_the_view_shows_every_measurement_and_which_is_newest(stores: Stores, tmp_path: Path) -> None:
    first, _ = record(stores, late=1)
    record(stores, since=first.sequence)
    with catalogue(stores, tmp_path / "catalogue") as connection:
        found = connection.execute(
            "SELECT measured_sequence, is_newest, epoch(known_until), sum(rows), sum(rows_without_actual), "
            "sum(sales_units) FROM audit.forecast_accuracy WHERE product_level = 'sku' AND store_level = 'store' "
            "AND segment_kind = 'all' GROUP BY ALL ORDER BY 1"
        ).fetchall()
    moments = [datetime(2025, 6, day, 12, tzinfo=UTC).timestamp() for day in (4, 5)]
    assert found == [(1, False, moments[0], 3, 1, 13), (2, True, moments[1], 4, 0, 13)]


def test_two_measurements_of_the_same_bytes_are_two_in_the_view(stores: Stores, tmp_path: Path) -> None:
    first, _ = record(stores)
    second, _ = record(stores, late=1, since=first.sequence)
    record(stores, since=second.sequence)
    with catalogue(stores, tmp_path / "catalogue") as connection:
        found = connection.execute(
            "SELECT measured_sequence, is_newest, count(*) FROM audit.forecast_accuracy GROUP BY ALL ORDER BY 1"
        ).fetchall()
    assert found == [(1, False, rows().height), (2, False, rows(1).height), (3, True, rows().height)]


def test_measurements_of_earlier_releases_are_in_the_view_and_what_they_lack_is_null(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = absent_columns("forecast_accuracy", earlier_fingerprints("forecast_accuracy")[0])
    kept = tuple(column for column in FORECAST_ACCURACY.columns if column.name not in grown)
    then, fewer = replace(FORECAST_ACCURACY, columns=kept), rows().drop(grown)
    assert then.fingerprint == earlier_fingerprints("forecast_accuracy")[0]
    with monkeypatch.context() as patch:
        patch.setitem(record.__globals__, "FORECAST_ACCURACY", then)
        patch.setitem(record.__globals__, "rows", lambda _late: fewer)
        first, _ = record(stores)
    record(stores, late=1, since=first.sequence)
    with catalogue(stores, tmp_path / "catalogue") as connection:
        found = connection.execute(
            "SELECT measured_sequence, count(*), count(at_most_q975_rows), count(crps_units) "
            "FROM audit.forecast_accuracy GROUP BY ALL ORDER BY 1"
        ).fetchall()
    assert found == [(1, rows().height, 0, 0), (2, rows(1).height, rows(1).height, rows(1).height)]


def test_the_view_is_typed_and_described_with_and_without_measurements(stores: Stores, tmp_path: Path) -> None:
    with catalogue(stores, tmp_path / "catalogue") as connection:
        empty = types(connection)
        assert connection.execute("SELECT count(*) FROM audit.forecast_accuracy").fetchall() == [(0,)]
    record(stores)
    with catalogue(stores, tmp_path / "catalogue") as connection:
        assert types(connection) == empty
        comments = connection.execute(
            "SELECT count(*) FROM duckdb_columns() WHERE table_name = 'forecast_accuracy' AND comment IS NULL"
        )
        assert comments.fetchall() == [(0,)]
    assert list(empty) == [*FORECAST_ACCURACY.names, "measured_sequence", "is_newest", "known_until"]
    assert empty["squared_error_units2"] == "DECIMAL(38,6)"
    assert empty["known_until"] == "TIMESTAMP WITH TIME ZONE"
