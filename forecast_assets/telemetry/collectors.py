"""Who reads figures of a home: the list that commands and services go through.

What belongs here: the list, and reading all of it so that one that fails keeps no other one from being read. What does
not: a figure, or a format.

A module with figures of its own adds its collector here: metrics that it declares, and a function of a `Home`.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from forecast_assets.core.operational_metrics import Collector, OperationalMetric, Reading
from forecast_assets.settings import Settings
from forecast_assets.telemetry.home_metrics import HOME_METRICS, Home, home_readings
from forecast_assets.telemetry.operations_metrics import OPERATIONS_METRICS, operations_readings
from forecast_assets.telemetry.quality_metrics import QUALITY_METRICS, QualityReadings
from resources.stores.home import Stores

FAILED: Final = OperationalMetric(
    "collector_failed", "gauge", "flag", "1 if figures could not be read, which are left out then.", ("collector",)
)
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class HomeCollector:
    """What reads figures of any home.

    Attributes:
        name: What is read.
        metrics: All that it may read.
        reader: Makes what reads them; a new one for each process, so that it may keep what it has read.
    """

    name: str
    metrics: tuple[OperationalMetric, ...]
    reader: Callable[[], Callable[[Home], Iterable[Reading]]]


HOME_COLLECTORS: Final[tuple[HomeCollector, ...]] = (
    HomeCollector("home", HOME_METRICS, lambda: home_readings),
    HomeCollector("quality", QUALITY_METRICS, QualityReadings),
    HomeCollector("operations", OPERATIONS_METRICS, lambda: operations_readings),
)


def home_collectors(
    settings: Settings, stores: Stores, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> list[Collector]:
    """Return what reads all figures of a home.

    Args:
        settings: Of the home.
        stores: Of the home.
        clock: Returns the present moment.
    """

    def read(reader: Callable[[Home], Iterable[Reading]]) -> Iterable[Reading]:
        return reader(Home(settings, stores, clock()))

    return [Collector(each.name, each.metrics, partial(read, each.reader())) for each in HOME_COLLECTORS]


def all_readings(collectors: Sequence[Collector]) -> list[Reading]:
    """Read all figures; one that cannot be read is logged and marked."""
    found: list[Reading] = []
    for collector in collectors:
        try:
            own = [*collector.read()]
        except Exception:  # noqa: BLE001 - whatever it is, the others are read
            _log.exception("the figures of `%s` cannot be read", collector.name)
            found.append(FAILED(1, collector.name))
            continue
        found += [*own, FAILED(0, collector.name)]
    return found
