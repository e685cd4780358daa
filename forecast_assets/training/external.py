"""Registration of a version made elsewhere, until all callers ask its family.

What belongs here: names that callers still use. What does not: anything else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from forecast_assets.features.panel import Panel
from forecast_assets.models.external.arrival import LEAST_COMPLETENESS, arrival_gates, arrival_measures
from forecast_assets.models.external.artifact import ExternalArtifact
from forecast_assets.models.external.family import EXTERNAL_FAMILY, past_cutoffs
from forecast_assets.models.training import GivenDate
from forecast_assets.training.evaluation import evaluate
from forecast_assets.training.fitting import JUDGED_DATES as MEASURED_DATES

__all__ = ["LEAST_COMPLETENESS", "MEASURED_DATES", "Arrived", "PastDate", "arrival_gates", "arrival_report"]


@dataclass(frozen=True)
class Arrived:
    """What a file says of one prediction date."""

    made: pl.DataFrame
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class PastDate:
    """A prediction date that lies so far back that some of the days after it are known."""

    made: pl.DataFrame
    panel: Panel
    days_since: int


def arrival_report(
    artifact: ExternalArtifact, panel: Panel, arrived: Sequence[Arrived], past: Sequence[PastDate]
) -> pl.DataFrame:
    """Measure a version made elsewhere by the file that it arrives with."""
    given = [GivenDate(each.made, each.facts) for each in arrived]
    judged = [GivenDate(each.made, {}, each.panel, each.days_since) for each in past]
    measures = arrival_measures(panel, given)
    return evaluate(EXTERNAL_FAMILY, past_cutoffs(artifact, judged), measures, history_days=artifact.history_days)
