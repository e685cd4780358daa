"""By when feeds, snapshots and publications are expected, so that the Dagster UI can say that they are late.

What belongs here: the policies and which assets have one. What does not: starting a run, or waiting for one.

A store of days long past would always be late, so policies are off unless the setting `freshness` is on.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import dagster as dg

from forecast_assets.core.keys import CADENCES, Cadence
from forecast_assets.settings import Settings
from resources.stores.moments import DAILY_FEEDS

_LAST_HOUR: Final = 23


def with_freshness(
    assets: Sequence[dg.AssetsDefinition | dg.AssetSpec], settings: Settings
) -> Sequence[dg.AssetsDefinition | dg.AssetSpec]:
    """Give daily feeds, snapshots and publications their freshness policies, if the settings ask for them.

    A feed is late when nothing of it has come in the day up to the scheduled hour; a snapshot or publication, when none
    has been made between the end of the prediction date and the grace after the scheduled hour. Dagster knows when
    something was made, not for which date: making an old date again counts as well.

    Args:
        assets: All assets.
        settings: Whether, and by when.
    """
    if not settings.freshness:
        return assets
    policies = _policies(settings)

    def expected(spec: dg.AssetSpec) -> dg.AssetSpec:
        policy = policies.get(spec.key)
        return spec if policy is None else dg.apply_freshness_policy(spec, policy)

    return dg.map_asset_specs(expected, assets)


def _policies(settings: Settings) -> dict[dg.AssetKey, dg.FreshnessPolicy]:
    hour = settings.schedule_hour_utc
    deadline = min(hour + settings.freshness_grace_hours, _LAST_HOUR)
    came = dg.FreshnessPolicy.cron(f"0 {hour} * * *", timedelta(days=1))
    made = dg.FreshnessPolicy.cron(f"0 {deadline} * * *", timedelta(hours=deadline))
    return {
        **{dg.AssetKey(["observations", feed]): came for feed in DAILY_FEEDS},
        dg.AssetKey("feature_snapshots"): made,
        **{
            dg.AssetKey([cadence.name, "published_predictions"]): _published(cadence, deadline)
            for cadence in CADENCES.values()
        },
    }


def _published(cadence: Cadence, deadline: int) -> dg.FreshnessPolicy:
    return dg.FreshnessPolicy.cron(f"0 {deadline} * * {cadence.cron_day_after}", timedelta(hours=deadline))
