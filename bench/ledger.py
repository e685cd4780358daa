"""The ledger beside the bare libraries: publishing, aggregates of BI tools, one series, opening; and how they grow.

Measures in a temporary folder, which is removed afterwards, and prints what each target asks and what was reached; a
target that is not met is marked MISSED. Compared runs take turns, and medians count. Files are in the cache of the
operating system when they are read.

    python -m bench.ledger [--folder DIR] [--rows 5000000] [--publications 730]
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar
from unittest.mock import patch

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq

from bench.meter import Lap, Meter, lap, metering
from bench.publications import (
    SERIES_PER_STORE,
    STEPS,
    VERSION,
    forecast_rows,
    prepare,
    products_of,
    publish_days,
    publish_run,
    run_key,
    write_validated,
)
from forecast_assets.contracts import FORECASTS, Contract
from forecast_assets.core.keys import RunKey
from forecast_assets.core.progress import Progress
from forecast_assets.operations.reading import one_series
from forecast_assets.presentation.text import progress_lines, table
from resources.catalogue.build import build_catalogue
from resources.catalogue.files import NAME
from resources.ledger.log import Ledger
from resources.maintenance.verification import verify_store
from resources.store.blobs import BlobStore
from resources.store.manifests import Manifests
from resources.stores import products as prediction_store
from resources.stores.home import Stores, open_stores

# Rows of one run, and two years of daily runs that are small.
ROWS, PUBLICATIONS, SERIES = 5_000_000, 730, 200
# Each part is measured at these shares of the publications too.
SHARES = (1 / 8, 1 / 2, 1, 2)
PUBLISHING_RATIO, AGGREGATE_RATIO, SERIES_MS, OPENING_MS = 1.3, 1.1, 20.0, 200.0
PUBLISHING_TURNS, AGGREGATE_TURNS, SERIES_TURNS, OPENING_TURNS = 5, 25, 51, 7

Result = TypeVar("Result")
Row = tuple[object, ...]


@dataclass
class Target:
    """One promise: what it is, its bound, and what was reached; nothing is promised without a bound."""

    name: str
    reached: float
    bound: float | None = None
    unit: str = "times"

    @property
    def row(self) -> tuple[str, str, str, str]:
        bound = "-" if self.bound is None else f"{self.bound:.4g} {self.unit}"
        verdict = "" if self.bound is None else "met" if self.reached <= self.bound else "MISSED"
        return self.name, bound, f"{self.reached:.3g} {self.unit}", verdict


@dataclass
class Sample:
    """What a store of so many publications takes; milliseconds at the median unless a name says otherwise."""

    publications: int
    opening: float
    process: float
    series: float
    series_sql: float
    connecting: float
    aggregate: float
    bare_aggregate: float
    publishing: float
    catalogue: float
    verifying: float

    @property
    def ratio(self) -> float:
        return self.aggregate / self.bare_aggregate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="disk to measure on; default: the one of temporary files")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of the large run")
    parser.add_argument("--publications", type=int, default=PUBLICATIONS, help="small runs in the store of two years")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch, progress_lines() as report, metering() as meter:
        targets = large_run(Path(scratch), given.rows, meter, report)
        targets += many_runs(Path(scratch) / "many", given.publications, report)
    print(table(("what", "target", "reached", ""), [target.row for target in targets], title="Targets"))
    return 0


# --- one large run ---


@dataclass
class Turns:
    """Repetitions of one thing."""

    laps: list[Lap] = field(default_factory=list)

    def typical(self, name: str) -> float:
        return median(getattr(each, name) for each in self.laps)


def large_run(scratch: Path, rows: int, meter: Meter, report: Progress) -> list[Target]:
    """Publish a large run and write the same rows plainly, in turns; then sum it through the view and without."""
    key = run_key()
    frames = products_of(key, forecast_rows(key, max(rows // STEPS, 1)))
    forecasts = frames["forecasts"]
    published, plain = Turns(), Turns()
    parts: list[dict[str, float]] = []
    arrow = None
    for turn in range(PUBLISHING_TURNS):
        stores = fresh_stores(scratch / "large")
        with parts_timed() as spent, lap(meter) as measured:
            publish_run(stores, key, frames, write_validated)
        published.laps.append(measured)
        parts.append({**spent, "all else": measured.seconds - sum(spent.values())})
        # Only now, so that the first run's memory is that of publishing alone.
        arrow = forecasts.to_arrow() if arrow is None else arrow
        with lap(meter) as measured:
            pq.write_table(arrow, scratch / "plain.parquet")
        plain.laps.append(measured)
        report("publishing beside plain writing", turn + 1, PUBLISHING_TURNS)
    ratio = published.typical("seconds") / plain.typical("seconds")
    unchecked = median(each.seconds - part[VALIDATING] for each, part in zip(published.laps, parts, strict=True))
    print(parts_text(forecasts, published, plain, parts))
    print(sizes_text(stores, scratch / "plain.parquet"))
    targets = [
        Target(f"publish {forecasts.height:,} rows, beside a plain write", ratio, PUBLISHING_RATIO),
        Target("  the same without validating the contract", unchecked / plain.typical("seconds")),
        Target("  time of the processors", published.typical("cpu_seconds") / plain.typical("cpu_seconds")),
        Target("  peak memory, the rows included", published.laps[0].peak_gb, unit="GB"),
        Target("  peak memory of the plain write, both forms of the rows included", plain.laps[0].peak_gb, unit="GB"),
    ]
    del arrow, frames
    build(stores, scratch / "catalogue")
    view, bare = aggregates(stores, scratch / "catalogue")
    series, series_sql, _ = lookups(stores, scratch / "catalogue", 1, forecasts.height // STEPS)
    shutil.rmtree(scratch / "large")
    return [
        *targets,
        Target("  one series of that run, in Python", series, unit="ms"),
        Target("  one series of that run, in SQL", series_sql, unit="ms"),
        Target("sums by store and week of that run, view beside files", view / bare, AGGREGATE_RATIO),
    ]


def fresh_stores(folder: Path) -> Stores:
    if folder.exists():
        shutil.rmtree(folder)
    stores = open_stores(folder)
    prepare(stores)
    return stores


VALIDATING = "validate the contracts"
# What publishing does, each in one place; what is left is small.
PARTS: Sequence[tuple[str, object, str]] = (
    (VALIDATING, Contract, "validate"),
    ("encode as Parquet", prediction_store, "to_parquet"),
    ("hash the bytes", prediction_store, "sha256"),
    ("write and sync files", BlobStore, "create_addressed"),
    ("verify all files before the commit", Manifests, "verify_files"),
    ("append the entry", Ledger, "append"),
)


@contextmanager
def parts_timed() -> Iterator[dict[str, float]]:
    """Collect the seconds that each part takes inside the block."""
    seconds = {name: 0.0 for name, *_ in PARTS}

    def counted(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def measured(*given: object, **named: object) -> object:
            start = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                seconds[name] += time.perf_counter() - start

        return measured

    with ExitStack() as stack:
        for name, owner, attribute in PARTS:
            stack.enter_context(patch.object(owner, attribute, counted(name, getattr(owner, attribute))))
        yield seconds


def parts_text(forecasts: pl.DataFrame, published: Turns, plain: Turns, parts: Sequence[dict[str, float]]) -> str:
    rows: list[tuple[object, ...]] = [(f"  {name}", median(part[name] for part in parts), None) for name in parts[0]]
    whole = ("publish", published.typical("seconds"), published.typical("cpu_seconds"))
    bare = ("pyarrow.parquet.write_table, not synced", plain.typical("seconds"), plain.typical("cpu_seconds"))
    title = f"{forecasts.height:,} rows of {forecasts.width} columns; medians of {len(parts)} turns"
    return table(("", "seconds", "seconds of processors"), [bare, whole, *rows], title=title)


def sizes_text(stores: Stores, plain: Path) -> str:
    ours = sum(file.bytes for each in stores.ledger.state().publications.values() for file in each.files["forecasts"])
    return f"file {ours / 1e6:,.0f} MB, written plainly {plain.stat().st_size / 1e6:,.0f} MB\n"


# --- many small runs ---


def many_runs(folder: Path, publications: int, report: Progress) -> list[Target]:
    """Publish small runs one after the other, measure at each size, and return what the named size reached."""
    sizes = sorted({max(round(share * publications), 1) for share in SHARES})
    stores = fresh_stores(folder / "store")
    days = publish_days(stores, range(sizes[-1]), SERIES)
    samples: list[Sample] = []
    for size in sizes:
        start = time.perf_counter()
        before = samples[-1].publications if samples else 0
        for day in range(before, size):
            next(days)
            report("publishing small runs", day + 1, sizes[-1])
        each = (time.perf_counter() - start) * 1000 / (size - before)
        samples.append(sample(folder, size, each))
        report("measuring stores", len(samples), len(sizes))
    print(growth_text(samples))
    wanted = next(each for each in samples if each.publications == publications)
    years = f"{publications} runs"
    return [
        Target(f"sums by store and week of {years}, view beside files", wanted.ratio, AGGREGATE_RATIO),
        Target(f"one series of {years}, in Python", wanted.series, SERIES_MS, "ms"),
        Target(f"one series of {years}, in SQL", wanted.series_sql, SERIES_MS, "ms"),
        Target("  connecting included", wanted.connecting, unit="ms"),
        Target(f"open the stores of {years}", wanted.opening, OPENING_MS, "ms"),
        Target("  the whole process, imports included", wanted.process, unit="ms"),
    ]


def growth_text(samples: Sequence[Sample]) -> str:
    rows = [
        (
            each.publications, round(each.publishing), round(each.opening), round(each.process),
            *(f"{value:.1f}" for value in (each.series, each.series_sql, each.connecting, each.aggregate)),
            f"{each.ratio:.2f}", round(each.catalogue), round(each.verifying),
        )
        for each in samples
    ]  # fmt: skip
    head = (
        "runs", "publish one more", "open", "open, process", "series, Python", "series, SQL", "with connecting",
        "sums, view", "beside files", "build catalogue", "verify",
    )  # fmt: skip
    return table(head, rows, title=f"How it grows with the runs, each of {SERIES * STEPS:,} rows; milliseconds") + "\n"


def sample(folder: Path, publications: int, publishing: float) -> Sample:
    opening, process = opened(folder / "store")
    stores = open_stores(folder / "store")
    catalogues = folder / "catalogue"
    _, building = timed(build, stores, catalogues)
    series, series_sql, connecting = lookups(stores, catalogues, publications)
    view, bare = aggregates(stores, catalogues)
    verification, verifying = timed(verify_store, stores.blobs)
    assert not verification.findings
    return Sample(
        publications, opening, process, series, series_sql, connecting, view, bare, publishing, building, verifying
    )


def opened(store: Path) -> tuple[float, float]:
    """Return the milliseconds that opening takes in a fresh process after its imports, and of the whole process."""
    code = (
        "import sys, time\n"
        "from resources.stores.home import open_stores\n"
        "start = time.perf_counter()\n"
        "open_stores(sys.argv[1]).ledger.state()\n"
        "print((time.perf_counter() - start) * 1000)\n"
    )
    command = [sys.executable, "-c", code, str(store)]
    turns = [timed(partial(subprocess.run, command, check=True, stdout=subprocess.PIPE)) for _ in range(OPENING_TURNS)]
    return median(float(done.stdout) for done, _ in turns), median(whole for _, whole in turns)


def build(stores: Stores, folder: Path) -> Path:
    with duckdb.connect() as building:
        return build_catalogue(stores.predictions, folder, building)


def lookups(stores: Stores, catalogues: Path, publications: int, series: int = SERIES) -> tuple[float, float, float]:
    """Return the milliseconds of one series' forecast: in Python, in SQL, and in SQL with connecting."""
    rng = np.random.default_rng(0)
    asked = [
        (run_key(day), f"S-{number // SERIES_PER_STORE:04d}", f"FOODS-{number % SERIES_PER_STORE:06d}")
        for day, number in rng.integers((publications, series), size=(SERIES_TURNS, 2)).tolist()
    ]
    with duckdb.connect(catalogues / NAME, read_only=True) as connection:
        told = [(timed(in_python, stores, *each), timed(in_sql, connection, *each)) for each in asked]
    for python, sql in told:
        assert len(python[0]) == STEPS
        assert python[0] == sql[0], "both ways tell the same"
    # With no other connection open: those of one process to one file share what the first has read.
    connecting = [timed(in_sql_connecting, catalogues / NAME, *each)[1] for each in asked]
    return median(python[1] for python, _ in told), median(sql[1] for _, sql in told), median(connecting)


def in_python(stores: Stores, key: RunKey, store_id: str, sku_id: str) -> list[Row]:
    return one_series(stores, stores.predictions.publication(key), "forecasts", store_id, sku_id).rows()


def in_sql(connection: duckdb.DuckDBPyConnection, key: RunKey, store_id: str, sku_id: str) -> list[Row]:
    query = (
        f'SELECT {", ".join(FORECASTS.names)} FROM "{VERSION}".forecasts WHERE prediction_date = ? '  # noqa: S608
        "AND forecast_horizon = ? AND store_id = ? AND sku_id = ? ORDER BY step"
    )
    asked = [key.prediction_date, key.forecast_horizon, store_id, sku_id]
    return connection.execute(query, asked).fetchall()


def in_sql_connecting(catalogue: Path, key: RunKey, store_id: str, sku_id: str) -> list[Row]:
    with duckdb.connect(catalogue, read_only=True) as connection:
        return in_sql(connection, key, store_id, sku_id)


def aggregates(stores: Stores, catalogues: Path) -> tuple[float, float]:
    """Return the milliseconds of sums by store and week: through the view, and over the files; in turns."""
    state = stores.ledger.state()
    files = [file.path for each in state.publications.values() for file in each.files["forecasts"]]
    listed = ", ".join(f"'{stores.blobs.local(path)}'" for path in files)
    sources = (f'"{VERSION}".forecasts', f"read_parquet([{listed}])")
    taken: tuple[list[float], list[float]] = ([], [])
    told: tuple[list[Row], list[Row]] = ([], [])
    with duckdb.connect(catalogues / NAME, read_only=True) as connection:
        for turn in range(AGGREGATE_TURNS):
            # Who comes first changes, since the first of two runs finds less in the caches of the processors.
            for at in (0, 1) if turn % 2 else (1, 0):
                told[at][:], spent = timed(sums, connection, sources[at])
                taken[at].append(spent)
    assert told[0] == told[1], "both ways tell the same"
    return median(taken[0]), median(taken[1])


def sums(connection: duckdb.DuckDBPyConnection, source: str) -> list[Row]:
    return connection.execute(
        "SELECT store_id, date_trunc('week', target_date) AS week, sum(forecast_units) AS units "  # noqa: S608
        f"FROM {source} GROUP BY ALL ORDER BY ALL"
    ).fetchall()


def timed(work: Callable[..., Result], *given: object) -> tuple[Result, float]:
    """Return what the work returns, and its milliseconds."""
    start = time.perf_counter()
    result = work(*given)
    return result, (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    sys.exit(main())
