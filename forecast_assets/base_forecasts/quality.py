"""Quality flags of forecasts: why to look twice at a row.

What belongs here: when a row gets a flag, and the text of several. What does not: scores (models.distribution), or
anything that changes a number.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import QUALITY_FLAGS
from forecast_assets.core.arrays import Bools, Floats, Ints, Names
from forecast_assets.features.panel import Panel
from forecast_assets.models.distribution import INPUTS, Reference

# Of training's own rows, half a percent reach it.
UNUSUAL_SCORE: Final = 0.995
SHORT_HISTORY_DAYS: Final = 56
MOSTLY_SHARE: Final = 0.5
_MONTH: Final = 28


def quality_flags(
    panel: Panel,
    demand_class: Names,
    is_fallback: Bools,
    out_of_distribution: Floats | None,
    is_quarantined: Bools | None = None,
    backtested_days: int | None = None,
) -> pl.Series:
    """Say why to look twice at rows.

    `fallback`: another model, or zero, stands in. `out_of_distribution`: an input lies further out than in all but half
    a percent of training's rows. `new_series`: of the class `new`. `short_history`: less than 56 known days, or
    further ahead than backtests of the version reached.
    `mostly_out_of_stock`: in the last four weeks half of the demand, or more, met an empty shelf, so that sales say
    little of it; where only the end of a day is known, a day that ended with an empty shelf counts whole. `no_plan`:
    prices are known, but not of this day. `quarantined_rows`: a row of the last observed day that is, or may be, of the
    series was set aside, and the run went on without it.

    Args:
        panel: n series, T days of history, H ahead.
        demand_class: [n].
        is_fallback: [n].
        out_of_distribution: [n, H] scores; None where the version has none.
        is_quarantined: [n] whether a row of the last observed day was set aside; None where none was.
        backtested_days: Days ahead that backtests of the version reached; None for all of them.

    Returns:
        `quality_flags` of n x H rows, series by series: flags in the order of `contracts.QUALITY_FLAGS`, joined with
        `;`, or empty.
    """
    score = np.zeros((1, 1)) if out_of_distribution is None else out_of_distribution
    raised: Mapping[str, Bools] = {
        "fallback": is_fallback[:, None],
        "out_of_distribution": score >= UNUSUAL_SCORE,
        "new_series": (demand_class == "new")[:, None],
        "short_history": (_known_days(panel) < SHORT_HISTORY_DAYS)[:, None] | _is_beyond(panel, backtested_days),
        "mostly_out_of_stock": (_empty_share(panel) >= MOSTLY_SHARE)[:, None],
        "no_plan": ~panel.has_plan & _has_prices(panel),
        "quarantined_rows": np.zeros((1, 1), dtype=np.bool_) if is_quarantined is None else is_quarantined[:, None],
    }
    shape = panel.series.height, panel.horizon_days
    # Few combinations occur, so each text is made once: a bit of the code is a flag.
    codes = np.zeros(shape, dtype=np.int64)
    for at, name in enumerate(QUALITY_FLAGS):
        codes |= np.broadcast_to(raised[name], shape).astype(np.int64) << at
    found, place = np.unique(codes, return_inverse=True)
    texts = pl.Series([_text(int(code)) for code in found], dtype=pl.String)
    return texts[pl.Series(place.ravel())].alias("quality_flags")


def deciding_inputs(panel: Panel, reference: Reference, score: Floats) -> pl.DataFrame:
    """Count by which input rows are flagged `out_of_distribution`.

    Args:
        panel: n series, T days of history, H ahead.
        reference: What training's inputs were like.
        score: [n, H] as `reference` scored the panel; NaN where it is not known.

    Returns:
        `input, rows, series, share_of_rows` of the n x H rows, most rows first; inputs that decided none are left out.
    """
    is_unusual = np.nan_to_num(score) >= UNUSUAL_SCORE
    chosen = np.flatnonzero(is_unusual.any(axis=1))
    decided = np.where(is_unusual[chosen], reference.judge(panel.take(chosen)).most_unusual, -1)
    rows = [int((decided == at).sum()) for at in range(len(INPUTS))]
    series = [int((decided == at).any(axis=1).sum()) for at in range(len(INPUTS))]
    found = pl.DataFrame({"input": INPUTS, "rows": rows, "series": series}).filter(pl.col("rows") > 0)
    share = (pl.col("rows") / max(is_unusual.size, 1)).round(4)
    return found.with_columns(share_of_rows=share).sort("rows", "input", descending=[True, False])


def _is_beyond(panel: Panel, backtested_days: int | None) -> Bools:
    """[1, H] whether each day lies further ahead than backtests reached."""
    reach = panel.horizon_days if backtested_days is None else backtested_days
    return (np.arange(panel.horizon_days) >= reach)[None]


def _text(code: int) -> str:
    return ";".join(name for at, name in enumerate(QUALITY_FLAGS) if code >> at & 1)


def _known_days(panel: Panel) -> Ints:
    return np.asarray((~np.isnan(panel.sales)).sum(axis=1), dtype=np.int64)


def _empty_share(panel: Panel) -> Floats:
    """[n] share of the demand of the last four weeks that met an empty shelf; 0 where no day is known."""
    missed, is_known = panel.missed_share[:, -_MONTH:], ~np.isnan(panel.sales[:, -_MONTH:])
    empty = np.where(np.isnan(missed), panel.is_censored[:, -_MONTH:], missed)
    days = is_known.sum(axis=1)
    return np.asarray(np.divide((empty * is_known).sum(axis=1), days, out=np.zeros(len(days)), where=days > 0))


def _has_prices(panel: Panel) -> bool:
    """Whether there is a price feed: days without a price stand at list price, so one that always does says nothing."""
    said = panel.pooled.of_all("prices", lambda: np.array(panel.has_plan.any() or (panel.price_ratio != 1.0).any()))
    return bool(said)
