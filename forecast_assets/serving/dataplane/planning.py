"""What planners ask and say, answered at once: worklists, series and nodes of the newest run, overrides and decisions.

What belongs here: keeping the newest runs laid out, and which stores a question is asked of. What does not: how any is
answered (operations), or any protocol.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from forecast_assets.core.errors import InputError, NothingToCorrectError, RefusedError
from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.core.overrides import Override, Scope
from forecast_assets.operations.nodes_ahead import (
    FIRST_CHANGES,
    NodeAhead,
    RunChanges,
    node_ahead,
    run_before,
    run_changes,
)
from forecast_assets.operations.overrides import (
    OverridePreview,
    decide_overrides,
    newest_run,
    overrides_of,
    preview_overrides,
    record_overrides,
    recorded_by_request,
    require_other_overrides,
)
from forecast_assets.operations.planned_series import SeriesAhead, series_ahead
from forecast_assets.operations.policies import policy_in_force
from forecast_assets.operations.worklist import PlannableRun, Worklist, WorklistQuestion
from forecast_assets.serving.dataplane.comparing import CompareQuestion, PredictionAsked, PredictionsCompared
from forecast_assets.serving.dataplane.made_once import MadeOnce
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.published import Explained, HistoryQuestion, SeriesSeen, Vintages
from resources.ledger.entries.override import OverrideRecord, PlannedOverride
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores

# The newest run, and the one before.
_MOST_RUNS: Final = 2
_MOST_CHANGES: Final = 50
_MOST_SUGGESTED: Final = 400


@dataclass(frozen=True)
class SeriesPage:
    """All that a planner sees of one series.

    Attributes:
        publication: The run.
        ahead: The days ahead.
        day: The day that is explained.
        explained: All that is published of it.
        seen: Past, forecast, and what came.
        vintages: What other runs said of the day.
    """

    publication: Publication
    ahead: SeriesAhead
    day: date
    explained: Explained
    seen: SeriesSeen
    vintages: Vintages


@dataclass(frozen=True)
class ChangesPage:
    """What changed since the run before.

    Attributes:
        publication: The newest run.
        before: The run before; None if there is none.
        changes: What changed; None without a run before.
        causes: Of the largest changes, why, by cause, as far as that is known at once.
    """

    publication: Publication
    before: Publication | None
    changes: RunChanges | None
    causes: Sequence[PredictionsCompared] = ()


@dataclass(frozen=True)
class SaidOnce:
    """Overrides that a request recorded.

    Attributes:
        record: What was recorded.
        preview: What it does to the newest run; None where the request was answered before.
        is_repeated: Whether it was.
    """

    record: OverrideRecord
    preview: OverridePreview | None
    is_repeated: bool = False


class PlanningDesk:
    """Answers planners; safe to share between threads.

    Args:
        plane: Answers about published numbers.
        stores: Where overrides are recorded; None where nobody may, so that each is refused.
    """

    def __init__(self, plane: DataPlane, stores: Stores | None = None) -> None:
        self.plane, self._writable = plane, stores
        self._runs: MadeOnce[RunKey, PlannableRun] = MadeOnce(self._make, _MOST_RUNS, at_once=1)

    @property
    def stores(self) -> Stores:
        """Where overrides are: what was just recorded is seen at once."""
        return self._writable or self.plane.stores

    @property
    def is_open(self) -> bool:
        """Whether overrides are recorded here."""
        return self._writable is not None and not self.plane.is_sandbox

    def newest(self) -> Publication:
        """Return the run that planners look at: see `newest_run`."""
        return newest_run(self.plane.stores)

    def run(self, published: Publication | None = None) -> PlannableRun:
        """Return a run laid out for planners; by default the newest."""
        return self._runs.get((published or self.newest()).key)

    def warm(self) -> None:
        """Lay the newest run and the one before out, before anybody asks."""
        published = self.newest()
        before = run_before(self.plane.stores.ledger.state(), published)
        for each in (published, before):
            if each is not None and not self._runs.is_ready(each.key):
                self._runs.get(each.key)
        # How series add up is worked out when it is first asked for, and kept with the run: previews need it.
        self.run(published).planned.hierarchy.nodes  # noqa: B018

    def _make(self, key: RunKey) -> PlannableRun:
        return PlannableRun.of(self.plane.stores, self.plane.stores.predictions.publication(key))

    # --- looking ---

    def worklist(self, question: WorklistQuestion) -> Worklist:
        """Return lines of what is at risk: see `PlannableRun.worklist`."""
        return self.run().worklist(self.stores, question)

    def nodes_to_name(self) -> Mapping[str, Sequence[str]]:
        """Return nodes of the newest run as LEVEL:NODE, the widest levels first, by `product` and `stores`; not all."""
        hierarchy = self.run().planned.hierarchy
        sides = {"product": hierarchy.product_levels, "stores": hierarchy.store_levels}
        return {
            side: [f"{level.name}:{node}" for level in levels[1:] for node in level.nodes][:_MOST_SUGGESTED]
            for side, levels in sides.items()
        }

    def series(self, store_id: str, sku_id: str, day: date | None = None) -> SeriesPage:
        """Return all that a planner sees of one series; by default its worst day is explained.

        Raises:
            InputError: If the newest run has no such series, or does not look at the day.
        """
        run, plane = self.run(), self.plane
        ahead = series_ahead(self.stores, run, store_id, sku_id, plane.few.rows)
        shown = day or ahead.days["target_date"][int(str(ahead.line["step"])) - 1]
        key = run.key
        step = (shown - key.prediction_date).days
        if not 1 <= step <= key.forecast_horizon:
            first, last = (key.prediction_date + timedelta(days=at) for at in (1, key.forecast_horizon))
            raise InputError(f"{key} says nothing of {shown}.", remedy=f"Name a day from {first} to {last}.")
        name = str(PredictionId(key, sku_id, store_id, step))
        return SeriesPage(
            run.planned.publication,
            ahead,
            shown,
            plane.explain(name),
            plane.series(name),
            plane.history(HistoryQuestion(store_id, sku_id, shown, cadence=key.cadence)),
        )

    def node(self, scope: Scope) -> tuple[Publication, NodeAhead]:
        """Return a node of the newest run, and what is below it: see `node_ahead`."""
        run = self.run()
        before = run_before(self.plane.stores.ledger.state(), run.planned.publication)
        found = node_ahead(self.plane.stores, run, scope, None if before is None else self.run(before))
        return run.planned.publication, found

    def changes(self) -> ChangesPage:
        """Return what changed since the run before, with causes where both runs are prepared for that."""
        run, plane = self.run(), self.plane
        published = run.planned.publication
        before = run_before(plane.stores.ledger.state(), published)
        if before is None:
            return ChangesPage(published, None, None)
        found = run_changes(plane.stores, run, self.run(before), limit=_MOST_CHANGES, read=plane.few.rows)
        return ChangesPage(published, before, found, self._causes(published.key, before.key, found))

    def _causes(self, after: RunKey, before: RunKey, found: RunChanges) -> list[PredictionsCompared]:
        """Return why the largest changed, on the day of their largest change; none until both runs are prepared."""
        if not self.plane.comparer.begin(before, after):
            return []
        return [
            self.plane.compare(CompareQuestion(*(PredictionAsked(_row_of(key, row)) for key in (before, after))))
            for row in found.largest.head(FIRST_CHANGES).iter_rows(named=True)
        ]

    # --- saying ---

    def overrides(self) -> list[PlannedOverride]:
        """Return all overrides as they stand, the newest first."""
        return overrides_of(self.stores.ledger)[::-1]

    def reasons(self) -> tuple[str, ...]:
        """Return the codes of reasons that the policy knows."""
        return policy_in_force(self.stores.ledger).policy.planning.reasons

    def behind(self) -> tuple[RunKey, bool]:
        """Return the newest run, and whether it lacks overrides or rules that are in force."""
        published = newest_run(self.stores)
        try:
            require_other_overrides(self.stores, published)
        except NothingToCorrectError:
            return published.key, False
        return published.key, True

    def preview(self, given: Sequence[Override]) -> OverridePreview:
        """Return what overrides would do to the newest run: see `preview_overrides`."""
        return preview_overrides(self.stores, self.run().planned, given)

    def record(
        self,
        given: Sequence[Override],
        *,
        by: str,
        confirmed: bool,
        needs_approval: bool,
        seen: int | None = None,
        request: str = "",
    ) -> SaidOnce:
        """Record overrides, once however often a request is sent: see `record_overrides`.

        Raises:
            RefusedError: If nothing is recorded here.
        """
        stores = self._open()
        known = recorded_by_request(stores, given, by=by, request=request)
        if known is not None:
            return SaidOnce(known, None, is_repeated=True)
        record, preview = record_overrides(
            stores, given, by=by, confirmed=confirmed, needs_approval=needs_approval, seen=seen, request=request,
            run=self.run().planned,
        )  # fmt: skip
        return SaidOnce(record, preview)

    def decide(self, names: Sequence[str], status: str, *, by: str, reason: str) -> list[PlannedOverride]:
        """Approve, reject or withdraw overrides: see `decide_overrides`.

        Raises:
            RefusedError: If nothing is recorded here.
        """
        return decide_overrides(self._open(), names, status, by=by, reason=reason)[1]

    def _open(self) -> Stores:
        if not self.is_open or self._writable is None:
            raise RefusedError(
                "No override is recorded here: this is a sandbox, or a service that only reads.",
                remedy="Ask the service that answers for the same home without --sandbox.",
            )
        return self._writable


def _row_of(key: RunKey, row: Mapping[str, Any]) -> str:
    return str(PredictionId(key, row["sku_id"], row["store_id"], (row["largest_day"] - key.prediction_date).days))
