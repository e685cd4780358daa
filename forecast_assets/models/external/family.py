"""The external family, as everything outside its package sees it.

What belongs here: the protocol's methods by what the package does. What does not: any of it itself.

Upper nodes are the exact sums of the series, so that reconciliation finds nothing to correct: the published forecast is
the file's.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import EXTERNAL_FORECASTS
from forecast_assets.core.errors import InputError
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.demand import classify
from forecast_assets.models.external.artifact import EXTERNAL_MODEL, FAMILY, ExternalArtifact, register_external
from forecast_assets.models.external.given import given_quantiles, matrix, require_same_date, require_same_series
from forecast_assets.models.external.registration import external_gates, external_measures
from forecast_assets.models.family import ModelFamily
from forecast_assets.models.forecasts import ForecastInputs, Forecasts
from forecast_assets.models.statistical.levels import ZERO
from forecast_assets.models.training import Fitted, GivenDate, PastCutoff, TrainingInputs


class ExternalFamily(ModelFamily[ExternalArtifact]):
    """External forecasts: taken over to the last decimal, with the quantiles that they leave out."""

    name = FAMILY
    given_product = EXTERNAL_FORECASTS.name

    def train(self, inputs: TrainingInputs) -> Fitted:
        """Register external forecasts by the dates of their first file, and judge them on those that are past."""
        first = inputs.given_dates[0].facts
        artifact = register_external(
            inputs.panel,
            first_file={"name": first["file"], "sha256": first["file_sha256"]},
            columns=first["columns"],
            quantile_levels=tuple(first["quantile_levels"]),
            history_days=inputs.history_days,
        )
        return Fitted(
            artifact, past_cutoffs(artifact, inputs.given_dates), external_measures(inputs.panel, inputs.given_dates)
        )

    def read(self, content: bytes) -> ExternalArtifact:
        """Read the artifact's JSON."""
        return ExternalArtifact.from_bytes(content)

    def forecast(self, artifact: ExternalArtifact, inputs: ForecastInputs) -> Forecasts:
        """Take the file's numbers over; demand classes, and quantiles that it leaves out, follow from the history."""
        panel, rows = inputs.panel, inputs.given_rows
        if rows is None:
            raise InputError(
                f"No forecasts of {inputs.key or panel.cutoff} were given.",
                remedy="This is a defect of the software, not of the data: keep the store as it is and report the run.",
            )
        require_same_date(inputs.key, panel, rows)
        require_same_series(inputs.key, panel, rows)
        mean, demand_class = matrix(rows["forecast_units"], panel.horizon_days), classify(panel)
        is_missing = rows.filter(pl.col("step") == 1)["is_missing"].to_numpy()
        return Forecasts(
            mean=mean,
            quantiles=artifact.quantiles(mean, demand_class, given_quantiles(rows, panel.horizon_days)),
            demand_class=demand_class,
            model_used=np.where(is_missing, ZERO, EXTERNAL_MODEL).astype(np.object_),
            is_fallback=np.asarray(is_missing, dtype=np.bool_),
            out_of_distribution=None if artifact.reference is None else artifact.reference.score(panel),
        )

    def gates(self, report: pl.DataFrame) -> dict[str, bool]:
        """Ask for a sound file, and for channels for backtests too."""
        return external_gates(report)


def past_cutoffs(artifact: ExternalArtifact, given: Sequence[GivenDate]) -> list[PastCutoff]:
    """Return the dates whose days have come, at least some of them, to judge what was given for them."""
    return [
        PastCutoff(
            panel=each.known,
            product_groups=np.full(each.known.series.height, artifact.group_level),
            hierarchy=Hierarchy.build(each.known.series, None, None),
            rows=np.arange(each.known.series.height),
            days=each.days_since,
            version=lambda _past: artifact,
            given_rows=each.rows,
        )
        for each in given
        if each.known is not None
    ]


EXTERNAL_FAMILY: Final = ExternalFamily()
