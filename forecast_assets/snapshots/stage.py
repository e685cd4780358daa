"""The stage that makes the feature snapshot of a date: what was known of each series by then.

What belongs here: which history a date has, and refusing to start on part of it. What does not: the features
(forecast_assets.features), the rule of completeness (readiness), or Dagster.
"""

from dataclasses import dataclass
from datetime import date, datetime
from functools import partial

import polars as pl

from forecast_assets.core.errors import IncompleteInputsError
from forecast_assets.features.compiler import compile_contract, compute_features
from forecast_assets.features.specs import DEFAULT_SPECS, feature_version
from forecast_assets.history import History
from forecast_assets.history.as_known import known_by_feed
from forecast_assets.history.quarantined import quarantined_rows
from forecast_assets.scoring.stage import StageResult, Summary
from forecast_assets.snapshots.readiness import Readiness, assess_readiness
from forecast_assets.snapshots.rebuilding import snapshot_facts
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores
from resources.stores.moments import Moments
from resources.stores.products import snapshot_key

CONTRACT = compile_contract(DEFAULT_SPECS)
SNAPSHOTS = CONTRACT.name


@dataclass(frozen=True)
class SnapshotContext:
    """The snapshot that is asked for.

    Attributes:
        stores: Where everything is.
        prediction_date: The last observed day.
        feed_tolerance: Share by which a feed's newest day may fall short of its usual row count.
        known_until: Moment of knowledge of a correction; None for the date's own.
    """

    stores: Stores
    prediction_date: date
    feed_tolerance: float
    known_until: datetime | None = None

    def write(self, result: StageResult) -> ProductVersion:
        """Store the snapshot."""
        day = self.prediction_date
        return self.stores.predictions.write(
            CONTRACT,
            result.rows,
            key=snapshot_key(day, self.known_until),
            folder=f"predictions/{SNAPSHOTS}/prediction_date={day}",
            inputs=result.inputs,
            facts=result.facts,
        )


def make_snapshot(context: SnapshotContext) -> StageResult:
    """Compute the features of a date, as of its moment of knowledge.

    Raises:
        IncompleteInputsError: Naming what is missing.
        NotStagedError: If a later moment is asked for of a date that has no snapshot yet.
        InputError: If the later moment is an earlier one.
    """
    history = known_history(context.stores, context.prediction_date, context.known_until)
    require_ready(history, context.feed_tolerance)
    frame = compute_features(DEFAULT_SPECS, history.feeds_for(DEFAULT_SPECS), cutoff=context.prediction_date)
    inputs = {"batches": [batch.batch_id for batch in history.batches]}
    return StageResult({SNAPSHOTS: frame}, inputs, snapshot_facts(history, DEFAULT_SPECS), partial(_summary, history))


def known_history(stores: Stores, day: date, known_until: datetime | None = None) -> History:
    """Return what was known of a date by its moments of knowledge, or for a correction by a later one.

    Raises:
        NotStagedError: If a later moment is asked for of a date that has no snapshot yet.
        InputError: If the later moment is an earlier one.
    """
    if known_until is not None:
        made = stores.predictions.staged("feature_snapshots", snapshot_key(day))
        return History.later(made, stores.observations, known_until)
    moments = date_moments(stores, day)
    batches = tuple(stores.observations.as_known(day, moments))
    return History(stores.observations, batches, day, moments.known_until, known_by_feed=moments.by_feed)


def date_moments(stores: Stores, day: date) -> Moments:
    """Return by when something had to be known to count for a date.

    The first snapshot of a date fixes it: a slower feed that is added later must not let a date know more.
    """
    if not stores.predictions.is_staged(SNAPSHOTS, day):
        return stores.observations.moments(day)
    made = stores.predictions.staged(SNAPSHOTS, day)
    return Moments(datetime.fromisoformat(made.facts["known_until"]), known_by_feed(made))


def readiness(history: History, feed_tolerance: float) -> Readiness:
    """Judge whether the inputs of the history's cutoff are complete."""
    required = {batch.feed for batch in history.batches}
    aside = quarantined_rows(history, since=history.cutoff)
    return assess_readiness(
        history.recent_feeds(), required, history.cutoff, feed_tolerance=feed_tolerance, aside=aside
    )


def require_ready(history: History, feed_tolerance: float) -> None:
    """Stop unless the inputs are complete.

    Raises:
        IncompleteInputsError: Naming what is missing.
    """
    state = readiness(history, feed_tolerance)
    if not state.is_complete:
        raise IncompleteInputsError(history.cutoff, state.missing)


def _summary(history: History) -> Summary:
    sales = history.recent_feeds()["sales"]
    fused: pl.DataFrame = (
        sales.group_by("source", "resolution").agg(rows=pl.len()).sort("source", "resolution").collect()
    )
    return {
        "feature_version": feature_version(DEFAULT_SPECS),
        "known_until": history.known_until.isoformat(),
        "observation_batches": len(history.batches),
        "sales_sources_last_four_weeks": fused,
    }
