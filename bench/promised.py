"""What models have to reach over several cutoffs, and what they did: goals from figures.

What belongs here: the bounds, and which recorded figure each is over. What does not: measuring, or printing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.figures import (
    BOTTOM,
    CLIMATOLOGY,
    LEVELS,
    LEVELS_1_TO_9,
    NEXT_DAYS_RISK,
    OWN_RATE,
    PAYDAYS,
    RISK,
    RISK_CALIBRATION,
    SIGNED,
    SIZE,
    WAPE_OF_DEMAND,
    WAPE_OF_SALES,
    WEEKDAYS,
    YESTERDAY,
    Figures,
    mean_figure,
)
from bench.goals import Goal
from bench.recorded import Recorded

TODAY, PLAIN, STATISTICAL = "combined", "tweedie", "statistical"
# What every kind of case is shown beside, as recorded.
BESIDE = {"m5": (TODAY, PLAIN), "fresh": (TODAY, PLAIN), "simulator": (TODAY, STATISTICAL)}
TRAINING = "training, multiples of the fixed job"


@dataclass(frozen=True)
class Promise:
    """A bound on the mean of a figure over cutoffs.

    Attributes:
        figure: Its name; of a signed one the size of the mean.
        at_least: What has to be reached.
        aim: What is hoped for.
        over: Model whose recorded figure it is divided by; None for the figure itself.
    """

    figure: str
    at_least: float
    aim: float
    over: str | None = None


def _biases(at_least: float, aim: float) -> tuple[Promise, ...]:
    return tuple(
        promise
        for level in ("total", "store", "group x store")
        for promise in (Promise(f"{SIGNED}{level}", at_least, aim), Promise(f"{SIZE}{level}", 0.9, 0.8, TODAY))
    )


PROMISED: Mapping[str, tuple[Promise, ...]] = {
    "m5": (
        Promise(LEVELS_1_TO_9, 0.84, 0.77, TODAY),
        Promise(LEVELS, 0.91, 0.87, TODAY),
        Promise(BOTTOM, 1.00, 0.99, TODAY),
        Promise(PAYDAYS, 0.5, 0.33, TODAY),
        Promise(WEEKDAYS, 0.5, 0.33, TODAY),
        *_biases(0.015, 0.007),
    ),
    "fresh": (
        Promise(WAPE_OF_SALES, 0.97, 0.95, TODAY),
        Promise(WAPE_OF_SALES, 0.98, 0.96, PLAIN),
        Promise(RISK, 0.335, 0.325),
        Promise(NEXT_DAYS_RISK, 0.25, 0.235),
        Promise(RISK_CALIBRATION, 0.025, 0.015),
        *(Promise(figure, 1.0, 0.9) for figure in (CLIMATOLOGY, OWN_RATE, YESTERDAY)),
        *_biases(0.015, 0.007),
    ),
    "simulator": (
        Promise(WAPE_OF_DEMAND, 0.90, 0.80, STATISTICAL),
        Promise(f"{SIGNED}total", 0.02, 0.01),
    ),
}


def skill_goals(kind: str, found: Mapping[str, Figures], before: Recorded) -> list[Goal]:
    """Return every promise on a kind of case beside what was reached.

    Args:
        kind: `m5`, `fresh` or `simulator`.
        found: Figures by name of the case.
        before: What was reached before; a ratio to what it lacks is not measured, and so not reached.
    """
    return [_goal(kind, promise, found, before) for promise in PROMISED[kind]]


def _goal(kind: str, promise: Promise, found: Mapping[str, Figures], before: Recorded) -> Goal:
    what = f"{kind}, {len(found)} cutoffs: {promise.figure}"
    if promise.over is None:
        reached = mean_figure(found.values(), promise.figure)
        return Goal(f"{what}, size of the mean", reached, promise.at_least, promise.aim, "share")
    was, ratio = before.beside(promise.over, found, promise.figure)
    named = f"{what} over that of {promise.over} of {before.commit} ({was:.4f})"
    return Goal(named, ratio, promise.at_least, promise.aim)
