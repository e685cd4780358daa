"""Trials on stores with hand-made measurements, recorded by the real code: losses by version, step and day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

import polars as pl

from forecast_assets.contracts import FORECAST_ACCURACY, Contract
from forecast_assets.lifecycle.stage import (
    AssignmentContext,
    TrialContext,
    assign_stores,
    record_assignment,
    record_verdict,
    weigh_trial,
)
from forecast_assets.operations.challengers import ChallengeRequest, set_challenger
from resources.ledger.entries.assign import ChannelAssignment
from resources.ledger.entries.challenge import Challenge, TrialRules
from resources.ledger.entries.weigh import ChallengerVerdict
from resources.stores.home import Stores
from tests.support import products
from tests.support.store_cases import CUTOFF, accept_training, ingest, register

CHAMPION, CHALLENGER = "stat-1", "stat-2"
FIRST = CUTOFF + timedelta(days=1)
HORIZON = 7
SALES = 1000
# Errors of 100 units in 1,000 sold, over all steps.
EVEN = 100.0


@dataclass(frozen=True)
class Said:
    """What a version's run of a day came to: one row of accuracy, and its segments.

    Attributes:
        loss: Absolute error in units, of all rows; each of two stores has half of it.
        error: Error in units.
        inside: Share of rows inside the 80% interval.
        rows: Rows that were judged.
        stores: Loss by store, in place of halves.
    """

    loss: float = EVEN
    error: float = 0.0
    inside: float = 0.8
    rows: int = 200
    stores: Mapping[str, float] | None = None


def trial(**changes: Any) -> Challenge:
    """A trial as its first entry has it."""
    rules = TrialRules(HORIZON, **changes.pop("rules", {}))
    said: dict[str, Any] = {
        "cadence": "daily", "channel": "challenger", "model_version": CHALLENGER, "champion_version": CHAMPION,
        "share": 0.2, "salt": "salt", "first_day": FIRST, "rules": rules, "by": "ana", "reason": "test", "sequence": 9,
    }  # fmt: skip
    return Challenge(**{**said, **changes})


def accuracy_rows(day: date, said: Mapping[tuple[str, int], Said]) -> pl.DataFrame:
    """Rows of contract `forecast_accuracy` of a day, by version and step."""
    return rows_of_days({day: said})


def rows_of_days(said: Mapping[date, Mapping[tuple[str, int], Said]]) -> pl.DataFrame:
    """The same of several days; what is not said is that of a small measurement."""
    rows = [
        {
            "model_version": version, "step": step, "target_date": day, "segment_kind": kind, "segment": segment,
            "prediction_date": day - timedelta(days=step), "rows": each.rows, "sales_units": SALES * share,
            "error_units": each.error * share, "absolute_error_units": loss, "pinball_loss_units": loss,
            "quantile_rows": each.rows, "inside_80_rows": each.inside * each.rows,
        }
        for day, versions in said.items()
        for (version, step), each in versions.items()
        for kind, segment, share, loss in _segments(each)
    ]  # fmt: skip
    frame = pl.DataFrame(rows, schema_overrides=dict.fromkeys(_FLOATS, pl.Float64))
    template = {**_usual_row(), "forecast_horizon": HORIZON, "product_level": "sku", "store_level": "store"}
    same = [pl.lit(value).alias(name) for name, value in template.items() if name not in frame.columns]
    typed = [pl.col(name).cast(kind) for name, kind in FORECAST_ACCURACY.schema.items()]
    return frame.with_columns(same).select(typed).sort(FORECAST_ACCURACY.key)


@cache
def _usual_row() -> dict[str, Any]:
    # Not made when this is imported: processes are forked that may have no thread of a library yet.
    return products.make_accuracy().row(0, named=True)


_FLOATS = ("sales_units", "error_units", "absolute_error_units", "pinball_loss_units", "inside_80_rows")


def _segments(each: Said) -> list[tuple[str, str, float, float]]:
    stores = each.stores or {"N": each.loss / 2, "S": each.loss / 2}
    return [
        ("all", "all", 1.0, each.loss),
        *(("store", store, 0.5, loss) for store, loss in stores.items()),
        ("product_node", "food", 1.0, each.loss),
    ]


def both(champion: Said, challenger: Said, steps: tuple[int, ...] = (1, 7)) -> dict[tuple[str, int], Said]:
    """The same of each step."""
    return {
        (version, step): each for version, each in ((CHAMPION, champion), (CHALLENGER, challenger)) for step in steps
    }


def with_champion(stores: Stores, *, horizon: int = 28) -> Stores:
    """A store with sales of one day, a champion, and a version that may challenge it."""
    ingest(stores)
    for version in (CHAMPION, CHALLENGER):
        register(stores, version, horizon=horizon)
        accept_training(stores, version)
    stores.registry.promote(CHAMPION, by="ana", reason="the first")
    return stores


def begin(stores: Stores, share: float = 0.2, version: str = CHALLENGER, **asked: Any) -> Challenge:
    """Begin a trial, or change its share."""
    if version in stores.ledger.state().versions:
        accept_training(stores, version)
    rules = {"forecast_horizon": HORIZON, **asked.pop("rules", {})}
    request = ChallengeRequest("daily", version, share, "ana", "test", rules=rules, **asked)
    return set_challenger(stores, request).challenge


def measured(stores: Stores, day: date, said: Mapping[tuple[str, int], Said]) -> int:
    """Record the measurement of a day, the first or another one; return its ledger entry."""
    return measured_rows(stores, day, accuracy_rows(day, said))


def measured_rows(stores: Stores, day: date, rows: pl.DataFrame, contract: Contract = FORECAST_ACCURACY) -> int:
    """The same of given rows, under the contract of another release if one is given."""
    newest = stores.ledger.state().newest_measurement("daily", day)
    made = stores.predictions.write(
        contract, rows, key=f"daily/{day}", folder=f"accuracy/target_date={day}", inputs={},
        facts={"known_until": f"{day}T23:00:00+00:00", "runs": rows["model_version"].n_unique()},
    )  # fmt: skip
    since = 0 if newest is None else newest.sequence
    stores.predictions.accept(made.version, "sums_agree")
    checks = ["sums_agree"]
    recorded, _ = stores.predictions.record_measurement("daily", day, made, since=since, required_checks=checks)
    return recorded.sequence


def measure_days(stores: Stores, days: int, challenger: Said, *, first: int = 0) -> None:
    """Measure days in a row from the trial's first on; the champion's errors are even."""
    for at in range(first, days):
        measured(stores, FIRST + timedelta(days=at), both(Said(), challenger))


def judged(stores: Stores) -> ChallengerVerdict:
    """Weigh and record, as the asset does."""
    context = TrialContext(stores, "daily")
    since = context.newest_entry()
    weighed = weigh_trial(context)
    return record_verdict(context, weighed, context.write(weighed), since=since)


def assigned(stores: Stores, day: date) -> ChannelAssignment:
    """Assign the stores of a date and record it, as the asset does."""
    context = AssignmentContext(stores, "daily", day)
    since = context.newest_entry()
    result = assign_stores(context)
    return record_assignment(context, context.write(result), result.rows, since=since)
