"""What `score` takes: 10,000 rows from the start of the command, a million rows, memory, and beside a ten-line script.

The script reads the same file, calls the library in chunks and writes the same three files, in this process as the use
case is, so that neither pays for starting up. Its results are held against ours. Of two runs each, one after another,
the faster counts. The long file is a CSV, which takes longer than Parquet. The clock depends on what else the machine
does: figures in time of the processors stand beside it and are not judged.

    python -m bench.score [--rows 1000000] [--detectors lof ...]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from bench.goals import Goal, any_missed, goals_table
from bench.meter import Lap, Meter, lap, metering
from forecast_assets.anomalies.detectors import DETECTORS
from forecast_assets.anomalies.training import DetectorRequest
from forecast_assets.operations.anomaly_models import Vouched, load_anomaly_model, train_anomaly_model
from forecast_assets.operations.anomaly_scoring import ScoringRequest, score_table

FEATURES = tuple(f"f{at:02d}" for at in range(20))
ROWS = {"train": 50_000, "start": 10_000, "memory": 100_000, "beside": 200_000}
CHUNK = 10_000
REPEATED = 2
# Seconds from the start of the command, GB, times the script, rows a second: at least, aim.
START, MEMORY, RATIO = (5.0, 3.5), (2.0, 0.7), (1.5, 1.15)
RATE = dict.fromkeys(DETECTORS, (10_000, 60_000)) | {"lof": (10_000, 18_000), "one-class-svm": (10_000, 20_000)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the long file")
    parser.add_argument("--detectors", nargs="+", default=list(DETECTORS), choices=DETECTORS)
    parser.add_argument("--formats", nargs="+", default=["csv", "parquet"], choices=["csv", "parquet"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, metering() as meter:
        folder, goals = Path(scratch), list[Goal]()
        for name, rows in {**ROWS, "long": arguments.rows}.items():
            write_table(folder, name, rows)
        for detector in arguments.detectors:
            train(folder, detector)
            for goal in measured(folder, detector, arguments.formats, arguments.rows, meter):
                goals.append(goal)
                print(*goal.row, sep="  ", file=sys.stderr, flush=True)
    print(goals_table(goals, f"{len(FEATURES)} features"))
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return int(any_missed(goals))


def measured(folder: Path, detector: str, formats: list[str], rows: int, meter: Meter) -> Iterator[Goal]:
    """Measure a detector."""
    model = folder / f"{detector}.skops"
    for each in formats:
        name = f"{detector}, {each}"
        start = command(folder, model, folder / f"start.{each}", meter)
        yield Goal(f"{name}: {ROWS['start']:,} rows, from the start of the command", start.seconds, *START, "tenths")
        yield Goal(f"{name}: the same, of the processors", start.cpu_seconds, unit="tenths")
        memory = command(folder, model, folder / f"memory.{each}", meter)
        yield Goal(f"{name}: {ROWS['memory']:,} rows, memory", memory.peak_gb, *MEMORY, "GB")
        ours, script = beside(folder, model, folder / f"beside.{each}", meter)
        yield Goal(f"{name}: {ROWS['beside']:,} rows over the script", ours.seconds / script.seconds, *RATIO)
        yield Goal(f"{name}: the same, of the processors", ours.cpu_seconds / script.cpu_seconds)
    long = timed(lambda: score(folder, model, folder / "long.csv"), meter)
    yield Goal(f"{detector}, csv: {rows:,} rows", rows / long.seconds, *RATE[detector], "rows/s")
    yield Goal(f"{detector}, csv: the same, a second of a processor", rows / long.cpu_seconds, unit="rows/s")


def beside(folder: Path, model: Path, data: Path, meter: Meter) -> tuple[Lap, Lap]:
    """Score a file by the use case and by the script, in turn; what is imported once is, before."""
    score(folder, model, folder / "start.csv")
    laps = [
        (timed(lambda: score(folder, model, data), meter), timed(lambda: ten_lines(folder, model, data), meter))
        for _ in range(REPEATED)
    ]
    same = [
        pl.read_parquet(folder / name, columns=["anomaly_score"])["anomaly_score"].to_numpy()
        for name in ("ours.parquet", "theirs.parquet")
    ]
    np.testing.assert_allclose(same[0], same[1], rtol=1e-6, atol=1e-9)
    ours, script = (min(each, key=lambda one: one.seconds) for each in zip(*laps, strict=True))
    return ours, script


def timed(work: Callable[[], object], meter: Meter) -> Lap:
    with lap(meter) as found:
        work()
    return found


def score(folder: Path, model: Path, data: Path) -> None:
    score_table(folder / "home", ScoringRequest(model, data, folder / "ours", overwrite=True))


def write_table(folder: Path, name: str, rows: int) -> None:
    """Write `unit, at` and 20 features that hang together, as CSV and Parquet."""
    random = np.random.default_rng(7)
    values = random.normal(size=(rows, len(FEATURES))) @ np.random.default_rng(8).normal(size=(20, 20))
    frame = pl.DataFrame(
        {
            "unit": random.integers(0, 50, rows),
            "at": pl.select(pl.datetime(2025, 1, 1) + pl.duration(seconds=pl.int_range(rows))).to_series(),
            **{feature: values[:, at] for at, feature in enumerate(FEATURES)},
        }
    )  # fmt: skip
    frame.write_csv(folder / f"{name}.csv")
    frame.write_parquet(folder / f"{name}.parquet")


def train(folder: Path, detector: str) -> None:
    request = DetectorRequest(detector, detector, FEATURES)
    train_anomaly_model(folder / "home", folder / "train.parquet", folder / f"{detector}.skops", request)


def command(folder: Path, model: Path, data: Path, meter: Meter) -> Lap:
    """Run the command as a process of its own."""
    run = "from forecast_assets.cli import main; main()"
    words = ("score", "--model", str(model), "--input", str(data), "--output", str(folder / "command"), "--overwrite")
    before = meter.peak_gb(time.time() - 1, time.time())
    with lap(meter) as measured:
        subprocess.run(
            [sys.executable, "-c", run, *words], check=True, capture_output=True,
            env={**os.environ, "FORECAST_ASSETS_HOME": str(folder / "home")},
        )  # fmt: skip
    # Of the command alone: this process stays as large as it was.
    measured.peak_gb -= before
    return measured


def ten_lines(folder: Path, model: Path, data: Path) -> None:
    """Do what one would write in ten lines: read, score in chunks, write."""
    found, _ = load_anomaly_model(folder / "home", model, Vouched())
    pipeline, threshold = found.pipeline, found.threshold or 0.0
    rows = pl.read_csv(data, try_parse_dates=True) if data.suffix == ".csv" else pl.read_parquet(data)
    values = rows.select(FEATURES).to_numpy()
    scores = np.concatenate(
        [chunk_scores(found.detector, pipeline, values[at : at + CHUNK]) for at in range(0, len(values), CHUNK)]
    )
    rows = rows.with_columns(
        anomaly_score=scores, is_anomaly=(scores > threshold).astype(np.int8), threshold_used=threshold,
        scored_at=pl.lit("2026-01-01T00:00:00Z"), model_name=pl.lit(found.name),
    )  # fmt: skip
    rows.write_csv(folder / "theirs.csv")
    rows.write_parquet(folder / "theirs.parquet")
    (folder / "theirs.json").write_text(json.dumps({"rows": len(rows), "anomalies": int((scores > threshold).sum())}))


def chunk_scores(detector: str, pipeline: object, values: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    if detector == "autoencoder":
        scaled = pipeline[:-1].transform(values)  # type: ignore[index]
        return np.asarray(((scaled - pipeline[-1].predict(scaled)) ** 2).mean(axis=1))  # type: ignore[index]
    call = "decision_function" if detector == "one-class-svm" else "score_samples"
    return -np.asarray(getattr(pipeline, call)(values))


if __name__ == "__main__":
    sys.exit(main())
