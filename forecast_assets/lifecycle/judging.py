"""What the evidence of a trial says as of a day: the rows of it, and a decision.

What belongs here: from paired losses to evidence by target date, and from evidence and guards to one of five words.
What does not: the formulas (evidence), reading measurements, recording, or promoting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.contracts import CHALLENGER_EVIDENCE
from forecast_assets.core.arrays import Floats
from forecast_assets.lifecycle.evidence import Evidence, bounded_differences, observations, weigh
from forecast_assets.lifecycle.guards import guard_results
from forecast_assets.lifecycle.pairs import PAIRED, PairedDay, paired_days
from resources.ledger.entries.challenge import Challenge
from resources.ledger.entries.weigh import BETTER, COLLECTING, GUARDED, UNDECIDED, WORSE, GuardResult

# Days ahead that are looked at; a trial decides on one of the first two.
STEPS: Final = (1, 7, 28)
_WEEK: Final = 7


@dataclass(frozen=True)
class JudgedTrial:
    """What the evidence of a trial says.

    Attributes:
        rows: Contract `challenger_evidence`: every step, every day from the trial's first on.
        deciding: Evidence of the step that decides, as of each period that has ended.
        guards: What must not be worse.
        decision: One of `DECISIONS` of ledger entry `weigh`.
    """

    rows: pl.DataFrame
    deciding: Evidence
    guards: tuple[GuardResult, ...]
    decision: str


def judge(trial: Challenge, compared: pl.DataFrame, days: Sequence[date]) -> JudgedTrial:
    """Weigh everything that is known of a trial.

    Whatever was restated is weighed anew, and days that came late take their place by target date: what comes out
    follows from the rows alone, not from when somebody looked.

    Args:
        trial: The trial as its newest entry has it.
        compared: Rows of ``pairs.compared_rows`` of all measured days.
        days: Target dates that were measured; at least one.
    """
    pairs = {step: paired_days(compared, trial, step, days) for step in _steps(trial)}
    weighed = {step: _weighed(trial, step, each) for step, each in pairs.items()}
    deciding, _ = weighed[trial.rules.deciding_step]
    paired = [each.target_date for each in pairs[trial.rules.deciding_step] if each.no_pair == PAIRED]
    guards = guard_results(compared, trial, paired)
    rows = [row for step in pairs for row in _rows(trial, step, pairs[step], *weighed[step])]
    named = {
        "cadence": trial.cadence,
        "trial": trial.begun_by,
        "champion_version": trial.champion_version,
        "challenger_version": trial.model_version,
    }
    frame = pl.DataFrame([{**named, **row} for row in rows], schema=CHALLENGER_EVIDENCE.schema)
    return JudgedTrial(frame, deciding, guards, decision(trial, deciding, guards, max(days)))


def _steps(trial: Challenge) -> list[int]:
    return [step for step in STEPS if step <= trial.rules.forecast_horizon]


def _weighed(trial: Challenge, step: int, pairs: Sequence[PairedDay]) -> tuple[Evidence, list[date]]:
    """Return the evidence of a step, as of each period that has ended, and the last days of these."""
    ends, seen = observations([each.target_date for each in pairs], _differences(trial, pairs), step, trial.first_day)
    return weigh(seen, trial.rules.level), ends


def _differences(trial: Challenge, pairs: Sequence[PairedDay]) -> Floats:
    champion, challenger = (
        np.array([np.nan if loss is None else float(loss) for loss in losses], dtype=np.float64)
        for losses in ([each.champion_loss for each in pairs], [each.challenger_loss for each in pairs])
    )
    return bounded_differences(champion, challenger, trial.rules.bound)


def _rows(
    trial: Challenge, step: int, pairs: Sequence[PairedDay], evidence: Evidence, ends: Sequence[date]
) -> list[dict[str, Any]]:
    """Return the evidence of a step by target date: as of the newest period that has ended by then."""
    ended = {end: at for at, end in enumerate(ends)}
    rows, newest = [], -1
    for each, difference in zip(pairs, _differences(trial, pairs), strict=True):
        newest = ended.get(each.target_date, newest)
        rows.append(
            {
                "step": step,
                "is_deciding": step == trial.rules.deciding_step,
                "target_date": each.target_date,
                "champion_loss": each.champion_loss,
                "challenger_loss": each.challenger_loss,
                "no_pair": each.no_pair,
                "difference": _known(difference),
                "observation": _known(evidence.differences[newest]) if each.target_date in ended else None,
                **_as_of(evidence, newest),
            }
        )
    return rows


def _as_of(evidence: Evidence, at: int) -> dict[str, Any]:
    """Return what a number of periods say; before the first nothing is known."""
    if at < 0:
        return {
            "observations": 0, "e_value": 1.0, "mean_difference": None, "lower": -1.0, "upper": 1.0,
            "is_significant": False,
        }  # fmt: skip
    return {
        "observations": int(evidence.count[at]),
        "e_value": float(evidence.wealth[at]),
        "mean_difference": _known(evidence.mean[at]),
        "lower": float(evidence.lower[at]),
        "upper": float(evidence.upper[at]),
        "is_significant": bool(evidence.is_significant[at]),
    }


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def decision(trial: Challenge, evidence: Evidence, guards: Sequence[GuardResult], newest: date) -> str:
    """Say what follows from the evidence of the step that decides.

    A challenger that is worse, by the same bet the other way round, is told as soon as that is shown, also if it was
    better before. That one is better is told once the least period is over, and as many weeks of it are known.

    Args:
        trial: The rules.
        evidence: Of the step that decides.
        guards: What must not be worse.
        newest: Newest day that was measured.
    """
    if weigh(-evidence.differences, trial.rules.level).is_significant[-1:].any():
        return WORSE
    ends = trial.first_day + timedelta(days=trial.rules.least_days - 1)
    known = int(evidence.count[-1]) if len(evidence.count) else 0
    if newest < ends or known < trial.rules.least_days // _WEEK:
        return COLLECTING
    if not evidence.is_significant[-1:].any():
        return UNDECIDED
    return BETTER if all(each.holds for each in guards) else GUARDED
