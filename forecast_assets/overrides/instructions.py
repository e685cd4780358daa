"""From what planners and the policy say to what moves the rows of a run.

What belongs here: which overrides are in force for a run, which rows a node has, and the rules of the policy. What does
not: the order in which they act (applying), or what is recorded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Bools, Rows
from forecast_assets.core.overrides import CAP, FLOOR, PERCENT, TOTAL, Scope
from forecast_assets.core.policy import PlanningRules, ProductRule
from forecast_assets.core.quantities import SCALE
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.overrides.applying import Instruction, Turn
from forecast_assets.overrides.effects import Told
from resources.ledger.entries.override import PlannedOverride

UPLIFT_RULE: Final = "event_uplift"
PRESENTATION_RULE: Final = "minimum_presentation"
POLICY: Final = "policy"
_TURNS: Final = {FLOOR: Turn.FLOOR, CAP: Turn.CAP}


@dataclass(frozen=True)
class Instructions:
    """What moves the rows of a run.

    Attributes:
        told: What is told of each instruction.
        without_rows: Overrides that are in force for the run's days, whose node has no series in it.
    """

    told: Mapping[Instruction, Told]
    without_rows: tuple[PlannedOverride, ...] = ()


def in_force(overrides: Iterable[PlannedOverride], prediction_date: date, horizon: int) -> list[PlannedOverride]:
    """Return the overrides that are about a day of a run, oldest first.

    Args:
        overrides: In the order of the ledger.
        prediction_date: Of the run.
        horizon: Its days ahead.
    """
    return [each for each in overrides if each.is_in_force and days_of(each, prediction_date, horizon)]


def days_of(planned: PlannedOverride, prediction_date: date, horizon: int) -> range:
    """Return the steps of a run, from 0, that an override may move: those not yet observed when it was made."""
    said = planned.override
    if said.expires_on is not None and prediction_date > said.expires_on:
        return range(0)
    first = max(said.first_date, planned.observed_until + timedelta(days=1), prediction_date + timedelta(days=1))
    last = min(said.last_date, prediction_date + timedelta(days=horizon))
    start = (first - prediction_date).days - 1
    return range(start, start + max((last - first).days + 1, 0))


def rows_of_scope(scope: Scope, hierarchy: Hierarchy) -> Rows:
    """[k] Return the series below a node; none if the hierarchy has no such node."""
    of_product = _members(hierarchy, "product_levels", scope.product_level, scope.product_node)
    of_store = _members(hierarchy, "store_levels", scope.store_level, scope.store_node)
    return np.flatnonzero(of_product & of_store)


def _members(hierarchy: Hierarchy, levels: str, name: str, node: str) -> Bools:
    for level in getattr(hierarchy, levels):
        if level.name == name and node in level.nodes:
            return np.asarray(level.code == level.nodes.index(node))
    return np.zeros(hierarchy.series.height, dtype=np.bool_)


def instructions(
    overrides: Sequence[PlannedOverride],
    rules: PlanningRules,
    hierarchy: Hierarchy,
    prediction_date: date,
    horizon: int,
    events: pl.DataFrame | None = None,
) -> Instructions:
    """Return what moves the rows of a run.

    Args:
        overrides: Those in force, oldest first; see `in_force`.
        rules: Of the policy.
        hierarchy: Of the run's series.
        prediction_date: Of the run.
        horizon: Its days ahead.
        events: `event_name, store_id, target_date` of the days ahead; None without such a feed.
    """
    told: dict[Instruction, Told] = {}
    without = []
    for age, planned in enumerate(overrides):
        each = _of_planner(planned, hierarchy, days_of(planned, prediction_date, horizon), age)
        if each is None:
            without.append(planned)
            continue
        said = planned.override
        told[each] = Told(str(said.scope), said.value, planned.by, said.reason, said.note)
    told |= dict(_uplifts(rules.event_uplifts, hierarchy, prediction_date, horizon, events))
    told |= dict(_presentations(rules.minimum_presentation, hierarchy, horizon))
    return Instructions(told, tuple(without))


def _of_planner(planned: PlannedOverride, hierarchy: Hierarchy, days: range, age: int) -> Instruction | None:
    said = planned.override
    series = rows_of_scope(said.scope, hierarchy)
    if not len(series):
        return None
    turn = Turn.LISTING if said.is_listing else _TURNS.get(said.form, Turn.VALUE)
    return Instruction(planned.id, turn, said.form, _millionths(said.value), series, np.array(days), age)


def _uplifts(
    texts: Sequence[str], hierarchy: Hierarchy, prediction_date: date, horizon: int, events: pl.DataFrame | None
) -> Iterable[tuple[Instruction, Told]]:
    for text in texts if events is not None else ():
        rule = ProductRule.parse(text)
        named = events.filter(event_name=rule.event)  # type: ignore[union-attr]
        own = _of_rule(rule, hierarchy)
        stores = hierarchy.series["store_id"].to_numpy()
        # Stores that have the event on the same days are moved together.
        for days, of_stores in _by_days(named, prediction_date, horizon):
            series = own[np.isin(stores[own], of_stores)]
            if len(series):
                each = Instruction(
                    f"{UPLIFT_RULE} {text}", Turn.UPLIFT, PERCENT, _millionths(rule.value), series, days, each=True
                )
                yield each, Told(_scope_text(rule), rule.value, POLICY, UPLIFT_RULE, rule.event, is_rule=True)


def _by_days(named: pl.DataFrame, prediction_date: date, horizon: int) -> Iterable[tuple[Rows, np.ndarray]]:
    steps = (pl.col("target_date") - prediction_date).dt.total_days() - 1
    own = named.select("store_id", step=steps).filter(pl.col("step").is_between(0, horizon - 1)).unique()
    days = own.group_by("store_id").agg(pl.col("step").sort()).sort("store_id")
    for steps_of, stores in days.group_by("step", maintain_order=True).agg("store_id").iter_rows():
        yield np.array(steps_of), np.array(stores)


def _presentations(texts: Sequence[str], hierarchy: Hierarchy, horizon: int) -> Iterable[tuple[Instruction, Told]]:
    for text in texts:
        rule = ProductRule.parse(text)
        series = _of_rule(rule, hierarchy)
        if len(series):
            each = Instruction(
                f"{PRESENTATION_RULE} {text}", Turn.PRESENTATION, FLOOR, _millionths(rule.value), series,
                np.arange(horizon), each=True,
            )  # fmt: skip
            yield each, Told(_scope_text(rule), rule.value, POLICY, PRESENTATION_RULE, is_rule=True)


def _of_rule(rule: ProductRule, hierarchy: Hierarchy) -> Rows:
    return rows_of_scope(Scope(rule.level, rule.node, TOTAL, TOTAL), hierarchy)


def _scope_text(rule: ProductRule) -> str:
    return f"each series of {rule.level} {rule.node}" if rule.level != TOTAL else "each series"


def _millionths(value: str) -> int:
    return int(Decimal(value or 0) * SCALE)
