"""The stage that assembles what consumers read, and the commit that makes a run visible.

What belongs here: from a run's products to what is published of it, and what must hold at the commit. What does not:
any number that is not there yet, checks, the catalogue, or Dagster.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import (
    AGGREGATE_FORECASTS,
    BASE_FORECASTS,
    CUMULATIVE_FORECASTS,
    FORECAST_EXPLANATIONS,
    FORECAST_OVERRIDES,
    FORECASTS,
    PUBLISHED,
    QUANTILE_COLUMNS,
    RECONCILED_FORECASTS,
    SALES,
    STOCKOUT_RISKS,
)
from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.core.errors import NotAcceptedError
from forecast_assets.core.spans import span
from forecast_assets.corrections.restatements import require_change, restatement, source_snapshot
from forecast_assets.hierarchy.membership import TOTAL
from forecast_assets.models.sample_paths.periods import Periods, PeriodSums, periods_of
from forecast_assets.models.sample_paths.sums import quantiles_of_moved_sums
from forecast_assets.overrides.instructions import moves_ahead
from forecast_assets.plots import as_markdown_image, notable_series, totals_png
from forecast_assets.publication.candidates import DESCRIBED, EXPLAINED, aggregate_frame, forecasts_frame
from forecast_assets.publication.cumulative import READ_OFF, cumulative_frame, terms_of
from forecast_assets.publication.paths import paths_of_run
from forecast_assets.publication.unmoved import moved_days, with_unmoved
from forecast_assets.scoring.context import RunContext, applied_sets_of
from forecast_assets.scoring.pictures import SHOWN_DAYS, fan_pictures
from forecast_assets.scoring.stage import StageResult, Summary
from resources.ledger.entries.publish import Correction, Publication, revision_before
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores
from resources.stores.products import PredictionStore

# Made beside `forecasts`, from the same products.
_SUMS: Final = (AGGREGATE_FORECASTS.name, CUMULATIVE_FORECASTS.name)
# What the pictures' choice reads of risks.
_AT_RISK: Final = ("store_id", "sku_id", "expected_lost_units")


def assemble(run: RunContext) -> StageResult:
    """Assemble what a run would publish: forecasts with expected sales, their sums over levels and over days.

    Raises:
        NotStagedError: If the run has not been explained.
    """
    explanations = run.upstream(FORECAST_EXPLANATIONS.name)
    behind = explanations.inputs
    frame = forecasts_frame(
        run.read(run.version(behind[BASE_FORECASTS.name]), DESCRIBED),
        run.forecasts(run.version(behind[RECONCILED_FORECASTS.name]), behind),
        run.read(explanations, EXPLAINED),
    )
    series = run.hierarchy.series
    periods = periods_of(series, terms_of(series, run.history), run.key.forecast_horizon)
    moved = moved_days(run, frame)
    of_nodes, of_periods = _quantiles(run, frame, periods, moved)
    aggregates = with_unmoved(
        run,
        aggregate_frame(run.key, frame, run.hierarchy, of_nodes),
        AGGREGATE_FORECASTS.name,
        QUANTILE_COLUMNS,
        run.hierarchy.summing @ moved > 0,
    )
    cumulative = with_unmoved(
        run,
        cumulative_frame(run.key, frame, periods, of_periods),
        CUMULATIVE_FORECASTS.name,
        READ_OFF,
        np.asarray(moved.any(axis=1))[np.nonzero(periods.is_given(len(moved)))[0]],
    )
    risks = run.version(behind[STOCKOUT_RISKS.name])
    return StageResult(
        {AGGREGATE_FORECASTS.name: aggregates, CUMULATIVE_FORECASTS.name: cumulative, FORECASTS.name: frame},
        {**run.inputs, FORECAST_EXPLANATIONS.name: explanations.version},
        run.facts,
        partial(_summary, run, frame, aggregates, cumulative.height, risks),
    )


def _quantiles(
    run: RunContext, forecasts: pl.DataFrame, periods: Periods, moved: Bools
) -> tuple[Floats | None, Mapping[str, Floats] | None]:
    """[m, H, 13] of nodes' demand on days, and [n, 17] of series' by period; None without sample paths.

    Of what has not moved ([n, H]) they are 0.
    """
    paths = paths_of_run(run, forecasts)
    if paths is None:
        return None, None
    rows = np.flatnonzero(moved.any(axis=1))
    sums = PeriodSums(periods.take(rows), run.options.workers)
    nodes = quantiles_of_moved_sums(paths, run.hierarchy.summing, moved, on_day=sums.add, progress=run.progress)
    of_periods = {name: np.zeros((len(moved), found.shape[1])) for name, found in sums.found.items()}
    for name, found in sums.found.items():
        of_periods[name][rows] = found
    return nodes, of_periods


def _summary(
    run: RunContext, frame: pl.DataFrame, aggregates: pl.DataFrame, cumulative_rows: int, risks: ProductVersion
) -> Summary:
    total = aggregates.filter(product_level=TOTAL, store_level=TOTAL).sort("step")
    return {
        **fan_pictures(run.history, frame, notable_series(frame, run.read(risks, _AT_RISK))),
        "all_stores_and_skus": as_markdown_image(totals_png(_past(run), total), "units per day"),
        "aggregate_rows": aggregates.height,
        "cumulative_rows": cumulative_rows,
    }


def _past(run: RunContext) -> pl.DataFrame:
    """Return the sales of all series together on each of the last eight weeks' days, as known to the run."""
    rows = run.history.feed("sales", since=run.history.cutoff - timedelta(days=SHOWN_DAYS - 1))
    said = pl.LazyFrame(schema=SALES.schema) if rows is None else rows
    return said.group_by("event_date").agg(pl.col("sales_units").sum()).sort("event_date").collect()


def publish(run: RunContext, required_checks: Callable[[str], Sequence[str]]) -> Publication:
    """Commit a run: one ledger entry makes all its products visible at once.

    Args:
        run: The run, with everything that it publishes.
        required_checks: Names of the checks that must have accepted a product, by its name.

    Raises:
        NotStagedError: If a product has not been made.
        NotAcceptedError: If products do not follow from one another, or a check has not passed on exactly these bytes.
        NothingToCorrectError: If a correction changes no input.
        AlreadyPublishedError: If the key is taken.
    """
    with span("publication") as now:
        store = run.stores.predictions
        products = _one_run(store, {name: run.upstream(name) for name in PUBLISHED})
        published = store.publish(run.key, products, required_checks, _correction(run, products))
        now.note(sequence=published.sequence)
    return published


def _correction(run: RunContext, products: dict[str, str]) -> Correction | None:
    """Return who corrects and why; refuses a correction of nothing, or one made from another moment of knowledge."""
    key, asked = run.key, run.request.correction
    if not key.revision or asked is None:
        return None
    made_from = source_snapshot(run.stores, products).facts["known_until"]
    if made_from != asked.known_until.isoformat():
        raise NotAcceptedError(
            f"The products of {key} were made from what was known by {made_from}, not by "
            f"{asked.known_until.isoformat()}: two corrections overlapped.",
            remedy="Run it again.",
        )
    before = run.stores.predictions.publication(revision_before(key))
    if not _overrides_changed(run.stores, before, products):
        require_change(restatement(run.stores, before, asked.known_until))
    return Correction(asked.by, asked.reason, known_until=made_from)


def _overrides_changed(stores: Stores, before: Publication, products: Mapping[str, str]) -> bool:
    """Return whether other overrides or rules move days to come than moved them in the revision before.

    Args:
        stores: Where everything is.
        before: The revision before.
        products: Versions of the run's products, by name.
    """
    store, state = stores.predictions, stores.ledger.state()
    sold = date.fromisoformat(store.version(products[FORECAST_OVERRIDES.name]).facts["observed_until"])
    one, other = (
        moves_ahead(applied_sets_of(store, of)[-1], state, before.key, sold) for of in (before.products, products)
    )
    return one != other


def _one_run(store: PredictionStore, products: dict[str, ProductVersion]) -> dict[str, str]:
    """Return the versions of products that follow from one another; two runs of a key at once could mix them."""
    explanations = store.version(products["forecasts"].inputs["forecast_explanations"])
    expected = {
        "forecast_explanations": explanations.version,
        "stockout_risks": explanations.inputs["stockout_risks"],
        "forecast_overrides": explanations.inputs["forecast_overrides"],
        "forecasts": products["forecasts"].version,
        "aggregate_forecasts": products["aggregate_forecasts"].version,
        "cumulative_forecasts": products["cumulative_forecasts"].version,
    }
    found = {name: product.version for name, product in products.items()}
    siblings = all(products[name].inputs == products["forecasts"].inputs for name in _SUMS)
    if found != expected or not siblings:
        raise NotAcceptedError(
            "The products do not follow from one another: two runs of this key overlapped.",
            remedy="Run it again.",
        )
    return found
