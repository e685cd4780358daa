"""Model families: what every one of them does, and the registry by which all else finds them.

What belongs here: the protocol, what holds where a family says nothing else, and the registry. What does not: how any
family does anything; whoever needs a family's opinion asks it, and never which one it is.

A family is one package that exports its family object; a new one is registered by a line in `_BUILT_IN`, or by
`register`. Built-in families are imported when one is first asked for, so that commands that need none stay quick.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, Generic, TypeVar

import polars as pl

from forecast_assets.contracts import COMPONENTS
from forecast_assets.core.arrays import Floats, Rows
from forecast_assets.core.errors import InputError
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.forecasts import ForecastInputs, Forecasts
from forecast_assets.models.gates import backtest_gates
from forecast_assets.models.selection import training_rows
from forecast_assets.models.training import Fitted, TrainingInputs

A = TypeVar("A", bound=Artifact)

# Where each family is, in the order in which they are named to people: module and name in it.
_BUILT_IN: Final[Mapping[str, str]] = {
    "statistical": "forecast_assets.models.statistical.family:STATISTICAL_FAMILY",
    "global": "forecast_assets.models.boosted.family:GLOBAL_FAMILY",
    "combined": "forecast_assets.models.boosted.family:COMBINED_FAMILY",
    "external": "forecast_assets.models.external.family:EXTERNAL_FAMILY",
}
# What every backtest compares a version with, and what is trained where nobody names a family.
BASELINE: Final = "statistical"
_families: "dict[str, ModelFamily[Any]]" = {}


class ModelFamily(ABC, Generic[A]):
    """A way to forecast: what a version of it is, how it is trained, read back, used, explained and let pass.

    Attributes:
        name: What versions are registered with.
        given_product: Name of the product that every run of the family is given from outside, such as
            `external_forecasts`. Versions of such a family are registered rather than trained, from the first dates
            that were given; they cannot be trained as of another cutoff. None for a family that is trained here.
        retrains_beside: Whether past cutoffs are judged by versions that are trained from scratch, one as long as the
            version itself and none knowing of it, so that they can be trained at the same time, in other processes.
            `train` of such a family says nothing of past cutoffs.
    """

    name: str
    given_product: str | None = None
    retrains_beside: bool = False

    @abstractmethod
    def train(self, inputs: TrainingInputs) -> Fitted:
        """Make a version from what was known at a cutoff, and say at which past cutoffs it is judged.

        Raises:
            InputError: If the history is too short, or what was given is of no use.
        """

    @abstractmethod
    def read(self, content: bytes) -> A:
        """Read back what the artifact's `to_bytes` wrote, exactly.

        Raises:
            InputError: If the bytes are of another family or format; other errors of malformed content may pass, since
                `load` translates them.
        """

    @abstractmethod
    def forecast(self, artifact: A, inputs: ForecastInputs) -> Forecasts:
        """Forecast every series of a panel, and the nodes above them if the inputs have a hierarchy.

        Raises:
            InputError: If what was given from outside is not of the panel's date and series.
        """

    def load(self, content: bytes) -> A:
        """Read the artifact of a version, whose hash the caller has verified, and check what it holds.

        Raises:
            InputError: If the bytes are of another family or format, or of no artifact that training makes.
        """
        try:
            return self.read(content)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"This is no artifact of the family `{self.name}`: {type(error).__name__} {error}.",
                remedy="Train the version again, or score with the release that trained it.",
            ) from error

    def explain(self, forecasts: Forecasts) -> Mapping[str, Floats]:
        """Take forecasts apart.

        Args:
            forecasts: Of n series for H days, by this family.

        Returns:
            [n, H] units by component, in the order of `contracts.COMPONENTS` and without the last, which is what
            rounding leaves over; they add up to the mean. Where nothing is told apart, the whole mean is the level.
        """
        return forecasts.components or {COMPONENTS[0]: forecasts.mean}

    def gates(self, report: pl.DataFrame) -> dict[str, bool]:
        """Return which conditions of serving and of being promoted a version meets.

        Args:
            report: Contract `evaluation_reports`.
        """
        return backtest_gates(report)

    def training_rows(self, count: int, days: int) -> Rows:
        """Return which of so many series a version is trained on, given how many days are read.

        Args:
            count: Series that there are.
            days: Days of history and ahead.
        """
        return training_rows(count, days)


def register(family: ModelFamily[Any]) -> None:
    """Make a family known under its name.

    Raises:
        ValueError: If the name is taken.
    """
    if family.name in families():
        raise ValueError(f"There is a model family `{family.name}` already: choose another name.")
    _families[family.name] = family


def unregister(name: str) -> None:
    """Forget a family that was registered besides the built-in ones."""
    del _families[name]


def families() -> "Mapping[str, ModelFamily[Any]]":
    """Return all families by name: the built-in ones first."""
    return {**{name: _built_in(name) for name in _BUILT_IN}, **_families}


def family(name: str) -> ModelFamily[Any]:
    """Return the family of a name.

    Raises:
        InputError: If there is none.
    """
    if name in _BUILT_IN:
        return _built_in(name)
    if name not in _families:
        raise InputError(
            f"There is no model family `{name}`. Known: {', '.join(families())}.",
            remedy="Read the version with the release that registered it.",
        )
    return _families[name]


def trained_families() -> "Mapping[str, ModelFamily[Any]]":
    """Return the families that are trained here, by name."""
    return {name: each for name, each in families().items() if each.given_product is None}


def given_products() -> frozenset[str]:
    """Return the names of the products that runs of any family are given from outside."""
    return frozenset(each.given_product for each in families().values() if each.given_product is not None)


def family_to_train(name: str) -> ModelFamily[Any]:
    """Return a family that is trained here.

    Raises:
        InputError: If there is none of that name.
    """
    known = trained_families()
    if name not in known:
        raise InputError(f"There is no model family `{name}` to train.", remedy=f"Use --family {' or '.join(known)}.")
    return known[name]


def _built_in(name: str) -> ModelFamily[Any]:
    module, _, attribute = _BUILT_IN[name].partition(":")
    found: ModelFamily[Any] = getattr(import_module(module), attribute)
    return found
