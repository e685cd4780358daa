"""What stages read of a model version, whatever its family.

What belongs here: the protocol of artifacts, and a base for those that have its fields themselves. What does not: what
a family decides besides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import polars as pl

from forecast_assets.core.arrays import Floats, Groups
from forecast_assets.features.panel import Panel
from forecast_assets.models.distribution import Reference
from forecast_assets.models.sample_paths.dependence import Dependence
from forecast_assets.models.stock_status.model import StatusModel

RISK_THRESHOLDS: Final[Mapping[str, float]] = {"moderate": 0.05, "high": 0.2, "critical": 0.5}
# The product level of a version that pools nothing.
NO_GROUPS: Final = "total"


class Artifact(Protocol):
    """What training, or registration, decided; the same to every later stage."""

    @property
    def history_days(self) -> int:
        """Days of history to read when scoring."""

    @property
    def horizon_days(self) -> int:
        """Days ahead that a run may look."""

    @property
    def group_level(self) -> str:
        """Product level whose nodes are the groups that series are pooled by."""

    @property
    def risk_thresholds(self) -> Mapping[str, float]:
        """Lowest stock-out probability of each risk band above the first."""

    @property
    def rho(self) -> Mapping[str, float]:
        """Correlation between the normal scores of two days of a series, by demand class; 0 for others."""

    @property
    def dependence(self) -> Dependence | None:
        """How errors of series and days hang together; None where nobody learned it."""

    @property
    def stock_status(self) -> StatusModel | None:
        """Classifier of series of which only stock status is known; None where none was trained."""

    @property
    def reference(self) -> Reference | None:
        """What the inputs of training were like; None where nobody recorded it."""

    @property
    def recurring_events(self) -> tuple[str, ...]:
        """Names of the events whose effect counts as that of paydays, not of events; sorted."""

    @property
    def follows_last_year(self) -> bool:
        """Whether the time of year is last year's change against the last weeks, not a season against the year."""

    def to_bytes(self) -> bytes:
        """Write the artifact; equal artifacts are equal bytes."""

    def facts(self) -> dict[str, Any]:
        """Return what the artifact's manifest records besides family, cutoff and horizon."""

    def compared(self) -> pl.DataFrame | None:
        """Lay out what training compared: `choice, candidate, loss_over_best, is_chosen`; None if nothing was."""

    def factors(self, panel: Panel, product_groups: Groups) -> Floats | None:
        """Return what multiplies the level of a series on each day of the history, as this version has learned it.

        Args:
            panel: n series, T days of history.
            product_groups: [n] group of each series, at `group_level`.

        Returns:
            [n, T]; None where the version has learned none, so that all days are alike.
        """


@dataclass(frozen=True, kw_only=True)
class BaseArtifact:
    """Fields that every artifact has, and what holds where a family decides nothing else.

    Attributes:
        history_days: Days of history to read when scoring.
        horizon_days: Days ahead that a run may look.
        group_level: Product level whose nodes are the groups that series are pooled by.
        risk_thresholds: Lowest stock-out probability of each risk band above the first.
        reference: What the inputs of training were like; None in versions from before that was recorded.
    """

    history_days: int
    horizon_days: int
    group_level: str = NO_GROUPS
    risk_thresholds: Mapping[str, float] = field(default_factory=lambda: dict(RISK_THRESHOLDS))
    reference: Reference | None = None

    @property
    def rho(self) -> Mapping[str, float]:
        """Correlation between the normal scores of two days of a series, by demand class; 0 for others."""
        return {}

    @property
    def dependence(self) -> Dependence | None:
        """How errors of series and days hang together; None where nobody learned it."""
        return None

    @property
    def stock_status(self) -> StatusModel | None:
        """Classifier of series of which only stock status is known; None, so that rates of their record serve."""
        return None

    @property
    def recurring_events(self) -> tuple[str, ...]:
        """Names of the events whose effect counts as that of paydays; none where nothing is told of them."""
        return ()

    @property
    def follows_last_year(self) -> bool:
        """Whether the time of year is last year's change against the last weeks, not a season against the year."""
        return False

    def facts(self) -> dict[str, Any]:
        """Return what the artifact's manifest records besides family, cutoff and horizon."""
        return {}

    def compared(self) -> pl.DataFrame | None:
        """Lay out what training compared; None if nothing was."""
        return None

    def factors(self, panel: Panel, product_groups: Groups) -> Floats | None:
        """[n, T] What multiplies the level on each day of the history; None where all days are alike."""
        del panel, product_groups
        return None
