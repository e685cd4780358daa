"""Two published runs of one date, side by side: what moved, by which driver, in which series, and why.

What belongs here: differences of published numbers and of what they were made from, exact to the last decimal.
What does not: printing them, or making a number.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import COMPONENTS
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import FIRST, InputError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS, Millionths, from_units, to_units
from forecast_assets.corrections.restatements import changed_rows, days_read, source_snapshot
from forecast_assets.history.as_known import History
from forecast_assets.operations.reading import read_product
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores

# Those of the forecast add up to it, and with what stock-outs take away to expected sales.
FORECAST_DRIVERS: Final = (*COMPONENTS, "reconciliation_units", "override_units")
DRIVERS: Final = (*FORECAST_DRIVERS, "stock_units")
_NUMBERS: Final = (*FORECAST_DRIVERS, "forecast_units", "stock_units", "expected_sales_units")
_SERIES: Final = ["store_id", "sku_id"]
_ROW: Final = [*_SERIES, "target_date"]


@dataclass(frozen=True)
class Comparison:
    """What differs between two published runs.

    Attributes:
        before: The first run.
        after: The second.
        totals: `driver, before_units, after_units, change_units`: a row per driver of the forecast, `forecast_units`,
            `stock_units` and `expected_sales_units`. The changes of ``FORECAST_DRIVERS`` add up to that of the
            forecast, and with `stock_units` to that of expected sales, exactly.
        series: The ten series that moved most: `store_id, sku_id, moved_units` (what the forecast and expected losses
            moved, day by day and without sign), `change_units` (of expected sales over all days), `driver` that moved
            most, and `driver_change_units`.
        rows: Rows in all, of the two runs together.
        moved_rows: Rows whose forecast or expected sales differ.
        only_before: Rows that only the first has.
        only_after: Rows that only the second has.
        inputs: Input rows that differ, as `restatements.Restatement.rows`; empty where both read the same.
        made_from: What else they were made from and differs: name, before, after.
    """

    before: Publication
    after: Publication
    totals: pl.DataFrame
    series: pl.DataFrame
    rows: int
    moved_rows: int
    only_before: int
    only_after: int
    inputs: pl.DataFrame
    made_from: tuple[tuple[str, str, str], ...]


def compare_runs(stores: Stores, before: RunKey, after: RunKey) -> Comparison:
    """Compare two published runs of one prediction date.

    Rows that only one of them has count with nothing in the other.

    Raises:
        InputError: If they are of different prediction dates, so that no row of one has a counterpart.
        NotPublishedError: If one of them is not published.
        ChangedFileError: If stored bytes changed.
    """
    if before.prediction_date != after.prediction_date:
        raise InputError(
            f"{before} and {after} forecast from different days.",
            remedy=Sentence(
                "Compare what they say of the same days: ",
                Action("compare", {"why": True}, on=(str(before), str(after))),
            ),
            before=before,
            after=after,
        )
    first, second = (stores.predictions.publication(key) for key in (before, after))
    joined = _joined(*(_explanations(stores, publication) for publication in (first, second)))
    changes = {name: _change(joined, name) for name in _NUMBERS}
    return Comparison(
        first,
        second,
        totals=_totals(joined, changes),
        series=_most_moved(joined, changes),
        rows=joined.height,
        moved_rows=int(np.count_nonzero((changes["forecast_units"] != 0) | (changes["expected_sales_units"] != 0))),
        only_before=joined["is_after"].null_count(),
        only_after=joined["is_before"].null_count(),
        inputs=_inputs(stores, first, second),
        made_from=tuple(made_from(stores, first, second)),
    )


def _explanations(stores: Stores, publication: Publication) -> pl.DataFrame:
    return read_product(stores, publication, "forecast_explanations").select(*_ROW, *_NUMBERS)


def _joined(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of both, sorted, each column as `before.<name>` and `after.<name>`; 0 where a run lacks a row."""
    sides = [
        frame.select(*_ROW, pl.lit(value=True).alias(f"is_{side}"), pl.exclude(_ROW).name.prefix(f"{side}."))
        for side, frame in (("before", before), ("after", after))
    ]
    joined = sides[0].join(sides[1], on=_ROW, how="full", coalesce=True, validate="1:1")
    return joined.with_columns(pl.selectors.decimal().fill_null(0).cast(UNITS)).sort(_ROW)


def _change(joined: pl.DataFrame, name: str) -> Millionths:
    """[rows] change of one number, in whole millionths."""
    change: Millionths = from_units(joined[f"after.{name}"]) - from_units(joined[f"before.{name}"])
    return change


def _totals(joined: pl.DataFrame, changes: dict[str, Millionths]) -> pl.DataFrame:
    sums = {
        side: np.array([from_units(joined[f"{side}.{name}"]).sum() for name in changes]) for side in ("before", "after")
    }
    return pl.DataFrame(
        [
            pl.Series("driver", [*changes]),
            to_units(sums["before"], "before_units"),
            to_units(sums["after"], "after_units"),
            to_units(sums["after"] - sums["before"], "change_units"),
        ]
    )


def _most_moved(joined: pl.DataFrame, changes: dict[str, Millionths]) -> pl.DataFrame:
    """Return the ten series that moved most, of those that moved at all."""
    numbers = joined.select(_SERIES).with_columns(
        *(pl.Series(name, values) for name, values in changes.items()),
    )
    moved = (pl.col("forecast_units").abs() + pl.col("stock_units").abs()).sum()
    by_series = numbers.group_by(_SERIES).agg(
        moved=moved,
        change=pl.col("expected_sales_units").sum(),
        **{f"{name}.moved": pl.col(name).abs().sum() for name in DRIVERS},
        **{name: pl.col(name).sum() for name in DRIVERS},
    )
    most = by_series.filter(pl.col("moved") > 0).sort(["moved", *_SERIES], descending=[True, False, False]).head(FIRST)
    by_driver = most.select(f"{name}.moved" for name in DRIVERS).to_numpy().reshape(-1, len(DRIVERS))
    largest = by_driver.argmax(axis=1) if most.height else np.zeros(0, np.int64)
    net = most.select(DRIVERS).to_numpy().reshape(-1, len(DRIVERS))[np.arange(most.height), largest]
    return most.select(_SERIES).with_columns(
        to_units(most["moved"].to_numpy(), "moved_units"),
        to_units(most["change"].to_numpy(), "change_units"),
        pl.Series("driver", [DRIVERS[at] for at in largest], dtype=pl.String),
        to_units(net, "driver_change_units"),
    )


def _inputs(stores: Stores, first: Publication, second: Publication) -> pl.DataFrame:
    """Return the input rows that differ; source, moment and reason are those of the run that knew more."""
    runs = (first, second)
    before, after = (History.of(source_snapshot(stores, run.products), stores.observations) for run in runs)
    days = max(days_read(stores, run) for run in runs)
    horizon = max(run.key.forecast_horizon for run in runs)
    if (before.known_until, len(before.batches)) <= (after.known_until, len(after.batches)):
        return changed_rows(before, after, days, horizon)
    rows = changed_rows(after, before, days, horizon)
    swapped = {"before": "after", "after": "before", "amount_before": "amount_after", "amount_after": "amount_before"}
    return rows.rename(swapped).select(rows.columns)


def made_from(stores: Stores, first: Publication, second: Publication) -> list[tuple[str, str, str]]:
    """Return what two runs were made from that differs, of model, features, code, libraries and settings.

    Returns:
        Name, before and after of each.
    """
    before, after = (_description(stores, publication) for publication in (first, second))
    both = [(name, before.get(name, ""), after.get(name, "")) for name in {**before, **after}]
    return [(name, old, new) for name, old, new in both if old != new]


def _description(stores: Stores, publication: Publication) -> dict[str, str]:
    products = {name: stores.predictions.version(version) for name, version in publication.products.items()}
    forecasts, risks = products["forecasts"], products["stockout_risks"]
    snapshot = source_snapshot(stores, publication.products)
    return {
        "known until": snapshot.facts["known_until"],
        "model artifact": forecasts.inputs["model_artifacts"],
        "features": forecasts.facts["feature_version"],
        "simulated stock paths": str(risks.facts.get("risk_paths", "")),
        "policy": str(risks.facts.get("policy", "")),
        "code": forecasts.code_version,
        **{f"library {name}": version for name, version in forecasts.libraries.items()},
    }
