"""Models that are judged on cases: the families as they are in production, and yardsticks.

What belongs here: from a case to forecasts of its days ahead. What does not: how good they are (`bench.skill`).

A model is any callable from a case to `Made`. Families go through the same functions as a run: training, base
forecasts, reconciliation, stock-out risk; only stores and words are left out.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from bench.cases import Case
from bench.tweedie import tweedie_sales
from forecast_assets.base_forecasts.forecasting import forecast_frames
from forecast_assets.contracts import INVENTORY_POSITIONS, PURCHASE_ORDERS
from forecast_assets.core.arrays import Floats
from forecast_assets.core.keys import DAILY, RunKey
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.calendar.calendar import CALENDARS
from forecast_assets.models.demand import uncensor, usual_lost_share
from forecast_assets.models.family import ModelFamily, family
from forecast_assets.models.forecasts import ForecastInputs, Forecasts
from forecast_assets.models.training import TrainingInputs
from forecast_assets.overrides.effects import overridden
from forecast_assets.reconciliation.reconciling import reconciled_frame
from forecast_assets.stockout_risk.assessing import risk_frame
from forecast_assets.stockout_risk.inventory import supply_at

# Nobody knows stock or orders of the cases: risk is rated by the record of stock status.
_SUPPLY = (INVENTORY_POSITIONS, PURCHASE_ORDERS)
# Share of a series' own level that it keeps from day to day where the law is known.
_REMEMBERED = 0.97


@dataclass(frozen=True)
class Made:
    """What a model made of a case.

    Attributes:
        demand: [n, H] expected demand, units; of a model that tells none, its sales.
        sales: [n, H] expected sales, units.
        risk: [n, H] probability of any hour without stock; None where the model says nothing of it.
        training_seconds: By the clock.
    """

    demand: Floats
    sales: Floats
    risk: Floats | None
    training_seconds: float


Model = Callable[[Case], Made]


# Versions by case, family and the parts that they were trained without, with the seconds that training took.
Versions = dict[tuple[str, str, frozenset[str]], tuple[Artifact, float]]


def family_model(
    name: str, without: Collection[str] = (), *, evaluates: bool = False, versions: Versions | None = None
) -> Model:
    """Return a family as a model.

    Args:
        name: Of the family.
        without: Parts that are switched off, of `WITHOUT`.
        evaluates: Whether training also makes the versions of past cutoffs that it is judged by, as in production;
            forecasts are the same.
        versions: Those trained so far, which are not trained again; new ones are added.
    """
    known: Versions = {} if versions is None else versions

    def forecast(case: Case) -> Made:
        chosen, key = family(name), (case.name, name, frozenset(without) & UNTRAINED)
        if key not in known:
            started = time.perf_counter()
            artifact = chosen.train(_training(case, without, evaluates=evaluates)).artifact
            known[key] = artifact, time.perf_counter() - started
        artifact, seconds = known[key]
        inputs = case.scoring(artifact.history_days, artifact.group_level)
        made = chosen.forecast(artifact, inputs)
        if "sales" in without:
            made = replace(made, lost_share=None)
        if "nodes" in without:
            made = replace(made, nodes=None)
        demand, lost, risk = _run(inputs, chosen, artifact, made)
        return Made(demand, demand - lost, risk, seconds)

    return forecast


def _run(
    inputs: ForecastInputs, chosen: ModelFamily[Any], artifact: Artifact, made: Forecasts
) -> tuple[Floats, Floats, Floats | None]:
    """Return reconciled demand, what of it is lost, and the risk of an empty shelf, [n, H] each, by a run's stages."""
    panel, hierarchy = inputs.panel, inputs.hierarchy
    assert hierarchy is not None
    shape = panel.series.height, panel.horizon_days
    base, reconciled = reconciled_frames(inputs, chosen, made)
    demand = reconciled["reconciled_units"].cast(pl.Float64).to_numpy().reshape(shape)
    if np.isnan(panel.out_of_stock_share).all():
        return demand, np.zeros(shape), None
    model = artifact.stock_status
    risks = risk_frame(
        overridden(reconciled, None),
        panel,
        supply_at(panel.series, *(pl.DataFrame(schema=each.schema) for each in _SUPPLY), panel.cutoff),
        np.zeros(len(demand)),
        lost_share=usual_lost_share(panel, uncensor(panel, artifact.factors(panel, inputs.product_groups))),
        forecast_lost_share=base["lost_share"].to_numpy().reshape(shape),
        status=None if model is None else model.assess(panel, inputs.product_groups, hierarchy),
    )
    lost, risk = (
        risks[name].cast(pl.Float64).to_numpy().reshape(shape)
        for name in ("expected_lost_units", "stockout_probability")
    )
    return demand, lost, risk


def reconciled_frames(
    inputs: ForecastInputs, chosen: ModelFamily[Any], made: Forecasts
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return base and reconciled forecasts of series, as a run's stages lay them out."""
    panel, hierarchy = inputs.panel, inputs.hierarchy
    assert hierarchy is not None
    key = RunKey(DAILY.name, panel.cutoff, "judged", panel.horizon_days)
    base, nodes = forecast_frames(key, panel, hierarchy, chosen, made)
    return base, reconciled_frame(base, nodes, hierarchy)


def naive_model(case: Case) -> Made:
    """Repeat the last week."""
    last = np.nan_to_num(case.panel.sales[:, -7:])
    weeks = -(-case.panel.horizon_days // 7)
    repeated = np.tile(last, (1, weeks))[:, : case.panel.horizon_days]
    return Made(repeated, repeated, None, 0.0)


def tweedie_model(case: Case) -> Made:
    """See `bench.tweedie`."""
    started = time.perf_counter()
    sales = tweedie_sales(case)
    return Made(sales, sales, None, time.perf_counter() - started)


def law_model(case: Case) -> Made:
    """Know the law of made-up files: the calendar of all days, and levels of departments in stores up to the cutoff.

    What is left to estimate is each series' own level, here a plain weighted mean; what no model can know are jumps to
    come and the noise of a day. The distance to it is about what there is to gain from a calendar.

    Raises:
        ValueError: If the case has no law.
    """
    if case.law is None:
        raise ValueError(f"{case.name} has no law that could be known")
    panel, place = case.panel, case.law_places()
    start = case.law.days.index(panel.first_date)
    calendar, level = (
        each.reshape(-1, each.shape[2])[:, start : start + panel.history_days + panel.horizon_days]
        for each in (case.law.calendar_factors, case.law.level_factors)
    )
    expected = (calendar * level)[place, : panel.history_days]
    weight = _REMEMBERED ** np.arange(panel.history_days - 1, -1, -1) * ~np.isnan(panel.sales)
    own = (weight * np.nan_to_num(panel.sales)).sum(axis=1) / np.maximum((weight * expected).sum(axis=1), 1e-9)
    ahead = calendar[:, panel.history_days :] * level[:, [panel.history_days - 1]]
    sales = own[:, None] * ahead[place]
    return Made(sales, sales, None, 0.0)


YARDSTICKS: Mapping[str, Model] = {"naive": naive_model, "tweedie": tweedie_model, "law": law_model}
# Parts that an ablation switches off: some are not trained, the others not used.
UNTRAINED = frozenset({"calendar", "recurring"})
WITHOUT: Mapping[str, str] = {
    "calendar": "weekdays and events one after the other, by product group",
    "recurring": "trees do not read events that recur; the calendar does",
    "nodes": "no forecasts of sums: those of series as they are",
    "sales": "sales are demand less the usual loss",
}


def model_named(
    name: str, without: Collection[str] = (), *, evaluates: bool = False, versions: Versions | None = None
) -> Model:
    """Return a yardstick or a family by its name; see `family_model`."""
    return YARDSTICKS.get(name) or family_model(name, without, evaluates=evaluates, versions=versions)


def _training(case: Case, without: Collection[str], *, evaluates: bool) -> TrainingInputs:
    """Return what a family is trained from, with some parts left out."""
    return replace(
        case.training(evaluates=evaluates),
        calendars=("none",) if "calendar" in without else CALENDARS,
        reads_recurring="recurring" not in without,
    )
