"""The commands of the outbox: deliver, status, list, listen, move, forget.

What belongs here: their arguments. What does not: logic.
"""

import json
from pathlib import Path
from typing import Final

import click

from forecast_assets.cli.common import current, examples, opened

_STREAM = click.option(
    "--stream",
    type=click.Choice(["ledger", "operations"]),
    default="ledger",
    show_default=True,
    help="Entries of the ledger, or operational events such as alerts.",
)


@click.group(
    epilog=examples(
        "FORECAST_ASSETS_BROKER=kafka-1:9092 forecast-assets outbox deliver --follow",
        "FORECAST_ASSETS_WEBHOOKS='[\"https://example.com/hook\"]' forecast-assets outbox deliver",
        "forecast-assets outbox status",
    )
)
def outbox() -> None:
    """Tell others what is recorded: every ledger entry and every operational event, in order and none left out.

    Who is told: FORECAST_ASSETS_BROKER and FORECAST_ASSETS_WEBHOOKS. The sensor `events_are_delivered` does the same
    wherever Dagster runs.
    """


@outbox.command(
    epilog=examples("forecast-assets outbox deliver", "forecast-assets outbox deliver --follow"),
)
@click.option("--follow", is_flag=True, help="Go on until it is stopped, and tell what is recorded within seconds.")
def deliver(*, follow: bool) -> None:
    """Tell every destination what it lacks; exit code 6 if one takes nothing.

    Stopped at any moment, the same command goes on from there: an event may come twice then, under the same id.
    """
    from threading import Event

    from forecast_assets.core.errors import DeliveryError, InputError
    from forecast_assets.operations.outbox import (
        Delivery,
        deliver_events,
        follow_events,
        home_destinations,
        home_outbox,
        home_traces,
    )
    from forecast_assets.presentation.outbox import delivery_text

    settings = current()
    destinations = home_destinations(settings)
    if not destinations:
        raise InputError(
            "Nobody is to be told anything.",
            remedy="Set FORECAST_ASSETS_BROKER=HOST:PORT, or FORECAST_ASSETS_WEBHOOKS to a list in JSON of addresses. "
            "What there is to tell shows `outbox list`.",
        )
    if follow:
        said = dict[tuple[str, str], str]()

        def told(round_: list[Delivery]) -> None:
            for each in round_:
                place = each.place
                if each.delivered or said.get((place.destination, place.stream), "") != place.trouble:
                    click.echo(delivery_text([each]))
                said[place.destination, place.stream] = place.trouble

        follow_events(
            opened(),
            home_outbox(settings),
            destinations,
            Event().wait,
            lambda round_: told([*round_]),
            home_traces(settings),
        )
        return
    done = deliver_events(opened(), home_outbox(settings), destinations, traces=home_traces(settings))
    click.echo(delivery_text(done))
    if any(each.place.trouble for each in done):
        raise DeliveryError(
            "Not every destination has everything.",
            remedy="What waits is handed over by the next `outbox deliver`, or by the sensor.",
        )


@outbox.command(epilog=examples("forecast-assets outbox status", "forecast-assets outbox status --json"))
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def status(*, as_json: bool) -> None:
    """Show how far every destination is, and what keeps it from taking more."""
    from dataclasses import asdict

    from forecast_assets.operations.outbox import home_outbox, outbox_state
    from forecast_assets.presentation.outbox import outbox_text

    found = outbox_state(current(), opened())
    if as_json:
        click.echo(json.dumps([{**asdict(each.place), "waiting": each.waiting} for each in found], indent=2))
        return
    click.echo(outbox_text(home_outbox(current()).place, found))


@outbox.command(
    name="list",
    epilog=examples(
        "forecast-assets outbox list --after 120",
        "forecast-assets outbox list --stream operations",
    ),
)
@_STREAM
@click.option("--after", default=0, show_default=True, type=click.IntRange(0), help="Events behind this position.")
@click.option("--top", default=100, show_default=True, type=click.IntRange(1), help="Events to print at most.")
def list_events(stream: str, after: int, top: int) -> None:
    """Print events as lines of JSON (CloudEvents): what others are told, without any broker."""
    from forecast_assets.operations.outbox import events_behind

    for each in events_behind(current(), opened(), stream, after, top):
        click.echo(json.dumps(each.document, ensure_ascii=False))


@outbox.command(epilog=examples("forecast-assets outbox listen --inbox inbox.sqlite --once"))
@click.option(
    "--inbox", type=click.Path(dir_okay=False, path_type=Path), required=True, help="SQLite file that keeps events."
)
@click.option("--group", default="forecast-assets-inbox", show_default=True, help="Group of consumers to join.")
@click.option("--once", is_flag=True, help="End when nothing more has come for some seconds.")
def listen(inbox: Path, group: str, *, once: bool) -> None:
    """Read events from the broker, keep each once, and print what is new as lines of JSON: a consumer to begin with.

    Repeats are dropped by source and id. Begin again from nothing with another --inbox and another --group.
    """
    from forecast_assets.operations.outbox import listen_to_events

    for each in listen_to_events(current(), inbox, group, ends_when_quiet=once):
        click.echo(json.dumps(each.document, ensure_ascii=False))


@outbox.command(
    epilog=examples(
        "forecast-assets outbox move broker --to 0",
        'forecast-assets outbox move "webhook example.com/hook" --stream ledger --to 120',
    )
)
@click.argument("destination")
@_STREAM
@click.option("--to", "position", required=True, type=click.IntRange(0), help="Position that it counts as having.")
def move(destination: str, stream: str, position: int) -> None:
    """Have a destination be told again what stands behind a position, or pass by what it will never take."""
    from forecast_assets.operations.outbox import move_destination

    place = move_destination(current(), opened(), destination, stream, position)
    click.echo(f"{place.destination} is told what stands behind position {place.position:,} of `{place.stream}` next.")


@outbox.command(epilog=examples('forecast-assets outbox forget "webhook example.com/old"'))
@click.argument("destination")
def forget(destination: str) -> None:
    """Forget a destination that is no more, so that no operational events are kept for it."""
    from forecast_assets.operations.outbox import forget_destination

    forget_destination(current(), destination)
    click.echo(f"{destination} is forgotten.")


COMMANDS: Final = (outbox,)
