"""How sure sums are said to be, and how sure they were: sample paths on files of M5's shape, as of several cutoffs.

Quantiles of all nodes by joint sample paths, beside those of the same marginals added up as if series and days knew
nothing of one another, and as if they moved as one: the weighted scaled pinball loss over M5's twelve levels, the
coverage of central intervals by level for days and for sums over the first days, and what drawing takes, in multiples
of the fixed job that is run just before.

    python -m bench.sample_paths [--family statistical] [--items 300] [--seeds 1 2 3] [--days 450 548 646]
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from scipy import sparse

from bench.candidates import reconciled_frames
from bench.cases import M5_CUTOFFS, Case, m5_cases, m5_levels
from bench.demo import fixed_job
from bench.goals import Goal, any_missed, goals_table
from bench.m5_shaped import Shape
from bench.measured import in_process
from bench.scoring import summed
from forecast_assets.contracts import QUANTILE_COLUMNS, QUANTILES
from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.hierarchy import summing_of
from forecast_assets.models.family import family
from forecast_assets.models.sample_paths.dependence import Dependence
from forecast_assets.models.sample_paths.drawing import JointPaths, factors_of, series_keys
from forecast_assets.models.sample_paths.marginals import Marginals, sells_by_the_piece
from forecast_assets.models.sample_paths.sums import quantiles_of_sums
from forecast_assets.presentation.text import table

LEARNED, INDEPENDENT, AS_ONE = "sample paths", "as if independent", "as if one"
# M5's nine of the published quantiles, and where central intervals end among them.
OF_M5 = np.array([0, 1, 4, 5, 6, 7, 8, 11, 12])
INTERVALS: Mapping[str, tuple[int, int]] = {"50%": (5, 7), "80%": (3, 9), "95%": (1, 11)}
WINDOWS = (7, 14, 28)
WSPL_OVER = (1.0, 0.9)


@dataclass(frozen=True)
class Judged:
    """One way to add up, as of one cutoff.

    Attributes:
        losses: Weighted scaled pinball loss by level.
        inside: By level and days (1 for each day, else the first so many together), shares of nodes inside intervals.
        seconds: That drawing and adding up took.
    """

    losses: Mapping[str, float]
    inside: Mapping[tuple[str, int], Sequence[float]]
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
            shape = Shape(given.items, max(M5_CUTOFFS) + max(WINDOWS), seed)
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
    return {way: _judged(case, each) for way, each in paths.items()}


def _judged(case: Case, paths: JointPaths) -> Judged:
    levels, started = m5_levels(case), time.perf_counter()
    losses, inside = {}, {}
    starts = np.cumsum([0, *(int(code.max()) + 1 for code in levels.values())])
    summing = sparse.vstack([summing_of(code) for code in levels.values()], format="csr")
    windows = [days for days in WINDOWS if days <= case.panel.horizon_days]
    found = quantiles_of_sums(paths, summing, windows)
    seconds = time.perf_counter() - started
    for level, (name, code) in enumerate(levels.items()):
        rows = slice(starts[level], starts[level + 1])
        actual = summed(case.sales, code)
        losses[name] = _pinball(case, code, actual, found.nodes[rows])
        inside[name, 1] = _inside(actual, found.nodes[rows])
        for days in windows:
            whole = actual[:, :days].sum(axis=1, keepdims=True)
            inside[name, days] = _inside(whole, found.first_days[days][rows][:, None])
    return Judged(losses, inside, seconds)


def _pinball(case: Case, code: Ints, actual: Floats, quantiles: Floats) -> float:
    """Pinball loss of M5's quantiles over the mean absolute step of each node's past, weighted by revenue."""
    past, revenue = summed(np.nan_to_num(case.panel.sales), code), summed(case.revenue[:, None], code).ravel()
    scale = np.abs(np.diff(past, axis=1)).mean(axis=1)
    levels, over = np.array(QUANTILES)[OF_M5], actual[:, :, None] - quantiles[:, :, OF_M5]
    loss = np.maximum(levels * over, (levels - 1) * over).mean(axis=(1, 2))
    used = scale > 0
    return float((revenue[used] * loss[used] / scale[used]).sum() / revenue[used].sum())


def _inside(actual: Floats, quantiles: Floats) -> list[float]:
    """Share of nodes and days inside each central interval; a tie with an end counts half."""
    shares = []
    for low, high in INTERVALS.values():
        bottom, top = quantiles[:, :, low], quantiles[:, :, high]
        strictly, loosely = (bottom < actual) & (actual < top), (bottom <= actual) & (actual <= top)
        shares.append(float((strictly.mean() + loosely.mean()) / 2))
    return shares


def coverage_table(found: Sequence[Mapping[str, Judged]]) -> str:
    """Return coverage by level and days, the mean over cutoffs: of sample paths, and as if independent."""
    places = list(found[0][LEARNED].inside)
    rows = [
        (name, "a day" if days == 1 else f"first {days}", *_told(found, LEARNED, (name, days)),
         *_told(found, INDEPENDENT, (name, days)))
        for name, days in places
    ]  # fmt: skip
    head = ("level", "days", *INTERVALS, *(f"{each}, independent" for each in INTERVALS))
    return table(head, rows, title=f"Inside central intervals, mean of {len(found)} cutoffs")


def _told(found: Sequence[Mapping[str, Judged]], way: str, place: tuple[str, int]) -> Iterator[str]:
    means = np.mean([each[way].inside[place] for each in found], axis=0)
    return (f"{share:.1%}" for share in means)


def goals_of(found: Sequence[Mapping[str, Judged]], fixed: float) -> list[Goal]:
    """Return what was reached beside what was promised."""
    loss = {way: float(np.mean([each[way].wspl for each in found])) for way in (LEARNED, INDEPENDENT, AS_ONE)}
    return [
        Goal(f"WSPL over 12 levels over that {INDEPENDENT} ({loss[INDEPENDENT]:.4f})",
             loss[LEARNED] / loss[INDEPENDENT], *WSPL_OVER),
        Goal(f"the same over that {AS_ONE} ({loss[AS_ONE]:.4f})", loss[LEARNED] / loss[AS_ONE], *WSPL_OVER),
        Goal("drawing and adding up, multiples of the fixed job",
             float(np.mean([each[LEARNED].seconds for each in found])) / fixed),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
