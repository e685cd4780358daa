"""The rate of all series: which share of them has an hour without stock on each day, and on the days ahead.

What belongs here: what all series share on a day. What does not: what tells one series from another.

The days ahead are as the last days were, with the habit of their weekday. Where rates have been falling or rising for
long, that errs to one side, so it is corrected by what it would have been missed by at all past cutoffs, drawn towards
nothing: errors of one horizon are one observation, and nothing counts as one more.
"""

from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, Ints, Rows

# Chosen on FreshRetailNet with cutoffs up to 2024-04-30.
_LEVEL_HALF_LIFE: Final = 7.0
_WEEKDAY_HALF_LIFE: Final = 28.0
_WEEKDAY_PRIOR_DAYS: Final = 4.0
# Days of history before the first past cutoff whose errors are looked at.
_LEAST_DAYS: Final = 10
# No record is long enough to be surer than this.
LEAST, MOST = 0.005, 0.995


def rates_by_day(is_out: Bools, is_known: Bools) -> Floats:
    """[T] share of the series with known status that were out of stock for an hour, from [n, T]; NaN where none is."""
    known = is_known.sum(axis=0)
    out = (is_out & is_known).sum(axis=0)
    return np.asarray(np.divide(out, known, out=np.full(len(known), np.nan), where=known > 0))


def rates_ahead(rates: Floats, weekday: Ints, horizon: int) -> Floats:
    """Forecast the rate of all series.

    Args:
        rates: [T] by day; NaN where no status is known.
        weekday: [T + H or more] day of the week of each column.
        horizon: H.

    Returns:
        [H] 0.005 to 0.995.

    Example:
        >>> rates_ahead(np.full(20, 0.3), np.arange(22) % 7, 2).round(3).tolist()
        [0.3, 0.3]
    """
    days = len(rates)
    plain = _as_lately(rates, weekday, days - 1, np.arange(days, days + horizon))
    return np.asarray(np.clip(plain - _usual_error(rates, weekday, horizon), LEAST, MOST))


def log_odds(rates: Floats) -> Floats:
    """Return the logarithm of the odds of rates, kept off 0 and 1."""
    inside = np.clip(rates, LEAST, MOST)
    return np.asarray(np.log(inside / (1.0 - inside)))


def _as_lately(rates: Floats, weekday: Ints, origin: int, targets: Rows) -> Floats:
    """[h] Recent level as of a column, and the habit of each target's weekday."""
    past, is_known = rates[: origin + 1], ~np.isnan(rates[: origin + 1])
    age = origin - np.arange(origin + 1)
    filled = np.where(is_known, past, 0.0)
    recent, slow = (0.5 ** (age / life) * is_known for life in (_LEVEL_HALF_LIFE, _WEEKDAY_HALF_LIFE))
    level, usual = (_mean(filled, weights) for weights in (recent, slow))
    is_same = weekday[targets][:, None] == weekday[None, : origin + 1]
    apart = ((filled - usual) * slow * is_same).sum(axis=1)
    return np.asarray(level + apart / ((slow * is_same).sum(axis=1) + _WEEKDAY_PRIOR_DAYS))


def _usual_error(rates: Floats, weekday: Ints, horizon: int) -> float:
    """What forecasts as of all past cutoffs were too high by, drawn towards nothing."""
    last = len(rates) - 1
    errors = []
    for origin in range(_LEAST_DAYS, last):
        targets = np.arange(origin + 1, min(origin + horizon, last) + 1)
        errors.append(_as_lately(rates, weekday, origin, targets) - rates[targets])
    found = np.concatenate(errors) if errors else np.array([])
    found = found[~np.isnan(found)]
    if not len(found):
        return 0.0
    horizons = (last - _LEAST_DAYS) / horizon
    return float(found.mean() * horizons / (horizons + 1.0))


def _mean(values: Floats, weights: Floats) -> float:
    total = float(weights.sum())
    return float((values * weights).sum()) / total if total else 0.0
