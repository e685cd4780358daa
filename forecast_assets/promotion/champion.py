"""A version beside the champion on the same days: by a backtest of both, or by two reports of the same cutoffs.

What belongs here: finding such reports and laying their WAPEs side by side. What does not: how much worse is too much.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from forecast_assets.contracts import BACKTESTED_METHOD
from resources.ledger.entries.evaluate import BacktestRecord
from resources.ledger.entries.register import VersionRecord
from resources.stores.home import Stores

# Segments that both are judged by; those of time are of no shop.
SEGMENT_KINDS: Final = ("all", "demand_class", "product_node", "store_node")
_KEY: Final = ["segment_kind", "segment"]
_NOTHING: Final = pl.DataFrame(
    schema={"segment_kind": pl.String, "segment": pl.String, "ours": pl.Float64, "theirs": pl.Float64,
            "rows": pl.Int64}
)  # fmt: skip


@dataclass(frozen=True)
class ComparedWape:
    """WAPE of a version and of the champion on the same rows.

    Attributes:
        rows: `segment_kind, segment, ours, theirs, rows`, of all rows first; empty where there is no such report.
        measured_on: What they are of, or why there are none.
        product_versions: Reports that they were read from.
    """

    rows: pl.DataFrame
    measured_on: str
    product_versions: tuple[str, ...] = ()


def compared_with_champion(stores: Stores, version: VersionRecord, champion: str | None, cadence: str) -> ComparedWape:
    """Return how a version did beside the champion on the same days.

    Args:
        stores: Where everything is.
        version: The version.
        champion: What the cadence's champion is; None where there is none yet.
        cadence: Rhythm of the runs that backtests made.
    """
    if champion is None:
        return ComparedWape(_NOTHING, "there is no champion yet")
    if champion == version.model_version:
        return ComparedWape(_NOTHING, "it is the champion itself")
    other = stores.registry.model_version(champion)
    found = _by_backtest(stores, version, other, cadence) or _by_backtest(stores, other, version, cadence, swaps=True)
    return (
        found
        or _by_evaluation(stores, version, other)
        or ComparedWape(_NOTHING, f"no report has it and {champion} on the same days; backtest it")
    )


def _by_backtest(
    stores: Stores, of: VersionRecord, beside: VersionRecord, cadence: str, *, swaps: bool = False
) -> ComparedWape | None:
    """Read the newest backtest of one version that compared it with the other."""
    newest = stores.ledger.state().newest_backtest(of.model_version)
    method = None if newest is None or newest.cadence != cadence else _method_of(newest, beside.model_version)
    if newest is None or method is None:
        return None
    report = stores.predictions.read(stores.predictions.version(newest.product_version))
    wape = report.filter(pl.col("cutoff").is_null(), pl.col("metric") == "wape")
    names = (method, BACKTESTED_METHOD) if swaps else (BACKTESTED_METHOD, method)
    ours, theirs = (wape.filter(pl.col("method") == name) for name in names)
    days = f"{len(newest.cutoffs)} cutoffs up to {newest.cutoffs[-1]}"
    champion = of.model_version if swaps else beside.model_version
    return _side_by_side(ours, theirs, f"a backtest beside {champion}, {days}", newest.product_version)


def _method_of(backtest: BacktestRecord, version: str) -> str | None:
    """Return what a backtest calls a version that it compared at every cutoff."""
    named = {each.method for each in backtest.methods if each.model_version == version} - {BACKTESTED_METHOD}
    cutoffs = {each.cutoff for each in backtest.methods if each.method in named and each.model_version == version}
    return next(iter(sorted(named)), None) if cutoffs == {*backtest.cutoffs} else None


def _by_evaluation(stores: Stores, version: VersionRecord, champion: VersionRecord) -> ComparedWape | None:
    """Lay two evaluation reports side by side, if they are of the same days.

    They are if both versions were trained on one snapshot, and seasonal naive, which both reports have, did the same.
    """
    if version.training_snapshot != champion.training_snapshot:
        return None
    links = (version.evaluation_report, champion.evaluation_report)
    made = [stores.predictions.version(link) for link in links]
    if not all(each.schema for each in made):
        return None
    ours, theirs = (
        stores.predictions.read(each, [*_KEY, "metric", "value", "baseline_value", "rows"]).filter(
            pl.col("metric") == "wape"
        )
        for each in made
    )
    alike = ours.join(theirs, on=[*_KEY, "rows", "baseline_value"], how="semi", nulls_equal=True)
    if alike.filter(pl.col("segment_kind") == "all").is_empty():
        return None
    said = f"evaluation reports of it and {champion.model_version}, on the same days"
    return _side_by_side(alike, theirs, said, *links)


def _side_by_side(
    ours: pl.DataFrame, theirs: pl.DataFrame, measured_on: str, *product_versions: str
) -> ComparedWape | None:
    joined = (
        ours.filter(pl.col("segment_kind").is_in(SEGMENT_KINDS))
        .select(*_KEY, ours="value", rows="rows")
        .join(theirs.select(*_KEY, theirs="value"), on=_KEY, validate="1:1")
        .drop_nulls()
        .select(*_NOTHING.columns)
    )
    order = pl.col("segment_kind").replace_strict({name: at for at, name in enumerate(SEGMENT_KINDS)})
    rows = joined.sort(order, "segment")
    if rows.filter(pl.col("segment_kind") == "all").is_empty():
        return None
    return ComparedWape(rows, measured_on, product_versions)
