"""What a family trains from, what training gives, and at which past cutoffs that is judged.

What belongs here: the shapes, and the way in which most families are judged. What does not: how a family learns, or any
metric.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Groups, Rows
from forecast_assets.core.progress import Progress, silent
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.artifact import NO_GROUPS, Artifact
from forecast_assets.models.calendar.calendar import CALENDARS
from forecast_assets.models.selection import (
    DEFAULT_HISTORY_DAYS,
    backtest_origins,
    spread_rows,
    training_rows,
)

# One horizon before the cutoff and two, where there is history.
MOST_ORIGINS: Final = 2
_EVALUATED_SERIES: Final = 20000


@dataclass(frozen=True)
class GivenDate:
    """What was given from outside of one prediction date.

    Attributes:
        rows: Contract `external_forecasts`, sorted by store, SKU and step.
        facts: What its manifest records: the file, its columns and quantile levels, and how its upper rows add up.
        known: The same series as known later; None where nothing has come since, or the date is not judged.
        days_since: Days from the prediction date to the cutoff of `known`; fewer than the horizon where some are yet
            to come.
    """

    rows: pl.DataFrame
    facts: Mapping[str, Any]
    known: Panel | None = None
    days_since: int = 0


@dataclass(frozen=True)
class TrainingInputs:
    """What a version is trained from.

    Attributes:
        panel: n series, T days of history, at least `horizon` ahead; nothing after its cutoff is known. Of a family
            that is given from outside: the series as of the first date that was given.
        product_groups: [n] group of each series.
        hierarchy: Crossed hierarchy of the same series.
        horizon: Days ahead that the version is trained for.
        history_days: Days of history that scoring will read.
        group_level: Product level whose nodes are the groups.
        given_dates: What was given from outside, oldest date first, for a family that is.
        evaluates: Whether versions as of earlier cutoffs are judged too.
        workers: Threads, and processes for slow models; all cores if None.
        progress: Called with the stage, steps done and steps in all.
        calendars: Of `CALENDARS`, those to choose from; the first unless another is clearly better. ``("none",)`` tells
            what a calendar brings.
        reads_recurring: Whether events that recur are inputs of trees, by name; without, they have none of an event.
    """

    panel: Panel
    product_groups: Groups
    hierarchy: Hierarchy
    horizon: int
    history_days: int = DEFAULT_HISTORY_DAYS
    group_level: str = NO_GROUPS
    given_dates: Sequence[GivenDate] = ()
    evaluates: bool = True
    workers: int | None = None
    progress: Progress = silent
    calendars: Sequence[str] = CALENDARS
    reads_recurring: bool = True

    def as_of(self, past: Panel, rows: Rows) -> "TrainingInputs":
        """Return what a version as of an earlier cutoff would have been trained from.

        Args:
            past: Some of the series as of that cutoff.
            rows: [k] which of the n they are.
        """
        return replace(
            self,
            panel=past,
            product_groups=self.product_groups[rows],
            hierarchy=self.hierarchy.take(rows),
            horizon=past.horizon_days,
            evaluates=False,
            progress=silent,
        )


@dataclass(frozen=True)
class PastCutoff:
    """A past cutoff at which a version is judged.

    Attributes:
        panel: n series, T days of history, H ahead, as known now.
        product_groups: [n] group of each series.
        hierarchy: Of the same series.
        rows: [k] which of them are judged.
        days: Days from the past cutoff to that of the panel. With fewer than H, days that are yet to come are left out.
        version: Returns the version that is judged, from the k series as of the past cutoff.
        given_rows: Contract `external_forecasts` of the k series, for a family that is given from outside.
    """

    panel: Panel
    product_groups: Groups
    hierarchy: Hierarchy
    rows: Rows
    days: int
    version: Callable[[Panel], Artifact]
    given_rows: pl.DataFrame | None = None

    @property
    def cutoff(self) -> date:
        """The day that its version knows last."""
        return self.panel.cutoff - timedelta(days=self.days)


@dataclass(frozen=True)
class Fitted:
    """What training gives.

    Attributes:
        artifact: The version.
        past_cutoffs: Where to judge it; None for versions trained the same way as of the last one or two horizons.
        measures: What is measured besides: rows of contract `evaluation_reports`.
    """

    artifact: Artifact
    past_cutoffs: Sequence[PastCutoff] | None = None
    measures: pl.DataFrame | None = None


@dataclass(frozen=True)
class _VersionOf:
    """The version of one origin, in a form that another process can load if `version` is."""

    version: Callable[[int, Panel, Rows], Artifact]
    origin: int
    rows: Rows

    def __call__(self, past: Panel) -> Artifact:
        return self.version(self.origin, past, self.rows)


def past_cutoffs_at(
    inputs: TrainingInputs, rows: Rows, origins: Sequence[int], version: Callable[[int, Panel, Rows], Artifact]
) -> list[PastCutoff]:
    """Return past cutoffs of the panel that a version is trained on.

    Args:
        inputs: Of n series.
        rows: Which of them are judged; those without a row by a cutoff would not have been forecast then, and are left
            out of it.
        origins: How many days before the panel's cutoff versions are judged as of.
        version: Returns the version of an origin, given the series that are judged as of then, and which of the n they
            are.
    """

    def at(origin: int) -> PastCutoff:
        known = ~np.isnan(inputs.panel.sales[:, : inputs.panel.history_days - origin])
        begun = np.intersect1d(rows, np.flatnonzero(known.any(axis=1)))
        return PastCutoff(
            inputs.panel,
            inputs.product_groups,
            inputs.hierarchy,
            begun,
            origin,
            _VersionOf(version, origin, begun),
        )

    return [at(origin) for origin in origins]


def retrained(inputs: TrainingInputs, train: Callable[[TrainingInputs], Fitted]) -> list[PastCutoff]:
    """Return past cutoffs at which a version is judged that is trained from scratch on what was known then.

    Args:
        inputs: Of n series, of which 20,000 are judged, evenly spread, and fewer where the history is long.
        train: Trains a version.

    Raises:
        InputError: If the history is too short for a single backtest.
    """
    panel = inputs.panel
    most = len(training_rows(panel.series.height, panel.history_days + panel.horizon_days))
    rows = spread_rows(panel.series.height, min(most, _EVALUATED_SERIES))
    return past_cutoffs_at(
        inputs,
        rows,
        backtest_origins(panel, inputs.horizon)[:MOST_ORIGINS],
        _Retraining(replace(inputs, progress=silent), train),
    )


@dataclass(frozen=True)
class _Retraining:
    """Training from scratch as of a past cutoff, in a form that another process can load."""

    inputs: TrainingInputs
    train: Callable[[TrainingInputs], Fitted]

    def __call__(self, _origin: int, past: Panel, rows: Rows) -> Artifact:
        return self.train(self.inputs.as_of(past, rows)).artifact
