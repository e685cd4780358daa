"""The stage that judges a day's inputs and the errors of forecasts, and the record of it.

What belongs here: from a day to its stored report, which signals open and close, and recording both. What does not:
detectors, or Dagster.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import AS_USUAL, BROKEN, DRIFT_REPORTS, TOO_LITTLE_HISTORY
from forecast_assets.drift.daily_figures import ALL_STORES
from forecast_assets.drift.features import judge_features
from forecast_assets.drift.forecast_errors import judge_forecasts
from forecast_assets.drift.inputs import (
    ERROR_DAYS,
    DriftInputs,
    find_inputs,
    read_feeds,
    read_measurements,
)
from forecast_assets.drift.judging import DriftJudgement, judge_figures
from forecast_assets.drift.profiles import LONGEST_DAYS, PROFILES, Match, first_needed, match_stores
from forecast_assets.drift.signals import opened_and_closed_by, signals_of
from forecast_assets.history import History
from forecast_assets.scoring.stage import StageResult, Summary
from resources.ledger.entries.backlog import Backlog
from resources.ledger.entries.drift import DriftRecord, DriftRecords
from resources.ledger.entries.judged_days import Signal
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

PRODUCT = DRIFT_REPORTS.name
STORE_NAMES: Final = "store_names"


@dataclass(frozen=True)
class DriftContext:
    """The day that is to be judged.

    Attributes:
        stores: Where everything is.
        prediction_date: The day.
    """

    stores: Stores
    prediction_date: date

    def write(self, result: StageResult) -> ProductVersion:
        """Store the report."""
        day = self.prediction_date
        return self.stores.predictions.write(
            DRIFT_REPORTS,
            result.rows,
            key=day,
            folder=f"{PRODUCT}/prediction_date={day}",
            inputs=result.inputs,
            facts=result.facts,
        )

    def newest_entry(self) -> int:
        """Return the ledger entry of the newest judgement of any day; 0 if there is none."""
        newest = self.stores.ledger.state().part(DriftRecords).newest
        return 0 if newest is None else newest.sequence


def judge_day(context: DriftContext) -> StageResult:
    """Judge the inputs of a day and the errors of forecasts up to it.

    Raises:
        NotStagedError: If the day has no snapshot.
    """
    stores, day = context.stores, context.prediction_date
    inputs = find_inputs(stores, day)
    swapped = swapped_since(stores.ledger.state().part(DriftRecords), day)
    judgements = [
        *_judged_feeds(History.of(inputs.snapshot, stores.observations), swapped),
        *_judged_features(stores, inputs),
        *_judged_forecasts(stores, inputs),
    ]
    # Measurements have entries of their own, which keep them: to name each run behind them again would take long.
    known_until, measurements = inputs.snapshot.facts["known_until"], [*inputs.measurements]
    facts: dict[str, Any] = {"known_until": known_until, "measurements": measurements}
    if swapped:
        facts["names_told_since"] = {feed: since.isoformat() for feed, since in swapped.items()}
    return StageResult(
        {PRODUCT: report_rows(judgements, day)}, inputs.versions, facts, lambda: _summary(judgements, day)
    )


def swapped_since(records: DriftRecords, day: date) -> dict[str, date]:
    """Return from when on stores go by each other's names, by feed, where that was told when the day came."""
    told = [
        (each.called.name, date.fromisoformat(each.since))
        for each in records.open_before(day).values()
        if each.called.subject == "feed" and each.called.figure == STORE_NAMES
    ]
    return {feed: since for feed, since in told if (day - since).days < LONGEST_DAYS}


def _judged_feeds(history: History, swapped: Mapping[str, date]) -> list[DriftJudgement]:
    figures, calendars = read_feeds(history)
    day, named = history.cutoff, []
    for feed in PROFILES:
        since = swapped.get(feed)
        rows = history.feed(feed, since=first_needed(feed, since or day))
        match = None if rows is None else match_stores(feed, rows, day, since)
        if match is not None:
            named += judge_names(feed, match, since or day)
    return [*judge_figures(figures, calendars), *named]


def judge_names(feed: str, match: Match, day: date) -> list[DriftJudgement]:
    """Return whether stores go by each other's names, from a day on: one judgement over all, or of each that does."""
    return [
        DriftJudgement(
            "feed", feed, STORE_NAMES, scope, "gain", BROKEN if match.stores else AS_USUAL,
            value=match.gain, expected=match.usual, deviation=match.gain - match.usual, spread=None,
            statistic=match.gain, threshold=match.threshold, since=day if match.stores else None,
            size=match.gain if match.stores else None,
        )
        for scope in match.stores or (ALL_STORES,)
    ]  # fmt: skip


def _judged_features(stores: Stores, inputs: DriftInputs) -> list[DriftJudgement]:
    if inputs.training_snapshot is None:
        return []
    now, then = (
        stores.predictions.read(version)
        for version in (inputs.snapshot, stores.predictions.version(inputs.training_snapshot))
    )
    return judge_features(now, then, inputs.prediction_date)


def _judged_forecasts(stores: Stores, inputs: DriftInputs) -> list[DriftJudgement]:
    measured = read_measurements(stores, inputs.measurements)
    day = inputs.prediction_date
    return [] if measured is None else judge_forecasts(measured, since=day - timedelta(days=ERROR_DAYS - 1), until=day)


def report_rows(judgements: Sequence[DriftJudgement], day: date) -> pl.DataFrame:
    """Return judgements as rows of contract `drift_reports`."""
    rows = [{"prediction_date": day, **asdict(each)} for each in judgements]
    return DRIFT_REPORTS.conform(pl.DataFrame(rows, schema=DRIFT_REPORTS.schema)).sort(DRIFT_REPORTS.key)


def judgements_of(rows: pl.DataFrame) -> list[DriftJudgement]:
    """Return the judgements that a report says."""
    names = [each.name for each in fields(DriftJudgement)]
    return [DriftJudgement(**row) for row in rows.select(names).to_dicts()]


def record_judgement(
    context: DriftContext, version: ProductVersion, result: StageResult, *, since: int
) -> tuple[DriftRecord, bool]:
    """Record a day's report with what opened and what is told no more, unless the day's newest one says the same.

    A day before the newest that was judged opens and closes nothing: what was true then is not true now.

    Args:
        context: The day.
        version: The stored report.
        result: What it was stored from.
        since: The newest entry when the inputs were read.

    Returns:
        The day's newest judgement, and whether this call recorded it.

    Raises:
        LostRaceError: If another process recorded a judgement in between.
    """
    state = context.stores.ledger.state()
    newest = state.part(DriftRecords)
    opened: tuple[Signal, ...] = ()
    closed: tuple[str, ...] = ()
    if all(day <= context.prediction_date for day in newest.by_day):
        judgements = judgements_of(result.rows)
        told = signals_of(judgements, context.prediction_date)
        opened, closed = opened_and_closed_by(judgements, told, state.part(Backlog).present)
    record = DriftRecord(
        context.prediction_date, version.version, version.files[0].sha256, version.facts["known_until"], opened, closed
    )
    return context.stores.predictions.record_drift(record, since=since)


def _summary(judgements: Sequence[DriftJudgement], day: date) -> Summary:
    told = signals_of(judgements, day)
    unknown = sum(each.verdict == TOO_LITTLE_HISTORY for each in judgements)
    return {
        "signals": len(told),
        "too_little_history": unknown,
        "what_is_told": pl.DataFrame(
            {"signal": [one.signal for one in told], "since": [one.since for one in told],
             "evidence": [one.evidence for one in told]},
            schema={"signal": pl.String, "since": pl.String, "evidence": pl.String},
        ),
    }  # fmt: skip
