"""The accuracy command and the query that it shows: what is asked, and what cannot be answered."""

from datetime import date
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from forecast_assets.cli import cli
from forecast_assets.core.errors import InputError, NotReadyError, UnknownVersionError
from forecast_assets.presentation.accuracy import AccuracyQuery, accuracy_sql, accuracy_text, require_answerable
from resources.catalogue.build import build_catalogue
from resources.stores.home import Stores
from tests.accuracy.test_records import record
from tests.resources.catalogue.test_catalogue import build


def test_help_has_examples_and_every_split() -> None:
    shown = CliRunner().invoke(cli, ["accuracy", "--help"]).output
    assert "Examples:" in shown
    assert "[step|segment|level|day]" in shown


def test_a_question_without_an_answer_is_refused_before_anything_is_measured(stores: Stores) -> None:
    with pytest.raises(InputError, match=r"--from 2025-06-02 lies after --to 2025-06-01\. Swap them"):
        require_answerable(stores, AccuracyQuery("daily", None, date(2025, 6, 2), date(2025, 6, 1)))
    with pytest.raises(UnknownVersionError, match="no model version `stat-9`"):
        require_answerable(stores, AccuracyQuery("daily", "stat-9"))
    require_answerable(stores, AccuracyQuery("daily"))


def test_nothing_measured_says_what_it_takes(stores: Stores, tmp_path: Path) -> None:
    build(stores, tmp_path)
    with pytest.raises(NotReadyError, match="No weekly forecast of these days has been measured"):
        accuracy_text(tmp_path / "catalogue.duckdb", AccuracyQuery("weekly"), [])


def test_numbers_are_ratios_of_sums_over_the_newest_measurements(stores: Stores, tmp_path: Path) -> None:
    first, _ = record(stores, late=1)
    record(stores, since=first.sequence)
    with duckdb.connect() as connection:
        path = build_catalogue(stores.predictions, tmp_path, connection)
    with duckdb.connect(str(path), read_only=True) as connection:
        (row,) = connection.execute(accuracy_sql(AccuracyQuery("daily"))).fetchall()
    # Absolute errors 5 of 13 units sold, signed 1, seasonal naive's 6; of three known outcomes one stock-out.
    assert row[:5] == ("stat-1", 7, 0, 4, 0)
    assert row[5:8] == pytest.approx((5 / 13, 1 / 13, 6 / 13))
    assert row[11:] == pytest.approx((1 / 3, 1.2 / 3, 0.06 / 3))
    text = accuracy_text(path, AccuracyQuery("daily"), [date(2025, 6, 3)])
    assert "Measured daily forecasts of 1 days: 2025-06-03." in text
    assert "0.385" in text


def test_a_question_narrows_the_query() -> None:
    sql = accuracy_sql(AccuracyQuery("weekly", "stat-2", date(2025, 6, 1), date(2025, 6, 30), "segment"))
    for part in ("cadence = 'weekly'", "model_version = 'stat-2'", "target_date >= DATE '2025-06-01'",
                 "target_date <= DATE '2025-06-30'", "is_newest", "segment_kind"):  # fmt: skip
        assert part in sql
    assert "segment_kind = 'all'" not in sql
