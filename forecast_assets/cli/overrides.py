"""Commands on planners' overrides: preview, add, import, list, approve, reject, withdraw, publish.

What belongs here: their arguments. What does not: logic.
"""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from forecast_assets.cli.common import DAY, as_of_option, examples, opened, with_runner
from forecast_assets.cli.copies import follow_copy
from forecast_assets.cli.override_value import value
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.overrides import FORMS, UNITS_FORM, ZERO, Override

if TYPE_CHECKING:
    from forecast_assets.launch import Runner

_VALUED: Final = tuple(form for form in FORMS if form != ZERO)
_MEANINGS: Final = {
    UNITS_FORM: "Units a day of the whole node.",
    "percent": "Change in percent, such as 20 or -15.",
    "add": "Units a day more, or fewer, of the whole node.",
    "floor": "At least so many units a day of the whole node.",
    "cap": "At most so many units a day of the whole node.",
}


class _Run(click.ParamType[RunKey, Any]):
    name = "run"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> RunKey:
        if isinstance(value, RunKey):
            return value
        try:
            return RunKey.parse(value)
        except InputError as error:
            self.fail(str(error), param, ctx)


@click.group()
def overrides() -> None:
    """What planners say of forecasts: recorded beside them, never an edit, and what it was worth."""


def _run_option(function: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--run", "key", type=_Run(),
        help="Run that it is held against, as daily/2025-06-30/stat-1/28/r0; default: the champion's newest daily one.",
    )(function)  # fmt: skip


def _saying(function: Callable[..., None]) -> Callable[..., None]:
    """Add what says an override: node, days, form with value, reason."""
    for option in reversed((
        click.option("--sku", default="", help="One SKU; or:"),
        click.option("--product", default="", metavar="LEVEL:NODE", help="A product node; default: all products."),
        click.option("--store", default="", help="One store; or:"),
        click.option("--stores", default="", metavar="LEVEL:NODE", help="A store node; default: all stores."),
        click.option("--from", "first", required=True, type=DAY, help="First target date."),
        click.option("--to", "last", type=DAY, help="Last target date; default: that day alone."),
        *(click.option(f"--{form}", metavar="NUMBER", help=_MEANINGS[form]) for form in _VALUED),
        click.option("--zero", is_flag=True, help="Nothing sells."),
        click.option("--reason", required=True, help="Code of the reason; see `policy show`, section planning."),
        click.option("--note", default="", help="Free words."),
        click.option("--expires", type=DAY, help="Last prediction date of runs that it moves."),
    )):  # fmt: skip
        function = option(function)
    return function


def _said(asked: dict[str, Any]) -> Override:
    from forecast_assets.operations.override_files import scope_of

    chosen = [form for form in _VALUED if asked[form] is not None] + ([ZERO] if asked["zero"] else [])
    if len(chosen) != 1:
        raise click.UsageError(f"Give one of {', '.join(f'--{form}' for form in FORMS)}.")
    (form,) = chosen
    first: date = asked["first"]
    return Override(
        scope_of(asked["sku"], asked["store"], asked["product"], asked["stores"]),
        first,
        asked["last"] or first,
        form,
        "" if form == ZERO else asked[form],
        asked["reason"],
        asked["note"],
        asked["expires"],
    )


@overrides.command(
    epilog=examples(
        "forecast-assets overrides preview --product category:dairy --from 2025-07-03 --to 2025-07-06 --percent 20 \\",
        "    --reason event",
        "forecast-assets overrides preview --sku FOOD-0001 --store S-01 --from 2025-07-03 --units 40 --reason other",
    )
)
@_saying
@_run_option
def preview(key: RunKey | None, **asked: Any) -> None:
    """Show what an override would do at every level; nothing is recorded."""
    from forecast_assets.operations.overrides import PlannedRun, newest_run, preview_overrides
    from forecast_assets.presentation.overrides import preview_text

    stores = opened()
    said = _said(asked)
    click.echo(preview_text(preview_overrides(stores, PlannedRun.of(stores, newest_run(stores, key)), [said])))


@overrides.command(
    epilog=examples(
        "forecast-assets overrides add --product category:dairy --from 2025-07-03 --to 2025-07-06 --percent 20 \\",
        '    --reason event --note "local festival" --by ana',
        "forecast-assets overrides add --sku FOOD-0001 --from 2025-07-10 --to 2027-12-31 --zero --reason delisted \\",
        "    --by ana",
    )
)
@_saying
@_run_option
@click.option("--by", required=True, help="Who says so.")
@click.option("--needs-approval", is_flag=True, help="Wait until a second person approves.")
@click.option("--confirm", is_flag=True, help="An unusually large change is meant.")
def add(key: RunKey | None, by: str, *, needs_approval: bool, confirm: bool, **asked: Any) -> None:
    """Record an override: it moves the next runs, and revisions that `overrides publish` makes."""
    _record([_said(asked)], key, by, needs_approval=needs_approval, confirm=confirm)


@overrides.command(
    "import",
    epilog=examples(
        "forecast-assets overrides import july.csv --by ana --dry-run",
        "forecast-assets overrides import july.csv --by ana",
    ),
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_run_option
@click.option("--by", required=True, help="Who says so.")
@click.option("--needs-approval", is_flag=True, help="Wait until a second person approves.")
@click.option("--confirm", is_flag=True, help="Unusually large changes are meant.")
@click.option("--dry-run", is_flag=True, help="Show what they would do; nothing is recorded.")
def import_overrides(
    file: Path, key: RunKey | None, by: str, *, needs_approval: bool, confirm: bool, dry_run: bool
) -> None:
    """Record the overrides of a CSV file, all or none.

    Columns: first_date, form (units, percent, add, floor, cap or zero) and reason; as needed sku or product
    (LEVEL:NODE), store or stores (LEVEL:NODE), last_date, value, note, expires_on.
    """
    from forecast_assets.operations.override_files import read_overrides

    _record(read_overrides(file), key, by, needs_approval=needs_approval, confirm=confirm, dry_run=dry_run)


def _record(
    given: Sequence[Override | InputError],
    key: RunKey | None,
    by: str,
    *,
    needs_approval: bool,
    confirm: bool,
    dry_run: bool = False,
) -> None:
    from forecast_assets.operations.overrides import PlannedRun, newest_run, preview_overrides, record_overrides
    from forecast_assets.presentation.overrides import effects_text, preview_text, recorded_text

    stores = opened()
    if dry_run:
        click.echo(preview_text(preview_overrides(stores, PlannedRun.of(stores, newest_run(stores, key)), given)))
        return
    record, seen = record_overrides(stores, given, by=by, key=key, confirmed=confirm, needs_approval=needs_approval)
    click.echo(f"{effects_text(seen)}\n\n{recorded_text(record, seen.key)}")


@overrides.command(
    "list",
    epilog=examples("forecast-assets overrides list", "forecast-assets overrides list --all --by ana"),
)
@click.option("--all", "shows_all", is_flag=True, help="Also those that are over, withdrawn or rejected.")
@click.option("--by", help="Only those of a planner.")
@as_of_option
def list_overrides(as_of: Any, by: str | None, *, shows_all: bool) -> None:
    """List overrides that are in force or wait for approval, newest last."""
    from forecast_assets.operations.overrides import current_overrides, overrides_of
    from forecast_assets.presentation.overrides import overrides_text

    stores = opened(as_of)
    found = overrides_of(stores.ledger) if shows_all else current_overrides(stores)
    click.echo(overrides_text([each for each in found if by in (None, each.by)], shows_all=shows_all))


def _decision(status: str, says: str, example: str) -> click.Command:
    name = {"approved": "approve", "rejected": "reject", "withdrawn": "withdraw"}[status]

    @click.command(name, help=says, epilog=examples(f"forecast-assets overrides {name} {example}"))
    @click.argument("ids", nargs=-1, required=True, metavar="ID...")
    @click.option("--by", required=True, help="Who decides.")
    @click.option("--reason", required=True, help="Why.")
    def decide(ids: tuple[str, ...], by: str, reason: str) -> None:
        from forecast_assets.operations.overrides import decide_overrides
        from forecast_assets.presentation.overrides import decided_text

        decision, found = decide_overrides(opened(), ids, status, by=by, reason=reason)
        click.echo(decided_text(decision, found))

    return decide


overrides.add_command(
    _decision(
        "approved",
        "Approve overrides of somebody else; an id as o412 names all of an entry.",
        'o412 --by ben --reason "as agreed on Monday"',
    )
)
overrides.add_command(
    _decision(
        "rejected", "Reject overrides that wait for approval.", 'o412-3 --by ben --reason "the fair is in August"'
    )
)
overrides.add_command(
    _decision(
        "withdrawn",
        "Take overrides back: the next runs, and revisions that are asked for, go without them.",
        'o412 --by ana --reason "the festival is off"',
    )
)


@overrides.command(
    epilog=examples(
        'forecast-assets overrides publish --by ana --reason "the festival is on"',
        'forecast-assets overrides publish daily/2025-06-30/stat-1/28/r0 --by ana --reason "the festival is on"',
    )
)
@click.argument("run", required=False, type=_Run(), metavar="[RUN]")
@click.option("--by", required=True, help="Who decides.")
@click.option("--reason", required=True, help="Why.")
def publish(run: RunKey | None, by: str, reason: str) -> None:
    """Publish a new revision of a run with the overrides that are in force now; the earlier ones stay readable.

    By default of the champion's newest daily run. Nothing is forecast anew.
    """
    from forecast_assets.operations.overrides import newest_run
    from forecast_assets.presentation.overrides import published_text
    from forecast_assets.presentation.state import outcome_text

    def work(runner: "Runner") -> None:
        outcome = runner.publish_overrides(newest_run(runner.stores, run).key, by=by, reason=reason)
        click.echo(outcome_text(runner.stores, outcome))
        click.echo(published_text(runner.stores, outcome.publication))

    with_runner(work)
    follow_copy()


overrides.add_command(value)

COMMANDS: Final = (overrides,)
