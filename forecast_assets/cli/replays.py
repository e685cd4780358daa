"""The command that rebuilds what was published: replay.

What belongs here: its arguments. What does not: logic.
"""

from pathlib import Path
from typing import Final

import click

from forecast_assets.cli.common import current, examples, opened
from forecast_assets.core.keys import parse_run_or_row


@click.command(
    epilog=examples(
        "forecast-assets replay daily/2025-06-30/stat-1/28/r0",
        "forecast-assets replay daily/2025-06-30/stat-1/28/r0/FOOD-0001/S-01/3",
        "forecast-assets replay daily/2025-06-30/stat-1/28/r0 --training",
        "forecast-assets replay daily/2025-06-30/stat-1/28/r0 --keep rebuilt",
    )
)
@click.argument("identifier")
@click.option("--training", is_flag=True, help="First rebuild the model version of the run from its training snapshot.")
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), help="New folder in which to leave what was rebuilt."
)
def replay(identifier: str, *, training: bool, keep: Path | None) -> None:
    """Rebuild a published run, or the run of a published row, from its recorded inputs, and compare the bytes.

    IDENTIFIER is a run key (cadence/date/version/horizon/rN) or a prediction id. Nothing is written to the store. Ends
    with exit code 5 if a product differs: the first one is named, how far off it is, and what was not the same.
    """
    from forecast_assets.operations.replaying import replay as rebuild
    from forecast_assets.operations.replaying_training import replay_training
    from forecast_assets.presentation.replaying import replay_text
    from forecast_assets.presentation.text import progress_lines

    key, row = parse_run_or_row(identifier)
    settings, stores = current(), opened()
    if training:
        folder = None if keep is None else keep / "training"
        publication = stores.predictions.publication(key)
        with progress_lines() as progress:
            trained = replay_training(stores, settings, publication.key.model_version, progress, keep=folder)
        click.echo(f"{replay_text(trained)}\n")
        trained.require_equal()
    folder = keep if keep is None or not training else keep / "run"
    with progress_lines() as progress:
        found = rebuild(stores, settings, key, progress, rows=[] if row is None else [row], keep=folder)
    click.echo(replay_text(found))
    found.require_equal()


COMMANDS: Final = (replay,)
