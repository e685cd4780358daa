"""Calibration of stock-out probabilities: the rows of a calibration report that tell of them.

What belongs here: which days are judged together, and what is said of them. What does not: the scores (`risks`), making
probabilities, or the quantiles of demand (`calibration`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from forecast_assets.contracts import CALIBRATION, RISK_BANDS
from forecast_assets.core.arrays import Bools, Codes, Floats
from forecast_assets.hierarchy.membership import PRODUCT, STORE
from forecast_assets.metrics.backtests import Backtest
from forecast_assets.metrics.calibration import ALL, new_steps, step_bands, step_names
from forecast_assets.metrics.risks import CALIBRATION_BINS, ReliabilityBins, bin_of, calibration_error, roc_auc


@dataclass(frozen=True)
class _RatedDays:
    """Days of series of which both a probability and what came are known, k of them.

    Attributes:
        probability: [k].
        happened: [k] 1 or 0.
        step: [k] days ahead.
        day: [k] number of the day, which all cutoffs share.
        is_new: [k] whether no earlier cutoff judged the day.
    """

    probability: Floats
    happened: Floats
    step: Codes
    day: Codes
    is_new: Bools

    def only(self, chosen: Bools) -> "_RatedDays":
        return _RatedDays(**{name: values[chosen] for name, values in vars(self).items()})


def risk_calibration_rows(backtests: Sequence[Backtest], thresholds: Mapping[str, float]) -> pl.DataFrame:
    """Return what a calibration report says of stock-out probabilities.

    Args:
        backtests: One per cutoff; those without probabilities say nothing.
        thresholds: Lowest probability of each risk band above the first.

    Returns:
        Contract `calibration`, without a row where no probability meets what came.
    """
    ordered = sorted(backtests, key=lambda each: each.cutoff)
    parts = [_rated(each, ordered[:at]) for at, each in enumerate(ordered)]
    found = [part for part in parts if part is not None]
    rows = [
        (f"{PRODUCT} x {STORE}", 1, kind, segment, *row)
        for days in ([_together(found)] if found else [])
        for kind, segment, few in _segments(days, thresholds)
        for row in _rows(few)
    ]
    return pl.DataFrame(rows, schema=CALIBRATION.schema, orient="row")


def _rated(backtest: Backtest, earlier: Sequence[Backtest]) -> _RatedDays | None:
    said, came = backtest.stockout_probability, backtest.is_stockout
    if said is None or came is None:
        return None
    is_rated = ~np.isnan(said) & ~np.isnan(came)
    ahead = np.nonzero(is_rated)[1].astype(np.int64)
    is_new = new_steps(backtest.cutoff, [each.cutoff for each in earlier], said.shape[1])
    return _RatedDays(said[is_rated], came[is_rated], ahead + 1, ahead + 1 + backtest.cutoff.toordinal(), is_new[ahead])


def _together(parts: Sequence[_RatedDays]) -> _RatedDays:
    return _RatedDays(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def _segments(days: _RatedDays, thresholds: Mapping[str, float]) -> Iterator[tuple[str, str, _RatedDays]]:
    """Kind, name and days of each segment that has any."""
    band = np.searchsorted([*thresholds.values()], days.probability, side="right")
    longest = int(days.step.max(initial=1))
    by_kind = {
        ALL: ((ALL,), np.zeros(len(days.step), dtype=np.int64)),
        "risk_band": ((RISK_BANDS[0], *thresholds), band),
        "step": (step_names(), step_bands(longest)[days.step - 1]),
        "day_ahead": ([str(step) for step in range(1, longest + 1)], days.step - 1),
    }
    for kind, (names, code) in by_kind.items():
        for place, name in enumerate(names):
            few = days.only(code == place)
            if len(few.step):
                yield kind, name, few


def _rows(days: _RatedDays) -> Iterator[tuple[object, ...]]:
    """Metric, bin, low, high, value, expected and how many."""
    probability, happened = days.probability, days.happened
    dates = len(np.unique(days.day))
    size = len(probability), int(days.is_new.sum()), dates
    bins = ReliabilityBins.of(probability, happened)
    scores = {
        "brier": float(((probability - happened) ** 2).mean()),
        **dict(zip(("brier_reliability", "brier_resolution", "brier_uncertainty"), bins.brier_parts(), strict=True)),
        "roc_auc": roc_auc(probability, happened),
        "calibration_error": calibration_error(probability, happened),
    }
    for metric, value in scores.items():
        yield (metric, 0, None, None, value, None, *size)
    place = bin_of(probability)
    for at in np.flatnonzero(bins.rows):
        rows = int(bins.rows[at])
        in_bin = days.only(place == at)
        edges = at / CALIBRATION_BINS, (at + 1) / CALIBRATION_BINS
        own = rows, int(in_bin.is_new.sum()), len(np.unique(in_bin.day))
        yield ("reliability", int(at) + 1, *edges, float(bins.came[at] / rows), float(bins.said[at] / rows), *own)
