"""Probes of what has to come by a time: feeds, runs, and the clock by which both are judged.

What belongs here: by when a day and a run are due, and what is late. What does not: starting a run, or why a feed is.

A home of past days would always be late, so feeds and runs are watched where the setting `freshness` says that it gets
new ones.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import first_ten
from forecast_assets.core.health import HealthFinding
from forecast_assets.core.keys import CADENCES, Cadence
from forecast_assets.core.wording import counted, moment_text
from forecast_assets.operations.health.look import HomeLook, Seen, not_watched
from forecast_assets.snapshots.stage import known_history, readiness
from resources.ledger.present import clock_behind
from resources.stores.moments import DAILY_FEEDS, moments_of

_OFF: Final = "not watched: FORECAST_ASSETS_FRESHNESS is off"
# Later than that nobody waits for it any more: the newest day alone is told.
_DAYS_BACK: Final = 14


def due_at(look: HomeLook, day: date) -> datetime:
    """Return when the inputs of a day have to be there: the scheduled hour after it, or their declared lag if later.

    Args:
        look: With settings, and with the lags that deliveries declared.
        day: The day.
    """
    scheduled = datetime.combine(day + timedelta(days=1), time(look.settings.schedule_hour_utc), UTC)
    return max(scheduled, moments_of(day, look.state.batches.values()).known_until)


def newest_due(look: HomeLook, grace: timedelta) -> date:
    """Return the newest day whose inputs have been due for so long."""
    day = look.now.date() - timedelta(days=1)
    while due_at(look, day) + grace > look.now:
        day -= timedelta(days=1)
    return day


def late_feeds(look: HomeLook) -> Seen:
    """Look whether each daily feed that ever came has reached the newest day that is due."""
    if not look.settings.freshness:
        return not_watched(_OFF)
    newest: dict[str, date] = {}
    for batch in look.state.batches.values():
        if batch.feed in DAILY_FEEDS:
            newest[batch.feed] = max(batch.last_event_date, newest.get(batch.feed, date.min))
    if not newest:
        return not_watched("nothing has been ingested")
    due = newest_due(look, _grace(look))
    late = tuple(
        HealthFinding(
            "late-feed",
            feed,
            f"`{feed}` ends on {day}; {due} was due at {moment_text(due_at(look, due).isoformat())}.",
            Sentence("Ask the owner of the source; see how far each feed is: ", Action("feeds"), "."),
            {"feed": feed, "newest_day": day.isoformat(), "due_day": due.isoformat()},
        )
        for feed, day in sorted(newest.items())
        if day < due
    )
    return Seen(f"{', '.join(sorted(newest))} up to {min(newest.values())}", late)


def late_runs(look: HomeLook) -> Seen:
    """Look whether the champion of each cadence has published the newest date that is due."""
    if not look.settings.freshness:
        return not_watched(_OFF)
    followed = [cadence for cadence in CADENCES.values() if look.state.channel(cadence.champion)]
    if not followed:
        return not_watched("no channel points at a version")
    due = newest_due(look, _grace(look))
    found = [finding for cadence in followed if (finding := _late_run(look, cadence, due)) is not None]
    return Seen(f"{' and '.join(cadence.name for cadence in followed)}: published up to what is due", tuple(found))


def _late_run(look: HomeLook, cadence: Cadence, due: date) -> HealthFinding | None:
    state, day = look.state, cadence.newest_date(due)
    version = str(state.channel(cadence.champion))
    published = [
        key.prediction_date for key in state.publications if (key.cadence, key.model_version) == (cadence.name, version)
    ]
    # A version scores no date before its own days, and a new champion begins with the newest date.
    is_first = not published and _promoted_on(look, cadence) > day
    if day in published or day < state.versions[version].cutoff or is_first:
        return None
    missing = _missing(look, day)
    why = f": {first_ten(missing)}" if missing else ""
    run = Action("run", {"cadence": cadence.name, "date": day, "model_version": version})
    return HealthFinding(
        "late-run",
        cadence.name,
        f"The {cadence.name} run of {day} with `{version}` is not published{why}.",
        Sentence("Ingest what is missing; then: ", run, "."),
        {"cadence": cadence.name, "prediction_date": day.isoformat(), "model_version": version, "missing": missing},
    )


def _promoted_on(look: HomeLook, cadence: Cadence) -> date:
    moves = [move for move in look.state.channel_moves if move.channel == cadence.champion]
    return datetime.fromisoformat(moves[-1].recorded_at).date()


def _missing(look: HomeLook, day: date) -> tuple[str, ...]:
    """Return what the inputs of a day lack; read once per ledger entry, since it takes reading rows."""
    if look.stores.predictions.is_staged("feature_snapshots", day):
        return ()
    tolerance = look.settings.feed_tolerance
    found: tuple[str, ...] = look.remembered.get(
        f"missing of {day}",
        (look.state.sequence, tolerance),
        lambda: readiness(known_history(look.stores, day), tolerance).missing,
    )
    return found


def _grace(look: HomeLook) -> timedelta:
    return timedelta(hours=look.settings.freshness_grace_hours)


def clock(look: HomeLook) -> Seen:
    """Look whether the clock is behind what the ledger has recorded."""
    behind = clock_behind(look.state)
    if behind is None:
        return Seen(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, after the newest entry")
    minutes = round(behind / timedelta(minutes=1))
    entry = look.state.sequence
    found = HealthFinding(
        "clock-behind",
        "clock",
        f"The clock is {counted(minutes, 'minute')} behind ledger entry {entry}, of {look.state.recorded_at}.",
        Sentence(
            "Set the clock right; if it is, a machine whose clock was ahead wrote that entry: look which, ",
            Action("log"),
            ".",
        ),
        {"sequence": entry, "minutes": minutes},
    )
    return Seen("behind the ledger", (found,))
