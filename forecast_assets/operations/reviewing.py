"""Reading business reviews: a recorded week with what is open beside it, and its proposals as a policy.

What belongs here: putting together what a reader of a review needs. What does not: reviewing (`reviews`), applying a
policy (`policies`), or how it looks.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NotReadyError
from forecast_assets.operations.drift_reports import BacklogItem, backlog_items
from forecast_assets.operations.policies import PolicyProposal, propose_policy
from forecast_assets.reviews.stage import ReviewContext
from resources.ledger.entries.challenge import running_trial
from resources.ledger.entries.review import WeekReview, WeekReviews
from resources.ledger.entries.weigh import ChallengerVerdict, ChallengerVerdicts
from resources.stores.home import Stores


@dataclass(frozen=True)
class BusinessReview:
    """A reviewed week, and what is open beside it.

    Attributes:
        record: Its newest review.
        rows: Contract `business_reviews`.
        verdict: The newest of the running trial; None where there is none.
        items: Items of the backlog that nobody has closed, newest first.
        proposal: The policy of today with the changes that are proposed and still wanted; None if none is.
        outdated: Keys of proposals whose value is another by now.
    """

    record: WeekReview
    rows: pl.DataFrame
    verdict: ChallengerVerdict | None
    items: tuple[BacklogItem, ...]
    proposal: PolicyProposal | None
    outdated: tuple[str, ...]


def business_review(stores: Stores, cadence: str, last_day: date) -> BusinessReview:
    """Return the newest review of a week.

    Args:
        stores: Where everything is.
        cadence: Rhythm of the runs.
        last_day: Sunday of the week.

    Raises:
        NotReadyError: If it has not been reviewed.
    """
    week = ReviewContext(stores, cadence, last_day).week
    state = stores.ledger.state()
    record = state.part(WeekReviews).newest(cadence, week)
    if record is None:
        raise NotReadyError(
            f"Week {week} of {cadence} runs has not been reviewed.",
            remedy=Sentence("Review it: ", Action("review", {"week": week, "cadence": cadence}), "."),
            week=week,
            cadence=cadence,
        )
    rows = stores.predictions.read(stores.predictions.version(record.product_version))
    trial = running_trial(state, cadence)
    verdict = None if trial is None else state.part(ChallengerVerdicts).newest(trial.begun_by)
    proposal, outdated = _as_policy(stores, record)
    return BusinessReview(record, rows, verdict, tuple(backlog_items(stores)), proposal, outdated)


def _as_policy(stores: Stores, record: WeekReview) -> tuple[PolicyProposal | None, tuple[str, ...]]:
    """What is proposed, as a change of the policy of today; a value that somebody has changed since is left alone."""
    now = propose_policy(stores.ledger, {}).base.policy.values
    outdated = tuple(each.key for each in record.proposals if now.get(each.key) != each.before)
    wanted = {each.key: each.after for each in record.proposals if each.key not in outdated}
    return (propose_policy(stores.ledger, wanted) if wanted else None), outdated
