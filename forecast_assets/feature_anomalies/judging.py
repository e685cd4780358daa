"""Judging the series of a snapshot: score, verdict, and what decided.

What belongs here: from what changed to rows of the report. What does not: reading snapshots, or what follows from it.
"""

from dataclasses import dataclass, replace
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.anomalies.model_file import AnomalyModel
from forecast_assets.anomalies.scoring import chunked_scores
from forecast_assets.contracts import ANOMALOUS, AS_USUAL, FEATURE_ANOMALIES, TOO_LITTLE_HISTORY
from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.feature_anomalies.changes import SeriesChanges

MOST_INPUTS: Final = 3
UNCHANGED: Final = "unchanged"


@dataclass(frozen=True)
class _Input:
    """Something that may decide: a feature, or how long a feed has not moved."""

    name: str
    feed: str
    feature: int | None
    feed_at: int


def anomaly_rows(changes: SeriesChanges, model: AnomalyModel, day: date) -> pl.DataFrame:
    """Return the report on a day's series, as contract `feature_anomalies`.

    Args:
        changes: How far they are from their own earlier snapshots.
        model: The detector.
        day: The day.
    """
    threshold = model.threshold
    assert threshold is not None
    scores = np.full(len(changes.is_judged), np.nan)
    scores[changes.is_judged] = _scores(changes.rows(changes.is_judged), model)
    flagged = np.flatnonzero(scores > threshold)
    verdicts = np.where(changes.is_judged, AS_USUAL, TOO_LITTLE_HISTORY).astype(object)
    verdicts[flagged] = ANOMALOUS
    told = _told(changes.rows(flagged), scores[flagged], model)
    rows = changes.series.with_columns(
        prediction_date=pl.lit(day),
        verdict=pl.Series(verdicts, dtype=pl.String),
        score=pl.Series(scores).fill_nan(None),
        threshold=pl.lit(threshold),
        detector=pl.lit(model.name),
    )
    decided = changes.series[flagged].hstack(told)
    joined = rows.join(decided, on=["store_id", "sku_id"], how="left", maintain_order="left")
    return FEATURE_ANOMALIES.conform(joined).sort(FEATURE_ANOMALIES.key)


def _scores(changes: SeriesChanges, model: AnomalyModel) -> Floats:
    places = [changes.watched.columns.index(name) for name in model.features]
    return chunked_scores(model, np.ascontiguousarray(changes.matrix()[:, places]))


def _told(changes: SeriesChanges, scores: Floats, model: AnomalyModel) -> pl.DataFrame:
    """`feed, inputs, value, usual_value` of series that are anomalous."""
    inputs = _inputs(changes)
    deciding = deciding_inputs(changes, scores, model)
    rows = [_row(changes, inputs, at, [place for place in places if place >= 0]) for at, places in enumerate(deciding)]
    schema = {"feed": pl.String, "inputs": pl.String, "value": pl.Float64, "usual_value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").fill_nan(None)


def _row(
    changes: SeriesChanges, inputs: list[_Input], at: int, places: list[int]
) -> tuple[str, str, float | None, float | None]:
    first = inputs[places[0]]
    value, usual = (
        (None, None)
        if first.feature is None
        else (float(changes.values[at, first.feature]), float(changes.usual[at, first.feature]))
    )
    return first.feed, ";".join(inputs[place].name for place in places), value, usual


def _inputs(changes: SeriesChanges) -> list[_Input]:
    """Return what may decide, in the order of `deciding_inputs`."""
    watched = changes.watched
    feeds = watched.feed_names
    features = [
        _Input(name, feed, at, feeds.index(feed))
        for at, (name, feed) in enumerate(zip(watched.names, watched.feeds, strict=True))
    ]
    return [*features, *(_Input(f"{feed}_{UNCHANGED}", feed, None, at) for at, feed in enumerate(feeds))]


def deciding_inputs(changes: SeriesChanges, scores: Floats, model: AnomalyModel) -> Ints:
    """Return which inputs decided: those without whose change the score would fall most, for any detector.

    The median of training is no change at all: each input is put there by itself, and the series scored again.

    Args:
        changes: Of n series.
        scores: [n] their scores.
        model: The detector.

    Returns:
        [n, `MOST_INPUTS`] places of inputs, what decided most first: the features, then how long each feed has not
        moved; -1 where nothing else lowers the score. At least one is always named.
    """
    falls = np.stack([scores - _scores(_without(changes, each), model) for each in _inputs(changes)], axis=1)
    # What differs in the last bits only is equal.
    falls = np.round(falls, 12)
    order = np.argsort(-falls, axis=1, kind="stable")[:, :MOST_INPUTS]
    lowers = np.take_along_axis(falls, order, axis=1) > 0
    lowers[:, :1] = True
    return np.where(lowers, order, -1)


def _without(changes: SeriesChanges, changed: _Input) -> SeriesChanges:
    """Return the same series as if one input had not changed."""
    if changed.feature is None:
        unchanged = changes.unchanged.copy()
        unchanged[:, changed.feed_at] = np.minimum(unchanged[:, changed.feed_at], 0.0)
        return replace(changes, unchanged=unchanged)
    distance = changes.distance.copy()
    distance[:, changed.feature] *= 0.0
    return replace(changes, distance=distance)
