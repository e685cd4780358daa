"""Commands on the store itself: verify, vacuum.

What belongs here: their arguments. What does not: logic.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from forecast_assets.cli.common import current, examples, opened
from forecast_assets.core.errors import FindingsError, InputError

if TYPE_CHECKING:
    from resources.orchestration.recorded_heads import RecordedHead


_expect_head: Final = click.option(
    "--expect-head",
    "expected",
    multiple=True,
    metavar="SEQUENCE:HASH",
    help="A head of the ledger that was written down elsewhere; may be given more than once.",
)


def _heads(expected: Sequence[str]) -> "list[RecordedHead]":
    """Return the heads that are given and those that the catalogue and Dagster recorded.

    To be read before the ledger is: what is recorded by then has been appended.
    """
    from resources.ledger.log import head_text
    from resources.maintenance.verification import parsed_head
    from resources.orchestration.recorded_heads import RecordedHead, recorded_heads

    settings = current()
    given = [RecordedHead("--expect-head", head_text(*parsed_head(text))) for text in expected]
    return [*given, *recorded_heads(settings.catalogue_path, settings.dagster_folder)]


@click.command(
    epilog=examples(
        "forecast-assets verify",
        "forecast-assets verify --expect-head 12:5b0c...",
    )
)
@_expect_head
def verify(expected: tuple[str, ...]) -> None:
    """Re-hash everything that the ledger names and walk its chain; name each file that is not as it was written.

    Every file that is missing, changed or unexpected is listed by its path. That the end of the ledger is still the end
    follows from the heads that the catalogue and Dagster recorded, and from those that are given. Writes nothing to the
    store; what was found is an alert until it is right. Ends with exit code 5 if anything was found.

    """
    from forecast_assets.presentation.storage import verification_text
    from forecast_assets.presentation.text import progress_lines
    from resources.maintenance.sampling import keep_findings
    from resources.maintenance.verification import verify_store

    began = time.monotonic()
    heads = _heads(expected)
    with progress_lines() as progress:
        texts = [recorded.head for recorded in heads if recorded.head]
        found = verify_store(opened().blobs, expect_heads=texts, progress=progress)
    click.echo(verification_text(found, heads, time.monotonic() - began))
    wrong = {finding.path: f"{finding.kind}: {finding.why}" for finding in found.findings}
    keep_findings(current().operational_path, wrong, datetime.now(UTC))
    if found.findings:
        raise FindingsError([f"{finding.path} ({finding.kind})" for finding in found.findings])


@click.command(
    epilog=examples(
        "forecast-assets vacuum",
        "forecast-assets vacuum --older-than-days 30",
        "forecast-assets vacuum --remove --by ana",
        "forecast-assets vacuum --remove --by ana --expect-head 12:5b0c...",
    )
)
@click.option(
    "--older-than-days",
    "days",
    default=7,
    show_default=True,
    type=click.IntRange(min=1),
    help="Only what has not been written to for so long.",
)
@click.option("--remove", is_flag=True, help="Remove; else only show what would be removed.")
@click.option("--by", default="", help="Who decides; needed with --remove.")
@_expect_head
@click.option(
    "--no-head-recorded",
    "may_lack",
    is_flag=True,
    help="Remove though no head of the ledger is recorded elsewhere, so that nobody would notice a cut end of it.",
)
def vacuum(days: int, remove: bool, by: str, expected: tuple[str, ...], may_lack: bool) -> None:
    """Show, or remove, files that no ledger entry names: leftovers of runs that did not finish, old catalogues.

    Published files are never removed, whatever their age. Refused, with exit code 5, if anything in the store is not as
    it was written, or if a head of the ledger that the catalogue or Dagster recorded is no entry. Removing is refused,
    with exit code 4, if such a head cannot be read, or if there is none and none is given. A vacuum that was
    interrupted is ended by the next one with --remove.

    """
    from forecast_assets.presentation.storage import vacuum_text
    from forecast_assets.presentation.text import progress_lines
    from resources.catalogue.files import remove as remove_catalogue
    from resources.maintenance.vacuuming import old_catalogues, vacuum_store
    from resources.orchestration.recorded_heads import require_heads

    if remove != bool(by.strip()):
        raise InputError("Removing needs who.", remedy="Give both --remove and --by NAME, or neither to look only.")
    settings, stores, age = current(), opened(), timedelta(days=days)
    heads = _heads(expected)
    if remove:
        require_heads(heads, may_lack=may_lack)
    texts = [recorded.head for recorded in heads if recorded.head]
    with progress_lines() as progress:
        found = vacuum_store(stores.blobs, stores.ledger, by=by, older_than=age, expect_heads=texts, progress=progress)
    catalogues = old_catalogues(settings.catalogue_path, age)
    if remove:
        for file in catalogues:
            remove_catalogue(file)
    click.echo(vacuum_text(found, catalogues, heads, is_removed=remove))


COMMANDS: Final = (verify, vacuum)
