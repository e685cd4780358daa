"""What explanations of few series tell besides numbers: facts of a run, and of changed inputs.

What belongs here: lining up facts with the rows of few series. What does not: the words, or facts of a whole run
(`explanations`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from forecast_assets.core.arrays import Rows
from forecast_assets.core.rows import places_by_step, rows_at
from forecast_assets.explanations.explanation_context import ROW_FACTS, ExplanationContext, events_by_store
from forecast_assets.features.changes import SeriesChange
from forecast_assets.features.panel import Panel

_NAMES: Final = ("event_names", "payday_names")
_DAY: Final = ("store_id", "target_date")


@dataclass(frozen=True)
class ToldFacts:
    """Facts of a published run of n series over H days.

    Attributes:
        of_run: As its explanations told them; series in order, without a plan, which the panel has, and with the days
            of the series known longest.
        recurring: Names of the events that are told as paydays.
        events: `event_name, store_node, event_date` of the days ahead.
        memberships: `store_id, node_id`: the nodes that a store belongs to; None without a store hierarchy.
    """

    of_run: ExplanationContext
    recurring: tuple[str, ...]
    events: pl.DataFrame
    memberships: pl.DataFrame | None

    def narrowed(self, rows: Rows, horizon: int) -> "ToldFacts":
        """Return the facts of some series alone, as those of a run of theirs."""
        run = self.of_run
        assert run.series is not None
        assert run.gaps is not None
        gaps = run.gaps[places_by_step(rows, horizon)]
        return replace(self, of_run=replace(run, series=run.series[rows], gaps=gaps))

    def few(
        self, rows: Rows, features: pl.DataFrame, panel: Panel, changes: Sequence[SeriesChange]
    ) -> ExplanationContext:
        """Return the facts of some series.

        Args:
            rows: [k] which series.
            features: The snapshot's rows of them, changed.
            panel: Of the same k series, changed.
            changes: [k].
        """
        run, horizon = self.of_run, panel.horizon_days
        assert run.series is not None
        assert run.gaps is not None
        # Of each row all that is told, beside each other: so nothing has to be joined to the rows that are explained.
        steps = rows_at(run.gaps, places_by_step(rows, horizon))
        days = np.datetime64(panel.cutoff) + np.tile(np.arange(1, horizon + 1), len(rows))
        dated = steps.hstack([pl.Series("target_date", days)])
        for part in (run.events, run.covariates):
            if part is not None:
                dated = dated.join(part, on=list(_DAY), how="left", maintain_order="left")
        of_series = {
            column.name: column for column in (*rows_at(run.series, rows).get_columns(), *features.get_columns())
        }
        told = pl.DataFrame([column for name, column in of_series.items() if name in ROW_FACTS])
        by_step = told[np.repeat(np.arange(len(rows)), horizon)].get_columns()
        named = self._with_events(dated, changes, horizon).drop("target_date")
        beside = {column.name: column for column in (*named.get_columns(), *_plan(panel), *by_step)}
        return replace(
            run, series=None, plan=None, events=None, covariates=None, gaps=pl.DataFrame(list(beside.values()))
        )

    def _with_events(self, rows: pl.DataFrame, changes: Sequence[SeriesChange], horizon: int) -> pl.DataFrame:
        """Name the events of changed series besides those of their stores."""
        if not any(change.events for change in changes):
            return rows
        nothing = [pl.lit(None, pl.String).alias(name) for name in _NAMES if name not in rows.columns]
        known = rows.with_columns(nothing)
        parts = [
            self._named(known[at * horizon : (at + 1) * horizon], change) if change.events
            else known[at * horizon : (at + 1) * horizon]
            for at, change in enumerate(changes)
        ]  # fmt: skip
        return pl.concat(parts)

    def _named(self, rows: pl.DataFrame, change: SeriesChange) -> pl.DataFrame:
        own = [(name, change.store_id, day) for day, names in change.events.items() for name in names]
        schema = {"event_name": pl.String, "store_node": pl.String, "event_date": pl.Date}
        events = pl.concat([self.events.select(list(schema)), pl.DataFrame(own, schema=schema, orient="row")])
        named = events_by_store(events, pl.Series([change.store_id]), self.memberships, self.recurring)
        return rows.drop(_NAMES).join(named, on=list(_DAY), how="left", maintain_order="left").select(rows.columns)


def _plan(panel: Panel) -> list[pl.Series]:
    """What is planned for each of the days ahead, series by series; null where there is no plan."""
    ahead, has_plan = slice(panel.history_days, None), panel.has_plan.ravel()
    planned = {"planned_price_ratio": panel.price_ratio, "is_promotion_planned": panel.is_promotion}
    columns = {name: pa.array(values[:, ahead].ravel(), mask=~has_plan) for name, values in planned.items()}
    return [pl.Series("has_plan", has_plan), *(pl.Series(name, column) for name, column in columns.items())]
