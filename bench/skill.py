"""How good models are as of several past cutoffs, beside what was reached before: one table.

Made-up files of M5's shape over three seeds, FreshRetailNet, and simulated retailers with their true demand, each as of
several cutoffs, by plain calls. Every figure is the mean over cutoffs; one cutoff ranks nothing. Beside it stands what
`bench/recorded.json` holds of the same cutoffs: what `combined` reached as of the commit that the file names, and what
a plain model of sales does (`bench.tweedie`; of the simulator, the statistical family of that commit), with the ratios
to either.

    python -m bench.skill [--model combined] [--only m5 fresh simulator] [--items 300] [--seeds 1 2 3]
        [--days 450 548 646] [--every 3] [--dates 2024-05-07 ...] [--folder DIR]
        [--without calendar nodes sales recurring] [--evaluates] [--record COMMIT]

`--items 3049 --every 1` is full size, for which one training takes minutes. `--without` switches parts of a family off,
one table for each and one of all (`bench.candidates.WITHOUT` says what takes their place). `--evaluates` trains as
production does, with the versions of past cutoffs, and tells how long it takes in multiples of a fixed job that is run
just before. `--record` writes what was reached into the file.
"""

import math
import tempfile
from argparse import Namespace
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from bench.candidates import WITHOUT, Versions, model_named
from bench.cases import FRESH_CUTOFFS, M5_CUTOFFS, Case, fresh_cases, m5_cases, simulated_cases
from bench.demo import fixed_job
from bench.figures import Figures, figures, kind_of, mean_figure
from bench.goals import goals_table
from bench.m5_shaped import Shape
from bench.measured import in_process
from bench.promised import BESIDE, TRAINING, skill_goals
from bench.real_input import fresh_parser
from bench.recorded import Recorded, record, recorded
from forecast_assets.core.errors import InputError
from forecast_assets.presentation.text import table

SEEDS = (1, 2, 3)
KINDS = tuple(BESIDE)
SIMULATED_SEEDS = (5, 6, 7)


def main() -> int:
    given = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        fixed = in_process(fixed_job, Path(scratch) / "rows.parquet") if given.evaluates else None
        sizes = Sizes(given.items, given.seeds, given.days, given.every, given.dates)
        for kind in given.only:
            cases = cases_of(kind, Path(scratch), given.folder, sizes)
            by_title = judged(cases, given.model, given.without, fixed=fixed)
            for title, found in by_title.items():
                print(skill_table(title, found, recorded()), end="\n\n", flush=True)
                if given.record and title == given.model:
                    record(given.model, found, given.record)
                if title == given.model:
                    print(goals_table(skill_goals(kind, found, recorded()), f"Promised of {kind}"), end="\n\n")
            if len(by_title) > 1:
                print(ablation_table(by_title), end="\n\n")
    return 0


def _arguments() -> Namespace:
    parser = fresh_parser(__doc__)
    parser.add_argument("--model", default="combined", help="family, or naive, tweedie or (of m5) law")
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


@dataclass(frozen=True)
class Sizes:
    """How much models are judged on.

    Attributes:
        items: Of M5's shape, each in ten stores.
        seeds: Of the made-up files.
        days: Cutoffs in them, as days from 1.
        every: Of FreshRetailNet, one store in so many.
        dates: Cutoffs there.
    """

    items: int = 300
    seeds: Sequence[int] = SEEDS
    days: Sequence[int] = M5_CUTOFFS
    every: int = 3
    dates: Sequence[date] = FRESH_CUTOFFS


FULL = Sizes(items=3049, days=(450, 646), every=1)


def cases_of(kind: str, scratch: Path, folder: Path, sizes: Sizes) -> Iterator[Case]:
    """Yield the cases of a kind.

    Args:
        kind: `m5`, `fresh` or `simulator`.
        scratch: Folder to make files up in.
        folder: FreshRetailNet's files.
        sizes: How much of each; simulated retailers have one size.
    """
    if kind == "fresh":
        if not folder.is_dir():
            print(f"skipped: no FreshRetailNet files at {folder}; name them with FORECAST_ASSETS_DATA")
            return
        yield from fresh_cases(folder, scratch / kind, sizes.dates, sizes.every)
        return
    if kind == "simulator":
        yield from simulated_cases(SIMULATED_SEEDS)
        return
    for seed in sizes.seeds:
        # The same files whatever cutoffs are asked for.
        yield from m5_cases(Shape(sizes.items, max(M5_CUTOFFS) + 28, seed), scratch / f"{kind}-{seed}", sizes.days)


def judged(
    cases: Iterable[Case],
    model: str,
    without: Collection[str] = (),
    *,
    fixed: float | None = None,
) -> dict[str, dict[str, Figures]]:
    """Judge a model, and once more without each part, on every case.

    Args:
        cases: What to judge it on.
        model: Name of a family or yardstick.
        without: Parts to switch off in turn.
        fixed: Seconds of the fixed job, where training is to be timed, with the versions of past cutoffs; None for
            training without these.

    Returns:
        By title of the table and name of the case: figures, smaller is better; none of a case that the model refused.
    """
    titles: dict[str, Collection[str]] = {model: (), **{f"{model} without {part}": (part,) for part in without}}
    found: dict[str, dict[str, Figures]] = {title: {} for title in titles}
    for case in cases:
        versions: Versions = {}
        for title, parts in titles.items():
            try:
                made = model_named(model, parts, evaluates=fixed is not None, versions=versions)(case)
            except InputError as error:
                found[title][case.name] = {}
                print(f"{case.name}, {title}, refused: {error}", flush=True)
                continue
            timed = {TRAINING: made.training_seconds / fixed} if fixed else {}
            found[title][case.name] = {**figures(case, made), **timed}
            told = _told(found[title][case.name])
            print(f"{case.name}, {title}, trained in {made.training_seconds:.0f} s: {told}", flush=True)
    return {title: each for title, each in found.items() if any(each.values())}


def skill_table(title: str, found: Mapping[str, Figures], before: Recorded) -> str:
    """Return the means over cases beside those recorded of the same cases."""
    rows, models = [], BESIDE[kind_of(next(iter(found)))]
    for name in max(found.values(), key=len):
        reached = mean_figure(found.values(), name)
        beside = [before.beside(model, found, name) for model in models]
        shown = [("-", "-") if math.isnan(ratio) else (f"{was:.4f}", f"{ratio:.3f}") for was, ratio in beside]
        rows.append((name, f"{reached:.4f}", *shown[0], *shown[1]))
    head = ("mean over cutoffs", "reached", f"{models[0]}, {before.commit}", "ratio", models[1], "ratio")
    return table(head, rows, title=f"{title}: {len(found)} cutoffs, {next(iter(found))} and on")


def ablation_table(by_title: Mapping[str, Mapping[str, Figures]]) -> str:
    """Return the means over cases with all parts, and how many times as large they are without each.

    Args:
        by_title: As `judged` returns it, the whole model first; cases that any of them refused are left out.
    """
    (whole, with_all), *others = by_title.items()
    cases = [name for name in with_all if all(found.get(name) for found in by_title.values())]
    means = {
        title: {figure: mean_figure([found[name] for name in cases], figure) for figure in found[cases[0]]}
        for title, found in by_title.items()
        if cases
    }
    rows = [
        (figure, f"{value:.4f}", *(f"{means[title][figure] / value:.3f}" if value else "-" for title, _ in others))
        for figure, value in means.get(whole, {}).items()
    ]
    head = ("mean over cutoffs", whole, *(f"{title.removeprefix(whole).strip()}, times" for title, _ in others))
    return table(head, rows, title=f"What each part brings, {len(cases)} cutoffs")


def _told(values: Figures) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items())


if __name__ == "__main__":
    raise SystemExit(main())
