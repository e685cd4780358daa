"""The assets of decisions about versions: judging, challenging, promoting, going back, retiring; config to metadata."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import dagster as dg
from dagster_duckdb import DuckDBResource

from forecast_assets.contracts import PROMOTION_GATES
from forecast_assets.core.errors import InputError
from forecast_assets.operations.challengers import (
    ChallengeRequest,
    promote_on_evidence,
    set_challenger,
    stop_challenger,
)
from forecast_assets.operations.promoting import judge, promote
from forecast_assets.plots import as_markdown_image
from forecast_assets.plots.gates import gates_png
from forecast_assets.presentation.challengers import challenged_text, stopped_text
from forecast_assets.presentation.channels import moved_text, retired_text, unchanged_channel_text
from forecast_assets.presentation.promotion_gates import conclusion
from forecast_assets.scoring.assets import rendered
from partitions import model_versions
from resources.orchestration.configs import (
    ChallengerConfig,
    JudgementConfig,
    PromotionConfig,
    RetirementConfig,
    RollbackConfig,
)
from resources.orchestration.dagster_resources import StoresResource
from resources.orchestration.metadata import column_schema, description, product_metadata

_GROUP: Final = "promotion"
_OWNERS: Final = ["team:forecasting"]
# Each decision is a job of its own, so that it can be launched with who and why.
PROMOTION_JOBS: Final[Mapping[str, str]] = {
    "gates": PROMOTION_GATES.name,
    "challenger": "challengers",
    "promotion": "promotions",
    "rollback": "rollbacks",
    "retirement": "retirements",
}


def build_promotion_assets() -> list[dg.AssetsDefinition]:
    """Build the assets of decisions about versions."""
    return [_promotion_gates(), _challengers(), _promotions(), _rollbacks(), _retirements()]


def _promotion_gates() -> dg.AssetsDefinition:
    @dg.asset(
        key=PROMOTION_GATES.name,
        partitions_def=model_versions,
        deps=["evaluation_reports", "backtest_reports"],
        group_name=_GROUP,
        description=description(
            PROMOTION_GATES,
            "Judged by the policy in force and recorded in the ledger; all judgements: `audit.promotion_gates`.",
        ),
        metadata={"dagster/column_schema": column_schema(PROMOTION_GATES)},
        kinds={"polars", "parquet"},
        owners=_OWNERS,
    )
    def promotion_gates(
        context: dg.AssetExecutionContext,
        config: JudgementConfig,
        stores: dg.ResourceParam[StoresResource],
        duckdb: DuckDBResource,
    ) -> dg.MaterializeResult[None]:
        judged = judge(stores.open(), context.partition_key, config.cadence)
        picture = as_markdown_image(gates_png(judged.rows), "distance of each gate of merit from its bounds")
        shown = {"conclusion": conclusion(judged.record, judged.rows), "distance_from_bounds": picture}
        metadata = product_metadata(PROMOTION_GATES, judged.product, judged.rows, rendered(shown))
        metadata["ledger_sequence"] = judged.record.sequence
        metadata["catalogue"] = stores.refreshed_catalogue(duckdb, context)
        return dg.MaterializeResult(metadata=metadata)

    return promotion_gates


def _promotions() -> dg.AssetsDefinition:
    @dg.asset(
        key="promotions",
        deps=[dg.AssetDep(PROMOTION_GATES.name, partition_mapping=dg.AllPartitionMapping())],
        group_name=_GROUP,
        description="Points a channel at a version that meets the gates of the policy in force, with who and why.\n\n"
        "**Promise**: one ledger entry, and nothing else; it is judged first, as things are now. All moves: "
        "`audit.channel_history`.",
        owners=_OWNERS,
    )
    def promotions(config: PromotionConfig, stores: dg.ResourceParam[StoresResource]) -> dg.MaterializeResult[None]:
        opened, channel = stores.reopened(), config.channel
        move = promote_on_evidence if config.on_evidence else promote
        done = move(
            opened, config.model_version, by=config.by, reason=config.reason, channel=channel,
            overrides=config.overrides,
        )  # fmt: skip
        state = opened.ledger.state()
        told = moved_text(state, channel, done.sequence) if done.is_new else unchanged_channel_text(state, channel)
        return _told(told, done.sequence)

    return promotions


def _challengers() -> dg.AssetsDefinition:
    @dg.asset(
        key="challengers",
        deps=[dg.AssetDep(PROMOTION_GATES.name, partition_mapping=dg.AllPartitionMapping())],
        group_name=_GROUP,
        description="Begins a trial of a version against the champion, changes its share of stores, or stops it, with "
        "who and why.\n\n**Promise**: one ledger entry, after that of its judgement, and nothing else; the sensor of "
        "assignments follows at its next look. All: `audit.challenger_trials`.",
        owners=_OWNERS,
    )
    def challengers(config: ChallengerConfig, stores: dg.ResourceParam[StoresResource]) -> dg.MaterializeResult[None]:
        opened = stores.reopened()
        if config.stop:
            stopped = stop_challenger(opened.registry, config.cadence, by=config.by, reason=config.reason)
            return _told(stopped_text(stopped, ()), stopped.sequence)
        asked = ChallengeRequest(
            config.cadence, config.model_version, config.share, config.by, config.reason,
            None if config.first_day is None else _day(config.first_day), config.salt, config.rules,
        )  # fmt: skip
        done = set_challenger(opened, asked)
        return _told(challenged_text(done, ()), done.challenge.sequence)

    return challengers


def _rollbacks() -> dg.AssetsDefinition:
    @dg.asset(
        key="rollbacks",
        deps=["promotions"],
        group_name=_GROUP,
        description="Points a channel back at a version that it pointed at before, with who and why.\n\n"
        "**Promise**: one ledger entry, and nothing else; what is published stays.",
        owners=_OWNERS,
    )
    def rollbacks(config: RollbackConfig, stores: dg.ResourceParam[StoresResource]) -> dg.MaterializeResult[None]:
        registry = stores.reopened().registry
        entry = registry.rollback(by=config.by, reason=config.reason, channel=config.channel, to=config.to)
        return _told(moved_text(registry.ledger.state(), config.channel, entry.sequence), entry.sequence)

    return rollbacks


def _retirements() -> dg.AssetsDefinition:
    @dg.asset(
        key="retirements",
        deps=["promotions"],
        group_name=_GROUP,
        description="Takes a version out of service, or back into it, with who and why.\n\n"
        "**Promise**: one ledger entry, and nothing else; what it published stays. All: `audit.retirements`.",
        owners=_OWNERS,
    )
    def retirements(config: RetirementConfig, stores: dg.ResourceParam[StoresResource]) -> dg.MaterializeResult[None]:
        registry = stores.reopened().registry
        entry = registry.retire(config.model_version, by=config.by, reason=config.reason, serves_again=config.undo)
        told = retired_text(config.model_version, entry.sequence, serves_again=config.undo)
        return _told(told, entry.sequence)

    return retirements


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"`{text}` is not a date.", remedy="Write it as 2024-06-11.") from error


def _told(what: str, sequence: int) -> dg.MaterializeResult[None]:
    shown: dict[str, Any] = {"what": dg.MetadataValue.text(what), "ledger_sequence": sequence}
    return dg.MaterializeResult(metadata=shown)
