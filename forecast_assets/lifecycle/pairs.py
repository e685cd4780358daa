"""Pairs: what champion and challenger lost on the same target date, so many days ahead, over the same rows.

What belongs here: from measured accuracy to losses that can be compared, and why a day has none. What does not: reading
measurements, or weighing differences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl

from resources.ledger.entries.challenge import LOSSES, Challenge

# Columns of `forecast_accuracy` that are read: names, what says whether rows are the same, losses, and guards' sums.
READ_OF_ACCURACY: Final = (
    "model_version", "step", "target_date", "segment_kind", "segment", "rows", "sales_units", "error_units",
    "absolute_error_units", "pinball_loss_units", "quantile_rows", "inside_80_rows",
)  # fmt: skip
PAIRED: Final = ""
NOT_MEASURED: Final = "not measured"
OTHER_ROWS: Final = "not the same rows"


@dataclass(frozen=True)
class PairedDay:
    """One target date of one step.

    Attributes:
        target_date: The day.
        champion_loss: Summed loss in units; None without a pair.
        challenger_loss: Likewise, over the same rows.
        no_pair: Why there is no pair; empty if there is one.
    """

    target_date: date
    champion_loss: Decimal | None = None
    challenger_loss: Decimal | None = None
    no_pair: str = PAIRED


def compared_rows(accuracy: pl.LazyFrame, trial: Challenge) -> pl.LazyFrame:
    """Keep what is compared: both versions' runs as first published, at the level of SKU and store.

    A correction knows more than the run that it corrects, so revisions from 1 are no evidence.

    Args:
        accuracy: Contract `forecast_accuracy`.
        trial: Which versions, and the horizon of their runs.
    """
    return accuracy.filter(
        pl.col("cadence") == trial.cadence,
        pl.col("model_version").is_in([trial.champion_version, trial.model_version]),
        pl.col("forecast_horizon") == trial.rules.forecast_horizon,
        pl.col("revision") == 0,
        pl.col("product_level") == "sku",
        pl.col("store_level") == "store",
    ).select(READ_OF_ACCURACY)


def paired_days(compared: pl.DataFrame, trial: Challenge, step: int, days: Sequence[date]) -> list[PairedDay]:
    """Pair the losses of one step, by target date.

    Args:
        compared: Rows of ``compared_rows``.
        trial: Which versions, and which loss.
        step: Days ahead.
        days: Target dates that were measured.

    Returns:
        Every day from the trial's first to the last of ``days``.
    """
    rows = compared.filter(pl.col("step") == step, pl.col("segment_kind") == "all").to_dicts()
    said = {(row["target_date"], row["model_version"]): row for row in rows}
    measured = set(days)
    last = max(measured, default=trial.first_day - timedelta(days=1))
    every = (trial.first_day + timedelta(days=at) for at in range((last - trial.first_day).days + 1))
    return [
        _paired(day, trial, said.get((day, trial.champion_version)), said.get((day, trial.model_version)))
        if day in measured
        else PairedDay(day, no_pair=NOT_MEASURED)
        for day in every
    ]


def _paired(
    day: date, trial: Challenge, champion: dict[str, Any] | None, challenger: dict[str, Any] | None
) -> PairedDay:
    missing = [
        version
        for version, row in ((trial.champion_version, champion), (trial.model_version, challenger))
        if row is None
    ]
    if champion is None or challenger is None:
        return PairedDay(day, no_pair=f"no run of {' and '.join(missing)}")
    if any(champion[name] != challenger[name] for name in ("rows", "sales_units", "quantile_rows")):
        return PairedDay(day, no_pair=OTHER_ROWS)
    loss = LOSSES[trial.rules.loss]
    return PairedDay(day, champion[loss], challenger[loss])
