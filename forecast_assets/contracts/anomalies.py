"""The report on the series of a snapshot: which of them are unlike what they, and others, usually are.

What belongs here: the contract of `feature_anomalies`. What does not: scoring, or tables of features in files.
"""

from typing import Final

import polars as pl

from forecast_assets.contracts.reports import AS_USUAL, TOO_LITTLE_HISTORY
from forecast_assets.contracts.schema import Column, Contract

ANOMALOUS: Final = "anomalous"
ANOMALY_VERDICTS: Final = (AS_USUAL, ANOMALOUS, TOO_LITTLE_HISTORY)

FEATURE_ANOMALIES = Contract(
    name="feature_anomalies",
    grain="one SKU and one store at one prediction date",
    description="Which series of a snapshot are unlike what detectors learned from earlier snapshots, and by what.",
    columns=(
        Column("prediction_date", pl.Date, "the day whose snapshot is judged"),
        Column("store_id", pl.String, "store or fulfilment node, as in the source"),
        Column("sku_id", pl.String, "stock-keeping unit, as in the source"),
        Column(
            "verdict",
            pl.String,
            "`anomalous` above the threshold, `as usual`, or `too little history` of the series itself",
            one_of=ANOMALY_VERDICTS,
        ),
        Column("score", pl.Float64, "higher is more anomalous; null with too little history", nullable=True),
        Column("threshold", pl.Float64, "of the detector, the same in all rows"),
        Column("detector", pl.String, "the detector, as `audit.anomaly_detectors` has it"),
        Column(
            "feed",
            pl.String,
            "the feed of what decided most; null where nothing is anomalous",
            nullable=True,
        ),
        Column(
            "inputs",
            pl.String,
            "what decided, most first, joined with `;`: what the score falls by, if the training's median stood there; "
            "null where nothing is anomalous",
            nullable=True,
        ),
        Column("value", pl.Float64, "the first of them, as in the snapshot; null where it is none", nullable=True),
        Column(
            "usual_value",
            pl.Float64,
            "its median in the series' earlier snapshots; null where there is none",
            nullable=True,
        ),
    ),
    key=("prediction_date", "store_id", "sku_id"),
    promises=(
        "Follows from the snapshots and the detector that the manifest names: made again, it is the same.",
        "A detector has seen no snapshot of the day that it judges, nor of a later one.",
    ),
    limits=(
        "What is unusual is not always wrong: a promotion or a launch may be. Nothing is blocked or changed by it.",
        "What stays is usual after some weeks.",
    ),
)
