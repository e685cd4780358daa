"""What two hours' work gives: one LightGBM on sales themselves, with a Tweedie loss, for every step at once.

Inputs are means of past sales, the same weekdays, the stock-outs of the last weeks, the plan and the calendar of the
target day, and what the series is. No estimate of demand, no hierarchy, no calibration: the yardstick that a model of
sales has to beat. It is never tuned to anything else than to be sound.
"""

import numpy as np

from bench.cases import Case
from forecast_assets.core.arrays import Bools, Floats, Ints

WINDOWS = (1, 3, 7, 14, 28)
WEEKS = 4
LEAST_DAYS, ORIGIN_EVERY, MOST_ORIGINS, MOST_ROWS = 14, 4, 12, 1_000_000
# On one thread: threads wait for each other on a busy machine, many times as long as they work.
SETTINGS = {
    "objective": "tweedie", "tweedie_variance_power": 1.2, "learning_rate": 0.06, "num_leaves": 63,
    "min_data_in_leaf": 100, "feature_fraction": 0.8, "bagging_fraction": 0.8, "bagging_freq": 1, "seed": 1,
    "deterministic": True, "force_row_wise": True, "num_threads": 1, "verbose": -1,
}  # fmt: skip
TREES = 250


def tweedie_sales(case: Case) -> Floats:
    """Train on past cutoffs of a case and forecast its sales, [n, H]."""
    import lightgbm

    days, horizon = case.panel.history_days, case.panel.horizon_days
    origins = range(days - horizon, LEAST_DAYS - 1, -ORIGIN_EVERY)[:MOST_ORIGINS]
    # Other series at each origin, so that all of them are seen.
    stride = -(-len(case.sales) * len(origins) * horizon // MOST_ROWS)
    rows = [np.arange(place % stride, len(case.sales), stride) for place in range(len(origins))]
    inputs = np.concatenate([_inputs(case, origin, some) for origin, some in zip(origins, rows, strict=True)])
    sold = np.concatenate(
        [case.panel.sales[some, origin : origin + horizon].ravel() for origin, some in zip(origins, rows, strict=True)]
    )
    known = ~np.isnan(sold)
    model = lightgbm.train(SETTINGS, lightgbm.Dataset(inputs[known], sold[known]), num_boost_round=TREES)
    everyone = np.arange(len(case.sales))
    return np.asarray(model.predict(_inputs(case, days, everyone), num_threads=1)).reshape(-1, horizon)


def _inputs(case: Case, origin: int, rows: Ints) -> Floats:
    """[k * H, f] inputs of some series for every step after a day, series by series."""
    panel, horizon = case.panel, case.panel.horizon_days
    target = np.arange(origin, origin + horizon)
    sales, empty = panel.sales[rows, :origin], np.nan_to_num(panel.out_of_stock_share[rows, :origin])
    of_series = [np.nan_to_num(sales[:, -width:]).mean(axis=1) for width in WINDOWS]
    of_series += [empty[:, -width:].mean(axis=1) for width in WINDOWS]
    of_series += [(~np.isnan(sales)).sum(axis=1), *_codes(case, rows)]
    past = np.pad(np.nan_to_num(sales), ((0, 0), (7 * WEEKS, 0)))
    same = [past[:, origin + 7 * (WEEKS - week) + np.arange(horizon) % 7] for week in range(1, WEEKS + 1)]
    offer = [panel.price_ratio, panel.is_promotion]
    of_day = [*same, np.mean(same, axis=0), *(each[rows][:, target] for each in offer), *_events(case, rows, target)]
    usual = panel.price_ratio[rows, max(origin - 28, 0) : origin].mean(axis=1)
    calendar = [np.broadcast_to(each, (len(rows), horizon)) for each in (np.arange(horizon), panel.weekday[target])]
    wide = [np.broadcast_to(each[:, None], (len(rows), horizon)) for each in (*of_series, usual)]
    return np.stack([np.asarray(each, np.float32).ravel() for each in (*wide, *of_day, *calendar)], axis=1)


def _codes(case: Case, rows: Ints) -> list[Ints]:
    levels = (*case.hierarchy.product_levels, *case.hierarchy.store_levels)
    return [level.code[rows] for level in levels if len(level.nodes) > 1]


def _events(case: Case, rows: Ints, target: Ints) -> list[Bools]:
    panel, names = case.panel, np.array(case.panel.event_names)
    on = panel.event_series[:, rows, None] & panel.event_days[:, None, target]
    return [np.asarray(on[names == name].any(axis=0)) for name in np.unique(names)]
