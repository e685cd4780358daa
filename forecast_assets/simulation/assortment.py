"""The simulated retailer's dimensions: products, stores, calendar, and how each series behaves.

What belongs here: settings of a simulation, identifiers, hierarchies, demand types, opening and closing days.
What does not: how much is demanded (``demand_law``) or supplied (``replenishment``).

Arrays are indexed by SKU, by store, or by series; series are sorted by SKU, then store, like the frames.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Ints, Names
from forecast_assets.core.errors import SourceError
from forecast_assets.simulation.calendar_settings import CalendarSettings

PLAN_DAYS: Final = 42
FEWEST_DAYS: Final = 120
NEVER: Final = 10**6

DEMAND_TYPES: Final = ("smooth", "erratic", "intermittent", "lumpy", "new", "dead")
_SHARES: Final = (0.40, 0.20, 0.18, 0.08, 0.08, 0.06)

_PRODUCTS: Final = (
    ("FOOD", "BAKERY", "BREAD"),
    ("FOOD", "BAKERY", "PASTRY"),
    ("FOOD", "DAIRY", "CHEESE"),
    ("FOOD", "DAIRY", "MILK"),
    ("FOOD", "PRODUCE", "FRUIT"),
    ("FOOD", "PRODUCE", "VEGETABLES"),
    ("HOME", "CLEANING", "DETERGENT"),
    ("HOME", "CLEANING", "PAPER"),
    ("HOME", "KITCHEN", "COOKWARE"),
    ("HOME", "KITCHEN", "TABLEWARE"),
    ("LEISURE", "BOOKS", "FICTION"),
    ("LEISURE", "BOOKS", "TRAVEL"),
    ("LEISURE", "TOYS", "GAMES"),
    ("LEISURE", "TOYS", "PUZZLES"),
)
_CITIES: Final = (
    ("BE", "BE-FLANDERS", "ANTWERP"),
    ("BE", "BE-FLANDERS", "GHENT"),
    ("BE", "BE-WALLONIA", "LIEGE"),
    ("NL", "NL-NORTH", "GRONINGEN"),
    ("NL", "NL-SOUTH", "EINDHOVEN"),
    ("NL", "NL-WEST", "AMSTERDAM"),
    ("NL", "NL-WEST", "ROTTERDAM"),
)
PRODUCT_LEVELS: Final = ("department", "category", "subcategory")
STORE_LEVELS: Final = ("country", "region", "city")

# At least one in each month, so that any horizon of a month holds one.
FESTIVALS: Final = {
    "new_year": (1, 1),
    "valentines_day": (2, 14),
    "spring_festival": (3, 20),
    "earth_day": (4, 22),
    "labour_day": (5, 1),
    "midsummer": (6, 21),
    "summer_sale": (7, 10),
    "assumption_day": (8, 15),
    "harvest_festival": (9, 22),
    "halloween": (10, 31),
    "singles_day": (11, 11),
    "christmas_eve": (12, 24),
    "christmas_day": (12, 25),
}


@dataclass(frozen=True)
class SimulatorSettings:
    """What to simulate; the same settings make the same bytes.

    Attributes:
        skus: Number of products.
        stores: Number of stores; every store sells every product.
        days: Days of history, the last of which is `end`.
        seed: Seed of all random streams.
        end: Last observed day.
        horizon: Days after `end` whose truth is kept aside.
        calendar: Effects of the calendar by category and store, and of weather; None for a retailer without them.

    Raises:
        SourceError: If a number is out of range.
    """

    skus: int = 200
    stores: int = 10
    days: int = 800
    seed: int = 7
    end: date = date(2025, 6, 30)
    horizon: int = 28
    calendar: CalendarSettings | None = None

    def __post_init__(self) -> None:
        wrong = [
            f"{name}={value} (at least {least})"
            for name, value, least in (
                ("skus", self.skus, 1),
                ("stores", self.stores, 1),
                ("days", self.days, FEWEST_DAYS),
                ("seed", self.seed, 0),
                ("horizon", self.horizon, 1),
            )
            if value < least
        ]
        if self.horizon > PLAN_DAYS:
            wrong.append(f"horizon={self.horizon} (at most the {PLAN_DAYS} planned days)")
        if wrong:
            raise SourceError(f"Nothing sensible can be simulated with {', '.join(wrong)}.", remedy="Change them.")

    @property
    def start(self) -> date:
        """First simulated day."""
        return self.end - timedelta(days=self.days - 1)

    @property
    def series(self) -> int:
        """Number of SKU-store series."""
        return self.skus * self.stores

    def stream(self, number: int) -> np.random.Generator:
        """Return the random stream of one purpose (Philox; Salmon et al. 2011, doi 10.1145/2063384.2063405)."""
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(self.seed, spawn_key=(number,))))


@dataclass(frozen=True)
class Assortment:
    """Who sells what, from when until when.

    Attributes:
        sku_ids: [skus] identifiers, sorted.
        store_ids: [stores] identifiers, sorted.
        sku_nodes: [skus, 3] department, category, subcategory.
        store_nodes: [stores, 3] country, region, city.
        demand_type: [skus] index into ``DEMAND_TYPES``.
        launch: [skus] day number of the first row; 0 for all but new products.
        closing: [skus] day number from which nothing is demanded any more; ``NEVER`` for all but dead products.
    """

    sku_ids: Names
    store_ids: Names
    sku_nodes: Names
    store_nodes: Names
    demand_type: Ints
    launch: Ints
    closing: Ints

    @property
    def sku_of_series(self) -> Ints:
        """[series] number of each series' SKU."""
        return np.repeat(np.arange(len(self.sku_ids)), len(self.store_ids))

    @property
    def store_of_series(self) -> Ints:
        """[series] number of each series' store."""
        return np.tile(np.arange(len(self.store_ids)), len(self.sku_ids))


def make_assortment(settings: SimulatorSettings) -> Assortment:
    """Draw the retailer's products and stores."""
    random = settings.stream(0)
    sku_nodes = _spread(_PRODUCTS, settings.skus)
    demand_type = random.permutation(_quota(settings.skus))
    is_new = demand_type == DEMAND_TYPES.index("new")
    is_dead = demand_type == DEMAND_TYPES.index("dead")
    weeks_on_sale = random.integers(7, 57, settings.skus)
    days_gone = random.integers(60, FEWEST_DAYS, settings.skus)
    return Assortment(
        sku_ids=np.char.add(np.char.add(sku_nodes[:, 0], "-"), _numbers(settings.skus, 4)),
        store_ids=np.char.add("S-", _numbers(settings.stores, 2)),
        sku_nodes=sku_nodes,
        store_nodes=_spread(_CITIES, settings.stores),
        demand_type=demand_type,
        launch=np.where(is_new, settings.days - weeks_on_sale, 0),
        closing=np.where(is_dead, settings.days - days_gone, NEVER),
    )


def _numbers(count: int, digits: int) -> Names:
    """Number members from 1, zero-filled so that they sort as numbers do."""
    return np.char.zfill(np.arange(1, count + 1).astype(str), max(digits, len(str(count))))


def _spread(rows: tuple[tuple[str, str, str], ...], count: int) -> Names:
    """Spread the leaves evenly over `count` members, in order, so that identifiers sort like nodes."""
    return np.array(rows)[np.arange(count) * len(rows) // count]


def _quota(skus: int) -> Ints:
    """Give each demand type its share of products exactly, rather than in expectation."""
    bounds = np.cumsum(_SHARES)[:-1]
    return np.searchsorted(bounds, (np.arange(skus) + 0.5) / skus).astype(np.int64)


def calendar(settings: SimulatorSettings) -> list[date]:
    """Return every day from the start to the end of the plan."""
    return [settings.start + timedelta(days=day) for day in range(settings.days + PLAN_DAYS)]


def event_matrix(days: list[date]) -> Bools:
    """Return [festivals, days] on which days each of ``FESTIVALS`` falls."""
    months_and_days = [(day.month, day.day) for day in days]
    return np.array([[found == festival for found in months_and_days] for festival in FESTIVALS.values()])
