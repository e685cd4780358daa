"""Expected sales by trees of their own: an average of unlike models, and the share of demand that is lost to it.

What belongs here: the models of a version and how they are put together. What does not: what they see, training them,
or demand.

Sales are what is observed, stock-outs included, so they are forecast directly: demand times a lost share has the errors
of both. Models that err together gain little by being averaged (Bates & Granger 1969, doi:10.1057/jors.1969.103), so
these differ in two things. In their loss: the mean of an amount, by a Tweedie deviance (Jorgensen 1987,
doi:10.1111/j.2517-6161.1987.tb01685.x), or the median of its ratio to the level, which no large day moves. And in
whether they learn from what the series of a store did together on single days, or from sales without it: a rainy
Saturday says nothing of a product, and much of the days that a store will have. Versions from before have models that
start from the structure of demand, and models without what all series did together beyond their levels.

The median of a series that sells on one day in three is nothing: models of it serve series that sell on most days, and
are multiplied by what brings them to the mean of all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Floats, InputMatrix
from forecast_assets.core.errors import first_ten
from forecast_assets.models.boosted.inputs import InputSpec
from forecast_assets.models.boosted.sales_inputs import SALES_KINDS, SalesView
from forecast_assets.models.boosted.text import require_whole
from forecast_assets.models.boosted.trees import Trees

# How a score becomes units: by what trees add up, the logarithm of the ratio to the level, or the ratio.
LOG: Final = "log"
RATIO: Final = "ratio"
_UNITS: Final[Mapping[str, Callable[[Floats, Floats], Floats]]] = {
    LOG: lambda level, score: np.asarray(level * np.exp(score)),
    RATIO: lambda level, score: np.asarray(level * np.maximum(score, 0.0)),
}


# What the ratio is to.
LIKE_DAYS: Final = "like days"
STRUCTURE: Final = "structure"
_LEVELS: Final[Mapping[str, Callable[[SalesView], Floats]]] = {
    LIKE_DAYS: lambda view: view.level,
    STRUCTURE: lambda view: view.structure,
}


def level_of(view: SalesView, start: str) -> Floats:
    """[k] Units that each series and day ahead starts from, in the order of series, then days."""
    return _LEVELS[start](view).ravel()


@dataclass(frozen=True)
class SalesTrees:
    """One model of sales.

    Attributes:
        link: `log` or `ratio`: what a score is of the ratio of sales to what they start from.
        start: `like days` or `structure`: what that is.
        follows_growth: Whether it learned how all series together moved against their levels.
        weight: Share in the average.
        scale: What the median is multiplied by to be a mean; 1 for `log`.
        trees: For the score.
        follows_store_days: Whether it learned what the series of a store did together on single days, beyond what all
            series did.
    """

    link: str
    start: str
    follows_growth: bool
    weight: float
    scale: float
    trees: Trees
    follows_store_days: bool = True

    def to_data(self) -> dict[str, Any]:
        """Return the JSON form; in versions from before that could be said, it goes without saying."""
        data = {**vars(self), "trees": self.trees.to_data()}
        return {name: value for name, value in data.items() if name != "follows_store_days" or not value}

    def units(self, level: Floats, inputs: InputMatrix) -> Floats:
        """Forecast [k] units of sales from [k] levels and [k, f] inputs."""
        return self.scale * _UNITS[self.link](level, self.trees.plain_score(inputs))


@dataclass(frozen=True)
class SalesModel:
    """The models of a version.

    Attributes:
        inputs: What they look at besides the inputs of demand, which come first.
        members: At least one; their weights add up to 1.
    """

    inputs: tuple[InputSpec, ...]
    members: tuple[SalesTrees, ...]

    @classmethod
    def from_data(cls, data: Mapping[str, Any], demand_inputs: Sequence[InputSpec]) -> "SalesModel":
        """Read the JSON form back.

        Args:
            data: What `to_data` returned.
            demand_inputs: Inputs of demand.
        """
        inputs = tuple(InputSpec.from_data(spec) for spec in data["inputs"])
        drivers = tuple(spec.driver for spec in (*demand_inputs, *inputs))
        members = (
            SalesTrees(**{**member, "trees": Trees.from_data(member["trees"], drivers)}) for member in data["members"]
        )
        return cls(inputs, tuple(members))

    def to_data(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "inputs": [asdict(spec) for spec in self.inputs],
            "members": [member.to_data() for member in self.members],
        }

    def mistakes(self) -> list[str]:
        """Return what no training decides, in words."""
        unknown = [spec.name for spec in self.inputs if spec.kind not in SALES_KINDS]
        links = [member.link for member in self.members if member.link not in _UNITS]
        starts = [member.start for member in self.members if member.start not in _LEVELS]
        weights = [member.weight for member in self.members]
        means = [member.weight for member in self.members if member.link != RATIO]
        scales = [member.scale for member in self.members if not 0.0 < member.scale < np.inf]
        is_wrong = {
            f"this release does not know the kind of the inputs of sales {first_ten(unknown)}": bool(unknown),
            f"this release does not know the links of sales {first_ten(links)}": bool(links),
            f"this release does not know what models of sales start from: {first_ten(starts)}": bool(starts),
            f"the weights of models of sales are {first_ten(weights)}": not _is_average(weights),
            "no model of sales serves series that sell on few days": sum(means) <= 0.0,
            f"the scales of models of sales are {first_ten(scales)}": bool(scales),
        }
        return [words for words, holds in is_wrong.items() if holds]

    def require_whole(self, demand_inputs: Sequence[InputSpec]) -> None:
        """Refuse trees whose text is damaged, or that look at other inputs.

        Raises:
            InputError: With the first trees that are none.
        """
        names = [spec.name for spec in (*demand_inputs, *self.inputs)]
        for member in self.members:
            require_whole(member.trees.text, names)

    def units(self, view: SalesView, demand_inputs: InputMatrix) -> Floats:
        """Forecast sales of some series.

        Args:
            view: k series at a cutoff with h days ahead.
            demand_inputs: [k * h, f] inputs of demand of the same.

        Returns:
            [k, h] units, at least 0.
        """
        inputs = np.concatenate([demand_inputs, view.inputs(self.inputs)], axis=1)
        is_steady = np.repeat(view.is_steady, view.level.shape[1])
        total, weight = np.zeros(len(inputs)), np.zeros(len(inputs))
        for member in self.members:
            serves = member.weight * (is_steady | (member.link != RATIO))
            total += serves * member.units(level_of(view, member.start), inputs)
            weight += serves
        return (total / weight).reshape(view.level.shape)


def _is_average(weights: Sequence[float]) -> bool:
    return all(weight >= 0.0 for weight in weights) and bool(np.isclose(sum(weights), 1.0))


def share_lost(demand: Floats, sales: Floats, usual: Floats) -> Floats:
    """Return the share of demand that forecasts of sales leave unserved.

    Args:
        demand: [k, h] units.
        sales: [k, h] units; above demand they count as demand.
        usual: [k, 1] share where no demand is expected.

    Returns:
        [k, h] 0 to 1.

    Example:
        >>> share_lost(np.array([[4.0, 4.0, 0.0]]), np.array([[3.0, 5.0, 0.0]]), np.array([[0.1]])).round(6).tolist()
        [[0.25, 0.0, 0.1]]
    """
    usually_kept = np.broadcast_to(1.0 - usual, demand.shape).copy()
    # Of what is above demand nothing is divided: demand may be the smallest number above 0.
    return np.asarray(1.0 - np.divide(np.minimum(sales, demand), demand, out=usually_kept, where=demand > 0))
