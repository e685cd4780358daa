"""Figures of a model on a case: errors, biases by level, effects; smaller is better.

What belongs here: one case at a time. What does not: means over cases, tables (`bench.skill`), and what is recorded.
"""

from collections.abc import Iterable

import numpy as np

from bench.candidates import Made
from bench.cases import Case, m5_levels
from bench.effects import effect_errors
from bench.scoring import summed, wape, wrmsse
from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.metrics.risks import calibration_error

Figures = dict[str, float]
LEVELS_1_TO_9, LEVELS, BOTTOM = "WRMSSE, levels 1 to 9", "WRMSSE, 12 levels", "WRMSSE, bottom level"
PAYDAYS, WEEKDAYS = "payday factor error", "weekday factor error"
WAPE_OF_SALES, WAPE_OF_DEMAND = "WAPE of expected sales", "WAPE of expected demand"
RISK, NEXT_DAYS_RISK = "1 - AUC of the risk", "1 - AUC of the next day's risk"
RISK_CALIBRATION = "calibration error of the risk"
# Squared error of probabilities over that of each of what anybody knows without a model.
CLIMATOLOGY, OWN_RATE, YESTERDAY = (
    f"Brier score of the risk over that of {what}"
    for what in ("climatology", "each series' own rate", "yesterday's status")
)
BIAS_LEVELS = {
    "m5": {"total": ("total", "total"), "store": ("total", "store"), "group x store": ("department", "store")},
    "fresh": {"total": ("total", "total"), "store": ("total", "store"), "group x store": ("management_group", "store")},
    "simulator": {"total": ("total", "total"), "store": ("total", "store"), "group x store": ("category", "store")},
}
# A node below this share of the mean node of its level is too small for a bias of its own.
_LARGE = 0.2
# Signed figures: of these the mean may be small where no single one is.
SIGNED, SIZE = "bias, ", "size of bias, "


def figures(case: Case, made: Made) -> Figures:
    """Return what a model reached on a case."""
    if case.demand is not None:
        return {WAPE_OF_DEMAND: wape(made.demand, case.demand), **_biases(case, made.demand, case.demand)}
    own = _m5_figures(case, made) if case.law is not None else _fresh_figures(case, made)
    return {**own, **_biases(case, made.sales, case.sales)}


def _m5_figures(case: Case, made: Made) -> Figures:
    past = np.nan_to_num(case.panel.sales)
    levels = [wrmsse(made.sales, case.sales, past, case.revenue, [codes]) for codes in m5_levels(case).values()]
    return {
        LEVELS_1_TO_9: float(np.mean(levels[:9])),
        LEVELS: float(np.mean(levels)),
        BOTTOM: levels[-1],
        **effect_errors(case, made.sales),
    }


def _fresh_figures(case: Case, made: Made) -> Figures:
    out = {WAPE_OF_SALES: wape(made.sales, case.sales)}
    if made.risk is not None and case.is_out_of_stock is not None:
        out |= risk_figures(made.risk, case.is_out_of_stock, case.panel.out_of_stock_share)
    return out


def risk_figures(risk: Floats, happened: Bools, past: Floats) -> Figures:
    """Return how well probabilities tell days apart and mean what they say.

    Args:
        risk: [n, H] probabilities.
        happened: [n, H] whether any trading hour was without stock.
        past: [n, T] share of trading hours without stock up to the cutoff.
    """
    was_out, came = np.where(np.isnan(past), np.nan, past > 0), happened.astype(np.float64)
    everywhere = float(np.nanmean(was_out))
    known = (~np.isnan(was_out)).sum(axis=1)
    plain = {
        CLIMATOLOGY: np.full((len(was_out), 1), everywhere),
        # As if one more day had been as all were.
        OWN_RATE: ((np.nansum(was_out, axis=1) + everywhere) / (known + 1))[:, None],
        YESTERDAY: np.nan_to_num(was_out[:, -1:], nan=everywhere),
    }
    brier = float(((risk - came) ** 2).mean())
    return {
        RISK: 1.0 - auc(risk, happened),
        NEXT_DAYS_RISK: 1.0 - auc(risk[:, 0], happened[:, 0]),
        RISK_CALIBRATION: calibration_error(risk.ravel(), came.ravel()) or 0.0,
        **{name: brier / float(((said - came) ** 2).mean()) for name, said in plain.items()},
    }


def _biases(case: Case, expected: Floats, came: Floats) -> Figures:
    """Mean bias of the nodes of a level, and the mean of its size, over nodes that are large enough."""
    out = {}
    for name, pair in BIAS_LEVELS[kind_of(case.name)].items():
        codes = case.nodes(*pair)
        forecast, actual = (summed(each, codes).sum(axis=1) for each in (expected, came))
        large = actual >= _LARGE * actual.mean()
        each = forecast[large] / actual[large] - 1.0
        out[f"{SIGNED}{name}"] = float(each.mean())
        out[f"{SIZE}{name}"] = float(np.abs(each).mean())
    return out


def kind_of(name: str) -> str:
    """Return the kind of a case of that name."""
    return name.split(" ", 1)[0]


def auc(score: Floats, happened: Bools) -> float:
    """Return the probability that a case that happened was scored above one that did not; ties count half.

    Example:
        >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, True, False, True]))
        0.875
    """
    values, place, counts = np.unique(score.ravel(), return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2
    yes, total = int(happened.sum()), happened.size
    sum_of_ranks = float(rank[place.ravel()][happened.ravel()].sum()) if len(values) else 0.0
    return (sum_of_ranks - yes * (yes + 1) / 2) / (yes * (total - yes))


def mean_figure(figures_of: Iterable[Figures], name: str) -> float:
    """Return the mean over cases; of a signed figure its size, so that errors of both signs cancel."""
    values = [each[name] for each in figures_of if name in each]
    mean = float(np.mean(values)) if values else float("nan")
    return abs(mean) if name.startswith(SIGNED) else mean
