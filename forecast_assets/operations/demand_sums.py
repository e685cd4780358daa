"""Demand of any part of a published run over any of its days, with quantiles.

What belongs here: which series and days are asked for, and adding up their sample paths. What does not: paths
(publication), or how an answer looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Bools, Floats, Rows
from forecast_assets.core.errors import InputError, NotPublishedError, first_ten
from forecast_assets.core.quantities import SCALE, from_units
from forecast_assets.corrections.restatements import source_snapshot
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.hierarchy.membership import Level
from forecast_assets.history import History
from forecast_assets.models.sample_paths.drawing import DEFAULT_PATHS, JointPaths
from forecast_assets.models.sample_paths.sums import quantiles_of_paths
from forecast_assets.operations.reading import read_product
from forecast_assets.publication.paths import paths_of
from forecast_assets.scoring.context import build_hierarchy, load_artifact
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores

# Between the level and the node of a name that says both.
SEPARATOR: Final = ":"


@dataclass(frozen=True)
class DemandSum:
    """Demand of some series over some days, all together.

    Attributes:
        publication: The run.
        series: How many series it is of.
        first: First day.
        last: Last day.
        mean: Expected units.
        quantiles: Units by probability.
        paths: Sample paths that the quantiles are read off.
    """

    publication: Publication
    series: int
    first: date
    last: date
    mean: float
    quantiles: dict[float, float]
    paths: int


def demand_sum(
    stores: Stores,
    publication: Publication,
    *,
    product: str | None = None,
    store: str | None = None,
    first: date | None = None,
    last: date | None = None,
    levels: Sequence[float] = QUANTILES,
    workers: int | None = None,
) -> DemandSum:
    """Return what part of a run is expected to be asked for, all together, and how sure that is.

    Args:
        stores: Where everything is.
        publication: The run.
        product: SKU or node of the product hierarchy, as `department:FOODS` where several levels have a node of the
            name; all products if left out.
        store: Store or node of the store hierarchy, likewise.
        first: First day; that after the prediction date if left out.
        last: Last day; the last of the run if left out.
        levels: Probabilities, from 0.001 to 0.999: beyond these 500 paths say nothing.
        workers: Threads; all cores if left out.

    Raises:
        InputError: If the run has no such node or days, or paths say nothing of a probability.
        NotPublishedError: If the version of the run has no sample paths.
    """
    least = 0.5 / DEFAULT_PATHS
    outside = [level for level in levels if not least <= level <= 1.0 - least]
    if outside:
        raise InputError(
            f"{DEFAULT_PATHS} sample paths say nothing of the probabilities {first_ten(outside)}.",
            remedy=f"Give numbers from {least:g} to {1.0 - least:g}.",
        )
    history = History.of(source_snapshot(stores, publication.products), stores.observations)
    forecasts = read_product(stores, publication, "forecasts").sort("store_id", "sku_id", "step")
    hierarchy = build_hierarchy(forecasts.select("store_id", "sku_id").unique(), history)
    rows = _series_of(hierarchy, product, store)
    steps = _steps(publication, first, last)
    artifact = load_artifact(stores, stores.registry.model_version(publication.key.model_version))
    paths = paths_of(forecasts, hierarchy, history, artifact, workers=workers)
    if paths is None:
        raise NotPublishedError(
            f"{publication.key.model_version} has no sample paths: it was trained before versions learned how errors "
            "hang together, or its forecasts come from outside.",
            remedy="Ask of a version that was trained with this release.",
            key=publication.key,
        )
    sums = _added_up(paths.take(rows), steps)
    units = from_units(forecasts["forecast_units"]).reshape(hierarchy.series.height, -1)
    day = publication.key.prediction_date
    return DemandSum(
        publication=publication,
        series=len(rows),
        first=day + timedelta(days=steps.start),
        last=day + timedelta(days=steps.stop - 1),
        mean=int(units[rows, steps.start - 1 : steps.stop - 1].sum()) / SCALE,
        quantiles=dict(zip(levels, quantiles_of_paths(sums[None], levels)[0].tolist(), strict=True)),
        paths=paths.paths,
    )


def _added_up(paths: JointPaths, steps: range) -> Floats:
    """[N] units of all series on all of some steps; days after them are not drawn."""
    total = np.zeros(paths.paths)
    for step, units in enumerate(paths.until(steps.stop - 1).steps(), start=1):
        if step in steps:
            total += units.sum(axis=0)
    return total


def _steps(publication: Publication, first: date | None, last: date | None) -> range:
    """Steps of the days that are asked for."""
    key = publication.key
    start = 1 if first is None else (first - key.prediction_date).days
    end = key.forecast_horizon if last is None else (last - key.prediction_date).days
    if not 1 <= start <= end <= key.forecast_horizon:
        days = [key.prediction_date + timedelta(days=step) for step in (1, key.forecast_horizon)]
        raise InputError(
            f"{key} has no days from {first or days[0]} to {last or days[1]}.",
            remedy=f"Name days from {days[0]} to {days[1]}, the first before the last.",
        )
    return range(start, end + 1)


def _series_of(hierarchy: Hierarchy, product: str | None, store: str | None) -> Rows:
    """Return the series of a product node in a store node."""
    everything = np.ones(hierarchy.series.height, dtype=np.bool_)
    of_product = everything if product is None else _members(hierarchy.product_levels, product, "product")
    of_store = everything if store is None else _members(hierarchy.store_levels, store, "store")
    rows = np.flatnonzero(of_product & of_store)
    if not len(rows):
        raise InputError(
            f"The run has no series of {product} in {store}.", remedy="Name a product that the store sells."
        )
    return rows


def _members(levels: Sequence[Level], name: str, dimension: str) -> Bools:
    """[n] Whether each series is of the node that is named, by its name alone or with that of its level."""
    level_name, _, node = name.partition(SEPARATOR)
    found: dict[str, Bools] = {
        level.name: np.asarray(level.members == wanted, dtype=np.bool_)
        for level in levels
        for wanted in ([name] + ([node] if level.name == level_name else []))
        if wanted in level.nodes
    }
    if not found:
        raise InputError(
            f"The run has no {dimension} node `{name}`.",
            remedy=f"Name one of its levels {first_ten([level.name for level in levels])}, for example "
            f"`{levels[-1].name}{SEPARATOR}{levels[-1].nodes[0]}`.",
        )
    masks = list(found.values())
    if any(not np.array_equal(masks[0], other) for other in masks[1:]):
        raise InputError(
            f"`{name}` is a node of several levels: {first_ten(list(found))}.",
            remedy=f"Name the level too: `{next(iter(found))}{SEPARATOR}{name}`.",
        )
    return masks[0]
