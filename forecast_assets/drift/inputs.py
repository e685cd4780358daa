"""What a day is judged by: the feeds behind its snapshot, the training's snapshot, and measured forecasts.

What belongs here: finding and reading them. What does not: judging.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.contracts import EVENTS, STORE_HIERARCHY
from forecast_assets.drift.daily_figures import ALL_STORES, WATCHED_FEEDS, Figure, read_figures
from forecast_assets.drift.expectations import KnownDays
from forecast_assets.drift.forecast_errors import COLUMNS
from forecast_assets.features.places import stores_in
from forecast_assets.history import History
from resources.ledger.entries.measure import Measurements
from resources.ledger.state import LedgerState
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

# A year for last year's season, the weeks that its levels need, and a quarter of days that are run over.
READ_DAYS: Final = 504
ERROR_DAYS: Final = 182
CADENCE: Final = "daily"


@dataclass(frozen=True)
class DriftInputs:
    """What a day is judged by.

    Attributes:
        prediction_date: The day.
        snapshot: Its feature snapshot.
        training_snapshot: That of the champion's training; None where there is no champion.
        measurements: Product versions of measured days, oldest first.
    """

    prediction_date: date
    snapshot: ProductVersion
    training_snapshot: str | None
    measurements: tuple[str, ...]

    @property
    def versions(self) -> dict[str, Any]:
        """Product versions by name, as the manifest records them."""
        trained = {} if self.training_snapshot is None else {"training_snapshot": self.training_snapshot}
        return {"feature_snapshots": self.snapshot.version, **trained}


def find_inputs(stores: Stores, day: date) -> DriftInputs:
    """Find what a day is judged by.

    Raises:
        NotStagedError: If the day has no snapshot.
    """
    state = stores.ledger.state()
    return DriftInputs(
        day, stores.predictions.staged("feature_snapshots", day), _training_snapshot(state), _measured(state, day)
    )


def _training_snapshot(state: LedgerState) -> str | None:
    champion = state.channel("champion")
    return None if champion is None else state.versions[champion].training_snapshot or None


def _measured(state: LedgerState, day: date) -> tuple[str, ...]:
    days = (day - timedelta(days=back) for back in reversed(range(ERROR_DAYS)))
    return tuple(one.product_version for one in state.part(Measurements).newest_of(CADENCE, days))


def read_measurements(stores: Stores, versions: Sequence[str]) -> pl.DataFrame | None:
    """Return the rows of measured days that are watched; None where none is."""
    if not versions:
        return None
    made = [stores.predictions.version(version) for version in versions]
    return pl.concat([stores.predictions.read(version, COLUMNS) for version in made])


def read_feeds(history: History) -> tuple[list[Figure], dict[tuple[str, ...], KnownDays]]:
    """Return the figures of the feeds that a history has, and what is known of their days."""
    since = history.cutoff - timedelta(days=READ_DAYS - 1)
    feeds = without_closed_days(history.feeds(WATCHED_FEEDS, since=since), history.closures(since=since))
    figures = read_figures(feeds, since=since, until=history.cutoff)
    events, nodes = _read(history, EVENTS.name, since), _read(history, STORE_HIERARCHY.name, None)
    calendars = {
        stores: make_calendar(stores, events, nodes, since=since, until=history.cutoff)
        for stores in {figure.store_ids for figure in figures}
    }
    return figures, calendars


def _read(history: History, name: str, since: date | None) -> pl.DataFrame | None:
    rows = history.feed(name, since=since, ahead_days=7)
    return None if rows is None else rows.collect()


def without_closed_days(feeds: Mapping[str, pl.LazyFrame], closures: pl.DataFrame) -> dict[str, pl.LazyFrame]:
    """Leave out the days on which stores were said to be closed."""
    closed = closures.filter("is_closed").select("store_id", "event_date").lazy()
    return {name: rows.join(closed, on=["store_id", "event_date"], how="anti") for name, rows in feeds.items()}


def make_calendar(
    stores: tuple[str, ...], events: pl.DataFrame | None, nodes: pl.DataFrame | None, *, since: date, until: date
) -> KnownDays:
    """Return weekdays and events of some stores.

    Args:
        stores: S stores; or `all` alone, for which what holds anywhere holds.
        events: Rows of the feed `events`; None where there is none.
        nodes: Rows of the feed `store_hierarchy`; None where there is none.
        since: First day.
        until: Last day.
    """
    days = (until - since).days + 1
    weekday = (since.weekday() + np.arange(days)) % 7
    on: dict[str, Any] = {}
    if events is not None:
        names = pl.Series(stores)
        inside = {place: stores_in(place, names, nodes) for place in events["store_node"].unique()}
        for name, place, day in events.select("event_name", "store_node", "event_date").iter_rows():
            column = (day - since).days
            if 0 <= column < days:
                where = on.setdefault(name, np.zeros((len(stores), days), dtype=np.bool_))
                where[:, column] |= inside[place] | (stores == (ALL_STORES,))
    return KnownDays(weekday, on)
