"""Copies of runs, held to one suite: SQLite, and PostgreSQL on a server of its own."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

from forecast_assets.contracts import PRODUCTS, PUBLISHED
from forecast_assets.core.errors import InputError, MirrorConflictError, MirrorUnavailableError
from forecast_assets.core.quantities import UNITS
from resources.operational_copy.content import lines_of
from resources.operational_copy.databases import copy_database
from resources.operational_copy.layout import FORMAT, CopiedRun, layout_fingerprint
from resources.operational_copy.writing import RunToCopy, copy_run, drop_runs, mend_views, remove_strays
from tests.support.copy_cases import LEDGER, PUBLISHED_AT, Target, frames_of, read_back, run_to_copy
from tests.support.mirrors import require
from tests.support.store_cases import run_key

KEY = run_key()
REPOSITORY = Path(__file__).parents[3]
NASTY = [
    "",
    " ",
    "a,b",
    'say "x"',
    "two\nlines",
    "\r",
    "\\N",
    "\\.",
    "null",
    "Käse €",
    "日本",
    "'; DROP TABLE runs",
    "=1+1",
]
NUMBERS = [
    Decimal(0), Decimal("0.000001"), Decimal("-0.000001"), Decimal("999999999999.999999"), Decimal("0.1"),
    Decimal("123456789012.345678"), Decimal("-999999999999.999999"),
]  # fmt: skip


def runs_of(target: Target) -> list[CopiedRun]:
    with target.database.reading(LEDGER) as reader:
        return [] if reader is None else reader.runs()


def exact() -> RunToCopy:
    """A run whose texts and numbers are hard to keep."""
    frames = frames_of(KEY)
    names = [f"sku {at}{text}" for at, text in enumerate(NASTY)]
    count = len(NASTY)
    forecasts = pl.concat([frames["forecasts"].head(1)] * count).with_columns(
        sku_id=pl.Series(names),
        store_id=pl.lit("S/1%"),
        forecast_units=pl.Series((NUMBERS * count)[:count], dtype=UNITS),
        out_of_distribution_score=pl.Series(([0.1, 1.0, 1e-300, 1 / 3, None] * count)[:count], dtype=pl.Float64),
        is_fallback=pl.Series(([True, False] * count)[:count]),
        quality_flags=pl.Series(([None, "", "fallback"] * count)[:count], dtype=pl.String),
    )
    explained = pl.concat([frames["forecast_explanations"].head(1)] * count).with_columns(
        sku_id=pl.Series(names), forecast_reason=pl.Series(NASTY)
    )
    made = {"forecasts": forecasts, "forecast_explanations": explained}
    return run_to_copy(KEY, {name: frame.sort("store_id", "sku_id", "step") for name, frame in made.items()})


def test_a_run_comes_back_as_it_was_with_a_record_of_it(target: Target) -> None:
    run = run_to_copy(KEY)
    assert runs_of(target) == []
    assert copy_run(target.database, LEDGER, run)
    (found,) = runs_of(target)
    assert (found.key, found.ledger_sequence, found.published_at) == (KEY, 7, PUBLISHED_AT)
    assert found.versions == run.versions
    assert {name: product.rows for name, product in found.products.items()} == run.rows
    for product, frame in frames_of(KEY).items():
        assert read_back(target.database, KEY, product).equals(frame)


def test_texts_and_numbers_are_kept_exactly(target: Target) -> None:
    run = exact()
    assert copy_run(target.database, LEDGER, run)
    for product in run.versions:
        published = pl.concat(run.read(product))
        assert read_back(target.database, KEY, product).equals(published)
        assert lines_of(read_back(target.database, KEY, product)) == lines_of(published)
    (found,) = runs_of(target)
    # A release may have made fewer products.
    assert set(found.products) == {"forecasts", "forecast_explanations"}


def test_sums_over_the_tables_are_exact(target: Target) -> None:
    run = exact()
    copy_run(target.database, LEDGER, run)
    ((found,),) = target.run("SELECT sum({1}) FROM {0}forecasts", target.column("forecast_units"))
    published = sum(pl.concat(run.read("forecasts"))["forecast_units"])
    assert Decimal(found) / (1 if target.schema else 10**6) == published


def test_a_run_is_copied_once(target: Target) -> None:
    assert copy_run(target.database, LEDGER, run_to_copy(KEY))
    (first,) = runs_of(target)
    assert not copy_run(target.database, LEDGER, run_to_copy(KEY))
    assert runs_of(target) == [first]
    assert target.run("SELECT count(*) FROM {0}forecasts") == [(14,)]


def test_a_run_that_is_recorded_with_other_products_is_copied_in_the_place_of_it(target: Target) -> None:
    copy_run(target.database, LEDGER, run_to_copy(KEY, frames_of(KEY, units=9)))
    other = replace(run_to_copy(KEY), versions=dict.fromkeys(PUBLISHED, "other"))
    assert copy_run(target.database, LEDGER, other)
    assert read_back(target.database, KEY, "forecasts").equals(frames_of(KEY)["forecasts"])
    assert [run.versions for run in runs_of(target)] == [dict.fromkeys(PUBLISHED, "other")]


def test_of_two_copiers_at_once_one_copies_and_the_other_sees_it_is_there(target: Target) -> None:
    with ThreadPoolExecutor(4) as copiers:
        copied = list(copiers.map(lambda _: copy_run(target.database, LEDGER, run_to_copy(KEY)), range(4)))
    assert sorted(copied) == [False, False, False, True]
    assert target.run("SELECT count(*) FROM {0}forecasts") == [(14,)]


def breaks_after(run: RunToCopy, parts: int, error: BaseException) -> RunToCopy:
    def read(product: str) -> Iterator[pl.DataFrame]:
        for at, rows in enumerate(run.read(product)):
            if product == "stockout_risks" and at == parts:
                raise error
            yield rows

    return replace(run, read=read)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("no file")])
def test_what_stops_in_the_middle_leaves_nothing(target: Target, error: BaseException) -> None:
    copy_run(target.database, LEDGER, run_to_copy(KEY))
    with pytest.raises(type(error)):
        copy_run(target.database, LEDGER, breaks_after(run_to_copy(run_key(1)), 1, error))
    assert [run.key for run in runs_of(target)] == [KEY]
    assert target.run("SELECT count(*) FROM {0}forecasts") == [(14,)]
    assert copy_run(target.database, LEDGER, run_to_copy(run_key(1)))


KILLED = """
import sys, time
from dataclasses import replace
from resources.operational_copy.writing import copy_run
from resources.operational_copy.databases import copy_database
from tests.support.copy_cases import LEDGER, run_to_copy
from tests.support.store_cases import run_key
from pathlib import Path
run = run_to_copy(run_key())
def read(product):
    for at, rows in enumerate(run.read(product)):
        yield rows
        if product == "stockout_risks":
            print("in the middle", flush=True)
            time.sleep(60)
copy_run(copy_database(sys.argv[1], Path(sys.argv[2])), LEDGER, replace(run, read=read))
"""


def test_a_process_that_is_killed_in_the_middle_leaves_nothing_and_holds_up_nobody(target: Target) -> None:
    command = [sys.executable, "-c", KILLED, target.setting, str(target.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in the middle\n"
        process.kill()
    assert runs_of(target) == []
    assert copy_run(target.database, LEDGER, run_to_copy(KEY))
    assert target.run("SELECT count(*) FROM {0}forecasts") == [(14,)]


def test_what_the_database_changes_on_the_way_is_found_and_rolled_back(target: Target) -> None:
    copy_run(target.database, LEDGER, run_to_copy(KEY))
    if target.schema:
        target.run(
            "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.forecast_units := NEW.forecast_units + 0.000001; RETURN NEW; END $$"
        )
        target.run("CREATE TRIGGER t BEFORE INSERT ON {0}forecasts FOR EACH ROW EXECUTE FUNCTION meddle()")
    else:
        change = "UPDATE forecasts SET {1} = {1} + 1 WHERE step = NEW.step AND step = 3"
        target.run(f"CREATE TRIGGER t AFTER INSERT ON forecasts BEGIN {change}; END", target.column("forecast_units"))
    with pytest.raises(MirrorConflictError, match="gives back other rows of `forecasts` than were written"):
        copy_run(target.database, LEDGER, run_to_copy(run_key(1)))
    assert [run.key for run in runs_of(target)] == [KEY]
    target.run("DROP TRIGGER t ON {0}forecasts" if target.schema else "DROP TRIGGER t")
    assert copy_run(target.database, LEDGER, run_to_copy(run_key(1)))


def test_fewer_rows_than_were_published_are_not_kept(target: Target) -> None:
    run = run_to_copy(KEY)
    short = replace(run, rows={**run.rows, "forecasts": 15})
    with pytest.raises(MirrorConflictError, match="14 rows of 15"):
        copy_run(target.database, LEDGER, short)
    assert runs_of(target) == []


def test_a_version_has_views_of_the_newest_revision_of_each_run(target: Target) -> None:
    later = run_key(revision=1)
    copy_run(target.database, LEDGER, run_to_copy(KEY))
    copy_run(target.database, LEDGER, run_to_copy(run_key(1)))
    copy_run(target.database, LEDGER, run_to_copy(later, frames_of(later, units=9)))
    copy_run(target.database, LEDGER, run_to_copy(run_key(version="stat-2")))
    weekly = replace(run_key(), cadence="weekly")
    copy_run(target.database, LEDGER, run_to_copy(weekly))
    view = target.view("stat-1", "forecasts")
    found = target.run("SELECT DISTINCT prediction_date, revision, forecast_units FROM {1} ORDER BY 1", view)
    assert [(str(day), revision, float(units)) for day, revision, units in found] == [
        ("2025-01-01", 1, 9.0), ("2025-01-02", 0, 4.0),
    ]  # fmt: skip
    ids = target.run("SELECT prediction_id FROM {1} ORDER BY 1 LIMIT 1", view)
    assert ids == [("daily/2025-01-01/stat-1/7/r1/A/S/1",)]
    assert target.run("SELECT count(*) FROM {1}", target.view("stat-1", "weekly_forecasts")) == [(14,)]
    assert target.run("SELECT count(*) FROM {1}", target.view("stat-2", "aggregate_forecasts")) == [(28,)]
    with target.database.reading(LEDGER) as reader:
        assert reader is not None
        assert len(reader.views()) == 3 * len(PUBLISHED)


def test_dropped_runs_are_gone_and_so_are_views_of_a_version_without_any(target: Target) -> None:
    for key in (KEY, run_key(1), run_key(version="stat-2")):
        copy_run(target.database, LEDGER, run_to_copy(key))
    drop_runs(target.database, LEDGER, [KEY, run_key(version="stat-2")])
    assert [run.key for run in runs_of(target)] == [run_key(1)]
    assert target.run("SELECT count(*) FROM {0}forecasts") == [(14,)]
    with target.database.reading(LEDGER) as reader:
        assert reader is not None
        assert {version for version, _ in reader.views()} == {"stat-1"}


def test_rows_of_no_run_are_removed_and_missing_views_made(target: Target) -> None:
    copy_run(target.database, LEDGER, run_to_copy(KEY))
    copy_run(target.database, LEDGER, run_to_copy(run_key(1)))
    target.run("DELETE FROM {0}runs WHERE prediction_date = '2025-01-02'")
    target.run(f"DROP VIEW {target.view('stat-1', 'forecasts')}")
    assert remove_strays(target.database, LEDGER) == sum(run_to_copy(KEY).rows.values())
    assert target.run("SELECT count(*) FROM {0}forecasts") == [(14,)]
    mend_views(target.database, LEDGER)
    assert target.run("SELECT count(*) FROM {1}", target.view("stat-1", "forecasts")) == [(14,)]


def test_a_table_that_somebody_removed_has_no_rows_and_comes_back(target: Target) -> None:
    copy_run(target.database, LEDGER, run_to_copy(KEY))
    target.run("DROP TABLE {0}forecasts" + (" CASCADE" if target.schema else ""))
    with target.database.reading(LEDGER) as reader:
        assert reader is not None
        assert reader.count("forecasts", KEY) == 0
        assert [*reader.rows("forecasts", KEY)] == []
    assert copy_run(target.database, LEDGER, run_to_copy(KEY), again=True)
    assert read_back(target.database, KEY, "forecasts").equals(frames_of(KEY)["forecasts"])
    mend_views(target.database, LEDGER)
    assert target.run("SELECT count(*) FROM {1}", target.view("stat-1", "forecasts")) == [(14,)]


# --- what is refused ---


def refusal(target: Target, key: int = 1, ledger: str = LEDGER) -> str:
    with pytest.raises(MirrorConflictError) as refused:
        copy_run(target.database, ledger, run_to_copy(run_key(key)))
    return str(refused.value)


def test_a_copy_of_a_later_release_is_left_as_it_is(target: Target) -> None:
    copy_run(target.database, LEDGER, run_to_copy(KEY))
    target.run("UPDATE {0}copy_format SET format = {1}", FORMAT + 1)
    said = refusal(target)
    assert f"made by a later release (its format is {FORMAT + 1}, this release has {FORMAT})" in said
    assert "Upgrade this installation" in said
    with pytest.raises(MirrorConflictError), target.database.reading(LEDGER):
        pass
    assert target.run("SELECT count(*) FROM {0}forecasts") == [(14,)]


def test_a_copy_of_an_earlier_release_is_made_anew(target: Target) -> None:
    copy_run(target.database, LEDGER, run_to_copy(KEY))
    # An earlier release lacked a column, and tables and views as they are now.
    for view in PUBLISHED:
        target.run(f"DROP VIEW {target.view('stat-1', view)}")
    target.run(f"ALTER TABLE {{0}}forecasts DROP COLUMN {target.column('q005_units')}")
    target.run("UPDATE {0}copy_format SET format = 0")
    assert runs_of(target) == []
    assert copy_run(target.database, LEDGER, run_to_copy(run_key(1)))
    assert [run.key for run in runs_of(target)] == [run_key(1)]
    assert read_back(target.database, run_key(1), "forecasts").equals(frames_of(run_key(1))["forecasts"])


def test_a_copy_of_another_ledger_is_left_as_it_is(target: Target) -> None:
    copy_run(target.database, LEDGER, run_to_copy(KEY))
    assert "is of another ledger" in refusal(target, ledger="cd" * 32)
    assert [run.key for run in runs_of(target)] == [KEY]


def test_tables_of_somebody_else_are_left_as_they_are(target: Target) -> None:
    target.path.parent.mkdir(parents=True, exist_ok=True)
    if target.schema:
        target.run("CREATE SCHEMA operational_copy")
    target.run("CREATE TABLE {0}forecasts (mine INTEGER)")
    assert "tables of its names are there already (forecasts)" in refusal(target)
    assert target.run("SELECT count(*) FROM {0}forecasts") == [(0,)]


def test_a_view_of_somebody_else_is_left_as_it_is(target: Target) -> None:
    target.path.parent.mkdir(parents=True, exist_ok=True)
    if target.schema:
        target.run('CREATE SCHEMA "stat-1"')
    target.run(f"CREATE TABLE {target.view('stat-1', 'forecasts')} (mine INTEGER)")
    assert "something else has that name" in refusal(target)
    assert target.run("SELECT count(*) FROM {1}", target.view("stat-1", "forecasts")) == [(0,)]
    assert runs_of(target) == []


def test_tables_that_somebody_changed_are_told(target: Target) -> None:
    copy_run(target.database, LEDGER, run_to_copy(KEY))
    for view in PUBLISHED:
        target.run(f"DROP VIEW {target.view('stat-1', view)}")
    target.run(f"ALTER TABLE {{0}}forecasts DROP COLUMN {target.column('q005_units')}")
    said = refusal(target)
    assert "are not as this release makes them" in said
    assert "q005_units" in said or "29 values" in said or "31 values" in said


def test_the_format_goes_up_with_the_layout() -> None:
    # If this fails, tables that are there lack what is new: raise FORMAT, and put both new values here.
    assert (FORMAT, layout_fingerprint()[:12]) == (2, "950df840ec32")


def test_no_copy_is_asked_for_where_it_is_off(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="switched off"):
        copy_database("off", tmp_path / "copy.sqlite")


def test_columns_are_those_of_the_contract(target: Target) -> None:
    copy_run(target.database, LEDGER, run_to_copy(KEY))
    for product in PUBLISHED:
        names = read_back(target.database, KEY, product).schema
        assert dict(names) == PRODUCTS[product].schema


# --- faults ---


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MirrorUnavailableError, match="cannot be used"):
        copy_run(copy_database("sqlite", tmp_path / "file" / "copy.sqlite"), LEDGER, run_to_copy(KEY))


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "copy.sqlite"
    path.write_bytes(b"no database, and longer than a hundred bytes" * 10)
    with pytest.raises(MirrorConflictError, match="the file is damaged"):
        copy_run(copy_database("sqlite", path), LEDGER, run_to_copy(KEY))


LIMITED = """
import resource, sys
from pathlib import Path
from forecast_assets.core.errors import MirrorUnavailableError
from resources.operational_copy.databases import copy_database
from resources.operational_copy.writing import copy_run
from tests.support.copy_cases import LEDGER, run_to_copy
from tests.support.store_cases import run_key
database = copy_database("sqlite", Path(sys.argv[1]))
copy_run(database, LEDGER, run_to_copy(run_key()))
resource.setrlimit(resource.RLIMIT_FSIZE, (Path(sys.argv[1]).stat().st_size + 4096,) * 2)
try:
    for day in range(1, 40):
        copy_run(database, LEDGER, run_to_copy(run_key(day)))
except MirrorUnavailableError as error:
    print(error)
"""


def test_a_full_disk_is_told_and_what_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "copy.sqlite"
    command = [sys.executable, "-c", LIMITED, str(path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert "cannot be used" in done.stdout, done.stderr
    target = Target("sqlite", "", path)
    runs = runs_of(target)
    assert KEY in [run.key for run in runs]
    assert target.run("SELECT count(*) FROM forecasts") == [(14 * len(runs),)]


@pytest.mark.parametrize("user", ["ana:50%off", "ana:p@ss", "ana:p/ss", "ana:1/2", "ana:s%zz/?x@y"])
def test_an_address_that_cannot_be_read_is_told_without_any_part_of_it(user: str) -> None:
    require(find_spec("psycopg"), "psycopg")
    database = copy_database(f"postgresql+psycopg://{user}@db.invalid/x", Path("unused"))
    assert database.place == "postgresql://ana:***@db.invalid/x"
    with pytest.raises(InputError, match=r"^The address of the database cannot be read\.") as refused:
        copy_run(database, LEDGER, run_to_copy(KEY))
    assert "% @ / ? in a password as %25 %40 %2F %3F" in str(refused.value.remedy)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_a_server_that_is_down_is_told_without_its_password() -> None:
    database = copy_database("postgresql://ana:secret@127.0.0.1:1/x", Path("unused"))
    with pytest.raises(MirrorUnavailableError, match="cannot be used") as refused:
        copy_run(database, LEDGER, run_to_copy(KEY))
    assert "ana:***@" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("target", ["postgresql"], indirect=True)
def test_who_has_no_rights_is_told_so(target: Target) -> None:
    with suppress(Exception):
        target.run("CREATE ROLE reader LOGIN")
    address = target.address.replace("postgres:secret@", "reader@")
    with pytest.raises(MirrorUnavailableError, match="permission denied"):
        copy_run(copy_database(address, target.path), LEDGER, run_to_copy(KEY))


@pytest.mark.parametrize("target", ["postgresql"], indirect=True)
def test_a_disk_that_is_full_on_the_server_leaves_nothing(target: Target) -> None:
    copy_run(target.database, LEDGER, run_to_copy(KEY))
    target.run(
        "CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
    )
    target.run("CREATE TRIGGER t BEFORE INSERT ON {0}stockout_risks FOR EACH STATEMENT EXECUTE FUNCTION full()")
    with pytest.raises(MirrorUnavailableError, match="No space left on device"):
        copy_run(target.database, LEDGER, run_to_copy(run_key(1)))
    assert [run.key for run in runs_of(target)] == [KEY]
    assert target.run("SELECT count(*) FROM {0}forecasts") == [(14,)]


@pytest.mark.parametrize("target", ["postgresql"], indirect=True)
def test_a_connection_that_is_cut_in_the_middle_leaves_nothing(target: Target) -> None:
    run = run_to_copy(KEY)

    def read(product: str) -> Iterator[pl.DataFrame]:
        for rows in run.read(product):
            if product == "stockout_risks":
                target.run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                time.sleep(0.2)
            yield rows

    with pytest.raises(MirrorUnavailableError, match=r"terminat|closed"):
        copy_run(target.database, LEDGER, replace(run, read=read))
    assert runs_of(target) == []
    assert copy_run(target.database, LEDGER, run)


@pytest.mark.parametrize("target", ["postgresql"], indirect=True)
def test_views_that_somebody_built_on_stay_when_a_run_goes(target: Target) -> None:
    copy_run(target.database, LEDGER, run_to_copy(KEY))
    target.run('CREATE VIEW totals AS SELECT sum(forecast_units) AS units FROM "stat-1".forecasts')
    drop_runs(target.database, LEDGER, [KEY])
    assert runs_of(target) == []
    assert target.run("SELECT units FROM totals") == [(None,)]
    assert copy_run(target.database, LEDGER, run_to_copy(run_key(1)))
    assert target.run("SELECT units FROM totals") == [(Decimal(56),)]
