"""From what planners and the policy say to what moves the rows of a run.

What belongs here: which overrides are in force for a run, which rows a node has, and the rules of the policy. What does
not: the order in which they act (applying), or what is recorded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Rows
from forecast_assets.core.keys import RunKey
from forecast_assets.core.overrides import CAP, FLOOR, PERCENT, TOTAL, Scope
from forecast_assets.core.policy import PlanningRules, ProductRule
from forecast_assets.core.quantities import SCALE
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.overrides.applying import Instruction, Turn
from forecast_assets.overrides.effects import Told
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.override import PlannedOverride, PlannedOverrides
from resources.ledger.entries.policy import Policies

UPLIFT_RULE: Final = "event_uplift"
PRESENTATION_RULE: Final = "minimum_presentation"
POLICY: Final = "policy"
EARLIER: Final = "earlier_overrides"
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


@dataclass(frozen=True)
class AppliedSet:
    """Overrides and rules that move days of a run up to one.

    A revision leaves days that have been sold as the revision before had them, so that nobody takes back afterwards
    what did not come true, or says what did.

    Attributes:
        overrides: Ids.
        policy: Version of the policy whose rules hold; empty where nobody had applied any.
        until: Last target date; None for all further ones.
    """

    overrides: tuple[str, ...]
    policy: str
    until: date | None = None

    def body(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        until = {} if self.until is None else {"until": self.until.isoformat()}
        return {"overrides": list(self.overrides), "policy": self.policy, **until}

    @classmethod
    def of_body(cls, body: Mapping[str, Any]) -> "AppliedSet":
        """Return what a manifest says."""
        until = body.get("until")
        return cls(tuple(body["overrides"]), body["policy"], date.fromisoformat(until) if until else None)


def applied_sets(facts: Mapping[str, Any]) -> tuple[AppliedSet, ...]:
    """Return what moved a run, by what the manifest of `forecast_overrides` says; the last of all further days."""
    earlier = [AppliedSet.of_body(body) for body in facts.get(EARLIER, ())]
    return (*earlier, AppliedSet(tuple(facts.get("overrides", ())), facts.get("policy", "")))


def kept_sets(before: Sequence[AppliedSet], until: date) -> tuple[AppliedSet, ...]:
    """Return what a revision keeps of what moved the revision before it: of days up to one.

    Args:
        before: Of the revision before, oldest first.
        until: Last day that is kept.
    """
    kept = [each for each in before[:-1] if each.until is not None and each.until < until]
    own = next(each for each in before if each.until is None or each.until >= until)
    return (*kept, replace(own, until=until))


def moves_ahead(of: AppliedSet, state: FoldedState, key: RunKey, sold_until: date) -> tuple[list[str], Any]:
    """Return what of overrides and rules moves days of a run that are not sold yet: ids, and rules.

    Args:
        of: Which are meant.
        state: Where they are recorded.
        key: The run.
        sold_until: Newest day with sales.
    """
    planned = state.part(PlannedOverrides)
    last_step = (sold_until - key.prediction_date).days
    own = [
        name
        for name in of.overrides
        if days_of(planned.require(name), key.prediction_date, key.forecast_horizon).stop > max(last_step, 0)
    ]
    rules = state.part(Policies).require(of.policy).policy.planning
    return own, (rules.event_uplifts, rules.minimum_presentation)


class ScopeRows:
    """The series below nodes; what is asked for again costs no look at all of them.

    Args:
        hierarchy: Of n series.

    Attributes:
        hierarchy: As given.
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        self.hierarchy = hierarchy
        self._levels = {
            **{("product", level.name): level for level in hierarchy.product_levels},
            **{("store", level.name): level for level in hierarchy.store_levels},
        }
        self._nodes: dict[tuple[str, str], dict[str, Rows]] = {}

    def __call__(self, scope: Scope) -> Rows:
        """[k] Return the series below a node, rising; none if the hierarchy has no such node."""
        of_product = self._members("product", scope.product_level, scope.product_node)
        of_store = self._members("store", scope.store_level, scope.store_node)
        if of_product is None or of_store is None:
            known = of_store if of_product is None else of_product
            return np.arange(self.hierarchy.series.height) if known is None else known
        return np.intersect1d(of_product, of_store, assume_unique=True)

    def _members(self, side: str, name: str, node: str) -> Rows | None:
        """[k] Series below a node of a dimension; None where they are all."""
        if name == TOTAL and node == TOTAL:
            return None
        level = self._levels.get((side, name))
        if level is None:
            return np.zeros(0, dtype=np.int64)
        if (side, name) not in self._nodes:
            order = np.argsort(level.code, kind="stable")
            ends = np.searchsorted(level.code[order], np.arange(1, len(level.nodes)))
            self._nodes[side, name] = dict(zip(level.nodes, np.split(order, ends), strict=True))
        return self._nodes[side, name].get(node, np.zeros(0, dtype=np.int64))


def instructions(
    overrides: Sequence[PlannedOverride],
    rules: PlanningRules,
    rows_of: ScopeRows,
    prediction_date: date,
    horizon: int,
    events: pl.DataFrame | None = None,
) -> Instructions:
    """Return what moves the rows of a run.

    Args:
        overrides: Those in force, oldest first; see `in_force`.
        rules: Of the policy.
        rows_of: The run's series below nodes.
        prediction_date: Of the run.
        horizon: Its days ahead.
        events: `event_name, store_id, target_date` of the days ahead; None without such a feed.
    """
    told: dict[Instruction, Told] = {}
    without = []
    for age, planned in enumerate(overrides):
        each = _of_planner(planned, rows_of, days_of(planned, prediction_date, horizon), age)
        if each is None:
            without.append(planned)
            continue
        said = planned.override
        told[each] = Told(str(said.scope), said.value, planned.by, said.reason, said.note)
    told |= dict(_uplifts(rules.event_uplifts, rows_of, prediction_date, horizon, events))
    told |= dict(_presentations(rules.minimum_presentation, rows_of, horizon))
    return Instructions(told, tuple(without))


def within(found: Instructions, first: int, end: int) -> Instructions:
    """Return what moves some days of a run.

    Args:
        found: What moves all of them.
        first: First step, from 0.
        end: Step after the last.
    """
    told = {}
    for each, of in found.told.items():
        days = each.days[(each.days >= first) & (each.days < end)]
        if len(days):
            told[replace(each, days=days)] = of
    return Instructions(told, found.without_rows)


def _of_planner(planned: PlannedOverride, rows_of: ScopeRows, days: range, age: int) -> Instruction | None:
    said = planned.override
    series = rows_of(said.scope)
    if not len(series):
        return None
    turn = Turn.LISTING if said.is_listing else _TURNS.get(said.form, Turn.VALUE)
    return Instruction(planned.id, turn, said.form, millionths(said.value), series, np.array(days), age)


def _uplifts(
    texts: Sequence[str],
    rows_of: ScopeRows,
    prediction_date: date,
    horizon: int,
    events: pl.DataFrame | None,
) -> Iterable[tuple[Instruction, Told]]:
    for text in texts if events is not None else ():
        rule = ProductRule.parse(text)
        named = events.filter(event_name=rule.event)  # type: ignore[union-attr]
        own = _of_rule(rule, rows_of)
        stores = rows_of.hierarchy.series["store_id"].to_numpy()
        # Stores that have the event on the same days are moved together.
        for days, of_stores in _by_days(named, prediction_date, horizon):
            series = own[np.isin(stores[own], of_stores)]
            if len(series):
                each = Instruction(
                    f"{UPLIFT_RULE} {text}", Turn.UPLIFT, PERCENT, millionths(rule.value), series, days, each=True
                )
                yield each, Told(_scope_text(rule), rule.value, POLICY, UPLIFT_RULE, rule.event, is_rule=True)


def _by_days(named: pl.DataFrame, prediction_date: date, horizon: int) -> Iterable[tuple[Rows, np.ndarray]]:
    steps = (pl.col("target_date") - prediction_date).dt.total_days() - 1
    own = named.select("store_id", step=steps).filter(pl.col("step").is_between(0, horizon - 1)).unique()
    days = own.group_by("store_id").agg(pl.col("step").sort()).sort("store_id")
    for steps_of, stores in days.group_by("step", maintain_order=True).agg("store_id").iter_rows():
        yield np.array(steps_of), np.array(stores)


def _presentations(texts: Sequence[str], rows_of: ScopeRows, horizon: int) -> Iterable[tuple[Instruction, Told]]:
    for text in texts:
        rule = ProductRule.parse(text)
        series = _of_rule(rule, rows_of)
        if len(series):
            each = Instruction(
                f"{PRESENTATION_RULE} {text}", Turn.PRESENTATION, FLOOR, millionths(rule.value), series,
                np.arange(horizon), each=True,
            )  # fmt: skip
            yield each, Told(_scope_text(rule), rule.value, POLICY, PRESENTATION_RULE, is_rule=True)


def _of_rule(rule: ProductRule, rows_of: ScopeRows) -> Rows:
    return rows_of(Scope(rule.level, rule.node, TOTAL, TOTAL))


def _scope_text(rule: ProductRule) -> str:
    return f"each series of {rule.level} {rule.node}" if rule.level != TOTAL else "each series"


def millionths(value: str) -> int:
    """Return a value of an override or rule, as whole millionths of a unit or a percent; 0 of an empty one."""
    return int(Decimal(value or 0) * SCALE)
