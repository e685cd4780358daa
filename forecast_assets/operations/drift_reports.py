"""Reading drift reports and the quality backlog, and deciding about its items.

What belongs here: what is told of a day, how figures went, how items stand, and saying that somebody looks at one. What
does not: judging (`drift`), or how it looks.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NotReadyError
from forecast_assets.drift.inputs import read_feeds
from forecast_assets.drift.judging import FIGURE_DAYS, figure_days
from forecast_assets.drift.signals import signals_of
from forecast_assets.drift.stage import judgements_of
from forecast_assets.history import History
from resources.ledger.entries.backlog import BACKLOG, CLOSED, Backlog, BacklogDecision, BacklogStep
from resources.ledger.entries.drift import DriftRecord, DriftRecords
from resources.ledger.entries.judged_days import Signal
from resources.ledger.log import Entry
from resources.stores.home import Stores
from resources.stores.registry import Registry

_USUALLY_SHOWN: Final = ("sales", "sales_units")


@dataclass(frozen=True)
class DriftReport:
    """What was found of a day.

    Attributes:
        record: Its newest judgement.
        rows: Contract `drift_reports`.
        signals: What is told.
        items: Number of the backlog's item of each signal that has one and is still told now.
    """

    record: DriftRecord
    rows: pl.DataFrame
    signals: tuple[Signal, ...]
    items: dict[str, int]


@dataclass(frozen=True)
class BacklogItem:
    """An item of the quality backlog.

    Attributes:
        opened: Its first step.
        newest: Its last one.
    """

    opened: BacklogStep
    newest: BacklogStep


def drift_report(stores: Stores, day: date) -> DriftReport:
    """Return what was found of a day.

    Raises:
        NotReadyError: If it has not been judged.
    """
    state = stores.ledger.state()
    record = state.part(DriftRecords).newest_of(day)
    if record is None:
        raise NotReadyError(
            f"The inputs of {day} have not been judged.",
            remedy=Sentence("Judge them: ", Action("drift", {"date": day}), "."),
            prediction_date=day,
        )
    rows = stores.predictions.read(stores.predictions.version(record.product_version))
    told = tuple(signals_of(judgements_of(rows), day))
    present = state.part(Backlog).present
    return DriftReport(record, rows, told, {name: step.item for name, step in present.items()})


def figures_over_days(stores: Stores, report: DriftReport, days: int = 91) -> pl.DataFrame:
    """Return how the figures of feeds that are told went over all stores; that of units sold, if none of them is told.

    Args:
        stores: Where everything is.
        report: Of a day.
        days: Days up to it.

    Returns:
        `feed, figure, scale, event_date, value, expected`; no rows where there is none of these figures.
    """
    snapshot = stores.predictions.version(_snapshot_of(stores, report.record))
    figures, calendars = read_feeds(History.of(snapshot, stores.observations))
    # Features, forecasts and names of stores are told too, which no figure of a feed shows.
    told = {each.called.watched for each in report.signals}
    shown = [figure for figure in figures if ("feed", figure.feed, figure.name) in told]
    shown = shown or [figure for figure in figures if (figure.feed, figure.name) == _USUALLY_SHOWN]
    made = [figure_days(figure, calendars[figure.store_ids], days) for figure in shown]
    return pl.concat([pl.DataFrame(schema=FIGURE_DAYS), *made])


def _snapshot_of(stores: Stores, record: DriftRecord) -> str:
    return str(stores.predictions.version(record.product_version).inputs["feature_snapshots"])


def backlog_items(stores: Stores, *, has_closed: bool = False) -> list[BacklogItem]:
    """Return the items of the quality backlog, newest first.

    Args:
        stores: Where everything is.
        has_closed: Whether closed items are among them.
    """
    backlog = stores.ledger.state().part(Backlog)
    opened: dict[int, BacklogStep] = {}
    for step in backlog.steps:
        opened.setdefault(step.item, step)
    items = [BacklogItem(opened[number], newest) for number, newest in backlog.newest.items()]
    return [item for item in reversed(items) if has_closed or item.newest.status != CLOSED]


def decide(registry: Registry, item: int, status: str, *, by: str, reason: str) -> Entry:
    """Record that somebody looks at an item, or is done with it.

    Raises:
        InputError: If there is no such item, this was said before, or who or why is missing.
    """
    decision = BacklogDecision(item, status, by, reason)
    return registry.ledger.append(BACKLOG.name, BACKLOG.body(decision), lambda state: BACKLOG.admit(decision, state))
