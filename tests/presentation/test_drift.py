"""Retraining in words: what was trained, and what became challenger or why nothing did."""

from dataclasses import replace

from forecast_assets.operations.use_cases import RetrainingOutcome
from forecast_assets.presentation.drift import retraining_text
from tests.support.trial_cases import trial


def test_a_trial_that_began_is_told_with_its_entry_and_reason() -> None:
    begun = replace(trial(), reason="trained by rule")
    told = retraining_text(RetrainingOutcome("Nothing is due.", begun))
    assert told == "Nothing is due.\n`stat-2` is challenger (ledger entry 9): trained by rule."


def test_without_a_trial_it_is_told_why() -> None:
    told = retraining_text(RetrainingOutcome("Nothing is due.", "`auto-1` does not pass bias_is_small."))
    assert told == "Nothing is due.\nThe challenger stays: `auto-1` does not pass bias_is_small."
