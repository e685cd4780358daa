"""Vibration of machines with a growing fault, and what the four detectors make of it: the example of docs/anomalies.md.

Windows of a second of a bearing's acceleration are simulated and described by twelve features, as condition monitoring
does. Some machines run well; in others a fault of the outer race sets in and grows until they fail: impacts at the
rate at which balls pass the fault, each of which rings the housing. Noise, load and imbalance differ from machine to
machine and drift with the hour of the day, so that a fault at first hides in them.

    python -m bench.vibration FOLDER              # writes usual.csv and faulty.csv
    python -m bench.vibration FOLDER --example    # and trains and scores with the command, prints it, draws scores.png
"""

import argparse
import os
import shlex
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from forecast_assets.anomalies.detectors import DETECTORS
from forecast_assets.core.arrays import Floats

SEED = 20250630
# Samples a second, turns of the shaft a second, impacts a turn of an outer-race fault, ring of the housing in Hz.
RATE, TURNS, IMPACTS, RING = 4096, 24.6, 3.58, 1400.0
MACHINES, WINDOWS = 8, 600
# Of the machines that fail, in windows: when the fault sets in at the earliest, and when at the latest.
ONSETS = (300, 450)
FIRST = datetime(2025, 6, 1)  # noqa: DTZ001 - machines tell their own time
FEATURES = (
    "rms", "peak", "crest", "kurtosis", "skewness", "shape", "band_low", "band_middle", "band_high", "envelope_rms",
    "envelope_kurtosis", "centroid",
)  # fmt: skip
ENDINGS = (".skops", ".joblib")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--example", action="store_true", help="train and score with the command, and draw the scores")
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(SEED)
    machines(random, is_failing=False).write_csv(folder / "usual.csv")
    machines(random, is_failing=True).write_csv(folder / "faulty.csv")
    if arguments.example:
        example(folder)
    return 0


def machines(random: np.random.Generator, *, is_failing: bool) -> pl.DataFrame:
    """Return `machine, at`, the features and `fault`: a row per window, every quarter of an hour."""
    frames = []
    for number in range(1, MACHINES + 1):
        onset = int(random.integers(*ONSETS)) if is_failing else WINDOWS
        growth = np.clip((np.arange(WINDOWS) - onset) / max(1, WINDOWS - onset), 0.0, None)
        noise, imbalance = random.uniform(0.8, 1.2), random.uniform(0.5, 1.0)
        rows = [features(window(random, noise, imbalance, float(size), at)) for at, size in enumerate(growth)]
        frames.append(
            pl.DataFrame(
                {
                    "machine": [f"{'F' if is_failing else 'U'}{number:02d}"] * WINDOWS,
                    "at": [FIRST + timedelta(minutes=15 * at) for at in range(WINDOWS)],
                    **{name: [row[name] for row in rows] for name in FEATURES},
                    "fault": (growth > 0).astype(np.int8),
                }
            )
        )
    return pl.concat(frames)


def window(random: np.random.Generator, noise: float, imbalance: float, fault: float, at: int) -> Floats:
    """[RATE] one second of acceleration; ``fault`` is 0 without one and 1 at the failure."""
    seconds = np.arange(RATE) / RATE
    load = 1.0 + 0.15 * np.sin(2 * np.pi * at / 96) + 0.05 * random.normal()
    signal = imbalance * load * np.sin(2 * np.pi * TURNS * seconds + random.uniform(0, 2 * np.pi))
    signal += noise * load * random.normal(size=RATE)
    if fault > 0:
        each = RATE / (TURNS * IMPACTS)
        places = (random.uniform(0, each) + each * np.arange(int(RATE / each))).astype(int)
        impacts = np.zeros(RATE)
        impacts[places] = 12.0 * fault * load * random.uniform(0.7, 1.3, size=len(places))
        ring = np.exp(-seconds[:256] * 400) * np.sin(2 * np.pi * RING * seconds[:256])
        signal += np.convolve(impacts, ring)[:RATE]
    return np.asarray(signal)


def features(signal: Floats) -> dict[str, float]:
    """Return the usual twelve figures of a window."""
    centred = signal - signal.mean()
    rms, peak = float(np.sqrt(np.mean(centred**2))), float(np.abs(centred).max())
    power = np.abs(np.fft.rfft(centred)) ** 2
    hertz = np.fft.rfftfreq(len(signal), 1 / RATE)
    bands = [
        float(np.log(power[(hertz >= low) & (hertz < high)].sum()))
        for low, high in ((5, 200), (200, 1000), (1000, 2048))
    ]
    envelope = np.abs(np.fft.ifft(np.where(np.arange(RATE) < RATE // 2, 2.0, 0.0) * np.fft.fft(centred)))
    rest = envelope - envelope.mean()
    values = (
        rms, peak, peak / rms, float(np.mean(centred**4)) / rms**4, float(np.mean(centred**3)) / rms**3,
        rms / float(np.mean(np.abs(centred))), *bands, float(np.sqrt(np.mean(rest**2))),
        float(np.mean(rest**4) / np.mean(rest**2) ** 2), float((hertz * power).sum() / power.sum()),
    )  # fmt: skip
    return {name: round(value, 6) for name, value in zip(FEATURES, values, strict=True)}


def example(folder: Path) -> None:
    """Train every detector on machines that run well, score those that fail, and print what the command says."""
    for detector in DETECTORS:
        for ending in ENDINGS:
            model = f"{detector}{ending}"
            named = f"--detector {detector} --input usual.csv --all-numeric --exclude fault"
            call(folder, f"anomalies train {named} --output {model}")
            call(folder, f"score --model {model} --input faulty.csv --output {detector}-{ending[1:]}")
    print(found_table(folder))
    (folder / "scores.png").write_bytes(picture(folder))


def call(folder: Path, line: str) -> None:
    """Run the command in a folder, with a home of its own there."""
    print(f"$ forecast-assets {line}")
    run = "from forecast_assets.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", run, *shlex.split(line), "--overwrite"],
        cwd=folder, env={**os.environ, "FORECAST_ASSETS_HOME": "home"}, text=True, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    print(done.stdout)


def scored(folder: Path, detector: str, ending: str) -> pl.DataFrame:
    return pl.read_parquet(folder / f"{detector}-{ending[1:]}.parquet")


def found_table(folder: Path) -> str:
    """Return a row per detector: how well it tells faults, and how long before the failure it said so."""
    from sklearn.metrics import roc_auc_score

    from forecast_assets.presentation.text import table

    rows = []
    for detector in DETECTORS:
        one, other = (scored(folder, detector, ending) for ending in ENDINGS)
        is_same = "yes" if one["anomaly_score"].equals(other["anomaly_score"]) else "NO"
        usual, fault = one.filter(fault=0), one.filter(fault=1)
        leads = [
            (rows_["at"].max() - alarms["at"].min()).total_seconds() / 3600  # type: ignore[operator, union-attr]
            for _, rows_ in fault.group_by("machine", maintain_order=True)
            if (alarms := rows_.filter(is_anomaly=1)).height
        ]
        rows.append(
            (
                detector, f"{roc_auc_score(one['fault'], one['anomaly_score']):.3f}",
                f"{usual['is_anomaly'].mean():.2%}", f"{fault['is_anomaly'].mean():.1%}", f"{len(leads)} of {MACHINES}",
                f"{min(leads):.1f} to {max(leads):.1f}", is_same,
            )
        )  # fmt: skip
    head = (
        "detector", "AUC", "false alarms", "faulty windows found", "machines found", "hours before failure",
        "formats agree",
    )  # fmt: skip
    return table(head, rows)


def picture(folder: Path) -> bytes:
    """Draw the scores of one machine over its threshold, by each detector."""
    from forecast_assets.plots.canvas import INK, LINE_COLOURS, new_axes, png_bytes

    figure, axes = new_axes("score over threshold, log", height=3.6)
    for detector, colour in zip(DETECTORS, LINE_COLOURS, strict=True):
        rows = scored(folder, detector, ENDINGS[0]).filter(machine="F01")
        # Ranks among windows without a fault, so that four scales fit one picture.
        usual = np.sort(rows.filter(fault=0)["anomaly_score"].to_numpy())
        scores, threshold = rows["anomaly_score"].to_numpy(), rows["threshold_used"][0]
        height = (scores - np.median(usual)) / (threshold - np.median(usual))
        axes.plot(np.arange(len(height)) / 4, np.clip(height, -1, 8), color=colour, linewidth=0.9, label=detector)
    onset = rows["fault"].arg_max() or 0
    axes.axhline(1.0, color=INK, linewidth=1.0, linestyle=":")
    axes.axvline(onset / 4, color=INK, linewidth=1.0)
    axes.set_ylabel("score: 0 is usual, 1 the threshold", color=INK)
    axes.set_xlabel("hours of machine F01; upright line: the fault sets in, end: it fails", color=INK, fontsize=9)
    return png_bytes(figure, axes)


if __name__ == "__main__":
    sys.exit(main())
