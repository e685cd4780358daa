"""What forecasts say that weekdays and paydays do, held against the law that the sales came from.

What belongs here: reading effects of departments in stores out of forecasts, whatever model made them. What does not:
the law, or models.

Sums of a department in a store over the days ahead are regressed, on the log, on seven weekdays, paydays, a trend and
the time of month; days that an event reaches are left out. The true effects are read out of the law's calendar by the
same regression, so that what few days cannot tell apart is the same on both sides.
"""

from dataclasses import dataclass

import numpy as np

from bench.cases import Case
from bench.m5_law import DEPARTMENTS, STATE_OF_STORE, STORES, Law, paydays
from bench.scoring import summed
from forecast_assets.core.arrays import Bools, Floats

# Below a thousandth of a unit a day there is no logarithm worth reading.
_SMALLEST = 1e-3


@dataclass(frozen=True)
class Effects:
    """Effects of 7 departments in 10 stores.

    Attributes:
        payday: [70] factor of a payday.
        weekday: [70, 7] factor of each weekday, Monday first, 1 on average.
    """

    payday: Floats
    weekday: Floats


def effect_errors(case: Case, forecast: Floats) -> dict[str, float]:
    """Return mean absolute errors of payday and weekday factors over departments in stores.

    Args:
        case: With a law.
        forecast: [n, H] units.

    Raises:
        ValueError: If the case has no law.
    """
    if case.law is None:
        raise ValueError(f"{case.name} has no law that effects could be compared with")
    found, true = forecast_effects(case, case.law, forecast), true_effects(case, case.law)
    return {
        "payday factor error": float(np.abs(found.payday - true.payday).mean()),
        "weekday factor error": float(np.abs(found.weekday - true.weekday).mean()),
    }


def forecast_effects(case: Case, law: Law, forecast: Floats) -> Effects:
    """Read effects out of forecasts."""
    sums = np.zeros((len(DEPARTMENTS) * len(STORES), forecast.shape[1]))
    found = summed(forecast, case.law_places())
    sums[: len(found)] = found
    return _effects(case, law, sums)


def true_effects(case: Case, law: Law) -> Effects:
    """Read effects out of the law's calendar on the same days."""
    ahead = _ahead(case, law)
    return _effects(case, law, law.calendar_factors[:, :, ahead].reshape(-1, ahead.sum()))


def _ahead(case: Case, law: Law) -> Bools:
    """[D] which of the law's days are ahead of the cutoff."""
    return np.isin(np.array(law.days, dtype="datetime64[D]"), np.array(case.days_ahead, dtype="datetime64[D]"))


def _effects(case: Case, law: Law, sums: Floats) -> Effects:
    """Regress the logarithms of [70, H] sums."""
    used = ~law.is_near_event[_ahead(case, law)]
    design, answer = _designs(case)[:, used], np.log(np.maximum(sums[:, used], _SMALLEST))
    state = np.tile(STATE_OF_STORE, len(DEPARTMENTS))
    found = np.stack([np.linalg.lstsq(design[of], row, rcond=None)[0] for of, row in zip(state, answer, strict=True)])
    weekday = np.exp(found[:, :7])
    return Effects(np.exp(found[:, 7]), weekday / weekday.mean(axis=1, keepdims=True))


def _designs(case: Case) -> Floats:
    """[3, H, 10] by state: weekdays, payday, trend, time of month."""
    days = case.days_ahead
    weekday = np.eye(7)[[day.weekday() for day in days]]
    trend = np.linspace(-0.5, 0.5, len(days))
    month = np.cos(2 * np.pi * (np.array([day.day for day in days]) - 1) / 30.4)
    return np.stack([np.c_[weekday, on, trend, month] for on in (paydays(days) > 0).astype(np.float64)])
