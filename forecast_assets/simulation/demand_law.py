"""The simulated retailer's law of demand: the mean of every series and day, and draws around it.

What belongs here: prices, promotions, seasons and the distribution of demand. It is the truth, so it is exact.
What does not: stock, orders, or what any source says of it.

Demand of a series on a day is negative binomial, thinned by days on which nobody asks: with activity p, mean m and
dispersion r it is 0 with probability 1 - p, else Poisson of a Gamma with mean m / p and shape r.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, Ints
from forecast_assets.simulation.assortment import (
    DEMAND_TYPES,
    FESTIVALS,
    Assortment,
    SimulatorSettings,
    calendar,
    event_matrix,
)
from forecast_assets.simulation.calendar_law import CalendarLaw

# By demand type: lowest and highest mean units a day, lowest and highest activity, dispersion.
_LAWS: Final = {
    "smooth": (6.0, 40.0, 1.0, 1.0, 30.0),
    "erratic": (5.0, 20.0, 1.0, 1.0, 1.1),
    "intermittent": (0.2, 0.5, 0.6, 0.9, 50.0),
    "lumpy": (0.8, 2.5, 0.15, 0.35, 0.9),
    "new": (4.0, 25.0, 1.0, 1.0, 15.0),
    "dead": (2.0, 10.0, 1.0, 1.0, 15.0),
}
_MARKDOWNS: Final = np.array([0.70, 0.75, 0.80, 0.85, 0.90])
_PROMOTED_WEEKS: Final = 0.10
_DISCOUNTED_WEEKS: Final = 0.08
_JOINING_STORES: Final = 0.85


@dataclass(frozen=True)
class Offers:
    """What is asked for each product.

    Attributes:
        list_price: [skus] price per unit.
        price_ratio: [series, days] price over list price, to the end of the plan.
        is_promotion: [series, days] whether a promotion is on.
    """

    list_price: Floats
    price_ratio: Floats
    is_promotion: Bools


@dataclass(frozen=True)
class DemandLaw:
    """The distribution of demand.

    Attributes:
        mean_units: [series, days] expected units, to the end of the plan; 0 before launch and after closing.
        activity: [series] probability that anyone asks on a day.
        dispersion: [series] shape of the Gamma; Poisson as it grows.
    """

    mean_units: Floats
    activity: Floats
    dispersion: Floats

    def rows(self, rows: slice) -> "DemandLaw":
        """Return the law of some of the series."""
        return DemandLaw(self.mean_units[rows], self.activity[rows], self.dispersion[rows])


def make_offers(settings: SimulatorSettings, assortment: Assortment) -> Offers:
    """Draw prices: chain-wide weeks from Monday of promotions and of plain discounts, which most stores join."""
    random = settings.stream(1)
    days = np.arange(len(calendar(settings)))
    week = (days + settings.start.weekday()) // 7
    shape = (settings.skus, int(week[-1]) + 1)
    kind = random.random(shape)
    cut = _MARKDOWNS[random.integers(0, len(_MARKDOWNS), shape)]
    sku = assortment.sku_of_series[:, None]
    joins = random.random((settings.series, shape[1])) < _JOINING_STORES
    promoted = joins & (kind < _PROMOTED_WEEKS)[sku[:, 0]]
    cheaper = joins & (kind < _PROMOTED_WEEKS + _DISCOUNTED_WEEKS)[sku[:, 0]]
    weekly_ratio = np.where(cheaper, cut[sku[:, 0]], 1.0)
    list_price = np.round(np.exp(random.normal(1.4, 0.7, settings.skus)) + 0.5, 2)
    return Offers(list_price, weekly_ratio[:, week], promoted[:, week])


def make_law(
    settings: SimulatorSettings, assortment: Assortment, offers: Offers, effects: CalendarLaw | None = None
) -> DemandLaw:
    """Compose the mean of every series and day from its causes, each a factor around 1.

    Args:
        settings: What to simulate.
        assortment: Who sells what.
        offers: Prices and promotions.
        effects: What the calendar and the weather do besides, where they are asked for.
    """
    random = settings.stream(2)
    days = calendar(settings)
    sku, store = assortment.sku_of_series, assortment.store_of_series
    base, activity, dispersion = _levels(random, assortment)
    store_size = np.exp(random.normal(0.0, 0.3, settings.stores))
    mean = (base[sku] * store_size[store] * np.exp(random.normal(0.0, 0.15, settings.series)))[:, None] * np.ones(
        len(days)
    )
    mean *= _trend(random, settings, len(days))
    mean *= (_weekly(random, settings, days) * _yearly(random, settings, days))[sku]
    mean *= _festive(random, settings, days)[sku]
    mean *= offers.price_ratio ** -random.uniform(1.0, 2.5, settings.skus)[sku, None]
    mean *= np.where(offers.is_promotion, random.uniform(1.1, 1.5, settings.skus)[sku, None], 1.0)
    if effects is not None:
        mean *= effects.factors()
    return DemandLaw(np.where(_on_sale(assortment, len(days))[sku], mean, 0.0), activity[sku], dispersion[sku])


def draw(random: np.random.Generator, law: DemandLaw, day: int, paths: int) -> Ints:
    """Draw [series, paths] independent demands of one day, in whole units."""
    shape = (len(law.activity), paths)
    size = random.standard_gamma(law.dispersion[:, None], shape)
    size *= (law.mean_units[:, day] / (law.activity * law.dispersion))[:, None]
    asked: Ints = random.poisson(size)
    return np.where(random.random(shape) < law.activity[:, None], asked, 0)


def _levels(random: np.random.Generator, assortment: Assortment) -> tuple[Floats, Floats, Floats]:
    laws = np.array([_LAWS[name] for name in DEMAND_TYPES])[assortment.demand_type]
    low, high, idle, busy, dispersion = laws.T
    base = np.exp(random.uniform(np.log(low), np.log(high)))
    return base, random.uniform(idle, busy), dispersion * random.uniform(0.8, 1.25, len(base))


def _trend(random: np.random.Generator, settings: SimulatorSettings, days: int) -> Floats:
    """[series, days] growth or decline of a few percent a year, 1 at the end of history."""
    yearly = random.normal(0.0, 0.06, settings.series)
    return np.exp(yearly[:, None] * (np.arange(days) - settings.days) / 365.25)


def _weekly(random: np.random.Generator, settings: SimulatorSettings, days: list[date]) -> Floats:
    """[skus, days] day-of-week profile, mean 1 over a week, busier towards the weekend."""
    usual = np.array([0.88, 0.86, 0.90, 0.97, 1.12, 1.24, 1.03])
    profile = usual * np.exp(random.normal(0.0, 0.08, (settings.skus, 7)))
    profile /= profile.mean(axis=1, keepdims=True)
    return profile[:, (settings.start.weekday() + np.arange(len(days))) % 7]


def _yearly(random: np.random.Generator, settings: SimulatorSettings, days: list[date]) -> Floats:
    """[skus, days] one wave a year."""
    turn = 2 * np.pi * np.array([day.timetuple().tm_yday for day in days]) / 365.25
    height = random.uniform(0.0, 0.2, settings.skus)[:, None]
    return 1 + height * np.cos(turn - random.uniform(0, 2 * np.pi, settings.skus)[:, None])


def _festive(random: np.random.Generator, settings: SimulatorSettings, days: list[date]) -> Floats:
    """[skus, days] factor of the day's festival, which differs by product."""
    effect = np.exp(random.normal(0.2, 0.25, (settings.skus, len(FESTIVALS))))
    is_on = event_matrix(days)
    return np.where(is_on.any(axis=0), effect[:, is_on.argmax(axis=0)], 1.0)


def _on_sale(assortment: Assortment, days: int) -> Bools:
    """[skus, days] whether anyone can want the product yet, or still."""
    day = np.arange(days)
    return (day >= assortment.launch[:, None]) & (day < assortment.closing[:, None])
