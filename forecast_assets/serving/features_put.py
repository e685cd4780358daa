"""Putting what answers about the newest runs need where services find it, before one is started or asked.

What belongs here: wiring stores and the cache for a process that does just that. What does not: what is put.
"""

from collections.abc import Callable
from contextlib import closing

from forecast_assets.core.errors import ForecastAssetsError, InputError, StorageError, first_ten
from forecast_assets.serving.dataplane.apart import Apart
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.warming import runs_to_warm
from forecast_assets.settings import Settings
from resources.feature_cache.cache import feature_cache
from resources.row_cache.block_files import block_files
from resources.stores.home import open_stores


def put_newest(settings: Settings, echo: Callable[[str], None]) -> None:
    """Put all of the newest runs, of those that are not there yet, and their published rows.

    Args:
        settings: Of the home.
        echo: Says what is done.

    Raises:
        InputError: If there is nowhere to put it.
        StorageError: If it could not be put.
    """
    cache = feature_cache(settings.redis, settings.features_path, settings.features_bytes)
    if not cache.is_shared:
        raise InputError(
            "What predictions need of a run is kept in memory of each service alone: there is nowhere to put it.",
            remedy="Set FORECAST_ASSETS_FEATURE_DISK_MB to more than 0, or FORECAST_ASSETS_REDIS.",
        )
    stores = open_stores(settings.store, settings.mirror_folder)
    prepare = Apart(settings.store, settings.mirror_folder).run
    rows = block_files(settings.rows_folder, settings.rows_bytes)
    plane = DataPlane(stores, prepare=prepare, cache=cache, feature_seconds=settings.feature_ttl_seconds, rows=rows)
    with closing(plane):
        state = plane.stores.ledger.state()
        runs = runs_to_warm(state)
        if not runs:
            echo("Nothing is published yet.")
        if rows is not None:
            plane.few.warm([state.publications[run] for run in runs])
        failed = list[Exception]()
        for run in runs:
            try:
                plane.features.warm(run, lambda run: echo(f"Preparing {run} ..."))
            except (ForecastAssetsError, OSError) as error:
                echo(f"{run}: {error}")
                failed.append(error)
                continue
            if not plane.features.is_whole(run):
                raise StorageError(
                    f"{run} could not be put into {cache.place}: {cache.trouble() or 'it has no room'}.",
                    remedy="Services prepare it by themselves meanwhile. Make room, then run the same command again.",
                )
            echo(f"{run}: what predictions need of it is in {cache.place}.")
        plane.few.finish()
        on_disk = [run for run in runs if plane.few.is_on_disk(state.publications[run])]
        if on_disk:
            folder = settings.rows_folder
            echo(f"Published rows of {first_ten(on_disk)} are in {folder.parent.name}/{folder.name}.")
        if failed:
            raise failed[0]
