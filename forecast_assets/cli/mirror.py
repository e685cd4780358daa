"""The commands of the MLflow mirror: mlflow sync, check, where.

What belongs here: their arguments. What does not: logic.
"""

from typing import TYPE_CHECKING, Final

import click

from forecast_assets.cli.common import current, examples, listen_to_the_end, opened

if TYPE_CHECKING:
    from forecast_assets.operations.mirroring import MirrorOutcome


@click.group(
    epilog=examples(
        "forecast-assets mlflow sync",
        "forecast-assets mlflow check",
        'MLFLOW_TRACKING_URI="$(forecast-assets mlflow where)" python    # then mlflow.pyfunc.load_model(...)',
    )
)
def mlflow() -> None:
    """Show model versions in MLflow: runs, registered versions and aliases, mirrored from the ledger.

    The ledger decides; MLflow is never asked what is true, and may be removed and made anew at any time.
    """


@mlflow.command(epilog=examples("forecast-assets mlflow sync", "forecast-assets mlflow sync --rebuild"))
@click.option("--rebuild", is_flag=True, help="Remove what is there first, and make all of it anew.")
def sync(*, rebuild: bool) -> None:
    """Write to MLflow what it lacks, and put right tags and aliases."""
    from forecast_assets.operations.mirroring import mirror_place
    from forecast_assets.operations.mirroring import sync as mirrored
    from forecast_assets.presentation.mirror import mirror_text, version_pages
    from forecast_assets.presentation.text import progress_lines

    with progress_lines() as progress:
        outcome: MirrorOutcome = mirrored(opened(), mirror_place(current()), version_pages, progress, rebuild=rebuild)
    click.echo(mirror_text(outcome))


@mlflow.command(epilog=examples("forecast-assets mlflow check"))
def check() -> None:
    """Hold all that MLflow says of versions against the ledger; exit code 5 if it says something else."""
    from forecast_assets.core.errors import MirrorDifferenceError
    from forecast_assets.operations.mirroring import compare_mirror, mirror_place
    from forecast_assets.presentation.mirror import comparison_text, page_paths
    from forecast_assets.presentation.text import progress_lines

    place = mirror_place(current())
    with progress_lines() as progress:
        comparison = compare_mirror(opened(), place, progress, pages=page_paths)
    click.echo(comparison_text(comparison))
    if comparison.differences:
        raise MirrorDifferenceError(f"MLflow at {place.shown}", comparison.differences)


@mlflow.command(epilog=examples("forecast-assets mlflow where"))
def where() -> None:
    """Print the address for `mlflow.set_tracking_uri`, and for MLflow's own command."""
    from forecast_assets.operations.mirroring import mirror_place

    click.echo(mirror_place(current()).uri)


def follow_mirror(*, only_if_there: bool = False) -> None:
    """Let the mirror follow what a command just recorded and said; if it cannot, say so and go on.

    Args:
        only_if_there: Whether to make none where there is none: for commands that must not take long.
    """
    settings = current()
    if not settings.mlflow:
        return
    if only_if_there and settings.mlflow_uri is None and not settings.mlflow_folder.is_dir():
        return
    from forecast_assets.operations.mirroring import MirrorDelay, follow
    from forecast_assets.presentation.mirror import delay_text, mirror_text, version_pages

    listen_to_the_end(settings)
    outcome = follow(settings, opened(), version_pages)
    if isinstance(outcome, MirrorDelay):
        click.echo(delay_text(outcome), err=True)
    elif outcome is not None:
        click.echo(mirror_text(outcome))


COMMANDS: Final = (mlflow,)
