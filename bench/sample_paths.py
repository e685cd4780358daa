"""How sure sums are said to be, and how sure they were: sample paths on files of M5's shape, as of several cutoffs.

Quantiles of all nodes by joint sample paths, beside those of the same marginals added up as if series and days knew
nothing of one another, as if they moved as one, and in the order in which past errors came on the same dates (Schaake
shuffle: Clark et al. 2004, doi:10.1175/1525-7541(2004)005<0243:TSSAMF>2.0.CO;2): the weighted scaled pinball loss over
M5's twelve levels, how often central intervals held by level for days and for sums over the first days, each with the
number of independent observations that it is worth, and what drawing takes, in multiples of the fixed job that is run
just before.

    python -m bench.sample_paths [--family statistical] [--items 300] [--seeds 1 2 3] [--days 450 548 646]
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
from scipy import sparse

from bench.candidates import reconciled_frames
from bench.cases import M5_CUTOFFS, Case, m5_cases, m5_levels
from bench.coverage import (
    ENOUGH_PAIRS,
    INTERVALS,
    UPPER,
    IntervalsHeld,
    coverage,
    joined,
    unexplained,
    worst_off,
)
from bench.demo import fixed_job
from bench.goals import Goal, any_missed, goals_table
from bench.m5_shaped import Shape
from bench.measured import in_process
from bench.scoring import summed
from forecast_assets.contracts import FIRST_DAYS, QUANTILE_COLUMNS
from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.hierarchy import summing_of
from forecast_assets.metrics.quantiles import WSPL_PLACES, WSPL_QUANTILES
from forecast_assets.models.family import family
from forecast_assets.models.sample_paths.dependence import Dependence
from forecast_assets.models.sample_paths.drawing import JointPaths, factors_of, series_keys
from forecast_assets.models.sample_paths.marginals import Marginals, sells_by_the_piece
from forecast_assets.models.sample_paths.randomness import uniforms
from forecast_assets.models.sample_paths.sums import quantiles_of_sums
from forecast_assets.presentation.text import table

LEARNED, INDEPENDENT, AS_ONE, SAME_DATES = "sample paths", "as if independent", "as if one", "by past dates"
WSPL_OVER = (1.0, 0.9)
# Points, at least and as an aim: intervals of days, of sums over days, and upper quantiles at the bottom.
DAYS_OFF, SUMS_OFF, UPPER_OFF = (0.04, 0.015), (0.05, 0.02), (0.008, 0.003)
BOTTOM = "sku x store"
_WEEKDAYS = 7
# Weeks of the same weekday that a past day is compared with.
_WEEKS = 4


@dataclass(frozen=True)
class Judged:
    """One way to add up, as of one cutoff.

    Attributes:
        losses: Weighted scaled pinball loss by level.
        held: By level and days (1 for each day, else the first so many together), how often intervals held.
        seconds: That drawing and adding up took.
    """

    losses: Mapping[str, float]
    held: Mapping[tuple[str, int], IntervalsHeld]
    seconds: float

    @property
    def wspl(self) -> float:
        return float(np.mean(list(self.losses.values())))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="statistical", help="model family")
    parser.add_argument("--items", type=int, default=300, help="items, each in ten stores; all: 3049")
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3), help="of the made-up files")
    parser.add_argument("--days", type=int, nargs="+", default=M5_CUTOFFS, help="cutoffs in them, as days from 1")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        fixed = in_process(fixed_job, Path(scratch) / "rows.parquet")
        found: list[Mapping[str, Judged]] = []
        for seed in given.seeds:
            shape = Shape(given.items, max(M5_CUTOFFS) + max(FIRST_DAYS), seed)
            for case in m5_cases(shape, Path(scratch) / str(seed), given.days):
                found.append(judged(case, given.family))
                losses = ", ".join(f"{way} {each.wspl:.4f}" for way, each in found[-1].items())
                print(f"{case.name}: WSPL {losses}", flush=True)
    print(coverage_table(found))
    goals = goals_of(found, fixed)
    print(goals_table(goals, f"Sample paths of {given.family}, mean of {len(found)} cutoffs"))
    return int(any_missed(goals))


def judged(case: Case, name: str, workers: int | None = None) -> dict[str, Judged]:
    """Train a family as of a case's cutoff, and judge each way to add its series up."""
    chosen = family(name)
    artifact = chosen.train(case.training()).artifact
    inputs = case.scoring(artifact.history_days, artifact.group_level)
    _, reconciled = reconciled_frames(inputs, chosen, chosen.forecast(artifact, inputs))
    shape = len(case.sales), case.panel.horizon_days
    mean, *quantiles = (
        reconciled[column].cast(pl.Float64).to_numpy().reshape(shape)
        for column in ("reconciled_units", *QUANTILE_COLUMNS)
    )
    marginals = Marginals(mean, np.stack(quantiles, axis=-1), sells_by_the_piece(case.panel.sales))
    ways = {
        LEARNED: artifact.dependence or Dependence.none(),
        INDEPENDENT: Dependence.none(),
        AS_ONE: Dependence({"total x total": 0.999}, {}),
    }
    keys = series_keys(case.hierarchy)
    paths = {
        way: JointPaths(marginals, shares, keys, factors_of(case.hierarchy, shares), workers=workers)
        for way, shares in ways.items()
    }
    by_dates = SharedDates(marginals, Dependence.none(), keys, {}, workers=workers, errors=_past_errors(case))
    return {way: _judged(case, each) for way, each in {**paths, SAME_DATES: by_dates.of_all_dates()}.items()}


@dataclass(frozen=True)
class SharedDates(JointPaths):
    """Paths whose outcomes come in the order of past errors: path k is what came together from day k on.

    Attributes:
        errors: [n, T] past errors, the newest last.
    """

    errors: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def of_all_dates(self) -> "SharedDates":
        """Return as many paths as there are past days with a whole horizon after them."""
        return replace(self, paths=self.errors.shape[1] - self.marginals.mean.shape[1] + 1)

    def steps(self) -> Iterator[Floats]:
        # Equal errors, most of a slow series', come in an order of each series' own.
        ties = uniforms(self.keys, 0, self.errors.shape[1])
        for step in range(self.marginals.mean.shape[1]):
            days = slice(step, step + self.paths)
            order = np.lexsort((ties[:, days], self.errors[:, days]), axis=1)
            units = np.empty(order.shape)
            np.put_along_axis(units, order, self.marginals.outcomes(step, self.paths), axis=1)
            yield units


def _past_errors(case: Case) -> Floats:
    """[n, T - 28] Sales less those of the same weekday in the four weeks before; unknown days count as usual ones."""
    sales = np.nan_to_num(case.panel.sales)
    days = sales.shape[1] - _WEEKDAYS * _WEEKS
    usual = np.mean([sales[:, _WEEKDAYS * week : _WEEKDAYS * week + days] for week in range(_WEEKS)], axis=0)
    return np.asarray(sales[:, _WEEKDAYS * _WEEKS :] - usual)


def _judged(case: Case, paths: JointPaths) -> Judged:
    levels, started = m5_levels(case), time.perf_counter()
    losses, held = {}, {}
    starts = np.cumsum([0, *(int(code.max()) + 1 for code in levels.values())])
    summing = sparse.vstack([summing_of(code) for code in levels.values()], format="csr")
    windows = [days for days in FIRST_DAYS if days <= case.panel.horizon_days]
    found = quantiles_of_sums(paths, summing, windows)
    seconds = time.perf_counter() - started
    for level, (name, code) in enumerate(levels.items()):
        rows = slice(starts[level], starts[level + 1])
        actual = summed(case.sales, code)
        losses[name] = _pinball(case, code, actual, found.nodes[rows])
        held[name, 1] = coverage(actual, found.nodes[rows])
        for days in windows:
            whole = actual[:, :days].sum(axis=1, keepdims=True)
            held[name, days] = coverage(whole, found.first_days[days][rows][:, None])
    return Judged(losses, held, seconds)


def _pinball(case: Case, code: Ints, actual: Floats, quantiles: Floats) -> float:
    """Pinball loss of M5's quantiles over the mean absolute step of each node's past, weighted by revenue."""
    past, revenue = summed(np.nan_to_num(case.panel.sales), code), summed(case.revenue[:, None], code).ravel()
    scale = np.abs(np.diff(past, axis=1)).mean(axis=1)
    levels, over = np.array(WSPL_QUANTILES), actual[:, :, None] - quantiles[:, :, WSPL_PLACES]
    loss = np.maximum(levels * over, (levels - 1) * over).mean(axis=(1, 2))
    used = scale > 0
    return float((revenue[used] * loss[used] / scale[used]).sum() / revenue[used].sum())


def held_over_all(found: Sequence[Mapping[str, Judged]], way: str) -> dict[tuple[str, int], IntervalsHeld]:
    """Return how often one way's intervals held, over all cutoffs, by level and days."""
    return {place: joined([each[way].held[place] for each in found]) for place in found[0][way].held}


def coverage_table(found: Sequence[Mapping[str, Judged]]) -> str:
    """Return how often intervals and upper quantiles held by level and days, and 80% intervals of the other ways."""
    others = [way for way in found[0] if way != LEARNED]
    over_all = {way: held_over_all(found, way) for way in found[0]}
    at = list(INTERVALS).index("80%")
    rows = [
        (name, "a day" if days == 1 else f"first {days}", f"{held.pairs:,}", *held.told(),
         *(f"{over_all[way][name, days].mean[at]:.1%}" for way in others))
        for (name, days), held in over_all[LEARNED].items()
    ]  # fmt: skip
    head = ("level", "days", "pairs", *INTERVALS, *UPPER, *(f"80%, {way}" for way in others))
    return table(head, rows, title=f"What held over {len(found)} cutoffs (and of how many independent observations)")


def goals_of(found: Sequence[Mapping[str, Judged]], fixed: float) -> list[Goal]:
    """Return what was reached beside what was promised."""
    loss = {way: float(np.mean([each[way].wspl for each in found])) for way in found[0]}
    held = held_over_all(found, LEARNED)
    of_days = [each for (_, days), each in held.items() if days == 1]
    of_sums = [each for (_, days), each in held.items() if days > 1]
    upper = np.abs(held[BOTTOM, 1].off)[len(INTERVALS) :].max()
    return [
        Goal(f"WSPL over 12 levels over that {INDEPENDENT} ({loss[INDEPENDENT]:.4f})",
             loss[LEARNED] / loss[INDEPENDENT], *WSPL_OVER),
        Goal(f"the same over that {AS_ONE} ({loss[AS_ONE]:.4f})", loss[LEARNED] / loss[AS_ONE], *WSPL_OVER),
        Goal(f"the same over that {SAME_DATES} ({loss[SAME_DATES]:.4f})", loss[LEARNED] / loss[SAME_DATES]),
        Goal("intervals of days, farthest off by level", worst_off(of_days), *DAYS_OFF, unit="share"),
        Goal("intervals of sums over days, farthest off by level", worst_off(of_sums), *SUMS_OFF, unit="share"),
        Goal(f"levels and days of fewer than {ENOUGH_PAIRS} pairs that chance does not explain",
             unexplained([*of_days, *of_sums]), 0, 0, unit="plain"),
        Goal("upper quantiles .975 and .995 at the bottom, farther off", float(upper), *UPPER_OFF, unit="share"),
        Goal("drawing and adding up, multiples of the fixed job",
             float(np.mean([each[LEARNED].seconds for each in found])) / fixed),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
