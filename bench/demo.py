"""How soon the demonstration publishes its first run, and ends, in multiples of a fixed job that is run just before.

The job fits trees, sorts rows and writes them as Parquet, on data that are the same everywhere: about 20 s on two
processor cores, and longer on a machine that is slower or busy, as the demonstration then is too. Exits with 1 where
the first run takes more than 3 such jobs, or all of it more than 6.

    python -m bench.demo [--home DIR]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bench.measured import in_process
from bench.meter import Meter, lap, metering
from forecast_assets.presentation.text import table

FIRST_RUN, WHOLE = 3.0, 6.0
PUBLISHED = "Published "
# Of the fixed job.
ROWS, INPUTS, TREES, SORTED_ROWS, SEED = 100_000, 40, 480, 6_000_000, 20250630
# Trees on one thread: threads that wait for each other would tell how busy the machine is rather than how fast.
BOOSTING = {
    "objective": "regression",
    "num_leaves": 63,
    "num_threads": 1,
    "deterministic": True,
    "seed": 1,
    "verbose": -1,
}


@dataclass(frozen=True)
class Measured:
    """What the demonstration took.

    Attributes:
        first_run: Seconds to its first published run.
        whole: Seconds to its end.
        peak_gb: Highest memory, its processes included.
    """

    first_run: float
    whole: float
    peak_gb: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="folder to demonstrate in, new; a temporary one by default")
    arguments = parser.parse_args()
    with metering() as meter, tempfile.TemporaryDirectory() as scratch:
        fixed = in_process(fixed_job, Path(scratch) / "rows.parquet")
        print(f"The fixed job took {fixed:.1f} s. Now the demonstration:", flush=True)
        return report(fixed, demonstrate(arguments.home or Path(scratch) / "home", meter))


def fixed_job(path: Path) -> float:
    """Return the seconds that the fixed job takes: trees, a sort, a Parquet file."""
    import lightgbm

    started = time.perf_counter()
    random = np.random.Generator(np.random.PCG64(SEED))
    inputs = random.random((ROWS, INPUTS), dtype=np.float32)
    answer = np.sin(6 * inputs[:, 0]) + inputs[:, 1] * inputs[:, 2] + random.normal(0, 0.1, ROWS)
    lightgbm.train(BOOSTING, lightgbm.Dataset(inputs, answer), num_boost_round=TREES)
    rows = pl.DataFrame({"key": random.integers(0, 1 << 40, SORTED_ROWS), "value": random.random(SORTED_ROWS)})
    rows.with_columns(pl.col("key").cast(pl.String).alias("name")).sort("name", "value").write_parquet(
        path, compression="zstd", compression_level=9
    )
    return time.perf_counter() - started


def demonstrate(home: Path, meter: Meter) -> Measured:
    """Run the demonstration in a new home, as somebody at a terminal would.

    Raises:
        RuntimeError: If it fails, or publishes nothing.
    """
    command = [str(Path(sys.executable).with_name("forecast-assets")), "demo"]
    environment = {**os.environ, "FORECAST_ASSETS_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    with lap(meter) as measured:
        started = time.perf_counter()
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            first = first_published(running.stdout, started)
    if running.returncode or first is None:
        raise RuntimeError(f"The demonstration ended with code {running.returncode}; its first run: {first} s.")
    return Measured(first, measured.seconds, measured.peak_gb)


def first_published(lines: Iterable[str], started: float) -> float | None:
    """Pass lines on; return when the first said that a run is published, in seconds since the start."""
    first = None
    for line in lines:
        print(line, end="", flush=True)
        if first is None and line.startswith(PUBLISHED):
            first = time.perf_counter() - started
    return first


def report(fixed: float, measured: Measured) -> int:
    """Print the figures beside their targets; return 1 if one is missed."""
    rows = [
        judged("first published run", measured.first_run, fixed, FIRST_RUN),
        judged("all of it", measured.whole, fixed, WHOLE),
    ]
    print(f"\nThe demonstration, in multiples of a fixed job of {fixed:.1f} s; at the peak {measured.peak_gb:.1f} GB\n")
    print(table(["what", "seconds", "multiples", "at most", ""], rows))
    missed = [str(row[0]) for row in rows if row[-1]]
    if missed:
        print(f"\nToo slow: {' and '.join(missed)}. Measure again on an idle machine before you look for the reason.")
    return 1 if missed else 0


def judged(what: str, seconds: float, fixed: float, most: float) -> Sequence[object]:
    return what, f"{seconds:.1f}", f"{seconds / fixed:.2f}", f"{most:g}", "MISSED" if seconds > most * fixed else ""


if __name__ == "__main__":
    sys.exit(main())
