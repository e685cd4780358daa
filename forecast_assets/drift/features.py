"""Features of a snapshot against those of the snapshot that the champion was trained on.

What belongs here: how differently each feature is distributed. What does not: features, or the score of single rows
(``models.distribution``).

The population stability index, as credit scoring has it: the sum over classes of the difference of shares times the
logarithm of their ratio; from 0.25 on it is taken for another population. Quantities are divided by their median first:
that all sell more in December is the season's, and told by ``daily_figures`` if it is not.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import AS_USUAL, CHANGED, TOO_LITTLE_HISTORY
from forecast_assets.core.arrays import Floats
from forecast_assets.drift.daily_figures import ALL_STORES
from forecast_assets.drift.judging import DriftJudgement

ANOTHER_POPULATION: Final = 0.25
_CLASSES: Final = 10
_LEAST_SHARE: Final = 1e-4
# Of fewer products shares of ten classes are chance.
_LEAST_PRODUCTS: Final = 30
# Chi-squared with nine degrees of freedom stays below this but once in a thousand.
_CHANCE: Final = 27.88
_KEYS: Final = frozenset({"sku_id", "store_id", "prediction_date"})
# An age grows day by day.
_AGES: Final = ("age_days",)


def judge_features(now: pl.DataFrame, then: pl.DataFrame, day: date) -> list[DriftJudgement]:
    """Judge every feature that both snapshots have.

    Args:
        now: The snapshot of the day.
        then: The snapshot of the training.
        day: The day.
    """
    names = [
        name
        for name, kind in now.schema.items()
        if kind.is_numeric() and name in then.columns and name not in _KEYS and name not in _AGES
    ]
    products = min(now["sku_id"].n_unique(), then["sku_id"].n_unique())
    return [_judged(name, now[name], then[name], products, day) for name in names]


def _judged(name: str, now: pl.Series, then: pl.Series, products: int, day: date) -> DriftJudgement:
    present, past = _values(now, name), _values(then, name)
    least = ANOTHER_POPULATION + 2 * _CHANCE / max(products, 1)
    if products >= _LEAST_PRODUCTS and len(past) >= products and not len(present):
        # Known of every product in training and of none today: as unlike as shares can be, in classes of all or none.
        index = stability_index(np.ones(1), np.zeros(1))
        return _judgement(name, CHANGED, index, least, day)
    if products < _LEAST_PRODUCTS or min(len(present), len(past)) < products:
        return _judgement(name, TOO_LITTLE_HISTORY, None, least, None)
    index = stability_index(present, past)
    is_changed = index >= least
    return _judgement(name, CHANGED if is_changed else AS_USUAL, index, least, day if is_changed else None)


def _judgement(name: str, verdict: str, index: float | None, least: float, since: date | None) -> DriftJudgement:
    return DriftJudgement(
        "feature", name, "distribution", ALL_STORES, "psi", verdict,
        value=index, expected=None, deviation=index, spread=None, statistic=index, threshold=least, since=since,
        size=None if since is None else index,
    )  # fmt: skip


def _values(column: pl.Series, name: str) -> Floats:
    known = column.drop_nulls().cast(pl.Float64).to_numpy()
    if not name.endswith("_units"):
        return np.asarray(known)
    positive = known[known > 0]
    return np.asarray(known / np.median(positive)) if len(positive) else known


def stability_index(present: Floats, past: Floats) -> float:
    """Return the population stability index of two samples, in up to ten classes of equal share of the second.

    Example:
        >>> same = np.arange(100.0)
        >>> stability_index(same, same)
        0.0
    """
    edges = np.unique(np.quantile(past, np.arange(1, _CLASSES) / _CLASSES))
    shares = [_shares(sample, edges) for sample in (present, past)]
    return float(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())


def _shares(sample: Floats, edges: Sequence[float] | Floats) -> Floats:
    counts = np.bincount(np.searchsorted(edges, sample, side="left"), minlength=len(edges) + 1)
    return np.maximum(counts / len(sample), _LEAST_SHARE)
