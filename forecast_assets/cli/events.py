"""Commands of prediction events: list, show, move, drain.

What belongs here: their arguments. What does not: logic.
"""

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import click

from forecast_assets.cli.common import DAY, current, examples
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, StorageError


@click.group()
def events() -> None:
    """Prediction events: what was answered in real time, to whom, and how it came about."""


@events.command(
    "list",
    epilog=examples(
        "forecast-assets events list",
        "forecast-assets events list --store S-01 --sku FOOD-0001 --since 2025-07-01",
    ),
)
@click.option("--caller", help="Only of callers of this name.")
@click.option("--store", help="Only about this series; with --sku.")
@click.option("--sku", help="Only about this series; with --store.")
@click.option("--since", type=DAY, help="From this day on, in UTC.")
@click.option("--until", type=DAY, help="Up to this day, in UTC.")
@click.option("--top", default=20, show_default=True, type=click.IntRange(1, 200), help="Events to show at most.")
def list_events(
    caller: str | None, store: str | None, sku: str | None, since: date | None, until: date | None, top: int
) -> None:
    """List prediction events that the store has, the newest first."""
    from forecast_assets.operations.prediction_events import events_store
    from forecast_assets.presentation.text import table
    from resources.events.stores import EventQuery

    if (store is None) != (sku is None):
        raise InputError("A series is a store and a SKU.", remedy="Name both, or neither.")
    end = None if until is None else _begin(until + timedelta(days=1))
    asked = EventQuery(
        caller=caller, store_id=store, sku_id=sku, since=None if since is None else _begin(since), until=end, limit=top
    )
    found = events_store(current()).select(asked)
    if not found:
        click.echo("The store has no such prediction event.")
        return
    rows = [
        (
            each.event_id,
            f"{each.occurred_at:%Y-%m-%d %H:%M:%S}",
            each.caller,
            each.use,
            each.model_version,
            f"{len(each.series):,}",
            each.document["run"]["served_from"],
            f"{each.document['milliseconds']:,.0f}",
        )
        for each in found
    ]
    click.echo(table(("event", "at (UTC)", "caller", "use", "version", "series", "served from", "ms"), rows))


@events.command(epilog=examples("forecast-assets events show 0e7d67d2-edfc-423c-ac9e-8b5b7ec9e006"))
@click.argument("event_id", type=click.UUID)
def show(event_id: object) -> None:
    """Print all of a prediction event as JSON, from the store or from the files of days that are over."""
    from forecast_assets.operations.prediction_events import find_event

    found = find_event(current(), str(event_id))
    if found is None:
        raise InputError(
            f"There is no prediction event {event_id}.",
            remedy=Sentence("See which there are: ", Action("events list"), "."),
            event_id=event_id,
        )
    click.echo(json.dumps(found.document, indent=2, ensure_ascii=False))


@events.command(epilog=examples("forecast-assets events move"))
def move() -> None:
    """Move days that are over to Parquet, and drop from the store what it has had for long enough.

    The asset `prediction_events` does the same each day. A day is dropped only after each of its events was read in the
    files, equal in every column.
    """
    from forecast_assets.operations.prediction_events import move_events

    done = move_events(current(), datetime.now(UTC))
    for day in done.kept.moved:
        click.echo(f"{day.day}: {day.written:,} of {day.events:,} events written.")
    for dropped in done.kept.dropped:
        click.echo(f"{dropped}: dropped from the store.")
    for staying in done.kept.staying:
        click.echo(f"{staying}: stays in the store, since events came in meanwhile.")
    click.echo(f"All days that are over: {done.view}, view operational.prediction_events")


@events.command(epilog=examples("forecast-assets events drain"))
def drain() -> None:
    """Hand over what dead services left in the spool; a living one does so by itself."""
    from forecast_assets.operations.prediction_events import drain_events

    state = drain_events(current())
    click.echo(f"{state.drained:,} events were handed over.", err=True)
    if state.torn or state.refused:
        words = f"{state.torn:,} lines were not whole, {state.refused:,} events refused: see `aside` in the spool."
        click.echo(words, err=True)
    if state.failing or state.trouble:
        raise StorageError(
            "; ".join(
                [*(f"the sink `{name}` takes none: {why}" for name, why in state.failing.items()), state.trouble]
            ),
            remedy=Sentence("They stay in the spool. Mend it, then: ", Action("events drain"), "."),
        )


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


COMMANDS: Final = (events,)
