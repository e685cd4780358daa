"""Small tables of features with a fault in them, and models that are trained in a blink.

What belongs here: what tests of anomalies share. What does not: a test.
"""

from pathlib import Path

import numpy as np
import polars as pl

from forecast_assets.anomalies.detectors import DETECTORS
from forecast_assets.anomalies.model_file import AnomalyModel
from forecast_assets.anomalies.training import DetectorRequest
from forecast_assets.core.arrays import Floats
from forecast_assets.operations.anomaly_models import TrainingOutcome, train_anomaly_model

FEATURES = ("rms", "kurtosis", "crest")


def usual_values(rows: int, seed: int = 0) -> Floats:
    """[rows, 3] features that hang together."""
    random = np.random.default_rng(seed)
    mixed = np.array([[1.0, 0.5, 0.2], [0.0, 1.0, 0.7], [0.0, 0.0, 1.0]])
    return np.asarray(random.normal(size=(rows, len(FEATURES))) @ mixed)


def usual_table(rows: int = 600, seed: int = 0) -> pl.DataFrame:
    """`machine, at, rms, kurtosis, crest, remark` of two machines, a row a minute."""
    values = usual_values(rows, seed)
    return pl.DataFrame(
        {
            "machine": [f"00{1 + row % 2}" for row in range(rows)],
            "at": pl.datetime_range(
                pl.datetime(2025, 6, 30), pl.datetime(2025, 6, 30) + pl.duration(minutes=rows - 1), "1m", eager=True
            ),
            **{name: values[:, at] for at, name in enumerate(FEATURES)},
            "remark": ['said "ok", twice' if row % 7 == 0 else "" for row in range(rows)],
        }
    )


def with_faults(table: pl.DataFrame, rows: int = 40) -> pl.DataFrame:
    """The same with a fault that grows over the last rows, and a label of it."""
    growth = np.concatenate([np.zeros(table.height - rows), np.linspace(1, 9, rows)])
    return table.with_columns(
        pl.col("rms") + growth, pl.col("crest") - growth, pl.Series("fault", (growth > 0).astype(np.int64))
    )


def plain_model(detector: str = "isolation-forest", rows: int = 300, threshold: float | None = 0.6) -> AnomalyModel:
    """A model of the three features, fitted on usual rows."""
    pipeline = DETECTORS[detector].fit(usual_values(rows), seed=3)
    return AnomalyModel("plain", detector, FEATURES, pipeline, threshold=threshold)


def trained(
    folder: Path, detector: str = "isolation-forest", ending: str = ".skops", rows: int = 600
) -> TrainingOutcome:
    """Train a detector by the use case, on usual rows."""
    data = folder / "usual.csv"
    usual_table(rows).write_csv(data)
    request = DetectorRequest(detector, "bearings", FEATURES)
    return train_anomaly_model(folder / "home/operational.sqlite", data, folder / f"model{ending}", request)
