"""What labels say of a detector, against figures worked out by hand."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from forecast_assets.anomalies import evaluation, tables
from forecast_assets.anomalies.evaluation import DetectorReport, judged_detector
from forecast_assets.anomalies.tables import CHUNK, open_table
from forecast_assets.anomalies.training import DetectorRequest, train_detector
from tests.support.anomaly_cases import FEATURES, usual_table, with_faults

REQUEST = DetectorRequest("isolation-forest", "m", FEATURES, label="fault", unit="machine", time="at")


def judged(folder: Path, table: pl.DataFrame, request: DetectorRequest = REQUEST) -> DetectorReport:
    table.write_csv(folder / "a.csv")
    opened = open_table(folder / "a.csv")
    trained = train_detector(opened, request, data_sha256="0", trained_at="2026-01-01T00:00:00+00:00")
    return judged_detector(opened, trained, request)


def test_a_growing_fault_is_told_apart_and_found_before_the_failure(tmp_path: Path) -> None:
    report = judged(tmp_path, with_faults(usual_table(800)))
    assert (report.usual_rows, report.fault_rows, report.time_unit) == (152, 40, "hours")
    assert report.auc is not None
    assert report.auc > 0.9
    assert report.recall is not None
    assert report.recall > 0.5
    assert report.false_alarm_rate is not None
    assert report.false_alarm_rate < 0.04
    assert [each.unit for each in report.units] == ["001", "002"]
    for unit in report.units:
        assert unit.fault_rows == 20
        assert unit.delay is not None
        assert unit.lead_time is not None
        # From the first to the last row of the fault of a machine, a row every two minutes.
        assert unit.delay + unit.lead_time == pytest.approx(19 * 2 / 60)
        assert unit.lead_time > 0.2


def test_figures_follow_from_scores_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = with_faults(usual_table(100), rows=5)
    table.write_csv(tmp_path / "a.csv")
    opened = open_table(tmp_path / "a.csv")
    request = replace(REQUEST, unit=None, time=None, false_alarm_rate=0.1)
    trained = train_detector(opened, request, data_sha256="0", trained_at="2026-01-01T00:00:00+00:00")
    trained = replace(trained, learned=np.arange(90), model=replace(trained.model, threshold=2.0))
    rows = pl.DataFrame(
        {
            "score": [9.0] * 90 + [0, 1, 2, 3, 1, 1, 2, 5, 1, 4],
            "is_fault": [False] * 90 + [False] * 4 + [None] + [True] * 5,
            "unit": [""] * 100,
            "time": [float(row) for row in range(100)],
        }
    )
    monkeypatch.setattr(evaluation, "_judged_rows", lambda *_: rows)
    report = judged_detector(opened, trained, request)
    assert (report.usual_rows, report.fault_rows) == (4, 5)
    # Alarms are 3 of the usual rows and 5 and 4 of the faults.
    assert (report.precision, report.recall, report.false_alarm_rate) == (2 / 3, 2 / 5, 1 / 4)
    # Pairs of a fault and a usual row: 1 beats 0 and ties 1, 2 beats 0 and 1 and ties 2, 5 and 4 beat all.
    assert report.auc == pytest.approx((1.5 + 2.5 + 4 + 1.5 + 4) / 20)
    (unit,) = report.units
    assert (unit.alarms, unit.delay, unit.lead_time, report.time_unit) == (2, 2.0, 2.0, "rows")


def test_what_there_is_nothing_to_say_of_is_left_open(tmp_path: Path) -> None:
    table = usual_table(200).with_columns(fault=0, run=pl.int_range(200))
    report = judged(tmp_path, table, replace(REQUEST, time="run"))
    assert (report.auc, report.recall, report.units, report.fault_rows) == (None, None, (), 0)
    assert report.time_unit == "of `run`"


def test_without_names_of_units_and_times_rows_are_counted(tmp_path: Path) -> None:
    report = judged(tmp_path, with_faults(usual_table(400)), replace(REQUEST, unit=None, time=None))
    (unit,) = report.units
    assert (unit.unit, unit.fault_rows, report.time_unit) == ("", 40, "rows")
    assert unit.delay is not None
    assert unit.lead_time is not None
    assert unit.delay + unit.lead_time == 39


def test_without_a_threshold_nothing_is_an_alarm(tmp_path: Path) -> None:
    report = judged(tmp_path, with_faults(usual_table(100)), replace(REQUEST, false_alarm_rate=0.001))
    assert (report.precision, report.recall, report.false_alarm_rate) == (None, 0.0, 0.0)
    assert all(each.lead_time is None and each.alarms == 0 for each in report.units)


@pytest.mark.parametrize(("early", "late"), [("7", "7.5"), ("7", "007"), ("1", "x-7"), ("true", "yes")])
def test_a_unit_is_named_as_it_is_written_in_every_part_of_a_file(
    early: str, late: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_CELLS", 1)
    names = [early] * CHUNK + [early, late]
    fault = [1] + [0] * (CHUNK - 1) + [1, 1]
    table = usual_table(len(names)).with_columns(pl.Series("machine", names), pl.Series("fault", fault))
    assert [(each.unit, each.fault_rows) for each in judged(tmp_path, table).units] == [(early, 2), (late, 1)]


@pytest.mark.parametrize(
    ("values", "hours"),
    [
        ([time(1, 30), None], [1.5, None]),
        ([timedelta(days=1, minutes=30), None], [24.5, None]),
        ([datetime(1970, 1, 1, 2, tzinfo=UTC), None], [2.0, None]),
        ([date(1970, 1, 2), None], [24.0, None]),
    ],
)
def test_any_kind_of_time_is_hours(values: list[object], hours: list[float | None]) -> None:
    assert evaluation._times(pl.Series(values)).to_list() == hours
