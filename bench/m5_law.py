"""The law of the made-up files of M5's shape: what moves the sales of a department in a store, known exactly.

What belongs here: every parameter of the law with its reason, and the factors that follow from a seed. What does not:
items, counts, prices and files (`bench.m5_shaped`).

The expected sales of an item in a store on a day are its own level times one factor for its department in its store,
which is the product of the parts below. The parameters were fixed before any model was changed for these files, and
stay: figures of two releases compare only where the files are the same. Each is what real shops of this kind show, as
far as that is known; sizes are of logarithms where nothing else is said.

Weekdays (`WEEKDAY_*`): common to all, Friday to Sunday a fifth above the middle of the week, as food shops are. On top
a deviation of the department and one of the department in the store, 0.08 each, and one of the store, 0.05: hobbies
sell at other times than food, and a store by an office at others than one by a motorway. Together 0.12 about the common
pattern, which is seen clearly in a year of sums and not at all in a week of one item.

Paydays (`PAYDAY_*`): food stamps are paid on ten days a month, on others in each state: California on the first ten,
Texas and Wisconsin on ten of the first fifteen. Six stores in ten have many customers who receive them; nearly all
(0.85) of their food departments move, of other stores few (0.15), and those that do not have a factor of exactly one.
Food that moves sells 20% to 45% more, on average a third; household goods 5% to 15% in one department of four; hobbies
never. The first of a month's ten days has 1.2 of the effect and the last 0.8: money is spent when it comes. Salaries
move everybody by 0.02 between the start of the month and its middle, on no calendar.

Events (`EVENTS`): each has a size on its day, on the three days before (0.3, 0.6 and all of it) and on the day after:
shops fill before Thanksgiving and are empty on it. Departments have a multiple of it (food about 1, others about 0.5,
0.25 about either), departments in stores one (0.2 about 1), and each year one (0.4 about 1) and an offset on the day
itself, 0.04: one year tells only roughly what the next will bring. Some events that the calendar names do nothing on
average, as most of M5's do not.

The year (`YEAR_*`): one wave a year for each department, 0.04 to 0.14 high.

Level (`SHIFT_*`, `WANDER_*`): the level of a department in a store jumps every 400 days on average, by 0.12 to 0.35 up
or down: shelves are moved, a competitor opens. Besides, levels wander by 0.003 a day for all, 0.003 by store and 0.004
by department and store, and return by half in 140 days. The mean of four weeks of the total then differs from that of
the four before by 2% to 3%, as M5's does.

Noise of a day (`NOISE_*`): shared by all (0.025), by a store (0.025) and by a department in a store (0.04): weather,
local events, a lorry that is late. M5's total has some 3% that no calendar explains.
"""

import math
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import polars as pl
from dateutil.easter import easter

from forecast_assets.core.arrays import Bools, Floats, Ints

FIRST_DAY = date(2011, 1, 29)
PLAN_DAYS = 28
STORES = ("CA_1", "CA_2", "CA_3", "CA_4", "TX_1", "TX_2", "TX_3", "WI_1", "WI_2", "WI_3")
STATES = ("CA", "TX", "WI")
# Departments and their share of the items, as in M5.
DEPARTMENTS = (
    ("FOODS_1", 216), ("FOODS_2", 398), ("FOODS_3", 823), ("HOBBIES_1", 416), ("HOBBIES_2", 149),
    ("HOUSEHOLD_1", 532), ("HOUSEHOLD_2", 515),
)  # fmt: skip

WEEKDAY_COMMON = np.array([0.95, 0.88, 0.88, 0.9, 1.02, 1.22, 1.15])
WEEKDAY_BY_DEPARTMENT, WEEKDAY_BY_STORE, WEEKDAY_BY_BOTH = 0.08, 0.05, 0.08

# Days of the month.
PAYDAYS = {
    "CA": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    "TX": (1, 3, 5, 6, 7, 9, 11, 12, 13, 15),
    "WI": (2, 3, 5, 6, 8, 9, 11, 12, 14, 15),
}
PAYDAY_STORES = 0.6
PAYDAY_FOOD, PAYDAY_FOOD_ELSEWHERE, PAYDAY_HOUSEHOLD = 0.85, 0.15, 0.25
PAYDAY_FOOD_SIZE, PAYDAY_HOUSEHOLD_SIZE = (1.20, 1.45), (1.05, 1.15)
PAYDAY_FIRST, PAYDAY_LAST = 1.2, 0.8
SALARY = 0.02


@dataclass(frozen=True)
class YearlyEvent:
    """What an event does on average to all that a store sells, on the log: on its day, before it, on the day after."""

    name: str
    on_day: float
    before: float
    after: float


EVENTS = (
    YearlyEvent("NewYear", -0.25, 0.08, 0.05),
    YearlyEvent("SuperBowl", 0.08, 0.12, -0.03),
    YearlyEvent("ValentinesDay", 0.06, 0.04, 0.0),
    YearlyEvent("PresidentsDay", 0.0, 0.0, 0.0),
    YearlyEvent("StPatricksDay", 0.0, 0.0, 0.0),
    YearlyEvent("Easter", -0.30, 0.15, -0.05),
    YearlyEvent("Cinco De Mayo", 0.05, 0.05, 0.0),
    YearlyEvent("Mother's day", -0.10, 0.06, 0.0),
    YearlyEvent("MemorialDay", 0.08, 0.12, -0.05),
    YearlyEvent("Father's day", 0.05, 0.05, 0.0),
    YearlyEvent("IndependenceDay", -0.06, 0.15, -0.05),
    YearlyEvent("LaborDay", 0.08, 0.12, -0.05),
    YearlyEvent("ColumbusDay", 0.0, 0.0, 0.0),
    YearlyEvent("Halloween", 0.05, 0.06, -0.03),
    YearlyEvent("VeteransDay", 0.0, 0.0, 0.0),
    YearlyEvent("Thanksgiving", -0.45, 0.25, -0.10),
    YearlyEvent("Christmas", 0.0, 0.22, -0.12),
)
# Days before the event, and the share of `before` that each has.
BEFORE = {-3: 0.3, -2: 0.6, -1: 1.0}
EVENT_OF_FOOD, EVENT_OF_OTHERS, EVENT_BY_DEPARTMENT, EVENT_BY_BOTH = 1.0, 0.5, 0.25, 0.2
EVENT_BY_YEAR, EVENT_DAY_BY_YEAR = 0.4, 0.04
# On this day nothing is sold.
CLOSED = "Christmas"

YEAR_HEIGHT = (0.04, 0.14)
SHIFT_EVERY_DAYS, SHIFT_SIZE = 400.0, (0.12, 0.35)
WANDER_ALL, WANDER_BY_STORE, WANDER_BY_BOTH, WANDER_KEPT = 0.003, 0.003, 0.004, 0.995
NOISE_ALL, NOISE_BY_STORE, NOISE_BY_BOTH = 0.025, 0.025, 0.04

_N, _S = len(DEPARTMENTS), len(STORES)
_IS_FOOD = np.array([name.startswith("FOODS") for name, _ in DEPARTMENTS])
_IS_HOUSEHOLD = np.array([name.startswith("HOUSEHOLD") for name, _ in DEPARTMENTS])
STATE_OF_STORE = np.array([STATES.index(name[:2]) for name in STORES])


def paydays(days: list[date]) -> Ints:
    """[3, days] which of a state's ten paydays of the month a day is, from 1; 0 where it is none."""
    place = {state: {day: number for number, day in enumerate(PAYDAYS[state], start=1)} for state in STATES}
    return np.array([[place[state].get(day.day, 0) for day in days] for state in STATES])


def event_day(name: str, year: int) -> date:
    """Return the day of a yearly event.

    Example:
        >>> event_day("Thanksgiving", 2015), event_day("MemorialDay", 2016), event_day("Easter", 2012)
        (datetime.date(2015, 11, 26), datetime.date(2016, 5, 30), datetime.date(2012, 4, 8))
    """
    if name == "Easter":
        found: date = easter(year)
        return found
    if name == "MemorialDay":
        return _nth_weekday(year, 6, 0, 1) - timedelta(days=7)
    if name in _FIXED:
        return date(year, *_FIXED[name])
    return _nth_weekday(year, *_NTH_WEEKDAY[name])


_FIXED = {
    "NewYear": (1, 1), "ValentinesDay": (2, 14), "StPatricksDay": (3, 17), "Cinco De Mayo": (5, 5),
    "IndependenceDay": (7, 4), "Halloween": (10, 31), "VeteransDay": (11, 11), "Christmas": (12, 25),
}  # fmt: skip
# Month, weekday (Monday 0), and which of them.
_NTH_WEEKDAY = {
    "SuperBowl": (2, 6, 1), "PresidentsDay": (2, 0, 3), "Mother's day": (5, 6, 2), "Father's day": (6, 6, 3),
    "LaborDay": (9, 0, 1), "ColumbusDay": (10, 0, 2), "Thanksgiving": (11, 3, 4),
}  # fmt: skip


def _nth_weekday(year: int, month: int, weekday: int, number: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))


def occurrences(days: list[date]) -> list[tuple[YearlyEvent, date]]:
    """Return the events of the years that some days are of, by date; those at the edges may lie outside."""
    years = range(days[0].year, days[-1].year + 2)
    return sorted(((event, event_day(event.name, year)) for event in EVENTS for year in years), key=lambda one: one[1])


def named_events(days: list[date]) -> list[str | None]:
    """Return the event of each day, the first named where two meet."""
    names = {day: event.name for event, day in reversed(occurrences(days))}
    return [names.get(day) for day in days]


@dataclass(frozen=True)
class Law:
    """What moves 7 departments in 10 stores on some days; the same seed and days give the same numbers.

    Attributes:
        days: D days without a gap.
        seed: Of all draws.
    """

    days: list[date]
    seed: int

    @cached_property
    def weekday_factor(self) -> Floats:
        """[7, 10, 7] factor of each weekday, Monday first, by department and store; 1 on average over the week."""
        random = self._stream(10)
        spread = (
            WEEKDAY_BY_DEPARTMENT * random.normal(size=(_N, 1, 7))
            + WEEKDAY_BY_STORE * random.normal(size=(1, _S, 7))
            + WEEKDAY_BY_BOTH * random.normal(size=(_N, _S, 7))
        )
        factor = WEEKDAY_COMMON * np.exp(spread)
        return np.asarray(factor / factor.mean(axis=2, keepdims=True))

    @cached_property
    def payday_factor(self) -> Floats:
        """[7, 10] factor of a payday in the middle of a month's ten; exactly 1 where paydays do nothing."""
        random = self._stream(11)
        is_payday_store = random.random(_S) < PAYDAY_STORES
        food = np.where(is_payday_store, PAYDAY_FOOD, PAYDAY_FOOD_ELSEWHERE)
        chance = np.where(_IS_FOOD[:, None], food, np.where(_IS_HOUSEHOLD[:, None], PAYDAY_HOUSEHOLD, 0.0))
        moves = random.random((_N, _S)) < chance
        sizes = np.where(
            _IS_FOOD[:, None],
            random.uniform(*PAYDAY_FOOD_SIZE, (_N, _S)),
            random.uniform(*PAYDAY_HOUSEHOLD_SIZE, (_N, _S)),
        )
        return np.where(moves, sizes, 1.0)

    @cached_property
    def level_shifts(self) -> tuple[Ints, Ints, Ints, Floats]:
        """Department, store, day and size (on the log) of every jump of a level."""
        random = self._stream(12)
        jumps = random.random((_N, _S, len(self.days))) < 1.0 / SHIFT_EVERY_DAYS
        department, store, day = np.nonzero(jumps)
        size = random.uniform(*SHIFT_SIZE, len(day)) * random.choice((-1.0, 1.0), len(day))
        return department, store, day, size

    @cached_property
    def event_effects(self) -> pl.DataFrame:
        """What each occurrence does: `event_name, event_date, days_from_event, dept_id, store_id, log_effect`.

        Days from -3 to +1 of the event; effects of neighbouring events add up.
        """
        random = self._stream(13)
        usual = np.where(_IS_FOOD, EVENT_OF_FOOD, EVENT_OF_OTHERS)
        multiple = {
            event.name: (usual + EVENT_BY_DEPARTMENT * random.normal(size=_N))[:, None]
            * (1.0 + EVENT_BY_BOTH * random.normal(size=(_N, _S)))
            for event in EVENTS
        }
        frames = []
        for event, day in occurrences(self.days):
            of_year = 1.0 + EVENT_BY_YEAR * random.normal()
            offset = EVENT_DAY_BY_YEAR * random.normal() * bool(event.on_day)
            profile = {away: share * event.before for away, share in BEFORE.items()} | {0: event.on_day, 1: event.after}
            for away, size in profile.items():
                effect = multiple[event.name] * of_year * size + (0.0 if away else offset)
                frames.append(_effect_frame(event.name, day, away, effect))
        return pl.concat(frames)

    @cached_property
    def factors(self) -> Floats:
        """[7, 10, D] what multiplies the level of every item of a department in a store."""
        log = np.log(self.weekday_factor)[:, :, self._weekday] + self._payday_log + self._event_log + self._year_log
        log += self._shift_log + self._wander + self._noise
        return np.asarray(np.exp(log) * self.is_open)

    @cached_property
    def calendar_factors(self) -> Floats:
        """[7, 10, D] the part of the factors that a calendar can tell: weekdays, paydays, events, the year."""
        log = np.log(self.weekday_factor)[:, :, self._weekday] + self._payday_log + self._event_log + self._year_log
        return np.asarray(np.exp(log) * self.is_open)

    @cached_property
    def level_factors(self) -> Floats:
        """[7, 10, D] the part that no calendar tells and that lasts: jumps of levels, and how they wander."""
        return np.asarray(np.exp(self._shift_log + self._wander))

    @cached_property
    def is_open(self) -> Bools:
        """[D] whether stores are open."""
        return np.array([day != event_day(CLOSED, day.year) for day in self.days])

    @cached_property
    def is_near_event(self) -> Bools:
        """[D] whether an event reaches the day, from three days before it to the day after."""
        reached = {day + timedelta(days=away) for _, day in occurrences(self.days) for away in (*BEFORE, 0, 1)}
        return np.array([day in reached for day in self.days])

    @property
    def _weekday(self) -> Ints:
        return np.array([day.weekday() for day in self.days])

    @property
    def _payday_log(self) -> Floats:
        place = paydays(self.days)[STATE_OF_STORE]
        share = np.where(place > 0, PAYDAY_FIRST + (PAYDAY_LAST - PAYDAY_FIRST) * (place - 1) / 9, 0.0)
        salary = SALARY * np.cos(2 * np.pi * (np.array([day.day for day in self.days]) - 1) / 30.4)
        return np.asarray(np.log(self.payday_factor)[:, :, None] * share + salary)

    @property
    def _event_log(self) -> Floats:
        out = np.zeros((_N, _S, len(self.days)))
        for day, rows in self.event_effects.with_columns(
            day=(pl.col("event_date") - self.days[0]).dt.total_days() + pl.col("days_from_event")
        ).group_by("day", maintain_order=True):
            if 0 <= int(day[0]) < len(self.days):
                out[:, :, int(day[0])] = rows["log_effect"].to_numpy().reshape(-1, _N, _S).sum(axis=0)
        return out

    @property
    def _year_log(self) -> Floats:
        random = self._stream(14)
        height, turn = random.uniform(*YEAR_HEIGHT, _N), random.uniform(0, 2 * np.pi, _N)
        angle = 2 * np.pi * np.array([day.timetuple().tm_yday for day in self.days]) / 365.25
        wave = height[:, None] * np.cos(angle - turn[:, None])
        return np.asarray(wave[:, None, :])

    @property
    def _shift_log(self) -> Floats:
        step = np.zeros((_N, _S, len(self.days)))
        department, store, day, size = self.level_shifts
        step[department, store, day] = size
        return np.cumsum(step, axis=2)

    @property
    def _wander(self) -> Floats:
        random, count = self._stream(15), len(self.days)
        return np.asarray(
            wandering(random, (1, 1, count), WANDER_ALL, WANDER_KEPT)
            + wandering(random, (1, _S, count), WANDER_BY_STORE, WANDER_KEPT)
            + wandering(random, (_N, _S, count), WANDER_BY_BOTH, WANDER_KEPT)
        )

    @property
    def _noise(self) -> Floats:
        random, count = self._stream(16), len(self.days)
        return np.asarray(
            NOISE_ALL * random.normal(size=(1, 1, count))
            + NOISE_BY_STORE * random.normal(size=(1, _S, count))
            + NOISE_BY_BOTH * random.normal(size=(_N, _S, count))
        )

    def _stream(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, number])


def wandering(random: np.random.Generator, shape: tuple[int, ...], step: float, kept: float) -> Floats:
    """Draw [..., T] levels on the log that take a normal step a day and keep a share of where they were.

    The first day is drawn from the spread that they have in the long run.
    """
    steps = random.normal(size=shape) * step
    steps[..., 0] /= math.sqrt(1.0 - kept**2)
    for day in range(1, shape[-1]):
        steps[..., day] += kept * steps[..., day - 1]
    return steps


def _effect_frame(name: str, day: date, away: int, effect: Floats) -> pl.DataFrame:
    """One row for each department and store of [7, 10] effects."""
    names = [department for department, _ in DEPARTMENTS]
    return pl.DataFrame(
        {
            "event_name": name,
            "event_date": day,
            "days_from_event": away,
            "dept_id": np.repeat(names, _S).tolist(),
            "store_id": list(STORES) * _N,
            "log_effect": effect.ravel(),
        }
    )
