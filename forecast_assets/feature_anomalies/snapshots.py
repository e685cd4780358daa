"""The snapshots that a day is held against, and those that a detector learns from, as far as they were made.

What belongs here: finding snapshots before a day, and reading what is compared of them. What does not: comparing.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.feature_anomalies.changes import (
    EARLIER_DAYS,
    LEAST_EARLIER,
    SeriesChanges,
    WatchedFeatures,
    series_changes,
)
from forecast_assets.features.compiler import SERIES
from forecast_assets.features.specs import specs_from_data
from resources.ledger.entries.anomalies import AnomalyRecord, AnomalyRecords
from resources.store.manifests import ProductVersion
from resources.stores.anomaly_records import judged_bytes, snapshot_input
from resources.stores.home import Stores

SNAPSHOTS: Final = "feature_snapshots"
_log: Final = logging.getLogger(__name__)


def watched_by(snapshot: ProductVersion) -> WatchedFeatures:
    """Return the features of a snapshot that are compared, by the specs in its manifest."""
    return WatchedFeatures.of(specs_from_data(snapshot.facts["specs"]))


def earlier_snapshots(stores: Stores, day: date, days: int, feature_version: str) -> dict[date, ProductVersion]:
    """Return the snapshots of the days before one, by day, oldest first; those with other features are left out.

    Args:
        stores: Where everything is.
        day: The day.
        days: How many days before it.
        feature_version: Of the features.
    """
    dates = (day - timedelta(days=back) for back in range(days, 0, -1))
    made = {each: stores.predictions.staged(SNAPSHOTS, each) for each in dates
            if stores.predictions.is_staged(SNAPSHOTS, each)}  # fmt: skip
    return {each: version for each, version in made.items() if version.facts["feature_version"] == feature_version}


def without_told_days(stores: Stores, snapshots: Mapping[date, ProductVersion]) -> Mapping[date, ProductVersion]:
    """Return the snapshots of days of which nothing is told, so that a fault does not become usual on its second day.

    Where too few are left, what goes on is taken for what is meant, and all days count.
    """
    records = stores.ledger.state().part(AnomalyRecords)
    sound = {day: version for day, version in snapshots.items() if records.is_sound(day)}
    return sound if len(sound) >= LEAST_EARLIER else snapshots


def restated_days(stores: Stores, days: Iterable[date]) -> list[date]:
    """Return those days that were judged and whose snapshot has other bytes by now.

    A day of which that cannot be read is logged and left out: it does not hold up others.
    """
    records = stores.ledger.state().part(AnomalyRecords)
    return [day for day in days if _may_be_restated(stores, day, records.newest_of(day))]


def _may_be_restated(stores: Stores, day: date, judged: AnomalyRecord | None) -> bool:
    try:
        return _is_restated(stores, day, judged)
    except (ForecastAssetsError, OSError) as error:
        _log.warning("whether the snapshot of %s was restated cannot be read: %s", day, error)
        return False


def _is_restated(stores: Stores, day: date, judged: AnomalyRecord | None) -> bool:
    if judged is None or not stores.predictions.is_staged(SNAPSHOTS, day):
        return False
    before = judged_bytes(stores.predictions, judged)
    now = tuple(file.sha256 for file in stores.predictions.staged(SNAPSHOTS, day).files)
    return bool(before) and before != now


def named_inputs(snapshots: Mapping[date, ProductVersion]) -> dict[str, str]:
    """Return snapshots as a manifest names them among its inputs."""
    return {snapshot_input(day): version.version for day, version in snapshots.items()}


def snapshots_named(stores: Stores, inputs: Mapping[str, Any]) -> dict[date, ProductVersion]:
    """Return the snapshots that a manifest names, by day, oldest first."""
    prefix = f"{SNAPSHOTS} "
    named = {date.fromisoformat(name.removeprefix(prefix)): version for name, version in inputs.items()
             if name.startswith(prefix)}  # fmt: skip
    return {day: stores.predictions.version(named[day]) for day in sorted(named)}


@dataclass
class SnapshotReader:
    """Reads of each snapshot what is compared, once.

    Attributes:
        stores: Where everything is.
        snapshots: By day, oldest first.
        watched: Features that are compared.
        series: `store_id, sku_id` of those that are wanted; all if None.
    """

    stores: Stores
    snapshots: Mapping[date, ProductVersion]
    watched: WatchedFeatures
    series: pl.DataFrame | None = None

    def __post_init__(self) -> None:
        self._read: dict[date, pl.DataFrame] = {}

    def changes(self, day: date) -> SeriesChanges | None:
        """Return what changed on a day against the days before it; None where there is none before."""
        before = self.before(day)
        return series_changes(self.rows(day), [self.rows(each) for each in before], self.watched) if before else None

    def before(self, day: date) -> Sequence[date]:
        """Return the days that a day is held against."""
        return [each for each in self.snapshots if day - timedelta(days=EARLIER_DAYS) <= each < day]

    def rows(self, day: date) -> pl.DataFrame:
        """Return what is compared of the snapshot of a day."""
        if day not in self._read:
            rows = self.stores.predictions.read(self.snapshots[day], [*SERIES, *self.watched.names])
            self._read[day] = rows if self.series is None else rows.join(self.series, on=SERIES, how="semi")
        return self._read[day]
