"""The stage that says why each number is what it is: drivers that add up, and words.

What belongs here: from a run's products to its explanations. What does not: words or sums themselves, or Dagster.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from forecast_assets.contracts import (
    BASE_FORECASTS,
    BASE_NODE_FORECASTS,
    FORECAST_EXPLANATIONS,
    FORECAST_OVERRIDES,
    PRICES,
    RECONCILED_FORECASTS,
    STOCKOUT_RISKS,
)
from forecast_assets.explanations.covariates_told import covariates_by_store
from forecast_assets.explanations.explaining import OF_BASE, OF_RECONCILED, OF_RISKS, explanation_frame
from forecast_assets.explanations.explanation_context import ExplanationContext, events_by_store
from forecast_assets.explanations.levels_above import largest_gaps
from forecast_assets.explanations.overrides_told import override_words
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.features.specs import LONGEST_DAYS
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history import History
from forecast_assets.history.events import events_ahead
from forecast_assets.models.artifact import Artifact
from forecast_assets.plots import notable_series
from forecast_assets.scoring.context import RunContext
from forecast_assets.scoring.pictures import PicturedSeries, driver_pictures
from forecast_assets.scoring.stage import StageResult, Summary

# As far back as what is usual is asked for.
_COVARIATE_DAYS: Final = 91


def explain(run: RunContext) -> StageResult:
    """Explain the forecasts of a run.

    Raises:
        NotStagedError: If its risks have not been assessed.
    """
    risks = run.upstream(STOCKOUT_RISKS.name)
    reconciled = run.version(risks.inputs[RECONCILED_FORECASTS.name])
    base = run.version(reconciled.inputs[BASE_FORECASTS.name])
    forecast, moved = run.read(base, OF_BASE), run.forecasts(reconciled, risks.inputs, OF_RECONCILED)
    nodes = run.read(run.version(reconciled.inputs[BASE_NODE_FORECASTS.name]))
    gaps = largest_gaps(forecast, moved, nodes, run.hierarchy)
    horizon = run.key.forecast_horizon
    told = explanation_context(
        run.history, run.features, run.hierarchy, run.artifact, horizon, forecast, gaps,
        plan=_plan(run.history, horizon), events=events_ahead(run.history, horizon),
        overrides=run.overrides(risks.inputs),
    )  # fmt: skip
    risk = run.read(risks, OF_RISKS)
    frame = explanation_frame(forecast, moved, risk, told)
    inputs = {
        **run.inputs,
        **{made.product: made.version for made in (base, reconciled, risks)},
        # Words and numbers are of the overrides that the risks are of.
        **{name: version for name, version in risks.inputs.items() if name == FORECAST_OVERRIDES.name},
    }
    return StageResult(
        {FORECAST_EXPLANATIONS.name: frame},
        inputs,
        run.facts,
        lambda: _summary(frame, notable_series(forecast, risk)),
    )


def explanation_context(
    history: History,
    features: pl.DataFrame,
    hierarchy: Hierarchy,
    artifact: Artifact,
    horizon: int,
    base: pl.DataFrame,
    gaps: pl.DataFrame,
    *,
    plan: pl.DataFrame | None,
    events: pl.DataFrame | None,
    overrides: pl.DataFrame | None = None,
) -> ExplanationContext:
    """Return what the words of a run tell besides its numbers.

    Args:
        history: What the run's snapshot was made from.
        features: The snapshot's rows.
        hierarchy: Of the same series.
        artifact: Of the model version.
        horizon: Days ahead.
        base: `OF_BASE` of `base_forecasts`.
        gaps: See `largest_gaps`.
        plan: Of `ExplanationContext`.
        events: See `events_ahead`.
        overrides: `forecast_overrides` of the run; None where there is no such product.
    """
    classes = base.filter(pl.col("step") == 1).select(*SERIES_KEY, "demand_class")
    facts = (
        features.join(_hierarchy_places(hierarchy, artifact.group_level), on=SERIES_KEY, how="left")
        .join(_last_days(history, classes.filter(demand_class="ended")), on=SERIES_KEY, how="left")
        .sort(SERIES_KEY)
        .with_columns(follows_last_year=pl.lit(artifact.follows_last_year))
    )
    return ExplanationContext(
        feeds=frozenset(batch.feed for batch in history.batches),
        series=facts,
        plan=plan,
        events=None
        if events is None
        else events_by_store(
            events, hierarchy.series["store_id"], history.membership("store_hierarchy"), artifact.recurring_events
        ),
        covariates=_covariates(history, base, hierarchy.series, horizon),
        gaps=gaps,
        overrides=None if overrides is None or overrides.is_empty() else override_words(overrides),
    )


def _hierarchy_places(hierarchy: Hierarchy, group_level: str) -> pl.DataFrame:
    """Return each series' places in the hierarchies, and the group that a new one borrows from."""
    group = pl.Series(hierarchy.product_groups(group_level))
    kin = pl.lit("all products") if group_level == "total" else pl.format("{} {}", pl.lit(group_level), group)
    return hierarchy.series.with_columns(
        borrowed_from=pl.format("{} in {}", kin, "store_id"),
        has_product_place=~pl.col("sku_id").is_in(hierarchy.unassigned_products),
        has_store_place=~pl.col("store_id").is_in(hierarchy.unassigned_stores),
    )


def _last_days(history: History, series: pl.DataFrame) -> pl.DataFrame:
    """Return the last day with a row of sales of some series, as far back as a snapshot looks."""
    since = history.cutoff - timedelta(days=LONGEST_DAYS - 1)
    rows = history.unresolved_feed("sales", since=since) if series.height else None
    if rows is None:
        return pl.DataFrame(schema={**dict.fromkeys(SERIES_KEY, pl.String), "last_day": pl.Date})
    known = rows.join(series.lazy(), on=SERIES_KEY, how="semi")
    return known.group_by(SERIES_KEY).agg(last_day=pl.col("event_date").max()).collect()


def _plan(history: History, horizon: int) -> pl.DataFrame:
    """Return what is planned for the days ahead; no rows where there is no plan, or no feed."""
    rows = history.feed("prices", since=history.cutoff + timedelta(days=1), ahead_days=horizon)
    if rows is None:
        rows = pl.LazyFrame(schema=PRICES.schema)
    planned = rows.select(
        *SERIES_KEY,
        target_date="event_date",
        planned_price_ratio="price_ratio",
        is_promotion_planned="is_promotion",
    )
    return planned.collect()


def _covariates(history: History, base: pl.DataFrame, series: pl.DataFrame, horizon: int) -> pl.DataFrame | None:
    """Return which covariates are far from usual; None where they have no part in any forecast."""
    if not base.select((pl.col("covariates_units") != 0).any()).item():
        return None
    told = history.covariates(series, history_days=_COVARIATE_DAYS, horizon_days=horizon)
    return covariates_by_store(told, series["store_id"], history.cutoff, _COVARIATE_DAYS, horizon)


def _summary(frame: pl.DataFrame, chosen: PicturedSeries) -> Summary:
    drivers = [name for name in frame.columns if name.endswith("_units")]
    lacking = frame.filter(pl.col("not_computed") != "").group_by("not_computed").agg(rows=pl.len())
    return {
        **driver_pictures(frame, chosen),
        "not_computed": lacking.sort("rows", "not_computed", descending=True).head(10),
        **{f"total_{name}": float(frame[name].sum()) for name in drivers},
    }
