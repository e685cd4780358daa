"""The data plane as every protocol sees it: one object, one method a question.

What belongs here: which questions there are. What does not: how any is answered.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from forecast_assets.core.keys import CHANNELS
from forecast_assets.serving.dataplane.predicting import Predicted, Predictor, PredictQuestion
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
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
from forecast_assets.serving.dataplane.service_state import ServiceState, service_state
from forecast_assets.serving.dataplane.stored import StoredAnswer, read_stored
from forecast_assets.serving.dataplane.versions import KnownVersion, known_versions
from resources.stores.home import Stores


def _now() -> datetime:
    return datetime.now(UTC)


class DataPlane:
    """Answers of one home; safe to share between threads.

    Args:
        stores: Where everything is; opened to be read only here, so that no answer can change what is published.
        clock: Returns the present moment.
        is_sandbox: Whether people try things out here: any use is allowed, and answers say so.

    Attributes:
        stores: The same, read only.
        clock: As given.
        is_sandbox: As given.
        prepared: Runs that are prepared for predictions.
        predictor: What answers predictions.
    """

    def __init__(self, stores: Stores, clock: Callable[[], datetime] = _now, *, is_sandbox: bool = False) -> None:
        self.stores, self.clock, self.is_sandbox = stores.read_only(), clock, is_sandbox
        self.prepared = PreparedRuns(self.stores)
        self.predictor = Predictor(self.stores, self.prepared, is_sandbox=is_sandbox)

    def predict(self, question: PredictQuestion) -> Predicted:
        """Forecast series of a run again with other inputs: see `Predictor.predict`."""
        return self.predictor.predict(question, self.clock())

    def stored(self, question: StoredQuestion) -> StoredAnswer:
        """Answer a page of published rows: see `read_stored`."""
        return read_stored(self.stores, question, self.clock())

    def explain(self, prediction_id: str) -> Explained:
        """Return all that is published of one row: see `explain_row`."""
        return explain_row(self.stores, prediction_id, self.clock())

    def series(self, prediction_id: str) -> SeriesSeen:
        """Return the series of a published row as its run saw it: see `series_seen`."""
        return series_seen(self.stores, prediction_id)

    def history(self, question: HistoryQuestion) -> Vintages:
        """Return every published forecast of one day of a series: see `vintages`."""
        return vintages(self.stores, question)

    def versions(self) -> list[KnownVersion]:
        """Return the model versions, with the channels that point at them: see `known_versions`."""
        return known_versions(self.stores.ledger.state(), self.clock())

    def readiness(self) -> ServiceState:
        """Say whether questions can be answered, and what is degraded: see `service_state`."""
        return service_state(self.stores, self.clock())

    def channels(self) -> dict[str, str | None]:
        """Return where each channel points now."""
        state = self.stores.ledger.state()
        return {channel: state.channel(channel) for channel in CHANNELS}
