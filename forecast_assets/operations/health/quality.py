"""Probes of what runs, checks and measurements say: failures, drift, bias, coverage, verdicts about challengers.

What belongs here: when what is recorded already is worth waking somebody. What does not: judging drift, measuring, or
weighing evidence.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import CHANGED
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import first_ten
from forecast_assets.core.health import FailedRun, HealthFinding
from forecast_assets.core.keys import CADENCES, Cadence
from forecast_assets.core.policy import Policy
from forecast_assets.core.wording import counted
from forecast_assets.drift.daily_figures import ALL_STORES
from forecast_assets.metrics.sampling import JudgedCells, one_sided_margin
from forecast_assets.operations.health.look import HomeLook, Seen, not_watched
from resources.ledger.entries.anomalies import AnomalyRecord, AnomalyRecords
from resources.ledger.entries.backlog import OPEN, Backlog, BacklogStep
from resources.ledger.entries.challenge import running_trial
from resources.ledger.entries.drift import DriftRecord, DriftRecords
from resources.ledger.entries.judged_days import SignalName
from resources.ledger.entries.measure import Measurement, Measurements
from resources.ledger.entries.policy import Policies
from resources.ledger.entries.weigh import BETTER, DECISIONS, GUARDED, WORSE, ChallengerVerdicts

_FAILED_DAYS: Final = timedelta(days=7)
# Measured days that bias and coverage are taken over, and the fewest that say anything.
_MEASURED_DAYS: Final = 28
_LEAST_DAYS: Final = 14
# Days for which a change in some stores alone has to go on.
_LOCAL_DAYS: Final = 14
_TOLD_VERDICTS: Final = (BETTER, GUARDED, WORSE)
# Says what a ratio of days is, and that it is out of bounds, if so.
_Judge = Callable[[Cadence, pl.DataFrame, Policy], tuple[str, HealthFinding | None]]


def failed_runs(look: HomeLook) -> Seen:
    """Look at runs of the last week that failed and that none after them has made good."""
    failed = look.history.failed_runs(look.now - _FAILED_DAYS)
    return Seen("none is left as failed", tuple(finding for run in failed for finding in _failed(run)))


def _failed(run: FailedRun) -> Iterable[HealthFinding]:
    of = f"`{run.job}` of {run.partition}" if run.partition else f"`{run.job}`"
    facts = {"job": run.job, "partition": run.partition, "run_id": run.run_id, "failed_at": run.failed_at.isoformat()}
    subject = f"{run.job}/{run.partition}" if run.partition else run.job
    if not run.checks:
        yield HealthFinding(
            "failed-run",
            subject,
            f"The run {of} failed{f': {run.words}' if run.words else ''}.",
            "Look at it in the Dagster UI, tab Runs; mend what it names, and launch it again.",
            facts,
        )
    for check, words in run.checks:
        yield HealthFinding(
            "failed-check",
            f"{subject}/{check}",
            f"The check `{check}` failed in the run {of}, which published nothing: {words}",
            "Look at the failing rows in the Dagster UI, tab Checks; bring right rows in as a later ingest, and repeat "
            "the run.",
            {**facts, "check": check},
        )


# --- drift ---


def drift(look: HomeLook) -> Seen:
    """Look at signals of drift that something confirms; a first one is the backlog's alone.

    A second day confirms what is told over all stores, or what is broken; a second figure likewise, and a second
    detector anything. A change in some stores alone has to go on for two weeks, as long as versions are trained anew
    after: cumulative sums that have passed their threshold by chance stay beyond it for days, so that the day after is
    no second witness, and of many stores and figures two do so at once.
    """
    state = look.state
    present = [step for step in state.part(Backlog).present.values() if step.status == OPEN]
    days = sorted(state.part(DriftRecords).by_day)
    if not days:
        return not_watched("no day has been judged")
    by_watched, told_on = _by_what_is_watched(present), _first_told(look)
    found = []
    for what, steps in sorted(by_watched.items()):
        first = min(told_on.get(step.signal, days[-1]) for step in steps)
        again = [day for day in days if day > first]
        if len(again) >= _days_that_confirm(steps):
            found.append(_confirmed(what, steps, first, again))
    waiting = len(by_watched) - len(found)
    return Seen(f"judged up to {days[-1]}; {counted(waiting, 'signal')} not confirmed yet", tuple(found))


def _days_that_confirm(steps: Sequence[BacklogStep]) -> int:
    """Return how many days after the first have to be judged."""
    called = [SignalName.parse(step.signal) for step in steps]
    if len({each.subject for each in called}) > 1:
        return 0
    if all(each.verdict == CHANGED and each.reach != ALL_STORES for each in called):
        return _LOCAL_DAYS
    return 0 if len({each.figure for each in called}) > 1 else 1


def _by_what_is_watched(steps: Iterable[BacklogStep]) -> dict[str, list[BacklogStep]]:
    """Return signals by feed, feature or forecast: figures of one thing that move together have one cause."""
    found: dict[str, list[BacklogStep]] = defaultdict(list)
    for step in steps:
        # What people found by themselves is no signal of a detector.
        if not step.signal.startswith("feedback/"):
            called = SignalName.parse(step.signal)
            # Series of a snapshot are judged by another detector than the feeds that they come from.
            subject = "feed" if called.subject == "series" else called.subject
            found[f"{subject}/{called.name}"].append(step)
    return found


def _first_told(look: HomeLook) -> dict[str, date]:
    """Return on which day each signal that is told was told first."""
    told: dict[str, date] = {}
    judged: list[DriftRecord | AnomalyRecord] = [
        *look.state.part(DriftRecords).all(),
        *look.state.part(AnomalyRecords).all(),
    ]
    for record in sorted(judged, key=lambda each: each.sequence):
        for name in record.closed:
            told.pop(name, None)
        for signal in record.opened:
            told.setdefault(signal.signal, record.prediction_date)
    return told


def _confirmed(what: str, steps: list[BacklogStep], first: date, again: list[date]) -> HealthFinding:
    items = sorted(step.item for step in steps)
    by = f"still told on {again[-1]}" if again else f"told by {len(steps)} figures"
    return HealthFinding(
        "drift-confirmed",
        what,
        f"Since {first}, {by}: {first_ten(step.reason for step in steps)}.",
        Sentence(
            "Look at the figures: ",
            Action("drift", {"all": True}),
            "; say that somebody does: ",
            Action("backlog acknowledge", {"by": "NAME", "reason": "TEXT"}, on=(items[0],)),
            ".",
        ),
        {"items": items, "since": first.isoformat(), "signals": [step.signal for step in steps]},
    )


# --- accuracy ---


def bias(look: HomeLook) -> Seen:
    """Look whether forecasts of the champion are too high or too low, over four weeks, by more than chance explains."""
    return _measured(look, _bias_of)


def coverage(look: HomeLook) -> Seen:
    """Look whether its 80% intervals hold about as many days as they are to, likewise."""
    return _measured(look, _coverage_of)


def _measured(look: HomeLook, judge: _Judge) -> Seen:
    policy = look.state.part(Policies).in_force(look.now.date()).policy
    words, found = [], []
    for cadence in CADENCES.values():
        days = _champion_days(look, cadence)
        if days is None:
            continue
        said, finding = judge(cadence, days, policy)
        words.append(f"{cadence.name} {said}")
        found += [] if finding is None else [finding]
    return Seen("; ".join(words), tuple(found)) if words else not_watched(f"fewer than {_LEAST_DAYS} days are measured")


def _bias_of(cadence: Cadence, days: pl.DataFrame, policy: Policy) -> tuple[str, HealthFinding | None]:
    size, chance = _ratio(days, "error_units", "sales_units")
    bound = policy.gates.largest_bias
    said = f"bias {size:+.1%}"
    if abs(size) - chance <= bound:
        return said, None
    way = "high" if size > 0 else "low"
    words = f"{_days(cadence, days)} were {abs(size):.1%} too {way}; the policy allows {bound:.1%}."
    facts = {"cadence": cadence.name, "bias": round(size, 6), "chance": round(chance, 6), "bound": bound}
    return said, HealthFinding("bias-out-of-bounds", cadence.name, words, _look_at(cadence), facts)


def _coverage_of(cadence: Cadence, days: pl.DataFrame, policy: Policy) -> tuple[str, HealthFinding | None]:
    share, chance = _ratio(days, "inside_80_rows", "quantile_rows")
    target, bound = policy.calibration.coverage_80, policy.gates.largest_coverage_miss
    said = f"coverage {share:.1%} of {target:.0%}"
    if abs(share - target) - chance <= bound:
        return said, None
    words = (
        f"80% intervals of {_days(cadence, days)} held {share:.1%} of days; the policy allows {target:.0%}, "
        f"{bound:.0%} more or less."
    )
    facts = {"cadence": cadence.name, "coverage": round(share, 6), "chance": round(chance, 6), "target": target}
    return said, HealthFinding("coverage-out-of-bounds", cadence.name, words, _look_at(cadence), facts)


def _days(cadence: Cadence, days: pl.DataFrame) -> str:
    first, *_, last = days["target_date"].to_list()
    return f"{cadence.name} forecasts of {first} to {last}"


def _look_at(cadence: Cadence) -> Sentence:
    return Sentence(
        "See where: ",
        Action("accuracy", {"cadence": cadence.name, "by": "segment"}),
        "; a version that has seen the newest days: ",
        Action("retrain"),
        ".",
    )


def _champion_days(look: HomeLook, cadence: Cadence) -> pl.DataFrame | None:
    """[28] Sums of the champion's forecasts by target date, over all series; None where too few days are measured."""
    version = look.state.channel(cadence.champion)
    measurements = look.state.part(Measurements)
    days = sorted(day for of, day in measurements.by_day if of == cadence.name)[-_MEASURED_DAYS:]
    newest = measurements.newest_of(cadence.name, days)
    if version is None or len(newest) < _LEAST_DAYS:
        return None
    rests_on = version, newest[-1].sequence, max(each.sequence for each in newest)
    sums: pl.DataFrame = look.remembered.get(f"measured {cadence.name}", rests_on, lambda: _sums(look, newest, version))
    return sums if sums.height >= _LEAST_DAYS else None


def _sums(look: HomeLook, newest: Iterable[Measurement], version: str) -> pl.DataFrame:
    store = look.stores.predictions
    names = ("error_units", "sales_units", "inside_80_rows", "quantile_rows")
    frames = [
        store.read(store.version(each.product_version))
        .filter(
            pl.col("model_version") == version,
            pl.col("product_level") == "sku",
            pl.col("store_level") == "store",
            pl.col("segment_kind") == "all",
        )
        .group_by("target_date")
        .agg(pl.col(name).sum().cast(pl.Float64) for name in names)
        for each in newest
    ]
    return pl.concat(frames).sort("target_date")


def _ratio(days: pl.DataFrame, over: str, under: str) -> tuple[float, float]:
    """Return a ratio of sums over days, and how far chance may move it; nothing below counts as no ratio."""
    numerator, denominator = (days[name].to_numpy()[None, :] for name in (over, under))
    total = float(denominator.sum())
    if total <= 0.0:
        return 0.0, float("inf")
    one = np.zeros(1, dtype=np.int64)
    cells = JudgedCells(numerator, denominator, np.ones(numerator.shape, dtype=np.bool_), one, one, 0)
    return float(numerator.sum()) / total, one_sided_margin([cells]) or 0.0


# --- trials ---


def verdicts(look: HomeLook) -> Seen:
    """Look whether the evidence of a running trial says something that somebody may act on."""
    found, words = [], []
    for cadence in CADENCES.values():
        trial = running_trial(look.state, cadence.name)
        if trial is None:
            continue
        newest = look.state.part(ChallengerVerdicts).newest(trial.begun_by)
        words.append(f"{cadence.name}: {'nothing weighed' if newest is None else newest.decision}")
        if newest is None or newest.decision not in _TOLD_VERDICTS:
            continue
        promote = Action(
            "promote",
            {"channel": cadence.champion, "on_evidence": True, "by": "NAME", "reason": "TEXT"},
            on=(newest.challenger_version,),
        )
        says = f"Of `{newest.challenger_version}` beside `{newest.champion_version}`"
        guards = f" ({first_ten(newest.failed_guards)})" if newest.failed_guards else ""
        found.append(
            HealthFinding(
                "challenger-verdict",
                f"{cadence.name}/{trial.begun_by}/{newest.decision}",
                f"{says}, as of {newest.target_date}: {DECISIONS[newest.decision]}{guards}.",
                Sentence(
                    "See why: ", Action("challenger show", {"cadence": cadence.name}), "; to follow it: ", promote
                ),
                {"cadence": cadence.name, "trial": trial.begun_by, "decision": newest.decision},
            )
        )
    return Seen("; ".join(words), tuple(found)) if words else not_watched("no trial runs")
