"""Days, the backlog and retraining in words and on a page: what is told, and that nothing is made up."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import polars as pl

from forecast_assets.contracts import CHANGED, TOO_LITTLE_HISTORY
from forecast_assets.drift.judging import FIGURE_DAYS, DriftJudgement
from forecast_assets.drift.signals import signals_of
from forecast_assets.drift.stage import report_rows
from forecast_assets.operations.drift_reports import BacklogItem, DriftReport
from forecast_assets.operations.use_cases import RetrainingOutcome
from forecast_assets.presentation.drift import backlog_text, drift_page, drift_text, retraining_text
from resources.ledger.entries.backlog import BacklogStep
from resources.ledger.entries.drift import DriftRecord
from tests.support.drift_cases import LAST
from tests.support.ledger_cases import SIGNAL, judgement
from tests.support.trial_cases import trial


def test_a_trial_that_began_is_told_with_its_entry_and_reason() -> None:
    begun = replace(trial(), reason="trained by rule")
    told = retraining_text(RetrainingOutcome("Nothing is due.", begun))
    assert told == "Nothing is due.\n`stat-2` is challenger (ledger entry 9): trained by rule."


def test_without_a_trial_it_is_told_why() -> None:
    told = retraining_text(RetrainingOutcome("Nothing is due.", "`auto-1` does not pass bias_is_small."))
    assert told == "Nothing is due.\nThe challenger stays: `auto-1` does not pass bias_is_small."


# --- a day ---

SINCE = "2025-06-25"
ROSE = judgement(verdict=CHANGED, since=date(2025, 6, 25), size=0.1823)
UNKNOWN = judgement(scope="N", verdict=TOO_LITTLE_HISTORY, value=None, expected=None, deviation=None, spread=None)
FEATURE = judgement(
    subject="feature", name="<price>", figure="distribution", scale="psi", value=0.4, expected=None, deviation=0.4
)


def report(
    *judgements: DriftJudgement, closed: tuple[str, ...] = (), items: Mapping[str, int] | None = None
) -> DriftReport:
    told = tuple(signals_of(judgements, LAST))
    record = DriftRecord(LAST, "v", "n", "2025-07-01T06:00:00+00:00", told, closed, sequence=7)
    return DriftReport(record, report_rows(judgements, LAST), told, dict(items or {}))


def days_of(*figures: str) -> pl.DataFrame:
    rows = [
        {"feed": "sales", "figure": name, "scale": "log", "event_date": day, "value": 5.0, "expected": 5.1}
        for name in figures
        for day in (LAST, date(2025, 7, 1))
    ]
    return pl.DataFrame(rows, schema=FIGURE_DAYS)


def test_what_is_told_of_a_day_has_its_item_its_words_and_what_closed() -> None:
    gone = "feed/prices/price_level/changed/all"
    said = drift_text(report(ROSE, UNKNOWN, closed=(gone,), items={"feed/sales/sales_units/changed/all": 3}))
    first, *rest = said.splitlines()
    assert first == "2025-06-30: 1 signal in 1 figure; of 1 too little is known (ledger entry 7)."
    (row,) = (line for line in rest if "feed/sales/sales_units/changed/all" in line)
    assert row.split()[0] == "3"
    assert "2025-06-25" in row
    assert "sales_units of sales changed over all stores since 2025-06-25: +20% against what was expected" in row
    assert rest[-1] == f"Told no more: {gone}"
    assert "statistic" not in said


def test_every_figure_is_listed_on_demand_quantities_in_their_own_unit() -> None:
    said = drift_text(report(ROSE, UNKNOWN), shows_all=True)
    (row,) = (line.split() for line in said.splitlines() if line.startswith("sales") and " all " in line)
    assert row == ["sales", "sales_units", "all", "changed", "492.7", "403.4", "0.200", "0.300", "0.200", SINCE]
    (unknown,) = (line.split() for line in said.splitlines() if line.startswith("sales") and " N " in line)
    assert unknown[:3] == ["sales", "sales_units", "N"]
    assert "too" in " ".join(unknown)


def test_a_day_on_which_nothing_is_told_says_so() -> None:
    quiet = report(judgement())
    assert drift_text(quiet) == "2025-06-30: 0 signals in 1 figure (ledger entry 7)."
    page = drift_page(quiet, days_of())
    assert "<p>Nothing is told.</p>" in page
    assert "<img" not in page


def test_the_page_has_signals_pictures_and_a_table_for_each_subject_that_there_is() -> None:
    page = drift_page(
        report(ROSE, FEATURE, items={"feed/sales/sales_units/changed/all": 3}), days_of("sales_units", "rows")
    )
    assert page.startswith("<!doctype html>")
    assert "<h1>Drift on 2025-06-30</h1>" in page
    assert "+20% against what was expected" in page
    assert page.count("data:image/png;base64,") == 2
    assert ('alt="sales sales units"' in page, 'alt="sales rows"' in page) == (True, True)
    assert ("Feeds" in page, "Features against the champion&#x27;s training" in page) == (True, True)
    assert "Forecasts of the next day" not in page
    assert "&lt;price&gt;" in page
    assert "<price>" not in page


# --- the backlog ---


def step(item: int, status: str, by: str, reason: str, *, is_present: bool = True) -> BacklogStep:
    return BacklogStep(item, SIGNAL.signal, status, is_present, by, reason, item, "2025-07-01T06:00:00+00:00")


def test_items_are_listed_with_who_and_what_was_said_last() -> None:
    opened = step(2, "open", "automation", "prices rose")
    closed = BacklogItem(
        step(1, "open", "automation", "sales fell"), step(1, "closed", "ana", "a sale", is_present=False)
    )
    lines = backlog_text([BacklogItem(opened, opened), closed]).splitlines()
    assert [" ".join(line.split()) for line in lines if line[:1].isdigit()] == [
        "2 open yes prices rose automation",
        "1 closed no sales fell ana a sale",
    ]


def test_an_empty_backlog_says_so() -> None:
    assert backlog_text([]) == "The backlog is empty."
