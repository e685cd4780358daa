"""The data plane as every protocol sees it: one object, one method a question.

What belongs here: which questions there are. What does not: how any is answered.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from time import perf_counter
from typing import Any, Final

from forecast_assets.core.errors import NotPublishedError
from forecast_assets.core.keys import CHANNELS
from forecast_assets.core.spans import span
from forecast_assets.operations.prepared_pair import PreparedPair
from forecast_assets.serving.dataplane.answered import EventPage, ToldOfDay, Viewer, event_of, page_of, told_of_day
from forecast_assets.serving.dataplane.comparing import CompareQuestion, Comparer, Pair, PredictionsCompared
from forecast_assets.serving.dataplane.events import RequestContext, event_document, event_id_of
from forecast_assets.serving.dataplane.online_features import KEPT_SECONDS, OnlineFeatures
from forecast_assets.serving.dataplane.predicting import Predicted, Predictor, PredictQuestion
from forecast_assets.serving.dataplane.prepared import prepare_run
from forecast_assets.serving.dataplane.prepared_runs import Prepare, PreparedRuns
from forecast_assets.serving.dataplane.published import (
    Explained,
    HistoryQuestion,
    SeriesSeen,
    Vintages,
    explain_row,
    series_seen,
    vintages,
)
from forecast_assets.serving.dataplane.questions import StoredQuestion
from forecast_assets.serving.dataplane.row_blocks import RowBlocks
from forecast_assets.serving.dataplane.service_state import ServiceState, service_state, without_paths
from forecast_assets.serving.dataplane.stored import StoredAnswer, read_stored
from forecast_assets.serving.dataplane.versions import KnownVersion, known_versions
from resources.events.buffer import Recording, unrecorded
from resources.events.home import EventHome
from resources.events.record import written
from resources.events.stores import EventQuery
from resources.feature_cache.cache import FeatureCache
from resources.feature_cache.in_process import InProcessCache
from resources.row_cache.block_files import BlockFiles
from resources.stores.home import Stores

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordedPrediction:
    """An answer in real time, and its event.

    Attributes:
        predicted: The answer.
        event: On its way to the spool: whether it is recorded is to be asked when the answer is ready to be sent.
    """

    predicted: Predicted
    event: Recording


def _now() -> datetime:
    return datetime.now(UTC)


class DataPlane:
    """Answers of one home; safe to share between threads.

    Args:
        stores: Where everything is; opened to be read only here, so that no answer can change what is published.
        clock: Returns the present moment.
        events: Where predictions are recorded; None for nowhere, so that each is answered as dropped.
        is_sandbox: Whether people try things out here: any use is allowed, and answers say so.
        prepare: Prepares a run for predictions; by default in this process.
        pair: Prepares two runs for comparisons; by default in this process.
        rest_seconds: How long what is recorded meanwhile may stay unseen.
        cache: Where features of series are kept besides prepared runs; in this process if left out.
        feature_seconds: How long features and prepared runs are kept.
        rows: Where published rows of the newest runs are kept on disk; None for nowhere.
        also_degraded: Says what is worse than usual in parts of the service that are no data plane, in sentences.

    Attributes:
        stores: The same, read only.
        clock: As given.
        is_sandbox: As given.
        events: As given.
        few: What reads published rows of few series.
        features: What predictions take of series: runs that are prepared, and the cache.
        predictor: What answers predictions.
        comparer: What answers comparisons, with the pairs of runs that it has prepared.
    """

    def __init__(
        self,
        stores: Stores,
        clock: Callable[[], datetime] = _now,
        events: EventHome | None = None,
        *,
        is_sandbox: bool = False,
        prepare: Prepare = prepare_run,
        pair: Pair = PreparedPair.of,
        rest_seconds: float = 0.0,
        cache: FeatureCache | None = None,
        feature_seconds: float = KEPT_SECONDS,
        rows: BlockFiles | None = None,
        also_degraded: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self._also_degraded, self._is_ending = also_degraded, False
        self.stores = stores.read_only(rest_seconds)
        self.clock, self.events, self.is_sandbox = clock, events, is_sandbox
        self.few = RowBlocks(self.stores, files=rows)
        prepared = PreparedRuns(self.stores, prepare=prepare, keeps_seconds=feature_seconds)
        self.features = OnlineFeatures(self.stores, prepared, cache or InProcessCache(), feature_seconds, few=self.few)
        self.predictor = Predictor(self.stores, features=self.features, few=self.few, is_sandbox=is_sandbox)
        self.comparer = Comparer(self.stores, prepared, features=self.features, few=self.few, pair=pair)

    def predict(self, question: PredictQuestion, context: RequestContext) -> RecordedPrediction:
        """Forecast series of a run again with other inputs, and record what is answered: see `Predictor.predict`."""
        began = perf_counter()
        with span("answer prediction", use=question.use) as now:
            predicted = self.predictor.predict(question, self.clock())
            now.note(served_from=predicted.run.served_from, run=predicted.run.run, degraded=predicted.is_degraded)
            now.follow(predicted.run.run)
        return RecordedPrediction(predicted, self._record(predicted, context, 1_000.0 * (perf_counter() - began)))

    def event(self, event_id: str, viewer: Viewer) -> Mapping[str, Any]:
        """Return all of a prediction event: see `event_of`."""
        return event_of(self._required_events(), event_id, viewer)

    def event_page(self, asked: EventQuery) -> EventPage:
        """Return a page of prediction events: see `page_of`."""
        return page_of(self._required_events(), asked)

    def told(self, store_id: str, sku_id: str, day: date, viewer: Viewer) -> ToldOfDay:
        """Return what callers were told of one day of a series in real time: see `told_of_day`."""
        return told_of_day(self.events, store_id, sku_id, day, viewer)

    def stored(self, question: StoredQuestion) -> StoredAnswer:
        """Answer a page of published rows: see `read_stored`."""
        with span("answer stored", product=question.product) as now:
            answer = read_stored(self.stores, question, self.clock(), self.few)
            now.note(rows=answer.rows.height)
            for run in answer.runs:
                now.follow(run.run)
        return answer

    def explain(self, prediction_id: str) -> Explained:
        """Return all that is published of one row: see `explain_row`."""
        with span("answer explanation") as now:
            explained = explain_row(self.stores, prediction_id, self.clock(), self.few.rows)
            now.follow(explained.run.run)
        return explained

    def series(self, prediction_id: str) -> SeriesSeen:
        """Return the series of a published row as its run saw it: see `series_seen`."""
        with span("answer series") as now:
            seen = series_seen(self.stores, prediction_id)
            now.follow(seen.run)
        return seen

    def compare(self, question: CompareQuestion) -> PredictionsCompared:
        """Compare two predictions of one series and day: see `Comparer.compare`."""
        with span("answer comparison"):
            return self.comparer.compare(question, self.clock())

    def history(self, question: HistoryQuestion) -> Vintages:
        """Return every published forecast of one day of a series: see `vintages`."""
        with span("answer history"):
            return vintages(self.stores, question)

    def versions(self) -> list[KnownVersion]:
        """Return the model versions, with the channels that point at them: see `known_versions`."""
        return known_versions(self.stores.ledger.state(), self.clock())

    def readiness(self) -> ServiceState:
        """Say whether questions can be answered, and what is degraded: see `service_state`."""
        found = service_state(self.stores, self.clock())
        if self._is_ending:
            found = replace(found, is_ready=False, reasons=(*found.reasons, "the service is being stopped"))
        degraded = (*found.degraded, *self.predictor.degraded(), *self.features.degraded(), *self._also_degraded())
        found = replace(found, degraded=degraded, features=asdict(self.features.state()))
        if self.events is not None:
            events = self.events.buffer.state()
            found = replace(found, degraded=(*found.degraded, *events.degraded), events=asdict(events))
        return without_paths(found)

    def channels(self) -> dict[str, str | None]:
        """Return where each channel points now."""
        state = self.stores.ledger.state()
        return {channel: state.channel(channel) for channel in CHANNELS}

    def end(self) -> None:
        """Say from now on that it is not ready, and answer nevertheless: callers are to be sent elsewhere."""
        self._is_ending = True

    def close(self) -> None:
        """Let go of what is held; events that were taken are written first."""
        self.features.close()
        self.few.close()
        if self.events is not None:
            self.events.buffer.close()

    def _record(self, predicted: Predicted, context: RequestContext, milliseconds: float) -> Recording:
        event_id = event_id_of(context)
        if self.events is None:
            return unrecorded(event_id)
        try:
            content = written(event_document(event_id, predicted, context, self.clock(), milliseconds))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with an event, the caller is answered
            _log.exception("no event was made of request %s", context.request_id)
            return self.events.buffer.drop(event_id, f"no event could be made ({type(error).__name__})")
        return self.events.buffer.record(event_id, content)

    def _required_events(self) -> EventHome:
        if self.events is None:
            raise NotPublishedError("Predictions are not recorded here.", remedy="Ask a service that records them.")
        return self.events
