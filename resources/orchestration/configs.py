"""Requests in the form that Dagster's configuration has: whole, and back again.

What belongs here: what may be configured of a run, a training, a measurement or a decision about a version. What does
not: doing anything about it.
"""

from datetime import date
from typing import Any

import dagster as dg

from forecast_assets.core.run import CorrectionRequest, TrainingRequest, parse_moment


class CorrectionConfig(dg.Config):
    """What makes a run a correction.

    Attributes:
        known_until: Moment of knowledge, ISO 8601; what names no zone is UTC.
        by: Who decided.
        reason: Why.
        of_overrides: Whether it is made for overrides alone; see `core.run.CorrectionRequest`.
    """

    known_until: str
    by: str
    reason: str
    of_overrides: bool = False

    @classmethod
    def of(cls, request: CorrectionRequest) -> "CorrectionConfig":
        """Return a request in Dagster's form."""
        return cls(
            known_until=request.known_until.isoformat(),
            by=request.by,
            reason=request.reason,
            of_overrides=request.of_overrides,
        )

    @property
    def request(self) -> CorrectionRequest:
        """The request.

        Raises:
            InputError: If its moment of knowledge is none.
        """
        return CorrectionRequest(parse_moment(self.known_until), self.by, self.reason, self.of_overrides)


class TrainingConfig(dg.Config):
    """What to train; see `core.run.TrainingRequest`, with dates as 2024-06-11."""

    family: str = "statistical"
    cutoff: str
    horizon: int | None = None
    given_versions: list[str] = []  # noqa: RUF012
    evaluated_on: str | None = None

    @classmethod
    def of(cls, request: TrainingRequest) -> "TrainingConfig":
        """Return a request in Dagster's form; the version is the partition."""
        later = request.evaluated_on
        return cls(
            family=request.family,
            cutoff=request.cutoff.isoformat(),
            horizon=request.horizon,
            given_versions=[*request.given_versions],
            evaluated_on=None if later is None else later.isoformat(),
        )

    def request(self, model_version: str) -> TrainingRequest:
        """Return what is asked for of a version."""
        cutoff = date.fromisoformat(self.cutoff)
        later = None if self.evaluated_on is None else date.fromisoformat(self.evaluated_on)
        return TrainingRequest(model_version, self.family, cutoff, self.horizon, tuple(self.given_versions), later)


class JudgementConfig(dg.Config):
    """For the channels of which cadence a version is judged.

    Attributes:
        cadence: `daily` or `weekly`.
    """

    cadence: str = "daily"


class PromotionConfig(dg.Config):
    """Which channel is to point at which version; as the command `promote`.

    Attributes:
        model_version: The version.
        by: Who decides.
        reason: Why.
        channel: The channel.
        overrides: Gates of merit that it fails and that are not to count.
        on_evidence: Whether only if the newest verdict of its trial says that it is better than the champion.
    """

    model_version: str
    by: str
    reason: str
    channel: str = "champion"
    overrides: list[str] = []  # noqa: RUF012
    on_evidence: bool = False


class ChallengerConfig(dg.Config):
    """Which version is to challenge the champion, in how many stores; as the command `challenger`.

    Attributes:
        model_version: The version; left out where the trial is to stop.
        by: Who decides.
        reason: Why.
        cadence: `daily` or `weekly`.
        share: Share of stores that follow it; None for that of the trial that runs, else none of them.
        first_day: Target date from which on evidence counts, ISO 8601; None for the first that nobody has seen.
        salt: What stores are hashed with; None for the names of cadence and challenger.
        rules: Rules of the trial that are not the usual ones, by name, such as `forecast_horizon`.
        stop: Whether the trial that runs is to end instead.
    """

    model_version: str = ""
    by: str
    reason: str
    cadence: str = "daily"
    share: float | None = None
    first_day: str | None = None
    salt: str | None = None
    rules: dict[str, Any] = {}  # noqa: RUF012
    stop: bool = False


class RollbackConfig(dg.Config):
    """Which channel is to go back; as the command `rollback`.

    Attributes:
        by: Who decides.
        reason: Why.
        channel: The channel.
        to: A version that it pointed at; None for the one before the present one.
    """

    by: str
    reason: str
    channel: str = "champion"
    to: str | None = None


class RetirementConfig(dg.Config):
    """Which version serves no more; as the command `retire`.

    Attributes:
        model_version: The version.
        by: Who decides.
        reason: Why.
        undo: Whether it serves again instead.
    """

    model_version: str
    by: str
    reason: str
    undo: bool = False


class MeasurementConfig(dg.Config):
    """What may differ from one measurement to the next.

    Attributes:
        shows: Whether to draw pictures and build the BI catalogue afterwards; of many days only the last needs them.
    """

    shows: bool = True


class AssignmentConfig(dg.Config):
    """What may differ from one assignment of a date to the next.

    Attributes:
        shows: Whether to build the BI catalogue afterwards; of many dates only the last needs it.
    """

    shows: bool = True
