"""What explanations of few series tell besides numbers: facts of a run, and of changed inputs.

What belongs here: lining up facts with the rows of few series. What does not: the words, or facts of a whole run
(`explanations`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Rows
from forecast_assets.core.rows import places_by_step
from forecast_assets.explanations.explanation_context import ExplanationContext, events_by_store
from forecast_assets.features.changes import SeriesChange
from forecast_assets.features.panel import SERIES_KEY, Panel

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
        series = run.series[rows].with_columns(features.select(pl.exclude(SERIES_KEY)).get_columns())
        steps = run.gaps[places_by_step(rows, horizon)]
        dated = steps.with_columns(target_date=pl.lit(panel.cutoff) + pl.duration(days=pl.col("step")))
        for part in (run.events, run.covariates):
            if part is not None:
                dated = dated.join(part, on=list(_DAY), how="left", maintain_order="left")
        return replace(
            run,
            series=series,
            plan=_plan(panel),
            events=None,
            covariates=None,
            gaps=self._with_events(dated, changes, horizon).drop("target_date"),
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


def _plan(panel: Panel) -> pl.DataFrame:
    """What is planned for the days ahead: rows of the days with a plan."""
    row, step = np.nonzero(panel.has_plan)
    column, ahead = panel.history_days + step, range(1, panel.horizon_days + 1)
    days = pl.Series("target_date", [panel.cutoff + timedelta(days=days) for days in ahead], pl.Date)
    return panel.series.select(SERIES_KEY)[row].with_columns(
        days[step],
        planned_price_ratio=pl.Series(panel.price_ratio[row, column]),
        is_promotion_planned=pl.Series(panel.is_promotion[row, column]),
    )
