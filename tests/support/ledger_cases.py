"""Ledger entries: of one kind, as many as wanted, and a store with every kind, each made by the real code."""

import os
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from forecast_assets.contracts import (
    AS_USUAL,
    BACKTEST_REPORTS,
    BUSINESS_REVIEWS,
    CHANGED,
    DRIFT_REPORTS,
    FEATURE_ANOMALIES,
    FORECAST_ACCURACY,
    FORECAST_VALUE_ADDED,
    PROMOTION_GATES,
)
from forecast_assets.core.overrides import Override, Scope, override_id
from forecast_assets.core.policy import DEFAULT_POLICY
from forecast_assets.drift.judging import DriftJudgement
from forecast_assets.drift.stage import report_rows
from forecast_assets.operations.challengers import stop_challenger
from forecast_assets.operations.drift_reports import decide
from forecast_assets.operations.policies import apply_policy, propose_policy
from forecast_assets.promotion.verdicts import failed_gates, gates_frame, within
from resources.ledger.entries.anomalies import AnomalyRecord
from resources.ledger.entries.detector import DetectorRecord
from resources.ledger.entries.drift import DriftRecord, DriftRecords
from resources.ledger.entries.evaluate import BacktestRecord
from resources.ledger.entries.judge import Judgement
from resources.ledger.entries.judged_days import Signal
from resources.ledger.entries.override import OVERRIDE, OverrideRecord
from resources.ledger.entries.override_decision import OVERRIDE_DECISION, OverrideDecision
from resources.ledger.entries.review import ProposedChange, WeekReview, WeekReviews
from resources.ledger.log import Entry, Ledger
from resources.ledger.state import LedgerState
from resources.maintenance.vacuuming import vacuum_store
from resources.store.blobs import sha256
from resources.store.manifests import ProductVersion
from resources.stores.anomaly_records import record_anomalies, record_detector
from resources.stores.home import Stores
from tests.support import products
from tests.support.store_cases import CUTOFF, ingest, publish, register, run_key
from tests.support.trial_cases import Said, assigned, begin, both, judged, measured
from tests.support.value_cases import value_frame, value_row

LEFTOVER = b"of a run that was killed"
MONTH = timedelta(days=30)
SIGNAL = Signal(
    "feed/sales/sales_units/changed/all", "2025-01-02", 0.182322, "sales_units of sales changed over all stores"
)


TIGHTER = ProposedChange("gates.largest_bias", 0.1, 0.05, "none of the newest 5 versions came nearer than 0.01 to 0.1")


def admit_all(state: LedgerState) -> None:
    assert state is not None


def promote(ledger: Ledger, name: str, admit: Callable[[LedgerState], None] = admit_all) -> Entry:
    """Append the smallest of entries, whether or not there is such a version."""
    return ledger.append(
        "promote", {"channel": "champion", "model_version": name, "by": "ana", "reason": "test"}, admit
    )


def every_kind(stores: Stores) -> None:
    """Make an entry of every kind, and of some of them those that undo it."""
    ingest(stores)
    apply_policy(stores.ledger, propose_policy(stores.ledger, {"gates.largest_bias": 0.08}), by="ana", reason="costs")
    register(stores, gates={"backtest_beats_seasonal_naive": True})
    register(stores, "stat-2", gates={"backtest_beats_seasonal_naive": True})
    stores.registry.promote("stat-1", by="ana", reason="the first")
    stores.registry.promote("stat-2", by="ana", reason="better in backtests")
    stores.registry.rollback(by="ben", reason="worse on promotions")
    stores.registry.retire("stat-2", by="ben", reason="worse on promotions")
    stores.registry.retire("stat-2", by="ana", reason="to be compared", serves_again=True)
    publish(stores, run_key(), units=4)
    publish(stores, run_key(1), units=5)
    publish(stores, run_key(revision=1), units=9)
    measure(stores)
    record_backtest(stores)
    record_judgement(stores)
    trials(stores)
    judge(stores, told=(SIGNAL,))
    decide(stores.registry, 1, "acknowledged", by="ana", reason="asked the price team")
    judge(stores, date(2025, 1, 6), closed=(SIGNAL.signal,))
    decide(stores.registry, 1, "closed", by="ana", reason="a sale")
    anomalies(stores)
    review(stores)
    overrides(stores)
    taken = stores.observations.batches()[0].batch_id
    stores.observations.retract(taken, by="ana", reason="another store's file")
    stores.observations.retract(taken, by="ana", reason="it was right", counts_again=True)
    vacuum(stores)


def overrides(stores: Stores, **facts: Any) -> OverrideRecord:
    """Record two overrides that wait for approval; approve one and reject the other."""
    days = CUTOFF + timedelta(days=2), CUTOFF + timedelta(days=3)
    said = (
        Override(Scope.of(sku="A"), *days, "percent", "20", "event", "local festival"),
        Override(Scope.of(sku="B", store="S"), *days, "zero", "", "delisted", expires_on=days[1]),
    )
    record = OverrideRecord(
        **{"overrides": said, "by": "ana", "observed_until": CUTOFF, "needs_approval": True, **facts}
    )
    recorded = OVERRIDE.read(stores.ledger.append(OVERRIDE.name, OVERRIDE.body(record)))
    if record.needs_approval:
        for number, status in enumerate(("approved", "rejected"), start=1):
            said_of = OverrideDecision(status, (override_id(recorded.sequence, number),), "ben", "asked the store")
            stores.ledger.append(OVERRIDE_DECISION.name, OVERRIDE_DECISION.body(said_of))
    return recorded


def trials(stores: Stores) -> None:
    """Set a challenger, assign the stores of a date, measure, judge and stop."""
    begin(stores, share=0.2)
    assigned(stores, CUTOFF + timedelta(days=1))
    measured(stores, date(2025, 1, 6), both(Said(), Said(95.0)))
    judged(stores)
    stop_challenger(stores.registry, "daily", by="ben", reason="worse in fresh food")


def measure(stores: Stores, since: int = 0) -> None:
    """Measure a day of three runs, some forecasts of which were overridden."""
    frames = {FORECAST_ACCURACY: products.make_accuracy(), FORECAST_VALUE_ADDED: value_frame([value_row()])}
    made, value = (
        stores.predictions.write(
            contract, frame, key="daily-2025-01-05", folder="accuracy/cadence=daily/target_date=2025-01-05", inputs={},
            facts={"known_until": "2025-01-06T06:00:00+00:00", "runs": 3},
        )
        for contract, frame in frames.items()
    )  # fmt: skip
    stores.predictions.accept(made.version, "sums_agree")
    stores.predictions.accept(value.version, "moves_agree")
    stores.predictions.record_measurement(
        "daily", date(2025, 1, 5), made, since=since, required_checks=["sums_agree"], value=value,
        value_checks=["moves_agree"],
    )  # fmt: skip


def judge(
    stores: Stores,
    day: date = date(2025, 1, 5),
    told: tuple[Signal, ...] = (),
    closed: tuple[str, ...] = (),
    since: int | None = None,
    snapshot: str = "",
) -> tuple[DriftRecord, bool]:
    """Record what a day's inputs were found to be."""
    rows = report_rows([judgement(verdict=CHANGED if told else AS_USUAL)], day)
    made = stores.predictions.write(
        DRIFT_REPORTS, rows, key=day, folder=f"drift_reports/prediction_date={day}",
        inputs={"feature_snapshots": snapshot} if snapshot else {},
        facts={"known_until": f"{day}T06:00:00+00:00"},
    )  # fmt: skip
    newest = stores.ledger.state().part(DriftRecords).newest
    seen = (0 if newest is None else newest.sequence) if since is None else since
    record = DriftRecord(
        day, made.version, made.files[0].sha256, made.facts["known_until"], told, closed
    )  # fmt: skip
    return stores.predictions.record_drift(record, since=seen)


def anomalies(stores: Stores, told: tuple[Signal, ...] = ()) -> AnomalyRecord:
    """Record a detector, and what it says of the series of a day."""
    name, day = "one-class-svm-2025-01-04", date(2025, 1, 5)
    content = b"a detector"
    detector = stores.predictions.write_bytes(
        "anomaly_detectors", content, key=name, path=f"anomaly_detectors/detector={name}/{sha256(content)}.skops",
        rows=0, schema="", inputs={}, facts={},
    )  # fmt: skip
    record_detector(
        stores.predictions,
        DetectorRecord(
            name, "one-class-svm", date(2024, 12, 8), date(2025, 1, 4), detector.version, detector.files[0].sha256,
            ("sales_farthest", "sales_mean"), 756, 252, 7, 1.25, 0.01, 0.012, "0" * 64, "b9d5340ec39c",
            {"numpy": "2.0.0"},
        ),
        since=0,
    )  # fmt: skip
    made = stores.predictions.write(
        FEATURE_ANOMALIES, products.make_anomalies(day, name), key=day,
        folder=f"feature_anomalies/prediction_date={day}", inputs={"anomaly_detectors": detector.version},
        facts={"known_until": f"{day}T06:00:00+00:00"},
    )  # fmt: skip
    record = AnomalyRecord(
        day, made.version, made.files[0].sha256, made.facts["known_until"], name, 1, 1, told, (),
        tuple(each.signal for each in told),
    )  # fmt: skip
    return record_anomalies(stores.predictions, record, since=0)[0]


def judgement(**facts: Any) -> DriftJudgement:
    """Return what is found of the units sold over all stores."""
    usual = {
        "subject": "feed", "name": "sales", "figure": "sales_units", "scope": "all", "scale": "log",
        "verdict": AS_USUAL, "value": 6.2, "expected": 6.0, "deviation": 0.2, "spread": 0.04, "statistic": 0.3,
        "threshold": 0.2, "since": None,
    }  # fmt: skip
    return DriftJudgement(**{**usual, **facts})


def review(stores: Stores, proposals: tuple[ProposedChange, ...] = (TIGHTER,), figure: float = 0.25) -> WeekReview:
    """Record a review of one figure of a week, with what it proposes."""
    made = stores.predictions.write(
        BUSINESS_REVIEWS, products.make_review(figure), key="daily/2025-W01",
        folder="business_reviews/cadence=daily/week=2025-W01", inputs={},
        facts={"known_until": "2025-01-06T06:00:00+00:00"},
    )  # fmt: skip
    newest = stores.ledger.state().part(WeekReviews).newest("daily", "2025-W01")
    said = WeekReview(
        "daily", "2025-W01", made.version, made.files[0].sha256, made.facts["known_until"], DEFAULT_POLICY.version,
        proposals,
    )  # fmt: skip
    return stores.predictions.record_review(said, since=0 if newest is None else newest.sequence)[0]


def report(stores: Stores, version: str = "stat-1", wape: float = 0.25) -> ProductVersion:
    """Write the report of a backtest that is not recorded yet."""
    return stores.predictions.write(
        BACKTEST_REPORTS, products.make_backtests(version, wape), key=version,
        folder=f"backtest_reports/model_version={version}",
        inputs={"model_artifacts": stores.registry.model_version(version).artifact}, facts={},
    )  # fmt: skip


def record_backtest(stores: Stores, version: str = "stat-1", wape: float = 0.25) -> tuple[BacktestRecord, bool]:
    """Record a backtest of a version at one past cutoff."""
    made = report(stores, version, wape)
    method = {"cutoff": "2025-01-01", "method": "version", "model_version": version, "family": "statistical",
              "is_recipe": False, "artifact": made.inputs["model_artifacts"], "forecasts": "0" * 64}  # fmt: skip
    body = {"model_version": version, "cadence": "daily", "forecast_horizon": 7, "cutoffs": ["2025-01-01"],
            "methods": [method], "known_until": "2025-01-09T06:00:00+00:00"}  # fmt: skip
    return stores.predictions.record_backtest(made, body)


def record_judgement(
    stores: Stores, version: str = "stat-1", *failed: str, policy: str = DEFAULT_POLICY.version, against: str = ""
) -> tuple[Judgement, bool]:
    """Record what a version shows at two gates, and that it fails some."""
    verdicts = [
        within("lineage_is_complete", 0.0, "the version", highest=0.0),
        within("bias_is_small", 0.02, "the evaluation report", margin=0.01, lowest=-0.1, highest=0.1),
        *(within(gate, 2.0, "a test", highest=1.0) for gate in failed),
    ]
    made = stores.predictions.write(
        PROMOTION_GATES,
        gates_frame(verdicts, model_version=version, cadence="daily", policy=policy, overridable=()),
        key=f"daily/{version}", folder=f"promotion_gates/model_version={version}",
        inputs={"model_artifacts": stores.registry.model_version(version).artifact}, facts={},
    )  # fmt: skip
    soundness, merit = failed_gates(verdicts, "soundness"), failed_gates(verdicts, "merit")
    judged = Judgement(version, "daily", policy, against, made.version, made.files[0].sha256, soundness, merit)
    return stores.predictions.record_judgement(made, judged)


def vacuum(stores: Stores) -> None:
    """Remove the one file that no entry names: it is a month old."""
    path = f"predictions/forecasts/{sha256(LEFTOVER)}.parquet"
    stores.blobs.create(path, LEFTOVER)
    file = stores.blobs.local(path)
    written = file.stat().st_mtime - MONTH.total_seconds()
    os.utime(file, (written, written))
    removed = vacuum_store(stores.blobs, stores.ledger, by="ops")
    assert [blob.path for blob in removed.files] == [path]
