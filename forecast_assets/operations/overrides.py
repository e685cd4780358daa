"""Overrides: what one would do, recording it, and deciding about it.

What belongs here: holding what planners say against a published run and against what others have said, before anything
is recorded. What does not: how overrides act (forecast_assets.overrides), a new revision (use_cases), or printing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property, partial
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import FORECAST_EXPLANATIONS, NODE_KEY, RECONCILED_FORECASTS
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.arrays import Rows
from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import InputError, LostRaceError, NothingToCorrectError, NotReadyError, first_ten
from forecast_assets.core.keys import DAILY, RunKey
from forecast_assets.core.overrides import CAP, FLOOR, Override, Scope, require_sound
from forecast_assets.core.quantities import SCALE, Millionths, from_units, to_units
from forecast_assets.corrections.restatements import newest_revisions, source_snapshot
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.hierarchy.membership import PRODUCT, STORE
from forecast_assets.history import History
from forecast_assets.history.events import store_events_ahead
from forecast_assets.history.observed import observed_until
from forecast_assets.operations.policies import policy_in_force
from forecast_assets.overrides.applying import Applied, Effect, Instruction, Turn, apply_instructions
from forecast_assets.overrides.instructions import (
    AppliedSet,
    ScopeRows,
    days_of,
    in_force,
    instructions,
    millionths,
    moves_ahead,
)
from forecast_assets.scoring.context import applied_sets_of, build_hierarchy, read_rows
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.override import (
    OVERRIDE,
    RECORDED,
    OverrideRecord,
    PlannedOverride,
    PlannedOverrides,
)
from resources.ledger.entries.override_decision import OVERRIDE_DECISION, OverrideDecision
from resources.ledger.entries.publish import Publication
from resources.ledger.log import Ledger
from resources.stores.home import Stores

_NEW: Final = "new-"
# In millionths; sums of a run have to fit 18 digits.
_MOST_IN_ALL: Final = 10.0**17
_CHAMPION: Final = "champion"


@dataclass(frozen=True)
class PlannedRun:
    """A published run, as overrides are held against it.

    Attributes:
        publication: The run.
        hierarchy: Of its n series.
        model: [n, H] the untouched forecast, millionths.
        events: `event_name, store_id, target_date` of the days ahead; None without such a feed.
    """

    publication: Publication
    hierarchy: Hierarchy
    model: Millionths
    events: pl.DataFrame | None

    @classmethod
    def of(cls, stores: Stores, publication: Publication) -> "PlannedRun":
        """Read what is needed of a published run."""
        store, key = stores.predictions, publication.key
        snapshot = source_snapshot(stores, publication.products)
        history = History.of(snapshot, stores.observations)
        explained = store.version(publication.products[FORECAST_EXPLANATIONS.name])
        reconciled = store.version(explained.inputs[RECONCILED_FORECASTS.name])
        units = read_rows(store, reconciled, ["reconciled_units"])["reconciled_units"]
        hierarchy = build_hierarchy(store.read(snapshot, SERIES_KEY), history)
        events = store_events_ahead(history, hierarchy.series["store_id"], key.forecast_horizon)
        return cls(publication, hierarchy, from_units(units).reshape(-1, key.forecast_horizon), events)

    @property
    def key(self) -> RunKey:
        """The run."""
        return self.publication.key

    @cached_property
    def rows_of(self) -> ScopeRows:
        """The series below a node."""
        return ScopeRows(self.hierarchy)

    def applied(self, stores: Stores, planned: Sequence[PlannedOverride]) -> Applied:
        """Return its forecasts as overrides, and the rules of today's policy, move them."""
        key, rules = self.key, policy_in_force(stores.ledger).policy.planning
        found = instructions(planned, rules, self.rows_of, key.prediction_date, key.forecast_horizon, self.events)
        return apply_instructions(self.model, [*found.told])


@dataclass(frozen=True)
class OverrideEffect:
    """What one override would do to a run.

    Attributes:
        override: What is said.
        series: Series of its node.
        rows: Rows of the run that it is about.
        rows_moved: Those of them that it moves.
        model_units: What the model says of these rows, units.
        before_units: What they are with all that is in force, published or not.
        after_units: What they would be.
        unmet_units: What its node lacks of what it asks for, below zero where it has too much, since others have fixed
            its rows.
        superseded_by: Ids of overrides that keep rows from it: narrower or newer ones, and items that are not sold.
        keeps_from: Ids of overrides in force from which it takes rows.
        multiplied_uplifts: Uplifts of events of which two or more are about one of its rows, and so multiply.
    """

    override: Override
    series: int
    rows: int
    rows_moved: int
    model_units: float
    before_units: float
    after_units: float
    unmet_units: float
    superseded_by: tuple[str, ...] = ()
    keeps_from: tuple[str, ...] = ()
    multiplied_uplifts: tuple[str, ...] = ()

    @property
    def change_percent(self) -> float:
        """Change of what is forecast of its rows, in percent; infinite where nothing was."""
        if self.after_units == self.before_units:
            return 0.0
        return (self.after_units / self.before_units - 1) * 100 if self.before_units else float("inf")


@dataclass(frozen=True)
class OverridePreview:
    """What overrides would do to a published run, before anything is recorded.

    Attributes:
        key: The run.
        seen: Ledger entry that it was computed at.
        effects: Of each override, in the order in which they were given.
        nodes: What becomes of each node above SKU-store that changes: `NODE_KEY, target_date, model_units,
            before_units, after_units`, sorted.
        rows: The same of each series: `store_id, sku_id, target_date, ...`.
        unusual: Indices of effects that are larger than the policy lets pass unasked.
        largest_percent: That bound.
    """

    key: RunKey
    seen: int
    effects: tuple[OverrideEffect, ...]
    nodes: pl.DataFrame
    rows: pl.DataFrame
    unusual: tuple[int, ...]
    largest_percent: float

    @cached_property
    def levels(self) -> pl.DataFrame:
        """One row per pair of levels: `product_level, store_level, nodes, model_units, before_units, after_units`."""
        units = [pl.col(name).sum() for name in ("model_units", "before_units", "after_units")]
        counted = pl.struct("product_node", "store_node").n_unique().alias("nodes")
        above = self.nodes.group_by("product_level", "store_level", maintain_order=True).agg(counted, *units)
        own = self.rows.select(
            pl.lit(PRODUCT).alias("product_level"),
            pl.lit(STORE).alias("store_level"),
            pl.struct(SERIES_KEY).n_unique().alias("nodes"),
            *units,
        )
        return pl.concat([above, own])


def newest_run(stores: Stores, key: RunKey | None = None) -> Publication:
    """Return the run that overrides are held against: the newest revision of the one that is named.

    By default that is the newest daily run of the champion, or of whichever version has the newest if none is champion.

    Raises:
        NotPublishedError: If nothing is published under the key.
        NotReadyError: If no daily run is published at all.
    """
    if key is not None:
        stores.predictions.publication(replace(key, revision=0))
        return stores.predictions.revisions(key)[-1]
    state = stores.ledger.state()
    champion = state.channel(_CHAMPION)
    runs = newest_revisions(state, cadence=DAILY.name)
    own = [run for run in runs if run.key.model_version == champion]
    if not runs:
        raise NotReadyError(
            "No daily run is published yet, so there is no forecast to override.",
            remedy=Sentence("Publish one: ", Action("run", {"cadence": DAILY.name, "date": "DATE"}), "."),
        )
    return (own or runs)[0]


def require_other_overrides(stores: Stores, published: Publication) -> None:
    """Refuse a revision for overrides where those in force are the ones that a run has.

    Raises:
        NothingToCorrectError: If so.
    """
    key, state, sold = published.key, stores.ledger.state(), observed_until(stores)
    before = applied_sets_of(stores.predictions, published.products)[-1]
    now = acting_overrides(stores.ledger, key)
    policy = policy_in_force(stores.ledger)
    own = AppliedSet(tuple(each.id for each in now), policy.version if policy.sequence else "")
    is_past = sold >= key.prediction_date + timedelta(days=key.forecast_horizon)
    if is_past or moves_ahead(before, state, key, sold) == moves_ahead(own, state, key, sold):
        why = "all of its days are past" if is_past else "it has all that moves its days to come"
        raise NothingToCorrectError(
            f"There is nothing to revise in {key}: {why}.",
            remedy=Sentence("See which overrides are in force: ", Action("overrides list"), "."),
            key=key,
        )


def overrides_of(ledger: Ledger) -> list[PlannedOverride]:
    """Return all overrides as they stand, oldest first."""
    return [*ledger.state().part(PlannedOverrides).by_id.values()]


def acting_overrides(ledger: Ledger, key: RunKey) -> list[PlannedOverride]:
    """Return the overrides in force that are about some day of a run, oldest first."""
    return in_force(overrides_of(ledger), key.prediction_date, key.forecast_horizon)


def current_overrides(stores: Stores) -> list[PlannedOverride]:
    """Return the overrides that move days to come, or wait for approval of that, oldest first."""
    past = observed_until(stores)
    return [
        each
        for each in overrides_of(stores.ledger)
        if each.is_open
        and each.override.last_date > past
        and (each.override.expires_on is None or each.override.expires_on >= past)
    ]


def checked_overrides(stores: Stores, run: PlannedRun, given: Sequence[Override | InputError]) -> list[Override]:
    """Return overrides as they would be kept, after everything that can be wrong with one.

    Args:
        stores: Where everything is.
        run: The run that they are held against.
        given: What is said; of a row of a file that is none, why.

    Raises:
        InputError: With all that are wrong, each by its place: a form, value, reason or days that cannot be, a node
            that the run does not have, days that are past, or a floor above a cap.
    """
    reasons = policy_in_force(stores.ledger).policy.planning.reasons
    past, bounds = observed_until(stores), _Bounds(overrides_of(stores.ledger))
    wrong: list[tuple[int, InputError]] = []
    kept: list[Override] = []
    for place, each in enumerate(given, start=1):
        try:
            if isinstance(each, InputError):
                raise each
            sound = require_sound(each, reasons)
            _require_node(run, sound.scope)
            _require_ahead(sound, past)
            bounds.require(sound, f"row {place}")
        except InputError as error:
            wrong.append((place, error))
        else:
            kept.append(sound)
    if len(given) == 1 and wrong:
        raise wrong[0][1]
    if wrong:
        lines = [f"row {place}: {error.message}" for place, error in wrong]
        raise InputError(
            f"{len(wrong)} of {len(given):,} overrides are wrong, so none is recorded: {' '.join(lines[:_MOST_TOLD])}"
            f"{' ...' if len(lines) > _MOST_TOLD else ''}",
            remedy="Put these rows right, then give all of them again.",
            rows=[place for place, _ in wrong],
        )
    return kept


# More than anybody puts right one by one.
_MOST_TOLD: Final = 50


def require_named(run: PlannedRun, scope: Scope) -> None:
    """Refuse a node whose level or name a run does not have.

    Raises:
        InputError: If so, with what is near.
    """
    sides = (
        ("product", run.hierarchy.product_levels, scope.product_level, scope.product_node),
        ("store", run.hierarchy.store_levels, scope.store_level, scope.store_node),
    )
    for side, levels, name, node in sides:
        level = next((each for each in levels if each.name == name), None)
        if level is None:
            raise InputError(
                f"There is no {side} level `{name}`.",
                remedy=f"Levels are: {', '.join(each.name for each in levels)}.",
                level=name,
            )
        if node not in level.nodes:
            near = [each for each in level.nodes if each.casefold() == node.casefold()]
            raise InputError(
                f"There is no {name} `{node}` in {run.key}.",
                remedy=f"Did you mean {first_ten(near)}?" if near else f"Some of them: {first_ten(level.nodes)}.",
                node=node,
            )


def _require_node(run: PlannedRun, scope: Scope) -> None:
    if len(run.rows_of(scope)):
        return
    require_named(run, scope)
    raise InputError(f"{scope} has no series in {run.key}.", remedy="Name a node of both dimensions that sells there.")


def _require_ahead(said: Override, past: date) -> None:
    if said.last_date <= past:
        raise InputError(
            f"{said.first_date} to {said.last_date} is past: sales are known up to {past}.",
            remedy=f"Name days from {past + timedelta(days=1)} on.",
            last_date=said.last_date,
        )
    if said.expires_on is not None and said.expires_on < past:
        raise InputError(
            f"It expires on {said.expires_on}, before the run of {past}: it would move nothing.",
            remedy="Let it expire later, or never.",
            expires_on=said.expires_on,
        )


class _Bounds:
    """Floors and caps by node, so that one that contradicts another is found.

    Args:
        planned: What is recorded.
    """

    def __init__(self, planned: Sequence[PlannedOverride]) -> None:
        self._of: dict[tuple[Scope, str], list[tuple[Override, str]]] = {}
        for each in planned:
            if each.is_open:
                self._add(each.override, each.id)

    def _add(self, said: Override, name: str) -> None:
        if said.form in (FLOOR, CAP):
            self._of.setdefault((said.scope, said.form), []).append((said, name))

    def require(self, said: Override, name: str) -> None:
        """Refuse a floor above a cap of the same node and days; keep it where it is none.

        Raises:
            InputError: If so.
        """
        against = {FLOOR: CAP, CAP: FLOOR}.get(said.form, "")
        for other, other_name in self._of.get((said.scope, against), ()):
            floor, cap = (said, other) if said.form == FLOOR else (other, said)
            if said.shares_days(other) and Decimal(floor.value) > Decimal(cap.value):
                raise InputError(
                    f"{said.change_text} contradicts {other.change_text} ({other_name}): the floor is above the cap.",
                    remedy=Sentence(
                        "Withdraw the other first, or choose another value: ", Action("overrides list"), "."
                    ),
                )
        self._add(said, name)


def preview_overrides(stores: Stores, run: PlannedRun, given: Sequence[Override | InputError]) -> OverridePreview:
    """Return what overrides would do to a published run; nothing is recorded.

    Args:
        stores: Where everything is.
        run: The run.
        given: What is said.

    Raises:
        InputError: As `checked_overrides`.
    """
    sound, state, key = checked_overrides(stores, run, given), stores.ledger.state(), run.key
    past, now = observed_until(stores), acting_overrides(stores.ledger, key)
    new = [
        PlannedOverride(f"{_NEW}{place}", each, "", past, state.sequence + 1, "", RECORDED)
        for place, each in enumerate(sound, start=1)
    ]
    before, after = (
        run.applied(stores, now),
        run.applied(stores, [*now, *in_force(new, key.prediction_date, key.forecast_horizon)]),
    )
    found, uplifts = _Superseded(after.effects), _Uplifts(after.effects, run.model.shape)
    effects = tuple(_effect(run, each, found, uplifts, before.forecast, after.forecast) for each in new)
    most = policy_in_force(stores.ledger).policy.planning.largest_change_percent
    unusual = tuple(at for at, each in enumerate(new) if _is_unusual(run, each, most))
    _require_possible(after.forecast)
    return OverridePreview(key, state.sequence, effects, *_changed(run, before.forecast, after.forecast), unusual, most)


def _is_unusual(run: PlannedRun, new: PlannedOverride, most: float) -> bool:
    """Whether an override by itself changes the untouched forecast by more than the policy lets pass unasked.

    Of one whose days the run does not have, all days of the run stand in. What is taken from many series counts by the
    same bound: at 200% a third may be left.
    """
    said, key = new.override, run.key
    anywhere = replace(new, observed_until=date.min, override=replace(said, expires_on=None))
    days = days_of(anywhere, key.prediction_date, key.forecast_horizon) or range(key.forecast_horizon)
    rows = run.model[np.ix_(run.rows_of(said.scope), np.array(days))]
    every = (np.arange(len(rows)), np.arange(len(days)))
    each = Instruction(new.id, Turn.VALUE, said.form, millionths(said.value), *every)
    model, forecast = float(rows.sum()), float(apply_instructions(rows, [each]).forecast.sum())
    is_less = not said.scope.is_series and not said.is_listing and forecast * (1 + most / 100) < model
    return is_less or forecast > max(model, SCALE * len(days)) * (1 + most / 100)


def _require_possible(forecast: Millionths) -> None:
    """Refuse overrides that together are more than a sum can hold.

    Raises:
        InputError: If so.
    """
    if float(forecast.sum(dtype=np.float64)) > _MOST_IN_ALL:
        raise InputError(
            "Together with the others they are more units than sums over all series can hold.",
            remedy="Give smaller values, or name a wider node once.",
        )


class _Superseded:
    """Which instructions kept rows from which.

    Args:
        effects: Of all instructions, in the order in which they acted.
    """

    def __init__(self, effects: Sequence[Effect]) -> None:
        self.effects = {effect.instruction.name: effect for effect in effects}
        names = [*self.effects]
        self.by = {
            name: tuple(sorted(names[at] for at in np.unique(effect.moved_by) if at >= 0))
            for name, effect in self.effects.items()
        }
        self.of: dict[str, list[str]] = {}
        for name, movers in self.by.items():
            for mover in movers:
                self.of.setdefault(mover, []).append(name)


class _Uplifts:
    """Uplifts of events that meet on a row, where they multiply.

    Args:
        effects: Of all instructions.
        shape: Of the run.
    """

    def __init__(self, effects: Sequence[Effect], shape: tuple[int, ...]) -> None:
        self._places = np.full((0, *shape), False)
        lifting = [effect.instruction for effect in effects if effect.instruction.turn is Turn.UPLIFT]
        self._names = [each.name for each in lifting]
        if len(lifting) > 1:
            self._places = np.full((len(lifting), *shape), False)
            for place, each in zip(self._places, lifting, strict=True):
                place[np.ix_(each.series, each.days)] = True

    def multiplied(self, about: Instruction) -> tuple[str, ...]:
        """Return the names of those that multiply on some row of an override."""
        own = self._places[:, about.series][:, :, about.days]
        many = own.sum(axis=0) > 1
        return tuple(sorted({self._names[at] for at, place in enumerate(own) if (place & many).any()}))


def _effect(
    run: PlannedRun,
    new: PlannedOverride,
    found: _Superseded,
    uplifts: _Uplifts,
    before: Millionths,
    after: Millionths,
) -> OverrideEffect:
    said, effect = new.override, found.effects.get(new.id)
    if effect is None:
        return OverrideEffect(said, len(run.rows_of(said.scope)), 0, 0, 0.0, 0.0, 0.0, 0.0)
    cells = np.ix_(effect.instruction.series, effect.instruction.days)
    acted = effect.moved_by < 0
    return OverrideEffect(
        said,
        len(effect.instruction.series),
        acted.size,
        int((acted & (effect.after != effect.before)).sum()),
        model_units=float(run.model[cells].sum()) / SCALE,
        before_units=float(before[cells].sum()) / SCALE,
        after_units=float(after[cells].sum()) / SCALE,
        unmet_units=float(effect.unmet.sum()) / SCALE,
        superseded_by=found.by[new.id],
        keeps_from=tuple(sorted(found.of.get(new.id, ()))),
        multiplied_uplifts=uplifts.multiplied(effect.instruction),
    )


def _changed(run: PlannedRun, before: Millionths, after: Millionths) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the nodes and the series that differ, by day."""
    figures = {"model_units": run.model, "before_units": before, "after_units": after}
    touched = np.flatnonzero((before != after).any(axis=1))
    above = {name: run.hierarchy.aggregate(units) for name, units in figures.items()}
    moved = np.flatnonzero((above["before_units"] != above["after_units"]).any(axis=1))
    nodes = run.hierarchy.nodes.select(NODE_KEY)[moved]
    return (
        _by_day(run, nodes, {name: units[moved] for name, units in above.items()}).sort(*NODE_KEY, "target_date"),
        _by_day(run, run.hierarchy.series[touched], {name: units[touched] for name, units in figures.items()}),
    )


def _by_day(run: PlannedRun, names: pl.DataFrame, figures: Mapping[str, Millionths]) -> pl.DataFrame:
    days = pl.DataFrame(
        {"target_date": [run.key.prediction_date + timedelta(days=step + 1) for step in range(run.model.shape[1])]},
        schema={"target_date": pl.Date},
    )
    rows = names.join(days, how="cross", maintain_order="left_right")
    return rows.with_columns(to_units(units.ravel(), name) for name, units in figures.items()).filter(
        pl.col("before_units") != pl.col("after_units")
    )


def record_overrides(
    stores: Stores,
    given: Sequence[Override | InputError],
    *,
    by: str,
    key: RunKey | None = None,
    confirmed: bool = False,
    needs_approval: bool = False,
    seen: int | None = None,
    request: str = "",
    run: PlannedRun | None = None,
) -> tuple[OverrideRecord, OverridePreview]:
    """Record overrides, all or none: they move the next runs, and revisions that are asked for.

    Args:
        stores: Where everything is.
        given: What is said.
        by: Who says so.
        key: The run that it is held against; see `newest_run`.
        confirmed: Whether unusually large changes are meant.
        needs_approval: Whether a second person is to approve, where the policy does not ask for one anyway.
        seen: Ledger entry of the preview that was looked at; None if nobody looked.
        request: Id of the request that says so; see `recorded_by_request`.
        run: The same run as `key` names, where it is at hand.

    Returns:
        What was recorded, and what it does to the run.

    Raises:
        InputError: If one is wrong (see `checked_overrides`), or unusually large and not confirmed.
        LostRaceError: If somebody overrode the same rows since the preview.
    """
    require_decision("An override", by, "its own")
    run = run or PlannedRun.of(stores, newest_run(stores, key))
    preview = preview_overrides(stores, run, given)
    if preview.unusual and not confirmed:
        raise _unusual(preview)
    rules = policy_in_force(stores.ledger).policy.planning
    record = OverrideRecord(
        tuple(each.override for each in preview.effects),
        by,
        observed_until(stores),
        needs_approval or bool(rules.needs_approval),
        request,
    )
    admit = partial(_admit, record, run.rows_of, preview.seen if seen is None else seen)
    entry = stores.ledger.append(OVERRIDE.name, OVERRIDE.body(record), admit)
    return OVERRIDE.read(entry), preview


def recorded_by_request(stores: Stores, given: Sequence[Override], *, by: str, request: str) -> OverrideRecord | None:
    """Return what a request has recorded already, so that one that is sent again is answered as the first.

    Args:
        stores: Where everything is.
        given: What is said.
        by: Who says so.
        request: Id of the request, with whose it is; empty where it has none.

    Raises:
        InputError: If the request said something else the first time.
    """
    records = stores.ledger.state().part(PlannedOverrides).records if request else []
    found = next((each for each in records if (each.by, each.request) == (by, request)), None)
    if found is None:
        return None
    reasons = policy_in_force(stores.ledger).policy.planning.reasons
    if found.overrides != tuple(require_sound(each, reasons) for each in given):
        raise InputError(
            f"The request has recorded other overrides already, as ledger entry {found.sequence}.",
            remedy="Send what is new under another id of the request.",
            ledger_sequence=found.sequence,
        )
    return found


def _unusual(preview: OverridePreview) -> InputError:
    told = [
        f"{preview.effects[at].override} ({preview.effects[at].before_units:,.1f} to "
        f"{preview.effects[at].after_units:,.1f} units)"
        for at in preview.unusual
    ]
    return InputError(
        f"{first_ten(told)}: that changes a forecast by more than {preview.largest_percent:g}%.",
        remedy="If it is meant, say so with --confirm.",
        confirm=True,
    )


def _admit(record: OverrideRecord, rows_of: ScopeRows, seen: int, state: FoldedState) -> None:
    """Refuse overrides of rows that somebody has overridden since they were last looked at."""
    OVERRIDE.admit(record, state)
    later = [each for each in state.part(PlannedOverrides).by_id.values() if each.sequence > seen and each.is_open]
    rows: dict[tuple[date, date], list[Rows]] = {}
    for each in record.overrides if later else ():
        rows.setdefault((each.first_date, each.last_date), []).append(rows_of(each.scope))
    own = {days: np.unique(np.concatenate(found)) for days, found in rows.items()}
    for other in later:
        said = other.override
        for (first, last), found in own.items():
            is_same_day = said.first_date <= last and first <= said.last_date
            if is_same_day and np.isin(rows_of(said.scope), found, assume_unique=True).any():
                raise LostRaceError(
                    f"{other.by} has overridden the same meanwhile ({other.id}: {said}).",
                    remedy="Look at the preview again and, if yours is still wanted, record it again.",
                    override=other.id,
                )


def decide_overrides(
    stores: Stores, names: Sequence[str], status: str, *, by: str, reason: str
) -> tuple[OverrideDecision, list[PlannedOverride]]:
    """Approve, reject or withdraw overrides.

    Args:
        stores: Where everything is.
        names: Ids of overrides, or of whole entries as `o412`.
        status: `approved`, `rejected` or `withdrawn`.
        by: Who decides.
        reason: Why.

    Returns:
        The decision, and the overrides as they stand now.

    Raises:
        InputError: If there is none of an id, it is decided already, the one who asks for it would approve it, or its
            days are past or it has expired, so that approving it would move nothing.
    """
    kept = stores.ledger.state().part(PlannedOverrides)
    found = {each.id: each for name in names for each in kept.of(name) or [kept.require(name)]}
    if status == "approved":
        _require_time_left(stores, found.values())
    decision = OverrideDecision(status, tuple(found), by, reason, observed_until(stores))
    entry = stores.ledger.append(OVERRIDE_DECISION.name, OVERRIDE_DECISION.body(decision))
    now = stores.ledger.state().part(PlannedOverrides)
    return OVERRIDE_DECISION.read(entry), [now.by_id[name] for name in found]


def _require_time_left(stores: Stores, found: Iterable[PlannedOverride]) -> None:
    past = observed_until(stores)
    for each in found:
        try:
            _require_ahead(each.override, past)
        except InputError as error:
            raise InputError(
                f"{each.id} cannot be approved any more: {error.message}",
                remedy="Record another one for the days that are left.",
                override=each.id,
            ) from error
