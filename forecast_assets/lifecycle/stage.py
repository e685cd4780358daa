"""The stage that assigns stores to versions and weighs challengers, and the records of both.

What belongs here: which dates and trials are due, from a date or a trial to its stored product, and recording it. What
does not: the rules themselves (assigning, judging), or Dagster.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import CHALLENGER_EVIDENCE, CHANNEL_ASSIGNMENTS
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NotPublishedError, NotReadyError
from forecast_assets.core.keys import CADENCES, RunKey
from forecast_assets.core.progress import Progress, silent
from forecast_assets.lifecycle.assigning import assignment_rows
from forecast_assets.lifecycle.horizons import followed_horizon, horizons_by_date
from forecast_assets.lifecycle.judging import JudgedTrial, judge
from forecast_assets.lifecycle.pairs import compared_rows
from forecast_assets.lifecycle.promotion import is_judged
from forecast_assets.plots import as_markdown_image, confidence_sequence_png
from forecast_assets.scoring.stage import StageResult, Summary
from resources.ledger.entries.assign import (
    ASSIGN,
    AssignmentTerms,
    ChannelAssignment,
    ChannelAssignments,
)
from resources.ledger.entries.challenge import Challenge, Challenges, running_trial
from resources.ledger.entries.channel_moves import Channels
from resources.ledger.entries.publish import Publication
from resources.ledger.entries.weigh import WEIGH, ChallengerVerdict, ChallengerVerdicts, measured_days
from resources.ledger.log import Entry
from resources.ledger.state import LedgerState
from resources.store.manifests import ProductVersion, paths_of
from resources.stores.home import Stores

_FORECASTS: Final = "forecasts"


# --- assignments ---


def due_dates(state: LedgerState, cadence: str) -> list[date]:
    """Return the prediction dates whose stores are to be assigned, oldest first.

    From the first trial of a cadence on, every date that the champion has published, once, whatever runs the trial
    compares. The newest of them also whenever something has changed since: a rollback, a share, or a run of the
    challenger that came later. Earlier dates keep what their followers read at the time.

    Args:
        state: What is true now.
        cadence: Rhythm of the runs.
    """
    challenges = state.part(Challenges).of(cadence)
    champion = state.part(Channels).target(CADENCES[cadence].champion)
    if not challenges or champion is None:
        return []
    runs = [
        run
        for key, run in state.publications.items()
        if (key.cadence, key.model_version, key.revision) == (cadence, champion, 0)
    ]
    newest = max((run.key.prediction_date for run in runs), default=None)
    since = challenges[0].sequence
    days = sorted(
        {run.key.prediction_date for run in runs if run.sequence > since or run.key.prediction_date == newest}
    )
    return [day for day in days if _is_due(state, cadence, day, is_newest=day == newest)]


def _is_due(state: LedgerState, cadence: str, day: date, *, is_newest: bool) -> bool:
    assigned = state.part(ChannelAssignments).newest(cadence, day)
    return assigned is None or (is_newest and assigned.terms != terms_now(state, cadence, day))


def terms_now(state: LedgerState, cadence: str, prediction_date: date) -> AssignmentTerms:
    """Return what decides which version each store follows on a date, as the ledger stands.

    Raises:
        NotReadyError: If there is no champion, or no trial of the cadence has ever begun.
    """
    champion = state.part(Channels).target(CADENCES[cadence].champion)
    newest = state.part(Challenges).newest(cadence)
    if champion is None or newest is None:
        raise NotReadyError(
            f"No {cadence} trial has begun, so every store follows `{CADENCES[cadence].champion}`.",
            remedy=Sentence(
                "Begin one: ",
                Action("challenger set", {"share": "SHARE", "by": "NAME", "reason": "TEXT"}, on=("VERSION",)),
                ".",
            ),
            cadence=cadence,
        )
    trial = running_trial(state, cadence)
    published = horizons_by_date(state, cadence, champion).get(prediction_date, set())
    horizon = followed_horizon(published, cadence, newest.rules.forecast_horizon)
    if trial is None:
        return AssignmentTerms(champion, horizon)
    return AssignmentTerms(
        champion,
        horizon,
        trial.begun_by,
        trial.model_version,
        trial.share,
        trial.salt,
        RunKey(cadence, prediction_date, trial.model_version, horizon) in state.publications,
    )


@dataclass(frozen=True)
class AssignmentContext:
    """The date whose stores are to be assigned.

    Attributes:
        stores: Where everything is.
        cadence: Rhythm of the runs.
        prediction_date: The date.
    """

    stores: Stores
    cadence: str
    prediction_date: date

    def write(self, result: StageResult) -> ProductVersion:
        """Store the assignment."""
        return self.stores.predictions.write(
            CHANNEL_ASSIGNMENTS,
            result.rows,
            key=f"{self.cadence}/{self.prediction_date}",
            folder=f"assignments/cadence={self.cadence}/prediction_date={self.prediction_date}",
            inputs=result.inputs,
            facts=result.facts,
        )

    def newest_entry(self) -> int:
        """Return the ledger entry of the newest assignment of the date; 0 if there is none."""
        state = self.stores.ledger.state()
        assigned = state.part(ChannelAssignments).newest(self.cadence, self.prediction_date)
        return 0 if assigned is None else assigned.sequence


def assign_stores(context: AssignmentContext) -> StageResult:
    """Assign the stores of a date as the ledger stands.

    Raises:
        NotReadyError: If there is no champion, or no trial of the cadence has ever begun.
        NotPublishedError: If the champion has not published the date.
    """
    state, cadence, day = context.stores.ledger.state(), context.cadence, context.prediction_date
    terms = terms_now(state, cadence, day)
    runs = {}
    for version in filter(None, (terms.champion_version, terms.challenger_version)):
        found = state.publications.get(RunKey(cadence, day, version, terms.forecast_horizon))
        if found is not None:
            runs[version] = found
    if terms.champion_version not in runs:
        key = RunKey(cadence, day, terms.champion_version, terms.forecast_horizon)
        raise NotPublishedError(
            f"`{terms.champion_version}` has not published {day}.",
            remedy=Sentence("Make it: ", Action("run", key.arguments)),
            key=key,
        )
    stores_of = {version: _stores_of(context.stores, run) for version, run in runs.items()}
    channel = CADENCES[cadence].champion
    challenger_stores = stores_of.get(terms.challenger_version, set())
    rows = assignment_rows(channel, cadence, day, terms, stores_of[terms.champion_version], challenger_stores)
    inputs = {f"{run.key}/{_FORECASTS}": run.products[_FORECASTS] for run in runs.values()}
    return StageResult({CHANNEL_ASSIGNMENTS.name: rows}, inputs, {"terms": vars(terms)}, lambda: _shares(rows))


def _stores_of(stores: Stores, run: Publication) -> set[str]:
    product = stores.predictions.version(run.products[_FORECASTS])
    rows = stores.predictions.scan_verified(product).select("store_id").unique().collect()
    return set(rows["store_id"])


def _shares(rows: pl.DataFrame) -> Summary:
    return {"stores_by_version": rows.group_by("model_version").len("stores").sort("model_version")}


def record_assignment(
    context: AssignmentContext, version: ProductVersion, rows: pl.DataFrame, *, since: int
) -> ChannelAssignment:
    """Record an assignment in the ledger, unless the date's newest one is by the same terms; return the newest.

    Args:
        context: The date.
        version: The stored assignment; its facts say by which terms it was made.
        rows: Its rows.
        since: The newest entry of the date when the terms were read.

    Raises:
        LostRaceError: If another process assigned the date by other terms meanwhile.
    """
    terms = AssignmentTerms(**version.facts["terms"])
    following = rows.filter(pl.col("model_version") == terms.challenger_version).height if terms.trial else 0
    said = ChannelAssignment(
        channel=CADENCES[context.cadence].champion,
        cadence=context.cadence,
        prediction_date=context.prediction_date,
        terms=terms,
        stores=rows.height,
        challenger_stores=following,
        product_version=version.version,
    )
    predictions, ledger = context.stores.predictions, context.stores.ledger

    def as_this(state: LedgerState) -> ChannelAssignment | None:
        newest = state.part(ChannelAssignments).newest(context.cadence, context.prediction_date)
        return newest if newest is not None and newest.terms == terms else None

    def append() -> Entry:
        names = paths_of(predictions.lineage([version.version]))
        return ledger.append(ASSIGN.name, ASSIGN.body(said), partial(ASSIGN.admit, said, since=since), names=names)

    return predictions.append_once(ASSIGN, as_this, append)[0]


# --- evidence ---


def due_day(state: LedgerState, cadence: str) -> date | None:
    """Return the newest measured day of the running trial if it is to be weighed; None if there is nothing new.

    Args:
        state: What is true now.
        cadence: Rhythm of the runs.
    """
    trial = running_trial(state, cadence)
    if trial is None or is_judged(state, trial):
        return None
    return measured_days(state, trial)[-1].target_date


@dataclass(frozen=True)
class TrialContext:
    """The trial that is to be weighed.

    Attributes:
        stores: Where everything is.
        cadence: Rhythm of the runs.
        progress: Told a stage, what is done, and the total.
    """

    stores: Stores
    cadence: str
    progress: Progress = silent

    def trial(self) -> Challenge:
        """Return the trial.

        Raises:
            NotReadyError: If none runs.
        """
        trial = running_trial(self.stores.ledger.state(), self.cadence)
        if trial is None:
            raise NotReadyError(
                f"No {self.cadence} trial runs.",
                remedy=Sentence(
                    "Begin one: ",
                    Action("challenger set", {"share": "SHARE", "by": "NAME", "reason": "TEXT"}, on=("VERSION",)),
                    ".",
                ),
                cadence=self.cadence,
            )
        return trial

    def newest_entry(self) -> int:
        """Return the ledger entry of the trial's newest verdict; 0 if there is none."""
        verdict = self.stores.ledger.state().part(ChallengerVerdicts).newest(self.trial().begun_by)
        return 0 if verdict is None else verdict.sequence

    def write(self, weighed: "WeighedTrial") -> ProductVersion:
        """Store the evidence."""
        verdict, result = weighed.verdict, weighed.result
        return self.stores.predictions.write(
            CHALLENGER_EVIDENCE,
            result.rows,
            key=f"{verdict.cadence}/{verdict.trial}",
            folder=f"evidence/cadence={verdict.cadence}/trial={verdict.trial}",
            inputs=result.inputs,
            facts=result.facts,
        )


@dataclass(frozen=True)
class WeighedTrial:
    """What the evidence of a trial says, not yet stored.

    Attributes:
        verdict: What is to be recorded, still without its product.
        result: The product.
    """

    verdict: ChallengerVerdict
    result: StageResult


def weigh_trial(context: TrialContext) -> WeighedTrial:
    """Weigh all that was measured of a trial, by the newest measurement of each day.

    The manifest names the measurements by their ledger entries: as inputs, each verdict would lead to every run that
    was ever measured.

    Raises:
        NotReadyError: If no trial runs, or none of its days was measured yet.
    """
    trial, state = context.trial(), context.stores.ledger.state()
    measured = measured_days(state, trial)
    if not measured:
        raise NotReadyError(
            f"The trial of `{trial.model_version}` begins with {trial.first_day}; no day from then on was measured.",
            remedy=Sentence("Measure what has come: ", Action("accuracy", {"cadence": trial.cadence}), "."),
            cadence=trial.cadence,
            first_day=trial.first_day,
        )
    store, frames = context.stores.predictions, []
    for at, one in enumerate(measured):
        context.progress("read measured days", at, len(measured))
        scanned = store.scan_verified(store.version(one.product_version))
        frames.append(compared_rows(scanned, trial).collect())
    judged = judge(trial, pl.concat(frames), [one.target_date for one in measured])
    sequences = [one.sequence for one in measured]
    facts: Mapping[str, Any] = {"trial": trial.begun_by, "measured_sequences": sequences}
    result = StageResult({CHALLENGER_EVIDENCE.name: judged.rows}, {}, facts, lambda: _shown(trial, judged))
    return WeighedTrial(_verdict(trial, judged, measured[-1].target_date, max(sequences)), result)


def _verdict(trial: Challenge, judged: JudgedTrial, newest: date, measured: int) -> ChallengerVerdict:
    *_, last = judged.rows.filter("is_deciding").sort("target_date").to_dicts()
    return ChallengerVerdict(
        cadence=trial.cadence,
        trial=trial.begun_by,
        champion_version=trial.champion_version,
        challenger_version=trial.model_version,
        target_date=newest,
        measured_sequence=measured,
        observations=last["observations"],
        e_value=last["e_value"],
        highest_e_value=max(1.0, float(judged.deciding.wealth.max(initial=1.0))),
        mean_difference=last["mean_difference"],
        lower=last["lower"],
        upper=last["upper"],
        decision=judged.decision,
        guards=judged.guards,
        product_version="",
    )


def _shown(trial: Challenge, judged: JudgedTrial) -> Summary:
    title = f"{trial.model_version} against {trial.champion_version}, {trial.rules.deciding_step} days ahead"
    picture = confidence_sequence_png(judged.rows, trial.rules.bound, trial.rules.level, title=title)
    return {
        "decision": judged.decision,
        "guards": pl.DataFrame([vars(each) for each in judged.guards]),
        "confidence_sequence": as_markdown_image(picture, "confidence sequence"),
    }


def record_verdict(
    context: TrialContext, weighed: WeighedTrial, version: ProductVersion, *, since: int
) -> ChallengerVerdict:
    """Record a verdict in the ledger, unless the newest one rests on the same measurements; the earlier ones stay.

    Args:
        context: The trial.
        weighed: What is to be recorded.
        version: The stored evidence.
        since: The newest verdict of the trial when measurements were read, as ledger entry.

    Raises:
        LostRaceError: If another process recorded a verdict on other measurements meanwhile.
    """
    said = replace(weighed.verdict, product_version=version.version)
    ledger = context.stores.ledger

    def as_this(state: LedgerState) -> ChallengerVerdict | None:
        newest = state.part(ChallengerVerdicts).newest(said.trial)
        return newest if newest is not None and newest.measured_sequence == said.measured_sequence else None

    def append() -> Entry:
        admit = partial(WEIGH.admit, said, since=since)
        return ledger.append(WEIGH.name, WEIGH.body(said), admit, names=paths_of([version]))

    return context.stores.predictions.append_once(WEIGH, as_this, append)[0]
