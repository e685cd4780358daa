"""How often what came lay where it was said to: shares by level and days, and of how many observations they are.

What belongs here: counting, how many independent observations counts are worth, and whether a promise is kept. What
does not: making quantiles, or files.

Nodes of a level on one day share what moves that day, so that many nodes on few days are worth fewer observations than
pairs of node and day. How many follows from how much the share differs from day to day (design effect: Kish 1965).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats

# Central intervals and upper quantiles: which of the published quantiles they end at, and how often they should hold.
INTERVALS: Final[Mapping[str, tuple[int, int]]] = {"50%": (5, 7), "80%": (3, 9), "95%": (1, 11)}
UPPER: Final[Mapping[str, int]] = {"q975": 11, "q995": 12}
NOMINAL: Final = (*(float(name[:-1]) / 100 for name in INTERVALS), *(QUANTILES[at] for at in UPPER.values()))
# From so many pairs of node and date a share is judged by itself, else by the interval that its number leaves.
ENOUGH_PAIRS: Final = 400
_TWO_SIDED: Final = 1.96


@dataclass(frozen=True)
class IntervalsHeld:
    """Shares of a level's nodes that lay where they should, on dates that do not overlap.

    Attributes:
        shares: [dates, 5] inside each of `INTERVALS`, and at or below each of `UPPER`.
        nodes: Of the level.
    """

    shares: Floats
    nodes: int

    @property
    def mean(self) -> Floats:
        """[5] Shares over all dates."""
        return np.asarray(self.shares.mean(axis=0))

    @property
    def pairs(self) -> int:
        """Pairs of node and date."""
        return len(self.shares) * self.nodes

    @property
    def effective(self) -> Floats:
        """[5] Independent observations that each share is worth, from the number of dates to that of pairs."""
        dates = len(self.shares)
        if dates == 1:
            return np.ones(len(NOMINAL))
        nominal = np.array(NOMINAL)
        variance = self.shares.var(axis=0, ddof=1) / dates
        worth = np.divide(nominal * (1 - nominal), variance, out=np.full(len(nominal), np.inf), where=variance > 0)
        return np.clip(worth, dates, self.pairs)

    @property
    def off(self) -> Floats:
        """[5] How far each share is from what it should be."""
        return self.mean - np.array(NOMINAL)

    @property
    def is_explained(self) -> bool:
        """Whether every interval's share may be its nominal level, by chance of so many observations."""
        nominal = np.array(NOMINAL)
        reach = _TWO_SIDED * np.sqrt(nominal * (1 - nominal) / self.effective)
        return bool((np.abs(self.off) <= reach)[: len(INTERVALS)].all())

    def told(self) -> tuple[str, ...]:
        """Each share with its effective number behind it."""
        return tuple(f"{share:.1%} ({worth:,.0f})" for share, worth in zip(self.mean, self.effective, strict=True))


def coverage(actual: Floats, quantiles: Floats) -> IntervalsHeld:
    """Count what lay where, as a randomised PIT does on average (Czado, Gneiting & Held 2009).

    What ties with quantiles, as counts of slow series do, is spread over the probabilities that they have in common: a
    zero that was said to have 60% lies by 35 in 60 parts in the central half.

    Args:
        actual: [m, dates] what came.
        quantiles: [m, dates, 13] what was said.
    """
    levels = np.concatenate([[0.0], QUANTILES, [1.0]])
    less, at_most = ((quantiles < actual[:, :, None]).sum(axis=2), (quantiles <= actual[:, :, None]).sum(axis=2))
    # Where a tie begins and ends lies between two quantiles; nobody says where.
    is_tied = at_most > less
    below = np.where(is_tied, (levels[less] + levels[less + 1]) / 2, levels[less])
    above = np.where(is_tied, (levels[at_most] + levels[at_most + 1]) / 2, levels[at_most + 1])

    def share(low: float, high: float) -> Floats:
        overlap = np.minimum(above, high) - np.maximum(below, low)
        return np.asarray((np.maximum(overlap, 0.0) / (above - below)).mean(axis=0))

    inside = [share(QUANTILES[low], QUANTILES[high]) for low, high in INTERVALS.values()]
    return IntervalsHeld(
        np.stack([*inside, *(share(0.0, QUANTILES[at]) for at in UPPER.values())], axis=1), len(actual)
    )


def joined(parts: Sequence[IntervalsHeld]) -> IntervalsHeld:
    """Return the coverage of several cutoffs, whose dates do not overlap."""
    return IntervalsHeld(np.concatenate([each.shares for each in parts]), parts[0].nodes)


def worst_off(places: Sequence[IntervalsHeld]) -> float:
    """Return how far intervals are off at worst, where there are enough pairs; NaN where there are nowhere."""
    judged = [np.abs(each.off)[: len(INTERVALS)].max() for each in places if each.pairs >= ENOUGH_PAIRS]
    return float(max(judged, default=np.nan))


def unexplained(places: Sequence[IntervalsHeld]) -> int:
    """Return in how many places with too few pairs chance does not explain how far intervals are off."""
    return sum(not each.is_explained for each in places if each.pairs < ENOUGH_PAIRS)
