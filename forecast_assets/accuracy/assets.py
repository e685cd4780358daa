"""The accuracy asset: orchestration only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import dagster as dg
import polars as pl
from dagster_duckdb import DuckDBResource
from duckdb import DuckDBPyConnection

from forecast_assets.accuracy.inputs import (
    ACTUAL_FEEDS,
    PRODUCT,
    DayInputs,
    day_inputs,
    newest_word,
    read_actuals,
    require_measurable,
)
from forecast_assets.accuracy.measuring import measure_run
from forecast_assets.accuracy.run_days import read_run
from forecast_assets.contracts import FORECAST_ACCURACY
from forecast_assets.core.keys import Cadence
from forecast_assets.plots import (
    accuracy_by_step_png,
    accuracy_over_days_png,
    as_markdown_image,
    coverage_and_reliability_png,
)
from partitions import prediction_dates
from resources.ledger.entries.measure import Measurement
from resources.orchestration.glue import (
    Progress,
    ProgressReporter,
    StoresResource,
    column_schema,
    description,
    product_metadata,
)
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores
from resources.stores.products import PredictionStore

SHOWN_DAYS: Final = 28

Judge = Callable[[PredictionStore, ProductVersion, DuckDBPyConnection], Sequence[dg.AssetCheckResult]]


@dataclass(frozen=True)
class Checking:
    """The checks that a measurement passes before it is recorded.

    Attributes:
        specs: Return the checks of an asset, as Dagster knows them.
        judge: Judge a stored product by them.
    """

    specs: Callable[[dg.AssetKey], Sequence[dg.AssetCheckSpec]]
    judge: Judge


class Measuring(dg.Config):
    """What may differ from one measurement to the next.

    Attributes:
        shows: Whether to draw pictures and build the BI catalogue afterwards; of many days only the last needs them.
    """

    shows: bool = True


def build_forecast_accuracy_asset(cadence: Cadence, start: date, checking: Checking) -> dg.AssetsDefinition:
    """Build the asset that measures the published forecasts of a day, and whose last act is to record it."""
    key = dg.AssetKey([cadence.name, PRODUCT])
    specs = checking.specs(key)

    @dg.asset(
        key=key,
        partitions_def=prediction_dates(start),
        deps=[_published(cadence), *(dg.AssetDep(dg.AssetKey(["observations", feed])) for feed in ACTUAL_FEEDS)],
        check_specs=specs,
        group_name="accuracy",
        kinds={"polars", "parquet"},
        owners=["team:forecasting"],
        metadata={"dagster/column_schema": column_schema(FORECAST_ACCURACY)},
        description=description(
            FORECAST_ACCURACY,
            "**Partition**: the target date. Measures every published run whose horizon holds it.",
            "One ledger entry makes it visible in `audit.forecast_accuracy`. Measured again after a restatement, both "
            "stay; with unchanged numbers nothing is recorded.",
        ),
    )
    def forecast_accuracy(
        context: dg.AssetExecutionContext,
        config: Measuring,
        stores: StoresResource,
        progress: dg.ResourceParam[ProgressReporter],
        duckdb: DuckDBResource,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        opened = stores.open()
        inputs = day_inputs(opened.ledger.state(), cadence.name, date.fromisoformat(context.partition_key))
        require_measurable(inputs)
        since = _newest_entry(opened, inputs)
        frame, known_until = _measured(opened, inputs, progress.reporter(context.log))
        version = _written(opened, inputs, frame, known_until)
        with duckdb.get_connection() as connection:
            results = checking.judge(opened.predictions, version, connection)
        metadata = product_metadata(FORECAST_ACCURACY, version, frame, {"known_until": known_until})
        if all(result.passed for result in results):
            measurement = _recorded(opened, inputs, version, since, [spec.name for spec in specs], context)
            metadata["ledger_sequence"] = measurement.sequence
            if config.shows:
                metadata |= _pictures(opened, cadence, inputs.target_date)
                metadata["catalogue"] = stores.refreshed_catalogue(duckdb, context)
        return dg.MaterializeResult(metadata=metadata, check_results=results)

    return forecast_accuracy


def _published(cadence: Cadence) -> dg.AssetDep:
    # A day is looked at by runs of many dates and of every version.
    return dg.AssetDep(dg.AssetKey([cadence.name, "published_predictions"]), partition_mapping=dg.AllPartitionMapping())


def _newest_entry(stores: Stores, inputs: DayInputs) -> int:
    measured = stores.ledger.state().measured(inputs.cadence, inputs.target_date)
    return 0 if measured is None else measured.sequence


def _measured(stores: Stores, inputs: DayInputs, report: Progress) -> tuple[pl.DataFrame, str]:
    """Measure every run of the day; return the rows and the moment of knowledge."""
    known_until = newest_word(stores, inputs)
    actuals = read_actuals(stores, inputs, known_until)
    frames = []
    for at, run in enumerate(inputs.runs):
        report("measure runs of a day", at, len(inputs.runs))
        said = read_run(stores, run, inputs.target_date)
        frames.append(
            measure_run(run.key, inputs.target_date, said.forecasts, said.risks, said.naive, actuals, said.hierarchy)
        )
    return pl.concat(frames).sort(FORECAST_ACCURACY.key), known_until.isoformat()


def _written(stores: Stores, inputs: DayInputs, frame: pl.DataFrame, known_until: str) -> ProductVersion:
    return stores.predictions.write(
        FORECAST_ACCURACY,
        frame,
        key=inputs.key,
        folder=f"accuracy/cadence={inputs.cadence}/target_date={inputs.target_date}",
        inputs=inputs.versions,
        facts={"known_until": known_until, "runs": len(inputs.runs)},
    )


def _recorded(
    stores: Stores,
    inputs: DayInputs,
    version: ProductVersion,
    since: int,
    checks: Sequence[str],
    context: dg.AssetExecutionContext,
) -> Measurement:
    measurement, is_new = stores.predictions.measure(
        inputs.cadence, inputs.target_date, version, since=since, required_checks=checks
    )
    if not is_new:
        context.log.info("The numbers are those of ledger entry %s; nothing is recorded.", measurement.sequence)
    return measurement


def _pictures(stores: Stores, cadence: Cadence, target_date: date) -> dict[str, Any]:
    """Draw the newest measurements of the last four weeks."""
    state = stores.ledger.state()
    days = [target_date - timedelta(days=back) for back in range(SHOWN_DAYS)]
    newest = [state.measured(cadence.name, day) for day in days]
    versions = [stores.predictions.version(one.product_version) for one in newest if one is not None]
    rows = pl.concat([stores.predictions.read(version) for version in versions])
    drawn = {
        "accuracy_by_days_ahead": accuracy_by_step_png(rows),
        "accuracy_over_days": accuracy_over_days_png(rows),
        "coverage_and_reliability": coverage_and_reliability_png(rows),
    }
    return {name: dg.MetadataValue.md(as_markdown_image(png, name.replace("_", " "))) for name, png in drawn.items()}
