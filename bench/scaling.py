"""How the cost of a daily run grows with the number of series: 12,500, 25,000 and 50,000 of FreshRetailNet.

Of each size, days are run after one another from their snapshots to their publications. The processors' time of the
cheapest counts, since that of the clock depends on what else the machine does. Exits with 1 when a doubling costs more
than 2.1 times.

    python -m bench.scaling [--folder DIR] [--days 2] [--sizes 12500 25000 50000]
"""

import sys
import tempfile
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl

from bench.meter import Lap, Meter, lap, metering
from bench.real_input import fresh_parser
from forecast_assets.core.keys import RunKey
from forecast_assets.launch import Runner
from forecast_assets.presentation.text import progress_lines, table
from forecast_assets.settings import Settings
from forecast_assets.sources.freshretailnet import DAILY_FILE, PLAN_FILE, read_freshretailnet

SIZES = (12_500, 25_000, 50_000)
NEWEST, HORIZON = date(2024, 6, 11), 14
LARGEST_RATIO = 2.1


def main() -> int:
    parser = fresh_parser(__doc__)
    parser.add_argument("--days", type=int, default=2, help="days to run of each size")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, help="numbers of series, each twice the one before"
    )
    arguments = parser.parse_args()
    folder = arguments.folder
    if not folder.is_dir():
        print(f"skipped: no FreshRetailNet files at {folder}; name them with FORECAST_ASSETS_DATA")
        return 0
    with metering() as meter:
        return report([(size, cost(folder, size, arguments.days, meter)) for size in arguments.sizes])


def cost(folder: Path, size: int, days: int, meter: Meter) -> Lap:
    """Return what the cheapest of some daily runs of that many series took, snapshot included."""
    with tempfile.TemporaryDirectory() as scratch, progress_lines() as progress:
        some = write_some(folder, Path(scratch) / "files", size)
        runner = Runner(Settings(home=Path(scratch) / "home"), progress)
        runner.ingest(read_freshretailnet(some))
        first = NEWEST - timedelta(days=days - 1)
        runner.train(family="statistical", version="stat-1", cutoff=first - timedelta(days=1), horizon=HORIZON)
        return min((run(runner, first + timedelta(days=ahead), meter) for ahead in range(days)), key=cpu_seconds)


def run(runner: Runner, day: date, meter: Meter) -> Lap:
    with lap(meter) as measured:
        runner.score(RunKey("daily", day, "stat-1", HORIZON))
    return measured


def cpu_seconds(measured: Lap) -> float:
    return measured.cpu_seconds


def write_some(folder: Path, target: Path, size: int) -> Path:
    """Write the files with the first so many series, and the plan."""
    target.mkdir()
    key = ["store_id", "product_id"]
    daily = pl.scan_parquet(folder / DAILY_FILE)
    kept = daily.select(key).unique().sort(key).head(size)
    daily.join(kept, on=key, how="semi").sink_parquet(target / DAILY_FILE)
    (target / PLAN_FILE).symlink_to((folder / PLAN_FILE).absolute())
    return target


def report(costs: Sequence[tuple[int, Lap]]) -> int:
    ratios = [None, *(after.cpu_seconds / before.cpu_seconds for (_, before), (_, after) in pairwise(costs))]
    rows = [
        (f"{size:,}", each.cpu_seconds, each.seconds, each.peak_gb, ratio)
        for (size, each), ratio in zip(costs, ratios, strict=True)
    ]
    head = ("series", "processor seconds", "seconds", "peak GB", "times the half")
    print(table(head, rows, title="One daily run"))
    return int(any(ratio is not None and ratio > LARGEST_RATIO for ratio in ratios))


if __name__ == "__main__":
    sys.exit(main())
