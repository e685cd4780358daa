"""How good models are as of several past cutoffs, beside what was reached before: one table.

Made-up files of M5's shape over three seeds, FreshRetailNet, and simulated retailers with their true demand, each as of
several cutoffs, by plain calls without a store. Every figure is the mean over cutoffs; one cutoff ranks nothing. Beside
it stands what `bench/recorded.json` holds of the same cutoffs: what `combined` reached as of the commit that the file
names, and what a plain model of sales does (`bench.tweedie`; of the simulator, the statistical family of that commit),
with the ratios to either.

    python -m bench.skill [--model combined] [--only m5 fresh simulator] [--items 300] [--seeds 1 2 3]
        [--days 450 548 646] [--every 3] [--dates 2024-05-07 ...] [--folder DIR]
        [--without calendar nodes sales recurring] [--evaluates] [--record COMMIT]

`--items 3049 --every 1` is full size, for which one training takes minutes. `--without` switches parts of a family off,
one table for each. `--evaluates` trains as production does, with the versions of past cutoffs, and tells how long it
takes in multiples of a fixed job that is run just before. `--record` writes what was reached into the file.
"""

import json
import tempfile
from argparse import Namespace
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from bench.candidates import WITHOUT, Made, model_named
from bench.cases import FRESH_CUTOFFS, M5_CUTOFFS, Case, fresh_cases, m5_cases, m5_levels, simulated_cases
from bench.demo import fixed_job
from bench.effects import effect_errors
from bench.m5_shaped import Shape
from bench.measured import in_process
from bench.real_input import fresh_parser
from bench.scoring import summed, wape, wrmsse
from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.presentation.text import table

RECORDED = Path(__file__).parent / "recorded.json"
SEEDS = (1, 2, 3)
# What every kind of case is held against, as recorded.
BESIDE = {"m5": ("combined", "tweedie"), "fresh": ("combined", "tweedie"), "simulator": ("combined", "statistical")}
KINDS = tuple(BESIDE)
SIMULATED_SEEDS = (5, 6, 7)
BIAS_LEVELS = {
    "m5": {"total": ("total", "total"), "store": ("total", "store"), "group x store": ("department", "store")},
    "fresh": {"total": ("total", "total"), "store": ("total", "store"), "group x store": ("management_group", "store")},
    "simulator": {"total": ("total", "total"), "store": ("total", "store"), "group x store": ("category", "store")},
}
# A node below this share of the mean node of its level is too small for a bias of its own.
_LARGE = 0.2
# Signed figures: of these the mean may be small where no single one is.
_SIGNED = "bias, "
TRAINING = "training, multiples of the fixed job"
Figures = dict[str, float]


def main() -> int:
    given = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        fixed = in_process(fixed_job, Path(scratch) / "rows.parquet") if given.evaluates else None
        for kind in given.only:
            cases = _cases(kind, Path(scratch), given)
            for title, found in judged(cases, given, fixed).items():
                print(skill_table(title, found, recorded()), end="\n\n", flush=True)
                if given.record:
                    record(given.model, found, given.record)
    return 0


def _arguments() -> Namespace:
    parser = fresh_parser(__doc__)
    parser.add_argument("--model", default="combined", help="family, or naive or tweedie")
    parser.add_argument("--only", nargs="+", default=KINDS, choices=KINDS, help="data")
    parser.add_argument("--items", type=int, default=300, help="items of M5's shape, each in ten stores; all: 3049")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the made-up files")
    parser.add_argument("--days", type=int, nargs="+", default=M5_CUTOFFS, help="cutoffs in them, as days from 1")
    parser.add_argument("--every", type=int, default=3, help="FreshRetailNet: one store in so many; all: 1")
    parser.add_argument("--dates", type=date.fromisoformat, nargs="+", default=FRESH_CUTOFFS, help="cutoffs there")
    parser.add_argument("--without", nargs="+", default=(), choices=sorted(WITHOUT), help="parts to switch off in turn")
    parser.add_argument("--evaluates", action="store_true", help="train with the versions of past cutoffs")
    parser.add_argument("--record", metavar="COMMIT", help="write the figures down as those of a commit")
    return parser.parse_args()


def _cases(kind: str, scratch: Path, given: Namespace) -> Iterator[Case]:
    if kind == "fresh":
        if not given.folder.is_dir():
            print(f"skipped: no FreshRetailNet files at {given.folder}; name them with FORECAST_ASSETS_DATA")
            return
        yield from fresh_cases(given.folder, scratch / kind, given.dates, given.every)
        return
    if kind == "simulator":
        yield from simulated_cases(SIMULATED_SEEDS)
        return
    for seed in given.seeds:
        yield from m5_cases(Shape(given.items, max(M5_CUTOFFS) + 28, seed), scratch / f"{kind}-{seed}", given.days)


def judged(cases: Iterable[Case], given: Namespace, fixed: float | None) -> dict[str, dict[str, Figures]]:
    """Judge a model, and once more without each part, on every case.

    Args:
        cases: What to judge it on.
        given: Arguments.
        fixed: Seconds of the fixed job, where training is to be timed.

    Returns:
        By title of the table and name of the case: figures, smaller is better.
    """
    titles = {given.model: ()} | {f"{given.model} without {part}": (part,) for part in given.without}
    found: dict[str, dict[str, Figures]] = {title: {} for title in titles}
    for case in cases:
        for title, without in titles.items():
            made = model_named(given.model, without, evaluates=given.evaluates)(case)
            timed = {TRAINING: made.training_seconds / fixed} if fixed else {}
            found[title][case.name] = {**figures(case, made), **timed}
            print(case.name, title, _told(found[title][case.name]), flush=True)
    return {title: each for title, each in found.items() if each}


def figures(case: Case, made: Made) -> Figures:
    """Return what a model reached on a case."""
    if case.demand is not None:
        return {"WAPE of expected demand": wape(made.demand, case.demand), **_biases(case, made.demand, case.demand)}
    own = _m5_figures(case, made) if case.law is not None else _fresh_figures(case, made)
    return {**own, **_biases(case, made.sales, case.sales)}


def _m5_figures(case: Case, made: Made) -> Figures:
    past = np.nan_to_num(case.panel.sales)
    levels = [wrmsse(made.sales, case.sales, past, case.revenue, [codes]) for codes in m5_levels(case).values()]
    return {
        "WRMSSE, levels 1 to 9": float(np.mean(levels[:9])),
        "WRMSSE, 12 levels": float(np.mean(levels)),
        "WRMSSE, bottom level": levels[-1],
        **effect_errors(case, made.sales),
    }


def _fresh_figures(case: Case, made: Made) -> Figures:
    out = {"WAPE of expected sales": wape(made.sales, case.sales)}
    if made.risk is not None and case.is_out_of_stock is not None:
        out["1 - AUC of the risk"] = 1.0 - auc(made.risk, case.is_out_of_stock)
    return out


def _biases(case: Case, expected: Floats, came: Floats) -> Figures:
    """Mean bias of the nodes of a level, and the mean of its size, over nodes that are large enough."""
    out = {}
    for name, pair in BIAS_LEVELS[kind_of(case.name)].items():
        codes = case.nodes(*pair)
        forecast, actual = (summed(each, codes).sum(axis=1) for each in (expected, came))
        large = actual >= _LARGE * actual.mean()
        each = forecast[large] / actual[large] - 1.0
        out[f"{_SIGNED}{name}"] = float(each.mean())
        out[f"size of bias, {name}"] = float(np.abs(each).mean())
    return out


def kind_of(name: str) -> str:
    """Return the kind of a case of that name."""
    return name.split(" ", 1)[0]


def auc(score: Floats, happened: Bools) -> float:
    """Return the probability that a case that happened was scored above one that did not; ties count half.

    Example:
        >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, True, False, True]))
        0.875
    """
    values, place, counts = np.unique(score.ravel(), return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2
    yes, total = int(happened.sum()), happened.size
    sum_of_ranks = float(rank[place.ravel()][happened.ravel()].sum()) if len(values) else 0.0
    return (sum_of_ranks - yes * (yes + 1) / 2) / (yes * (total - yes))


@dataclass(frozen=True)
class Recorded:
    """What was reached before.

    Attributes:
        commit: Of the code that reached it.
        figures: By model, case and name.
    """

    commit: str
    figures: Mapping[str, Mapping[str, Figures]]

    def mean(self, model: str, cases: Collection[str], name: str) -> float:
        """Return the mean of a figure over some cases; NaN where one of them is not recorded."""
        known = self.figures.get(model, {})
        return mean_figure([known[case] for case in cases], name) if known.keys() >= set(cases) else float("nan")


def recorded() -> Recorded:
    """Read what was reached before; nothing where nothing is recorded."""
    if not RECORDED.is_file():
        return Recorded("none", {})
    data: dict[str, Any] = json.loads(RECORDED.read_text())
    return Recorded(data["commit"], data["figures"])


def record(model: str, found: Mapping[str, Figures], commit: str) -> None:
    """Write figures down beside those of other cases and models of the same commit.

    Raises:
        ValueError: If the file is of another commit: what is measured against does not change.
    """
    before = recorded()
    if before.figures and before.commit != commit:
        raise ValueError(f"{RECORDED} holds figures of {before.commit}: remove it to measure against {commit} instead")
    rounded = {case: {name: round(value, 6) for name, value in each.items()} for case, each in found.items()}
    merged = dict(sorted({**before.figures.get(model, {}), **rounded}.items()))
    models = dict(sorted({**before.figures, model: merged}.items()))
    RECORDED.write_text(json.dumps({"commit": commit, "figures": models}, indent=1) + "\n")


def skill_table(title: str, found: Mapping[str, Figures], before: Recorded) -> str:
    """Return the means over cases beside those recorded of the same cases."""
    rows, models = [], BESIDE[kind_of(next(iter(found)))]
    for name in next(iter(found.values())):
        reached = mean_figure(found.values(), name)
        beside = [before.mean(model, found.keys(), name) for model in models]
        shown = [(f"{was:.4f}", f"{reached / was:.3f}") if was > 0 else ("-", "-") for was in beside]
        rows.append((name, f"{reached:.4f}", *shown[0], *shown[1]))
    head = ("mean over cutoffs", "reached", f"{models[0]}, {before.commit}", "ratio", models[1], "ratio")
    return table(head, rows, title=f"{title}: {len(found)} cutoffs, {next(iter(found))} and on")


def mean_figure(figures_of: Iterable[Figures], name: str) -> float:
    """Return the mean over cases; of a signed figure its size, so that errors of both signs cancel."""
    values = [each[name] for each in figures_of if name in each]
    mean = float(np.mean(values)) if values else float("nan")
    return abs(mean) if name.startswith(_SIGNED) else mean


def _told(values: Figures) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items())


if __name__ == "__main__":
    raise SystemExit(main())
