"""The data plane of a home, as every service opens it.

What belongs here: from settings to a data plane. What does not: any door, or running one.
"""

from collections.abc import Callable
from typing import Final

from forecast_assets.operations.prediction_events import event_home
from forecast_assets.serving.dataplane.apart import Apart
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.settings import Settings
from resources.feature_cache.cache import feature_cache
from resources.row_cache.block_files import block_files
from resources.stores.home import Stores

# A publication is seen after so long at the latest.
_LEDGER_RESTS_SECONDS: Final = 0.1


def open_plane(
    settings: Settings,
    stores: Stores,
    *,
    is_sandbox: bool = False,
    also_degraded: Callable[[], tuple[str, ...]] = tuple,
) -> DataPlane:
    """Open what answers for a home; whoever does so closes it.

    Args:
        settings: Of the home.
        stores: Of the home; the data plane only reads them.
        is_sandbox: Whether people try things out: any use is allowed, and nothing is written below the home.
        also_degraded: Says what is worse than usual in parts of the service that are no data plane, in sentences.
    """
    feature_bytes, row_bytes = (0, 0) if is_sandbox else (settings.features_bytes, settings.rows_bytes)
    # Nothing that is tried in a sandbox is kept among what callers were told.
    events = None if is_sandbox else event_home(settings)
    if events is not None:
        events.buffer.start()
    apart = Apart(settings.store, settings.mirror_folder)
    return DataPlane(
        stores,
        events=events,
        is_sandbox=is_sandbox,
        prepare=apart.run,
        pair=apart.pair,
        rest_seconds=_LEDGER_RESTS_SECONDS,
        cache=feature_cache(settings.redis, settings.features_path, feature_bytes),
        feature_seconds=settings.feature_ttl_seconds,
        rows=block_files(settings.rows_folder, row_bytes),
        also_degraded=also_degraded,
    )
