"""When runs start: schedules of both cadences, and sensors that wait for inputs, snapshots and promotions.

What belongs here: deciding that a run is due, or naming what it waits for. What does not: running anything.

Channels are resolved here, once, when a run is launched; the run itself names its version. Every live version is
scored, the champion first, so that a rollback finds rows. What is published is never run again: a restated day changes
nothing by itself.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Final

import dagster as dg

from forecast_assets.accuracy.inputs import due_days
from forecast_assets.core.actions import Action
from forecast_assets.core.errors import FIRST, HorizonError, NotReadyError, NotStagedError, RefusedError
from forecast_assets.core.keys import CADENCES, DAILY, Cadence, RunKey, last_day_over
from forecast_assets.presentation.actions import command_line, error_text
from forecast_assets.scoring.preconditions import require_given, require_horizon, require_servable
from forecast_assets.settings import Settings
from forecast_assets.snapshots.stage import known_history, readiness
from partitions import model_versions, scoring_partition
from resources.ledger.channels import FORMER_CHAMPION_LIVE_FOR, live_versions
from resources.ledger.present import present, present_of_days
from resources.orchestration.dagster_home import Launches
from resources.orchestration.dagster_resources import StoresResource
from resources.store.provenance import code_version
from resources.stores.home import Stores

SENSOR_SECONDS: Final = 60
# Prediction dates that sensors look back, so that days whose rows came late are caught up.
DATES_LOOKED_BACK: Final[Mapping[str, int]] = {"daily": 14, "weekly": 4}
# As far as the longest horizon: what restates an older day is measured by hand.
ACCURACY_DAYS_LOOKED_BACK: Final = 90
# Of a request that names the newest ledger entry: the next entry makes another one of it.
TRIED_AGAIN: Final = "failed; it is tried again after the next ledger entry"

_Ask = Callable[[], dg.RunRequest | str]


def build_schedules(settings: Settings, stores: StoresResource, feature_pipeline: str) -> list[dg.ScheduleDefinition]:
    """Build a schedule per cadence: the snapshot of the date that has just ended, if its inputs are complete."""
    return [_schedule(settings, stores, cadence, feature_pipeline) for cadence in CADENCES.values()]


def _schedule(
    settings: Settings, stores: StoresResource, cadence: Cadence, feature_pipeline: str
) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{cadence.name}_at_the_scheduled_hour",
        job_name=feature_pipeline,
        cron_schedule=f"0 {settings.schedule_hour_utc} * * {cadence.cron_day_after}",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Makes the feature snapshot of the {cadence.name} prediction date that has just ended; scoring "
        f"with `{cadence.champion}`, then with the other live versions, follows it.",
    )
    def scheduled(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        ended = cadence.newest_date(last_day_over(context.scheduled_execution_time))
        ask = _snapshot_of(stores.reopened(), settings.feed_tolerance)
        return first_request([partial(ask, ended)], Launches(context.instance, feature_pipeline))

    return scheduled


def build_sensors(
    settings: Settings, stores: StoresResource, feature_pipeline: str, scoring_jobs: Mapping[Cadence, str]
) -> list[dg.SensorDefinition]:
    """Build the sensors: snapshot when inputs are complete, scoring when snapshot and champion are there."""

    @dg.sensor(
        name="snapshot_when_inputs_are_complete",
        job_name=feature_pipeline,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Launches the snapshot of the oldest day that is due once all its inputs are there; says what is "
        "missing.",
    )
    def snapshot(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        opened = stores.reopened()
        waiting = SensorCursor.read(context.cursor, opened.ledger.state().sequence, settings.feed_tolerance)
        launches = Launches(context.instance, feature_pipeline)
        answer = snapshot_request(opened, settings.feed_tolerance, launches, waiting)
        context.update_cursor(waiting.text)
        return answer

    return [snapshot, *(_scoring_sensor(stores, cadence, job) for cadence, job in scoring_jobs.items())]


@dataclass
class SensorCursor:
    """What the days that are due were found to lack, so that nothing is read again while it cannot have changed.

    Attributes:
        as_of: Ledger entry, tolerance and code that the reasons rest on.
        reasons: What is waited for, by day.
    """

    as_of: list[int | float | str]
    reasons: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, cursor: str | None, sequence: int, feed_tolerance: float) -> "SensorCursor":
        """Return what a sensor's cursor remembers, or nothing where it rests on something else."""
        as_of: list[int | float | str] = [sequence, feed_tolerance, code_version()]
        kept = json.loads(cursor) if cursor else {}
        return cls(as_of, kept["reasons"] if kept.get("as_of") == as_of else {})

    @property
    def text(self) -> str:
        """The cursor."""
        return json.dumps({"as_of": self.as_of, "reasons": self.reasons})


def snapshot_request(
    stores: Stores,
    feed_tolerance: float,
    launches: Launches,
    waiting: SensorCursor | None = None,
    now: datetime | None = None,
) -> dg.RunRequest | dg.SkipReason:
    """Return the request for the first day that is due and complete, or what is waited for.

    Due are the days without a snapshot after the oldest of the last two weeks that has one; in a store without one, the
    newest day alone. Besides, the dates that a live version waits for.

    Args:
        stores: Where everything is.
        feed_tolerance: Share by which the rows of a day may fall short of the usual.
        launches: What has been launched.
        waiting: What was found before, as of this state of the ledger; what is found now is added.
        now: Moment that decides which days are over and which versions are live; by default the present.
    """
    try:
        newest, later = _newest_over(stores, now)
    except NotReadyError as error:
        return dg.SkipReason(error_text(error))

    def is_made(day: date) -> bool:
        return stores.predictions.is_staged("feature_snapshots", day)

    waited_for = [
        day
        for cadence in CADENCES.values()
        for version in _live(stores, cadence, now)
        for day in _due_with(stores, cadence, version, newest)
    ]
    due = sorted({*_due(newest, DAILY, is_made), *(day for day in waited_for if not is_made(day))})
    ask = _snapshot_of(stores, feed_tolerance, waiting)
    asks: list[_Ask] = [partial(ask, day) for day in due]
    return first_request([*(asks or [lambda: f"The snapshot of {newest} is there."]), *later], launches)


def _newest_over(stores: Stores, now: datetime | None) -> tuple[date, Sequence[Callable[[], str]]]:
    """Return the newest day of sales that is over, and what is to be said of later ones, if there are any.

    A day is over at midnight in Greenwich: only then is there a partition of it. Stores east of there deliver a day
    before it is over; and a slip of a source may be a day years ahead.

    Raises:
        NotReadyError: If there are no sales of a day that is over.
    """
    over = last_day_over(now or present_of_days(stores.ledger.state()))
    newest, last = (stores.observations.newest_day("sales", until=until) for until in (over, None))
    running = over + timedelta(days=1)
    waits = f"{running} is not over: its run starts after {running + timedelta(days=1)} 00:00 UTC."
    if last <= over:
        return newest, ()
    if last == running:
        return newest, [lambda: waits]
    return newest, [lambda: f"{waits} `sales` have rows up to {last}: look whether that day is a slip."]


def _due(newest: date, cadence: Cadence, is_done: Callable[[date], bool]) -> list[date]:
    """Return the dates that are not done after the oldest that is, oldest first; if none is done, the newest alone."""
    dates = _dates_back(newest, cadence)
    first = next((at for at, day in enumerate(dates) if is_done(day)), len(dates) - 1)
    return [day for day in dates[first:] if not is_done(day)]


def _dates_back(newest: date, cadence: Cadence) -> list[date]:
    between = timedelta(days=1 if cadence.weekday is None else 7)
    last = cadence.newest_date(newest)
    return [last - between * back for back in reversed(range(DATES_LOOKED_BACK[cadence.name]))]


def _live(stores: Stores, cadence: Cadence, now: datetime | None) -> list[str]:
    state = stores.ledger.state()
    return [version.model_version for version in live_versions(state, cadence, now or present(state))]


def _due_with(stores: Stores, cadence: Cadence, version: str, newest: date) -> list[date]:
    """Return the dates that a version has not published and may serve.

    The same rule for every live version: the newest date, then whatever it misses after the oldest that it has. So one
    that becomes live begins with the newest date, and one that was the champion goes on where it stopped. The clock is
    no help here: prediction dates of a store of past data are years before the moment of a promotion.
    """
    state = stores.ledger.state()
    start, cutoff = state.start_date or newest, state.versions[version].cutoff
    due = _due(newest, cadence, lambda day: _key(cadence, day, version) in state.publications)
    return [day for day in due if day >= max(start, cutoff)]


def _key(cadence: Cadence, day: date, version: str) -> RunKey:
    return RunKey(cadence.name, day, version, cadence.default_horizon)


def first_request(
    asks: Iterable[Callable[[], dg.RunRequest | str]], launches: Launches, *, launched_before: str = TRIED_AGAIN
) -> dg.RunRequest | dg.SkipReason:
    """Return the first request that can be run now, or why none can; one run at a time, in order.

    Args:
        asks: Each returns a request, or why there is none.
        launches: What has been launched.
        launched_before: What is to be said of a run that was launched before and is not under way.
    """
    reasons: list[str] = []
    left = iter(asks)
    for ask in left:
        answer = ask()
        if isinstance(answer, str):
            reasons.append(answer)
        elif launches.is_under_way(answer):
            follows = "" if next(left, None) is None else "; what comes after it follows"
            reasons = [*reasons[: FIRST - 1], f"The run of {answer.partition_key} is under way{follows}."]
            break
        elif launches.has_run(answer):
            reasons.append(f"The run of {answer.partition_key} {launched_before}.")
        else:
            return answer
    return dg.SkipReason(" ".join(reasons[:FIRST]))


def _snapshot_of(
    stores: Stores, feed_tolerance: float, waiting: SensorCursor | None = None
) -> Callable[[date], dg.RunRequest | str]:
    known = {} if waiting is None else waiting.reasons

    def ask(day: date) -> dg.RunRequest | str:
        if stores.predictions.is_staged("feature_snapshots", day):
            return f"The snapshot of {day} is there."
        state = stores.ledger.state()
        if state.start_date is None:
            return f"Nothing has been ingested: {command_line(Action('ingest', on=('...',)))}"
        if str(day) in known:
            return known[str(day)]
        missing = readiness(known_history(stores, day), feed_tolerance).missing
        if missing:
            known[str(day)] = f"Waiting for the inputs of {day}: {'; '.join(missing)}."
            return known[str(day)]
        # A run that failed is asked for again once something has changed: an ingest is a ledger entry.
        return dg.RunRequest(run_key=f"snapshot/{day}/{state.sequence}", partition_key=day.isoformat())

    return ask


def _scoring_sensor(stores: StoresResource, cadence: Cadence, job: str) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{cadence.name}_scoring_when_snapshot_and_champion_are_there",
        job_name=job,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Scores the oldest snapshot that is due with `{cadence.champion}`, then with the other live "
        f"versions: `{cadence.challenger}`, and who was champion in the last {FORMER_CHAMPION_LIVE_FOR.days} days.",
    )
    def scoring(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        return scoring_request(stores.reopened(), cadence, Launches(context.instance, job))

    return scoring


def scoring_request(
    stores: Stores, cadence: Cadence, launches: Launches, now: datetime | None = None
) -> dg.SensorResult | dg.SkipReason:
    """Return the request for the oldest date that is due with a live version, or why there is none.

    The dates of the champion come first: no other version makes it late, and none that cannot serve holds up the rest.

    Args:
        stores: Where everything is.
        cadence: Rhythm of the runs.
        launches: What has been launched.
        now: Moment that decides which days are over and which versions are live; by default the present.
    """
    live = _live(stores, cadence, now)
    if not live:
        promote = Action("promote", {"channel": cadence.champion, "by": "NAME", "reason": "TEXT"}, on=("VERSION",))
        return dg.SkipReason(f"No {cadence.champion}: {command_line(promote)}.")
    try:
        newest, later = _newest_over(stores, now)
    except NotReadyError as error:
        return dg.SkipReason(error_text(error))
    asks = chain.from_iterable(_asks_of(stores, cadence, version, newest) for version in live)
    answer = first_request(chain(asks, later), launches)
    if isinstance(answer, dg.SkipReason):
        return answer
    return dg.SensorResult(run_requests=[answer], dynamic_partitions_requests=[model_versions.build_add_request(live)])


def _asks_of(
    stores: Stores, cadence: Cadence, version: str, newest: date
) -> Sequence[Callable[[], dg.RunRequest | str]]:
    due = _due_with(stores, cadence, version, newest)
    if due:
        return [partial(_scoring_of, stores, _key(cadence, day, version)) for day in due]
    return [partial(_nothing_due, stores, _key(cadence, cadence.newest_date(newest), version))]


def _nothing_due(stores: Stores, key: RunKey) -> str:
    state = stores.ledger.state()
    done = state.publications.get(key)
    if done is not None:
        return f"{done.key} is published (ledger entry {done.sequence})."
    return (
        f"`{key.model_version}` was trained on days up to {state.versions[key.model_version].cutoff}; the newest "
        f"{key.cadence} date with sales is {key.prediction_date}."
    )


def _scoring_of(stores: Stores, key: RunKey) -> dg.RunRequest | str:
    model = stores.registry.model_version(key.model_version)
    try:
        require_servable(key, model)
        require_horizon(stores, key, model)
        require_given(stores, key, model)
    except (HorizonError, NotStagedError, RefusedError) as error:
        return error_text(error)
    if not stores.predictions.is_staged("feature_snapshots", key.prediction_date):
        return f"Waiting for the snapshot of {key.prediction_date}."
    snapshot = stores.predictions.staged("feature_snapshots", key.prediction_date).version
    run_key = f"{key}/{snapshot[:12]}/{stores.ledger.state().sequence}"
    return dg.RunRequest(run_key=run_key, partition_key=scoring_partition(key.prediction_date, key.model_version))


def build_accuracy_sensors(
    settings: Settings, stores: StoresResource, jobs: Mapping[Cadence, str]
) -> list[dg.SensorDefinition]:
    """Build a sensor per cadence that measures past forecasts as sales arrive."""
    return [_accuracy_sensor(settings, stores, cadence, job) for cadence, job in jobs.items()]


def _accuracy_sensor(settings: Settings, stores: StoresResource, cadence: Cadence, job: str) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{cadence.name}_accuracy_when_sales_arrive",
        job_name=job,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Measures the published {cadence.name} forecasts of each day whose sales have arrived or were "
        f"restated, oldest first, of the last {ACCURACY_DAYS_LOOKED_BACK} days.",
    )
    def accuracy(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return accuracy_request(stores.reopened(), cadence, settings.feed_tolerance, Launches(context.instance, job))

    return accuracy


def accuracy_request(
    stores: Stores, cadence: Cadence, feed_tolerance: float, launches: Launches, now: datetime | None = None
) -> dg.RunRequest | dg.SkipReason:
    """Return the request for the oldest day that is due, or what is waited for.

    The newest day has to be complete; one before it is measured with the rows that there are, and again when more come.

    Args:
        stores: Where everything is.
        cadence: Rhythm of the runs.
        feed_tolerance: Share by which the rows of a day may fall short of the usual.
        launches: What has been launched.
        now: Moment that decides which days are over; by default the present.
    """
    try:
        newest, later = _newest_over(stores, now)
    except NotReadyError as error:
        return dg.SkipReason(error_text(error))
    due = due_days(stores, cadence.name, newest - timedelta(days=ACCURACY_DAYS_LOOKED_BACK), newest)
    ask = _accuracy_of(stores, cadence, newest, feed_tolerance)
    asks: list[_Ask] = [partial(ask, day) for day in due]
    done = f"Every published {cadence.name} forecast of a day up to {newest} is measured."
    return first_request([*(asks or [lambda: done]), *later], launches)


def _accuracy_of(
    stores: Stores, cadence: Cadence, newest: date, feed_tolerance: float
) -> Callable[[date], dg.RunRequest | str]:
    def ask(day: date) -> dg.RunRequest | str:
        missing = readiness(known_history(stores, day), feed_tolerance).missing if day == newest else ()
        if missing:
            return f"Waiting for the inputs of {day}: {'; '.join(missing)}."
        run_key = f"accuracy/{cadence.name}/{day}/{stores.ledger.state().sequence}"
        return dg.RunRequest(run_key=run_key, partition_key=day.isoformat())

    return ask
