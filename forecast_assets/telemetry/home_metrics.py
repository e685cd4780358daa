"""Figures of a home: its ledger, feeds, newest runs, drift.

What belongs here: what the ledger's state, manifests and times of runs tell. What does not: how good forecasts were
(`quality_metrics`), or a process that serves.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from forecast_assets.core.keys import CADENCES, last_day_over
from forecast_assets.core.operational_metrics import OperationalMetric, Reading
from forecast_assets.settings import Settings
from resources.ledger.entries.drift import DriftRecords
from resources.ledger.entries.ingest import Batches
from resources.ledger.entries.publish import Publication
from resources.ledger.state import LedgerState
from resources.operational.traces import RunTimes, TraceStore
from resources.stores.home import Stores

LEDGER_SEQUENCE: Final = OperationalMetric("ledger_sequence", "gauge", "entries", "Newest entry of the ledger.")
LEDGER_TIME: Final = OperationalMetric(
    "ledger_head_timestamp_seconds", "gauge", "seconds", "When the newest entry was recorded, since 1970 in UTC."
)
LEDGER_AGE: Final = OperationalMetric(
    "ledger_head_age_seconds", "gauge", "seconds", "How long ago that was when this was read."
)
FEED_LAG: Final = OperationalMetric(
    "feed_lag_days",
    "gauge",
    "days",
    "Days that are over, in UTC, since the newest day that a feed speaks of; 0: it is up to date. Feeds that speak of "
    "days to come, such as plans, are below 0.",
    ("feed",),
)
RUN_DATE: Final = OperationalMetric(
    "run_prediction_date_age_days",
    "gauge",
    "days",
    "Days that are over since the prediction date of the champion's newest published run.",
    ("cadence",),
)
RUN_ROWS: Final = OperationalMetric(
    "run_rows", "gauge", "rows", "Rows of each product of the champion's newest published run.", ("cadence", "product")
)
RUN_CHECKS: Final = OperationalMetric(
    "run_accepted_checks",
    "gauge",
    "checks",
    "Checks that accepted the products of the champion's newest published run.",
    ("cadence",),
)
RUN_SECONDS: Final = OperationalMetric(
    "run_seconds",
    "gauge",
    "seconds",
    "How long the newest run took in all, from its snapshot to its end.",
    ("cadence",),
)
STAGE_SECONDS: Final = OperationalMetric(
    "run_stage_seconds",
    "gauge",
    "seconds",
    "How long each part of the newest run took; `check` is all its checks together.",
    ("cadence", "stage"),
)
RUN_ENDED: Final = OperationalMetric(
    "run_end_timestamp_seconds", "gauge", "seconds", "When the newest run ended, since 1970 in UTC.", ("cadence",)
)
RUN_SUCCEEDED: Final = OperationalMetric(
    "run_succeeded", "gauge", "flag", "1 if the newest run ended well, 0 if it failed.", ("cadence",)
)
CHECKS: Final = OperationalMetric(
    "run_checks", "gauge", "checks", "Checks of the newest run, by how they ended.", ("cadence", "outcome")
)
SIGNALS: Final = OperationalMetric(
    "drift_signals_open",
    "gauge",
    "signals",
    "Signals of drift that are told and have not been closed, by what is watched.",
    ("subject",),
)
HOME_METRICS: Final = (
    LEDGER_SEQUENCE, LEDGER_TIME, LEDGER_AGE, FEED_LAG, RUN_DATE, RUN_ROWS, RUN_CHECKS, RUN_SECONDS, STAGE_SECONDS,
    RUN_ENDED, RUN_SUCCEEDED, CHECKS, SIGNALS,
)  # fmt: skip
# What signals are about; each is read also where there is none, so that an alert sees it close.
_SUBJECTS: Final = ("feed", "feature", "forecast")


@dataclass(frozen=True)
class Home:
    """What figures of a home are read from.

    Attributes:
        settings: Of the home.
        stores: Of the home.
        now: The present moment, in UTC.
    """

    settings: Settings
    stores: Stores
    now: datetime


def home_readings(home: Home) -> Iterator[Reading]:
    """Read the figures of a home's ledger and runs.

    Raises:
        StorageError: If the ledger cannot be read.
        IntegrityError: If its chain is broken.
    """
    state = home.stores.ledger.state()
    yield LEDGER_SEQUENCE(state.sequence)
    if state.recorded_at:
        recorded = datetime.fromisoformat(state.recorded_at)
        yield LEDGER_TIME(recorded.timestamp())
        yield LEDGER_AGE((home.now - recorded).total_seconds())
    over = last_day_over(home.now)
    newest_days = _newest_days(state)
    yield from (FEED_LAG((over - day).days, feed) for feed, day in newest_days.items())
    traces = TraceStore(home.settings.traces_path)
    for cadence in CADENCES:
        publication = newest_of_champion(state, cadence)
        if publication is not None:
            yield from _of_publication(home.stores, publication, over)
        times = traces.newest_times(cadence)
        if times is not None:
            yield from _of_times(cadence, times)
    open_signals = [signal.called.subject for signal in state.part(DriftRecords).open_before(date.max).values()]
    yield from (SIGNALS(open_signals.count(subject), subject) for subject in _SUBJECTS)


def newest_of_champion(state: LedgerState, cadence: str) -> Publication | None:
    """Return the newest published run of the version that is champion of a cadence; None if there is none."""
    champion = state.channel(CADENCES[cadence].champion)
    own = [
        run for run in state.publications.values() if (run.key.cadence, run.key.model_version) == (cadence, champion)
    ]
    return max(own, key=lambda run: (run.key.prediction_date, run.sequence), default=None)


def _newest_days(state: LedgerState) -> dict[str, date]:
    found: dict[str, date] = {}
    for batch in state.part(Batches).current():
        found[batch.feed] = max(batch.last_event_date, found.get(batch.feed, batch.last_event_date))
    return dict(sorted(found.items()))


def _of_publication(stores: Stores, publication: Publication, over: date) -> Iterable[Reading]:
    cadence = publication.key.cadence
    yield RUN_DATE((over - publication.key.prediction_date).days, cadence)
    for product, version in sorted(publication.products.items()):
        yield RUN_ROWS(stores.predictions.version(version).rows, cadence, product)
    yield RUN_CHECKS(sum(len(checks) for checks in publication.accepted.values()), cadence)


def _of_times(cadence: str, times: RunTimes) -> Iterable[Reading]:
    yield RUN_SECONDS(times.seconds, cadence)
    yield RUN_ENDED(datetime.fromisoformat(times.ended_at).replace(tzinfo=UTC).timestamp(), cadence)
    yield RUN_SUCCEEDED(times.is_done, cadence)
    yield CHECKS(times.checks_passed, cadence, "passed")
    yield CHECKS(times.checks_failed, cadence, "failed")
    yield from (STAGE_SECONDS(seconds, cadence, stage) for stage, seconds in sorted(times.stage_seconds.items()))
