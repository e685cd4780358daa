"""The classifier of stock status: how likely a shelf is empty for an hour, next day and later.

What belongs here: the classifier of a version, its JSON form, and probabilities by it with their two parts. What does
not: what it sees, training it, or bands, decimals and lost units.

The log odds of a day are those that all series share, which are forecast by themselves (`rates`), and what a line and
trees on top of it add for the series, times a slope that was learned on days that neither had seen (Platt 1999;
Niculescu-Mizil & Caruana 2005, doi:10.1145/1102351.1102430). What was on the shelf tonight says most about tomorrow and
little about next week, so the next day has a line and trees of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Floats, Groups, InputMatrix, Rows
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.core.threads import in_threads
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.boosted.text import require_whole
from forecast_assets.models.boosted.trees import Trees
from forecast_assets.models.stock_status.inputs import (
    SERIES,
    STATUS_KINDS,
    USUAL,
    StatusInput,
    StatusRecord,
    StatusView,
)
from forecast_assets.models.stock_status.linear import LinearOdds
from forecast_assets.models.stock_status.rates import LEAST, MOST, log_odds

# Series at a time: the inputs of so many stay in the processor's cache.
_CHUNK: Final = 2_500


@dataclass(frozen=True)
class StatusProbabilities:
    """How likely each shelf is empty for a trading hour, for n series over H days.

    Attributes:
        probability: [n, H] 0..1.
        usual_probability: [n, H] what it would be by the product, the store and the day alone.
    """

    probability: Floats
    usual_probability: Floats


@dataclass(frozen=True)
class StatusTrees:
    """A line and trees for the log odds of a day beyond those of all series.

    Attributes:
        linear: What trees start from.
        trees: For what the line leaves.
        slope: What the sum of both is multiplied by.
    """

    linear: LinearOdds
    trees: Trees
    slope: float = 1.0

    @classmethod
    def from_data(cls, data: Mapping[str, Any], parts: Sequence[str]) -> "StatusTrees":
        """Read the JSON form back."""
        return cls(LinearOdds.from_data(data["linear"]), Trees.from_data(data["trees"], parts), data["slope"])

    def to_data(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"linear": asdict(self.linear), "trees": self.trees.to_data(), "slope": self.slope}

    def odds(self, inputs: InputMatrix) -> tuple[Floats, Floats]:
        """Return what [k, f] inputs add to the log odds, [k], and what those of the part `usual` add alone."""
        is_usual = np.array([part == USUAL for part in self.trees.drivers])
        line, trees = self.linear.odds(inputs, [is_usual, ~is_usual]), self.trees.contributions(inputs)
        places = {name: 1 + at for at, name in enumerate(self.trees.names)}
        usual = self.linear.start + line[0] + trees[:, 0] + trees[:, places[USUAL]]
        series = line[1] + trees[:, places[SERIES]]
        return self.slope * (usual + series), self.slope * usual


@dataclass(frozen=True)
class StatusModel:
    """The classifier of a version.

    Attributes:
        inputs: [f] what trees look at.
        area_level: Store level whose nodes are the areas of stores.
        next_day: For the first day ahead.
        later: For all others.
    """

    inputs: tuple[StatusInput, ...]
    area_level: str
    next_day: StatusTrees
    later: StatusTrees

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "StatusModel":
        """Read the JSON form back.

        Raises:
            InputError: If it is of no classifier that training makes.
        """
        inputs = tuple(StatusInput.from_data(spec) for spec in data["inputs"])
        parts = [spec.part for spec in inputs]
        next_day, later = (StatusTrees.from_data(data[name], parts) for name in ("next_day", "later"))
        found = cls(inputs, data["area_level"], next_day, later)
        mistakes = found.mistakes()
        if mistakes:
            raise InputError(
                f"The classifier of stock status is wrong: {'; '.join(mistakes)}.", remedy="Train the version again."
            )
        for each in (next_day, later):
            require_whole(each.trees.text, [spec.name for spec in inputs])
        return found

    def to_data(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "inputs": [asdict(spec) for spec in self.inputs],
            "area_level": self.area_level,
            "next_day": self.next_day.to_data(),
            "later": self.later.to_data(),
        }

    def mistakes(self) -> list[str]:
        """Return what no training decides, in words."""
        unknown = [spec.name for spec in self.inputs if spec.kind not in STATUS_KINDS]
        slopes = [each.slope for each in (self.next_day, self.later) if not 0.0 <= each.slope < np.inf]
        lines = [each.linear for each in (self.next_day, self.later)]
        lengths = [len(each) for line in lines for each in (line.mean, line.deviation, line.weights)]
        is_wrong = {
            f"its lines have {first_ten(lengths)} numbers for {len(self.inputs)} inputs": set(lengths)
            != {len(self.inputs)},
            f"this release does not know the kind of the inputs {first_ten(unknown)}": bool(unknown),
            f"the parts of its inputs are not {USUAL} and {SERIES}": {spec.part for spec in self.inputs}
            != {USUAL, SERIES},
            f"its slopes are {first_ten(slopes)}": bool(slopes),
        }
        return [words for words, holds in is_wrong.items() if holds]

    def assess(
        self, panel: Panel, product_groups: Groups, hierarchy: Hierarchy | None, workers: int | None = None
    ) -> StatusProbabilities:
        """Return the probabilities of every series of a panel.

        Args:
            panel: n series, T days of history, H ahead.
            product_groups: [n] group of each series, as in training.
            hierarchy: Of the same series; None where what they say together is held.
            workers: Threads; all cores if left out. The result is the same.

        Returns:
            [n, H] each; what is usual where a series has no record.
        """
        record = StatusRecord.of(panel, product_groups, hierarchy, self.area_level)
        shared = log_odds(record.rates_ahead)
        for each in (self.next_day, self.later):
            each.trees.prepare()
        everyone = np.arange(panel.series.height)
        parts = [everyone[start : start + _CHUNK] for start in range(0, len(everyone), _CHUNK)]
        # What means all parts read is laid out by the first of them, before threads share it.
        first, *others = parts or [everyone]
        made = [self._odds(record, first)]
        made += [each for _, each in in_threads(lambda rows: self._odds(record, rows), others, workers)]
        odds, usual = (np.concatenate([each[at] for each in made]) for at in (0, 1))
        return StatusProbabilities(_probability(shared + odds), _probability(shared + usual))

    def _odds(self, record: StatusRecord, rows: Rows) -> tuple[Floats, Floats]:
        """[k, H] twice: what some series add to the log odds, and what of it is usual."""
        horizon = record.panel.horizon_days
        inputs = StatusView(record, record.panel.history_days - 1, horizon, rows).inputs(self.inputs)
        by_step = inputs.reshape(len(rows), horizon, len(self.inputs))
        tomorrow = self.next_day.odds(np.ascontiguousarray(by_step[:, 0]))
        if horizon == 1:
            return tomorrow[0][:, None], tomorrow[1][:, None]
        later = self.later.odds(np.ascontiguousarray(by_step[:, 1:]).reshape(-1, len(self.inputs)))
        shape = len(rows), horizon - 1
        return (
            np.concatenate([tomorrow[0][:, None], later[0].reshape(shape)], axis=1),
            np.concatenate([tomorrow[1][:, None], later[1].reshape(shape)], axis=1),
        )


def _probability(odds: Floats) -> Floats:
    return np.asarray(np.clip(1.0 / (1.0 + np.exp(-odds)), LEAST, MOST))
