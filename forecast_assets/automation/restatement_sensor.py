"""Restatements in the Dagster UI: an observation on each published run whose inputs have changed since.

What belongs here: saying it where operators look. What does not: correcting anything; that is a decision of a person.
"""

import json
from datetime import timedelta
from typing import Final

import dagster as dg
import polars as pl

from forecast_assets.core.errors import FIRST
from forecast_assets.corrections.restatements import Restatement, newest_revisions, pending_restatements, to_correct
from forecast_assets.presentation.actions import command_line
from partitions import scoring_partition
from resources.ledger.entries.retract import Retractions
from resources.ledger.state import LedgerState
from resources.orchestration.dagster_resources import StoresResource
from resources.orchestration.markdown import markdown_table
from resources.store.blobs import sha256
from resources.stores.home import Stores

RESTATEMENT_SECONDS: Final = 300
# Older runs are compared when somebody asks for restatements.
DAYS_LOOKED_BACK: Final = 14


def build_restatement_sensor(stores: StoresResource) -> dg.SensorDefinition:
    """Build the sensor that observes published runs whose inputs have changed."""

    @dg.sensor(
        name="restatements_after_publication",
        minimum_interval_seconds=RESTATEMENT_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Says which published runs of the last two weeks would read other inputs today, and how to correct "
        "them. Never corrects by itself.",
    )
    def restatements(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return restatement_events(stores.reopened(), context.cursor)

    return restatements


def restatement_events(stores: Stores, cursor: str | None) -> dg.SensorResult:
    """Return an observation per published run whose inputs have changed and of which that has not been said yet.

    Runs are compared again after an ingest or a publication; other ledger entries change no input of any run.

    Args:
        stores: Where everything is.
        cursor: What the call before returned: the entry up to which runs were compared, and what was said of them.
    """
    state = stores.ledger.state()
    upto, told = _read(cursor)
    newest = _newest_change(state)
    if upto == newest:
        return dg.SensorResult(skip_reason=f"Nothing was ingested or published after ledger entry {newest}.")
    runs = newest_revisions(state)
    recent = [run for run in runs if run.key.prediction_date > runs[0].key.prediction_date - _LOOKED_BACK]
    found = list(pending_restatements(stores, recent))
    keys = ", ".join(str(each.publication.key) for each in found)
    words = f"Inputs have changed since: {keys}" if found else f"{len(recent)} published runs would read the same again"
    now = {str(each.publication.key): _digest(each) for each in found}
    news = [each for each in found if told.get(str(each.publication.key)) != now[str(each.publication.key)]]
    return dg.SensorResult(
        skip_reason=f"{words}.",
        asset_events=[_observation(each) for each in news],
        cursor=json.dumps({"compared_up_to": newest, "told": now}, sort_keys=True),
    )


def _newest_change(state: LedgerState) -> int:
    """Return the number of the newest ledger entry that can change what differs."""
    batches = (batch.sequence for batch in state.batches.values())
    taken_back = (retraction.sequence for retraction in state.part(Retractions).made)
    return max(
        [*batches, *taken_back, *(publication.sequence for publication in state.publications.values())], default=0
    )


def _read(cursor: str | None) -> tuple[int | None, dict[str, str]]:
    """Return up to which entry runs were compared, and by run what was said; nothing of what cannot be read."""
    try:
        read = json.loads(cursor or "")
        return int(read["compared_up_to"]), dict(read["told"])
    except (ValueError, TypeError, KeyError):
        return None, {}


def _digest(found: Restatement) -> str:
    """Return what stands for the rows that differ: equal as long as the same is to be said of them."""
    return sha256(found.rows.write_csv().encode())[:16]


_LOOKED_BACK: Final = timedelta(days=DAYS_LOOKED_BACK)


def _observation(found: Restatement) -> dg.AssetObservation:
    key = found.publication.key
    return dg.AssetObservation(
        asset_key=dg.AssetKey([key.cadence, "published_predictions"]),
        partition=scoring_partition(key.prediction_date, key.model_version),
        description=f"Inputs of {key} have changed since it was published.",
        metadata={
            "publication_key": str(key),
            "rows_that_differ": found.rows.height,
            "by_feed": dg.MetadataValue.md(markdown_table(found.by_feed)),
            "first_rows": dg.MetadataValue.md(markdown_table(found.rows.head(FIRST).with_columns(_MINUTES))),
            "to_correct": command_line(to_correct(key)),
        },
    )


_MINUTES: Final = pl.col("known_at").dt.strftime("%Y-%m-%d %H:%M UTC")
