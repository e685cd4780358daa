"""What series of a run say together: computed from all of them, kept, or held where a few are forecast again.

What belongs here: the three ways of coming by a pooled statistic. What does not: any statistic.

Everything in a forecast that is not of one series alone goes through here, by name. A run computes it from all series;
a run that is prepared for what-if questions keeps it besides; and a few series are forecast again by the same functions
with what was kept. So there is one code for all of them, and what is held still has a list: the names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from forecast_assets.core.arrays import Floats, GroupCodes, Rows

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Statistic:
    """A pooled statistic of a run of n series.

    Attributes:
        values: [m, ...] by unit, such as a store; or one for all series where there is no code.
        code: [n] unit of each series.
    """

    values: Values
    code: GroupCodes | None = None

    def take(self, rows: Rows) -> "Statistic":
        """Return what is said of some series."""
        if self.code is None:
            return self
        said, code = np.unique(self.code[rows], return_inverse=True)
        return Statistic(self.values[said], code)


class Pooled(Protocol):
    """A source of pooled statistics."""

    def within(self, scope: str) -> "Pooled":
        """Return the same source for a part of the run in which names mean something else."""

    def take(self, rows: Rows) -> "Pooled":
        """Return the source for some of its series."""

    def of_all(self, name: str, compute: Callable[[], Values]) -> Values:
        """Return what all series say together, of any shape."""

    def of_series(self, name: str, compute: Callable[[], Statistic]) -> Values:
        """[n, ...] Return what is said of each series by others, such as those of its store.

        Where what is computed has no code, its values are [n, ...], of each series by itself.
        """

    def total(self, name: str, values: Floats) -> Floats:
        """[1] or [n] Return the sum of the [n] values of all series, as each of these series sees it."""

    def nodes(self, code: GroupCodes) -> GroupCodes:
        """[n] Number the nodes whose sums are asked for, from the [n] unit of each series."""

    def sums(self, name: str, code: GroupCodes, summing: Any, values: Values) -> Floats:
        """[m, d] Return sums of [n, d] values over the series of each node.

        Args:
            name: What is summed.
            code: [n] node of each series, as `nodes` numbers them.
            summing: [m, n] sparse ones of the same.
            values: Of each series.
        """


class Computed:
    """Statistics of all series that there are, computed when they are asked for."""

    def within(self, scope: str) -> "Pooled":
        """Return the same."""
        del scope
        return self

    def take(self, rows: Rows) -> "Pooled":
        """Return a source for some series, of which the statistics are then."""
        del rows
        return COMPUTED

    def of_all(self, name: str, compute: Callable[[], Values]) -> Values:
        """Compute it."""
        del name
        return compute()

    def of_series(self, name: str, compute: Callable[[], Statistic]) -> Values:
        """Compute it."""
        del name
        found = compute()
        return found.values if found.code is None else np.asarray(found.values[found.code])

    def total(self, name: str, values: Floats) -> Floats:
        """Add up."""
        del name
        return np.asarray(values.sum(keepdims=True))

    def nodes(self, code: GroupCodes) -> GroupCodes:
        """Return the units."""
        return code

    def sums(self, name: str, code: GroupCodes, summing: Any, values: Values) -> Floats:
        """Add up."""
        del name, code
        return np.asarray(summing @ values)


COMPUTED: Final = Computed()


@dataclass(frozen=True)
class Kept(Computed):
    """Statistics of all series, computed and kept by name.

    Attributes:
        found: By name, what was asked for so far.
        scope: What names begin with here.
    """

    found: dict[str, Statistic] = field(default_factory=dict)
    scope: str = ""

    def within(self, scope: str) -> "Pooled":
        """Return a source that keeps into the same place."""
        return Kept(self.found, f"{self.scope}{scope}: ")

    def of_all(self, name: str, compute: Callable[[], Values]) -> Values:
        """Compute and keep it."""
        found = compute()
        self._keep(name, Statistic(np.asarray(found)))
        return found

    def of_series(self, name: str, compute: Callable[[], Statistic]) -> Values:
        """Compute and keep it."""
        found = compute()
        if found.code is None:
            self._keep(name, Statistic(found.values, np.arange(len(found.values), dtype=np.intp)))
            return found.values
        self._keep(name, found)
        return np.asarray(found.values[found.code])

    def total(self, name: str, values: Floats) -> Floats:
        """Add up and keep the sum."""
        found = super().total(name, values)
        self._keep(name, Statistic(found))
        return found

    def sums(self, name: str, code: GroupCodes, summing: Any, values: Values) -> Floats:
        """Add up and keep the sums."""
        found = super().sums(name, code, summing, values)
        self._keep(name, Statistic(found, code))
        return found

    def _keep(self, name: str, found: Statistic) -> None:
        name = f"{self.scope}{name}"
        before = self.found.setdefault(name, found)
        if before is not found and not np.array_equal(before.values, found.values, equal_nan=True):
            raise ValueError(f"The pooled statistic `{name}` is two different ones: name the second otherwise.")


@dataclass(frozen=True)
class Held:
    """Statistics as they were kept, for a few series of which each is there twice: as published, then changed.

    A sum is what was kept; changed series see it with what they have changed by added, so that it is that of a whole
    run with the same changes, but for rounding. Of all else that is pooled nothing moves.

    Attributes:
        found: As kept.
        rows: [2 k] row of each series in the run.
        scope: What names begin with here.
    """

    found: Mapping[str, Statistic]
    rows: Rows
    scope: str = ""

    def within(self, scope: str) -> "Pooled":
        """Return a source of the same statistics."""
        return Held(self.found, self.rows, f"{self.scope}{scope}: ")

    def take(self, rows: Rows) -> "Pooled":
        """Refuse: sums are of whole pairs."""
        raise NotImplementedError(f"Of {len(rows)} of {len(self.rows)} series sums would lack changes.")

    def of_all(self, name: str, compute: Callable[[], Values]) -> Values:
        """Return what was kept."""
        del compute
        return self._kept(name).values

    def of_series(self, name: str, compute: Callable[[], Statistic]) -> Values:
        """Return what was kept of these series."""
        del compute
        found = self._kept(name)
        assert found.code is not None
        return np.asarray(found.values[found.code[self.rows]])

    def total(self, name: str, values: Floats) -> Floats:
        """Return the kept sum for series as published, and with all changes for changed ones."""
        change = float((values[1::2] - values[::2]).sum())
        return np.asarray(self._kept(name).values + np.where(np.arange(len(values)) % 2, change, 0.0))

    def nodes(self, code: GroupCodes) -> GroupCodes:
        """Number the nodes as published and as changed apart."""
        apart = 2 * code + np.arange(len(code)) % 2
        return np.asarray(np.unique(apart, return_inverse=True)[1], dtype=np.intp)

    def sums(self, name: str, code: GroupCodes, summing: Any, values: Values) -> Floats:
        """Return kept sums, with the changes of changed series."""
        found = self._kept(name)
        assert found.code is not None
        first = np.unique(code, return_index=True)[1]
        kept = found.values[found.code[self.rows[first]]]
        # Each change by itself, the published value taken off first: where nothing changes, zero is added.
        change = np.zeros(values.shape)
        change[1::2] = values[1::2] - values[::2]
        return np.asarray(kept + summing @ change)

    def _kept(self, name: str) -> Statistic:
        return self.found[f"{self.scope}{name}"]


@dataclass(frozen=True)
class HeldApart(Held):
    """The same for pairs that do not hold together: each is a question by itself, several of one series among them."""

    def within(self, scope: str) -> "Pooled":
        """Return a source of the same statistics."""
        return HeldApart(self.found, self.rows, f"{self.scope}{scope}: ")

    def total(self, name: str, values: Floats) -> Floats:
        """Return the kept sum for series as published, and with its own change for each changed one."""
        change = np.zeros(len(values))
        change[1::2] = values[1::2] - values[::2]
        return np.asarray(self._kept(name).values + change)

    def nodes(self, code: GroupCodes) -> GroupCodes:
        """Number every row apart."""
        return np.arange(len(code), dtype=np.intp)
