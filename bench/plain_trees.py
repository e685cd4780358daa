"""What a user would write in an afternoon: one LightGBM on sales, with lags, calendar, plan and stock-outs.

What belongs here: that model, as plain as it is usually written. What does not: any part of the package's models.
"""

import os

import numpy as np

from forecast_assets.core.arrays import Floats, InputMatrix
from forecast_assets.features.panel import Panel

MEANS = (1, 7, 14, 28)
WEEKS = 4
MOST_ROWS = 1_000_000
PARAMETERS = {
    "objective": "tweedie",
    "tweedie_variance_power": 1.3,
    "learning_rate": 0.08,
    "num_leaves": 127,
    "min_data_in_leaf": 100,
    "deterministic": True,
    "force_col_wise": True,
    "seed": 1,
    "verbosity": -1,
}
ROUNDS = 200


def plain_sales(panel: Panel) -> Floats:
    """Forecast sales of every series.

    Args:
        panel: n series, T days of history, H ahead; all plans are known.

    Returns:
        [n, H] units.
    """
    # A thread that waits busily for others beside it makes a fit ten times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import lightgbm

    days, horizon = panel.history_days, panel.horizon_days
    origins = np.arange(max(MEANS) - 1, days - 1)
    cells = len(panel.sales) * len(origins) * horizon
    every = max(-(-cells // MOST_ROWS), 1)
    parts = []
    for number, origin in enumerate(origins.tolist()):
        rows, steps = np.arange(number % every, len(panel.sales), every), min(horizon, days - 1 - origin)
        sales = panel.sales[rows, origin + 1 : origin + 1 + steps]
        known = ~np.isnan(sales.ravel())
        parts.append((_inputs(panel, rows, origin, steps)[known], sales.ravel()[known]))
    inputs, sales = (np.concatenate(part) for part in zip(*parts, strict=True))
    booster = lightgbm.train(PARAMETERS, lightgbm.Dataset(inputs, sales), ROUNDS)
    ahead = _inputs(panel, np.arange(len(panel.sales)), days - 1, horizon)
    return np.asarray(booster.predict(ahead), dtype=np.float64).reshape(-1, horizon)


def _inputs(panel: Panel, rows: np.ndarray, origin: int, steps: int) -> InputMatrix:
    """[k * steps, f] of some series on the days after a cutoff."""
    targets = np.arange(origin + 1, origin + 1 + steps)
    sales, gone = (np.nan_to_num(each[rows, : origin + 1]) for each in (panel.sales, panel.out_of_stock_share))
    event = (panel.event_days[:, None] & panel.event_series[:, rows, None]).any(axis=0)
    weeks = [targets - 7 * (-(-(targets - origin) // 7) + week) for week in range(WEEKS)]
    same = [np.clip(week, 0, origin) for week in weeks]
    product = np.unique(panel.series["sku_id"].to_numpy()[rows], return_inverse=True)[1]
    count = np.bincount(product)
    wide = [
        *(each[:, -span:].mean(axis=1, keepdims=True) for each in (sales, gone) for span in MEANS),
        *(np.mean([each[:, week] for week in same], axis=0) for each in (sales, gone)),
        *((np.bincount(product, each[:, -7:].mean(axis=1)) / count)[product, None] for each in (sales, gone)),
        panel.price_ratio[rows][:, targets],
        panel.price_ratio[rows, max(origin - 27, 0) : origin + 1].mean(axis=1, keepdims=True),
        panel.is_promotion[rows][:, targets],
        event[:, targets],
        panel.weekday[targets][None],
        (targets - origin)[None],
    ]
    out = np.stack([np.broadcast_to(each, (len(rows), steps)) for each in wide], axis=2)
    return out.reshape(-1, len(wide)).astype(np.float32)
