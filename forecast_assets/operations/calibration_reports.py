"""Reading the calibration report of a model version.

What belongs here: finding it, and saying why there is none. What does not: making it (`training`), or how it looks.
"""

from dataclasses import dataclass

import polars as pl

from forecast_assets.core.errors import NotReadyError
from resources.ledger.entries.register import VersionRecord
from resources.stores.home import Stores


@dataclass(frozen=True)
class CalibrationReport:
    """How often what a version gave a probability came.

    Attributes:
        version: The version.
        rows: Contract `calibration`.
    """

    version: VersionRecord
    rows: pl.DataFrame


def calibration_report(stores: Stores, name: str) -> CalibrationReport:
    """Return the calibration report of a version.

    Args:
        stores: Where everything is.
        name: The version.

    Raises:
        UnknownVersionError: If there is no such version.
        NotReadyError: If it has no calibration report.
    """
    version = stores.registry.model_version(name)
    if not version.calibration:
        raise NotReadyError(
            f"`{name}` has no calibration report: it was registered before there were any, or nothing had come yet by "
            "which its quantiles could be judged.",
            remedy="Train a version with this release, on a snapshot with days of sales after its past cutoffs.",
            model_version=name,
        )
    return CalibrationReport(version, stores.predictions.read(stores.predictions.version(version.calibration)))
