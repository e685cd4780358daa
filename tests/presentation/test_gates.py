"""Each gate in a sentence, and what a version may do."""

from datetime import date

import polars as pl
import pytest

from forecast_assets.models.gates import backtest_gates
from forecast_assets.presentation.gates import gates_text
from resources.ledger.entries.register import VersionRecord
from tests.models.test_gates import BEATS, BIAS, NOT_WORSE, TOTAL, made_up


def text_of(report: pl.DataFrame, gates: dict[str, bool] | None = None) -> str:
    record = VersionRecord(
        model_version="stat-1", family="statistical", cutoff=date(2025, 6, 30), artifact="", evaluation_report="",
        training_run_id="", training_snapshot="", feature_version="",
        gates=backtest_gates(report) if gates is None else gates, sequence=1, recorded_at="",
    )  # fmt: skip
    return gates_text(record, report)


def test_a_sentence_has_verdict_figure_margin_and_limits() -> None:
    lines = text_of(made_up(0.61, 0.6, -0.114, 0.8, 0.02)).splitlines()
    assert lines[0] == "Gates"
    assert (
        f"{NOT_WORSE}: passed; WAPE less that of seasonal naive is 1.0%, 2.0% more or less by chance, "
        "and at most 0.0% is asked for"
    ) in lines
    assert (
        f"{BEATS}: not met: serves under its own name only; WAPE less that of seasonal naive is 1.0%, "
        "and at most 0.0% is asked for"
    ) in lines
    assert f"{BIAS}: passed; bias is -11.4%, 2.0% more or less by chance, and -10.0% to 10.0% is asked for" in lines
    assert lines[-1] == "`stat-1` may serve under its own name; channels stay closed to it."


@pytest.mark.parametrize(
    ("report", "conclusion"),
    [
        (made_up(0.5, 0.6, 0.0, 0.8, 0.02), "may serve under its own name, and a channel may point at it."),
        (made_up(0.9, 0.6, 0.0, 0.8, 0.02), "may serve nothing: it is not validated."),
    ],
)
def test_the_last_line_says_what_a_version_may_do(report: pl.DataFrame, conclusion: str) -> None:
    assert text_of(report).endswith(conclusion)


def test_what_was_decided_stands_whatever_the_gates_of_today_say() -> None:
    report = made_up(0.5, 0.6, 0.5, 0.8, None).drop("gate_margin")
    text = text_of(report, {"bias_within_10_percent": False, "wape_beats_seasonal_naive": True, TOTAL: True})
    assert "bias_within_10_percent: FAILED\n" in text
    assert "wape_beats_seasonal_naive: passed\n" in text
    assert text.endswith("may serve nothing: it is not validated.")
