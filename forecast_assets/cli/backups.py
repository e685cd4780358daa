"""Commands that keep a home safe: backup, restore.

What belongs here: their arguments. What does not: logic.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from forecast_assets.cli.common import current, examples
from forecast_assets.core.errors import FindingsError, InputError

if TYPE_CHECKING:
    from forecast_assets.settings import Settings


@click.command(
    epilog=examples(
        "forecast-assets backup /mnt/backup/retail",
        "forecast-assets backup s3://backups/retail",
        "forecast-assets backup /mnt/backup/retail --verify",
        "forecast-assets backup --status",
    )
)
@click.argument("to", default="")
@click.option(
    "--keep",
    default=14,
    show_default=True,
    type=click.IntRange(min=1),
    help="Snapshots of databases that are kept, so that a damaged one does not replace the last good one at once.",
)
@click.option("--mlflow", "with_mlflow", is_flag=True, help="MLflow's files too, though the ledger makes them again.")
@click.option("--verify", "verifies", is_flag=True, help="Hash all that the backup has, instead of adding to it.")
@click.option("--status", "tells", is_flag=True, help="Say how old backups are, instead of making one.")
def backup(to: str, *, keep: int, with_mlflow: bool, verifies: bool, tells: bool) -> None:
    """Copy the store, and what else of the home cannot be made again, to a folder or a bucket.

    Only what the backup lacks is copied, and each file is checked against its hash on the way. At every moment the
    backup is a store of some ledger position: stopped anywhere, the same command completes it. Runs and services may
    go on. Refused, with exit code 4, where the backup is of another ledger, or is ahead of this one.

    """
    if verifies and tells:
        raise InputError("--verify and --status are two things.", remedy="Give one of them.")
    if not to and not tells:
        raise InputError("A backup needs a place.", remedy="Name a folder or the URL of a bucket: backup TO.")
    settings = current()
    if tells:
        _tell_status(settings, to)
    elif verifies:
        _verify(settings, to)
    else:
        _back_up(settings, to, keep=keep, with_mlflow=with_mlflow)


def _back_up(settings: "Settings", to: str, *, keep: int, with_mlflow: bool) -> None:
    from forecast_assets.operations.backing_up import back_up
    from forecast_assets.presentation.backups import backup_text
    from forecast_assets.presentation.text import progress_lines

    with progress_lines() as progress:
        outcome = back_up(settings, to, keep=keep, with_mlflow=with_mlflow, progress=progress)
    click.echo(backup_text(outcome))


def _verify(settings: "Settings", to: str) -> None:
    from forecast_assets.operations.backing_up import verify_backup
    from forecast_assets.presentation.backups import backup_verification_text
    from forecast_assets.presentation.text import progress_lines

    began = time.monotonic()
    with progress_lines() as progress:
        found = verify_backup(settings, to, progress)
    click.echo(backup_verification_text(found, time.monotonic() - began))
    wrong = [f"store/{each.path} ({each.kind})" for each in found.store.findings]
    wrong += [f"{path} (changed)" for path in found.wrong]
    if wrong:
        raise FindingsError(
            wrong,
            "Move what is changed out of the backup, and back up again: it is copied anew from the store. What the "
            "store lacks too is lost; look for another backup.",
        )


def _tell_status(settings: "Settings", to: str) -> None:
    from forecast_assets.operations.backing_up import backups_of, status_of_backup
    from forecast_assets.presentation.backups import backup_status_text

    records = [status_of_backup(settings, to)] if to else backups_of(settings)
    click.echo(backup_status_text(records, datetime.now(UTC)))


@click.command(
    epilog=examples(
        "forecast-assets restore /mnt/backup/retail --home /srv/retail",
        "forecast-assets restore s3://backups/retail --home /srv/retail",
        "forecast-assets restore /mnt/backup/retail --home /srv/retail --resume",
        "forecast-assets restore /mnt/backup/retail --home /tmp/audit --until 41",
    )
)
@click.argument("source", metavar="FROM")
@click.option("--home", required=True, type=click.Path(path_type=Path), help="New or empty folder.")
@click.option("--until", type=click.IntRange(min=1), help="Ledger entry up to which the store is restored; no more.")
@click.option("--resume", "resumes", is_flag=True, help="Go on with a restore that was interrupted.")
def restore(source: str, *, home: Path, until: int | None, resumes: bool) -> None:
    """Make a home of a backup: store, databases, catalogue, and the copies that settings ask for; then verify it.

    Every file is checked against its hash. Ledger entries come after all that they name, so that a home which is half
    restored publishes nothing. Where FORECAST_ASSETS_STORE_URL is set, the store goes into that bucket.

    """
    from forecast_assets.operations.restoring import restore as restored
    from forecast_assets.presentation.backups import restore_text
    from forecast_assets.presentation.mirror import version_pages
    from forecast_assets.presentation.text import progress_lines

    with progress_lines() as progress:
        outcome = restored(current(home), source, version_pages, until=until, resumes=resumes, progress=progress)
    click.echo(restore_text(outcome))


COMMANDS: Final = (backup, restore)
