"""Predictions in real time: by the model where that can be, else by what was published, and the answer says which.

What belongs here: whether a use is approved, the order of what answers, and what each answer says of itself. What does
not: how series are forecast again (what_if), or any protocol.

What answers, in this order: the model, on the inputs that are asked; the published row, unchanged, with its age, where
the model takes longer than a caller waits, or fails; where that row is too old or cannot be read, a rule on what was
last observed, and a safety figure where nothing was. What cannot be asked is refused and never answered by something
else: a wrong question has no right number.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from time import monotonic
from typing import Final

import polars as pl

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.breaker import Breaker
from forecast_assets.core.errors import ForecastAssetsError, InputError, NotAllowedError, first_ten
from forecast_assets.core.keys import RunKey, last_day_over
from forecast_assets.core.spans import span
from forecast_assets.features.changes import SeriesChange
from forecast_assets.operations.policies import policy_in_force
from forecast_assets.serving.dataplane.online_features import OnlineFeatures
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
from forecast_assets.serving.dataplane.questions import STORED, VersionAsked
from forecast_assets.serving.dataplane.resolving import resolve, run_of_stores
from forecast_assets.serving.dataplane.row_blocks import RowBlocks
from forecast_assets.serving.dataplane.rules import by_rules
from forecast_assets.serving.dataplane.stored import RunAnswered, answered, beside_names, with_names
from forecast_assets.serving.dataplane.together import WhatIfLots
from forecast_assets.serving.dataplane.what_if import WhatIf
from resources.feature_cache.in_process import InProcessCache
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores

MODEL: Final = "model"
LAST_BATCH: Final = "last_batch"
DEADLINE_SECONDS: Final = 2.0
MOST_SERIES: Final = 500
# A published number that is older says nothing of today's shelf.
OLDEST_DAYS: Final = 7
_SANDBOX: Final = "made in a sandbox: nobody acts on it"
_SERIES: Final = {"store_id": pl.String, "sku_id": pl.String}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictQuestion:
    """What series of a run would be with other inputs, and what the answer is for.

    Attributes:
        use: One of those that the policy approves.
        asked: Of which run.
        changes: Series with what is other of each; a change of nothing asks for what was published.
    """

    use: str
    asked: VersionAsked
    changes: Sequence[SeriesChange]


@dataclass(frozen=True)
class Predicted:
    """An answer in real time.

    Attributes:
        use: As asked.
        run: The published run that it rests on; its `served_from` says what answered.
        forecasts: Contract `forecasts`, with `prediction_id` in front; by rule as `RuleAnswer` has them.
        risks: Contract `stockout_risks`, likewise.
        explanations: Contract `forecast_explanations`, likewise; none by rule.
        is_degraded: Whether something other than the model answered.
        held: What was held at the published run; empty where the model did not answer.
        warnings: What whoever reads the answer has to know, in sentences.
        made: What the model made on the way; None where it did not answer.
    """

    use: str
    run: RunAnswered
    forecasts: pl.DataFrame
    risks: pl.DataFrame
    explanations: pl.DataFrame
    is_degraded: bool
    held: tuple[str, ...]
    warnings: tuple[str, ...]
    made: WhatIf | None = None


class Predictor:
    """Answers predictions of one home; safe to share between threads.

    Args:
        stores: Where everything is; only read.
        prepared: Prepared runs; of its own if left out.
        features: What it takes of series, in place of prepared runs; from them alone if left out.
        few: Reads published rows of few series; of its own if left out.
        deadline_seconds: What a caller waits at most for the model.
        breaker: Makes the breaker around the model of each run: one that fails says nothing of others.
        is_sandbox: Whether any use is allowed, and answers say that nobody may act on them.

    Attributes:
        features: What it takes of series.
    """

    def __init__(
        self,
        stores: Stores,
        prepared: PreparedRuns | None = None,
        *,
        features: OnlineFeatures | None = None,
        few: RowBlocks | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        breaker: Callable[[], Breaker] = Breaker,
        is_sandbox: bool = False,
    ) -> None:
        self._is_sandbox = is_sandbox
        self._stores = stores
        self.features = features or OnlineFeatures(stores, prepared or PreparedRuns(stores), InProcessCache())
        self._few = few or RowBlocks(stores)
        self._deadline = deadline_seconds
        self._breakers: defaultdict[RunKey, Breaker] = defaultdict(breaker)
        self._lock = Lock()
        self._together = WhatIfLots(self.features.cached)

    def breaker_of(self, run: RunKey) -> Breaker:
        """Return the breaker around the model of a run."""
        with self._lock:
            return self._breakers[run]

    def degraded(self) -> tuple[str, ...]:
        """Say of which runs the model is left alone: published rows answer in its place."""
        with self._lock:
            opened = sorted(run for run, breaker in self._breakers.items() if breaker.is_open)
        return (f"the breaker of the model is open, and published rows answer: {first_ten(opened)}",) if opened else ()

    def breakers(self) -> tuple[int, int]:
        """Return how many breakers around models are open, and how many there are."""
        with self._lock:
            known = [*self._breakers.values()]
        return sum(each.is_open for each in known), len(known)

    def prepare(self, asked: VersionAsked) -> None:
        """Prepare the run that a question would be about, so that the first caller does not wait."""
        self.features.warm(resolve(self._stores, asked).key)

    def predict(self, question: PredictQuestion, now: datetime) -> Predicted:
        """Answer a prediction.

        Args:
            question: What is asked.
            now: The present moment.

        Raises:
            NotAllowedError: If nobody approved the use.
            InputError: If the run has no such series, or an input cannot be so.
            UnknownVersionError: If there is no such version.
            NotPublishedError: If nothing is published there.
        """
        if not self._is_sandbox:
            _require_approved(self._stores, question.use)
        if not 1 <= len(question.changes) <= MOST_SERIES:
            raise InputError(
                f"A prediction is of 1 to {MOST_SERIES} series, not {len(question.changes)}.",
                remedy="Ask for fewer at a time; a whole run is scored by the batch.",
            )
        run = run_of_stores(self._stores, question.asked, [change.store_id for change in question.changes])
        publication = run.publication
        told = answered(self._stores, publication, question.asked.channel, now, run.assignment)
        made = self._by_model(publication, question.changes)
        marks = (_SANDBOX,) if self._is_sandbox else ()
        if isinstance(made, WhatIf):
            tables = (made.forecasts, made.risks, made.explanations)
            forecasts, risks, explanations = beside_names(tables, publication.key)
            return Predicted(
                question.use,
                replace(told, served_from=MODEL),
                forecasts,
                risks,
                explanations,
                is_degraded=False,
                held=made.held,
                warnings=marks,
                made=made,
            )
        found = _instead(self._stores, self._few, publication, question, told, made, now)
        return replace(found, warnings=(*found.warnings, *marks))

    def _by_model(self, publication: Publication, changes: Sequence[SeriesChange]) -> WhatIf | str:
        """Return what the model says, or why it says nothing in time."""
        breaker = self.breaker_of(publication.key)
        if not breaker.allows():
            return "the model failed repeatedly and is left alone for a moment"
        until, prepared, call = monotonic() + self._deadline, None, None
        try:
            with span("features", series=len(changes)):
                prepared = self.features.of(publication.key, [change.series for change in changes], self._deadline)
            with span("model", series=len(changes)):
                call = self._together.ask(prepared, changes)
                made = call.result(max(until - monotonic(), 0.0))
        except TimeoutError:
            if call is not None:
                call.cancel()
            is_ready = self.features.is_ready(publication.key)
            slow = f"the model did not answer within {self._deadline:g} s"
            return slow if is_ready else "the run is still being prepared"
        except Exception as error:
            if prepared is not None and isinstance(error, InputError):
                # The question is wrong; what is wrong before it is asked, such as an artifact, is no caller's doing.
                breaker.succeeded()
                raise
            breaker.failed()
            _log.exception("the model failed on %s", publication.key)
            return f"the model failed ({type(error).__name__})"
        breaker.succeeded()
        return made


def _require_approved(stores: Stores, use: str) -> None:
    approved = policy_in_force(stores.ledger).policy.real_time.uses
    if use not in approved:
        raise NotAllowedError(
            f"The use `{use}` is not approved; approved are {first_ten(approved)}.",
            remedy=Sentence(
                "Whoever is responsible approves it: ",
                Action("uses approve", {"by": "NAME", "reason": "TEXT"}, on=(use,)),
            ),
            use=use,
            approved=approved,
        )


def _instead(
    stores: Stores,
    few: RowBlocks,
    publication: Publication,
    question: PredictQuestion,
    told: RunAnswered,
    why: str,
    now: datetime,
) -> Predicted:
    """Answer without the model: with the published rows, or by rule where they are too old or cannot be read."""
    if told.age_days <= OLDEST_DAYS:
        try:
            with span("read", series=len(question.changes)):
                return _published(few, publication, question, told, why)
        except InputError:
            raise
        except (ForecastAssetsError, OSError, pl.exceptions.PolarsError) as error:
            _log.exception("the published rows of %s cannot be read", publication.key)
            why = f"{why}, and the published rows cannot be read ({type(error).__name__})"
    else:
        why = f"{why}, and the published run, {publication.key}, is {told.age_days} days old"
    found = by_rules(stores, question.changes, last_day_over(now))
    return Predicted(
        question.use,
        replace(told, served_from=found.served_from),
        found.forecasts,
        found.risks,
        pl.DataFrame(),
        is_degraded=True,
        held=(),
        warnings=(f"These are no forecasts of the run: {why}.", *found.warnings),
    )


def _published(
    few: RowBlocks, publication: Publication, question: PredictQuestion, told: RunAnswered, why: str
) -> Predicted:
    """Answer with the published rows of the series, unchanged."""
    series = [change.series for change in question.changes]
    names = pl.DataFrame(series, schema=_SERIES, orient="row")
    frames = {
        product: with_names(few.rows(publication, contract.name, series).collect(), publication.key)
        for product, contract in STORED.items()
    }
    missing = names.join(frames["forecasts"], on=["store_id", "sku_id"], how="anti")
    if not missing.is_empty():
        raise InputError(
            f"{publication.key} has no series {first_ten('/'.join(row) for row in missing.iter_rows())}.",
            remedy="Ask for series of the run: store and SKU as in its forecasts.",
        )
    unchanged = [change for change in question.changes if change == SeriesChange(*change.series)]
    warnings = [f"These are the published rows, {told.age_days} days after their prediction date: {why}."]
    if len(unchanged) < len(question.changes):
        warnings.append("The changes that were asked for are NOT in these numbers.")
    return Predicted(
        question.use,
        replace(told, served_from=LAST_BATCH),
        frames["forecasts"],
        frames["risks"],
        frames["explanations"],
        is_degraded=True,
        held=(),
        warnings=tuple(warnings),
    )
