"""Commands that bring in what sources say.

What belongs here: their arguments. What does not: logic.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from forecast_assets.cli.common import examples, with_runner


@click.group()
def ingest() -> None:
    """Bring in what a source says, as append-only batches; checked before anything is stored."""


@ingest.command("simulated", epilog=examples("forecast-assets ingest simulated data/retailer"))
@click.argument("folder", type=click.Path(path_type=Path))
def ingest_simulated(folder: Path) -> None:
    """Ingest a folder that `simulate` wrote."""
    from forecast_assets.sources.simulated import read_simulated

    _ingest(lambda: read_simulated(folder))


@ingest.command("freshretailnet", epilog=examples("forecast-assets ingest freshretailnet data/freshretailnet"))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--sample", is_flag=True, help="Read the sample of 890 series instead of all 50,000.")
def ingest_freshretailnet(folder: Path, sample: bool) -> None:
    """Ingest FreshRetailNet-50K from daily.parquet and plan.parquet."""
    from forecast_assets.sources.freshretailnet import read_freshretailnet

    _ingest(lambda: read_freshretailnet(folder, sample=sample))


def _ingest(read: Callable[[], Any]) -> None:
    from forecast_assets.presentation.state import ingest_text

    with_runner(lambda runner: click.echo(ingest_text(runner.ingest(read()))))


COMMANDS: Final = (ingest,)
