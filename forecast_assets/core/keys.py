"""Names of things: cadences, publication keys, prediction ids, and which version names are allowed.

What belongs here: identity. What does not: reading or writing anything.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Self

from forecast_assets.core.errors import HorizonError, InputError, NameNotAllowedError

# A series by the names of its store and its SKU.
StoreSku = tuple[str, str]

VERSION_PATTERN: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
# Schemas that DuckDB or the catalogue itself already use; a model version becomes a schema.
RESERVED_NAMES: Final = frozenset({"main", "temp", "system", "information-schema", "pg-catalog", "audit", "default"})
# The name of the catalogue's database, so that `catalogue.forecasts` would name two things. Stores may have such a
# version from before, or one that is called like a channel; no more are made.
_OF_THE_DATABASE: Final = "catalogue"


@dataclass(frozen=True)
class Cadence:
    """A rhythm of runs and the horizons, in days, that it may have.

    Attributes:
        name: Name.
        default_horizon: Days ahead if nobody says.
        shortest_horizon: Fewest days ahead.
        longest_horizon: Most days ahead.
        weekday: Day of the week of its prediction dates, Monday 0; None for every day.
        champion: Channel that its schedule follows.
        challenger: Channel of the version that is to prove itself beside the champion.
    """

    name: str
    default_horizon: int
    shortest_horizon: int
    longest_horizon: int
    weekday: int | None = None
    champion: str = "champion"
    challenger: str = "challenger"

    def allows(self, day: date) -> bool:
        """Whether ``day`` is a prediction date of the cadence."""
        return self.weekday is None or day.weekday() == self.weekday

    def newest_date(self, day: date) -> date:
        """Return the newest prediction date that is not after ``day``.

        Example:
            >>> WEEKLY.newest_date(date(2025, 7, 2)).isoformat()
            '2025-06-29'
        """
        return day if self.weekday is None else day - timedelta(days=(day.weekday() - self.weekday) % 7)

    @property
    def cron_day_after(self) -> str:
        """The day of the week after a prediction date, as cron counts from Sunday 0; `*` for every day.

        Example:
            >>> WEEKLY.cron_day_after
            '1'
        """
        return "*" if self.weekday is None else str((self.weekday + 2) % 7)

    def require_date(self, day: date) -> None:
        """Refuse a day that is no prediction date of the cadence.

        Raises:
            InputError: Naming the prediction date before it.
        """
        if not self.allows(day):
            before = self.newest_date(day)
            raise InputError(
                f"{day} is a {day:%A}; prediction dates of a {self.name} run are {before:%A}s.",
                remedy=f"Use the one before: --date {before}.",
                cadence=self.name,
                prediction_date=day,
                before=before,
            )

    def horizon(self, days: int | None) -> int:
        """Return the horizon to use, in days.

        Raises:
            HorizonError: If ``days`` is outside what the cadence allows.
        """
        if days is None:
            return self.default_horizon
        if not self.shortest_horizon <= days <= self.longest_horizon:
            raise HorizonError(
                f"A {self.name} run has a horizon of {self.shortest_horizon} to {self.longest_horizon} days, "
                f"not {days}.",
                remedy=f"Choose one in that range, or leave it out for {self.default_horizon}.",
                cadence=self.name,
                horizon=days,
                shortest=self.shortest_horizon,
                longest=self.longest_horizon,
            )
        return days


DAILY: Final = Cadence("daily", default_horizon=28, shortest_horizon=7, longest_horizon=30)
WEEKLY: Final = Cadence(
    "weekly",
    default_horizon=90,
    shortest_horizon=30,
    longest_horizon=90,
    weekday=6,
    champion="weekly-champion",
    challenger="weekly-challenger",
)
CADENCES: Final = {cadence.name: cadence for cadence in (DAILY, WEEKLY)}
CHANNELS: Final = [channel for cadence in CADENCES.values() for channel in (cadence.champion, cadence.challenger)]


def require_cadence(name: str) -> Cadence:
    """Return the cadence of a name.

    Raises:
        InputError: Naming those that there are.
    """
    if name not in CADENCES:
        raise InputError(f"There is no cadence `{name}`.", remedy=f"Use {' or '.join(CADENCES)}.", cadence=name)
    return CADENCES[name]


def cadence_of(channel: str) -> Cadence:
    """Return the cadence whose runs follow a channel.

    Example:
        >>> cadence_of("weekly-challenger").name
        'weekly'
    """
    return next(each for each in CADENCES.values() if channel in (each.champion, each.challenger))


def last_day_over(now: datetime) -> date:
    """Return the newest day that is over: days end at midnight in Greenwich, wherever the stores are.

    Example:
        >>> last_day_over(datetime(2025, 7, 1, tzinfo=UTC)), last_day_over(datetime(2025, 6, 30, 23, 59, tzinfo=UTC))
        (datetime.date(2025, 6, 30), datetime.date(2025, 6, 29))
    """
    return now.astimezone(UTC).date() - timedelta(days=1)


def require_version_name(name: str, *, is_new: bool = False) -> str:
    """Return ``name`` if it may name a model version.

    A version becomes a SQL schema, a folder and a partition key, so it is lower case, starts with a letter and holds
    only letters, digits and hyphens.

    Args:
        name: What somebody calls it.
        is_new: Whether the version is to be made.

    Raises:
        NameNotAllowedError: Otherwise, with the rule.

    Example:
        >>> require_version_name("global-3")
        'global-3'
    """
    reserved = RESERVED_NAMES | {_OF_THE_DATABASE, *CHANNELS} if is_new else RESERVED_NAMES
    if not VERSION_PATTERN.fullmatch(name) or name in reserved:
        raise NameNotAllowedError(
            f"`{name}` cannot name a model version.",
            remedy="Use a lower-case letter, then letters, digits and hyphens (at most 63), for example `stat-1`; "
            f"reserved: {', '.join(sorted(reserved))}.",
            model_version=name,
        )
    return name


@dataclass(frozen=True, order=True)
class RunKey:
    """What identifies a published run: cadence, prediction date, model version, horizon in days, revision."""

    cadence: str
    prediction_date: date
    model_version: str
    forecast_horizon: int
    revision: int = 0

    def __str__(self) -> str:
        """Return ``daily/2024-06-11/stat-1/14/r0``, the head of every prediction id of the run."""
        return (
            f"{self.cadence}/{self.prediction_date.isoformat()}/{self.model_version}/"
            f"{self.forecast_horizon}/r{self.revision}"
        )

    @property
    def arguments(self) -> dict[str, object]:
        """The arguments of an action that is about this run, whatever its revision."""
        return {
            "cadence": self.cadence,
            "date": self.prediction_date,
            "model_version": self.model_version,
            "horizon": self.forecast_horizon,
        }

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back what ``str`` wrote.

        Raises:
            InputError: If ``text`` is not such a key.

        Example:
            >>> RunKey.parse("daily/2024-06-11/stat-1/14/r0").forecast_horizon
            14
        """
        try:
            cadence, day, version, horizon, revision = text.split("/")
            return cls(cadence, date.fromisoformat(day), version, int(horizon), int(revision.removeprefix("r")))
        except ValueError as error:
            raise InputError(
                f"`{text}` is not a run key.", remedy="Expected cadence/date/version/horizon/rN."
            ) from error


@dataclass(frozen=True)
class PredictionId:
    """One published row: the run's key, then SKU, store and step. Derived, never stored row by row."""

    run: RunKey
    sku_id: str
    store_id: str
    step: int

    @property
    def target_date(self) -> date:
        """The day that is predicted."""
        return self.run.prediction_date + timedelta(days=self.step)

    def __str__(self) -> str:
        """Return the id as the catalogue's views print it; slashes inside identifiers are kept percent-encoded."""
        return f"{self.run}/{_quote(self.sku_id)}/{_quote(self.store_id)}/{self.step}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back what ``str`` wrote.

        Raises:
            InputError: If ``text`` is not a prediction id.

        Example:
            >>> PredictionId.parse("daily/2024-06-11/stat-1/14/r0/SKU-1/S-2/3").step
            3
        """
        parts = text.split("/")
        run_parts, row_parts = parts[:5], parts[5:]
        try:
            sku_id, store_id, step = row_parts
            found = cls(RunKey.parse("/".join(run_parts)), _unquote(sku_id), _unquote(store_id), int(step))
            # A row is of a day.
            str(found.target_date)
        except (ValueError, OverflowError) as error:
            raise InputError(
                f"`{text}` is not a prediction id.",
                remedy="Expected cadence/date/version/horizon/rN/sku/store/step, as in the views' `prediction_id`.",
            ) from error
        return found


def parse_run_or_row(text: str) -> tuple[RunKey, PredictionId | None]:
    """Read the key of a run, or a prediction id: return the run, and the row if one is named.

    Raises:
        InputError: If ``text`` is neither.

    Example:
        >>> parse_run_or_row("daily/2024-06-11/stat-1/14/r0/SKU-1/S-2/3")[0].forecast_horizon
        14
    """
    # A row's id goes on where the key of its run ends.
    if text.count("/") <= _SLASHES_OF_A_RUN:
        return RunKey.parse(text), None
    row = PredictionId.parse(text)
    return row.run, row


_SLASHES_OF_A_RUN: Final = 4


def _quote(identifier: str) -> str:
    return identifier.replace("%", "%25").replace("/", "%2F")


def _unquote(identifier: str) -> str:
    return identifier.replace("%2F", "/").replace("%25", "%")
