"""What is asked of a run or a training: which one, with which settings, correcting what.

What belongs here: requests as doors hand them on, whole. What does not: doing anything about them.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import RunKey


@dataclass(frozen=True)
class RunOptions:
    """What may differ from run to run, and how much of the machine it may use.

    Attributes:
        history_days: Days of history that models read.
        risk_paths: Simulated stock paths per series.
        workers: Processes that fit series; None for all cores.
        policy: Version of the policy whose risk bands hold; empty for those of the model version, as where nobody has
            applied a policy; None for the policy in force when the run is made.
        overrides: Ids of the overrides of planners that move its forecasts; None for those in force when it is made.
        observed_until: Of a revision, the newest day that has been sold: days up to it are moved by what moved them in
            the revision before; None for that of today.
    """

    history_days: int = 364
    risk_paths: int = 300
    workers: int | None = None
    policy: str | None = None
    overrides: tuple[str, ...] | None = None
    observed_until: date | None = None


DEFAULT_OPTIONS: Final = RunOptions()


@dataclass(frozen=True)
class CorrectionRequest:
    """What makes a run the correction of one that is published.

    Attributes:
        known_until: Moment of knowledge, in UTC; rows that became known later do not exist for the run.
        by: Who decided; may be empty only where nothing is published.
        reason: Why, likewise.
        of_overrides: Whether it is made for overrides alone: from the forecasts of the revision before, which is of the
            same moment of knowledge.
    """

    known_until: datetime
    by: str = ""
    reason: str = ""
    of_overrides: bool = False


@dataclass(frozen=True)
class RunRequest:
    """A run that is asked for.

    Attributes:
        key: Which.
        options: With which settings.
        correction: What it corrects and why; for revisions from 1, and only for them.
    """

    key: RunKey
    options: RunOptions = DEFAULT_OPTIONS
    correction: CorrectionRequest | None = None

    @property
    def known_until(self) -> datetime | None:
        """The moment of knowledge of a correction; None for that of the date itself."""
        return None if self.correction is None else self.correction.known_until


@dataclass(frozen=True)
class TrainingRequest:
    """A model version that is asked for.

    Attributes:
        model_version: Its name.
        family: Model family.
        cutoff: Last day that training may see.
        horizon: Days ahead that it is for; None for those of a daily run.
        given_versions: Product versions of the first file of an external version, oldest date first.
        evaluated_on: Prediction date of the snapshot whose sales an external version is measured on.
        evaluates: Whether to make the evaluation report too, without which a version cannot be registered.
    """

    model_version: str
    family: str
    cutoff: date
    horizon: int | None = None
    given_versions: tuple[str, ...] = ()
    evaluated_on: date | None = None
    evaluates: bool = True


def parse_moment(text: str) -> datetime:
    """Read a moment as ISO 8601 in UTC; what names no zone is UTC.

    Raises:
        InputError: If it is none.

    Example:
        >>> parse_moment("2025-07-03T06:00:00").isoformat()
        '2025-07-03T06:00:00+00:00'
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"`{text}` is not a moment.", remedy="Write it as 2025-07-03T06:00:00+00:00.") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
