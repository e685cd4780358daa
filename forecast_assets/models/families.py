"""How the artifact of each model family is read back.

What belongs here: the families and what all their artifacts share. What does not: anything that a family does.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from forecast_assets.errors import InputError
from forecast_assets.models import artifact, external
from forecast_assets.models.artifact import StatisticalArtifact
from forecast_assets.models.external import ExternalArtifact


class Artifact(Protocol):
    """What stages after the base forecasts read of a version, whatever made its numbers."""

    @property
    def history_days(self) -> int:
        """Days of history to read when scoring."""

    @property
    def horizon_days(self) -> int:
        """Most days ahead that a run may have."""

    @property
    def group_level(self) -> str:
        """Product level by whose nodes series are pooled."""

    @property
    def rho(self) -> dict[str, float]:
        """Correlation between the normal scores of two days of a series, by demand class."""

    @property
    def risk_thresholds(self) -> Mapping[str, float]:
        """Lowest stock-out probability of each risk band above the first."""

    def to_bytes(self) -> bytes:
        """Write canonical bytes."""


FAMILIES: Final[Mapping[str, Callable[[bytes], StatisticalArtifact | ExternalArtifact]]] = {
    artifact.FAMILY: StatisticalArtifact.from_bytes,
    external.FAMILY: ExternalArtifact.from_bytes,
}


def read_artifact(family: str, content: bytes) -> StatisticalArtifact | ExternalArtifact:
    """Read the artifact of a model version.

    Args:
        family: Family that the version is registered with.
        content: The artifact's bytes.

    Raises:
        InputError: If there is no such family, or the bytes are of another family or format.
    """
    if family not in FAMILIES:
        raise InputError(
            f"There is no model family `{family}`. Known: {', '.join(FAMILIES)}.",
            remedy="Read the version with the release that registered it.",
        )
    return FAMILIES[family](content)
