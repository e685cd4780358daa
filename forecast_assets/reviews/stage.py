"""The stage that reviews a week, and the record of it.

What belongs here: from a week to its stored figures and proposals, what must hold before, and recording both. What does
not: figures or rules themselves, or Dagster.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import polars as pl

from forecast_assets.contracts import BUSINESS_REVIEWS, WEEKS_BEFORE
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, NotReadyError
from forecast_assets.core.keys import CADENCES, RunKey, last_day_over
from forecast_assets.core.policy import Policy
from forecast_assets.plots import as_markdown_image
from forecast_assets.plots.reviews import review_png
from forecast_assets.reviews.figures import READ, WEEK_DAYS, ReviewedWeek, newest_runs, review_rows
from forecast_assets.reviews.proposing import VERSIONS_UNBOUND, WEEKS_IN_A_ROW, proposals
from forecast_assets.scoring.stage import StageResult, Summary
from resources.ledger.entries.channel_moves import Channels
from resources.ledger.entries.judge import Judgements
from resources.ledger.entries.measure import Measurement, Measurements
from resources.ledger.entries.policy import Policies
from resources.ledger.entries.review import ProposedChange, WeekReview, WeekReviews
from resources.ledger.present import present, present_of_days
from resources.ledger.state import LedgerState
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

_WEEK: Final = re.compile(r"(\d{4})-W(\d{2})")
PRODUCT: Final = BUSINESS_REVIEWS.name
_IDENTITY: Final = ("cadence", "prediction_date", "model_version", "forecast_horizon", "revision")


@dataclass(frozen=True)
class ReviewContext:
    """The week that is to be reviewed.

    Attributes:
        stores: Where everything is.
        cadence: Rhythm of the runs.
        last_day: Its Sunday.
    """

    stores: Stores
    cadence: str
    last_day: date

    @property
    def week(self) -> str:
        """ISO week."""
        return ReviewedWeek(self.cadence, self.last_day, "").name

    def write(self, result: StageResult) -> ProductVersion:
        """Store the figures."""
        return self.stores.predictions.write(
            BUSINESS_REVIEWS,
            result.rows,
            key=f"{self.cadence}/{self.week}",
            folder=f"{PRODUCT}/cadence={self.cadence}/week={self.week}",
            inputs=result.inputs,
            facts=result.facts,
        )

    def newest_entry(self) -> int:
        """Return the ledger entry of the newest review of the week; 0 if there is none."""
        newest = self.stores.ledger.state().part(WeekReviews).newest(self.cadence, self.week)
        return 0 if newest is None else newest.sequence


@dataclass(frozen=True)
class ReviewResult:
    """A reviewed week that is not recorded yet.

    Attributes:
        result: Its figures.
        proposals: What follows from them.
    """

    result: StageResult
    proposals: tuple[ProposedChange, ...]


def week_end(text: str) -> date:
    """Return the Sunday of an ISO week.

    Example:
        >>> week_end("2025-W26").isoformat()
        '2025-06-29'

    Raises:
        InputError: If it is no ISO week.
    """
    named = _WEEK.fullmatch(text)
    try:
        return date.fromisocalendar(int(named[1]), int(named[2]), WEEK_DAYS)  # type: ignore[index]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"`{text}` is no ISO week.", remedy="Write it as 2025-W26; a year has 52 weeks or 53.", week=text
        ) from error


def newest_week(state: LedgerState, cadence: str, now: datetime) -> date:
    """Return the Sunday of the newest week that is over and of which any day was measured.

    Raises:
        NotReadyError: If there is none.
    """
    over = last_day_over(now)
    measured = (day for of, day in state.part(Measurements).by_day if of == cadence)
    sundays = [sunday for sunday in map(_sunday_of, measured) if sunday <= over]
    if not sundays:
        raise _nothing_measured(cadence, f"No forecasts of {cadence} runs of a week that is over have been measured.")
    return max(sundays)


def _sunday_of(day: date) -> date:
    return day + timedelta(days=6 - day.weekday())


def review_week(context: ReviewContext, now: datetime | None = None) -> ReviewResult:
    """Review a week, by the newest measurement of each of its days and of the four weeks before.

    Args:
        context: The week.
        now: Moment that decides which weeks are over, and by which policy; by default the present.

    Raises:
        InputError: If the day is no Sunday, or the week is not over.
        NotReadyError: If there is no champion, or no day of the week was measured.
    """
    stores, state = context.stores, context.stores.ledger.state()
    moment = now or present(state)
    require_reviewable(state, context.cadence, context.last_day, now or present_of_days(state))
    week = _reviewed(state, context.cadence, context.last_day)
    measurements = _measured(state, week, weeks=WEEKS_BEFORE + 1)
    policy = state.part(Policies).in_force(moment.date()).policy
    measured = _read(stores, measurements)
    rows = review_rows(week, measured, policy)
    gates, judged = _judged_gates(stores, state, context.cadence)
    proposed = proposals(rows, gates, policy, are_bands_settled=_are_bands_settled(state, measured, week, policy))
    # Measurements have entries of their own, which keep them.
    facts = {
        "known_until": max(each.known_until for each in measurements),
        "policy": policy.version,
        "champion": week.champion,
        "challenger": week.challenger,
        "measurements": [each.product_version for each in measurements],
        "judgements": judged,
    }
    result = StageResult({PRODUCT: rows}, {}, facts, lambda: _summary(rows, proposed, week))
    return ReviewResult(result, proposed)


def require_reviewable(state: LedgerState, cadence: str, last_day: date, now: datetime) -> None:
    """Refuse a week that has not ended, or of which there is nothing to review.

    Raises:
        InputError: If the day is no Sunday, or not over.
        NotReadyError: If there is no champion, or no day of the week was measured.
    """
    if last_day.weekday() != WEEK_DAYS - 1:
        raise InputError(
            f"{last_day} is a {last_day:%A}; weeks end on Sundays.",
            remedy=f"Name the week by its Sunday, {_sunday_of(last_day)}.",
            last_day=last_day,
        )
    if last_day > last_day_over(now):
        name = ReviewedWeek("", last_day, "").name
        raise InputError(
            f"Week {name} is not over: it ends with {last_day} (UTC).",
            remedy="Review the week before, or wait until it has ended and its sales have come.",
            week=name,
            last_day=last_day,
        )
    week = _reviewed(state, cadence, last_day)
    if not _measured(state, week, weeks=1):
        raise _nothing_measured(cadence, f"No forecasts of {cadence} runs have been measured in week {week.name}.")


def _reviewed(state: LedgerState, cadence_name: str, last_day: date) -> ReviewedWeek:
    cadence, channels = CADENCES[cadence_name], state.part(Channels)
    champion, challenger = channels.target(cadence.champion), channels.target(cadence.challenger)
    if champion is None:
        raise NotReadyError(
            f"No version is `{cadence.champion}`: there is nothing to review.",
            remedy=Sentence(
                "Appoint one: ",
                Action("promote", {"channel": cadence.champion, "by": "NAME", "reason": "TEXT"}, on=("VERSION",)),
                ".",
            ),
            cadence=cadence.name,
        )
    return ReviewedWeek(cadence.name, last_day, champion, None if challenger == champion else challenger)


def _measured(state: LedgerState, week: ReviewedWeek, *, weeks: int) -> list[Measurement]:
    """The newest measurement of each day of a week and of those before, oldest day first."""
    days = [week.last_day - timedelta(days=back) for back in reversed(range(WEEK_DAYS * weeks))]
    return state.part(Measurements).newest_of(week.cadence, days)


def _nothing_measured(cadence: str, words: str) -> NotReadyError:
    return NotReadyError(
        words,
        remedy=Sentence("Ingest the sales of its days, then measure them: ", Action("accuracy"), "."),
        cadence=cadence,
    )


def _read(stores: Stores, measurements: Sequence[Measurement]) -> pl.DataFrame:
    versions = [stores.predictions.version(each.product_version) for each in measurements]
    return pl.concat([stores.predictions.read(version, (*READ, "cadence")) for version in versions])


def _judged_gates(stores: Stores, state: LedgerState, cadence: str) -> tuple[list[pl.DataFrame], list[str]]:
    """The gates of the versions that were judged last, newest first, and the hashes of these judgements."""
    newest = [judged[-1] for (_, of), judged in state.part(Judgements).by_version.items() if of == cadence and judged]
    last = sorted(newest, key=lambda each: -each.sequence)[:VERSIONS_UNBOUND]
    versions = [each.product_version for each in last]
    return [stores.predictions.read(stores.predictions.version(version)) for version in versions], versions


def _are_bands_settled(state: LedgerState, measured: pl.DataFrame, week: ReviewedWeek, policy: Policy) -> bool:
    """Whether the runs behind the champion's figures of the weeks in a row have the bands of a policy.

    Other runs of those days, as longer ones and corrections, are in none of these figures. A run that names no policy
    has the bands of the release.
    """
    policies = state.part(Policies)
    first, _ = week.days(WEEKS_IN_A_ROW - 1)
    own = newest_runs(measured, week.champion).filter(pl.col("target_date").is_between(first, week.last_day))
    runs = (state.publications.get(RunKey(**row)) for row in own.select(_IDENTITY).unique().iter_rows(named=True))
    named = {run.policy if run is not None else "" for run in runs}
    known = [policies.called(version) for version in named]
    return all(each is not None and each.policy.risk_bands == policy.risk_bands for each in known)


def record_review(
    context: ReviewContext, version: ProductVersion, reviewed: ReviewResult, *, since: int
) -> tuple[WeekReview, bool]:
    """Record a review, unless the newest one of the week says the same.

    Args:
        context: The week.
        version: The stored figures.
        reviewed: What they were stored from.
        since: The newest entry of the week when measurements were read.

    Returns:
        The newest review of the week, and whether this call recorded it.

    Raises:
        LostRaceError: If another process recorded another one in between.
    """
    record = WeekReview(
        context.cadence, context.week, version.version, version.files[0].sha256, version.facts["known_until"],
        version.facts["policy"], reviewed.proposals,
    )  # fmt: skip
    return context.stores.predictions.record_review(record, since=since)


def _summary(rows: pl.DataFrame, proposed: Sequence[ProposedChange], week: ReviewedWeek) -> Summary:
    moved = rows.filter(pl.col("is_beyond_chance") | pl.col("is_beyond_bound"))
    return {
        "shifts_beyond_chance_or_bounds": moved.height,
        "proposals": pl.DataFrame([vars(each) for each in proposed], schema=["key", "before", "after", "reason"]),
        "moved": moved.select("role", "kpi", "segment_kind", "segment", "figure", "shift", "chance"),
        "weeks": as_markdown_image(review_png(rows, title=f"{week.champion}, up to {week.name}"), "figures by week"),
    }
