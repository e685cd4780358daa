"""The assets that assemble candidates and publish them: context in, metadata out."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final

import dagster as dg
from dagster_duckdb import DuckDBResource

from forecast_assets.contracts import FORECASTS
from forecast_assets.core.keys import Cadence
from forecast_assets.publication.stage import assemble, publish
from forecast_assets.scoring.assets import run_context, run_stage, scoring_asset
from forecast_assets.scoring.context import RunContext
from partitions import scoring_partitions
from resources.ledger.entries.publish import Publication
from resources.ledger.log import head_text
from resources.orchestration.dagster_resources import ProgressReporter, RunResource, StoresResource

_CHECKED: Final = ("forecasts", "stockout_risks", "forecast_explanations", "forecast_overrides")


def build_forecasts_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the asset that assembles what will be published."""

    @scoring_asset(
        cadence,
        FORECASTS,
        start,
        group="publication",
        deps=["base_forecasts", "reconciled_forecasts", "forecast_overrides", "forecast_explanations"],
        notes=[
            "Also writes `aggregate_forecasts`: exact sums over every pair of levels, with quantiles by sample paths.",
            "Also writes `cumulative_forecasts`: each series' sums over lead time and first days, with quantiles.",
            "Not visible to consumers before `published_predictions` commits it.",
        ],
    )
    def forecasts(
        context: dg.AssetExecutionContext,
        stores: dg.ResourceParam[StoresResource],
        run: RunResource,
        progress: dg.ResourceParam[ProgressReporter],
    ) -> dg.MaterializeResult[None]:
        return run_stage(assemble, FORECASTS, run_context(context, cadence, stores, run, progress))

    return forecasts


def build_published_predictions_asset(
    cadence: Cadence, start: date, required_checks: Callable[[str], Sequence[str]]
) -> dg.AssetsDefinition:
    """Build the asset whose body is the commit."""

    @dg.asset(
        key=dg.AssetKey([cadence.name, "published_predictions"]),
        partitions_def=scoring_partitions(cadence, start),
        deps=[dg.AssetDep(dg.AssetKey([cadence.name, name])) for name in _CHECKED],
        group_name="publication",
        kinds={cadence.name, "duckdb", "parquet"},
        owners=["team:forecasting"],
        description=(
            "The commit: one ledger entry makes `forecasts`, `aggregate_forecasts`, `cumulative_forecasts`, "
            "`stockout_risks`, `forecast_explanations` and `forecast_overrides` of the run visible at once; then the "
            "BI catalogue is built.\n\n"
            "**Key**: cadence, prediction date, model version, forecast horizon, revision.\n\n"
            "**Promise**: refuses products on whose exact bytes a required check has not passed; never overwrites.\n\n"
            "**Limit**: carries no latest; consumers name the model version."
        ),
    )
    def published_predictions(
        context: dg.AssetExecutionContext,
        stores: dg.ResourceParam[StoresResource],
        run: RunResource,
        progress: dg.ResourceParam[ProgressReporter],
        duckdb: DuckDBResource,
    ) -> dg.MaterializeResult[None]:
        scored = run_context(context, cadence, stores, run, progress)
        publication = publish(scored, required_checks)
        catalogue = stores.refreshed_catalogue(duckdb, context)
        return dg.MaterializeResult(metadata={**_metadata(scored, publication), "catalogue": catalogue})

    return published_predictions


def _metadata(run: RunContext, publication: Publication) -> dict[str, Any]:
    state = run.stores.ledger.state()
    return {
        "publication_key": str(publication.key),
        "ledger_sequence": publication.sequence,
        # With this, `verify --expect-head` sees that the end of the ledger was cut or rewritten.
        "ledger_head": head_text(state.sequence, state.head),
        "dagster/partition_row_count": sum(run.version(version).rows for version in publication.products.values()),
        "checks_accepted": sum(len(checks) for checks in publication.accepted.values()),
        **{f"{name}_version": version for name, version in publication.products.items()},
    }
