"""The external family: external forecasts, completed to what later stages need.

What belongs here: the artifact of an external version, and the quantiles that its files leave out. What does not:
reading files, or any opinion on the mean, which is published as it came.

What an external model does to its errors is not known, so quantiles that it leaves out are learned from the series
instead: as multiples of the mean by split conformal prediction (see `calibration`), where the mean of the last four
weeks, with the week's pooled shape, stands in for the external forecast. That is a plain forecast, so the intervals are
rather too wide than too narrow for a better one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats, Names
from forecast_assets.core.keys import CADENCES
from forecast_assets.features.panel import Panel
from forecast_assets.models.artifact import BaseArtifact
from forecast_assets.models.calibration import Calibration, calibrate
from forecast_assets.models.demand import classify, ratio, uncensor
from forecast_assets.models.distribution import Reference, learn_reference
from forecast_assets.models.envelope import from_json, to_json
from forecast_assets.models.selection import LEAST_HISTORY_DAYS, spread_rows

FAMILY: Final = "external"
FORMAT: Final = 1
# What `model_used` says of rows that came with the file.
EXTERNAL_MODEL: Final = "external"

_WEEK: Final = 7
_ORIGINS: Final = 3
_CALIBRATED_SERIES: Final = 20000
_RECENT_DAYS: Final = 28
_LEVELS: Final = np.array(QUANTILES)


@dataclass(frozen=True, kw_only=True)
class ExternalArtifact(BaseArtifact):
    """What registration of an external version decides; the forecasts themselves come with the file of each run.

    Attributes:
        first_file: `name` and `sha256` of the version's first file.
        columns: Columns of that file that were renamed: its names to ours.
        quantile_levels: Probabilities of the quantiles that it had.
        calibration: Quantile factors for those that are missing, and correlations, learned from the series' history.
        horizon_days: Any that a cadence allows, since the file of a run says how far it looks.

    `reference` says what the series were like at registration, in place of what the external model was trained on.
    """

    first_file: Mapping[str, str]
    columns: Mapping[str, str]
    quantile_levels: tuple[float, ...]
    calibration: Calibration
    horizon_days: int = max(cadence.longest_horizon for cadence in CADENCES.values())

    @property
    def rho(self) -> dict[str, float]:
        """Correlation between the normal scores of two days of a series, by demand class."""
        return dict(self.calibration.rho)

    def quantiles(self, mean: Floats, demand_class: Names, given: Mapping[float, Floats]) -> Floats:
        """Complete the quantiles of a run; see `complete_quantiles`.

        Args:
            mean: [n, H] units.
            demand_class: [n].
            given: [n, H] units by probability, of those that the file has.
        """
        return complete_quantiles(self.calibration.quantiles(mean, demand_class), given)

    def to_bytes(self) -> bytes:
        """Write canonical JSON; equal artifacts are equal bytes."""
        return to_json(FAMILY, FORMAT, {**asdict(self), "calibration": self.calibration.to_data()})

    @classmethod
    def from_bytes(cls, content: bytes) -> "ExternalArtifact":
        """Read back what `to_bytes` wrote, exactly.

        Raises:
            InputError: If the bytes are of another family or format.
        """
        remedy = "Score with the release that registered the version, or register the forecasts under a new one."
        data = from_json(FAMILY, FORMAT, content, remedy=remedy)
        calibration, reference = Calibration.from_data(data.pop("calibration")), data.pop("reference", None)
        return cls(
            calibration=calibration,
            quantile_levels=tuple(data.pop("quantile_levels")),
            reference=Reference.from_data(reference) if reference else None,
            **data,
        )


def register_external(
    panel: Panel,
    *,
    first_file: Mapping[str, str],
    columns: Mapping[str, str],
    quantile_levels: tuple[float, ...],
    history_days: int,
) -> ExternalArtifact:
    """Make the artifact of a version from the history before its first prediction date.

    Args:
        panel: n series, T days of history, H ahead, as of the first prediction date.
        first_file: `name` and `sha256` of its first file.
        columns: Columns of the file that were renamed.
        quantile_levels: Probabilities of the quantiles that the file has.
        history_days: Days of history that scoring will read.
    """
    return ExternalArtifact(
        first_file=first_file,
        columns=columns,
        quantile_levels=quantile_levels,
        calibration=calibrate_recent_average(panel),
        history_days=history_days,
        reference=learn_reference(panel),
    )


def calibrate_recent_average(panel: Panel) -> Calibration:
    """Learn quantile factors from how far demand came from the mean of the four weeks before it.

    Up to three past cutoffs, one horizon apart, each with at least four weeks of history; on a shorter record nothing
    is learned, and quantiles spread evenly from nothing to twice the mean.

    Args:
        panel: n series, T days of history, H ahead; of more than 20,000 series that many, evenly spread.
    """
    few = panel.take(spread_rows(panel.series.height, _CALIBRATED_SERIES))
    horizon = panel.horizon_days
    back = [k * horizon for k in range(1, _ORIGINS + 1) if panel.history_days - k * horizon >= LEAST_HISTORY_DAYS]
    if not back:
        nothing = np.full((1, horizon), np.nan)
        return calibrate(nothing, nothing, classify(few)[:1])
    demand = uncensor(few)
    pasts = [few.as_of(days) for days in back]
    actual = [demand[:, past.history_days : past.history_days + horizon] for past in pasts]
    expected = [recent_average(past) for past in pasts]
    return calibrate(
        np.concatenate(expected), np.concatenate(actual), np.concatenate([classify(past) for past in pasts])
    )


def recent_average(panel: Panel) -> Floats:
    """[n, H] Mean demand of each series' last four weeks, in units, times the pooled shape of the week."""
    demand = uncensor(panel)[:, -_RECENT_DAYS:]
    days = panel.weekday[panel.history_days - demand.shape[1] : panel.history_days]
    is_known = ~np.isnan(demand)
    level = ratio(np.where(is_known, demand, 0.0).sum(axis=1), is_known.sum(axis=1).astype(np.float64))
    asked = np.where(is_known, demand, 0.0).sum(axis=0)
    expected = np.where(is_known, level[:, None], 0.0).sum(axis=0)
    weekday = np.arange(_WEEK)[:, None] == days
    shape = ratio((weekday * asked).sum(axis=1), (weekday * expected).sum(axis=1))
    return level[:, None] * shape[panel.weekday[panel.history_days :]]


def complete_quantiles(learned: Floats, given: Mapping[float, Floats]) -> Floats:
    """Fill the quantiles that a file leaves out.

    Between two that are given: linear in probability. Below the lowest: in the learned proportion to it, or, where the
    learned ones are zero, linear from nothing; so none is negative. Above the highest: as far from it as the learned
    ones are from each other. Where none is given: the learned ones. What is given stays as it is.

    Args:
        learned: [n, H, 13] units, rising.
        given: [n, H] units by probability, rising with it.

    Returns:
        [n, H, 13] units, rising along the last axis.

    Example:
        >>> learned = np.linspace(0.0, 12.0, 13).reshape(1, 1, 13)
        >>> complete_quantiles(learned, {0.25: np.array([[1.0]]), 0.75: np.array([[5.0]])})[0, 0].tolist()
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 3.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    """
    if not given:
        return learned
    levels = sorted(given)
    at = {level: QUANTILES.index(level) for level in levels}
    lowest, highest = levels[0], levels[-1]
    anchor = learned[:, :, [at[lowest]]]
    share_of_lowest = np.where(anchor > 0, ratio(learned, np.broadcast_to(anchor, learned.shape)), _LEVELS / lowest)
    below = given[lowest][:, :, None] * share_of_lowest
    above = learned - learned[:, :, [at[highest]]] + given[highest][:, :, None]
    filled = np.where(np.less(_LEVELS, lowest), below, above)
    for low, high in pairwise(levels):
        for place in range(at[low], at[high]):
            share = (QUANTILES[place] - low) / (high - low)
            filled[:, :, place] = given[low] + share * (given[high] - given[low])
    filled[:, :, at[highest]] = given[highest]
    return np.asarray(filled)
