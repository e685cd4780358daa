"""Commands of feedback: what callers said, what of it could not be used, and taking findings over.

What belongs here: their arguments. What does not: logic.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from forecast_assets.cli.common import current, examples, opened
from forecast_assets.core.errors import InputError

if TYPE_CHECKING:
    from resources.operational.dead_letters import DeadLetters
    from resources.operational.feedback import FeedbackStore

# As `forecast_assets.operations.feedback_checks` and `resources.operational.dead_letters` have them; named here so that
# --help loads nothing.
_KINDS: Final = ("correction", "label", "quality")
_STATES: Final = ("waiting", "replayed", "dropped")


@click.group()
def feedback() -> None:
    """What callers said of predictions: corrections, labels, findings on the data."""


@feedback.command(
    "list", epilog=examples("forecast-assets feedback list", "forecast-assets feedback list --kind quality")
)
@click.option("--kind", type=click.Choice(_KINDS), help="Only of this kind.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="The newest so many.")
def list_feedback(kind: str | None, limit: int) -> None:
    """List what callers said, oldest first. All fields: feedback export."""
    from forecast_assets.presentation.feedback import feedback_text

    click.echo(feedback_text(_store().all(kind)[-limit:]))


@feedback.command(
    epilog=examples(
        "forecast-assets feedback export feedback.parquet",
        "forecast-assets feedback export corrections.csv --kind correction",
    )
)
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--kind", type=click.Choice(_KINDS), help="Only of this kind.")
def export(out: Path, kind: str | None) -> None:
    """Write what callers said to OUT, a .parquet or .csv file that must be new."""
    from forecast_assets.operations.feedback import export_feedback

    kept = _store().all(kind)
    export_feedback(kept, out)
    click.echo(f"{len(kept)} written to {out}.")


@feedback.command("take-over", epilog=examples("forecast-assets feedback take-over --by ana"))
@click.option("--by", required=True, help="Who takes them over.")
def take_over(by: str) -> None:
    """Make each finding on the data an item of the quality backlog, in the ledger.

    The service itself writes nothing to the ledger. A finding becomes one item, however often this is called.
    """
    from forecast_assets.operations.feedback import take_over as take
    from forecast_assets.presentation.feedback import taken_text

    click.echo(taken_text(take(opened().ledger, _store(), by=by)))


@click.group("dead-letters")
def dead_letters() -> None:
    """Records of feedback that could not be used: kept whole, to be mended and replayed, or dropped."""


@dead_letters.command(
    "list", epilog=examples("forecast-assets dead-letters list", "forecast-assets dead-letters list --all")
)
@click.option("--state", default="waiting", show_default=True, type=click.Choice(_STATES), help="Only these.")
@click.option("--all", "shows_all", is_flag=True, help="In every state.")
def list_letters(state: str, shows_all: bool) -> None:
    """List dead letters, oldest first, with what is wrong with each."""
    from forecast_assets.presentation.feedback import letters_text

    click.echo(letters_text(_letters().all(None if shows_all else state)))


@dead_letters.command(epilog=examples("forecast-assets dead-letters show 3"))
@click.argument("letter", type=click.IntRange(1))
def show(letter: int) -> None:
    """Show a dead letter as it was sent, as it is now, and what was done with it."""
    from forecast_assets.presentation.feedback import letter_text

    letters = _letters()
    click.echo(letter_text(letters.find(letter), letters.steps(letter)))


@dead_letters.command(
    epilog=examples(
        "forecast-assets dead-letters mend 3 --set units=3 --by ana",
        "forecast-assets dead-letters mend 3 --set kind=label --set label=too_high --remove units --by ana",
    )
)
@click.argument("letter", type=click.IntRange(1))
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="New value of a field: JSON, or text; "
              "may be repeated.")  # fmt: skip
@click.option("--remove", "removed", multiple=True, metavar="FIELD", help="Leave a field out; may be repeated.")
@click.option("--json", "whole", help="The record anew, in JSON, where it was none.")
@click.option("--by", required=True, help="Who mends it.")
def mend(letter: int, changes: tuple[str, ...], removed: tuple[str, ...], whole: str | None, by: str) -> None:
    """Change fields of a dead letter; what was sent is kept. Then: dead-letters replay."""
    from forecast_assets.operations.feedback import mend as change
    from forecast_assets.presentation.feedback import letter_text

    letters = _letters()
    found = change(letters, letter, dict(map(_field, changes)), removed=removed, whole=whole, by=by)
    click.echo(letter_text(found, letters.steps(letter)))


@dead_letters.command(
    epilog=examples(
        "forecast-assets dead-letters replay 3 --by ana", "forecast-assets dead-letters replay --all --by ana"
    )
)
@click.argument("letter", type=click.IntRange(1), nargs=-1)
@click.option("--all", "takes_all", is_flag=True, help="All that wait.")
@click.option("--by", required=True, help="Who replays them.")
def replay(letter: tuple[int, ...], takes_all: bool, by: str) -> None:
    """Send dead letters through the same door again, as feedback of whoever sent them.

    What cannot be used still keeps waiting, with the reason.
    """
    from forecast_assets.operations.feedback import replay as again
    from forecast_assets.operations.feedback import waiting_letters
    from forecast_assets.operations.prediction_events import known_events
    from forecast_assets.presentation.feedback import replayed_text

    if bool(letter) == takes_all:
        raise InputError("Name dead letters, or all that wait.", remedy="Give numbers, or --all.")
    settings, stores, store, letters = current(), opened(), _store(), _letters()

    find = partial(known_events, settings)
    for each in waiting_letters(letters) if takes_all else letter:
        click.echo(replayed_text(again(stores, store, letters, each, by=by, find_events=find)))


@dead_letters.command(epilog=examples('forecast-assets dead-letters drop 3 --by ana --reason "sent by mistake"'))
@click.argument("letter", type=click.IntRange(1))
@click.option("--by", required=True, help="Who drops it.")
@click.option("--reason", required=True, help="Why.")
def drop(letter: int, by: str, reason: str) -> None:
    """Say that nothing comes of a dead letter; it stays to be looked at."""
    from forecast_assets.operations.feedback import drop as put_aside

    found = put_aside(_letters(), letter, by=by, reason=reason)
    click.echo(f"Dead letter {found.letter_id} is {found.state}.")


def _field(text: str) -> tuple[str, Any]:
    import json

    name, sign, value = text.partition("=")
    if not sign or not name:
        raise InputError(f"`{text}` sets no field.", remedy="Write it as FIELD=VALUE: --set units=3.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _store() -> "FeedbackStore":
    from resources.operational.feedback import FeedbackStore

    return FeedbackStore(current().operational_path)


def _letters() -> "DeadLetters":
    from resources.operational.dead_letters import DeadLetters

    return DeadLetters(current().operational_path)


COMMANDS: Final = (feedback, dead_letters)
