"""The data plane as every protocol sees it: one object, one method a question.

What belongs here: which questions there are. What does not: how any is answered.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from forecast_assets.core.keys import CHANNELS
from forecast_assets.serving.dataplane.comparing import CompareQuestion, Comparer, PredictionsCompared
from forecast_assets.serving.dataplane.predicting import Predicted, Predictor, PredictQuestion
from forecast_assets.serving.dataplane.published import Explained, HistoryQuestion, Vintages, explain_row, vintages
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
        stores: Where everything is; only read.
        clock: Returns the present moment.

    Attributes:
        stores: As given.
        clock: As given.
        predictor: What answers predictions, with the runs that it has prepared.
        comparer: What answers comparisons, with the pairs of runs that it has prepared.
    """

    def __init__(self, stores: Stores, clock: Callable[[], datetime] = _now) -> None:
        self.stores, self.clock = stores, clock
        self.predictor = Predictor(stores)
        self.comparer = Comparer(stores, self.predictor.prepared)

    def predict(self, question: PredictQuestion) -> Predicted:
        """Forecast series of a run again with other inputs: see `Predictor.predict`."""
        return self.predictor.predict(question, self.clock())

    def stored(self, question: StoredQuestion) -> StoredAnswer:
        """Answer a page of published rows: see `read_stored`."""
        return read_stored(self.stores, question, self.clock())

    def explain(self, prediction_id: str) -> Explained:
        """Return all that is published of one row: see `explain_row`."""
        return explain_row(self.stores, prediction_id, self.clock())

    def compare(self, question: CompareQuestion) -> PredictionsCompared:
        """Compare two predictions of one series and day: see `Comparer.compare`."""
        return self.comparer.compare(question, self.clock())

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
