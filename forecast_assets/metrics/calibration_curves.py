"""Curves of calibration: how often what was said to come with a probability came.

What belongs here: counts behind a picture of calibration. What does not: single figures (backtests, risks), or drawing.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats
from forecast_assets.metrics.backtests import Backtest
from forecast_assets.metrics.scores import share_inside

RISK_BINS: Final = 10


def quantile_shares(backtests: Sequence[Backtest]) -> pl.DataFrame:
    """Return how much of what came lies between each two neighbouring quantiles: a PIT histogram of uneven bins.

    A count that ties with quantiles is spread over the probability that it covers (Czado, Gneiting and Held 2009,
    doi:10.1111/j.1541-0420.2009.01191.x), so that right forecasts of slow movers look right.

    Args:
        backtests: At least one.

    Returns:
        `low, high` (levels, 0 to 1), `share` of the days between both, `rows`; the share of right forecasts is
        ``high - low``. Shares are null where no demand is known.
    """
    edges = (0.0, *QUANTILES, 1.0)
    sums, count = np.zeros(len(edges) - 1), 0
    for each in backtests:
        asked = ~np.isnan(each.demand)
        demand, quantiles = each.demand[asked], each.quantiles[asked]
        sums += [float(share_inside(demand, quantiles, *pair).sum()) for pair in pairwise(edges)]
        count += len(demand)
    shares = sums / count if count else [None] * len(sums)
    return pl.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "share": shares, "rows": count},
        schema={"low": pl.Float64, "high": pl.Float64, "share": pl.Float64, "rows": pl.Int64},
    )


def risk_reliability(backtests: Sequence[Backtest], bins: int = RISK_BINS) -> pl.DataFrame:
    """Return how often stock-outs came, by the probability that was said.

    Args:
        backtests: At least one.
        bins: Equal stretches of probability.

    Returns:
        `said` (mean probability), `came` (share of days with a stock-out) and `rows` of each stretch that has any,
        rising; no rows where no probability meets a known outcome.
    """
    probability, happened = _rated(backtests)
    code = np.minimum((probability * bins).astype(np.int64), bins - 1)
    rows, said, came = (np.bincount(code, each, bins) for each in (None, probability, happened))
    has_any = rows > 0
    counted = rows[has_any]
    return pl.DataFrame(
        {"said": said[has_any] / counted, "came": came[has_any] / counted, "rows": counted.astype(np.int64)},
        schema={"said": pl.Float64, "came": pl.Float64, "rows": pl.Int64},
    )


def _rated(backtests: Sequence[Backtest]) -> tuple[Floats, Floats]:
    said, came = zip(*(each.rated for each in backtests), strict=True)
    return np.concatenate(said), np.concatenate(came)
