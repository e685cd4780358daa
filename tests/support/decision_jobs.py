"""Decisions about versions, launched as Dagster's jobs as somebody does in the UI.

What belongs here: running such a job and what it shows. What does not: what follows from a decision.
"""

from typing import Any

import dagster as dg

from forecast_assets.definitions import build_defs, stores_resource
from forecast_assets.settings import Settings
from partitions import model_versions
from resources.stores.home import Stores


def launched(
    stores: Stores,
    settings: Settings,
    job: str,
    asset: str,
    *,
    instance: dg.DagsterInstance,
    partition: str | None = None,
    **config: Any,
) -> dict[str, Any]:
    """Run a job of the code location, and return what it shows.

    Args:
        stores: Where everything is.
        settings: The home's.
        job: Name of the job.
        asset: The asset that it makes.
        instance: Where Dagster keeps runs.
        partition: Of the asset; None where it has none.
        config: Of the asset.
    """
    defs = build_defs({"stores": stores_resource(settings, stores)}, settings)
    instance.add_dynamic_partitions(str(model_versions.name), [*stores.ledger.state().versions])
    done = defs.resolve_job_def(job).execute_in_process(
        {"ops": {asset: {"config": config}}}, instance=instance, partition_key=partition
    )
    (event,) = done.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}
