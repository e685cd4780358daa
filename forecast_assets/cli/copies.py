"""The commands of the operational copy: copy sync, check, list.

What belongs here: their arguments. What does not: logic.
"""

from typing import Final

import click

from forecast_assets.cli.common import current, examples, listen_to_the_end, opened


@click.group(
    epilog=examples(
        "FORECAST_ASSETS_OPERATIONAL_COPY=sqlite forecast-assets copy sync",
        "FORECAST_ASSETS_OPERATIONAL_COPY=postgresql://ana@db/forecasts forecast-assets copy sync",
        "forecast-assets copy check --deep",
    )
)
def copy() -> None:
    """Copy rows of published runs to PostgreSQL or SQLite, for programs that look them up.

    The ledger decides; a copy is never asked what is true, and may be removed and made anew at any time. Where it is,
    and how many runs it has: FORECAST_ASSETS_OPERATIONAL_COPY and FORECAST_ASSETS_OPERATIONAL_COPY_RUNS.
    """


@copy.command(name="sync", epilog=examples("forecast-assets copy sync", "forecast-assets copy sync --again"))
@click.option("--again", is_flag=True, help="Copy every run anew, in the place of what is there; mends changed rows.")
def sync_runs(*, again: bool) -> None:
    """Copy the runs that are missing, a transaction each, and drop those beyond the newest.

    Stopped at any moment, the same command goes on from there.
    """
    from forecast_assets.operations.copying import home_copy, sync_copy
    from forecast_assets.presentation.operational_copy import copy_text
    from forecast_assets.presentation.text import progress_lines

    settings = current()
    database = home_copy(settings)
    with progress_lines() as progress:
        outcome = sync_copy(opened(), database, settings.operational_copy_runs, progress, again=again)
    click.echo(copy_text(outcome))


@copy.command(name="check", epilog=examples("forecast-assets copy check", "forecast-assets copy check --deep"))
@click.option("--deep", is_flag=True, help="Compare every value with the published files, not hashes and counts alone.")
def check_runs(*, deep: bool) -> None:
    """Hold the copy against the ledger; exit code 5 if it says something else."""
    from forecast_assets.core.errors import MirrorDifferenceError
    from forecast_assets.operations.copying import compare_copy, home_copy
    from forecast_assets.presentation.operational_copy import CATCH_UP, MAKE_ANEW, copy_comparison_text
    from forecast_assets.presentation.text import progress_lines

    settings = current()
    database = home_copy(settings)
    with progress_lines() as progress:
        comparison = compare_copy(opened(), database, settings.operational_copy_runs, progress, deep=deep)
    click.echo(copy_comparison_text(comparison))
    if comparison.differences:
        where = f"The operational copy at {database.place}"
        raise MirrorDifferenceError(where, comparison.differences, CATCH_UP, MAKE_ANEW)


@copy.command(name="list", epilog=examples("forecast-assets copy list"))
def list_runs() -> None:
    """List the runs that the copy has."""
    from forecast_assets.operations.copying import copied_runs, home_copy
    from forecast_assets.presentation.operational_copy import copied_runs_text

    database = home_copy(current())
    click.echo(copied_runs_text(database.place, copied_runs(opened(), database)))


def follow_copy() -> None:
    """Let the copy follow what a command just published and said; if it cannot, say so and go on."""
    settings = current()
    from forecast_assets.operations.copying import CopyDelay, follow_publications, is_copied
    from forecast_assets.presentation.operational_copy import copy_delay_text, copy_text

    if not is_copied(settings):
        return
    listen_to_the_end(settings)
    outcome = follow_publications(settings, opened())
    if isinstance(outcome, CopyDelay):
        click.echo(copy_delay_text(outcome), err=True)
    elif outcome is not None:
        click.echo(copy_text(outcome))


COMMANDS: Final = (copy,)
