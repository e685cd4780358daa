"""Overrides of a run as rows, and forecasts as they follow from them.

What belongs here: from effects to the product `forecast_overrides`, and from that product to moved means and quantiles;
every reader of a run's forecasts gets them here. What does not: which override moves a row (applying).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import FORECAST_OVERRIDES, QUANTILE_COLUMNS, QUANTILES, SERIES_STEP_KEY
from forecast_assets.core.arrays import Rows
from forecast_assets.core.quantities import SCALE, Millionths, from_units, to_millionths, to_units
from forecast_assets.models.reconciled_means import moved_quantiles
from forecast_assets.overrides.applying import Effect, Instruction

_ROW: Final = ("store_id", "sku_id", "step")
_WORDS: Final = ("by", "reason", "note")
_MEDIAN: Final = QUANTILES.index(0.5)
# Up to so many times a mean, days without a sale stay as likely as they were.
_MOST_SCALED: Final = 2


@dataclass(frozen=True)
class Told:
    """What is told of an instruction beside what it did.

    Attributes:
        scope: Its node, in words.
        value: As it was given.
        by: Who said so; `policy` of rules.
        reason: Code of the reason, or name of the rule.
        note: Free words.
        is_rule: Whether a rule of the policy did it.
    """

    scope: str
    value: str
    by: str
    reason: str
    note: str = ""
    is_rule: bool = False


def overrides_frame(
    reconciled: pl.DataFrame, effects: Sequence[Effect], told: Mapping[Instruction, Told]
) -> pl.DataFrame:
    """Return what overrides and rules did, row by row.

    Args:
        reconciled: `SERIES_STEP_KEY, target_date, reconciled_units` of `reconciled_forecasts`, n x H rows, sorted.
        effects: What each did, in the order in which they acted; of these n x H rows.
        told: What is told of each instruction.

    Returns:
        Contract `forecast_overrides`, sorted by store, SKU, step and application.
    """
    if not effects:
        return pl.DataFrame(schema=FORECAST_OVERRIDES.schema)
    steps = int(reconciled["step"].max() or 1)  # type: ignore[arg-type]
    said = [told[effect.instruction] for effect in effects]
    names = [effect.instruction.name for effect in effects]
    about = pl.DataFrame(
        {
            "override_id": names,
            "form": [effect.instruction.form for effect in effects],
            **{name: [getattr(each, name) for each in said] for name in ("is_rule", "scope", "value", *_WORDS)},
        },
        schema_overrides=dict.fromkeys(("override_id", "form", "scope", "value", *_WORDS), pl.String),
    )
    cells = [_cells(effect.instruction, steps) for effect in effects]
    which = np.repeat(np.arange(len(effects)), [len(each) for each in cells])
    movers = np.concatenate([effect.moved_by.ravel() for effect in effects])
    keys = reconciled.select(*SERIES_STEP_KEY, "target_date", model_units="reconciled_units")[np.concatenate(cells)]
    rows = pl.concat([keys, about[which]], how="horizontal").with_columns(
        to_units(np.concatenate([effect.before.ravel() for effect in effects]), "before_units"),
        to_units(np.concatenate([effect.after.ravel() for effect in effects]), "after_units"),
        pl.Series("superseded_by", ["", *names], dtype=pl.String).gather(movers + 1),
    )
    # A rule is about all series of its node every day, and is told where it did something.
    told_rows = rows.filter(~pl.col("is_rule") | (pl.col("after_units") != pl.col("before_units")))
    ordered = told_rows.sort(*_ROW, maintain_order=True)
    numbered = ordered.with_columns(application=pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over(_ROW))
    return FORECAST_OVERRIDES.conform(numbered)


def _cells(each: Instruction, steps: int) -> Rows:
    """[k x d] Places of an instruction's rows among n x H."""
    return np.asarray((each.series[:, None] * steps + each.days[None, :]).ravel())


def overridden(reconciled: pl.DataFrame, overrides: pl.DataFrame | None) -> pl.DataFrame:
    """Return reconciled forecasts with what is published of them: means and quantiles as overrides moved them.

    Args:
        reconciled: Columns of `reconciled_forecasts` with `store_id, sku_id, step, reconciled_units`; quantiles follow
            where they are among them.
        overrides: `forecast_overrides` of the same run; None where there is no such product.

    Returns:
        The same rows with `forecast_units` besides; see `following_quantiles`.
    """
    model = from_units(reconciled["reconciled_units"])
    if overrides is None or overrides.is_empty():
        return with_forecasts(reconciled, model)
    last = overrides.group_by(_ROW).agg(pl.col("after_units").sort_by("application").last())
    moved = reconciled.select(_ROW).with_row_index("row").join(last, on=_ROW, maintain_order="left")
    forecast = model.copy()
    forecast[moved["row"].to_numpy()] = from_units(moved["after_units"])
    return with_forecasts(reconciled, forecast)


def with_forecasts(reconciled: pl.DataFrame, forecast: Millionths) -> pl.DataFrame:
    """Return reconciled forecasts with what is published of them; quantiles follow where they are among the columns.

    Args:
        reconciled: Columns of `reconciled_forecasts`, `reconciled_units` among them.
        forecast: Published mean of each row.
    """
    model = from_units(reconciled["reconciled_units"])
    rows = np.flatnonzero(forecast != model)
    names = [name for name in QUANTILE_COLUMNS if name in reconciled.columns] if len(rows) else []
    columns = []
    if names:
        of_model = np.stack([from_units(reconciled[name])[rows] for name in names], axis=1)
        quantiles = following_quantiles(of_model, model[rows], forecast[rows])
        columns = [_with(reconciled[name], rows, quantiles[:, at]) for at, name in enumerate(names)]
    return reconciled.with_columns(to_units(forecast, "forecast_units"), *columns)


def carried_over_overrides(model: Millionths, published_model: Millionths, published: Millionths) -> Millionths:
    """Return what overrides of a published run make of other forecasts of the same rows.

    Args:
        model: Other untouched forecasts; any shape, the same of all three.
        published_model: The untouched forecasts of the run.
        published: What it published.

    Returns:
        By as many percent more or less as in the run, by as many units where the run's untouched forecast is zero; what
        was published where the untouched forecast is the run's.

    Example:
        >>> carried_over_overrides(np.array([10, 4, 0]), np.array([5, 4, 0]), np.array([6, 9, 7])).tolist()
        [12, 9, 7]
    """
    ratio = np.divide(published, published_model, out=np.ones(np.shape(model)), where=published_model > 0)
    scaled = np.where(published_model > 0, np.rint(model * ratio).astype(np.int64), model + published)
    return np.asarray(np.where(model == published_model, published, scaled))


def _with(column: pl.Series, rows: Rows, values: Millionths) -> pl.Series:
    millionths = from_units(column)
    millionths[rows] = values
    return to_units(millionths, column.name)


def following_quantiles(quantiles: Millionths, model: Millionths, forecast: Millionths) -> Millionths:
    """Return quantiles as they follow an overridden mean.

    Args:
        quantiles: [k, 13] of the model, at the levels `contracts.QUANTILES`.
        model: [k] the model's mean.
        forecast: [k] the overridden mean.

    Returns:
        [k, 13] scaled by the one over the other; of a Poisson distribution where there is nothing to scale: the model's
        mean is zero, or its median is while the overridden mean is a unit or more and over twice the model's.

    Example:
        >>> following_quantiles(np.full((1, 13), 3 * SCALE), np.array([SCALE]), np.array([2 * SCALE]))[0, 0]
        6000000
    """
    is_rare = (quantiles[:, _MEDIAN] == 0) & (forecast >= SCALE) & (forecast > _MOST_SCALED * model)
    is_new = (forecast > 0) & ((model == 0) | is_rare)
    moved = quantiles.copy()
    moved[~is_new] = moved_quantiles(quantiles[~is_new], model[~is_new, None], forecast[~is_new, None])
    if is_new.any():
        from scipy.stats import poisson

        moved[is_new] = to_millionths(poisson.ppf(np.array(QUANTILES), forecast[is_new, None] / SCALE))
    return moved
