"""How often a challenger that is no better is promoted, and how soon a better one, with daily looks for a year.

Two families forecast FreshRetailNet and a simulated retailer day after day, without being trained again. Their summed
absolute errors by target date, one and seven steps ahead, are resampled to a year of days, over and over. The
challenger's are multiplied so that nothing is to be found, or that its error is 5% lower than where nothing is; then
somebody looks every day, and promotes as the rule does: once the least period is over, and all guards hold.

Days are drawn in blocks in a row, the last day followed by the first, so that each comes as often (Politis & Romano
1992, A circular block-resampling procedure for stationary data): of a week, which keeps what days of a week share; of
four weeks, which keeps what weeks share; and of weeks that follow one another by an autoregression of 0.5 in the ranks
of their means, whatever the data's own is, which is told too. There "no better, given what came before" does not hold,
so that no bound is asked for.

Beside the evidence that promotions rest on stand what one would do at first: a t-test at every look, and the same
evidence day by day in place of week by week.

    python -m bench.evidence [--only fresh simulator] [--every 18] [--years 1000] [--folder DIR]
"""

import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import t as student

from bench.cases import SIMULATED, Case, fresh_cases, simulated_cases
from bench.goals import Goal, any_missed, goals_table
from bench.real_input import fresh_parser
from forecast_assets.core.arrays import Floats, Rows
from forecast_assets.features.panel import Panel
from forecast_assets.lifecycle.evidence import BOUND, LEVEL, bounded_differences, observations, weigh
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.family import family
from resources.ledger.entries.challenge import TrialRules

CHAMPION, CHALLENGER = "statistical", "global"
STEPS = (1, 7)
YEAR = 365
WEEK, FOUR_WEEKS = 7, 28
# How days of a year are drawn, and the autoregression of weeks that depend on one another.
WEEKS, MONTHS, LINKED = "blocks of 7 days", "blocks of 28 days", "weeks with AR(1) of 0.5"
LINK: Final = 0.5
# Before it is over nothing is called better.
LEAST_WEEKS: Final = TrialRules(FOUR_WEEKS).least_days // WEEK
# By how much the challenger's error is lower, and within how many days that has to be found by step.
LOWER = 0.05
FOUND_WITHIN: Final[Mapping[int, int]] = {1: 120, 7: 365}
WRONG_AT_MOST, FOUND_AT_LEAST = 0.05, 0.80
# A t-test needs some days before its first look.
FIRST_LOOK = 14
# The last cutoff, one day before the files end, and how many days of history models are trained on before the first.
FRESH_CUTOFF, FRESH_TRAINED = date(2024, 6, 10), 42
SIMULATED_TRAINED = 330
SEED = 11
_START = date(2025, 1, 2)
_DAYS: Final = [_START + timedelta(days=day) for day in range(YEAR)]


@dataclass(frozen=True)
class DailyLosses:
    """Summed absolute errors by target date of two versions.

    Attributes:
        champion: [n] of each target date, units.
        challenger: [n] likewise.
    """

    champion: Floats
    challenger: Floats

    def scaled(self, factor: float) -> "DailyLosses":
        return DailyLosses(self.champion, self.challenger * factor)

    @property
    def differences(self) -> Floats:
        return bounded_differences(self.champion, self.challenger)

    def without_difference(self) -> "DailyLosses":
        """Return the same with a challenger that is as good as the champion on average."""
        return self.scaled(brentq(lambda factor: float(self.scaled(factor).differences.mean()), 0.2, 5.0, xtol=1e-9))


@dataclass(frozen=True)
class Found:
    """What daily looks came to.

    Attributes:
        wrong: Share of years in which a challenger was promoted that is no better, by how days were drawn.
        found: Share of years in which one that is 5% better was promoted in time, likewise.
        effect: Mean of its bounded difference.
        wrong_by_t: Share of years of blocks of a week in which a t-test at every look would have promoted one that is
            no better.
        wrong_by_day: The same of the evidence, if every day were an observation.
        alike: Correlation of each difference with the next in the data itself, and of how many, by what they are of.
    """

    wrong: Mapping[str, float]
    found: Mapping[str, float]
    effect: float
    wrong_by_t: float
    wrong_by_day: float
    alike: Mapping[str, tuple[float, int]]


def main() -> int:
    given = _arguments()
    goals: list[Goal] = []
    with tempfile.TemporaryDirectory() as scratch:
        for kind in given.only:
            case, trained = _case(kind, Path(scratch), given)
            for step, losses in daily_losses(case, trained).items():
                goals += goals_of(f"{kind}, step {step}", step, looked_at(losses, step, given.years))
    print(goals_table(goals, f"Promotions with daily looks for a year, {given.years} years each"))
    return any_missed(goals)


def _arguments() -> Namespace:
    parser = fresh_parser(__doc__)
    parser.add_argument("--only", nargs="+", default=("fresh", "simulator"), choices=("fresh", "simulator"))
    parser.add_argument("--every", type=int, default=18, help="FreshRetailNet: one store in so many; all: 1")
    parser.add_argument("--years", type=int, default=1000, help="that are drawn")
    return parser.parse_args()


def _case(kind: str, scratch: Path, given: Namespace) -> tuple[Case, int]:
    """Return a retailer, and on how many days of its history versions are trained."""
    if kind == "fresh":
        return next(iter(fresh_cases(given.folder, scratch, [FRESH_CUTOFF], given.every))), FRESH_TRAINED
    *_, with_calendar = simulated_cases([SIMULATED.seed])
    return with_calendar, SIMULATED_TRAINED


def daily_losses(case: Case, trained_days: int) -> dict[int, DailyLosses]:
    """Forecast day after day with two versions, and sum what they missed.

    Args:
        case: A retailer, with its history.
        trained_days: Days of history that both are trained on; all days after it are forecast.

    Returns:
        Losses by step, of the target dates of that step.
    """
    days = range(trained_days, case.panel.history_days)
    missed: dict[str, dict[int, list[float]]] = {name: {step: [] for step in STEPS} for name in (CHAMPION, CHALLENGER)}
    for name in missed:
        artifact = _trained(case, name, trained_days)
        for known in days:
            expected = _expected_sales(case, name, artifact, known)
            for step in STEPS:
                if known + step <= case.panel.history_days:
                    missed[name][step].append(_missed(case.panel, known + step - 1, expected[:, step - 1]))
    return {step: DailyLosses(*(np.array(missed[name][step]) for name in (CHAMPION, CHALLENGER))) for step in STEPS}


def _trained(case: Case, name: str, days: int) -> Artifact:
    then = replace(case, panel=case.panel.as_of(case.panel.history_days - days))
    return family(name).train(then.training()).artifact


def _expected_sales(case: Case, name: str, artifact: Artifact, known_days: int) -> Floats:
    earlier = case.panel.history_days - known_days
    then = replace(case, panel=case.panel.as_of(earlier)) if earlier else case
    made = family(name).forecast(artifact, then.scoring(artifact.history_days, artifact.group_level))
    return made.mean * (1.0 - made.lost_share_or(np.zeros(len(made.mean))))


def _missed(panel: Panel, day: int, expected: Floats) -> float:
    came = panel.sales[:, day]
    return float(np.abs(came - expected)[~np.isnan(came)].sum())


def looked_at(losses: DailyLosses, step: int, years: int) -> Found:
    """Look every day of many years that are resampled from some weeks.

    Args:
        losses: Of the target dates of a step.
        step: Steps ahead.
        years: How many are drawn, in each way.
    """
    nothing = losses.without_difference()
    better = nothing.scaled(1.0 - LOWER)
    drawn = {way: list(draws(nothing.differences, years)) for way, draws in WAYS.items()}
    null = [nothing.differences[days] for days in drawn[WEEKS]]
    return Found(
        wrong={
            way: float(np.mean([promoted(nothing.differences[days], step) for days in draws]))
            for way, draws in drawn.items()
        },
        found={
            way: float(np.mean([promoted(better.differences[days][: FOUND_WITHIN[step]], step) for days in draws]))
            for way, draws in drawn.items()
        },
        effect=float(better.differences.mean()),
        wrong_by_t=float(np.mean([_ever_by_t(each) for each in null])),
        wrong_by_day=float(np.mean([weigh(each).is_significant[-1] for each in null])),
        alike={
            "day": with_the_next(nothing.differences),
            "week": with_the_next(_weekly(nothing.differences, step)),
        },
    )


def promoted(differences: Floats, step: int) -> bool:
    """Whether somebody who looks every day is told `better` on any of them, as `judging.decision` says it.

    Args:
        differences: [n] of days in a row, of a year at most.
        step: Steps ahead.
    """
    seen = _weekly(differences, step)
    is_over = np.arange(1, len(seen) + 1) >= LEAST_WEEKS
    return bool((weigh(seen).is_significant & ~weigh(-seen).is_significant & is_over).any())


def _weekly(differences: Floats, step: int) -> Floats:
    return observations(_DAYS[: len(differences)], differences, step, _START)[1]


def with_the_next(values: Floats) -> tuple[float, int]:
    """Return the correlation of each value with the next, and of how many values.

    Example:
        >>> with_the_next(np.array([1.0, -1.0, 1.0, -1.0]))
        (-0.75, 4)
    """
    apart = values - values.mean()
    return float((apart[1:] * apart[:-1]).sum() / max((apart**2).sum(), 1e-12)), len(values)


def _in_blocks(differences: Floats, years: int, length: int) -> Iterator[Rows]:
    """Days of a year each, in blocks in a row from anywhere, the first of them cut short."""
    random = np.random.default_rng(SEED)
    count = len(differences)
    for _ in range(years):
        starts = random.integers(0, count, size=-(-YEAR // length) + 1)
        yield _year(starts, length, count, random)


def _in_linked_weeks(differences: Floats, years: int) -> Iterator[Rows]:
    """Days of a year each, in weeks of which a good one is rather followed by another good one."""
    random = np.random.default_rng(SEED)
    count = len(differences)
    by_mean = np.argsort(differences[(np.arange(count)[:, None] + np.arange(WEEK)) % count].mean(axis=1))
    for _ in range(years):
        normal = random.normal(size=-(-YEAR // WEEK) + 1)
        for week in range(1, len(normal)):
            normal[week] = LINK * normal[week - 1] + np.sqrt(1.0 - LINK**2) * normal[week]
        starts = by_mean[np.minimum((ndtr(normal) * count).astype(np.int64), count - 1)]
        yield _year(starts, WEEK, count, random)


def _year(starts: Rows, length: int, count: int, random: np.random.Generator) -> Rows:
    days = (starts[:, None] + np.arange(length)) % count
    made: Rows = days.ravel()[random.integers(0, length) :][:YEAR]
    return made


WAYS: Final[Mapping[str, Callable[[Floats, int], Iterator[Rows]]]] = {
    WEEKS: partial(_in_blocks, length=WEEK),
    MONTHS: partial(_in_blocks, length=FOUR_WEEKS),
    LINKED: _in_linked_weeks,
}


def _ever_by_t(differences: Floats) -> bool:
    """Whether a one-sided t-test, done anew every day, ever says that the mean is above 0."""
    count = np.arange(1, len(differences) + 1)
    mean = np.cumsum(differences) / count
    variance = (np.cumsum(differences**2) - count * mean**2) / np.maximum(count - 1, 1)
    statistic = mean / np.sqrt(np.maximum(variance, 1e-12) / count)
    limit = student.ppf(1.0 - LEVEL, np.maximum(count - 1, 1))
    return bool((statistic > limit)[FIRST_LOOK - 1 :].any())


def goals_of(title: str, step: int, found: Found) -> list[Goal]:
    late = f"{title}: not promoted within {FOUND_WITHIN[step]} days though {LOWER:.0%} better"
    effect = f"mean difference {found.effect:.2f} of the bound of {BOUND:.0%}"
    wrong = f"{title}: promoted though no better"
    return [
        *(
            Goal(f"{wrong}, {way}", share, None if way == LINKED else WRONG_AT_MOST, unit="share")
            for way, share in found.wrong.items()
        ),
        *(
            Goal(f"{late}, {way} ({effect})", 1.0 - share, 1.0 - FOUND_AT_LEAST if way == WEEKS else None, unit="share")
            for way, share in found.found.items()
        ),
        Goal(f"{wrong}, by a t-test every day", found.wrong_by_t, unit="share"),
        Goal(f"{wrong}, day by day", found.wrong_by_day, unit="share"),
        *(
            Goal(f"{title}: correlation of a {each} with the next, of {count} in the data", value, unit="plain")
            for each, (value, count) in found.alike.items()
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
