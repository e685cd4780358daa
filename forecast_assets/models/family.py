"""The model families: how the artifact of each is read back, and how series are forecast with it.

What belongs here: the families, and what stages ask of any of them. What does not: how a family does anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import InputError
from forecast_assets.features.panel import Panel
from forecast_assets.models.boosted.model import COMBINED, GLOBAL, GlobalArtifact, forecast_global
from forecast_assets.models.demand import usual_lost_share
from forecast_assets.models.distribution import Reference
from forecast_assets.models.external import artifact as external
from forecast_assets.models.external.artifact import ExternalArtifact
from forecast_assets.models.statistical import artifact
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.levels import Progress
from forecast_assets.models.statistical.series import SeriesForecasts, forecast_series

# What is trained here, rather than made elsewhere.
TrainedArtifact = StatisticalArtifact | GlobalArtifact

FAMILIES: Final[Mapping[str, Callable[[bytes], TrainedArtifact | ExternalArtifact]]] = {
    artifact.FAMILY: StatisticalArtifact.from_bytes,
    GLOBAL: partial(GlobalArtifact.from_bytes, GLOBAL),
    COMBINED: partial(GlobalArtifact.from_bytes, COMBINED),
    external.FAMILY: ExternalArtifact.from_bytes,
}
# Families with trees, which learn from all series at once.
WITH_TREES: Final = (GLOBAL, COMBINED)
TRAINED: Final = (artifact.FAMILY, *WITH_TREES)


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of n series by a version.

    Attributes:
        series: The version's forecasts.
        statistical: Those of its statistical part, by which the levels above are forecast; the same for the statistical
            family.
        part: What the statistical part stands on.
    """

    series: SeriesForecasts
    statistical: SeriesForecasts
    part: StatisticalArtifact

    @property
    def beside_statistical(self) -> Floats | None:
        """[n, H] means of a family that has a statistical part beside it; None for the statistical family itself."""
        return None if self.series is self.statistical else self.series.mean


def statistical_part(found: TrainedArtifact | ExternalArtifact) -> StatisticalArtifact | None:
    """Return what the statistical family decided in a version; None for one made elsewhere."""
    if isinstance(found, GlobalArtifact):
        return found.statistical
    return found if isinstance(found, StatisticalArtifact) else None


def reference_of(found: TrainedArtifact | ExternalArtifact) -> Reference | None:
    """Return what the inputs of a version's training were like; None in versions from before that was recorded."""
    return found.statistical.reference if isinstance(found, GlobalArtifact) else found.reference


def forecast(
    panel: Panel,
    version: TrainedArtifact,
    product_groups: npt.NDArray[np.str_],
    *,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Forecasts:
    """Forecast every series of a panel with a version of any family that is trained here.

    Args:
        panel: n series, T days of history, H ahead.
        version: Its artifact.
        product_groups: [n] group of each series, as in training.
        progress: Called with series done and series in all.
        workers: Threads, and processes for slow models; all cores if left out.
    """
    if isinstance(version, GlobalArtifact):
        made = forecast_global(panel, version, product_groups, progress=progress, workers=workers)
        return Forecasts(made.series, made.statistical, version.statistical)
    series = forecast_series(panel, version, product_groups, progress=progress, workers=workers)
    return Forecasts(series, series, version)


def lost_share(panel: Panel, made: SeriesForecasts) -> Floats:
    """[n, H] Share of demand expected to meet an empty shelf: as forecast, else what the series usually loses.

    Args:
        panel: n series, T days of history, H ahead.
        made: Their forecasts.
    """
    usual = np.broadcast_to(usual_lost_share(panel, made.history.demand)[:, None], made.mean.shape)
    return usual if made.lost_share is None else np.where(np.isnan(made.lost_share), usual, made.lost_share)


def read_artifact(family: str, content: bytes) -> TrainedArtifact | ExternalArtifact:
    """Read the artifact of a model version.

    Args:
        family: Family that the version is registered with.
        content: The artifact's bytes.

    Raises:
        InputError: If there is no such family, or the bytes are of another family or format, or of no artifact.
    """
    if family not in FAMILIES:
        raise InputError(
            f"There is no model family `{family}`. Known: {', '.join(FAMILIES)}.",
            remedy="Read the version with the release that registered it.",
        )
    try:
        return FAMILIES[family](content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"This is no artifact of the family `{family}`: {type(error).__name__} {error}.",
            remedy="Train the version again, or score with the release that trained it.",
        ) from error
