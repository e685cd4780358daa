"""Guards: what must not be worse of a challenger that loses less overall.

What belongs here: the figures of both versions over the paired days of a trial, and whether the challenger's are within
the margins that were fixed beforehand. What does not: which version is better overall.

Each is a comparison of two figures over the same rows, not a test: a margin allows for chance. So guards can keep a
challenger from being promoted, and never get one promoted, and the chance of a wrong promotion stays that of the
evidence. Non-inferiority within a margin fixed beforehand: Piaggio et al. 2012, doi:10.1001/jama.2012.87802.
"""

from collections.abc import Callable, Collection
from datetime import date
from typing import Final

import polars as pl

from resources.ledger.entries.challenge import LOSSES, Challenge, TrialRules
from resources.ledger.entries.weigh import GuardResult

BIAS: Final = "bias_of_all_sales"
COVERAGE: Final = "coverage_of_the_80_percent_interval"
SEGMENT: Final = "worst_important_segment"
_COVERED: Final = 0.8
# What divides rows of both versions alike; classes and bands are each version's own.
_KINDS: Final = ("store", "product_node")


def guard_results(compared: pl.DataFrame, trial: Challenge, days: Collection[date]) -> tuple[GuardResult, ...]:
    """Hold the challenger against the champion on the step that decides.

    Args:
        compared: Rows of both versions, as ``pairs.compared_rows`` leaves them.
        trial: Which versions, and the margins.
        days: Target dates that have a pair.

    Returns:
        How far the bias of all sales, as a share of them, lies from 0; how far the share of days without a known
        stock-out that lies inside the 80% interval does from 80%; and the loss in the segment, of those with the least
        share of sales that the rules name, in which the challenger does worst, as a multiple of the champion's.
    """
    rows = compared.filter(pl.col("step") == trial.rules.deciding_step, pl.col("target_date").is_in([*days]))
    sums = _sums(rows.filter(pl.col("segment_kind") == "all"), trial)
    return (
        _within(BIAS, sums, _bias, trial.rules.bias_margin),
        _within(COVERAGE, sums, _miscoverage, trial.rules.coverage_margin),
        _worst_segment(rows.filter(pl.col("segment_kind").is_in(_KINDS)), trial),
    )


_SUMMED: Final = ("sales_units", "error_units", "quantile_rows", "inside_80_rows", *LOSSES.values())
_Sums = dict[str, float]


def _sums(rows: pl.DataFrame, trial: Challenge) -> tuple[_Sums | None, _Sums | None]:
    summed = rows.group_by("model_version").agg(pl.col(_SUMMED).sum()).rows_by_key("model_version", named=True)
    champion, challenger = (
        {name: float(value) for name, value in summed[version][0].items()} if version in summed else None
        for version in (trial.champion_version, trial.model_version)
    )
    return champion, challenger


def _bias(sums: _Sums) -> float | None:
    return abs(sums["error_units"]) / sums["sales_units"] if sums["sales_units"] else None


def _miscoverage(sums: _Sums) -> float | None:
    return abs(sums["inside_80_rows"] / sums["quantile_rows"] - _COVERED) if sums["quantile_rows"] else None


def _within(
    guard: str, sums: tuple[_Sums | None, _Sums | None], figure: Callable[[_Sums], float | None], margin: float
) -> GuardResult:
    champion, challenger = (None if each is None else figure(each) for each in sums)
    if champion is None or challenger is None:
        return GuardResult(guard, champion, challenger, None, holds=False, detail="nothing is known yet")
    return GuardResult(guard, champion, challenger, champion + margin, holds=challenger <= champion + margin)


def _worst_segment(rows: pl.DataFrame, trial: Challenge) -> GuardResult:
    important = _important(rows, trial.rules, LOSSES[trial.rules.loss], (trial.champion_version, trial.model_version))
    limit = 1.0 + trial.rules.segment_margin
    if important.is_empty():
        return GuardResult(SEGMENT, None, None, limit, holds=rows.height > 0, detail="no segment is important")
    kind, segment, ratio = important.select("segment_kind", "segment", "ratio").row(0)
    return GuardResult(SEGMENT, 1.0, ratio, limit, holds=ratio <= limit, detail=f"{kind} {segment}")


def _important(rows: pl.DataFrame, rules: TrialRules, loss: str, versions: tuple[str, str]) -> pl.DataFrame:
    """Important segments with the challenger's loss as a multiple of the champion's, the worst first."""
    keys = ["segment_kind", "segment"]
    sums = rows.group_by("model_version", *keys).agg(
        pl.col("sales_units").sum().cast(pl.Float64), pl.col(loss).sum().cast(pl.Float64).alias("loss")
    )
    champion, challenger = (
        sums.filter(pl.col("model_version") == version).drop("model_version") for version in versions
    )
    both = champion.join(challenger, on=keys, suffix="_challenger").filter(pl.col("loss") > 0)
    is_important = pl.col("sales_units") >= rules.segment_share * pl.col("sales_units").sum().over("segment_kind")
    return (
        both.filter(is_important)
        .with_columns(ratio=pl.col("loss_challenger") / pl.col("loss"))
        .sort("ratio", *keys, descending=[True, False, False])
    )
