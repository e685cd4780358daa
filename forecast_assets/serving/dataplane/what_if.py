"""What if: a few series of a published run forecast again with other inputs.

What belongs here: the answer, from changed inputs to published columns. What does not: any model or number of its own.

Each series is forecast twice side by side, as published and as changed. The first has to come out as published, to the
last decimal, or there is no answer: so every answer has shown that it is about the published run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Rows
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.core.quantities import Millionths, from_units
from forecast_assets.core.rows import places_by_step, rows_at
from forecast_assets.explanations.explaining import explanation_frame
from forecast_assets.features.changes import SeriesChange, changed, changed_features, require_changes
from forecast_assets.features.panel import Panel
from forecast_assets.features.pooled import COMPUTED, Held, HeldApart
from forecast_assets.overrides.effects import carried_over_overrides, with_forecasts
from forecast_assets.publication.candidates import forecasts_frame
from forecast_assets.reconciliation.reconciling import carried_over, with_means
from forecast_assets.serving.dataplane.laps import ADJUSTMENT, BASE, EXPLANATION, FEATURES, RISK, Laps
from forecast_assets.serving.dataplane.prepared import PreparedRun, require_as_published
from forecast_assets.serving.dataplane.prepared_key import PreparedKey
from forecast_assets.stockout_risk.assessing import assessed, rated_by
from forecast_assets.stockout_risk.inventory import Supply

# What is held besides statistics of all series.
_OF_THE_RUN: Final = ("calibration", "nodes and reconciliation")


@dataclass(frozen=True)
class WhatIf:
    """Published columns of k series under changed inputs, sorted by store, SKU and step.

    Attributes:
        of: The prepared run that was asked.
        features: Contract `feature_snapshots`, one row per series.
        base: Contract `base_forecasts`.
        forecasts: Contract `forecasts`.
        risks: Contract `stockout_risks`.
        explanations: Contract `forecast_explanations`.
        held: What was held at the published run, though a whole run with the same changes might move it.
        panel: Inputs of the k series, changed.
        supply: Stock and orders of the k series, changed.
        published_base: [k, H] base forecasts of the published run.
        published: [k, H] what it reconciled them to.
        milliseconds: What each step took, by its name.
    """

    of: PreparedKey
    features: pl.DataFrame
    base: pl.DataFrame
    forecasts: pl.DataFrame
    risks: pl.DataFrame
    explanations: pl.DataFrame
    held: tuple[str, ...]
    panel: Panel
    supply: Supply
    published_base: Millionths
    published: Millionths
    milliseconds: Mapping[str, float]

    def one(self, at: int) -> "WhatIf":
        """Return what is said of one of the series."""
        row, days = np.array([at], dtype=np.intp), self.published.shape[1]
        base, forecasts, risks, explanations = (
            frame.slice(at * days, days) for frame in (self.base, self.forecasts, self.risks, self.explanations)
        )
        return replace(
            self, features=self.features.slice(at, 1), base=base, forecasts=forecasts, risks=risks,
            explanations=explanations, panel=self.panel.take(row), supply=self.supply.take(row),
            published_base=self.published_base[row], published=self.published[row],
        )  # fmt: skip


def what_if(prepared: PreparedRun, changes: Sequence[SeriesChange]) -> WhatIf:
    """Forecast series again with other inputs.

    Args:
        prepared: The published run.
        changes: One for each series that is asked for; they hold together. A change of nothing asks for what was
            published.

    Raises:
        InputError: If there is none, the run has no such series, or an input cannot be so; or if the family's forecasts
            do not follow from inputs.
        ReplayDifferenceError: If unchanged inputs no longer give what was published.
    """
    require_answerable(prepared, changes)
    return _answer(prepared, sorted(changes, key=lambda change: prepared.places[change.series]), Held)


def what_ifs(prepared: PreparedRun, changes: Sequence[SeriesChange]) -> list[WhatIf]:
    """Answer several questions at once, each of one series, in their order: as `what_if` answers each, in less time.

    Most of what an answer costs is the same for one series and for several.

    Args:
        prepared: The published run.
        changes: One for each question, each of another series; they do not hold together.

    Raises:
        InputError: As `what_if`, of any of them.
        ReplayDifferenceError: As `what_if`, of any of them.
    """
    for change in changes:
        require_answerable(prepared, [change])
    order = sorted(range(len(changes)), key=lambda at: prepared.places[changes[at].series])
    all_of_them = _answer(prepared, [changes[at] for at in order], HeldApart)
    return [all_of_them.one(order.index(at)) for at in range(len(changes))]


def _answer(prepared: PreparedRun, changes: Sequence[SeriesChange], holding: type[Held]) -> WhatIf:
    """Answer about series, each once, in the order of the run."""
    laps = Laps()
    own, made = prepared.rows_of([change.series for change in changes]), _forecast(prepared, changes, holding, laps)
    alone = _every_second(made.panel)
    features = changed_features(rows_at(prepared.features, own), prepared.specs, alone, changes)
    laps.lap(FEATURES)
    told = prepared.told.few(own, features, alone, changes)
    explanations = explanation_frame(made.base, made.reconciled, made.risks, told)
    forecasts = forecasts_frame(made.base, made.reconciled, explanations)
    laps.lap(EXPLANATION)
    return WhatIf(
        of=prepared.key,
        features=features,
        base=made.base,
        forecasts=forecasts,
        risks=made.risks,
        explanations=explanations,
        held=tuple(sorted({*prepared.statistics, *_OF_THE_RUN, *_overrides(prepared)})),
        panel=alone,
        supply=made.supply.take(np.arange(1, 2 * len(own), 2)),
        published_base=prepared.base[own],
        published=prepared.reconciled[own],
        milliseconds=laps.milliseconds,
    )


def _overrides(prepared: PreparedRun) -> tuple[str, ...]:
    """What is held of a run that somebody has overridden: by how much."""
    return () if prepared.overridden is None else ("overrides",)


@dataclass(frozen=True)
class WhatIfFigures:
    """Numbers of k questions without words, each of H days.

    Attributes:
        base: Contract `base_forecasts`.
        reconciled: `reconciled_forecasts` with what overrides made of them, see `with_forecasts`.
        risks: Contract `stockout_risks`.
        panel: As published and as changed, in turn.
        supply: Stock and orders, likewise.
    """

    base: pl.DataFrame
    reconciled: pl.DataFrame
    risks: pl.DataFrame
    panel: Panel
    supply: Supply


def what_if_apart(prepared: PreparedRun, changes: Sequence[SeriesChange]) -> WhatIfFigures:
    """Answer several questions at once, each of which is of one change alone; in their order, without words.

    Args:
        prepared: The published run.
        changes: One for each question; several may be of one series.

    Raises:
        InputError: As `what_if`.
        ReplayDifferenceError: As `what_if`.
    """
    for change in changes:
        require_answerable(prepared, [change])
    return _forecast(prepared, changes, HeldApart, Laps())


def _forecast(prepared: PreparedRun, changes: Sequence[SeriesChange], holding: type[Held], laps: Laps) -> WhatIfFigures:
    own = prepared.rows_of([change.series for change in changes])
    rows, horizon = np.repeat(own, 2), prepared.key.run.forecast_horizon
    few = replace(prepared.panel.take(rows), pooled=holding(prepared.statistics, rows))
    panel = changed(few, np.arange(1, len(rows), 2), changes)
    laps.lap(FEATURES)
    made = prepared.forecast(panel, rows)
    base = prepared.base_frame(panel, rows, made)
    of_series = from_units(base["base_units"]).reshape(-1, horizon)
    require_as_published(prepared, own, of_series[::2])
    laps.lap(BASE)
    means = np.repeat(prepared.reconciled[own], 2, axis=0)
    means[1::2] = carried_over(of_series[1::2], prepared.base[own], prepared.reconciled[own])
    reconciled = with_forecasts(with_means(base, means.ravel()), _published(prepared, own, means).ravel())
    laps.lap(ADJUSTMENT)
    supply = _supply(prepared, rows, changes)
    rated = rated_by(panel, prepared.product_groups[rows], None, prepared.artifact, 1, made.past_factors)
    risks = assessed(
        reconciled, base, panel, supply, rated, prepared.artifact.rho, prepared.risk_thresholds, prepared.risk_paths
    )
    is_changed = places_by_step(np.arange(1, len(rows), 2), horizon)
    base, reconciled, risks = (rows_at(frame, is_changed) for frame in (base, reconciled, risks))
    laps.lap(RISK)
    return WhatIfFigures(base, reconciled, risks, panel, supply)


def _published(prepared: PreparedRun, own: Rows, means: Millionths) -> Millionths:
    """[2k, H] Return forecasts as published and as overrides of the run move the changed ones, in turn."""
    if prepared.overridden is None:
        return means
    forecast = np.repeat(prepared.overridden[own], 2, axis=0)
    forecast[1::2] = carried_over_overrides(means[1::2], prepared.reconciled[own], prepared.overridden[own])
    return forecast


def _every_second(panel: Panel) -> Panel:
    """Return the changed series alone, for what looks at each by itself."""
    return replace(panel, pooled=COMPUTED).take(np.arange(1, panel.series.height, 2))


def _supply(prepared: PreparedRun, rows: Rows, changes: Sequence[SeriesChange]) -> Supply:
    """Supply of series as published and as changed, in turn."""
    supply, cutoff = prepared.supply.take(rows), prepared.panel.cutoff
    on_hand = supply.on_hand.copy()
    orders: list[tuple[int, float, int]] = []
    for at, change in enumerate(changes):
        if change.on_hand_units is not None:
            on_hand[2 * at + 1] = change.on_hand_units
        orders += [(2 * at + 1, order.units, (order.arrives - cutoff).days) for order in change.orders]
    supply = supply.with_stock(on_hand)
    if not orders:
        return supply
    series, units, days = zip(*orders, strict=True)
    return supply.with_orders(np.array(series), np.array(units, dtype=np.float64), np.array(days))


def require_answerable(prepared: PreparedRun, changes: Sequence[SeriesChange]) -> None:
    """Refuse a question to which there is no answer: see `what_if`.

    Raises:
        InputError: If no series is asked for, the run has no such series, or an input cannot be so; or if the family's
            forecasts do not follow from inputs.
    """
    if not changes:
        raise InputError("No series is asked for.", remedy="Name a store and a SKU at least.")
    prepared.rows_of([change.series for change in changes])
    require_changes(changes, prepared.panel)
    if prepared.family.given_product is not None and any(change.moves_demand for change in changes):
        raise InputError(
            f"Forecasts of {prepared.key.run} were given from outside: they do not follow from prices, promotions, "
            "events or sales.",
            remedy="Ask what other stock or orders do to it, or ask a version that is trained here.",
        )
    supplied = [change.series for change in changes if change.on_hand_units is not None or change.orders]
    has_position = prepared.supply.has_position
    without = [series for series in supplied if not has_position[prepared.rows_of([series])[0]]]
    if without:
        raise InputError(
            f"The run knows no position of {first_ten(f'{store}/{sku}' for store, sku in without)}, so no lead time: "
            "their risk does not follow from stock or orders.",
            remedy="Ask without stock and orders, or ingest positions and score a run.",
            series=[list(series) for series in without],
        )
