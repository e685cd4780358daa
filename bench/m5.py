"""The run at M5's full size: 30,490 series of 1,941 days, from CSV files to published predictions 28 days ahead.

Prints time and peak memory of each step, beside the bare library doing the same step. The files are made up by
`bench.m5_shaped`, unless a folder with M5's own is named. Exits with 1 when a promise is missed: everything but the
training, which is not of every day, within 15 minutes and all of it within 10 GB.

    python -m bench.m5 [--folder DIR] [--keep DIR] [--items 3049] [--days 1941]
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import polars as pl

from bench.bare import bare_calls
from bench.m5_shaped import Shape, write_m5_shaped
from bench.meter import Lap, Meter, lap, metering
from bench.real_input import Step, step_laps
from forecast_assets.core.keys import RunKey
from forecast_assets.launch import Runner
from forecast_assets.presentation.text import progress_lines, table
from forecast_assets.settings import Settings
from forecast_assets.sources.m5 import read_m5
from forecast_assets.sources.m5_files import PRICES_FILE, require_m5
from resources.ledger.entries.publish import Publication

HORIZON = 28
LIMIT_SECONDS, LIMIT_GB = 900.0, 10.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="M5 files; default: made-up ones of their shape")
    parser.add_argument("--keep", type=Path, help="home folder to keep; default: a temporary one")
    parser.add_argument("--items", type=int, default=3049, help="items of made-up files, each in 10 stores")
    parser.add_argument("--days", type=int, default=1941, help="days of made-up files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, progress_lines() as report:
        folder = arguments.folder or Path(scratch) / "m5"
        if arguments.folder is None:
            write_m5_shaped(folder, Shape(arguments.items, arguments.days))
        runner = Runner(Settings(home=arguments.keep or Path(scratch) / "home"), report)
        with metering() as meter:
            return measure(runner, folder, meter)


def measure(runner: Runner, folder: Path, meter: Meter) -> int:
    steps: list[Step] = []
    with step("ingest, with contracts and expectations", steps, meter):
        runner.ingest(read_m5(folder))
    day = runner.stores.observations.newest_day("sales")
    publication = train_and_run(runner, day, steps, meter)
    needed = [each for each in steps if not each.name.startswith((" ", "train"))]
    steps += step_laps(runner, meter)
    print(laps("step", [(each.name, each.lap) for each in steps]))
    seconds, peak = sum(each.lap.seconds for each in needed), max(each.lap.peak_gb for each in steps)
    print(f"without training {seconds:.0f} s (limit {LIMIT_SECONDS:.0f}), peak {peak:.1f} GB (limit {LIMIT_GB:.0f})")
    bare = [("polars: read the CSV files, unpivot the days", bare_ingest(folder, meter))]
    bare += bare_calls(runner, publication, meter)
    print(laps("bare library call", bare))
    ratio = seconds / sum(each.seconds for _, each in bare)
    print(f"overhead ratio {ratio:.2f}")
    return int(seconds > LIMIT_SECONDS or peak > LIMIT_GB)


def laps(head: str, rows: Sequence[tuple[str, Lap]]) -> str:
    """Return laps as a table; what assets of a run took of the processors is not known one by one."""
    shown = [(name, each.seconds, each.cpu_seconds or None, each.peak_gb) for name, each in rows]
    return table((head, "seconds", "processor seconds", "peak GB"), shown)


def train_and_run(runner: Runner, day: date, steps: list[Step], meter: Meter) -> Publication:
    with step("snapshot", steps, meter):
        runner.snapshot(day)
    with step("train, with backtests", steps, meter):
        runner.train(family="statistical", version="stat-1", cutoff=day, horizon=HORIZON)
    with step("run, all six steps with their checks", steps, meter):
        return runner.score(RunKey("daily", day, "stat-1", HORIZON)).publication


@contextmanager
def step(name: str, steps: list[Step], meter: Meter) -> Iterator[None]:
    """Measure a block and note it."""
    with lap(meter) as measured:
        yield
    steps.append(Step(name, measured))
    print(f"{name}: {measured.seconds:.0f} s, {measured.peak_gb:.1f} GB", file=sys.stderr)


def bare_ingest(folder: Path, meter: Meter) -> Lap:
    """Both large files into long frames in memory, unchecked."""
    with lap(meter) as measured:
        wide = pl.read_csv(require_m5(folder))
        days = [name for name in wide.columns if name.startswith("d_")]
        long = wide.unpivot(days, index=["item_id", "store_id"], variable_name="d", value_name="sales_units")
        prices = pl.read_csv(folder / PRICES_FILE)
        assert long.height
        assert prices.height
    return measured


if __name__ == "__main__":
    sys.exit(main())
