"""The snapshot asset: orchestration only; the features themselves are in forecast_assets.features."""

from datetime import date, datetime

import dagster as dg
import polars as pl

from forecast_assets.core.errors import IncompleteInputsError
from forecast_assets.features.compiler import compile_contract, compute_features
from forecast_assets.features.specs import DEFAULT_SPECS, feature_version
from forecast_assets.history.as_known import History
from forecast_assets.snapshots.readiness import Readiness, assess_readiness
from forecast_assets.snapshots.rebuilding import snapshot_facts
from partitions import prediction_dates
from resources.orchestration.glue import (
    RunSettings,
    StoresResource,
    column_schema,
    description,
    markdown_table,
    product_metadata,
)
from resources.stores.home import Stores
from resources.stores.products import snapshot_key

CONTRACT = compile_contract(DEFAULT_SPECS)


def build_snapshot_asset(start: date, feeds: list[str], feed_tolerance: float) -> dg.AssetsDefinition:
    """Build the snapshot asset over the feeds' assets."""

    @dg.asset(
        key="feature_snapshots",
        partitions_def=prediction_dates(start),
        deps=[dg.AssetDep(dg.AssetKey(["observations", feed])) for feed in feeds],
        group_name="feature_snapshots",
        description=description(
            CONTRACT,
            "Refuses to be made while inputs are incomplete, and says what is missing.",
            "The manifest names the observation batches, the moment of knowledge and the specs, so that the same "
            "snapshot can be made again at any time.",
        ),
        metadata={"dagster/column_schema": column_schema(CONTRACT)},
        kinds={"polars", "parquet"},
        owners=["team:forecasting"],
    )
    def feature_snapshots(
        context: dg.AssetExecutionContext, stores: StoresResource, run: RunSettings
    ) -> dg.MaterializeResult[None]:
        opened = stores.open()
        day = date.fromisoformat(context.partition_key)
        history = known_history(opened, day, run.known_until_moment)
        require_ready(history, feed_tolerance)
        frame = compute_features(DEFAULT_SPECS, history.feeds_for(DEFAULT_SPECS), cutoff=day)
        version = opened.predictions.write(
            CONTRACT,
            frame,
            key=snapshot_key(day, run.known_until_moment),
            folder=f"predictions/feature_snapshots/prediction_date={day}",
            inputs={"batches": [batch.batch_id for batch in history.batches]},
            facts=snapshot_facts(history, DEFAULT_SPECS),
        )
        return dg.MaterializeResult(metadata=product_metadata(CONTRACT, version, frame, _extra(history)))

    return feature_snapshots


def known_history(stores: Stores, day: date, known_until: datetime | None = None) -> History:
    """Return what was known of a date by its moment of knowledge, or for a correction by a later one.

    The first snapshot of a date fixes the moment: a slower feed that is added later must not let a date know more.

    Raises:
        NotStagedError: If a later moment is asked for of a date that has no snapshot yet.
        InputError: If the later moment is an earlier one.
    """
    if known_until is not None:
        made = stores.predictions.staged("feature_snapshots", snapshot_key(day))
        return History.later(made, stores.observations, known_until)
    moment = stores.observations.known_until(day)
    if stores.predictions.is_staged("feature_snapshots", day):
        made = stores.predictions.staged("feature_snapshots", day)
        moment = datetime.fromisoformat(made.facts["known_until"])
    return History(stores.observations, tuple(stores.observations.as_known(day, moment)), day, moment)


def readiness(history: History, feed_tolerance: float) -> Readiness:
    """Judge whether the inputs of the history's cutoff are complete."""
    required = {batch.feed for batch in history.batches}
    return assess_readiness(history.recent_feeds(), required, history.cutoff, feed_tolerance=feed_tolerance)


def require_ready(history: History, feed_tolerance: float) -> None:
    """Stop unless the inputs are complete.

    Raises:
        IncompleteInputsError: Naming what is missing.
    """
    state = readiness(history, feed_tolerance)
    if not state.is_complete:
        raise IncompleteInputsError(history.cutoff, state.missing)


def _extra(history: History) -> dict[str, object]:
    sales = history.recent_feeds()["sales"]
    fused = sales.group_by("source", "resolution").agg(rows=pl.len()).sort("source", "resolution").collect()
    return {
        "feature_version": feature_version(DEFAULT_SPECS),
        "known_until": history.known_until.isoformat(),
        "observation_batches": len(history.batches),
        "sales_sources_last_four_weeks": dg.MetadataValue.md(markdown_table(fused)),
    }
