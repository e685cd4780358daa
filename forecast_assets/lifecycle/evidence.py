"""Evidence that one version forecasts better than another, valid however often somebody looks.

What belongs here: from losses by target date to evidence and confidence limits. What does not: where losses come from,
or what is decided by them.

Of two versions that forecast the same rows the loss of each is summed by target date. A day's difference is

    x = (loss of the champion - loss of the challenger) / (half of both together), cut off at a bound

which is then divided by the bound, so that it lies within -1 and 1. The bound is fixed before anything is looked at: a
day further out counts as the bound. What is tested is "given what came before, x is 0 or less in expectation, at
every observation". A bettor who stakes the share lambda of its wealth on each,

    W = product of (1 + lambda x), lambda from earlier ones only,

cannot be expected to gain under it, and by Ville's inequality reaches 1 / level with a probability of at most `level`,
whenever looked at (Waudby-Smith & Ramdas 2024, doi:10.1093/jrsssb/qkad009; Shafer 2021, doi:10.1111/rssa.12647). So W
is evidence: 20 rejects at 5%, at any look. The highest W so far decides, since it was reached.

That needs observations whose expectation is told by what came before them. Days in a row are not such: a version whose
level is off today is off tomorrow. So an observation is a week, counted from a day that is declared beforehand: one day
ahead the mean over its days; further ahead, where forecasts overlap and errors of several days are known together, one
target date only. Day by day, equally good versions were promoted in 17% of years instead of 5%, and in 28% where days
overlap (`make bench-evidence`). Nor is the mean over all ways of counting a remedy: it is no fair game from one day to
the next.

Limits of the mean difference hold at all times together, too: the predictable plug-in empirical Bernstein confidence
sequence of the same authors (theorem 2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, Ints

LEVEL: Final = 0.05
# A day on which the versions differ by more than this share of their mean loss counts as this much.
BOUND: Final = 0.1
_WEEK: Final = 7
# Largest stake: an observation at the bound against it leaves a tenth of the wealth. Weeks are rarely near it, and with
# half of this a challenger that is 5% better is not found within four months.
_LARGEST_STAKE: Final = 0.9
# Largest weight of an observation in the limits, as the authors take it.
_LARGEST_WEIGHT: Final = 0.5
# Variance of observations before any was seen, of a most of 1, and as how many of them that counts.
_FIRST_VARIANCE: Final = 0.25
_FIRST_COUNT: Final = 1.0


def bounded_differences(champion_loss: Floats, challenger_loss: Floats, bound: float = BOUND) -> Floats:
    """Return by how much the challenger lost less, from -1 to 1.

    Args:
        champion_loss: [n] summed loss of each target date, 0 or more; NaN where it is not known.
        challenger_loss: [n] likewise, over the same rows.
        bound: Share of the mean loss from which on a difference counts as 1.

    Returns:
        [n] differences in multiples of the bound; 0 where neither lost anything, NaN where one is not known.

    Raises:
        ValueError: If the bound is not between 0 and 2, beyond which no difference lies.

    Example:
        >>> bounded_differences(np.array([105.0, 50.0, 0.0]), np.array([95.0, 100.0, 0.0]))
        array([ 1., -1.,  0.])
        >>> bounded_differences(np.array([102.0]), np.array([98.0])).round(3)
        array([0.4])
    """
    if not 0.0 < bound <= 2.0:  # noqa: PLR2004 - the largest that a relative difference can be
        raise ValueError(f"a bound of {bound} is not between 0 and 2")
    mean = (champion_loss + challenger_loss) / 2.0
    share = np.divide(champion_loss - challenger_loss, mean, out=np.zeros_like(mean), where=mean != 0)
    return np.asarray(np.clip(share / bound, -1.0, 1.0))


def observations(
    target_dates: Sequence[date], differences: Floats, step: int, first: date
) -> tuple[list[date], Floats]:
    """Return the observations of a step: one a week, or in as many days as the step is ahead, if those are more.

    Args:
        target_dates: [n] dates.
        differences: [n] of each; NaN where not known.
        step: Steps ahead.
        first: Day on which the first period begins, declared beforehand.

    Returns:
        The last day of each period that has ended, and its observation: of step 1 the mean over its days that are
        known, further ahead the difference of its last day; NaN where there is none.

    Example:
        >>> days = [date(2025, 1, day) for day in range(1, 18)]
        >>> ends, means = observations(days, np.arange(17.0), 1, date(2025, 1, 2))
        >>> [str(end) for end in ends], means.tolist()
        (['2025-01-08', '2025-01-15'], [4.0, 11.0])
        >>> observations(days, np.arange(17.0), 7, date(2025, 1, 2))[1].tolist()
        [7.0, 14.0]
    """
    length = max(step, _WEEK)
    apart = np.array([(day - first).days for day in target_dates], dtype=np.int64)
    count = max(int(apart.max(initial=-1) + 1) // length, 0)
    place = apart // length
    enters = (place >= 0) & (place < count) & ~np.isnan(differences)
    if step > 1:
        enters &= apart % length == length - 1
    days = np.bincount(place[enters], minlength=count)
    total = np.bincount(place[enters], differences[enters], minlength=count)
    ends = [first + timedelta(days=length * (period + 1) - 1) for period in range(count)]
    return ends, np.where(days > 0, total / np.maximum(days, 1), np.nan)


@dataclass(frozen=True)
class Evidence:
    """What n observations say, as of each of them; one that is not known leaves all as it was.

    Attributes:
        differences: [n] from -1 to 1; NaN where not known.
        count: [n] observations known so far.
        wealth: [n] of a bettor that began with 1.
        mean: [n] difference so far; NaN before the first.
        lower: [n] limits of the mean difference that all hold together at confidence 1 - level.
        upper: [n] likewise.
        level: Chance of a wrong decision, however often one looks.
    """

    differences: Floats
    count: Ints
    wealth: Floats
    mean: Floats
    lower: Floats
    upper: Floats
    level: float

    @property
    def is_significant(self) -> Bools:
        """[n] whether the challenger had been shown to be better by then."""
        return np.asarray(np.maximum.accumulate(self.wealth) >= 1.0 / self.level)


def weigh(differences: Floats, level: float = LEVEL) -> Evidence:
    """Weigh differences in the order in which they became known.

    Args:
        differences: [n] from -1 to 1, above 0 where the challenger was better; NaN where not known.
        level: Chance of a wrong decision, however often one looks.

    Raises:
        ValueError: If a difference lies beyond -1 or 1, or the level is not between 0 and 1.
    """
    known = ~np.isnan(differences)
    if (np.abs(differences[known]) > 1.0).any():
        raise ValueError("differences lie within -1 and 1; divide them by the bound first")
    if not 0.0 < level < 1.0:
        raise ValueError(f"a level of {level} is not between 0 and 1")
    seen = differences[known]
    lower, upper = _limits(seen, level)
    last = np.cumsum(known)
    wealth, mean = np.exp(np.cumsum(np.log1p(_stakes(seen) * seen))), np.cumsum(seen) / np.arange(1, len(seen) + 1)
    return Evidence(
        differences=differences,
        count=last,
        wealth=_as_of(wealth, last, 1.0),
        mean=_as_of(mean, last, np.nan),
        lower=_as_of(lower, last, -1.0),
        upper=_as_of(upper, last, 1.0),
        level=level,
    )


def _as_of(values: Floats, last: Floats, before: float) -> Floats:
    """[n] The latest value at each observation; `before` ahead of the first."""
    return np.asarray(np.concatenate([[before], values])[last])


def _stakes(seen: Floats) -> Floats:
    """[n] Share of wealth staked on each observation, from those before it: about what would have grown fastest."""
    mean, variance = _moments_before(seen)
    return np.asarray(np.clip(mean / (variance + mean**2), 0.0, _LARGEST_STAKE))


def _moments_before(seen: Floats) -> tuple[Floats, Floats]:
    """Return mean and variance of what came before each, drawn to 0 and to a first guess as one observation's worth."""
    count = np.arange(len(seen)) + _FIRST_COUNT
    before = np.concatenate([[0.0], np.cumsum(seen)[:-1]]) if len(seen) else seen
    mean = before / count
    # Each one's distance is from the mean up to it, so that the past of a variance never changes.
    mean_then = np.cumsum(seen) / (count + 1.0)
    squares = (seen - mean_then) ** 2
    summed = np.concatenate([[0.0], np.cumsum(squares)[:-1]]) if len(seen) else seen
    return mean, (_FIRST_COUNT * _FIRST_VARIANCE + summed) / count


def _limits(seen: Floats, level: float) -> tuple[Floats, Floats]:
    """[n] Limits of the mean difference, in which the true one lies at all times at once at confidence 1 - level.

    The method is of values from 0 to 1.
    """
    values = (seen + 1.0) / 2.0
    mean, variance = _moments_before(seen)
    mean, variance = (mean + 1.0) / 2.0, variance / 4.0
    number = np.arange(1, len(seen) + 1)
    stake = np.minimum(np.sqrt(2.0 * np.log(2.0 / level) / (variance * number * np.log1p(number))), _LARGEST_WEIGHT)
    staked = np.cumsum(stake)
    width = np.log(2.0 / level) + np.cumsum(4.0 * (values - mean) ** 2 * (-np.log1p(-stake) - stake) / 4.0)
    center = np.cumsum(stake * values) / staked
    low, high = (np.clip(2.0 * (center + sign * width / staked) - 1.0, -1.0, 1.0) for sign in (-1.0, 1.0))
    # What was excluded once stays so.
    return np.maximum.accumulate(low), np.minimum.accumulate(high)
