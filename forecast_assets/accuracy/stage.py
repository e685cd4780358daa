"""The stage that measures the published forecasts of a day against its sales, and the record of it.

What belongs here: from a day to its stored measurement, and what must hold before it is recorded. What does not: errors
and sums (measuring), checks, or Dagster.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from forecast_assets.accuracy.inputs import (
    PRODUCT,
    VALUE_PRODUCT,
    DayInputs,
    day_inputs,
    newest_known_at,
    read_actuals,
    require_measurable,
)
from forecast_assets.accuracy.measuring import measure_run
from forecast_assets.accuracy.overridden import value_of_run
from forecast_assets.accuracy.run_days import RunKnowledgeCache, read_overridden, read_run
from forecast_assets.accuracy.value_added import value_by
from forecast_assets.contracts import FORECAST_ACCURACY, FORECAST_VALUE_ADDED, Contract
from forecast_assets.core.progress import Progress, silent
from forecast_assets.plots import (
    accuracy_by_step_png,
    accuracy_over_days_png,
    as_markdown_image,
    coverage_and_reliability_png,
    value_added_png,
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
        """Store the measurement, and before it what overrides were worth, which its facts name."""
        facts = dict(result.facts)
        if VALUE_PRODUCT in result.frames:
            value = self._write(FORECAST_VALUE_ADDED, result, facts)
            facts[VALUE_PRODUCT] = {"product_version": value.version, "numbers": value.files[0].sha256}
        return self._write(FORECAST_ACCURACY, result, facts)

    def _write(self, contract: Contract, result: StageResult, facts: Mapping[str, Any]) -> ProductVersion:
        return self.stores.predictions.write(
            contract,
            result.frames[contract.name],
            key=f"{self.cadence}/{self.target_date}",
            folder=f"accuracy/cadence={self.cadence}/target_date={self.target_date}",
            inputs=result.inputs,
            facts=facts,
        )

    def value_of(self, measured: ProductVersion) -> ProductVersion | None:
        """Return what overrides were worth beside a stored measurement; None where no forecast was overridden."""
        named = measured.facts.get(VALUE_PRODUCT)
        return None if named is None else self.stores.predictions.version(named["product_version"])

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
    frames, known_until = _measured(context, inputs)
    facts = {"known_until": known_until, "runs": len(inputs.runs)}
    return StageResult(frames, inputs.versions, facts, lambda: {"known_until": known_until})


def _measured(context: MeasurementContext, inputs: DayInputs) -> tuple[Mapping[str, pl.DataFrame], str]:
    """Measure every run of the day; return rows by product and the moment of knowledge."""
    stores, day = context.stores, inputs.target_date
    known_until = newest_known_at(stores, inputs)
    actuals = read_actuals(stores, inputs, known_until)
    overridden = {run.key for run in inputs.overridden}
    frames, values = [], []
    for at, run in enumerate(inputs.runs):
        context.progress("measure runs of a day", at, len(inputs.runs))
        said = read_run(stores, run, day, context.cache)
        frames.append(measure_run(run.key, day, said.forecasts, said.risks, said.naive, actuals, said.hierarchy))
        if run.key in overridden:
            values.append(value_of_run(run.key, day, *read_overridden(stores, run, day), said.naive, actuals))
    # An overridden run need not be on this very day.
    valued = {VALUE_PRODUCT: pl.concat(values).sort(FORECAST_VALUE_ADDED.key)} if any(map(len, values)) else {}
    return {**valued, PRODUCT: pl.concat(frames).sort(FORECAST_ACCURACY.key)}, known_until.isoformat()


def record_measurement(
    context: MeasurementContext,
    version: ProductVersion,
    *,
    since: int,
    required_checks: Callable[[str], Sequence[str]],
) -> tuple[Measurement, bool]:
    """Record a measurement in the ledger, unless the newest one of the day has the same numbers.

    Args:
        context: The day.
        version: The stored measurement.
        since: The newest entry when the inputs were read.
        required_checks: Names of the checks that must have accepted a product, by its name.

    Returns:
        The newest measurement of the day, and whether this call recorded it.
    """
    return context.stores.predictions.record_measurement(
        context.cadence,
        context.target_date,
        version,
        since=since,
        required_checks=required_checks(PRODUCT),
        value=context.value_of(version),
        value_checks=required_checks(VALUE_PRODUCT),
    )


def last_weeks(context: MeasurementContext) -> Summary:
    """Draw the newest measurements of the last four weeks."""
    state, store = context.stores.ledger.state(), context.stores.predictions
    days = (context.target_date - timedelta(days=back) for back in range(SHOWN_DAYS))
    newest = state.part(Measurements).newest_of(context.cadence, days)
    # Measurements of earlier releases have fewer columns.
    rows = pl.concat([store.read(store.version(one.product_version)) for one in newest], how="diagonal")
    valued = [store.read(store.version(one.value_version)) for one in newest if one.value_version]
    drawn = {
        "accuracy_by_days_ahead": accuracy_by_step_png(rows),
        "accuracy_over_days": accuracy_over_days_png(rows),
        "coverage_and_reliability": coverage_and_reliability_png(rows),
        **({"value_of_overrides": value_added_png(_by_planner(pl.concat(valued)))} if valued else {}),
    }
    return {name: as_markdown_image(png, name.replace("_", " ")) for name, png in drawn.items()}


def _by_planner(rows: pl.DataFrame) -> pl.DataFrame:
    name = pl.concat_str("planner", "direction", separator=", ")
    return value_by(rows, ("is_rule", "planner", "direction")).with_columns(name.alias("name"))
