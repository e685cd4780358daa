"""The stage that applies overrides of planners and rules of the policy to reconciled forecasts.

What belongs here: from a run's reconciled forecasts to what moved them. What does not: which override moves a row
(overrides), recording overrides, or Dagster.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import FORECAST_OVERRIDES, RECONCILED_FORECASTS, SERIES_STEP_KEY
from forecast_assets.core.errors import first_ten
from forecast_assets.core.quantities import SCALE, from_units
from forecast_assets.history.events import store_events_ahead
from forecast_assets.overrides.applying import Effect, Instruction, apply_instructions
from forecast_assets.overrides.effects import Told, overrides_frame
from forecast_assets.overrides.instructions import EARLIER, AppliedSet, Instructions, ScopeRows, instructions, within
from forecast_assets.scoring.context import RunContext, policy_facts
from forecast_assets.scoring.stage import StageResult, Summary

OF_RECONCILED: Final = (*SERIES_STEP_KEY, "target_date", "reconciled_units")


def override(run: RunContext) -> StageResult:
    """Apply to the forecasts of a run what planners and rules say of them.

    Raises:
        NotStagedError: If there are no reconciled forecasts.
    """
    reconciled = run.upstream(RECONCILED_FORECASTS.name)
    sets = run.applied_sets
    found = instructions_of(run, sets)
    rows = run.read(reconciled, OF_RECONCILED)
    shape = run.hierarchy.series.height, run.key.forecast_horizon
    applied = apply_instructions(from_units(rows["reconciled_units"]).reshape(shape), [*found.told])
    frame = overrides_frame(rows, applied.effects, found.told)
    return StageResult(
        {FORECAST_OVERRIDES.name: frame},
        {**run.inputs, RECONCILED_FORECASTS.name: reconciled.version},
        {**run.facts, **policy_facts(run.policy), **_facts(run, sets)},
        partial(_summary, frame, applied.effects, found),
    )


def _facts(run: RunContext, sets: Sequence[AppliedSet]) -> dict[str, Any]:
    earlier = {EARLIER: [each.body() for each in sets[:-1]]} if len(sets) > 1 else {}
    observed = {"observed_until": run.sold_until.isoformat()} if run.key.revision else {}
    return {"overrides": list(sets[-1].overrides), **earlier, **observed}


def instructions_of(run: RunContext, sets: Sequence[AppliedSet]) -> Instructions:
    """Return what moves the rows of a run.

    Args:
        run: The run.
        sets: Which overrides and rules move which days, oldest days first.
    """
    told: dict[Instruction, Told] = {}
    first, found, rows_of = 0, Instructions({}), ScopeRows(run.hierarchy)
    for each in sets:
        end = run.key.forecast_horizon if each.until is None else (each.until - run.key.prediction_date).days
        found = within(_instructions(run, each, rows_of), first, end)
        told |= found.told
        first = end
    return Instructions(told, found.without_rows)


def _instructions(run: RunContext, of: AppliedSet, rows_of: ScopeRows) -> Instructions:
    rules = run.policy_of(of.policy).policy.planning
    horizon, stores = run.key.forecast_horizon, run.hierarchy.series["store_id"]
    events = store_events_ahead(run.history, stores, horizon) if rules.event_uplifts else None
    planned = run.overrides_called(of.overrides)
    return instructions(planned, rules, rows_of, run.key.prediction_date, horizon, events)


def _summary(frame: pl.DataFrame, effects: tuple[Effect, ...], found: Instructions) -> Summary:
    acted = pl.col("superseded_by") == ""
    moved = (pl.col("after_units") - pl.col("before_units")).cast(pl.Float64)
    each = frame.group_by("override_id", "scope", "form", "value", "by", "reason").agg(
        rows=pl.len(), rows_moved=(acted & (moved != 0)).sum(), units=moved.sum().round(3)
    )
    lacking = [(effect.instruction.name, float(effect.unmet.sum()) / SCALE) for effect in effects if effect.unmet.any()]
    return {
        "overrides_and_rules": each.sort("override_id"),
        "units_moved_in_all": float(frame.select(moved.sum()).item() or 0.0),
        **({"not_reached": pl.DataFrame(lacking, ["override_id", "units"], orient="row")} if lacking else {}),
        **({"of_no_series": first_ten(each.id for each in found.without_rows)} if found.without_rows else {}),
    }
