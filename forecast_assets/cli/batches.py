"""Commands on what was taken in: batches, closed stores, quarantined rows.

What belongs here: their arguments. What does not: logic.
"""

from datetime import date
from typing import TYPE_CHECKING

import click

from forecast_assets.cli.common import DAY, examples, opened, with_runner

if TYPE_CHECKING:
    from forecast_assets.launch import Runner

_by = click.option("--by", required=True, help="Who decides.")
_reason = click.option("--reason", required=True, help="Why.")


@click.command(
    "closed",
    epilog=examples(
        "forecast-assets ingest closed --store S1 --from 2025-12-25 --to 2025-12-26 \\",
        '    --by ana --reason "Christmas"',
        "forecast-assets ingest closed --store S1 --store S2 --from 2025-07-07 --to 2025-07-20 \\",
        '    --by ana --reason "rebuilding"',
        "forecast-assets ingest closed --store S1 --from 2025-12-26 --to 2025-12-26 --open \\",
        '    --by ana --reason "opened after all"',
    ),
)
@click.option("--store", "stores", multiple=True, required=True, help="Store, as in the sales; as often as needed.")
@click.option("--from", "since", required=True, type=DAY, help="First day.")
@click.option("--to", "until", required=True, type=DAY, help="Last day.")
@click.option("--open", "is_open", is_flag=True, help="Take it back: they are open on these days.")
@_by
@_reason
def closed(stores: tuple[str, ...], since: date, until: date, is_open: bool, by: str, reason: str) -> None:
    """Say on which days stores are closed, in the past or ahead.

    A closed day without a row of sales is a zero, no run waits for it, and a closed day ahead is forecast as zero. A
    sale that was made on it stands all the same.
    """
    from forecast_assets.presentation.state import ingest_text

    def work(runner: "Runner") -> None:
        outcome = runner.say_closed(stores, since, until, by=by, reason=reason, is_closed=not is_open)
        click.echo(ingest_text(outcome))

    with_runner(work)


@click.command(
    "batches",
    epilog=examples("forecast-assets ingest batches", "forecast-assets ingest batches --feed sales --source till"),
)
@click.option("--feed", help="Of this feed only.")
@click.option("--source", help="Of this source only.")
def batches(feed: str | None, source: str | None) -> None:
    """List what was taken in, batch by batch, and what was taken back."""
    from forecast_assets.operations.batches import listed_batches
    from forecast_assets.presentation.batches import batches_text

    click.echo(batches_text(listed_batches(opened(), feed, source)))


@click.command(
    "retract",
    epilog=examples(
        'forecast-assets ingest retract 17 --by ana --reason "the file of another store"',
        'forecast-assets ingest retract 9f2c41d0 --by ana --reason "it was right" --undo',
    ),
)
@click.argument("batch")
@click.option("--undo", is_flag=True, help="Let a batch that was taken back count again.")
@_by
@_reason
def retract(batch: str, undo: bool, by: str, reason: str) -> None:
    """Take back a wrong delivery. BATCH: its number, or the first digits of its id, as `ingest batches` lists them.

    Snapshots that are made from then on leave it out. Nothing is deleted: runs that were published from it stay as
    they are, can be made again, and are listed by `restatements` with the command that corrects them.
    """
    from forecast_assets.presentation.batches import retracted_text

    def work(runner: "Runner") -> None:
        found = runner.retract(batch, by=by, reason=reason, counts_again=undo)
        click.echo(retracted_text(found, counts_again=undo))

    with_runner(work)


@click.group("quarantine")
def quarantine() -> None:
    """Rows that were set aside, since they break a rule and their mapping says on_invalid = "quarantine"."""


@quarantine.command("list", epilog=examples("forecast-assets ingest quarantine list", "... quarantine list --all"))
@click.option("--all", "every", is_flag=True, help="Also those that have been sent right or released since.")
def list_quarantine(every: bool) -> None:
    """List quarantined rows: which, of which day, and what is wrong with each."""
    from forecast_assets.operations.batches import quarantined
    from forecast_assets.presentation.batches import quarantine_text

    click.echo(quarantine_text(quarantined(opened()), every=every))


@quarantine.command(
    "release",
    epilog=examples(
        'forecast-assets ingest quarantine release 18 --by ana --reason "a school bought all of it"',
        'forecast-assets ingest quarantine release 18 --row 214 --by ana --reason "a school bought all of it"',
    ),
)
@click.argument("batch")
@click.option("--row", "rows", type=int, multiple=True, help="Only this row of its file; as often as needed.")
@_by
@_reason
def release(batch: str, rows: tuple[int, ...], by: str, reason: str) -> None:
    """Take quarantined rows in as they were read. BATCH: as `ingest quarantine list` names it.

    A row that lacks a value cannot be released; have the source send it right.
    """
    from forecast_assets.presentation.state import ingest_text

    with_runner(lambda runner: click.echo(ingest_text(runner.release(batch, by=by, reason=reason, rows=rows))))


COMMANDS = (closed, batches, retract, quarantine)
