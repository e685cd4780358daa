"""What overrides and rules do to the forecasts of a run, row by row.

What belongs here: in which order they act, which of several moves a row, and how a node's units are reached. What does
not: reading overrides, frames (effects), or quantiles.

The order, stated once: (1) items that are not sold, which nothing moves after; (2) uplifts of events; (3) planners'
values: units, percent, add, zero; (4) planners' floors; (5) planners' caps; (6) minimum presentation. Within (1), (3),
(4) and (5) each row is moved at most once: by the override of the fewest series, of several by the newest. One that is
made for a whole node counts the rows that a narrower one has moved or that are not sold, and moves the others; a
percentage is of those others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Rows
from forecast_assets.core.overrides import ADD, CAP, FLOOR, UNITS_FORM, ZERO
from forecast_assets.core.quantities import Millionths
from forecast_assets.overrides.splitting import split

_PERCENT: Final = 10**8


class Turn(IntEnum):
    """When an instruction acts; lower ones first."""

    LISTING = 1
    UPLIFT = 2
    VALUE = 3
    FLOOR = 4
    CAP = 5
    PRESENTATION = 6


# Those of which a row takes only one.
_ONE_ONLY: Final = (Turn.LISTING, Turn.VALUE, Turn.FLOOR, Turn.CAP)
# Those that take a row also where they leave it as it is.
_TAKING: Final = (Turn.LISTING, Turn.VALUE)


@dataclass(frozen=True, eq=False)
class Instruction:
    """An override or a rule, as it meets the rows of a run; equal to nothing but itself.

    Attributes:
        name: Id of the override, or name of the rule.
        turn: When it acts.
        form: One of `core.overrides.FORMS`.
        value: Units of the node and day, or percent, in millionths; 0 of `zero`.
        series: [k] its series, as rows of the run, rising; at least one.
        days: [d] its days, as steps from 0, rising; at least one.
        age: Place among all overrides, oldest first; of several for equally many series the newest acts.
        each: Whether the value is meant of each row by itself, and not of the node; then of rows above zero alone.
    """

    name: str
    turn: Turn
    form: str
    value: int
    series: Rows
    days: Rows
    age: int = 0
    each: bool = False

    @property
    def order(self) -> tuple[int, int, int]:
        """What instructions are sorted by."""
        return self.turn, len(self.series), -self.age


@dataclass(frozen=True)
class Effect:
    """What an instruction did.

    Attributes:
        instruction: Which.
        before: [k, d] millionths before it.
        after: [k, d] millionths after it.
        moved_by: [k, d] place among all instructions, in the order in which they act, of the one that had moved the row
            already, so that this one did not; -1 where it did.
        unmet: [d] millionths by which the node's day is not what the instruction asks for: what it had to be less what
            it is.
    """

    instruction: Instruction
    before: Millionths
    after: Millionths
    moved_by: Rows
    unmet: Millionths


@dataclass(frozen=True)
class Applied:
    """Forecasts after all instructions.

    Attributes:
        forecast: [n, H] millionths.
        effects: What each did, in the order in which they acted.
    """

    forecast: Millionths
    effects: tuple[Effect, ...]


def apply_instructions(model: Millionths, instructions: Sequence[Instruction]) -> Applied:
    """Apply overrides and rules to the forecasts of a run.

    Args:
        model: [n, H] millionths, at least 0.
        instructions: In any order.

    Returns:
        Forecasts of at least 0. Rows that no instruction names are what they were.

    Example:
        >>> both = {"series": np.array([0, 1]), "days": np.array([0])}
        >>> node = Instruction("o1-1", Turn.VALUE, "units", 90, **both)
        >>> own = Instruction("o2-1", Turn.VALUE, "units", 50, np.array([0]), np.array([0]))
        >>> apply_instructions(np.array([[10], [20]]), [node, own]).forecast.ravel().tolist()
        [50, 40]
    """
    forecast = model.copy()
    mover = {turn: np.full(model.shape, -1, dtype=np.int64) for turn in _ONE_ONLY}
    unsold = mover[Turn.LISTING]
    effects = []
    for at, each in enumerate(sorted(instructions, key=lambda one: one.order)):
        cells = np.ix_(each.series, each.days)
        before, by = forecast[cells], mover.get(each.turn)
        moved_by = unsold[cells] if by is None else np.where(unsold[cells] < 0, by[cells], unsold[cells])
        after, unmet = _moved(each, before, moved_by < 0)
        forecast[cells] = after
        if by is not None:
            # A floor or cap that holds already keeps no other one from a row.
            takes = (moved_by < 0) & ((each.turn in _TAKING) | (after != before))
            by[cells] = np.where(takes, at, by[cells])
        effects.append(Effect(each, before, after, moved_by, unmet))
    return Applied(forecast, tuple(effects))


def _moved(each: Instruction, before: Millionths, is_free: Bools) -> tuple[Millionths, Millionths]:
    """[k, d] what an instruction makes of its rows; [d] what is lacking."""
    free = np.where(is_free, before, 0)
    if each.each:
        # What is not sold on a day, closed or said to be zero, stays so.
        asked = np.where(before > 0, np.maximum(_asked(each, before, before), 0), 0)
        return np.where(is_free, asked, before), np.zeros(before.shape[1], dtype=np.int64)
    own, whole = free.sum(axis=0), before.sum(axis=0)
    asked = _asked(each, own, whole)
    can_move = is_free.any(axis=0)
    reached = np.where(can_move, np.maximum(asked, 0), own)
    return np.where(is_free, _shared_out(reached, free, is_free), before), asked - reached


def _asked(each: Instruction, own: Millionths, whole: Millionths) -> Millionths:
    """What rows that may move would have to add up to; below zero where others have too much already."""
    if each.form == ZERO:
        return own - whole
    if each.form == UNITS_FORM:
        return each.value - (whole - own)
    if each.form == ADD:
        return own + each.value
    if each.form == FLOOR:
        return own + np.maximum(each.value - whole, 0)
    if each.form == CAP:
        return own - np.maximum(whole - each.value, 0)
    return np.asarray(np.rint(own * ((_PERCENT + each.value) / _PERCENT)), dtype=np.int64)


def _shared_out(totals: Millionths, free: Millionths, is_free: Bools) -> Millionths:
    """[k, d] totals over the rows that may move, in proportion to what they are; alike where all are zero."""
    weights = np.where((free.sum(axis=0) == 0) & is_free, 1, free)
    return split(totals, weights)
