"""The trained artifact of the statistical family.

What belongs here: what training decides and scoring reads, and its bytes. What does not: how either is done.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from forecast_assets.errors import InputError
from forecast_assets.models.calibration import Calibration
from forecast_assets.models.effects import Effects

FAMILY: Final = "statistical"
FORMAT: Final = 1
RISK_THRESHOLDS: Final[Mapping[str, float]] = {"moderate": 0.05, "high": 0.2, "critical": 0.5}


@dataclass(frozen=True)
class StatisticalArtifact:
    """What training decides; levels and weekday patterns of single series are fitted again on each snapshot.

    Attributes:
        models: Level model by demand class, and that of upper nodes under `nodes`.
        effects: Pooled effects of weekday, price, promotion and events.
        calibration: Quantile factors and correlations.
        risk_thresholds: Lowest stock-out probability of each risk band above the first.
        history_days: Days of history to read when scoring.
        horizon_days: Days ahead that the calibration was learned on.
        group_level: Product level whose nodes effects were pooled by; scoring pools by the same.
    """

    models: Mapping[str, str]
    effects: Effects
    calibration: Calibration
    risk_thresholds: Mapping[str, float]
    history_days: int
    horizon_days: int
    group_level: str = "total"

    @property
    def rho(self) -> dict[str, float]:
        """Correlation between the normal scores of two days of a series, by demand class."""
        return dict(self.calibration.rho)

    def to_bytes(self) -> bytes:
        """Write canonical JSON: sorted keys, shortest exact floats, so that equal artifacts are equal bytes."""
        data = {"family": FAMILY, "format": FORMAT, **asdict(self)}
        return json.dumps(data, sort_keys=True, indent=1, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> "StatisticalArtifact":
        """Read back what `to_bytes` wrote, exactly.

        Raises:
            InputError: If the bytes are of another family or format.
        """
        data = json.loads(content)
        if (data.pop("family", None), data.pop("format", None)) != (FAMILY, FORMAT):
            raise InputError(
                f"The artifact is not of the family `{FAMILY}` in format {FORMAT}.",
                remedy="Train the version again with this release, or score with the release that trained it.",
            )
        effects, calibration = Effects.from_data(data.pop("effects")), Calibration.from_data(data.pop("calibration"))
        return cls(effects=effects, calibration=calibration, **data)
