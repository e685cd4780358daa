"""The stage on a store of made-up snapshots: which detector judges, what is told and recorded, and that it repeats."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from forecast_assets.core.errors import IntegrityError, LostRaceError, NotReadyError
from forecast_assets.feature_anomalies.detector_training import LEAST_TRAINING_DAYS
from forecast_assets.feature_anomalies.snapshots import restated_days, snapshots_named
from forecast_assets.feature_anomalies.stage import (
    DETECTORS_PRODUCT,
    AnomalyContext,
    _detector_name,
    due_detector,
    judge_snapshot,
    judged_rows,
    record_judged_snapshot,
    require_judgeable,
    train_on_snapshots,
)
from forecast_assets.operations.feature_anomalies import anomaly_detectors, anomaly_report
from forecast_assets.presentation.feature_anomalies import anomaly_page, anomaly_text, detectors_text
from resources.ledger.entries.anomalies import AnomalyRecord, AnomalyRecords
from resources.ledger.entries.backlog import Backlog
from resources.stores.anomaly_records import record_detector
from resources.stores.home import Stores, open_stores
from tests.support import ledger_cases
from tests.support.snapshot_cases import LAST, STOCK, Fault, stage, stage_days, swapped, times

SIGNAL = "series/inventory_positions/anomaly_share/anomalous/all"
DAY = timedelta(days=1)


def judge(stores: Stores, day: date) -> AnomalyRecord:
    context = AnomalyContext(stores, day)
    since = context.newest_entry()
    result = judge_snapshot(context, due_detector(context))
    return record_judged_snapshot(context, context.write(result), result, since=since)[0]


def next_day(stores: Stores, day: date, fault: Fault | None = None) -> AnomalyRecord:
    stage(stores, day) if fault is None else stage(stores, day, fault)
    return judge(stores, day)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """A usual day, products whose stock is ten times as much, two days of swapped stores, and a usual day."""
    made = open_stores(tmp_path_factory.mktemp("anomalies") / "store")
    stage_days(made, 36)
    judge(made, LAST)
    next_day(made, LAST + DAY, times("on_hand_units", 10))
    next_day(made, LAST + 2 * DAY, swapped())
    next_day(made, LAST + 3 * DAY, swapped())
    next_day(made, LAST + 4 * DAY)
    return made


def records(stores: Stores) -> list[AnomalyRecord]:
    by_day = stores.ledger.state().part(AnomalyRecords).by_day
    return [by_day[day][-1] for day in sorted(by_day)]


def damaged(*_: object) -> None:
    raise IntegrityError("a manifest is not as it was", remedy="restore it")


def test_a_usual_day_has_few_anomalies_and_no_signal(judged: Stores) -> None:
    usual = records(judged)[0]
    assert usual.judged == 36
    assert usual.anomalous <= 2
    assert not usual.told


def test_ten_times_the_stock_is_found_with_what_decided(judged: Stores) -> None:
    rows = anomaly_report(judged, LAST + DAY).rows
    hit = rows.filter(rows["sku_id"].is_in(["P03", "P07"]))
    assert hit["verdict"].to_list() == ["anomalous"] * 6
    assert {inputs.split(";")[0] for inputs in hit["inputs"]} == {"on_hand_units"}
    assert hit["feed"].unique().to_list() == ["inventory_positions"]
    assert (hit["value"] > 3 * hit["usual_value"]).all()
    usual = rows.filter(rows["verdict"] == "as usual")
    assert usual["inputs"].null_count() == usual["value"].null_count() == usual.height
    assert usual["score"].max() <= usual["threshold"][0] < hit["score"].min()


def test_a_fault_of_a_feed_opens_one_item_that_stays_told_until_the_feed_is_as_before(judged: Stores) -> None:
    found = records(judged)
    opened = [each for each in found if each.opened]
    assert [signal.signal for each in opened for signal in each.opened] == [SIGNAL]
    assert [SIGNAL in each.told for each in found] == [False, True, True, True, False]
    assert found[3].anomalous >= 20, "a swap is no more usual on its second day"
    assert found[4].closed == (SIGNAL,)
    (item,) = judged.ledger.state().part(Backlog).newest.values()
    assert (item.status, item.is_present) == ("open", False)


def test_the_report_and_the_detector_follow_from_what_their_manifests_name(judged: Stores) -> None:
    report = judged.predictions.version(records(judged)[2].product_version)
    assert judged_rows(judged, report.inputs).equals(judged.predictions.read(report))
    (record,) = anomaly_detectors(judged)
    made = judged.predictions.version(report.inputs[DETECTORS_PRODUCT])
    first = date.fromisoformat(made.facts["first_day"])
    again = train_on_snapshots(judged, snapshots_named(judged, made.inputs), first, name=record.detector).model
    assert again.to_bytes(".skops") == judged.predictions.read_bytes(made)
    assert (again.threshold, again.data_sha256) == (record.threshold, record.data_sha256)


def test_a_day_that_is_judged_again_is_not_recorded_again_and_an_earlier_one_opens_nothing(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    stage_days(stores, 36)
    first = judge(stores, LAST)
    assert judge(stores, LAST).sequence == first.sequence
    stage(stores, LAST - DAY, swapped())
    earlier = judge(stores, LAST - DAY)
    assert earlier.told
    assert earlier.opened == ()
    context = AnomalyContext(stores, LAST - 2 * DAY)
    result = judge_snapshot(context, due_detector(context))
    with pytest.raises(LostRaceError, match="judged the series"):
        record_judged_snapshot(context, context.write(result), result, since=first.sequence)


def test_a_day_that_was_put_right_is_judged_again_and_the_newest_verdict_counts(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    stage_days(stores, 18, LAST - DAY)
    wrong = next_day(stores, LAST, swapped())
    assert wrong.told == (SIGNAL,)
    assert restated_days(stores, [LAST - DAY, LAST]) == []
    stage(stores, LAST)
    assert restated_days(stores, [LAST - DAY, LAST]) == [LAST]
    right = judge(stores, LAST)
    assert (right.told, right.closed) == ((), (SIGNAL,))
    assert restated_days(stores, [LAST]) == []
    state = stores.ledger.state()
    assert state.part(AnomalyRecords).by_day[LAST] == [wrong, right]
    assert anomaly_report(stores, LAST).record == right
    assert not state.part(Backlog).present
    assert stores.predictions.read(stores.predictions.version(wrong.product_version)).height == 36, "it stays readable"


def test_what_only_an_earlier_day_told_is_told_no_more_once_that_day_is_put_right(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    stage_days(stores, 18, LAST - 2 * DAY)
    next_day(stores, LAST - DAY, swapped())
    unknown = next_day(stores, LAST, without_stock)
    assert (unknown.told, unknown.closed) == ((), ()), "of a feed that is not there nobody knows"
    stage(stores, LAST - DAY)
    assert judge(stores, LAST - DAY).closed == (SIGNAL,)
    assert not stores.ledger.state().part(Backlog).present


def test_what_a_later_day_tells_too_stays_told_when_an_earlier_day_is_put_right(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    stage_days(stores, 18, LAST - 2 * DAY)
    next_day(stores, LAST - DAY, swapped())
    assert next_day(stores, LAST, swapped()).told == (SIGNAL,)
    stage(stores, LAST - DAY)
    assert judge(stores, LAST - DAY).closed == ()
    assert set(stores.ledger.state().part(Backlog).present) == {SIGNAL}


def test_a_snapshot_of_other_bytes_with_the_same_numbers_is_recorded_so_that_it_is_judged_once(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    stage_days(stores, 18)
    first = judge(stores, LAST)
    stage(stores, LAST, lambda rows: rows.with_columns(pl.col("age_days") + 1))
    assert restated_days(stores, [LAST]) == [LAST]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("forecast_assets.feature_anomalies.snapshots.judged_bytes", damaged)
        assert restated_days(stores, [LAST]) == [], "what cannot be read is left out, and holds up no other"
    second = judge(stores, LAST)
    assert (second.numbers, second.sequence > first.sequence) == (first.numbers, True)
    assert restated_days(stores, [LAST]) == []
    assert judge(stores, LAST) == second


def without_stock(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in STOCK)


def test_a_name_that_is_taken_is_refused_before_it_is_written(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    ledger_cases.anomalies(stores)
    (known,) = anomaly_detectors(stores)
    other = replace(known, model="1" * 64)
    with pytest.raises(LostRaceError, match="name of another detector"):
        record_detector(stores.predictions, other, since=known.sequence)
    later = replace(other, detector="one-class-svm-later")
    assert record_detector(stores.predictions, later, since=known.sequence)[1]
    assert record_detector(stores.predictions, known, since=known.sequence) == (known, False)
    assert [each.model for each in anomaly_detectors(open_stores(tmp_path / "store"))] == [later.model, known.model]


def test_a_detector_that_is_trained_from_other_snapshots_or_by_other_libraries_has_another_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = _detector_name(LAST, {"feature_snapshots 2025-06-29": "1"})
    assert name.startswith(f"one-class-svm-{LAST}-")
    assert name == _detector_name(LAST, {"feature_snapshots 2025-06-29": "1"})
    assert name != _detector_name(LAST, {"feature_snapshots 2025-06-29": "2"})
    monkeypatch.setattr("forecast_assets.feature_anomalies.stage.library_versions", lambda: {"numpy": "0"})
    assert name != _detector_name(LAST, {"feature_snapshots 2025-06-29": "1"})


def test_a_detector_has_never_seen_the_day_and_is_replaced_when_it_is_old(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    stage_days(stores, 66)
    old = due_detector(AnomalyContext(stores, LAST - timedelta(days=30)))
    assert old.cutoff == LAST - timedelta(days=31)
    assert due_detector(AnomalyContext(stores, LAST, retraining_weeks=0)).detector == old.detector
    assert due_detector(AnomalyContext(stores, LAST - timedelta(days=3))).detector == old.detector
    new = due_detector(AnomalyContext(stores, LAST))
    assert (new.cutoff, len(anomaly_detectors(stores))) == (LAST - DAY, 2)
    assert due_detector(AnomalyContext(stores, LAST - timedelta(days=5))).detector == old.detector, "no hindsight"
    assert 0 <= new.held_back_rate < 0.05
    assert "one-class-svm-2025-06-29" in detectors_text(anomaly_detectors(stores))


def test_too_few_snapshots_are_told_with_what_to_do(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    stage_days(stores, 6)
    for ask in (lambda: require_judgeable(stores, LAST), lambda: due_detector(AnomalyContext(stores, LAST))):
        with pytest.raises(NotReadyError, match=r"there are (5|0)") as told:
            ask()
        assert "earlier" in str(told.value.remedy)
    stage_days(stores, 12)
    with pytest.raises(NotReadyError, match=f"needs {LEAST_TRAINING_DAYS} snapshots with others before them"):
        require_judgeable(stores, LAST)
    stage_days(stores, 16)
    require_judgeable(stores, LAST)
    assert judge(stores, LAST).judged == 36


def test_a_day_that_was_not_judged_says_so(judged: Stores) -> None:
    with pytest.raises(NotReadyError, match="have not been judged"):
        anomaly_report(judged, date(2025, 1, 1))


def test_words_and_the_page_say_which_series_and_why(judged: Stores) -> None:
    report = anomaly_report(judged, LAST + 3 * DAY)
    said = anomaly_text(report)
    assert SIGNAL in said
    assert "order_up_to_units" in said
    assert f"and {report.record.anomalous - 10} more; --all lists them." in said
    assert "more; --all" not in anomaly_text(report, shows_all=True)
    assert f"Told no more: {SIGNAL}" in anomaly_text(anomaly_report(judged, LAST + 4 * DAY))
    page = anomaly_page(report)
    assert "<img" in page
    assert "one-class-svm-2025-06-29" in page
    assert "72%" in page
