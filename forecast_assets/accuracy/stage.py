"""The stage that measures the published forecasts of a day against its sales, and the record of it.

What belongs here: from a day to its stored measurement, and what must hold before it is recorded. What does not: errors
and sums (measuring), checks, or Dagster.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

import polars as pl

from forecast_assets.accuracy.inputs import (
    PRODUCT,
    DayInputs,
    day_inputs,
    newest_known_at,
    read_actuals,
    require_measurable,
)
from forecast_assets.accuracy.measuring import measure_run
from forecast_assets.accuracy.run_days import RunKnowledgeCache, read_run
from forecast_assets.contracts import FORECAST_ACCURACY
from forecast_assets.core.progress import Progress, silent
from forecast_assets.plots import (
    accuracy_by_step_png,
    accuracy_over_days_png,
    as_markdown_image,
    coverage_and_reliability_png,
)
from forecast_assets.scoring.stage import StageResult, Summary
from resources.ledger.entries.measure import Measurement, Measurements
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

SHOWN_DAYS: Final = 28


@dataclass(frozen=True)
class MeasurementContext:
    """The day that is to be measured.

    Attributes:
        stores: Where everything is.
        cadence: Rhythm of the runs.
        target_date: The day.
        cache: What the runs' times knew; handed from day to day by whoever measures several.
        progress: Told a stage, what is done, and the total.
    """

    stores: Stores
    cadence: str
    target_date: date
    cache: RunKnowledgeCache = field(default_factory=RunKnowledgeCache)
    progress: Progress = silent

    def write(self, result: StageResult) -> ProductVersion:
        """Store the measurement."""
        return self.stores.predictions.write(
            FORECAST_ACCURACY,
            result.rows,
            key=f"{self.cadence}/{self.target_date}",
            folder=f"accuracy/cadence={self.cadence}/target_date={self.target_date}",
            inputs=result.inputs,
            facts=result.facts,
        )

    def newest_entry(self) -> int:
        """Return the ledger entry of the newest measurement of the day; 0 if there is none."""
        measured = self.stores.ledger.state().newest_measurement(self.cadence, self.target_date)
        return 0 if measured is None else measured.sequence


def measure_day(context: MeasurementContext) -> StageResult:
    """Measure every published run whose horizon holds the day.

    Raises:
        NotPublishedError: If no published run looks at the day.
        IncompleteInputsError: If no sales of the day have been ingested.
    """
    stores = context.stores
    inputs = day_inputs(stores.ledger.state(), context.cadence, context.target_date)
    require_measurable(inputs)
    frame, known_until = _measured(context, inputs)
    facts = {"known_until": known_until, "runs": len(inputs.runs)}
    return StageResult({PRODUCT: frame}, inputs.versions, facts, lambda: {"known_until": known_until})


def _measured(context: MeasurementContext, inputs: DayInputs) -> tuple[pl.DataFrame, str]:
    """Measure every run of the day; return the rows and the moment of knowledge."""
    known_until = newest_known_at(context.stores, inputs)
    actuals = read_actuals(context.stores, inputs, known_until)
    frames = []
    for at, run in enumerate(inputs.runs):
        context.progress("measure runs of a day", at, len(inputs.runs))
        said = read_run(context.stores, run, inputs.target_date, context.cache)
        frames.append(
            measure_run(run.key, inputs.target_date, said.forecasts, said.risks, said.naive, actuals, said.hierarchy)
        )
    return pl.concat(frames).sort(FORECAST_ACCURACY.key), known_until.isoformat()


def record_measurement(
    context: MeasurementContext, version: ProductVersion, *, since: int, required_checks: Sequence[str]
) -> tuple[Measurement, bool]:
    """Record a measurement in the ledger, unless the newest one of the day has the same numbers.

    Args:
        context: The day.
        version: The stored measurement.
        since: The newest entry when the inputs were read.
        required_checks: Names of the checks that must have accepted it.

    Returns:
        The newest measurement of the day, and whether this call recorded it.
    """
    return context.stores.predictions.record_measurement(
        context.cadence, context.target_date, version, since=since, required_checks=required_checks
    )


def last_weeks(context: MeasurementContext) -> Summary:
    """Draw the newest measurements of the last four weeks."""
    state, store = context.stores.ledger.state(), context.stores.predictions
    days = (context.target_date - timedelta(days=back) for back in range(SHOWN_DAYS))
    newest = state.part(Measurements).newest_of(context.cadence, days)
    versions = [store.version(one.product_version) for one in newest]
    # Measurements of earlier releases have fewer columns.
    rows = pl.concat([store.read(version) for version in versions], how="diagonal")
    drawn = {
        "accuracy_by_days_ahead": accuracy_by_step_png(rows),
        "accuracy_over_days": accuracy_over_days_png(rows),
        "coverage_and_reliability": coverage_and_reliability_png(rows),
    }
    return {name: as_markdown_image(png, name.replace("_", " ")) for name, png in drawn.items()}
