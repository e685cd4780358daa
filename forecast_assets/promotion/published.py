"""What published runs of a version tell: how steady its forecasts are, how familiar its inputs, and whether sums hold.

What belongs here: figures of stored products of runs. What does not: what a report says, or which bound holds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Final

import duckdb
import numpy as np
import polars as pl

from checks.judging import judge
from checks.rules import rules_of
from forecast_assets.base_forecasts.quality import UNUSUAL_SCORE
from forecast_assets.contracts import PRODUCTS, PUBLISHED, absent_columns
from forecast_assets.core.keys import CADENCES
from forecast_assets.core.policy import Policy
from forecast_assets.core.quantities import from_units
from forecast_assets.promotion.verdicts import GateVerdict, within
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores

# Pairs of runs, of two prediction dates in a row, that say how steady forecasts are; the newest are looked at.
MOST_PAIRS: Final = 7
_ROW: Final = ["store_id", "sku_id", "target_date"]
_COHERENT: Final = ("every_level_sums_to_the_total", "children_sum_to_parent", "periods_sum_their_days")
# Of runs that have all drivers of today.
_EXPLAINED: Final = "drivers_sum_to_the_published_number"
_NO_RUN: Final = "nothing is published yet; every run is checked before it is"


def newest_runs(stores: Stores, model_version: str, cadence: str) -> list[Publication]:
    """Return the newest revision of each run of a version and cadence, of the horizon of its newest, oldest first."""
    found: dict[object, Publication] = {}
    for each in stores.ledger.state().publications.values():
        if (each.key.model_version, each.key.cadence) == (model_version, cadence):
            name = replace(each.key, revision=0)
            if name not in found or each.key.revision > found[name].key.revision:
                found[name] = each
    ordered = sorted(found.values(), key=lambda each: each.key)
    return [each for each in ordered if each.key.forecast_horizon == ordered[-1].key.forecast_horizon]


def stability_pairs(runs: Sequence[Publication]) -> list[tuple[Publication, Publication]]:
    """Return the newest pairs of runs of two prediction dates in a row, oldest first."""
    pairs = [
        (before, after)
        for before, after in pairwise(runs)
        if after.key.prediction_date - before.key.prediction_date
        == timedelta(days=1 if CADENCES[after.key.cadence].weekday is None else 7)
    ]
    return pairs[-MOST_PAIRS:]


def stability_verdict(stores: Stores, pairs: Sequence[tuple[Publication, Publication]], policy: Policy) -> GateVerdict:
    """Return how much forecasts of the same days changed from one run to the next.

    Sum of the absolute changes over the sum of the later forecasts, over the pairs of runs; in whole millionths, so
    that the order of addition does not matter.
    """
    gate, highest = "stable_between_runs", policy.gates.largest_instability
    if not pairs:
        return within(gate, None, "no two runs of days in a row are published", highest=highest)
    changed, said = (sum(each) for each in zip(*(_change(stores, *pair) for pair in pairs), strict=True))
    words = f"{len(pairs)} pairs of runs up to {pairs[-1][1].key.prediction_date}"
    return within(gate, changed / said if said else None, words, highest=highest)


def _change(stores: Stores, before: Publication, after: Publication) -> tuple[int, int]:
    """Millionths by which forecasts of the same days changed, and of the later forecasts of them."""
    first, second = (_read(stores, run, [*_ROW, "reconciled_units"]) for run in (before, after))
    both = second.join(first, on=_ROW, suffix="_before")
    later, earlier = from_units(both["reconciled_units"]), from_units(both["reconciled_units_before"])
    return int(np.abs(later - earlier).sum()), int(later.sum())


def familiarity_verdict(stores: Stores, run: Publication | None, policy: Policy) -> GateVerdict:
    """Return how many rows of the newest run have inputs unlike those that the version was trained on."""
    gate, highest = "inputs_are_familiar", policy.gates.largest_out_of_distribution_share
    if run is None:
        return within(gate, None, "nothing is published yet", highest=highest)
    scores = _read(stores, run, ["out_of_distribution_score"])["out_of_distribution_score"].drop_nulls()
    if scores.is_empty():
        return within(gate, None, "it was registered before inputs of training were recorded", highest=highest)
    share = int((scores >= UNUSUAL_SCORE).sum()) / len(scores)
    return within(gate, share, f"the run {run.key}", highest=highest)


def run_soundness(stores: Stores, run: Publication | None) -> Iterator[GateVerdict]:
    """Yield whether the newest run adds up and is nowhere below zero: rows that break it, by another engine."""
    if run is None:
        for gate in ("forecasts_are_coherent", "forecasts_are_not_negative"):
            yield within(gate, None, _NO_RUN, highest=0.0)
        return
    said = f"the run {run.key}"
    yield within("forecasts_are_coherent", float(_incoherent_rows(stores, run)), said, highest=0.0)
    yield within("forecasts_are_not_negative", float(_negative_rows(stores, run)), said, highest=0.0)


def _incoherent_rows(stores: Stores, run: Publication) -> int:
    files = {name: stores.predictions.paths(stores.predictions.files(run, name)) for name in run.products}
    wanted = {*_COHERENT, *([] if _lacks_drivers(run) else [_EXPLAINED])}
    rules = [
        rule for name in PUBLISHED if name in files for rule in rules_of(name)
        if rule.name in wanted and all(read in files for read in rule.reads)
    ]  # fmt: skip
    with duckdb.connect() as connection:
        return sum(judge(rule, files, connection).failing_rows for rule in rules)


def _lacks_drivers(run: Publication) -> bool:
    return bool(absent_columns("forecast_explanations", run.schemas.get("forecast_explanations")))


def _negative_rows(stores: Stores, run: Publication) -> int:
    found = 0
    for name in (name for name in PUBLISHED if name in run.products):
        rows = stores.predictions.scan(stores.predictions.version(run.products[name]))
        quantities = [
            column.name for column in PRODUCTS[name].columns
            if column.at_least == 0 and column.name.endswith("_units")
        ]  # fmt: skip
        there = [column for column in quantities if column in rows.collect_schema()]
        if there:
            below = rows.filter(pl.any_horizontal(pl.col(column) < 0 for column in there))
            found += int(below.select(pl.len()).collect().item())
    return found


def _read(stores: Stores, run: Publication, columns: Sequence[str]) -> pl.DataFrame:
    """Return columns of a run's forecasts, its bytes verified; null those that an earlier release did not write."""
    made = stores.predictions.version(run.products["forecasts"])
    rows = stores.predictions.scan_verified(made)
    there = rows.collect_schema()
    schema = PRODUCTS["forecasts"].schema
    return rows.select(
        pl.col(name) if name in there else pl.lit(None, schema[name]).alias(name) for name in columns
    ).collect()
